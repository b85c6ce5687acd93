"""What metadata tell of a pack, today's and those of earlier versions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from castsearch.faces.packs import in_todays_words, notes, running
from castsearch.faces.search import DEFAULT_SEARCH, SCRFD_SIDES, SearchSettings
from castsearch.networks import Ran


def test_what_ran_is_told_once_it_did(fake_pack: Any) -> None:
    pack = fake_pack(name="../fake")
    assert running(pack, "detector") is None
    pack.detect(np.zeros((4, 4, 3), np.uint8))
    assert running(pack, "detector") == {"engine": "pencil 1", "device": "paper", "precision": "float32"}
    assert running(pack, "embedder") is None
    assert Ran("a", "b", "int8", "almost").words()["agreement"] == "almost"
    assert notes(pack) == {"model": "../fake", "licence": "none"}  # no device: nobody knows it beforehand


@pytest.mark.parametrize(
    ("scales", "told"),
    [
        (SCRFD_SIDES, [128, 640]),
        ((640,), [128, 640]),  # another search than was recorded
        (None, None),  # dlib tells of none today
    ],
)
def test_sides_that_an_earlier_version_did_not_tell_of(
    fake_pack: Any, scales: tuple[int, ...] | None, told: list[int] | None
) -> None:
    pack = fake_pack(search=SearchSettings(scales))
    recorded = {"search": DEFAULT_SEARCH.metadata(), "device": "CPU, 2 threads"}
    assert in_todays_words(recorded, pack, "detector") == {"search": {"scales": told, "flip": False}}
    assert recorded["device"] == "CPU, 2 threads"
    for search in ({"scales": [320], "flip": False}, {"scales": None, "flip": True}):
        assert in_todays_words({"search": search}, pack, "detector") == {"search": search}


def test_an_identity_of_both_networks_is_told_apart(fake_pack: Any) -> None:
    files = {"detector.onnx": "a", "embedder.onnx": "b"}
    both = {"face_pack": {"sha256": files, "versions": {"library": "1", "other": "2"}}}
    for task, digest in (("detector", "a"), ("embedder", "b")):
        told = {"sha256": {f"{task}.onnx": digest}, "versions": {"library": "1"}}
        assert in_todays_words(both, fake_pack(), task) == {task: told}
