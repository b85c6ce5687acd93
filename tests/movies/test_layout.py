"""A film in the challenge's layout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from castsearch.annotations import read_annotations
from castsearch.movies.errors import MovieError
from castsearch.movies.footage import Survey
from castsearch.movies.layout import Seen, Times, frames_folder, read_times, times_file, whole_box, write_layout
from castsearch.movies.portraits import Person
from castsearch.movies.scanned import Scan
from castsearch.movies.times import Stretch
from tests.conftest import Script
from tests.movies.tracks_of import scan, sighting, track

SIZE = 160, 120
RATE, TIME_BASE = Fraction(24000, 1001), Fraction(1, 24000)
SHOTS = Stretch(0.0, 2.5), Stretch(2.5, 4.0)
SURVEY = Survey(np.arange(8) / 2, 4.0, SIZE, SHOTS)
FRAMES = {"shot0001img0": 0.0, "shot0001img12": 0.5, "shot0002img0": 2.5}


def two_tracks() -> Scan:
    """Somebody on the right in both shots' pictures of a first track, somebody on the left later."""
    right = [
        sighting(0.0, (90, 10, 130, 100), frame="shot0001img0"),
        sighting(0.25),
        sighting(0.5, frame="shot0001img12"),
    ]
    left = [
        sighting(0.0, (5.4, 7.5, 50.6, 200), frame="shot0001img0"),
        sighting(2.5, (-3, 0, 1, 1), frame="shot0002img0"),
    ]
    return scan([track(1, right), track(1, left)])


@pytest.fixture
def portraits(tmp_path: Path) -> list[Person]:
    """Joey's JPEG; two of Mrs. Green: one PNG, one that lies on its side."""
    folder = tmp_path / "portraits"
    (folder / "Mrs. Green").mkdir(parents=True)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 40, 3), dtype=np.uint8))
    files = [folder / "Joey.jpg", folder / "Mrs. Green/a.png", folder / "Mrs. Green/b.jpg"]
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(files[0], quality=60)
    picture.save(files[1])
    picture.save(files[2], exif=exif)
    features = np.eye(2, dtype=np.float32)
    return [
        Person("Joey", "Joey", (files[0],), features[:1]),
        Person("Mrs. Green", "Mrs._Green", tuple(files[1:]), features),
    ]


def render(
    root: Path, movie: str = "My_Film", names: Sequence[str] = tuple(FRAMES), size: tuple[int, int] = SIZE
) -> Path:
    """The pictures that the scan kept."""
    folder = frames_folder(root, "val", movie)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    for name in names:
        Image.fromarray(rng.integers(0, 255, (*size[::-1], 3), dtype=np.uint8)).save(folder / f"{name}.jpg")
    return folder


def write(root: Path, people: Sequence[Person], tracks: Scan | None = None, film: str = "My Film") -> dict[Seen, str]:
    return write_layout(two_tracks() if tracks is None else tracks, SURVEY, film, "val", root, people, RATE, TIME_BASE)


def test_a_film_is_one_movie(tmp_path: Path, portraits: list[Person]) -> None:
    render(tmp_path)
    ids = write(tmp_path, portraits)
    # In the order of time, then from left to right; the sighting without a picture is no candidate.
    assert ids == {
        (1, 0): "My_Film_000000",
        (0, 0): "My_Film_000001",
        (0, 2): "My_Film_000002",
        (1, 1): "My_Film_000003",
    }
    movie = read_annotations(tmp_path / "val.json")["My_Film"]
    assert [(one.id, one.img, one.bbox, one.label) for one in movie.candidates] == [
        ("My_Film_000000", "My_Film/candidates/shot0001img0.jpg", (5, 8, 46, 112), None),
        ("My_Film_000001", "My_Film/candidates/shot0001img0.jpg", (90, 10, 40, 90), None),
        ("My_Film_000002", "My_Film/candidates/shot0001img12.jpg", (20, 10, 40, 80), None),
        ("My_Film_000003", "My_Film/candidates/shot0002img0.jpg", (0, 0, 1, 1), None),
    ]
    assert [(one.id, one.img, one.label) for one in movie.cast] == [
        ("My_Film_Joey", "My_Film/cast/Joey.jpg", "Joey"),
        ("My_Film_Mrs._Green", "My_Film/cast/Mrs._Green/1.jpg", "Mrs. Green"),
        ("My_Film_Mrs._Green#2", "My_Film/cast/Mrs._Green/2.jpg", "Mrs. Green"),
    ]
    cast = tmp_path / "origin/val/My_Film/cast"
    assert (cast / "Joey.jpg").read_bytes() == portraits[0].files[0].read_bytes()
    green = [Image.open(cast / "Mrs._Green" / name) for name in ("1.jpg", "2.jpg")]
    assert [(picture.format, picture.size) for picture in green] == [("JPEG", (40, 60)), ("JPEG", (60, 40))]
    assert read_times(times_file(tmp_path, "val")) == {
        "My_Film": Times(RATE, TIME_BASE, 4.0, SHOTS, FRAMES, {one: seen[0] for seen, one in ids.items()})
    }


