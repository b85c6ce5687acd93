"""Settings that no run can have are refused where they are made; no message names a flag."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

import castsearch.bodies
from castsearch.bodies.backbones import BodyModelError
from castsearch.bodies.settings import Settings, SettingsError, fastest_precision


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": "osnet"}, "network is osnet; it must be one of triplet, mgn"),
        ({"mining": "easy"}, "mining is easy; it must be one of uniform, hard, adaptive"),
        ({"metric": "manhattan"}, "metric is manhattan; it must be one of euclidean, sqeuclidean, cosine"),
        ({"precision": "float16"}, "precision is float16; it must be one of float32, mixed, float64"),
        ({"last_stride": 3}, "last_stride is 3; it must be one of 1, 2"),
        ({"height": 0}, "height is 0; it must be a number from 1"),
        ({"width": -4}, "width is -4; it must be a number from 1"),
        ({"lr": -0.1}, "lr is -0.1; it must be a number from 0"),
        ({"lr": math.nan}, "lr is nan; it must be a number from 0"),
        ({"weight_decay": math.inf}, "weight_decay is inf; it must be a number from 0"),
        ({"warmup": -1}, "warmup is -1; it must be a number from 0"),
        ({"lr_decay_epoch": 0}, "lr_decay_epoch is 0; it must be a number from 1"),
        ({"gamma": -1}, "gamma is -1; it must be a number from 0"),
        ({"seed": -1}, "seed is -1; it must be a number from 0"),
        ({"label_smoothing": 1.1}, "label_smoothing is 1.1; it must be a number from 0 to 1"),
        ({"color_jitter": -0.1}, "color_jitter is -0.1; it must be a number from 0 to 1"),
        ({"margin": math.nan}, "margin is nan; it must be a number, or None for the soft one"),
        (
            {"batch_size": 1},
            "batches of 1 identities x 4 pictures hold no triplet; batch_size and image_num must be at",
        ),
        (
            {"image_num": 1},
            "batches of 18 identities x 1 pictures hold no triplet; batch_size and image_num must be at",
        ),
    ],
)
def test_refused(change: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}"):
        Settings(**{"network": "triplet", "cnn": "resnet50", **change})


def test_an_unknown_backbone_is_refused() -> None:
    with pytest.raises(BodyModelError, match="no backbone 'vgg'"):
        Settings("triplet", "vgg")


def test_the_ends_of_the_ranges_are_allowed() -> None:
    Settings(
        *("mgn", "tiny", 1, 1, 2, 2, 2, "hard", -0.5, "cosine"),
        **{"lr": 0, "weight_decay": 0, "lr_decay_epoch": 1, "gamma": 0, "label_smoothing": 1, "color_jitter": 1},
    )


def test_precision_by_device() -> None:
    assert (fastest_precision("cuda"), fastest_precision("cpu")) == ("mixed", "float32")


def test_the_library_names_no_flag() -> None:
    for path in Path(castsearch.bodies.__file__).parent.glob("*.py"):
        code = re.sub(r"#.*", "", path.read_text())
        assert not re.search(r"--\w", code), path.name
