"""Whom to look for: a folder with a picture a person, or a folder a person with several."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

import numpy as np

from castsearch.annotations import OTHERS
from castsearch.faces.closeups import detect_portrait
from castsearch.faces.packs import FacePack
from castsearch.faces.selection import portrait_doubt, select_portrait
from castsearch.identifiers import movie_fault, shown
from castsearch.images import ImageError, read_image
from castsearch.movies.errors import MovieError, MovieWarning
from castsearch.paths import folded, open_plain, shortened, unreadable
from castsearch.stagefiles import Faces

SAME_PERSON = 0.9  # cosine of two people's portraits from which they probably show one
UNKNOWN = re.compile(r"unknown-\d+")  # what people are called whom nobody looks for
_LONGEST_ID = 120  # bytes: an id of the annotations has 255, for a movie and a person

# What lies among pictures and is none: notes, and what systems and programs leave.
_NO_PICTURES = {".csv", ".db", ".ini", ".json", ".lnk", ".md", ".txt", ".xmp", ".yaml", ".yml"}
_NO_FOLDERS = {"__MACOSX", "@eaDir"}
_NOT_IN_IDS = set(',\\/:*?"<>|#')  # annotations number a person's portraits by "#"


@dataclass(frozen=True)
class Person:
    """Somebody to look for.

    Attributes:
        name: of the portrait's file or the portraits' folder, as the user has it, in Unicode's composed form.
        id: made from it: serves as an id and as a file's name, and is nobody else's.
        files: the portraits that show a face.
        features: (m, d) float32, of each of these, of unit length.
    """

    name: str
    id: str
    files: tuple[Path, ...]
    features: np.ndarray


@dataclass(frozen=True)
class Cast:
    """All who are looked for, by name."""

    people: tuple[Person, ...]


def read_portraits(folder: Path, pack: FacePack) -> Cast:
    """The people whose portraits lie in a folder.

    ``Joey.jpg`` is a portrait of Joey, and so are all pictures in the folder ``Joey``. Of what is odd but can be used,
    a ``MovieWarning`` tells.

    Args:
        folder: of the portraits.
        pack: finds, aligns and embeds their faces.

    Raises:
        MovieError: there is no such folder, or nobody in it; a picture cannot be read, shows several people, or two
            people have the same; no picture of a person shows a face; a name is two people's, or cannot be used.
    """
    portraits = _portraits_in(folder)
    check_different(portraits)
    identities = unique_words(list(portraits))
    people = [_person(name, identities[name], files, pack) for name, files in portraits.items()]
    _tell_alike(people)
    return Cast(tuple(people))


def read_person(name: str, files: Sequence[Path], pack: FacePack) -> Person:
    """One person, by portraits that may lie anywhere.

    Args:
        name: of the person.
        files: the portraits.
        pack: finds, aligns and embeds their faces.

    Raises:
        MovieError: see ``read_portraits``.
    """
    for file in files:
        _check_name(normalize("NFC", name), file)
    return _person(normalize("NFC", name), word_of(name, "person"), files, pack)


def word_of(name: str, otherwise: str) -> str:
    """What of a name can stand in an id and in a file's name, of 120 bytes at most.

    Args:
        name: any.
        otherwise: where nothing is left.

    >>> word_of("Mrs. Green, sen.", "person"), word_of("..", "person")
    ('Mrs._Green_sen', 'person')
    """
    kept = "".join(sign if sign.isprintable() and sign not in _NOT_IN_IDS else " " for sign in normalize("NFC", name))
    word = "_".join(kept.split()).encode(errors="ignore")[:_LONGEST_ID].decode(errors="ignore")
    return word.strip("._") or otherwise


def unique_words(names: Sequence[str]) -> dict[str, str]:
    """A word for each name, see ``word_of``; where a second one would get the same, it ends in ``-2``.

    They differ by more than upper and lower case: some file systems see no other difference.

    >>> unique_words(["A B", "A_B", "A,b"])
    {'A B': 'A_B', 'A_B': 'A_B-2', 'A,b': 'A_b-3'}
    """
    taken: set[str] = set()
    words = {}
    for name in names:
        plain = word = word_of(name, "person")
        number = 1
        while folded(word) in taken:
            number += 1
            word = f"{plain}-{number}"
        taken.add(folded(word))
        words[name] = word
    return words


# ---------------------------------------------------------------------------- the folder


def _portraits_in(folder: Path) -> dict[str, tuple[Path, ...]]:
    """The files of each person, by name."""
    found: dict[str, tuple[Path, ...]] = {}
    where: dict[str, Path] = {}
    for path in listed(folder):
        whole = path.is_dir()
        name = normalize("NFC", path.name if whole else path.stem).strip()
        _check_name(name, path)
        if (first := where.setdefault(folded(name), path)) is not path:
            raise MovieError(
                f"{shortened(path)}: the name is that of {first.name} already; rename one of them, or put all pictures "
                "of a person into one folder"
            )
        found[name] = tuple(_pictures_of(path)) if whole else (path,)
    if not found:
        raise MovieError(f"{shortened(folder)}: holds no portrait; put a picture a person there, named as the person")
    return found


def _check_name(name: str, path: Path) -> None:
    if (fault := movie_fault(name)) is not None:
        raise MovieError(f"{shortened(path.parent)}: {shown(path.name)}: the name of a person {fault}; rename it")
    if UNKNOWN.fullmatch(folded(name)):
        raise MovieError(f"{shortened(path)}: {name} is what somebody is called whom nobody looks for; name the person")
    if folded(name) == OTHERS:
        raise MovieError(f"{shortened(path)}: {OTHERS} is what people are called who are none of the cast; rename it")


def _pictures_of(folder: Path) -> Iterator[Path]:
    """The pictures in a person's folder."""
    empty = True
    for path in listed(folder):
        if path.is_dir():
            _warn(f"{shortened(path)}: lies within a person's folder and is left out; put its pictures one folder up")
        else:
            empty = False
            yield path
    if empty:
        raise MovieError(f"{shortened(folder)}: holds no picture; put portraits of {folder.name} there, or remove it")


