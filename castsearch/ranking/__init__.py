"""Ranking for search by portrait: numpy, scipy and a compiled kernel, nothing else.

>>> import numpy as np
>>> from castsearch.ranking import MovieFeatures, Settings, fuse
>>> rng = np.random.default_rng(0)
>>> people = rng.normal(size=(2, 16))                                    # what two people look like
>>> who = [0, 1, 0, 1, 1]                                                # who is in five boxes
>>> movie = MovieFeatures(
...     name="tt0107290",
...     cast=["grant", "sattler"],
...     candidates=["box0", "box1", "box2", "box3", "box4"],
...     frames=["shot1", "shot1", "shot2", "shot3", "shot4"],            # boxes 0 and 1 share a frame
...     faces=np.float32([*people, *(people[who] + 0.3 * rng.normal(size=(5, 16)))]),
...     has_face=np.array([True] * 7),
...     bodies=[rng.normal(size=(5, 8)).astype(np.float32)],
... )
>>> {cast: ids[:3] for cast, ids in fuse(movie, Settings(thresholds=(0.6, 0.5))).items()}
{'grant': ['box0', 'box2', 'box4'], 'sattler': ['box4', 'box3', 'box1']}
"""

from castsearch.ranking.asking import asking_order
from castsearch.ranking.decided import decide
from castsearch.ranking.errors import RankingError, RankingWarning, TooLittleMemory
from castsearch.ranking.fusion import fuse, rank
from castsearch.ranking.impostors import Impostors
from castsearch.ranking.inputs import across, ranked_from, read_movies, read_split
from castsearch.ranking.movie import Decided, MovieFeatures
from castsearch.ranking.nearest import Neighbours, neighbours
from castsearch.ranking.ranked import Ranked
from castsearch.ranking.reranking import ecn, k_reciprocal
from castsearch.ranking.settings import Settings
from castsearch.ranking.unit import unit_rows

__all__ = [
    "Decided",
    "Impostors",
    "MovieFeatures",
    "Neighbours",
    "Ranked",
    "RankingError",
    "RankingWarning",
    "Settings",
    "TooLittleMemory",
    "across",
    "asking_order",
    "decide",
    "ecn",
    "fuse",
    "k_reciprocal",
    "neighbours",
    "rank",
    "ranked_from",
    "read_movies",
    "read_split",
    "unit_rows",
]
