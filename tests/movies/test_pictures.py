"""A folder of pictures in a film's place."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from castsearch.movies.errors import MovieError
from castsearch.movies.opening import open_footage
from castsearch.movies.survey import survey
from castsearch.movies.times import Stretch


def save(folder: Path, names: list[str], size: tuple[int, int] = (64, 48)) -> Path:
    """Pictures of grey 0, 10, 20 ... in the order of the names."""
    folder.mkdir(exist_ok=True)
    for grey, name in enumerate(names):
        Image.new("RGB", size, (10 * grey,) * 3).save(folder / name)
    return folder


def test_stills_last_a_second_and_are_a_shot_each(tmp_path: Path) -> None:
    footage = open_footage(save(tmp_path / "holiday", ["a1.png", "a2.png", "A10.png", "b.png"]))
    assert (footage.name, footage.stills, footage.rate, footage.duration) == ("holiday", True, 1, 4)
    assert [(p.seconds, p.lasts, int(p.rgb()[0, 0, 0])) for p in footage.frames(1)] == [
        (1, 1, 10),
        (2, 1, 20),
        (3, 1, 30),
    ]
    looked = survey(footage).survey
    assert looked.shots == tuple(Stretch(t, t + 1) for t in range(4))
    assert looked.duration == 4


def test_stills_may_differ_in_size(tmp_path: Path) -> None:
    save(tmp_path, ["1.png"])
    Image.new("RGB", (10, 200)).save(tmp_path / "2.png")
    footage = survey(open_footage(tmp_path)).footage
    assert footage.size == (64, 48)
    assert [picture.rgb().shape for picture in footage.frames()] == [(48, 64, 3), (200, 10, 3)]


@pytest.mark.parametrize("rate", [None, Fraction(24000, 1001)])
def test_names_of_the_challenge_tell_the_shots(tmp_path: Path, rate: Fraction | None) -> None:
    names = [f"shot{shot:04d}img{number}.png" for shot, number in ((3, 0), (3, 2), (3, 10), (12, 0), (12, 1))]
    footage = open_footage(save(tmp_path, names), rate)
    step = float(1 / footage.rate)
    assert [int(picture.rgb()[0, 0, 0]) for picture in footage.frames()] == [0, 10, 20, 30, 40]
    shots = survey(footage).survey.shots
    assert [shot.start for shot in shots] == pytest.approx([0, 3 * step])
    assert shots[-1].end == pytest.approx(5 * step)


def test_pictures_of_a_film_have_its_times_and_are_searched_for_shots(tmp_path: Path) -> None:
    save(tmp_path, [f"{number}.png" for number in range(12)])
    for number in range(12, 24):
        Image.new("RGB", (64, 48), (200, 40, 90)).save(tmp_path / f"{number}.png")
    footage = open_footage(tmp_path, Fraction(24000, 1001))
    looked = survey(footage).survey
    assert not footage.stills
    assert looked.times.tolist() == [float(i * Fraction(1001, 24000)) for i in range(24)]
    assert [shot.start for shot in looked.shots] == [0, looked.times[12]]


def test_a_bad_picture_is_told_and_passed_over(tmp_path: Path) -> None:
    save(tmp_path, ["1.png", "2.png", "3.png"])
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:40])
    looked = survey(open_footage(tmp_path))
    assert looked.survey.times.tolist() == [0, 2]
    (told,) = looked.survey.damage
    assert told.stretch == Stretch(1, 2) and "2.png" in told.why
    assert [shot.start for shot in looked.survey.shots] == [0, 2]
    assert [picture.seconds for picture in looked.footage.frames(0.5)] == [2]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], "holds no picture; name a folder of pictures, or a video"),
        (["a.png"], "none of its 1 pictures can be read"),
    ],
)
def test_a_folder_without_pictures_is_told(tmp_path: Path, names: list[str], expected: str) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    for name in names:
        (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(MovieError, match=expected):
        open_footage(tmp_path)


def test_pictures_of_a_film_are_of_one_size(tmp_path: Path) -> None:
    save(tmp_path, ["1.png"])
    Image.new("RGB", (64, 50)).save(tmp_path / "2.png")
    with pytest.raises(MovieError, match=r"2.png: has 64 x 50 pixels, the first picture 64 x 48"):
        list(open_footage(tmp_path, Fraction(25)).frames())
    with pytest.raises(MovieError, match="a rate of 0 pictures a second; expected more than 0"):
        open_footage(tmp_path, Fraction(0))


def test_a_cut_and_a_small_picture(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "1.png")
    footage = open_footage(tmp_path, Fraction(25)).without_bars((4, 8, 40, 32)).without_bars((1, 2, 20, 16))
    picture = next(footage.frames())
    assert np.array_equal(picture.rgb(), pixels[10:26, 5:25]) and footage.size == (20, 16)
    expected = pixels[10:26, 5:25].reshape(8, 2, 10, 2, 3).mean(axis=(1, 3))[..., ::-1]
    assert np.abs(picture.small_bgr(8, 10) - expected).max() <= 0.5
