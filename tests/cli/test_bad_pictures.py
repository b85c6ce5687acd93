"""Pictures as people have them, and folders as people name them, through crop_body.py, deploy.py and demo.py."""

from __future__ import annotations

import json
import os
import struct
import zlib
from importlib.util import find_spec
from pathlib import Path
from unicodedata import normalize

import cv2
import numpy as np
import pytest
from PIL import Image

from castsearch.stagefiles import MoviePictures, Picture, Split, write_body
from tests.cli.table import Case, check

ROOT = Path(__file__).resolve().parents[2]
FRAME, OTHER = "tt1/candidates/a.jpg", "tt1/candidates/b.jpg"
CROP = "crop_body.py --origin {tmp}/origin --body {tmp}/body --mode val --data {tmp}"
DEMO = "demo.py --movcast c0 --data {tmp} --submission {tmp}/result.txt --out {tmp}/demo.jpg"
NOISE = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
BOX = [10, 20, 50, 60]


def save(path: Path, array: np.ndarray = NOISE) -> Path:
    """A picture of 8 bits or more, by the ending of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if array.dtype == np.uint8:
        Image.fromarray(array).save(path)
    else:
        assert cv2.imwrite(str(path), array)
    return path


def split(folder: Path, frame: str = FRAME, boxes: tuple[list[int], ...] = (BOX,)) -> Path:
    """``val.json`` of a portrait, a frame that is called ``frame`` and another; the pictures but ``frame`` itself."""
    candidates = [{"id": f"c{n}", "img": frame, "bbox": list(box), "label": "nm1"} for n, box in enumerate(boxes)]
    candidates.append({"id": "d", "img": OTHER, "bbox": BOX, "label": "others"})
    cast = [{"id": "p", "img": "tt1/cast/p.jpg", "label": "nm1"}]
    (folder / "val.json").write_text(json.dumps({"tt1": {"cast": cast, "candidates": candidates}}))
    save(folder / "origin/val/tt1/cast/p.jpg")
    save(folder / "origin/val" / OTHER)
    return folder / "origin/val" / frame


def framed(boxes: tuple[list[int], ...] = (BOX,), size: tuple[int, int] = (120, 160)):
    """Such a split, its frame whole."""
    return lambda folder: save(split(folder, boxes=boxes), NOISE[: size[0], : size[1]])


def holding(name: str, content: bytes):
    """Such a split with a frame of these bytes."""

    def prepare(folder: Path) -> None:
        path = split(folder, f"tt1/candidates/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return prepare


def showing(name: str, array: np.ndarray):
    """Such a split with a frame of these samples."""
    return lambda folder: save(split(folder, f"tt1/candidates/{name}"), array)


def shortened(name: str, share: float = 0.6):
    """Such a split with a frame of which the end is missing."""

    def prepare(folder: Path) -> None:
        path = save(split(folder, f"tt1/candidates/{name}"))
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    return prepare


def sideways(folder: Path) -> None:
    """A frame that EXIF turns, beside a resolution of 0/0."""
    tags = b"".join(struct.pack("<HHII", *tag) for tag in [(0x0112, 3, 1, 6), (0x011A, 5, 1, 38)])
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + tags + struct.pack("<III", 0, 0, 0)
    path = split(folder, boxes=([60, 100, 50, 60],))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(NOISE).save(path, exif=exif)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int) -> bytes:
    """A PNG of a line or so that declares this size."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def large(folder: Path) -> None:
    path = split(folder, "tt1/candidates/a.png", boxes=([10_900, 8_900, 50, 60],))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (11_000, 9_000)).save(path, compress_level=1)


def deep_portrait(folder: Path) -> None:
    """Under a name that tells of another kind, as happens."""
    framed()(folder)
    save(folder / "p.png", (RAMP * 65535).astype(np.uint16)).rename(folder / "origin/val/tt1/cast/p.jpg")


def without_portraits(folder: Path) -> None:
    framed()(folder)
    (folder / "origin/val/tt1/cast/p.jpg").write_text("no picture")


def without_frames(folder: Path) -> None:
    split(folder)
    (folder / "origin/val" / OTHER).unlink()


def named(in_json: str, on_disk: str):
    """A frame that has another name on disk."""

    def prepare(folder: Path) -> None:
        save(split(folder, f"tt1/candidates/{in_json}").with_name(on_disk))

    return prepare


def piped(folder: Path) -> None:
    path = split(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)


def blocked(*blocks: str):
    """A split whose results have no place: each of ``blocks`` is a file, or with a slash at its end a folder."""

    def prepare(folder: Path) -> None:
        framed()(folder)
        for block in blocks:
            path = folder / block
            path.parent.mkdir(parents=True, exist_ok=True)
            if block.endswith("/"):
                (path / "x").mkdir(parents=True)
            else:
                path.write_text("mine")

    return prepare


