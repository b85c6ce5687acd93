"""A gallery of a split that was ranked, from the stages' files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from castsearch.annotations import OTHERS, box_of_crop, person_ids
from castsearch.gallery.site.content import Box, Frame, MovieContent, Overview, Person, RankedBoxes, Score
from castsearch.gallery.site.moments import likeliest, with_moments
from castsearch.gallery.site.pictures import BBox, Kind, Pictures, Wanted
from castsearch.gallery.site.submissions import Submission, names_of
from castsearch.gallery.strip import GalleryError
from castsearch.identifiers import near, shown
from castsearch.images import declared_size
from castsearch.metrics import RANKS, EvaluationError, evaluate, paired_bootstrap
from castsearch.movies.layout import Times
from castsearch.movies.timeline import timeline_svg
from castsearch.paths import PICTURES
from castsearch.progress import Progress, silent
from castsearch.ranking import asking_order
from castsearch.ranking.inputs import shot
from castsearch.ranking.ranked import DECIDED_ON
from castsearch.results import Places
from castsearch.stagefiles import MoviePictures, Picture, Split

F64 = npt.NDArray[np.float64]

_SOME = 6  # names of movies in a message


@dataclass(frozen=True)
class _Rated:
    """Mean average precision, Rank@k and each person's average precision."""

    mean_ap: float
    rank: dict[int, float]
    ap: Mapping[str, float]


