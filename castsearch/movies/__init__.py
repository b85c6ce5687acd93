"""Own footage: a film and some portraits in, who appears when out.

``find_cast(video, portraits)`` does it all; ``open_footage``, ``survey``, ``scan`` and ``name_tracks`` are its steps.
"""

import importlib
from typing import Any

_HOMES = {
    "Appearance": "appearances",
    "FilmCast": "appearances",
    "Stretch": "times",
    "find_cast": "finding",
    "look_through": "finding",
    "name_people": "finding",
    "name_tracks": "naming",
    "open_footage": "opening",
    "open_models": "models",
    "read_appearances": "formats",
    "read_portraits": "portraits",
    "scan": "scan",
    "survey": "survey",
    "write_formats": "formats",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Import on demand: networks and codecs take a while to load."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
