"""How a decoded frame becomes a picture: colours, sides of pixels, upright, without bars."""

from __future__ import annotations

from dataclasses import dataclass, replace
from struct import Struct
from threading import local
from typing import Literal

import cv2
import numpy as np
from av import VideoFrame
from av.sidedata.sidedata import SideData
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from castsearch.images.turns import TURNS, Turn
from castsearch.movies.footage import Box
from castsearch.movies.hdr import Transfer, to_sdr

_TRANSFERS: dict[int, Transfer] = {16: "pq", 18: "hlg"}  # by FFmpeg's AVColorTransferCharacteristic
# FFmpeg's numbers, which PyAV 17 has no names for.
_BT2020, _ACCURATE_RND = 9, 0x40000
# FFmpeg's AVColorSpace; 10 is BT.2020 of constant luminance, which comes near enough.
_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: _BT2020,
    10: _BT2020,
}
_HD = 720  # rows; what tells no colour matrix has BT.709's from here on, BT.601's below, as players have it
_FULL_RANGE = 2
_MATRIX = Struct("=9i")  # of a display
_ROUNDED = 0.02  # how oblong pixels are where an encoder only makes up for a size that it rounded
_EXACT, _QUICK = Interpolation.BICUBIC | _ACCURATE_RND, Interpolation.BILINEAR


@dataclass(frozen=True)
class Screen:
    """How the pictures of one video are to be shown.

    Attributes:
        stored: (width, height) that frames are brought to before they are turned: pixels are square there.
        turn: takes them upright.
        box: what is kept of the upright picture.
    """

    stored: tuple[int, int]
    turn: Turn
    box: Box

    @classmethod
    def of(cls, frame: VideoFrame, pixel: float) -> Screen:
        """What a video's first frame asks for.

        Args:
            frame: the frame.
            pixel: width of a pixel over its height.
        """
        width, height = frame.width, frame.height
        if abs(pixel - 1) > _ROUNDED and 1 / 8 < pixel < 8:  # stretched, so that nothing is lost
            width, height = (round(width * pixel), height) if pixel > 1 else (width, round(height / pixel))
        turn = _turn(frame)
        return cls((width, height), turn, (0, 0, *turn.size((width, height))))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the pictures."""
        return self.box[2:]

    def cut(self, box: Box) -> Screen:
        """The same with only a part of the present picture kept."""
        return replace(self, box=(self.box[0] + box[0], self.box[1] + box[1], *box[2:]))

    def rgb(self, frame: VideoFrame) -> np.ndarray:
        """(h, w, 3) uint8 RGB, contiguous."""
        x, y, width, height = self.box
        return np.ascontiguousarray(
            self.turn(_colours(frame, self.stored, "rgb24", _EXACT))[y : y + height, x : x + width]
        )

    def small_bgr(self, frame: VideoFrame, height: int, width: int) -> np.ndarray:
        """(height, width, 3) uint8 BGR."""
        whole_width, whole_height = self.turn.size(self.stored)
        x, y, w, h = self.box
        across, down = width / w, height / h
        small = round(whole_width * across), round(whole_height * down)
        picture = self.turn(_colours(frame, self.turn.size(small), "bgr24", _QUICK))
        left, top, right, bottom = round(x * across), round(y * down), round((x + w) * across), round((y + h) * down)
        part = np.ascontiguousarray(picture[top:bottom, left:right])
        return part if part.shape[:2] == (height, width) else cv2.resize(part, (width, height))


def _turn(frame: VideoFrame) -> Turn:
    """What the display matrix asks for, to the nearest quarter turn; mirrored where it says so."""
    found = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(found, SideData) or found.buffer_size < _MATRIX.size:
        return TURNS[1]
    # A point goes from (x, y) to (a x + c y, b x + d y).
    a, b, _, c, d, *_ = _MATRIX.unpack_from(bytes(found))
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Turn(transpose=True, mirror=c < 0, flip=b < 0)
    return Turn(mirror=a < 0, flip=d < 0)


def _colours(frame: VideoFrame, size: tuple[int, int], order: Literal["rgb24", "bgr24"], scaling: int) -> np.ndarray:
    """A frame as (height, width, 3) uint8 of any size, as stored, the colours in that order."""
    transfer = _TRANSFERS.get(frame.color_trc) if frame.format.components[0].bits > 8 else None
    kind = order if transfer is None else "rgb48le"
    told = {} if frame.format.is_rgb else {"src_colorspace": _matrix(frame), "src_color_range": _range(frame)}
    converted = _reformatter(size, kind).reformat(
        frame, *size, kind, interpolation=scaling, dst_color_range=ColorRange.JPEG, threads=1, **told
    )
    picture = converted.to_ndarray()
    if transfer is None:
        return picture
    return to_sdr(picture, transfer)[..., :: 1 if order == "rgb24" else -1]


def _matrix(frame: VideoFrame) -> int:
    return _MATRICES.get(frame.colorspace, Colorspace.ITU709 if frame.height >= _HD else Colorspace.ITU601)


def _range(frame: VideoFrame) -> ColorRange:
    full = frame.color_range == _FULL_RANGE or frame.format.name.startswith(("yuvj", "gray"))
    return ColorRange.JPEG if full else ColorRange.MPEG


class _Reformatters(local):
    """Each keeps what it worked out for one size and kind; none may serve two threads."""

    def __init__(self) -> None:
        self.by_kind: dict[tuple[tuple[int, int], str], VideoReformatter] = {}


_REFORMATTERS = _Reformatters()
_MOST_KINDS = 16  # of sizes kept, each with its tables


def _reformatter(size: tuple[int, int], kind: str) -> VideoReformatter:
    kinds = _REFORMATTERS.by_kind
    if (size, kind) not in kinds:
        if len(kinds) >= _MOST_KINDS:
            kinds.clear()
        kinds[size, kind] = VideoReformatter()
    return kinds[size, kind]
