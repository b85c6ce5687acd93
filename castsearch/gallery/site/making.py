"""A gallery from beginning to end: its pictures and pages, and what an earlier one left that nothing shows now."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from castsearch.gallery.site.content import MovieContent, Overview
from castsearch.gallery.site.pictures import MARK, Pictures
from castsearch.gallery.site.render import write_site
from castsearch.gallery.strip import GalleryError
from castsearch.paths import shortened
from castsearch.stagefiles import sweep
from castsearch.stagefiles.locks import hold


@dataclass(frozen=True)
class Made:
    """A gallery that was written.

    Attributes:
        index: its first page.
        bad: what is wrong with each picture that it cannot show.
    """

    index: Path
    bad: Mapping[str, str]


def make_gallery(
    folder: str | os.PathLike[str], overview: Overview, movies: Callable[[Pictures], Iterable[MovieContent]]
) -> Made:
    """Write a gallery; where one was, what nothing shows now is removed last, and others' files stay.

    Args:
        folder: for it; made if absent.
        overview: what all pages share.
        movies: gives the movies one by one, their pictures written by what it is given.

    Raises:
        GalleryError: other things lie in the folder, or another run writes this gallery.
        StageFileError: there is no writing there, or no room.
    """
    pictures = Pictures(folder)
    with (pictures.folder / MARK).open("ab") as mark:
        if not hold(mark):  # each would remove what the other shows
            raise GalleryError(
                f"{shortened(pictures.folder)}: another run writes this gallery; wait until it has ended"
            )
        index = write_site(pictures.folder, overview, movies(pictures))
        pictures.sweep()
        sweep(pictures.folder)
    return Made(index, pictures.bad)
