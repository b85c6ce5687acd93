"""Timecode: held to OpenTimelineIO's, frame by frame, and free of drift."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import opentimelineio as otio
import pytest

from castsearch.movies.appearances import Film
from castsearch.movies.errors import MovieError
from castsearch.movies.timecodes import RATES, Clock, frame_of, timecode, timecode_rate
from castsearch.movies.times import Stretch

TWO_HOURS = 7200


def film(rate: Fraction, times: np.ndarray, start: float = 0.0) -> Film:
    return Film("f", Path("f.mp4"), rate, float(times[-1] + 1 / rate), (640, 360), (), times, start)


@pytest.mark.parametrize("rate", RATES, ids=lambda rate: f"{float(rate):.3f}")
def test_timecode_is_opentimelineios_and_comes_back(rate: Fraction) -> None:
    ten_minutes = round(600 * rate)
    frames = {
        *range(0, 3 * ten_minutes, 7),
        *range(ten_minutes - 70, ten_minutes + 70),
        *range(10 * ten_minutes, 10 * ten_minutes + 90),
    }
    for frame in frames:
        code = timecode(frame, rate)
        assert code == otio.opentime.RationalTime(frame, float(rate)).to_timecode()
        assert frame_of(code, rate) == frame


def test_drop_frame_keeps_step_with_the_clock() -> None:
    ntsc = Fraction(30000, 1001)
    assert timecode(107892, ntsc) == "01:00:00;00"  # 3600 s of 29.97 frames, less 3.6 ms
    assert timecode(17981, ntsc) == "00:09:59;29"
    assert timecode(17982, ntsc) == "00:10:00;00"
    assert timecode(24 * 107892, ntsc) == "00:00:00;00"
    assert timecode(107892, Fraction(30)) == "00:59:56:12"


@pytest.mark.parametrize(
    "code", ["00:01:00;00", "00:01:00;01", "00:00:00;30", "00:60:00;00", "1:00:00:00", "", "00:00:01"]
)
def test_what_is_no_timecode_is_refused(code: str) -> None:
    with pytest.raises(MovieError, match=r"no timecode at 29\.97 frames a second: expected HH:MM:SS;FF"):
        frame_of(code, Fraction(30000, 1001))


def test_numbers_that_are_not_dropped_are_taken() -> None:
    assert frame_of("00:10:00;00", Fraction(30000, 1001)) == 17982
    assert frame_of("00:01:00:00", Fraction(24000, 1001)) == 1440


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        ("23.976", "24000/1001"),
        ("24", "24"),
        ("2997/100", "30000/1001"),
        ("59.94", "60000/1001"),
        ("29.93", "30000/1001"),  # the average of a phone's variable rate
        ("15", "30"),
        ("12.5", "25"),
        ("15000/1001", "30000/1001"),
        ("18", "24000/1001"),
        ("120", "60"),
    ],
)
def test_rates_that_editing_programs_know(rate: str, expected: str) -> None:
    assert timecode_rate(Fraction(rate)) == Fraction(expected)


@pytest.mark.parametrize("rate", ["24000/1001", "24", "25", "30000/1001", "50", "60000/1001"])
def test_frames_do_not_drift_over_two_hours(rate: str) -> None:
    exact = Fraction(rate)
    count = int(TWO_HOURS * exact)
    times = np.array([float(number / exact) for number in range(count)])
    clock = Clock(film(exact, times))
    for number in (0, 1, 59, 1799, 1800, 100_000, count - 2):
        assert clock.frame(times[number]) == number
        assert clock.frame(round(times[number], 3)) == number  # as WebVTT and ELAN tell it
        assert clock.frame(times[number] + 0.9 * float(1 / exact)) == number  # while it is still shown
        assert clock.seconds(number) == times[number]
        assert clock.frames(Stretch(times[number], times[number + 1])) == (number, number + 1)
    assert clock.frames(Stretch(times[-1], clock_end := float(count / exact))) == (count - 1, count)
    assert clock.seconds(count) == pytest.approx(clock_end)


def test_a_variable_rate_keeps_to_the_clock() -> None:
    """Pictures of a telephone, some of them missing: frames are numbered by their times, not counted."""
    rng = np.random.default_rng(3)
    kept = np.sort(rng.choice(TWO_HOURS * 30, size=TWO_HOURS * 29, replace=False))
    times = kept / 30 + rng.uniform(0, 0.008, len(kept))
    times -= times[0]
    clock = Clock(film(Fraction(2997, 100), times))
    assert clock.rate == Fraction(30000, 1001)
    frames = np.array([clock.frame(time) for time in times[:: len(times) // 500]])
    assert np.abs(frames / float(clock.rate) - times[:: len(times) // 500]).max() <= 0.5 / float(clock.rate) + 1e-9
    first, end = clock.frames(Stretch(times[5000] + 0.001, times[5000] + 0.002))
    assert (first, end) == (clock.frame(times[5000]), clock.frame(times[5001]))


def test_pictures_that_share_a_number_still_last_a_frame() -> None:
    clock = Clock(film(Fraction(25), np.array([0.0, 0.01, 0.011, 0.04])))
    assert clock.frames(Stretch(0.01, 0.011)) == (0, 1)


def test_a_film_has_its_own_clock() -> None:
    rate = Fraction(24000, 1001)
    clock = Clock(film(rate, np.arange(100) / float(rate), start=3603.6))
    assert clock.code(0) == "01:00:00:00"
    assert clock.codes(Stretch(1.001, 2.002)) == ("01:00:01:00", "01:00:02:00")


def test_without_pictures_the_rate_alone_tells() -> None:
    clock = Clock(Film("f", Path("f"), Fraction(25), 0, (2, 2), (), []))
    assert (clock.frame(1.0), clock.seconds(50)) == (25, 2.0)
    assert clock.frames(Stretch(0, 0)) == (0, 1)