class SplitGallery:
    """What a gallery of a split shows.

    Args:
        split: of ``body_{mode}.pkl``.
        submissions: one, or two that are shown side by side.
        labels: true candidates by a person's id; None where nobody knows them.
        crops: folder of the crops, ``BODY/{mode}``.
        frames: folder of the whole frames, ``ORIGIN/{mode}``; None where they are not at hand.
        times: of movies that are films.
        movies: names of those that are shown; None for all.

    Attributes:
        frameless: how many frames are not below ``frames``, of the movies so far.
        whole: how many there are in all.

    Raises:
        GalleryError: there is no movie of such a name, nobody is ranked, or what is ranked is no candidate of the
            movie.
    """

    def __init__(
        self,
        split: Split,
        submissions: Sequence[Submission],
        labels: Mapping[str, Sequence[str]] | None,
        crops: Path,
        frames: Path | None = None,
        times: Mapping[str, Times] | None = None,
        movies: Sequence[str] | None = None,
    ) -> None:
        self._movies = _chosen(split, movies)
        self._crops, self._frames, self._times = crops, frames, times or {}
        self._submissions = submissions
        self._persons = person_ids(self._movies)
        self._labels = None if labels is None else {one: labels[one] for one in self._people if one in labels}
        self._lines = [self._lines_of(submission) for submission in submissions]
        self._ratings = [self._rated(lines) for lines in self._lines]
        self.frameless = self.whole = 0

    @property
    def _people(self) -> list[str]:
        return list(dict.fromkeys(self._persons.values()))

    def overview(self, title: str) -> Overview:
        """What all pages share."""
        first, *rest = self._ratings
        scores = [] if first is None else [Score(first.mean_ap, first.rank)]
        for other in rest:
            if first is not None and other is not None:
                scores.append(self._beside(first, other))
        names = names_of([submission.path for submission in self._submissions])
        return Overview(title, names, scores, self._submissions[0].decisions)

    def movies(self, pictures: Pictures, progress: Progress = silent) -> Iterator[MovieContent]:
        """The movies one by one, their pictures written.

        Args:
            pictures: of the gallery; it tells of crops and portraits that cannot be read, in whose place it shows grey.
            progress: is given the movies; the pictures of a single one.
        """
        several = len(self._movies) > 1
        for movie in progress(self._movies, total=len(self._movies), unit="movie") if several else self._movies:
            yield self._content(movie, pictures, silent if several else progress)

    # ------------------------------------------------------------------------ rankings

    def _lines_of(self, submission: Submission) -> dict[str, tuple[str, ...]]:
        """The candidates of each person who is ranked, each once, by the person's id."""
        lines: dict[str, tuple[str, ...]] = {}
        for portrait in sorted(self._persons, key=lambda one: self._persons[one] != one):  # the first portrait's first
            if portrait in submission.lines:
                lines.setdefault(self._persons[portrait], tuple(dict.fromkeys(submission.lines[portrait])))
        if not lines:
            raise GalleryError(f"{submission.path}: ranks nobody of these movies; it is of another split")
        for movie in self._movies:
            known = {picture.id for picture in movie.candidates}
            for cast in movie.cast:
                if strange := [one for one in lines.get(cast.id, ()) if one not in known]:
                    raise GalleryError(
                        f"{submission.path}: cast {shown(cast.id)}: {shown(strange[0])} is ranked but no candidate of "
                        f"{movie.name}; the ranking is of another split"
                    )
        return lines

    def _rated(self, lines: Mapping[str, Sequence[str]]) -> _Rated | None:
        """What labels tell; None without labels of anybody who is shown."""
        labels = {person: hits for person, hits in (self._labels or {}).items() if hits}
        if not labels:
            return None
        try:
            found = evaluate(labels, lines)
        except EvaluationError:  # labels are of these movies: there is no hit in any line
            return _Rated(0.0, dict.fromkeys(RANKS, 0.0), dict.fromkeys(labels, 0.0))
        return _Rated(found.mean_ap, found.rank, found.ap)

    def _beside(self, first: _Rated, other: _Rated) -> Score:
        """The score of another result than the first."""
        movie_of = {cast.id: movie.name for movie in self._movies for cast in movie.cast}
        groups = [movie_of[person] for person in first.ap]
        enough = len(set(groups)) > 1
        ours, theirs = ([each.ap[person] for person in first.ap] for each in (first, other))
        return Score(other.mean_ap, other.rank, paired_bootstrap(theirs, ours, groups) if enough else None)

    def _ranked(self, person: str, numbers: Mapping[str, int], shots: F64) -> list[RankedBoxes | None]:
        """What each result says of somebody; ``numbers`` of the movie's candidates by id, and their ``shots``."""
        found: list[RankedBoxes | None] = []
        for submission, lines, rated in zip(self._submissions, self._lines, self._ratings, strict=True):
            ap = None if rated is None else rated.ap.get(person)
            places = submission.places.get(person)
            found.append(_columns(lines[person], places, numbers, shots, ap) if person in lines else None)
        return found

    # ------------------------------------------------------------------------ movies

    def _content(self, movie: MoviePictures, pictures: Pictures, progress: Progress) -> MovieContent:
        placed = _placed(movie, self._frames)
        files = [self._crops / picture.file for picture in (*movie.candidates, *movie.cast)]
        kinds = [Kind.THUMBNAIL] * len(movie.candidates) + [Kind.PORTRAIT] * len(movie.cast)
        frames = [Wanted(path, Kind.FRAME) for path in placed.paths if path is not None]
        made = pictures.write([*map(Wanted, files, kinds), *frames], progress)
        crops = [path or pictures.blank() for path in made[: len(files)]]
        portraits = {cast.id: crop for cast, crop in zip(movie.cast, crops[len(movie.candidates) :], strict=True)}
        boxes = zip(movie.candidates, crops, placed.frame, placed.bbox, strict=False)
        of_frames: dict[Path | None, str | None] = {
            frame.source: path for frame, path in zip(frames, made[len(files) :], strict=True)
        }
        times = self._times.get(movie.name)
        self.whole += len(placed.paths)
        self.frameless += sum(of_frames.get(path) is None for path in placed.paths)
        content = MovieContent(
            name=movie.name,
            people=self._people_of(movie, portraits),
            boxes=[Box(picture.id, picture.file, crop, frame, bbox) for picture, crop, frame, bbox in boxes],
            frames=[
                _frame(name, path, of_frames.get(path), times)
                for name, path in zip(placed.names, placed.paths, strict=True)
            ],
            duration=None if times is None else times.duration,
        )
        if times is None:
            return content
        content, cast = with_moments(content, times)
        return content if cast is None else replace(content, timeline=pictures.timeline(timeline_svg(cast)))

    def _people_of(self, movie: MoviePictures, portraits: Mapping[str, str]) -> list[Person]:
        """The people of a movie; ``portraits`` by their ids."""
        numbers = {picture.id: number for number, picture in enumerate(movie.candidates)}
        shots = np.array([shot(picture.file) for picture in movie.candidates])
        theirs: dict[str, list[str]] = {}
        for cast in movie.cast:
            theirs.setdefault(self._persons[cast.id], []).append(portraits[cast.id])
        hits = {
            person: frozenset(numbers[one] for one in true if one in numbers)
            for person, true in (self._labels or {}).items()
            if person in theirs
        }
        people = [
            Person(
                cast.id,
                name_of(cast, movie.name),
                theirs[cast.id],
                self._ranked(cast.id, numbers, shots),
                hits.get(cast.id),
            )
            for cast in movie.cast
            if cast.id in theirs
        ]
        return [replace(person, present=likeliest(person)) for person in people]


