"""Model packs for faces: one name selects detector, alignment and embedder together.

A pack detects (picture -> boxes, scores, landmarks), aligns (picture, box, landmarks -> chip) and
embeds (chips -> vectors). Each pack aligns by the meaning of its own landmarks and to the chip size
that its embedder was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from castsearch.faces.catalogue import DLIB
from castsearch.faces.errors import PackError
from castsearch.faces.search import DEFAULT_SEARCH, SCRFD_SIDES, SearchSettings
from castsearch.networks.network import Ran
from castsearch.stagefiles import RAN, Faces, Run

if TYPE_CHECKING:
    from castsearch.faces.calibration import CalibrationSet
    from castsearch.networks.int8 import Agreement

Task = Literal["detector", "embedder"]  # what a network is for, and the word of metadata for which one it was


class FacePack(Protocol):
    """What every pack offers. Networks load at the first use of the method that needs them.

    Attributes:
        name: as the user wrote it.
        chip_size: side of an aligned face in pixels.
        licence: the terms of the weights, in one line.
        device: where the networks are to run, in words for the user.
        search: how ``detect`` searches.
        misses_close_ups: it sees no face that fills its picture.
    """

    name: str
    chip_size: int
    licence: str
    device: str
    search: SearchSettings
    misses_close_ups: bool

    def detect(self, image: np.ndarray) -> Faces:
        """Find the faces of a picture, (h, w, 3) uint8 RGB, best first."""

    def detect_many(self, images: Sequence[np.ndarray]) -> list[Faces]:
        """Find the faces of several pictures, which may share runs of the network."""

    def glimpse(self, image: np.ndarray) -> Faces:
        """Find what may be a face of a picture, (h, w, 3) uint8 RGB, unsure ones too: where to look again.

        Only packs that miss close-ups are asked.
        """

    def align(self, image: np.ndarray, box: np.ndarray | None, landmarks: np.ndarray | None) -> np.ndarray:
        """Cut one face out upright.

        Args:
            image: (h, w, 3) uint8 RGB.
            box: (4,) x1 y1 x2 y2, or None where no face was found.
            landmarks: (5, 2) x y, or None.

        Returns:
            (3, chip_size, chip_size) uint8 RGB.
        """

    def embed(self, chips: np.ndarray) -> np.ndarray:
        """Embed chips, (n, 3, chip_size, chip_size) uint8 RGB, into (n, d) float32, not normalised."""

    def try_embedder(self) -> None:
        """Embed one chip, so that a broken embedder is found before a day of detection, not after it.

        Raises:
            PackError: it is broken.
        """

    def calibrate(self, task: Task, given: CalibrationSet) -> Agreement:
        """Make a network ready for int8, before its first use.

        Returns:
            Its agreement with itself in float32.
        """

    def ran(self, task: Task) -> Ran | None:
        """What runs a network where; None before its first use."""

    def identity(self, task: Task) -> Mapping[str, Any]:
        """What makes two networks one, as JSON has it: ``sha256`` of its files, ``versions`` of the libraries.

        Detections and chips depend on the detector alone, features on the embedder and the chips.
        """


SEARCH = "search"  # under which metadata tell how the pack searched
BOTH = "face_pack"  # under which earlier versions of this project told of both networks as one
FRAMES, CLOSE_UPS = "frames", "close_ups"  # under which metadata tell how candidates were searched, where they were so
ABOUT_DETECTION = ("detector", SEARCH, FRAMES, CLOSE_UPS, "model", "licence", RAN)  # how faces were found


def notes(pack: FacePack) -> dict[str, str]:
    """What else metadata tell of a pack, and results do not depend on."""
    return {"model": pack.name, "licence": pack.licence}


def running(pack: FacePack, task: Task) -> Run | None:
    """What runs one of a pack's networks, as metadata tell of it; None before its first use."""
    ran = pack.ran(task)
    return None if ran is None else ran.words()


def in_todays_words(recorded: Mapping[str, Any], pack: FacePack, task: Task) -> dict[str, Any]:
    """Metadata of an earlier version in today's words.

    It told of both networks as one, of the device that was asked for, and of no sides where SCRFD searched at its own.
    """
    told = {field: value for field, value in recorded.items() if field != "device"}
    if told.get(SEARCH) == DEFAULT_SEARCH.metadata() and pack.search.scales is not None:
        told[SEARCH] = SearchSettings(SCRFD_SIDES).metadata()
    both = told.pop(BOTH, None)
    if isinstance(both, Mapping):
        mine = pack.identity(task)
        parts = {part: both[part] if isinstance(both.get(part), Mapping) else {} for part in mine}
        told[task] = {part: {name: parts[part][name] for name in mine[part] if name in parts[part]} for part in mine}
    return told


def check_same_detector(recorded: Mapping[str, Any], pack: FacePack, source: object) -> None:
    """Make sure that an earlier step used the same detector.

    Files of the original record nothing, and are taken as made by any RetinaFace or SCRFD, whose landmarks are the same
    points; dlib's are others.

    Args:
        recorded: metadata of the earlier step.
        pack: the one at hand.
        source: the earlier step's file, for the message.

    Raises:
        PackError: it was another, has changed since, or nobody can tell.
    """
    if "detector" not in recorded and BOTH not in recorded:
        if pack.name == DLIB:
            raise PackError(
                f"{source}: nothing beside it tells that {DLIB} made it, whose landmarks are other points than other "
                "detectors'; run the step that writes it again, or choose the pack that made it"
            )
        return
    made_with, model = in_todays_words(recorded, pack, "detector").get("detector"), recorded.get("model")
    digests = made_with.get("sha256") if isinstance(made_with, Mapping) else None
    old, new = digests if isinstance(digests, Mapping) else {}, pack.identity("detector")["sha256"]
    if sorted(map(str, old.values())) == sorted(new.values()):
        return
    again = "run deploy.py for every list again, then merge.py and face_det.py"
    if model == pack.name:
        changed = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        raise PackError(f"{source}: the detector of {pack.name} has changed since ({', '.join(changed)}); {again}")
    whose = f"the face pack {model}" if isinstance(model, str) else "another face pack"
    raise PackError(
        f"{source}: made with {whose}, which has another detector than {pack.name}; choose that, or {again} with "
        f"{pack.name}"
    )
