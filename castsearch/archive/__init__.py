"""The faces of any number of films on disk, searched by a portrait; the persons who are known across films."""

from castsearch.archive.errors import ArchiveError
from castsearch.archive.films import FilmFaces
from castsearch.archive.index import FaceIndex, Hit
from castsearch.archive.people import forget, joined, known_people, name_person, named
from castsearch.archive.sources import Found, of_search, of_stages, searched_films
from castsearch.archive.store import Added, Archive, Embedder

__all__ = [
    "Added",
    "Archive",
    "ArchiveError",
    "Embedder",
    "FaceIndex",
    "FilmFaces",
    "Found",
    "Hit",
    "forget",
    "joined",
    "known_people",
    "name_person",
    "named",
    "of_search",
    "of_stages",
    "searched_films",
]
