"""What a gallery of a split shows: whose boxes, in which order, found by what, how well."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from castsearch.annotations import read_annotations
from castsearch.crops import Cropping
from castsearch.decisions import Decisions, Verdicts, as_json
from castsearch.gallery import GalleryError
from castsearch.gallery.site.making import make_gallery
from castsearch.gallery.site.pictures import MARK, Pictures
from castsearch.gallery.site.stages import SplitGallery
from castsearch.gallery.site.submissions import read_submission
from castsearch.images import read_image, write_jpeg
from castsearch.movies.layout import Times
from castsearch.movies.times import Stretch
from castsearch.results import Places, write_result
from castsearch.stagefiles import Split, writing
from tests.rankings import write_ranking

HOSTILE = """<script>"a" & 'b'#?%41 ü;名"""
NAMES = ("tt1", HOSTILE)


def entry(name: str) -> dict:
    """A movie of two frames, five boxes and two people, Ann with two portraits."""
    frames = [f"{name}/candidates/{stem}" for stem in ("shot0001img0.jpg", "shot 2#?%.png")]
    boxes = [(0, [0, 0, 20, 40]), (0, [30, 5, 20, 40]), (1, [10, 0, 30, 60]), (1, [50, 0, 30, 60]), (1, [85, 0, 9, 9])]
    word = "tt1" if name == "tt1" else "odd<b>&"
    return {
        "cast": [
            {"id": f"{word}_nm1", "img": f"{name}/cast/nm1.jpg", "label": "Ann <b>"},
            {"id": f"{word}_nm2", "img": f"{name}/cast/nm2.jpg", "label": f"{name}_nm2"},
            {"id": f"{word}_nm1b", "img": f"{name}/cast/nm1b.jpg", "label": "Ann <b>"},
        ],
        "candidates": [{"id": f"{word}_{n}", "img": frames[of], "bbox": box} for n, (of, box) in enumerate(boxes)],
    }


@pytest.fixture
def made(tmp_path: Path) -> tuple[Split, Path]:
    """A split of two movies; its crops and frames lie in ``body`` and ``origin``."""
    annotations = {name: entry(name) for name in NAMES}
    for seed, movie in enumerate(annotations.values()):
        for number, img in enumerate(dict.fromkeys(one["img"] for one in movie["cast"] + movie["candidates"])):
            noise = np.random.default_rng([seed, number]).integers(0, 255, (60, 100, 3), dtype=np.uint8)
            write_jpeg(tmp_path / "origin" / img, noise)
    (tmp_path / "val.json").write_text(json.dumps(annotations))
    movies = read_annotations(tmp_path / "val.json")
    cropping = Cropping(movies, tmp_path / "origin", tmp_path / "body", tmp_path / "body_val.pkl")
    cropping.run()
    assert not cropping.account.bad
    return cropping.finish(), tmp_path


RANKING = {
    "tt1_nm1": ["tt1_2", "tt1_0", "tt1_4", "tt1_1", "tt1_3"],
    "tt1_nm2": ["tt1_1", "tt1_3"],
    "odd<b>&_nm1": [f"odd<b>&_{n}" for n in (0, 1, 2, 3, 4)],
}
LABELS = {"tt1_nm1": ["tt1_0", "tt1_2"], "tt1_nm2": ["tt1_3"], "odd<b>&_nm1": ["odd<b>&_4"]}


def gallery(made: tuple[Split, Path], *rankings: Path, **more) -> SplitGallery:
    split, root = made
    arguments = {"labels": LABELS, "crops": root / "body", "frames": root / "origin", **more}
    return SplitGallery(split, [read_submission(path) for path in rankings], **arguments)


def contents(of: SplitGallery, root: Path) -> list:
    return list(of.movies(Pictures(root / "g")))


