"""results/{list}.pkl: {path: {"file", "faces": (n, 5) x1 y1 x2 y2 score, "landmarks": (n, 5, 2)}}."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from castsearch.identifiers import path_fault, shown
from castsearch.stagefiles.content import Faces, described
from castsearch.stagefiles.errors import StageFileError, located
from castsearch.stagefiles.reading import read


def detection_entry(file: str, faces: Faces) -> dict[str, Any]:
    """What ``results/{list}.pkl`` holds for one picture.

    Args:
        file: the picture's path below BODY, the entry's key.
        faces: found in it, maybe none.
    """
    boxes = np.column_stack([faces.boxes, faces.scores]).astype(np.float32)
    landmarks = None if faces.landmarks is None else faces.landmarks.astype(np.float32)
    return {"file": file, "faces": boxes, "landmarks": landmarks}


def read_detections(path: str | os.PathLike[str]) -> dict[str, Faces]:
    """Read ``results/{list}.pkl``: the faces of each picture by its path below BODY, which starts with the mode.

    Raises:
        StageFileError: missing, damaged, hostile or of another schema; the picture is named.
    """
    return read_detection_entries(read(path), path)


def read_detection_entries(content: Mapping[str, Any], path: str | os.PathLike[str]) -> dict[str, Faces]:
    """The faces in the content of ``results/{list}.pkl``, read from ``path`` or to be written there; see
    ``read_detections``.
    """
    found = {}
    with located(path, "; run RetinaFace/deploy.py again"):
        for file, entry in content.items():
            with located(f"picture {shown(file)}"):
                if (fault := path_fault(file)) is not None:
                    raise StageFileError(f"its path {fault}")
                found[file] = _faces(entry)
    return found


def _faces(entry: object) -> Faces:
    if not isinstance(entry, dict) or not {"faces", "landmarks"} <= entry.keys():
        raise StageFileError("expected a dict of 'faces' and 'landmarks'")
    rows, landmarks = entry["faces"], entry["landmarks"]
    if rows is None or (isinstance(rows, np.ndarray) and rows.shape[:1] == (0,)):
        return Faces.none()
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != 5:
        raise StageFileError(f"faces must be (n, 5) numbers, got {described(rows)}")
    return Faces(rows[:, :4], rows[:, 4], landmarks)
