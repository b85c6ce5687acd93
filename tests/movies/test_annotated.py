"""Films with boxes, and cut to one person: each picture where and when it must be, with its sound."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from castsearch.movies import encoding
from castsearch.movies.annotated import _GREY, annotated, file_names, highlights
from castsearch.movies.appearances import Appearance, Film, FilmCast, SeenBox
from castsearch.movies.encoding import film_writer, sound
from castsearch.movies.footage import Frame
from castsearch.movies.opening import open_footage
from castsearch.movies.times import Stretch

RED, GREEN = (230, 25, 75), (60, 180, 75)


@dataclass
class Shown:
    seconds: float
    pixels: np.ndarray

    def rgb(self) -> np.ndarray:
        return self.pixels


@dataclass
class Fake:
    """Pictures of one grey each, the n-th ``2 n + 16``."""

    times: list[float]
    size: tuple[int, int] = (128, 96)
    path: Path = Path("none")
    name: str = "fake"
    rate: Fraction = Fraction(25)
    duration: float = 0
    stills: bool = False
    asked: list[float] = field(default_factory=list)

    def frames(self, start: float = 0) -> Iterator[Frame]:
        self.asked.append(start)
        for number, seconds in enumerate(self.times):
            if seconds >= start:
                yield Shown(seconds, np.full((self.size[1], self.size[0], 3), 2 * number + 16, np.uint8))


def box(seconds: float, *bbox: int) -> SeenBox:
    return SeenBox(seconds, bbox, None, None, "face")  # type: ignore[arg-type]


def appearance(name: str, start: float, end: float, *boxes: SeenBox) -> Appearance:
    return Appearance(name, Stretch(start, end), 1, 0.9, "face", boxes)


def cast_of(footage: Fake, *appearances: Appearance, people: tuple[str, ...] = ("Ann", "Bob")) -> FilmCast:
    duration = footage.times[-1] + float(1 / footage.rate)
    film = Film("fake", footage.path, footage.rate, duration, footage.size, (Stretch(0, duration),), footage.times)
    return FilmCast(film, people, appearances, dict.fromkeys(people, 0.9))


def decoded(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times and pictures of a film."""
    with av.open(str(path)) as container:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    return np.array([time for time, _ in frames]), np.stack([picture for _, picture in frames])


def length(path: Path) -> float:
    with av.open(str(path)) as container:
        (stream,) = container.streams.video
        return float(stream.duration * stream.time_base)


def test_pictures_keep_their_times_of_a_variable_rate(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.05, 0.2, 0.241, 1.0, 1.0417]
    footage = Fake(times)
    annotated(footage, cast_of(footage), (), tmp_path / "a.mp4")
    told, pictures = decoded(tmp_path / "a.mp4")
    assert np.abs(told - times).max() < 1 / 120_000
    assert np.abs(pictures.mean((1, 2, 3)) - (2 * np.arange(7) + 16)).max() < 1.5
    assert length(tmp_path / "a.mp4") == pytest.approx(1.0817, abs=1e-4)  # the last one is shown for a picture's time


@pytest.mark.parametrize("rate", ["24000/1001", "30000/1001", "25", "60000/1001"])
def test_a_constant_rate_stays_constant(tmp_path: Path, rate: str) -> None:
    times = [float(number / Fraction(rate)) for number in range(50)]
    footage = Fake(times, size=(32, 32), rate=Fraction(rate))
    annotated(footage, cast_of(footage), (), tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].average_rate == Fraction(rate)


