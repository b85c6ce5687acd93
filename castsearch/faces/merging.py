"""Gathering the detections of all lists of a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from castsearch.faces.packs import IDENTITY, SEARCH
from castsearch.stagefiles import Picture, Split, StageFileError, last_change, read_detections, read_metadata


def merge_results(split: Split, mode: str, folders: Sequence[Path]) -> tuple[Split, dict[str, Any]]:
    """Gather the results of all lists of a split into what ``retina_{mode}.pkl`` holds.

    Where several files hold a picture, the newest counts.

    Args:
        split: the pictures.
        mode: the split's name, with which results and their keys begin.
        folders: of the results, ``{mode}_*.pkl``.

    Returns:
        The split with faces, and the pack's metadata (empty for results of the original).

    Raises:
        StageFileError: a picture has no result, or the newest results come from different packs.
    """
    paths = sorted((path for folder in folders for path in folder.glob(f"{mode}_*.pkl")), key=last_change)
    newest = {file: (path, faces) for path in paths for file, faces in read_detections(path).items()}
    for movie in split.values():
        for picture in movie.pictures:
            if (key := f"{mode}/{picture.file}") not in newest:
                raise StageFileError(
                    f"{' or '.join(map(str, folders))}: movie {movie.name}: no detection of {key} in {len(paths)} "
                    f"files {mode}_*.pkl; run datalist.py, and deploy.py for every list"
                )

    def with_faces(pictures: Sequence[Picture]) -> tuple[Picture, ...]:
        found = [newest[f"{mode}/{picture.file}"][1] for picture in pictures]
        return tuple(replace(p, faces=faces if len(faces) else None) for p, faces in zip(pictures, found, strict=True))

    merged = Split(
        replace(movie, cast=with_faces(movie.cast), candidates=with_faces(movie.candidates)) for movie in split.values()
    )
    used = {newest[f"{mode}/{picture.file}"][0] for movie in split.values() for picture in movie.pictures}
    return merged, _common_metadata(sorted(used))


def _common_metadata(paths: Sequence[Path]) -> dict[str, Any]:
    """What the results' metadata tell of the one pack that made them all."""
    found = [read_metadata(path) for path in paths]
    for path, metadata in zip(paths, found, strict=True):
        if any(metadata.get(field) != found[0].get(field) for field in (IDENTITY, SEARCH)):
            raise StageFileError(
                f"{path}: made with another face pack or other settings than {paths[0]}; run deploy.py again for one"
            )
    return {
        field: metadata[field]
        for metadata in found[:1]
        for field in (IDENTITY, SEARCH, "model", "licence")
        if field in metadata
    }
