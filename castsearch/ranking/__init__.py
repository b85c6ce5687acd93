"""Ranking for search by portrait: numpy and a compiled kernel, nothing else.

from castsearch.ranking import MovieFeatures, Settings, ecn, fuse, k_reciprocal, neighbours
"""

from castsearch.ranking.completion import complete
from castsearch.ranking.fusion import MovieFeatures, Settings, fuse
from castsearch.ranking.inputs import across, read_movies
from castsearch.ranking.nearest import Neighbours, neighbours
from castsearch.ranking.propagation import Propagation, propagate
from castsearch.ranking.reranking import RankingWarning, ecn, k_reciprocal
from castsearch.ranking.unit import RankingError, unit_rows

__all__ = [
    "MovieFeatures",
    "Neighbours",
    "Propagation",
    "RankingError",
    "RankingWarning",
    "Settings",
    "across",
    "complete",
    "ecn",
    "fuse",
    "k_reciprocal",
    "neighbours",
    "propagate",
    "read_movies",
    "unit_rows",
]
