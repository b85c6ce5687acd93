"""The demo's movies: shots and a film rendered from a cast photograph and a portrait, with their truth."""

from castsearch.demo_movie.film import render_film
from castsearch.demo_movie.people import CAST, GROUP, PEOPLE, SINGLE, Person, package_picture
from castsearch.demo_movie.stills import FRAME_SIZE, render_split

__all__ = [
    "CAST",
    "FRAME_SIZE",
    "GROUP",
    "PEOPLE",
    "SINGLE",
    "Person",
    "package_picture",
    "render_film",
    "render_split",
]
