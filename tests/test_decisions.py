"""decisions.json: what is read, what is refused, and what of it is about a split."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castsearch.decisions import DecisionError, Decisions, Verdicts, as_json, fitting, parse_decisions, read_decisions

FORMAT = {"format": "castsearch decisions 1"}
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file: ``write({"people": ...}, "b.json")``; text as it is."""

    def write(content: dict[str, Any] | str, name: str = "decisions.json") -> Path:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(FORMAT | content))
        return path

    return write


def one(**entry: object) -> dict[str, Any]:
    """What is decided for ``nm1`` alone."""
    return {"people": {"nm1": entry}}


WORDS = st.sampled_from(["a", "b", "B", "10", "9", "tt1_0", "x-1.y", "ä", "漢"])
BOXES = st.lists(WORDS, max_size=5).map(lambda words: {word: f"tt1/{word}.jpg" for word in words})


@st.composite
def decisions(draw: st.DrawFn) -> Decisions:
    """Any that do not contradict each other."""
    people, taken = {}, set()
    for person in draw(st.lists(WORDS, max_size=3, unique=True)):
        confirmed = {box: file for box, file in draw(BOXES).items() if box not in taken}
        taken |= confirmed.keys()
        rejected = {box: file for box, file in draw(BOXES).items() if box not in confirmed}
        portraits = draw(st.sets(st.sampled_from(sorted(confirmed)))) if confirmed else ()
        people[person] = Verdicts(confirmed, rejected, tuple(sorted(portraits)), draw(st.booleans()))
    named: dict[str, dict[str, Mapping[str, str]]] = {}
    for movie in draw(st.lists(WORDS, max_size=2, unique=True)):
        seen: set[str] = set()
        for name in draw(st.lists(WORDS, min_size=1, max_size=2, unique=True)):
            boxes = {box: file for box, file in draw(BOXES).items() if box not in seen}
            seen |= boxes.keys()
            named.setdefault(movie, {})[name] = boxes
    return Decisions(people, named)


# ---------------------------------------------------------------------------- as JSON


@settings(max_examples=40, deadline=None)
@given(decisions())
def test_as_json_and_back(some: Decisions) -> None:
    text = json.dumps(as_json(some))
    again = parse_decisions(json.loads(text), "x")
    assert json.dumps(as_json(again)) == text
    empty = Verdicts()
    assert again.people == {person: own for person, own in some.people.items() if own != empty}
    assert again.named == some.named


def shuffled(content: Any, random) -> Any:
    """The same JSON in another order."""
    if isinstance(content, list):
        return random.sample(content, len(content))
    if not isinstance(content, dict):
        return content
    return {key: shuffled(content[key], random) for key in random.sample(list(content), len(content))}


@settings(max_examples=40, deadline=None)
@given(decisions(), st.randoms(use_true_random=False))
def test_the_order_of_entries_does_not_matter(some: Decisions, random) -> None:
    content = as_json(some)
    assert json.dumps(as_json(parse_decisions(shuffled(content, random), "x"))) == json.dumps(content)


@settings(max_examples=40, deadline=None)
@given(decisions(), st.randoms(use_true_random=False))
def test_the_order_of_files_does_not_matter(some: Decisions, random) -> None:
    """Each decision in one of three files; any of them may stand in two."""
    parts: list[Decisions] = []
    for _ in range(3):
        people = {}
        for person, own in some.people.items():
            confirmed = {box: file for box, file in own.confirmed.items() if random.random() < 0.5}
            rejected = {box: file for box, file in own.rejected.items() if random.random() < 0.5}
            people[person] = Verdicts(confirmed, rejected, tuple(box for box in own.portraits if box in confirmed))
        parts.append(Decisions(people, some.named))
    parts.append(some)
    for _ in range(3):
        random.shuffle(parts)
        together = Decisions()
        for part in parts:
            together |= part
        assert json.dumps(as_json(together)) == json.dumps(as_json(some))
    assert as_json(some | some) == as_json(some)


