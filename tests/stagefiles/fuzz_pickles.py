"""Feeds hostile, damaged and benign pickles to the stage files' readers: ``fuzz_pickles.py 5000 [SEED]``.

Each ends in content or in a typed error of one line, within 5 seconds and 300 MB. What is read is what Python's own
unpickler reads; what plain data is pickled to is read. Prints counts as JSON; anything else is a traceback.
"""

from __future__ import annotations

import io
import json
import pickle
import random
import re
import signal
import struct
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from castsearch.stagefiles import StageFileError, read, read_body, read_detections, read_features, read_retina
from castsearch.stagefiles import content as typed
from castsearch.stagefiles.writing import PortablePickler

SECONDS, MEGABYTES = 5, 300
NUMBERS = [0, 1, 2, 3, 8, 100, 255, 256, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1]
DTYPES = ["b1", "i1", "i4", "u8", "f2", "f4", "f8", "U3", "U1", "S4", "O", "V8", "V100000000", "U1000000000", "U0",
          "8f8", "(1000000,)f4", "f4,i8", "M8[s]", "f16", "c8", "U-1", "U١", "", "f4" * 1000]  # fmt: skip
NAMES = [b"numpy\nndarray", b"numpy\ndtype", b"numpy.core.multiarray\n_reconstruct", b"numpy._core.multiarray\nscalar",
         b"numpy._core.numeric\n_frombuffer", b"_codecs\nencode", b"builtins\nset", b"__builtin__\nfrozenset",
         b"builtins\nbytearray", b"builtins\ncomplex", b"builtins\nint", b"builtins\nbytes", b"builtins\neval",
         b"os\nsystem", b"functools\npartial", b"numpy\nload", b"builtins\ngetattr"]  # fmt: skip


def plain(chance: random.Random, depth: int = 4) -> Any:
    """Plain data as stage files hold them, and a little beyond."""
    kind = chance.randrange(14 if depth else 8)
    number, count = chance.choice(NUMBERS), chance.randrange(5)
    leaves: list[Callable[[], Any]] = [
        lambda: None,
        lambda: chance.random() < 0.5,
        lambda: number * chance.choice([1, -1]),
        lambda: chance.choice([0.5, -1e300, float("inf"), number / 3]),
        lambda: "".join(chance.choice("ab/é\n'\\,☃𝄞\ud800") for _ in range(chance.choice([count, 300]))),
        lambda: bytes(chance.randrange(256) for _ in range(chance.choice([count, 300]))),
        lambda: array(chance),
        lambda: array(chance)[..., :1].reshape(-1)[:1].sum(),
    ]
    if kind < 8:
        return leaves[kind]()
    items = [plain(chance, depth - 1) for _ in range(count)]
    words = [f"k{i}" for i in range(count)]
    return [items, tuple(items), dict(zip(words, items, strict=True)), set(words), bytearray(b"x" * count),
            frozenset(words)][kind - 8]  # fmt: skip


def array(chance: random.Random) -> np.ndarray:
    shape = [chance.randrange(4) for _ in range(chance.randrange(1, 4))]
    made = np.arange(np.prod(shape)).reshape(shape).astype(chance.choice(["f4", ">f8", "i8", "?", "u1", "f2"]))
    return np.asfortranarray(made) if chance.random() < 0.3 else made


def portable(content: Any) -> bytes:
    file = io.BytesIO()
    PortablePickler(file, protocol=4).dump(content)
    return file.getvalue()


