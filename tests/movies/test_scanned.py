from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from castsearch.movies.errors import MovieError
from castsearch.movies.scanned import Scan, read_scan, write_scan
from tests.movies.tracks_of import FACE, scan, sighting, track, unit


@pytest.fixture
def made() -> Scan:
    first = track(1, [sighting(0, face=FACE, good=True, frame="shot0001img0"), sighting(0.2)], [unit(1, 2)])
    second = track(1, [sighting(0.2, (1, 2, 3.5, 4), score=0.0)])
    return scan([first, second], [(0, 1)])


def same(one: Scan, other: Scan) -> bool:
    """Whether two scans are equal, arrays too."""
    return one.apart == other.apart and repr(one.tracks) == repr(other.tracks)


def test_what_is_kept_is_read_again(tmp_path: Path, made: Scan) -> None:
    write_scan(tmp_path / "0.npz", made, {"film": [1, "a"]})
    read = read_scan(tmp_path / "0.npz", {"film": [1, "a"]})
    assert read is not None
    assert read.apart == ((0, 1),)
    for kept, given in zip(read.tracks, made.tracks, strict=True):
        assert (kept.shot, kept.stretch, kept.faces_of, kept.good) == (
            given.shot,
            given.stretch,
            given.faces_of,
            given.good,
        )
        np.testing.assert_array_equal(kept.body, given.body)
        np.testing.assert_array_equal(kept.faces.reshape(-1, 2), given.faces)
        for seen, was in zip(kept.sightings, given.sightings, strict=True):
            assert (seen.seconds, seen.score, seen.good, seen.frame) == (was.seconds, was.score, was.good, was.frame)
            np.testing.assert_array_equal(seen.box, was.box)
            assert (seen.face is None) is (was.face is None)
    np.testing.assert_array_equal(read.tracks[0].sightings[0].face, np.array(FACE, np.float32))


def test_the_same_scan_gives_the_same_bytes_at_another_time(
    tmp_path: Path, made: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scan(tmp_path / "0.npz", made, None)
    monkeypatch.setattr("time.time", lambda: 2e9)
    write_scan(tmp_path / "1.npz", made, None)
    assert (tmp_path / "0.npz").read_bytes() == (tmp_path / "1.npz").read_bytes()


def test_nobody_at_all(tmp_path: Path) -> None:
    write_scan(tmp_path / "0.npz", Scan((), ()), None)
    assert read_scan(tmp_path / "0.npz", None) == Scan((), ())


def test_of_other_settings_or_absent(tmp_path: Path, made: Scan) -> None:
    assert read_scan(tmp_path / "0.npz", None) is None
    write_scan(tmp_path / "0.npz", made, {"rate": 5})
    assert read_scan(tmp_path / "0.npz", {"rate": 6}) is None


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 broken"])
def test_no_part_of_a_scan(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "0.npz").write_bytes(content)
    with pytest.raises(MovieError, match=r"0\.npz: is no part of a scan; remove it"):
        read_scan(tmp_path / "0.npz", None)


def test_parts_are_joined_with_their_pairs(made: Scan) -> None:
    joined = Scan.joined([made, Scan((), ()), made])
    assert joined.apart == ((0, 1), (2, 3))
    assert same(Scan(joined.tracks[2:], ((0, 1),)), made)
