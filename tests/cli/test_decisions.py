"""fusion.py --decisions as a user runs it."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from castsearch import stagefiles
from castsearch.results import IN_A_BOX, Person, read_result
from tests.cli.here import Run, runs_here

FORMAT = {"format": "castsearch decisions 1"}


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """Stage files of two movies of 15 boxes; of the first of three people there are two portraits."""
    rng = np.random.default_rng(0)
    retina, face, reid = {}, {}, {}
    for movie in ("tt1", "tt2"):
        who = np.arange(15) % 4  # the last is nobody's portrait
        people, outfits = rng.normal(size=(4, 16)), rng.normal(size=(4, 12))
        portraits = {"ann": 0, "ann2": 0, "bob": 1, "cat": 2}
        seen = {"faces": np.zeros((1, 4), "f4"), "landmarks": np.zeros((1, 10), "f4"), "scores": np.ones(1, "f4")}
        unseen = {"faces": None, "landmarks": None, "scores": None}
        retina[movie] = {
            "cast": [
                {"id": f"{movie}_{name}", "file": f"{movie}/cast/{name}.jpg", "label": f"{person}"} | seen
                for name, person in portraits.items()
            ],
            "candidates": [
                {"id": f"{movie}_{i}", "file": crop(movie, i), "label": f"{who[i]}"} | (unseen if i % 5 == 4 else seen)
                for i in range(15)
            ],
        }
        rows = people[[*portraits.values(), *who]]
        face[movie] = (rows + 0.5 * rng.normal(size=rows.shape)).astype("f4")
        reid[movie] = (outfits[who] + 0.5 * rng.normal(size=(15, 12))).astype("f4")
    stagefiles.write(tmp_path / "retina_val.pkl", retina)
    stagefiles.write(tmp_path / "face_val.pkl", face)
    stagefiles.write(tmp_path / "triplet_resnext101_32x8d_val.pkl", reid)
    return tmp_path


def crop(movie: str, box: int) -> str:
    """Two boxes a frame."""
    return f"{movie}/candidates/shot{box // 2:04d}img0_{box}_0_9_9.jpg"


def boxes(movie: str, *numbers: int) -> dict[str, str]:
    return {f"{movie}_{number}": crop(movie, number) for number in numbers}


@pytest.fixture
def fusion(split: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs fusion.py by the better recipe: ``fusion("--decisions", path, code=0)``."""
    script = runs_here(monkeypatch, capfd)

    def run(*flags: object, code: int = 0, recipe: str = "best") -> subprocess.CompletedProcess[str]:
        where = ("--mode", "val", "--data", split, "--submission", split / "result.txt", "--recipe", recipe)
        return script("fusion.py", *where, *flags, code=code)

    return run


def write(path: Path, people: dict[str, Any], **more: object) -> Path:
    path.write_text(json.dumps({**FORMAT, "people": people, **more}))
    return path


def person(split: Path, movie: str, identity: str) -> Person:
    return read_result(split / "result.json").movies[movie][identity]


def written(split: Path) -> tuple[bytes, bytes]:
    return (split / "result.txt").read_bytes(), (split / "result.json").read_bytes()


def test_decisions_lead_the_ranking(fusion: Run, split: Path) -> None:
    fusion()
    before = person(split, "tt1", "tt1_ann").places
    people = {
        "tt1_ann": {
            "confirmed": boxes("tt1", 3, 4),
            "rejected": boxes("tt1", 0, 8),
            "portraits": ["tt1_3"],
            "replace": True,
        },
        "tt2_ann2": {"confirmed": boxes("tt2", 6)},  # under the second portrait
        "tt2_bob": {"rejected": boxes("tt2", 1)},
    }
    path = write(split / "mine.json", people)
    stored = path.read_bytes()
    assert fusion("--decisions", path).stderr == ""
    assert path.read_bytes() == stored
    result = read_result(split / "result.json")
    assert result.settings["decisions"] == json.loads(stored)

    ann = result.movies["tt1"]["tt1_ann"].places
    assert set(ann.ids[:2]) == {"tt1_3", "tt1_4"} and set(ann.ids[-2:]) == {"tt1_0", "tt1_8"}
    assert list(ann.found_by[:2]) == ["confirmed"] * 2 and list(ann.found_by[-2:]) == ["rejected"] * 2
    assert not {"confirmed", "rejected"} & set(ann.found_by[2:-2])
    assert ann.probability is not None and before.probability is not None
    assert ann.probability[:2].tolist() == [1, 1] and ann.probability[-2:].tolist() == [0, 0]
    assert np.isfinite(ann.score).all() and list(ann.evidence) == ["face", "body", "time", "frame"]
    for kind, column in ann.evidence.items():
        assert np.isfinite(column).all(), kind
    # The frame of box 4 holds box 5, that of box 3 box 2.
    for mate in ("tt1_2", "tt1_5"):
        assert ann.evidence["frame"][ann.ids.index(mate)] < -10
    # The portrait is another face now, which boxes 7 and 11 have, too.
    assert ann.evidence["face"][ann.ids.index("tt1_7")] > before.evidence["face"][before.ids.index("tt1_7")] + 1

    second, bob = (result.movies["tt2"][who].places for who in ("tt2_ann", "tt2_bob"))
    assert (second.ids[0], second.found_by[0]) == ("tt2_6", "confirmed")
    assert (bob.ids[-1], bob.found_by[-1]) == ("tt2_1", "rejected")