def test_json_is_sorted_and_leaves_out_what_is_empty() -> None:
    some = Decisions(
        {
            "nm2": Verdicts({"b": "b.jpg", "a": "a.jpg"}, {}, ("b", "a"), True),
            "nm1": Verdicts({}, {"d": "d.jpg", "c": "c.jpg"}),
            "nm0": Verdicts(),
        },
        {"tt1": {"Bo": {"f": "f.jpg", "e": "e.jpg"}, "Al": {"g": "g.jpg"}}},
    )
    assert json.dumps(as_json(some)) == (
        '{"format": "castsearch decisions 1", "people": {"nm1": {"rejected": {"c": "c.jpg", "d": "d.jpg"}}, '
        '"nm2": {"confirmed": {"a": "a.jpg", "b": "b.jpg"}, "portraits": ["a", "b"], "replace": true}}, '
        '"named": {"tt1": {"Al": {"g": "g.jpg"}, "Bo": {"e": "e.jpg", "f": "f.jpg"}}}}'
    )
    assert as_json(Decisions()) == FORMAT | {"people": {}}


@pytest.mark.parametrize(
    ("some", "any_decided"),
    [
        (Decisions(), False),
        (Decisions({"nm1": Verdicts(replace=True)}, {"tt1": {}}), False),
        (Decisions({"nm1": Verdicts({"a": "a.jpg"})}), True),
        (Decisions({"nm1": Verdicts(rejected={"a": "a.jpg"})}), True),
        (Decisions(named={"tt1": {"Al": {"a": "a.jpg"}}}), True),
    ],
)
def test_whether_anything_was_decided(some: Decisions, any_decided: bool) -> None:
    assert bool(some) is any_decided


# ---------------------------------------------------------------------------- what is refused


def test_an_empty_object_and_no_file_decide_nothing(write: Write) -> None:
    assert read_decisions([write({})]) == read_decisions([]) == Decisions()


BAD_FILES = {
    "": "is empty; JSON was expected",
    "   \n": "is empty; JSON was expected",
    "[]": "expected a JSON object, keyed by name, found a list",
    "null": "expected a JSON object, keyed by name, found null",
    "NaN": "expected a JSON object, keyed by name, found a number",
    '{"format": ': "not valid JSON: line 1, column 12: Expecting value",
    "{}": "holds no decisions: expected 'castsearch decisions 1' under 'format', found a NoneType",
    '{"format": 1}': "holds no decisions: expected 'castsearch decisions 1' under 'format', found 1",
    '{"format": NaN}': "holds no decisions: expected 'castsearch decisions 1' under 'format', found nan",
    '{"format": "castsearch result 1"}': "under 'format', found 'castsearch result 1'",
    '{"format": "castsearch decisions"}': "under 'format', found 'castsearch decisions'",
    '{"format": "castsearch decisions 1 "}': "under 'format', found 'castsearch decisions 1 '",
    '{"format": "castsearch decisions \\u0661"}': "under 'format', found 'castsearch decisions ١'",
    '{"format": "\\ud800"}': r"under 'format', found '\ud800'",
    '{"format": "castsearch decisions 2"}': "holds decisions of version 2, where 1 is read; save them by a gallery of",
    '{"format": "castsearch decisions 0"}': "holds decisions of version 0, where 1 is read",
    '{"format": "castsearch decisions 1", "persons": {}}': "decisions have no persons; take it out",
    '{"format": "castsearch decisions 1", "\\ud800\\n": {}}': r"decisions have no '\ud800\n'; take it out",
    '{"format": "castsearch decisions 1", "people": {"a": {}, "a": {}}}': "a stands twice in one object",
    '{"format": "castsearch decisions 1", "named": {"b": 1, "b": 1}}': "b stands twice in one object",
    '{"format": "castsearch decisions 1", "people": ' + "[" * 100_000: "nested too deep",
    '{"format": "castsearch decisions 1", "people": ' + "1" * 5000 + "}": "a number of thousands of digits",
}


