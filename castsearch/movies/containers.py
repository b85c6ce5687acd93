"""Films' files opened, and what is wrong with one that will not be a film, in words."""

from __future__ import annotations

import struct
from pathlib import Path

import av
from av.container import InputContainer

from castsearch.errors import one_line

_BROKEN_OFF = "its index (moov) is missing, as of a recording or copy that broke off; copy it again"
_BOXES = 10_000  # of an MP4 that are looked through for its index
# Playlists lead to files at most, never into the net; a per cent sign in a name stands for itself.
_OPTIONS = {"protocol_whitelist": "file,crypto,data"}


def opened(path: Path) -> InputContainer:
    """A file opened by FFmpeg.

    Raises:
        av.FFmpegError: it is none that FFmpeg knows.
    """
    # Absolute, so that no name is taken for an address; tags may be in any code.
    return av.open(str(path.absolute()), options=_OPTIONS, metadata_errors="replace")


def unopened(path: Path, error: Exception) -> str:
    """Why FFmpeg would not open a file."""
    if _lacks_index(path):
        return _BROKEN_OFF
    return f"is no video that FFmpeg can read ({one_line(getattr(error, 'strerror', None) or error)}); check the file"


def not_moving(container: InputContainer) -> str | None:
    """Why a file that FFmpeg did open is none the less no film; None for a film."""
    name = container.format.name
    if name == "tty":  # FFmpeg shows text as a terminal would
        return "is a text, where a video was expected; name the video"
    if name in ("image2", "ico") or name.endswith("_pipe"):
        return "is a picture, where a video was expected; name a video, or a folder of pictures"
    return None


def no_video(container: InputContainer) -> str:
    """What a file without a stream of pictures holds instead."""
    kinds = sorted({stream.type for stream in container.streams if stream.type != "video"})
    held = f"only {' and '.join(kinds)}" if kinds else "nothing that FFmpeg knows"
    if container.streams.video:
        held = "a cover picture" if not kinds else f"{held}, and a cover picture"
    return f"has no video stream ({held}); name a video"


def _lacks_index(path: Path) -> bool:
    """Whether it is an MP4 or MOV whose boxes do not include the one that tells where pictures lie."""
    kinds: list[bytes] = []
    with path.open("rb") as file:
        while len(kinds) < _BOXES and len(head := file.read(8)) == 8:
            size, kind = struct.unpack(">I4s", head)
            size, read = (struct.unpack(">Q", file.read(8).rjust(8, b"\0"))[0], 16) if size == 1 else (size, 8)
            kinds.append(kind)
            if size < read:  # the last box, to the end of the file, or no box at all
                break
            file.seek(size - read, 1)
    return kinds[:1] == [b"ftyp"] and b"moov" not in kinds
