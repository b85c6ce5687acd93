"""Files of weights: what others write is read, and no damaged file does more than be refused."""

from __future__ import annotations

import io
import json
import pickle
import pickletools
import subprocess
import sys
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from castsearch.bodies import checkpoints, torchfiles
from castsearch.bodies.backbones import BACKBONES
from castsearch.bodies.body_model import BodyModelError

DTYPES = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
ARCHIVE = pytest.mark.parametrize("archive", [True, False], ids=["archive", "stream"])


def saved(path: Path, content: object, archive: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=archive)
    return path


@ARCHIVE
def test_what_torch_saves_is_read_as_torch_reads_it(tmp_path: Path, archive: bool) -> None:
    shared = torch.arange(12, dtype=torch.float32)
    content = {
        **{f"{dtype}": torch.arange(-3, 5).to(dtype) for dtype in DTYPES},
        **{
            "part": shared[2:8].view(2, 3),
            "turned": shared.view(3, 4).T,
            "empty": torch.empty(0),
            "one": torch.tensor(2.5),
            "size": torch.Size([2, 3]),
        },
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "ordered": OrderedDict(a=1, b=[None, True, -5, 1 << 40, 1.5, "é", (1, 2)]),
        "numbered": {0: {"step": torch.tensor(1.0)}, 7: []},
    }
    path = saved(tmp_path / "a.pt", content, archive)
    found = checkpoints.read(path)
    assert found.keys() == content.keys() and found["ordered"] == content["ordered"] and found["numbered"][7] == []
    for name, value in content.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(found[name], value) and found[name].dtype == value.dtype, name
            assert found[name].stride() == value.stride()
    lazy = checkpoints.read(path, tensors=False)
    assert torch.equal(lazy["part"], content["part"]) and lazy["ordered"] == content["ordered"]


@ARCHIVE
@pytest.mark.parametrize("classifier", ["classifier", "fc"])
def test_checkpoints_of_torchreid_give_their_backbone(tmp_path: Path, classifier: str, archive: bool) -> None:
    """They keep weights under ``state_dict``, of DataParallel or not, beside a score of numpy's and a schedule."""
    torch.manual_seed(1)
    whole = BACKBONES["resnet50"].build(weights=None)
    names = {k.replace("fc.", f"{classifier}."): v for k, v in whole.state_dict().items()}
    state = OrderedDict((f"module.{name}" if archive else name, value) for name, value in names.items())
    schedule = {"milestones": Counter([20, 40]), "gamma": 0.1}
    content = {"state_dict": state, "epoch": 60, "rank1": np.float64(0.9), "scheduler": schedule}
    model = checkpoints.build("triplet", "resnet50")
    assert not checkpoints.load_weights(model, saved(tmp_path / "model.pth.tar-60", content, archive))
    assert torch.equal(model.backbone.layer4[2].conv3.weight, whole.layer4[2].conv3.weight)


