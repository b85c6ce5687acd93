"""The gallery's pages as files: what is written, what is removed, what stands in them."""

from __future__ import annotations

import gc
import json
import re
import weakref
from dataclasses import replace

import numpy as np
import pytest

from castsearch.decisions import Decisions, Verdicts, as_json
from castsearch.gallery.site.content import Box, Frame, MovieContent, Overview, Person, RankedBoxes
from castsearch.gallery.site.render import GENERATOR, moment, write_site
from castsearch.stagefiles import StageFileError
from tests.gallery.site_of import HOSTILE, make_site


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return make_site(tmp_path_factory.mktemp("site"), (12, 9, 6))


def script(path):
    """What a script sets."""
    return json.loads(re.fullmatch(r'"use strict";\nwindow\.\w+ = (.*);\n', path.read_text(encoding="utf-8"))[1])


def person(order, probability=None, **other):
    order = np.array(order)
    shares = None if probability is None else np.array(probability, np.float32)
    return Person("p", "p", (), (RankedBoxes(order, ["face"] * len(order), shares),), **other)


def movie(people, n=3, name="tt1"):
    boxes = [Box(f"{name}_{place}", f"{name}/{place}.jpg", f"t/{place}.jpg", place, None) for place in range(n)]
    return MovieContent(name, people, boxes, [Frame(f"{place}.jpg", None, None) for place in range(n)])


def test_a_page_a_movie_and_a_page_a_person(site):
    pages = sorted(path.relative_to(site.folder).as_posix() for path in site.folder.rglob("*.html"))
    assert pages == [
        "index.html",
        *(f"movies/1/{name}.html" for name in (1, 2, 3, 4, "index")),
        *(f"movies/2/{name}.html" for name in (1, 2, 3, "index")),
        *(f"movies/3/{name}.html" for name in (1, 2, 3, 4, "index")),
    ]
    assert f'<meta name="generator" content="{GENERATOR}">' in site.index.read_text()


def test_nothing_of_names_is_markup_or_an_address(site):
    for page in site.folder.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert HOSTILE not in text
        assert "<script>" not in text
        assert "<b>people" not in text
        assert re.findall(r'(?:src|href)="(?:https?:|//)', text) == []
    index = site.index.read_text(encoding="utf-8")
    assert 'src="pictures/m0%20box%25' in index
    data = re.search(r'id="person-data">(.*?)</script>', (site.folder / "movies/1/1.html").read_text(), re.DOTALL)[1]
    assert json.loads(data)["name"] == f"Ann {HOSTILE}"


def test_lines_and_markup_in_data_end_no_script(tmp_path):
    name = "a\u2028</script><!--&"
    write_site(tmp_path, Overview("t", ["r"]), [movie([replace(person([0, 1, 2]), name=name)])])
    text = (tmp_path / "movies/1/movie.js").read_text(encoding="utf-8")
    assert not set("<>&\u2028") & set(text)
    assert script(tmp_path / "movies/1/movie.js")["people"][0]["name"] == name


def test_what_a_movie_tells(site):
    data, content = script(site.folder / "movies/1/movie.js"), site.movies[0]
    assert data["boxes"]["id"] == [box.id for box in content.boxes]
    assert data["boxes"]["file"] == [box.file for box in content.boxes]
    assert data["boxes"]["bbox"][1] == [380, 60, 160, 240]
    assert data["frames"]["seconds"] == [2.5 * place for place in range(8)]
    assert data["people"][3]["boxes"] == [int(box) for box in content.people[3].results[0].order]
    shared = script(site.folder / "assets/gallery.js")
    assert [entry["people"] for entry in shared["movies"]] == [[f"m{n}_nm{who}" for who in range(3)] for n in range(3)]
    assert shared["movies"][0]["key"] == data["key"]


def test_the_columns_of_a_person(tmp_path):
    ranked = RankedBoxes(np.array([2, 0]), ["body", "face"], np.array([0.93456, 0.1], np.float32), 0.5)
    someone = Person("p", "p", (), (None, ranked), frozenset({2}))
    write_site(tmp_path, Overview("t", ["a", "b"]), [movie([someone])])
    text = (tmp_path / "movies/1/1.html").read_text()
    data = json.loads(re.search(r'id="person-data">(.*?)</script>', text, re.DOTALL)[1])
    assert data["hits"] == [2]
    assert data["results"][0] is None
    assert data["results"][1] == {
        "order": [2, 0], "words": ["body", "face"], "foundBy": [0, 1], "probability": [9346, 1000], "asking": None,
        "ap": 0.5,
    }  # fmt: skip
    assert "a ranks no box for p." in text


@pytest.mark.parametrize(
    ("people", "who"),
    [
        ([person([0, 1, 2], [0.9, 0.5, 0.2]), person([2, 1, 0], [0.8, 0.6, 0.95])], [1, 1, 1]),
        ([person([0, 1, 2], [0.9, 0.5, 0.2]), person([0], [0.7])], [0, -1, -1]),
        ([person([0, 1, 2]), person([2, 1, 0])], [0, 0, 1]),
        ([Person("p", "p", (), (None,)), person([1])], [-1, 1, -1]),
        ([], [-1, -1, -1]),
    ],
)
def test_whom_a_box_shows(tmp_path, people, who):
    write_site(tmp_path, Overview("t", ["r"]), [movie(people)])
    assert script(tmp_path / "movies/1/movie.js")["boxes"]["who"] == who


