"""Trains whole once, and once killed twenty times: ``killed.py SMALL OUT``. Prints the steps saved after each kill.

Forks from a process that imported torch but started no thread of it: twenty starts cost little.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import tiny
import torch

from castsearch import stagefiles
from castsearch.bodies import checkpoints, data, training
from castsearch.images import ImageReader

EPOCHS = 120  # of 2 steps


def start(small: Path, folder: Path) -> int:
    """Train in a process of its own."""
    pid = os.fork()
    if pid:
        return pid
    people = data.identities({"train": stagefiles.read_body(small / "data/body_train.pkl")})
    settings = training.Settings("triplet", "tiny", height=32, width=16, batch_size=4, image_num=2)
    network = training.new_network(settings, len(people))
    reader = ImageReader(small / "body")
    trainer = training.Trainer(settings, people, network, reader, folder, torch.device("cpu"), workers=1)
    trainer.resume()
    trainer.run(EPOCHS)
    os._exit(0)


def saved(folder: Path) -> int:
    return checkpoints.read(folder / "last.pt")["step"] if (folder / "last.pt").exists() else 0


def logged(folder: Path) -> int:
    log = folder / "log.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0


def main(small: Path, out: Path) -> None:
    torch.set_num_threads(1)
    tiny.register()
    assert os.waitpid(start(small, out / "whole"), 0)[1] == 0
    folder = out / "killed"
    draw = random.Random(0)
    for kill in range(20):
        goal = saved(folder) + draw.randint(1, 2 * EPOCHS // 30)
        pid = start(small, folder)
        while logged(folder) < goal and os.waitpid(pid, os.WNOHANG) == (0, 0):
            time.sleep(0.0005)
        time.sleep(draw.uniform(0, 0.02))
        os.kill(pid, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(pid, 0)[1]), f"kill {kill} came too late"
        print(saved(folder))
    assert os.waitpid(start(small, folder), 0)[1] == 0


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
