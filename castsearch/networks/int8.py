"""Networks in int8: quantized by NNCF, calibrated on some of what they will see, compared with float32 on other.

NNCF's post-training quantization scales weights by channel and activations by layer, and corrects the biases (Banner et
al., NeurIPS 2019, section 4). The result is kept in the user's cache folder, with what the comparison gave.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from castsearch.errors import CastSearchError, one_line
from castsearch.networks.checkpoints import cache_folder
from castsearch.networks.errors import PrecisionError
from castsearch.networks.unwatched import unwatched
from castsearch.stagefiles import file_sha256

if TYPE_CHECKING:
    import openvino

CALIBRATE, COMPARE = 300, 64  # pictures
FEWEST_CALIBRATE, FEWEST_COMPARE = 16, 8
RECIPE = 1  # goes into the key of the cache: raise it when the same pictures give another network
_ALL = 1 << 30  # inputs: NNCF stops at 300, and a detector may be given several for each picture
XML, BIN, MADE = "network.xml", "network.bin", "made.json"

Measure = Literal["cosine", "faces"]
Feed = Mapping[str, np.ndarray]


class Limits(NamedTuple):
    """What an agreement must reach.

    Attributes:
        lowest: of the worst one.
        mean: of all.
    """

    lowest: float
    mean: float


# On film stills of six characters, random errors of a mean cosine of 0.95 cost 1 mAP at worst, of 0.85 3.6; faces that
# go missing cost 1 mAP when they are 18 %, which is an agreement of 0.9.
LIMITS: dict[Measure, Limits] = {"cosine": Limits(0.8, 0.95), "faces": Limits(0.0, 0.9)}


@dataclass(frozen=True)
class Agreement:
    """How far a network in int8 agrees with itself in float32.

    Attributes:
        measure: the cosine of features, or the share of faces that both find: 2 matched / (found by one + by other).
        lowest: of what was compared, the worst, 0 to 1.
        mean: of all, 0 to 1.
        compared: how many were.
        calibrated: how many others the network was calibrated on.
    """

    measure: Measure
    lowest: float
    mean: float
    compared: int
    calibrated: int

    def __str__(self) -> str:
        on = f"of {self.compared} pictures (calibrated on {self.calibrated} others)"
        if self.measure == "faces":
            return f"{self.mean:.1%} of the faces as in float32 {on}"
        return f"cosine to float32 {self.mean:.4f}, at least {self.lowest:.4f}, {on}"

    def check(self, path: Path) -> None:
        """See that it is enough.

        Args:
            path: the network's file, for the message.

        Raises:
            PrecisionError: it is below ``LIMITS``.
        """
        limits = LIMITS[self.measure]
        if self.lowest < limits.lowest or self.mean < limits.mean:
            least = f"{limits.mean} on average" + (f" and {limits.lowest} at least" if limits.lowest else "")
            raise PrecisionError(
                f"{path}: in int8 it is too far from itself in float32: {self}; {least} is wanted; choose bfloat16 or "
                "float32"
            )


def cosine_agreement(float32: np.ndarray, int8: np.ndarray, calibrated: int) -> Agreement:
    """The agreement of features, (n, d) each."""
    norms = np.linalg.norm(float32, axis=1) * np.linalg.norm(int8, axis=1)
    # A feature of zeros, or one that is not finite, agrees with nothing.
    cosines = np.nan_to_num((float32 * int8).sum(axis=1) / np.where(norms > 0, norms, np.inf), nan=0.0)
    return Agreement("cosine", float(cosines.min()), float(cosines.mean()), len(cosines), calibrated)


class Draw(NamedTuple):
    """Which pictures are calibrated on, and which others compared.

    Attributes:
        calibration: names.
        comparison: names.
    """

    calibration: list[str]
    comparison: list[str]


def draw(names: Iterable[str], calibrate: int = CALIBRATE, compare: int = COMPARE) -> Draw:
    """Draw pictures by the hashes of their names: the same ones each time.

    Args:
        names: of all pictures.
        calibrate: how many to calibrate on; two thirds where there are fewer than enough for both.
        compare: how many others to compare.

    Raises:
        PrecisionError: there are too few.
    """
    drawn = sorted(set(names), key=lambda name: hashlib.sha256(name.encode(errors="surrogatepass")).digest())
    calibrate = min(calibrate, max(2 * len(drawn) // 3, len(drawn) - compare))
    made = Draw(drawn[:calibrate], drawn[calibrate : calibrate + compare])
    check_enough(*map(len, made))
    return made


def check_enough(calibrate: int, compare: int) -> None:
    """See that there are enough pictures to calibrate on and others to compare.

    Raises:
        PrecisionError: there are not.
    """
    if calibrate < FEWEST_CALIBRATE or compare < FEWEST_COMPARE:
        raise PrecisionError(
            f"int8: {calibrate + compare} pictures that can be read are too few, {calibrate} to calibrate on and "
            f"{compare} others to compare, {FEWEST_CALIBRATE + FEWEST_COMPARE} are needed, {FEWEST_CALIBRATE} and "
            f"{FEWEST_COMPARE}; choose bfloat16 or float32"
        )


class Quantized(NamedTuple):
    """A network in int8.

    Attributes:
        model: OpenVINO's file, which ``open_network`` takes as ``model``.
        digest: SHA-256 of all that it was made from.
        agreement: with float32.
    """

    model: Path
    digest: str
    agreement: Agreement


def quantized(
    path: Path,
    model: Path | bytes,
    feeds: Callable[[], Iterator[Feed]],
    compare: Callable[[Path], Agreement],
    depends: Mapping[str, Any],
    exact_ends: bool = False,
) -> Quantized:
    """The network in int8, which is made and compared the first time, and then kept.

    Args:
        path: the network's file, which messages name.
        model: the ONNX file or its content.
        feeds: gives the inputs to calibrate on, from the first each time it is called; one by one, to save memory.
        compare: is given the network in int8 and measures the agreement.
        depends: what inputs and comparison depend on besides (the pictures' digests, settings); JSON can hold it.
        exact_ends: leave the last convolution before each output in float32.

    Returns:
        It, whatever the agreement is; where there is no place to keep it, until the process ends.

    Raises:
        NetworkError: it is damaged.
        PrecisionError: it cannot be quantized.
    """
    digest = _digest(model, depends, exact_ends)
    kept = cache_folder() / "int8" / digest
    if (found := _kept(kept, digest)) is not None:
        return found
    try:
        folder = Path(tempfile.mkdtemp(prefix="castsearch-int8-"))
    except OSError as error:
        raise _no_place(path, error) from None
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _quantize(path, model, feeds, folder, exact_ends)
    agreement = compare(folder / XML)
    try:
        _seal(folder, agreement)
    except OSError as error:
        raise _no_place(path, error) from None
    _keep(folder, kept, digest)
    return _kept(kept, digest) or Quantized(folder / XML, digest, agreement)


def _digest(model: Path | bytes, depends: Mapping[str, Any], exact_ends: bool) -> str:
    source = hashlib.sha256(model).hexdigest() if isinstance(model, bytes) else file_sha256(model)
    libraries = {library: version(library) for library in ("nncf", "openvino")}
    recipe = [RECIPE, exact_ends]
    return _json_sha256({"recipe": recipe, "model": source, "libraries": libraries, "depends": depends})


def _json_sha256(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _quantize(
    path: Path, model: Path | bytes, feeds: Callable[[], Iterator[Feed]], folder: Path, exact_ends: bool
) -> None:
    """Write the network in int8."""
    from castsearch.networks.openvino_engine import read_model

    with unwatched():
        import openvino
        from openvino.passes import ConstantFolding, Manager

    network = read_model(path, model)
    # OpenVINO runs grouped convolutions in int8 only where their weights need no reshaping any more.
    folding = Manager()
    folding.register_pass(ConstantFolding())
    with _silent_nncf():
        import nncf

        try:
            folding.run_passes(network)
            ends = nncf.IgnoredScope(names=_ends(network)) if exact_ends else None
            made = nncf.quantize(network, nncf.Dataset(_Feeds(feeds)), subset_size=_ALL, ignored_scope=ends)
        except (CastSearchError, MemoryError):
            raise
        except Exception as error:  # of NNCF, whose errors have no common type
            raise PrecisionError(f"{path}: cannot be quantized ({one_line(error)}); choose float32") from None
    try:
        openvino.save_model(made, folder / XML, compress_to_fp16=False)
    except RuntimeError as error:  # of C++'s streams
        raise _no_place(path, error) from None


def _no_place(path: Path, error: Exception) -> PrecisionError:
    why = getattr(error, "strerror", None) or one_line(error)
    return PrecisionError(f"{path}: no place for it in int8 ({why}); see to the folder TMPDIR")


def _ends(network: openvino.Model) -> list[str]:
    """Names of the last convolution before each output."""
    found, seen, left = set(), set(), [output.get_node() for output in network.outputs]
    while left:
        node = left.pop()
        name = node.get_friendly_name()
        if node.get_type_name() == "Convolution":
            found.add(name)
        elif name not in seen:
            seen.add(name)
            left += [source.get_source_output().get_node() for source in node.inputs()]
    return sorted(found)


class _Feeds:
    """What NNCF goes through as often as it likes."""

    def __init__(self, feeds: Callable[[], Iterator[Feed]]) -> None:
        self._feeds = feeds

    def __iter__(self) -> Iterator[Feed]:
        return self._feeds()


@contextmanager
def _silent_nncf() -> Iterator[None]:
    """NNCF shows bars, and writes its log to standard output."""
    # It loads all of torch, which tells of a CUDA compiler without a GPU.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    with unwatched():
        import nncf  # noqa: F401
    import rich

    console, logger = rich.get_console(), logging.getLogger("nncf")
    quiet, level = console.quiet, logger.level
    console.quiet = True
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        console.quiet = quiet
        logger.setLevel(level)


def _seal(folder: Path, agreement: Agreement) -> None:
    made = {"agreement": asdict(agreement), "sha256": {name: file_sha256(folder / name) for name in (XML, BIN)}}
    (folder / MADE).write_text(json.dumps({**made, "seal": _json_sha256(made)}))


def _kept(folder: Path, digest: str) -> Quantized | None:
    """What a folder holds, if it is whole."""
    try:
        made = json.loads((folder / MADE).read_text())
        seal = made.pop("seal")
        whole = seal == _json_sha256(made) and all(file_sha256(folder / n) == made["sha256"][n] for n in (XML, BIN))
        return Quantized(folder / XML, digest, Agreement(**made["agreement"])) if whole else None
    except Exception:
        return None


def _keep(folder: Path, place: Path, digest: str) -> None:
    """Copy it where a later run finds it; another run's, which was quicker, is left there."""
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        copy = Path(tempfile.mkdtemp(dir=place.parent, prefix="."))
        try:
            for name in (XML, BIN, MADE):
                shutil.copyfile(folder / name, copy / name)
            if _kept(place, digest) is None and place.exists():
                place.rename(Path(tempfile.mkdtemp(dir=copy)) / "damaged")
            copy.chmod(0o755)
            copy.rename(place)
        finally:
            shutil.rmtree(copy, ignore_errors=True)
