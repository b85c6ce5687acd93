"""What was found in footage: tracks, and who cannot be whom; how it is kept between two runs."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from castsearch.movies.errors import MovieError
from castsearch.movies.times import Stretch
from castsearch.movies.tracks import Sighting, Track
from castsearch.stagefiles import atomic_write

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Scan:
    """The tracks of footage, or of a part of it.

    Attributes:
        tracks: by shot, then by their beginnings.
        apart: numbers of two tracks that are seen at the same time and are two people.
    """

    tracks: tuple[Track, ...]
    apart: Pairs

    @classmethod
    def joined(cls, parts: Iterable[Scan]) -> Scan:
        """The scan of all parts."""
        tracks: list[Track] = []
        apart: list[tuple[int, int]] = []
        for part in parts:
            apart += [(len(tracks) + one, len(tracks) + other) for one, other in part.apart]
            tracks += part.tracks
        return cls(tuple(tracks), tuple(apart))


def write_scan(path: Path, scan: Scan, depends: object) -> None:
    """Keep a scan in a file, atomically; the same scan gives the same bytes.

    Args:
        path: of the file, ``.npz``.
        scan: what is kept.
        depends: what it depends on, as JSON has it.
    """
    tracks = scan.tracks
    seen = [sighting for track in tracks for sighting in track.sightings]
    nowhere = np.full(4, np.nan, np.float32)
    columns = {
        "depends": np.array(json.dumps(depends, sort_keys=True)),
        "apart": np.array(scan.apart, np.int64).reshape(-1, 2),
        "shot": np.array([track.shot for track in tracks], np.int64),
        "stretch": np.array([(track.stretch.start, track.stretch.end) for track in tracks], np.float64).reshape(-1, 2),
        "good": np.array([track.good for track in tracks], bool),
        "body": _rows([track.body for track in tracks]),
        "face_track": np.repeat(np.arange(len(tracks)), [len(track.faces) for track in tracks]),
        "face_of": np.array([index for track in tracks for index in track.faces_of], np.int64),
        "face": _rows([row for track in tracks for row in track.faces]),
        "seen_track": np.repeat(np.arange(len(tracks)), [len(track.sightings) for track in tracks]),
        "seconds": np.array([one.seconds for one in seen], np.float64),
        "box": _rows([one.box for one in seen]).reshape(-1, 4),
        "score": np.array([one.score for one in seen], np.float64),
        "face_box": _rows([nowhere if one.face is None else one.face for one in seen]).reshape(-1, 4),
        "face_good": np.array([one.good for one in seen], bool),
        "frame": np.array([one.frame or "" for one in seen], np.str_),
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:  # numpy's own savez would write the time of day
        for name, column in columns.items():
            array = io.BytesIO()
            np.save(array, column, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), array.getvalue())
    with atomic_write(path) as file:
        file.write(content.getvalue())


def _rows(rows: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack(rows).astype(np.float32) if rows else np.zeros((0, 0), np.float32)


def read_scan(path: Path, depends: object) -> Scan | None:
    """The scan that a file keeps; None where there is none, or one that depends on something else.

    Raises:
        MovieError: it is no such file.
    """
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as content:
            if str(content["depends"]) != json.dumps(depends, sort_keys=True):
                return None
            return _unpacked({name: content[name] for name in content.files})
    except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, zipfile.BadZipFile):
        raise MovieError(f"{path}: is no part of a scan; remove it") from None


def _unpacked(columns: dict[str, Any]) -> Scan:
    count = len(columns["shot"])
    seen: list[list[Sighting]] = [[] for _ in range(count)]
    for row, track in enumerate(columns["seen_track"].tolist()):
        face = columns["face_box"][row]
        seen[track].append(
            Sighting(
                seconds=float(columns["seconds"][row]),
                box=columns["box"][row],
                score=float(columns["score"][row]),
                face=None if np.isnan(face).any() else face,
                good=bool(columns["face_good"][row]),
                frame=str(columns["frame"][row]) or None,
            )
        )
    face_rows = [np.flatnonzero(columns["face_track"] == track) for track in range(count)]
    tracks = tuple(
        Track(
            shot=int(columns["shot"][track]),
            stretch=Stretch(*columns["stretch"][track].tolist()),
            sightings=tuple(seen[track]),
            body=columns["body"][track],
            faces=columns["face"][rows],
            faces_of=tuple(columns["face_of"][rows].tolist()),
            good=bool(columns["good"][track]),
        )
        for track, rows in enumerate(face_rows)
    )
    return Scan(tracks, tuple((one, other) for one, other in columns["apart"].tolist()))
