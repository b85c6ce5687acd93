"""What two processes come to that share their batches: ``two_processes.py SMALL OUT``.

Forks from a process that imported torch but started no thread of it, so that torch is imported once.
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import tiny
import torch
import torch.distributed as dist
from torch import Tensor, nn

from castsearch import stagefiles
from castsearch.bodies import checkpoints, data, distributed, training
from castsearch.bodies.body_model import BodyModel
from castsearch.bodies.engines import torch_engine
from castsearch.bodies.extraction import Extractor, extract_split
from castsearch.bodies.validation import validator
from castsearch.images import ImageReader

CPU = torch.device("cpu")
EPOCHS = 10  # of 2 steps


def opened(small: Path, folder: Path, network: str = "triplet", precision: str = "float64") -> training.Trainer:
    """A trainer of 10 people."""
    people = data.identities({"train": stagefiles.read_body(small / "data/body_train.pkl")})
    settings = training.Settings(
        network, "tiny", height=64, width=32, batch_size=4, image_num=4, lr=0.01, precision=precision
    )
    fresh = training.new_network(settings, len(people))
    return training.Trainer(settings, people, fresh, ImageReader(small / "body"), folder, CPU, workers=1)


def train(small: Path, folder: Path, network: str, precision: str) -> nn.Module:
    """Train, and validate on the way."""
    trainer, reader = opened(small, folder, network, precision), ImageReader(small / "body")
    split = stagefiles.read_body(small / "data/body_train.pkl")
    score = validator(split, "train", lambda model: Extractor(BodyModel(torch_engine(model, CPU), 64, 32), reader))
    trainer.run(EPOCHS, validate=score, val_every=5)
    return trainer.model


def extract(small: Path, out: Path, stop_after: int | None = None) -> None:
    """Extract the val split, two pictures a batch, by a network; killed before a movie, perhaps."""
    torch.manual_seed(2)
    engine = torch_engine(checkpoints.build("triplet", "tiny"), CPU)
    calls: list[int] = []

    def counted(pictures: np.ndarray) -> np.ndarray:
        calls.append(len(pictures))
        if stop_after is not None and len(calls) > stop_after:
            raise KeyboardInterrupt
        return engine(pictures)

    reader = ImageReader(small / "body", skip_bad=True)
    split = stagefiles.read_body(small / "data/body_val.pkl")
    extractor = Extractor(BodyModel(counted, 64, 32, {"cnn": "tiny"}), reader, batch_size=2)
    with suppress(KeyboardInterrupt):
        extract_split(extractor, split, "val", out, with_cast=True)
    torch.save((calls, sorted(reader.bad)), out.with_name(f"{out.stem}{distributed.rank()}.calls"))


def corner(pictures: np.ndarray) -> np.ndarray:
    """Features by which people are found now and then: one corner."""
    return pictures[:, 0, 0].astype(np.float32) - 127


def precisions(small: Path) -> list[float]:
    """Average precision of every candidate of both movies, as validation joins them."""
    split = stagefiles.read_body(small / "data/body_train.pkl")
    score = validator(split, "train", lambda model: Extractor(BodyModel(corner, 64, 32), ImageReader(small / "body")))
    return score(nn.Identity()).ap.tolist()


def loss_of(rows: Tensor, process: int) -> Tensor:
    """Another one in each process; some of its gradients do not lie in memory row by row."""
    generator = torch.Generator().manual_seed(process)
    weight = torch.randn(rows.shape[::-1], generator=generator, dtype=rows.dtype)
    return (rows.T * weight).sin().sum() + (process + 1) * rows.square().sum()


def batch(process: int) -> Tensor:
    """(3, 2, 4, 5), this process's part of a batch."""
    generator = torch.Generator().manual_seed(10 + process)
    return torch.randn(3, 2, 4, 5, generator=generator, dtype=torch.float64)


def collectives() -> dict[str, Any]:
    """Results and gradients of everything that passes between the processes."""
    rank = distributed.rank()
    rows = batch(rank).flatten(1).requires_grad_()
    gathered = distributed.gather(rows)
    loss_of(gathered, rank).backward()
    norm = distributed.synchronised(nn.Sequential(nn.BatchNorm2d(2, momentum=0.3)), CPU).double()
    pictures = batch(rank).requires_grad_()
    normed = norm(pictures)
    (normed.square() * batch(5 + rank)).sum().backward()
    return {
        "gathered": gathered.detach(),
        "rows.grad": rows.grad,
        "labels": distributed.gather(torch.tensor([rank, 7])),
        "normed": normed.detach(),
        "pictures.grad": pictures.grad,
        "weight.grad": norm[0].weight.grad,
        "norm": norm.state_dict(),
        "any_of": [distributed.any_of(flag, CPU) for flag in (False, rank == 1)],
        "joined": distributed.joined([rank, "a"]),
        "world": distributed.world(),
    }


def run(rank: int, small: Path, out: Path) -> None:
    """The life of one process."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    with distributed.process_group(CPU):
        torch.save(collectives(), out / f"collectives{rank}.pt")
        torch.save(precisions(small), out / f"precisions{rank}.pt")
        for network in ("triplet", "mgn"):
            model = train(small, out / f"two_{network}", network, "float64")
            torch.save(model.state_dict(), out / f"two_{network}{rank}.pt")
        train(small, out / "two_mixed", "triplet", "mixed")
        extract(small, out / "features.pkl")
        extract(small, out / "resumed.pkl", stop_after=5)  # each has 5 batches of the first movie, and dies after it
        extract(small, out / "resumed.pkl")
        stopped = opened(small, out / "stopped")
        stopped.run(EPOCHS, stopped=lambda: rank == 1 and stopped.step == 3)
        torch.save(stopped.step, out / f"stopped{rank}.pt")
    assert not dist.is_initialized()


def main(small: Path, out: Path) -> None:
    torch.set_num_threads(1)
    tiny.register()
    with socket.create_server(("127.0.0.1", 0)) as free:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    pids = []
    for rank in range(2):
        pid = os.fork()
        if not pid:
            run(rank, small, out)
            os._exit(0)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
