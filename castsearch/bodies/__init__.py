"""Body networks: train them, and extract features from person crops.

``open_model`` gives a model that turns pictures into features, ``open_onnx`` one of any maker, and ``extract_split``
the features of a whole split; ``open_run`` a training that can be stopped and resumed; ``scoring`` tells how well
features retrieve people.

With random weights, and two crops of any sizes:

>>> import numpy as np
>>> from castsearch import bodies
>>> from castsearch.bodies import checkpoints
>>> model = bodies.open_network(checkpoints.build("triplet", "mobilenet_v2"), height=64, width=32)
>>> crops = [np.zeros((200, 90, 3), np.uint8), np.full((120, 60, 3), 255, np.uint8)]
>>> model.extract(crops).shape
(2, 1280)

With trained ones: ``bodies.open_model("triplet", "mobilenet_v2", "results/triplet_mobilenet_v2/best.pt")``; without a
checkpoint, the backbone alone with torchvision's ImageNet weights.
"""

import importlib
from typing import Any

_HOMES = {
    "BodyModel": "body_model",
    "Extractor": "extraction",
    "Settings": "settings",
    "Trainer": "training",
    "extract_split": "extraction",
    "open_model": "models",
    "open_offline": "offline",
    "open_network": "models",
    "open_onnx": "onnx_models",
    "open_run": "training",
}


def __getattr__(name: str) -> Any:
    """Import on demand: torch takes seconds, which ``scoring`` and whoever looks around here need not spend."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
