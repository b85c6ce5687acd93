"""How well a network in training retrieves the people of a split."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import nn

from castsearch.bodies import distributed, scoring
from castsearch.bodies.data import TrainingDataError
from castsearch.bodies.distributed import Stopped
from castsearch.bodies.extraction import Extractor, files_of
from castsearch.bodies.scoring import Retrieval
from castsearch.stagefiles import Split, body_name

Validator: TypeAlias = Callable[[nn.Module], Retrieval]


def validator(split: Split, mode: str, extractor: Callable[[nn.Module], Extractor]) -> Validator:
    """Scores a network on a split: within each movie, every labelled candidate looks for its other pictures.

    The movies are shared among the processes.

    Args:
        split: the pictures.
        mode: the split's name, and the folder of the pictures.
        extractor: makes an extractor of a network.

    Returns:
        The validator; it raises ``Stopped`` in all processes where an extractor does in one.

    Raises:
        TrainingDataError: a candidate has no label.
    """
    for movie in split.values():
        for picture in movie.candidates:
            if picture.label is None:
                raise TrainingDataError(
                    f"{body_name(mode)}: movie {movie.name}: {picture.id} has no label to score by; "
                    "validate on a split that has labels"
                )
    files = files_of(split, mode, with_cast=False)
    mine = [movie for movie in split.values() if movie.candidates][distributed.rank() :: distributed.world()]

    def validate(model: nn.Module) -> Retrieval:
        extract = extractor(model)
        parts: list[Retrieval | None] = []
        try:
            for movie in mine:
                people = [scoring.person(picture) for picture in movie.candidates]
                parts.append(scoring.within(extract(files[movie.name]), people))
        except Stopped:
            parts.append(None)
        everyones = distributed.joined(parts)
        if None in everyones:
            raise Stopped
        return scoring.joined(everyones)

    return validate
