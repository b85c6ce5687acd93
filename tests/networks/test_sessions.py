"""The cache of converted checkpoints, and which device a session runs on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from castsearch.faces import sessions
from castsearch.faces.errors import PackError
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


def edited(content: bytes) -> bytes:
    """Another bias, which ONNX Runtime would take."""
    model = onnx.load_from_string(content)
    bias = next(t for t in model.graph.initializer if t.name.endswith("_bias") and len(t.dims) == 1 and t.dims[0] == 5)
    bias.raw_data = np.float32([1, 2, 3, 4, 5]).tobytes()
    return model.SerializeToString()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"\x08\x07rubbish",
        lambda content: content[:1000],
        lambda content: content[:-1],
        lambda content: content[: -sessions.SEAL_LENGTH],
        lambda content: content + b"\x00",
        lambda content: content[:-500_000] + bytes([content[-500_000] ^ 1]) + content[-499_999:],
        edited,
    ],
    ids=["empty", "rubbish", "cut short", "a byte short", "no seal", "a byte long", "a bit of a weight", "edited"],
)
def test_changed_cache_is_made_again(checkpoint: tuple[Path, Path], damage: Callable[[bytes], bytes]) -> None:
    """Of the same size and time of change too; nothing but the content tells."""
    first = run(sessions.open_checkpoint(*checkpoint, -1))
    cached = checkpoint[1].with_name("m-0000.castsearch.onnx")
    whole, stamp = cached.read_bytes(), cached.stat()
    cached.write_bytes(damage(whole))
    os.utime(cached, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    np.testing.assert_array_equal(run(sessions.open_checkpoint(*checkpoint, -1)), first)
    assert cached.read_bytes() == whole


def test_cache_of_another_network_is_made_again(
    checkpoint: tuple[Path, Path], small: Small, params_bytes: Build, tmp_path: Path
) -> None:
    first = run(sessions.open_checkpoint(*checkpoint, -1))
    other = tmp_path / "other-0000.params"
    other.write_bytes(params_bytes(small[1] | {"arg:fc_bias": small[1]["arg:fc_bias"] + 10}))
    sessions.open_checkpoint(checkpoint[0], other, -1)
    shutil.copyfile(other.with_name("other-0000.castsearch.onnx"), checkpoint[1].with_name("m-0000.castsearch.onnx"))
    np.testing.assert_array_equal(run(sessions.open_checkpoint(*checkpoint, -1)), first)


def test_cache_is_an_onnx_file(checkpoint: tuple[Path, Path]) -> None:
    sessions.open_checkpoint(*checkpoint, -1)
    model = onnx.load(checkpoint[1].with_name("m-0000.castsearch.onnx"))
    assert {entry.key for entry in model.metadata_props} == {"source_sha256", "seal"}
    run(onnxruntime.InferenceSession(checkpoint[1].with_name("m-0000.castsearch.onnx")))


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
    with pytest.raises(StageFileError, match=r"m-0000\.params: no such file; put the file there"):
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


@pytest.mark.parametrize("cuda", [True, False])
def test_negative_gpu_is_no_number(gpus: Callable[..., None], cuda: bool) -> None:
    """Whether there is CUDA or not: nobody shall install it for the sake of a typing error."""
    if cuda:
        gpus(0)
    with pytest.raises(sessions.DeviceError, match=r"GPU -7: no such number; use 0 or above, or -1 for the CPU"):
        sessions.resolve_gpu(-7)


def test_a_session_that_fell_back_to_the_cpu_is_an_error(
    checkpoint: tuple[Path, Path], gpus: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The GPU is there, but without memory or libraries; ONNX Runtime takes the CPU and says nothing."""
    gpus(0)
    monkeypatch.setattr(sessions, "providers", lambda device: [sessions.CPU])
    for gpu in (0, None):
        with pytest.raises(sessions.DeviceError, match=r"m-symbol\.json: ONNX Runtime could not put it on GPU 0"):
            sessions.open_checkpoint(*checkpoint, gpu)
    assert not sessions.open_checkpoint(*checkpoint, -1)._enable_fallback  # in mid-run


def test_what_stops_a_network_is_one_line(checkpoint: tuple[Path, Path]) -> None:
    session = sessions.open_checkpoint(*checkpoint, -1)
    message = r"m: the network cannot be run \(.*\); get it again"
    with pytest.raises(PackError, match=message) as caught, sessions.running(Path("m")):
        session.run(None, {"data": np.ones((1, 4, 112, 112), np.float32)})
    assert "\n" not in str(caught.value)
    with pytest.raises(PackError, match="free memory, or choose smaller scales"), sessions.running(Path("m")):
        raise onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException("Failed to allocate memory for 9 bytes")
    with pytest.raises(ZeroDivisionError), sessions.running(Path("m")):
        raise ZeroDivisionError


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
