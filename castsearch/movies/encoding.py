"""Films written: pictures at their own times, with the sound of the footage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from castsearch.movies.times import Stretch
from castsearch.stagefiles import atomic_write

if TYPE_CHECKING:
    import av.container
    import av.video.stream

# Encoders, the better first: ticks of a second in which they tell times (all usual rates divide the first; MPEG-4
# takes no more than 65,535), and settings: good pictures, fast; without pictures out of order, by which MP4 would take
# the length of a film of variable rate for another.
_ENCODERS: tuple[tuple[str, int, dict[str, str]], ...] = (
    ("libx264", 120_000, {"preset": "veryfast", "crf": "20", "bf": "0"}),
    ("mpeg4", 60_000, {"qscale": "4", "flags": "+qscale"}),
)
_BT709 = 1  # of colours, as the standard numbers it
_SAMPLES = 48_000  # of sound a second
# Layouts of its channels that the encoder takes; of others two channels are made.
_LAYOUTS = ("mono", "stereo", "2.1", "3.0", "quad", "4.0", "5.0", "5.0(side)", "5.1", "5.1(side)")
_JITTER = 0.02  # seconds that packets of sound may seem to lie apart, or overlap, by rounded times
_LONGEST = 3600  # seconds that one picture is encoded for: MP4 has 32 bits for the ticks
_AHEAD = 0.5  # seconds that sound is written ahead of the pictures


class FilmWriter:
    """Takes pictures one by one; each is shown until the next one, the last one until the end."""

    def __init__(self, container: av.container.OutputContainer, rate: Fraction, size: tuple[int, int]) -> None:
        import av

        codec, self._ticks, options = next(one for one in _ENCODERS if one[0] in av.codecs_available)
        self._container = container
        self._stream: av.video.stream.VideoStream = container.add_stream(codec, rate=rate, options=options)  # type: ignore[assignment]
        self._stream.width, self._stream.height = (max(2, side // 2 * 2) for side in size)
        self._stream.pix_fmt = "yuv420p"
        self._size = size[::-1]
        context = self._stream.codec_context
        context.time_base = Fraction(1, self._ticks)
        context.color_primaries = context.color_trc = context.colorspace = _BT709
        self._waiting: tuple[av.VideoFrame, int] | None = None
        self._durations: dict[int, int] = {}
        self._sound: Iterator[np.ndarray] = iter(())
        self._sound_samples = 0

    def with_sound(self, sound: Iterator[np.ndarray], layout: str) -> None:
        """Take sound, too: blocks of (channels, n) float32, and the layout of the channels."""
        self._sound, self._layout = sound, layout
        self._sound_stream = self._container.add_stream("aac", rate=_SAMPLES, layout=layout)

    def add(self, picture: np.ndarray, seconds: float) -> None:
        """The next picture.

        Args:
            picture: (h, w, 3) uint8 RGB.
            seconds: when it is shown, after the one before.
        """
        import av
        from av.video.reformatter import ColorRange, Colorspace

        height, width = self._stream.height, self._stream.width
        if picture.shape[:2] == self._size:  # of an odd size, a row or column goes; of another, it is scaled
            picture = picture[:height, :width]
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(
            width, height, "yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        ticks = round(seconds * self._ticks)
        frame.pts, frame.time_base = ticks, Fraction(1, self._ticks)
        self._show_until(ticks)
        self._waiting = frame, ticks

    def finish(self, seconds: float) -> None:
        """No picture follows; the last one is shown until then."""
        self._show_until(round(seconds * self._ticks))
        self._mux(self._stream.encode(None))
        self._write_sound(float("inf"))

    def _show_until(self, end: int) -> None:
        """Encode the picture that waits, now that the next one's time is known."""
        if self._waiting is None:
            return
        (frame, start), self._waiting = self._waiting, None
        if end <= start:  # rounded to the same tick: the later one is shown
            return
        for begin in range(start, end, _LONGEST * self._ticks):
            frame.pts = begin
            self._durations[begin] = min(end - begin, _LONGEST * self._ticks)
            self._mux(self._stream.encode(frame))
            self._write_sound(begin / self._ticks + _AHEAD)

    def _mux(self, packets: Sequence[av.Packet]) -> None:
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts or 0, packet.duration or 0)
            self._container.mux(packet)

    def _write_sound(self, until: float) -> None:
        import av

        while self._sound_samples < until * _SAMPLES:
            block = next(self._sound, None)
            if block is None:
                if until == float("inf") and self._sound_samples:
                    self._container.mux(self._sound_stream.encode(None))
                return
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=self._layout)
            frame.sample_rate, frame.time_base, frame.pts = _SAMPLES, Fraction(1, _SAMPLES), self._sound_samples
            self._sound_samples += block.shape[1]
            self._container.mux(self._sound_stream.encode(frame))