def test_people_boxes_frames_and_their_pictures(made):
    split, root = made
    write_ranking(root / "r.txt", RANKING)
    of = gallery(made, root / "r.txt")
    first, odd = contents(of, root)
    assert [first.name, odd.name] == list(NAMES)
    assert [(one.id, one.name, len(one.portraits)) for one in first.people] == [
        ("tt1_nm1", "Ann <b>", 2),
        ("tt1_nm2", "nm2", 1),
    ]
    assert [one.id for one in odd.people] == ["odd<b>&_nm1", "odd<b>&_nm2"]
    for movie in (first, odd):
        assert [box.frame for box in movie.boxes] == [0, 0, 1, 1, 1]
        assert movie.boxes[3].bbox == (50, 0, 30, 60)
        assert [box.file for box in movie.boxes] == [one.file for one in split[movie.name].candidates]
        names = [f"{movie.name}/candidates/{stem}" for stem in ("shot0001img0.jpg", "shot 2#?%.png")]
        assert [(one.name, one.size, one.seconds) for one in movie.frames] == [
            (name, (100, 60), None) for name in names
        ]
        for box, picture in zip(movie.boxes, split[movie.name].candidates, strict=True):
            shown = read_image(root / "g" / box.thumbnail)
            assert np.array_equal(shown, read_image(root / "body" / picture.file))
        for frame, name in zip(movie.frames, names, strict=True):
            assert np.array_equal(read_image(root / "g" / frame.picture), read_image(root / "origin" / name))
    assert (of.frameless, of.whole) == (0, 4)


def test_order_hits_and_precision(made):
    _, root = made
    write_ranking(root / "r.txt", RANKING)
    of = gallery(made, root / "r.txt")
    first, odd = contents(of, root)
    ann, other = (person.results[0] for person in first.people)
    assert ann.order.tolist() == [2, 0, 4, 1, 3] and ann.found_by == [""] * 5 and ann.probability is None
    assert other.order.tolist() == [1, 3]
    assert [ann.ap, other.ap, odd.people[0].results[0].ap] == pytest.approx([1, 1 / 2, 1 / 5])
    assert [person.hits for person in first.people] == [{0, 2}, {3}]
    assert odd.people[1].results == [None] and odd.people[1].hits is None
    (score,) = of.overview("x").scores
    assert score.mean_ap == pytest.approx((1 + 1 / 2 + 1 / 5) / 3) and score.beyond_first is None
    assert score.rank == pytest.approx({1: 1 / 3, 5: 1, 10: 1})
    assert gallery(made, root / "r.txt", labels=None).overview("x").scores == []
    blind = contents(gallery(made, root / "r.txt", labels=None), root)[0].people[0]
    assert (blind.hits, blind.results[0].ap) == (None, None)


def test_a_line_may_be_that_of_any_portrait_and_name_a_box_twice(made):
    _, root = made
    write_ranking(root / "r.txt", {"tt1_nm1b": ["tt1_1", "tt1_1", "tt1_0"], "odd<b>&_nm2": ["odd<b>&_0"]})
    (ann, other), _ = (movie.people for movie in contents(gallery(made, root / "r.txt"), root))
    assert ann.results[0].order.tolist() == [1, 0] and ann.results[0].ap == pytest.approx(1 / 4)
    assert other.results == [None]
    write_ranking(root / "r.txt", {"tt1_nm1b": ["tt1_1"], "tt1_nm1": ["tt1_0"]})
    assert contents(gallery(made, root / "r.txt"), root)[0].people[0].results[0].order.tolist() == [0]


def write_json(path: Path, decisions: Decisions | None = None) -> None:
    """A ranking and its JSON, with what each place rests on."""
    settings = {} if decisions is None else {"decisions": as_json(decisions)}
    with write_result(path, mode="val", recipe="best", settings=settings, versions={}) as writer:
        for person, ids in RANKING.items():
            n = len(ids)
            probability = np.linspace(0.9, 0.1, n, dtype=np.float32)
            words = ["confirmed", *["face"] * (n - 2), "rest"]
            places = Places(ids, np.zeros(n, np.float32), words, probability)
            movie = "tt1" if person.startswith("tt1") else HOSTILE
            writer.add(movie, [person, f"{person}b"] if person.endswith("nm1") else [person], places)


