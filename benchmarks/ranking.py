"""Time and memory of the ranking, beside an earlier commit, the float32 product it needs and plain implementations.

    python benchmarks/ranking.py                        # the whole table, some minutes
    python benchmarks/ranking.py ecn                    # the rows whose name holds a word
    python benchmarks/ranking.py --beside f72ca5e       # a column of that commit, built in a worktree of its own

Every run has a process of its own, whose peak memory is told, start-up included; commits take turns run by run. Times
are medians over the runs, of the job alone or, for fusion.py, of the whole command. The movie of 5,000 candidates is
simulated by the tool in the folder of test data.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
TESTDATA = Path(os.environ.get("CASTSEARCH_TESTDATA", ROOT.parent / "shared"))
FLAGS = {"plain": [], "both k-reciprocal": ["--face_rerank", "--body_rerank"]}
FLAGS["both ECN"] = ["--face_rerank_ecn", "--body_rerank_ecn"]
MOVIE_RUNS = 5
Job = Callable[[np.ndarray, int], object]
Figures = tuple[float, float]  # median seconds, peak MB


@dataclass(frozen=True)
class Points:
    """A row of the table: queries among points.

    Attributes:
        name: what is computed.
        queries: how many of the ``n`` points are queries; the rest is the gallery.
        width: of the features.
        runs: how often it is timed.
        plain: whether the plain implementation can bear the size.
    """

    name: str
    queries: int
    n: int
    width: int
    runs: int
    plain: bool


NEIGHBOURS = "21 nearest neighbours"
TABLE = [
    Points(NEIGHBOURS, 10_000, 10_000, 512, 5, True),
    Points(NEIGHBOURS, 5_000, 5_000, 2048, 5, True),
    Points("k-reciprocal", 20, 10_000, 512, 5, True),
    Points("ECN", 20, 10_000, 512, 5, True),
    Points("k-reciprocal", 3_368, 19_281, 512, 3, False),
    Points("ECN", 3_368, 19_281, 512, 3, False),
    Points("k-reciprocal", 50, 100_000, 512, 1, False),
    Points("ECN", 50, 100_000, 512, 1, False),
]


# ---------------------------------------------------------------------------- in a process of its own


def clustered(n: int, width: int) -> np.ndarray:
    """(n, width) float32 features of people seen a dozen times each."""
    rng = np.random.default_rng(0)
    people = rng.normal(size=(n // 12, width)).astype(np.float32)
    features = people[rng.integers(len(people), size=n)]
    for first in range(0, n, 1000):
        features[first : first + 1000] += 0.9 * rng.normal(size=features[first : first + 1000].shape)
    return features


def library(name: str) -> Job:
    """The library's function, of the checkout that stands first in the module path."""
    from castsearch.ranking import ecn, k_reciprocal, neighbours

    return {"k-reciprocal": k_reciprocal, "ECN": ecn, NEIGHBOURS: lambda features, _: neighbours(features, 21)}[name]


def plain(name: str) -> Job:
    """The plain function."""
    import reference_ranking

    return {"k-reciprocal": reference_ranking.k_reciprocal, "ECN": reference_ranking.ecn, NEIGHBOURS: numpy_lists}[name]