def test_weights_of_another_architecture_are_told(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", {"state_dict": BACKBONES["resnet101"].build(weights=None).state_dict()})
    words = (
        r"a\.pt: weights of another network: layer3\.10\.bn1\.bias is \[256\], expected absent; check network and cnn"
    )
    with pytest.raises(BodyModelError, match=words):
        checkpoints.load_weights(checkpoints.build("triplet", "resnet50"), path)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    network = checkpoints.build("triplet", "tiny")
    network.bn.running_var[3] = value
    path = saved(tmp_path / "a.pt", network.state_dict())
    with pytest.raises(BodyModelError, match=r"a\.pt: bn\.running_var is not finite: its training diverged"):
        checkpoints.load_weights(checkpoints.build("triplet", "tiny"), path)


def whole_numbers(network: torch.nn.Module) -> dict:
    return network.state_dict() | {"bn.weight": torch.ones(8, dtype=torch.int64)}


def test_whole_numbers_are_no_weights(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", whole_numbers(checkpoints.build("triplet", "tiny")))
    with pytest.raises(BodyModelError, match=r"bn\.weight is \[8\] of whole numbers, expected \[8\]"):
        checkpoints.load_weights(checkpoints.build("triplet", "tiny"), path)


# ---------------------------------------------------------------------------- refused


class Storage:
    """Pickled as a storage that promises ``count`` numbers."""

    def __init__(self, count: int) -> None:
        self.count = count


class Pickler(pickle.Pickler):
    def persistent_id(self, obj: object) -> object:
        if isinstance(obj, Storage):
            return ("storage", torch.FloatStorage, "0", "cpu", obj.count)
        return None


class Tensor:
    """Pickled as a tensor of ``shape`` over a storage."""

    def __init__(self, storage: Storage, shape: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> None:
        self.args = (storage, offset, shape, stride, False, OrderedDict())

    def __reduce__(self) -> tuple:
        return torch._utils._rebuild_tensor_v2, self.args


class Asks:
    def __init__(self, what: object, *args: object) -> None:
        self.what, self.args = what, args

    def __reduce__(self) -> tuple:
        return self.what, self.args


def archive_of(content: object, members: dict[str, bytes], packed: int = zipfile.ZIP_STORED) -> bytes:
    pickled, made = io.BytesIO(), io.BytesIO()
    Pickler(pickled, protocol=2).dump(content)
    with zipfile.ZipFile(made, "w", packed) as archive:
        for name, member in {"data.pkl": pickled.getvalue(), "version": b"3", "byteorder": b"little"}.items():
            archive.writestr(f"a/{name}", member)
        for name, member in members.items():
            archive.writestr(f"a/{name}", member)
    return made.getvalue()


def doubled(what: tuple) -> tuple:
    """Forty tuples, each of which holds the one before twice: hashed, it is 2^40 items."""
    for _ in range(40):
        what = (what, what)
    return what


def listed(file: Path) -> bytes:
    """A file of the older form, up to the keys of its storages."""
    data = io.BytesIO(file.read_bytes())
    for _ in range(4):
        for _ in pickletools.genops(data):
            pass
    return data.getvalue()[: data.tell()]


META = torch._utils._rebuild_meta_tensor_no_storage
FOUR = {"data/0": bytes(16)}
HOSTILE = {
    "a storage shorter than it says": (archive_of({"a": Tensor(Storage(1 << 40), (4,), (1,))}, FOUR), "damaged"),
    "a tensor larger than its storage": (archive_of({"a": Tensor(Storage(4), (5,), (1,))}, FOUR), "damaged"),
    "a tensor past its storage": (archive_of({"a": Tensor(Storage(4), (4,), (1,), 1)}, FOUR), "damaged"),
    "a tensor of one number repeated": (archive_of({"a": Tensor(Storage(4), (1 << 50,), (0,))}, FOUR), "larger than"),
    "a negative shape": (archive_of({"a": Tensor(Storage(4), (-1, -4), (1, 1))}, FOUR), "damaged"),
    "no storage": (archive_of({"a": Tensor(Storage(4), (4,), (1,))}, {}), "damaged"),
    "a bomb": (archive_of({}, {"data/0": bytes(1 << 24)}, zipfile.ZIP_DEFLATED), "promises more bytes than it has"),
    "code": (archive_of({"a": Asks(print, "it ran")}, {}), "it asks for __builtin__.print, which no file"),
    "memory": (archive_of({"a": Asks(bytearray, 1 << 40)}, {}), "it asks for __builtin__.bytearray, which no file"),
    "no numbers": (archive_of({"a": Asks(META, torch.float32, (1 << 50,), (1,), False)}, {}), "_no_storage, which"),
    "keys that share a hash": (archive_of({(i << 61) - i: 0 for i in range(1, 50)}, {}), "more than 63 bits"),
    "a key that hashes for ever": (archive_of({"a": Asks(OrderedDict, [(doubled(()), 0)])}, {}), "a tuple too large"),
    "a function": (archive_of({"a": torch._utils._rebuild_tensor_v2}, {}), "it holds a function, which no file"),
    "a program": (archive_of({}, {"constants.pkl": b""}), "a TorchScript archive, which is a program"),
    "a pickle of nothing torch knows": (pickle.dumps({"a": 1}, protocol=2), "damaged"),
    "text": (b"<html>not found</html>", "damaged"),
    "nothing": (b"", "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(tmp_path: Path, name: str, capsys: pytest.CaptureFixture) -> None:
    data, words = HOSTILE[name]
    path = tmp_path / "a.pt"
    path.write_bytes(data)
    with pytest.raises(BodyModelError) as refused:
        checkpoints.read(path)
    assert str(refused.value).startswith(f"{path}: not a usable file of weights (") and words in str(refused.value)
    assert "\n" not in str(refused.value) and "weights_only" not in str(refused.value)
    assert capsys.readouterr().out == ""


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("kind", ["sparse", "quantized", "complex", "bool", "tuple key"])
@ARCHIVE
def test_what_no_network_needs_is_refused(tmp_path: Path, kind: str, archive: bool) -> None:
    content: dict = {
        "sparse": lambda: {"a": torch.eye(3).to_sparse()},
        "quantized": lambda: {"a": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8)},
        "complex": lambda: {"a": torch.zeros(3, dtype=torch.complex64)},
        "bool": lambda: {"a": torch.ones(3, dtype=torch.bool)},
        "tuple key": lambda: {("a",): torch.ones(3)},
    }[kind]()
    with pytest.raises(BodyModelError, match=r"not a usable file of weights \("):
        checkpoints.read(saved(tmp_path / "a.pt", content, archive))


def test_containers_have_a_greatest_depth(tmp_path: Path) -> None:
    deep: dict = {}
    for _ in range(torchfiles.DEEPEST - 1):
        deep = {"a": deep}
    assert checkpoints.read(saved(tmp_path / "a.pt", deep))
    with pytest.raises(BodyModelError, match="containers nested more than 50 deep"):
        checkpoints.read(saved(tmp_path / "a.pt", {"a": [{"a": deep}]}))


def test_the_length_of_a_pickle_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.pt", {"a": "x" * 2000})
    assert checkpoints.read(path)
    monkeypatch.setattr(torchfiles, "LONGEST_PICKLE", 1000)
    with pytest.raises(BodyModelError, match="its pickle is too long"):
        checkpoints.read(path)


def test_a_list_in_many_places_is_looked_into_once(tmp_path: Path) -> None:
    many: list = []
    for _ in range(torchfiles.DEEPEST - 2):
        many = [many, many]
    assert checkpoints.read(saved(tmp_path / "a.pt", {"a": many}))


@pytest.mark.parametrize("rest", [bytes(5000), b""], ids=["there", "absent"])
def test_numbers_that_no_key_names_are_not_made_up(tmp_path: Path, rest: bytes) -> None:
    path = saved(tmp_path / "a.pt", {"a": torch.ones(1000)}, archive=False)
    path.write_bytes(listed(path) + pickle.dumps([], protocol=2) + rest)
    with pytest.raises(BodyModelError, match=r"its storages are not those|more bytes than it has"):
        checkpoints.read(path)


def test_the_keys_of_storages_are_looked_through_too(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", {"a": torch.ones(10)}, archive=False)
    path.write_bytes(listed(path) + pickle.dumps([Asks(bytearray, 1 << 40)], protocol=2))
    with pytest.raises(BodyModelError, match=r"it asks for __builtin__\.bytearray"):
        checkpoints.read(path)


def test_a_pickle_is_found_as_pytorch_finds_it(tmp_path: Path) -> None:
    """That is, whatever the case of its name."""
    path = tmp_path / "a.pt"
    path.write_bytes(archive_of({"a": Asks(bytearray, 1 << 40)}, {}).replace(b"data.pkl", b"Data.PKL"))
    with pytest.raises(BodyModelError, match=r"it asks for __builtin__\.bytearray"):
        checkpoints.read(path)


def test_a_flipped_bit_of_a_weight_is_found(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", {"a": torch.arange(1000.0)})
    data = bytearray(path.read_bytes())
    at = data.index(torch.arange(500.0, 520.0).numpy().tobytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(BodyModelError, match=r"it is damaged \(the checksum of 'a/data/0' differs\)"):
        checkpoints.read(path)


def test_places_that_hold_no_file_of_weights(tmp_path: Path) -> None:
    saved(tmp_path / "Best.pt", {})
    with pytest.raises(BodyModelError, match=r"best\.pt: no such file, but there is .*Best\.pt"):
        checkpoints.read(tmp_path / "best.pt")
    with pytest.raises(BodyModelError, match="is a folder, where a file was expected"):
        checkpoints.read(tmp_path)


def test_settings_of_wrong_types_are_refused(tmp_path: Path) -> None:
    for settings in ([1], {"height": "64"}, {"width": 1.5}, {"last_stride": None}):
        with pytest.raises(BodyModelError, match=r"a\.pt: the settings of its training are damaged"):
            checkpoints.size_and_stride({"settings": settings}, "a.pt")
    assert checkpoints.size_and_stride({"settings": {"height": 64, "lr": 1}}, "a.pt") == {"height": 64}


@pytest.mark.parametrize("run", ["../../x", "a\0", "AB", "a" * 33, "", 7])
def test_the_name_of_a_run_leads_nowhere(tmp_path: Path, run: object) -> None:
    path = saved(tmp_path / "last.pt", {"run": run})
    assert checkpoints.origin(path) == ""
    assert checkpoints.origin(saved(path, {"run": "0af9"})) == "0af9"
    assert checkpoints.origin(tmp_path / "absent.pt") is None


def test_mutated_checkpoints() -> None:
    """A short form of what ``fuzz_weights.py`` does."""
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("fuzz_weights.py")), "150", "7"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert counts["weights refused"] > 50 and counts["weights read"] > 10
    assert counts["resume refused"] > 50 and counts["resume read"] > 5
