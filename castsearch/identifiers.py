"""Words that serve as ids, movie names and paths: what each may hold.

Ids stand in result files, where a blank parts the cast from its candidates and a comma one candidate from the next;
movie names become file names; paths are joined to the folder that they are relative to. Each function tells what is
wrong, as the end of a sentence about the word, or None.
"""

from __future__ import annotations

from pathlib import PurePosixPath


def _not_text(word: object) -> str | None:
    if not isinstance(word, str) or not word:
        return "is not a word"
    if not word.isprintable() and any(ord(c) < 32 or ord(c) == 127 or c in "\x85\u2028\u2029" for c in word):
        return "holds a line break or another control character"
    if any("\ud800" <= c <= "\udfff" for c in word):
        return "holds half a character (a lone surrogate), which no file can carry"
    return None


def id_fault(word: object) -> str | None:
    """What keeps ``word`` from being the id of a cast or a candidate.

    >>> id_fault("tt0107290_0"), id_fault("a,b")
    (None, 'holds a comma or a blank, which result files cannot carry')
    """
    if (fault := _not_text(word)) is not None:
        return fault
    assert isinstance(word, str)
    if "," in word or word.split() != [word]:
        return "holds a comma or a blank, which result files cannot carry"
    return None


def movie_fault(word: object) -> str | None:
    """What keeps ``word`` from being a movie's name, which serves as a file name.

    >>> movie_fault("tt0107290"), movie_fault("../x")
    (None, 'holds a path, and serves as a file name')
    """
    if (fault := _not_text(word)) is not None:
        return fault
    assert isinstance(word, str)
    if "/" in word or word in (".", ".."):
        return "holds a path, and serves as a file name"
    if word != word.strip():
        return "begins or ends with a blank"
    return None


def path_fault(word: object) -> str | None:
    """What keeps ``word`` from being a path below a folder.

    >>> path_fault("tt0107290/cast/nm1.jpg"), path_fault("../nm1.jpg")
    (None, 'leads out of its folder')
    """
    if (fault := _not_text(word)) is not None:
        return fault
    assert isinstance(word, str)
    if PurePosixPath(word).is_absolute() or ".." in PurePosixPath(word).parts:
        return "leads out of its folder"
    return None
