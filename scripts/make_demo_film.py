#!/usr/bin/env python3
"""Render the demo's film: 20 seconds, five shots, three people with portraits and one without.

Writes OUT/demo.mp4, OUT/portraits/NAME.jpg, one of them of somebody who is not in the film, and OUT/truth.json, who is
seen when. The pictures come with the packages insightface, scikit-image and scikit-learn. As people look the same in
every shot, the film proves that the machine works and measures nothing.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from castsearch.demo_movie import render_film
from castsearch.stagefiles import check_folder, sweep
from scripts import cli


def main() -> None:
    parser = cli.parser(__doc__)
    parser.add_argument("--out", type=Path, default=cli.DATA / "film", help="folder that receives the film")
    args = parser.parse_args()
    check_folder(args.out)
    with cli.alone(*(args.out / name for name in ("demo.mp4", "truth.json"))):
        cli.done(f"{render_film(args.out):.1f} s -> {args.out / 'demo.mp4'}", args.out / "demo.mp4")
        sweep(args.out / "portraits")


if __name__ == "__main__":
    cli.run(main)
