"""File lists: which pictures one run of the detector goes through."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from castsearch.annotations import box_of_crop
from castsearch.identifiers import path_fault, shown
from castsearch.images import write_changed
from castsearch.paths import misplaced
from castsearch.stagefiles import Split, StageFileError, remove_leftovers
from castsearch.textfiles import read_text

LIST_LENGTH = 10_000  # lines of one file list, if no frame has more boxes: some hours of detection on a CPU


def check_root(root: Path, split: Split, mode: str) -> None:
    """See that the split's pictures lie below a folder.

    Raises:
        StageFileError: there is none for the mode, or the first picture lies below another one.
    """
    first = next((f"{mode}/{picture.file}" for movie in split.values() for picture in movie.pictures), mode)
    if (meant := misplaced(root, first)) is not None:
        raise StageFileError(f"{root}: {first} is not there but below {meant}; name that folder")
    if not (root / mode).is_dir():
        raise StageFileError(f"{root / mode}: no such folder; run crop_body.py, or name the folder of its crops")


def write_lists(folder: Path, split: Split, mode: str) -> list[Path]:
    """Write ``{mode}_cast.txt`` and ``{mode}_candidates_{i}.txt``: paths below BODY, a line each.

    The crops of a frame stand in one list, together. A list without a path is not written, and those that an earlier
    split left and this one lacks are removed.
    """
    cast = [f"{mode}/{picture.file}" for movie in split.values() for picture in movie.cast]
    candidates = [f"{mode}/{picture.file}" for movie in split.values() for picture in movie.candidates]
    lists = {folder / f"{mode}_cast.txt": cast} if cast else {}
    for number, lines in enumerate(_by_frames(candidates)):
        lists[folder / f"{mode}_candidates_{number}.txt"] = lines
    remove_leftovers(*lists)
    for path, lines in lists.items():
        write_changed(path, "".join(f"{line}\n" for line in lines).encode())
    own = re.compile(re.escape(mode) + r"_(cast|candidates_\d+)\.txt")  # others are the user's
    for path in folder.glob(f"{mode}_*.txt"):
        if own.fullmatch(path.name) and path not in lists:
            path.unlink()
    return list(lists)


def _by_frames(files: Sequence[str]) -> Iterator[list[str]]:
    """Parts of up to ``LIST_LENGTH`` crops, none of which parts a frame."""
    frames: dict[str, list[str]] = {}
    for file in files:
        told = box_of_crop(file)
        frames.setdefault(file if told is None else told[0], []).append(file)
    part: list[str] = []
    for crops in frames.values():
        if part and len(part) + len(crops) > LIST_LENGTH:
            yield part
            part = []
        part += crops
    if part:
        yield part


def read_list(path: Path) -> list[str]:
    """The paths of a file list, each once; empty lines are passed over.

    Raises:
        StageFileError: the list cannot be read, names no picture, or a path leaves its folder.
    """
    lines = read_text(path, StageFileError, "datalist.py writes it").split("\n")
    for number, line in enumerate(lines, start=1):
        if line and (fault := path_fault(line)) is not None:
            raise StageFileError(f"{path}: line {number}: {shown(line)} {fault}; expected a path below the image root")
    files = list(dict.fromkeys(filter(None, lines)))
    if not files:
        raise StageFileError(f"{path}: names no picture; datalist.py writes it")
    return files
