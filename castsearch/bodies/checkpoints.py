"""Weights of body networks: the original's, ours, torchvision's and torchreid's; read without running code."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from castsearch.bodies import backbones, torchfiles
from castsearch.bodies.body_model import BodyModelError
from castsearch.bodies.networks import NETWORKS, Network
from castsearch.errors import one_line
from castsearch.paths import open_plain, unreadable
from castsearch.stagefiles import StageFileError, atomic_write

BEST, LAST = "best.pt", "last.pt"
SAFETENSORS = ".safetensors"

_WRAPPERS = ("model", "state_dict")  # where a checkpoint keeps its weights: this project's, torchreid's
_CLASSIFIER = "logits."


def read(path: str | os.PathLike[str], tensors: bool = True) -> dict[Any, Any]:
    """Read a file of ``torch.save`` that holds tensors and builtin containers, nothing else; or of safetensors.

    Args:
        path: of the file.
        tensors: read them now; otherwise when somebody asks, which is quick where nobody does.

    Raises:
        BodyModelError: it is missing, damaged or asks for more.
    """
    try:
        open_plain(path).close()
        if Path(path).suffix == SAFETENSORS:
            return _safetensors(path)
        content = torchfiles.load(Path(path), tensors)
    except OSError as error:
        raise BodyModelError(unreadable(path, error, "train first, or name weights that are there")) from None
    except torchfiles.Refused as error:
        raise BodyModelError(
            f"{path}: not a usable file of weights ({error}); copy it again, train again, or save its state dict alone"
        ) from None
    if not isinstance(content, dict):
        raise BodyModelError(f"{path}: expected a dict of weights, found {type(content).__name__}")
    return content


def _safetensors(path: str | os.PathLike[str]) -> dict[Any, Any]:
    """A file of tensors by name, as timm's downloads are; its header is text, and its makers check its bounds."""
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise BodyModelError(
            f"{path}: safetensors, which reads it, is not installed; pip install safetensors"
        ) from None
    try:
        return dict(load_file(path))
    except (SafetensorError, KeyError, ValueError) as error:
        raise BodyModelError(f"{path}: not a usable file of weights ({one_line(error)}); copy it again") from None


def write(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write with ``torch.save``, atomically.

    Raises:
        StageFileError: there is no writing there, or no room.
    """
    try:
        with atomic_write(path) as file:
            _save(dict(content), file)
    except OSError as error:
        raise StageFileError(f"{path}: cannot be written ({error.strerror}); choose another place") from None


def _save(content: object, file: BinaryIO) -> None:
    try:
        torch.save(content, file)
    except RuntimeError as error:
        # PyTorch wants to end the archive even so, and loses what the system said in what that stumbles over.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def load_weights(model: Network, path: str | os.PathLike[str]) -> bool:
    """Load weights of a whole network or of its backbone alone, strictly but for the classifier.

    The classifier tells the identities of one training set apart and no others, so it is left
    out on purpose, whether or not ``model`` has one.

    Args:
        model: network to fill.
        path: a checkpoint of this project, a state dict of the original, torchvision's ImageNet weights, or a
            checkpoint of torchreid, of the same architecture.

    Returns:
        Whether the file held a whole network; otherwise it held a backbone.

    Raises:
        BodyModelError: the file is unusable or belongs to another network, or weights are not finite.
    """
    return fill(model, read(path), path)


def fill(model: Network, content: Mapping[Any, Any], path: str | os.PathLike[str]) -> bool:
    """``load_weights`` of what the file holds."""
    state = _named_weights(content, path)
    if any(key.startswith("backbone.") for key in state):
        fresh = {key: value for key, value in model.state_dict().items() if key.startswith(_CLASSIFIER)}
        _fill(model, _without(_CLASSIFIER, state) | fresh, path)
        return True
    net = backbones.headless(model.cnn, model.last_stride)
    _fill(net, backbones.todays_names(_without(backbones.find(model.cnn).heads, state)), path)
    model.adopt(net)
    return False


def _named_weights(content: Mapping[Any, Any], path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The weights of a checkpoint by their names in the network."""
    found = next((content[name] for name in _WRAPPERS if isinstance(content.get(name), dict)), content)
    if not found or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in found.items()):
        raise BodyModelError(f"{path}: expected weights by name; give a checkpoint or torchvision's file")
    return {key.removeprefix("module."): value for key, value in found.items()}


