"""Writes a gallery's pages: an index, a page a movie, a page a person; what they show is told by ``content``.

Pages are opened from the disk, where scripts cannot fetch: what they need stands in the page, or in a script that sets
it. ``movie.js`` holds what all pages of a movie share, ``gallery.js`` what all pages do.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from castsearch.decisions import as_json
from castsearch.gallery.site.content import Box, MovieContent, Overview, Person, RankedBoxes
from castsearch.results import IN_A_BOX
from castsearch.stagefiles import atomic_write

GENERATOR = "castsearch gallery"  # by which a folder's index.html is known as a gallery's
N_STRIP = 6  # boxes beside a portrait
NOBODY = -1  # number of the person whom a box shows, where it shows none that is known
_PER_UNIT = 10_000  # probabilities are whole ten thousandths in the pages

_HERE = Path(__file__).parent
_ASSETS, _MOVIES = "assets", "movies"
_OWN = re.compile(rf"{_ASSETS}/\w+\.(js|css)|{_MOVIES}/\d+/(index|\d+)\.html|{_MOVIES}/\d+/movie\.js")


def write_site(folder: Path, overview: Overview, movies: Iterable[MovieContent]) -> Path:
    """Write all pages of a gallery; its pictures are there already, or will be.

    Each movie is let go once its pages are written. The index comes last, and then pages of an earlier run that this
    one has none of are removed.

    Args:
        folder: of the gallery; made if absent.
        overview: what all pages share.
        movies: in the order of the index.

    Returns:
        The path of the index.

    Raises:
        StageFileError: there is no writing there, or no room.
    """
    site = _Site(folder)
    for source in sorted((_HERE / "static").iterdir()):
        site.write(f"{_ASSETS}/{source.name}", source.read_bytes())
    entries = [_write_movie(site, overview, number, movie) for number, movie in enumerate(movies, start=1)]
    site.write(f"{_ASSETS}/gallery.js", _script("castsearchGallery", _shared(overview, entries)))
    index = site.page("index.html", "index.html.j2", "", overview=overview, movies=entries)
    site.remove_stale()
    return index


# ---------------------------------------------------------------------------- files


@dataclass
class _Site:
    """The folder that pages are written into."""

    folder: Path
    written: set[str] = field(default_factory=set)
    templates: Environment = field(init=False)

    def __post_init__(self) -> None:
        self.templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.templates.filters |= {"percent": _percent, "moment": moment, "json": _json, "href": quote}
        self.templates.globals["generator"] = GENERATOR

    def write(self, name: str, content: bytes) -> Path:
        with atomic_write(self.folder / name, sync=False) as file:
            file.write(content)
        self.written.add(name)
        return self.folder / name

    def page(self, name: str, template: str, root: str, **context: Any) -> Path:
        """Write a page; ``root`` is the way from it to the gallery's folder."""
        return self.write(name, self.templates.get_template(template).render(root=root, **context).encode())

    def remove_stale(self) -> None:
        """Remove pages of an earlier run, by their names, and the folders that they leave empty; what lies elsewhere,
        where a link leads, stays."""
        whole = self.folder.resolve()
        for path in sorted(self.folder.glob(f"{_MOVIES}/*/*")) + sorted(self.folder.glob(f"{_ASSETS}/*")):
            name = path.relative_to(self.folder).as_posix()
            if _OWN.fullmatch(name) and name not in self.written and path.parent.resolve().is_relative_to(whole):
                path.unlink(missing_ok=True)
                with suppress(OSError):  # others' files lie there too
                    path.parent.rmdir()


def _json(value: Any) -> str:
    """JSON that a page can hold: nothing in it ends a script, and no script takes it for a line's end."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _script(name: str, value: Any) -> bytes:
    return f'"use strict";\nwindow.{name} = {_json(value)};\n'.encode()


# ---------------------------------------------------------------------------- words


def _percent(share: float) -> str:
    """A share as people read it.

    >>> _percent(0.9534), _percent(1.0)
    ('95.3', '100.0')
    """
    return f"{100 * share:.1f}"


def moment(seconds: float) -> str:
    """A moment of a film.

    >>> moment(3723.5)
    '1:02:03.500'
    """
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


# ---------------------------------------------------------------------------- movies


@dataclass(frozen=True)
class _Card:
    """A person as the index and the movie's page show them.

    Attributes:
        id: of the person.
        name: of the person.
        page: its name within the movie's folder.
        portrait: a picture, or None.
        strip: thumbnails of the best boxes by the first result.
        aps: of each result that tells one.
        present: as ``Person.present``.
        group: as ``Person.group``.
        n_boxes: how many are ranked.
        n_sure: how many more probably show the person than not; None where nobody knows.
    """

    id: str
    name: str
    page: str
    portrait: str | None
    strip: Sequence[str]
    aps: Sequence[float | None]
    present: float | None
    group: bool
    n_boxes: int
    n_sure: int | None


@dataclass(frozen=True)
class _Entry:
    """What of a movie outlives its pages."""

    name: str
    key: str
    folder: str
    n_boxes: int
    n_frames: int
    duration: float | None
    cards: Sequence[_Card]


def _write_movie(site: _Site, overview: Overview, number: int, movie: MovieContent) -> _Entry:
    folder = f"{_MOVIES}/{number}"
    cards = [_card(movie, person, f"{place}.html") for place, person in enumerate(movie.people, start=1)]
    entry = _Entry(movie.name, _key(movie), folder, len(movie.boxes), len(movie.frames), movie.duration, cards)
    site.write(f"{folder}/movie.js", _script("castsearchMovie", _movie_data(movie, entry)))
    context = {"overview": overview, "movie": movie, "entry": entry, "cards": cards}
    for place, person in enumerate(movie.people):
        data = _person_data(person, place, len(overview.results))
        neighbours = {"before": cards[place - 1] if place else None, "after": next(iter(cards[place + 1 :]), None)}
        site.page(
            f"{folder}/{cards[place].page}", "person.html.j2", "../../", person=person, card=cards[place], data=data,
            **neighbours, **context,
        )  # fmt: skip
    site.page(f"{folder}/index.html", "movie.html.j2", "../../", **context)
    return entry


def _card(movie: MovieContent, person: Person, page: str) -> _Card:
    first = person.results[0] if person.results else None
    sure = None
    if first is not None and first.probability is not None and not person.group:
        sure = int((first.probability > IN_A_BOX).sum())
    return _Card(
        person.id,
        person.name,
        page,
        person.portraits[0] if person.portraits else None,
        [] if first is None else _strip(movie.boxes, first),
        [None if result is None else result.ap for result in person.results],
        person.present,
        person.group,
        0 if first is None else len(first.order),
        sure,
    )


def _strip(boxes: Sequence[Box], ranked: RankedBoxes) -> list[str]:
    """Thumbnails of the best boxes; of those that probably show the person first one of each track, where there are."""
    best = [int(box) for box in ranked.order]
    sure = len(best) if ranked.probability is None else int((ranked.probability > IN_A_BOX).sum())
    firsts = {boxes[box].track: box for box in reversed(best[:sure])}
    chosen = [box for box in best[:sure] if boxes[box].track is None or firsts[boxes[box].track] == box]
    return [boxes[box].thumbnail for box in dict.fromkeys([*chosen, *best])][:N_STRIP]


def _key(movie: MovieContent) -> str:
    """Tells a movie's boxes from those of another run, whose ids may be the same."""
    digest = hashlib.sha256(json.dumps([movie.name, [[box.id, box.file] for box in movie.boxes]]).encode())
    return digest.hexdigest()[:24]