def name_of(cast: Picture, movie: str) -> str:
    """What somebody is called: as the label says; the challenge's labels and ids are ids without and with the movie's.

    >>> name_of(Picture("tt1_nm1", "nm1.jpg"), "tt1")
    'nm1'
    """
    named = cast.label if cast.label not in (None, "", OTHERS) else cast.id
    return str(named).removeprefix(f"{movie}_") or cast.id


def _chosen(split: Split, names: Sequence[str] | None) -> list[MoviePictures]:
    if names is None:
        return list(split.values())
    for name in names:
        if name not in split:
            found = near([name], list(split))
            there = ", ".join(map(shown, list(split)[:_SOME])) + " and others" * (len(split) > _SOME)
            mend = f"there are {there}" if found is None else f"there is {shown(found[1])}: {found[2]}"
            raise GalleryError(f"no movie {shown(name)}; {mend}")
    return [movie for movie in split.values() if movie.name in names]


def _columns(
    line: Sequence[str], places: Places | None, numbers: Mapping[str, int], shots: F64, ap: float | None
) -> RankedBoxes:
    """A line as numbers of boxes, with what a JSON tells of each place, which has the same ids."""
    order = np.array([numbers[one] for one in line], np.int32)
    if places is None:
        return RankedBoxes(order, [""] * len(line), ap=ap)
    asking = None
    if places.probability is not None:
        decided = np.isin(places.found_by, DECIDED_ON)
        asking = order[asking_order(places.probability, places.score, shots[order], decided)]
    return RankedBoxes(order, places.found_by, places.probability, ap, asking)


# ---------------------------------------------------------------------------- frames


@dataclass(frozen=True)
class _Placed:
    """Where a movie's candidates are.

    Attributes:
        frame: number of each one's frame.
        bbox: of each in it; None where the crop's name does not tell.
        names: of the frames.
        paths: of their pictures; None of what is not there.
    """

    frame: list[int]
    bbox: list[BBox | None]
    names: list[str]
    paths: list[Path | None]


def _placed(movie: MoviePictures, root: Path | None) -> _Placed:
    """Crops tell their frames, but for the ending; what tells none is a frame of its own."""
    told = [box_of_crop(picture.file) for picture in movie.candidates]
    stems = [picture.file if box is None else box[0] for picture, box in zip(movie.candidates, told, strict=True)]
    numbers = {stem: number for number, stem in enumerate(dict.fromkeys(stems))}
    folders: dict[Path, dict[str, Path]] = {}
    paths: list[Path | None] = []
    for stem in numbers:
        folder = None if root is None else (root / stem).parent
        if folder is not None and folder not in folders:
            folders[folder] = _pictures_in(folder)
        paths.append(None if folder is None else folders[folder].get(PurePosixPath(stem).name))
    names = [stem if path is None else f"{stem}{path.suffix}" for stem, path in zip(numbers, paths, strict=True)]
    return _Placed([numbers[stem] for stem in stems], [box and box[1] for box in told], names, paths)


def _pictures_in(folder: Path) -> dict[str, Path]:
    """Pictures by their names without the ending; of two of a name the first that the alphabet has."""
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    except OSError:
        return {}
    return {path.stem: path for path in reversed(files)}


def _frame(name: str, path: Path | None, picture: str | None, times: Times | None) -> Frame:
    size = None if path is None or picture is None else declared_size(path)
    stem = PurePosixPath(name).name if path is None else path.stem
    seconds = None if times is None else times.frames.get(stem)
    return Frame(name, None if size is None else picture, size, seconds)