def test_two_results_side_by_side(made):
    """One with a JSON, one without; the difference is over movies."""
    _, root = made
    (root / "a").mkdir()
    write_ranking(root / "r.txt", RANKING)
    decisions = Decisions({"tt1_nm1": Verdicts({"tt1_2": f"{NAMES[0]}/x.jpg"})})
    write_json(root / "a/r.txt", decisions)
    worse = RANKING | {"tt1_nm1": ["tt1_1", "tt1_3", "tt1_4", "tt1_0", "tt1_2"]}
    write_ranking(root / "r.txt", worse)
    of = gallery(made, root / "a/r.txt", root / "r.txt")
    overview = of.overview("title")
    assert list(overview.results) == ["a/r", f"{root.name}/r"] and overview.decisions == decisions
    ann = contents(of, root)[0].people[0].results
    assert ann[0].found_by == ["confirmed", "face", "face", "face", "rest"] and ann[1].found_by == [""] * 5
    assert ann[0].probability.tolist() == pytest.approx([0.9, 0.7, 0.5, 0.3, 0.1], abs=1e-5)
    assert [one.ap for one in ann] == pytest.approx([1, (1 / 4 + 2 / 5) / 2])
    first, second = overview.scores
    loss = (0.325 - 1) / 3
    assert second.mean_ap - first.mean_ap == pytest.approx(loss)
    assert second.beyond_first.mean == pytest.approx(loss) and second.beyond_first.high == 0
    (alone,) = gallery(made, root / "a/r.txt", root / "r.txt", movies=["tt1"]).overview("x").scores[1:]
    assert alone.beyond_first is None and alone.mean_ap == pytest.approx((0.325 + 0.5) / 2)


def test_a_json_of_another_run_is_not_believed(made):
    _, root = made
    write_json(root / "r.txt")
    assert read_submission(root / "r.txt").doubt is None
    write_ranking(root / "r.txt", RANKING | {"tt1_nm2": ["tt1_0"]})
    told = read_submission(root / "r.txt")
    assert "r.json: is of another run than" in told.doubt and not told.places
    ann, other = contents(gallery(made, root / "r.txt"), root)[0].people
    assert ann.results[0].probability is None and other.results[0].order.tolist() == [0]
    (root / "r.json").write_text("{")
    assert "r.json" in read_submission(root / "r.txt").doubt


def test_without_frames_there_are_crops_only(made):
    _, root = made
    write_ranking(root / "r.txt", RANKING)
    of = gallery(made, root / "r.txt", frames=None)
    first, _ = contents(of, root)
    assert [(one.name, one.picture, one.size) for one in first.frames] == [
        ("tt1/candidates/shot0001img0", None, None),
        ("tt1/candidates/shot 2#?%", None, None),
    ]
    assert first.boxes[3].bbox == (50, 0, 30, 60) and not list((root / "g").glob("frames/*"))


def test_crops_and_frames_that_are_missing(made):
    split, root = made
    write_ranking(root / "r.txt", RANKING)
    (root / "body" / split["tt1"].candidates[1].file).unlink()
    (root / "origin/tt1/candidates/shot0001img0.jpg").unlink()
    (root / "origin" / HOSTILE / "candidates/shot0001img0.jpg").write_text("no picture")
    of, pictures = gallery(made, root / "r.txt"), Pictures(root / "g")
    first, odd = of.movies(pictures)
    assert first.boxes[1].thumbnail == pictures.blank() != first.boxes[0].thumbnail
    for movie in (first, odd):
        assert [one.picture is None for one in movie.frames] == [True, False] and movie.frames[0].size is None
    assert (of.frameless, of.whole, len(pictures.bad)) == (2, 4, 2)


def test_crops_whose_names_tell_no_frame_are_frames_of_their_own(made):
    split, root = made
    write_ranking(root / "r.txt", RANKING)
    movie = split["tt1"]
    (root / "body/plain.jpg").write_bytes((root / "body" / movie.candidates[0].file).read_bytes())
    odd = replace(movie, candidates=(replace(movie.candidates[0], file="plain.jpg"), *movie.candidates[1:]))
    (first,) = contents(gallery((Split([odd]), root), root / "r.txt"), root)
    assert [box.frame for box in first.boxes] == [0, 1, 2, 2, 2]
    assert first.boxes[0].bbox is None and first.frames[0].picture is None


def test_moments_of_a_film(made):
    _, root = made
    write_ranking(root / "r.txt", RANKING)
    times = {"tt1": Times(25, 1, 9.5, (), {"shot0001img0": 1.25, "shot 2#?%": 3.5}, {})}
    for frames in (root / "origin", None):
        first, odd = contents(gallery(made, root / "r.txt", times=times, frames=frames), root)
        assert [one.seconds for one in first.frames] == [1.25, 3.5] and first.duration == 9.5
        assert [one.seconds for one in odd.frames] == [None, None] and odd.duration is None
        assert first.timeline is None and not first.people[0].appearances  # nothing tells probabilities

    write_json(root / "r.txt")
    tracks = {"tt1_2": 0, "tt1_0": 1, "tt1_4": 2}
    timed = replace(times["tt1"], shots=(Stretch(0, 9.5),), tracks=tracks)
    first, odd = contents(gallery(made, root / "r.txt", times={"tt1": timed}), root)
    assert [(one.start, one.end) for one in first.people[0].appearances] == [(0.25, 4.5)]  # tracks 1 and 0
    assert "Ann" in (root / "g" / first.timeline).read_text() and odd.timeline is None


