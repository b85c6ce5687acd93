"""The demo's film: people cut out of the demo's pictures, who walk before two backgrounds; and who is seen when."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from castsearch.demo_movie.people import GROUP, PEOPLE, package_picture
from castsearch.images import write_jpeg
from castsearch.movies.encoding import film_writer
from castsearch.movies.times import Stretch
from castsearch.stagefiles import atomic_write

SIZE = (640, 360)  # pixels, width and height
RATE = 25  # pictures a second
QUALITY = 92  # of the portraits
OUTDOORS = "sklearn", "datasets/images/china.jpg"
CUT_AT = 200  # pixels: height at which people are cut out
CLEAR = 0.3  # share of somebody within the picture, from which they are seen beyond doubt
BELOW = 0.06  # share of somebody's height that lies below the picture
SWAY = 3  # pixels up and down

# Names, their places in ``PEOPLE``, and what of the picture is the portrait, x1 y1 x2 y2; Eve is not in the film.
PORTRAITS = {
    "Ann": (3, (110, 0, 350, 270)),
    "Ben": (1, (410, 195, 650, 470)),
    "Eve": (2, (1070, 215, 1280, 470)),
    "Joe": (5, (725, 280, 905, 490)),
}
STRANGER = "stranger"
BEN_FACE, MASK = ((187, 120), (62, 95)), (70, 60, 52)  # in his box, the middle and half the sides; RGB
ACTORS = {name: PEOPLE[place] for name, (place, _) in PORTRAITS.items() if name != "Eve"} | {STRANGER: PEOPLE[0]}


@dataclass(frozen=True)
class Walk:
    """Somebody's way through a shot.

    Attributes:
        who: of ``ACTORS``.
        height: of the picture's.
        way: moments in seconds from the shot's beginning, and where the middle is then, in widths of the picture.
        mirrored: left is right.
        faceless: the face cannot be seen; only of Ben.
    """

    who: str
    height: float
    way: tuple[tuple[float, float], ...]
    mirrored: bool = False
    faceless: bool = False

    def middle(self, seconds: float) -> float:
        """Where the middle is, in widths of the picture."""
        moments, middles = np.array(self.way).T
        return float(np.interp(seconds, moments, middles))


@dataclass(frozen=True)
class Shot:
    """A shot: seconds, its background with the part of it that is shown (x1 y1 x2 y2 in shares), and who is in it."""

    duration: float
    background: tuple[str, str]
    part: tuple[float, float, float, float]
    walks: tuple[Walk, ...]


SHOTS = (
    Shot(
        4.0,
        GROUP,
        (0.1, 0.0, 0.9, 0.7),
        (Walk("Ann", 0.85, ((0, 0.25), (4, 0.31))), Walk("Ben", 0.8, ((0, 0.8), (4, 0.7)))),
    ),
    Shot(3.4, OUTDOORS, (0.1, 0.1, 0.9, 0.9), (Walk(STRANGER, 0.95, ((0, 0.3), (3.4, 0.5))),)),
    Shot(
        6.0,
        GROUP,
        (0.3, 0.0, 1.0, 0.6),
        (
            Walk("Ben", 0.85, ((0, 0.28), (6, 0.34)), mirrored=True),
            Walk("Ann", 0.8, ((0, 0.7), (1.2, 0.72), (2.4, 1.35), (4.0, 1.35), (5.0, 0.75), (6, 0.72))),
        ),
    ),
    Shot(
        3.6,
        OUTDOORS,
        (0.4, 0.2, 1.0, 0.8),
        (Walk("Joe", 0.75, ((0, 0.72), (3.6, 0.66))), Walk(STRANGER, 0.95, ((0, 0.2), (3.6, 0.3)), mirrored=True)),
    ),
    Shot(
        3.2,
        GROUP,
        (0.0, 0.0, 0.6, 0.6),
        (
            Walk("Ben", 0.85, ((0, 0.3), (3.2, 0.34)), faceless=True),
            Walk("Ann", 0.8, ((0, 0.78), (3.2, 0.72))),
        ),
    ),
)


def render_film(out: Path) -> float:
    """Render the film, portraits of four people, one of whom is not in it, and the truth.

    Args:
        out: receives ``demo.mp4``, ``portraits/NAME.jpg`` and ``truth.json``: ``{"duration", "cuts", "visible",
            "unclear"}``, stretches in seconds of each person's presence; that of which little is seen is unclear.

    Returns:
        Seconds of the film.
    """
    for name, (place, box) in PORTRAITS.items():
        portrait = Image.fromarray(package_picture(*PEOPLE[place].source)).crop(box)
        write_jpeg(out / "portraits" / f"{name}.jpg", np.asarray(ImageOps.mirror(portrait)), QUALITY)
    figures = {name: _cut_out(person.source, person.body) for name, person in ACTORS.items()}
    duration = sum(shot.duration for shot in SHOTS)
    shares: dict[str, list[float]] = {name: [] for name in PORTRAITS}
    # Without a film from which to take the sound, there is none.
    with film_writer(out / "demo.mp4", Fraction(RATE), SIZE, out / "truth.json", [Stretch(0, duration)]) as writer:
        for shot in SHOTS:
            ground, dressed = _background(shot), [_dressed(figures[walk.who], walk) for walk in shot.walks]
            for number in range(round(shot.duration * RATE)):
                picture, seen = ground.copy(), dict.fromkeys(shares, 0.0)
                for walk, figure in zip(shot.walks, dressed, strict=True):
                    seen[walk.who] = _draw(picture, figure, walk, number / RATE)
                writer.add(np.rint(picture).astype(np.uint8), len(shares["Ann"]) / RATE)
                for name, told in shares.items():
                    told.append(seen[name])
    with atomic_write(out / "truth.json") as file:
        file.write((json.dumps(_truth(shares, duration), indent=1) + "\n").encode())
    return duration


def _cut_out(source: tuple[str, str], box: tuple[int, int, int, int]) -> np.ndarray:
    """(h, w, 4) float32: somebody without the background, the fourth channel how much of a pixel is theirs, 0 to 1.

    By GrabCut (Rother et al., SIGGRAPH 2004): what lies at the box's upper edge, and beside the head, is background.
    """
    x1, y1, x2, y2 = box
    whole = np.ascontiguousarray(package_picture(*source)[y1:y2, x1:x2])
    height, width = whole.shape[:2]
    small = cv2.resize(whole, (round(width * CUT_AT / height), CUT_AT), interpolation=cv2.INTER_AREA)
    labels = np.full(small.shape[:2], cv2.GC_PR_FGD, np.uint8)
    labels[:2] = labels[: CUT_AT * 4 // 9, :2] = labels[: CUT_AT * 4 // 9, -2:] = cv2.GC_BGD
    cv2.setRNGSeed(0)
    cv2.grabCut(small, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    person = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.uint8)
    outlines, _ = cv2.findContours(person, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    theirs = np.zeros(person.shape, np.float32)
    cv2.drawContours(theirs, [max(outlines, key=cv2.contourArea)], -1, 1.0, cv2.FILLED)
    soft = cv2.resize(cv2.GaussianBlur(theirs, (0, 0), 1), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.dstack([whole.astype(np.float32), soft])


def _background(shot: Shot) -> np.ndarray:
    """(h, w, 3) float32, out of focus."""
    whole = package_picture(*shot.background)
    height, width = whole.shape[:2]
    x1, y1, x2, y2 = (round(share * side) for share, side in zip(shot.part, (width, height) * 2, strict=True))
    return cv2.GaussianBlur(cv2.resize(whole[y1:y2, x1:x2], SIZE, interpolation=cv2.INTER_AREA), (0, 0), 14).astype(
        np.float32
    )


def _dressed(figure: np.ndarray, walk: Walk) -> np.ndarray:
    """(h, w, 4) float32: somebody as large as in the film, and turned as there."""
    height = round(walk.height * SIZE[1])
    width = round(figure.shape[1] * height / figure.shape[0])
    scaled = cv2.resize(_faceless(figure) if walk.faceless else figure, (width, height), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(scaled[:, ::-1]) if walk.mirrored else scaled


def _faceless(figure: np.ndarray) -> np.ndarray:
    """Ben, his face masked, so that only clothes and build tell who he is."""
    middle, sides = BEN_FACE
    covers = cv2.ellipse(np.zeros(figure.shape[:2], np.float32), middle, sides, 0, 0, 360, 1.0, cv2.FILLED)
    covers = cv2.GaussianBlur(covers, (0, 0), 3)[..., None]
    masked = np.dstack([np.broadcast_to(np.array(MASK, np.float32), (*figure.shape[:2], 3)), figure[..., 3:]])
    return figure + covers * (masked - figure)


def _draw(picture: np.ndarray, figure: np.ndarray, walk: Walk, seconds: float) -> float:
    """Draw somebody into a picture, (h, w, 3) float32.

    Returns:
        The share of their width that is within it.
    """
    height, width = figure.shape[:2]
    left = walk.middle(seconds) * SIZE[0] - width / 2
    top = SIZE[1] - (1 - BELOW) * height + SWAY * np.sin(5 * seconds)
    moved = np.array([[1, 0, left], [0, 1, top]], np.float64)
    laid = cv2.warpAffine(figure, moved, SIZE, flags=cv2.INTER_LINEAR)
    picture += laid[..., 3:] * (laid[..., :3] - picture)
    return max(0.0, min(left + width, SIZE[0]) - max(left, 0.0)) / width


def _truth(shares: Mapping[str, Sequence[float]], duration: float) -> dict[str, object]:
    """Who is visible when; ``shares`` of each person, picture by picture, that is within the picture."""
    cuts = np.cumsum([shot.duration for shot in SHOTS])[:-1].round(6).tolist()
    told = {name: np.array(share) for name, share in shares.items()}
    return {
        "duration": duration,
        "cuts": cuts,
        "visible": {name: _stretches(share >= CLEAR) for name, share in told.items()},
        "unclear": {name: _stretches((share > 0) & (share < CLEAR)) for name, share in told.items()},
    }


def _stretches(seen: np.ndarray) -> list[list[float]]:
    """[start, end] in seconds of the pictures that are marked, one after the other."""
    changes = np.flatnonzero(np.diff(np.concatenate([[0], seen.astype(int), [0]])))
    return (changes.reshape(-1, 2) / RATE).tolist()