@contextmanager
def film_writer(
    path: Path, rate: Fraction, size: tuple[int, int], sound_of: Path, stretches: Sequence[Stretch]
) -> Iterator[FilmWriter]:
    """Write an MP4, which takes its place when the block ends.

    Args:
        path: of the MP4.
        rate: pictures a second, about.
        size: (width, height) of the pictures; sides are cut to even numbers.
        sound_of: the film whose sound to take; without sound the MP4 has none.
        stretches: which parts of the sound, one after the other.

    Raises:
        StageFileError: there is no writing there.
    """
    import av

    with atomic_write(path, unless_same=True) as file, av.open(file, "w", format="mp4") as container:
        writer = FilmWriter(container, rate, size)
        if (layout := sound_layout(sound_of)) is not None:
            writer.with_sound(sound(sound_of, stretches), layout)
        yield writer
        writer.finish(sum(stretch.duration for stretch in stretches))


def sound_layout(path: Path) -> str | None:
    """How the channels of a film's sound lie as ``sound`` gives them; None without sound. What is no film has none."""
    import av

    from castsearch.movies.containers import opened

    try:
        with opened(path) as container:
            if not container.streams.audio or _pictures(container) is None:
                return None
            layout = container.streams.audio[0].layout
    except (OSError, av.FFmpegError):
        return None
    if layout.nb_channels == 1:
        return "mono"
    return layout.name if layout.name in _LAYOUTS else "stereo"


def sound(path: Path, stretches: Sequence[Stretch]) -> Iterator[np.ndarray]:
    """The sound of stretches of a film, one after the other: blocks of (channels, n) float32, 48,000 samples a second.

    Channels lie as ``sound_layout`` says. Together the blocks are as long as the stretches, to the sample; where there
    is no sound, or it is damaged, they are silent. Time counts from the first picture, as everywhere.
    """
    beginning, told, given = _beginning(path), 0.0, 0
    layout = sound_layout(path) or "stereo"
    for stretch in stretches:
        told += stretch.duration
        length = round(told * _SAMPLES) - given
        for block in _stretch_of_sound(path, layout, beginning + stretch.start, length):
            given += block.shape[1]
            yield block


def _pictures(container: av.container.InputContainer) -> av.video.stream.VideoStream | None:
    """The first stream of pictures that is no cover."""
    from av.stream import Disposition

    return next((one for one in container.streams.video if Disposition.attached_pic not in one.disposition), None)


def _beginning(path: Path) -> float:
    """Seconds of the container's time at the first picture that can be decoded."""
    import av

    from castsearch.movies.containers import opened

    with opened(path) as container:
        if (stream := _pictures(container)) is not None:
            for packet in container.demux(stream):
                with suppress(av.FFmpegError):
                    for frame in stream.decode(packet):
                        return float(frame.time or 0)
    return 0.0


def _stretch_of_sound(path: Path, layout: str, start: float, length: int) -> Iterator[np.ndarray]:
    """``length`` samples of sound from ``start`` seconds of the container's time on."""
    import av

    channels, given = av.AudioLayout(layout).nb_channels, 0
    for at, samples in _decoded(path, layout, start):
        behind = round((at - start) * _SAMPLES) - given
        if abs(behind) > _JITTER * _SAMPLES or not given:
            if behind > 0:
                behind = min(behind, length - given)
                yield np.zeros((channels, behind), np.float32)
                given += behind
            samples = samples[:, max(0, -behind) :]
        samples = samples[:, : length - given]
        if samples.shape[1]:
            yield samples
            given += samples.shape[1]
        if given >= length:
            return
    yield np.zeros((channels, length - given), np.float32)


def _decoded(path: Path, layout: str, start: float) -> Iterator[tuple[float, np.ndarray]]:
    """Blocks of sound and their times, from a little before ``start`` on, until the sound ends or cannot be decoded."""
    import av

    from castsearch.movies.containers import opened

    resampler, taken = av.AudioResampler("fltp", layout, _SAMPLES), None
    with suppress(av.FFmpegError), opened(path) as container:
        with suppress(av.FFmpegError):  # what cannot seek is read from its beginning
            container.seek(max(0, int((start - 0.2) * av.time_base)))
        for frame in container.decode(audio=0):
            if float(frame.time or 0) + frame.samples / frame.sample_rate < start - 0.1:
                continue
            kind = frame.format.name, frame.layout.name, frame.sample_rate
            if kind != taken:  # broadcasts change theirs midway, which a resampler does not take
                resampler, taken = av.AudioResampler("fltp", layout, _SAMPLES), kind
            for block in resampler.resample(frame):
                yield float(block.time or 0), block.to_ndarray()
        for block in resampler.resample(None):
            yield float(block.time or 0), block.to_ndarray()
