"""Feeds mutated checkpoints to what reads them: ``fuzz_weights.py 2000 [SEED]``.

Each ends in a network or in a typed error of one line, within 5 seconds and 300 MB. The mutations know the file: bytes,
the archive's directory, its members, the opcodes and numbers of the pickle, the content before it is saved; of both
forms of file. Prints counts as JSON; anything else is a traceback.
"""

from __future__ import annotations

import io
import json
import pickletools
import random
import resource
import signal
import sys
import tempfile
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).parent))

import tiny
import torch

from castsearch.bodies import checkpoints
from castsearch.bodies.body_model import BodyModelError
from castsearch.bodies.settings import Settings
from castsearch.bodies.training import Trainer
from castsearch.images import ImageReader

tiny.register()

SECONDS, MEGABYTES = 5, 300
SETTINGS = Settings("triplet", "tiny", height=64, width=32, batch_size=2, image_num=2)
PEOPLE = {("tt1", f"nm{i}"): ["train/a.jpg"] for i in range(3)}
NUMBERS = [-(1 << 31), -1, 0, 1, 7, 255, 1 << 16, (1 << 31) - 1, (1 << 32) - 1]


def content() -> dict[str, Any]:
    """A checkpoint of a run."""
    torch.manual_seed(0)
    network = checkpoints.build("triplet", "tiny", num_classes=3)
    optimizer = torch.optim.Adam(network.parameters())
    for weight in network.parameters():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    return {
        **{"settings": asdict(SETTINGS), "identities": [list(who) for who in PEOPLE], "step": 4, "best": 0.5},
        **{"scaler": {}, "run": "ab12", "validated": 2},
        **{"model": network.state_dict(), "optimizer": optimizer.state_dict()},
    }


def saved(what: object, archive: bool) -> bytes:
    file = io.BytesIO()
    torch.save(what, file, _use_new_zipfile_serialization=archive)
    return file.getvalue()


# ---------------------------------------------------------------------------- mutations


def mutated_bytes(data: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, cut out, doubled, or all after one lost; near the ends more often than elsewhere."""
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 3, 30])):
        at = chance.randrange(len(changed)) if chance.random() < 0.5 else -1 - chance.randrange(min(3000, len(changed)))
        match chance.randrange(4):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                del changed[at : at + chance.randrange(1, 20) or None]
            case 2:
                changed[at:at] = changed[at : at + 20]
            case 3:
                changed[at] ^= 1 << chance.randrange(8)
        if len(changed) < 10:
            break
    return bytes(changed[: chance.randrange(len(changed))]) if chance.random() < 0.1 else bytes(changed)


def mutated_pickle(data: bytes, chance: random.Random) -> bytes:
    """Opcodes left out, doubled, moved, or with another argument."""
    places = [place for *_, place in pickletools.genops(data)] + [len(data)]
    codes = [data[a:b] for a, b in pairwise(places)]
    for _ in range(chance.choice([1, 1, 2, 10])):
        at = chance.randrange(len(codes))
        code = codes[at]
        match chance.randrange(5):
            case 0:
                codes[at] = b""
            case 1 if len(code) < 1000:  # ten times over, a thousandfold would be larger than any pickle of weights
                codes[at] = code * chance.choice([2, 3, 1000])
            case 2:
                codes[at] = chance.choice(codes)
            case 3 if code[:1] in b"JKM":
                codes[at] = b"J" + (chance.choice(NUMBERS) & 0xFFFFFFFF).to_bytes(4, "little")
            case 3:
                codes[at] = code[:1] + bytes(chance.randrange(256) for _ in code[1:])
            case 4:
                names = [b"torch LongStorage", b"torch._utils _rebuild_sparse_tensor", b"os system", b"builtins eval",
                         b"torch._utils _rebuild_qtensor", b"collections OrderedDict", b"torch ComplexFloatStorage",
                         b"collections Counter", b"torch._utils _rebuild_parameter", b"torch Size"]  # fmt: skip
                codes[at] = b"c" + chance.choice(names).replace(b" ", b"\n") + b"\n"
    return b"".join(codes)


def mutated_archive(data: bytes, chance: random.Random) -> bytes:
    """A member changed, absent, twice there, of another length, or packed: a bomb, perhaps."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w") as new:
        unlucky = chance.choice(old.namelist()) if chance.random() < 0.4 else "archive/data.pkl"
        for name in old.namelist():
            member, packed = old.read(name), zipfile.ZIP_STORED
            if name == unlucky or name.endswith(unlucky):
                match chance.randrange(6):
                    case 0 if not name.endswith("pkl"):
                        continue
                    case 1:
                        member = bytes(chance.choice([0, 10, 1 << 24]))
                    case 2:
                        packed = zipfile.ZIP_DEFLATED
                    case 3 if member:
                        member = mutated_bytes(member, chance) if len(member) > 10 else b""
                    case _ if name.endswith("pkl"):
                        member = mutated_pickle(member, chance)
            new.writestr(name, member, packed)
    return made.getvalue()


