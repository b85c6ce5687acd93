"""The constants of the better recipe. They were chosen on simulated movies; docs/ranking.md tells which."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """What weighs how much. A piece is switched off by the value that its line names.

    Attributes:
        others: prior probability that a box shows nobody of the cast.
        face_slope, face_middle, face_most: evidence of a face is the slope times what its cosine lies above the middle,
            both in standard deviations of impostors, up to the most.
        useless: share of faces that tell nothing, being of the neighbour in the frame, or blurred, or turned away.
        template_rounds: how often sure faces join the portrait. 0: the portrait alone.
        portrait_weight: faces that a portrait counts for in the template.
        sure: probability from which a face is surely somebody's.
        frame_sweeps: how often boxes of one frame are told apart. 0: two may show one person.
        whitening: power to which the leading directions of bodies are whitened. 0: bodies as they are.
        directions: how many lead.
        shrinkage: share of the mean of all variances in each.
        neighbours: boxes that vote for a box.
        body_slope: log of a link's weight, a standard deviation of the bodies' cosines, where boxes are chosen to vote.
        body_slopes: the same where they vote, of which the movie chooses; the likeliest first. One value: it does not.
        body_most: standard deviations from which bodies count as one. Infinite: there is no limit.
        time_most, time_shots: boxes of one shot weigh exp(most) times as much as those of another time, falling off by
            e in so many shots. Most 0: time tells nothing.
        link_slope, link_middle, link_most: likewise of two boxes whose faces are alike. Slope 0: faces do not link.
        unlike: log odds, before the movie is seen, that nobody who resembles a box votes for it; the movie chooses
            among these, the likeliest first. One value: it does not choose.
        caution: log likelihood a sure box that the movie may lose for log odds ``unlike`` that are larger by 1.
        surprise: log likelihood by which less likely choices must predict better, times their distance.
        unknown_share: share of every vote that knows nothing, and leaves the prior.
        vote_rounds: how often votes are passed on.
        vote_power: weight of the last vote as evidence. 0: bodies tell nothing.
        presence_odds: log odds that somebody is in the movie at all whose likeliest face is as good as the best that as
            many impostors would have, and whose likeliest box is theirs by half.
        presence_slope, presence_backing: how much they grow, a standard deviation that the face is better, and with the
            log odds of the box.
        scale, shift: what calibrates the log odds: they are multiplied, then the others gain as much.
    """

    others: float = 0.8
    face_slope: float = 1.5
    face_middle: float = 2.0
    face_most: float = 8.0
    useless: float = 0.2
    template_rounds: int = 4
    portrait_weight: float = 2.0
    sure: float = 0.9
    frame_sweeps: int = 3
    whitening: float = 0.5
    directions: int = 64
    shrinkage: float = 0.3
    neighbours: int = 15
    body_slope: float = 2.0
    body_slopes: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0)
    body_most: float = 3.5
    time_most: float = 1.5
    time_shots: float = 30.0
    link_slope: float = 0.5
    link_middle: float = 2.0
    link_most: float = 2.0
    unlike: tuple[float, ...] = (-5.0, -9.0, -3.5, -2.0, -1.0)
    caution: float = 0.03
    surprise: float = 0.1
    unknown_share: float = 0.09
    vote_rounds: int = 3
    vote_power: float = 1.75
    presence_odds: float = -0.2
    presence_slope: float = 0.8
    presence_backing: float = 0.28
    scale: float = 1.5
    shift: float = 0.25