@pytest.mark.parametrize("text", BAD_FILES, ids=range(len(BAD_FILES)))
def test_what_is_no_file_of_decisions(write: Write, text: str) -> None:
    path = write(text)
    with pytest.raises(DecisionError) as error:
        read_decisions([path])
    message = str(error.value)
    assert message.startswith(f"{path}: ") and BAD_FILES[text] in message
    assert len(message.splitlines()) == 1 and len(message) < len(str(path)) + 300


P, N = "person nm1: ", "movie tt1, name Al: "
BAD_SHAPES: list[tuple[Any, str]] = [
    *((({"people": bad}), "people: expected an object, found ") for bad in ([], None, "nm1", 1, True)),
    *((({"named": bad}), "named: expected an object, found ") for bad in ([], None, "nm1", 1.5)),
    *((({"people": {"nm1": bad}}), f"{P}expected an object, found ") for bad in ([], None, "box", False)),
    *((one(confirmed=bad), f"{P}confirmed: expected an object, found ") for bad in (["a"], None, "a", 0)),
    *((one(rejected=bad), f"{P}rejected: expected an object, found ") for bad in (["a"], None, "a", float("nan"))),
    *((one(portraits=bad), f"{P}portraits: expected a list of ids, found ") for bad in ({}, None, "a", [1], [["a"]])),
    *((one(replace=bad), f"{P}replace: expected true or false, found ") for bad in (0, 1, None, "true", [], {})),
    (one(conf={}), f"{P}a person has no conf; take it out"),
    *((one(confirmed={"a": bad}), f"{P}confirmed: a: the path of its crop, ") for bad in (1, None, "", [], {}, True)),
    (one(confirmed={"a": "../a.jpg"}), "the path of its crop, ../a.jpg, must stay below its folder"),
    (one(confirmed={"a": "/a.jpg"}), "must stay below its folder"),
    (one(rejected={"a": "b\\a.jpg"}), "parts its folders by backslashes; write b/a.jpg"),
    (one(rejected={"a": "a\n.jpg"}), "holds a line break or another control character"),
    (one(rejected={"a": "a\ud800.jpg"}), "half a character"),
    (one(rejected={"a,b": "a.jpg"}), f"{P}rejected: id 'a,b' holds a comma or a blank"),
    (one(confirmed={"": "a.jpg"}), f"{P}confirmed: id '' is not a non-empty string"),
    (one(confirmed={"a" * 300: "a.jpg"}), "is longer than 255 bytes"),
    ({"people": {"": {}}}, "person '': the id is not a non-empty string"),
    ({"people": {"nm 1": {}}}, "person 'nm 1': the id holds a comma or a blank"),
    ({"people": {"nm\ud800": {}}}, "half a character"),
    ({"named": {"tt1": []}}, "movie tt1: expected an object, found a list"),
    ({"named": {"tt1": {"Al": ["a"]}}}, f"{N}expected an object, found a list"),
    ({"named": {"tt1": {"Al": {"a": None}}}}, f"{N}a: the path of its crop, a NoneType, is not a non-empty string"),
    ({"named": {"a/b": {}}}, "movie a/b: the name holds a path"),
    ({"named": {"tt1": {"../x": {}}}}, "movie tt1: the name ../x holds a path, but serves as a file name; choose"),
    ({"named": {"tt1": {" Al": {}}}}, "movie tt1: the name ' Al' begins or ends with a blank; choose another"),
    (
        one(confirmed={"a": "a.jpg"}, rejected={"a": "a.jpg"}),
        f"{P}candidate a is both confirmed and rejected; take one of them out",
    ),
    (one(portraits=["a"]), f"{P}candidate a is a portrait, but not confirmed; confirm it, too"),
    (one(rejected={"a": "a.jpg"}, portraits=["a"]), f"{P}candidate a is a portrait, but not confirmed"),
    (
        {"people": {"nm2": {"confirmed": {"a": "a.jpg"}}, "nm1": {"confirmed": {"a": "a.jpg"}}}},
        "candidate a is confirmed for both nm1 and nm2; keep one of them",
    ),
    (
        {"named": {"tt1": {"Bo": {"a": "a.jpg"}, "Al": {"a": "a.jpg"}}}},
        "candidate a is named both Al and Bo; keep one of them",
    ),
]