def test_whole_boxes_stay_in_the_picture_and_have_an_area() -> None:
    rng = np.random.default_rng(2)
    for box in rng.normal(50, 80, (500, 4)).astype(np.float32):
        box[2:] = np.maximum(box[2:], box[:2])
        x, y, w, h = whole_box(box, (100, 70))
        assert 0 <= x < x + w <= 100
        assert 0 <= y < y + h <= 70
    assert whole_box(np.array([10.4, 20.6, 30.4, 40.6], np.float32), (100, 70)) == (10, 21, 20, 20)


def test_stills_have_sizes_of_their_own(tmp_path: Path, portraits: list[Person]) -> None:
    render(tmp_path, names=["shot0001img0", "shot0001img12"])
    render(tmp_path, names=["shot0002img0"], size=(30, 20))
    large = scan([track(2, [sighting(2.5, (10, 5, 900, 900), frame="shot0002img0")])])
    write(tmp_path, portraits, large)
    assert read_annotations(tmp_path / "val.json")["My_Film"].candidates[0].bbox == (10, 5, 20, 15)


def test_again_gives_the_same_bytes_and_removes_what_nobody_is_on(tmp_path: Path, portraits: list[Person]) -> None:
    folder = render(tmp_path, names=[*FRAMES, "shot0009img3"])
    (folder / "holiday.jpg").write_bytes(b"mine")
    files = [tmp_path / "val.json", tmp_path / "val_times.json"]
    write(tmp_path, portraits)
    first = [file.read_bytes() for file in files]
    assert sorted(path.stem for path in folder.iterdir()) == ["holiday", *sorted(FRAMES)]
    write(tmp_path, portraits)
    assert [file.read_bytes() for file in files] == first


def test_other_movies_stay_as_they_are(tmp_path: Path, portraits: list[Person]) -> None:
    other = {
        "cast": [],
        "candidates": [{"id": "x", "img": "a.jpg", "bbox": [0, 0, 1, 1], "label": "others", "more": 1}],
    }
    (tmp_path / "val.json").write_text(json.dumps({"tt1": other}))
    for film in ("My Film", "Zoë's", "My Film"):
        render(tmp_path, movie=film.replace(" ", "_"))
        write(tmp_path, portraits[:1], film=film)
    content = json.loads((tmp_path / "val.json").read_text())
    assert sorted(content) == ["My_Film", "Zoë's", "tt1"]
    assert content["tt1"] == other
    assert '"Zoë\'s": {' in (tmp_path / "val.json").read_text()  # names stay readable
    assert sorted(read_times(tmp_path / "val_times.json")) == ["My_Film", "Zoë's"]


def test_a_movie_that_is_no_film_is_not_replaced(tmp_path: Path, portraits: list[Person]) -> None:
    folder = render(tmp_path, names=[*FRAMES, "shot0009img3"])
    entry = {"cast": [], "candidates": [{"id": "x", "img": "a.jpg", "bbox": [0, 0, 1, 1]}]}
    (tmp_path / "val.json").write_text(json.dumps({"My_Film": entry}))
    with pytest.raises(MovieError, match=r"val\.json: has a movie My_Film that is no film; rename the film"):
        write(tmp_path, portraits)
    assert (folder / "shot0009img3.jpg").exists()


def test_ids_that_are_taken(tmp_path: Path, portraits: list[Person]) -> None:
    render(tmp_path, movie="a")
    render(tmp_path, movie="a_b")
    person = portraits[0]
    write(tmp_path, [Person("b_c", "b_c", person.files, person.features)], film="a")
    with pytest.raises(
        MovieError, match=r"val\.json: movie a_b: the id a_b_c is taken; rename the film or the portrait"
    ):
        write(tmp_path, [Person("c", "c", person.files, person.features)], film="a_b")
    assert list(read_annotations(tmp_path / "val.json")) == ["a"]
    with pytest.raises(MovieError, match=r"the id a_000001 is taken"):
        write(tmp_path, [Person("000001", "000001", person.files, person.features)], film="a")