def test_boxes_are_drawn_where_people_are(tmp_path: Path) -> None:
    footage = Fake([number / 10 for number in range(20)])
    cast = cast_of(
        footage,
        appearance("Ann", 0.2, 1.2, box(0.2, 10, 30, 30, 40), box(1.2, 60, 30, 30, 40)),
        appearance("Bob", 1.0, 1.5, box(1.1, 90, 20, 200, 60)),
    )
    unknown = [appearance("", 0.0, 0.5, box(0.0, 80, 50, 30, 40))]
    annotated(footage, cast, unknown, tmp_path / "a.mp4")
    _, pictures = decoded(tmp_path / "a.mp4")

    def near(number: int, x: int, y: int, colour: tuple[int, int, int]) -> bool:
        """Whether a picture has a colour there, as far as colours of half the size tell."""
        return bool(np.abs(pictures[number, y - 1 : y + 2, x - 1 : x + 2].astype(int) - colour).max(2).min() < 50)

    assert near(2, 11, 55, RED) and near(2, 39, 55, RED) and near(2, 25, 69, RED)
    assert near(7, 36, 55, RED) and near(7, 64, 55, RED)  # half way from one moment to the next
    assert not near(7, 11, 55, RED)
    assert not near(1, 11, 55, RED) and not near(12, 61, 55, RED)  # half-open
    assert near(10, 91, 60, GREEN) and near(14, 91, 60, GREEN)  # held before and after the one moment
    assert near(0, 81, 70, _GREY) and not near(5, 81, 70, _GREY)
    plain = np.abs(pictures[18].astype(int) - 52)
    assert plain.max() < 3


def test_names_stand_above_boxes_and_within_the_picture(tmp_path: Path) -> None:
    footage = Fake([0.0, 0.1])
    cast = cast_of(
        footage, appearance("Ann", 0, 0.2, box(0, 100, 40, 40, 40)), appearance("Bob", 0, 0.2, box(0, 5, 2, 30, 40))
    )
    annotated(footage, cast, (), tmp_path / "a.mp4")
    _, (picture, _) = decoded(tmp_path / "a.mp4")

    def share(rows: slice, columns: slice, colour: tuple[int, int, int]) -> float:
        return float((np.abs(picture[rows, columns].astype(int) - colour).max(2) < 60).mean())

    assert share(slice(26, 39), slice(104, 127), RED) > 0.4  # moved left, so that it is whole
    assert share(slice(4, 16), slice(8, 24), GREEN) > 0.4  # no room above: within


def test_odd_sizes_are_cut_to_even_ones(tmp_path: Path) -> None:
    footage = Fake([0.0, 0.1], size=(65, 49))
    annotated(footage, cast_of(footage), (), tmp_path / "a.mp4")
    assert decoded(tmp_path / "a.mp4")[1].shape == (2, 48, 64, 3)


def test_colours_are_kept(tmp_path: Path) -> None:
    footage = Fake([0.0, 0.1])
    cast = cast_of(footage, appearance("Ann", 0, 1, *(box(0, 0, 0, 128, 96),)))
    colour = np.array([200, 60, 30], np.uint8)
    footage.frames = lambda start=0: iter([Shown(t, np.full((96, 128, 3), colour)) for t in (0.0, 0.1)])  # type: ignore[method-assign]
    annotated(footage, dataclasses.replace(cast, appearances=()), (), tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0))
        shown = frame.reformat(format="rgb24", src_colorspace=av.video.reformatter.Colorspace.ITU709).to_ndarray()
        assert frame.colorspace == 1
    assert np.abs(shown.reshape(-1, 3).mean(0) - colour).max() < 4


def test_without_an_encoder_of_h264(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "_ENCODERS", encoding._ENCODERS[1:])
    times = [number * 1001 / 24000 for number in range(10)]
    footage = Fake(times)
    annotated(footage, cast_of(footage), (), tmp_path / "a.mp4")
    told, pictures = decoded(tmp_path / "a.mp4")
    assert np.abs(told - times).max() < 1 / 60_000
    assert np.abs(pictures.mean((1, 2, 3)) - (2 * np.arange(10) + 16)).max() < 2
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"


