"""The losses of body training: triplet loss over a whole batch, cross entropy over its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

MINING = ("uniform", "hard", "adaptive")
METRICS = ("euclidean", "sqeuclidean", "cosine")


@dataclass(frozen=True)
class Triplets:
    """Triplet loss of a batch, and how well its embeddings retrieve one another.

    Attributes:
        loss: scalar, with a gradient.
        top1: share of anchors whose nearest other picture shows the same person.
        precision: share of the same person among the nearest others, as many as there are to find.
    """

    loss: Tensor
    top1: Tensor
    precision: Tensor


def wide(x: Tensor) -> Tensor:
    """``x`` in float32 at least: what comes out of mixed precision is too coarse to subtract."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def pairwise_dist(embeddings: Tensor, metric: str) -> Tensor:
    """(n, n) distances of (n, d) embeddings; cosine distance is 1 - cosine."""
    embeddings = wide(embeddings)
    if metric == "cosine":
        embeddings = F.normalize(embeddings)
        return 1 - embeddings @ embeddings.T
    # The faster form by matrix product loses the small distances, which the triplets are about.
    dist = torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")
    return dist if metric == "euclidean" else dist.square()


def triplet_loss(embeddings: Tensor, labels: Tensor, mining: str, margin: float | None, metric: str) -> Triplets:
    """Triplet loss with every picture of the batch as anchor.

    An anchor's positive distance is taken from the other pictures of its person, its negative
    distance from those of other people: the mean of each ("uniform"); the largest positive and
    the smallest negative ("hard", Hermans et al., "In Defense of the Triplet Loss for Person
    Re-Identification", 2017, eq. 5); or their means weighted by softmax and softmin ("adaptive",
    Ristani and Tomasi, "Features for Multi-Target Multi-Camera Tracking and Re-Identification",
    CVPR 2018, eq. 4).

    Args:
        embeddings: (n, d).
        labels: (n,); every label at least twice, and at least two labels.
        mining: one of :data:`MINING`.
        margin: margin of the hinge; None for the soft margin log(1 + exp(x)).
        metric: one of :data:`METRICS`.
    """
    dist = pairwise_dist(embeddings, metric)
    same = labels[:, None] == labels[None, :]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positive_dist = _mined(dist, same & ~itself, mining)
    negative_dist = -_mined(-dist, ~same, mining)
    gap = positive_dist - negative_dist
    loss = F.softplus(gap) if margin is None else F.relu(gap + margin)

    to_find = int(same.sum(1).min()) - 1
    nearest = dist.detach().masked_fill(itself, torch.inf).topk(to_find, largest=False).indices
    found = same.gather(1, nearest).float()
    return Triplets(loss.mean(), found[:, 0].mean(), found.mean())


def _mined(dist: Tensor, among: Tensor, mining: str) -> Tensor:
    """One distance an anchor, from those ``among`` its row admits; "hard" is the largest."""
    if mining == "hard":
        return dist.masked_fill(~among, -torch.inf).amax(1)
    if mining == "uniform":
        weights = among / among.sum(1, keepdim=True)
    else:
        weights = dist.masked_fill(~among, -torch.inf).softmax(1)
    return (dist * weights).sum(1)


def class_loss(logits: Sequence[Tensor], labels: Tensor, smoothing: float) -> Tensor:
    """Cross entropy, summed over the parts of the network; ``smoothing`` goes to the wrong labels."""
    return torch.stack([F.cross_entropy(wide(part), labels, label_smoothing=smoothing) for part in logits]).sum()
