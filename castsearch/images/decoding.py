"""Opening pictures of every kind: decoded, brought to 8 bits, turned upright, within bounds of memory.

A picture is what a viewer shows, but for these: transparency is left out, so that a pixel has the colour that is stored
for it (as OpenCV has it); of an animation or a stack the first picture counts; samples of more than 8 bits are brought
to 8 by ``castsearch.images.samples``.
"""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from castsearch.images.deep import Deep, is_deep, read_samples, read_tiff, tiff_bytes, tiff_size, tiff_tags
from castsearch.images.errors import ImageError
from castsearch.images.optional import add_reader
from castsearch.images.quiet import quiet
from castsearch.images.samples import eight_bit
from castsearch.images.turns import TURNS, Turn, turn_of
from castsearch.paths import unreadable

LARGE = 89_478_485  # pixels; more are brought down by a whole factor, unless boxes count them
LONGEST_SIDE = 32_766  # pixels, likewise; what OpenCV cuts faces out of
MEMORY = 810_000_000  # bytes that a decoder may take for one picture
# What decoders take for a pixel, measured; 4 for kinds that are not named.
BYTES = {"AVIF": 9, "HEIF": 8, "JPEG2000": 20, "TIFF": 9, "WEBP": 16}
PROGRESSIVE, DEEP = 9, 16  # JPEG that comes in passes; more than 8 bits
# Cameras and programs write JPEG in some 10 passes. Each costs the time of the whole picture, however short it is.
MOST_PASSES = 100
_PASS = re.compile(rb"\xff\xda\0[\x08\x0a\x0c\x0e][\x01-\x04]")  # marker, length and number of components
_BAND = 1 << 22  # pixels that are turned into an array at once
_LONGEST_REASON = 160  # characters of what a decoder says

# Telephones pass Pillow's own limit, from which it speaks of attacks. It keeps guarding pictures within pictures.
Image.MAX_IMAGE_PIXELS = MEMORY // 4


@dataclass(frozen=True)
class Decoded:
    """A picture of 8 bits, as its decoder holds it.

    Attributes:
        image: as stored, not turned.
        turn: takes it upright.
        factor: sides are to be brought down by this.
        scaled: what becomes of it that no viewer would do, in words; None for nothing.
    """

    image: Image.Image
    turn: Turn = TURNS[1]
    factor: int = 1
    scaled: str | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright picture, before it is brought down."""
        return self.turn.size(self.image.size)

    def pixels(self) -> np.ndarray:
        """The picture, (height, width, 3) uint8 RGB, upright."""
        width, height = self.image.size
        if self.factor == 1 and width * height <= _BAND:
            return np.ascontiguousarray(self.turn(np.asarray(_rgb(self.image))))
        result = np.empty((-(-height // self.factor), -(-width // self.factor), 3), dtype=np.uint8)
        step = max(1, _BAND // (width * self.factor)) * self.factor
        for top in range(0, height, step):
            band = _rgb(self.image.crop((0, top, width, min(top + step, height)))).reduce(self.factor)
            result[top // self.factor :][: band.height] = np.asarray(band)
        return np.ascontiguousarray(self.turn(result))

    def cut(self, bbox: Sequence[int]) -> np.ndarray:
        """The part inside ``bbox`` (x, y, w, h, pixels of the upright picture), cut at the picture's edge.

        Returns:
            (h, w, 3) uint8 RGB.

        Raises:
            ImageError: nothing of the box lies inside the picture.
        """
        (x, y, w, h), (width, height) = bbox, self.size
        inside = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
        if inside[0] >= inside[2] or inside[1] >= inside[3]:
            raise ImageError(f"bbox {list(bbox)} lies outside the frame of {width} x {height}")
        part = self.image.crop(self.turn.stored_box(inside, self.size))
        return np.ascontiguousarray(self.turn(np.asarray(_rgb(part))))


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a picture, turned upright by its EXIF orientation (as OpenCV does).

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        ImageError: the file is missing, truncated, too large or not a picture.
    """
    return decode(path).pixels()


