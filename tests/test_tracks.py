"""A volume that moves with the rate is believed, and one that grows; one that is elsewhere when it has stayed there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from drivers.contract import Reading, Validity
from drivers.kit.tracks import AGAIN, FIRST, Rising, Track

RATE = 52.5
STEP = RATE / 3600  # mL in a second


def known(sign: int = 1) -> Track:
    track = Track(sign)
    told = [track.fits(10.0 + sign * STEP * n, RATE, float(n)) for n in range(FIRST)]
    assert told == [False] * (FIRST - 1) + [True]
    return track


@pytest.mark.parametrize("sign", [1, -1])
def test_it_is_believed_from_the_third_round_on(sign: int) -> None:
    track = known(sign)
    assert all(track.fits(10.0 + sign * STEP * n, RATE, float(n)) for n in range(FIRST, 100))


MOVES = [  # mL since the last round that was believed, 10 s before, at 360 mL/h (1 mL in that time); slack 0.15 mL
    (0.0, True), (1.0, True), (1.34, True), (1.36, False), (-0.14, True), (-0.16, False), (5.0, False)]


@pytest.mark.parametrize(("moved", "fits"), MOVES)
def test_it_moves_no_further_than_the_rate_leads(moved: float, fits: bool) -> None:
    track = Track(1)
    for n in range(FIRST):
        track.fits(10.0, 360.0, float(n))
    assert track.fits(10.0 + moved, 360.0, FIRST - 1 + 10.0) is fits


def test_one_from_elsewhere_in_between_changes_nothing() -> None:
    track = known()
    told = [track.fits(52.5 if n % 4 == 0 else 10.0 + STEP * n, RATE, float(n)) for n in range(FIRST, 80)]
    assert told == [n % 4 != 0 for n in range(FIRST, 80)]


def test_where_it_stays_it_is_believed_at_last() -> None:
    track = known()
    told = [track.fits(STEP * n, RATE, FIRST + float(n)) for n in range(AGAIN + 3)]
    assert told == [False] * (AGAIN - 1) + [True] * 4


def test_an_opening_forgets() -> None:
    track = known()
    track.forget()
    assert not track.fits(10.1, RATE, 4.0)


def believed(rising: Rising, volumes: Sequence[float]) -> list[bool]:
    """One a second."""
    readings = [Reading("volume_infused_ml", volume) for volume in volumes]
    return [rising.judged(one, float(at_s)).validity is Validity.VALID for at_s, one in enumerate(readings)]


@pytest.mark.parametrize(("volumes", "told"), [
    ((5.0, 5.0, 5.1, 5.8), (True, True, True, True)),  # 0.717 mL is what 1200 mL/h can give in a second and one more
    ((5.0, 5.72, 5.1), (True, False, True)),
    ((0.0, 30.0, 0.1, 30.1, 0.2), (True, False, True, False, True)),  # of before the new syringe
    ((0.0, *[30.0] * AGAIN, 30.1), (True, *(False,) * (AGAIN - 1), True, True)),  # it has stayed there
    ((5.0, 4.9, 5.1, 4.0, 5.2), (True, False, True, False, True)),  # old ones between
    ((5.0, 4.9, 4.8, 4.7, 4.6, 4.5, 4.4, 4.3), (True,) + (False,) * 7),  # each older than the last
    ((5.0, *[0.1 * n for n in range(AGAIN)], 0.7), (True,) + (False,) * (AGAIN - 1) + (True, True)),  # set to zero
    ((5.0, *[0.1 * n for n in range(AGAIN - 1)], 5.1), (True,) + (False,) * (AGAIN - 1) + (True,)),
])
def test_what_only_grows_is_doubted_where_it_falls(volumes: tuple[float, ...], told: tuple[bool, ...]) -> None:
    rising = Rising()
    assert believed(rising, volumes[:1] * 2) == [False, True], "after an opening the second one counts"
    assert believed(rising, volumes) == list(told)


def test_no_number_is_handed_on_and_an_opening_forgets() -> None:
    rising, none = Rising(), Reading("volume_infused_ml", None, Validity.UNAVAILABLE)
    believed(rising, [5.0, 5.0])
    assert rising.judged(none, 1.0) is none
    assert believed(rising, [4.0, 5.0]) == [False, True]
    rising.forget()
    assert believed(rising, [4.0, 4.0]) == [False, True]
    rising.forget()
    assert believed(rising, [30.0, 0.1, 0.1]) == [False, False, True], "an old one at the opening"


def test_one_that_nobody_asked_for_may_have_risen_by_anything() -> None:
    rising = Rising()
    told = [rising.judged(Reading("volume_infused_ml", volume), None).validity for volume in (5.0, 30.0, 29.0)]
    assert told == [Validity.VALID, Validity.VALID, Validity.QUESTIONABLE]
