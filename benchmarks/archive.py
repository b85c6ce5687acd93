"""Size, time, memory and exactness of an archive of one million faces.

    python benchmarks/archive.py                    # 128 and 512 numbers a face, some minutes, 3 GB of disk
    python benchmarks/archive.py --faces 100000     # a smaller one
    python benchmarks/archive.py --beside           # what else was looked at, where it is installed: LanceDB, usearch

Faces are simulated (seed 14): 10,000 people, of whom some are in many films; films of 2,000 faces of 40 people; a
person looks a little different from film to film, from track to track and from face to face. Portraits are of the 3,000
people who are in the most films. Exact neighbours are those of float32 features, by numpy.

Cold is a process of its own after the page cache was dropped, which needs root; it counts from the start of the
interpreter to the answer, the portrait's embedding left out. Warm is the median of searches in one process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from castsearch.archive import FilmFaces  # loaded where its time counts

Search = Callable[[np.ndarray], list[int]]

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

SEED, PEOPLE, CAST, TRACK, FILM = 14, 10_000, 40, 10, 2_000
WIDTHS = (128, 512)
PORTRAITS, TOP, COLD_RUNS = 50, 100, 5
DROP = Path("/proc/sys/vm/drop_caches")


# ---------------------------------------------------------------------------- faces


def looks(width: int) -> tuple[np.ndarray, np.ndarray]:
    """(PEOPLE, width) what people look like, and (width,) how much each number tells."""
    spread = np.arange(1, width + 1, dtype=np.float32) ** -0.3
    spread /= np.linalg.norm(spread)
    people = np.random.default_rng(SEED).standard_normal((PEOPLE, width), dtype=np.float32) * spread
    return people, spread


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of unit length."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def film_features(width: int, number: int) -> np.ndarray:
    """(FILM, width) float32, the faces of one film."""
    people, spread = looks_of(width)
    rng = np.random.default_rng([SEED, number])
    known = 1 / np.arange(1, PEOPLE + 1) ** 0.5
    cast = rng.choice(PEOPLE, CAST, replace=False, p=known / known.sum())
    looking = people[cast] + 0.35 * rng.standard_normal((CAST, width), dtype=np.float32) * spread
    who = rng.choice(CAST, FILM // TRACK, p=rng.dirichlet(np.full(CAST, 0.7)))
    tracks = looking[who] + 0.5 * rng.standard_normal((len(who), width), dtype=np.float32) * spread
    return unit(np.repeat(tracks, TRACK, axis=0) + 0.45 * rng.standard_normal((FILM, width), dtype=np.float32) * spread)


_looks: dict[int, tuple[np.ndarray, np.ndarray]] = {}


def looks_of(width: int) -> tuple[np.ndarray, np.ndarray]:
    """``looks``, made once."""
    if width not in _looks:
        _looks[width] = looks(width)
    return _looks[width]


def portraits(width: int) -> np.ndarray:
    """(PORTRAITS, width) of different people."""
    people, spread = looks_of(width)
    rng = np.random.default_rng(SEED + 1)
    who = rng.choice(3000, PORTRAITS, replace=False)
    return unit(people[who] + 0.6 * rng.standard_normal((PORTRAITS, width), dtype=np.float32) * spread)


def film(width: int, number: int) -> FilmFaces:
    """A film of the archive."""
    from castsearch.archive import FilmFaces

    rows = np.arange(FILM)
    return FilmFaces(
        name=f"film{number:05d}",
        source="simulated",
        features=film_features(width, number),
        seconds=3.0 * rows,
        boxes=np.random.default_rng(number).uniform(0, 500, (FILM, 4)).astype(np.float32),
        tracks=rows // TRACK,
        frames=tuple(f"shot{row // 20:04d}img{row % 20}" for row in rows),
    )


def exact(width: int, films: int) -> list[set[tuple[str, float]]]:
    """For each portrait its nearest faces by float32 products: film and moment."""
    wanted, best = portraits(width), np.zeros((PORTRAITS, 0), np.float32)
    places = np.zeros((PORTRAITS, 0), np.int64)
    for number in range(films):
        some = wanted @ film_features(width, number).T
        best = np.concatenate([best, some], axis=1)
        places = np.concatenate([places, np.tile(number * FILM + np.arange(FILM), (PORTRAITS, 1))], axis=1)
        kept = np.argsort(-best, axis=1, kind="stable")[:, :TOP]
        best, places = np.take_along_axis(best, kept, 1), np.take_along_axis(places, kept, 1)
    return [{(f"film{place // FILM:05d}", 3.0 * (place % FILM)) for place in row.tolist()} for row in places]


# ---------------------------------------------------------------------------- in a process of its own


def one_search(folder: str, query: str) -> None:
    """Answer one portrait; prints the best face and the peak memory."""
    from castsearch.archive import Archive

    best = Archive.open(Path(folder)).index().faces(np.load(query)[:1], TOP)
    print(json.dumps([best[0].film, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def no_search() -> None:
    """Only load what a search needs of others."""
    import faiss

    print(json.dumps([faiss.__version__]))


def many_searches(folder: str, query: str) -> None:
    """Answer all portraits; prints seconds of each, the faces found and the peak memory."""
    from castsearch.archive import Archive

    index, wanted = Archive.open(Path(folder)).index(keep=True), np.load(query)
    index.faces(wanted[:1], TOP)
    seconds, found = [], []
    for row in wanted:
        start = time.perf_counter()
        hits = index.faces(row[None], TOP)
        seconds.append(time.perf_counter() - start)
        found.append([[hit.film, hit.seconds] for hit in hits])
    print(json.dumps([seconds, found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def beside(name: str, features: str, query: str) -> None:
    """Answer all portraits by another store's exact search; prints as ``many_searches``, and seconds to build."""
    rows, wanted = np.load(features, mmap_mode="r"), np.load(query)
    start = time.perf_counter()
    search = {"LanceDB": lancedb_search, "usearch": usearch_search}[name](rows)
    built = time.perf_counter() - start
    search(wanted[0])
    seconds, found = [], []
    for row in wanted[:20]:
        start = time.perf_counter()
        places = search(row)
        seconds.append(time.perf_counter() - start)
        found.append([[f"film{place // FILM:05d}", 3.0 * (place % FILM)] for place in places])
    print(json.dumps([seconds, found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, built]))


