"""MXNet checkpoints, converted to ONNX once.

The ONNX file is kept beside the checkpoint, or in the user's cache folder where the checkpoint's own folder is not to
be written to.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from castsearch.networks.errors import NetworkError
from castsearch.networks.mxnet import read_params, read_symbol
from castsearch.networks.network import Network, open_network
from castsearch.networks.places import Place
from castsearch.stagefiles import StageFileError, atomic_write, file_sha256

CACHE_SUFFIX = ".castsearch.onnx"
# Goes into the key of the cache: raise it when the same checkpoint converts to another file.
CONVERTER_VERSION = 2


def open_checkpoint(
    symbol: Path, params: Path, place: Place, cores: int | None = None, model: Path | None = None
) -> Network:
    """Load an MXNet checkpoint, converted to ONNX at first use and whenever it or what it was converted to changes.

    Args:
        symbol: the graph, which messages name.
        params: its parameters.
        place: where it runs.
        cores: of the CPU that one call takes, by default all.
        model: the checkpoint quantized, for int8.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or uses what the converter does not know.
        DeviceError: the GPU does not run it.
    """
    return open_network(symbol, place, cores, model or converted(symbol, params))


def converted(symbol: Path, params: Path) -> Path | bytes:
    """What an MXNet checkpoint converts to: an ONNX file, or its content where there is no place to keep it.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or uses what the converter does not know.
    """
    digests = f"{CONVERTER_VERSION} {file_sha256(symbol)} {file_sha256(params)}"
    source = hashlib.sha256(digests.encode()).hexdigest()
    path = _cache_path(params, source)
    if _is_sealed(path, source):
        return path
    # onnx itself is needed only here.
    from castsearch.networks.convert import to_onnx

    try:
        model = to_onnx(read_symbol(symbol), read_params(params), {"source_sha256": source})
    except NetworkError as error:
        where = str(symbol.parent)
        raise error if str(error).startswith(where) else type(error)(f"{symbol}: {error}") from None
    content = model.SerializeToString()
    content += _seal(hashlib.sha256(content), source)
    try:
        with atomic_write(path) as file:
            file.write(content)
    except (OSError, StageFileError):
        return content  # it is converted each time
    return path


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
    return cache_folder() / f"{params.stem}-{source[:16]}{CACHE_SUFFIX}"


def cache_folder() -> Path:
    """The user's folder for what can be made again; one that cannot be written to where the user has no home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "castsearch"
    except RuntimeError:
        return Path(os.devnull) / "castsearch"