def _without(prefixes: str | tuple[str, ...], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not key.startswith(prefixes)}


def _fill(net: nn.Module, state: Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    """``load_state_dict``, strict, with an error of one line."""
    wanted = net.state_dict()
    # Counters of batches came to BatchNorm after some of these weights were published; they do not matter.
    state = {key: value for key, value in wanted.items() if key.endswith("num_batches_tracked")} | dict(state)
    check_alike(state, wanted, path)
    net.load_state_dict(state)
    if (name := not_finite(net.state_dict())) is not None:
        raise BodyModelError(f"{path}: {name} is not finite: its training diverged; take an earlier checkpoint")


def check_alike(
    found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], path: str | os.PathLike[str], which: str = "weights"
) -> None:
    """See that tensors have the names, shapes and kinds of numbers that they must have.

    Raises:
        BodyModelError: they belong to another network.
    """
    for key in sorted(wanted.keys() | found.keys()):
        is_, must = (_described(tensors[key]) if key in tensors else "absent" for tensors in (found, wanted))
        if is_ != must:
            raise BodyModelError(
                f"{path}: {which} of another network: {key:.100} is {is_}, expected {must}; check network and cnn"
            )


def _described(tensor: Tensor) -> str:
    return f"{list(tensor.shape)}" + ("" if tensor.is_floating_point() else " of whole numbers")


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The first of these tensors that holds an infinity or NaN."""
    floats = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}
    flags: dict[torch.device, list[Tensor]] = {}
    for tensor in floats.values():
        flags.setdefault(tensor.device, []).append(tensor.isfinite().all())
    if all(bool(torch.stack(some).all()) for some in flags.values()):  # one wait a device
        return None
    return next(name for name, tensor in floats.items() if not tensor.isfinite().all())


def load_imagenet(model: Network, path: Path | None = None) -> Path:
    """Give the backbone its library's ImageNet weights, from ``path`` or by download.

    Returns:
        The file they came from.

    Raises:
        BodyModelError: they cannot be had, are unusable, or belong to another backbone.
    """
    path = path or backbones.find(model.cnn).download()
    if load_weights(model, path):
        raise BodyModelError(f"{path}: a trained network, not ImageNet weights; name it as the checkpoint")
    return path


def build(network: str, cnn: str, num_classes: int = 0, last_stride: int = 1) -> Network:
    """A network with random weights; ``network`` is ``triplet`` or ``mgn``.

    Raises:
        BodyModelError: there is no such network or backbone.
    """
    if network not in NETWORKS:
        raise BodyModelError(f"no network {network!r}; choose one of {', '.join(NETWORKS)}")
    return NETWORKS[network](cnn, num_classes, last_stride)


# ---------------------------------------------------------------------------- what a run left


def trained(folder: Path) -> Path:
    """The checkpoint that a training left in ``folder``: its best where it looked for one, or else its last.

    A best one of another run than the last, which a kill left behind, does not count.

    Raises:
        BodyModelError: there is none.
    """
    best, last = folder / BEST, folder / LAST
    if best.exists() and last.exists():
        return best if origin(best) == origin(last) else last
    for path in (best, last):
        if path.exists():
            return path
    raise BodyModelError(f"{folder}: no checkpoint in it; train first, or name a checkpoint")


def later(path: Path) -> str | None:
    """What there is to say of the best checkpoint where the last one of its run was trained for longer."""
    last = path.with_name(LAST)
    if path.name != BEST or not last.exists():
        return None
    epochs = [_epoch(best_or_last) for best_or_last in (path, last)]
    if None in epochs or epochs[0] == epochs[1]:
        return None
    return f"{BEST} is of epoch {epochs[0]}, {LAST} of epoch {epochs[1]}; name {last} to use that"


def origin(path: Path) -> str | None:
    """The name of the run that wrote a checkpoint, empty if it wrote none; None for what is no usable checkpoint."""
    told = _told(path)
    return _run_name(told) if told else None


def _run_name(content: Mapping[Any, Any]) -> str:
    """It becomes part of a file's name, so that nothing but what a run is called will do."""
    run = content.get("run")
    return run if isinstance(run, str) and re.fullmatch("[0-9a-f]{1,32}", run) else ""


