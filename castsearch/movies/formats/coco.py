"""COCO JSON: the boxes with their names, for CVAT, Label Studio and whoever trains on them.

The format: https://cocodataset.org/#format-data. Only pictures that were kept can be told, by their paths.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from castsearch.movies.appearances import FilmCast
from castsearch.stagefiles import atomic_write


def write_coco(casts: Sequence[FilmCast], path: Path) -> None:
    """Write the boxes of all films, a category a person; one box a person and picture.

    Raises:
        StageFileError: there is no writing there.
    """
    with atomic_write(path) as file:
        file.write(json.dumps(coco(casts), ensure_ascii=False).encode(errors="replace"))


def coco(casts: Sequence[FilmCast]) -> dict[str, list[dict[str, Any]]]:
    """The boxes as COCO's tables: ``images``, ``annotations`` and ``categories``, ids from 1."""
    names = dict.fromkeys(name for cast in casts for name in cast.people)
    numbers = {name: number for number, name in enumerate(names, start=1)}
    images: dict[str, dict[str, Any]] = {}
    annotations: list[dict[str, Any]] = []
    for cast in casts:
        width, height = cast.film.size
        for one in cast.appearances:
            for box in one.boxes:
                if box.frame is None:
                    continue
                about = {"file_name": box.frame, "width": width, "height": height, "seconds": round(box.seconds, 6)}
                image = images.setdefault(box.frame, {"id": len(images) + 1, **about})
                attributes = {"probability": round(one.probability, 5), "found_by": box.found_by, "shot": one.shot}
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image["id"],
                        "category_id": numbers[one.cast],
                        "bbox": list(box.bbox),
                        "area": box.bbox[2] * box.bbox[3],
                        "iscrowd": 0,
                        "segmentation": [],
                        "attributes": attributes,
                    }
                )
    categories = [{"id": number, "name": name, "supercategory": "person"} for name, number in numbers.items()]
    return {"images": list(images.values()), "annotations": annotations, "categories": categories}