def test_highlights_are_cut_at_pictures(tmp_path: Path) -> None:
    footage = Fake([number / 25 for number in range(100)])
    cast = cast_of(
        footage,
        appearance("Ann", 0.4, 0.8),  # pictures 10 to 19
        appearance("Bob", 0.5, 1.0),
        appearance("Ann", 0.8, 1.0),  # the next shot, 20 to 24
        appearance("Ann", 2.0000004, 2.4000004),  # as read from a file: 50 to 59
        people=("Ann", "Bob", "Nobody"),
    )
    written = highlights(footage, cast, tmp_path)
    assert written == [tmp_path / "Ann.mp4", tmp_path / "Bob.mp4"]
    told, pictures = decoded(written[0])
    assert np.abs(told - np.arange(25) / 25).max() < 1e-4
    shown = (pictures.mean((1, 2, 3)) - 16) / 2
    assert np.abs(shown - [*range(10, 25), *range(50, 60)]).max() < 0.6
    assert length(written[0]) == pytest.approx(1.0, abs=1e-3)
    assert len(footage.asked) == 3  # stretches that touch are one


def test_highlights_of_times_that_a_file_rounded(tmp_path: Path) -> None:
    footage = Fake([number * 1001 / 24000 for number in range(60)], rate=Fraction(24000, 1001))
    rounded = [round(seconds, 6) for seconds in footage.times]
    for first in range(10, 16):
        cast = cast_of(footage, appearance("Ann", rounded[first], rounded[first + 7]))
        cast = dataclasses.replace(cast, film=dataclasses.replace(cast.film, times=rounded))
        (path,) = highlights(footage, cast, tmp_path)
        shown = (decoded(path)[1].mean((1, 2, 3)) - 16) / 2
        assert np.abs(shown - range(first, first + 7)).max() < 0.6


def test_pictures_of_one_moment_are_one(tmp_path: Path) -> None:
    footage = Fake([0.0, 0.04, 0.040001, 0.08])
    annotated(footage, cast_of(footage), (), tmp_path / "a.mp4")
    told, pictures = decoded(tmp_path / "a.mp4")
    assert told.tolist() == pytest.approx([0, 0.04, 0.08], abs=1e-5)
    assert pictures.mean((1, 2, 3)).tolist() == pytest.approx([16, 20, 22], abs=1.5)


