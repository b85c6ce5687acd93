"""Networks in int8: what is drawn, what is kept and when it is made again, what is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from castsearch.networks import NetworkError, Place, PrecisionError, int8, open_network
from castsearch.networks.int8 import Agreement, Quantized, cosine_agreement, draw, quantized
from castsearch.networks.openvino_engine import read_model
from tests.conftest import MODULES, ROOT

INT8 = Place(-1, "int8")
NAMES = [f"val/tt{n // 40}/candidates/shot{n:04}.jpg" for n in range(1000)]
PICTURES = np.random.default_rng(0).normal(size=(24, 1, 3, 16, 16)).astype(np.float32)


def test_a_draw_is_disjoint_and_the_same_each_time() -> None:
    drawn = draw(NAMES)
    assert (len(drawn.calibration), len(drawn.comparison)) == (300, 64)
    assert len({*drawn.calibration, *drawn.comparison}) == 364
    assert draw(reversed([*NAMES, *NAMES])) == drawn
    assert drawn.calibration[0] == "val/tt17/candidates/shot0698.jpg"  # by whatever Python's own hashes are
    movies = {name.split("/")[1] for name in drawn.calibration}
    assert len(movies) == 25  # all


def test_a_picture_more_changes_little_of_a_draw() -> None:
    assert len({*draw(NAMES).calibration} - {*draw([*NAMES, "val/new.jpg"]).calibration}) <= 1


@pytest.mark.parametrize(
    ("names", "calibration", "comparison"), [(24, 16, 8), (81, 54, 27), (192, 128, 64), (240, 176, 64), (364, 300, 64)]
)
def test_small_sets_are_shared_out(names: int, calibration: int, comparison: int) -> None:
    drawn = draw(NAMES[:names])
    assert (len(drawn.calibration), len(drawn.comparison)) == (calibration, comparison)
    assert not {*drawn.calibration} & {*drawn.comparison}


def test_too_few_pictures_are_refused() -> None:
    with pytest.raises(
        PrecisionError, match=r"^int8: 23 pictures that can be read are too few, 15 to .* 24 are needed"
    ):
        draw(NAMES[:23] * 2)
    int8.check_enough(16, 8)
    for parts in ((15, 64), (300, 7)):
        with pytest.raises(PrecisionError, match=f"{parts[0]} to calibrate on and {parts[1]} others to compare"):
            int8.check_enough(*parts)


def test_agreement_of_features() -> None:
    float32 = np.array([[3, 0], [0, 2], [1, 1], [1, 0]], np.float32)
    other = np.array([[1, 0], [0, -2], [1, 0], [0, 0]], np.float32)
    found = cosine_agreement(float32, other, 9)
    assert found == Agreement("cosine", pytest.approx(-1), pytest.approx((1 - 1 + 0.5**0.5 + 0) / 4), 4, 9)
    other[3] = np.nan
    assert cosine_agreement(float32, other, 9).mean == found.mean


@pytest.mark.parametrize(
    ("measure", "lowest", "mean", "message"),
    [
        (
            "cosine",
            0.79,
            0.99,
            r"m: in int8 .* 0\.9900, at least 0\.7900, of 64 .*; 0\.95 on average and 0\.8 at least",
        ),
        ("cosine", 0.9, 0.94, r"m: in int8 it is too far from itself in float32: cosine to float32 0\.9400"),
        (
            "faces",
            0.0,
            0.89,
            r"m: .*: 89\.0% of the faces as in float32 of 64 .*; 0\.9 on average is wanted; choose bfl",
        ),
    ],
)
def test_too_little_agreement_is_refused(measure: int8.Measure, lowest: float, mean: float, message: str) -> None:
    with pytest.raises(PrecisionError, match=message):
        Agreement(measure, lowest, mean, 64, 300).check(Path("m"))


def test_enough_agreement_is_told() -> None:
    Agreement("cosine", 0.8, 0.95, 64, 300).check(Path("m"))
    Agreement("faces", 0.0, 0.9, 64, 300).check(Path("m"))
    assert str(Agreement("faces", 0.5, 0.987, 64, 300)) == (
        "98.7% of the faces as in float32 of 64 pictures (calibrated on 300 others)"
    )


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Two convolutions and a mean: from (1, 3, 16, 16) to (1, 8)."""
    random = np.random.default_rng(1)
    weights = [random.normal(size=shape).astype(np.float32) for shape in ((16, 3, 3, 3), (8, 16, 3, 3))]
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w1"], ["c"], kernel_shape=[3, 3]),
        helper.make_node("GlobalAveragePool", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["y"]),
    ]
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [1, 3, 16, 16]), ("y", [1, 8]))]
    constants = [numpy_helper.from_array(array, f"w{i}") for i, array in enumerate(weights)]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], constants)
    path = tmp_path / "n.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


