"""What all scripts that extract body features do, whichever model they open."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from castsearch import stagefiles
from castsearch.bodies import distributed, extraction
from castsearch.bodies.body_model import BodyModel, Pictures
from castsearch.images import ImageReader, check_pictures
from castsearch.progress import silent
from scripts import cli


def extract(args: argparse.Namespace, out: Path, open_model: Callable[[Pictures], BodyModel], loaded: str) -> None:
    """Extract the features of a split.

    Args:
        args: flags that these scripts share.
        out: the feature file.
        open_model: opens the model; it is given the candidates, which int8 draws from.
        loaded: what to say of the weights, or nothing.
    """
    first = distributed.rank() == 0
    split = stagefiles.read_body(args.data / stagefiles.body_name(args.mode))
    reader = ImageReader(args.image_root, args.skip_bad)
    files = extraction.files_of(split, args.mode, args.with_cast)
    check_pictures(args.image_root, [file for some in files.values() for file in some], args.skip_bad)
    cli.split_folder(args.image_root, args.mode, "--image_root")
    candidates = extraction.files_of(split, args.mode, with_cast=False)
    pictures = Pictures(reader, [file for some in candidates.values() for file in some])
    model = distributed.in_turn(lambda: open_model(pictures))
    if first and loaded:
        cli.say(f"{model.weights}: {loaded}")
    if first and model.agreement is not None:
        cli.say(f"int8: {model.agreement}")
    extractor = extraction.Extractor(model, reader, args.test_batch_size, args.num_workers)
    progress = cli.progress if first else silent
    with cli.alone(out) if first else nullcontext():
        rows = extraction.extract_split(extractor, split, args.mode, out, args.with_cast, progress, args.overwrite)
    if first:
        cli.done(f"{len(split)} movies, {rows} pictures -> {out}", out, movies=len(split), pictures=rows)
        cli.report_pictures(reader)
