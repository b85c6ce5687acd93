"""Faces of films from where they were found: searched films, and movies of a split whose features were extracted."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from castsearch.archive.errors import ArchiveError
from castsearch.archive.films import FilmFaces
from castsearch.archive.store import Embedder
from castsearch.faces.selection import select_candidate
from castsearch.identifiers import shown
from castsearch.movies.finding import CHECKPOINTS, MODE, Depends
from castsearch.movies.layout import Times, read_times, times_file
from castsearch.movies.scanned import Scan, read_scan
from castsearch.paths import shortened
from castsearch.ranking.inputs import frame
from castsearch.stagefiles import (
    Features,
    MoviePictures,
    Picture,
    face_name,
    read_features,
    read_metadata,
    read_retina,
    retina_name,
)

_PART = re.compile(r"\d{5}\.npz")
_BOX = re.compile(r"_(-?\d+)_(-?\d+)_(\d+)_(\d+)(?=\.[^./]+$)")  # a crop's box, in its file's name


@dataclass(frozen=True)
class Found:
    """A film's faces, and what embedded them; without digests where nothing tells."""

    film: FilmFaces
    embedder: Embedder


# ---------------------------------------------------------------------------- searched films


def searched_films(work: Path) -> list[str]:
    """Names of the films that a folder tells of as searched.

    Raises:
        ArchiveError: there is none.
        MovieError: what tells of them is damaged.
    """
    path = times_file(work, MODE)
    if not path.exists():
        raise ArchiveError(f"{shortened(work)}: no film was searched there; name the folder that a search wrote")
    return list(read_times(path))


def of_search(work: Path, names: Sequence[str]) -> Iterator[Found]:
    """Films that were searched, from what is kept of their scans.

    Args:
        work: the folder that received everything.
        names: of the films.

    Raises:
        ArchiveError: a film was not searched there, not to the end, or without faces.
        MovieError: a file is damaged.
    """
    known = searched_films(work)
    times = read_times(times_file(work, MODE))
    for name in names:
        if name not in times:
            raise ArchiveError(
                f"{shortened(work)}: no film {shown(name)} was searched there; there is {', '.join(known[:10])}"
            )
        scan, depends = _scan(work / CHECKPOINTS / name, times[name])
        yield Found(_of_scan(name, f"{work.resolve()}", scan), _embedder(depends, work / CHECKPOINTS / name))


def _scan(folder: Path, times: Times) -> tuple[Scan, Any]:
    """The whole scan of a film, and what it depends on."""
    paths = sorted(path for path in folder.glob("*.npz") if _PART.fullmatch(path.name))
    parts: list[Scan] = []
    depends: Any = None
    for path in paths:
        told = _depends(path)
        part = read_scan(path, told)
        if part is None or (parts and told != depends):
            break
        depends = told
        parts.append(part)
    scan = Scan.joined(parts)
    kept = sum(sighting.frame is not None for track in scan.tracks for sighting in track.sightings)
    if kept != len(times.tracks) or not parts:
        raise ArchiveError(f"{shortened(folder)}: the film was not searched to the end; run the same search again")
    return scan, depends


def _depends(path: Path) -> Any:
    try:
        with np.load(path, allow_pickle=False) as content:
            return json.loads(str(content["depends"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise ArchiveError(f"{shortened(path)}: is no part of a scan; run the same search again") from None


def _embedder(depends: Any, folder: Path) -> Embedder:
    try:
        told: Any = Depends(*depends)  # of a file: anything
        return Embedder.told("", told.faces[1])
    except (LookupError, TypeError, AttributeError):
        raise ArchiveError(f"{shortened(folder)}: the film was searched without faces; search it again") from None


def _of_scan(name: str, source: str, scan: Scan) -> FilmFaces:
    rows = [(number, track, index) for number, track in enumerate(scan.tracks) for index in track.faces_of]
    seen = [track.sightings[index] for _, track, index in rows]
    faces = [track.faces for track in scan.tracks if len(track.faces)]
    return FilmFaces(
        name=name,
        source=source,
        features=np.concatenate(faces) if faces else np.zeros((0, 1), np.float32),
        seconds=np.array([one.seconds for one in seen], np.float64),
        boxes=np.array([one.box if one.face is None else one.face for one in seen], np.float32).reshape(-1, 4),
        tracks=np.array([number for number, _, _ in rows], np.int64),
        frames=tuple(one.frame or "" for one in seen),
    )


# ---------------------------------------------------------------------------- movies of a split


def of_stages(data: Path, mode: str, names: Sequence[str]) -> Iterator[Found]:
    """Movies of a split, from its stage files: each candidate of which a face was seen.

    Moments and tracks are known where the split was made of films.

    Args:
        data: folder of the stage files.
        mode: split.
        names: of the movies; none for all.

    Raises:
        ArchiveError: a movie is not in the split, or a feature is none.
        StageFileError: a file is missing or damaged.
        MovieError: the file of moments is damaged.
    """
    split, path = read_retina(data / retina_name(mode)), data / face_name(mode)
    for name in names:
        if name not in split:
            raise ArchiveError(f"{shortened(data / retina_name(mode))}: has no movie {shown(name)}; check the name")
    features, metadata = read_features(path, split, "always"), read_metadata(path)
    identity, pack = metadata.get("embedder"), metadata.get("model")
    embedder = Embedder.told(str(pack or ""), identity if isinstance(identity, Mapping) else {})
    timed = times_file(data, mode)
    times = read_times(timed) if timed.exists() else {}
    for name in names or list(split):
        film = _of_movie(split[name], features[name], times.get(name), f"{data.resolve()}, {mode}", path)
        yield Found(film, embedder)


def _of_movie(movie: MoviePictures, features: Features, times: Times | None, source: str, path: Path) -> FilmFaces:
    rows = [row for row, picture in enumerate(movie.candidates) if picture.faces is not None]
    pictures = [movie.candidates[row] for row in rows]
    norms = np.linalg.norm(features.candidates[rows].astype(np.float64), axis=1)
    for picture, norm in zip(pictures, norms.tolist(), strict=True):
        if not (np.isfinite(norm) and norm > 0):
            raise ArchiveError(
                f"{shortened(path)}: movie {movie.name}: {picture.id} has no feature; run its stage again"
            )
    frames = [frame(picture.file) or picture.file for picture in pictures]
    stems = [name.rpartition("/")[2] for name in frames]
    seconds = [np.nan if times is None else times.frames.get(stem, np.nan) for stem in stems]
    return FilmFaces(
        name=movie.name,
        source=source,
        features=(features.candidates[rows] / norms[:, None]).astype(np.float32),
        seconds=np.array(seconds, np.float64),
        boxes=np.array([_in_frame(picture) for picture in pictures], np.float32).reshape(-1, 4),
        tracks=np.array([-1 if times is None else times.tracks.get(picture.id, -1) for picture in pictures], np.int64),
        frames=tuple(stems),
    )


def _in_frame(picture: Picture) -> np.ndarray:
    """(4,) float64 the face of a crop whose feature it is, in pixels of the crop's frame."""
    assert picture.faces is not None
    found = _BOX.search(picture.file)
    left, top, width, height = map(int, found.groups()) if found else (0, 0, 0, 0)
    chosen = select_candidate(picture.faces, (width, height), limits=False) if found else 0
    return np.asarray(picture.faces.boxes[chosen], np.float64) + np.array([left, top, left, top])
