"""Words that serve as ids, movie names and paths: what each may hold.

Ids stand in result files, where a blank parts the cast from its candidates and a comma one candidate from the next;
movie names become file names; paths are joined to the folder that they are relative to. Each function tells what is
wrong, as the end of a sentence about the word, or None.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from unicodedata import category

_LONGEST_SHOWN = 60  # characters
_LONGEST_MOVIE = 200  # bytes: file systems take 255, less what stages put round it
_LONGEST_NAME = 255  # bytes of an id, or of a name within a path: what file systems take
_LONGEST_PATH = 3000  # bytes: systems take 4095, the folder that it is relative to included


def id_fault(word: object) -> str | None:
    """What keeps ``word`` from being the id of a cast or a candidate.

    >>> id_fault("tt0107290_0"), id_fault("a,b")
    (None, 'holds a comma or a blank, which result files cannot carry')
    """
    if not isinstance(word, str) or not word:
        return _NO_WORD
    if "," in word or word.split() != [word]:
        return "holds a comma or a blank, which result files cannot carry"
    if _exceeds(word, _LONGEST_NAME):
        return f"is longer than {_LONGEST_NAME} bytes"
    return _character_fault(word)


def movie_fault(word: object) -> str | None:
    """What keeps ``word`` from being a movie's name, which serves as a file name.

    >>> movie_fault("tt0107290"), movie_fault("../x")
    (None, 'holds a path, but serves as a file name')
    """
    if not isinstance(word, str) or not word:
        return _NO_WORD
    if "/" in word or word in (".", ".."):
        return "holds a path, but serves as a file name"
    if word != word.strip():
        return "begins or ends with a blank"
    if _exceeds(word, _LONGEST_MOVIE):
        return f"is longer than the {_LONGEST_MOVIE} bytes that a file name has room for"
    return _character_fault(word)


def path_fault(word: object) -> str | None:
    """What keeps ``word`` from being a file's path below a folder.

    >>> path_fault("tt0107290/cast/nm1.jpg"), path_fault("../nm1.jpg")
    (None, 'must stay below its folder')
    """
    if not isinstance(word, str) or not word:
        return _NO_WORD
    path = PurePosixPath(word)
    if path.is_absolute() or ".." in path.parts:
        return "must stay below its folder"
    if not path.name:
        return "names no file"
    if str(path) != word:
        return f"is a roundabout way to write {shown(str(path))}"
    if "\\" in word and "/" not in word:
        slashed = word.replace("\\", "/")
        return f"parts its folders by backslashes; write {shown(slashed)}"
    if _exceeds(word, _LONGEST_NAME) and any(_exceeds(part, _LONGEST_NAME) for part in path.parts):
        return f"has a name in it of more than the {_LONGEST_NAME} bytes that file systems take"
    if _exceeds(word, _LONGEST_PATH):
        return f"is longer than {_LONGEST_PATH} bytes"
    return _character_fault(word)


_NO_WORD = "is not a non-empty string"


def _exceeds(word: str, limit: int) -> bool:
    """Whether a word takes more bytes than that; for most, the number of characters tells."""
    return 4 * len(word) > limit and len(word.encode(errors="replace")) > limit


def _character_fault(word: str) -> str | None:
    if word.isprintable():  # by far most are, and this is fast
        return None
    kinds = set(map(category, word))
    if kinds & {"Cc", "Zl", "Zp"}:
        return "holds a line break or another control character"
    if "Cs" in kinds:
        return "holds half a character (a lone surrogate), which no file can carry"
    return None


def shown(word: object) -> str:
    """``word`` as an error message shows it: on one line, however long it is; what is no string, by its type.

    >>> print(shown("tt1"), shown("tt 1"), shown(["tt1"]), len(shown("a" * 10**6)))
    tt1 'tt 1' a list 63
    """
    if not isinstance(word, str):
        return f"a {type(word).__name__}"
    if len(word) > _LONGEST_SHOWN:
        return repr(f"{word[:_LONGEST_SHOWN]}…")
    return word if re.fullmatch(r"[\w./-]+", word) else repr(word)
