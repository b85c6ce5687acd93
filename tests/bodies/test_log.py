"""What a run records, and what is left of it when it goes on."""

from __future__ import annotations

import json
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from castsearch.bodies.log import Log, Step, Validation


def step(number: int) -> Step:
    return Step(number, 1, 3.0 + number, 2.0, 1.0 + number, 0.5, 0.25, 0.1, 8, 0.01)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder)).Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_records_go_to_lines_and_to_tensorboard(tmp_path: Path) -> None:
    log = Log(tmp_path / "run", 0)
    for record in (step(1), Validation(1, 1, 0.75, 0.5), step(2)):
        log.add(record)
    # Whoever follows the file sees each record at once.
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    log.close()
    assert [line["step"] for line in lines] == [1, 1, 2]
    assert lines[1] == {"step": 1, "epoch": 1, "mean_ap": 0.75, "rank1": 0.5}
    shown = scalars(tmp_path / "run")
    assert shown["train/loss"] == [(1, 4.0), (2, 5.0)] and shown["val/mean_ap"] == [(1, 0.75)]
    names = ("loss", "class_loss", "triplet_loss", "top1", "precision", "lr", "images", "seconds")
    assert shown.keys() == {*(f"train/{name}" for name in names), "val/mean_ap", "val/rank1"}


def test_a_log_goes_on_after_the_steps_that_count(tmp_path: Path) -> None:
    log = Log(tmp_path, 0)
    for number in (1, 2, 3):
        log.add(step(number))
    log.close()
    with (tmp_path / "log.jsonl").open("a") as lines:
        lines.write('{"step": 2, "cut sho')
    log = Log(tmp_path, 2)
    log.add(step(3))
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert scalars(tmp_path)["train/loss"] == [(1, 4.0), (2, 5.0), (3, 6.0)]


def test_a_new_run_begins_an_empty_log(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("of something else\n")
    for _ in range(2):
        log = Log(tmp_path, 0)
        log.add(step(1))
        log.close()
    assert (tmp_path / "log.jsonl").read_text().count("\n") == 1
