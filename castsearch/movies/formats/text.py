"""Names within formats that have no room for line breaks or control characters."""

from __future__ import annotations

from unicodedata import category


def plain(name: str) -> str:
    """A name on one line: what is no letter or sign becomes a blank, half a character a question mark.

    >>> plain("Ann\\n<Lee>\\x00"), plain("half\\udcff")
    ('Ann <Lee>', 'half?')
    """
    kept = "".join(" " if category(letter) in ("Cc", "Zl", "Zp") else letter for letter in name)
    whole = kept.encode(errors="replace").decode()
    return " ".join("".join("?" if ord(letter) in (0xFFFE, 0xFFFF) else letter for letter in whole).split())