def test_what_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    footage = Fake([0.0, 0.1])
    (tmp_path / "a.mp4").write_bytes(b"old")

    def broken(start: float = 0) -> Iterator[Frame]:
        yield Shown(0.0, np.zeros((96, 128, 3), np.uint8))
        raise RuntimeError("enough")

    cast = cast_of(footage)
    footage.frames = broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="enough"):
        annotated(footage, cast, (), tmp_path / "a.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == b"old"


def test_names_of_files() -> None:
    names = ["joey", "JOEY", "a/b\\c", "../x", "CON", "nul.txt", "", "שלום", "n" * 300, "q?*", "tab\there."]
    given = list(file_names(names).values())
    assert given == [
        *("joey", "JOEY (2)", "a_b_c", "_x", "CON_", "nul.txt_", "_", "שלום", "n" * 80, "q__", "tab here"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of 25 pictures, whose times begin at 1.4 s; the sound is a tone a second: 300, 600 and 1200 Hz."""
    path = tmp_path_factory.mktemp("tones") / "tones.mkv"
    rate = 44_100
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"bf": "0"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("aac", rate=rate, layout="mono")
        for number in range(75):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 3 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number + 35, Fraction(1, 25)
            container.mux(video.encode(frame))
            time = np.arange(number * rate // 25, (number + 1) * rate // 25) / rate
            wave = 0.5 * np.sin(2 * np.pi * 300 * 2 ** np.floor(time) * time)[None].astype(np.float32)
            block = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            block.sample_rate, block.time_base = rate, Fraction(1, rate)
            block.pts = number * rate // 25 + int(1.4 * rate)
            container.mux(audio.encode(block))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


def pitch(samples: np.ndarray) -> float:
    """Hertz of the loudest tone in (n,) samples of 48,000 a second."""
    loud = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(loud.argmax() * 48_000 / len(samples))


def test_sound_is_cut_to_the_sample(tones: Path) -> None:
    stretches = [Stretch(2.0, 2.5), Stretch(0.25, 0.75), Stretch(0.9, 1.1)]
    samples = np.concatenate(list(sound(tones, stretches)), axis=1)
    assert samples.shape == (1, 57_600)
    assert pitch(samples[0, 1000:23_000]) == pytest.approx(1200, abs=5)
    assert pitch(samples[0, 25_000:47_000]) == pytest.approx(300, abs=5)
    assert pitch(samples[0, 48_000:52_000]) == pytest.approx(300, abs=13)
    assert pitch(samples[0, 53_600:57_600]) == pytest.approx(600, abs=13)
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.03)


def loudness(path: Path) -> list[float]:
    """Of each channel, the root of the mean square."""
    with av.open(str(path)) as container:
        samples = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    return np.sqrt((samples[:, 8_000:40_000] ** 2).mean(axis=1)).tolist()


@pytest.mark.parametrize(("layout", "written"), [("mono", "mono"), ("stereo", "stereo"), ("5.1", "5.1"), ("7.1", None)])
def test_channels_stay_as_they_are_and_as_loud(tmp_path: Path, layout: str, written: str | None) -> None:
    """Each channel half as loud as the one before; of layouts that the encoder does not take two channels are made."""
    channels, rate = av.AudioLayout(layout).nb_channels, 48_000
    with av.open(str(tmp_path / "in.mov"), "w") as container:
        video, audio = container.add_stream("libx264", rate=25), container.add_stream("pcm_s16le", rate=rate)
        video.width, video.height, video.pix_fmt, audio.layout = 64, 48, "yuv420p", layout
        for number in range(25):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 8 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame))
        wave = np.sin(2 * np.pi * 80 * np.arange(rate) / rate) * 0.5 ** np.arange(1, channels + 1)[:, None]
        block = av.AudioFrame.from_ndarray(
            (32_767 * wave.T).reshape(1, -1).astype(np.int16), format="s16", layout=layout
        )
        block.sample_rate, block.time_base, block.pts = rate, Fraction(1, rate), 0
        for stream, last in ((audio, block), (audio, None), (video, None)):
            container.mux(stream.encode(last))
    with film_writer(tmp_path / "out.mp4", Fraction(25), (64, 48), tmp_path / "in.mov", [Stretch(0, 1)]) as writer:
        writer.add(np.zeros((48, 64, 3), np.uint8), 0)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.audio[0].layout.name == (written or "stereo")
    if written is not None:
        assert loudness(tmp_path / "out.mp4") == pytest.approx((0.5 ** np.arange(1.5, channels + 1)).tolist(), rel=0.1)


def broadcast(layout: str, start: int) -> bytes:
    """Two seconds of a transport stream with a tone."""
    file, rate, channels = io.BytesIO(), 48_000, av.AudioLayout(layout).nb_channels
    with av.open(file, "w", format="mpegts") as container:
        video = container.add_stream("mpeg2video", rate=25)
        audio = container.add_stream("ac3", rate=rate, layout=layout)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = 25 * start + number, Fraction(1, 25)
            container.mux(video.encode(frame))
            tone = 0.5 * np.sin(2 * np.pi * 300 * np.arange(1920) / rate)
            block = av.AudioFrame.from_ndarray(np.tile(tone.astype(np.float32), (channels, 1)), "fltp", layout)
            block.sample_rate, block.time_base, block.pts = rate, Fraction(1, rate), rate * start + 1920 * number
            container.mux(audio.encode(block))
        for stream in (video, audio):
            container.mux(stream.encode(None))
    return file.getvalue()


def test_sound_whose_channels_change_midway(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_bytes(broadcast("stereo", 0) + broadcast("mono", 2))
    samples = np.concatenate(list(sound(tmp_path / "a.ts", [Stretch(0, 4)])), axis=1)
    assert samples.shape == (2, 192_000)
    assert np.abs(samples[:, 10_000:80_000]).max() == pytest.approx(0.5, abs=0.05)
    assert np.abs(samples[:, 110_000:180_000]).max() == pytest.approx(0.5 / 2**0.5, abs=0.05)  # one channel on two


def test_sound_beyond_the_end_is_silent(tones: Path) -> None:
    samples = np.concatenate(list(sound(tones, [Stretch(2.5, 3.5), Stretch(10, 11)])), axis=1)
    assert samples.shape == (1, 96_000)
    assert np.abs(samples[:, :20_000]).max() > 0.3
    assert np.abs(samples[:, 27_000:]).max() < 0.01


def test_damaged_sound_is_as_long(tones: Path, tmp_path: Path) -> None:
    data = bytearray(tones.read_bytes())
    third = len(data) // 3
    data[third : 2 * third] = bytes(third)
    (tmp_path / "damaged.mkv").write_bytes(data)
    samples = np.concatenate(list(sound(tmp_path / "damaged.mkv", [Stretch(0, 3)])), axis=1)
    assert samples.shape == (1, 144_000)
    assert pitch(samples[0, 5000:30_000]) == pytest.approx(300, abs=5)


def test_films_have_their_sound(tones: Path, tmp_path: Path) -> None:
    footage = open_footage(tones)
    times = [frame.seconds for frame in footage.frames()]
    film = Film("tones", tones, Fraction(25), 3.0, (64, 48), (Stretch(0, 3),), times)
    cast = FilmCast(film, ("Ann",), (appearance("Ann", 1.2, 1.6), appearance("Ann", 2.2, 2.6)), {"Ann": 1})
    annotated(footage, cast, (), tmp_path / "a.mp4")
    (path,) = highlights(footage, cast, tmp_path)
    whole, part = (np.concatenate(list(sound(file, [Stretch(0, 3)])), axis=1)[0] for file in (tmp_path / "a.mp4", path))
    assert [round(pitch(whole[at + 5000 : at + 40_000])) for at in (0, 48_000, 96_000)] == [
        *(pytest.approx(tone, abs=5) for tone in (300, 600, 1200))
    ]
    assert pitch(part[1000:18_000]) == pytest.approx(600, abs=5)
    assert pitch(part[20_500:37_500]) == pytest.approx(1200, abs=5)
    told, pictures = decoded(path)
    assert len(told) == 20
    assert np.abs(pictures.mean((1, 2, 3)) / 3 - [*range(30, 40), *range(55, 65)]).max() < 1.2


def test_a_real_film_is_cut_exactly(testdata: Path, tmp_path: Path) -> None:
    """Titanic's clip, 23.976 pictures a second: the pictures of the cut are the film's own, none before or after."""
    footage = open_footage(testdata / "data/clips/titanic/titanic.mp4")
    pictures = {frame.seconds: frame.rgb() for frame in islice(footage.frames(), 255)}
    times = list(pictures)
    size = pictures[0.0].shape[1], pictures[0.0].shape[0]
    film = Film("titanic", footage.path, footage.rate, times[-1] + 0.0417, size, (Stretch(0, 20),), times)
    one = appearance("Rose", times[217], times[250])
    (path,) = highlights(footage, FilmCast(film, ("Rose",), (one,), {"Rose": 1}), tmp_path)
    told, cut = decoded(path)
    assert np.abs(told - (np.array(times[217:250]) - times[217])).max() < 1e-4
    height, width = cut.shape[1:3]
    wanted = np.stack([pictures[time][:height, :width] for time in times[215:252]]).astype(int)
    best = [int(np.abs(wanted - picture).mean((1, 2, 3)).argmin()) + 215 for picture in cut]
    assert best == list(range(217, 250))
