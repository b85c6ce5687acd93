"""What stage files hold, typed and checked where it is made: a split's pictures, their faces, features.

Files hold plain dicts (see ``splits``, ``features``, ``detections``); nothing outside this folder handles those.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from castsearch.identifiers import id_fault, movie_fault, path_fault, shown
from castsearch.stagefiles.errors import StageFileError

LARGEST = 10_000_000  # of a face's numbers: pixels beyond those of any picture


@dataclass(frozen=True)
class Faces:
    """The faces of one picture, columnar, best score first.

    Attributes:
        boxes: (n, 4), x1 y1 x2 y2 in pixels of the picture.
        scores: (n,), larger is surer, the scale is the detector's own.
        landmarks: (n, 5, 2), x y in pixels; which points they are is the face pack's matter. None from a detector
            without landmarks.

    Raises:
        StageFileError: an array is not of numbers, or of another shape, or holds what is no place in any picture.
    """

    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray | None

    def __post_init__(self) -> None:
        n = len(self)
        for name, expected in (("boxes", (n, 4)), ("scores", (n,)), ("landmarks", (n, 5, 2))):
            array = getattr(self, name)
            if name == "landmarks" and array is None:
                continue
            if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or array.shape != expected:
                raise StageFileError(f"{name} must be {expected} numbers, got {described(array)}")
            if not ((array >= -LARGEST) & (array <= LARGEST)).all():  # nor are those that are no number
                raise StageFileError(f"{name} must be numbers from -{LARGEST} to {LARGEST}, got another")

    def __len__(self) -> int:
        return len(self.boxes) if np.ndim(self.boxes) else 0

    @classmethod
    def none(cls) -> Faces:
        """No face."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))


@dataclass(frozen=True)
class Picture:
    """A portrait, or the crop of a person box.

    Attributes:
        id: unique in its split.
        file: path below ``BODY/{mode}/``.
        label: a cast's label or ``others``; None where nobody knows.
        faces: what a detector found, at least one face; None without a face, and before detection.

    Raises:
        StageFileError: an id or a path that result files or folders cannot carry, or no face in ``faces``.
    """

    id: str
    file: str
    label: str | None = None
    faces: Faces | None = None

    def __post_init__(self) -> None:
        if (fault := id_fault(self.id)) is not None:
            raise StageFileError(f"id {shown(self.id)} {fault}")
        if (fault := path_fault(self.file)) is not None:
            raise StageFileError(f"{shown(self.id)}: file {shown(self.file)} {fault}")
        if self.label is not None and not isinstance(self.label, str):
            raise StageFileError(f"{shown(self.id)}: expected a string or nothing as label, found {shown(self.label)}")
        if self.faces is not None and not len(self.faces):
            raise StageFileError(f"{shown(self.id)}: expected at least one face, or None")


@dataclass(frozen=True)
class MoviePictures:
    """The pictures of one movie.

    Attributes:
        name: serves as a file name.
        cast: the portraits (queries).
        candidates: the crops (gallery).

    Raises:
        StageFileError: a name that no file can have.
    """

    name: str
    cast: tuple[Picture, ...]
    candidates: tuple[Picture, ...]

    def __post_init__(self) -> None:
        if (fault := movie_fault(self.name)) is not None:
            raise StageFileError(f"movie {shown(self.name)} {fault}; rename it")

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """Casts, then candidates: the order of rows in stage files."""
        return self.cast + self.candidates

    def __len__(self) -> int:
        return len(self.cast) + len(self.candidates)


class Split(Mapping[str, MoviePictures]):
    """The movies of a split by name, in the file's order.

    Raises:
        StageFileError: a movie or an id stands in it twice.
    """

    def __init__(self, movies: Iterable[MoviePictures]) -> None:
        self._movies: dict[str, MoviePictures] = {}
        place: dict[str, str] = {}
        for movie in movies:
            if movie.name in self._movies:
                raise StageFileError(f"movie {shown(movie.name)} stands in the split twice")
            self._movies[movie.name] = movie
            for picture in movie.pictures:
                if picture.id in place:
                    raise StageFileError(
                        f"movie {shown(movie.name)}: id {shown(picture.id)} stands already in movie "
                        f"{shown(place[picture.id])}; "
                        "ids must be unique in a split"
                    )
                place[picture.id] = movie.name

    def __getitem__(self, name: str) -> MoviePictures:
        return self._movies[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._movies)

    def __len__(self) -> int:
        return len(self._movies)


@dataclass(frozen=True)
class Features:
    """Features of the pictures of one movie.

    Attributes:
        rows: (q + n, d) float32, a row a picture, casts first; or (n, d) of the candidates alone.
        n_casts: q; None where the features were extracted without casts.

    Raises:
        StageFileError: not a matrix of float32, or fewer rows than casts.
    """

    rows: np.ndarray
    n_casts: int | None

    def __post_init__(self) -> None:
        if not isinstance(self.rows, np.ndarray) or self.rows.ndim != 2 or self.rows.dtype != np.float32:
            raise StageFileError(f"features must be (rows, d) float32, got {described(self.rows)}")
        if len(self.rows) < (self.n_casts or 0):
            raise StageFileError(f"features must have a row for each of {self.n_casts} casts, got {len(self.rows)}")

    @property
    def cast(self) -> np.ndarray | None:
        """(q, d), a row a portrait; None where there are none."""
        return None if self.n_casts is None else self.rows[: self.n_casts]

    @property
    def candidates(self) -> np.ndarray:
        """(n, d), a row a crop."""
        return self.rows[self.n_casts :]


def described(value: object) -> str:
    """What a value is, for an error message: shape and dtype of an array, else its type."""
    return f"{value.shape} {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
