"""The cache of converted checkpoints, and which device a session runs on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from castsearch.faces import sessions
from castsearch.faces.mxnet import CheckpointError
from castsearch.stagefiles import StageFileError

Small = tuple[str, dict[str, np.ndarray]]
Build = Callable[..., bytes]


@pytest.fixture
def checkpoint(tmp_path: Path, small: Small, params_bytes: Build) -> tuple[Path, Path]:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    symbol, params = folder / "m-symbol.json", folder / "m-0000.params"
    symbol.write_text(small[0])
    params.write_bytes(params_bytes(small[1]))
    return symbol, params


def run(session: onnxruntime.InferenceSession) -> np.ndarray:
    return session.run(None, {"data": np.ones((1, 3, 112, 112), np.float32)})[1]


def test_conversion_is_cached_beside_the_checkpoint(checkpoint: tuple[Path, Path]) -> None:
    first = run(sessions.open_checkpoint(*checkpoint, -1))
    cached = checkpoint[1].with_name("m-0000.castsearch.onnx")
    made = cached.stat().st_mtime_ns
    np.testing.assert_array_equal(run(sessions.open_checkpoint(*checkpoint, -1)), first)
    assert cached.stat().st_mtime_ns == made
    assert sorted(p.name for p in cached.parent.iterdir()) == [
        "m-0000.castsearch.onnx",
        "m-0000.params",
        "m-symbol.json",
    ]


def test_cache_is_made_again_when_the_checkpoint_changes(
    checkpoint: tuple[Path, Path], small: Small, params_bytes: Build
) -> None:
    first = run(sessions.open_checkpoint(*checkpoint, -1))
    arrays = small[1] | {"arg:fc_bias": small[1]["arg:fc_bias"] + 10}
    checkpoint[1].write_bytes(params_bytes(arrays))
    np.testing.assert_allclose(run(sessions.open_checkpoint(*checkpoint, -1)), first + 10, rtol=1e-4)


@pytest.mark.parametrize("damage", [b"", b"\x08\x07rubbish", None])
def test_damaged_cache_is_made_again(checkpoint: tuple[Path, Path], damage: bytes | None) -> None:
    first = run(sessions.open_checkpoint(*checkpoint, -1))
    cached = checkpoint[1].with_name("m-0000.castsearch.onnx")
    cached.write_bytes(cached.read_bytes()[:1000] if damage is None else damage)
    np.testing.assert_array_equal(run(sessions.open_checkpoint(*checkpoint, -1)), first)


def test_read_only_folder_is_left_alone(
    checkpoint: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = checkpoint[0].parent
    folder.chmod(0o555)
    run(sessions.open_checkpoint(*checkpoint, -1))
    assert len(list(folder.iterdir())) == 2
    (cached,) = (tmp_path / "cache/castsearch").iterdir()
    assert cached.name.startswith("m-0000-")
    folder.chmod(0o755)


def test_nowhere_to_keep_it(checkpoint: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    expected = run(sessions.open_checkpoint(*checkpoint, -1))
    checkpoint[1].with_name("m-0000.castsearch.onnx").unlink()
    checkpoint[0].parent.chmod(0o555)
    np.testing.assert_array_equal(run(sessions.open_checkpoint(*checkpoint, -1)), expected)
    checkpoint[0].parent.chmod(0o755)


def test_errors_name_the_file(checkpoint: tuple[Path, Path]) -> None:
    symbol, params = checkpoint
    params.write_bytes(params.read_bytes()[:-20])
    with pytest.raises(CheckpointError, match=r"m-0000\.params: byte \d+: .* bytes are promised"):
        sessions.open_checkpoint(symbol, params, -1)
    symbol.write_text(symbol.read_text().replace("Concat", "Swap"))
    shutil.copyfile(symbol, params)
    with pytest.raises(CheckpointError, match=r"m-0000\.params: byte 8: it does not begin"):
        sessions.open_checkpoint(symbol, params, -1)
    params.unlink()
    with pytest.raises(StageFileError, match=r"m-0000\.params: cannot be read"):
        sessions.open_checkpoint(symbol, params, -1)
    assert list(symbol.parent.iterdir()) == [symbol]


def test_unknown_operator_names_the_graph(checkpoint: tuple[Path, Path]) -> None:
    symbol, params = checkpoint
    symbol.write_text(symbol.read_text().replace('"Concat"', '"Swap"'))
    with pytest.raises(CheckpointError, match=r"m-symbol\.json: operator Swap is not known"):
        sessions.open_checkpoint(symbol, params, -1)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretends that ONNX Runtime was built with CUDA, and that these devices work."""

    def pretend(*working: int) -> None:
        sessions.resolve_gpu.cache_clear()
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [sessions.CUDA, sessions.CPU])
        monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
        monkeypatch.setattr(sessions, "_cuda_works", lambda device: device in working)

    yield pretend  # type: ignore[misc]
    sessions.resolve_gpu.cache_clear()


def test_gpu_by_number_or_by_default(gpus: Callable[..., None]) -> None:
    gpus(0, 2)
    assert [sessions.resolve_gpu(gpu) for gpu in (None, -1, 0, 2)] == [0, -1, 0, 2]
    assert sessions.device_name(2) == "GPU 2"
    with pytest.raises(sessions.DeviceError, match="GPU 1: CUDA finds no such device"):
        sessions.resolve_gpu(1)
    with pytest.raises(sessions.DeviceError, match="GPU -2: no such number"):
        sessions.resolve_gpu(-2)


def test_cuda_without_a_gpu_is_the_cpu_unless_asked_for(gpus: Callable[..., None]) -> None:
    gpus()
    assert sessions.resolve_gpu(None) == -1
    with pytest.raises(sessions.DeviceError, match="GPU 0"):
        sessions.resolve_gpu(0)


@pytest.mark.skipif(sessions.CUDA in onnxruntime.get_available_providers(), reason="this ONNX Runtime has CUDA")
def test_gpu_without_cuda_is_an_error() -> None:
    assert sessions.resolve_gpu(None) == sessions.resolve_gpu(-1) == -1
    assert sessions.device_name(None).startswith("CPU, ")
    with pytest.raises(sessions.DeviceError, match="has no CUDA; install onnxruntime-gpu, or choose -1 for the CPU"):
        sessions.resolve_gpu(0)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_probe_model_runs_on_the_cpu() -> None:
    """The model that tells whether CUDA works is sound: without CUDA it says no, not that it is broken."""
    assert sessions._cuda_works(0) is (sessions.CUDA in onnxruntime.get_available_providers())
