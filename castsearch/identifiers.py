"""Words that serve as ids, movie names and paths: what each may hold.

Ids stand in result files, where a blank parts the cast from its candidates and a comma one candidate from the next;
movie names become file names; paths are joined to the folder that they are relative to. Each function tells what is
wrong, as the end of a sentence about the word, or None.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from unicodedata import category, normalize

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
    slashed = word if "/" in word else word.replace("\\", "/")
    path = PurePosixPath(slashed)
    if path.is_absolute() or ".." in path.parts or _DRIVE.match(slashed):
        return "must stay below its folder"
    if slashed != word:
        return f"parts its folders by backslashes; write {shown(slashed)}"
    if not path.name:
        return "names no file"
    if str(path) != word:
        return f"is a roundabout way to write {shown(str(path))}"
    if _exceeds(word, _LONGEST_NAME) and any(_exceeds(part, _LONGEST_NAME) for part in path.parts):
        return f"has a name in it of more than the {_LONGEST_NAME} bytes that file systems take"
    if _exceeds(word, _LONGEST_PATH):
        return f"is longer than {_LONGEST_PATH} bytes"
    return _character_fault(word)


_DRIVE = re.compile(r"[A-Za-z]:/|\w+://")  # of Windows, or of a file elsewhere
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
    """``word`` as an error message shows it: on one line, however long it is; what is no string or number, by its type.

    >>> print(shown("tt1"), shown("tt 1"), shown(3), shown(["tt1"]), len(shown("a" * 10**6)))
    tt1 'tt 1' 3 a list 63
    """
    if isinstance(word, (int, float)):
        return reprlib.repr(word)
    if not isinstance(word, str):
        return f"a {type(word).__name__}"
    if len(word) > _LONGEST_SHOWN:
        return repr(f"{word[:_LONGEST_SHOWN]}…")
    return word if re.fullmatch(r"[\w./-]+", word) else repr(word)


# How ids of one person come to differ, and what to say of it: by their spelling, which a form that all can take hides;
# or by what one has more than the other.
_SPELLINGS: tuple[tuple[Callable[[str], str], str], ...] = (
    (lambda word: normalize("NFC", word), "the letters with accents are composed otherwise"),
    (lambda word: normalize("NFC", word).casefold(), "upper and lower case differ"),
)
_ADDITIONS: tuple[tuple[Callable[[str], str], str], ...] = (
    (lambda word: PurePosixPath(word.replace("\\", "/")).name, "one has a path in it"),
    (lambda word: PurePosixPath(word.replace("\\", "/")).stem, "one has a path or an extension in it"),
    (lambda word: word.rpartition("_")[2], "one lacks the movie before it"),
    (lambda word: re.sub(r"^\W+|\W+$", "", word), "one stands in quotes or brackets, or beside other signs"),
)


def mismatch(ours: Sequence[str], theirs: Sequence[str]) -> tuple[str, str, str]:
    """Two lists of ids have none in common: one id of each, the same but for their form if there are such, and the
    likely cause.

    >>> mismatch(["tt1_nm1", "tt1_nm2"], ["val/tt1_nm2.jpg"])
    ('tt1_nm2', 'val/tt1_nm2.jpg', 'one has a path or an extension in it')
    """
    return near(ours, theirs) or (ours[0], theirs[0], "they seem to be of different splits")


def near(ours: Sequence[str], theirs: Sequence[str]) -> tuple[str, str, str] | None:
    """One id of each list that are the same but for their form, and how that differs; None where there are none.

    >>> near(["Tt1"], ["tt0", "tt1"])
    ('Tt1', 'tt1', 'upper and lower case differ')
    """
    for form, cause in _SPELLINGS:
        formed = {form(word): word for word in reversed(ours)}
        for word in theirs:
            if form(word) in formed:
                return formed[form(word)], word, cause
    plain_ours, plain_theirs = set(ours), set(theirs)
    for form, cause in _ADDITIONS:
        for word in ours:
            if form(word) in plain_theirs:
                return word, form(word), cause
        for word in theirs:
            if form(word) in plain_ours:
                return form(word), word, cause
    return None
