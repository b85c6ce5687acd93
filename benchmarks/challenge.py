"""What stages 1 to 3 of the 2019 validation split cost on this machine, at each precision, beside MXNet 1.9.1.

    python3 benchmarks/challenge.py [--boxes 60] [--rounds 3] [--precision float32 bfloat16 int8]

Boxes are drawn from the split's real frame names and boxes, in runs as they follow each other when a list of 10,000 is
searched, and cut out of film stills of the size of their movie's frames; of each frame that is searched whole, as many
as of a run. The three large networks (RetinaFace-R50, LResNet100E-IR, ResNeXt-101) have random weights, which cost the
same time as real ones; the detector's find no face, as in most of a picture. Precisions take turns. Detection is
projected by the pixels that go through the network, embedding and bodies by the box, cropping by the frame. MXNet's
environment: see requirements-mxnet.txt.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from threadpoolctl import threadpool_info

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from castsearch import annotations, crops
from castsearch.bodies import checkpoints
from castsearch.bodies.body_model import Pictures
from castsearch.bodies.extraction import Extractor
from castsearch.bodies.models import open_network
from castsearch.bodies.networks import Network
from castsearch.faces.arcface import open_arcface
from castsearch.faces.lists import LIST_LENGTH
from castsearch.faces.retinaface import SCALES, RetinaFace, open_retinaface, scale_factors, scaled_sizes
from castsearch.images import ImageReader
from castsearch.networks import PRECISIONS, Place, Precision, PrecisionError, find_place
from castsearch.networks.checkpoints import converted
from castsearch.networks.int8 import Agreement, quantized
from castsearch.parallel import core_count

TESTDATA = Path(os.environ.get("CASTSEARCH_TESTDATA", ROOT.parent / "shared"))
MXNET = Path(os.environ.get("CASTSEARCH_MXNET_PYTHON", ROOT / ".venv-mxnet/bin/python"))
FRAMES_DRAWN, RUN = 5, 6  # frames that are searched whole; boxes of a run
MXNET_BOXES = 10  # it takes its time; its cost a pixel hardly varies
CALIBRATED_ON = 16  # pictures: speed does not depend on how many
CHIPS = 64
WARM_UP = 4  # pictures of each kind, before time is taken
MXNET_NAME = "MXNet 1.9.1"
CROP, DETECT, FRAMES, EMBED, BODY = "crop", "detect", "detect in frames", "embed", "body"
Frame = tuple[int, int]  # width and height


@dataclass
class Split:
    """The real split's boxes, by movie and frame.

    Attributes:
        boxes: movie, frame and x, y, w, h of each.
        frames: size of each frame, taken from the farthest box of its movie: some reach the edge.
    """

    boxes: list[tuple[str, str, tuple[int, int, int, int]]] = field(default_factory=list)
    frames: dict[str, Frame] = field(default_factory=dict)

    @classmethod
    def read(cls) -> Split:
        split = cls()
        with gzip.open(TESTDATA / "data/csm_2019_val_boxes/candidates.json.gz") as file:
            movies = json.load(file)
        for movie, candidates in movies.items():
            size = tuple(max(c["bbox"][i] + c["bbox"][i + 2] for c in candidates) for i in (0, 1))
            split.frames |= {candidate["img"]: size for candidate in candidates}
            split.boxes += [(movie, candidate["img"], tuple(candidate["bbox"])) for candidate in candidates]
        return split

    def run(self, random: np.random.Generator) -> list[tuple[str, str, tuple[int, int, int, int]]]:
        """Some boxes that follow each other in the order in which a list is searched, by their sizes after scaling."""
        start = LIST_LENGTH * int(random.integers(-(-len(self.boxes) // LIST_LENGTH)))
        ordered = sorted(
            self.boxes[start : start + LIST_LENGTH], key=lambda box: scaled_sizes(SCALES[::-1], *box[2][:1:-1])
        )
        first = int(random.integers(len(ordered) - RUN))
        return ordered[first : first + RUN]


def searched(sizes: Iterable[Frame]) -> float:
    """Pixels that go through the detector for pictures of these widths and heights, at both scales."""
    return sum(w * h * f * f for w, h in sizes for f in scale_factors(SCALES, h, w))


class Drawn:
    """Some boxes of the split with pictures, and some of their frames to be searched whole.

    Args:
        split: drawn from.
        folder: receives the pictures.
        n: how many boxes.
        seed: of the draw.
    """

    def __init__(self, split: Split, folder: Path, n: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        chosen = [box for _ in range(-(-n // RUN)) for box in split.run(random)][:n]
        self.folder, self.sizes = folder, [(w, h) for _, _, (_, _, w, h) in chosen]
        stills = sorted((TESTDATA / "data/jurassic/origin/val").glob("*/candidates/*.jpg"))
        portrait = next((TESTDATA / "data/jurassic/origin/val").glob("*/cast/*.jpg"))
        told: dict[str, dict[str, list[dict[str, object]]]] = {}
        for number, (movie, img, box) in enumerate(chosen):
            path = folder / "origin/val" / img
            path.parent.mkdir(parents=True, exist_ok=True)
            still = cv2.imread(str(stills[number % len(stills)]))
            cv2.imwrite(str(path), cv2.resize(still, split.frames[img], interpolation=cv2.INTER_CUBIC))
            cast = [{"id": f"{movie}_cast", "img": "cast.jpg", "label": "cast"}]
            entry = told.setdefault(movie, {"cast": cast, "candidates": []})
            entry["candidates"].append({"id": f"{movie}_{number}", "img": img, "bbox": box, "label": "others"})
        (folder / "origin/val/cast.jpg").write_bytes(portrait.read_bytes())
        (folder / "val.json").write_text(json.dumps(told))
        self.images = list(dict.fromkeys(img for _, img, _ in chosen))
        # Frames of a movie have one size: each is searched RUN times, in place of as many others.
        self.frames = sorted(
            self.images[:: -(-len(self.images) // FRAMES_DRAWN)] * RUN, key=lambda img: split.frames[img]
        )
        self.frame_sizes = [split.frames[img] for img in self.frames]

    def crop(self) -> list[str]:
        """Stage 1; the crops' paths below ``folder / "body"``."""
        movies = annotations.read_annotations(self.folder / "val.json")
        places = (self.folder / name for name in ("origin/val", "body/val", "body_val.pkl"))
        cropping = crops.Cropping(movies, *places, overwrite=True)
        cropping.run()
        return [f"val/{picture.file}" for movie in cropping.finish().values() for picture in movie.candidates]


