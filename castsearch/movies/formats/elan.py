"""ELAN: a tier a person, for those who annotate films by hand. The format: EAF 2.8, written by pympi."""

from __future__ import annotations

import mimetypes
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from xml.etree import ElementTree

from castsearch.movies.appearances import FilmCast
from castsearch.movies.formats.text import plain
from castsearch.stagefiles import atomic_write

_NO_TIER = "default"  # which pympi begins with


def write_elan(cast: FilmCast, path: Path) -> None:
    """Write an annotation an appearance, its value the probability in percent; the film is linked.

    Raises:
        StageFileError: there is no writing there.
    """
    from pympi import Elan

    film, eaf = cast.film.path.resolve(), Elan.Eaf(author="castsearch")
    # Not now, so that the same search gives the same bytes.
    made = datetime.fromtimestamp(film.stat().st_mtime if film.exists() else 0, tz=timezone.utc)
    eaf.adocument["DATE"] = made.isoformat(timespec="seconds")
    eaf.add_linked_file(film.as_uri(), mimetype=mimetypes.guess_type(film.name)[0] or "video/mp4")
    tiers = _tiers(cast.people)
    for tier in tiers.values():
        eaf.add_tier(tier)
    if _NO_TIER not in tiers.values():
        eaf.remove_tier(_NO_TIER)
    for one in cast.appearances:
        start = round(1000 * one.stretch.start)
        end = max(start + 1, round(1000 * one.stretch.end))
        eaf.add_annotation(tiers[one.cast], start, end, f"{100 * one.probability:.0f} %")
    document = Elan.to_adocument(eaf, False)
    for slots in document.iterfind("TIME_ORDER"):  # which the format wants in the order of time
        slots[:] = sorted(slots, key=lambda slot: int(slot.attrib["TIME_VALUE"]))
    ElementTree.indent(document)
    with atomic_write(path) as file:
        ElementTree.ElementTree(document).write(file, encoding="UTF-8", xml_declaration=True)


def _tiers(people: Iterable[str]) -> dict[str, str]:
    """The name of each person's tier, each once, though names may differ only in what a tier cannot hold."""
    tiers: dict[str, str] = {}
    taken: defaultdict[str, int] = defaultdict(int)
    for name in people:
        tier = plain(name)
        taken[tier] += 1
        tiers[name] = tier if taken[tier] == 1 else f"{tier} ({taken[tier]})"
    return tiers
