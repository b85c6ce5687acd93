"""Face networks in int8: on which pictures they are calibrated, and how far they then agree with float32."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from castsearch.faces.chips import Chips
from castsearch.faces.lists import read_list
from castsearch.faces.network_files import NetworkFile
from castsearch.faces.retinaface import SCALES, scaled_sizes
from castsearch.faces.search import SearchSettings
from castsearch.images import ImageReader, check_pictures, declared_size
from castsearch.networks import Place, PrecisionError
from castsearch.networks.int8 import (
    CALIBRATE,
    COMPARE,
    Agreement,
    Draw,
    Feed,
    Quantized,
    check_enough,
    cosine_agreement,
    draw,
    quantized,
)
from castsearch.stagefiles import Faces, Split, StageFileError, file_sha256

MOVIES = 12  # that chips are drawn from: more would have to be read whole for the sake of a few chips each
IOU = 0.5  # of two boxes around the same face


@dataclass(frozen=True)
class CalibrationSet:
    """What a network is calibrated on, and what else it is compared on.

    Attributes:
        calibration: gives pictures, (h, w, 3) uint8 RGB, or chips, (3, s, s) uint8 RGB, one by one.
        comparison: likewise.
        digests: of what they give; JSON can hold it.
    """

    calibration: Callable[[], Iterator[np.ndarray]]
    comparison: Callable[[], Iterator[np.ndarray]]
    digests: Mapping[str, object]


def lists_beside(path: Path) -> list[Path]:
    """All lists of a split, of which one is given; a list of another name stands alone.

    A split's lists must share one calibration, or their results would be of different detectors.
    """
    part = re.compile(r"(.+)_(cast|candidates_\d+)\.txt")
    own = part.fullmatch(path.name)
    if own is None:
        return [path]
    found = (other for other in path.parent.iterdir() if (match := part.fullmatch(other.name)) and match[1] == own[1])
    return sorted(found)


def pictures_of_lists(path: Path, root: Path, skip_bad: bool = False) -> CalibrationSet:
    """Pictures to calibrate a detector on, drawn from a list and those beside it.

    Args:
        path: the list.
        root: of the paths in it.
        skip_bad: leave out pictures that cannot be read, which otherwise raise where they are needed.

    Raises:
        PrecisionError: there are too few.
        NoPicturesError: they lie below another folder, or none of them can be read.
        StageFileError: a list is damaged.
    """
    drawn = draw(file for beside in lists_beside(path) for file in read_list(beside))
    check_pictures(root, drawn.calibration + drawn.comparison, skip_bad)
    reader = ImageReader(root, skip_bad)

    def readable(files: Sequence[str]) -> Iterator[np.ndarray]:
        return (image for file, image in reader.read_ahead(files) if file not in reader.bad)

    if skip_bad:  # before hours of work, and only what can be read makes a difference
        drawn = Draw(*([file for file, _ in reader.read_ahead(files) if file not in reader.bad] for files in drawn))
        check_enough(*map(len, drawn))
    # OpenVINO makes room anew for a picture larger than all before: from the smallest on it would take twice as much.
    drawn = drawn._replace(calibration=sorted(drawn.calibration, key=lambda file: -_pixels(root / file)))
    return CalibrationSet(
        lambda: readable(drawn.calibration),
        lambda: readable(drawn.comparison),
        {"pictures": [[_sha256(root / file) for file in files] for files in drawn]},
    )


def _pixels(path: Path) -> int:
    """How many RetinaFace sees of a picture, at a scale; of one that is bad, none."""
    size = declared_size(path)
    return 0 if size is None else math.prod(scaled_sizes(SCALES, *size[::-1])[0])


def _sha256(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except StageFileError:
        return None  # it will be told of when it is read


def chips_of_split(split: Split, chips: Chips, size: int) -> CalibrationSet:
    """Chips to calibrate an embedder on, drawn from a few of the split's movies.

    Args:
        split: whose chips they are.
        chips: aligned faces.
        size: of a chip in pixels.

    Raises:
        PrecisionError: there are too few.
        StageFileError: chips are missing.
    """
    rows = {f"{movie}/{row}": (movie, row) for movie in _some_movies(split) for row in range(len(split[movie]))}
    drawn = draw(rows)
    wanted: dict[str, list[str]] = {}
    for name in (*drawn.calibration, *drawn.comparison):
        wanted.setdefault(rows[name][0], []).append(name)
    found: dict[str, np.ndarray] = {}
    for movie, names in wanted.items():
        content = chips.read(movie, len(split[movie]), size)
        found |= {name: content[rows[name][1]].copy() for name in names}  # a view would keep the movie's chips

    def given(names: Sequence[str]) -> Iterator[np.ndarray]:
        return (found[name] for name in names)

    return CalibrationSet(
        lambda: given(drawn.calibration),
        lambda: given(drawn.comparison),
        {"chips": [[hashlib.sha256(found[name].tobytes()).hexdigest() for name in names] for names in drawn]},
    )


def _some_movies(split: Split) -> list[str]:
    """Drawn movies, as many as have chips enough."""
    movies = sorted(split, key=lambda movie: hashlib.sha256(movie.encode(errors="surrogatepass")).digest())
    totals = np.cumsum([len(split[movie]) for movie in movies])
    return movies[: max(MOVIES, int(np.searchsorted(totals, CALIBRATE + COMPARE)) + 1)]


def calibrated(network: NetworkFile, search: SearchSettings, place: Place, given: CalibrationSet) -> Quantized:
    """A face network in int8, made at the first time and then kept.

    Args:
        network: detector or embedder.
        search: how the detector searches.
        place: where it runs, in int8.
        given: what it is calibrated on and compared on.

    Raises:
        NetworkError: it is damaged.
        PrecisionError: it cannot be quantized, or there are too few pictures, or no faces, to tell how it agrees.
    """
    exact = replace(place, precision="float32")
    calibrated_on = 0

    def counted(items: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        nonlocal calibrated_on
        calibrated_on = 0
        for item in items:
            calibrated_on += 1
            yield item

    def feeds() -> Iterator[Feed]:
        if network.task == "detector":
            detector = network.open_detector(search, exact)
            yield from (feed for image in counted(given.calibration()) for feed in detector.feeds(image))
        else:
            embedder = network.open_embedder(exact)
            yield from embedder.feeds(np.stack(list(counted(given.calibration()))))

    def compare(model: Path) -> Agreement:
        items = list(given.comparison())
        check_enough(calibrated_on, len(items))
        if network.task == "detector":
            faces = network.open_detector(search, exact).detect_many(items)
            return face_agreement(faces, network.open_detector(search, place, model).detect_many(items), calibrated_on)
        chips = np.stack(items)
        features = network.open_embedder(exact).embed(chips)
        return cosine_agreement(features, network.open_embedder(place, model).embed(chips), calibrated_on)

    detects = network.task == "detector"
    depends = {**given.digests, "search": search.metadata()} if detects else given.digests
    # Scores, boxes and landmarks are read off the last layers: in int8 landmarks would lie half as far off again.
    return quantized(network.path, network.onnx(), feeds, compare, depends, exact_ends=detects)


def face_agreement(float32: Sequence[Faces], int8: Sequence[Faces], calibrated_on: int) -> Agreement:
    """The agreement of detections: the share of faces that both found, 2 matched / (found by one + found by the other).

    A picture in which neither finds a face agrees, and counts nothing for the share of all.

    Raises:
        PrecisionError: in no picture a face was found, so that nothing tells how far they agree.
    """
    matched = np.array([_matched(*faces) for faces in zip(float32, int8, strict=True)])
    found = np.array([len(one) + len(other) for one, other in zip(float32, int8, strict=True)])
    shares = np.where(found > 0, 2 * matched / np.maximum(found, 1), 1.0)
    if not found.any():
        raise PrecisionError(
            f"int8: no face was found in {len(found)} pictures that were to tell how far it agrees with float32; "
            "choose bfloat16 or float32"
        )
    mean = 2 * matched.sum() / found.sum()
    return Agreement("faces", float(shares.min()), float(mean), len(shares), calibrated_on)


def _matched(one: Faces, other: Faces) -> int:
    """How many faces both have, one to one."""
    from scipy.optimize import linear_sum_assignment  # which takes a while to import

    low = np.maximum(one.boxes[:, None, :2], other.boxes[None, :, :2])
    high = np.minimum(one.boxes[:, None, 2:], other.boxes[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2)
    areas = [(faces.boxes[:, 2:] - faces.boxes[:, :2]).prod(axis=1) for faces in (one, other)]
    alike = shared >= IOU * (areas[0][:, None] + areas[1][None] - shared)
    return int(alike[linear_sum_assignment(alike, maximize=True)].sum())
