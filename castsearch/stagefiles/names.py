"""Names of the stage files, and who writes them."""

from __future__ import annotations

import re

MODES = ("train", "val", "test")


def body_name(mode: str) -> str:
    """File name of stage 1's list of crops."""
    return f"body_{mode}.pkl"


def retina_name(mode: str) -> str:
    """File name of the merged face detections."""
    return f"retina_{mode}.pkl"


def face_name(mode: str) -> str:
    """File name of the face embeddings."""
    return f"face_{mode}.pkl"


def reid_name(network: str, cnn: str, mode: str) -> str:
    """File name of body features.

    Args:
        network: ``triplet`` or ``mgn``; ``onnx`` for a network of another maker.
        cnn: the backbone, or that network's name; some file systems know no colon in it.
        mode: the split.

    >>> reid_name("triplet", "timm:resnet18", "val")
    'triplet_timm_resnet18_val.pkl'
    """
    return f"{network}_{cnn.replace(':', '_')}_{mode}.pkl"


# Which script writes a stage file, by the first word of its name.
WRITERS = {
    "body": "crop_body.py",
    "retina": "RetinaFace/merge.py",
    "face": "RetinaFace/face_feat.py",
    "triplet": "reid/triplet.py --eval",
    "mgn": "reid/mgn.py --eval",
    "onnx": "reid/extract.py",
}


def stage_of(name: str) -> str | None:
    """The stage whose file bears that name, by its first word; None for the name of any other file.

    >>> stage_of("face_val.pkl"), stage_of("triplet_resnet50_val.pkl"), stage_of("val_cast.pkl")
    ('face', 'triplet', None)
    """
    found = re.fullmatch(rf"({'|'.join(WRITERS)})_(?:.+_)?(?:{'|'.join(MODES)})\.pkl", name)
    return found and found[1]
