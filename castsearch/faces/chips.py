"""Aligned faces ("chips"): cut for every portrait and candidate, written movie by movie, read again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from castsearch import stagefiles
from castsearch.faces.packs import ABOUT_DETECTION, FacePack, in_todays_words
from castsearch.faces.selection import select_candidate, select_portrait
from castsearch.images import ImageReader, check_pictures
from castsearch.journal import timed
from castsearch.progress import Progress, silent
from castsearch.stagefiles import (
    FACES,
    MADE_FROM,
    RAN,
    ROWS,
    MoviePictures,
    Picture,
    Resumable,
    Split,
    StageFileError,
    faces_digest,
    last_change,
    metadata_path,
    pictures_digest,
    read_metadata,
    remove_leftovers,
    say_kept,
    stamp,
    told_of_movie,
)
from castsearch.stagefiles.locks import Wait, alone

_OF_DETECTION = ("model", "licence", RAN)  # of what metadata tell about detection, on which faces do not depend
NOTES = (*_OF_DETECTION, ROWS, FACES)  # of what metadata tell about chips


def align_split(
    split: Split,
    reader: ImageReader,
    pack: FacePack,
    detections: Mapping[str, Any],
    folder: Path,
    limits: bool = True,
    single: bool = False,
    progress: Progress = silent,
    overwrite: bool = False,
    wait: Wait | None = None,
) -> Path:
    """Select and align the faces of a split and write its chips.

    Movies whose pictures and faces are what they were are left alone.

    Args:
        split: with faces.
        reader: opens the pictures' files.
        pack: alignment.
        detections: metadata of the split's faces; the chips' tell the same of what found them.
        folder: ``{mode}_img``, which receives a file a movie.
        limits: see ``select_candidate``.
        single: write one file for all movies beside the folder.
        progress: is given the movies.
        overwrite: do all movies anew.
        wait: what to do where another run is at work on a movie, see ``stagefiles.locks.alone``.

    Returns:
        The folder, or the single file.

    Raises:
        StageFileError: there is no writing there.
        NoPicturesError: the pictures lie below another folder, or none of them can be read.
    """
    if single:
        stagefiles.check_target(_single_file(folder))
    else:
        stagefiles.check_folder(folder)
    body, mode = reader.root.parent, reader.root.name
    files = [f"{mode}/{picture.file}" for movie in split.values() for picture in movie.pictures]
    check_pictures(body, files, reader.skip_bad)
    told = in_todays_words(detections, pack, "detector")
    about = {field: told[field] for field in ABOUT_DETECTION if field in told}
    notes = {field: about.pop(field) for field in _OF_DETECTION if field in about}
    depends = {**about, "limits": limits, "alignment": f"{type(pack).__name__} {pack.chip_size}"}
    aligned = _Aligning(split, reader, pack, limits, depends, notes, overwrite)
    one = _single_file(folder)
    target = aligned.into_one(one, progress) if single else aligned.into_folder(folder, progress, wait)
    other = folder if single else one
    if other.exists() and last_change(other) >= last_change(target):
        os.utime(target)  # what is current may be older, and of the two the newer is read
    return target


@dataclass(frozen=True)
class _Aligning:
    """The work of ``align_split``; all files' metadata tell ``depends``, and ``notes``, which are never compared."""

    split: Split
    reader: ImageReader
    pack: FacePack
    limits: bool
    depends: dict[str, Any]
    notes: dict[str, Any]
    overwrite: bool

    def into_folder(self, folder: Path, progress: Progress, wait: Wait | None) -> Path:
        kept = 0
        for name, movie in progress(self.split.items(), total=len(self.split), unit="movie"):
            file, made = _movie_file(folder, name), stamp(self._sources(name), self._detail(name))
            depends = self.depends | {MADE_FROM: made}
            with alone(file, wait):
                remove_leftovers(file, metadata_path(file))
                if not self.overwrite and made is not None and _depended_on(file) == depends:
                    kept += 1
                    continue
                with timed(name, faces=len(movie)):
                    chips, bad = self._align(name)
                    counts = self.depends if bad else depends  # what could not be read is tried again
                    stagefiles.write(file, {name: chips}, self._notes([name]) | counts)
        if kept:
            say_kept(folder, kept, len(self.split))
        return folder

    def into_one(self, file: Path, progress: Progress) -> Path:
        results = Resumable(
            file,
            self.depends,
            list(self.split),
            self._sources,
            self._notes(self.split),
            detail=self._detail,
            overwrite=self.overwrite,
        )
        for name in progress(results.todo, total=len(results.todo), unit="movie"):
            with timed(name, faces=len(self.split[name])):
                results.add(name, *self._align(name))
        results.finish()
        return file

    def _align(self, movie: str) -> tuple[np.ndarray, str | None]:
        """The chips, and why pictures of theirs could not be read."""
        pictures, bad = self.split[movie], self.reader.bad
        chips = align_movie(pictures, self.reader, self.pack, self.limits)
        return chips, "; ".join(bad[one.file] for one in pictures.pictures if one.file in bad) or None

    def _sources(self, movie: str) -> list[Path]:
        return [self.reader.root / picture.file for picture in self.split[movie].pictures]

    def _detail(self, movie: str) -> str:
        """Stands for the faces that were found."""
        return f"{len(self.split[movie].cast)} {self._faces[movie]}"

    @cached_property
    def _faces(self) -> dict[str, str]:
        return {name: faces_digest(movie.pictures) for name, movie in self.split.items()}

    def _notes(self, movies: Iterable[str]) -> dict[str, Any]:
        """What is told besides: which pictures the chips are of, and which faces were found on them."""
        movies = list(movies)
        pictures = {name: pictures_digest(self.split[name].pictures) for name in movies}
        return {**self.notes, ROWS: pictures, FACES: {name: self._faces[name] for name in movies}}


