"""Settings that no run can have are refused where they are made; no message names a flag."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

import castsearch.bodies
from castsearch.bodies.body_model import BodyModelError
from castsearch.bodies.settings import Settings, SettingsError, fastest_precision


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": "osnet"}, "network is osnet; it must be one of triplet, mgn"),
        ({"mining": "easy"}, "mining is easy; it must be one of uniform, hard, adaptive"),
        ({"metric": "manhattan"}, "metric is manhattan; it must be one of euclidean, sqeuclidean, cosine"),
        ({"precision": "float16"}, "precision is float16; it must be one of float32, mixed, float64"),
        ({"last_stride": 3}, "last_stride is 3; it must be one of 1, 2"),
        ({"height": 15}, "height is 15; it must be a whole number from 16 to 2048"),
        ({"height": 31, "network": "mgn"}, "height is 31; it must be a whole number from 32 to 2048"),
        ({"height": 63, "network": "mgn", "last_stride": 2}, "height is 63; it must be a whole number from 64 to 2048"),
        ({"height": 2049}, "height is 2049; it must be a whole number from 16 to 2048"),
        ({"width": 15}, "width is 15; it must be a whole number from 16 to 2048"),
        ({"width": 31, "last_stride": 2}, "width is 31; it must be a whole number from 32 to 2048"),
        ({"lr": -0.1}, "lr is -0.1; it must be a number from 0"),
        ({"lr": math.nan}, "lr is nan; it must be a number from 0"),
        ({"weight_decay": math.inf}, "weight_decay is inf; it must be a number from 0"),
        ({"warmup": -1}, "warmup is -1; it must be a whole number from 0 to 1000000"),
        ({"lr_decay_epoch": 0}, "lr_decay_epoch is 0; it must be a whole number from 1 to 1000000"),
        ({"gamma": -1}, "gamma is -1; it must be a number from 0 to 1"),
        ({"gamma": 1.5}, "gamma is 1.5; it must be a number from 0 to 1"),
        ({"seed": -1}, "seed is -1; it must be a whole number from 0 to 9223372036854775807"),
        ({"seed": 1 << 63}, "seed is 9223372036854775808; it must be a whole number from 0 to 9223372036854775807"),
        ({"seed": 1.0}, "seed is 1.0; it must be a whole number from 0"),
        ({"label_smoothing": 1.1}, "label_smoothing is 1.1; it must be a number from 0 to 1"),
        ({"color_jitter": -0.1}, "color_jitter is -0.1; it must be a number from 0 to 1"),
        ({"margin": math.nan}, "margin is nan; it must be a number, or None for the soft one"),
        ({"batch_size": 1}, "batch_size is 1; it must be a whole number from 2 to 10000"),
        ({"image_num": 1}, "image_num is 1; it must be a whole number from 2 to 1000"),
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
        *("mgn", "tiny", 64, 32, 2, 2, 2, "hard", -0.5, "cosine"),
        **{"lr": 0, "weight_decay": 0, "lr_decay_epoch": 1, "gamma": 0, "label_smoothing": 1, "color_jitter": 1},
    )


def test_precision_by_device() -> None:
    assert (fastest_precision("cuda"), fastest_precision("cpu")) == ("mixed", "float32")


def test_the_library_names_no_flag() -> None:
    for path in Path(castsearch.bodies.__file__).parent.glob("*.py"):
        code = re.sub(r"#.*", "", path.read_text())
        assert not re.search(r"--\w", code), path.name
