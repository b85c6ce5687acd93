"""Pictures: read, crop, write. One error type for a bad one."""

from castsearch.images.decoding import Decoded, declared_size, decode, read_image, reading_factor
from castsearch.images.errors import ImageError, NoPicturesError
from castsearch.images.reader import ImageReader, check_pictures
from castsearch.images.writing import JPEG_QUALITY, write_changed, write_jpeg

__all__ = [
    "JPEG_QUALITY",
    "Decoded",
    "ImageError",
    "ImageReader",
    "NoPicturesError",
    "check_pictures",
    "declared_size",
    "decode",
    "read_image",
    "reading_factor",
    "write_changed",
    "write_jpeg",
]