@pytest.mark.parametrize(
    ("probability", "shown", "words"),
    [
        ([0.9, 0.8, 0.7, 0.6, 0.4, 0.3, 0.2, 0.1], [0, 2, 3, 1, 4, 5], "probably 4 of 8 boxes"),  # 2 and 3: no track
        ([0.3] * 8, [0, 1, 2, 3, 4, 5], "probably 0 of 8 boxes"),
        (None, [0, 2, 3, 4, 6, 1], "8 boxes"),
    ],
)
def test_a_strip_shows_one_box_a_track_of_those_that_are_probably_the_persons(tmp_path, probability, shown, words):
    content = movie([person(range(8), probability)], 8)
    tracks = [7, 7, None, None, 5, 5, 6, 6]
    boxes = [replace(box, track=track) for box, track in zip(content.boxes, tracks, strict=True)]
    index = write_site(tmp_path, Overview("t", ["r"]), [replace(content, boxes=boxes)]).read_text()
    assert [int(box) for box in re.findall(r'src="t/(\d)\.jpg" alt="p, rank', index)] == shown
    assert re.findall(r"<li>([^<]*boxes)</li>", index) == [words]


def test_a_movies_key_tells_its_boxes(tmp_path):
    def key(content):
        write_site(tmp_path, Overview("t", ["r"]), [content])
        return script(tmp_path / "movies/1/movie.js")["key"]

    first = movie([])
    assert key(first) == key(movie([person([0])]))
    other = [*first.boxes[:2], replace(first.boxes[2], file="tt1/other.jpg")]
    assert len({key(first), key(movie([], 2)), key(movie([], name="tt2")), key(replace(first, boxes=other))}) == 4


def test_decisions_that_were_given(tmp_path):
    given = Decisions({"p": Verdicts({"tt1_0": "tt1/0.jpg"}, {}, ("tt1_0",))}, {"tt1": {"Zoe": {"tt1_1": "tt1/1.jpg"}}})
    write_site(tmp_path, Overview("t", ["r"], decisions=given), [movie([person([0])])])
    assert script(tmp_path / "assets/gallery.js")["decisions"] == as_json(given)


def test_pages_of_an_earlier_run_are_removed_and_no_others(tmp_path):
    write_site(tmp_path, Overview("t", ["r"]), [movie([person([0])] * 3), movie([]), movie([])])
    theirs = [
        tmp_path / name for name in ("movies/1/notes.html", "movies/2/1.txt", "decisions.json", "assets/my.css.bak")
    ]
    for path in theirs:
        path.write_text("mine")
    (tmp_path / "assets/old.js").write_text("ours")
    write_site(tmp_path, Overview("t", ["r"]), [movie([person([0])])])
    pages = {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("movies/*/*")}
    assert pages == {
        "movies/1/index.html",
        "movies/1/1.html",
        "movies/1/movie.js",
        "movies/1/notes.html",
        "movies/2/1.txt",
    }
    assert all(path.read_text() == "mine" for path in theirs)
    assert not (tmp_path / "assets/old.js").exists()
    assert not (tmp_path / "movies/3").exists()


def test_pages_where_a_link_leads_stay(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/5.html").write_text("mine")
    write_site(tmp_path / "g", Overview("t", ["r"]), [movie([person([0])])])
    (tmp_path / "g/movies/9").symlink_to(tmp_path / "elsewhere")
    write_site(tmp_path / "g", Overview("t", ["r"]), [movie([person([0])])])
    assert (tmp_path / "elsewhere/5.html").read_text() == "mine"


def test_a_movie_is_let_go_once_it_is_written(tmp_path):
    alive = []

    def movies():
        for number in range(4):
            content = movie([person([0])], name=f"tt{number}")
            alive.append(weakref.ref(content))
            yield content
            del content
            gc.collect()
            assert sum(each() is not None for each in alive[:-1]) == 0

    write_site(tmp_path, Overview("t", ["r"]), movies())
    assert len(alive) == 4


def test_the_index_comes_last(tmp_path):
    def movies():
        yield movie([])
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_site(tmp_path, Overview("t", ["r"]), movies())
    assert not (tmp_path / "index.html").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(StageFileError):
        write_site(tmp_path / "file", Overview("t", ["r"]), [])


def test_no_movie_nobody_and_no_box(tmp_path):
    write_site(tmp_path, Overview("t", []), [])
    assert "There is no movie in this gallery." in (tmp_path / "index.html").read_text()
    write_site(tmp_path, Overview("t", ["r"]), [movie([], 0), movie([person([])], 0)])
    assert "Nobody was looked for." in (tmp_path / "movies/1/index.html").read_text()
    assert "0 boxes in 0 frames" in (tmp_path / "index.html").read_text()


def test_moments():
    assert [moment(seconds) for seconds in (0, 59.9996, 3599.9994, 36000)] == [
        "0:00:00.000", "0:01:00.000", "0:59:59.999", "10:00:00.000",
    ]  # fmt: skip
