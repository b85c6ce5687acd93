"""Long stages go on where they were killed, and do again whatever may have changed."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from castsearch import stagefiles
from castsearch.stagefiles import Resumable
from castsearch.stagefiles.locks import BusyError

DEPENDS = {"sha256": "0f", "size": (64, 32), "root": "/body/val"}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    for key in "abc":
        (tmp_path / f"{key}.jpg").write_text(f"picture {key}")
    return tmp_path / "x.pkl"


def start(target: Path, depends: Any = DEPENDS, keys: str = "abc", **notes: Any) -> Resumable:
    return Resumable(target, depends, list(keys), lambda key: [target.with_name(f"{key}.jpg")], notes)


def finished(target: Path, **notes: Any) -> None:
    run = start(target, **notes)
    for key in run.todo:
        run.add(key, f"old {key}")
    run.finish()


def killed(target: Path) -> None:
    run = start(target)
    for key in run.todo:
        run.add(key, f"old {key}")


BEFORE = pytest.mark.parametrize("before", [finished, killed])


def test_goes_on_where_it_was(target):
    first = start(target)
    first.add("b", np.ones(2))
    del first  # as if killed
    again = start(target)
    assert again.todo == ["a", "c"]
    np.testing.assert_array_equal(again.content["b"], np.ones(2))
    again.add("c", 3)
    again.add("a", 1)
    again.finish()
    assert list(stagefiles.read(target)) == ["a", "b", "c"]
    names = sorted(path.name for path in target.parent.iterdir() if path.suffix != ".jpg")
    assert names == ["x.pkl", "x.pkl.json"]


@BEFORE
def test_nothing_is_done_twice(target, before):
    before(target)
    again = start(target)
    assert again.todo == []
    assert again.content == {"a": "old a", "b": "old b", "c": "old c"}


def test_what_is_written_beside(target):
    finished(target, pack="../packs/mnet")
    metadata = stagefiles.read_metadata(target)
    assert metadata.pop("sources").keys() == {"a", "b", "c"}
    assert metadata == {"sha256": "0f", "size": [64, 32], "root": "/body/val", "pack": "../packs/mnet"}


@BEFORE
@pytest.mark.parametrize(
    "depends",
    [DEPENDS | {"sha256": "0e"}, DEPENDS | {"root": "/other/val"}, DEPENDS | {"more": 1}, {"sha256": "0f"}, {}],
)
def test_what_depends_on_something_else_starts_anew(target, before, depends):
    before(target)
    again = start(target, depends)
    assert again.todo == ["a", "b", "c"] and again.content == {}


@BEFORE
def test_notes_are_never_compared(target, before):
    if before is finished:
        finished(target, pack="packs/mnet", licence="none")
    else:
        killed(target)
    assert start(target, pack="../packs/mnet", licence="MIT").todo == []


def replace(path: Path, text: str, time: float) -> None:
    path.write_text(text)
    os.utime(path, (time, time))


@BEFORE
@pytest.mark.parametrize("change", ["newer", "older", "longer", "gone"])
def test_a_changed_source_is_done_again(target, before, change):
    picture = target.with_name("b.jpg")
    os.utime(picture, (10**9, 10**9))
    before(target)
    if change == "gone":
        picture.unlink()
    elif change == "longer":
        replace(picture, "longer than before", 10**9)
    else:
        replace(picture, "picture B", 10**9 + (1 if change == "newer" else -1))
    run = start(target)
    assert run.todo == ["b"] and run.content == {"a": "old a", "c": "old c"}


@BEFORE
def test_another_source_is_another_even_of_the_same_size_and_time(target, before):
    before(target)
    shutil.copy2(target.with_name("b.jpg"), target.with_name("d.jpg"))
    other = {"a": "a.jpg", "b": "d.jpg", "c": "c.jpg"}
    assert Resumable(target, DEPENDS, list("abc"), lambda key: [target.with_name(other[key])]).todo == ["b"]


@BEFORE
def test_a_source_that_changed_by_less_than_a_microsecond(target, before):
    os.utime(target.with_name("b.jpg"), ns=(10**18, 10**18))
    before(target)
    os.utime(target.with_name("b.jpg"), ns=(10**18, 10**18 + 1))
    assert start(target).todo == ["b"]


def test_a_source_that_is_replaced_in_mid_run_is_done_again(target):
    run = start(target)
    replace(target.with_name("a.jpg"), "new picture", 10**9)
    run.add("a", "of the old one, or the new: who knows")
    assert start(target).todo == ["a", "b", "c"]


def test_a_source_that_is_never_there_is_never_taken_over(target):
    target.with_name("b.jpg").unlink()
    finished(target)
    assert start(target).todo == ["b"]
    killed(target)
    assert start(target).todo == ["b"]


def test_an_entry_of_many_sources(target):
    pictures = [target.with_name(f"{key}.jpg") for key in "abc"]

    def run(sources: list[Path]) -> Resumable:
        return Resumable(target, DEPENDS, ["tt1"], lambda key: sources)

    first = run(pictures)
    first.add("tt1", "old")
    first.finish()
    assert len(json.dumps(stagefiles.read_metadata(target)["sources"])) < 100
    assert run(pictures).todo == []
    for others in (pictures[:2], pictures[::-1], [*pictures, pictures[0]], []):
        assert run(others).todo == ["tt1"]
    replace(pictures[1], "picture B", 10**9)
    assert run(pictures).todo == ["tt1"]


def test_a_source_whose_name_is_no_text(target):
    source = target.with_name(os.fsdecode(b"\xff.jpg"))
    source.touch()
    Resumable(target, DEPENDS, ["tt1"], lambda key: [source]).add("tt1", 1)
    assert Resumable(target, DEPENDS, ["tt1"], lambda key: [source]).todo == []


def test_an_entry_of_no_source_counts(target):
    for todo in (["tt1"], []):
        run = Resumable(target, DEPENDS, ["tt1"], lambda key: [])
        assert run.todo == todo
        if todo:
            run.add("tt1", 1)


def test_an_old_entry_never_returns(target):
    killed(target)
    replace(target.with_name("a.jpg"), "new picture", 10**9)
    run = start(target)
    run.add("a", "new a")
    del run
    assert start(target).content["a"] == "new a"
    replace(target.with_name("a.jpg"), "picture a", 10**9)
    run = start(target, keys="ab")
    run.add("a", "newest a")
    assert start(target).content == {"a": "newest a", "b": "old b"}


def test_the_partial_file_counts_more_than_the_finished(target):
    finished(target)
    replace(target.with_name("a.jpg"), "new picture", 10**9)
    start(target).add("a", "new a")
    assert start(target).content == {"a": "new a", "b": "old b", "c": "old c"}


def test_an_entry_cut_short_is_done_again(target):
    first = start(target)
    first.add("a", np.ones(100))
    first.add("b", np.ones(100))
    log = target.with_name("x.pkl.partial")
    whole = log.read_bytes()
    log.write_bytes(whole[:-50])
    again = start(target)
    assert again.todo == ["b", "c"]
    again.add("b", 2)
    assert start(target).todo == ["c"]
    log.write_bytes(whole[:3])
    assert start(target).todo == ["a", "b", "c"]


@pytest.mark.parametrize(
    "record", [1, None, ("a", 1), [], {"a": 1, "b": 2, "c": 3}, (["a"], "x", 1), ({}, "x", 1)], ids=repr
)
def test_a_partial_file_of_something_else(target, record):
    start(target).add("a", 1)
    log = target.with_name("x.pkl.partial")
    log.write_bytes(log.read_bytes() + pickle.dumps(record))
    assert start(target).todo == ["b", "c"]


def test_a_hostile_partial_file_runs_nothing(target):
    log = target.with_name("x.pkl.partial")
    killed(target)
    log.write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR." + log.read_bytes())
    assert start(target).todo == ["a", "b", "c"]
    assert not Path("pwned").exists()


@pytest.mark.parametrize(
    ("name", "value"), [("sources", None), ("sources", [1]), ("sources", {"a": None}), ("bad", 7), ("bad", ["a"])]
)
def test_strange_metadata_costs_no_more_than_the_work(target, name, value):
    finished(target)
    metadata = json.loads(target.with_name("x.pkl.json").read_text()) | {name: value}
    target.with_name("x.pkl.json").write_text(json.dumps(metadata))
    assert start(target).todo == (["a", "b", "c"] if name == "sources" else [])


def test_a_file_without_metadata_is_another_programs(target):
    finished(target)
    target.with_name("x.pkl.json").unlink()
    assert start(target).todo == ["a", "b", "c"]


def test_a_damaged_file_is_replaced(target):
    finished(target)
    target.write_bytes(b"")
    assert start(target).todo == ["a", "b", "c"]
    finished(target)
    assert start(target).todo == []


def test_a_finished_file_counts_but_for_its_bad_sources(target):
    first = start(target)
    for key in "abc":
        first.add(key, key, "truncated" if key == "b" else None)
    assert first.content == {"a": "a", "b": "b", "c": "c"}
    first.finish()
    assert stagefiles.read(target) == {"a": "a", "b": "b", "c": "c"}
    assert stagefiles.read_metadata(target)["bad"] == {"b": "truncated"}
    assert start(target).todo == ["b"]


def test_a_killed_run_tries_bad_sources_again(target):
    first = start(target)
    first.add("a", "blank", "truncated")
    first.add("b", 2)
    assert start(target).todo == ["a", "c"]


def test_only_the_bad_are_told(target):
    finished(target)
    assert "bad" not in stagefiles.read_metadata(target)


def test_entries_are_in_the_order_of_the_keys(target):
    run = start(target)
    for key in "cab":
        run.add(key, key)
    assert list(start(target).content) == ["a", "b", "c"]
    run.finish()
    assert list(stagefiles.read(target)) == ["a", "b", "c"]


def test_entries_that_are_no_longer_asked_for_are_left_out(target):
    finished(target)
    run = start(target, keys="ca")
    assert run.todo == [] and run.content == {"c": "old c", "a": "old a"}
    run.finish()
    assert list(stagefiles.read(target)) == ["c", "a"]


def test_a_moved_folder_of_the_same_pictures_is_told_by_its_root(target, tmp_path):
    """Copies that keep their times look the same; what tells them apart is where they lie."""
    killed(target)
    other = tmp_path / "other"
    other.mkdir()
    for key in "abc":
        shutil.copy2(target.with_name(f"{key}.jpg"), other)
    assert Resumable(target, DEPENDS, ["a"], lambda key: [other / f"{key}.jpg"]).todo == ["a"]
    link = tmp_path / "link"
    link.symlink_to(target.parent)
    assert Resumable(target, DEPENDS, ["a"], lambda key: [link / f"{key}.jpg"]).todo == []
    assert Resumable(target, DEPENDS | {"root": str(other)}, ["a"], lambda key: [other / f"{key}.jpg"]).todo == ["a"]


@pytest.fixture
def another_process() -> Iterator[Callable[[Path], subprocess.Popen]]:
    """Starts processes that work on a file alone, once they have said so; or say who does."""
    program = (
        "import sys\n"
        "from castsearch.stagefiles.locks import alone, BusyError\n"
        "try:\n"
        "    with alone(sys.argv[1]):\n"
        "        print('alone', flush=True)\n"
        "        sys.stdin.read()\n"
        "except BusyError as error:\n"
        "    print(error, flush=True)\n"
    )
    started = []

    def start(path: Path) -> subprocess.Popen:
        command = [sys.executable, "-c", program, str(path)]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_file_on_which_another_run_is_at_work_is_left_alone(target, another_process):
    killed(target)
    log = target.with_name("x.pkl.partial")
    other = another_process(target)
    assert other.stdout.readline() == "alone\n"
    before = log.read_bytes()
    at_work = rf"x\.pkl: another run is at work on it \(process {other.pid} on .*: -c .*\); wait until that has ended"
    with pytest.raises(BusyError, match=at_work):
        start(target)
    assert log.read_bytes() == before
    other.kill()
    other.wait()
    assert start(target).todo == []


def test_a_run_holds_its_file_until_it_ends(target, another_process):
    run = start(target)
    assert "another run is at work" in another_process(target).stdout.readline()
    run.add("a", 1)
    later = start(target)
    del run
    assert "another run is at work" in another_process(target).stdout.readline()
    later.add("b", 2)
    later.add("c", 3)
    later.finish()
    assert another_process(target).stdout.readline() == "alone\n"


def test_what_an_earlier_version_recorded_is_compared_in_todays_words(target):
    def update(recorded):
        return {"sha256": recorded.pop("digest"), **recorded} if "digest" in recorded else recorded

    old = {("digest" if name == "sha256" else name): value for name, value in DEPENDS.items()}

    def run(depends):
        return Resumable(target, depends, ["a"], lambda key: [target.with_name("a.jpg")], update=update)

    before = Resumable(target, old, ["a"], lambda key: [target.with_name("a.jpg")])
    before.add("a", 1)
    assert run(DEPENDS).todo == []  # of a killed run
    before.finish()
    assert run(DEPENDS).todo == []
    assert run(DEPENDS | {"sha256": "0e"}).todo == ["a"]


def test_what_ran_is_told_of_all_that_the_file_holds(target: Path) -> None:
    """Of entries from killed and finished runs too; of none that was made anew or stands for a bad source."""

    def run(engine: str | None) -> Resumable:
        ran = None if engine is None else {"engine": engine}
        source = target.with_name
        return Resumable(target, DEPENDS, list("abc"), lambda key: [source(f"{key}.jpg")], ran=lambda: ran)

    def told() -> Any:
        return stagefiles.read_metadata(target).get("ran")

    run("first").add("b", 1)  # killed
    second = run("second")
    second.add("a", 1)
    second.add("c", 1, bad="cannot be read")
    second.finish()
    assert told() == [{"engine": "second"}, {"engine": "first"}]
    third = run("third")
    assert third.todo == ["c"]
    third.add("c", 1)
    del third  # killed; its log holds the others' entries too
    run(None).finish()
    assert told() == [{"engine": "second"}, {"engine": "first"}, {"engine": "third"}]
    for changed, engines in (("ab", ["fourth", "second", "first", "third"]), ("abc", ["fourth"])):
        for key in changed:
            target.with_name(f"{key}.jpg").write_text(f"another picture than those before {changed}")
        again = run("fourth")
        assert again.todo == list(changed)
        for key in again.todo:
            again.add(key, 2)
        again.finish()
        assert told() == [{"engine": engine} for engine in engines]  # a finished file tells of all as one


def test_a_log_of_an_earlier_version_tells_of_nothing_that_ran(target: Path) -> None:
    killed(target)
    log = target.with_name("x.pkl.partial")
    records = []
    with log.open("rb") as file:
        records.append(pickle.load(file))
        for _ in "abc":
            records.append(pickle.load(file)[:3])
    for ran in ((), ("nonsense",), ([3, {"engine": 3}, {"engine": None}],), ([{"engine": "x"}], "more")):
        log.write_bytes(
            b"".join(pickle.dumps(record, 4) for record in [records[0], *((*r, *ran) for r in records[1:])])
        )
        run = start(target)
        assert run.todo == []
        run.finish()
        assert stagefiles.read_metadata(target).get("ran") == ([{"engine": "x"}] if len(ran) == 2 else None)
        target.unlink()


def test_what_is_current_is_not_written_again_and_says_so(target, caplog):
    caplog.set_level("INFO", "castsearch")
    finished(target)
    before = [(path.stat().st_mtime_ns, path.read_bytes()) for path in (target, target.with_name("x.pkl.json"))]
    assert caplog.messages == []
    finished(target)
    assert [(p.stat().st_mtime_ns, p.read_bytes()) for p in (target, target.with_name("x.pkl.json"))] == before
    assert caplog.messages == [f"{target}: current, nothing is done again"]


def test_what_is_gone_on_with_and_what_does_not_fit_is_told(target, caplog):
    caplog.set_level("INFO", "castsearch")
    run = start(target)
    run.add("b", 1)
    assert start(target).todo == ["a", "c"]
    assert caplog.messages == [f"{target}: goes on, 1 of 3 are done"]
    caplog.clear()
    finished(target)
    caplog.clear()
    start(target, DEPENDS | {"sha256": "0e"})
    assert caplog.messages == [f"{target}: was made otherwise, all is done anew"]


def test_overwriting_begins_anew(target, caplog):
    caplog.set_level("INFO", "castsearch")
    finished(target)
    killed_run = start(target)
    killed_run.add("b", "logged")
    del killed_run
    run = Resumable(target, DEPENDS, list("abc"), lambda key: [target.with_name(f"{key}.jpg")], overwrite=True)
    assert run.todo == ["a", "b", "c"] and run.content == {}


def test_a_file_whose_notes_change_is_written_again(target):
    finished(target, licence="old")
    finished(target, licence="new")
    assert stagefiles.read_metadata(target)["licence"] == "new"


def test_a_resumed_file_has_the_bytes_of_an_undisturbed_one(target):
    """Parts that are one object in one run and several in another are written alike."""
    word, array = "".join(["wo", "rd"]), np.zeros((0, 5), np.float32)
    value = {"label": word, "faces": array, "text": np.array(["a", "bc"])}
    whole = start(target)
    for key in "abc":
        whole.add(key, dict(value))
    whole.finish()
    expected = target.read_bytes(), target.with_name("x.pkl.json").read_bytes()
    target.unlink()
    for key in "bca":
        run = start(target)
        run.add(key, dict(value))
        del run
    start(target).finish()
    assert (target.read_bytes(), target.with_name("x.pkl.json").read_bytes()) == expected


def with_outputs(target: Path) -> Resumable:
    source, output = (lambda key: [target.with_name(f"{key}.jpg")]), (lambda key: [target.with_name(f"{key}.out")])
    return Resumable(target, DEPENDS, list("abc"), source, outputs=output)


@pytest.mark.parametrize("finish", [True, False])
@pytest.mark.parametrize("change", ["gone", "longer", "newer"])
def test_an_entry_whose_outputs_changed_is_made_again(target, finish, change):
    run = with_outputs(target)
    for key in "abc":
        target.with_name(f"{key}.out").write_text("out")
        os.utime(target.with_name(f"{key}.out"), (10**9, 10**9))
        run.add(key, 1)
    if finish:
        run.finish()
    del run
    assert with_outputs(target).todo == []
    output = target.with_name("b.out")
    if change == "gone":
        output.unlink()
    else:
        output.write_text("longer" if change == "longer" else "tuo")
        os.utime(output, (10**9, 10**9 + (change == "newer")))
    assert with_outputs(target).todo == ["b"]


def test_what_a_kill_left_of_writing_is_removed(target):
    """Temporary files of this file alone: others may be written by another run."""
    other = target.with_name(".x.pkl.more.abcdefgh")
    for name in (".x.pkl.abcdefgh", ".x.pkl.json.a_3defgh", ".x.pkl.partial.abcdefgh", other.name):
        target.with_name(name).write_text("half")
    start(target)
    assert sorted(path.name for path in target.parent.glob(".*")) == [other.name]
