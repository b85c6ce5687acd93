"""Interlaced frames made whole pictures."""

from __future__ import annotations

from collections.abc import Iterator

from av import VideoFrame
from av.error import FFmpegError
from av.filter import Graph


class Deinterlacer:
    """FFmpeg's bwdif: one picture out for each frame in, and only those that say so are changed.

    It looks at the frames before and after, so that a picture comes out when the next frame goes in. Until the first
    interlaced frame comes it stands aside.
    """

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._shape: tuple[int, int, str] | None = None
        self._before: VideoFrame | None = None
        self._owed = 0  # pictures that come out though they were given out before

    def __call__(self, frame: VideoFrame | None) -> Iterator[VideoFrame]:
        """The pictures that are ready when this frame is there; None after the last one, and the rest comes."""
        if frame is None or (self._graph is not None and _shape(frame) != self._shape):
            yield from self._rest()
        if frame is None:
            return
        if self._graph is None:
            if not frame.interlaced_frame:
                self._before = frame
                yield frame
                return
            self._open(frame)
        yield from self._through(frame)

    def _open(self, frame: VideoFrame) -> None:
        self._shape = _shape(frame)
        graph = Graph()
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
        )
        graph.link_nodes(source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink"))
        graph.configure()
        self._graph = graph
        if self._before is not None and _shape(self._before) == self._shape:
            graph.push(self._before)  # it was given out already, and is here for its neighbour's sake
            self._owed = 1
        self._before = None

    def _through(self, frame: VideoFrame | None) -> Iterator[VideoFrame]:
        assert self._graph is not None
        self._graph.push(frame)
        while True:
            try:
                picture = self._graph.pull()
            except (FFmpegError, EOFError):  # it wants more, or is empty
                return
            assert isinstance(picture, VideoFrame)
            if self._owed:
                self._owed -= 1
            else:
                yield picture

    def _rest(self) -> Iterator[VideoFrame]:
        if self._graph is not None:
            yield from self._through(None)
        self._graph = None


def _shape(frame: VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name
