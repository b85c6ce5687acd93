"""Pictures of a list: do they lie where the user says, and can any of them be read?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from castsearch.images import ImageError, ImageReader, read_image
from castsearch.paths import misplaced


class NoPicturesError(ImageError):
    """None of the pictures can be read, so that there is nothing to go on with."""

    skippable = False


def check_pictures(root: Path, files: Sequence[str], reader: ImageReader) -> None:
    """See that pictures lie below a folder and, where bad ones shall be passed over, that not all of them are bad.

    Args:
        root: BODY.
        files: paths below it.
        reader: what they will be read by.

    Raises:
        NoPicturesError: they lie below another folder, or none of them can be read.
    """
    if files and (meant := misplaced(root, files[0])) is not None:
        raise NoPicturesError(f"{root}: {files[0]} is not there but below {meant}; name that folder")
    if not reader.skip_bad:
        return  # the first bad one stops the work
    first = None
    for file in files:
        try:
            read_image(root / file)
            return
        except ImageError as error:
            first = first or error
    if first is not None:
        raise NoPicturesError(f"{root}: none of the {len(files)} pictures can be read; the first: {first}")
