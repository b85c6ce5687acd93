"""Threads of our own beside those of BLAS."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from threading import Lock, get_ident

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from castsearch.ranking import MovieFeatures, Settings, best, fuse
from castsearch.ranking.threads import THREAD_MEMORY, TILE, TILE_BYTES, Resources, single_blas, slices, tile_rows


@pytest.fixture(autouse=True)
def two_blas_threads() -> Iterator[None]:
    """Whatever the environment says: with one thread there is nothing to hold and let go."""
    with threadpool_limits(2, user_api="blas"):
        yield


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_every_item_is_seen_once_by_several_threads() -> None:
    seen: list[int] = []
    threads: set[int] = set()
    lock = Lock()

    def note(item: int) -> None:
        with lock:
            seen.append(item)
            threads.add(get_ident())

    Resources(0, 3).each(note, range(1000))
    assert sorted(seen) == list(range(1000))
    assert get_ident() not in threads


def test_blas_has_one_thread_meanwhile_and_its_own_number_afterwards() -> None:
    before, during = blas_threads(), []
    assert set(before) == {2}
    for threads in (1, 2):
        Resources(0, threads).each(lambda _: during.append(blas_threads()), range(2))
        assert blas_threads() == before
    assert during == [[1] * len(before)] * 4
    with pytest.raises(ZeroDivisionError):
        Resources(0, 2).each(lambda item: 1 // item, [1, 0, 1])
    assert blas_threads() == before


def test_jobs_inside_jobs_leave_blas_as_it_was() -> None:
    before = blas_threads()
    Resources(0, 2).each(lambda _: Resources(0, 2).each(lambda _: None, range(3)), range(5))
    assert blas_threads() == before


def test_an_error_ends_the_job() -> None:
    done = []

    def fail(item: int) -> None:
        if item == 0:
            raise KeyError(item)
        done.append(item)

    with pytest.raises(KeyError):
        Resources(0, 1).each(fail, range(100))
    assert not done


def test_little_memory_means_few_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("castsearch.ranking.threads.core_count", lambda: 8)
    assert Resources.within(100 * THREAD_MEMORY).threads == 8
    assert Resources.within(6 * THREAD_MEMORY).threads == 3
    assert Resources.within(1) == Resources(1, 1)


def test_one_item_needs_no_thread() -> None:
    seen = []
    Resources(0, 4).each(lambda _: seen.append(get_ident()), [0])
    Resources(0, 1).each(lambda _: seen.append(get_ident()), [0, 1])
    assert seen == [get_ident()] * 3
    Resources(0, 4).each(seen.append, [])
    assert len(seen) == 3


def test_blas_is_held_until_the_last_of_several_jobs_is_done() -> None:
    inner: list[list[int]] = []

    def job(_: int) -> None:
        Resources(0, 1).each(lambda _: None, [0])
        inner.append(blas_threads())

    Resources(0, 1).each(job, [0])
    assert set(inner[0]) == {1}


def test_the_better_recipe_holds_blas_from_end_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    before, during = blas_threads(), []
    whitened, presence = best.whitened, best.presence

    def noting(function):
        return lambda *args: (during.append(blas_threads()), function(*args))[1]

    monkeypatch.setattr(best, "whitened", noting(whitened))
    monkeypatch.setattr(best, "presence", noting(presence))
    features = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    boxes = [str(box) for box in range(8)]
    fuse(MovieFeatures("m", ["a"], boxes, boxes, features, np.ones(9, bool), [features[1:]]), Settings(recipe="best"))
    assert during == [[1] * len(before)] * 2
    assert blas_threads() == before
    with single_blas():
        assert set(blas_threads()) == {1}
    assert blas_threads() == before


@pytest.mark.parametrize(("n", "step"), [(0, 3), (1, 3), (6, 3), (7, 3)])
def test_slices_cover_everything_once(n: int, step: int) -> None:
    parts = [list(range(n))[some] for some in slices(n, step)]
    assert [item for part in parts for item in part] == list(range(n))
    assert all(len(part) == step for part in parts[:-1])
    assert all(some.stop <= n for some in slices(n, step))


def test_tiles_are_as_high_as_their_memory_allows() -> None:
    assert tile_rows(0) == tile_rows(1) == tile_rows(512) == TILE
    assert tile_rows(4096) == TILE_BYTES // (8 * 4096) == 256
    assert tile_rows(1 << 30) == 64


FORK = """
import os, sys
import numpy as np
before = dict(os.environ)
from castsearch.ranking import ecn, k_reciprocal
assert dict(os.environ) == before, "importing changed the environment"
features = np.random.default_rng(0).normal(size=(3000, 64)).astype(np.float32)
first = [rerank(features, 10) for rerank in (k_reciprocal, ecn)]
child = os.fork()
if child == 0:
    again = [rerank(features, 10) for rerank in (k_reciprocal, ecn)]
    os._exit(0 if all(map(np.array_equal, first, again)) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_process_forked_after_use_computes_the_same() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    subprocess.run([sys.executable, "-c", FORK], check=True, timeout=60, env=environment)
