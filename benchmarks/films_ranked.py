#!/usr/bin/env python3
"""An archive of films ranked as scripts/Snakefile ranks it: a process a film, as many side by side as there are cores.

    python3 benchmarks/films_ranked.py [--films 2000] [--boxes 800] [--recipe best] [--workers 2] [--folder DIR]

Films are simulated by the tool in the folder of test data, one by one, and go when they are ranked; faces are 512 wide,
bodies 2048. Each recipe ranks each. Told are the time of fusion.py for a film, start-up included, and what of it a core
worked (the rest it waited for a busy machine), films an hour on this machine, the largest process, and what joining the
results costs; without the simulation, which takes turns with it.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTDATA = Path(os.environ.get("CASTSEARCH_TESTDATA", ROOT.parent / "shared"))
RECIPES = ("original", "best")
CASTS, FACE_WIDTH, BODY_WIDTH = 8, 512, 2048
REID = "triplet_resnext101_32x8d"
ARCHIVE = 10_000  # films, to which figures are projected
# One core a process, as Snakemake gives it.
ENVIRONMENT = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Run:
    """What a process took.

    Attributes:
        seconds: from its start to its end.
        processor: seconds of a core.
        megabytes: its peak memory.
    """

    seconds: float
    processor: float
    megabytes: float


def timed(*command: object) -> Run:
    """Run a script of this project."""
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)], stdout=subprocess.DEVNULL, stderr=said, env=ENVIRONMENT
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if status:
            said.seek(0)
            sys.exit(f"{command[0]} ended with {process.returncode}: {said.read().decode()}")
    return Run(time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def simulate(folder: Path, number: int, boxes: int) -> None:
    """Write a film's stage files, in the process that is told to."""
    sys.path.insert(0, str(TESTDATA / "tools"))
    import make_movie_features as tool

    model = tool.Model(face_dim=FACE_WIDTH, body_dim=BODY_WIDTH)
    found = tool.split(number, 1, CASTS, boxes, model, prefix=f"film{number:05d}_")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in zip(("body", "retina", "face", REID), found, strict=False):
        (folder / f"{name}_val.pkl").write_bytes(pickle.dumps(content))


def rank(folder: Path, boxes: int, recipes: Sequence[str], number: int) -> dict[str, Run]:
    """Simulate a film, rank it by each recipe, and keep the rankings alone."""
    data = folder / "data" / f"{number:05d}"
    timed(__file__, "--simulate", number, "--boxes", boxes, "--folder", data)
    runs = {}
    for recipe in recipes:
        out = folder / recipe / "movies" / f"{number:05d}" / "val_result.txt"
        out.parent.mkdir(parents=True, exist_ok=True)
        flags = ("--mode", "val", "--data", data, "--recipe", recipe, "--submission", out)
        runs[recipe] = timed(ROOT / "fusion.py", *flags)
    shutil.rmtree(data)
    return runs


def join(folder: Path, recipe: str, films: int) -> Run:
    """Join the rankings of all films."""
    table = [
        {"movie": f"film{n:05d}_{n % 1000:03d}000", "folder": f"{n:05d}", "cast": CASTS, "candidates": 1}
        for n in range(films)
    ]
    (folder / recipe / "val_movies.json").write_text(json.dumps(table))
    out = folder / recipe
    run = timed(
        ROOT / "scripts/join_movies.py", "--mode", "val", "--out", out, "--submission", out / "joined/val_result.txt"
    )
    lines = (out / "joined/val_result.txt").read_bytes().count(b"\n")
    if lines != films * CASTS:
        sys.exit(f"{recipe}: {lines} people are ranked, where {films * CASTS} were expected")
    return run


def report(done: Sequence[dict[str, Run]], workers: int, joined: dict[str, Run], size: dict[str, int]) -> None:
    """Print the table."""
    print("| recipe | s a film | of a core | films/h | MB at most | 10,000: core h | results | joining: s | MB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for recipe in joined:
        seconds = statistics.fmean(run[recipe].seconds for run in done)
        core = statistics.fmean(run[recipe].processor for run in done)
        peak = max(run[recipe].megabytes for run in done)
        hours = ARCHIVE * core / 3600
        print(
            f"| {recipe} | {seconds:.2f} | {core:.2f} | {3600 * workers / seconds:,.0f} | {peak:.0f} | {hours:.1f} | "
            f"{size[recipe] / 2**20:,.0f} MB | {joined[recipe].seconds:.0f} | {joined[recipe].megabytes:.0f} |"
        )


def main() -> None:
    """Rank the archive and tell what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=2000)
    parser.add_argument("--boxes", type=int, default=800, help="of each film")
    parser.add_argument("--recipe", nargs="+", choices=RECIPES, default=RECIPES, help="by which each is ranked")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="films at a time")
    parser.add_argument("--folder", type=Path, help="receives all files; by default a temporary one")
    parser.add_argument("--simulate", type=int, metavar="N", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.simulate is not None:
        simulate(args.folder, args.simulate, args.boxes)
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as place:
        folder = Path(place)
        begun = time.perf_counter()
        with ThreadPoolExecutor(args.workers) as pool:
            done = []
            for runs in pool.map(partial(rank, folder, args.boxes, args.recipe), range(args.films)):
                done.append(runs)
                if len(done) % 100 == 0:
                    print(f"{len(done)} films after {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
        joined = {recipe: join(folder, recipe, args.films) for recipe in args.recipe}
        size = {
            recipe: sum(file.stat().st_size for file in (folder / recipe / "joined").iterdir()) for recipe in joined
        }
    print(
        f"{args.films} films of {args.boxes} boxes and {CASTS} people, faces {FACE_WIDTH} wide, bodies {BODY_WIDTH}; "
        f"{args.workers} at a time on {platform.node()}, {processor()}, {os.cpu_count()} cores\n"
    )
    report(done, args.workers, joined, size)


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
