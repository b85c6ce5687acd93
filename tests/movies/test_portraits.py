"""Whom to look for: portraits in a folder."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from castsearch.faces import open_pack
from castsearch.identifiers import id_fault, movie_fault
from castsearch.movies.errors import MovieError, MovieWarning
from castsearch.movies.portraits import Cast, read_portraits, unique_words, word_of
from castsearch.stagefiles import Faces

SIDE = 200  # pixels of a portrait
FACE = [60, 40, 140, 140]
SMALL = [10, 10, 40, 40]
BESIDE = [5, 100, 85, 190]
FINDS = {40: [], 80: [FACE], 120: [FACE, SMALL], 160: [FACE, BESIDE], 200: [BESIDE, SMALL]}  # by the shade of green


class FakePack:
    """Finds the faces that a portrait's shade of green tells, and a feature that its shade of red tells."""

    name, misses_close_ups, chip_size = "fake", False, 1

    def detect(self, image: np.ndarray) -> Faces:
        boxes = np.array(FINDS.get(int(image[0, 0, 1]), []), np.float32).reshape(-1, 4)
        score = 0.5 if image[0, 0, 1] == 200 else 0.99
        return Faces(boxes, np.full(len(boxes), score, np.float32), np.zeros((len(boxes), 5, 2), np.float32))

    def align(self, image: np.ndarray, box: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        assert box.tolist() == FACE
        assert landmarks.shape == (5, 2)
        return image[:1, :1].transpose(2, 0, 1)

    def embed(self, chips: np.ndarray) -> np.ndarray:
        angle = chips[:, 0, 0, 0] * np.float32(np.pi / 180)
        return 3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def save(path: Path, degrees: int = 0, green: int = 80) -> Path:
    """A portrait with the feature of that angle; ``green`` tells the faces in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (SIDE, SIDE), (degrees, green, 0)).save(path, format="PNG")
    return path


def read(folder: Path) -> Cast:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_portraits(folder, FakePack())  # type: ignore[arg-type]


def test_files_and_folders_are_people_and_what_else_lies_there_is_passed_over(tmp_path: Path) -> None:
    save(tmp_path / "joey.png", 90)
    for number, degrees in ((1, 0), (2, 60)):
        save(tmp_path / f"Mrs. Green/{number}.png", degrees)
    for name in ("notes.TXT", ".DS_Store", "Thumbs.db", "Mrs. Green/._1.png", ".hidden/1.png", "__MACOSX/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\0")
    joey, green = read(tmp_path).people
    assert (joey.name, joey.id, joey.files) == ("joey", "joey", (tmp_path / "joey.png",))
    assert (green.name, green.id) == ("Mrs. Green", "Mrs._Green")
    assert green.files == (tmp_path / "Mrs. Green/1.png", tmp_path / "Mrs. Green/2.png")
    np.testing.assert_allclose(joey.features, [[0, 1]], atol=1e-6)
    np.testing.assert_allclose(green.features, [[1, 0], [0.5, 0.75**0.5]], atol=1e-6)
    assert green.features.dtype == np.float32


def test_a_name_is_composed_and_a_small_face_beside_is_no_doubt(tmp_path: Path) -> None:
    save(tmp_path / f"{normalize('NFD', 'Zoë')} .png", green=120)
    (person,) = read(tmp_path).people
    assert (person.name, person.id) == ("Zo\u00eb", "Zo\u00eb")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"portraits: holds no portrait; put a picture a person there"),
        ({"note.txt": None}, "holds no portrait"),
        ({"Joey/note.txt": None}, r"Joey: holds no picture; put portraits of Joey there, or remove it"),
        ({"Joey.png": 40}, r"Joey\.png: no face; take a portrait that shows one; nothing else shows Joey"),
        ({"Joey.png": 200}, r"Joey\.png: 2 faces, none sure enough; take a sharper portrait, or crop it"),
        (
            {"Joey/1.png": 80, "Joey/2.png": 160},
            r"2\.png: shows faces of like size, at 60,40 \(80 x 100 pixels\) and at 5,100 \(80 x 90 pixels\); crop it",
        ),
        ({"Joey.png": None}, r"Joey\.png: cannot be read \(no picture of a kind that is known\); replace it"),
        ({"Joey.png": 80, "Joey/1.png": 80}, r"Joey\.png: the name is that of Joey already; rename one of them"),
        ({"Joey.png": 80, "joey.webp": 80}, r"joey\.webp: the name is that of Joey\.png already"),
        ({"A.png": 80, "B/1.png": 80}, r"1\.png: is the same picture as .*A\.png; give B and A their own"),
        ({"Others.png": 80}, r"Others\.png: others is what people are called who are none of the cast; rename it"),
        ({"a\nb.png": 80}, r"a\\nb\.png': the name of a person holds a line break or another control character"),
    ],
)
def test_mistakes(tmp_path: Path, files: dict[str, int | None], message: str) -> None:
    folder = tmp_path / "portraits"
    folder.mkdir()
    for name, green in files.items():
        save(folder / name, green=green or 0)
        if green is None:
            (folder / name).write_text("no picture")
    with pytest.raises(MovieError, match=message) as caught:
        read(folder)
    assert "\n" not in str(caught.value)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(MovieError, match=r"none: no such file; name the folder of the portraits"):
        read(tmp_path / "none")
    with pytest.raises(MovieError, match=r"a\.png: is a file; name the folder of the portraits"):
        read(save(tmp_path / "a.png"))


def test_faceless_portraits_and_deeper_folders_are_left_out_with_a_warning(tmp_path: Path) -> None:
    save(tmp_path / "Joey/1.png", green=40)
    save(tmp_path / "Joey/2.png", 90)
    save(tmp_path / "Joey/old/3.png", 45)
    with pytest.warns(MovieWarning) as told:
        (joey,) = read_portraits(tmp_path, FakePack()).people  # type: ignore[arg-type]
    assert joey.files == (tmp_path / "Joey/2.png",)
    np.testing.assert_allclose(joey.features, [[0, 1]], atol=1e-6)
    lines = [str(warning.message) for warning in told]
    assert len(lines) == 2
    assert "old: lies within a person's folder and is left out" in lines[0]
    assert "1.png: no face; take a portrait that shows one; the other portraits of Joey are used" in lines[1]


@pytest.mark.parametrize(("degrees", "warned"), [(25, True), (27, False)])
def test_two_people_who_look_the_same(tmp_path: Path, degrees: int, warned: bool) -> None:
    """The cosine of 25 degrees is .906, of 27 degrees .891."""
    save(tmp_path / "A.png", 0)
    save(tmp_path / "B/1.png", 90)
    save(tmp_path / "B/2.png", degrees)
    if not warned:
        assert len(read(tmp_path).people) == 2
        return
    with pytest.warns(MovieWarning, match=r"B and A look nearly the same \(cosine 0\.91\): the same person\?"):
        read_portraits(tmp_path, FakePack())  # type: ignore[arg-type]


def test_an_embedder_that_gives_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "A.png")
    monkeypatch.setattr(FakePack, "embed", lambda self, chips: np.full((len(chips), 2), np.nan))
    with pytest.raises(MovieError, match=r"A\.png: the embedder of fake gives no features; get its files again"):
        read(tmp_path)


def test_words_serve_as_ids_and_files() -> None:
    names = ["A B", "A_B", "a, b", "..", "ü" * 100, "x/y\\z", "con:1"]
    words = unique_words(names)
    assert list(words.values())[:4] == ["A_B", "A_B-2", "a_b-3", "person"]
    assert words["x/y\\z"] == "x_y_z"
    assert len(words["ü" * 100].encode()) == 120
    assert all(id_fault(word) is None and movie_fault(word) is None for word in words.values())
    assert word_of("\ud800\n", "film") == "film"


def test_a_real_portrait(tmp_path: Path, testdata: Path) -> None:
    """The pack open tells Joey from the astronaut, and his three portraits are alike."""
    shutil.copytree(testdata / "data/clips/friends/portraits/Joey", tmp_path / "Joey", copy_function=shutil.copyfile)
    Image.fromarray(astronaut()).save(tmp_path / "Eileen.png")
    eileen, joey = read_portraits(tmp_path, open_pack("open")).people
    assert (eileen.name, joey.name, joey.features.shape) == ("Eileen", "Joey", (3, 128))
    np.testing.assert_allclose(np.linalg.norm(joey.features, axis=1), 1, rtol=1e-5)
    assert (eileen.features @ joey.features.T).max() < 0.4
    assert (joey.features @ joey.features.T).min() > 0.5