class Maker:
    """Makes the network in int8, and counts how often its pictures are asked for."""

    def __init__(self, path: Path) -> None:
        self.path, self.fed, self.compared = path, 0, 0

    def feeds(self) -> Iterator[dict[str, np.ndarray]]:
        for picture in PICTURES:
            self.fed += 1
            yield {"x": picture}

    def features(self, place: Place, model: Path | None = None) -> np.ndarray:
        opened = open_network(self.path, place, model=model)
        return np.concatenate([opened.run({"x": picture})[0] for picture in PICTURES])

    def compare(self, model: Path) -> Agreement:
        self.compared += 1
        return cosine_agreement(self.features(Place()), self.features(INT8, model), 16)

    def __call__(self, depends: object = "pictures", model: Path | bytes | None = None) -> Quantized:
        return quantized(self.path, model or self.path, self.feeds, self.compare, {"depends": depends})


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/castsearch/int8"


@pytest.fixture
def maker(network: Path, cache: Path) -> Maker:
    return Maker(network)


def test_int8_is_made_once_and_kept(maker: Maker, cache: Path) -> None:
    made = maker()
    assert maker.fed == len(PICTURES)  # one pass
    assert made.agreement.measure == "cosine" and made.agreement.compared == 24
    assert 0.99 < made.agreement.lowest < 0.9999999  # rounded indeed, and not much
    assert maker.compare(made.model) == made.agreement
    ran = open_network(maker.path, INT8, model=made.model).ran
    assert (ran.engine.split()[0], ran.precision) == ("openvino", "int8")
    assert maker() == made
    assert (maker.fed, maker.compared) == (len(PICTURES), 2)
    assert made.model == cache / made.digest / "network.xml"
    assert sorted(path.name for path in cache.rglob("*") if path.is_file()) == [
        "made.json",
        "network.bin",
        "network.xml",
    ]
    assert b"i8" in made.model.read_bytes() and (cache / made.digest).stat().st_mode & 0o777 == 0o755


