"""Pictures of a gallery: scaled copies in its folder, which the next run finds again.

They are named by what they are made of, the source's bytes and the box: the same pictures have the same names wherever
they lie, a changed source gives a new name, and one that is there need not be made again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from pathlib import Path

import numpy as np
from PIL import Image

from castsearch.gallery.strip import GalleryError
from castsearch.images import Decoded, ImageError, decode, write_changed, write_jpeg
from castsearch.parallel import ahead, core_count
from castsearch.paths import open_plain, shortened, unreadable
from castsearch.progress import Progress, silent
from castsearch.stagefiles import check_folder

MARK = ".castsearch-gallery"  # the file by which a gallery's folder is known
TIMELINES = "timelines"
BBox = tuple[int, int, int, int]

_DIGITS = 18  # hexadecimal, of a name
_OWN = re.compile(rf"\.?[0-9a-f]{{{_DIGITS}}}\.(jpg|svg)(\..+)?")  # with what a run that was killed was writing
_BLANK = np.full((120, 80, 3), 127, np.uint8)  # stands in for what cannot be read


class Kind(Enum):
    """What a picture is for; the value is its folder, the (width, height) that it may fill, and JPEG's quality."""

    THUMBNAIL = ("thumbnails", (160, 240), 80)
    PORTRAIT = ("portraits", (320, 320), 85)
    FRAME = ("frames", (1280, 1280), 80)


@dataclass(frozen=True)
class Wanted:
    """A picture that a page shows.

    Attributes:
        source: file of the picture that it is made of.
        kind: what it is for.
        bbox: x, y, width and height of the part that is shown; None for the whole.
    """

    source: Path
    kind: Kind
    bbox: BBox | None = None


def check_gallery(folder: str | os.PathLike[str]) -> Path:
    """See that a folder may become a gallery, before the work: it is none yet, empty, or a gallery.

    Raises:
        GalleryError: other things lie in it.
        StageFileError: there is no writing there.
    """
    folder = check_folder(folder)
    if folder.is_dir() and not (folder / MARK).is_file() and next(folder.iterdir(), None) is not None:
        raise GalleryError(f"{shortened(folder)}: holds other things than a gallery; name a folder of its own")
    return folder


