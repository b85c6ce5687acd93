"""The rankings of the golden stage files, place by place."""

from __future__ import annotations

from pathlib import Path

import pytest

from castsearch.annotations import read_ranking
from castsearch.ranking import Settings, fuse, read_movies

PLACES = {"fusion": ("fusion/data", "fusion/expected"), "jurassic": ("jurassic", "jurassic/expected")}
FLAGS = ("plain", "face_rerank", "face_rerank_ecn", "body_rerank", "body_rerank_ecn")
BOTH = ("face_rerank+body_rerank", "face_rerank_ecn+body_rerank_ecn")
CASES = [("fusion", flags) for flags in FLAGS + BOTH] + [("jurassic", flags) for flags in FLAGS]


def kind(flags: list[str], part: str) -> str | None:
    """What the flags say about faces or bodies."""
    return {f"{part}_rerank": "k_reciprocal", f"{part}_rerank_ecn": "ecn"}.get(
        next((flag for flag in flags if flag.startswith(part)), "")
    )


@pytest.mark.parametrize(("name", "flags"), CASES)
def test_ranking_is_the_expected_one(testdata: Path, name: str, flags: str) -> None:
    data, expected = (testdata / "golden" / place for place in PLACES[name])
    words = flags.split("+")
    settings = Settings(face_rerank=kind(words, "face"), body_rerank=kind(words, "body"))  # type: ignore[arg-type]
    ranking = {}
    for movie in read_movies(data, "val", ["triplet_resnext101_32x8d"]):
        ranking.update(fuse(movie, settings))
    assert ranking == read_ranking(expected / f"{flags}.txt")
