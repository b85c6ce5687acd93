#!/usr/bin/env python3
"""What the stages of a whole run took: time, processor time, memory, and on what.

Reads what scripts wrote to their --log_file; by default tells of the last run in it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from castsearch.run_logs import RunLogError, Stage, added, read_stages
from scripts import cli
from scripts.run_log import LOG_FILE

MOST_RUNS = 3  # of one script that have a line each
HEAD = ("stage", "what", "seconds", "processor", "memory", "on")


def main() -> None:
    os.environ.pop(LOG_FILE, None)  # or the last run in it were this one
    parser = cli.parser(__doc__)
    parser.add_argument("log", type=Path, help="what --log_file named")
    parser.add_argument("--run", metavar="ID", help="of these stages alone, as the log has it; by default the last run")
    args = parser.parse_args()
    stages = read_stages(args.log, args.run)
    if not stages:
        raise RunLogError(f"{args.log}: tells of no stage that ended; run one with --log_file {args.log}")
    rows = [HEAD, *map(row, added_up(stages))]
    total = sum(stage.seconds for stage in stages), sum(stage.cpu_seconds for stage in stages)
    largest = max(stage.peak_memory for stage in stages)
    rows.append(("all", "", f"{total[0]:.1f} s", f"{total[1]:.1f} s", f"{largest / 1e6:.0f} MB", ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        print(line(cells, widths))


def added_up(stages: Sequence[Stage]) -> list[Stage]:
    """The stages, and where one ran for more than a few movies by itself all of these as one."""
    scripts: dict[str, list[Stage]] = {}
    for stage in stages:
        scripts.setdefault(stage.script, []).append(stage)
    return [one for same in scripts.values() for one in (same if len(same) <= MOST_RUNS else [added(same)])]


def row(stage: Stage) -> tuple[str, ...]:
    """A stage's cells."""
    seconds, cpu = (f"{number:.1f} s" for number in (stage.seconds, stage.cpu_seconds))
    return stage.script, stage.what, seconds, cpu, f"{stage.peak_memory / 1e6:.0f} MB", stage.ran_on


def line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Words to the left, numbers to the right."""
    aligned = (
        cell.rjust(width) if name in HEAD[2:5] else cell.ljust(width)
        for name, cell, width in zip(HEAD, cells, widths, strict=True)
    )
    return "  ".join(aligned).rstrip()


if __name__ == "__main__":
    cli.run(main)
