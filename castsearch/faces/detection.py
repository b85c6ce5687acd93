"""Detecting the faces of a list's pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from castsearch.faces.doubts import DOUBTS, doubts_of_list
from castsearch.faces.packs import SEARCH, FacePack, in_todays_words, notes, running
from castsearch.faces.portraits import detect_portrait
from castsearch.images import ImageReader, check_pictures
from castsearch.progress import Progress, silent
from castsearch.stagefiles import Faces, Resumable, detection_entry, read_detection_entries

TOGETHER = 16  # pictures that are searched before their results are kept; those of one size share a run
PIXELS_TOGETHER = 1 << 25  # where these are reached sooner; more than 16 frames of 1920 x 1080 have


class Detections(NamedTuple):
    """What was found in a list's pictures.

    Attributes:
        faces: of each picture, as they were written.
        doubts: about portraits that can be read, by path.
    """

    faces: dict[str, Faces]
    doubts: dict[str, str]


def detect_files(
    files: Sequence[str],
    reader: ImageReader,
    pack: FacePack,
    target: Path,
    portraits: bool = False,
    progress: Progress = silent,
) -> Detections:
    """Detect the faces of a list's pictures and write ``results/{list}.pkl``.

    A run that was killed goes on where it was; pictures that changed since are done again.

    Args:
        files: paths below ``reader.root``.
        reader: opens them; its bad pictures count as faceless.
        pack: detector.
        target: the result file.
        portraits: the pictures are portraits, where a face is certain to be: look harder.
        progress: is given the files that are left to do.

    Raises:
        NoPicturesError: the pictures lie below another folder, or none of them can be read.
        PackError: a network of the pack is broken.
    """
    check_pictures(reader.root, files, reader.skip_bad)
    depends = {
        "detector": pack.identity("detector"),
        SEARCH: pack.search.metadata(),
        "portraits": portraits,
        "root": os.path.realpath(reader.root),
    }
    told: dict[str, object] = {**notes(pack), **({DOUBTS: {}} if portraits else {})}
    results = Resumable(
        target,
        depends,
        files,
        sources=lambda file: [reader.root / file],
        notes=told,
        update=lambda recorded: in_todays_words(recorded, pack, "detector"),
        ran=lambda: running(pack, "detector"),
    )
    if results.todo:
        pack.try_embedder()
    pictures = reader.read_ahead(progress(results.todo, total=len(results.todo), unit="picture"))
    for chunk in _chunks(pictures):
        readable = [image for file, image in chunk if file not in reader.bad]
        found = iter([detect_portrait(pack, image) for image in readable] if portraits else pack.detect_many(readable))
        for file, _ in chunk:
            bad = reader.bad.get(file)
            results.add(file, detection_entry(file, next(found) if bad is None else Faces.none()), bad)
    faces = read_detection_entries(results.content, target)
    doubts = _doubts(faces, reader) if portraits else {}
    if portraits:
        results.notes[DOUBTS] = doubts
    results.finish()
    return Detections(faces, doubts)


def _chunks(pictures: Iterable[tuple[str, np.ndarray]]) -> Iterator[list[tuple[str, np.ndarray]]]:
    """Files and pictures, as many together as there is room for."""
    chunk: list[tuple[str, np.ndarray]] = []
    pixels = 0
    for file, image in pictures:
        chunk.append((file, image))
        pixels += image.shape[0] * image.shape[1]
        if len(chunk) == TOGETHER or pixels >= PIXELS_TOGETHER:
            yield chunk
            chunk, pixels = [], 0
    if chunk:
        yield chunk


def _doubts(faces: Mapping[str, Faces], reader: ImageReader) -> dict[str, str]:
    """Of all portraits, those too that an earlier run did; bad ones are told of as such."""

    def size(file: str) -> tuple[int, int]:
        height, width = reader(file).shape[:2]
        return width, height

    return doubts_of_list({file: found for file, found in faces.items() if file not in reader.bad}, size)