CRUDE = "samples of 0 to"
CROPPED = {"writes": ("body/*", "body_val.pkl*"), "leaves": ("body_val.pkl",)}
STOPPED = {"writes": ("body/*",)}
RAMP = np.linspace(0, 1, 120 * 160 * 3).reshape(120, 160, 3)
SCALED = [
    ("16-bit grey PNG", "a.png", (RAMP[..., 0] * 65535).astype(np.uint16), f"{CRUDE} 65535 became 0 to 255"),
    ("12-bit colour PNG", "a.png", (RAMP * 4095).astype(np.uint16), f"{CRUDE} 4095 became 0 to 255"),
    ("16-bit colour TIFF", "a.tif", (RAMP * 65535).astype(np.uint16), f"{CRUDE} 65535 became 0 to 255"),
    ("float grey TIFF", "a.tif", RAMP[..., 0].astype(np.float32), f"{CRUDE} 1 became 0 to 255"),
    ("float colour TIFF", "a.tif", (RAMP - 0.25).astype(np.float32), "samples of -0.25 to 0.75 became 0 to 255"),
]
UNREADABLE = [
    ("JPEG cut short", shortened("a.jpg"), "a.jpg: cannot be read (image file is truncated"),
    ("WebP cut short", shortened("a.webp"), "a.webp: cannot be read ("),
    ("AVIF cut short", shortened("a.avif"), "a.avif: cannot be read ("),
    ("16-bit PNG cut short", shortened("a.png"), "a.png: cannot be read ("),
    ("text", holding("a.jpg", b"no picture"), "a.jpg: cannot be read (no picture of a kind that is known)"),
    (
        "floats that are not finite",
        showing("a.tif", np.full((9, 9), np.nan, np.float32)),
        "samples that are not finite",
    ),
    ("bomb", holding("a.png", png_of(30_000, 30_000)), "900000000 pixels, where at most 202 million are read"),
    ("pipe", piped, "a.jpg: is no file but a device or a pipe"),
    ("another Unicode form", named("é.jpg", normalize("NFD", "é.jpg")), "no such file, but there is"),
    ("upper case", named("a.jpg", "A.JPG"), "a.jpg: no such file, but there is {tmp}/origin/val/tt1/candidates/A.JPG"),
    ("another extension", named("a.jpg", "a.png"), "a.png; write it as it is there"),
]
CASES = [
    *(Case(what, showing(name, array), CROP, (words, "scaled 1 picture:", f"candidates/{name}"), 0, **CROPPED)
      for what, name, array, words in SCALED),
    *(Case(what, prepare, CROP, (words, "--skip_bad"), 2, **STOPPED)
      for what, prepare, words in UNREADABLE),
    *(Case(f"{what}, passed over", prepare, f"{CROP} --skip_bad", ("went on without 1 bad picture:", words), 0,
           **CROPPED) for what, prepare, words in UNREADABLE),
    Case("odd EXIF tag", sideways, CROP, ("1 portraits, 2 crops",), 0, **CROPPED, silent_on=("scaled", "past")),
    Case("large photo", large, CROP, ("2 crops",), 0, **CROPPED, silent_on=("scaled", "past", "attack")),
    Case("boxes past the edge", framed(([-5, 0, 20, 20], BOX, BOX)), CROP,
         ("1 of 4 boxes reach past the edge", "movie tt1, candidate c0: bbox [-5, 0, 20, 20] in a frame of 160 x 120"),
         0, **CROPPED, silent_on=("x1 y1 x2 y2",)),
    Case("corners for sizes", framed(([50, 40, 150, 110], [90, 10, 130, 100], [5, 5, 40, 90])), CROP,
         ("2 of 4 boxes reach past the edge", "they look like x1 y1 x2 y2, and a bbox is x y w h"), 0, **CROPPED),
    Case("small boxes past the edge", framed(([150, 0, 20, 20], [155, 5, 20, 20], BOX)), CROP,
         ("2 of 4 boxes reach past the edge",), 0, **CROPPED, silent_on=("x1 y1 x2 y2",)),
    Case("16-bit portrait", deep_portrait, CROP,
         (f"scaled 1 picture:\n  {CRUDE} 65535 became 0 to 255: tt1/cast/p.jpg",), 0, **CROPPED),
    Case("no portrait left", without_portraits, f"{CROP} --skip_bad",
         ("none of the 1 portraits can be used", "p.jpg: cannot be read"), silent_on=("--skip_bad",)),
    Case("no candidate left", without_frames, f"{CROP} --skip_bad",
         ("none of the 2 candidates can be used", "a.jpg: no such file"), **STOPPED, silent_on=("--skip_bad",)),
    Case("quality 0", framed(), f"{CROP} --quality 0", ("--quality must be 1 to 95",)),
    Case("quality 96", framed(), f"{CROP} --quality 96", ("--quality must be 1 to 95",)),
    Case("a crop's name too long", lambda folder: split(folder, f"{'x' * 245}.jpg"), CROP,
         ("movie tt1, candidate 0 (c0)", "more than the 255 bytes that file systems take")),
    Case("the split's own folder", framed(), CROP.replace("/origin", "/origin/val"),
         ("{tmp}/origin/val/val: no such folder; give the folder above, --origin {tmp}/origin",)),
    Case("no such folder", framed(), CROP.replace("/origin", "/frames"),
         ("{tmp}/frames/val: no such folder; check --origin",)),
    Case("a folder in another case", framed(), CROP.replace("/origin", "/Origin"), ("but there is {tmp}/origin/val",)),
    Case("the crops' folder is a file", blocked("body/val"), CROP, ("{tmp}/body/val: is a file, where a folder",)),
    Case("the result is a folder", blocked("body_val.pkl/"), CROP, ("{tmp}/body_val.pkl: is a folder",)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_crop_body(case, script, tmp_path):
    check(case, script, tmp_path)


@pytest.mark.skipif(find_spec("pillow_heif") is not None, reason="HEIC is read here")
def test_heic_names_what_reads_it(script, tmp_path):
    words = "a.heic: is a HEIC picture; pip install pillow-heif"
    prepare = holding("a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    check(Case("HEIC", prepare, CROP, (words,), **STOPPED), script, tmp_path)


def test_a_scaled_frame_gives_crops_of_the_same_look(script, tmp_path):
    check(CASES[2], script, tmp_path)
    crop = np.asarray(Image.open(tmp_path / "body/val/tt1/candidates/a_10_20_50_60.jpg")).astype(int)
    expected = (RAMP * 255)[20:80, 10:60, ::-1]
    assert np.abs(crop - expected).mean() < 3


def test_a_turned_frame_is_cut_upright(script, tmp_path):
    sideways(tmp_path)
    script(*CROP.replace("{tmp}", str(tmp_path)).split())
    crop = np.asarray(Image.open(tmp_path / "body/val/tt1/candidates/a_60_100_50_60.jpg"))
    assert crop.shape == (60, 50, 3)


# ---------------------------------------------------------------------------- later scripts


def slivers(folder: Path) -> None:
    """A list of slivers, and a pack of checkpoints."""
    testdata = Path(os.environ.get("CASTSEARCH_TESTDATA", ROOT.parent / "shared"))
    if not (testdata / "models").is_dir():
        pytest.skip(f"no weights at {testdata}")
    shapes = [(2, 300), (700, 4), (2, 3000), (1, 1), (1, 5000)]
    files = [f"val/{height}x{width}.png" for height, width in shapes]
    for file, (height, width) in zip(files, shapes, strict=True):
        save(folder / "body" / file, np.full((height, width, 3), 90, np.uint8))
    save(folder / "body/val/deep.png", (RAMP * 65535).astype(np.uint16))
    (folder / "val_0.txt").write_text("".join(f"{file}\n" for file in [*files, "val/deep.png"]))
    for name in ("retinaface_mnet25", "mobilefacenet_y1"):
        for file in (testdata / "models" / name).iterdir():
            copy = folder / "pack" / name / file.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())


def ranked(folder: Path) -> None:
    """What demo.py needs, and a letter that no font has."""
    pictures = tuple(Picture(id, f"{n}.jpg") for n, id in enumerate(["c0", "b\U0010fffd"]))
    for picture in pictures:
        save(folder / "body/val" / picture.file)
    write_body(folder / "body_val.pkl", Split([MoviePictures("tt1", pictures[:1], pictures[1:])]))
    (folder / "result.txt").write_text("c0 b\U0010fffd\n")
    (folder / "folder.jpg/x").mkdir(parents=True)


DEPLOY = "RetinaFace/deploy.py --txt_file {tmp}/val_0.txt --pkl_file {tmp}/out.pkl --image_root {tmp}/body --gpu -1"
LATER = [
    Case("slivers", slivers, f"{DEPLOY} --model {{tmp}}/pack",
         ("6 pictures, 0 with a face", f"scaled 1 picture:\n  {CRUDE} 65535 became 0 to 255: val/deep.png"), 0,
         writes=("out.pkl*", "pack/*"), leaves=("out.pkl",)),
    Case("a letter that no font has", ranked, f"{DEMO} --image_root {{tmp}}/body",
         ("no font here has the letters \U0010fffd", "{tmp}/demo.jpg"), 0, writes=("demo.jpg",), leaves=("demo.jpg",)),
    Case("the split's folder of crops", ranked, f"{DEMO} --image_root {{tmp}}/body/val",
         ("{tmp}/body/val/val: no such folder; give the folder above, --image_root {tmp}/body",)),
    Case("the picture is a folder", ranked, DEMO.replace("demo.jpg", "folder.jpg"), ("{tmp}/folder.jpg: is a folder",)),
]  # fmt: skip


@pytest.mark.parametrize("case", LATER, ids=str)
def test_later_scripts(case, script, tmp_path):
    check(case, script, tmp_path)