def _depended_on(file: Path) -> dict[str, Any]:
    try:
        return {field: told for field, told in read_metadata(file).items() if field not in NOTES}
    except StageFileError:
        return {}  # damaged ones tell nothing


def align_movie(movie: MoviePictures, reader: ImageReader, pack: FacePack, limits: bool = True) -> np.ndarray:
    """Select and align the face of every portrait and candidate of a movie.

    Returns:
        (casts + candidates, 3, chip_size, chip_size) uint8 RGB.
    """
    chips = np.empty((len(movie), 3, pack.chip_size, pack.chip_size), dtype=np.uint8)
    images = reader.read_ahead(picture.file for picture in movie.pictures)
    for row, (picture, (_, image)) in enumerate(zip(movie.pictures, images, strict=True)):
        size = image.shape[1], image.shape[0]
        box, landmarks = _selected(picture, size, row < len(movie.cast), limits)
        chips[row] = pack.align(image, box, landmarks)
    return chips


def _selected(
    picture: Picture, size: tuple[int, int], portrait: bool, limits: bool
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Box (4,) and landmarks (5, 2) of the face that counts, or None."""
    faces = picture.faces
    if faces is None:
        return None, None
    index = select_portrait(faces, size) if portrait else select_candidate(faces, size, limits)
    if index is None:
        return None, None
    return faces.boxes[index], None if faces.landmarks is None else faces.landmarks[index]


def _movie_file(folder: Path, movie: str) -> Path:
    return folder / f"{movie}.pkl"


def _single_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.pkl")


class Chips:
    """The aligned faces of a split: a folder with a file a movie, or one file for all.

    Args:
        folder: ``{mode}_img``; the single file has the same name and ends in ``.pkl``. Where both
            are there, the newer one is read.

    Raises:
        StageFileError: neither is there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, single = folder, _single_file(folder)
        found = [path for path in (folder, single) if path.exists()]
        if not found:
            raise StageFileError(f"{folder}: no such folder, nor {single.name}; run face_det.py first")
        self._single = single if max(found, key=last_change) == single else None

    def file(self, movie: str) -> Path:
        """The file in which the movie's chips lie."""
        return self._single or _movie_file(self.folder, movie)

    def of_rows(self, movies: Iterable[str]) -> dict[str, dict[str, str]]:
        """What metadata tell of the pictures and faces of movies, see ``stagefiles.rows``; of some they may not."""
        movies = list(movies)
        told = {file: read_metadata(file) for file in dict.fromkeys(map(self.file, movies))}
        found = {
            field: {name: told_of_movie(told[self.file(name)], field, name) for name in movies}
            for field in (ROWS, FACES)
        }
        return {field: {name: of for name, of in by.items() if of is not None} for field, by in found.items()}

    def read(self, movie: str, rows: int, size: int) -> np.ndarray:
        """The chips of a movie, (rows, 3, size, size) uint8.

        Raises:
            StageFileError: they are missing or of another shape.
        """
        content = self._whole if self._single else stagefiles.read(self.file(movie))
        chips: Any = content.get(movie)
        expected = (rows, 3, size, size)
        if not isinstance(chips, np.ndarray) or chips.shape != expected or chips.dtype != np.uint8:
            raise StageFileError(
                f"{self.file(movie)}: movie {movie}: expected chips {expected} of uint8, got {np.shape(chips)}; "
                "it belongs to another split or face pack, run face_det.py again"
            )
        return chips

    @cached_property
    def _whole(self) -> dict[str, Any]:
        return stagefiles.read(self.file(""))
