"""What decisions make of a film's tracks: who is meant by names and ids, where tracks are cut, what it names."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castsearch.annotations import Candidate, Cast, Movie
from castsearch.decisions import DecisionError, Decisions, Verdicts
from castsearch.movies.appearing import Appearances
from castsearch.movies.decided import Fitting, Told, fit_decisions, told_of
from castsearch.movies.layout import ANY_SIZE, Seen
from castsearch.movies.naming import Named, name_tracks
from castsearch.movies.portraits import Person
from castsearch.movies.scanned import Scan
from castsearch.movies.times import Stretch
from castsearch.movies.tracks import Track
from castsearch.ranking import Impostors
from tests.movies.tracks_of import FACE, scan, sighting, track, unit

IMPOSTORS = Impostors(0.0, 0.08)
D = 64
RNG = np.random.default_rng(3)
ANN, BOB, CAT = (unit(*RNG.normal(size=D)) for _ in range(3))
PEOPLE = [Person(name, name, (Path(f"{name}.jpg"),), face[None]) for name, face in (("Ann", ANN), ("Bob", BOB))]


def ids_of(made: Scan) -> dict[Seen, str]:
    """Of all sightings, ``m_0_3`` for the fourth of the first track."""
    return {
        (number, place): f"m_{number}_{place}"
        for number, one in enumerate(made.tracks)
        for place in range(len(one.sightings))
    }


def said_of(
    made: Scan, verdicts: Mapping[str, Mapping[str, int]], new: Mapping[str, str] | None = None, **more: Verdicts
) -> Told:
    """What is told where people, by id, have boxes confirmed (1) or rejected (-1)."""
    people = {
        person: Verdicts(
            {box: f"{box}.jpg" for box, verdict in boxes.items() if verdict > 0},
            {box: f"{box}.jpg" for box, verdict in boxes.items() if verdict < 0},
        )
        for person, boxes in verdicts.items()
    }
    fit = Fitting({**people, **more}, {"m": new or {}}, ())
    return told_of(made, ids_of(made), PEOPLE, "m", fit, Path("named"))


def followed(shot: int, seconds: list[float], stretch: tuple[float, float], faces: Mapping[int, np.ndarray]) -> Track:
    """A track whose sightings at some places show faces."""
    made = track(
        shot,
        [
            sighting(one, face=FACE if place in faces else None, good=place in faces)
            for place, one in enumerate(seconds)
        ],
        list(faces.values()) or None,
        unit(1, 0),
        stretch,
        d=D,
    )
    assert made.faces_of == tuple(faces)
    return made


# ---------------------------------------------------------------------------- where tracks are cut

TENTHS = [round(1 + 0.2 * k, 1) for k in range(10)]  # 1.0 to 2.8 s


def test_a_track_of_two_people_is_cut_halfway() -> None:
    made = scan(
        [
            followed(1, TENTHS, (0.9, 3.0), {1: ANN, 4: ANN, 8: BOB}),
            followed(1, [1.4, 1.6], (1.3, 1.7), {}),
            followed(1, [2.4, 2.6], (2.3, 2.7), {0: BOB}),
            followed(2, [3.0, 3.2], (3.0, 3.3), {}),
        ],
        [(0, 1), (0, 2)],
    )
    told = said_of(made, {"m_Ann": {"m_0_2": 1, "m_0_7": -1}})
    first, beside, second, third, last = told.scan.tracks  # in the order of time
    assert (first.stretch, second.stretch) == (Stretch(0.9, 1.9), Stretch(1.9, 3.0))
    assert [one.seconds for one in first.sightings] == TENTHS[:5]
    assert [one.seconds for one in second.sightings] == TENTHS[5:]
    assert (first.faces_of, second.faces_of) == ((1, 4), (3,))
    assert np.array_equal(first.faces, [ANN, ANN]) and np.array_equal(second.faces, [BOB])
    assert (first.good, second.good) == (True, True)
    for one, own in zip((beside, third, last), made.tracks[1:], strict=True):
        assert (one.stretch, one.sightings, one.faces_of) == (own.stretch, own.sightings, own.faces_of)
    assert told.scan.apart == ((0, 1), (2, 3))
    assert {told.candidates[2, place] for place in range(5)} == {f"m_0_{place}" for place in range(5, 10)}
    assert told.candidates[1, 1] == "m_1_1" and told.candidates[4, 0] == "m_3_0"
    assert told.said.tolist() == [[1, 0, -1, 0, 0], [0] * 5]


def test_pieces_without_a_kept_face_have_no_good_one() -> None:
    told = said_of(scan([followed(1, TENTHS, (1, 3), {1: ANN})]), {"m_Ann": {"m_0_0": 1}, "m_Bob": {"m_0_9": 1}})
    first, second = told.scan.tracks
    assert (first.good, second.good, second.faces.shape, second.faces_of) == (True, False, (0, D), ())
    assert told.said.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("verdicts", "pieces"),
    [
        ({"m_Ann": {"m_0_0": 1, "m_0_9": 1}}, [10]),
        ({"m_Ann": {"m_0_0": 1}, "m_Bob": {"m_0_9": -1}}, [10]),
        ({"m_Ann": {"m_0_0": -1}, "m_Bob": {"m_0_9": 1}}, [10]),
        ({"m_Ann": {"m_0_3": 1, "m_0_4": -1}}, [4, 6]),
        ({"m_Ann": {"m_0_0": 1, "m_0_1": -1, "m_0_2": 1}}, [1, 1, 8]),
        ({"m_Ann": {"m_0_0": 1, "m_0_4": 1, "m_0_8": -1}}, [6, 4]),
        ({"m_Ann": {"m_0_0": 1, "m_0_9": 1}, "m_Bob": {"m_0_5": 1}}, [3, 4, 3]),
        ({"m_Ann": {"m_0_0": 1}, "m_Bob": {"m_0_5": 1, "m_0_9": 1}}, [3, 7]),
    ],
)  # fmt: skip
def test_only_contradictions_cut(verdicts: dict[str, dict[str, int]], pieces: list[int]) -> None:
    told = said_of(scan([followed(1, TENTHS, (1, 3), {})]), verdicts)
    assert [len(one.sightings) for one in told.scan.tracks] == pieces


@st.composite
def decided_films(draw: st.DrawFn) -> tuple[Scan, dict[str, dict[str, int]]]:
    """Tracks at drawn moments, and verdicts on some of their boxes."""
    tracks: list[Track] = []
    for shot in range(1, draw(st.integers(1, 3)) + 1):
        in_shot = []
        for _ in range(draw(st.integers(1, 3))):
            ticks = sorted(draw(st.sets(st.integers(0, 20), min_size=1, max_size=8)))
            seconds = [3 * shot + tick / 10 for tick in ticks]
            places = draw(st.sets(st.integers(0, len(ticks) - 1), max_size=3))
            faces = {place: draw(st.sampled_from([ANN, BOB, CAT])) for place in sorted(places)}
            in_shot.append(followed(shot, seconds, (seconds[0] - 0.04, seconds[-1] + 0.04), faces))
        tracks += sorted(in_shot, key=lambda one: one.stretch.start)
    apart = [
        (one, other)
        for one, other in combinations(range(len(tracks)), 2)
        if {seen.seconds for seen in tracks[one].sightings} & {seen.seconds for seen in tracks[other].sightings}
    ]
    made = scan(tracks, apart)
    verdicts: dict[str, dict[str, int]] = {"m_Ann": {}, "m_Bob": {}}
    for box in draw(st.lists(st.sampled_from(sorted(ids_of(made).values())), unique=True, max_size=8)):
        ann, bob = draw(st.sampled_from([(1, 0), (1, -1), (-1, 0), (-1, -1), (0, 1), (-1, 1), (0, -1)]))
        for person, verdict in (("m_Ann", ann), ("m_Bob", bob)):
            if verdict:
                verdicts[person][box] = verdict
    return made, verdicts


def moment(made: Scan, seen: Seen) -> tuple[int, float]:
    one = made.tracks[seen[0]]
    return one.shot, one.sightings[seen[1]].seconds


@settings(max_examples=60, deadline=None)
@given(decided_films())
def test_cut_tracks_hold_what_there_was_and_no_contradiction(film: tuple[Scan, dict[str, dict[str, int]]]) -> None:
    made, verdicts = film
    told = said_of(made, verdicts)
    seen, before = ({box: one for one, box in ids.items()} for ids in (told.candidates, ids_of(made)))
    assert seen.keys() == before.keys()
    by_old: dict[int, list[int]] = {}
    for box, (track_number, place) in seen.items():
        old = before[box]
        assert made.tracks[old[0]].sightings[old[1]] is told.scan.tracks[track_number].sightings[place]
        by_old.setdefault(old[0], [])
        if track_number not in by_old[old[0]]:
            by_old[old[0]].append(track_number)
    assert sorted(number for numbers in by_old.values() for number in numbers) == list(range(len(told.scan.tracks)))
    for old, numbers in by_old.items():
        whole, pieces = made.tracks[old], [told.scan.tracks[number] for number in numbers]
        assert [one for piece in pieces for one in piece.sightings] == list(whole.sightings)
        assert np.array_equal(np.concatenate([piece.faces for piece in pieces]), whole.faces)
        edges = [pieces[0].stretch.start, *(piece.stretch.end for piece in pieces)]
        assert [piece.stretch.start for piece in pieces] == edges[:-1]
        assert (edges[0], edges[-1]) == (whole.stretch.start, whole.stretch.end)
        for piece in pieces:
            assert all(piece.stretch.start <= one.seconds <= piece.stretch.end for one in piece.sightings)
    for person, boxes in enumerate(verdicts.values()):
        for box, verdict in boxes.items():
            assert told.said[person, seen[box][0]] == verdict  # of no two that contradict each other could this hold
    assert ((told.said > 0).sum(axis=0) <= 1).all()
    order = [(one.shot, one.stretch.start) for one in told.scan.tracks]
    assert order == sorted(order)
    old_of = {number: old for old, numbers in by_old.items() for number in numbers}
    pairs = {tuple(sorted((old_of[one], old_of[other]))) for one, other in told.scan.apart}
    assert pairs == set(made.apart)
    for one, other in told.scan.apart:
        assert told.scan.tracks[one].stretch & told.scan.tracks[other].stretch


@settings(max_examples=40, deadline=None)
@given(decided_films(), st.randoms(use_true_random=False))
def test_rejected_boxes_never_come_back_and_confirmed_ones_stay(film, random) -> None:
    """Nor does the order of decisions matter."""
    made, verdicts = film
    told = said_of(made, verdicts)
    named = name_tracks(told.scan, [one.features for one in told.people], IMPOSTORS, said=told.said)
    appear = Appearances(told.scan, "m", told.candidates, ANY_SIZE)
    for row, (person, boxes) in enumerate(zip(PEOPLE, verdicts.values(), strict=True)):
        shown = {box.candidate for one in appear.of_person(person.name, row, named) for box in one.boxes}
        assert not shown & {box for box, verdict in boxes.items() if verdict < 0}
        for box, verdict in boxes.items():
            track_number = next(one[0] for one, own in told.candidates.items() if own == box)
            assert named.probability[row, track_number] == pytest.approx(float(verdict > 0), abs=1e-9)
        assert named.present[row] == 1 or 1 not in boxes.values()
    shuffled = {
        person: dict(random.sample(list(boxes.items()), len(boxes))) for person, boxes in reversed(verdicts.items())
    }
    again = said_of(made, shuffled)
    assert (again.candidates, again.scan.apart) == (told.candidates, told.scan.apart)
    assert np.array_equal(again.said, told.said)


# ---------------------------------------------------------------------------- naming by what somebody said


def believed(
    tracks: list[Track], verdicts: Mapping[str, Mapping[str, int]], apart: tuple[tuple[int, int], ...] = ()
) -> Named:
    told = said_of(scan(tracks, apart), verdicts)
    return name_tracks(told.scan, [one.features for one in told.people], IMPOSTORS, said=told.said)


def wearing(shot: int, body: np.ndarray, face: np.ndarray | None = None, good: bool = True) -> Track:
    pictures = [sighting(shot + k / 5, face=None if face is None else FACE, good=good) for k in range(3)]
    return track(shot, pictures, None if face is None else [face] * 3, body, (shot, shot + 0.6), d=D)


def clothes(n: int) -> list[np.ndarray]:
    """Bodies of n people, at right angles."""
    return list(np.eye(n, dtype=np.float32))


def test_nothing_said_changes_nothing() -> None:
    red, green = clothes(2)
    made = scan([wearing(1, red, ANN), wearing(1, green, BOB), wearing(2, red)], [(0, 1)])
    portraits = [person.features for person in PEOPLE]
    plain = name_tracks(made, portraits, IMPOSTORS)
    silent = name_tracks(made, portraits, IMPOSTORS, said=np.zeros((2, 3), np.int8))
    for kind in ("probability", "face", "body", "present"):
        assert np.array_equal(getattr(plain, kind), getattr(silent, kind))


def test_a_confirmed_track_lends_its_poor_face_and_its_clothes() -> None:
    some = clothes(8)
    crowd = [wearing(1, body) for body in some[2:]]
    tracks = [*crowd, wearing(2, some[0], CAT, good=False), wearing(3, some[1], CAT), wearing(3, some[0])]
    confirmed, like_face, like_clothes = 6, 7, 8
    before = believed(tracks, {})
    after = believed(tracks, {"m_Ann": {"m_6_0": 1}})
    assert before.probability[0].max() < 0.5
    assert after.probability[0, [like_face, like_clothes]].min() > 0.6
    assert after.probability[0, confirmed] == pytest.approx(1, abs=1e-12)
    assert after.present[0] == 1
    assert after.face[0, like_face] > before.face[0, like_face] + 2
    assert before.body[0, like_clothes] == 0 and after.body[0, like_clothes] > 3


def test_who_is_seen_beside_a_confirmed_track_is_somebody_else() -> None:
    """However like they look: Ann's face, and the clothes of all her tracks."""
    some = clothes(8)
    crowd = [wearing(1, body) for body in some[2:]]
    known = [wearing(shot, some[0], ANN) for shot in range(2, 10)]
    tracks = [*crowd, *known, wearing(10, some[1], BOB), wearing(10, some[0], ANN)]
    n = len(tracks)
    named = believed(tracks, {"m_Ann": {f"m_{n - 2}_1": 1}}, ((n - 2, n - 1),))
    assert named.face[0, n - 1] > 7 and named.body[0, n - 1] > 5
    assert named.probability[0, n - 2] == pytest.approx(1) and named.probability[0, n - 1] < 1e-9
    both = believed(tracks, {"m_Ann": {f"m_{n - 2}_1": 1, f"m_{n - 1}_1": 1}}, ((n - 2, n - 1),))
    assert both.probability[0, n - 2 :] == pytest.approx(np.ones(2))  # who looked knows better: one stands in a mirror


