"""The two re-rankers by name, and the settings that their papers recommend."""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal

Rerank = Literal["k_reciprocal", "ecn"]
K1, K2, LAMBDA = 20, 6, 0.3  # of k-reciprocal encoding
T, Q = 10, 8  # of expanded cross neighbourhoods
# How long the neighbour lists of a re-ranker are.
LIST_LENGTH = MappingProxyType({"k_reciprocal": max(K1 + 1, K2), "ecn": max(T, Q) + 1})
