"""Videos, decoded by FFmpeg through PyAV: every picture with its exact time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import EOFError as NoMore
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from castsearch.errors import one_line
from castsearch.movies.containers import no_video, not_moving, opened, unopened
from castsearch.movies.damage import Account
from castsearch.movies.errors import MovieError
from castsearch.movies.footage import Box, Tell, untold
from castsearch.movies.interlace import Deinterlacer
from castsearch.movies.screen import Screen
from castsearch.paths import open_plain, shortened, unreadable

LONGEST_SIDE, LARGEST = 16_384, 100_000_000  # pixels; no film has more, and a damaged head may say anything
_USUAL_RATE = Fraction(25)
_USUAL_BASE = Fraction(1, 90_000)  # seconds, where the container tells no unit of time
_HIGHEST_RATE = 1000  # pictures a second; more is a clock's rate that some containers give for the pictures'
_SET_BACK = 12  # pictures in a row that are earlier than one before them: the clock was set back, they are not stray
_BACK = (2.0, 15.0, 60.0)  # seconds before the start to seek to, in turn, until a picture before it can be decoded
_SURE = 1.0  # seconds to decode before the start: what leads an open group of pictures is past by then
_MOST_ERRORS = 100  # of reading, one after another, until a file counts as ended


@dataclass(frozen=True)
class VideoPicture:
    """One picture of a video; see ``footage.Frame``."""

    seconds: float
    lasts: float
    _frame: av.VideoFrame
    _screen: Screen

    def rgb(self) -> np.ndarray:
        """(h, w, 3) uint8 RGB, contiguous."""
        return self._screen.rgb(self._frame)

    def small_bgr(self, height: int, width: int) -> np.ndarray:
        """(height, width, 3) uint8 BGR."""
        return self._screen.small_bgr(self._frame, height, width)


class VideoFile:
    """A video; see ``footage.Footage``.

    The first stream of pictures counts that is no cover. Pictures are deinterlaced, turned upright, their pixels made
    square, high dynamic range brought to 8 bits. A picture that is not later than the one before is left out. Where
    twelve in a row are not, the clock was set back, and time goes on from the last picture that was shown.

    Args:
        path: of the file.
        rate: pictures a second where the container tells no times.

    Raises:
        MovieError: it is no video, or none of its pictures can be decoded.
    """

    stills = False
    told_shots = None

    def __init__(self, path: str | os.PathLike[str], rate: Fraction | None = None) -> None:
        self.path = Path(path)
        self.name = self.path.stem
        self._sought = True
        with self._opened() as (container, stream):
            self.rate = _rate(stream, rate)
            self.time_base = stream.time_base or _USUAL_BASE
            told = (part.metadata.get("timecode") for part in (container, *container.streams))
            self.timecode = next(filter(None, told), None)
            first = self._first(container, stream)
            self._origin: int | None = first.pts
            self._screen = Screen.of(first, float(stream.sample_aspect_ratio or 1))
            self.duration = self._claimed(container, stream)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the pictures."""
        return self._screen.size

    def without_bars(self, box: Box, sought: bool = True) -> VideoFile:
        """The same with each picture cut to ``box``; see ``footage.Footage``."""
        other = object.__new__(VideoFile)
        other.__dict__.update(self.__dict__, _screen=self._screen.cut(box), _sought=sought)
        return other

    def frames(self, start: float = 0, tell: Tell = untold) -> Iterator[VideoPicture]:
        """The pictures from ``start`` seconds on; see ``footage.Footage``."""
        if start > 0 and self._sought and self._origin is not None:
            for back in _BACK:
                if start <= back:
                    break
                pictures = self._pictures(start - back, tell)
                first = next(pictures, None)
                if first is not None and first.seconds <= start - _SURE:
                    yield from (picture for picture in pictures if picture.seconds >= start)
                    return
                pictures.close()
        yield from (picture for picture in self._pictures(None, tell) if picture.seconds >= start)

    def _pictures(self, seek: float | None, tell: Tell) -> Generator[VideoPicture]:
        """All pictures, or those from some key frame on; the deinterlacer gives them a frame late."""
        with self._opened() as (container, stream):
            if seek is not None and not self._seek(container, stream, seek):
                return
            whole, waiting = Deinterlacer(), deque[tuple[float, float]]()
            for frame, seconds, lasts in self._timed(container, stream, seek is not None, tell):
                waiting.append((seconds, lasts))
                for picture in whole(frame):
                    yield VideoPicture(*waiting.popleft(), picture, self._screen)
            for picture in whole(None):
                yield VideoPicture(*waiting.popleft(), picture, self._screen)

    def _timed(
        self, container: InputContainer, stream: VideoStream, after_seek: bool, tell: Tell
    ) -> Iterator[tuple[av.VideoFrame, float, float]]:
        """Frames with the seconds at which they are shown, strictly ascending, and for how long."""
        step = float(1 / self.rate)
        account: Account | None = None if after_seek else Account(tell, step)
        clock = _Clock(self._origin, stream.time_base or _USUAL_BASE, self.rate)
        for frame in self._decoded(container, stream):
            if isinstance(frame, str):
                if account is not None:
                    account.error(frame)
                continue
            if account is None and not frame.key_frame:
                continue
            seconds = clock(frame)
            if seconds is None:
                continue
            if account is None:
                account = Account(tell, step, seconds)
            if clock.set_back:
                account.error("the clock is set back")
                clock.set_back = False
            account.picture(seconds)
            yield frame, seconds, float((frame.duration or 0) * clock.unit)
        if account is not None:
            account.finish(self.duration)

    def _decoded(self, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame | str]:
        """Frames in the order they are shown, and in between what went wrong."""
        for packet in _packets(container, stream):
            if isinstance(packet, str):
                yield packet
                continue
            try:
                frames = packet.decode() if packet is not None else stream.decode(None)
            except NoMore:
                return
            except FFmpegError as error:
                yield _words(error)
                continue
            for frame in frames:
                if frame.is_corrupt:
                    yield "damaged pictures"
                elif isinstance(frame, av.VideoFrame):
                    self._check_size(frame.width, frame.height)
                    yield frame

    def _first(self, container: InputContainer, stream: VideoStream) -> av.VideoFrame:
        trouble = None
        for frame in self._decoded(container, stream):
            if not isinstance(frame, str):
                return frame
            trouble = trouble or frame
        reason = "there are none" if trouble is None else trouble
        raise MovieError(f"{shortened(self.path)}: none of its pictures can be decoded ({reason}); take another copy")

    def _seek(self, container: InputContainer, stream: VideoStream, seconds: float) -> bool:
        assert self._origin is not None and stream.time_base is not None
        try:
            container.seek(self._origin + int(seconds / stream.time_base), stream=stream, backward=True)
        except FFmpegError:  # a container that cannot
            return False
        return True

    def _claimed(self, container: InputContainer, stream: VideoStream) -> float:
        """Seconds from the first picture's time to the end that the container names; 0 where it names none."""
        if stream.duration and stream.time_base:
            begin = stream.start_time or 0
            late = 0 if self._origin is None else max(0, self._origin - begin)  # what could not be decoded at first
            return float(max(0, stream.duration - late) * stream.time_base)
        # Matroska's counts from 0, others' from the start: the shorter, so that nobody looks for what is not there.
        return max(0, (container.duration or 0) - max(0, container.start_time or 0)) / av.time_base

    def _check_size(self, width: int, height: int) -> None:
        if max(width, height) > LONGEST_SIDE or width * height > LARGEST:
            raise MovieError(
                f"{shortened(self.path)}: its pictures have {width} x {height} pixels, more than films have; "
                "the file is damaged, or wants scaling down first"
            )

    @contextmanager
    def _opened(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        container = self._open()
        with container:
            if (reason := not_moving(container)) is not None:
                raise MovieError(f"{shortened(self.path)}: {reason}")
            stream = next((s for s in container.streams.video if Disposition.attached_pic not in s.disposition), None)
            if stream is None or stream.codec_context is None:
                raise MovieError(f"{shortened(self.path)}: {no_video(container)}")
            self._check_size(stream.codec_context.width, stream.codec_context.height)
            stream.thread_type = "AUTO"
            yield container, stream

    def _open(self) -> InputContainer:
        try:
            with open_plain(self.path) as file:
                head = file.read(1)
        except OSError as error:
            raise MovieError(unreadable(self.path, error, "name the video")) from None
        if not head:
            raise MovieError(f"{shortened(self.path)}: is empty; copy it again")
        try:
            return opened(self.path)
        except (FFmpegError, ValueError) as error:
            raise MovieError(f"{shortened(self.path)}: {unopened(self.path, error)}") from None


class _Clock:
    """The time of each frame: its timestamp's, from the first's on; counted where the container tells none.

    Attributes:
        unit: seconds of a timestamp.
        set_back: the container's clock was set back before the last frame.
    """

    def __init__(self, origin: int | None, unit: Fraction, rate: Fraction) -> None:
        self.unit, self.set_back = unit, False
        self._origin, self._step = origin, 1 / rate
        self._count = self._early = 0
        self._ahead = Fraction(0)
        self._last: Fraction | None = None

    def __call__(self, frame: av.VideoFrame) -> float | None:
        """Seconds; None for a frame that is out of order, and is not to be shown."""
        time = self._told(frame)
        self._count += 1
        if self._last is not None and time <= self._last:
            self._early += 1
            if self._early < _SET_BACK:
                return None
            self.set_back = True
            self._ahead += self._last + self._step - time
            time = self._last + self._step
        if time < 0:
            return None
        self._last, self._early = time, 0
        return float(time)

    def _told(self, frame: av.VideoFrame) -> Fraction:
        if self._origin is None:
            return self._count * self._step
        stamp = frame.pts if frame.pts is not None else frame.dts
        if stamp is None:
            return Fraction(0) if self._last is None else self._last + self._step
        return (stamp - self._origin) * self.unit + self._ahead


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[av.Packet | str | None]:
    """Packets of a stream, None at the end, and in between what went wrong."""
    errors = 0
    packets = container.demux(stream)
    while errors < _MOST_ERRORS:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except FFmpegError as error:
            errors += 1
            yield _words(error)
            packets = container.demux(stream)
            continue
        errors = 0
        yield packet
    yield None


def _words(error: FFmpegError) -> str:
    return "damaged data" if isinstance(error, av.error.InvalidDataError) else one_line(error.strerror or error)


def _rate(stream: VideoStream, wanted: Fraction | None) -> Fraction:
    """Pictures a second."""
    told = (stream.average_rate, stream.guessed_rate, stream.base_rate, wanted, _USUAL_RATE)
    return next(rate for rate in told if rate is not None and 0 < rate <= _HIGHEST_RATE)
