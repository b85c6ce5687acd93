"""Body features: plain PyTorch beside this code, on the same pictures, in turns.

    python3 benchmarks/bodies.py [--cnn resnext101_32x8d] [--rounds 3]

A picture goes through the network twice, as it is and mirrored. Plain is what the networks' own
documentation shows: channels first, one picture or one batch after the other. Weights are random, which costs
the same time as real ones; so are pictures, and the cosines of int8 to float32 are those of noise.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from threadpoolctl import threadpool_info

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from castsearch import networks
from castsearch.bodies import checkpoints
from castsearch.bodies.backbones import BACKBONES, normalise
from castsearch.bodies.engines import open_engine, torch_engine
from castsearch.bodies.graphs import Engine, Sample
from castsearch.bodies.networks import Network
from castsearch.images import ImageReader, write_jpeg
from castsearch.networks.places import has_bfloat16

HEIGHT, WIDTH, PICTURES = 256, 128, 16
CALIBRATION = 48  # pictures; how many makes no difference to speed
PLAIN = "PyTorch, channels first"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cnn", choices=BACKBONES, default="resnext101_32x8d")
    parser.add_argument("--rounds", type=int, default=3, help="turns that each takes; the median counts")
    args = parser.parse_args()

    torch.manual_seed(0)
    model = checkpoints.build("triplet", args.cnn).eval()
    cpu = torch.device("cpu")
    engines: dict[tuple[str, int], Engine] = {
        (PLAIN, 1): plain(model),
        (PLAIN, PICTURES): plain(model),
        ("PyTorch, channels last", PICTURES): torch_engine(copy.deepcopy(model), cpu),
    }
    with TemporaryDirectory() as folder:
        sample = noise(Path(folder))
        for precision in networks.PRECISIONS if has_bfloat16() else ("float32", "int8"):
            opened = open_engine(copy.deepcopy(model), cpu, HEIGHT, WIDTH, precision, sample)
            engines[f"{opened.ran.precision}, {opened.ran.engine}", PICTURES] = opened.engine
    pictures = np.random.default_rng(0).integers(0, 255, (PICTURES, HEIGHT, WIDTH, 3), dtype=np.uint8)
    times, features = measure(engines, pictures, args.rounds)

    blas = ", ".join(sorted({f"{pool['internal_api']} {pool.get('architecture', '')}" for pool in threadpool_info()}))
    print(
        f"{args.cnn}, {WIDTH} x {HEIGHT}, {torch.get_num_threads()} threads, {blas.strip()}; medians of {args.rounds}"
    )
    print(f"{'':32} {'batch':>5} {'s/picture':>10} {'CPU s':>7} {'speed-up':>9} {'cosine':>9}")
    base = times[PLAIN, 1]
    for (title, batch), (wall, used) in times.items():
        likeness = cosine(features[title, batch], features[PLAIN, 1])
        print(f"{title:32} {batch:5} {wall:10.3f} {used:7.3f} {base[0] / wall:8.2f}x {likeness:9.6f}")


def noise(folder: Path) -> Sample:
    """Pictures for int8 to be calibrated on."""
    draw = np.random.default_rng(1)
    for i in range(CALIBRATION):
        write_jpeg(folder / f"{i}.jpg", draw.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8))
    return Sample(ImageReader(folder), [f"{i}.jpg" for i in range(CALIBRATION)], lambda picture: picture)


def plain(model: Network) -> Engine:
    """What one writes first."""

    def run(pictures: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            x = normalise(torch.from_numpy(pictures)).contiguous()
            return ((model(x) + model(x.flip(3))) / 2).numpy()

    return run


def measure(
    engines: dict[tuple[str, int], Engine], pictures: np.ndarray, rounds: int
) -> tuple[dict[tuple[str, int], tuple[float, float]], dict[tuple[str, int], np.ndarray]]:
    """Median seconds and CPU seconds a picture, and the features."""
    passes: dict[tuple[str, int], list[tuple[float, float]]] = {key: [] for key in engines}
    features = {}
    for turn in range(rounds + 1):
        for (title, batch), engine in engines.items():
            wall, used = time.perf_counter(), time.process_time()
            # One by one, a quarter of the pictures tells as much.
            shown = pictures[: max(batch, PICTURES // 8)]
            rows = [engine(shown[i : i + batch]) for i in range(0, len(shown), batch)]
            features[title, batch] = np.concatenate(rows)
            if turn:  # the first turn warms up
                seconds = (time.perf_counter() - wall, time.process_time() - used)
                passes[title, batch].append((seconds[0] / len(shown), seconds[1] / len(shown)))
    return {key: tuple(np.median(values, axis=0)) for key, values in passes.items()}, features


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Smallest cosine of the rows that both have."""
    a, b = a[: len(b)], b[: len(a)]
    return float(((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


if __name__ == "__main__":
    main()
