"""The faces of any number of films on disk, searched by a portrait; the persons who are known across films.

``sources`` takes faces from where they were found, ``people`` keeps portraits; both load what looks at pictures.
"""

from castsearch.archive.errors import ArchiveError
from castsearch.archive.films import FilmFaces
from castsearch.archive.index import FaceIndex, Hit
from castsearch.archive.store import Added, Archive, Embedder

__all__ = ["Added", "Archive", "ArchiveError", "Embedder", "FaceIndex", "FilmFaces", "Hit"]