def mutated_stream(data: bytes, chance: random.Random) -> bytes:
    """One of the pickles of the older form changed."""
    file, parts = io.BytesIO(data), []
    for _ in range(5):
        start = file.tell()
        for _ in pickletools.genops(file):
            pass
        parts.append(data[start : file.tell()])
    at = chance.choice([0, 1, 2, 3, 3, 3, 3, 4])
    parts[at] = mutated_pickle(parts[at], chance)
    return b"".join(parts) + data[file.tell() :]


def mutated_content(what: Any, chance: random.Random, depth: int = 3) -> Any:
    """Something in it replaced by what does not belong there."""
    odd: list[Callable[[], Any]] = [
        lambda: None,
        lambda: chance.choice(NUMBERS),
        lambda: float("nan"),
        lambda: "word" * chance.choice([1, 10_000]),
        lambda: [],
        lambda: {},
        lambda: torch.full((3,), torch.nan),
        lambda: torch.zeros(1).expand(1 << 40),
        lambda: torch.zeros(2, 2, dtype=torch.complex64),
        lambda: torch.eye(3).to_sparse(),
        lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8),
        lambda: torch.ones(3, dtype=torch.bool),
    ]
    if depth == 0 or not isinstance(what, dict | list) or not what or chance.random() < 0.1:
        return chance.choice(odd)()
    if isinstance(what, list):
        at = chance.randrange(len(what))
        return [*what[:at], mutated_content(what[at], chance, depth - 1), *what[at + 1 :]]
    key = chance.choice([*what])
    changed: Any = OrderedDict(what)
    match chance.randrange(3):
        case 0:
            del changed[key]
        case 1:
            changed[chance.choice([7, -7, 2.5, ("a",), None, "other", b"x"])] = changed.pop(key)
        case _:
            changed[key] = mutated_content(what[key], chance, depth - 1)
    return changed


def mutation(chance: random.Random, whole: dict[str, Any], plain: dict[bool, bytes]) -> bytes:
    archive = chance.random() < 0.7
    match chance.randrange(3):
        case 0:
            return mutated_bytes(plain[archive], chance)
        case 1:
            return (mutated_archive if archive else mutated_stream)(plain[archive], chance)
    return saved(mutated_content(whole, chance), archive)


# ---------------------------------------------------------------------------- what reads them


def trainer(folder: Path) -> Trainer:
    network = checkpoints.build("triplet", "tiny", num_classes=3)
    return Trainer(SETTINGS, PEOPLE, network, ImageReader(folder), folder, torch.device("cpu"))


def readers(path: Path) -> dict[str, Callable[[], object]]:
    return {
        "weights": lambda: checkpoints.load_weights(checkpoints.build("triplet", "tiny"), path),
        "resume": lambda: trainer(path.parent).resume(),
        "later": lambda: (checkpoints.later(path.with_name("best.pt")), checkpoints.origin(path)),
        "size": lambda: checkpoints.size_and_stride(checkpoints.read(path), path),
    }


def outcome(path: Path, reader: Callable[[], object]) -> str:
    signal.alarm(SECONDS)
    try:
        reader()
    except BodyModelError as error:
        text = str(error)
        assert "\n" not in text and len(text) < 1000 and str(path) in text and "weights_only" not in text, text
        return "refused"
    finally:
        signal.alarm(0)
    return "read"


def main(count: int, seed: int) -> None:
    torch.set_num_threads(1)
    chance, counts = random.Random(seed), Counter[str]()
    whole = content()
    plain = {archive: saved(whole, archive) for archive in (False, True)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "last.pt"
        for archive in (False, True):
            path.write_bytes(plain[archive])
            for reader in readers(path).values():
                assert outcome(path, reader) == "read"
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(count):
            path.write_bytes(mutation(chance, whole, plain))
            for name, reader in readers(path).items():
                try:
                    counts[f"{name} {outcome(path, reader)}"] += 1
                except BaseException:
                    print(f"seed {seed}, mutation {number}, {name}", file=sys.stderr)
                    raise
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
        assert grown < MEGABYTES, f"{grown} MB"
    print(json.dumps(counts))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
