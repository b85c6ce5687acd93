"""Stage 2 in five steps: file lists, detection, merging, selection with alignment, embedding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from castsearch import stagefiles
from castsearch.faces.packs import FacePack, Faces
from castsearch.faces.portraits import detect_portrait
from castsearch.faces.selection import select_candidate, select_portrait
from castsearch.images import ImageReader
from castsearch.progress import Progress, silent
from castsearch.stagefiles import Item, Resumable, StageFileError, atomic_write, last_change

LIST_LENGTH = 10_000  # lines of one file list: some hours of detection on a CPU
TOGETHER = 16  # pictures that are searched before their results are kept; those of one size share a run

Movies = Mapping[str, Mapping[str, Sequence[Item]]]


# ---------------------------------------------------------------------------- lists


def write_lists(folder: Path, movies: Movies, mode: str) -> list[Path]:
    """Write ``{mode}_cast.txt`` and ``{mode}_candidates_{i}.txt``: paths below BODY, a line each.

    Lists that an earlier, larger split left in the folder are removed.
    """
    cast = [f"{mode}/{item['file']}" for movie in movies.values() for item in movie["cast"]]
    candidates = [f"{mode}/{item['file']}" for movie in movies.values() for item in movie["candidates"]]
    lists = {folder / f"{mode}_cast.txt": cast}
    for number, start in enumerate(range(0, len(candidates), LIST_LENGTH)):
        lists[folder / f"{mode}_candidates_{number}.txt"] = candidates[start : start + LIST_LENGTH]
    for path, lines in lists.items():
        with atomic_write(path) as file:
            file.writelines(f"{line}\n".encode() for line in lines)
    for path in folder.glob(f"{mode}_candidates_*.txt"):
        if path not in lists:
            path.unlink()
    return list(lists)


def read_list(path: Path) -> list[str]:
    """The paths of a file list.

    Raises:
        StageFileError: the list is missing or a path leaves its folder.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise StageFileError(f"{path}: no such file list; datalist.py writes it") from None
    except (OSError, ValueError) as error:
        raise StageFileError(f"{path}: not a file list ({error})") from None
    for number, line in enumerate(lines, start=1):
        if not line or Path(line).is_absolute() or ".." in Path(line).parts:
            raise StageFileError(f"{path}: line {number}: expected a path below the image root, found {line!r}")
    return list(dict.fromkeys(lines))


# ---------------------------------------------------------------------------- detection


