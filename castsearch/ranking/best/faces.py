"""What faces tell: cosines to a person's portraits, and to the faces that are surely theirs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from castsearch.ranking.best.people import logistic
from castsearch.ranking.best.recipe import Recipe
from castsearch.ranking.impostors import Impostors
from castsearch.ranking.threads import slices, tile_rows
from castsearch.ranking.unit import F64, Ids, Tile, UnitRows, products_with_sums, sum_of_directions


class Templates:
    """One template a person: the portraits, and faces that are surely theirs.

    A face joins with its probability as weight, as in query expansion (Arandjelovic and Zisserman, "Three things
    everyone should know to improve object retrieval", CVPR 2012). What a template says of a face never rests on that
    face itself.

    Args:
        faces: unit rows of q portraits, then of n candidates.
        portraits: for each person the rows that count as portraits.
        has_face: (n,) whether a candidate shows a face.
        recipe: how much a portrait weighs, and what is sure.
    """

    def __init__(
        self, faces: UnitRows, portraits: Sequence[Ids], has_face: npt.NDArray[np.bool_], recipe: Recipe
    ) -> None:
        n = len(has_face)
        self._faces = faces.tile(len(faces) - n + np.flatnonzero(has_face))
        self._has_face, self._sure = has_face, recipe.sure
        self._portraits = recipe.portrait_weight * np.stack(
            [sum_of_directions(faces.tile(slice(None)), own) for own in portraits]
        )

    def cosines(self, probability: F64 | None = None) -> F64:
        """(p, m) cosines of each person's template and the m candidates that show a face.

        Args:
            probability: (p, n) that a box shows the person; without it templates are the portraits alone.
        """
        if probability is None:
            weight = np.zeros((len(self._portraits), len(self._faces.rows)))
        else:
            own = probability[:, self._has_face]
            weight = np.where(own >= self._sure, own, 0)
        template = self._portraits + np.stack(
            [sum_of_directions(self._faces, np.flatnonzero(row), row) for row in weight]
        )
        product = np.empty_like(weight)
        for some in slices(len(self._faces.rows), tile_rows(template.shape[1])):
            faces = Tile(self._faces.rows[some], self._faces.square[some])
            product[:, some] = products_with_sums(template, faces)
        # Without the face itself the template is T - w f, whose square is T.T - 2 w T.f + w^2.
        square = np.square(template).sum(axis=1, keepdims=True) - 2 * weight * product + weight**2
        return (product - weight) / np.sqrt(np.maximum(square, np.finfo(np.float32).tiny))


def evidence(cosines: F64, impostors: Impostors, recipe: Recipe) -> F64:
    """Log likelihood ratio of the person and somebody else, of cosines with the person's template.

    The ratio grows exponentially with the cosine, as of two normal distributions of equal width (a logistic
    calibration of scores: Brummer and du Preez, "Application-independent evaluation of speaker detection", Computer
    Speech and Language 2006), up to a limit; a share of faces tells nothing, which bounds it from below.
    """
    z = impostors.standardised(cosines)
    likelihood = np.exp(np.minimum(recipe.face_slope * (z - recipe.face_middle), recipe.face_most))
    return np.log((1 - recipe.useless) * likelihood + recipe.useless)


def presence(z: F64, log_odds: F64, has_face: npt.NDArray[np.bool_], recipe: Recipe) -> F64:
    """(p,) probability that a person is in the movie at all.

    The best of many impostors looks like the person: of m standard normal numbers the largest lies near sqrt(2 log m)
    (Cramer, "Mathematical methods of statistics", section 28.6). Whose likeliest face lies no higher, and is backed by
    little else, may well be absent.

    Args:
        z: (p, m) cosines of portraits and faces, in standard deviations above the mean of impostors.
        log_odds: (p, n) that a box shows the person.
        has_face: (n,) which m boxes show a face.
        recipe: the log odds.
    """
    beyond = np.zeros(len(z))  # without a face nothing is known
    if z.shape[1]:
        likeliest = log_odds[:, has_face].argmax(axis=1)
        beyond = z[np.arange(len(z)), likeliest] - np.sqrt(2 * np.log(z.shape[1]))
    backed = recipe.presence_backing * log_odds.max(axis=1)
    return logistic(recipe.presence_odds + recipe.presence_slope * beyond + backed)
