"""Text and JSON as people have them."""

from __future__ import annotations

import gzip
import os
import pickle
import threading

import pytest

from castsearch.errors import CastSearchError
from castsearch.textfiles import read_json, read_text


class Mistake(CastSearchError):
    pass


@pytest.fixture
def text(tmp_path):
    def read(data: bytes) -> str:
        (tmp_path / "t.txt").write_bytes(data)
        return read_text(tmp_path / "t.txt", Mistake)

    return read


def told(read, *args) -> str:
    with pytest.raises(Mistake) as error:
        read(*args)
    message = str(error.value)
    assert message.isprintable() and len(message) < 500
    return message.partition(": ")[2]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", ""),
        (b"\xef\xbb\xbf", ""),
        (b"\xef\xbb\xbfa\nb", "a\nb"),
        (b"a\r\nb\r\n", "a\nb\n"),
        (b"a\rb\r", "a\nb\n"),
        (b"a\r\n\xef\xbb\xbfb\n", "a\nb\n"),
        (b"\xef\xbb\xbf\xef\xbb\xbfa", "a"),
        ("a\u2028b\ufeff".encode(), "a\u2028b\ufeff"),
        (b"abcdef\x00", "abcdef\x00"),
    ],
)
def test_marks_and_line_ends(text, data, expected):
    assert text(data) == expected


@pytest.mark.parametrize(
    ("data", "kind", "mend"),
    [
        ("é\n".encode("utf-16"), "UTF-16 text", "save it as text in UTF-8"),
        ("é\n".encode("utf-32"), "UTF-32 text", "save it as text in UTF-8"),
        (b"\xfe\xff" + "é".encode("utf-16-be"), "UTF-16 text", "save it as text in UTF-8"),
        (b"\0\0\xfe\xff" + "é".encode("utf-32-be"), "UTF-32 text", "save it as text in UTF-8"),
        ("abcdef\n".encode("utf-16-le"), "UTF-16 or UTF-32 text, or no text", "save it as text in UTF-8"),
        (gzip.compress(b"{}", mtime=0), "packed by gzip", "unpack it"),
        (b"PK\x03\x04\x14", "a zip archive, as Excel's .xlsx is too", "unpack it, or save it as text in UTF-8"),
        (b"\xff\xd8\xff\xe0", "a picture", "name another file"),
        (pickle.dumps({}, 4), "a pickle", "name another file"),
    ],
)
def test_what_is_no_plain_text_is_told_by_what_it_seems_to_be(text, data, kind, mend):
    assert told(text, data) == f"seems to be {kind}, where plain text was expected; {mend}"


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_another_encoding_is_told_with_its_line(text, end):
    for before in (b"abc" + end + b"d", b"abc" + end):
        assert told(text, before + b"\xe9" + end) == (
            "line 2: the byte 0xe9 is not UTF-8, but may be Latin-1 or another encoding; save it as text in UTF-8"
        )


def test_files_that_cannot_be_read(tmp_path):
    assert told(read_text, tmp_path / "t.txt", Mistake, "write it") == "no such file; write it"
    assert told(read_text, tmp_path, Mistake) == "is a folder, where a file was expected; name the file"
    os.mkfifo(tmp_path / "pipe")
    assert told(read_text, tmp_path / "pipe", Mistake).startswith("is a pipe or a device")
    assert told(read_text, "/dev/zero", Mistake).startswith("is a pipe or a device")


def test_a_pipe_of_the_shell_is_read():
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as file:
        threading.Thread(target=lambda: (file.write(b"a\r\nb"), file.close())).start()
        assert read_text(f"/dev/fd/{reading}", Mistake) == "a\nb"
    os.close(reading)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; JSON was expected"),
        (" \n", "is empty; JSON was expected"),
        ("[1]", "expected a JSON object, keyed by name, found a list"),
        ("null", "expected a JSON object, keyed by name, found null"),
        ("3.5", "expected a JSON object, keyed by name, found a number"),
        ('{"a": [1,\n],}', "not valid JSON: line 2, column 1: Expecting value; there is a comma too many"),
        ('{"a": 1,\n}', "; there is a comma too many"),
        ('{"a": [1,' + " " * 99 + "]}", "there is a comma too many"),
        ('{"a": 1,, "b": 2}', "there is a comma too many"),
        ('{"a": 1 // one\n}', "line 1, column 9: Expecting ',' delimiter; JSON has no comments"),
        ("# one\n{}", "line 1, column 1: Expecting value; JSON has no comments"),
        ("{'a': 1}", "JSON has double quotes"),
        ('{"a": 1', "line 1, column 8: Expecting ',' delimiter; it ends too early"),
        ('{"a": 1}}', "line 1, column 9: Extra data"),
        ('{"a":' * 100_000, "nested too deep to be one of this project's files"),
        ('{"a": ' + "9" * 10_000 + "}", "a number of thousands of digits stands in it"),
        ('{"a": "' + "x" * 10**6, "Unterminated string starting at"),
        ('{"tt1": 1, "tt1": 2}', "tt1 stands twice in one object; rename or remove one of them"),
        ('{"id": "p1", "bbox": 1, "bbox": 2}', "bbox stands twice in the object with id p1; rename or remove"),
        ('{"' + "a" * 10**6 + '": 1, "' + "a" * 10**6 + '": 2}', "stands twice in one object"),
    ],
)  # fmt: skip
def test_refuses_json(tmp_path, content, message):
    # Some parsers name what is wrong in words of their own.
    (tmp_path / "t.json").write_text(content)
    found = told(read_json, tmp_path / "t.json", Mistake)
    assert message in found or ("trailing comma" in found and "comma too many" in message)


def test_no_cause_is_told_that_is_none(tmp_path):
    (tmp_path / "t.json").write_text('{"a": }')
    assert told(read_json, tmp_path / "t.json", Mistake) == "not valid JSON: line 1, column 7: Expecting value"


def test_reads_json(tmp_path):
    (tmp_path / "t.json").write_bytes(b'\xef\xbb\xbf{"\xc3\xa9": [1,\r\n2.5, null]}\r')
    assert read_json(tmp_path / "t.json", Mistake) == {"é": [1, 2.5, None]}
    (tmp_path / "t.json").write_text(json_of := '{"a": "' + "x" * 10**7 + '"}')
    assert len(read_json(tmp_path / "t.json", Mistake)["a"]) == len(json_of) - 9
