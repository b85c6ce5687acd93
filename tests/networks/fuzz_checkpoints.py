"""Feeds 10,000 mutated checkpoints to the reader and converter, within 1 GB of address space.

Run by test_mxnet.py: fuzz_checkpoints.py FOLDER REAL, where FOLDER holds small-symbol.json and
small.npz, REAL a real checkpoint. Prints counts as JSON; anything but a typed error is a traceback.
"""

from __future__ import annotations

import json
import random
import re
import resource
import struct
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx  # noqa: F401  what is imported now is not counted against a mutated file

from castsearch.networks import CheckpointError
from castsearch.networks.convert import to_onnx
from castsearch.networks.mxnet import read_params, read_symbol

GIGABYTE = 1 << 30
SMALL, REAL = 9_600, 400
HOSTILE = [0, 1, 2, 255, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]


def mutate_bytes(data: bytes, chance: random.Random) -> bytes:
    """One of: cut short, bits flipped, a length replaced, a piece left out or doubled."""
    kind = chance.randrange(5)
    if kind == 0:
        return data[: chance.randrange(len(data))]
    # Headers are where the danger is: half of the mutations hit the first or last kilobyte.
    low, high = chance.choice([(0, len(data)), (0, min(1024, len(data))), (max(0, len(data) - 1024), len(data))])
    place = chance.randrange(low, high)
    if kind == 1:
        changed = bytearray(data)
        for _ in range(chance.choice([1, 1, 8, 64])):
            changed[chance.randrange(low, high)] ^= 1 << chance.randrange(8)
        return bytes(changed)
    if kind in (2, 3):
        size, form = chance.choice([(4, "<I"), (8, "<Q")])
        value = chance.choice(HOSTILE) % (1 << 8 * size)
        return data[:place] + struct.pack(form, value) + data[place + size :]
    length = chance.choice([1, 4, 8, 100])
    return data[:place] + (data[place : place + length] * 2 if chance.random() < 0.5 else b"") + data[place + length :]


def mutate_tree(text: str, chance: random.Random) -> str:
    """A value of the graph's JSON replaced by one of another kind, or left out."""
    place = graph = json.loads(text)
    while True:
        key = chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
        below = place[key]
        if not isinstance(below, (dict, list)) or not below or chance.random() < 0.2:
            break
        place = below
    if chance.random() < 0.2:
        del place[key]
    else:
        place[key] = chance.choice(
            [None, True, -1, 1e400, "", "x" * 20_000, [], [[]], {}, {"op": 1}, [0], graph["nodes"][0]]
        )
    return json.dumps(graph)


def mutate_graph(text: str, chance: random.Random) -> str:
    """A number, a word or a value of the graph replaced, or bytes of it mutated."""
    kind = chance.random()
    if kind < 0.2:
        return mutate_bytes(text.encode(), chance).decode("utf-8", "replace")
    if kind < 0.5:
        return mutate_tree(text, chance)
    words = list(re.finditer(r"-?\d+|[A-Za-z_]{3,}", text))
    word = chance.choice(words)
    new = chance.choice(["0", "-1", "1", "2", "3", "999999999", "99999999999999999999", "1e400", "nan", "null", "true"])
    if chance.random() < 0.3:
        new = chance.choice(words)[0]
    return text[: word.start()] + new + text[word.end() :]


def old_params(arrays: dict[str, np.ndarray], version: int) -> bytes:
    magic = {1: 0xF993FAC8, 2: 0xF993FAC9, 3: 0xF993FACA}
    parts = [struct.pack("<QQQ", 0x112, 0, len(arrays))]
    for array in arrays.values():
        parts.append(struct.pack("<I", magic[version]) if version else b"")
        parts.append(struct.pack("<i", 0) if version >= 2 else b"")
        parts.append(struct.pack(f"<I{array.ndim}{'q' if version else 'I'}", array.ndim, *array.shape))
        parts.append(struct.pack("<iii", 1, 0, 0) + array.tobytes())
    parts.append(struct.pack("<Q", len(arrays)))
    parts += [struct.pack("<Q", len(name)) + name.encode() for name in arrays]
    return b"".join(parts)


def main() -> None:
    folder, real = Path(sys.argv[1]), Path(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (GIGABYTE, GIGABYTE))
    chance = random.Random(2019)
    small_graph = (folder / "small-symbol.json").read_text()
    # The fully connected layer holds nearly all bytes; without it, more mutations hit headers.
    graph = json.loads(small_graph)
    graph["heads"] = graph["heads"][:1]
    graph["nodes"] = [node for node in graph["nodes"] if not node["name"].startswith("fc")]
    arrays = {name: array for name, array in np.load(folder / "small.npz").items() if "fc_" not in name}
    small = [(json.dumps(graph), old_params(arrays, version)) for version in range(4)]
    large = [((real / "mnet25-symbol.json").read_text(), (real / "mnet25-0000.params").read_bytes())]

    counts: Counter[str] = Counter()
    for sources, times in ((small, SMALL), (large, REAL)):
        for _ in range(times):
            text, params = chance.choice(sources)
            if chance.random() < 0.4:
                text = mutate_graph(text, chance)
            else:
                params = mutate_bytes(params, chance)
            (folder / "m-symbol.json").write_text(text)
            (folder / "m-0000.params").write_bytes(params)
            counts["files"] += 1
            try:
                read = read_params(folder / "m-0000.params")
                assert sum(array.nbytes for array in read.values()) <= len(params)
                model = to_onnx(read_symbol(folder / "m-symbol.json"), read, {})
                assert len(model.graph.output) >= 1
                counts["results"] += 1
            except CheckpointError as error:
                assert "\n" not in str(error) and len(str(error)) < 1000
                counts["errors"] += 1
    # Not getrusage: its maximum includes the process that this one was forked from.
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024
    print(json.dumps({**counts, "peak_megabytes": peak}))


if __name__ == "__main__":
    main()
