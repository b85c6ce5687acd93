"""Which face packs there are: from a name or a folder to a pack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from castsearch.faces.packs import FacePack, PackError


def open_pack(name: str, gpu: int | None = None, scales: Sequence[int] | None = None, flip: bool = False) -> FacePack:
    """The pack of that name; its networks load when they are first used.

    Args:
        name: ``r50-r100``, ``dlib``, an InsightFace pack, or a folder.
        gpu: number of the GPU, -1 for the CPU, None for a GPU if there is one.
        scales: sides in pixels at which pictures are searched, None for the pack's own.
        flip: search the mirrored picture too.

    Raises:
        PackError: the pack is unknown, incomplete, or cannot do what is asked.
    """
    # Each kind of pack brings libraries that take a while to load: only the one asked for is imported.
    if name == "dlib":
        from castsearch.faces.dlib_pack import DlibPack

        if scales or flip or (gpu is not None and gpu >= 0):
            raise PackError("the pack dlib runs on the CPU at its own scales; leave --gpu, --scales and --flip out")
        return DlibPack()
    from castsearch.faces import folder_pack

    if name == folder_pack.ORIGINAL:
        return folder_pack.open_original(gpu, scales, flip)
    if name in folder_pack.INSIGHTFACE_PACKS:
        return folder_pack.open_insightface(name, gpu, scales, flip)
    if Path(name).is_dir():
        return folder_pack.open_folder(Path(name), name, gpu, scales, flip)
    known = ", ".join(("dlib", folder_pack.ORIGINAL, *folder_pack.INSIGHTFACE_PACKS))
    raise PackError(f"{name}: no such face pack; choose one of {known}, or name a folder of networks")
