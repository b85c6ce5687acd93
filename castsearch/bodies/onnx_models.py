"""Body models in ONNX files of any maker: what they take is read from the graph, what that does not tell is given."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from castsearch import networks
from castsearch.bodies.body_model import (
    HEIGHT,
    LARGEST_SIDE,
    MEAN,
    STD,
    WIDTH,
    BodyModel,
    BodyModelError,
    Pictures,
    as_model,
)
from castsearch.bodies.graphs import Engine, open_graph
from castsearch.networks import Place, Port
from castsearch.networks.int8 import Feed
from castsearch.networks.onnx_files import OnnxFacts, check_in_one_file, read_facts
from castsearch.paths import open_plain, unreadable
from castsearch.stagefiles import file_sha256

_LARGEST_BATCH = 1024  # that a graph may be fixed to
_CHANNELS = 3


@dataclass(frozen=True)
class Habits:
    """What a graph does not tell of how its features are made.

    Attributes:
        mean, std: of RGB in [0, 1], for graphs that take numbers and not bytes; a mean of 0 and a deviation of 1/255
            give them 0 to 255.
        mirror: whether the feature is the mean of the picture's and its mirror image's.
        output: which output it is, by name; needed where there are several.

    Raises:
        BodyModelError: a mean or deviation is no such number.
    """

    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD
    mirror: bool = True
    output: str | None = None

    def __post_init__(self) -> None:
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if not all(map(math.isfinite, numbers)) or (name == "std" and min(numbers) <= 0):
                kind = "positive" if name == "std" else "finite"
                raise BodyModelError(f"{name} is {' '.join(f'{n:g}' for n in numbers)}; it must be {kind} numbers")


class OnnxModel:
    """A body model in an ONNX file; see ``castsearch.bodies.graphs.Graph``.

    Args:
        path: the file.
        facts: what it tells of itself.
        habits: what it does not.
        height, width: of the pictures where the graph leaves them free; None for the defaults of ``Settings``.

    Attributes:
        height, width: of the pictures, in pixels.
        at_once: see ``Graph``; with the mirror image each takes two places.

    Raises:
        BodyModelError: it takes no picture, not of that size, or gives no feature.
    """

    def __init__(self, path: Path, facts: OnnxFacts, habits: Habits, height: int | None, width: int | None) -> None:
        self.path: Path = path
        self.model: Path | bytes = path
        self._habits = habits
        if len(facts.inputs) > 1:
            names = ", ".join(port.name for port in facts.inputs)[:200]
            raise self._no_body_model(f"it takes {len(facts.inputs)} inputs ({names})")
        (self._input,) = facts.inputs
        self._dtype = self._numbers(facts.dtypes[self._input.name])
        batch, self._last, *sides = self._layout(self._input)
        self._batch = batch
        self.at_once = max(1, (batch or 1) // (2 if habits.mirror else 1))
        self.height, self.width = (
            self._side(name, side, asked, usual)
            for name, side, asked, usual in (
                ("height", sides[0], height, HEIGHT),
                ("width", sides[1], width, WIDTH),
            )
        )
        self._output = self._chosen(facts)
        self.depends: Mapping[str, Any] = {"size": [self.height, self.width], **asdict(habits)}

    def feeds(self, pictures: np.ndarray) -> Iterator[Feed]:
        """See ``Graph``."""
        rows = np.concatenate([pictures, pictures[:, :, ::-1]]) if self._habits.mirror else pictures
        step = self._batch or len(rows)
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            # A graph of a fixed batch gets its last one filled up.
            filled = some if len(some) == step else np.concatenate([some, np.repeat(some[-1:], step - len(some), 0)])
            yield {self._input.name: self._seen(filled)}

    def engine(self, network: networks.Network) -> Engine:
        """See ``Graph``; a black picture goes through it.

        Raises:
            BodyModelError: what comes out is no feature of each picture.
            NetworkError: it cannot be run.
        """

        def run(pictures: np.ndarray) -> np.ndarray:
            given = len(pictures) * (2 if self._habits.mirror else 1)
            parts = [self._features(network, feed) for feed in self.feeds(pictures)]
            rows = np.concatenate(parts)[:given]
            return rows if not self._habits.mirror else (rows[: given // 2] + rows[given // 2 :]) / 2

        run(np.zeros((1, self.height, self.width, 3), np.uint8))
        return run

    def _features(self, network: networks.Network, feed: Feed) -> np.ndarray:
        (rows,) = network.run(feed, [self._output])
        given = len(feed[self._input.name])
        flat = rows.ndim == 2 or (rows.ndim == 4 and rows.shape[2:] == (1, 1))
        if not flat or len(rows) != given or not rows.size or rows.dtype.kind != "f":
            raise self._no_body_model(
                f"output {self._output} is {rows.shape} {rows.dtype} for {given} pictures, where a row of numbers for "
                "each is wanted"
            )
        return rows.reshape(given, -1).astype(np.float32)

    def _seen(self, pictures: np.ndarray) -> np.ndarray:
        """(n, h, w, 3) uint8 as the graph takes them."""
        seen = pictures
        if self._dtype != np.uint8:
            scale = 1 / (255 * np.array(self._habits.std))
            shift = np.array(self._habits.mean) / self._habits.std
            with np.errstate(over="ignore", invalid="ignore"):  # features that are not finite are told of
                seen = (pictures * scale.astype(np.float32) - shift.astype(np.float32)).astype(self._dtype)
        return np.ascontiguousarray(seen if self._last else seen.transpose(0, 3, 1, 2))

    def _numbers(self, told: str) -> np.dtype:
        if told not in ("float32", "float16", "uint8"):
            raise self._no_body_model(f"it takes {told}; float32, float16 or uint8 is wanted")
        if told == "uint8" and (self._habits.mean, self._habits.std) != (MEAN, STD):
            raise BodyModelError(f"{self.path}: takes pictures as bytes, without mean and std; leave them out")
        return np.dtype(told)

    def _layout(self, port: Port) -> tuple[int | None, bool, int | None, int | None]:
        """Its fixed batch, whether channels come last, height and width; None for what is free."""
        # Some write -1 for a free one.
        shape = [side if isinstance(side, int) and side > 0 else None for side in port.shape]
        if len(shape) != 4:
            raise self._no_body_model(f"input {port.name} has {len(shape)} dimensions, where pictures have 4")
        batch, *rest = shape
        # Where nothing is told, channels come first, as PyTorch has them.
        last = rest[2] == _CHANNELS and rest[0] != _CHANNELS
        channels = rest.pop(2 if last else 0)
        if channels not in (None, _CHANNELS):
            raise self._no_body_model(f"input {port.name} is {_words(port)}, where one of three sides is 3, of colours")
        if batch is not None and batch > _LARGEST_BATCH:
            raise self._no_body_model(f"it takes {batch} pictures at once; at most {_LARGEST_BATCH} are wanted")
        return batch, last, rest[0], rest[1]

    def _side(self, name: str, fixed: int | None, asked: int | None, usual: int) -> int:
        if fixed is not None and asked not in (None, fixed):
            raise BodyModelError(f"{self.path}: takes pictures of {name} {fixed}, not {asked}; leave {name} out")
        side = fixed or asked or usual
        if not 1 <= side <= LARGEST_SIDE:
            raise BodyModelError(f"{self.path}: {name} is {side}; at most {LARGEST_SIDE} pixels are taken")
        return side

    def _chosen(self, facts: OnnxFacts) -> str:
        names = [port.name for port in facts.outputs]
        asked = self._habits.output
        if asked is None and len(names) > 1:
            raise BodyModelError(f"{self.path}: gives {', '.join(names)[:200]}; name the output that is the feature")
        if asked is not None and asked not in names:
            raise BodyModelError(f"{self.path}: gives no {asked!r}; choose of {', '.join(names)[:200]}")
        chosen = asked or names[0]
        if facts.dtypes[chosen] == "bfloat16":  # numpy has none, and OpenVINO gives its bits as those of a float16
            raise self._no_body_model(f"output {chosen} is bfloat16, where float32 or float16 is wanted")
        return chosen

    def _no_body_model(self, why: str) -> BodyModelError:
        return BodyModelError(f"{self.path}: no body model: {why}; give the ONNX file of one")


def _words(port: Port) -> str:
    return f"({', '.join(str(side or '?') for side in port.shape)})"


def open_onnx(
    path: Path,
    place: Place,
    habits: Habits | None = None,
    height: int | None = None,
    width: int | None = None,
    pictures: Pictures | None = None,
) -> BodyModel:
    """A body model of any maker, in one ONNX file.

    Pictures are (n, 3, h, w) or (n, h, w, 3), uint8, or float32 or float16 that are normalised here; batch and size
    are free or fixed. Its feature is (n, d) or (n, d, 1, 1).

    Args:
        path: the file.
        place: where it runs.
        habits: what the graph does not tell.
        height, width: of the pictures where the graph leaves them free; None for the defaults of ``Settings``.
        pictures: what int8 is calibrated on and compared with float32 on, a part each.

    Raises:
        NetworkError: it is no ONNX file, has its weights elsewhere, or cannot be run.
        BodyModelError: it takes no picture, not of that size, or gives no feature.
        PrecisionError: in int8 it is too far from itself in float32, or there are too few pictures to tell.
    """
    try:
        open_plain(path).close()
    except OSError as error:
        raise BodyModelError(unreadable(path, error, "name an ONNX file that is there")) from None
    facts = read_facts(path)
    check_in_one_file(path, facts)
    model = OnnxModel(path, facts, habits or Habits(), height, width)
    sample = pictures.at(model.height, model.width) if pictures else None
    opened = open_graph(model, place, sample)
    depends = {"network": "onnx", "sha256": file_sha256(path), **model.depends}
    return as_model(opened, model.height, model.width, depends, path)
