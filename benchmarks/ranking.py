"""Time and memory of the ranking, beside the float32 product it needs and the plain implementation, in one run.

    python benchmarks/ranking.py            # the whole table, some minutes
    python benchmarks/ranking.py ecn        # the rows whose name holds a word

Every case runs in a process of its own, whose peak memory is told; times are medians over its runs. The movie of 5,000
candidates is simulated by the tool in the folder of test data and ranked by fusion.py, start-up included.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
TESTDATA = Path(os.environ.get("CASTSEARCH_TESTDATA", ROOT.parent / "shared"))
FLAGS = {"plain": [], "both k-reciprocal": ["--face_rerank", "--body_rerank"]}
FLAGS["both ECN"] = ["--face_rerank_ecn", "--body_rerank_ecn"]
Job = Callable[[np.ndarray, int], object]


@dataclass(frozen=True)
class Points:
    """A row of the table: queries among points.

    Attributes:
        name: what is computed.
        n: points, of which ``queries`` are queries and the rest the gallery.
        runs: how often it is timed.
        reference: whether the plain implementation can bear the size.
        target: seconds and MB aimed at; 0 seconds stands for twice the product.
    """

    name: str
    queries: int
    n: int
    width: int
    runs: int
    reference: bool
    target: tuple[float, float]


NEIGHBOURS = "21 nearest neighbours"
TABLE = [
    Points(NEIGHBOURS, 10_000, 10_000, 512, 5, False, (0, 700)),
    Points("k-reciprocal", 20, 10_000, 512, 5, True, (0, 700)),
    Points("ECN", 20, 10_000, 512, 5, True, (0, 700)),
    Points("k-reciprocal", 3_368, 19_281, 512, 3, False, (12, 2048)),
    Points("ECN", 3_368, 19_281, 512, 3, False, (12, 2048)),
    Points("k-reciprocal", 50, 100_000, 512, 1, False, (240, 6144)),
    Points("ECN", 50, 100_000, 512, 1, False, (240, 6144)),
]
MOVIE_TARGETS = {"plain": (1.5, 1024), "both k-reciprocal": (3, 1024), "both ECN": (3, 1024)}
MOVIE_RUNS = 5


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
    """The library's function."""
    from castsearch.ranking import ecn, k_reciprocal

    return {"k-reciprocal": k_reciprocal, "ECN": ecn}[name]


def reference(name: str) -> Job:
    """The plain function."""
    import reference_ranking

    return {"k-reciprocal": reference_ranking.k_reciprocal, "ECN": reference_ranking.ecn}[name]


def product(_: str) -> Job:
    """The float32 product of all points with all, in blocks; numpy computes all of it."""

    def multiply(features: np.ndarray, __: int) -> None:
        for first in range(0, len(features), 1000):
            features[first : first + 1000] @ features.T

    return multiply


def symmetric_product(_: str) -> Job:
    """The same in one call, in which BLAS computes one half and mirrors it: all N x N numbers are held."""
    return lambda features, _: features @ features.T


def faiss_search(_: str) -> Job:
    """The 21 nearest neighbours alone, by faiss."""
    import faiss

    def search(features: np.ndarray, __: int) -> None:
        index = faiss.IndexFlatIP(features.shape[1])
        index.add(features)
        index.search(features, 21)

    return search


def neighbour_lists(_: str) -> Job:
    """The same by the library."""
    from castsearch.ranking import neighbours

    return lambda features, _: neighbours(features, 21)


WHAT = {some.__name__: some for some in (library, reference, product, symmetric_product, faiss_search, neighbour_lists)}


def run_case(what: str, name: str, queries: int, n: int, width: int, runs: int) -> None:
    """Time one case and print what came out as JSON."""
    job, features = WHAT[what](name), clustered(n, width)
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        job(features, queries)
        seconds.append(time.perf_counter() - start)
    print(json.dumps([statistics.median(seconds), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


# ---------------------------------------------------------------------------- the table


def measured(what: str, row: Points, runs: int | None = None) -> tuple[float, float]:
    """Seconds and MB of a case."""
    case = [what, row.name, row.queries, row.n, row.width, row.runs if runs is None else runs]
    command = [sys.executable, __file__, "--case", *map(str, case)]
    return tuple(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def by_faiss(row: Points) -> tuple[float, float] | None:
    """Seconds and MB of faiss where it is installed."""
    return measured("faiss_search", row) if importlib.util.find_spec("faiss") else None


def cell(figures: tuple[float, float] | None) -> str:
    """Seconds and MB as a column."""
    return f"{figures[0]:9.2f} s {figures[1]:6.0f} MB" if figures else f"{'-':>21}"


def print_row(job: str, target: tuple[float, float], *cells: tuple[float, float] | None) -> None:
    """One line of the table."""
    print(
        f"{job:72} {f'{target[0]:.1f} s {target[1]:.0f} MB':>16} {' '.join(cell(some) for some in cells)}", flush=True
    )


def movie_case(data: Path, flags: list[str]) -> tuple[float, float]:
    """Seconds and MB of fusion.py on the movie in ``data``."""
    command = [sys.executable, str(ROOT / "fusion.py"), "--mode", "val", "--data", str(data)]
    command += ["--submission", str(data / "result.txt"), *flags]
    seconds, peaks = [], []
    for _ in range(MOVIE_RUNS):
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds.append(time.perf_counter() - start)
        peaks.append(usage.ru_maxrss / 1024)
        if status:
            raise SystemExit(f"{' '.join(command)} failed")
    return statistics.median(seconds), max(peaks)


def print_machine() -> None:
    """Which BLAS kernel runs on how many threads, and how busy the machine is otherwise."""
    from threadpoolctl import threadpool_info

    for pool in threadpool_info():
        if pool["user_api"] == "blas":
            print(
                f"{pool['internal_api']} {pool['version']} {pool['architecture']}, {pool['num_threads']} threads",
                end="; ",
            )
    print(f"load before the run {os.getloadavg()[0]:.1f}")


def main() -> None:
    """Print the table, or run one case of it."""
    if sys.argv[1:2] == ["--case"]:
        what, name, *numbers = sys.argv[2:]
        run_case(what, name, *map(int, numbers))
        return
    word = " ".join(sys.argv[1:]).lower()
    print_machine()
    columns = " ".join(f"{name:>21}" for name in ("this code", "float32 product", "symmetric product", "reference"))
    print(f"{'job':72} {'target':>16} {columns}")
    for row in TABLE:
        job = f"{row.name}, {row.queries:,} queries of {row.n:,} points, {row.width}-d"
        if word not in job.lower():
            continue
        bare = measured("product", row)
        symmetric = measured("symmetric_product", row) if row.n < 50_000 else None
        target = (row.target[0] or 2 * bare[0], row.target[1])
        plain = measured("reference", row, 1) if row.reference else None
        if row.name == NEIGHBOURS:
            print_row(
                f"{job} (reference: faiss)", target, measured("neighbour_lists", row), bare, symmetric, by_faiss(row)
            )
            continue
        print_row(job, target, measured("library", row), bare, symmetric, plain)
    tool = TESTDATA / "tools/make_stage_pickles.py"
    if not tool.exists():
        print(f"no movie: {tool} is not there; set CASTSEARCH_TESTDATA")
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, str(tool), folder, "--seed", "3", "--movie", "tt0000001:20:5000"], check=True)
        for name, flags in FLAGS.items():
            job = f"fusion.py, 20 casts, 5,000 candidates, {name}"
            if word in job.lower():
                print_row(job, MOVIE_TARGETS[name], movie_case(Path(folder), flags))


if __name__ == "__main__":
    main()
