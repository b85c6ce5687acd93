"""The first look: bars, and a look that is stopped and goes on."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from castsearch.movies import survey as looking
from castsearch.movies.bars import Bars
from castsearch.movies.errors import MovieError
from castsearch.movies.opening import open_footage
from castsearch.movies.survey import survey

from .clips import numbered, write_video


def lit(count: int, height: int = 108, width: int = 192) -> list[np.ndarray]:
    """Noise that changes from picture to picture."""
    noise = np.random.default_rng(0)
    return [noise.integers(60, 200, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def framed(pictures: list[np.ndarray], top: int, left: int) -> list[np.ndarray]:
    """The same with black over their edges."""
    result = []
    for picture in pictures:
        bars = np.zeros_like(picture)
        height, width = picture.shape[:2]
        bars[top : height - top, left : width - left] = picture[top : height - top, left : width - left]
        result.append(bars)
    return result


def box(pictures: list[np.ndarray]) -> tuple[int, int, int, int]:
    """What is found to be without bars."""
    bars = Bars(pictures[0].shape[1::-1])
    for picture in pictures:
        bars.see(picture)
    return bars.box()


WHOLE = (0, 0, 192, 108)


def test_bars_on_either_side_are_cut_to_the_pixel() -> None:
    assert box(framed(lit(20), 14, 0)) == (0, 14, 192, 80)
    assert box(framed(lit(20), 0, 24)) == (24, 0, 144, 108)
    assert box(framed(lit(20), 13, 10)) == (10, 13, 172, 82)
    dark = [np.zeros((108, 192, 3), dtype=np.uint8)] * 40
    assert box([*framed(lit(30), 14, 0), *dark]) == (0, 14, 192, 80)


def test_what_may_be_a_dark_picture_is_not_cut() -> None:
    one_sided = [picture.copy() for picture in lit(20)]
    for picture in one_sided:
        picture[:14] = 0
    lamp = [np.zeros((108, 192, 3), dtype=np.uint8) for _ in range(20)]
    for picture in lamp:
        picture[40:68, 80:112] = 200
    vignette = [np.zeros((108, 192, 3), dtype=np.uint8) for _ in range(20)]
    for number, picture in enumerate(vignette):
        edge = 10 + 2 * number
        picture[edge : 108 - edge] = 150
    subtitle = framed(lit(20), 14, 0)
    for picture in subtitle[:5]:
        picture[100:104, 60:130] = 255
    for pictures in (one_sided, lamp, vignette, subtitle, framed(lit(7), 14, 0), framed(lit(20), 1, 0)):
        assert box(pictures) == WHOLE
    assert box([*framed(lit(20), 14, 0), *lit(1)]) == WHOLE
    assert box([np.zeros((108, 192, 3), dtype=np.uint8)] * 20) == WHOLE


def test_a_film_loses_its_bars(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", framed(lit(60), 14, 0), rate=5, crf="18")
    found = survey(open_footage(path))
    assert found.survey.size == found.footage.size == (192, 80)
    picture = next(found.footage.frames(2))
    assert picture.rgb().shape == (80, 192, 3)
    assert picture.rgb()[[0, -1]].mean() > 90
    assert picture.seconds == 2


def test_stills_keep_their_bars(tmp_path: Path) -> None:
    from PIL import Image

    for number, picture in enumerate(framed(lit(20), 14, 0)):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    assert survey(open_footage(tmp_path)).survey.size == (192, 108)
    assert survey(open_footage(tmp_path, Fraction(1))).survey.size == (192, 80)


class Stop(Exception):
    """Somebody pulls the plug."""


def stopping(after: int) -> Any:
    """A progress that stops the work after so many items."""

    def progress(items: Iterable[int], *, total: int, unit: str) -> Iterable[int]:
        for number, item in enumerate(items):
            if number == after:
                raise Stop
            yield item

    return progress


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 seconds with a cut every 47 pictures, and one at every multiple of 250."""
    pictures = numbered(1000)
    shades = np.random.default_rng(0).integers(0, 3, (2000, 3))
    for number, picture in enumerate(pictures):
        shot = number // 47 + 1000 * (number // 250)
        picture[60:] = 40 + 90 * shades[shot % 2000]
        picture[:20] = 40 + 90 * shades[(shot + 7) % 2000]
    return write_video(tmp_path_factory.mktemp("clip") / "a.mp4", pictures, bf="2", g="30", preset="veryfast")