@pytest.mark.parametrize(("content", "message"), BAD_SHAPES, ids=range(len(BAD_SHAPES)))
def test_what_is_of_the_wrong_shape(write: Write, content: dict[str, Any], message: str) -> None:
    path = write(content)
    with pytest.raises(DecisionError) as error:
        read_decisions([path])
    told = str(error.value)
    assert told.startswith(f"{path}: ") and message in told
    assert len(told.splitlines()) == 1 and len(told) < len(str(path)) + 300 and told.isprintable()


CONTRADICTIONS = [
    (
        one(confirmed={"a": "a.jpg"}),
        one(rejected={"a": "a.jpg"}),
        "person nm1: candidate a is both confirmed and rejected; take one of them out",
    ),
    (
        one(confirmed={"a": "a.jpg"}),
        {"people": {"nm2": {"confirmed": {"a": "a.jpg"}}}},
        "candidate a is confirmed for both nm1 and nm2; keep one of them",
    ),
    (
        one(confirmed={"a": "a.jpg"}),
        one(confirmed={"a": "b.jpg"}),
        "person nm1: candidate a is {} here and {} there: the decisions are on different runs; take those of the last",
    ),
    (
        {"named": {"tt1": {"Al": {"a": "a.jpg"}}}},
        {"named": {"tt1": {"Bo": {"a": "a.jpg"}}}},
        "candidate a is named both Al and Bo; keep one of them",
    ),
    (
        {"named": {"tt1": {"Al": {"a": "a.jpg"}}}},
        {"named": {"tt1": {"Al": {"a": "b.jpg"}}}},
        "candidate a is {} here and {} there",
    ),
]


@pytest.mark.parametrize(("first", "second", "message"), CONTRADICTIONS)
def test_files_that_contradict_each_other(write: Write, first: dict, second: dict, message: str) -> None:
    paths = [write(first, "1.json"), write(second, "2.json")]
    for order, crops in ((paths, ("a.jpg", "b.jpg")), (paths[::-1], ("b.jpg", "a.jpg"))):
        with pytest.raises(DecisionError) as error:
            read_decisions(order)
        assert str(error.value).startswith(f"{order[0]} and {order[1]}: {message.format(*crops)}")


def test_a_directory_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path, message in ((tmp_path, "is a folder"), (tmp_path / "no.json", "the gallery saves it")):
        with pytest.raises(DecisionError, match=message) as error:
            read_decisions([path])
        assert str(path) in str(error.value)


def test_files_together(write: Write) -> None:
    first = write(one(confirmed={"a": "a.jpg"}, portraits=["a"]) | {"named": {"tt1": {"Al": {"x": "x.jpg"}}}}, "1.json")
    second = write(one(confirmed={"b": "b.jpg"}, rejected={"c": "c.jpg"}, portraits=["b"], replace=True), "2.json")
    third = write({"named": {"tt1": {"Al": {"y": "y.jpg"}}, "tt2": {"Al": {"x": "x.jpg"}}}}, "3.json")
    both = {"a": "a.jpg", "b": "b.jpg"}
    assert read_decisions([first, second, third]) == Decisions(
        {"nm1": Verdicts(both, {"c": "c.jpg"}, ("a", "b"), True)},
        {"tt1": {"Al": {"x": "x.jpg", "y": "y.jpg"}}, "tt2": {"Al": {"x": "x.jpg"}}},
    )


# ---------------------------------------------------------------------------- what is about a split

FILES = {"b0": "tt1/0.jpg", "b1": "tt1/1.jpg", "b2": "tt1/2.jpg", "x0": "tt2/0.jpg"}
PERSONS = {"ann": "ann", "ann#2": "ann", "bob": "bob", "cat": "cat"}
HOMES = {**dict.fromkeys(("b0", "b1", "b2", "ann", "ann#2", "bob"), "tt1"), **dict.fromkeys(("x0", "cat"), "tt2")}


