#!/usr/bin/env python3
"""Stage 3: train MGN, four embeddings of body and halves, with cross entropy and triplet loss, or extract its features.

Training reads {data}/body_train.pkl and BODY/train/, and writes checkpoints and logs to --save_dir.
With --eval, reads {data}/body_{mode}.pkl and BODY/{mode}/ and writes {data}/mgn_{cnn}_{mode}.pkl.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from reid import stage
from scripts import cli


def main() -> None:
    stage.run("mgn", __doc__)


if __name__ == "__main__":
    cli.run(main)
