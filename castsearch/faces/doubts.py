"""Doubts about portraits: told where faces are detected, kept in the metadata, told again where casts are ranked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from castsearch.faces.selection import portrait_doubt
from castsearch.stagefiles import Faces, Picture, Split

DOUBTS = "doubts"  # of the metadata: by path beside results/{list}.pkl, by id beside retina_{mode}.pkl


def doubts_of_list(found: Mapping[str, Faces], size: Callable[[str], tuple[int, int]]) -> dict[str, str]:
    """The doubts about a list's portraits, by path.

    Args:
        found: the faces of each portrait.
        size: (width, height) in pixels of the portrait at a path; asked for where there are several faces.
    """
    doubts = {}
    for file, faces in found.items():
        doubt = portrait_doubt(faces, size(file) if len(faces) > 1 else None)
        if doubt is not None:
            doubts[file] = doubt
    return doubts


def told_doubt(faces: Faces | None, told: object, key: str) -> str | None:
    """What metadata tell of a portrait; where they tell of none at all, what its faces alone do.

    Args:
        faces: of the portrait.
        told: under ``DOUBTS``, None for files of the original.
        key: the portrait's path or id, as in ``told``.
    """
    if isinstance(told, Mapping):
        doubt = told.get(key)
        return doubt if isinstance(doubt, str) else None
    return portrait_doubt(Faces.none() if faces is None else faces)


def doubts_of_split(split: Split, metadata: Mapping[str, Any]) -> list[str]:
    """The doubts about a split's portraits in which there are faces, each with the cast's id and file.

    Args:
        split: with faces.
        metadata: beside ``retina_{mode}.pkl``.
    """

    def line(picture: Picture) -> str | None:
        doubt = told_doubt(picture.faces, metadata.get(DOUBTS), picture.id)
        return None if picture.faces is None or doubt is None else f"{picture.id} ({picture.file}): {doubt}"

    lines = (line(picture) for movie in split.values() for picture in movie.cast)
    return [told for told in lines if told is not None]
