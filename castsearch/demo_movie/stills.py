"""The demo's movie: shots rendered from a cast photograph and a portrait, with true person boxes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from castsearch.annotations import OTHERS
from castsearch.demo_movie.people import CAST, GROUP, PEOPLE, SINGLE, package_picture
from castsearch.stagefiles import atomic_write

FRAME_SIZE = (960, 540)  # pixels, width and height
QUALITY = 90


def render_split(out: Path, mode: str, movie: str, n_frames: int, seed: Sequence[int]) -> int:
    """Render one split of one movie in the challenge's layout.

    Args:
        out: receives ``origin/{mode}/``, ``{mode}.json`` and, unless it is the test split, ``{mode}_label.json``.
        mode: split.
        movie: its name.
        n_frames: how many to render.
        seed: same seed, same pictures.

    Returns:
        The number of person boxes.
    """
    rng = np.random.default_rng(seed)
    pictures = {source: Image.fromarray(package_picture(*source)) for source in (GROUP, SINGLE)}
    origin = out / "origin" / mode
    cast = []
    for person in CAST:
        img = f"{movie}/cast/{person.label}.jpg"
        _save(origin / img, relit(pictures[person.source].crop(person.portrait), rng))
        cast.append({"id": f"{movie}_{person.label}", "img": img, "label": person.label})
    cast_labels = {person.label for person in CAST}
    candidates: list[dict] = []
    for number in range(1, n_frames + 1):
        img = f"{movie}/candidates/shot{number:04d}img0.jpg"
        frame, boxes = _shot(pictures, rng)
        _save(origin / img, frame)
        for label, bbox in boxes:
            entry = {"id": f"{movie}_{len(candidates):04d}", "img": img, "bbox": bbox}
            if mode != "test":
                entry["label"] = label if label in cast_labels else OTHERS
            candidates.append(entry)
    _save_json(out / f"{mode}.json", {movie: {"cast": cast, "candidates": candidates}})
    if mode != "test":
        labels = {c["id"]: [b["id"] for b in candidates if b["label"] == c["label"]] for c in cast}
        _save_json(out / f"{mode}_label.json", labels)
    return len(candidates)


def _shot(pictures: dict, rng: np.random.Generator) -> tuple[Image.Image, list[tuple[str, list[int]]]]:
    """One frame and its boxes (label, x y w h): one to six people side by side before the blurred room."""
    width, height = FRAME_SIZE
    frame = ImageOps.fit(pictures[GROUP], FRAME_SIZE, centering=tuple(rng.random(2))).filter(
        ImageFilter.GaussianBlur(25)
    )
    people = [PEOPLE[i] for i in rng.permutation(len(PEOPLE))[: rng.integers(1, 7)]]
    column = width / len(people)
    boxes = []
    for place, person in enumerate(people):
        body = relit(pictures[person.source].crop(person.body), rng)
        if rng.random() < 0.5:
            body = ImageOps.mirror(body)
        # A little wider than the column: neighbours in a crowd cover each other's edge.
        size = min(1.15 * column / body.width, height / body.height) * rng.uniform(0.75, 1.0)
        body = body.resize((round(body.width * size), round(body.height * size)), Image.Resampling.LANCZOS)
        if rng.random() < 0.15:
            _cover(body, rng)
        x = int(np.clip(column * (place + 0.5) - body.width / 2 + rng.normal(0, 8), 0, width - body.width))
        y = int(rng.uniform(0.3, 1.0) * (height - body.height))
        frame.paste(body, (x, y))
        boxes.append((person.label, [x, y, body.width, body.height]))
    if rng.random() < 0.25:
        frame = frame.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 1.5)))
    return frame, boxes


def relit(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The picture in other light, brighter or darker by up to 30 %."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(rng.uniform(0.7, 1.3))
    return image


def _cover(image: Image.Image, rng: np.random.Generator) -> None:
    """Something dark before the upper part, where the face is: only the body is left to go by."""
    top, colour = rng.uniform(0, 0.1) * image.height, tuple(int(v) for v in rng.integers(20, 80, 3))
    ImageDraw.Draw(image).rectangle((0, top, image.width, top + image.height * rng.uniform(0.4, 0.55)), fill=colour)


def _save(path: Path, image: Image.Image) -> None:
    with atomic_write(path, sync=False, unless_same=True) as file:
        image.save(file, format="JPEG", quality=QUALITY)


def _save_json(path: Path, content: dict) -> None:
    with atomic_write(path) as file:
        file.write((json.dumps(content, indent=1) + "\n").encode())
