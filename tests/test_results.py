"""Rankings as JSON: what is written, what is read, and what is refused."""

from __future__ import annotations

import json
import os
import random
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from castsearch.annotations import read_ranking
from castsearch.results import Places, ResultError, check_result, is_current, json_beside, read_result, write_result
from castsearch.stagefiles import StageFileError
from tests.fuzz.mutations import mutated_json
from tests.rankings import write_ranking

DOCS = Path(__file__).resolve().parents[1] / "docs"


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


PLAIN = Places(["tt1_2", "tt1_0", "tt1_1"], column(0.912345678, 0.25, np.nan), ["face", "spread 1", "frame-mate"])
TOLD = Places(
    ["é_1", "é_0"],
    column(2.5, -0.000001),
    ["face", "time"],
    column(0.924141, 0.5),
    {"face": column(2.25, np.nan), "body": column(0.25, -0.0)},
)


def write(path: Path, *people: tuple[str, list[str], Places]) -> None:
    with write_result(path, mode="val", recipe="best", settings={"time": True}, versions={"castsearch": "1"}) as writer:
        for movie, portraits, places in people:
            writer.add(movie, portraits, places)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The JSON of two movies, with three people in all."""
    people = (("tt1", ["tt1_a", "tt1_a2"], PLAIN), ("tt1", ["tt1_b"], PLAIN), ("é", ["é_c"], TOLD))
    write(tmp_path / "val_result.txt", *people)
    return tmp_path / "val_result.json"


def strict(path: Path) -> dict[str, Any]:
    """JSON as those read it who know no NaN."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    return json.loads(path.read_bytes(), parse_constant=refuse)


# ---------------------------------------------------------------------------- writing


def test_columns_are_as_a_table_wants_them(written):
    content = strict(written)
    assert list(content) == ["format", "mode", "recipe", "settings", "versions", "movies", "ranking"]
    assert list(content["movies"]) == ["tt1", "é"]
    assert content["movies"]["tt1"]["people"]["tt1_a"] == {
        "rank": [1, 2, 3],
        "id": ["tt1_2", "tt1_0", "tt1_1"],
        "found_by": ["face", "spread 1", "frame-mate"],
        "score": [0.91235, 0.25, None],
    }
    assert content["movies"]["tt1"]["portraits"] == {"tt1_a": ["tt1_a", "tt1_a2"], "tt1_b": ["tt1_b"]}
    assert content["movies"]["é"]["people"]["é_c"] == {
        "rank": [1, 2],
        "id": ["é_1", "é_0"],
        "found_by": ["face", "time"],
        "score": [2.5, 0.0],
        "probability": [0.92414, 0.5],
        "evidence_face": [2.25, None],
        "evidence_body": [0.25, 0.0],
    }
    assert b"-0.0" not in written.read_bytes()


def test_the_text_file_is_that_of_the_ranking(written, tmp_path):
    text = written.with_name("val_result.txt")
    expected = {"tt1_a": PLAIN.ids, "tt1_b": PLAIN.ids, "é_c": TOLD.ids}
    assert read_ranking(text) == expected
    write_ranking(tmp_path / "same.txt", expected)
    assert text.read_bytes() == (tmp_path / "same.txt").read_bytes()


def test_what_was_written_is_read(written):
    result = read_result(written)
    assert (result.mode, result.recipe, result.settings, result.versions) == (
        *("val", "best", {"time": True}),
        {"castsearch": "1"},
    )
    assert {movie: list(people) for movie, people in result.movies.items()} == {"tt1": ["tt1_a", "tt1_b"], "é": ["é_c"]}
    assert result.movies["tt1"]["tt1_a"].portraits == ("tt1_a", "tt1_a2")
    plain, told = result.movies["tt1"]["tt1_a"].places, result.movies["é"]["é_c"].places
    assert (plain.ids, plain.found_by) == (PLAIN.ids, PLAIN.found_by)
    assert (plain.probability, plain.evidence) == (None, {})
    np.testing.assert_array_equal(plain.score, column(0.91235, 0.25, np.nan))
    assert told.score.dtype == told.probability.dtype == told.evidence["face"].dtype == np.float32
    np.testing.assert_array_equal(told.probability, column(0.92414, 0.5))
    assert list(told.evidence) == ["face", "body"]
    np.testing.assert_array_equal(told.evidence["face"], column(2.25, np.nan))