def stage_files() -> list[bytes]:
    """Small files of every kind, by this project's writer and by others."""
    faces = {"faces": np.ones((1, 4), np.float32), "landmarks": np.ones((1, 10)), "scores": np.ones(1, np.float32)}
    groups = {
        "cast": [{"id": "c", "file": "c.jpg", "label": "l"} | faces],
        "candidates": [{"id": f"p{i}", "file": "p.jpg"} | dict.fromkeys(faces) for i in range(3)],
    }
    contents: list[Any] = [
        {"tt1": groups},
        {"tt1": np.ones((4, 3), np.float32)},
        {"val/c.jpg": {"file": "val/c.jpg", "faces": np.ones((2, 5)), "landmarks": np.ones((2, 5, 2))}},
        {"tt1": np.array(["é", "ab"]), "x": np.float32(1), "y": {"z"}, "b": bytearray(b"ab"), "f": np.ones((2, 2)).T},
    ]
    return [pickle.dumps(c, protocol) for c in contents for protocol in range(6)] + [portable(c) for c in contents]


def mutated(chance: random.Random, files: list[bytes]) -> bytes:
    data = bytearray(chance.choice(files))
    for _ in range(chance.choice([1, 1, 2, 5])):
        at, kind = chance.randrange(len(data)), chance.randrange(5)
        if kind == 0:
            data[at] = chance.randrange(256)
        elif kind == 1:
            number = chance.choice(NUMBERS)
            data[at : at + 4] = struct.pack("<I", number % (1 << 32))
        elif kind == 2:
            data[at:at] = chance.choice([b"(", b"t", b"R", b"b", b"\x94", b"h\x00", b"2", b"0", b"]", b"u", b"N" * 50])
        elif kind == 3:
            del data[at : at + chance.choice([1, 4, 30])]
        else:
            other = chance.choice(files)
            data[at:at] = other[chance.randrange(len(other)) :][: chance.choice([5, 50])]
        data = data or bytearray(b".")
    return bytes(data)


# ---------------------------------------------------------------------------- opcodes


def bits(content: Any) -> bytes:
    """The opcodes that push plain data, without the memo."""
    return pickle.dumps(content, 2)[2:-1]