class Timings:
    """Seconds of each pass, by step and by how it was done."""

    def __init__(self) -> None:
        self.passes: dict[tuple[str, str], list[float]] = {}

    def time(self, step: str, how: str, work: Callable[[], object], keep: bool) -> None:
        """Run ``work`` and keep its time, unless it only warms up."""
        start = time.perf_counter()
        work()
        if keep:
            self.add(step, how, time.perf_counter() - start)

    def add(self, step: str, how: str, seconds: float) -> None:
        self.passes.setdefault((step, how), []).append(seconds)

    def median(self, step: str, how: str) -> float:
        return statistics.median(self.passes[step, how])


class Networks:
    """The three networks at one precision.

    Args:
        weights: folder of the checkpoints.
        place: where they run.
        body: the body network.
        reader: reads the crops, on which int8 is calibrated.
        files: the crops.
    """

    def __init__(self, weights: Path, place: Place, body: Network, reader: ImageReader, files: Sequence[str]) -> None:
        r50, r100 = ((weights / f"{n}-symbol.json", weights / f"{n}-0000.params") for n in ("R50", "LResNet100E-IR"))
        seen = [reader(file) for file in files[:CALIBRATED_ON]]
        self.detector = open_retinaface(*r50, place, model=in_int8(r50, place, seen, 320, exact_ends=True))
        self.embedder = open_arcface(*r100, place, in_int8(r100, place, seen, 112))
        model = open_network(body, 256, 128, torch.device("cpu"), place.precision, Pictures(reader, files))
        self.extract = Extractor(model, reader)