def test_nothing_decided_gives_the_same_files(fusion: Run, split: Path) -> None:
    fusion()
    plain = written(split)
    assert fusion("--decisions", write(split / "mine.json", {})).stderr == ""
    assert written(split) == plain


def test_the_order_of_files_and_entries_does_not_matter(fusion: Run, split: Path) -> None:
    shuffle = random.Random(0)
    people = {
        f"{movie}_{who}": {"confirmed": boxes(movie, *range(i, 15, 7)), "rejected": boxes(movie, *range(i + 1, 15, 7))}
        for movie in ("tt1", "tt2")
        for i, who in ((0, "ann"), (2, "bob"), (4, "cat"))
    }
    people["tt1_ann2"] = {"confirmed": boxes("tt1", 5), "portraits": ["tt1_5"]}
    halves = [{who: people[who] for who in list(people)[half::2]} for half in (0, 1)]
    fusion("--decisions", write(split / "a.json", halves[0]), write(split / "b.json", halves[1]))
    once = written(split)

    def turned(content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        return {key: turned(content[key]) for key in shuffle.sample(list(content), len(content))}

    # Each file with what the other has, too; and the other way round.
    all_of_it = write(split / "c.json", turned(people))
    fusion("--decisions", all_of_it, write(split / "b.json", turned(halves[1])), split / "a.json")
    assert written(split) == once


def test_what_is_not_there_is_named_and_kept(fusion: Run, split: Path) -> None:
    people = {
        "tt1_ann": {"confirmed": {"tt1_99": "tt1/99.jpg", "tt1_1": "tt1/elsewhere.jpg"}, "rejected": boxes("tt2", 3)},
        "tt1_zoe": {"rejected": boxes("tt1", 0)},
        "tt2_cat": {"confirmed": {"old_id": crop("tt2", 7)}},
    }
    named = {"tt1": {"The Waiter": boxes("tt1", 3)}}
    path = write(split / "mine.json", people, named=named)
    stored = path.read_bytes()
    done = fusion("--decisions", path)
    assert done.stderr.splitlines() == [
        "warning: decisions on what is not in this split are left out: tt1_1 (another box has this id now), tt1_99, "
        "tt1_zoe and what is decided for it, tt2_3 (of another movie than tt1_ann)",
        "warning: names of groups are for scripts/find_cast.py, and left out: The Waiter",
    ]
    assert path.read_bytes() == stored
    assert read_result(split / "result.json").settings["decisions"] == {**FORMAT, "people": people, "named": named}
    assert not {"confirmed", "rejected"} & set(person(split, "tt1", "tt1_ann").places.found_by)
    cat = person(split, "tt2", "tt2_cat").places
    assert (cat.ids[0], cat.found_by[0]) == ("tt2_7", "confirmed")  # by its crop


def test_across_movies_boxes_of_others_count(fusion: Run, split: Path) -> None:
    path = write(split / "mine.json", {"tt1_ann": {"confirmed": boxes("tt2", 3), "rejected": boxes("tt2", 4)}})
    assert fusion("--across", "--decisions", path).stderr == ""
    ann = person(split, "tt1", "tt1_ann").places
    assert len(ann) == 30 and (ann.ids[0], ann.ids[-1]) == ("tt2_3", "tt2_4")
    assert (ann.found_by[0], ann.found_by[-1]) == ("confirmed", "rejected")


def test_whoever_is_confirmed_is_not_absent(fusion: Run, split: Path) -> None:
    """Of whom all boxes are rejected is, and whom no box shows is not once one is confirmed."""
    rejected = {"tt1_ann": {"rejected": boxes("tt1", *range(15))}}
    told = fusion("--decisions", write(split / "mine.json", rejected)).stdout
    assert "probably absent (no box above 0.5): tt1_ann" in told
    places = person(split, "tt1", "tt1_ann").places
    assert set(places.found_by) == {"rejected"} and not places.probability.any()  # type: ignore[union-attr]
    rejected["tt1_ann"] = {"confirmed": boxes("tt1", 3), "rejected": boxes("tt1", *range(3), *range(4, 15))}
    assert "absent" not in fusion("--decisions", write(split / "mine.json", rejected)).stdout
    assert (person(split, "tt1", "tt1_ann").places.probability > IN_A_BOX).sum() == 1  # type: ignore[operator]


def test_thousands_of_strange_decisions_are_told_in_a_line(fusion: Run, split: Path) -> None:
    strange = {f"b{i}": f"elsewhere/{i}.jpg" for i in range(20_000)}
    done = fusion("--decisions", write(split / "mine.json", {"tt1_ann": {"confirmed": strange}}))
    assert len(done.stderr.splitlines()) == 1 and len(done.stderr) < 400
    assert "b0, b1, b10, " in done.stderr


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["{}"], "{0}: holds no decisions: expected 'castsearch decisions 1' under 'format', found a NoneType"),
        ([""], "{0}: is empty; JSON was expected"),
        ([None], "{0}: no such file; the gallery saves it"),
        ([{"people": []}], "{0}: people: expected an object, found a list"),
        (
            [
                {"people": {"tt1_ann": {"confirmed": {"tt1_0": "a"}}}},
                {"people": {"tt1_ann": {"rejected": {"tt1_0": "a"}}}},
            ],
            "{0} and {1}: person tt1_ann: candidate tt1_0 is both confirmed and rejected; take one of them out",
        ),
        (
            [
                {"people": {"tt1_ann": {"confirmed": boxes("tt1", 0)}}},
                {"people": {"tt1_bob": {"confirmed": {"old": crop("tt1", 0)}}}},
            ],
            "{0} and {1}: candidate tt1_0 is confirmed for both tt1_ann and tt1_bob; keep one of them",
        ),
        (
            [{"people": {"tt1_ann": {"confirmed": boxes("tt1", 0)}, "tt1_ann2": {"rejected": boxes("tt1", 0)}}}],
            "{0}: person tt1_ann: candidate tt1_0 is both confirmed and rejected; take one of them out",
        ),
    ],
)
def test_what_is_no_decisions_is_told_and_nothing_written(fusion: Run, split: Path, files: list, message: str) -> None:
    paths = []
    for number, content in enumerate(files):
        paths.append(split / f"{number}.json")
        if content is not None:
            paths[-1].write_text(content if isinstance(content, str) else json.dumps(FORMAT | content))
    done = fusion("--decisions", *paths, code=2)
    assert done.stderr == f"error: {message.format(*paths)}\n" and done.stdout == ""
    assert not (split / "result.txt").exists() and not (split / "result.json").exists()


