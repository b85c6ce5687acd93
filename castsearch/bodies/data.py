"""What the network trains on: identities, batches of P identities x K pictures, augmentation.

Everything random is drawn from the seed, the epoch and the place in the batch, never from a
stream. A run that resumes, or is spread over more processes or threads, therefore sees exactly
the pictures it would have seen.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance

from castsearch.annotations import OTHERS
from castsearch.bodies.body_model import MEAN
from castsearch.errors import CastSearchError
from castsearch.images import ImageReader
from castsearch.stagefiles import Split, body_name


class TrainingDataError(CastSearchError):
    """A split that cannot be trained on."""


Identity = tuple[str, str]  # movie and label: the same label in another movie is another person


def identities(splits: Mapping[str, Split]) -> dict[Identity, list[str]]:
    """The pictures of each person, below the root of the crops.

    Candidates train; portraits do not, and neither do candidates labelled ``others``.

    Args:
        splits: by mode, which is the folder of their pictures.

    Raises:
        TrainingDataError: a candidate has no label, or nobody is left, or one person alone.
    """
    people: dict[Identity, list[str]] = {}
    for mode, split in splits.items():
        for movie in split.values():
            for picture in movie.candidates:
                if picture.label is None:
                    raise TrainingDataError(
                        f"{body_name(mode)}: movie {movie.name}: {picture.id} has no label to train on"
                    )
                if picture.label != OTHERS:
                    people.setdefault((movie.name, picture.label), []).append(f"{mode}/{picture.file}")
    if not people:
        raise TrainingDataError(f"{', '.join(map(body_name, splits))}: no labelled candidate to train on")
    if len(people) == 1:
        raise TrainingDataError(
            f"{', '.join(map(body_name, splits))}: all labelled candidates are of one person; label another one too"
        )
    return dict(sorted(people.items()))


def digests(people: Mapping[Identity, Sequence[str]]) -> list[str]:
    """Stand for the pictures of each identity, by their names in order."""
    return [hashlib.blake2b("\n".join(files).encode(), digest_size=8).hexdigest() for files in people.values()]


@dataclass(frozen=True)
class Sample:
    """One picture to train on: who it shows, its place among the pictures of that person, where it stands."""

    label: int
    picture: int
    epoch: int
    place: int


@dataclass(frozen=True)
class Batches:
    """Batches of P identities with K pictures each; an epoch shows every identity once.

    The few identities that do not fill a batch at the end of an epoch, other ones each time,
    are left out.

    Attributes:
        counts: pictures of each identity.
        p: identities in a batch.
        k: pictures of each; an identity with fewer repeats them, as evenly as can be.
        seed: of everything drawn.
    """

    counts: Sequence[int]
    p: int
    k: int
    seed: int

    def __post_init__(self) -> None:
        if self.p > len(self.counts):
            raise TrainingDataError(
                f"a batch needs {self.p} identities, and there are {len(self.counts)}; give a smaller batch_size"
            )

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch."""
        return len(self.counts) // self.p

    def epoch(self, epoch: int) -> Iterator[list[Sample]]:
        """The batches of an epoch, in order."""
        draw = np.random.default_rng((self.seed, epoch))
        order = draw.permutation(len(self.counts))
        for step in range(self.per_epoch):
            batch: list[Sample] = []
            for label in order[step * self.p : (step + 1) * self.p].tolist():
                rounds = math.ceil(self.k / self.counts[label])
                pictures = np.concatenate([draw.permutation(self.counts[label]) for _ in range(rounds)])[: self.k]
                place = step * self.p * self.k + len(batch)
                batch += [Sample(label, picture, epoch, place + i) for i, picture in enumerate(pictures.tolist())]
            yield batch


@dataclass(frozen=True)
class Augmentation:
    """Makes training pictures harder.

    Mirrored in one of two; shifted by up to ``pad`` pixels; in one of two a rectangle erased to
    ImageNet's mean colour (Zhong et al., "Random Erasing Data Augmentation", AAAI 2020: 2 to 40 %
    of the area, aspect ratio 0.3 to 1/0.3).

    Attributes:
        height, width: size that pictures are brought to.
        color_jitter: brightness, contrast and saturation are each multiplied by a factor up to
            this far from 1.
        pad: in pixels.
    """

    height: int
    width: int
    color_jitter: float = 0.0
    pad: int = 10

    def __call__(self, picture: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """(h, w, 3) uint8 to (height, width, 3) uint8."""
        image = Image.fromarray(picture).resize((self.width, self.height), Image.Resampling.BICUBIC)
        if draw.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.color_jitter:
            for kind in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
                image = kind(image).enhance(1 + draw.uniform(-self.color_jitter, self.color_jitter))
        padded = np.pad(np.asarray(image), ((self.pad,) * 2, (self.pad,) * 2, (0, 0)))
        top, left = draw.integers(0, 2 * self.pad, size=2, endpoint=True)
        shifted = padded[top : top + self.height, left : left + self.width].copy()
        if draw.random() < 0.5:
            erase(shifted, draw)
        return shifted


def erase(picture: np.ndarray, draw: np.random.Generator) -> None:
    """Erase a random rectangle of (h, w, 3) uint8 ``picture`` in place."""
    height, width = picture.shape[:2]
    for _ in range(100):
        area = draw.uniform(0.02, 0.4) * height * width
        ratio = draw.uniform(0.3, 1 / 0.3)
        h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if h < height and w < width:
            top, left = draw.integers(0, height - h, endpoint=True), draw.integers(0, width - w, endpoint=True)
            picture[top : top + h, left : left + w] = np.round(np.multiply(MEAN, 255)).astype(np.uint8)
            return


class Pictures:
    """The training pictures, augmented.

    Args:
        people: pictures of each identity, by label.
        reader: reads them; where it skips bad ones, the person's next picture stands in.
        augmentation: makes them harder.
        seed: of everything drawn.
    """

    def __init__(
        self, people: Sequence[Sequence[str]], reader: ImageReader, augmentation: Augmentation, seed: int
    ) -> None:
        self.people, self.reader, self.augmentation, self.seed = people, reader, augmentation, seed

    def __call__(self, sample: Sample) -> np.ndarray:
        """(height, width, 3) uint8.

        Raises:
            ImageError: the picture is bad.
            TrainingDataError: bad ones are passed over, and none of that person is left.
        """
        draw = np.random.default_rng((self.seed, sample.epoch, sample.place))
        return self.augmentation(self._read(self.people[sample.label], sample.picture), draw)

    def _read(self, files: Sequence[str], first: int) -> np.ndarray:
        for file in (*files[first:], *files[:first]):
            if file not in self.reader.bad:
                picture = self.reader(file)
                if file not in self.reader.bad:
                    return picture
        raise TrainingDataError(
            f"{self.reader.root / files[first]}: cannot be read, nor any other picture of that person; "
            "replace one, or leave the person out of the split"
        )