def test_a_look_that_is_stopped_ends_with_the_same_bytes(
    tmp_path: Path, long_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = survey(open_footage(long_clip), checkpoint=tmp_path / "big steps.npz").survey
    monkeypatch.setattr(looking, "_CHUNK", 250)
    at_once = survey(open_footage(long_clip), checkpoint=tmp_path / "once.npz").survey
    for after in (3, 12, 25, 38):
        with pytest.raises(Stop):
            survey(open_footage(long_clip), checkpoint=tmp_path / "often.npz", progress=stopping(after))
    in_parts = survey(open_footage(long_clip), checkpoint=tmp_path / "often.npz").survey
    for found in (at_once, in_parts):
        assert (found.shots, found.duration, found.size) == (whole.shots, whole.duration, whole.size)
        assert np.array_equal(found.times, whole.times)
    first, second, third = ((tmp_path / f"{name}.npz").read_bytes() for name in ("big steps", "once", "often"))
    assert first == second == third
    cuts = {shot.start for shot in whole.shots[1:]}
    assert {10.0, 20.0, 30.0} <= cuts and len(cuts) > 15
    assert whole.times.tolist() == pytest.approx(np.arange(1000) / 25)


def test_a_damaged_film_that_is_stopped_ends_with_the_same_bytes(
    tmp_path: Path, long_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytearray(long_clip.read_bytes())
    begin = data.index(b"mdat") + len(data) // 5
    data[begin : begin + 400] = np.random.default_rng(0).bytes(400)
    (tmp_path / "a.mp4").write_bytes(data)
    monkeypatch.setattr(looking, "_CHUNK", 250)
    at_once = survey(open_footage(tmp_path / "a.mp4"), checkpoint=tmp_path / "once.npz").survey
    assert at_once.damage
    for after in (12, 25, 33):
        with pytest.raises(Stop):
            survey(open_footage(tmp_path / "a.mp4"), checkpoint=tmp_path / "often.npz", progress=stopping(after))
    assert survey(open_footage(tmp_path / "a.mp4"), checkpoint=tmp_path / "often.npz").survey.damage == at_once.damage
    assert (tmp_path / "once.npz").read_bytes() == (tmp_path / "often.npz").read_bytes()


def test_a_look_goes_on_where_it_stopped_and_a_finished_one_is_read(
    tmp_path: Path, long_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "_CHUNK", 250)
    checkpoint = tmp_path / "a.npz"
    with pytest.raises(Stop):
        survey(open_footage(long_clip), checkpoint=checkpoint, progress=stopping(25))
    footage, starts = open_footage(long_clip), []
    frames = footage.frames
    monkeypatch.setattr(footage, "frames", lambda start, tell: starts.append(start) or frames(start, tell))
    items: list[int] = []
    totals = []

    def progress(seconds: Iterable[int], *, total: int, unit: str) -> Iterable[int]:
        totals.append((total, unit))
        for second in seconds:
            items.append(second)
            yield second

    survey(footage, checkpoint=checkpoint, progress=progress)
    assert starts == [12.0]  # 500 pictures are kept, and 200 of them looked at again
    assert items == list(range(40)) and totals == [(40, "s of film")]
    items.clear()
    survey(footage, checkpoint=checkpoint, progress=progress)
    assert starts == [12.0] and items == list(range(40))


def test_checkpoints_of_other_footage_are_replaced_and_other_files_kept(tmp_path: Path) -> None:
    checkpoint = tmp_path / "a.npz"
    path = write_video(tmp_path / "a.mp4", numbered(30))
    survey(open_footage(path), checkpoint=checkpoint)
    write_video(path, numbered(40))
    assert len(survey(open_footage(path), checkpoint=checkpoint).survey.times) == 40
    checkpoint.write_text("my notes")
    with pytest.raises(MovieError, match=r"a\.npz: is no checkpoint of a survey; remove it"):
        survey(open_footage(path), checkpoint=checkpoint)
    assert checkpoint.read_text() == "my notes"


def test_the_last_picture_lasts_as_long_as_the_container_says(tmp_path: Path) -> None:
    stamps = [0, 40, 80, 1080]
    path = write_video(tmp_path / "a.mkv", numbered(4), stamps=stamps, unit=Fraction(1, 1000))
    looked = survey(open_footage(path)).survey
    assert looked.times.tolist() == [0, 0.04, 0.08, 1.08]
    assert looked.duration == pytest.approx(1.12)
    assert looked.shots[0].end == looked.duration and not looked.damage
