"""Paths that lead nowhere: what is wrong with them, and which path on disk was probably meant."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO
from unicodedata import normalize

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what a system says where a file can grow no more
_LONGEST_SHOWN = 300  # characters of a path
# fmt: off
PICTURES = {  # suffixes of files
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".pnm",
    ".ppm", ".tif", ".tiff", ".webp",
}
# fmt: on


class NoPlainFileError(OSError):
    """A pipe, a socket or a device: reading it may wait for ever."""


def open_plain(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading, if it is a plain file.

    Raises:
        OSError: it is none, or the system would not open it; ``unreadable`` puts it into words.
    """
    mode = Path(path).stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise NoPlainFileError(errno.EINVAL, "a pipe or a device", str(path))
    return Path(path).open("rb")


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
            found, file = look_alike(Path(path)), next((above for above in Path(path).parents if above.is_file()), None)
            if found is not None:
                reason, mend = f"no such file, but there is {found}; write it as it is there", ""
            elif file is not None:
                reason, mend = f"{shortened(file)} is a file, where a folder was expected", "name the folder"
            else:
                reason = "is a link that leads nowhere" if Path(path).is_symlink() else "no such file"
        case IsADirectoryError():
            reason, mend = "is a folder, where a file was expected", "name the file"
        case PermissionError():
            reason, mend = "may not be read", "ask for the permission"
        case NoPlainFileError():
            reason, mend = "is a pipe or a device, where a file was expected", "write its content to a file first"
        case OSError(errno=errno.ELOOP):
            reason, mend = "is a link that leads in a circle", "name another file"
        case _:
            reason, mend = f"cannot be read ({error.strerror or type(error).__name__})", "check the name and the disk"
    return f"{shortened(path)}: {reason}" + (f"; {mend}" if mend else "")


def shortened(path: str | os.PathLike[str]) -> str:
    """A path as an error message shows it, however long it is."""
    text = os.fspath(path)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN // 2]}…{text[-_LONGEST_SHOWN // 2 :]}"


def misplaced(root: str | os.PathLike[str], file: str) -> Path | None:
    """The folder that was probably meant by ``root``, where ``file`` does not lie below that.

    Somebody named a folder too deep (``BODY/val``) or too high: a folder above, or one in it. None where ``file`` lies
    below ``root``, and where it lies below none of these.

    Args:
        root: what was given.
        file: a path relative to what was meant.
    """
    root = Path(os.path.abspath(root))  # noqa: PTH100  links stay as the user wrote them
    if (root / file).exists():
        return None
    return next((folder for folder in (*root.parents, *_folders(root)) if (folder / file).exists()), None)


def _folders(root: Path) -> Iterator[Path]:
    try:
        yield from sorted(path for path in root.iterdir() if path.is_dir())
    except OSError:
        return


def look_alike(path: Path) -> Path | None:
    """A path on disk that differs from ``path`` only in Unicode normalisation, case, blanks at the ends of names,
    backslashes, or, of a picture, the extension.

    File systems and programs change these on the way from one machine to another. None where there is no such path,
    or ``path`` is there itself.
    """
    if os.path.lexists(path):
        return None
    parts = Path(str(path).replace("\\", "/")).parts
    here = Path()
    for part in parts:
        if os.path.lexists(here / part):
            here = here / part
            continue
        names = _names(here, _changed(here))
        found = names.get(folded(part))
        if found is None and Path(part).suffix.lower() in PICTURES:
            found = names.get(_stem(part))
        if found is None:
            return None
        here = here / found
    return here


def folded(word: str) -> str:
    """What words have in common that differ only in Unicode normalisation, case, and blanks at their ends.

    >>> folded(" Zoe\u0308") == folded("zo\u00eb")
    True
    """
    return normalize("NFC", word).strip().casefold()


def _stem(name: str) -> str:
    """What pictures of one name and any extension have in common; no file has this name."""
    return folded(Path(name).stem) + "/"


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=16)
def _names(folder: Path, changed: int) -> dict[str, str]:
    """Names in a folder by their folded form, and those of pictures by their stem; a list may ask for many of them."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError:
        return {}
    pictures = (name for name in names if Path(name).suffix.lower() in PICTURES)
    return {_stem(name): name for name in pictures} | {folded(name): name for name in names}