class Pictures:
    """The pictures of one gallery.

    Args:
        folder: of the gallery, which is made one.

    Attributes:
        bad: what is wrong with each source that gave no picture, by its path, and by its box where that is to blame.

    Raises:
        GalleryError, StageFileError: see ``check_gallery``.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = check_gallery(folder)
        write_changed(
            self.folder / MARK, b"A gallery: its pages and pictures are written anew by who makes it again.\n"
        )
        self.bad: dict[str, str] = {}
        self._shown: set[str] = set()

    def write(self, wanted: Sequence[Wanted], progress: Progress = silent) -> list[str | None]:
        """Make pictures, on every core; each source is read once, and decoded only where one of its own is not there.

        Args:
            wanted: what is shown.
            progress: is given the sources.

        Returns:
            Their paths below the gallery; None of what cannot be read, which ``bad`` then tells.

        Raises:
            StageFileError: there is no room.
        """
        sources: dict[Path, list[Wanted]] = {}
        for one in dict.fromkeys(wanted):
            sources.setdefault(one.source, []).append(one)
        made: dict[Wanted, str | None] = {}
        workers = core_count()
        with ahead(lambda source: self._of_source(*source), iter(sources.items()), workers, 4 * workers) as results:
            for found, bad in progress(results, total=len(sources), unit="picture"):
                made |= found
                self.bad |= bad
        self._shown.update(path for path in made.values() if path is not None)
        return [made[one] for one in wanted]

    def blank(self) -> str:
        """The path of a grey picture, which stands in for what cannot be read."""
        path = _path(Kind.THUMBNAIL.value[0], "jpg", b"blank")
        write_jpeg(self.folder / path, _BLANK)
        self._shown.add(path)
        return path

    def timeline(self, svg: str) -> str:
        """The path of a timeline, an SVG document."""
        content = svg.encode()
        path = _path(TIMELINES, "svg", content)
        write_changed(self.folder / path, content)
        self._shown.add(path)
        return path

    def sweep(self) -> None:
        """Remove the pictures that nothing shows which was written since; files of other names stay."""
        for kind in (*(kind.value[0] for kind in Kind), TIMELINES):
            for path in sorted((self.folder / kind).glob("??/*")):
                if _OWN.fullmatch(path.name) and path.relative_to(self.folder).as_posix() not in self._shown:
                    path.unlink(missing_ok=True)
                    with suppress(OSError):  # others still lie there
                        path.parent.rmdir()

    def _of_source(self, source: Path, wanted: Sequence[Wanted]) -> tuple[dict[Wanted, str | None], dict[str, str]]:
        """The paths of pictures of one source, and what is wrong with it."""
        made: dict[Wanted, str | None] = dict.fromkeys(wanted)
        bad: dict[str, str] = {}
        try:
            content = _read(source)
            paths = {one: _path_of(one, blake2b(content).digest()) for one in wanted}
            absent = [one for one in wanted if not (self.folder / paths[one]).is_file()]
            made |= {one: path for one, path in paths.items() if one not in absent}
            decoded = decode(source, keep_pixels=any(one.bbox for one in wanted)) if absent else None
        except ImageError as error:
            return made, {str(source): str(error)}
        for one in absent:
            assert decoded is not None
            try:
                self._make(paths[one], one, decoded, content)
                made[one] = paths[one]
            except ImageError as error:
                bad[f"{source} {one.bbox}"] = f"{shortened(source)}: {error}"
        return made, bad

    def _make(self, path: str, wanted: Wanted, decoded: Decoded, content: bytes) -> None:
        """Write one picture of a decoded source, whose bytes are ``content``."""
        _, bounds, quality = wanted.kind.value
        if wanted.bbox is None and _fits(decoded.image, bounds):
            write_changed(self.folder / path, content)
        else:
            write_jpeg(self.folder / path, _scaled(decoded, wanted.bbox, bounds), quality)


def _read(source: Path) -> bytes:
    try:
        with open_plain(source) as file:
            return file.read()
    except OSError as error:
        raise ImageError(unreadable(source, error, "put it there")) from None


def _path_of(wanted: Wanted, digest: bytes) -> str:
    """Where a picture lies; ``digest`` of the source."""
    folder, bounds, quality = wanted.kind.value
    return _path(folder, "jpg", digest, repr((bounds, quality, wanted.bbox)).encode())


def _path(folder: str, suffix: str, *parts: bytes) -> str:
    """Where a picture lies below the gallery: by its first digits, since a folder of thousands is slow to look at.

    >>> _path("frames", "jpg", b"")
    'frames/9d/9d64de03048dedf3c0.jpg'
    """
    digest = blake2b(digest_size=_DIGITS // 2)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    name = digest.hexdigest()
    return f"{folder}/{name[:2]}/{name}.{suffix}"


def _fits(image: Image.Image, bounds: tuple[int, int]) -> bool:
    """Whether a picture can be shown as it is: small enough, of a kind that all browsers show, with nothing besides."""
    small = image.width <= bounds[0] and image.height <= bounds[1]
    return small and image.format == "JPEG" and image.mode == "RGB" and "exif" not in image.info


def _scaled(decoded: Decoded, bbox: BBox | None, bounds: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) uint8 RGB, brought down to fit into (width, height) ``bounds``."""
    pixels = decoded.pixels() if bbox is None else decoded.cut(bbox)
    image = Image.fromarray(pixels)
    image.thumbnail(bounds, Image.Resampling.HAMMING, reducing_gap=2.0)
    return np.asarray(image)