def test_hardly_a_person_but_confirmed() -> None:
    shadow = [sighting(1 + k / 5, score=0.1) for k in range(3)]
    made = [track(1, shadow, None, unit(1, 0), (1, 1.6), d=D)]
    assert believed(made, {}).probability[0, 0] == 0
    assert believed(made, {"m_Ann": {"m_0_0": 1}}).probability[0, 0] == pytest.approx(1)


def test_somebody_known_without_a_face_is_not_told_by_faces() -> None:
    """Cat's only tracks show none, so that faces say nothing against her; nor does one that joined by its clothes."""
    some = clothes(8)
    tracks = [
        *(wearing(1, body) for body in some[2:]),
        wearing(2, some[0]),
        wearing(3, some[0], CAT),
        wearing(3, some[1], BOB),
    ]
    told = said_of(scan(tracks), {"m_Cat": {"m_6_0": 1, "m_6_1": 1}}, {"Cat": "m_Cat"})
    assert [person.name for person in told.people] == ["Ann", "Bob", "Cat"]
    assert not told.people[2].features.any()
    named = name_tracks(told.scan, [one.features for one in told.people], IMPOSTORS, said=told.said)
    assert named.probability[2, [6, 7]].min() > 0.9
    assert named.face[2, 7] == 0
    assert named.face[2, 8] < 0  # Bob's face is not the one that joined


