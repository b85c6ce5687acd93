"""Which device and precision a network runs at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest

from castsearch.networks import DeviceError, Place, PrecisionError, find_place, places
from castsearch.networks.places import has_bfloat16, resolve_gpu

Gpus = Callable[..., None]
has_cuda = places.CUDA in onnxruntime.get_available_providers()


def test_gpu_by_number_or_by_default(gpus: Gpus) -> None:
    gpus(0, 2)
    assert [resolve_gpu(gpu) for gpu in (None, -1, 0, 2)] == [0, -1, 0, 2]
    assert find_place(2) == Place(2, "float32")
    assert str(find_place(2)) == "GPU 2"
    with pytest.raises(DeviceError, match="GPU 1: CUDA finds no such device"):
        resolve_gpu(1)


@pytest.mark.parametrize("cuda", [True, False])
def test_negative_gpu_is_no_number(gpus: Gpus, cuda: bool) -> None:
    """Whether there is CUDA or not: nobody shall install it for the sake of a typing error."""
    if cuda:
        gpus(0)
    with pytest.raises(DeviceError, match=r"GPU -7: no such number; use 0 or above, or -1 for the CPU"):
        find_place(-7)


def test_cuda_without_a_gpu_is_the_cpu_unless_asked_for(gpus: Gpus) -> None:
    gpus()
    assert resolve_gpu(None) == -1
    with pytest.raises(DeviceError, match="GPU 0"):
        resolve_gpu(0)


@pytest.mark.skipif(has_cuda, reason="this ONNX Runtime has CUDA")
def test_gpu_without_cuda_is_an_error() -> None:
    assert resolve_gpu(None) == resolve_gpu(-1) == -1
    assert str(find_place()).startswith("CPU, ")
    with pytest.raises(DeviceError, match="has no CUDA; install onnxruntime-gpu, or choose -1 for the CPU"):
        resolve_gpu(0)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_probe_model_runs_on_the_cpu() -> None:
    """The model that tells whether CUDA works is sound: without CUDA it says no, not that it is broken."""
    assert places._cuda_works(0) is has_cuda


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_a_gpu_runs_float32_only(gpus: Gpus, precision: places.Precision) -> None:
    gpus(1)
    with pytest.raises(PrecisionError, match=rf"^{precision} on GPU 1: only CPUs run it here; leave the precision out"):
        find_place(1, precision)
    assert find_place(1, "float32").gpu == 1


@pytest.mark.parametrize(
    ("words", "has"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 amx_tile\n", True),
        ("flags : fpu amx_bf16\n", True),
        ("Features\t: fp asimd bf16 i8mm\n", True),
        ("flags\t\t: fpu avx2 avx512f avx512bw avx512_vnni\n", False),
        ("model name : xbf16x\n", False),
        ("", False),
    ],
)
def test_processors_that_multiply_bfloat16(tmp_path: Path, words: str, has: bool) -> None:
    (tmp_path / "cpuinfo").write_text(words)
    assert has_bfloat16(tmp_path / "cpuinfo") is has


def test_where_nobody_tells_there_is_no_bfloat16(tmp_path: Path) -> None:
    assert not has_bfloat16(tmp_path / "cpuinfo")


@pytest.mark.parametrize(
    ("precision", "gone", "names"),
    [
        ("int8", {"nncf"}, "nncf"),
        ("int8", {"openvino", "nncf"}, "openvino nncf"),
        ("bfloat16", {"openvino"}, "openvino"),
    ],
)
def test_a_precision_whose_library_is_missing_is_refused(
    monkeypatch: pytest.MonkeyPatch, precision: places.Precision, gone: set[str], names: str
) -> None:
    monkeypatch.setattr(places, "has_bfloat16", lambda: True)
    monkeypatch.setattr(places, "find_spec", lambda name: None if name in gone else "here")
    with pytest.raises(
        PrecisionError, match=rf"^{precision}: {names} is not .*; pip install {names}, or choose float32"
    ):
        find_place(-1, precision)
    assert find_place(-1) == Place()


def test_a_precision_that_nobody_knows_is_refused() -> None:
    with pytest.raises(PrecisionError, match=r"^float16: no such precision; choose one of float32, bfloat16, int8$"):
        find_place(-1, "float16")  # type: ignore[arg-type]


def test_bfloat16_is_refused_where_the_processor_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "has_bfloat16", lambda: False)
    with pytest.raises(PrecisionError, match=r"^bfloat16: this processor has no instructions for it; take int8"):
        find_place(-1, "bfloat16")
    assert str(find_place(-1, "int8")).endswith(", int8")
