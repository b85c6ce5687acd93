"""The triplet loss against the original's values, and against a loop."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from castsearch.bodies.losses import METRICS, MINING, class_loss, pairwise_dist, triplet_loss


def test_values_of_the_original(testdata: Path) -> None:
    expected = json.loads((testdata / "golden/reid/triplet_expected.json").read_text())
    inputs = np.load(testdata / "golden/reid/triplet_inputs.npz")
    assert len(expected) == 54
    for case in expected:
        embeddings, labels = (torch.from_numpy(inputs[f"{name}{case['seed']}"]) for name in ("emb", "lab"))
        margin = None if case["margin"] == "soft" else case["margin"]
        found = triplet_loss(embeddings, labels, case["mode"], margin, case["metric"])
        # The file has six decimals; its largest values of about 34 have float32's seven digits.
        assert float(found.loss) == pytest.approx(case["loss"], abs=1e-5), case
        assert float(found.top1) == pytest.approx(case["top1"], abs=1e-6), case


def by_hand(dist: np.ndarray, labels: list[int], mining: str, margin: float | None) -> float:
    """The definition, one anchor after the other."""
    terms = []
    for anchor, label in enumerate(labels):
        positive = np.array([dist[anchor, i] for i in range(len(labels)) if labels[i] == label and i != anchor])
        negative = np.array([dist[anchor, i] for i in range(len(labels)) if labels[i] != label])
        if mining == "hard":
            gap = positive.max() - negative.min()
        elif mining == "uniform":
            gap = positive.mean() - negative.mean()
        else:
            near, far = np.exp(positive - positive.max()), np.exp(negative.min() - negative)
            gap = (positive * near).sum() / near.sum() - (negative * far).sum() / far.sum()
        terms.append(np.logaddexp(0, gap) if margin is None else max(gap + margin, 0))
    return float(np.mean(terms))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    counts=st.lists(st.integers(2, 4), min_size=2, max_size=4),
    mining=st.sampled_from(MINING),
    metric=st.sampled_from(METRICS),
    margin=st.sampled_from([None, 0.0, 0.3]),
)
def test_every_anchor_counts(seed: int, counts: list[int], mining: str, metric: str, margin: float | None) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(range(len(counts)), counts)).tolist()
    embeddings = torch.randn(len(labels), 5, generator=torch.Generator().manual_seed(seed))
    found = triplet_loss(embeddings, torch.tensor(labels), mining, margin, metric)
    dist = pairwise_dist(embeddings, metric).double().numpy()
    assert float(found.loss) == pytest.approx(by_hand(dist, labels, mining, margin), abs=1e-4)


def test_precision_counts_as_many_neighbours_as_there_are_to_find() -> None:
    line = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0], [2.4]])
    found = triplet_loss(line, torch.tensor([0, 0, 0, 1, 1, 1]), "hard", None, "euclidean")
    # Nearest two of each: 0: 1 2 | 1: 0 2 | 2: 5 1 | 10: 11 5 | 11: 10 5 | 2.4: 2 1.
    assert float(found.top1) == pytest.approx(4 / 6)
    assert float(found.precision) == pytest.approx((2 + 2 + 1 + 2 + 2 + 0) / 12)


def test_small_distances_between_large_embeddings_are_exact() -> None:
    """A matrix product would lose them: 1000 squared leaves float32 no digit for 0.001."""
    embeddings = torch.tensor([[1000.0, 0.0], [1000.0, 0.001], [1000.0, 0.003]]).repeat(20, 1)
    assert pairwise_dist(embeddings, "euclidean")[0, :3].tolist() == pytest.approx([0, 0.001, 0.003])
    assert pairwise_dist(embeddings, "sqeuclidean")[0, :3].tolist() == pytest.approx([0, 1e-6, 9e-6])


def test_equal_pictures_keep_the_gradient_finite() -> None:
    embeddings = torch.ones(4, 3, requires_grad=True)
    triplet_loss(embeddings, torch.tensor([0, 0, 1, 1]), "adaptive", None, "euclidean").loss.backward()
    assert embeddings.grad is not None and torch.isfinite(embeddings.grad).all()


def test_cross_entropy_sums_over_the_parts() -> None:
    logits = torch.tensor([[2.0, 0.0]])
    assert float(class_loss([logits, logits], torch.tensor([0]), 0.0)) == pytest.approx(2 * math.log(1 + math.exp(-2)))


def test_smoothing_gives_part_of_the_weight_to_all_labels() -> None:
    logits, labels = torch.tensor([[2.0, 0.0, -1.0], [0.5, 1.5, 0.0]]), torch.tensor([0, 2])
    log = np.log(np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True))
    terms = [0.7 * row[label] + 0.3 * row.mean() for row, label in zip(log, labels, strict=True)]
    assert float(class_loss([logits], labels, 0.3)) == pytest.approx(-np.mean(terms))


def test_what_comes_out_of_mixed_precision_is_widened_before_it_is_subtracted() -> None:
    """In bfloat16 the distance of 1 and 1.01 would be 1/128, and logits would lose as much."""
    embeddings = torch.tensor([[256.0], [258.0], [260.0], [262.0]], dtype=torch.bfloat16)
    found = pairwise_dist(embeddings, "euclidean")
    assert found.dtype == torch.float32 and found[0].tolist() == [0, 2, 4, 6]
    assert class_loss([embeddings.T.repeat(4, 1)], torch.arange(4), 0.0).dtype == torch.float32
    assert pairwise_dist(embeddings.double(), "cosine").dtype == torch.float64