# ---------------------------------------------------------------------------- portraits


def test_portraits_of_boxes() -> None:
    made = scan([followed(1, TENTHS, (1, 3), {1: CAT, 4: BOB}), followed(1, [1.1], (1, 1.2), {})])
    box = {"m_0_4": "m_0_4.jpg"}
    added = said_of(made, {}, m_Ann=Verdicts(box, portraits=("m_0_4",)))
    assert np.array_equal(added.people[0].features, [ANN, BOB])  # the face of that very box
    replaced = said_of(made, {}, m_Ann=Verdicts(box, portraits=("m_0_4",), replace=True))
    assert np.array_equal(replaced.people[0].features, [BOB])
    near = said_of(made, {}, m_Ann=Verdicts({"m_0_6": "f.jpg"}, portraits=("m_0_6",), replace=True))
    assert np.array_equal(near.people[0].features, [CAT, BOB])  # of a box without a face those of its track
    none = said_of(made, {}, m_Ann=Verdicts({"m_1_0": "f.jpg"}, portraits=("m_1_0",), replace=True))
    assert np.array_equal(none.people[0].features, [ANN])
    assert added.people[1] is PEOPLE[1]


def test_the_portrait_of_a_group_is_its_best_face() -> None:
    large = [*FACE[:2], FACE[2] + 9, FACE[3] + 9]
    sightings = [
        sighting(1.0, box=(0, 0, 200, 200)),
        sighting(1.2, face=large),
        sighting(1.4, face=FACE, good=True),
        sighting(1.6, face=large, good=True),
    ]
    made = scan([track(1, sightings, [CAT, CAT], stretch=(1, 2), d=D)])
    boxes = {f"m_0_{place}": 1 for place in range(4)}
    told = said_of(made, {"m_Zoe_K": boxes}, {"Zoë K": "m_Zoe_K"})
    assert told.portraits == {Path("named/Zoe_K.jpg"): (0, 3)}
    assert (told.people[2].name, told.people[2].id) == ("Zoë K", "Zoe_K")
    assert np.array_equal(told.people[2].features, [CAT] * 6)
    del boxes["m_0_3"], boxes["m_0_2"]
    assert list(said_of(made, {"m_Zoe_K": boxes}, {"Zoë K": "m_Zoe_K"}).portraits.values()) == [(0, 1)]