def test_nobody_to_rank_is_a_result(tmp_path):
    write(tmp_path / "r.txt")
    assert read_result(tmp_path / "r.json").movies == {}
    assert (tmp_path / "r.txt").read_bytes() == b""


def test_names_of_files_may_be_any_bytes(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff.txt")
    with write_result(path, mode="val", recipe="best", settings={"reid": [path.name]}, versions={}) as writer:
        writer.add("tt1", ["tt1_a"], PLAIN)
    assert read_result(json_beside(path)).settings == {"reid": [path.name]}


def test_absent_is_who_is_in_no_box_above_a_half():
    for probability, absent in (
        (column(0.5, 0.2), True),
        (column(0.51, 0), False),
        (column(0, 0.51), False),
        (column(0.500004, 0.2), True),  # 0.5 in the file
        (None, False),
    ):
        assert Places(["a", "b"], column(0, 0), ["x", "x"], probability).absent == absent


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ((["a", "a"], column(1, 2), ["x", "x"]), "candidate a stands in it twice"),
        ((["a", "b"], column(1), ["x", "x"]), "expected 2 numbers under 'score', as many as ids, got (1,)"),
        ((["a", "b"], column(1, 2), ["x"]), "expected 2 words under 'found_by', as many as ids, got 1"),
        ((["a", "b"], column(1, -np.inf), ["x", "x"]), "score of candidate b is infinite"),
        ((["a"], column(1), ["x"], None, {"body": column(np.inf)}), "evidence_body of candidate a is infinite"),
        ((["a"], column(1), ["x"], column(1.25)), "probability of candidate a is 1.25: expected 0 to 1"),
        ((["a"], column(1), ["x"], column(-0.25)), "probability of candidate a is -0.25: expected 0 to 1"),
        ((["a"], column(1), ["x"], column(np.nan)), "probability of candidate a is nan: expected 0 to 1"),
        ((["a"], column(1), ["x"], None, {"face": column(1, 2)}), "expected 1 numbers under 'evidence_face'"),
    ],
)
def test_columns_that_do_not_fit(columns, message):
    with pytest.raises(ResultError, match=re.escape(message)):
        Places(*columns)


def test_a_failure_leaves_the_old_pair(written):
    before = [path.read_bytes() for path in sorted(written.parent.iterdir())]
    with pytest.raises(ResultError, match="person tt1_a is ranked twice"):
        write(written.with_name("val_result.txt"), *[("tt1", ["tt1_a"], PLAIN)] * 2)
    with pytest.raises(ResultError, match="movie tt1: its people do not come one behind the other"):
        write(
            written.with_name("val_result.txt"), *[(m, [f"{m}_{i}"], PLAIN) for i, m in enumerate(["tt1", "é", "tt1"])]
        )
    assert [path.read_bytes() for path in sorted(written.parent.iterdir())] == before


def test_both_files_are_whole_before_either_takes_its_place(written, monkeypatch):
    """The text file's last bytes may find no room: the old pair stays."""
    before = [path.read_bytes() for path in sorted(written.parent.iterdir())]
    text, synced = written.with_name("val_result.txt"), []

    def full(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StageFileError, match="No space left on device"):
        write(text, ("tt1", ["new"], PLAIN))
    assert synced[0].startswith(".val_result.txt.")
    assert [path.read_bytes() for path in sorted(written.parent.iterdir())] == before


def test_a_kill_between_the_two_leaves_an_old_text_beside_a_new_json(written, monkeypatch):
    text, old = written.with_name("val_result.txt"), written.with_name("val_result.txt").read_bytes()
    os.utime(text, (1e9, 1e9))
    replace = Path.replace

    def killed(self: Path, target: Path) -> Path:
        if target.suffix == ".txt":
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write(text, ("tt1", ["new"], PLAIN))
    assert text.read_bytes() == old
    result = read_result(written)
    assert list(result.movies["tt1"]) == ["new"]
    with pytest.raises(ResultError, match=f"^{re.escape(str(text))}: is of another run than {re.escape(str(written))}"):
        result.check_ranking(text)


