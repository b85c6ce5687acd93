"""Captions in any script: which font draws which letters, and what is said of those that none has."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from time import process_time

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from castsearch import fonts
from castsearch.fonts import FONT_SIZE, Line, fit

WIDE = 10_000  # pixels


@pytest.fixture(autouse=True)
def forget():
    """What one test found is not there in the next."""
    fonts._fonts_with.cache_clear()
    yield
    fonts._fonts_with.cache_clear()


@pytest.fixture
def no_fonts(monkeypatch):
    monkeypatch.setattr(fonts, "_system_fonts", lambda letters: iter(()))


def drawn(line):
    sheet = Image.new("L", (round(line.width) + 20, 40), 255)
    line.draw(ImageDraw.Draw(sheet), 10, 30)
    return 255 - np.asarray(sheet)


def test_english_is_drawn_in_pillows_own(monkeypatch):
    monkeypatch.setattr(fonts, "_system_fonts", lambda letters: pytest.fail("asked for no reason"))
    line = fit("1: tt0107290_0012", WIDE)
    assert line.runs == (("1: tt0107290_0012", fonts._own(FONT_SIZE)),)
    assert line.missing == ""


def test_it_stands_where_it_is_told(no_fonts):
    ink = drawn(fit("nmmmn", WIDE))
    columns = np.flatnonzero(ink.any(axis=0))
    assert abs(columns[0] - 10) <= 2
    assert abs(columns[-1] - (ink.shape[1] - 11)) <= 2
    assert np.flatnonzero(ink.any(axis=1))[-1] == 29


def test_letters_of_any_size_and_colour(no_fonts):
    line = fit("Hxg", WIDE, 52)
    assert line.width == pytest.approx(4 * fit("Hxg", WIDE).width, rel=0.05)
    sheet = Image.new("RGB", (round(line.width) + 20, 80), "white")
    line.draw(ImageDraw.Draw(sheet), 10, line.foot(40), "#ff0000")
    assert (np.asarray(sheet)[..., 0] == 255).all()
    rows = np.flatnonzero((np.asarray(sheet)[..., 1] == 0).any(axis=1))
    assert (rows[0] + rows[-1]) / 2 == pytest.approx(40, abs=6)


def test_a_long_caption_loses_its_end(no_fonts):
    line = fit("abcdefghij" * 9, 100)
    assert 80 < line.width <= 100
    ((text, _),) = line.runs
    assert text == ("abcdefghij" * 9)[: len(text) - 1] + "…"


def test_a_caption_of_ten_thousand_letters_does_not_stall(no_fonts):
    began = process_time()
    line = fit("x" * 10_000, 100)
    assert process_time() - began < 5
    assert 93 < line.width <= 100


def test_letters_that_no_font_has_are_told_once_even_of_the_end_that_was_cut(no_fonts):
    line = fit("x" * 99 + "Ωщ Ω", 100)
    assert line.missing == "Ωщ"
    assert line.width <= 100


def test_blanks_and_joiners_are_not_missed(no_fonts):
    assert fit("a\u00a0b\u200dc", WIDE).missing == ""


class Dictionary:
    """Stands for the system: fonts by the letters that they have; each is Pillow's own, opened anew."""

    def __init__(self, monkeypatch, **letters):
        self.letters = letters
        self.opened = {name: ImageFont.load_default(FONT_SIZE) for name in letters}
        own = fonts._own(FONT_SIZE)
        monkeypatch.setattr(fonts, "_system_fonts", lambda wanted: ((name, 0) for name in letters))
        monkeypatch.setattr(ImageFont, "truetype", lambda name, size, index: self.opened[name])
        names = {id(font): name for name, font in self.opened.items()}
        monkeypatch.setattr(
            fonts, "_has", lambda font, letter: letter.isascii() if font is own else letter in letters[names[id(font)]]
        )

    def runs(self, text):
        names = {id(font): name for name, font in self.opened.items()}
        return [(run, names.get(id(font), "own")) for run, font in fit(text, WIDE).runs]


def test_one_font_for_all_comes_first(monkeypatch):
    system = Dictionary(monkeypatch, greek="αβγ", all="αβγ1: ")
    assert system.runs("1: αβ") == [("1: αβ", "all")]


def test_otherwise_each_run_has_its_own(monkeypatch):
    system = Dictionary(monkeypatch, greek="αβγ", russian="щя")
    assert system.runs("1: αβ щ_2") == [("1: ", "own"), ("αβ", "greek"), (" ", "own"), ("щ", "russian"), ("_2", "own")]


def test_a_run_that_no_font_has_whole_is_shared_among_those_that_have_its_letters(monkeypatch):
    system = Dictionary(monkeypatch, greek="αβγ", russian="щя", late="α")
    assert system.runs("1: αщ𝄞β") == [("1: ", "own"), ("α", "greek"), ("щ", "russian"), ("𝄞", "own"), ("β", "greek")]
    assert fit("1: αщ𝄞β", WIDE).missing == "𝄞"


def test_a_rank_stands_at_the_left_whichever_way_the_letters_run():
    line = fit("7 אבג", WIDE)
    ((_, font),) = line.runs if len(line.runs) == 1 else ((None, fonts._own(FONT_SIZE)),)
    if font.layout_engine != ImageFont.Layout.RAQM:
        pytest.skip("no font with Hebrew, or no raqm")
    ink, seven = drawn(line), drawn(Line((("7", font),), "", FONT_SIZE))
    at, of = (np.flatnonzero(picture.any(axis=0)) for picture in (ink, seven))
    np.testing.assert_array_equal(ink[:, at[0] : at[0] + 5], seven[:, of[0] : of[0] + 5])


def greek_font() -> Path:
    if shutil.which("fc-match") is None:
        pytest.skip("no fontconfig")
    found = subprocess.run(
        ["fc-match", "--format", "%{file}", "sans:charset=3b1"], capture_output=True, text=True, check=True
    ).stdout
    if not found or not fonts._has(ImageFont.truetype(found, FONT_SIZE), "α"):
        pytest.skip("no font with Greek")
    return Path(found)


def test_the_systems_font_draws_what_pillows_own_lacks():
    greek_font()
    assert not fonts._has(fonts._own(FONT_SIZE), "α")
    line = fit("Αλέξης", WIDE)
    assert line.missing == ""
    assert drawn(line).any()
    (_, font), *_ = line.runs
    assert font is not fonts._own(FONT_SIZE)


def test_without_fontconfig_the_usual_folders_are_searched(monkeypatch, tmp_path):
    font = greek_font()
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.ttf").write_text("no font")
    shutil.copy(font, tmp_path / "sub" / f"b{font.suffix}")

    def absent(*args, **kw):
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", absent)
    monkeypatch.setattr(fonts, "FOLDERS", (str(tmp_path), "/nowhere"))
    line = fit("α", WIDE)
    assert line.missing == ""
    assert line.runs[0][1].path == str(tmp_path / "sub" / f"b{font.suffix}")