# ---------------------------------------------------------------------------- who is meant

MOVIES = {
    name: Movie(
        name,
        (
            Cast(f"{name}_Ann", f"{name}/cast/Ann/1.jpg", "Ann"),
            Cast(f"{name}_Ann#2", f"{name}/cast/Ann/2.jpg", "Ann"),
            Cast(f"{name}_A_B", f"{name}/cast/A_B.jpg", "A B"),
        ),
        tuple(Candidate(f"{name}_{k}", f"{name}/candidates/shot0001img{k}.jpg", (k, 0, 9, 9)) for k in range(9)),
    )
    for name in ("m", "n")
}


def boxes(*numbers: int, movie: str = "m") -> dict[str, str]:
    return {f"{movie}_{k}": MOVIES[movie].candidates[k].file for k in numbers}


def test_names_of_the_cast_and_new_ones() -> None:
    named = {
        "m": {
            "ann": boxes(0),
            "A_B": boxes(1),
            "Mr. X, sen.": boxes(2),
            "Zoe\u0308": boxes(3),
            "zoë": boxes(4),
            "王": boxes(5),
        },
        "n": {"王": boxes(6, movie="n")},
        "gone": {"Ann": {"g_1": "g/1.jpg"}},
    }
    fit = fit_decisions(Decisions({}, named), MOVIES)
    assert fit.new == {
        "m": {"A_B": "m_A_B-2", "Mr. X, sen.": "m_Mr._X_sen", "Zoë": "m_Zoë", "王": "m_王"},
        "n": {"王": "n_王"},
    }
    assert fit.people["m_Ann"].confirmed == boxes(0)
    assert fit.people["m_Zoë"].confirmed == boxes(3, 4)
    assert fit.people["m_A_B-2"].confirmed == boxes(1) and "m_A_B" not in fit.people
    assert fit.people["n_王"].confirmed == boxes(6, movie="n")
    assert list(fit.strange) == ["gone and the names given there"]


