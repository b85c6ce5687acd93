"""A film and some portraits in, who appears when out."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from castsearch.faces.packs import FacePack
from castsearch.movies.appearances import Appearance, Film, FilmCast
from castsearch.movies.appearing import LEAST, Appearances
from castsearch.movies.decided import Told
from castsearch.movies.errors import MovieError
from castsearch.movies.footage import Footage, Survey
from castsearch.movies.habits import HABITS, Habits
from castsearch.movies.layout import ANY_SIZE, Seen, check_place, frames_folder, movie_name, write_layout
from castsearch.movies.models import Models, open_models
from castsearch.movies.naming import Named, name_tracks
from castsearch.movies.opening import open_footage
from castsearch.movies.portraits import Cast, Person, read_portraits
from castsearch.movies.scan import VERSION, scan
from castsearch.movies.scanned import Scan
from castsearch.movies.shots import DetectorName
from castsearch.movies.survey import identity, survey
from castsearch.movies.timecodes import frame_of
from castsearch.movies.tracks import Linking
from castsearch.movies.unknown import Unknown, cluster_unknown
from castsearch.progress import Progress, silent
from castsearch.ranking import Impostors
from castsearch.ranking.impostors import estimated, known

MODE = "test"  # split of the layout: nobody has labelled an own film
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Scanned:
    """A film that was looked through.

    Attributes:
        footage: without bars.
        survey: its shots and times.
        scan: its tracks.
        movie: its name in the layout.
        candidates: ids of the kept sightings in the layout.
    """

    footage: Footage
    survey: Survey
    scan: Scan
    movie: str
    candidates: dict[Seen, str]

    @property
    def film(self) -> Film:
        """What formats tell of it."""
        return Film(
            name=self.movie,
            path=self.footage.path,
            rate=self.footage.rate,
            duration=self.survey.duration,
            size=self.survey.size,
            shots=self.survey.shots,
            times=self.survey.times.tolist(),
            start=_start(self.footage),
        )


@dataclass(frozen=True)
class Found:
    """Who was found in a film.

    Attributes:
        cast: who appears when; unknown people too, where they were looked for.
        scanned: the film.
        named: what is believed of each track.
        unknown: people whom nobody looked for, groups of tracks.
        nobody: appearances of the tracks that are nobody's of the cast.
        people: all who were looked for.
        told: what was decided before; None where nothing was.
    """

    cast: FilmCast
    scanned: Scanned
    named: Named
    unknown: tuple[Unknown, ...]
    nobody: tuple[Appearance, ...]
    people: tuple[Person, ...]
    told: Told | None = None


def find_cast(
    video: Path | str,
    portraits: Path | str,
    out: Path | str | None = None,
    models: Models | None = None,
    progress: Progress = silent,
) -> FilmCast:
    """Who appears when in a film.

    Args:
        video: the film, or a folder of pictures.
        portraits: folder with a picture a person, or a folder a person.
        out: folder that receives what is found on the way, so that the work can be stopped and goes on; None for a
            temporary one.
        models: what looks at pictures; by default the best that is here.
        progress: gets an item for each second of film, first for the shots, then for the people.

    Raises:
        CastSearchError: the film, a portrait or a model cannot be used.
    """
    models = models or open_models()
    if models.faces is None:
        raise MovieError("people are named by their faces: a face pack is needed")
    footage = open_footage(video)
    cast = read_portraits(Path(portraits), models.faces)
    with nullcontext(out) if out is not None else TemporaryDirectory(prefix="castsearch-") as folder:
        scanned = look_through(footage, models, Path(folder), cast.people, progress=progress)
        return name_people(scanned, cast, models.faces).cast


def look_through(
    footage: Footage,
    models: Models,
    out: Path,
    people: Sequence[Person] = (),
    shots: DetectorName = "adaptive",
    habits: Habits = HABITS,
    progress: Progress = silent,
    overwrite: bool = False,
) -> Scanned:
    """Find shots and tracks of a film, and write it in the challenge's layout.

    Args:
        footage: the film.
        models: what looks at its pictures.
        out: receives the layout, and what is kept so that the work can be stopped.
        people: who is looked for.
        shots: detector of shots.
        habits: how often is looked for what.
        progress: gets an item for each second of film, first for the shots, then for the people.
        overwrite: begin anew, whatever an earlier run found.

    Raises:
        MovieError: the film cannot be decoded, is changed meanwhile, or shows nobody; its place in ``out`` is taken.
    """
    movie = movie_name(footage.name)
    kept = out / CHECKPOINTS / movie
    check_place(out, MODE, footage.name, begun=kept.exists())
    if overwrite and kept.exists():
        shutil.rmtree(kept)
    before = identity(footage.path)
    surveyed = survey(footage, shots, kept / "survey.npz", progress)
    found = scan(
        surveyed.footage,
        surveyed.survey,
        models,
        frames_folder(out, MODE, movie),
        kept,
        depends(footage, models, shots, habits)._replace(surveyed=_surveyed(surveyed.survey)),
        habits,
        progress,
    )
    if identity(footage.path) != before:
        raise MovieError(f"{footage.path}: was changed while it was looked through; run this again once it is whole")
    if not found.tracks:
        raise MovieError(
            f"{footage.path}: shows nobody, as far as {models.persons.name} sees; choose another detector of persons, "
            "or name another film"
        )
    candidates = write_layout(found, surveyed.survey, footage.name, MODE, out, people, footage.rate, footage.time_base)
    return Scanned(surveyed.footage, surveyed.survey, found, movie, candidates)


class Depends(NamedTuple):
    """What is found in a film depends on, as JSON has it; there it is a list.

    Attributes:
        version: of looking.
        film: the file, see ``identity``.
        rate: of the film.
        shots: detector of shots.
        surveyed: digest of times and shots; None before the film was surveyed.
        persons: detector of persons.
        faces: what detects and embeds faces, and how they are searched; None where nothing does.
        bodies: what features of bodies depend on.
        habits, linking: how often is looked for what, and how sightings become tracks.
    """

    version: int
    film: Any
    rate: str
    shots: str
    surveyed: str | None
    persons: str
    faces: tuple[Any, Any, Any] | None
    bodies: dict[str, Any]
    habits: dict[str, Any]
    linking: dict[str, Any]


def depends(footage: Footage, models: Models, shots: DetectorName, habits: Habits = HABITS) -> Depends:
    """What is found in a film depends on, before it is looked through.

    Args:
        footage: the film.
        models: what looks at its pictures.
        shots: detector of shots.
        habits: how often is looked for what.
    """
    faces = models.faces
    return Depends(
        version=VERSION,
        film=identity(footage.path),
        rate=str(footage.rate),
        shots=shots,
        surveyed=None,
        persons=models.persons.name,
        faces=None
        if faces is None
        else (faces.identity("detector"), faces.identity("embedder"), faces.search.metadata()),
        bodies=dict(models.bodies.depends),
        habits=asdict(habits),
        linking=asdict(Linking()),
    )


def _surveyed(found: Survey) -> str:
    times = [found.times, [(shot.start, shot.end) for shot in found.shots], found.size]
    return hashlib.sha256(b"".join(np.asarray(some, np.float64).tobytes() for some in times)).hexdigest()


def name_people(scanned: Scanned, cast: Cast, pack: FacePack, cluster: bool = False, told: Told | None = None) -> Found:
    """Say who the people of a film are.

    Args:
        scanned: the film.
        cast: who is looked for.
        pack: by which the film was looked through.
        cluster: put the tracks that are nobody's of the cast together, as people of their own.
        told: what was decided about the film, by people of the cast.
    """
    if told is not None:
        scanned, cast = replace(scanned, scan=told.scan, candidates=told.candidates), Cast(told.people)
    found, people = scanned.scan, cast.people
    impostors = _impostors(found, people, pack)
    named = name_tracks(
        found, [person.features for person in people], impostors, said=None if told is None else told.said
    )
    present = named.present >= LEAST
    size = ANY_SIZE if scanned.footage.stills else scanned.survey.size
    appear = Appearances(found, scanned.movie, scanned.candidates, size)
    appearances = [
        one for row, person in enumerate(people) if present[row] for one in appear.of_person(person.name, row, named)
    ]
    theirs = (named.probability[present] > LEAST).any(axis=0) if present.any() else np.zeros(len(found.tracks), bool)
    nobody = np.flatnonzero(~theirs).tolist()
    unknown = cluster_unknown(found, nobody, impostors) if cluster else []
    for one in unknown:
        appearances += appear.of_unknown(one.name, one.tracks)
    grouped = {track for one in unknown for track in one.tracks}
    presence = {person.name: float(row) for person, row in zip(people, named.present, strict=True)}
    film_cast = FilmCast(
        film=scanned.film,
        people=(*(person.name for person in people), *(one.name for one in unknown)),
        appearances=tuple(sorted(appearances, key=lambda one: (one.stretch, one.cast))),
        presence=presence | {one.name: 1.0 for one in unknown},
        absent=tuple(person.name for person, there in zip(people, present, strict=True) if not there),
    )
    rest = [one for track in nobody if track not in grouped for one in appear.of_unknown("", [track])]
    return Found(film_cast, scanned, named, tuple(unknown), tuple(rest), people, told)


def _impostors(found: Scan, people: Sequence[Person], pack: FacePack) -> Impostors:
    """Cosines of different people's faces: what is known of the embedder, or what the film tells."""
    if (told := known(pack.identity("embedder")["sha256"].values())) is not None:
        return told
    faces = [track.faces for track in found.tracks if len(track.faces)]
    if not faces or not people:
        return estimated(np.zeros(0))
    return estimated(np.concatenate([person.features for person in people]) @ np.concatenate(faces).T)


def _start(footage: Footage) -> float:
    """Seconds of the film's own timecode at its first picture; 0 where there is none that can be read."""
    try:
        return float(frame_of(footage.timecode or "", footage.rate) / footage.rate)
    except MovieError:
        return 0.0
