"""Gives mutated ONNX files to OpenVINO, to open and to run once.

Run by test_network.py: fuzz_openvino.py REAL FOLDER NUMBER SEED, where REAL is an ONNX file and FOLDER receives the
mutated one. Prints counts as JSON; anything but a typed error is a traceback, or the process ends by a signal.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from castsearch.networks import NetworkError, Place, open_network
from tests.networks.fuzz_checkpoints import mutate_bytes

SIDE = 64  # pixels of the picture, where it is free


def main() -> None:
    real, path = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]) / "mutated.onnx"
    chance = random.Random(int(sys.argv[4]))
    counts: Counter[str] = Counter()
    for _ in range(int(sys.argv[3])):
        path.write_bytes(mutate_bytes(real, chance))
        counts["files"] += 1
        try:
            network = open_network(path, Place(-1, "bfloat16"))
            shapes = [[side if isinstance(side, int) else SIDE for side in port.shape] for port in network.inputs]
            feed = {port.name: np.zeros(s, np.float32) for port, s in zip(network.inputs, shapes, strict=True)}
            network.run(feed)
            counts["ran"] += 1
        except NetworkError as error:
            assert "\n" not in str(error) and len(str(error)) < 1000
            counts["refused"] += 1
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
