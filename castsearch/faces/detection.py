"""Detecting the faces of a list's pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from castsearch.faces.closeups import detect_candidates, detect_portrait
from castsearch.faces.doubts import DOUBTS, doubts_of_list
from castsearch.faces.packs import CLOSE_UPS, SEARCH, FacePack, in_todays_words, notes, running
from castsearch.faces.retinaface import SCALES, scaled_sizes
from castsearch.images import ImageReader, check_pictures, declared_size
from castsearch.progress import Progress, silent
from castsearch.stagefiles import Faces, Resumable, detection_entry, read_detection_entries

TOGETHER = 64  # pictures that are searched before their results are kept; those of one size share runs
PIXELS_TOGETHER = 1 << 24  # where these are reached sooner; more than 8 frames of 1920 x 1080 have


class Detections(NamedTuple):
    """What was found in a list's pictures.

    Attributes:
        faces: of each picture, as they were written.
        doubts: about portraits that can be read, by path.
    """

    faces: dict[str, Faces]
    doubts: dict[str, str]


class Searched(NamedTuple):
    """A picture that was searched.

    Attributes:
        file: below the reader's root.
        size: width and height in pixels.
        faces: in it; none in a bad picture.
        bad: why it could not be read.
    """

    file: str
    size: tuple[int, int]
    faces: Faces
    bad: str | None


def detect_files(
    files: Sequence[str],
    reader: ImageReader,
    pack: FacePack,
    target: Path,
    portraits: bool = False,
    progress: Progress = silent,
    overwrite: bool = False,
) -> Detections:
    """Detect the faces of a list's pictures and write ``results/{list}.pkl``.

    A run that was killed goes on where it was; pictures that changed since are done again.

    Args:
        files: paths below ``reader.root``.
        reader: opens them; its bad pictures count as faceless.
        pack: detector.
        target: the result file.
        portraits: the pictures are portraits, where a face is certain to be: look harder.
        progress: is given the pictures that are left to do, as they are done.
        overwrite: do all pictures anew.

    Raises:
        NoPicturesError: the pictures lie below another folder, or none of them can be read.
        PackError: a network of the pack is broken.
    """
    check_pictures(reader.root, files, reader.skip_bad)
    results = open_results(
        target, files, {file: reader.root / file for file in files}, reader.root, pack, portraits, overwrite
    )
    parts = parts_to_search(files, results.todo, reader, pack, portraits)
    searched = search(parts, reader, pack, portraits)
    for found in progress(searched, total=sum(map(len, parts)), unit="picture"):
        results.add(found.file, detection_entry(found.file, found.faces), found.bad)
    reader.sort_account(files)
    faces = read_detection_entries({file: results.content[file] for file in files}, target)
    doubts = _doubts(faces, reader) if portraits else {}
    if portraits:
        results.notes[DOUBTS] = doubts
    results.finish()
    return Detections(faces, doubts)


def open_results(
    target: Path,
    files: Sequence[str],
    sources: Mapping[str, Path],
    root: Path,
    pack: FacePack,
    portraits: bool = False,
    overwrite: bool = False,
    detail: Callable[[str], str] = lambda file: "",
    **more: Any,
) -> Resumable:
    """``results/{list}.pkl``, with what an earlier run found.

    Args:
        target: the result file.
        files: its keys.
        sources: the picture that each is searched in.
        root: of the pictures.
        pack: detector.
        portraits: the pictures are portraits.
        overwrite: no result of an earlier run counts.
        detail: what else the result of a key depends on, in words.
        more: what else all results depend on, as JSON has it.
    """
    depends = {
        "detector": pack.identity("detector"),
        SEARCH: pack.search.metadata(),
        "portraits": portraits,
        "root": os.path.realpath(root),
        **({CLOSE_UPS: True} if pack.misses_close_ups and not portraits else {}),
        **more,
    }
    return Resumable(
        target,
        depends,
        files,
        sources=lambda file: [sources[file]],
        notes={**notes(pack), **({DOUBTS: {}} if portraits else {})},
        update=lambda recorded: in_todays_words(recorded, pack, "detector"),
        ran=lambda: running(pack, "detector"),
        detail=detail,
        overwrite=overwrite,
    )


def parts_to_search(
    files: Sequence[str], todo: Sequence[str], reader: ImageReader, pack: FacePack, portraits: bool = False
) -> list[list[str]]:
    """Pictures that are searched together: of one folder and one size, or there is room for several sizes.

    What a pack that misses close-ups finds in a picture may hang a little on those beside it (see ``closeups``). A run
    that was killed, or one of this movie alone, shall find the same: there a part is made of all files, and searched
    whole where one of it is left to do. Pictures of unknown size, most of them bad, come first, alone.

    Args:
        files: all.
        todo: those that are left to do.
        reader: tells where they are.
        pack: searches them.
        portraits: they are portraits, which are searched one by one.
    """
    asked = set(todo)
    folders: dict[str, list[str]] = {}
    for file in files if pack.misses_close_ups and not portraits else todo:
        folders.setdefault(file.rpartition("/")[0], []).append(file)
    parts: list[list[str]] = []
    for together in folders.values():
        if not asked.isdisjoint(together):
            sizes = {file: declared_size(reader.root / file) for file in together}
            parts += _together(together, sizes, pack.search.scales or SCALES)
    return [part for part in parts if not asked.isdisjoint(part)]


def search(
    parts: Sequence[Sequence[str]], reader: ImageReader, pack: FacePack, portraits: bool = False
) -> Iterator[Searched]:
    """Search pictures part by part, each decoded once.

    Args:
        parts: pictures below the reader's root, see ``parts_to_search``.
        reader: opens them; of its bad pictures that is told, and no face.
        pack: detector.
        portraits: look harder.

    Raises:
        PackError: a network of the pack is broken.
    """
    if not parts:
        return
    pack.try_embedder()
    for read in reader.read_together(iter(parts)):
        images = [image for file, image in read if file not in reader.bad]
        all_found = [detect_portrait(pack, image) for image in images] if portraits else detect_candidates(pack, images)
        found = iter(all_found)
        for file, image in read:
            bad = reader.bad.get(file)
            yield Searched(file, image.shape[1::-1], next(found) if bad is None else Faces.none(), bad)


def _together(
    files: Sequence[str], sizes: Mapping[str, tuple[int, int] | None], scales: Sequence[int]
) -> Iterator[list[str]]:
    """Files in the order of their sizes where a network sees them, as many together as there is room for.

    A size at the largest scale is parted only where it has more pictures than there is room for.
    """

    def shape(file: str) -> list[tuple[int, int]]:
        size = sizes[file]
        return [] if size is None else scaled_sizes(sorted(scales, reverse=True), *size[::-1])

    def fits(chunk: Sequence[str]) -> bool:
        pixels = sum(PIXELS_TOGETHER if (size := sizes[file]) is None else size[0] * size[1] for file in chunk)
        return len(chunk) <= TOGETHER and pixels <= PIXELS_TOGETHER

    chunk: list[str] = []
    for _, group in groupby(sorted(files, key=shape), lambda file: shape(file)[:1]):
        same = list(group)
        if chunk and not fits(chunk + same):
            yield chunk
            chunk = []
        for file in same:
            if chunk and not fits([*chunk, file]):
                yield chunk
                chunk = []
            chunk.append(file)
    if chunk:
        yield chunk


def _doubts(faces: Mapping[str, Faces], reader: ImageReader) -> dict[str, str]:
    """Of all portraits, those too that an earlier run did; bad ones are told of as such."""

    def size(file: str) -> tuple[int, int]:
        height, width = reader(file).shape[:2]
        return width, height

    return doubts_of_list({file: found for file, found in faces.items() if file not in reader.bad}, size)