def fit(people: dict[str, Verdicts], files: Mapping[str, str] = FILES, together: bool = False):
    return fitting(Decisions(people), PERSONS, files, None if together else HOMES)


def test_what_fits_stays() -> None:
    ann = Verdicts({"b0": "tt1/0.jpg"}, {"b1": "tt1/1.jpg"}, ("b0",), True)
    assert fit({"ann": ann}) == ({"ann": ann}, [])


def test_boxes_are_found_by_their_crops() -> None:
    """Ids were dealt anew: b0 was b1, b1 was b2, and so on."""
    old = Verdicts({"b1": "tt1/0.jpg", "b2": "tt1/1.jpg"}, {"b9": "tt1/2.jpg"}, ("b2",), True)
    now = Verdicts({"b0": "tt1/0.jpg", "b1": "tt1/1.jpg"}, {"b2": "tt1/2.jpg"}, ("b1",), True)
    assert fit({"ann": old}) == ({"ann": now}, [])


def test_crops_alike_keep_their_ids() -> None:
    """A detector gave one box twice, with two ids."""
    twice = {"b0": "tt1/0.jpg", "b1": "tt1/0.jpg", "b2": "tt1/2.jpg"}
    people = {"ann": Verdicts({"b0": "tt1/0.jpg"}, {"b1": "tt1/0.jpg"})}
    assert fit(people, twice) == (people, [])


def test_what_is_not_there_is_told() -> None:
    people = {
        "ann": Verdicts({"b7": "tt1/7.jpg", "b1": "tt1/8.jpg", "b0": "tt1/0.jpg"}, {"x0": "tt2/0.jpg"}, ("b7",), True),
        "zoe": Verdicts({"b2": "tt1/2.jpg"}),
        "cat": Verdicts({}, {"b1": "tt1/1.jpg"}),
    }
    found, strange = fit(people)
    assert found == {"ann": Verdicts({"b0": "tt1/0.jpg"}), "cat": Verdicts()}  # nothing replaces the portraits
    assert strange == [
        "b1 (another box has this id now)",
        "b1 (of another movie than cat)",
        "b7",
        "x0 (of another movie than ann)",
        "zoe and what is decided for it",
    ]
    found, strange = fit(people, together=True)
    assert found == {
        "ann": Verdicts({"b0": "tt1/0.jpg"}, {"x0": "tt2/0.jpg"}),
        "cat": Verdicts({}, {"b1": "tt1/1.jpg"}),
    }
    assert strange == ["b1 (another box has this id now)", "b7", "zoe and what is decided for it"]


def test_decisions_under_two_portraits_of_a_person_count_together() -> None:
    people = {
        "ann#2": Verdicts({"b0": "tt1/0.jpg"}, {"b2": "tt1/2.jpg"}, ("b0",), True),
        "ann": Verdicts({"b1": "tt1/1.jpg"}),
    }
    both = Verdicts({"b0": "tt1/0.jpg", "b1": "tt1/1.jpg"}, {"b2": "tt1/2.jpg"}, ("b0",), True)
    assert fit(people) == fit(dict(reversed(people.items()))) == ({"ann": both}, [])


CONFIRMED, REJECTED = Verdicts({"b0": "tt1/0.jpg"}), Verdicts({}, {"b0": "tt1/0.jpg"})


@pytest.mark.parametrize(
    ("people", "message"),
    [
        ({"ann": CONFIRMED, "ann#2": REJECTED}, "person ann: candidate b0 is both confirmed and rejected"),
        (
            {"ann": Verdicts({"b0": "tt1/0.jpg"}, {"old": "tt1/0.jpg"})},
            "person ann: candidate b0 is both confirmed and rejected",
        ),
        (
            {"ann": CONFIRMED, "bob": Verdicts({"old": "tt1/0.jpg"})},
            "candidate b0 is confirmed for both ann and bob; keep one of them",
        ),
    ],
)
def test_contradictions_that_show_only_on_the_split(people: dict[str, Verdicts], message: str) -> None:
    for some in (people, dict(reversed(people.items()))):
        with pytest.raises(DecisionError, match=message):
            fit(some)
