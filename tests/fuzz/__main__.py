"""Feeds mutated input of eight kinds to what reads them: ``python -m tests.fuzz 10000 [SEED]``.

Each case ends in content or in a typed error of one line, within 10 seconds and 1 GB. Prints a table; where something
breaks, the input is kept and its path told. The same seed makes the same cases.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.fuzz.kinds import KINDS, NEED_TESTDATA, TESTDATA, Kind

ROOT = Path(__file__).resolve().parents[2]
STEP = 500  # cases of one process


def parts(times: int, first: int) -> Iterator[tuple[Kind, int, int]]:
    """The work of each process: kind, first seed, number of cases."""
    for kind in KINDS.values():
        if kind.name in NEED_TESTDATA and not (TESTDATA / "models").is_dir():
            print(f"{kind.name}: left out, there is no test data at {TESTDATA}")
            continue
        of_kind = round(times * kind.share / 8)
        yield from ((kind, first + at, min(STEP, of_kind - at)) for at in range(0, of_kind, STEP))


def run(kind: Kind, first: int, times: int, folder: Path) -> dict[str, Any]:
    """Run one process; its figures, or what it said as it broke."""
    command = [sys.executable, "-m", "tests.fuzz.worker", kind.name, str(first), str(times), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, errors="replace")
    if done.returncode == 0:
        return json.loads(done.stdout)
    return {"broken": f"exit {done.returncode}\n{done.stderr[-3000:]}"}


def main() -> None:
    times, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    folder = Path(tempfile.mkdtemp(prefix="castsearch-fuzz-"))
    work = list(parts(times, first))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(lambda part: run(*part, folder), work))
    print(f"{'':18}{'cases':>8}{'errors':>8}{'read':>8}{'worst s':>9}{'worst MB':>9}")
    for kind in dict.fromkeys(kind.name for kind, *_ in work):
        rows = [row for (of, *_), row in zip(work, found, strict=True) if of.name == kind and "broken" not in row]
        errors, read = (sum(row[end] for row in rows) for end in ("errors", "read"))
        seconds, megabytes = (max((row[worst] for row in rows), default=0) for worst in ("seconds", "megabytes"))
        print(f"{kind:18}{errors + read:8}{errors:8}{read:8}{seconds:9.2f}{megabytes:9}")
    broken = [row["broken"] for row in found if "broken" in row]
    if broken:
        sys.exit("\n\n".join(broken) + f"\n\nkept: {', '.join(map(str, sorted(folder.iterdir())))}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