def test_a_folder_is_no_file(fusion: Run, split: Path) -> None:
    told = fusion("--decisions", split, code=2).stderr
    assert told.startswith(f"error: {split}: ") and len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("recipe", "flags", "message"),
    [
        ("original", ("--decisions", "mine.json"), "--decisions is a flag of --recipe best"),
        ("best", ("--decisions",), "argument --decisions: expected at least one argument"),
        (
            "best",
            ("--decisions", "a.json", "mine", "--submission", "mine"),
            "--decisions and --submission name the same file; the result would take the decisions' place",
        ),
    ],
)
def test_flags_that_do_not_go_together(fusion: Run, split: Path, recipe: str, flags: tuple, message: str) -> None:
    done = fusion(*flags, recipe=recipe, code=2)
    assert done.stderr == f"error: {message}; --help lists the flags\n"
    assert not (split / "result.txt").exists()


def test_the_result_never_takes_the_place_of_the_decisions(fusion: Run, split: Path) -> None:
    """The JSON of decisions.txt would be decisions.json."""
    path = write(split / "decisions.json", {"tt1_ann": {"confirmed": boxes("tt1", 0)}})
    stored = path.read_bytes()
    told = fusion("--decisions", path, "--submission", split / "decisions.txt", code=2).stderr
    assert "there is a file that is no result" in told
    assert path.read_bytes() == stored and not (split / "decisions.txt").exists()
