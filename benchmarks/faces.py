"""Face networks: MXNet 1.9.1 beside this code, on the same machine and input, in turns; stages 1 and 2 as a whole.

    python3 benchmarks/faces.py [--rounds 3] [--repeat 3]

The two large networks have random weights, which cost the same time as real ones. MXNet runs as it comes (it takes
half of the cores it sees) and with all cores. Its environment: see requirements-mxnet.txt.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from castsearch.faces.arcface import open_arcface
from castsearch.faces.retinaface import SCALES, open_retinaface, scale_factors
from castsearch.networks import Place
from castsearch.parallel import core_count

TESTDATA = Path(os.environ.get("CASTSEARCH_TESTDATA", ROOT.parent / "shared"))
MXNET = Path(os.environ.get("CASTSEARCH_MXNET_PYTHON", ROOT / ".venv-mxnet/bin/python"))
PICTURE = (600, 800)  # height and width of the picture that is searched
PICTURES = 4  # that this code is given at a time; MXNet takes one
CHIPS = 8
OURS, AS_IT_COMES, ALL_CORES = "this code", "MXNet 1.9.1", "MXNet 1.9.1, all cores"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="turns that each side takes")
    parser.add_argument("--repeat", type=int, default=3, help="passes in a turn; the median of all counts")
    args = parser.parse_args()
    if not TESTDATA.is_dir():
        sys.exit(f"no test data at {TESTDATA}; set CASTSEARCH_TESTDATA")

    scaled = [tuple(round(side * f) for side in PICTURE) for f in scale_factors(SCALES, *PICTURE)]
    cases = {
        "R50 detection, two scales": ("R50", 1, {f"{h}x{w}": (1, 3, h, w) for h, w in scaled}),
        f"LResNet100E-IR, batch {CHIPS}": ("LResNet100E-IR", CHIPS, {"chips": (CHIPS, 3, 112, 112)}),
    }
    sizes = " and ".join(f"{width} x {height}" for height, width in scaled)
    print(f"{Place()}; picture of {PICTURE[1]} x {PICTURE[0]}, searched at {sizes}")
    print(f"{'':28} {'':24} {'s a pass':>9} {'pictures/s':>11} {'speed-up':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for title, (graph, pictures, shapes) in cases.items():
            times = compare(
                Path(folder), TESTDATA / f"models/graphs/{graph}-symbol.json", shapes, args.rounds, args.repeat
            )
            for who, values in times.items():
                median = float(np.median(values))
                ratio = f"{median / np.median(times[OURS]):8.2f}x" if who != OURS else ""
                print(f"{title:28} {who:24} {median:9.3f} {pictures / median:11.2f} {ratio:>9}")
        print(f"{'stages 1 and 2, 81 pictures':28} {'small checkpoints':24} {stages(Path(folder)):9.1f} s, 15 allowed")


def compare(
    folder: Path, symbol: Path, shapes: dict[str, tuple[int, ...]], rounds: int, repeat: int
) -> dict[str, list[float]]:
    """Seconds of each pass over all inputs, by whose they are."""
    params, inputs, outputs = folder / f"{symbol.stem}-0000.params", folder / "inputs.npz", folder / "outputs.npz"
    if not MXNET.exists():
        sys.exit(f"no MXNet at {MXNET}: see requirements-mxnet.txt, or set CASTSEARCH_MXNET_PYTHON")
    oracle("init", symbol, params, "--shape", ",".join(map(str, next(iter(shapes.values())))))
    random = np.random.default_rng(0)
    data = {name: random.uniform(0, 255, shape).astype(np.float32) for name, shape in shapes.items()}
    np.savez(inputs, **data)

    times: dict[str, list[float]] = {AS_IT_COMES: [], ALL_CORES: [], OURS: []}
    for _ in range(rounds):
        for who, environment in ((AS_IT_COMES, {}), (ALL_CORES, {"OMP_NUM_THREADS": str(core_count())})):
            oracle("time", symbol, params, inputs, outputs, "--repeat", repeat, **environment)
            times[who] += sum(np.load(outputs).values()).tolist()
        # Loaded anew each turn: idle threads of ours must not spin while MXNet is timed.
        times[OURS] += (embedding if "chips" in data else detection)(symbol, params, repeat)
    return times


def detection(symbol: Path, params: Path, repeat: int) -> list[float]:
    """Seconds a picture, resizing and decoding included."""
    # Random weights see faces everywhere; the score lets none through, as most of a picture has none.
    detector = open_retinaface(symbol, params, Place(), score=2)
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (*PICTURE, 3), dtype=np.uint8) for _ in range(PICTURES)]
    return [value / PICTURES for value in seconds(lambda: detector.detect_many(images), repeat)]


def embedding(symbol: Path, params: Path, repeat: int) -> list[float]:
    """Seconds for all chips."""
    embedder = open_arcface(symbol, params, Place())
    chips = np.random.default_rng(0).integers(0, 256, (CHIPS, 3, 112, 112), dtype=np.uint8)
    return seconds(lambda: embedder.embed(chips), repeat)


def seconds(run: Callable[[], object], repeat: int) -> list[float]:
    times = []
    for _ in range(repeat + 1):  # the first one warms up
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times[1:]


def oracle(*args: object, **environment: str) -> None:
    command = [str(MXNET), str(ROOT / "benchmarks/mxnet_oracle.py"), *map(str, args)]
    clean = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    done = subprocess.run(command, capture_output=True, text=True, env=clean | environment)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")


def stages(folder: Path) -> float:
    """Seconds from frames to ``face_val.pkl``, conversion of the checkpoints and imports included."""
    pack, data, body, results = (folder / name for name in ("pack", "data", "body", "results"))
    for name in ("retinaface_mnet25", "mobilefacenet_y1"):
        shutil.copytree(TESTDATA / "models" / name, pack / name, copy_function=shutil.copyfile)
        (pack / name).chmod(0o755)
    source, files = TESTDATA / "data/jurassic", ("--mode", "val", "--data", data)
    common = ("--image_root", body, "--model", pack, "--pkl_file")
    commands = [
        ("crop_body.py", "--origin", source / "origin", "--annotations", source / "data", "--body", body, *files),
        ("RetinaFace/datalist.py", "--root", body, *files, "--out", folder / "lists"),
        *(
            ("RetinaFace/deploy.py", "--txt_file", folder / f"lists/{name}.txt", *common, results / f"{name}.pkl")
            for name in ("val_cast", "val_candidates_0")
        ),
        ("RetinaFace/merge.py", *files, "--results", results),
        ("RetinaFace/face_det.py", "--image_root", body, *files, "--model", pack, "--out", folder),
        ("RetinaFace/face_feat.py", *files, "--model", pack, "--images", folder),
    ]
    start = time.perf_counter()
    for script, *flags in commands:
        done = subprocess.run([sys.executable, ROOT / script, *map(str, flags)], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{script}: {done.stderr[-2000:]}")
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
