#!/usr/bin/env python3
"""Render the demo movie: shots from one cast photograph and one portrait, in the challenge's layout.

Writes OUT/origin/{train,val,test}/, OUT/{train,val,test}.json and OUT/{train,val}_label.json. The
pictures come with the packages insightface and scikit-image. As every shot shows the same photograph,
the demo proves that the machine works and measures nothing.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from castsearch.annotations import AnnotationError, read_annotations
from castsearch.demo_movie import render_split
from castsearch.stagefiles import check_folder, remove_leftovers, sweep
from scripts import cli

FRAMES = {"train": 24, "val": 24, "test": 8}


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--out", type=Path, default=cli.DATA / "demo", help="folder that receives the movie")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same pictures")
    args = parser.parse_args()
    check_folder(args.out)
    movies = {mode: f"tt000000{number}" for number, mode in enumerate(FRAMES, start=1)}
    for mode, movie in movies.items():
        file = args.out / f"{mode}.json"
        if file.exists() and [*read_annotations(file)] != [movie]:
            raise AnnotationError(f"{file}: holds other movies, which this would replace; choose another folder")
    with cli.alone(args.out / "demo"):
        for number, (mode, frames) in enumerate(FRAMES.items()):
            n_boxes = render_split(args.out, mode, movies[mode], frames, [args.seed, number])
            cli.say(f"{mode}: {frames} frames, {n_boxes} person boxes -> {args.out / f'{mode}.json'}")
        sweep(args.out / "origin")
        remove_leftovers(*(args.out / f"{mode}{what}.json" for mode in FRAMES for what in ("", "_label")))


if __name__ == "__main__":
    cli.run(main)
