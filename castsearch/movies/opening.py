"""Opening footage, of whatever kind it is."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

from castsearch.movies.footage import Footage


def open_footage(path: str | os.PathLike[str], rate: Fraction | None = None) -> Footage:
    """Open a video, or a folder of pictures.

    Args:
        path: of the file or folder.
        rate: pictures a second, of a folder whose pictures are a film's; without it they are stills of a second each.
            Of a video only where its container tells no times, as of a bare stream of H.264.

    Raises:
        MovieError: there is no such file, or nothing in it that could be shown.
    """
    path = Path(path)
    if path.is_dir():
        from castsearch.movies.pictures import PictureFolder

        return PictureFolder(path, rate)
    from castsearch.movies.video import VideoFile

    return VideoFile(path, rate)