def in_int8(
    checkpoint: tuple[Path, Path], place: Place, pictures: Sequence[np.ndarray], side: int, exact_ends: bool = False
) -> Path | None:
    """The checkpoint quantized, where the place wants it so; that it has random weights makes comparing pointless."""
    if place.precision != "int8":
        return None
    feeds = [{"data": cv2.dnn.blobFromImage(picture, size=(side, side))} for picture in pictures]
    nothing = Agreement("cosine", 1.0, 1.0, 0, len(feeds))
    made = quantized(checkpoint[0], converted(*checkpoint), lambda: iter(feeds), lambda _: nothing, {}, exact_ends)
    return made.model


def open_all(drawn: Drawn, files: Sequence[str], precisions: Sequence[Precision]) -> dict[str, Networks]:
    """The networks at each precision that the machine has."""
    for graph, shape in (("R50", "1,3,640,640"), ("LResNet100E-IR", f"{CHIPS},3,112,112")):
        symbol = drawn.folder / f"{graph}-symbol.json"
        symbol.write_bytes((TESTDATA / "models/graphs" / symbol.name).read_bytes())
        oracle("init", symbol, drawn.folder / f"{graph}-0000.params", "--shape", shape)
    torch.manual_seed(0)
    body = checkpoints.build("triplet", "resnext101_32x8d").eval()
    found = {}
    for precision in precisions:
        try:
            place = find_place(-1, precision)
        except PrecisionError as error:
            print(f"without {precision}: {error}")
        else:
            found[precision] = Networks(drawn.folder, place, body, ImageReader(drawn.folder / "body"), files)
    return found


def run_in_turns(
    timings: Timings, drawn: Drawn, files: Sequence[str], networks: Mapping[str, Networks], rounds: int
) -> None:
    """Stages 1 to 3; pictures are read from disk, chips are noise."""
    chips = np.random.default_rng(0).integers(0, 256, (CHIPS, 3, 112, 112), dtype=np.uint8)
    crops_, frames = ImageReader(drawn.folder / "body"), ImageReader(drawn.folder / "origin/val")

    def detect(detector: RetinaFace, reader: ImageReader, names: Sequence[str]) -> None:
        detector.detect_many([image for _, image in reader.read_ahead(names)])

    for turn in range(rounds + 1):
        few = WARM_UP if turn == 0 else None
        timings.time(CROP, "", drawn.crop, keep=turn > 0)
        for how, network in networks.items():
            steps = {
                DETECT: partial(detect, network.detector, crops_, files[:few]),
                FRAMES: partial(detect, network.detector, frames, drawn.frames[:few]),
                EMBED: partial(network.embedder.embed, chips[:few]),
                BODY: partial(network.extract, files[:few]),
            }
            for step, work in steps.items():
                timings.time(step, how, work, keep=turn > 0)


def run_mxnet(timings: Timings, drawn: Drawn, rounds: int) -> None:
    """The bare networks of stage 2, on all cores."""
    random, inputs, seconds = np.random.default_rng(0), drawn.folder / "inputs.npz", drawn.folder / "seconds.npz"

    def noise(*shape: int) -> np.ndarray:
        return random.uniform(0, 255, shape).astype(np.float32)

    pictures = [
        noise(1, 3, round(h * f), round(w * f))
        for w, h in drawn.sizes[:MXNET_BOXES]
        for f in scale_factors(SCALES, h, w)
    ]
    for step, graph, arrays in ((DETECT, "R50", pictures), (EMBED, "LResNet100E-IR", [noise(CHIPS, 3, 112, 112)])):
        np.savez(inputs, *arrays)
        symbol, params = (drawn.folder / f"{graph}-{rest}" for rest in ("symbol.json", "0000.params"))
        oracle("time", symbol, params, inputs, seconds, "--repeat", rounds)
        timings.add(step, MXNET_NAME, sum(float(np.median(passes)) for passes in np.load(seconds).values()))