def listed(folder: Path) -> list[Path]:
    """What lies in a folder of portraits or of people, without what is neither, by name.

    Raises:
        MovieError: it is none, or may not be read.
    """
    try:
        paths = sorted(folder.iterdir(), key=lambda path: (folded(path.name), path.name))
    except OSError as error:
        if folder.is_file():
            raise MovieError(f"{shortened(folder)}: is a file; name the folder of the portraits") from None
        raise MovieError(unreadable(folder, error, "name the folder of the portraits")) from None
    return [path for path in paths if not path.name.startswith(".") and not _is_beside(path)]


def _is_beside(path: Path) -> bool:
    return path.name in _NO_FOLDERS if path.is_dir() else path.suffix.lower() in _NO_PICTURES


def check_different(portraits: Mapping[str, Sequence[Path]]) -> None:
    """See that no picture is given for two people.

    Raises:
        MovieError: one is, or cannot be read.
    """
    seen: dict[str, tuple[str, Path]] = {}
    for name, files in portraits.items():
        for file in files:
            try:
                with open_plain(file) as opened:
                    digest = hashlib.sha256(opened.read()).hexdigest()
            except OSError as error:
                raise MovieError(unreadable(file, error, "remove it, or put the picture there")) from None
            whose, first = seen.setdefault(digest, (name, file))
            if whose != name:
                raise MovieError(
                    f"{shortened(file)}: is the same picture as {shortened(first)}; give {name} and {whose} their own"
                )


# ---------------------------------------------------------------------------- faces


def _person(name: str, identity: str, files: Sequence[Path], pack: FacePack) -> Person:
    used, chips, faceless = [], [], []
    for file in files:
        chip = _chip(file, pack)
        if isinstance(chip, str):
            faceless.append(f"{shortened(file)}: {chip}")
        else:
            used.append(file)
            chips.append(chip)
    if not used:
        raise MovieError(f"{faceless[0]}; nothing else shows {name}")
    for line in faceless:
        _warn(f"{line}; the other portraits of {name} are used")
    features = pack.embed(np.stack(chips)).astype(np.float32)
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    if not (np.isfinite(norms) & (norms > 0)).all():
        raise MovieError(f"{shortened(used[0])}: the embedder of {pack.name} gives no features; get its files again")
    return Person(name, identity, tuple(used), features / norms)


def _chip(file: Path, pack: FacePack) -> np.ndarray | str:
    """The face of a portrait, (3, s, s) uint8 RGB; why there is none, where it shows none."""
    try:
        image = read_image(file)
    except ImageError as error:
        raise MovieError(str(error)) from None
    faces, size = detect_portrait(pack, image), (image.shape[1], image.shape[0])
    if not len(faces):
        return "no face; take a portrait that shows one"
    chosen = select_portrait(faces, size)
    if chosen is None:
        return f"{len(faces)} faces, none sure enough; take a sharper portrait, or crop it to the person"
    if portrait_doubt(faces, size) is not None:
        raise MovieError(f"{shortened(file)}: shows faces of like size, {_places(faces)}; crop it to the person")
    return pack.align(image, faces.boxes[chosen], None if faces.landmarks is None else faces.landmarks[chosen])


def _places(faces: Faces) -> str:
    """Where the two largest faces are."""
    sides = (faces.boxes[:, 2:] - faces.boxes[:, :2]).round().astype(int)
    largest = sides.prod(axis=1).argsort(kind="stable")[::-1][:2]
    corners = faces.boxes.round().astype(int)
    return " and ".join(
        f"at {corners[face, 0]},{corners[face, 1]} ({sides[face, 0]} x {sides[face, 1]} pixels)" for face in largest
    )


def _tell_alike(people: Sequence[Person]) -> None:
    """Warn of each person who looks nearly the same as one before, once."""
    for place, other in enumerate(people):
        for one in people[:place]:
            cosine = float((one.features @ other.features.T).max())
            if cosine > SAME_PERSON:
                _warn(
                    f"{shortened(other.files[0])}: {other.name} and {one.name} look nearly the same (cosine "
                    f"{cosine:.2f}): the same person? put the pictures of a person into one folder"
                )
                break


def _warn(line: str) -> None:
    warnings.warn(line, MovieWarning, stacklevel=4)