def lancedb_search(rows: np.ndarray) -> Search:
    """A table of float16 vectors without an index."""
    import lancedb
    import pyarrow as pa

    table, width = None, rows.shape[1]
    folder = tempfile.mkdtemp()
    for first in range(0, len(rows), 50_000):
        some = rows[first : first + 50_000].astype(np.float16)
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(some.ravel()), width)
        part = pa.table({"row": pa.array(np.arange(first, first + len(some))), "vector": vectors})
        if table is None:
            table = lancedb.connect(folder).create_table("faces", part)
        else:
            table.add(part)
    return lambda row: (
        table.search(row.astype(np.float16)).distance_type("dot").limit(TOP).to_arrow()["row"].to_pylist()
    )


def usearch_search(rows: np.ndarray) -> Search:
    """Its exact search through bytes in memory."""
    from usearch.index import MetricKind, search

    def coded(some: np.ndarray) -> np.ndarray:
        return np.rint(some / np.abs(some).max(axis=1, keepdims=True) * 127).astype(np.int8)

    codes = np.concatenate([coded(rows[first : first + 50_000]) for first in range(0, len(rows), 50_000)])
    return lambda row: search(codes, coded(row[None])[0], TOP, MetricKind.Cos, exact=True).keys.tolist()


# ---------------------------------------------------------------------------- the table


def call(*case: object) -> tuple[list, float, float]:
    """What a process of its own printed, its seconds, and those of processors."""
    command = [sys.executable, __file__, "--case", *map(str, case)]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return json.loads(done.stdout), seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def drop_cache() -> bool:
    """Drop the page cache; False where this process may not."""
    os.sync()
    try:
        DROP.write_text("3")
    except OSError:
        return False
    return True