def _epoch(path: Path) -> int | None:
    """How many epochs a checkpoint has behind it."""
    match _told(path):
        case {"step": int(step), "identities": list(people), "settings": {"batch_size": int(size)}} if size > 0:
            return step // max(len(people) // size, 1)
    return None


def _told(path: Path) -> dict[Any, Any]:
    """What a checkpoint holds beside tensors; nothing where it is unusable, which whoever loads it will tell."""
    try:
        return read(path, tensors=False)
    except BodyModelError:
        return {}


def size_and_stride(content: Mapping[Any, Any], path: str | os.PathLike[str]) -> dict[str, int]:
    """``height``, ``width`` and ``last_stride`` of a checkpoint's training, as far as it tells them.

    Raises:
        BodyModelError: they are no numbers.
    """
    settings = content.get("settings", {})
    names = ("height", "width", "last_stride")
    if not isinstance(settings, dict) or any(type(settings[name]) is not int for name in names if name in settings):
        raise BodyModelError(f"{path}: the settings of its training are damaged; copy it again or train again")
    return {name: settings[name] for name in names if name in settings}


@dataclass(frozen=True)
class RunState:
    """Everything that the rest of a training depends on, as its last checkpoint holds it; nothing random has a state.

    Attributes:
        run: a name drawn for the run.
        settings: by name.
        identities: [movie, label] of each.
        pictures: a digest of each identity's; None in a checkpoint of an earlier version.
        step: steps done.
        validated: step of the last validation, 0 before the first.
        best: largest mAP met in validation, -1 before the first.
        model: the weights.
        optimizer: moments of each weight, by its number.
        scaler: state of the gradients' scaler; empty where they need none.
    """

    run: str
    settings: dict[str, Any]
    identities: list[list[str]]
    pictures: list[str] | None
    step: int
    validated: int
    best: float
    model: dict[str, Tensor]
    optimizer: dict[int, dict[str, Tensor]]
    scaler: dict[str, float]

    def write(self, path: Path) -> None:
        """Write it, atomically."""
        write(path, {**vars(self), "optimizer": {"state": self.optimizer}})

    @classmethod
    def read(cls, path: Path) -> RunState:
        """Read it.

        Raises:
            BodyModelError: it is missing or damaged, or not of a run.
        """
        content = read(path)
        match content:
            case {
                "settings": dict(settings),
                "identities": list(identities),
                "step": int(step),
                "best": float(best),
                "model": dict(model),
                "optimizer": {"state": dict(optimizer)},
                "scaler": dict(scaler),
            } if (
                step >= 0
                and -1 <= best <= 1
                and all(type(i) is list and len(i) == 2 and {*map(type, i)} == {str} for i in identities)
                and all(type(v) in (int, float, str, bool, type(None)) for v in settings.values())
                and {*map(type, model)} == {str}
                and all(type(i) is int and isinstance(moments, dict) for i, moments in optimizer.items())
                and all(isinstance(v, Tensor) for part in (model, *optimizer.values()) for v in part.values())
                and all(type(v) in (int, float) for v in scaler.values())
            ):
                run, pictures, validated = _run_name(content), content.get("pictures"), content.get("validated")
                pictures = pictures if type(pictures) is list and {*map(type, pictures)} == {str} else None
                validated = validated if type(validated) is int and 0 <= validated <= step else step
                return cls(run, settings, identities, pictures, step, validated, best, model, optimizer, scaler)
        raise BodyModelError(f"{path}: cannot be resumed: it is damaged, or not of a run; train anew")