def test_memory_does_not_grow_with_the_split(tmp_path):
    n = 2000
    ids = [f"tt1_{i}" for i in range(n)]
    places = Places(ids, np.linspace(1, 0, n, dtype=np.float32), ["body"] * n, np.linspace(1, 0, n, dtype=np.float32))

    def peak(people: int) -> int:
        tracemalloc.start()
        write(tmp_path / "r.txt", *[(f"tt{i // 8}", [f"{i}"], places) for i in range(people)])
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few = peak(8)
    assert peak(80) < min(1.2 * few, (tmp_path / "r.json").stat().st_size / 5)


# ---------------------------------------------------------------------------- the pair


def test_the_pair_belongs_together(written):
    text = written.with_name("val_result.txt")
    result = read_result(written)
    result.check_ranking(text)
    text.write_bytes(text.read_bytes().replace(b"tt1_2,tt1_0", b"tt1_0,tt1_2", 1))  # as long as before
    os.utime(written, (1e9, 1e9))
    told = f"{written}: is of another run than {text}, or one of them was changed; rank again"
    with pytest.raises(ResultError, match=f"^{re.escape(told)}$"):
        result.check_ranking(text)
    with pytest.raises(StageFileError, match=r"nowhere\.txt: no such file"):
        result.check_ranking(written.with_name("nowhere.txt"))


def test_a_pair_of_which_anything_was_changed_is_not_current(tmp_path):
    ranking = tmp_path / "val_result.txt"
    with write_result(ranking, mode="val", recipe="best", settings={}, versions={}, made="ab") as writer:
        writer.add("tt1", ["tt1_a"], PLAIN)
    assert is_current(ranking, "ab") and not is_current(ranking, "ac") and not is_current(ranking, "")
    for path in (ranking, json_beside(ranking)):
        whole = path.read_bytes()
        for place in range(0, len(whole), 7):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            name = b'"file": "val_result.txt"'  # of which nothing is made
            assert not is_current(ranking, "ab") or name not in path.read_bytes(), place
        path.write_bytes(whole)
        assert is_current(ranking, "ab")
        path.unlink()
        assert not is_current(ranking, "ab")
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("ranking", "beside"), [("a.txt", "a.json"), ("a", "a.json"), ("a.b", "a.b.json"), ("a.txt.txt", "a.txt.json")]
)
def test_where_the_json_lies(ranking, beside):
    assert json_beside(Path("x") / ranking) == Path("x") / beside


@pytest.mark.parametrize("name", ["val.txt", "train", "test_label.txt", "val_times.txt", "face_val.pkl.txt"])
def test_names_of_other_files_in_the_data_folder(tmp_path, name):
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    beside = json_beside(tmp_path / "link" / name)
    with pytest.raises(ResultError, match=f"^{re.escape(str(beside))}: .* such names are other files'; choose another"):
        check_result(tmp_path / "link" / name, tmp_path / "data")
    if "pkl" not in name:
        assert check_result(tmp_path / name, tmp_path / "data") == tmp_path / name


@pytest.mark.parametrize("content", [b'{"tt1": {"cast": []}}', b"\xff", b'{"format": "coco"}', b" "])
def test_another_file_is_not_replaced(tmp_path, content):
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(ResultError, match=r"r\.json: is written beside r\.txt, but there is a file that is no result"):
        check_result(tmp_path / "r.txt", tmp_path / "data")


def test_a_result_and_an_empty_file_are_replaced(written, tmp_path):
    check_result(written.with_name("val_result.txt"), tmp_path)
    written.write_text(json.dumps(strict(written), indent=4))
    check_result(written.with_name("val_result.txt"), tmp_path)
    written.write_bytes(b"")
    check_result(written.with_name("val_result.txt"), tmp_path)
    written.unlink()
    written.mkdir()
    with pytest.raises(StageFileError, match=r"val_result\.json: is a folder"):
        check_result(written.with_name("val_result.txt"), tmp_path)