def declared_size(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Width and height of the upright picture as its first bytes declare them, without decoding it.

    Returns:
        None where they do not tell, as of a file that is no picture, or a TIFF that Pillow does not read.
    """
    if not Path(path).is_file():  # a pipe would be waited for
        return None
    try:
        with _opened(Path(path)) as image:
            return turn_of(image).size(image.size)
    except Exception:  # whatever is wrong with it, whoever decodes it will say so
        return None


def reading_factor(size: tuple[int, int]) -> int:
    """What the sides of a picture of so many pixels are divided by where it is read, unless boxes count them.

    Args:
        size: width and height.
    """
    return max(math.ceil(math.sqrt(size[0] * size[1] / LARGE)), math.ceil(max(size) / LONGEST_SIDE))


def decode(path: str | os.PathLike[str], keep_pixels: bool = False) -> Decoded:
    """Decode a picture.

    Args:
        path: of the file.
        keep_pixels: of large pictures too, because boxes count them.

    Raises:
        ImageError: the file is missing, truncated, too large or not a picture.
    """
    path = Path(path)
    try:
        kind = path.stat().st_mode
        if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
            raise ImageError(f"{path}: is no file but a device or a pipe; name a picture")
        return _decode(path, keep_pixels)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        (count,) = re.findall(r"\d+", str(error))[:1]
        raise ImageError(_too_large(path, f"{count} pixels", 4)) from None
    except MemoryError:
        raise ImageError(f"{path}: there is too little memory for it; scale it down") from None
    except Exception as error:  # decoders raise whatever they stumble over
        if isinstance(error, OSError) and error.errno is not None:
            raise ImageError(unreadable(path, error, "put it there")) from None
        raise ImageError(f"{path}: cannot be read ({_reason(error)}); replace it") from None


def _decode(path: Path, keep_pixels: bool) -> Decoded:
    try:
        image = Image.open(path)
    except UnidentifiedImageError:
        if (tags := tiff_tags(path)) is not None:  # of a kind that Pillow does not know, as floats in colour are
            _check_size(path, tiff_size(tags), max(DEEP, tiff_bytes(tags)))
            return _decode_deep(read_tiff(path, tags), keep_pixels)
        image = _opened(path)
    with image:
        if is_deep(image):
            _check_size(path, image.size, DEEP)
            return _decode_deep(read_samples(path, image), keep_pixels)
        return _decode_plain(path, image, keep_pixels)


def _opened(path: Path) -> ImageFile:
    """A picture of any kind that Pillow knows or can be taught."""
    try:
        return Image.open(path)
    except UnidentifiedImageError:
        if not add_reader(path):
            raise
        return Image.open(path)


def _decode_deep(found: Deep, keep_pixels: bool) -> Decoded:
    eight, scaled = eight_bit(found.samples)
    image = Image.fromarray(~eight if found.white_is_zero else eight)
    return _brought_down(image, found.turn, image.size, scaled, keep_pixels)


def _decode_plain(path: Path, image: Image.Image, keep_pixels: bool) -> Decoded:
    stored = image.size
    progressive = image.info.get("progressive")
    _check_size(path, stored, PROGRESSIVE if progressive else BYTES.get(image.format or "", 4))
    if progressive and (passes := len(_PASS.findall(path.read_bytes()))) > MOST_PASSES:
        raise ImageError(f"{path}: {passes} passes, where at most {MOST_PASSES} are read; save it as a plain JPEG")
    if not keep_pixels and (factor := reading_factor(stored)) > 1:
        # JPEG's decoder brings down as it decodes, the others leave it to us.
        image.draft(None, (max(1, stored[0] // factor), max(1, stored[1] // factor)))
    with quiet() if isinstance(image, TiffImageFile) else nullcontext():
        image.load()
    _rgb(image.crop((0, 0, 1, 1)))  # what has no way to RGB fails here
    return _brought_down(image, turn_of(image), stored, None, keep_pixels)


def _brought_down(
    image: Image.Image, turn: Turn, stored: tuple[int, int], scaled: str | None, keep_pixels: bool
) -> Decoded:
    """Asks for what is left to bring down of a picture of ``stored`` size, and tells of it."""
    factor = 1 if keep_pixels else reading_factor(image.size)
    size = -(-image.width // factor), -(-image.height // factor)
    if size != stored:
        sides = "{} x {} pixels became {} x {}".format(*turn.size(stored), *turn.size(size))
        scaled = f"{sides}; {scaled}" if scaled else sides
    return Decoded(image, turn, factor, scaled)


def _check_size(path: Path, size: tuple[int, int], bytes_a_pixel: int) -> None:
    """Refuse what would not fit into memory, by the size that it declares."""
    if size[0] * size[1] * bytes_a_pixel > MEMORY:
        raise ImageError(_too_large(path, f"{size[0]} x {size[1]} pixels", bytes_a_pixel))


def _too_large(path: Path, size: str, bytes_a_pixel: int) -> str:
    millions = MEMORY // bytes_a_pixel // 1_000_000
    return f"{path}: {size}, where at most {millions} million are read of its kind; scale it down"


def _rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no picture of a kind that is known"
    return " ".join(str(error).split())[:_LONGEST_REASON] or type(error).__name__
