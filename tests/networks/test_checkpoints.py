"""The cache of converted checkpoints."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from castsearch.networks import CheckpointError, Network, Place, open_checkpoint
from castsearch.networks.checkpoints import SEAL_LENGTH
from castsearch.stagefiles import StageFileError

Small = tuple[str, dict[str, np.ndarray]]
Build = Callable[..., bytes]
CPU = Place()
ONES = np.ones((1, 3, 112, 112), np.float32)


def run(network: Network) -> np.ndarray:
    return network.run({"data": ONES})[1]


def test_conversion_is_cached_beside_the_checkpoint(checkpoint: tuple[Path, Path]) -> None:
    first = run(open_checkpoint(*checkpoint, CPU))
    cached = checkpoint[1].with_name("m-0000.castsearch.onnx")
    made = cached.stat().st_mtime_ns
    np.testing.assert_array_equal(run(open_checkpoint(*checkpoint, CPU)), first)
    assert cached.stat().st_mtime_ns == made
    assert sorted(p.name for p in cached.parent.iterdir()) == [
        "m-0000.castsearch.onnx",
        "m-0000.params",
        "m-symbol.json",
    ]


def test_cache_is_made_again_when_the_checkpoint_changes(
    checkpoint: tuple[Path, Path], small: Small, params_bytes: Build
) -> None:
    first = run(open_checkpoint(*checkpoint, CPU))
    arrays = small[1] | {"arg:fc_bias": small[1]["arg:fc_bias"] + 10}
    checkpoint[1].write_bytes(params_bytes(arrays))
    np.testing.assert_allclose(run(open_checkpoint(*checkpoint, CPU)), first + 10, rtol=1e-4)


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
        lambda content: content[:-SEAL_LENGTH],
        lambda content: content + b"\x00",
        lambda content: content[:-500_000] + bytes([content[-500_000] ^ 1]) + content[-499_999:],
        edited,
    ],
    ids=["empty", "rubbish", "cut short", "a byte short", "no seal", "a byte long", "a bit of a weight", "edited"],
)
def test_changed_cache_is_made_again(checkpoint: tuple[Path, Path], damage: Callable[[bytes], bytes]) -> None:
    """Of the same size and time of change too; nothing but the content tells."""
    first = run(open_checkpoint(*checkpoint, CPU))
    cached = checkpoint[1].with_name("m-0000.castsearch.onnx")
    whole, stamp = cached.read_bytes(), cached.stat()
    cached.write_bytes(damage(whole))
    os.utime(cached, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    np.testing.assert_array_equal(run(open_checkpoint(*checkpoint, CPU)), first)
    assert cached.read_bytes() == whole


def test_cache_of_another_network_is_made_again(
    checkpoint: tuple[Path, Path], small: Small, params_bytes: Build, tmp_path: Path
) -> None:
    first = run(open_checkpoint(*checkpoint, CPU))
    other = tmp_path / "other-0000.params"
    other.write_bytes(params_bytes(small[1] | {"arg:fc_bias": small[1]["arg:fc_bias"] + 10}))
    open_checkpoint(checkpoint[0], other, CPU)
    shutil.copyfile(other.with_name("other-0000.castsearch.onnx"), checkpoint[1].with_name("m-0000.castsearch.onnx"))
    np.testing.assert_array_equal(run(open_checkpoint(*checkpoint, CPU)), first)


def test_cache_is_an_onnx_file(checkpoint: tuple[Path, Path]) -> None:
    open_checkpoint(*checkpoint, CPU)
    model = onnx.load(checkpoint[1].with_name("m-0000.castsearch.onnx"))
    assert {entry.key for entry in model.metadata_props} == {"source_sha256", "seal"}
    onnxruntime.InferenceSession(checkpoint[1].with_name("m-0000.castsearch.onnx")).run(None, {"data": ONES})


def test_without_a_place_to_keep_it_it_is_converted_each_time(
    checkpoint: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a user without a home, in a folder that is not theirs."""
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    first = run(open_checkpoint(*checkpoint, CPU))
    checkpoint[1].with_name("m-0000.castsearch.onnx").unlink()
    checkpoint[0].parent.chmod(0o555)
    np.testing.assert_array_equal(run(open_checkpoint(*checkpoint, CPU)), first)
    assert len(list(checkpoint[0].parent.iterdir())) == 2
    checkpoint[0].parent.chmod(0o755)


def test_read_only_folder_is_left_alone(
    checkpoint: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = checkpoint[0].parent
    folder.chmod(0o555)
    run(open_checkpoint(*checkpoint, CPU))
    assert len(list(folder.iterdir())) == 2
    (cached,) = (tmp_path / "cache/castsearch").iterdir()
    assert cached.name.startswith("m-0000-")
    folder.chmod(0o755)


def test_nowhere_to_keep_it(checkpoint: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    expected = run(open_checkpoint(*checkpoint, CPU))
    checkpoint[1].with_name("m-0000.castsearch.onnx").unlink()
    checkpoint[0].parent.chmod(0o555)
    np.testing.assert_array_equal(run(open_checkpoint(*checkpoint, CPU)), expected)
    checkpoint[0].parent.chmod(0o755)


def test_errors_name_the_file(checkpoint: tuple[Path, Path]) -> None:
    symbol, params = checkpoint
    params.write_bytes(params.read_bytes()[:-20])
    with pytest.raises(CheckpointError, match=r"m-0000\.params: byte \d+: .* bytes are promised"):
        open_checkpoint(symbol, params, CPU)
    symbol.write_text(symbol.read_text().replace("Concat", "Swap"))
    shutil.copyfile(symbol, params)
    with pytest.raises(CheckpointError, match=r"m-0000\.params: byte 8: it does not begin"):
        open_checkpoint(symbol, params, CPU)
    params.unlink()
    with pytest.raises(StageFileError, match=r"m-0000\.params: no such file; put the file there"):
        open_checkpoint(symbol, params, CPU)
    assert list(symbol.parent.iterdir()) == [symbol]


def test_unknown_operator_names_the_graph(checkpoint: tuple[Path, Path]) -> None:
    symbol, params = checkpoint
    symbol.write_text(symbol.read_text().replace('"Concat"', '"Swap"'))
    with pytest.raises(CheckpointError, match=r"m-symbol\.json: operator Swap is not known"):
        open_checkpoint(symbol, params, CPU)
