"""Videos: every picture once, at its time, upright, wherever decoding begins, whatever is damaged."""

from __future__ import annotations

import subprocess
import sys
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from castsearch.movies.errors import MovieError
from castsearch.movies.hdr import to_sdr
from castsearch.movies.opening import open_footage
from castsearch.movies.survey import survey

from .clips import number_of, numbered, write_video

OPEN_GROUPS = {"bf": "3", "g": "12", "x264-params": "open-gop=1:b-pyramid=normal:scenecut=0"}
CONTAINERS: dict[str, dict[str, Any]] = {
    "b-frames.mp4": {"bf": "2", "g": "12"},
    "open.mp4": OPEN_GROUPS,
    "open.ts": OPEN_GROUPS,
    "hevc.mkv": {"codec": "libx265", "x265-params": "open-gop=1:keyint=12:bframes=3:log-level=none"},
    "long group.ts": {"bf": "2", "g": "125"},
    "mpeg2.mpg": {"codec": "mpeg2video", "bf": "2", "g": "12", "q": "3"},
    "no pts.avi": {"codec": "mpeg4", "bf": "2", "g": "12", "q": "3"},
    "no times.h264": {"bf": "2", "g": "12"},
    "vp9.webm": {"codec": "libvpx-vp9", "deadline": "realtime", "cpu-used": "8"},
    "late.mkv": {"stamps": [5000 + 40 * i for i in range(150)], "unit": Fraction(1, 1000), "bf": "2", "g": "12"},
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_picture_comes_at_its_time_wherever_decoding_begins(tmp_path: Path, name: str) -> None:
    footage = open_footage(write_video(tmp_path / name, numbered(150), **CONTAINERS[name]))
    told: list[Any] = []
    pictures = [(picture.seconds, picture.rgb()) for picture in footage.frames(tell=told.append)]
    assert [number_of(rgb) for _, rgb in pictures] == list(range(150))
    assert [seconds for seconds, _ in pictures] == pytest.approx(np.arange(150) / 25, abs=1e-9)
    assert footage.rate == 25 and not told
    for start in (0.05, 2.24, 3.0, 5.33):
        expected = [(seconds, rgb) for seconds, rgb in pictures if seconds >= start]
        found = [(picture.seconds, picture.rgb()) for picture in footage.frames(start)]
        assert [seconds for seconds, _ in found] == [seconds for seconds, _ in expected]
        assert all(np.array_equal(one, other) for (_, one), (_, other) in zip(found, expected, strict=True))


def test_a_late_start_is_sought_and_not_decoded_up_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    footage = open_footage(write_video(tmp_path / "a.mp4", numbered(400), bf="2", g="12"))
    decoded = []
    check = footage._check_size  # type: ignore[attr-defined]
    monkeypatch.setattr(footage, "_check_size", lambda *size: (decoded.append(size), check(*size)))
    assert next(footage.frames(15.0)).seconds == 15.0
    assert len(decoded) < 100
    again = footage.without_bars((0, 0, 128, 96), sought=False)
    assert number_of(next(again.frames(15.0)).rgb()) == 375


def test_a_variable_rate_keeps_each_time(tmp_path: Path) -> None:
    stamps = [40 * i + 3 * (i % 7) + 500 * (i > 30) for i in range(60)]
    path = write_video(tmp_path / "a.mkv", numbered(60), stamps=stamps, unit=Fraction(1, 1000), bf="2", g="12")
    assert [picture.seconds for picture in open_footage(path).frames()] == [stamp / 1000 for stamp in stamps]


def test_a_rate_of_ntsc_is_exact(tmp_path: Path) -> None:
    footage = open_footage(write_video(tmp_path / "a.mp4", numbered(30), rate=Fraction(30000, 1001)))
    assert footage.rate == Fraction(30000, 1001)
    assert [picture.seconds for picture in footage.frames()] == [float(i * Fraction(1001, 30000)) for i in range(30)]


def test_a_rate_may_be_given_where_the_stream_tells_no_times(tmp_path: Path) -> None:
    """The container's demuxer makes up a rate of its own, which counts; see ``_rate``."""
    footage = open_footage(write_video(tmp_path / "a.h264", numbered(30), rate=10))
    assert [picture.seconds for picture in footage.frames()][:3] == pytest.approx(
        [0, 1 / footage.rate, 2 / footage.rate]
    )


# --- upright, square, whole ---

CORNERS = np.full((96, 128, 3), 60, dtype=np.uint8)
CORNERS[:30, :40], CORNERS[:30, -40:], CORNERS[-30:, :40] = (230, 30, 30), (30, 230, 30), (30, 30, 230)
ONE, UNIT = 1 << 16, 1 << 30
TURNED = {
    "upright": ({}, np.rot90(CORNERS, 0)),
    "90": ({"turned": 90}, np.rot90(CORNERS)),
    "180": ({"turned": 180}, np.rot90(CORNERS, 2)),
    "-90": ({"turned": -90}, np.rot90(CORNERS, -1)),
    "mirrored": ({"matrix": [-ONE, 0, 0, 0, ONE, 0, 128 * ONE, 0, UNIT]}, CORNERS[:, ::-1]),
    "transposed": ({"matrix": [0, ONE, 0, ONE, 0, 0, 0, 0, UNIT]}, CORNERS.swapaxes(0, 1)),
}


@pytest.mark.parametrize("how", TURNED)
def test_pictures_are_turned_upright(tmp_path: Path, how: str) -> None:
    told, expected = TURNED[how]
    footage = open_footage(write_video(tmp_path / "a.mp4", [CORNERS] * 3, **told))
    picture = next(footage.frames())
    assert footage.size == expected.shape[1::-1]
    assert picture.rgb().flags.c_contiguous
    assert np.abs(picture.rgb().astype(int) - expected).mean() < 4
    small = picture.small_bgr(24, 32)[..., ::-1].astype(int)
    height, width = expected.shape[:2]
    for y, x in ((1, 1), (1, 30), (22, 1), (22, 30)):
        assert np.abs(small[y, x] - expected[y * height // 24, x * width // 32]).max() < 30


@pytest.mark.parametrize(("shape", "size"), [("2/1", (256, 96)), ("1/2", (128, 192)), ("640/639", (128, 96))])
def test_oblong_pixels_are_made_square(tmp_path: Path, shape: str, size: tuple[int, int]) -> None:
    footage = open_footage(write_video(tmp_path / "a.mp4", [CORNERS] * 3, **{"x264-params": f"sar={shape}"}))
    assert footage.size == size
    assert next(footage.frames()).rgb().shape == (*size[::-1], 3)


def _combed(picture: np.ndarray) -> float:
    rows = picture.astype(int)
    return float(np.abs(rows[1:-1] - (rows[:-2] + rows[2:]) / 2).mean())


def test_interlaced_pictures_are_made_whole(tmp_path: Path) -> None:
    fields = [np.full((96, 128, 3), 40, dtype=np.uint8) for _ in range(300)]
    for number, field in enumerate(fields):
        field[:, number * 4 % 100 :][:, :20] = 220
    woven = []
    for upper, lower in zip(fields[::2], fields[1::2], strict=True):
        woven.append(upper.copy())
        woven[-1][1::2] = lower[1::2]
    path = write_video(tmp_path / "a.mkv", woven, g="25", **{"x264-params": "tff=1"})
    with av.open(str(path)) as container:
        assert _combed(next(container.decode(video=0)).to_ndarray(format="rgb24")) > 5
    pictures = list(open_footage(path).frames())
    assert [picture.seconds for picture in pictures] == pytest.approx(np.arange(150) / 25)
    assert max(_combed(picture.rgb()) for picture in pictures[1:]) < 0.5
    sought = list(open_footage(path).frames(4.0))
    assert all(np.array_equal(one.rgb(), other.rgb()) for one, other in zip(sought, pictures[100:], strict=True))


def _patches(codes: list[tuple[float, float, float]]) -> av.VideoFrame:
    """Broad patches of codes 0 to 1 side by side, as a frame of 10 bits, BT.2020."""
    row = np.repeat(np.array(codes), 32, axis=0)
    picture = np.rint(np.tile(row, (64, 1, 1)) * 65535).astype("<u2")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb48le")
    return frame.reformat(format="yuv420p10le", dst_colorspace=9, dst_color_range="MPEG")


@pytest.mark.parametrize(
    ("transfer", "codes", "expected"),
    [
        # ITU-R BT.2408: codes of white (203 cd/m2), grey of 18 % (26 cd/m2), 1000 cd/m2, black.
        ("smpte2084", [0.5807, 0.3799, 0.7518, 0.0], [243, 108, 255, 0]),
        ("arib-std-b67", [0.75, 0.3830, 1.0, 0.0], [243, 108, 255, 0]),
    ],
)
def test_high_dynamic_range_is_brought_to_8_bits(
    tmp_path: Path, transfer: str, codes: list[float], expected: list[int]
) -> None:
    told = f"colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc:log-level=none"
    options = {"codec": "libx265", "pixels": "yuv420p10le", "x265-params": told, "crf": "4"}
    path = write_video(tmp_path / "a.mp4", [_patches([(code,) * 3 for code in codes])] * 3, **options)
    picture = next(open_footage(path).frames())
    found = [picture.rgb()[16:48, 32 * place + 8 : 32 * place + 24].mean() for place in range(4)]
    assert found == pytest.approx(expected, abs=4)
    assert picture.small_bgr(8, 16)[4, 2].mean() == pytest.approx(expected[0], abs=6)


def test_colours_of_high_dynamic_range_become_those_of_bt709() -> None:
    """Red of BT.709 at half of white, (0.314, 0.035, 0.008) of BT.2020's primaries, in PQ."""
    codes = np.array([[[0.46385, 0.26066, 0.15953]]])
    picture = to_sdr(np.rint(codes * 65535).astype(np.uint16), "pq")
    assert picture[0, 0].tolist() == pytest.approx([round(255 * 0.5 ** (1 / 2.4)), 0, 0], abs=12)


def test_ten_bits_of_standard_range_keep_their_grey(tmp_path: Path) -> None:
    options = {"codec": "libx265", "pixels": "yuv420p10le", "x265-params": "log-level=none"}
    path = write_video(tmp_path / "a.mp4", [np.full((64, 64, 3), 128, dtype=np.uint8)] * 3, **options)
    assert next(open_footage(path).frames()).rgb().mean() == pytest.approx(128, abs=2)


def test_full_range_is_not_stretched(tmp_path: Path) -> None:
    picture = np.full((64, 64, 3), 8, dtype=np.uint8)
    path = write_video(tmp_path / "a.mov", [picture] * 3, codec="mjpeg", pixels="yuvj420p")
    assert next(open_footage(path).frames()).rgb().mean() == pytest.approx(8, abs=2)


def test_the_cut_is_that_of_the_whole_picture(tmp_path: Path) -> None:
    footage = open_footage(write_video(tmp_path / "a.mp4", numbered(3), turned=90))
    whole, cut = (
        next(footage.frames()),
        next(footage.without_bars((8, 16, 80, 100)).without_bars((0, 4, 80, 96)).frames()),
    )
    assert np.array_equal(cut.rgb(), whole.rgb()[20:116, 8:88])
    assert cut.rgb().flags.c_contiguous
    small = whole.small_bgr(128, 96)[20:116, 8:88]
    assert np.abs(cut.small_bgr(96, 80).astype(int) - small).max() == 0


def test_pictures_of_another_size_later_on_are_brought_to_the_first_ones(tmp_path: Path) -> None:
    first = write_video(tmp_path / "1.ts", numbered(30), g="10").read_bytes()
    second = write_video(
        tmp_path / "2.ts", numbered(30, 144, 192), g="10", stamps=[40 + i for i in range(30)]
    ).read_bytes()
    (tmp_path / "a.ts").write_bytes(first + second)
    pictures = list(open_footage(tmp_path / "a.ts").frames())
    assert {picture.rgb().shape for picture in pictures} == {(96, 128, 3)}
    assert [number_of(picture.rgb()) for picture in pictures] == [*range(30), *range(30)]


def test_tags_may_be_in_any_code(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", numbered(5))
    data = path.read_bytes()
    assert b"Lavf" in data  # the tag of the encoder
    path.write_bytes(data.replace(b"Lavf", b"\xe9t\xe9\xff"))
    assert [number_of(picture.rgb()) for picture in open_footage(path).frames()] == list(range(5))


def _with_cover(path: Path, film: list[np.ndarray]) -> Path:
    """A cover picture, of 64 x 64, and a film of 128 x 96."""
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        stream = container.add_stream("libx264", rate=25) if film else None
        if stream is not None:
            stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for picture in (av.VideoFrame.from_ndarray(np.full((64, 64, 3), 200, dtype=np.uint8), "rgb24"), None):
            container.mux(cover.encode(picture))
        for frame in (*(av.VideoFrame.from_ndarray(picture, "rgb24") for picture in film), None):
            if stream is not None:
                container.mux(stream.encode(frame))
    return path


def test_a_cover_is_no_film(tmp_path: Path) -> None:
    footage = open_footage(_with_cover(tmp_path / "a.mp4", numbered(20)))
    assert [number_of(picture.rgb()) for picture in footage.frames()] == list(range(20))
    with pytest.raises(MovieError, match=r"b\.mp4: has no video stream \(a cover picture\); name a video"):
        open_footage(_with_cover(tmp_path / "b.mp4", []))


# --- damage ---


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Ten seconds, in three containers."""
    folder = tmp_path_factory.mktemp("sound")
    noise = np.random.default_rng(0)
    pictures = [picture + noise.integers(0, 20, picture.shape, dtype=np.uint8) for picture in numbered(250)]
    told = {"ts": {}, "mkv": {}, "mp4": {"container": {"movflags": "faststart"}}, "mov": {}}
    return {
        end: write_video(folder / f"a.{end}", pictures, bf="2", g="25", **how).read_bytes() for end, how in told.items()
    }


def _hole(data: bytes, begin: float = 0.4, end: float = 0.6) -> bytes:
    first, last = int(len(data) * begin), int(len(data) * end)
    return data[:first] + np.random.default_rng(1).bytes(last - first) + data[last:]


def _noise_for_pictures(data: bytes) -> bytes:
    begin = data.index(b"mdat") + 4
    return data[:begin] + np.random.default_rng(3).bytes(len(data) - begin)


def _wav(folder: Path) -> bytes:
    with wave.open(str(folder / "sound"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16_000))
    return (folder / "sound").read_bytes()


USELESS: dict[str, tuple[Callable[[dict[str, bytes], Path], bytes], str]] = {
    "empty.mp4": (lambda sound, folder: b"", "is empty; copy it again"),
    "text.mp4": (lambda sound, folder: b"a film\n" * 99, "is no video that FFmpeg can read (Invalid data"),
    "text.txt": (lambda sound, folder: b"a film\n" * 99, "is a text, where a video was expected"),
    "noise.mkv": (lambda sound, folder: np.random.default_rng(2).bytes(50_000), "is no video that FFmpeg can read"),
    "broken off.mov": (lambda sound, folder: sound["mov"][: len(sound["mov"]) // 2], "its index (moov) is missing"),
    "head.mp4": (lambda sound, folder: sound["mp4"][:3000], "is no video that FFmpeg can read"),
    "audio.wav": (lambda sound, folder: _wav(folder), "has no video stream (only audio); name a video"),
    "codec.mkv": (
        lambda sound, folder: sound["mkv"].replace(b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/XXX"),
        "no video stream",
    ),
    "all noise.mp4": (lambda sound, folder: _noise_for_pictures(sound["mp4"]), "none of its pictures can be decoded"),
}


@pytest.mark.parametrize("name", USELESS)
def test_a_file_that_cannot_be_used_is_told_of_in_a_line(
    tmp_path: Path, sound: dict[str, bytes], name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    make, expected = USELESS[name]
    path = tmp_path / name
    path.write_bytes(make(sound, tmp_path))
    with pytest.raises(MovieError) as raised:
        survey(open_footage(path))
    assert str(raised.value).startswith(f"{path}: ") and expected in str(raised.value)
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


DAMAGED: dict[str, tuple[Callable[[bytes], bytes], float, float, str]] = {
    "cut off.mp4": (lambda data: data[: len(data) * 2 // 3], 6, 10, "the file ends early"),
    "cut off.mkv": (lambda data: data[: len(data) * 2 // 3], 6, 10, "the file ends early"),
    "hole.mp4": (_hole, 3, 6, "damaged data"),
    "hole.mkv": (_hole, 3, 6.2, "damaged pictures"),
    "hole.ts": (_hole, 3.5, 6.2, "pictures are missing"),
    "gap.mkv": (lambda data: data[: len(data) * 2 // 5] + data[len(data) * 3 // 5 :], 3, 6.2, "pictures are missing"),
    "scratch.mp4": (lambda data: _hole(data, 0.5, 0.501), 4, 5, "damaged data"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_damaged_is_told_and_the_rest_decoded(
    tmp_path: Path, sound: dict[str, bytes], name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    harm, begin, end, why = DAMAGED[name]
    path = tmp_path / name
    path.write_bytes(harm(sound[path.suffix[1:]]))
    found = survey(open_footage(path))
    told = found.survey.damage[0]
    assert told.why == why
    assert begin <= told.stretch.start < told.stretch.end <= end
    pictures = [(picture.seconds, number_of(picture.rgb())) for picture in found.footage.frames()]
    assert [seconds for seconds, _ in pictures] == found.survey.times.tolist()
    outside = [(t, n) for t, n in pictures if not begin <= t < told.stretch.end + 1]  # the next key frame mends it
    assert [n for _, n in outside] == [round(25 * t) for t, _ in outside]
    missing = 250 - len(pictures)
    assert missing == pytest.approx(25 * sum(each.stretch.duration for each in found.survey.damage), abs=2.5)
    assert capfd.readouterr() == ("", "")


def test_a_clock_that_is_set_back_goes_on(tmp_path: Path, sound: dict[str, bytes]) -> None:
    (tmp_path / "a.ts").write_bytes(sound["ts"] + sound["ts"])
    found = survey(open_footage(tmp_path / "a.ts"))
    assert [(each.stretch.start, each.why) for each in found.survey.damage] == [(10.0, "the clock is set back")]
    assert len(found.survey.times) == 489  # eleven go by until it is sure
    assert np.diff(found.survey.times).min() > 0
    assert found.survey.duration == pytest.approx(19.56)
    later = next(found.footage.frames(15.0))
    assert number_of(later.rgb()) == (round(later.seconds * 25) + 11) % 250


def test_pictures_out_of_order_are_left_out(tmp_path: Path) -> None:
    stamps = [40 * i for i in range(30)]
    stamps[12] = stamps[11]
    path = write_video(
        tmp_path / "a.mkv", numbered(30), codec="ffv1", pixels="bgr0", stamps=stamps, unit=Fraction(1, 1000)
    )
    pictures = [number_of(picture.rgb()) for picture in open_footage(path).frames()]
    assert pictures == [*range(12), *range(13, 30)]


def test_absurd_sizes_are_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", [np.zeros((16, 17_000, 3), dtype=np.uint8)], codec="ffv1", pixels="bgr0")
    with pytest.raises(MovieError, match="its pictures have 17000 x 16 pixels, more than films have"):
        open_footage(path)


@pytest.mark.parametrize(
    ("path", "expected"), [("nothing.mp4", "no such file"), ("/dev/zero", "is a pipe or a device")]
)
def test_what_is_no_file_is_told(tmp_path: Path, path: str, expected: str) -> None:
    with pytest.raises(MovieError, match=expected):
        open_footage(tmp_path / path)


def test_opening_the_room_is_quick() -> None:
    code = "import sys, castsearch.movies.opening; print([name for name in ('av', 'cv2') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
