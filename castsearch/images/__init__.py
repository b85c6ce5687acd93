"""Pictures: read, crop, write. One error type for a bad one."""

from castsearch.images.decoding import Decoded, decode, read_image
from castsearch.images.errors import ImageError
from castsearch.images.reader import ImageReader
from castsearch.images.writing import JPEG_QUALITY, write_changed, write_jpeg

__all__ = [
    "JPEG_QUALITY",
    "Decoded",
    "ImageError",
    "ImageReader",
    "decode",
    "read_image",
    "write_changed",
    "write_jpeg",
]