def detect_files(
    files: Sequence[str],
    reader: ImageReader,
    pack: FacePack,
    target: Path,
    portraits: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Detect the faces of a list's pictures and write ``results/{list}.pkl``.

    A run that was killed goes on where it was; pictures that changed since are done again.

    Args:
        files: paths below ``reader.root``.
        reader: opens them; its bad pictures count as faceless.
        pack: detector.
        target: the result file.
        portraits: the pictures are portraits, where a face is certain to be: look harder.
        progress: is given the files that are left to do.

    Returns:
        The content of the file: ``{path: {"file", "faces" (n, 5), "landmarks" (n, 5, 2)}}``.
    """
    results = Resumable(target, dict(pack.metadata()), files, lambda file: last_change(reader.root / file))
    pictures = reader.read_ahead(progress(results.todo, total=len(results.todo), unit="picture"))
    while chunk := list(islice(pictures, TOGETHER)):
        readable = [image for file, image in chunk if file not in reader.bad]
        found = iter([detect_portrait(pack, image) for image in readable] if portraits else pack.detect_many(readable))
        for file, _ in chunk:
            bad = reader.bad.get(file)
            results.add(file, _entry(file, next(found) if bad is None else Faces.none()), bad)
    results.finish()
    return results.content


def _entry(file: str, faces: Faces) -> dict[str, Any]:
    boxes = np.column_stack([faces.boxes, faces.scores]).astype(np.float32)
    return {"file": file, "faces": boxes, "landmarks": faces.landmarks.astype(np.float32)}


# ---------------------------------------------------------------------------- merging


def merge_results(movies: Movies, mode: str, folders: Sequence[Path]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Gather the results of all lists of a split into what ``retina_{mode}.pkl`` holds.

    Where several files hold a picture, the newest counts.

    Returns:
        The content, and the pack's metadata (empty for results of the original).

    Raises:
        StageFileError: a picture has no result, or the newest results come from different packs.
    """
    paths = sorted((path for folder in folders for path in folder.glob(f"{mode}_*.pkl")), key=last_change)
    results = {key: (path, entry) for path in paths for key, entry in stagefiles.read(path).items()}
    used: set[Path] = set()

    def merged(movie: str, item: Item) -> Item:
        key = f"{mode}/{item['file']}"
        if key not in results:
            raise StageFileError(
                f"{' or '.join(map(str, folders))}: movie {movie}: no detection of {key} in {len(paths)} files "
                f"{mode}_*.pkl; run datalist.py, and deploy.py for every list"
            )
        path, entry = results[key]
        used.add(path)
        return item | _columns(path, key, entry)

    content = {
        movie: {group: [merged(movie, item) for item in items] for group, items in groups.items()}
        for movie, groups in movies.items()
    }
    return content, _common_metadata(sorted(used))


def _common_metadata(paths: Sequence[Path]) -> dict[str, Any]:
    packs = [stagefiles.read_metadata(path) for path in paths]
    for pack in packs:
        pack.pop("bad", None)
    other = next((path for path, pack in zip(paths, packs, strict=True) if pack != packs[0]), None)
    if other:
        raise StageFileError(
            f"{other}: made with another face pack or other settings than {paths[0]}; run deploy.py again for one"
        )
    return packs[0] if packs else {}


def _columns(path: Path, key: str, entry: Any) -> dict[str, np.ndarray | None]:
    """One result as the columns of ``retina_{mode}.pkl``."""
    faces: Any
    landmarks: Any
    faces, landmarks = (
        (entry.get(field) for field in ("faces", "landmarks")) if isinstance(entry, dict) else (None, None)
    )
    if faces is None or len(faces) == 0:
        return {"faces": None, "landmarks": None, "scores": None}
    n = len(faces)
    if np.shape(faces) != (n, 5) or (landmarks is not None and np.shape(landmarks) != (n, 5, 2)):
        raise StageFileError(
            f"{path}: {key}: expected faces (n, 5) and landmarks (n, 5, 2), got {np.shape(faces)} and "
            f"{np.shape(landmarks)}; run deploy.py again"
        )
    return {
        "faces": np.asarray(faces)[:, :4],
        "scores": np.asarray(faces)[:, 4],
        "landmarks": None if landmarks is None else np.asarray(landmarks).transpose(0, 2, 1).reshape(n, 10),
    }


# ---------------------------------------------------------------------------- alignment


def align_movie(
    movie: Mapping[str, Sequence[Item]], reader: ImageReader, pack: FacePack, limits: bool = True
) -> np.ndarray:
    """Select and align the face of every portrait and candidate of a movie.

    Args:
        movie: of ``retina_{mode}.pkl``.
        reader: opens the items' files.
        pack: alignment.
        limits: see ``select_candidate``.

    Returns:
        (casts + candidates, 3, chip_size, chip_size) uint8 RGB.
    """
    groups = [(item, group == "cast") for group in ("cast", "candidates") for item in movie[group]]
    chips = np.empty((len(groups), 3, pack.chip_size, pack.chip_size), dtype=np.uint8)
    pictures = reader.read_ahead(item["file"] for item, _ in groups)
    for chip, (item, portrait), (_, image) in zip(chips, groups, pictures, strict=True):
        box, landmarks = _selected(item, image.shape[1::-1], portrait, limits)
        chip[:] = pack.align(image, box, landmarks)
    return chips


def _selected(
    item: Item, size: Sequence[int], portrait: bool, limits: bool
) -> tuple[np.ndarray | None, np.ndarray | None]:
    if item["faces"] is None:
        return None, None
    boxes, scores, size = item["faces"], item["scores"], (size[0], size[1])
    index = select_portrait(boxes, scores, size) if portrait else select_candidate(boxes, scores, size, limits)
    if index is None:
        return None, None
    return boxes[index], None if item["landmarks"] is None else item["landmarks"][index].reshape(2, 5).T


class Chips:
    """The aligned faces of a split: a folder with a file a movie, or one file for all.

    Args:
        path: ``{mode}_img``; the single file has the same name and ends in ``.pkl``. Where both
            are there, the newer one is read.
    """

    def __init__(self, path: Path) -> None:
        self.folder = path
        self.single = path.with_name(f"{path.name}.pkl")
        times = {p: last_change(p) for p in (self.folder, self.single) if p.exists()}
        if not times:
            raise StageFileError(f"{self.folder}: no such folder, nor {self.single.name}; run face_det.py first")
        self._whole = stagefiles.read(self.single) if max(times, key=lambda p: times[p]) == self.single else None

    def file(self, movie: str) -> Path:
        """The file in which the movie's chips lie."""
        return self.folder / f"{movie}.pkl" if self._whole is None else self.single

    def read(self, movie: str, rows: int, size: int) -> np.ndarray:
        """The chips of a movie, (rows, 3, size, size) uint8.

        Raises:
            StageFileError: they are missing or of another shape.
        """
        chips: Any = (stagefiles.read(self.file(movie)) if self._whole is None else self._whole).get(movie)
        expected = (rows, 3, size, size)
        if np.shape(chips) != expected or chips.dtype != np.uint8:
            raise StageFileError(
                f"{self.file(movie)}: movie {movie}: expected chips {expected} of uint8, got {np.shape(chips)}; "
                "it belongs to another split or face pack, run face_det.py again"
            )
        return chips


# ---------------------------------------------------------------------------- embedding


def embed_split(
    movies: Movies, chips: Chips, pack: FacePack, target: Path, batch: int, progress: Progress = silent
) -> dict[str, np.ndarray]:
    """Embed every chip of a split and write ``face_{mode}.pkl``: ``{movie: (casts + candidates, d) float32}``.

    A run that was killed goes on with the movie where it was.
    """
    metadata = dict(pack.metadata())
    results = Resumable(target, metadata, list(movies), lambda movie: last_change(chips.file(movie)))
    rows = {movie: sum(len(items) for items in movies[movie].values()) for movie in results.todo}

    def batches() -> Iterator[tuple[str, int, np.ndarray]]:
        for movie, n in rows.items():
            faces = chips.read(movie, n, pack.chip_size)
            for start in range(0, n, batch):
                yield movie, n, faces[start : start + batch]

    parts: list[np.ndarray] = []
    for movie in [movie for movie, n in rows.items() if n == 0]:
        results.add(movie, np.zeros((0, 0), dtype=np.float32))
    total = sum(-(-n // batch) for n in rows.values())
    for movie, n, part in progress(batches(), total=total, unit="batch"):
        parts.append(pack.embed(part))
        if sum(map(len, parts)) == n:
            results.add(movie, np.concatenate(parts).astype(np.float32))
            parts = []
    results.finish()
    return results.content
