"""What `castsearch.bodies` offers, and what importing it does not cost."""

from __future__ import annotations

import subprocess
import sys

import pytest

from castsearch import bodies


def test_everything_on_offer_is_there() -> None:
    for name, home in bodies._HOMES.items():
        assert getattr(bodies, name).__module__ == f"castsearch.bodies.{home}"
    with pytest.raises(AttributeError, match=r"module 'castsearch\.bodies' has no attribute 'detect'"):
        bodies.detect  # noqa: B018


def test_scoring_needs_no_networks() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'torchvision', 'onnxruntime', 'PIL', 'scipy')))\n"
        "import castsearch.bodies.scoring"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