@pytest.mark.parametrize(
    ("ranking", "movies", "message"),
    [
        ({"zz": ["tt1_0"]}, None, "ranks nobody of these movies; it is of another split"),
        ({"tt1_nm1": ["odd<b>&_0"]}, None, "cast tt1_nm1: 'odd<b>&_0' is ranked but no candidate of tt1; "),
        (RANKING, ["TT1"], "no movie TT1; there is tt1: upper and lower case differ"),
        (RANKING, ["tt9"], "no movie tt9; there are tt1, "),
    ],
)
def test_what_does_not_belong_together_is_told(made, ranking, movies, message):
    _, root = made
    write_ranking(root / "r.txt", ranking)
    with pytest.raises(GalleryError, match=message.replace("(", r"\(")):
        gallery(made, root / "r.txt", movies=movies)


def test_no_hit_in_any_line_counts_zero(made):
    _, root = made
    write_ranking(root / "r.txt", {"tt1_nm1": ["tt1_1"]})
    of = gallery(made, root / "r.txt", labels={"tt1_nm1": ["tt1_0"], "tt1_nm2": []})
    (score,) = of.overview("x").scores
    assert (score.mean_ap, score.rank) == (0, {1: 0, 5: 0, 10: 0})
    ann, other = contents(of, root)[0].people
    assert ann.results[0].ap == 0 and other.hits == frozenset()


class Killed(BaseException):
    """Nothing catches it."""


def test_stopped_at_any_file_the_next_run_ends_whole(made, monkeypatch):
    """What the earlier gallery shows stays there until the new pages are written; nothing is left of it then."""
    _, root = made
    write_ranking(root / "r.txt", RANKING)

    def make(name: str, **more) -> dict[str, bytes]:
        of = gallery(made, root / "r.txt", **more)
        make_gallery(root / name, of.overview("x"), of.movies)
        return {str(path.relative_to(root / name)): path.read_bytes() for path in (root / name).rglob("*.*")}

    expected, left, plain = make("whole"), 0, writing._Replacement.take_place

    def counted(replacement) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        plain(replacement)

    before = make("g", movies=["tt1"])
    assert not expected.keys() <= before.keys()
    monkeypatch.setattr(writing._Replacement, "take_place", counted)
    stops = 0
    for stop in (0, 3, 8, 14, 20):
        left = stop
        try:
            make("g")
        except Killed:
            stops += 1
            shown = {name for name in before if name.startswith(("thumbnails", "frames", "portraits"))}
            assert all((root / "g" / name).is_file() for name in shown)
        left = 1000
        assert make("g") == expected
        before = make("g", movies=["tt1"])
    assert stops == 5


def test_how_probably_somebody_is_in_the_movie(made):
    _, root = made
    write_json(root / "r.txt")
    first, odd = contents(gallery(made, root / "r.txt"), root)
    assert [one.present for one in (*first.people, *odd.people)] == pytest.approx([0.9, 0.9, 0.9, None])
    (root / "r.json").unlink()
    assert [one.present for one in contents(gallery(made, root / "r.txt"), root)[0].people] == [None, None]


def test_one_run_at_a_time_writes_a_gallery(made):
    _, root = made
    write_ranking(root / "r.txt", RANKING)
    of = gallery(made, root / "r.txt")
    make_gallery(root / "g", of.overview("x"), of.movies)
    holding = f"""
import fcntl, sys
file = open({str(root / "g" / MARK)!r}, "ab")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()"""
    with subprocess.Popen([sys.executable, "-c", holding], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(GalleryError, match="another run writes this gallery; wait until it has ended"):
            make_gallery(root / "g", of.overview("x"), of.movies)
        other.stdin.close()
    make_gallery(root / "g", of.overview("x"), of.movies)
