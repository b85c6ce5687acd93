"""A gallery's pictures: their sizes, what a second run makes again, and whose files it leaves alone."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from castsearch.gallery import GalleryError
from castsearch.gallery.site import pictures as module
from castsearch.gallery.site.pictures import MARK, Kind, Pictures, Wanted, check_gallery
from castsearch.images import declared_size, read_image, write_jpeg


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


def source(path: Path, width: int = 400, height: int = 300, seed: int = 0) -> Path:
    write_jpeg(path, noise(width, height, seed))
    return path


def files(folder: Path) -> dict[str, int]:
    """When each of a gallery's pictures was written, in nanoseconds."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in sorted(folder.rglob("*.jpg"))}


@pytest.mark.parametrize(
    ("kind", "size", "expected"),
    [
        (Kind.THUMBNAIL, (400, 300), (160, 120)),
        (Kind.THUMBNAIL, (100, 960), (25, 240)),
        (Kind.THUMBNAIL, (30, 20), (30, 20)),
        (Kind.PORTRAIT, (640, 640), (320, 320)),
        (Kind.FRAME, (2560, 1080), (1280, 540)),
        (Kind.FRAME, (300, 2000), (192, 1280)),
    ],
)
def test_pictures_are_brought_down_to_their_kind_and_never_up(tmp_path, kind, size, expected):
    (path,) = Pictures(tmp_path / "g").write([Wanted(source(tmp_path / "a.jpg", *size), kind)])
    assert declared_size(tmp_path / "g" / path) == expected
    assert re.fullmatch(rf"{kind.value[0]}/(..)/\1[0-9a-f]{{16}}\.jpg", path)


def test_a_part_is_what_lies_in_the_box(tmp_path):
    image = np.zeros((100, 200, 3), np.uint8)
    image[20:60, 50:90] = (250, 10, 10)
    Image.fromarray(image).save(tmp_path / "a.png")
    boxes = [(50, 20, 40, 40), (0, 70, 30, 30), (-10, -10, 20, 20)]
    made = Pictures(tmp_path / "g").write([Wanted(tmp_path / "a.png", Kind.THUMBNAIL, box) for box in boxes])
    red, black, corner = (read_image(tmp_path / "g" / path) for path in made)
    assert red.shape == (40, 40, 3) and np.abs(red.astype(int) - (250, 10, 10)).max() < 12
    assert black.shape == (30, 30, 3) and black.max() < 12
    assert corner.shape == (10, 10, 3)