def test_a_picture_that_is_gone(tmp_path: Path, portraits: list[Person]) -> None:
    render(tmp_path, names=list(FRAMES)[:2])
    with pytest.raises(
        MovieError, match=r"shot0002img0\.jpg: no such picture; remove what is kept of the film and scan"
    ):
        write(tmp_path, portraits)
    with pytest.raises(MovieError, match=r"My Film: shows nobody, and nobody is looked for; name another film"):
        write(tmp_path, [], scan([]))


def test_stage_1_runs_on_it(tmp_path: Path, portraits: list[Person], script: Script) -> None:
    folder = render(tmp_path)
    write(tmp_path, portraits)
    options = ("--origin", tmp_path / "origin", "--body", tmp_path / "body", "--mode", "val", "--data", tmp_path)
    done = script("crop_body.py", *options)
    assert "1 movies, 3 portraits, 4 crops" in done.stdout
    assert "past the edge" not in done.stderr
    crop = np.asarray(Image.open(tmp_path / "body/val/My_Film/candidates/shot0001img12_20_10_40_80.jpg")).astype(int)
    frame = np.asarray(Image.open(folder / "shot0001img12.jpg")).astype(int)
    assert crop.shape == (80, 40, 3)
    assert np.abs(crop - frame[10:90, 20:60]).mean() < 25


GOOD: dict[str, Any] = {
    "rate": "25",
    "time_base": "1/25",
    "duration": 4,
    "shots": [[0, 2.5], [2.5, 4]],
    "frames": {"shot0001img0": 0},
    "tracks": {"m_000000": 3},
}


def times(tmp_path: Path, **changed: Any) -> dict[str, Times]:
    path = tmp_path / "val_times.json"
    entry = {field: value for field, value in (GOOD | changed).items() if value is not None}
    path.write_text(json.dumps({"m": entry}))
    return read_times(path)


def test_numbers_serve_as_fractions_and_seconds(tmp_path: Path) -> None:
    assert times(tmp_path, rate=25)["m"] == Times(
        Fraction(25), Fraction(1, 25), 4.0, SHOTS, {"shot0001img0": 0.0}, {"m_000000": 3}
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rate": None, "tracks": None}, "lacks rate and tracks; import the film again"),
        ({"rate": "1/0"}, r"rate: expected a fraction above 0, such as 24000/1001, found 1/0"),
        ({"rate": "-25"}, "rate: expected a fraction"),
        ({"time_base": [1, 25]}, "time_base: expected a fraction above 0, such as 24000/1001, found a list"),
        ({"rate": float("nan")}, "rate: expected a fraction"),
        ({"duration": "4"}, "duration: expected seconds, a number from 0 on, found '?4"),
        ({"duration": float("inf")}, "duration: expected seconds"),
        ({"shots": {}}, "shots: expected a list, found a dict"),
        ({"shots": [[0, 1, 2]]}, r"shots: number 1: expected \[start, end\], found a list"),
        ({"shots": [[0, 2], [1, 3]]}, r"shots: number 2: \[1, 3\] is not in the order of time"),
        ({"shots": [[2, 1]]}, r"shots: number 1: \[2, 1\] is not in the order of time"),
        ({"shots": [[0, True]]}, "shots: number 1: expected seconds"),
        ({"frames": []}, "frames: expected an object, found a list"),
        ({"frames": {"shot0001img0": -1}}, "frame shot0001img0: expected seconds, a number from 0 on, found -1"),
        ({"tracks": {"m_0": 1.5}}, r"candidate m_0: expected a track's number, from 0 on, found 1\.5"),
        ({"tracks": {"m_0": -1}}, "candidate m_0: expected a track's number"),
        ({"tracks": {"m_0": True}}, "candidate m_0: expected a track's number"),
    ],
)
def test_times_of_another_shape(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(MovieError, match=rf"val_times\.json: movie m.*{message}") as caught:
        times(tmp_path, **changed)
    assert "\n" not in str(caught.value)


def test_no_times(tmp_path: Path) -> None:
    with pytest.raises(MovieError, match=r"val_times\.json: no such file; scripts/import_movie\.py writes it"):
        read_times(tmp_path / "val_times.json")
    (tmp_path / "val_times.json").write_text('{"m": []}')
    with pytest.raises(MovieError, match=r"movie m: expected an object, found a list"):
        read_times(tmp_path / "val_times.json")
