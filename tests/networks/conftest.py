"""Checkpoints to test on; pretended GPUs; networks on one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import onnxruntime
import pytest

from castsearch.networks import places
from tests.checkpoints import checkpoint, checkpoints, graph, one_thread, params_bytes, small  # noqa: F401


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Pretends that ONNX Runtime was built with CUDA, and that these devices work."""

    def pretend(*working: int) -> None:
        places.resolve_gpu.cache_clear()
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [places.CUDA, places.CPU])
        monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
        monkeypatch.setattr(places, "_cuda_works", lambda device: device in working)

    yield pretend
    places.resolve_gpu.cache_clear()
