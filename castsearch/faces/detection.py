"""Detecting the faces of a list's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from castsearch.faces.packs import IDENTITY, SEARCH, FacePack, notes
from castsearch.faces.portraits import detect_portrait
from castsearch.images import ImageReader
from castsearch.progress import Progress, silent
from castsearch.stagefiles import Faces, Resumable, detection_entry, read_detections

TOGETHER = 16  # pictures that are searched before their results are kept; those of one size share a run


def detect_files(
    files: Sequence[str],
    reader: ImageReader,
    pack: FacePack,
    target: Path,
    portraits: bool = False,
    progress: Progress = silent,
) -> dict[str, Faces]:
    """Detect the faces of a list's pictures and write ``results/{list}.pkl``.

    A run that was killed goes on where it was; pictures that changed since are done again.

    Args:
        files: paths below ``reader.root``.
        reader: opens them; its bad pictures count as faceless.
        pack: detector.
        target: the result file.
        portraits: the pictures are portraits, where a face is certain to be: look harder.
        progress: is given the files that are left to do.

    Returns:
        The faces of each file, as they were written.
    """
    depends = {
        IDENTITY: pack.identity(),
        SEARCH: pack.search.metadata(),
        "portraits": portraits,
        "root": str(reader.root.resolve()),
    }
    results = Resumable(target, depends, files, lambda file: [reader.root / file], notes(pack))
    pictures = reader.read_ahead(progress(results.todo, total=len(results.todo), unit="picture"))
    while chunk := list(islice(pictures, TOGETHER)):
        readable = [image for file, image in chunk if file not in reader.bad]
        found = iter([detect_portrait(pack, image) for image in readable] if portraits else pack.detect_many(readable))
        for file, _ in chunk:
            bad = reader.bad.get(file)
            results.add(file, detection_entry(file, next(found) if bad is None else Faces.none()), bad)
    results.finish()
    return read_detections(target)