@pytest.mark.parametrize(("link", "leads_to"), [("r.json", "r.txt"), ("r.txt", "r.json")])
def test_the_two_are_not_one_file(tmp_path, link, leads_to):
    (tmp_path / link).symlink_to(leads_to)
    with pytest.raises(ResultError, match=r"r\.json: is written beside r\.txt, but links make one file of the two"):
        check_result(tmp_path / "r.txt", tmp_path / "data")


# ---------------------------------------------------------------------------- reading

AT = "movie tt1, person tt1_a: "


def change(*way: str | int, value: Any) -> Callable[[dict[str, Any]], object]:
    """Puts a value in its place: movies, tt1, people, tt1_a and so on."""

    def edit(content: dict[str, Any]) -> None:
        for step in way[:-1]:
            content = content[step]  # type: ignore[index]
        content[way[-1]] = value  # type: ignore[index]

    return edit


def of(name: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return change("movies", "tt1", "people", "tt1_a", name, value=value)


def without(*way: str) -> Callable[[dict[str, Any]], object]:
    def edit(content: dict[str, Any]) -> None:
        for step in way[:-1]:
            content = content[step]
        del content[way[-1]]

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (without("format"), "is no result: expected 'castsearch result 1' under 'format', found None"),
        (change("format", value="castsearch result 2"), "is a result of version 2, where 1 is read"),
        (change("format", value=["castsearch result 1"]), "is no result"),
        (without("recipe"), "expected a word under 'recipe', found None"),
        (change("settings", value=[]), "expected an object under 'settings', found []"),
        (change("ranking", value=None), "expected an object under 'ranking', found None"),
        (change("ranking", "sha256", value=1), "ranking: expected a word under 'sha256', found 1"),
        (change("movies", value=[]), "expected an object under 'movies', found []"),
        (change("movies", "a/b", value={}), "movie a/b holds a path"),
        (change("movies", "tt1", value=3), "movie tt1: expected an object under 'people', found None"),
        (without("movies", "tt1", "people", "tt1_b"), "movie tt1: person tt1_b must stand under both 'people' and"),
        (change("movies", "tt1", "portraits", "tt1_a", value=[]), f"{AT}the first portrait must be tt1_a, found []"),
        (
            change("movies", "tt1", "portraits", "tt1_a", value=["tt1_a2", "tt1_a"]),
            f"{AT}the first portrait must be tt1_a, found ['tt1_a2', 'tt1_a']",
        ),
        (change("movies", "tt1", "portraits", "tt1_a", value="tt1_a"), f"{AT}expected a list under 'portraits'"),
        (change("movies", "tt1", "portraits", "tt1_a", value=["tt1_a", "a,b"]), f"{AT}id 'a,b' holds a comma"),
        (
            change("movies", "tt1", "portraits", "tt1_b", value=["tt1_b", "tt1_a2"]),
            "movie tt1, person tt1_b: portrait tt1_a2 stands twice",
        ),
        (change("movies", "tt1", "people", "tt1_a", value=[]), f"{AT}expected columns by name, found []"),
        (of("probabilty", [1, 1, 1]), f"{AT}a result has no column probabilty; remove it"),
        (of("evidence_", [1, 1, 1]), f"{AT}a result has no column evidence_; remove it"),
        (without("movies", "tt1", "people", "tt1_a", "score"), f"{AT}there is no column 'score'"),
        (of("score", {"0": 1}), f"{AT}expected a list under 'score', found {{'0': 1}}"),
        (of("score", [1, 2]), f"{AT}expected 3 numbers under 'score', as many as ids, got (2,)"),
        (of("score", [1, "2", 3]), f"{AT}'score' holds '2', where numbers were expected"),
        (of("score", [1, True, 3]), f"{AT}'score' holds True, where numbers were expected"),
        (of("score", [1, [2], 3]), f"{AT}'score' holds [2], where numbers were expected"),
        (of("score", [1, float("nan"), None]), f"{AT}'score' holds nan, where numbers were expected"),
        (of("score", [1, float("-inf"), 3]), f"{AT}'score' holds -inf, where numbers were expected"),
        (of("score", [1, 1e300, 3]), f"{AT}'score' holds 1e+300, where numbers were expected"),
        (of("score", [1, 10**400, None]), f"{AT}'score' holds 1000"),
        (of("probability", [1, 0, 1.00001]), f"{AT}probability of candidate tt1_1 is 1.00001: expected 0 to 1"),
        (of("probability", [1, 0, None]), f"{AT}probability of candidate tt1_1 is nan: expected 0 to 1"),
        (of("probability", [1, 0]), f"{AT}expected 3 numbers under 'probability', as many as ids, got (2,)"),
        (of("evidence_face", [1, 0]), f"{AT}expected 3 numbers under 'evidence_face', as many as ids, got (2,)"),
        (of("id", ["tt1_2", "tt1_0", "tt1_2"]), f"{AT}candidate tt1_2 stands in it twice"),
        (of("id", ["tt1_2", "tt1_0"]), f"{AT}'rank' must count from 1 to 2, as many as ids"),
        (of("id", ["tt1_2", "tt1_0", 3]), f"{AT}id 3 is not a non-empty string"),
        (of("id", ["tt1_2", "tt1_0", ["x"]]), f"{AT}id a list is not a non-empty string"),
        (of("id", ["tt1_2", "tt1_0", "a b"]), f"{AT}id 'a b' holds a comma or a blank"),
        (of("rank", [1, 3, 2]), f"{AT}'rank' must count from 1 to 3, as many as ids"),
        (of("rank", [True, 2, 3]), f"{AT}'rank' must count from 1 to 3, as many as ids"),
        (of("found_by", ["face", "", "body"]), f"{AT}'found_by' holds '', where words were expected"),
        (of("found_by", ["face", None, "body"]), f"{AT}'found_by' holds None, where words were expected"),
        (of("found_by", ["face"]), f"{AT}expected 3 words under 'found_by', as many as ids, got 1"),
    ],
)
def test_hand_edited_results_are_told(written, edit, message):
    content = strict(written)
    edit(content)
    written.write_text(json.dumps(content))
    with pytest.raises(ResultError) as told:
        read_result(written)
    assert str(told.value).startswith(f"{written}: {message}")
    assert "\n" not in str(told.value)


