"""Ways in which real input becomes odd: on the level of its bytes, its lines, its JSON."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Sequence
from typing import Any

from tests.networks.fuzz_checkpoints import mutate_bytes

VALUES: list[Any] = [
    None, True, 0, -1, 1.5, -0.0, 1e300, 10**30, float("nan"), float("inf"), "", " ", "a" * 20_000, "a/" * 5_000,
    "../x", "/etc/passwd", "tt1\\cast\\a.jpg", "é\u0301\ufeff", "\ud800", "a\nb", "a,b", [], {}, [[]], [None] * 1000,
    {"id": "x"},
]  # fmt: skip
PIECES = [
    b"", b",", b" ", b"\t", b"\r", b"\n\n", b"\0", b'"', b"{", b"]", b"//", b"NaN", b"\xff", b"\xef\xbb\xbf",
    b"\\u0000", b"9" * 5000, b"../", b"\xe2\x80\xa8", b"\xc2\x85", b"\xed\xa0\x80", b"x" * 100_000,
]  # fmt: skip
ENCODINGS = ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252"]


def mutated_bytes(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Some bytes changed, cut off, doubled, or taken for a length."""
    data = chance.choice(seeds)
    for _ in range(chance.choice([1, 1, 1, 3])):
        data = mutate_bytes(data, chance) or b"\0"
    return data


def mutated_lines(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Lines doubled, swapped, joined, cut; pieces put in; another encoding; or its bytes mutated."""
    kind = chance.randrange(6)
    data = chance.choice(seeds)
    if kind == 0:
        return mutated_bytes(chance, seeds)
    if kind == 1:
        return data.decode().encode(chance.choice(ENCODINGS), "replace")
    if kind == 2:
        return data.replace(chance.choice([b",", b" ", b"\n", b"_"]), chance.choice(PIECES))
    if kind == 3:
        at = chance.randrange(len(data))
        return data[:at] + chance.choice(PIECES) + data[at:]
    lines = data.split(b"\n")
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(lines))
        lines[at : at + 1] = [[], [lines[at]] * 2, [lines[at] * 2], [lines[at][: chance.randrange(9)]]][
            chance.randrange(4)
        ]
        lines = lines or [b""]
    chance.shuffle(lines)
    return b"\n".join(lines)


def mutated_json(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A value replaced, a name renamed, an entry left out or doubled; nested beyond measure; or its text mutated."""
    kind = chance.randrange(10)
    if kind < 4:
        return mutated_lines(chance, seeds)
    data = chance.choice(seeds)
    if kind == 4:
        depth = chance.choice([10, 900, 100_000])
        return (
            chance.choice([b'{"a":', b"[", b'[{"a":']) * depth + data + chance.choice([b"", b"}" * depth, b"]" * depth])
        )
    content = json.loads(data)
    for _ in range(chance.choice([1, 1, 2, 5])):
        _change(chance, content)
    text = json.dumps(content, ensure_ascii=chance.random() < 0.5, indent=chance.choice([None, 1]))
    if kind == 5:
        text = text.replace('"id"', '"img"', 1)
    return text.encode("utf-8", "surrogatepass")


def _change(chance: random.Random, content: Any) -> None:
    """Change one entry, somewhere in nested lists and dicts."""
    while True:
        keys = list(content) if isinstance(content, dict) else range(len(content))
        if not keys:
            return
        key = chance.choice(keys)
        if isinstance(content[key], (dict, list)) and content[key] and chance.random() < 0.8:
            content = content[key]
            continue
        kind = chance.randrange(4)
        if kind == 0:
            del content[key]
        elif kind == 1 and isinstance(content, dict):
            content[str(chance.choice(VALUES))] = content.pop(key)
        elif kind == 2 and isinstance(content, list):
            content.append(copy.deepcopy(content[key]))
        else:
            content[key] = copy.deepcopy(chance.choice(VALUES))
        return