def numpy_lists(features: np.ndarray, _: int) -> np.ndarray:
    """The neighbour lists in ten lines of numpy: every product in float64, which needs no sieve."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True).astype(np.float64)
    lists = np.empty((len(unit), 21), np.int32)
    for first in range(0, len(unit), 500):
        dist = (1 - unit[first : first + 500] @ unit.T).astype(np.float32)
        near = np.sort(np.argpartition(dist, 21, axis=1)[:, :21], axis=1)
        order = np.argsort(np.take_along_axis(dist, near, axis=1), axis=1, kind="stable")
        lists[first : first + 500] = np.take_along_axis(near, order, axis=1)
    return lists


def product(_: str) -> Job:
    """The float32 product of all points with all, in blocks; numpy computes all of it."""

    def multiply(features: np.ndarray, __: int) -> None:
        for first in range(0, len(features), 1000):
            features[first : first + 1000] @ features.T

    return multiply


WHAT = {some.__name__: some for some in (library, plain, product)}


def run_case(what: str, name: str, queries: int, n: int, width: int) -> None:
    """Time one run and print what came out as JSON."""
    job, features = WHAT[what](name), clustered(n, width)
    start = time.perf_counter()
    job(features, queries)
    seconds = time.perf_counter() - start
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


# ---------------------------------------------------------------------------- runs


def points_run(what: str, row: Points, root: Path) -> Figures:
    """Seconds and MB of one run of a case, by the library in ``root``."""
    case = [what, row.name, row.queries, row.n, row.width]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, __file__, "--case", *map(str, case)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return tuple(json.loads(done.stdout))


def movie_run(data: Path, flags: list[str], root: Path) -> Figures:
    """Seconds and MB of one run of fusion.py on the movie in ``data``."""
    command = [sys.executable, str(root / "fusion.py"), "--mode", "val", "--data", str(data)]
    command += ["--submission", str(data / "result.txt"), *flags]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return seconds, usage.ru_maxrss / 1024


def in_turns(runs: int, *jobs: Callable[[], Figures]) -> list[Figures]:
    """The median time and the highest peak of each job; the jobs take turns."""
    rounds = [[job() for job in jobs] for _ in range(runs)]
    return [
        (statistics.median(seconds), max(peaks))
        for seconds, peaks in (zip(*runs_of_one, strict=True) for runs_of_one in zip(*rounds, strict=True))
    ]


@contextmanager
def worktree(commit: str | None) -> Iterator[Path | None]:
    """A folder with that commit, its kernel built; None without a commit."""
    if commit is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / commit
        subprocess.run(["git", "-C", str(ROOT), "worktree", "add", "--detach", "--quiet", place, commit], check=True)
        try:
            build = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
            subprocess.run(build, cwd=place, check=True, capture_output=True)
            yield place
        finally:
            subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", place], check=True)


# ---------------------------------------------------------------------------- the table


def cell(figures: Figures | None) -> str:
    """Seconds and MB as a column."""
    return f"{figures[0]:8.2f} s {figures[1]:6.0f} MB" if figures else f"{'-':>20}"


def print_row(job: str, ours: Figures, earlier: Figures | None, *others: Figures | None) -> None:
    """One line of the table: ours, the earlier commit's, what ours takes of its time and memory, the others'."""
    ratio = f"{ours[0] / earlier[0]:6.2f} {ours[1] / earlier[1]:5.2f}" if earlier else f"{'-':>12}"
    print(f"{job:58} {cell(ours)} {cell(earlier)} {ratio} {' '.join(map(cell, others))}", flush=True)


def print_machine() -> None:
    """Which BLAS kernel runs on how many threads, and how busy the machine is otherwise."""
    from threadpoolctl import threadpool_info

    for pool in threadpool_info():
        if pool["user_api"] == "blas":
            name = f"{pool['internal_api']} {pool['version']} {pool['architecture']}"
            print(f"{name}, {pool['num_threads']} threads", end="; ")
    print(f"load before the run {os.getloadavg()[0]:.1f}")


def points_row(row: Points, job: str, earlier: Path | None) -> None:
    """Measure a row and print it."""
    jobs = [lambda root=root: points_run("library", row, root) for root in (ROOT, earlier) if root]
    ours, *before = in_turns(row.runs, *jobs)
    others = [points_run(what, row, ROOT) for what in ("product", "plain") if what == "product" or row.plain]
    print_row(job, ours, before[0] if before else None, *others)


def movie_row(data: Path, flags: list[str], job: str, earlier: Path | None) -> None:
    """Measure fusion.py and print it."""
    jobs = [lambda root=root: movie_run(data, flags, root) for root in (ROOT, earlier) if root]
    ours, *before = in_turns(MOVIE_RUNS, *jobs)
    print_row(job, ours, before[0] if before else None)


def main() -> None:
    """Print the table, or run one case of it."""
    if sys.argv[1:2] == ["--case"]:
        what, name, *numbers = sys.argv[2:]
        run_case(what, name, *map(int, numbers))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("word", nargs="?", default="", help="only rows whose name holds it")
    parser.add_argument("--beside", metavar="COMMIT", help="a commit to compare with")
    args = parser.parse_args()
    print_machine()
    columns = [f"{name:>20}" for name in ("this code", args.beside or "-", "float32 product", "plain")]
    print(f"{'job':58} {columns[0]} {columns[1]} {'time  memory':>12} {' '.join(columns[2:])}")
    with worktree(args.beside) as earlier, tempfile.TemporaryDirectory() as folder:
        for row in TABLE:
            job = f"{row.name}, {row.queries:,} queries of {row.n:,} points, {row.width}-d"
            if args.word.lower() in job.lower():
                points_row(row, job, earlier)
        tool = TESTDATA / "tools/make_stage_pickles.py"
        if not tool.exists():
            print(f"no movie: {tool} is not there; set CASTSEARCH_TESTDATA")
            return
        subprocess.run([sys.executable, str(tool), folder, "--seed", "3", "--movie", "tt0000001:20:5000"], check=True)
        for name, flags in FLAGS.items():
            job = f"fusion.py, 20 casts, 5,000 candidates, {name}"
            if args.word.lower() in job.lower():
                movie_row(Path(folder), flags, job, earlier)


if __name__ == "__main__":
    main()
