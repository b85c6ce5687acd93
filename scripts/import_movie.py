#!/usr/bin/env python3
"""A film in the challenge's layout, so that every stage runs on it.

    import_movie.py --video FILM.mp4 --portraits PORTRAITS --out WORK

WORK receives origin/test/FILM/ with the pictures in which somebody is, test.json with everybody's boxes, and
test_times.json with times, shots and tracks. Several films become several movies. Then, for instance:

    bash scripts/run_split.sh --origin WORK/origin --annotations WORK --mode test --model dlib --cnn mobilenet_v2 \\
        --recipe best --out WORK
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from castsearch.movies.finding import MODE
from scripts import cli, films


def main() -> None:
    parser = cli.parser(__doc__)
    films.add_flags(parser, portraits=False)
    args = parser.parse_args()
    footage, models, cast = films.opened(args)
    used = all_boxes = 0
    with films.alone(args.out):
        for scanned in films.looked_through(footage, models, cast.people, args):
            shots, tracks, boxes = map(len, (scanned.survey.shots, scanned.scan.tracks, scanned.candidates))
            print(f"{scanned.movie}: {shots} shots, {tracks} tracks, {boxes} boxes")
            used, all_boxes = used + 1, all_boxes + boxes
    if used:
        split = args.out / f"{MODE}.json"
        cli.done(f"{used} film{'s' * (used != 1)}, {all_boxes} boxes -> {split}", split, films=used, boxes=all_boxes)
    films.check_all(used, footage)


if __name__ == "__main__":
    cli.run(main)
