"""Searching whole frames: each once, its faces given to the persons whose boxes lie on it.

The crops of a frame show parts of it several times over: on the 2019 validation split the detector sees 0.254
terapixels of crops and 0.152 of frames. And no face counts for two people.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from castsearch.annotations import box_of_crop
from castsearch.errors import CastSearchError
from castsearch.faces.detection import Detections, open_results, parts_to_search, search
from castsearch.faces.packs import FRAMES, FacePack
from castsearch.faces.selection import admitted
from castsearch.identifiers import shown
from castsearch.images import ImageReader, check_pictures, declared_size, reading_factor
from castsearch.progress import Progress, silent
from castsearch.stagefiles import Faces, detection_entry, read_detection_entries

Box = tuple[int, int, int, int]  # x, y, w, h in pixels of the frame

# Where a person's face lies in their box, and how large it is: the centre's distance from the left in widths and from
# above in shorter sides, the logarithm of the face's width in shorter sides. Means and deviations over 74 boxes of film
# stills in which the original found a face, the latter made some three times as wide: other boxes are drawn otherwise.
TYPICAL = np.array([0.5, 0.44, np.log(0.36)])
SPREAD = np.array([0.15, 0.25, 0.6])
LEAST = 1e-6  # likelihood of a face in the box, however far from the typical
OUTSIDE_LIMITS = 1e-9  # factor of those that selection will not take, which makes them less than any that it may


class FrameError(CastSearchError):
    """Crops whose frames nobody can tell."""


class Crop(NamedTuple):
    """A crop of a list: its path, and its box on the frame."""

    file: str
    box: Box


def detect_in_frames(
    files: Sequence[str],
    reader: ImageReader,
    pack: FacePack,
    target: Path,
    progress: Progress = silent,
    overwrite: bool = False,
) -> Detections:
    """Detect the faces of a list's crops in the frames that they are cut from, and write ``results/{list}.pkl``.

    What is written is what ``detect_files`` writes, in coordinates of the crops; the crops themselves are not read.

    Args:
        files: paths of the crops, ``{mode}/.../{frame}_x_y_w_h.jpg``.
        reader: opens frames, ``{mode}/.../{frame}.*`` below its root, with all their pixels; the crops of its bad
            frames count as faceless.
        pack: detector.
        target: the result file.
        progress: is given the frames that are left to do, as they are done.
        overwrite: do all frames anew.

    Returns:
        The faces of each crop, as they were written, and no doubts.

    Raises:
        FrameError: a path tells no box, or fits two frames.
        NoPicturesError: the frames lie below another folder, or none of them can be read.
        PackError: a network of the pack is broken.
    """
    crops = crops_of_frames(files, reader.root)
    check_pictures(reader.root, list(crops), reader.skip_bad)
    sources = {crop.file: reader.root / frame for frame, members in crops.items() for crop in members}
    # All boxes of a frame share its faces: with other boxes they are shared out anew.
    boxes = {crop.file: str(sorted(other.box for other in members)) for members in crops.values() for crop in members}
    results = open_results(
        target, files, sources, reader.root, pack, overwrite=overwrite, detail=boxes.__getitem__, **{FRAMES: True}
    )
    # With all of them: those too that a killed run had done, so that all shares are of one search.
    todo = set(results.todo)
    frames = [frame for frame, members in crops.items() if not todo.isdisjoint(crop.file for crop in members)]
    parts = parts_to_search(list(crops), frames, reader, pack)
    for found in progress(search(parts, reader, pack), total=sum(map(len, parts)), unit="frame"):
        members = crops[found.file]
        shares = share_out(found.faces, [crop.box for crop in members], found.size)
        for crop, faces in zip(members, shares, strict=True):
            results.add(crop.file, detection_entry(crop.file, faces), found.bad)
    reader.sort_account(crops)
    results.finish()
    return Detections(read_detection_entries({file: results.content[file] for file in files}, target), {})


def crops_of_frames(files: Sequence[str], root: Path) -> dict[str, list[Crop]]:
    """The crops of each frame.

    Args:
        files: paths of the crops.
        root: folder of the frames.

    Returns:
        By the frame's path below ``root``, in the order of the first crops; a frame that is not there by the name that
        it should have.

    Raises:
        FrameError: a path tells no box, or fits two frames.
    """

    @cache
    def names(folder: str) -> dict[str, list[str]]:
        found = defaultdict(list)
        path = root / folder
        for name in sorted(entry.name for entry in path.iterdir()) if path.is_dir() else ():
            found[PurePosixPath(name).stem].append(name)
        return found

    @cache
    def frame(stem: str) -> str:
        folder, _, name = stem.rpartition("/")
        found = names(folder).get(name, [])
        if len(found) > 1:  # notes may lie beside it; if it is damaged, reading will say so
            found = [name for name in found if declared_size(root / folder / name) is not None] or found[:1]
        if len(found) > 1:
            raise FrameError(
                f"{root / folder}: {' and '.join(found)} may both be the frame of the crops {name}_x_y_w_h.jpg; "
                "move the other one away, or search the crops"
            )
        return f"{folder}/{found[0] if found else f'{name}.jpg'}"

    crops: dict[str, list[Crop]] = {}
    for file in files:
        told = box_of_crop(file)
        if told is None:
            raise FrameError(
                f"{shown(file)}: its name does not end in the _x_y_w_h of a box, so that its frame is not known; "
                "search the crops of this list"
            )
        crops.setdefault(frame(told[0]), []).append(Crop(file, told[1]))
    return crops


def share_out(faces: Faces, boxes: Sequence[Box], size: tuple[int, int]) -> list[Faces]:
    """Give the faces of a frame to the persons on it, one to one.

    Of all ways to do so the one is taken whose pairs are likeliest, added up; who has no likely face has none. Faces
    that ``selection.admitted`` refuses as a person's, as unsure for instance, are theirs where no other is.

    Args:
        faces: in pixels of the frame.
        boxes: of the persons.
        size: width and height of the frame.

    Returns:
        For each box at most one face, in pixels of its crop, which ends at the frame's edge.
    """
    crops = [_cut(box, size) for box in boxes]
    seen = [_in_crop(faces, crop) for crop in crops]
    likely = _likelihoods(faces, np.array(crops, np.float64).reshape(-1, 4))
    for row, of_crop, crop in zip(likely, seen, crops, strict=True):
        row[~admitted(of_crop, crop[2:])] *= OUTSIDE_LIMITS
    shares = [Faces.none()] * len(boxes)
    for box, face in zip(*linear_sum_assignment(likely, maximize=True), strict=True):
        if likely[box, face] > 0:
            shares[box] = _only(seen[box], face, reading_factor(crops[box][2:]))
    return shares


def _cut(box: Box, size: tuple[int, int]) -> Box:
    """The part of a box that lies in the frame, which is what its crop shows."""
    (x, y, w, h), (width, height) = box, size
    left, top = max(x, 0), max(y, 0)
    return left, top, min(x + w, width) - left, min(y + h, height) - top


def owners(faces: Faces, boxes: np.ndarray, least: float) -> list[int | None]:
    """Whose face is whose: the likeliest one-to-one pairs of persons and faces, as in ``share_out``.

    Args:
        faces: in pixels of the frame.
        boxes: (n, 4) x, y, width, height of the persons.
        least: likelihood of 0 to 1 below which a face is not the person's.

    Returns:
        For each person the index of a face, or None.
    """
    likely = _likelihoods(faces, boxes)
    faces_of: list[int | None] = [None] * len(boxes)
    for box, face in zip(*linear_sum_assignment(likely, maximize=True), strict=True):
        if likely[box, face] >= least:
            faces_of[box] = int(face)
    return faces_of


def _likelihoods(faces: Faces, crops: np.ndarray) -> np.ndarray:
    """How likely a face is that of a person, (boxes, faces) of 0 to 1; 0 where its centre lies outside the box."""
    corners, sides = crops[:, None, :2], crops[:, None, 2:]
    centres = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2 - corners
    inside = ((centres >= 0) & (centres < sides)).all(axis=2)
    sides = np.maximum(sides, 1)  # of a box outside the frame, which holds no centre
    short = sides.min(axis=2)
    widths = np.maximum(faces.boxes[:, 2] - faces.boxes[:, 0], 1)
    place = np.stack([centres[..., 0] / sides[..., 0], centres[..., 1] / short, np.log(widths / short)], axis=2)
    # Far from typical is unlikely, and not impossible: of a single person, any face in the box is.
    return inside * np.maximum(np.exp(-(((place - TYPICAL) / SPREAD) ** 2).sum(axis=2) / 2), LEAST)


def _in_crop(faces: Faces, crop: Box) -> Faces:
    """Faces in pixels of a crop; boxes are cut at its edge, landmarks are not."""
    corner = np.array(crop[:2], np.float32)
    last = np.maximum(np.array(crop[2:], np.float32) - 1, 0)
    boxes = (faces.boxes.reshape(-1, 2, 2) - corner).clip(0, last).reshape(-1, 4)
    return Faces(boxes, faces.scores, None if faces.landmarks is None else faces.landmarks - corner)


def _only(faces: Faces, face: int, factor: int) -> Faces:
    """One of a crop's faces, in the crop's pixels as they are read."""
    landmarks = None if faces.landmarks is None else faces.landmarks[[face]] / np.float32(factor)
    return Faces(faces.boxes[[face]] / np.float32(factor), faces.scores[[face]], landmarks)