def tuple_of(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def made(name: bytes, arguments: bytes) -> bytes:
    return b"c" + name + b"\n" + arguments + b"R"


def hostile_array(chance: random.Random) -> bytes:
    """An array whose parts lie, each with some chance."""

    def part(honest: Any, *lies: Any) -> Any:
        return chance.choice(lies) if chance.random() < 0.15 else honest

    text = chance.choice(DTYPES)
    layout = (part(3, 4, "3", None), part("<", ">", "|", "=", "O", 1), *part([None] * 3, [(b"f4", (9,)), None, None]),
              part(-1, 10**9), part(-1, 2, "x"), part(0, 63, 0xFFFFFFFF))  # fmt: skip
    dtype = made(b"numpy\ndtype", bits((text, part(False, 1, 2, "x"), part(True, 0, [])))) + bits(layout) + b"b"
    shape = part(
        (2, 3), (), (0,), (-1,), (-2, -3), (1 << 40, 0), (1 << 62, 1 << 62), (6.0,), ((2, 3),), [2, 3], (1,) * 70
    )
    sizes = {"b1": 1, "i1": 1, "i4": 4, "u8": 8, "f2": 2, "f4": 4, "f8": 8, "U3": 12, "U1": 4}
    n = int(np.prod(shape)) * sizes.get(text, 8) if shape in ((2, 3), (), (0,)) else chance.choice([0, 8, 48])
    data = part(bytes(n), b"\xff" * n, "é" * n, b"", b"x" * 1000, bytearray(n), None, [0] * 6)
    state = [bits(part(1, 2, None)), bits(shape), dtype, bits(part(False, True, 7, "F")), bits(data)]
    if chance.random() < 0.1:
        chance.shuffle(state)
        state = state[chance.randrange(2) :]
    form = chance.randrange(4)
    if form == 0:
        return made(b"numpy.core.multiarray\n_reconstruct", tuple_of(b"cnumpy\nndarray\n", bits((0,)), bits(b"b"))) + (
            tuple_of(*state) + b"b"
        )
    if form == 1:
        empty = part(bits(((0,), b"b")), tuple_of(bits(shape), dtype))
        return made(b"numpy\nndarray", empty) + tuple_of(*state) + part(b"b", b"", b"bb", b"b0")
    if form == 2:
        order = bits(part("C", "F", "A", "", None))
        return made(b"numpy.core.numeric\n_frombuffer", tuple_of(bits(data), dtype, bits(shape), order))
    return made(b"numpy.core.multiarray\nscalar", tuple_of(dtype, bits(data)))


def argument(chance: random.Random, form: str) -> bytes:
    """What follows an opcode: a count of so many bytes and data, a line, a name, a place in the memo."""
    if form.isdigit():
        return bytes(chance.randrange(256) for _ in range(int(form)))
    if form.startswith("data"):  # behind its length, which may be a lie
        width, data = int(form[4]), b"ab'\xc3\xa9"[: chance.randrange(6)]
        length = chance.choice(NUMBERS) if chance.random() < 0.1 else len(data)
        return (length % (1 << 8 * width)).to_bytes(width, "little") + data
    if form == "name":
        return chance.choice(NAMES) + b"\n"
    if form == "line":
        return chance.choice(
            [b"1\n", b"01\n", b"-7L\n", b"1.5\n", b"'a\\n'\n", b"9" * 10**5 + b"\n", b"x\n", b"nan\n", b"5"]
        )
    return {"place": bytes([chance.randrange(5)]), "far": struct.pack("<I", chance.choice(NUMBERS) % (1 << 32))}[form]


def opcodes() -> list[tuple[bytes, str, int, int]]:
    """Opcode, form of its argument, items it takes (-1: down to the mark), items it leaves."""
    known = [
        (b"N\x88\x89]}\x8f)", "0", 0, 1), (b"ILFSV", "line", 0, 1), (b"K", "1", 0, 1), (b"M", "2", 0, 1),
        (b"J", "4", 0, 1), (b"G", "8", 0, 1), (b"\x8aU\x8cC", "data1", 0, 1), (b"\x8bTXB", "data4", 0, 1),
        (b"\x8d\x8e\x96", "data8", 0, 1), (b"hg", "place", 0, 1), (b"j", "far", 0, 1), (b"\x94", "0", 1, 1),
        (b"q", "place", 1, 1), (b"r", "far", 1, 1), (b"p", "line", 1, 1), (b"\x85", "0", 1, 1),
        (b"\x86ab", "0", 2, 1), (b"\x87s", "0", 3, 1), (b"c", "name", 0, 1), (b"\x93R\x81", "0", 2, 1),
        (b"tld\x91o", "0", -1, 1), (b"eu\x90", "0", -1, 0), (b"2", "0", 1, 2), (b"0", "0", 1, 0),
        (b"1", "0", -1, 0), (b"i", "name", -1, 1), (b"\x92", "0", 3, 1), (b"P", "line", 0, 1), (b"Q", "0", 1, 1),
        (b"\x82", "1", 0, 1), (b"\x84", "4", 0, 1), (b"\x97\x98", "0", 0, 1), (b"\x80", "1", 0, 0),
        (b"\x95", "8", 0, 0),
    ]  # fmt: skip
    return [(bytes([code]), *rest) for codes, *rest in known for code in codes]


OPCODES = opcodes()


def stream(chance: random.Random) -> bytes:
    """Opcodes by chance, nine in ten of them where the stack has the items that they take."""
    out, heights = bytearray(b"}X\x03\x00\x00\x00tt1("), [0]
    for _ in range(chance.choice([2, 5, 40])):
        kind = chance.random()
        if kind < 0.15:
            out += b"("
            heights.append(0)
        elif kind < 0.3:
            out += chance.choice([hostile_array, lambda c: bits(plain(c, 2))])(chance)
            heights[-1] += 1
        else:
            code, form, takes, leaves = chance.choice(OPCODES)
            if (takes > heights[-1] or (takes < 0 and len(heights) == 1)) and chance.random() < 0.9:
                continue
            out += code + argument(chance, form)
            if takes < 0 < len(heights) - 1:
                heights.pop()
            heights[-1] = max(0, heights[-1] - max(takes, 0)) + leaves
    out += b"t" * (len(heights) - 1)
    return bytes(out + b"l" + b"s." * (chance.random() < 0.95))


PIECES = [
    b"\x85", b"]", b"(", b"}", b"\x8f", b")\x85", b"]\x94", b"N\x94", b"2\x86", b"K\x01\x94h\x00", b"\x8f\x91", b"(l",
    b"(]", b"]a", b"}X\x01\x00\x00\x00a", b"\x94h\x00\x86", b"0]\x94(h\x00h\x00e", b"\x8f(K\x01\x90",
    b"r\xff\xff\xff\x00", b"cnumpy\nndarray\n", b"X\x00\x00\x00\x00",
]  # fmt: skip


def repeated(chance: random.Random) -> bytes:
    """One short run of opcodes again and again: depth, doubling, and what grows."""
    piece = chance.choice(PIECES)
    times = chance.choice([10, 1000, 100_000])
    end = chance.choice([b"s.", b"a" * times + b"s.", b"s" * times + b".", b"t" * times + b"s.", b"l" * times + b"s."])
    return b"}X\x03\x00\x00\x00tt1" + chance.choice([b"N", b"]", b"}", b""]) + piece * times + end


# ---------------------------------------------------------------------------- judging


def equal(a: Any, b: Any) -> bool:
    """Whether two contents are the same to type and bit, but for the byte order, which becomes this machine's."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray | np.generic):
        native = np.asarray(b, b.dtype.newbyteorder("="))
        return a.dtype == native.dtype and a.shape == b.shape and a.tobytes() == native.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b or (a != a and b != b)


def judge(path: Path, data: bytes) -> str:
    """Read one file by all readers; tells the last that took it."""
    path.write_bytes(data)
    split = typed.Split([typed.MoviePictures("tt1", (), tuple(typed.Picture(f"p{i}", "p.jpg") for i in range(4)))])
    outcome = ""
    for reader in (read, read_body, read_retina, read_detections, read_features):
        try:
            content = reader(path, split) if reader is read_features else reader(path)
        except StageFileError as error:
            message = str(error)
            assert message.isprintable() and len(message) < 500 + len(str(path)), message
            assert str(path) in message
            if reader is read:
                return "refused"
        else:
            outcome = reader.__name__
            if reader is read:
                assert equal(content, pickle.loads(data, encoding="latin-1")), "not what pickle reads"
    return outcome


def case(chance: random.Random, files: list[bytes]) -> tuple[str, bytes]:
    kind = chance.choices(["mutated", "opcodes", "repeated", "benign"], [45, 40, 5, 10])[0]
    if kind == "benign":
        content = {f"k{i}": plain(chance) for i in range(4)}
        return kind, portable(content) if chance.random() < 0.3 else pickle.dumps(content, chance.randrange(6))
    if kind == "mutated":
        return kind, mutated(chance, files)
    return kind, (stream if kind == "opcodes" else repeated)(chance)


def main() -> None:
    times, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError(f"over {SECONDS} s")))
    warnings.simplefilter("ignore", DeprecationWarning)  # numpy's, of names that old files use
    files, counts = stage_files(), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(first, first + times):
            kind, data = case(random.Random(seed), files)
            signal.alarm(SECONDS)
            try:
                outcome = judge(Path(folder) / "x.pkl", data)
                assert kind != "benign" or outcome != "refused", "plain data are refused"
            except BaseException:
                print(f"seed {seed}, {kind}: {data[:300]!r}", file=sys.stderr)
                raise
            signal.alarm(0)
            counts[f"{kind}: {outcome}"] += 1
    # Not getrusage: its maximum includes the process that this one was forked from.
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024
    print(json.dumps({**counts, "peak_megabytes": peak}, indent=1, sort_keys=True))
    assert peak < MEGABYTES, f"{peak} MB"


if __name__ == "__main__":
    main()