def _movie_data(movie: MovieContent, entry: _Entry) -> dict[str, Any]:
    """What the pages of a movie share, in columns."""
    return {
        "name": movie.name,
        "key": entry.key,
        "people": [_who_is(person, card) for person, card in zip(movie.people, entry.cards, strict=True)],
        "boxes": {
            "id": [box.id for box in movie.boxes],
            "file": [box.file for box in movie.boxes],
            "thumbnail": [quote(box.thumbnail) for box in movie.boxes],
            "frame": [int(box.frame) for box in movie.boxes],
            "track": [box.track for box in movie.boxes],
            "bbox": [None if box.bbox is None else list(map(int, box.bbox)) for box in movie.boxes],
            "who": _who(movie.people, len(movie.boxes)),
        },
        "frames": {
            "name": [frame.name for frame in movie.frames],
            "picture": [None if frame.picture is None else quote(frame.picture) for frame in movie.frames],
            "size": [None if frame.size is None else list(map(int, frame.size)) for frame in movie.frames],
            "seconds": [None if frame.seconds is None else float(frame.seconds) for frame in movie.frames],
        },
    }


def _who_is(person: Person, card: _Card) -> dict[str, Any]:
    """A person as all pages of the movie know them; of a group, its boxes too."""
    known = {"id": person.id, "name": person.name, "page": card.page, "group": person.group}
    if person.group:
        known["boxes"] = [int(box) for result in person.results[:1] if result is not None for box in result.order]
    return known


def _who(people: Sequence[Person], n_boxes: int) -> list[int]:
    """The number of the person whom each box shows by the first result: of the largest probability, where it is above
    a half; where the result tells none, of the best place."""
    best = np.full(n_boxes, -np.inf)
    who = np.full(n_boxes, NOBODY)
    for number, person in enumerate(people):
        if not person.results or (ranked := person.results[0]) is None or not len(ranked.order):
            continue
        order = np.asarray(ranked.order)
        if ranked.probability is not None:
            score = np.where(np.asarray(ranked.probability) > IN_A_BOX, ranked.probability, -np.inf)
        else:
            score = -np.arange(len(order)) / n_boxes
        better = score > best[order]
        best[order[better]], who[order[better]] = score[better], number
    return [int(number) for number in who]


def _person_data(person: Person, place: int, n_results: int) -> dict[str, Any]:
    """What a person's page holds: of each result its columns."""
    results = [*person.results, *[None] * (n_results - len(person.results))]
    return {
        "place": place,
        "id": person.id,
        "name": person.name,
        "group": person.group,
        "hits": None if person.hits is None else sorted(map(int, person.hits)),
        "results": [None if result is None else _columns(result) for result in results],
    }


def _columns(ranked: RankedBoxes) -> dict[str, Any]:
    words = list(dict.fromkeys(ranked.found_by))
    number = {word: place for place, word in enumerate(words)}
    shares = None if ranked.probability is None else np.rint(np.asarray(ranked.probability, float) * _PER_UNIT)
    return {
        "order": [int(box) for box in ranked.order],
        "words": words,
        "foundBy": [number[word] for word in ranked.found_by],
        "probability": None if shares is None else [int(share) for share in shares],
        "asking": None if ranked.asking is None else [int(box) for box in ranked.asking],
        "ap": ranked.ap,
    }


# ---------------------------------------------------------------------------- what all share


def _shared(overview: Overview, entries: Sequence[_Entry]) -> dict[str, Any]:
    """Whose decisions belong to which movie, and those that the ranking was given."""
    return {
        "title": overview.title,
        "results": list(overview.results),
        "movies": [
            {"name": entry.name, "key": entry.key, "people": [card.id for card in entry.cards if not card.group]}
            for entry in entries
        ],
        "decisions": as_json(overview.decisions),
    }
