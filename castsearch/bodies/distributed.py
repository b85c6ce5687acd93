"""Training in several processes that ``torchrun`` started: the numbers of one process with the whole batch.

Every collective here sums over the processes, forwards and backwards, so that the gradient on each
process is that of the sum of all their losses; DistributedDataParallel then takes the mean.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from castsearch.bodies import losses
from castsearch.errors import CastSearchError

T = TypeVar("T")

_LOST = ("by peer", "remote worker", "remote process", "NCCL error")  # words of gloo and NCCL


class PeerError(CastSearchError):
    """Another process of the run ended, so that this one cannot go on."""


class Stopped(Exception):
    """The run was told to stop. Every process of it raises this at the same place."""


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def local_rank() -> int | None:
    """Number of this process on its machine; None outside ``torchrun``."""
    return int(os.environ["LOCAL_RANK"]) if "LOCAL_RANK" in os.environ else None


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the processes of ``torchrun``, by NCCL on GPUs and gloo on CPUs; nothing to join outside it.

    Raises:
        PeerError: another process ended early.
    """
    if local_rank() is None:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)  # where NCCL gathers what is not a tensor
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    except RuntimeError as error:
        if any(words in str(error) for words in _LOST):
            raise PeerError("another process of this run ended early; mend what its message says") from None
        raise
    finally:
        dist.destroy_process_group()


def any_of(flag: bool, device: torch.device) -> bool:
    """Whether ``flag`` is set in any process; all must ask."""
    if world() == 1:
        return flag
    found = torch.tensor(int(flag), device=device)
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return bool(found)


def joined(items: list[Any]) -> list[Any]:
    """The items of all processes, in their order; all must ask."""
    if world() == 1:
        return items
    lists: list[Any] = [None] * world()
    dist.all_gather_object(lists, items)
    return [item for part in lists for item in part]


def in_turn(make: Callable[[], T]) -> T:
    """What ``make`` gives in each process: the first one's turn is first, so that the others find what it left."""
    if world() == 1:
        return make()
    made = [make()] if rank() == 0 else []
    joined([])
    return made[0] if made else make()


class _Sum(torch.autograd.Function):
    """The sum over the processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _Sum.forward(ctx, grad)


class _Rows(torch.autograd.Function):
    """The rows of all processes, of which each has as many."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _Sum.forward(ctx, grad).chunk(world())[rank()]


def gather(x: Tensor) -> Tensor:
    """The rows of all processes, (n, ...) each, with their gradient."""
    return _Rows.apply(x) if world() > 1 else x


class SyncedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm over the batch of all processes, on any device; torch's own runs on GPUs only.

    Args:
        like: the layer that it replaces, whose state it takes; timm's end with a dropout and an activation.
    """

    def __init__(self, like: nn.modules.batchnorm._BatchNorm) -> None:
        super().__init__(like.num_features, like.eps, like.momentum)
        if _activates(like):
            parts: Any = like
            self.drop, self.act = parts.drop, parts.act
        self.load_state_dict(like.state_dict())

    def _check_input_dim(self, x: Tensor) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        normed = self._normed(x) if self.training else super().forward(x)
        return self.act(self.drop(normed)) if _activates(self) else normed  # type: ignore[operator]

    def _normed(self, x: Tensor) -> Tensor:
        over = [d for d in range(x.dim()) if d != 1]
        shape = [1, -1] + [1] * (x.dim() - 2)
        wide = losses.wide(x)
        n = x.numel() // x.shape[1] * world()
        mean = _Sum.apply(wide.sum(over)) / n
        centred = wide - mean.view(shape)
        var = _Sum.apply(centred.square().sum(over)) / n
        self._track(mean.detach(), var.detach() * n / (n - 1))
        scale = self.weight / (var + self.eps).sqrt()
        return (centred * scale.view(shape) + self.bias.view(shape)).to(x.dtype)

    def _track(self, mean: Tensor, var: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        self.running_mean.lerp_(mean, self.momentum or 0.0)
        self.running_var.lerp_(var, self.momentum or 0.0)
        self.num_batches_tracked.add_(1)


def _activates(layer: nn.Module) -> bool:
    """Whether it is a BatchNorm with an activation of its own, which torch's would lose."""
    return isinstance(layer, nn.modules.batchnorm._BatchNorm) and hasattr(layer, "act")


def synchronised(model: nn.Module, device: torch.device) -> nn.Module:
    """``model`` with every BatchNorm over the batch of all processes; names of parameters stay."""
    if device.type == "cuda" and not any(map(_activates, model.modules())):
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for name, child in model.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            setattr(model, name, SyncedBatchNorm(child))
        else:
            synchronised(child, device)
    return model
