"""File lists: which pictures one run of the detector goes through."""

from __future__ import annotations

import re
from pathlib import Path

from castsearch.identifiers import path_fault, shown
from castsearch.paths import misplaced
from castsearch.stagefiles import Split, StageFileError, atomic_write
from castsearch.textfiles import read_text

LIST_LENGTH = 10_000  # lines of one file list: some hours of detection on a CPU


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

    A list without a path is not written, and those that an earlier split left and this one lacks are removed.
    """
    cast = [f"{mode}/{picture.file}" for movie in split.values() for picture in movie.cast]
    candidates = [f"{mode}/{picture.file}" for movie in split.values() for picture in movie.candidates]
    lists = {folder / f"{mode}_cast.txt": cast} if cast else {}
    for number, start in enumerate(range(0, len(candidates), LIST_LENGTH)):
        lists[folder / f"{mode}_candidates_{number}.txt"] = candidates[start : start + LIST_LENGTH]
    for path, lines in lists.items():
        with atomic_write(path) as file:
            file.writelines(f"{line}\n".encode() for line in lines)
    own = re.compile(re.escape(mode) + r"_(cast|candidates_\d+)\.txt")  # others are the user's
    for path in folder.glob(f"{mode}_*.txt"):
        if own.fullmatch(path.name) and path not in lists:
            path.unlink()
    return list(lists)


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
