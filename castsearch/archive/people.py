"""People who are known across films: portraits that an archive keeps, a folder a person."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

import numpy as np

from castsearch.archive.errors import ArchiveError
from castsearch.archive.store import PEOPLE
from castsearch.faces.packs import FacePack
from castsearch.identifiers import shown
from castsearch.movies.portraits import Cast, Person, check_different, listed, read_person, read_portraits, unique_words
from castsearch.paths import PICTURES, folded, shortened
from castsearch.stagefiles import atomic_write, file_sha256, remove_leftovers


def named(archive: Path) -> dict[str, list[Path]]:
    """The people whose portraits an archive keeps, and these; both by name."""
    folder = archive / PEOPLE
    if not folder.is_dir():
        return {}
    people = [path for path in listed(folder) if path.is_dir()]
    found = {normalize("NFC", path.name): [one for one in listed(path) if not one.is_dir()] for path in people}
    return {name: files for name, files in found.items() if files}


def portraits_of(archive: Path, name: str) -> list[Path]:
    """The portraits of a person whom an archive knows.

    Raises:
        ArchiveError: it knows nobody of this name.
    """
    files = named(archive).get(normalize("NFC", name).strip())
    if files is None:
        raise ArchiveError(
            f"{shortened(archive)}: knows nobody called {shown(name)}; look for the name among its people"
        )
    return files


def name_person(archive: Path, name: str, files: Sequence[Path], pack: FacePack) -> list[Path]:
    """Keep portraits of a person, beside those that are there.

    Args:
        archive: its folder.
        name: of the person.
        files: portraits; those that are there already are left out.
        pack: sees that each shows one face.

    Returns:
        The new ones' places.

    Raises:
        ArchiveError: a portrait is somebody else's, or shows no face; the name is nearly another's.
        MovieError: a portrait shows several people, or the name cannot be used.
    """
    name, people = normalize("NFC", name).strip(), named(archive)
    if name.startswith("."):
        raise ArchiveError(f"{shown(name)}: begins with a dot, as hidden files do; choose another name")
    for other in people:
        if folded(other) == folded(name) and other != name:
            raise ArchiveError(f"{shown(name)}: there is {other}; write the name as it is there")
    whose = {file_sha256(file): other for other, kept in people.items() for file in kept}
    new: dict[str, Path] = {}
    for file in files:
        digest = file_sha256(file)
        if whose.get(digest, name) != name:
            raise ArchiveError(f"{shortened(file)}: is kept as a portrait of {whose[digest]}; give {name} another")
        if digest not in whose:
            new.setdefault(digest, file)
    person = read_person(name, list(new.values()), pack) if new else None
    if person is not None and len(person.files) < len(new):
        faceless = next(file for file in new.values() if file not in person.files)
        raise ArchiveError(f"{shortened(faceless)}: shows no face; leave it out")
    folder = people[name][0].parent if name in people else archive / PEOPLE / name
    return _kept(folder, list(new.values()))


def _kept(folder: Path, files: Sequence[Path]) -> list[Path]:
    """Copy portraits under the next numbers; a new person's appear at once, so that a kill leaves nobody without."""
    place = folder if folder.is_dir() or not files else _aside(folder)
    numbers = [int(path.stem) for path in place.glob("*") if path.stem.isdecimal()]
    names = []
    for number, file in enumerate(files, start=max(numbers, default=0) + 1):
        ending = file.suffix.lower()
        names.append(f"{number}{ending if ending in PICTURES else '.jpg'}")
        remove_leftovers(place / names[-1])
        with atomic_write(place / names[-1]) as copy:
            copy.write(file.read_bytes())
    if place != folder:
        place.rename(folder)
    return [folder / name for name in names]


def _aside(folder: Path) -> Path:
    """Where a person's folder comes from, and goes: a hidden one, empty but for what a kill left."""
    place = folder.with_name(f".{folder.name}")
    _remove(place)
    return place


def _remove(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    elif folder.is_dir():
        shutil.rmtree(folder)


def forget(archive: Path, name: str) -> None:
    """Remove a person's portraits.

    Raises:
        ArchiveError: nobody of this name is there.
    """
    folder = portraits_of(archive, name)[0].parent
    _remove(folder.rename(_aside(folder)))


def known_people(archive: Path, pack: FacePack) -> Cast:
    """The people of an archive, to look for in a film.

    Raises:
        ArchiveError: there is nobody.
        MovieError: a portrait cannot be used.
    """
    if not named(archive):
        raise ArchiveError(f"{shortened(archive)}: nobody is named there yet; name people in it first")
    return read_portraits(archive / PEOPLE, pack)


def joined(one: Cast, other: Cast) -> Cast:
    """The people of two casts, by name; whoever is in both has the portraits of both.

    Raises:
        MovieError: a picture is a portrait of two people.
    """
    people: dict[str, Person] = {}
    for person in (*one.people, *other.people):
        known = people.get(folded(person.name))
        if known is not None:
            person = replace(
                known,
                files=(*known.files, *person.files),
                features=np.concatenate([known.features, person.features]),
            )
        people[folded(person.name)] = person
    ordered = [people[word] for word in sorted(people)]
    check_different({person.name: person.files for person in ordered})
    words = unique_words([person.name for person in ordered])
    return Cast(tuple(replace(person, id=words[person.name]) for person in ordered))