def test_a_sideways_picture_is_shown_upright_and_its_tags_are_left_out(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "taken at home"
    Image.fromarray(noise(80, 40)).save(tmp_path / "a.jpg", exif=exif)
    exif[0x0112] = 1
    Image.fromarray(noise(80, 40)).save(tmp_path / "b.jpg", exif=exif)
    for name, expected in (("a.jpg", (40, 80)), ("b.jpg", (80, 40))):
        (path,) = Pictures(tmp_path / "g").write([Wanted(tmp_path / name, Kind.PORTRAIT)])
        with Image.open(tmp_path / "g" / path) as shown:
            assert (shown.size, dict(shown.getexif())) == (expected, {})


def test_what_browsers_can_show_is_taken_as_it_is(tmp_path):
    (path,) = Pictures(tmp_path / "g").write([Wanted(source(tmp_path / "a.jpg"), Kind.FRAME)])
    assert (tmp_path / "g" / path).read_bytes() == (tmp_path / "a.jpg").read_bytes()
    for save in ({"format": "PNG"}, {"format": "JPEG", "mode": "CMYK"}):
        image = Image.fromarray(noise(40, 30)).convert(save.pop("mode", "RGB"))
        content = io.BytesIO()
        image.save(content, **save)
        (tmp_path / "b").write_bytes(content.getvalue())
        (path,) = Pictures(tmp_path / "g").write([Wanted(tmp_path / "b", Kind.FRAME)])
        with Image.open(tmp_path / "g" / path) as shown:
            assert (shown.format, shown.mode) == ("JPEG", "RGB")


def test_the_next_run_makes_only_what_is_new(tmp_path, monkeypatch):
    wanted = [Wanted(source(tmp_path / f"{n}.jpg", seed=n), Kind.THUMBNAIL) for n in range(5)]
    wanted += [Wanted(tmp_path / "0.jpg", Kind.FRAME), Wanted(tmp_path / "0.jpg", Kind.THUMBNAIL, (0, 0, 9, 9))]
    first = Pictures(tmp_path / "g")
    names = first.write(wanted)
    before = files(tmp_path / "g")
    assert len(set(names)) == len(before) == 7
    decoded = []
    plain = module.decode
    monkeypatch.setattr(module, "decode", lambda path, **more: decoded.append(path.name) or plain(path, **more))
    assert Pictures(tmp_path / "g").write(wanted) == names
    assert (files(tmp_path / "g"), decoded) == (before, [])

    source(tmp_path / "3.jpg", seed=9)
    (tmp_path / "g" / names[1]).unlink()
    again = Pictures(tmp_path / "g")
    changed = again.write(wanted)
    assert [one == other for one, other in zip(changed, names, strict=True)] == [True] * 3 + [False] + [True] * 3
    assert sorted(decoded) == ["1.jpg", "3.jpg"]
    assert names[3] in files(tmp_path / "g")  # pages of before show it until the new ones are written
    again.sweep()
    assert set(files(tmp_path / "g")) == set(changed)
    assert {name: at for name, at in files(tmp_path / "g").items() if name not in (names[1], changed[3])} == {
        name: at for name, at in before.items() if name not in (names[1], names[3])
    }


def test_names_do_not_tell_where_pictures_lay(tmp_path):
    for place in ("one", "other"):
        (tmp_path / place).mkdir()
        source(tmp_path / place / "a.jpg")
    one, other = (
        Pictures(tmp_path / place / "g").write([Wanted(tmp_path / place / "a.jpg", Kind.FRAME)])
        for place in ("one", "other")
    )
    assert one == other


def test_what_cannot_be_read_is_told_and_costs_nothing_else(tmp_path):
    (tmp_path / "no.jpg").write_text("no picture")
    good = source(tmp_path / "a.jpg")
    wanted = [
        *(Wanted(tmp_path / name, Kind.THUMBNAIL) for name in ("absent.jpg", "no.jpg", "a.jpg")),
        Wanted(good, Kind.THUMBNAIL, (900, 900, 5, 5)),
        Wanted(good, Kind.THUMBNAIL, (0, 0, 5, 5)),
    ]
    pictures = Pictures(tmp_path / "g")
    made = pictures.write(wanted)
    assert [path is None for path in made] == [True, True, False, True, False]
    assert sorted(line.partition(": ")[0].rpartition("/")[2] for line in pictures.bad.values()) == [
        "a.jpg",
        "absent.jpg",
        "no.jpg",
    ]
    assert any("lies outside the frame of 400 x 300" in line for line in pictures.bad.values())
    assert declared_size(tmp_path / "g" / pictures.blank()) == (80, 120)


def test_others_files_stay(tmp_path):
    pictures = Pictures(tmp_path / "g")
    (path,) = pictures.write([Wanted(source(tmp_path / "a.jpg"), Kind.FRAME)])
    svg = pictures.timeline("<svg/>")
    blank = pictures.blank()
    theirs = [
        "decisions.json",
        "holiday.jpg",
        "frames/mine.jpg",
        f"{Path(path).parent}/me.jpg",
        "photos/ab/" + "0" * 18,
    ]
    own = [f"frames/ff/{'0' * 18}.jpg", f"{Path(path).parent}/.{Path(path).name}.x1", f"timelines/00/{'1' * 18}.svg"]
    for name in theirs + own:
        (tmp_path / "g" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "g" / name).write_text("x")
    pictures.sweep()
    left = {str(file.relative_to(tmp_path / "g")) for file in (tmp_path / "g").rglob("*") if file.is_file()}
    assert left == {MARK, path, svg, blank, *theirs}
    assert not (tmp_path / "g/frames/ff").exists()


def test_a_folder_of_other_things_is_refused(tmp_path):
    (tmp_path / "site").mkdir()
    assert check_gallery(tmp_path / "site") == tmp_path / "site"
    (tmp_path / "site/index.html").write_text("mine")
    for check in (check_gallery, Pictures):
        with pytest.raises(GalleryError, match=r"site: holds other things than a gallery; name a folder of its own$"):
            check(tmp_path / "site")
    assert [path.name for path in (tmp_path / "site").iterdir()] == ["index.html"]
    Pictures(tmp_path / "g")
    (tmp_path / "g/decisions.json").write_text("{}")
    assert check_gallery(tmp_path / "g") == tmp_path / "g"
