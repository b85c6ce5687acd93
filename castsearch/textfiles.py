"""Text and JSON as people have them: with a byte-order mark, with the line ends of any system; and what else a file is.

Text is UTF-8. What is not is told by what it seems to be, so that people know how to save it.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from castsearch.errors import CastSearchError
from castsearch.identifiers import shown
from castsearch.paths import open_plain, unreadable

_SAVE, _UNPACK, _ANOTHER = "save it as text in UTF-8", "unpack it", "name another file"
# What a file begins with, what it is then, and the mend; the longer marks first.
_MARKS = (
    (b"\xff\xfe\0\0", "UTF-32 text", _SAVE),
    (b"\0\0\xfe\xff", "UTF-32 text", _SAVE),
    (b"\xff\xfe", "UTF-16 text", _SAVE),
    (b"\xfe\xff", "UTF-16 text", _SAVE),
    (b"\x1f\x8b", "packed by gzip", _UNPACK),
    (b"BZh", "packed by bzip2", _UNPACK),
    (b"\xfd7zXZ", "packed by xz", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "packed by zstd", _UNPACK),
    (b"PK\x03\x04", "a zip archive, as Excel's .xlsx is too", f"{_UNPACK}, or {_SAVE}"),
    (b"\xd0\xcf\x11\xe0", "an Excel or Word document", _SAVE),
    (b"{\\rtf", "an RTF document", _SAVE),
    (b"%PDF", "a PDF", _ANOTHER),
    (b"\xff\xd8\xff", "a picture", _ANOTHER),
    (b"\x89PNG", "a picture", _ANOTHER),
    *((bytes([0x80, protocol]), "a pickle", _ANOTHER) for protocol in range(2, 6)),
)
_START = 1000  # bytes that tell UTF-16 without a mark
_MARK = "\ufeff"  # the byte-order mark, which says nothing in UTF-8

# A pipe that whoever started the script filled: `<(...)` of the shell. One by another name may never be.
_FILLED_PIPE = re.compile(r"/dev/(stdin|fd/\d+)")


def read_text(path: str | os.PathLike[str], error: type[CastSearchError], mend: str = "") -> str:
    """Read a text file, whose lines then end in a line feed.

    Args:
        path: of the file; ``/dev/stdin`` and ``/dev/fd/N`` may be pipes.
        error: the type of error to raise.
        mend: what to do where there is no such file.

    Raises:
        CastSearchError: of type ``error``: it cannot be read, or is no UTF-8.
    """
    try:
        pipe = _FILLED_PIPE.fullmatch(os.fspath(path)) and Path(path).is_fifo()
        with Path(path).open("rb") if pipe else open_plain(path) as file:
            data = file.read()
    except OSError as reason:
        raise error(unreadable(path, reason, mend)) from None
    text = _decoded(data, path, error).replace("\r\n", "\n").replace("\r", "\n")
    return text.lstrip(_MARK).replace(f"\n{_MARK}", "\n")  # joining files leaves marks at the lines where they met


def _decoded(data: bytes, path: str | os.PathLike[str], error: type[CastSearchError]) -> str:
    kind, mend = next(((kind, mend) for mark, kind, mend in _MARKS if data.startswith(mark)), ("", ""))
    if not kind and data.count(0, 0, _START) > min(len(data), _START) // 4:
        kind, mend = "UTF-16 or UTF-32 text, or no text", _SAVE
    if kind:
        raise error(f"{path}: seems to be {kind}, where plain text was expected; {mend}")
    try:
        return data.decode()
    except UnicodeDecodeError as reason:
        line = len(data[: reason.start + 1].splitlines())
        raise error(
            f"{path}: line {line}: the byte 0x{data[reason.start]:02x} is not UTF-8, but may be Latin-1 or another "
            f"encoding; {_SAVE}"
        ) from None


def read_json(path: str | os.PathLike[str], error: type[CastSearchError], mend: str = "") -> dict[str, Any]:
    """Read a JSON object, whose names each stand in it once; see ``read_text``.

    Raises:
        CastSearchError: of type ``error``: as ``read_text``, or it is no JSON object; line and column are named.
    """
    return parse_json(read_text(path, error, mend), path, error)


def parse_json(text: str, path: str | os.PathLike[str], error: type[CastSearchError]) -> dict[str, Any]:
    """The JSON object that the text of a file is; see ``read_json``."""
    if not text.strip():
        raise error(f"{path}: is empty; JSON was expected")
    try:
        content = json.loads(text, object_pairs_hook=_each_once)
    except json.JSONDecodeError as reason:
        hint = _hint(text, reason.pos)
        raise error(
            f"{path}: not valid JSON: line {reason.lineno}, column {reason.colno}: {reason.msg}{hint}"
        ) from None
    except RecursionError:
        raise error(f"{path}: not valid JSON: nested too deep to be one of this project's files") from None
    except _TwiceError as reason:
        raise error(f"{path}: {reason}; rename or remove one of them") from None
    except ValueError:
        raise error(f"{path}: not valid JSON: a number of thousands of digits stands in it") from None
    if not isinstance(content, dict):
        raise error(f"{path}: expected a JSON object, keyed by name, found {_JSON_KINDS[type(content)]}")
    return content


_JSON_KINDS = {
    list: "a list", str: "a string", int: "a number", float: "a number", bool: "true or false", type(None): "null",
}  # fmt: skip


class _TwiceError(ValueError):
    """A name that stands twice in an object."""


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; of names that stand in it twice, Python would drop the first."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        whose = f"the object with id {shown(found['id'])}" if "id" in found else "one object"
        raise _TwiceError(f"{shown(twice)} stands twice in {whose}")
    return found


def _hint(text: str, at: int) -> str:
    """What usually is behind an error at this place of a JSON text."""
    before = text[max(0, at - 1000) : at].rstrip()
    following = re.compile(r"\S\S?").search(text, at)
    rest = following[0] if following else ""
    if rest.startswith(("//", "/*", "#")):
        return "; JSON has no comments"
    if rest.startswith("'"):
        return "; JSON has double quotes"
    if (rest[:1] in ("]", "}") and before.endswith(",")) or rest.startswith(","):
        return "; there is a comma too many"
    return "; it ends too early" if not rest else ""


def format_version(content: Mapping[str, Any], name: str) -> int | None:
    """The version of the format that JSON says it has; None where it is of another format.

    >>> format_version({"format": "castsearch result 1"}, "castsearch result")
    1
    """
    found = content.get("format")
    named = re.fullmatch(rf"{re.escape(name)} (\d{{1,9}})", found, re.ASCII) if isinstance(found, str) else None
    return None if named is None else int(named[1])
