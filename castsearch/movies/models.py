"""What looks at footage: detectors of persons and faces, and what tells people by their bodies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from castsearch.faces import default_pack, open_pack
from castsearch.faces.packs import FacePack
from castsearch.faces.retinaface import SCALES
from castsearch.faces.search import SearchSettings
from castsearch.movies.persons import SSDLITE, PersonDetector, open_persons
from castsearch.networks import find_place

if TYPE_CHECKING:
    from castsearch.bodies import BodyModel  # takes a while to load

# Short side in pixels at which RetinaFace searches frames. In the clips it found as many faces as at both of its own,
# 500 and 800 (121 and 120; 84 and 81), in a third less time; at 500 alone 109 and 77.
FRAME_SCALES = (640,)


@dataclass(frozen=True)
class Models:
    """What looks at pictures.

    Attributes:
        persons: finds persons.
        bodies: tells them by their clothes and build.
        faces: finds and tells faces; None to look for none.
    """

    persons: PersonDetector
    bodies: BodyModel
    faces: FacePack | None


def open_models(
    faces: str | None = None, bodies: Path | None = None, persons: str = SSDLITE, gpu: int | None = None
) -> Models:
    """What looks at pictures.

    Args:
        faces: name of a face pack; by default the best that is here.
        bodies: an ONNX file of a body model; by default what needs no download.
        persons: name of a detector of persons.
        gpu: number of the GPU, -1 for the CPU, None for a GPU if there is one.

    Raises:
        CastSearchError: one of them is not here, or cannot be used.
    """
    place = find_place(gpu)
    if bodies is None:
        # It brings torch, which takes seconds to load, and 650 MB.
        from castsearch.bodies.offline import open_offline

        model = open_offline()
    else:
        from castsearch.bodies.onnx_models import Habits as BodyHabits
        from castsearch.bodies.onnx_models import open_onnx

        model = open_onnx(bodies, place, BodyHabits(mirror=False))  # a track has many pictures; half the time
    return Models(open_persons(persons, place.gpu), model, _open_faces(faces or default_pack(), gpu))


def _open_faces(name: str, gpu: int | None) -> FacePack:
    """A face pack for frames, in which RetinaFace searches at one scale in place of two."""
    pack = open_pack(name, gpu)
    return pack if pack.search.scales != SCALES else open_pack(name, gpu, SearchSettings(FRAME_SCALES))
