"""Faces: found, selected, aligned and embedded by named packs of models; the five steps of stage 2.

``open_pack`` is the way in. What a pack needs (ONNX Runtime, OpenCV, dlib) loads with the pack, not before.
"""

from castsearch.faces.errors import PackError
from castsearch.faces.packs import FacePack
from castsearch.faces.registry import default_pack, open_pack
from castsearch.faces.search import SearchSettings

__all__ = ["FacePack", "PackError", "SearchSettings", "default_pack", "open_pack"]