def test_files_that_are_no_result(tmp_path):
    for name, content, message in (
        ("labels", '{"tt1_nm0": ["tt1_0"]}', "is no result: expected 'castsearch result 1' under 'format', found None"),
        ("text", "tt1_a tt1_0,tt1_1\n", "not valid JSON: line 1, column 1"),
        ("twice", '{"format": "castsearch result 1", "format": "x"}', "format stands twice in one object"),
        ("empty", "", "is empty; JSON was expected"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(ResultError, match=re.escape(message)):
            read_result(tmp_path / name)
    with pytest.raises(ResultError, match=r"nowhere\.json: no such file"):
        read_result(tmp_path / "nowhere.json")


def test_mutated_results_are_read_or_told_in_a_line(written):
    seeds, chance, told = [written.read_bytes()], random.Random(0), set()
    for _ in range(700):
        written.write_bytes(mutated_json(chance, seeds))
        try:
            for people in read_result(written).movies.values():
                for person in people.values():
                    assert not np.isinf(person.places.score).any()
        except ResultError as error:
            assert "\n" not in str(error) and len(str(error)) < 1000
            told.add(str(error).partition(": ")[2][:20])
    assert len(told) > 30


# ---------------------------------------------------------------------------- the manual


def test_the_result_that_the_manual_shows_is_one(tmp_path):
    shown = re.search(r"^```text\n(\{\"format.*?)^```$", (DOCS / "files.md").read_text(), re.MULTILINE | re.DOTALL)
    assert shown is not None
    (tmp_path / "val_result.json").write_text(shown[1])
    result = read_result(tmp_path / "val_result.json")
    (person,) = result.movies["tt0107290"].values()
    write_ranking(tmp_path / "val_result.txt", {person.portraits[0]: person.places.ids})
    result.check_ranking(tmp_path / "val_result.txt")
    chance = np.float64(person.places.probability)
    np.testing.assert_allclose(np.log(chance / (1 - chance)), person.places.score, atol=0.01)
