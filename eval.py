#!/usr/bin/env python3
"""Stage 5: score a ranking by mAP and Rank@1/5/10, as the challenge defines them."""

from pathlib import Path

from castsearch.annotations import read_labels, read_ranking
from castsearch.metrics import EvaluationError, evaluate
from scripts import cli


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--gt", type=Path, default=cli.DATA / "val_label.json", help="true candidates of each cast")
    parser.add_argument("--submission", type=Path, default=cli.ROOT / "val_result.txt", help="ranking, by fusion.py")
    args = parser.parse_args()
    labels, ranking = read_labels(args.gt), read_ranking(args.submission)
    try:
        cli.report_evaluation(evaluate(labels, ranking))
    except EvaluationError as error:
        raise EvaluationError(f"{args.gt}, {args.submission}: {error}") from None


if __name__ == "__main__":
    cli.run(main)
