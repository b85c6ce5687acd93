"""All faces of an archive, gone through for those most like a portrait.

Two steps, as with every quantised index: faiss compares codes of a byte a number, all of them, and what may be among
the best is compared by its features. What codes lose is known of every film, so that nothing is overlooked: by Cauchy
and Schwarz a similarity differs from that of codes by no more than the length of what was lost. The result is that of
comparing all features, whatever order films were added in; ties go by film, moment and box.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from castsearch.archive.errors import ArchiveError
from castsearch.archive.films import FilmFile, announce, mixed, read_ahead, read_film, step
from castsearch.parallel import core_count

BLOCK = 16 << 20  # bytes of codes that are gone through at once
_LEAST = 256  # faces that each block is asked for
_MORE = 8  # times as many, where those may not be all
_READERS = 8  # files that are read at once
_ROUNDING = 1e-6  # of similarities
_QUERY_STEPS = 127  # largest number of a portrait's code

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Hit:
    """A face of the archive.

    Attributes:
        film: its name.
        seconds: the moment; None where nobody knows.
        box: x1 y1 x2 y2 of the face in pixels of the frame.
        track: its number; None where nobody knows.
        frame: its name; empty where none was kept.
        similarity: cosine, to the portrait that is most like it.
        portrait: number of that portrait, from 0.
    """

    film: str
    seconds: float | None
    box: tuple[float, float, float, float]
    track: int | None
    frame: str
    similarity: float
    portrait: int


@dataclass(frozen=True)
class _Found:
    """Faces, best first: numbers of their films and rows there, similarities, and the portraits most like them."""

    film: I64
    row: I64
    similarity: F64
    portrait: I64


class FaceIndex:
    """The faces of films, searched by portraits.

    Args:
        paths: of the films' files.
        keep: codes stay in memory from the first search on, a byte a number of a feature: for many searches. Otherwise
            each search reads them, which takes little memory, and less time than to make room for all.

    Raises:
        ArchiveError: a file is no film's, or features differ in their number.
        ChangedError: a film was removed meanwhile.
    """

    def __init__(self, paths: Iterable[Path], keep: bool = False) -> None:
        paths = sorted(paths, key=lambda path: path.stem)
        for path in paths:
            announce(path)
        self._films = [film for film in map(_opened, paths) if film.shape[0]]
        self._check_widths()
        room = _Room()
        self._blocks = [_Block(self._films, numbers, None if keep else room) for numbers in _grouped(self._films)]

    def _check_widths(self) -> None:
        for film in self._films:
            if film.shape[1] != self._films[0].shape[1]:
                raise ArchiveError(
                    f"{film.path}: its features have {film.shape[1]} numbers, those of {self._films[0].name} "
                    f"{self._films[0].shape[1]}; remove one of the films"
                )

    def __len__(self) -> int:
        return sum(film.shape[0] for film in self._films)

    def faces(self, portraits: npt.NDArray[np.float32], count: int) -> list[Hit]:
        """The faces most like any of a person's portraits, best first.

        Args:
            portraits: (m, d) features, rows of unit length.
            count: how many at most.

        Raises:
            ArchiveError: portraits are of another embedder, or a film is damaged.
            ChangedError: a film was replaced or removed since; open the index again.
        """
        width = self._films[0].shape[1] if self._films else portraits.shape[1]
        if portraits.shape[1] != width:
            raise ArchiveError(
                f"{self._films[0].path}: its features have {width} numbers, the portrait's {portraits.shape[1]}: "
                "another embedder made them; remove the film, and add it to an archive of its own"
            )
        found = self._best(portraits, count)
        return [self._hit(found, place) for place in range(len(found.film))]

    def tracks(self, portraits: npt.NDArray[np.float32], count: int) -> list[Hit]:
        """Likewise, the best face of each track; where nobody knows tracks, of each frame."""
        wanted = max(_LEAST // 2, 4 * count)  # a track has several faces; to go through all once more takes longer
        while True:
            hits = self.faces(portraits, wanted)
            best: dict[object, Hit] = {}
            for hit in hits:
                best.setdefault((hit.film, hit.frame if hit.track is None else hit.track), hit)
            if len(best) >= count or len(hits) < wanted:
                return list(best.values())[:count]
            wanted *= 4

    def _hit(self, found: _Found, place: int) -> Hit:
        film, row = self._films[found.film[place]], int(found.row[place])
        seconds, boxes, tracks, frames = film.places
        x1, y1, x2, y2 = boxes[row].tolist()
        return Hit(
            film=film.name,
            seconds=None if np.isnan(seconds[row]) else float(seconds[row]),
            box=(x1, y1, x2, y2),
            track=None if tracks[row] < 0 else int(tracks[row]),
            frame=frames[row],
            similarity=float(found.similarity[place]),
            portrait=int(found.portrait[place]),
        )

    def _best(self, portraits: npt.NDArray[np.float32], count: int) -> _Found:
        """The best of all portraits: of a face that several find, by the one most like it, the first of such."""
        parts = [self._of_one(np.asarray(row, np.float64), number, count) for number, row in enumerate(portraits)]
        film, row, similarity, portrait = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("film", "row", "similarity", "portrait")
        )
        order = np.lexsort((portrait, row, film, -similarity))
        _, first = np.unique(np.stack([film[order], row[order]]), axis=1, return_index=True)
        kept = order[np.sort(first)][:count]
        return _Found(film[kept], row[kept], similarity[kept], portrait[kept])

    def _of_one(self, portrait: F64, number: int, count: int) -> _Found:
        """The faces most like one portrait."""
        query = _Query.of(portrait)
        with ThreadPoolExecutor(core_count()) as pool:
            coarse = list(pool.map(lambda block: block.search(query, max(_LEAST, 2 * count)), self._blocks))
            if not coarse:
                return _Found(*(np.zeros(0, np.int64),) * 2, np.zeros(0), np.zeros(0, np.int64))
            likeliest = np.sort(np.concatenate([part[1] for part in coarse]))[::-1][:count].min()
            sure = [np.flatnonzero(part[1] >= likeliest) for part in coarse]
            first = self._compared(portrait, [part[0][some] for part, some in zip(coarse, sure, strict=True)])
            # So many faces are at least as similar as this: any better one is by codes, but for what these lose.
            least = np.sort(first[2])[::-1][:count].min() if len(first[2]) >= count else -np.inf
            whole = list(pool.map(lambda block, part: block.complete(query, part, least), self._blocks, coarse))
        film, row, similarity = self._compared(portrait, whole)
        order = np.lexsort((row, film, -similarity))[:count]
        return _Found(film[order], row[order], similarity[order], np.full(len(order), number))

    def _compared(self, portrait: F64, faces: Sequence[I64]) -> tuple[I64, I64, F64]:
        """Films, rows and similarities of faces, given by their places in each block."""
        places = [block.places(some) for block, some in zip(self._blocks, faces, strict=True)]
        film, row = (np.concatenate([place[part] for place in places]) for part in (0, 1))
        similarity = np.zeros(len(film))

        def compare(number: int) -> None:
            rows = np.flatnonzero(film == number)
            features = self._films[number].exact(row[rows]).astype(np.float64)
            # A product of matrices would round by where a row stands among others.
            similarity[rows] = (features * portrait).sum(axis=1)

        with ThreadPoolExecutor(_READERS) as pool:
            list(pool.map(compare, np.unique(film).tolist()))
        return film, row, similarity


@dataclass(frozen=True)
class _Query:
    """A portrait's code.

    Attributes:
        code: (1, d) float32 whole numbers.
        unit: what one of a product of codes is of a similarity.
        length: of what the code stands for.
        lost: length of what the code lost.
    """

    code: npt.NDArray[np.float32]
    unit: float
    length: float
    lost: float

    @classmethod
    def of(cls, portrait: F64) -> _Query:
        """The code whose largest number is the portrait's."""
        portrait = mixed(portrait[None])[0]
        scale = float(np.abs(portrait).max()) / _QUERY_STEPS or 1.0
        code = np.rint(portrait / scale)
        kept = code * scale
        return cls(
            code=code[None].astype(np.float32),
            unit=scale * step(len(portrait)),
            length=float(np.linalg.norm(kept)),
            lost=float(np.linalg.norm(portrait - kept)),
        )