def test_whatever_it_depends_on_makes_another(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = {maker().digest, maker("other pictures").digest}
    assert len(digests) == 2
    monkeypatch.setattr(int8, "version", lambda library: "0")
    digests.add(maker().digest)
    assert len(digests) == 3
    assert maker(model=maker.path.read_bytes()).digest in digests  # the same, as bytes
    model = onnx.load(maker.path)
    model.producer_name = "another"
    onnx.save(model, maker.path)
    digests.add(maker().digest)
    assert len(digests) == 4


def test_the_last_convolution_stays_exact_where_asked(maker: Maker) -> None:
    def weights(exact_ends: bool) -> tuple[str, list[str]]:
        made = quantized(maker.path, maker.path, maker.feeds, maker.compare, {}, exact_ends)
        model = read_model(maker.path, made.model)
        constants = [node for node in model.get_ops() if node.get_type_name() == "Constant"]
        types = {tuple(node.shape): node.get_element_type().get_type_name() for node in constants}
        return made.digest, [types[shape] for shape in ((16, 3, 3, 3), (8, 16, 3, 3))]

    (some, rounded), (other, exact) = weights(False), weights(True)
    assert (rounded, exact) == (["i8", "i8"], ["i8", "f32"])
    assert some != other


@pytest.mark.parametrize("name", ["network.xml", "network.bin", "made.json"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(
            path.read_bytes()[:-9] + bytes([path.read_bytes()[-9] ^ 1]) + path.read_bytes()[-8:]
        ),
        lambda path: path.unlink(),
    ],
    ids=["a byte short", "a bit", "gone"],
)
def test_damaged_it_is_made_again(maker: Maker, cache: Path, name: str, damage: Callable[[Path], object]) -> None:
    made = maker()
    whole = made.model.with_name("network.bin").read_bytes()
    damage(made.model.with_name(name))
    assert maker() == made
    assert maker.fed == 2 * len(PICTURES)
    assert made.model.with_name("network.bin").read_bytes() == whole
    assert [path.name for path in cache.iterdir()] == [made.digest]
    maker()
    assert maker.fed == 2 * len(PICTURES)


def test_where_there_is_no_place_to_keep_it(maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    made = maker()
    assert maker.compare(made.model) == made.agreement
    assert maker().digest == made.digest
    assert maker.fed == 2 * len(PICTURES)


def test_no_temporary_folder_is_one_line(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(int8.tempfile, "mkdtemp", refuse)
    with pytest.raises(PrecisionError, match=r"n\.onnx: no place for it in int8 \(No space left on device\); see to"):
        maker()


def test_no_room_in_the_temporary_folder_is_one_line(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO's streams say nothing of why they stopped."""
    monkeypatch.setattr(int8, "XML", "n" * 300 + ".xml")  # a name too long, as root may write anywhere
    with pytest.raises(PrecisionError, match=r"n\.onnx: no place for it in int8 \(.+\); see to the folder TMPDIR"):
        maker()


def test_no_room_for_what_was_compared_is_one_line(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "MADE", "gone/made.json")
    with pytest.raises(
        PrecisionError, match=r"n\.onnx: no place for it in int8 \(No such .+\); see to the folder TMPDIR"
    ):
        maker()


def test_what_is_not_quantized_does_not_run_in_int8(network: Path) -> None:
    with pytest.raises(
        PrecisionError, match=r"n\.onnx: nothing of it is quantized, so it would not run in int8; choose"
    ):
        open_network(network, INT8)


def test_of_two_runs_at_once_the_quicker_ones_counts(maker: Maker, network: Path, cache: Path) -> None:
    first = []

    class Slower(Maker):
        def compare(self, model: Path) -> Agreement:
            first.append(maker())  # meanwhile
            return Agreement("cosine", 0.1, 0.1, 1, 1)

    assert Slower(network)() == first[0]
    assert [path.name for path in cache.iterdir()] == [first[0].digest]


def test_interrupted_it_leaves_nothing(maker: Maker, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(model: Path) -> Agreement:
        raise KeyboardInterrupt

    monkeypatch.setattr(maker, "compare", stop)
    with pytest.raises(KeyboardInterrupt):
        maker()
    assert not cache.exists()


@pytest.mark.parametrize("shape", [(1, 4, 16, 16), (3,)])
def test_inputs_that_do_not_fit_are_one_line(maker: Maker, monkeypatch: pytest.MonkeyPatch, shape: tuple) -> None:
    monkeypatch.setattr(maker, "feeds", lambda: iter([{"x": np.zeros(shape, np.float32)}]))
    with pytest.raises(PrecisionError, match=r"n\.onnx: cannot be quantized \(.+\); choose float32") as caught:
        maker()
    assert "\n" not in str(caught.value)


def test_nothing_to_calibrate_on_is_one_line(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maker, "feeds", lambda: iter([]))
    with pytest.raises(PrecisionError, match=r"n\.onnx: cannot be quantized \(.+\); choose float32"):
        maker()


def test_a_picture_that_cannot_be_read_is_told_as_such(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    def feeds() -> Iterator[dict[str, np.ndarray]]:
        raise NetworkError("a.jpg: broken")
        yield

    monkeypatch.setattr(maker, "feeds", feeds)
    with pytest.raises(NetworkError, match=r"^a\.jpg: broken$"):
        maker()


@pytest.mark.parametrize("content", [b"", b"no network", b"\x08\x07"])
def test_a_damaged_network_is_one_line(maker: Maker, content: bytes) -> None:
    maker.path.write_bytes(content)
    with pytest.raises(NetworkError, match=r"n\.onnx: not a usable network \(.+\); get it again"):
        maker()


PROGRAM = """
import os, signal, sys
opened = []
sys.addaudithook(lambda event, _: opened.append(event) if event.startswith(("socket.", "os.fork")) else None)
from pathlib import Path
from tests.networks.test_int8 import Maker
if sys.argv[2] == "killed":
    Maker.compare = lambda self, model: os.kill(os.getpid(), signal.SIGKILL)
made = Maker(Path(sys.argv[1]))()
assert "nncf" in sys.modules and not {"NNCF_CI", "CI"} & {*os.environ}
assert not {"socket.connect", "socket.sendto", "socket.getaddrinfo", "os.fork"} & {*opened}, opened
"""


def process(network: Path, home: Path, what: str) -> subprocess.CompletedProcess:
    """Makes it in a process that is no test, with a home of its own."""
    home.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name not in ("NNCF_CI", "CI", "XDG_CACHE_HOME")}
    environment |= {"HOME": str(home), "PYTHONPATH": MODULES}
    command = [sys.executable, "-c", PROGRAM, str(network), what]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_nothing_is_reported_written_or_shown(network: Path, tmp_path: Path) -> None:
    """Left alone, OpenVINO and NNCF report to their makers by a process of their own, all three libraries leave numbers
    in the home folder to know their user by, and NNCF shows bars and log lines.
    """
    done = process(network, tmp_path / "home", "whole")
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("", "")
    assert [path.name for path in (tmp_path / "home").iterdir()] == [".cache"]
    assert [path.name for path in (tmp_path / "home/.cache").iterdir()] == ["castsearch"]


def test_without_a_home_openvino_is_told_of_in_a_line() -> None:
    """A user by number alone, as in containers; OpenVINO looks for one when it is imported."""
    program = (
        "import os\nos.getuid = lambda: 4_000_000\n"
        "from pathlib import Path\nfrom castsearch.networks import Place, open_network\n"
        "open_network(Path('n.pb'), Place())"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].startswith(
        "castsearch.networks.errors.NetworkError: OpenVINO or NNCF, which bfloat16, int8 and frozen graphs need, "
        "cannot be loaded (Could not determine home directory.); "
    )


def test_killed_it_leaves_nothing_in_the_cache(network: Path, tmp_path: Path) -> None:
    assert process(network, tmp_path / "home", "killed").returncode == -signal.SIGKILL
    assert not list((tmp_path / "home").rglob("network.*"))
