"""Where a network runs: on which device, at which precision."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

from castsearch.networks.errors import DeviceError, PrecisionError
from castsearch.parallel import core_count

Precision = Literal["float32", "bfloat16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

# The packages that run ONNX networks at a precision.
LIBRARIES: dict[Precision, tuple[str, ...]] = {
    "float32": ("onnxruntime",),
    "bfloat16": ("openvino",),
    "int8": ("openvino", "nncf"),
}

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"

CPUINFO = Path("/proc/cpuinfo")  # where Linux tells what a processor can do
_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}  # its words for products of bfloat16: Intel's and AMD's, Arm's


@dataclass(frozen=True)
class Place:
    """Where a network runs, and how; ``find_place`` makes one.

    Attributes:
        gpu: number of the CUDA device, -1 for the CPU.
        precision: of products; sums are float32, or int32 of int8. Only float32 is held to the original's results.
    """

    gpu: int = -1
    precision: Precision = "float32"

    @property
    def device(self) -> str:
        """The device in words."""
        return f"GPU {self.gpu}" if self.gpu >= 0 else "CPU"

    def __str__(self) -> str:
        threads = "" if self.gpu >= 0 else f", {core_count()} threads"
        return f"{self.device}{threads}{'' if self.precision == 'float32' else f', {self.precision}'}"


def find_place(gpu: int | None = None, precision: Precision = "float32") -> Place:
    """The place that the user asks for.

    Args:
        gpu: a device's number; -1 for the CPU; None for the first GPU if there is one.
        precision: of products.

    Raises:
        DeviceError: the device asked for is not there.
        PrecisionError: it does not have that precision, or a library for it is missing.
    """
    if precision not in PRECISIONS:
        raise PrecisionError(f"{precision}: no such precision; choose one of {', '.join(PRECISIONS)}")
    device = resolve_gpu(gpu)
    if precision != "float32" and device >= 0:
        raise PrecisionError(
            f"{precision} on GPU {device}: only CPUs run it here; leave the precision out, or choose -1 for the CPU"
        )
    if precision == "bfloat16" and not has_bfloat16():
        raise PrecisionError(
            "bfloat16: this processor has no instructions for it; take int8, which is faster still, or float32"
        )
    if missing := [library for library in LIBRARIES[precision] if find_spec(library) is None]:
        names = " ".join(missing)
        raise PrecisionError(f"{precision}: {names} is not installed; pip install {names}, or choose float32")
    return Place(device, precision)


def has_bfloat16(cpuinfo: Path = CPUINFO) -> bool:
    """Whether the processor multiplies bfloat16 itself; where nobody tells, it does not."""
    try:
        words = cpuinfo.read_text().split()
    except OSError:
        return False
    return not _BFLOAT16.isdisjoint(words)


@cache
def resolve_gpu(gpu: int | None) -> int:
    """The CUDA device to use, or -1 for the CPU.

    Args:
        gpu: a device's number; -1 for the CPU; None for the first GPU if there is one.

    Raises:
        DeviceError: the device asked for is not there.
    """
    # It takes a tenth of a second to load, and packs of other libraries do without.
    import onnxruntime

    if gpu is not None and gpu < -1:
        raise DeviceError(f"GPU {gpu}: no such number; use 0 or above, or -1 for the CPU")
    if gpu == -1 or (gpu is None and CUDA not in onnxruntime.get_available_providers()):
        return -1
    if CUDA not in onnxruntime.get_available_providers():
        raise DeviceError(
            f"GPU {gpu}: this ONNX Runtime has no CUDA; install onnxruntime-gpu, or choose -1 for the CPU"
        )
    # CUDA's libraries may come from pip and then lie off the loader's path; ONNX Runtime 1.21 and later find them.
    getattr(onnxruntime, "preload_dlls", lambda: None)()
    # That the library was built with CUDA does not mean that there is a GPU: only a session knows.
    if _cuda_works(gpu or 0):
        return gpu or 0
    if gpu is None:
        return -1
    raise DeviceError(f"GPU {gpu}: CUDA finds no such device here; choose another number, or -1 for the CPU")


def _cuda_works(device: int) -> bool:
    import onnxruntime
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "probe", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=[(CUDA, {"device_id": device}), CPU]
        )
    except Exception:  # whatever its type, the device does not work
        return False
    return CUDA in session.get_providers()
