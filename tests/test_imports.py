"""The light parts of the library stay light."""

from __future__ import annotations

import subprocess
import sys

import grimp
import pytest

HEAVY = ("torch", "torchvision", "cv2", "dlib", "onnx", "onnxruntime", "insightface", "skimage", "sklearn", "PIL")


@pytest.mark.parametrize(
    "module", ["castsearch.ranking", "castsearch.metrics", "castsearch.annotations", "castsearch.results"]
)
def test_imports_without_pictures_and_networks(module):
    code = f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r})); import {module}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_ranking_stands_on_three_packages():
    graph = grimp.build_graph("castsearch", include_external_packages=True, cache_dir=None)
    below = graph.find_upstream_modules("castsearch.ranking", as_package=True)
    outside = {module for module in below if not module.startswith("castsearch.")} - {"castsearch"}
    assert outside - sys.stdlib_module_names == {"numpy", "scipy", "threadpoolctl"}