def test_boxes_of_a_group_that_were_decided_on_one_by_one() -> None:
    people = {
        "m_Ann#2": Verdicts(confirmed=boxes(1)),
        "m_A_B": Verdicts(rejected=boxes(2)),
        "m_Cat": Verdicts(confirmed=boxes(7), rejected=boxes(3)),
    }
    fit = fit_decisions(Decisions(people, {"m": {"Cat": boxes(1, 2, 3, 4)}}), MOVIES)
    assert fit.people["m_Ann"].confirmed == boxes(1)
    assert fit.people["m_Cat"] == Verdicts(boxes(2, 4, 7), boxes(3))
    assert fit.new == {"m": {"Cat": "m_Cat"}} and not fit.strange


@pytest.mark.parametrize(
    "people",
    [{"m_Ann": Verdicts(confirmed=boxes(1, 2))}, {"m_Cat": Verdicts(rejected=boxes(1, 2))}],
    ids=["others'", "rejected"],
)
def test_a_group_whose_boxes_are_all_taken_is_nobody(people: dict[str, Verdicts]) -> None:
    fit = fit_decisions(Decisions(people, {"m": {"Cat": boxes(1, 2)}}), MOVIES)
    assert not fit.new.get("m") and not fit.strange


def test_ids_dealt_anew_and_ids_gone() -> None:
    old = {"m_8": boxes(0)["m_0"], "old": boxes(1)["m_1"], "m_2": "m/candidates/gone_0_0_9_9.jpg", "x": "x.jpg"}
    for decisions, person in (
        (Decisions({"m_Ann": Verdicts(old)}), "m_Ann"),
        (Decisions({}, {"m": {"Cat": old}}), "m_Cat"),
        (Decisions({"m_Ann": Verdicts(rejected=boxes(4)), "m_Cat": Verdicts(old)}, {"m": {"Cat": boxes(4)}}), "m_Cat"),
    ):
        fit = fit_decisions(decisions, MOVIES)
        assert fit.people[person].confirmed.items() >= boxes(0, 1).items()
        assert list(fit.strange) == ["m_2 (another box has this id now)", "x"]
    gone = Decisions({"m_Eve": Verdicts(boxes(0))}, {"m": {"Cat": {"y": "y.jpg"}}})
    fit = fit_decisions(gone, MOVIES)
    assert list(fit.strange) == ["m_Eve and what is decided for it", "y"] and not fit.new["m"]
    away = fit_decisions(Decisions({"m_Ann": Verdicts(boxes(1, movie="n"))}), MOVIES)
    assert list(away.strange) == ["n_1 (of another movie than m_Ann)"]


