"""The logs of runs, read again: a line of JSON an event, as ``scripts/run_log.py`` writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from castsearch.errors import CastSearchError
from castsearch.paths import open_plain, unreadable

_NEEDED = {"run", "event", "pid", "stage"}  # fields of every line


class RunLogError(CastSearchError):
    """A log that cannot be read, or tells nothing."""


@dataclass(frozen=True)
class Stage:
    """A stage that ended.

    Attributes:
        script: its name.
        what: what it worked on, or why it stopped.
        seconds: from beginning to end.
        cpu_seconds: of all processors together.
        peak_memory: bytes.
        ran_on: device and precision of its networks; nothing where it ran none.
    """

    script: str
    what: str
    seconds: float
    cpu_seconds: float
    peak_memory: int
    ran_on: str


def read_stages(path: Path, run: str | None = None) -> list[Stage]:
    """The stages of a run that ended, in their order.

    Lines that are cut short, as by a kill or a full disk, are passed over.

    Args:
        path: of the log.
        run: whose stages; None for the run that the log ends with.

    Raises:
        RunLogError: it cannot be read.
    """
    events, last = [], run
    for event in _events(path):
        last = event["run"]
        if event["event"] in ("note", "end"):  # a line a movie is most of a log
            events.append(event)
    run = last if run is None else run
    current: set[Any] = set()
    stages = []
    for event in events:
        if event["run"] != run:
            continue
        if event["event"] == "note" and str(event.get("message")).endswith("nothing is done again"):
            current.add(event["pid"])
        if event["event"] == "end":
            with suppress(AttributeError, TypeError, ValueError, OverflowError):  # a line of something else
                stages.append(_stage(event, event["pid"] in current))
    return stages


def added(stages: Sequence[Stage]) -> Stage:
    """Several runs of one script as one: times are added up, of memory the most counts."""
    return Stage(
        script=stages[0].script,
        what=f"{len(stages)} runs",
        seconds=sum(stage.seconds for stage in stages),
        cpu_seconds=sum(stage.cpu_seconds for stage in stages),
        peak_memory=max(stage.peak_memory for stage in stages),
        ran_on="; ".join(dict.fromkeys(stage.ran_on for stage in stages if stage.ran_on)),
    )


def _events(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with open_plain(path) as file:
            for line in file:
                try:
                    event = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(event, dict) and event.keys() >= _NEEDED and isinstance(event["pid"], int):
                    yield event
    except OSError as error:
        raise RunLogError(unreadable(path, error, "run a stage with --log_file first")) from None


def _stage(event: Mapping[str, Any], current: bool) -> Stage:
    counts = ", ".join(f"{count} {what}" for what, count in (event.get("counts") or {}).items())
    what = f"failed: {event['error']}" if "error" in event else f"{counts}{' (current)' * current}"
    ran = [f"{one.get('device')}, {one.get('precision')}" for one in event.get("ran") or ()]
    return Stage(
        script=_printable(str(event["stage"])),
        what=_printable(what.strip()),
        seconds=float(event.get("seconds", 0)),
        cpu_seconds=float(event.get("cpu_seconds", 0)),
        peak_memory=int(float(event.get("peak_memory", 0))),
        ran_on=_printable("; ".join(dict.fromkeys(ran))),
    )


def _printable(text: str) -> str:
    """Words as a terminal may show them, whoever wrote the log."""
    return "".join(character if character.isprintable() else "?" for character in text)
