"""Reading many pictures, with an account of what was odd about them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from castsearch.images.decoding import decode, read_image
from castsearch.images.errors import ImageError, NoPicturesError
from castsearch.parallel import ahead
from castsearch.paths import misplaced

READ_AHEAD = 2  # threads that decode pictures while a network works on earlier ones

# What stands in for a picture that cannot be read when the user asks to go on: mid grey has no
# face and, unlike black, gives networks a feature that is not all zero.
_BLANK = np.full((128, 64, 3), 127, dtype=np.uint8)


class ImageReader:
    """Reads pictures below one folder; keeps account of the bad and the scaled ones.

    Args:
        root: folder that paths are relative to.
        skip_bad: note a bad picture in ``bad`` and give a blank in its place, so that rows
            stay where later stages expect them; otherwise a bad picture raises.
        keep_pixels: of large pictures too, because boxes count them.

    Attributes:
        bad: the message of each bad picture met so far.
        scaled: what was done to each picture met so far whose samples or sides were scaled.
    """

    def __init__(self, root: str | os.PathLike[str], skip_bad: bool = False, keep_pixels: bool = False) -> None:
        self.root = Path(root)
        self.skip_bad, self._keep_pixels = skip_bad, keep_pixels
        self.bad: dict[str, str] = {}
        self.scaled: dict[str, str] = {}

    def __call__(self, file: str) -> np.ndarray:
        try:
            picture = decode(self.root / file, self._keep_pixels)
        except ImageError as error:
            if not self.skip_bad:
                raise
            self.bad[file] = str(error)
            return _BLANK.copy()
        if picture.scaled:
            self.scaled[file] = picture.scaled
        return picture.pixels()

    def read_ahead(self, files: Iterable[str]) -> Iterator[tuple[str, np.ndarray]]:
        """Files with their pictures, in order, the next few decoded while the caller works."""
        with ahead(lambda file: (file, self(file)), iter(files), READ_AHEAD, 2 * READ_AHEAD) as pictures:
            yield from pictures

    def read_together(self, groups: Iterable[Sequence[str]]) -> Iterator[list[tuple[str, np.ndarray]]]:
        """The files of each group with their pictures, in order, the next groups decoded while the caller works."""
        with ahead(lambda files: [(file, self(file)) for file in files], iter(groups), READ_AHEAD, READ_AHEAD) as read:
            yield from read

    def sort_account(self, files: Iterable[str]) -> None:
        """Bring what was told of files that were read in another order into theirs."""
        for account in (self.bad, self.scaled):
            told = {file: account.pop(file) for file in files if file in account}
            account.update(told)


def check_pictures(root: Path, files: Sequence[str], skip_bad: bool) -> None:
    """See that pictures lie below a folder and, where bad ones shall be passed over, that not all of them are bad.

    Args:
        root: of the paths.
        files: below it.
        skip_bad: otherwise the first bad one will stop the work, and none is read here.

    Raises:
        NoPicturesError: they lie below another folder, or none of them can be read.
    """
    if files and (meant := misplaced(root, files[0])) is not None:
        raise NoPicturesError(f"{root}: {files[0]} is not there but below {meant}; name that folder")
    first = None
    for file in files if skip_bad else ():
        try:
            read_image(root / file)
            return
        except ImageError as error:
            first = first or error
    if first is not None:
        raise NoPicturesError(f"{root}: none of the {len(files)} pictures can be read; the first: {first}")
