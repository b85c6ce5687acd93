"""An archive on disk: a folder of films, one file each, and of people.

    archive.json             the face pack whose features it keeps
    films/FILM.safetensors   the faces of a film
    people/NAME/1.jpg        portraits of a person

A film enters, is replaced or leaves by one change of a name in a folder, so that a kill leaves the archive as it was,
and no other film is touched. Nothing tells in what order they came: an archive built anew is the same, byte by byte.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeGuard

import numpy as np

from castsearch.archive.errors import ArchiveError
from castsearch.archive.films import SUFFIX, ChangedError, FilmFaces, FilmFile, packed, read_film
from castsearch.archive.index import FaceIndex, Hit
from castsearch.identifiers import movie_fault, shown
from castsearch.paths import folded, shortened, unreadable
from castsearch.stagefiles import atomic_write, remove_leftovers
from castsearch.textfiles import read_json

FORMAT = 1
FILMS, PEOPLE, ABOUT = "films", "people", "archive.json"

Added = Literal["added", "replaced", "unchanged"]


@dataclass(frozen=True)
class Embedder:
    """What made features.

    Attributes:
        pack: name of the face pack; empty where nobody knows.
        digests: SHA-256 of the embedder's files.
    """

    pack: str
    digests: tuple[str, ...]

    @classmethod
    def told(cls, pack: str, identity: Mapping[str, Any]) -> Embedder:
        """As ``FacePack.identity`` tells, or a file that keeps it."""
        digests = identity.get("sha256")
        return cls(pack, tuple(sorted(map(str, digests.values()))) if isinstance(digests, Mapping) else ())


@dataclass(frozen=True)
class Archive:
    """An archive that is there.

    Attributes:
        folder: of it.
        embedder: what made all its features.
    """

    folder: Path
    embedder: Embedder

    # ------------------------------------------------------------------------ opening

    @classmethod
    def open(cls, folder: Path) -> Archive:
        """The archive in a folder.

        Raises:
            ArchiveError: there is none, or one of a later version.
        """
        about = folder / ABOUT
        if not about.exists():
            raise ArchiveError(f"{shortened(folder)}: is no archive of films; add a film to it first")
        content = read_json(about, ArchiveError)
        version, pack, digests = (content.get(name) for name in ("format", "pack", "embedder"))
        if isinstance(version, int) and version > FORMAT:
            raise ArchiveError(f"{about}: is of a later version, {version}; this one knows {FORMAT}; update it")
        if version != FORMAT or not isinstance(pack, str) or not _is_words(digests):
            raise ArchiveError(f"{about}: tells of no archive; move it away and add the films again")
        return cls(folder, Embedder(pack, tuple(digests)))

    @classmethod
    def begin(cls, folder: Path, embedder: Embedder) -> Archive:
        """An archive without films; there must be none yet.

        Raises:
            ArchiveError: files of another kind lie there.
            StageFileError: there is no writing there.
        """
        try:
            strange = [
                path.name for path in folder.iterdir() if path.name not in (FILMS, PEOPLE) and path.name[:1] != "."
            ]
        except FileNotFoundError:
            strange = []
        except OSError as error:
            raise ArchiveError(unreadable(folder, error, "choose another place")) from None
        if strange:
            raise ArchiveError(f"{shortened(folder)}: holds {strange[0]}, and is no archive; name a new folder")
        told = {"format": FORMAT, "pack": embedder.pack, "embedder": embedder.digests}
        with atomic_write(folder / ABOUT) as file:
            file.write((json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode())
        return cls(folder, embedder)

    # ------------------------------------------------------------------------ films

    def paths(self) -> list[Path]:
        """The films' files, by name.

        Raises:
            ArchiveError: their folder cannot be read, or is none.
        """
        folder = self.folder / FILMS
        try:
            paths = [path for path in folder.iterdir() if path.suffix == SUFFIX and path.name[0] != "."]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ArchiveError(
                f"{shortened(folder)}: cannot be read ({error.strerror}); see that it is a folder that you may read"
            ) from None
        return sorted(paths, key=lambda path: path.stem)

    def films(self) -> Iterator[FilmFile]:
        """What the files of films tell, by name."""
        for path in self.paths():
            with suppress(ChangedError):  # removed meanwhile
                yield read_film(path)

    def check_embedder(self, embedder: Embedder, what: str) -> None:
        """See that features may be compared with those of the archive.

        Args:
            embedder: what made them.
            what: they are of, for the message.

        Raises:
            ArchiveError: another embedder made them.
        """
        if embedder.digests != self.embedder.digests:
            other = f"that of {embedder.pack}" if embedder.pack else "another one"
            raise ArchiveError(
                f"{what}: its faces were embedded by {other}, those of {shortened(self.folder)} by that of "
                f"{self.embedder.pack}, and cannot be compared; extract them again by {self.embedder.pack}, or name "
                "another archive"
            )

    def add(self, film: FilmFaces) -> Added:
        """Keep a film; nothing changes where all of it is there already.

        Raises:
            ArchiveError: it cannot be kept; a film of its name came from another place.
            StageFileError: there is no writing there, or no room.
        """
        self._check(film)
        path, content = self._file(film.name), packed(film)
        if path.exists():
            if path.is_file() and path.read_bytes() == content:
                return "unchanged"
            self._check_source(path, film)
        replaced = path.exists()
        with atomic_write(path) as file:
            file.write(content)
        return "replaced" if replaced else "added"

    @staticmethod
    def check_faces(film: FilmFaces) -> None:
        """See that a film may be kept, whatever else an archive holds.

        Raises:
            ArchiveError: it has no faces or none that can be compared, or its name cannot be a file's.
        """
        if (fault := movie_fault(film.name)) is not None:
            raise ArchiveError(f"film {shown(film.name)} {fault}; rename it")
        if film.name[0] == ".":
            raise ArchiveError(f"film {shown(film.name)} begins with a dot, as hidden files do; rename it")
        if not len(film):
            raise ArchiveError(
                f"{film.source}: film {film.name}: no face of it has features; there is nothing to search"
            )
        norms = np.linalg.norm(film.features, axis=1)
        if not (np.abs(norms - 1) < 1e-3).all():
            raise ArchiveError(f"{film.source}: film {film.name}: features are not of unit length; search it again")

    def _check(self, film: FilmFaces) -> None:
        self.check_faces(film)
        others, word = [path for path in self.paths() if path.stem != film.name], folded(film.name)
        for path in others:
            if folded(path.stem) == word:
                raise ArchiveError(f"{film.source}: film {film.name}: there is a film {path.stem}; rename one of them")
        width = self._width(others)
        if width not in (None, film.features.shape[1]):
            raise ArchiveError(
                f"{film.source}: film {film.name}: its features have {film.features.shape[1]} numbers, those of the "
                f"archive {width}; search it again"
            )

    @staticmethod
    def _width(paths: Iterable[Path]) -> int | None:
        """Numbers of a feature, as the first whole film has them; None where there is none."""
        for path in paths:
            with suppress(ArchiveError, ChangedError):  # damaged or removed, which is no matter of another film
                return read_film(path).shape[1]
        return None

    def _check_source(self, path: Path, film: FilmFaces) -> None:
        try:
            source = read_film(path).source
        except ArchiveError:
            return  # damaged: replaced
        if source != film.source:
            raise ArchiveError(
                f"{film.source}: film {film.name}: there is one of this name already, from {source}; remove that, or "
                "rename this one"
            )

    def check_film(self, name: str) -> Path:
        """See that a film is there.

        Raises:
            ArchiveError: there is none of this name.
        """
        path = self._file(name)
        if movie_fault(name) is not None or not os.path.lexists(path) or path.is_dir():
            raise ArchiveError(
                f"{shortened(self.folder)}: has no film {shown(name)}; look for its name among the films there"
            )
        return path

    def remove(self, name: str) -> None:
        """Forget a film; see ``check_film``."""
        self.check_film(name).unlink()

    def _file(self, name: str) -> Path:
        return self.folder / FILMS / f"{name}{SUFFIX}"

    def remove_leftovers(self) -> None:
        """Remove what killed runs were writing; no other run may be at work on the archive."""
        remove_leftovers(self.folder / ABOUT)
        for path in (self.folder / FILMS).glob(".*"):
            if path.is_file():
                path.unlink()

    # ------------------------------------------------------------------------ searching

    def index(self, keep: bool = False) -> FaceIndex:
        """All its faces; ``keep`` for many searches, see ``FaceIndex``."""
        return FaceIndex(self.paths(), keep)

    def read_ahead(self) -> None:
        """Let the system begin to read what a search goes through, while something else is done."""
        with suppress(ArchiveError, ChangedError):  # a search will tell
            self.index()

    def search(self, portraits: np.ndarray, count: int) -> list[Hit]:
        """The tracks most like a person's portraits, best first; see ``FaceIndex.tracks``."""
        while True:
            try:
                return self.index().tracks(portraits, count)
            except ChangedError:
                continue  # a film was replaced meanwhile


def _is_words(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)
