"""Gathering the detections of all lists of a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from castsearch.annotations import box_of_crop
from castsearch.faces.doubts import DOUBTS, told_doubt
from castsearch.faces.packs import ABOUT_DETECTION, BOTH, CLOSE_UPS, FRAMES, SEARCH
from castsearch.stagefiles import (
    RAN,
    Faces,
    Picture,
    Split,
    StageFileError,
    last_change,
    read_detections,
    read_metadata,
    runs,
)

WAYS = {  # in which candidates may be searched
    CLOSE_UPS: "close-ups were looked at again, for {} they were not",
    FRAMES: "frames were searched, for {} crops",
}


def merge_results(split: Split, mode: str, folders: Sequence[Path]) -> tuple[Split, dict[str, Any]]:
    """Gather the results of all lists of a split into what ``retina_{mode}.pkl`` holds.

    Where several files hold a picture, the newest counts.

    Args:
        split: the pictures.
        mode: the split's name, with which results and their keys begin.
        folders: of the results, ``{mode}_*.pkl``.

    Returns:
        The split with faces, and metadata: of the pack and what ran it (nothing for results of the original), and the
        doubts about portraits by their casts' ids.

    Raises:
        StageFileError: a picture has no result, the newest results come from different packs or searches, or those of
            one frame from several.
    """
    paths = result_files(mode, folders)
    newest = {file: (path, faces) for path in paths for file, faces in _detections(path).items()}
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
    metadata = {path: read_metadata(path) for path in sorted(used)}
    found_by = {file: path for file, (path, _) in newest.items()}
    _check_frames_whole([f"{mode}/{p.file}" for movie in split.values() for p in movie.candidates], found_by, metadata)
    doubts = {}
    for picture in (picture for movie in merged.values() for picture in movie.cast):
        key = f"{mode}/{picture.file}"
        doubt = told_doubt(picture.faces, metadata[newest[key][0]].get(DOUBTS), key)
        if doubt is not None:
            doubts[picture.id] = doubt
    return merged, _common_metadata(metadata) | {DOUBTS: doubts}


def result_files(mode: str, folders: Sequence[Path]) -> list[Path]:
    """The files that may hold results of a split's lists, the newest last."""
    return sorted((path for folder in folders for path in folder.glob(f"{mode}_*.pkl")), key=last_change)


def _detections(path: Path) -> dict[str, Faces]:
    try:
        return read_detections(path)
    except StageFileError as error:
        raise StageFileError(f"{error}, or move the file away if it holds no detections") from None


def _check_frames_whole(
    files: Sequence[str], found_by: Mapping[str, Path], metadata: Mapping[Path, Mapping[str, Any]]
) -> None:
    """See that each frame's faces were shared out once: parted between lists, one may count for two people."""
    lists: dict[str, Path] = {}
    for file in files:
        path = found_by[file]
        if metadata[path].get(FRAMES) and (told := box_of_crop(file)) and lists.setdefault(told[0], path) != path:
            raise StageFileError(
                f"{path}: {file} is in it, and other crops of its frame are in {lists[told[0]]}, so that a face may "
                "count twice; run datalist.py again, then deploy.py for both lists"
            )


def _common_metadata(metadata: Mapping[Path, Mapping[str, Any]]) -> dict[str, Any]:
    """What the results' metadata tell of the one pack that made them all."""
    first, told = next(iter(metadata.items()), (None, {}))
    which = {BOTH, "detector"}
    for path, other in metadata.items():
        if bool(which & other.keys()) != bool(which & told.keys()):
            bare, known = (first, path) if which & other.keys() else (path, first)
            raise StageFileError(
                f"{bare}: nothing beside it tells which detector made it, as is told of {known}; run deploy.py again "
                "for its list"
            )
        if which <= other.keys() | told.keys():
            earlier = path if BOTH in other else first
            raise StageFileError(
                f"{earlier}: made by an earlier version of this project; run deploy.py again for its list, "
                "which keeps the faces that are there"
            )
        if any(other.get(field) != told.get(field) for field in ("detector", BOTH, SEARCH)):
            raise StageFileError(
                f"{path}: made with another detector or other settings than {first}; run deploy.py again for one"
            )
    ran = runs(other.get(RAN) for other in metadata.values())
    common = {field: told[field] for field in (BOTH, *ABOUT_DETECTION) if field in told} | _candidates_search(metadata)
    return common | {RAN: ran} if ran else common


def _candidates_search(metadata: Mapping[Path, Mapping[str, Any]]) -> dict[str, bool]:
    """How all candidates were searched; portraits are searched by other rules."""
    candidates = {path: told for path, told in metadata.items() if told.get("portraits") is not True}
    ways = {path: {field: True for field in WAYS if told.get(field)} for path, told in candidates.items()}
    first, way = next(iter(ways.items()), (None, {}))
    for path, other in ways.items():
        for field in sorted(way.keys() ^ other.keys()):
            one, another = (path, first) if field in other else (first, path)
            raise StageFileError(f"{one}: {WAYS[field].format(another)}; run deploy.py again for one of them")
    return way
