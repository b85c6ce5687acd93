"""Paths that lead nowhere."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from unicodedata import normalize

import pytest

from castsearch.paths import NoPlainFileError, look_alike, misplaced, open_plain, unreadable

NFC, NFD = normalize("NFC", "Amélie"), normalize("NFD", "Amélie")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (f"tt1/cast/{NFC}.jpg", "tt1/cast/B.JPG", "tt1/cast/c.png", "tt1/val.json", "val/x.txt", "b_v.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return tmp_path


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        (f"tt1/cast/{NFD}.jpg", f"tt1/cast/{NFC}.jpg"),
        (f"TT1/Cast/{NFD.upper()}.JPG", f"tt1/cast/{NFC}.jpg"),
        ("tt1/cast/b.jpg", "tt1/cast/B.JPG"),
        ("tt1/cast/c.jpg", "tt1/cast/c.png"),
        ("tt1/cast/b.jpeg", "tt1/cast/B.JPG"),
        ("tt1/cast/c.JPG", "tt1/cast/c.png"),
        ("tt1\\cast\\c.png", "tt1/cast/c.png"),
        ("tt1\\CAST\\c.tif", "tt1/cast/c.png"),
        ("tt1/cast/c.png ", "tt1/cast/c.png"),
        ("tt1/cast/c.png", None),
        ("tt1/cast/d.png", None),
        ("tt2/cast/c.png", None),
        ("tt1/val.jpg", None),
        ("val.json", None),  # the folder val is no file of another extension
        ("b_v.pkl", None),  # metadata are no stage file
        ("tt1/cast/c.txt", None),
        ("tt1/cast/c.png/d.png", None),
    ],
)
def test_look_alike(folder, monkeypatch, asked, meant):
    assert look_alike(folder / asked) == (None if meant is None else folder / meant)
    monkeypatch.chdir(folder)
    assert look_alike(Path(asked)) == (None if meant is None else Path(meant))


def test_a_name_with_a_backslash_that_is_there(folder):
    (folder / "AC\\DC.jpg").write_text("x")
    assert look_alike(folder / "AC\\DC.jpg") is None


def test_a_folder_that_changed_is_looked_at_again(folder):
    assert look_alike(folder / "val/NEW.jpg") is None
    (folder / "val/new.jpg").write_text("x")
    os.utime(folder / "val", ns=(1, 1))
    assert look_alike(folder / "val/NEW.jpg") == folder / "val/new.jpg"


def of(path: Path, mend: str = "run it again") -> str:
    with pytest.raises(OSError) as error:
        open_plain(path)
    return unreadable(path, error.value, mend).removeprefix(f"{path}: ")


def test_what_is_said(folder):
    assert of(folder / "a.pkl") == "no such file; run it again"
    assert of(folder / "a.pkl", "") == "no such file"
    assert of(folder / "tt1/cast/b.jpg") == (
        f"no such file, but there is {folder}/tt1/cast/B.JPG; write it as it is there"
    )
    assert of(folder / "tt1") == "is a folder, where a file was expected; name the file"
    assert (
        of(folder / "tt1/val.json/x")
        == f"{folder}/tt1/val.json is a file, where a folder was expected; name the folder"
    )
    (folder / "link").symlink_to("nowhere")
    assert of(folder / "link") == "is a link that leads nowhere; run it again"
    (folder / "circle").symlink_to("circle")
    assert of(folder / "circle") == "is a link that leads in a circle; name another file"
    assert unreadable("a", PermissionError(), "") == "a: may not be read; ask for the permission"
    assert unreadable("a", OSError()) == "a: cannot be read (OSError); check the name and the disk"


def test_pipes_and_devices_keep_nobody_waiting(folder):
    os.mkfifo(folder / "pipe")
    for path in (folder / "pipe", Path("/dev/zero")):
        assert of(path) == "is a pipe or a device, where a file was expected; write its content to a file first"
        with pytest.raises(NoPlainFileError):
            open_plain(path)


def test_a_path_of_any_length_is_one_line():
    error = OSError(errno.ENAMETOOLONG, "File name too long")
    told = unreadable("a" * 20_000 + "z", error)
    assert told.startswith("a" * 150 + "…aaa") and told.endswith(
        "az: cannot be read (File name too long); check the name and the disk"
    )
    assert len(told) < 400
    assert look_alike(Path("a" * 20_000)) is None


def test_a_folder_too_deep_or_too_high(folder, monkeypatch):
    (folder / "BODY/val/tt1").mkdir(parents=True)
    (folder / "BODY/val/tt1/a.jpg").write_text("x")
    file, body = "val/tt1/a.jpg", folder / "BODY"
    assert misplaced(body, file) is None
    assert misplaced(body / "val", file) == misplaced(body / "val/tt1", file) == misplaced(folder, file) == body
    assert misplaced(folder / "BODY/nowhere", file) == body
    (folder / "val/tt1").mkdir()
    (folder / "val/tt1/a.jpg").write_text("x")
    assert misplaced(body, file) is None, "there is one below the folder above, too"
    (folder / "val/tt1/a.jpg").unlink()
    assert misplaced(folder / "tt1", file) is misplaced(folder, "val/tt1/b.jpg") is None
    monkeypatch.chdir(body / "val")
    assert misplaced(".", file) == misplaced("tt1", file) == body
