"""ArcFace embedders (Deng et al., CVPR 2019): chips in, vectors out."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from castsearch.networks import Network, Place, open_checkpoint
from castsearch.parallel import core_count

CPU_BATCH = 4  # chips in one call of the network; more are no faster and take more memory
GPU_BATCH = 64


class ArcFace:
    """An embedder whose graph scales the pixels itself, as the authors' MXNet checkpoints do.

    Args:
        network: from (n, 3, 112, 112) float32 RGB, 0 to 255, to (n, d).
        batch: chips that go through the network together.
        streams: calls of the network at the same time.
    """

    def __init__(self, network: Network, batch: int, streams: int = 1) -> None:
        self.network, self.batch, self.streams = network, batch, streams
        self.ran = network.ran
        self._input = network.inputs[0].name

    def embed(self, chips: np.ndarray) -> np.ndarray:
        """Embed chips, (n, 3, 112, 112) uint8 RGB, into (n, d) float32, not normalised."""
        # A few chips are spread over all streams; the empty batch tells how long a vector is.
        step = max(1, min(self.batch, -(-len(chips) // self.streams)))
        parts = [chips[start : start + step] for start in range(0, max(len(chips), 1), step)]
        with ThreadPoolExecutor(self.streams) as pool:
            return np.concatenate(list(pool.map(self._run, parts)))

    def feeds(self, chips: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        """What the network is given for chips, one after another."""
        for chip in chips:
            yield {self._input: chip[None].astype(np.float32)}

    def _run(self, chips: np.ndarray) -> np.ndarray:
        return self.network.run({self._input: chips.astype(np.float32)})[0]


def open_arcface(symbol: Path, params: Path, place: Place, model: Path | None = None) -> ArcFace:
    """Load an MXNet checkpoint.

    On the CPU each core works on chips of its own: at this size of picture that is a tenth faster than
    all cores on the same ones, and it stays so with many cores.

    Raises:
        CheckpointError: the checkpoint is missing or damaged.
        DeviceError: the GPU does not run it.
    """
    if place.gpu >= 0:
        return ArcFace(open_checkpoint(symbol, params, place), GPU_BATCH)
    return ArcFace(open_checkpoint(symbol, params, place, 1, model), CPU_BATCH, streams=core_count())
