"""ArcFace embedders (Deng et al., CVPR 2019): chips in, vectors out."""

from __future__ import annotations

import numpy as np
from onnxruntime import InferenceSession

BATCH = 32


class ArcFace:
    """An embedder whose graph scales the pixels itself, as the authors' MXNet checkpoints do.

    Args:
        session: a network from (n, 3, 112, 112) float32 RGB, 0 to 255, to (n, d).
        batch: chips that go through the network together.
    """

    def __init__(self, session: InferenceSession, batch: int = BATCH) -> None:
        self.session, self.batch = session, batch
        self._input = session.get_inputs()[0].name

    def embed(self, chips: np.ndarray) -> np.ndarray:
        """Embed chips, (n, 3, 112, 112) uint8 RGB, into (n, d) float32, not normalised."""
        parts = [
            self.session.run(None, {self._input: chips[start : start + self.batch].astype(np.float32)})[0]
            for start in range(0, max(len(chips), 1), self.batch)
        ]
        return np.concatenate(parts)