def test_two_boxes_cut_alike_keep_their_ids() -> None:
    twin = Candidate("m_twin", MOVIES["m"].candidates[0].img, MOVIES["m"].candidates[0].bbox)
    movies = {"m": Movie("m", MOVIES["m"].cast, (*MOVIES["m"].candidates, twin))}
    fit = fit_decisions(Decisions({}, {"m": {"Cat": boxes(0), "Dan": {"m_twin": twin.file}}}), movies)
    assert (fit.people["m_Cat"].confirmed, fit.people["m_Dan"].confirmed) == (boxes(0), {"m_twin": twin.file})


WRONG = {
    "unknown-1": "movie m: the name Unknown-1 is what people are called whom nobody knows; give the group another",
    "others": "movie m: the name others is what people are called whom nobody knows; give the group another",
    "a box": "movie m: the name 3 makes the id m_3, which is taken; give the group another",
    "elsewhere": "movie m: the name n_Ann makes the id m_n_Ann, which is taken; give the group another",
    "two": "candidate m_1 is confirmed for both m_Cat and m_Dan; keep one of them",
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be(case: str) -> None:
    named = {
        "unknown-1": {"Unknown-1": boxes(1)},
        "others": {"others": boxes(1)},
        "a box": {"3": boxes(1)},
        "elsewhere": {"n_Ann": boxes(1)},
        "two": {"Cat": boxes(1), "Dan": {"old": boxes(1)["m_1"]}},
    }[case]
    with pytest.raises(DecisionError) as error:
        fit_decisions(
            Decisions({}, {"m": named}), MOVIES | {"m_n": Movie("m_n", (Cast("m_n_Ann", "a.jpg", "Ann"),), ())}
        )
    assert str(error.value) == WRONG[case]
