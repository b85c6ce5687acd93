"""ONNX Runtime sessions: on which device, with how many threads, from which file.

A checkpoint's ONNX file is made once and kept beside the checkpoint, or in the user's cache
folder where the checkpoint's own folder is not to be written to.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state

from castsearch.errors import one_line
from castsearch.faces.errors import PackError
from castsearch.faces.mxnet import read_params, read_symbol
from castsearch.parallel import core_count
from castsearch.stagefiles import StageFileError, atomic_write, file_sha256

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
CACHE_SUFFIX = ".castsearch.onnx"
# Goes into the key of the cache: raise it when the same checkpoint converts to another file.
CONVERTER_VERSION = 2

# What ONNX Runtime raises; its errors have no common type.
_ERRORS = tuple(
    kind for kind in vars(onnxruntime_pybind11_state).values() if isinstance(kind, type) and issubclass(kind, Exception)
)

onnxruntime.set_default_logger_severity(3)  # its warnings are about its own fusions


class DeviceError(PackError):
    """A GPU was asked for that is not there, or does not run the network."""


@cache
def resolve_gpu(gpu: int | None) -> int:
    """The CUDA device to use, or -1 for the CPU.

    Args:
        gpu: a device's number; -1 for the CPU; None for the first GPU if there is one.

    Raises:
        DeviceError: the device asked for is not there.
    """
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
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "probe", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=providers(device))
    except Exception:  # whatever its type, the device does not work
        return False
    return CUDA in session.get_providers()


def device_name(gpu: int | None) -> str:
    """The device that ``gpu`` stands for, in words for the user."""
    device = resolve_gpu(gpu)
    return f"GPU {device}" if device >= 0 else f"CPU, {core_count()} threads"


def providers(device: int) -> list[str | tuple[str, dict[str, int]]]:
    """What ONNX Runtime is to run on, for a device that ``resolve_gpu`` gave."""
    return [(CUDA, {"device_id": device}), CPU] if device >= 0 else [CPU]


def options(cores: int | None = None) -> onnxruntime.SessionOptions:
    """Settings for a session on so many cores, by default all. Left alone, ONNX Runtime skips hyper-threads."""
    made = onnxruntime.SessionOptions()
    made.intra_op_num_threads = cores or core_count()
    # Threads that wait without sleeping gain nothing here, and lose a half where other work wants the cores.
    made.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return made


def _session(
    path: Path, how: onnxruntime.SessionOptions, device: int, converted: Path | bytes | None = None
) -> onnxruntime.InferenceSession:
    """A session on the network at ``path``, or on what it was converted to."""
    network = converted if isinstance(converted, bytes) else str(converted or path)
    try:
        session = onnxruntime.InferenceSession(network, how, providers=providers(device), enable_fallback=0)
    except MemoryError:
        raise
    except Exception as error:  # those of its Python part are of any type
        raise PackError(f"{path}: not a usable network ({one_line(error)}); get it again") from None
    check_device(session, device, path)
    return session


def check_device(session: onnxruntime.InferenceSession, device: int, path: Path) -> None:
    """See that a session runs where it was told to: without memory or libraries ONNX Runtime takes the CPU in silence.

    Raises:
        DeviceError: it does not.
    """
    if device >= 0 and CUDA not in session.get_providers():
        raise DeviceError(
            f"{path}: ONNX Runtime could not put it on GPU {device} and would run it on the CPU; see that the GPU has "
            "free memory and that CUDA and cuDNN fit ONNX Runtime, or choose -1 for the CPU"
        )


@contextmanager
def running(path: Path) -> Iterator[None]:
    """Tell what stops a network while it runs.

    Raises:
        PackError: ONNX Runtime cannot run it on what it is given.
    """
    try:
        yield
    except _ERRORS as error:
        memory = "alloc" in str(error).lower()
        mend = "free memory, or choose smaller scales or fewer at once" if memory else "get it again"
        raise PackError(f"{path}: the network cannot be run ({one_line(error)}); {mend}") from None


def finite_only(session: onnxruntime.InferenceSession, path: Path) -> None:
    """Make a detector's session stop at outputs that are not finite: no score of theirs is a face's, and none is found.

    Its ``run`` raises ``PackError`` from here on.
    """
    run = session.run

    def checked(*args: Any) -> list[Any]:
        outputs = run(*args)
        if not all(np.isfinite(output).all() for output in outputs):
            raise PackError(f"{path}: the detector gives numbers that are not finite; get it again")
        return outputs

    session.run = checked


def onnx_signature(path: Path) -> tuple[list[list[int | str | None]], list[list[int | str | None]]]:
    """Shapes of an ONNX file's inputs and outputs; a free dimension is its name or None.

    Raises:
        PackError: it is not a network that ONNX Runtime can run.
    """
    quick = onnxruntime.SessionOptions()
    quick.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = _session(path, quick, -1)
    try:
        return [i.shape for i in session.get_inputs()], [o.shape for o in session.get_outputs()]
    except UnicodeDecodeError:
        raise PackError(f"{path}: not a usable network (a name in it is no text); get it again") from None


def check_one_file(path: Path) -> None:
    """See that an ONNX file holds all of its weights: those in another file could change, and nobody would know.

    Raises:
        PackError: it does not.
    """
    import onnx

    try:
        graph = onnx.load(path, load_external_data=False).graph
    except Exception as error:  # of protobuf, whose errors have no common type
        raise PackError(f"{path}: not a usable network ({one_line(error)}); get it again") from None
    tensors = [*graph.initializer, *(attribute.t for node in graph.node for attribute in node.attribute)]
    if any(onnx.external_data_helper.uses_external_data(tensor) for tensor in tensors):
        raise PackError(
            f"{path}: has its weights in another file; put both into one, by onnx.save(onnx.load(NAME), NAME) in Python"
        )


def open_checkpoint(
    symbol: Path, params: Path, gpu: int | None, cores: int | None = None
) -> onnxruntime.InferenceSession:
    """Load an MXNet checkpoint, converted to ONNX at first use and whenever it or what it was converted to changes.

    Args:
        symbol: the graph.
        params: its parameters.
        gpu: number of the GPU, -1 for the CPU, None for a GPU if there is one.
        cores: how many one call of the network takes on the CPU, by default all.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or uses what the converter does not know.
        DeviceError: the GPU asked for is not there.
    """
    resolve_gpu(gpu)
    digests = f"{CONVERTER_VERSION} {file_sha256(symbol)} {file_sha256(params)}"
    source = hashlib.sha256(digests.encode()).hexdigest()
    path = _cache_path(params, source)
    if _is_sealed(path, source):
        return _session(symbol, options(cores), resolve_gpu(gpu), path)
    # onnx itself is needed only here.
    from castsearch.faces.convert import to_onnx

    try:
        model = to_onnx(read_symbol(symbol), read_params(params), {"source_sha256": source})
    except PackError as error:
        where = str(symbol.parent)
        raise error if str(error).startswith(where) else type(error)(f"{symbol}: {error}") from None
    content = model.SerializeToString()
    content += _seal(hashlib.sha256(content), source)
    # Without a place to keep it, it is converted each time.
    with suppress(OSError, StageFileError), atomic_write(path) as file:
        file.write(content)
    return _session(symbol, options(cores), resolve_gpu(gpu), content)


def _is_sealed(path: Path, source: str) -> bool:
    """Whether a converted network is there whole, and that of the checkpoint with the digest ``source``."""
    digest = hashlib.sha256()
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            left = file.seek(0, os.SEEK_END) - SEAL_LENGTH
            file.seek(0)
            while left > 0 and (block := file.read(min(left, 1 << 20))):
                digest.update(block)
                left -= len(block)
            return file.read() == _seal(digest, source)
    except OSError:
        return False


def _seal(content: hashlib._Hash, source: str) -> bytes:
    """What is put at a converted network's end, by which a change of any byte shows.

    It is an entry of the file's own metadata (ONNX's ``ModelProto.metadata_props``, field 14 in protobuf's encoding),
    which may stand anywhere, so that the file remains an ONNX file.

    Args:
        content: SHA-256 of the network so far.
        source: digest of what it was converted from.
    """
    value = hashlib.sha256(f"{source} {content.hexdigest()}".encode()).hexdigest()
    entry = b"\x0a\x04seal\x12\x40" + value.encode()
    return b"\x72" + bytes([len(entry)]) + entry


SEAL_LENGTH = len(_seal(hashlib.sha256(), ""))


def _cache_path(params: Path, source: str) -> Path:
    folder = params.parent
    # root may write anywhere; a folder that nobody was given write permission for is left alone.
    if os.access(folder, os.W_OK) and folder.stat().st_mode & 0o222:
        return folder / (params.stem + CACHE_SUFFIX)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "castsearch" / f"{params.stem}-{source[:16]}{CACHE_SUFFIX}"
