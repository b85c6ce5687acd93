"""The light parts of the library stay light."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "cv2", "dlib", "onnx", "onnxruntime", "insightface", "skimage", "sklearn", "PIL")


@pytest.mark.parametrize("module", ["castsearch.ranking", "castsearch.metrics", "castsearch.annotations"])
def test_imports_without_pictures_and_networks(module):
    code = f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r})); import {module}"
    subprocess.run([sys.executable, "-c", code], check=True)
