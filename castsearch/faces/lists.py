"""File lists: which pictures one run of the detector goes through."""

from __future__ import annotations

from pathlib import Path

from castsearch.identifiers import path_fault
from castsearch.stagefiles import Split, StageFileError, atomic_write

LIST_LENGTH = 10_000  # lines of one file list: some hours of detection on a CPU


def write_lists(folder: Path, split: Split, mode: str) -> list[Path]:
    """Write ``{mode}_cast.txt`` and ``{mode}_candidates_{i}.txt``: paths below BODY, a line each.

    Lists that an earlier, larger split left in the folder are removed.
    """
    cast = [f"{mode}/{picture.file}" for movie in split.values() for picture in movie.cast]
    candidates = [f"{mode}/{picture.file}" for movie in split.values() for picture in movie.candidates]
    lists = {folder / f"{mode}_cast.txt": cast}
    for number, start in enumerate(range(0, len(candidates), LIST_LENGTH)):
        lists[folder / f"{mode}_candidates_{number}.txt"] = candidates[start : start + LIST_LENGTH]
    for path, lines in lists.items():
        with atomic_write(path) as file:
            file.writelines(f"{line}\n".encode() for line in lines)
    for path in folder.glob(f"{mode}_candidates_*.txt"):
        if path not in lists:
            path.unlink()
    return list(lists)


def read_list(path: Path) -> list[str]:
    """The paths of a file list, each once.

    Raises:
        StageFileError: the list is missing or a path leaves its folder.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise StageFileError(f"{path}: no such file list; datalist.py writes it") from None
    except (OSError, ValueError) as error:
        raise StageFileError(f"{path}: not a file list ({error})") from None
    for number, line in enumerate(lines, start=1):
        if path_fault(line) is not None:
            raise StageFileError(f"{path}: line {number}: expected a path below the image root, found {line!r}")
    return list(dict.fromkeys(lines))
