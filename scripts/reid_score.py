#!/usr/bin/env python3
"""Score a file of body features: Rank-1, Rank-5, Rank-10 and mAP, without and with re-ranking.

Looks for the casts among the candidates of their movie, or with --cameras for the pictures of one
camera among those of another; the last digit of an id is its camera. A picture never finds itself. People
without a label, and others, look for nobody and are nobody's hit; in the gallery they are distractors.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from castsearch import stagefiles
from castsearch.bodies import scoring
from castsearch.metrics import RANKS
from castsearch.ranking import ecn, k_reciprocal
from scripts import cli


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument(
        "features", type=Path, metavar="FILE", help="feature file; with casts unless --cameras is given"
    )
    parser.add_argument("--cameras", nargs=2, metavar=("QUERY", "GALLERY"), help="score between two cameras")
    parser.add_argument("--rerank", action="store_true", help="by k-reciprocal and by ECN distances too")
    cli.add_mode(parser, default="val")
    cli.add_data(parser)
    args = parser.parse_args()

    split = stagefiles.read_body(args.data / stagefiles.body_name(args.mode))
    searches = scoring.read_searches(args.features, split, tuple(args.cameras) if args.cameras else None)
    distances = {"cosine": scoring.cosine_dist}
    if args.rerank:
        distances |= {"k-reciprocal": k_reciprocal, "ECN": ecn}
    print(f"{'':12}" + "".join(f"{name:>9}" for name in [*(f"Rank-{k}" for k in RANKS), "mAP"]))
    for name, dist in distances.items():
        found = scoring.score(searches, dist)
        print(f"{name:12}" + "".join(f"{100 * figure:9.2f}" for figure in [*map(found.rank, RANKS), found.mean_ap]))


if __name__ == "__main__":
    cli.run(main)
