"""Small videos for tests, rendered by PyAV."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np


def numbered(count: int, height: int = 96, width: int = 128) -> list[np.ndarray]:
    """Pictures that tell their number: ten grey bars, of which the bright ones are its bits; on a slow gradient."""
    across = np.linspace(40, 90, width).astype(np.uint8)
    pictures = []
    for number in range(count):
        picture = np.repeat(np.tile(across, (height, 1))[..., None], 3, axis=2)
        for bit in range(10):
            left = width * bit // 10
            picture[height // 4 : height // 2, left + 2 : left + width // 10 - 2] = 220 if number >> bit & 1 else 20
        pictures.append(picture)
    return pictures


def number_of(picture: np.ndarray) -> int:
    """The number that a picture of ``numbered`` tells."""
    height, width = picture.shape[:2]
    row = picture[height * 3 // 8].mean(axis=-1)
    return sum(1 << bit for bit in range(10) if row[width * bit // 10 + width // 20] > 120)


def write_video(
    path: Path,
    pictures: Iterable[np.ndarray],
    *,
    codec: str = "libx264",
    rate: Fraction | int = 25,
    stamps: Sequence[int] | None = None,
    unit: Fraction | None = None,
    pixels: str = "yuv420p",
    turned: int | None = None,
    matrix: Sequence[int] | None = None,
    prepare: Any = None,
    container: dict[str, str] | None = None,
    **options: str,
) -> Path:
    """Encode pictures, (h, w, 3) uint8 RGB or ready frames.

    Args:
        path: its name's end tells the container.
        pictures: of one size.
        codec: FFmpeg's name.
        rate: pictures a second.
        stamps: times in ``unit``; otherwise by the rate.
        unit: seconds of a stamp.
        pixels: FFmpeg's pixel format.
        turned: degrees, anti-clockwise, that a player is to turn the pictures by.
        matrix: the display matrix itself.
        prepare: is given each frame and the codec's context before it is encoded.
        container: options of the container.
        options: of the codec.
    """
    unit = unit or 1 / Fraction(rate)
    with av.open(str(path), "w", options=container or {}) as file:
        stream = None
        for index, picture in enumerate(pictures):
            frame = picture if isinstance(picture, av.VideoFrame) else av.VideoFrame.from_ndarray(picture, "rgb24")
            if stream is None:
                stream = file.add_stream(codec, rate=rate, options=options)
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, pixels
                stream.codec_context.time_base = unit
                if turned is not None:
                    stream.set_display_rotation(turned)
                if matrix is not None:
                    stream.set_display_matrix(matrix)
            if prepare is not None:
                prepare(frame, stream)
            frame.pts, frame.time_base = (index if stamps is None else stamps[index]), unit
            file.mux(stream.encode(frame))
        if stream is not None:
            file.mux(stream.encode(None))
    return path
