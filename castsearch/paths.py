"""Paths that lead nowhere: what is wrong with them, and which path on disk was probably meant."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from unicodedata import normalize


def unreadable(path: str | os.PathLike[str], error: OSError, mend: str = "") -> str:
    """What an error message says of a file that the system would not open, in one line.

    Args:
        path: of the file.
        error: what the system said.
        mend: what to do where no file of a like name is there.

    Example:
        >>> unreadable("a.pkl", FileNotFoundError(), "run crop_body.py first")
        'a.pkl: no such file; run crop_body.py first'
    """
    match error:
        case FileNotFoundError() | NotADirectoryError():
            found = look_alike(Path(path))
            reason = "no such file" if found is None else f"no such file, but there is {found}; write it as it is there"
            mend = mend if found is None else ""
        case IsADirectoryError():
            reason, mend = "is a folder, where a file was expected", "name the file"
        case PermissionError():
            reason, mend = "may not be read", "ask for the permission"
        case _:
            reason = f"cannot be read ({error.strerror or type(error).__name__})"
    return f"{path}: {reason}" + (f"; {mend}" if mend else "")


def look_alike(path: Path) -> Path | None:
    """A path on disk that differs from ``path`` only in Unicode normalisation, case, extension or backslashes.

    File systems and programs change these on the way from one machine to another. None where there is no such path,
    or ``path`` is there itself.
    """
    parts = Path(str(path).replace("\\", "/")).parts if "\\" in str(path) else path.parts
    here = Path()
    for depth, part in enumerate(parts, start=1):
        if os.path.lexists(here / part):
            here = here / part
            continue
        names = _names(here, _changed(here))
        found = names.get(_folded(part))
        if found is None and depth == len(parts):
            found = names.get(_folded(Path(part).stem) + ".")
        if found is None:
            return None
        here = here / found
    return None if here == path else here


def _folded(name: str) -> str:
    return normalize("NFC", name).casefold()


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=16)
def _names(folder: Path, changed: int) -> dict[str, str]:
    """Names in a folder by their folded form, and by that of their stem with a point; a list may name many of them."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError:
        return {}
    return {_folded(Path(name).stem) + ".": name for name in names} | {_folded(name): name for name in names}