def machine() -> str:
    """Its processor, cores, memory, and how busy it is."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = next((line.split(":")[1].strip() for line in info.splitlines() if "model name" in line), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GB; load before the run {os.getloadavg()[0]:.1f}"


def recall(found: list, truth: list[set[tuple[str, float]]]) -> float:
    """Which share of the nearest faces was found."""
    return statistics.mean(
        len({(name, moment) for name, moment in some} & true) / len(true)
        for some, true in zip(found, truth, strict=False)
    )


def rows_of(width: int, films: int, folder: Path) -> Iterator[tuple[str, str]]:
    """The figures of one archive."""
    from castsearch.archive import Archive, Embedder

    archive, query = Archive.begin(folder / "library", Embedder("simulated", ("0",))), folder / "portraits.npy"
    np.save(query, portraits(width))
    added = []
    for number in range(films):
        one = film(width, number)
        start = time.perf_counter()
        archive.add(one)
        added.append(time.perf_counter() - start)
    size = sum(path.stat().st_size for path in archive.paths())
    yield "size on disk", f"{size / 1e6:,.0f} MB"
    yield "all films added", f"{sum(added):.1f} s"
    few = max(1, films // 10)
    yield "a film of 2,000 faces, to an empty archive", f"{statistics.median(added[:few]) * 1000:.0f} ms"
    yield "a film of 2,000 faces, to the full archive", f"{statistics.median(added[-few:]) * 1000:.0f} ms"
    truth = exact(width, films)
    (seconds, found, peak), *_ = call("many_searches", archive.folder, query)
    yield f"warm, the {TOP} best", f"{statistics.median(seconds) * 1000:.0f} ms (slowest {max(seconds) * 1000:.0f} ms)"
    yield f"recall of the exact {TOP}", f"{recall(found, truth):.4f}"
    cold, busy, loading = [], [], []
    for _ in range(COLD_RUNS):
        drop_cache()
        loading.append(call("no_search")[1])
        dropped = drop_cache()
        (_, memory), took, of_processors = call("one_search", archive.folder, query)
        cold.append(took)
        busy.append(of_processors)
    how = "cold, a process of its own" if dropped else "a process of its own, page cache kept"
    yield how, f"{statistics.median(cold):.2f} s (slowest {max(cold):.2f} s)"
    yield "  its processor time", f"{statistics.median(busy):.2f} s"
    yield "  only to start Python, numpy and faiss", f"{statistics.median(loading):.2f} s"
    warm = [call("one_search", archive.folder, query)[1] for _ in range(COLD_RUNS)]
    yield "the same, page cache warm", f"{statistics.median(warm):.2f} s"
    yield "peak memory", f"{max(peak, memory):.0f} MB"
    again = call("many_searches", archive.folder, query)[0][1]
    yield "a second process finds", "the same" if again == found else "ANOTHER RESULT"


def rows_beside(width: int, films: int, folder: Path) -> Iterator[tuple[str, str]]:
    """The figures of other stores, exact search."""
    features = np.lib.format.open_memmap(folder / "all.npy", "w+", np.float32, (films * FILM, width))
    for number in range(films):
        features[number * FILM : (number + 1) * FILM] = film_features(width, number)
    features.flush()
    np.save(folder / "portraits.npy", portraits(width))
    truth = exact(width, films)
    for name in ("LanceDB", "usearch"):
        try:
            (seconds, found, peak, built), *_ = call("beside", name, folder / "all.npy", folder / "portraits.npy")
        except subprocess.CalledProcessError:
            yield name, "does not run here"
            continue
        yield (
            name,
            f"built in {built:.0f} s, warm {statistics.median(seconds) * 1000:.0f} ms, "
            f"recall {recall(found, truth):.4f}, peak {peak:.0f} MB",
        )


CASES = {some.__name__: some for some in (no_search, one_search, many_searches, beside)}


def main() -> None:
    """Print the table, or run one case of it."""
    if sys.argv[1:2] == ["--case"]:
        CASES[sys.argv[2]](*sys.argv[3:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=1_000_000, help="in the archive")
    parser.add_argument("--width", type=int, nargs="+", default=WIDTHS, help="numbers of a feature")
    parser.add_argument("--beside", action="store_true", help="other stores instead")
    args = parser.parse_args()
    print(machine())
    films = max(1, args.faces // FILM)
    for width in args.width:
        print(f"{films * FILM:,} faces of {width} numbers, {films} films")
        with tempfile.TemporaryDirectory() as folder:
            rows = rows_beside if args.beside else rows_of
            for what, figure in rows(width, films, Path(folder)):
                print(f"  {what:44} {figure}", flush=True)


if __name__ == "__main__":
    main()