class _Room:
    """Places in memory for the codes of a block, used again and again; as many as are in use at once."""

    def __init__(self) -> None:
        self._free: SimpleQueue[Any] = SimpleQueue()

    def take(self, width: int) -> Any:
        """A place for whoever asks, until it is given back."""
        try:
            return self._free.get_nowait()
        except Empty:
            return _codes(width)

    def give_back(self, codes: Any) -> None:
        """Let others have it."""
        self._free.put(codes)


class _Block:
    """The codes of some films, one after the other.

    Args:
        films: all.
        numbers: of those in the block.
        room: where codes lie during a search; None to keep them.
    """

    def __init__(self, films: Sequence[FilmFile], numbers: Sequence[int], room: _Room | None) -> None:
        self._films = [films[number] for number in numbers]
        self._numbers = np.array(numbers)
        self._ends = np.cumsum([film.shape[0] for film in self._films])
        self._lost = max(film.lost for film in self._films)
        self._room, self._kept = room, None

    def search(self, query: _Query, count: int) -> tuple[I64, F64]:
        """So many faces, best first by codes: places in the block, and similarities as codes have them."""
        width = self._films[0].shape[1]
        codes = self._kept or (_codes(width) if self._room is None else self._room.take(width))
        try:
            if self._kept is None:
                self._read(codes)
            _faiss().omp_set_num_threads(1)  # of this thread: blocks are what runs side by side
            scores, places = codes.search(query.code, min(count, int(self._ends[-1])))
        finally:
            if self._room is not None:
                self._room.give_back(codes)
        if self._room is None:
            self._kept = codes
        return places[0], scores[0].astype(np.float64) * query.unit

    def complete(self, query: _Query, coarse: tuple[I64, F64], least: float) -> I64:
        """All faces that may have at least such a similarity, given some of the best by codes."""
        least -= query.lost * (1 + self._lost) + query.length * self._lost + _ROUNDING
        while len(coarse[0]) < self._ends[-1] and coarse[1][-1] >= least:
            coarse = self.search(query, _MORE * len(coarse[0]))
        return coarse[0][coarse[1] >= least]

    def places(self, faces: I64) -> tuple[I64, I64]:
        """Numbers of films, and rows in them, of places in the block."""
        film = np.searchsorted(self._ends, faces, side="right")
        starts = self._ends - [one.shape[0] for one in self._films]
        return self._numbers[film], faces - starts[film]

    def _read(self, codes: Any) -> None:
        width, total = self._films[0].shape[1], int(self._ends[-1])
        if codes.codes.size() < total * width:
            codes.codes.resize(total * width)
        codes.ntotal = total
        rows = _faiss().rev_swig_ptr(codes.codes.data(), total * width).reshape(total, width)
        for film, end in zip(self._films, self._ends.tolist(), strict=True):
            film.read_codes(rows[end - film.shape[0] : end])


def _codes(width: int) -> Any:
    """An index of faiss for codes, empty."""
    faiss = _faiss()
    kind = faiss.ScalarQuantizer.QT_8bit_direct_signed
    return faiss.IndexScalarQuantizer(width, kind, faiss.METRIC_INNER_PRODUCT)


def _opened(path: Path) -> FilmFile:
    """A film whose codes the system may begin to read."""
    film = read_film(path)
    with film.opened() as descriptor:
        read_ahead(descriptor, film.starts["codes"], film.lengths["codes"])
    return film


def _grouped(films: Sequence[FilmFile]) -> list[list[int]]:
    """Numbers of films, as many together as make a block."""
    groups: list[list[int]] = []
    room = 0
    for number, film in enumerate(films):
        size = film.shape[0] * film.shape[1]
        if not groups or size > room:
            groups.append([])
            room = BLOCK
        groups[-1].append(number)
        room -= size
    return groups


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise ArchiveError("faiss: is not installed, which goes through the faces; pip install faiss-cpu") from None
    return faiss
