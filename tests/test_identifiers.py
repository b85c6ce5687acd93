"""What words may serve as ids, movie names and paths."""

from __future__ import annotations

import pytest

from castsearch.identifiers import id_fault, mismatch, movie_fault, path_fault, shown

FAULTS = (id_fault, movie_fault, path_fault)


@pytest.mark.parametrize("word", ["tt0107290", "nm1-a.b_c", "ü☃𝄞", "a\u00adb", "a" * 200])
def test_most_words_serve_for_all(word):
    assert [fault(word) for fault in FAULTS] == [None] * 3


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("word", ["", None, 3, b"a", ["a"], float("nan")])
def test_words_are_text(fault, word):
    assert fault(word) == "is not a non-empty string"


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("character", "\0\x01\x1b\x7f\x80\x9f")
def test_control_characters(fault, character):
    assert fault(f"a{character}b") == "holds a line break or another control character"


@pytest.mark.parametrize("fault", [movie_fault, path_fault])
@pytest.mark.parametrize("character", "\n\r\t\x0b\x0c\x1c\x85\u2028\u2029")
def test_line_breaks(fault, character):
    assert fault(f"a{character}b") == "holds a line break or another control character"


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("character", "\ud800\udfff")
def test_half_characters(fault, character):
    assert fault(f"a{character}") == "holds half a character (a lone surrogate), which no file can carry"


@pytest.mark.parametrize("word", ["a,b", ",", "a b", " a", "a ", "a\n", "a\u2028b", "a\u3000b", "a\xa0b", " "])
def test_ids_stand_in_result_files(word):
    assert id_fault(word) == "holds a comma or a blank, which result files cannot carry"


@pytest.mark.parametrize("word", ["../x", "a/b", "/", "/a", ".", ".."])
def test_movies_are_file_names(word):
    assert movie_fault(word) == "holds a path, but serves as a file name"
    assert movie_fault("...") is None and movie_fault("a, b") is None


def test_movies_have_no_blank_at_the_edge():
    for word in (" a", "a ", "a\n", " "):
        assert movie_fault(word) == "begins or ends with a blank"


def test_movies_are_no_longer_than_file_names():
    assert movie_fault("a" * 201) == "is longer than the 200 bytes that a file name has room for"
    assert movie_fault("ü" * 101) is not None and movie_fault("ü" * 100) is None


@pytest.mark.parametrize("word", ["../x", "a/../b", "/etc/x", "a/..", "..\\x", "C:\\x", "c:/x", "https://x/y.jpg"])
def test_paths_stay_below(word):
    assert path_fault(word) == "must stay below its folder"


def test_paths_name_files():
    assert path_fault(".") == path_fault("./") == "names no file"
    assert path_fault("a b/c, d..jpg") is None
    assert path_fault("ab:/c: d.jpg") is path_fault("a:b\\/c.jpg") is None


def test_shown():
    assert [shown(word) for word in ("a", "ü_1-2.jpg", "../x", "a,b", "", "a b")] == [
        "a", "ü_1-2.jpg", "../x", "'a,b'", "''", "'a b'",
    ]  # fmt: skip
    assert shown("a\n\ud800") == r"'a\n\ud800'"
    assert shown("a" * 60) == "a" * 60
    assert shown("a" * 61) == repr("a" * 60 + "…")
    assert shown(None) == "a NoneType"


@pytest.mark.parametrize("unit", ["a", "ü", "☃", "𝄞"])
def test_no_word_is_longer_than_a_file_name(unit):
    longest = 255 // len(unit.encode())
    assert id_fault(unit * longest) is path_fault(f"a/{unit * longest}/b") is None
    assert id_fault(unit * (longest + 1)) == "is longer than 255 bytes"
    fault = "has a name in it of more than the 255 bytes that file systems take"
    assert path_fault(f"a/{unit * (longest + 1)}/b") == path_fault(unit * 20_000) == fault


def test_paths_have_an_end():
    assert path_fault("/".join(["a" * 99] * 30)) is None
    assert path_fault("/".join(["a" * 99] * 31)) == "is longer than 3000 bytes"


def test_backslashes_part_no_folders():
    assert path_fault("tt1\\cast\\a.jpg") == "parts its folders by backslashes; write tt1/cast/a.jpg"
    assert path_fault("cast/AC\\DC.jpg") is None


def test_faults_are_short():
    for word in ("a//" * 10**5, "a\\" * 10**5 + "b"):
        assert len(path_fault(word)) < 150


def test_the_first_pair_that_may_be_the_same_is_told():
    """The nearest form first; of several alike, the first."""
    assert mismatch(["a", "B.jpg", "b.JPG", "c"], ["x", "b.jpg"]) == ("B.jpg", "b.jpg", "upper and lower case differ")
    assert mismatch(["AME\u0301"], ["am\u00e9"])[2] == "upper and lower case differ"
    assert mismatch(["x\\a"], ["a"]) == ("x\\a", "a", "one has a path in it")
    assert mismatch(["b", "a"], ["a.b.c", "a.jpg"]) == ("a", "a.jpg", "one has a path or an extension in it")
    assert mismatch(["tt1_nm1"], ["nm1"]) == ("tt1_nm1", "nm1", "one lacks the movie before it")
    assert mismatch(["tt1_1"], ["tt2_1"]) == ("tt1_1", "tt2_1", "they seem to be of different splits")
    assert mismatch(["a"], ["b", "c"]) == ("a", "b", "they seem to be of different splits")