def oracle(*args: object) -> None:
    command = [str(MXNET), str(ROOT / "benchmarks/mxnet_oracle.py"), *map(str, args)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": str(core_count())}
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")


def report(split: Split, drawn: Drawn, timings: Timings, precisions: Sequence[str]) -> None:
    """Seconds a box, and hours for the split, by precision."""
    boxes, n = len(split.boxes), len(drawn.sizes)
    in_crops, in_frames = searched(box[2:] for _, _, box in split.boxes), searched(split.frames.values())
    share = {  # of the split in what was timed, as a factor
        DETECT: in_crops / searched(drawn.sizes),
        FRAMES: in_frames / searched(drawn.frame_sizes),
        EMBED: boxes / CHIPS,
        BODY: boxes / n,
    }
    cropping = timings.median(CROP, "") * len(split.frames) / len(drawn.images) / 3600
    pixels = f"{in_crops / 1e12:.3f} terapixels to search, in frames {in_frames / 1e12:.3f}"
    print(f"{boxes} boxes in {len(split.frames)} frames; {pixels}")
    print(f"cropping: {cropping:.1f} h")
    print(
        f"\n{'hours for the split':24}"
        + "".join(f"{step:>18}" for step in share)
        + f"{'stages 1 to 3':>16}{'in frames':>12}"
    )
    for how in precisions:
        hours = {step: timings.median(step, how) * factor / 3600 for step, factor in share.items()}
        both = [cropping + hours[detect] + hours[EMBED] + hours[BODY] for detect in (DETECT, FRAMES)]
        print(f"{how:24}" + "".join(f"{value:18.1f}" for value in hours.values()) + f"{both[0]:16.1f}{both[1]:12.1f}")
    if (DETECT, MXNET_NAME) in timings.passes:
        ten = drawn.sizes[:MXNET_BOXES]
        detect = timings.median(DETECT, MXNET_NAME) * in_crops / searched(ten) / 3600
        embed = timings.median(EMBED, MXNET_NAME) * share[EMBED] / 3600
        print(f"{MXNET_NAME:24}{detect:18.1f}{'':18}{embed:18.1f}")
    print(f"\n{'speed beside float32':24}" + "".join(f"{step:>18}" for step in share))
    for how in precisions:
        ratios = (timings.median(step, precisions[0]) / timings.median(step, how) for step in share)
        print(f"{how:24}" + "".join(f"{ratio:17.2f}x" for ratio in ratios))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boxes", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3, help="turns that each precision takes; the median counts")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    args = parser.parse_args()
    if not TESTDATA.is_dir():
        sys.exit(f"no test data at {TESTDATA}; set CASTSEARCH_TESTDATA")
    if not MXNET.exists():
        sys.exit(f"no MXNet at {MXNET}: see requirements-mxnet.txt, or set CASTSEARCH_MXNET_PYTHON")

    split, timings = Split.read(), Timings()
    with tempfile.TemporaryDirectory() as folder:
        drawn = Drawn(split, Path(folder), args.boxes, args.seed)
        files = drawn.crop()
        networks = open_all(drawn, files, args.precision)
        run_in_turns(timings, drawn, files, networks, args.rounds)
        precisions = list(networks)
        del networks  # their threads must not wait beside MXNet's
        run_mxnet(timings, drawn, args.rounds)
        blas = ", ".join(
            sorted({f"{pool['internal_api']} {pool.get('architecture', '')}" for pool in threadpool_info()})
        )
        print(f"{core_count()} cores, {blas.strip()}; {args.boxes} boxes, medians of {args.rounds}")
        report(split, drawn, timings, precisions)


if __name__ == "__main__":
    main()
