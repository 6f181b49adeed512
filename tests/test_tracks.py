"""A volume that moves with the rate is believed, and one that grows; one that is elsewhere when it has stayed there."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from drivers.contract import Reading, Validity
from drivers.kit.tracks import AGAIN, FASTER_TIMES, FIRST, FITTING, HOLE_S, Rising, Track

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


MOVES = [  # mL since the last round that was believed, 10 s before, at 360 mL/h (1 mL in that time); slack 0.15, 0.05
    (0.0, True), (1.0, True), (1.34, True), (1.36, False), (-0.04, True), (-0.06, False), (5.0, False)]


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


def believed(rising: Rising, volumes: Sequence[float], since_s: float = 0.0, every_s: float = 1.0,
             rates: Sequence[float | None] = (None,), step_ml: float = 0.0) -> list[bool]:
    """Each in turn; the last of the rates goes on."""
    told = [*rates, *[rates[-1]] * len(volumes)]
    readings = [Reading("volume_infused_ml", volume) for volume in volumes]
    return [rising.judged(one, since_s + every_s * n, told[n], step_ml).validity is Validity.VALID
            for n, one in enumerate(readings)]


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
    assert believed(rising, volumes[:1] * FITTING) == [False] * (FITTING - 1) + [True], "after an opening"
    assert believed(rising, volumes, FITTING) == list(told)


AT_RATE = [STEP * n for n in range(40)]  # mL, one a second
FAST = 1200.0 / 3600.0


@pytest.mark.parametrize(("volumes", "rates", "told"), [
    (AT_RATE, [RATE], [True] * 40),
    ([0.0, 0.7, 0.02], [RATE], [True, False, True]),  # 0.0 to 0.085 mL are possible: an old syringe's is not
    ([0.0, 0.08, 0.08], [RATE], [True, True, True]),
    ([0.0, 0.09, 0.09], [RATE], [True, False, True]),
    ([0.0, *[FAST * n for n in range(1, 6)]], [RATE, 1200.0], [True, False, True, True, True, True]),  # told twice
    ([0.0, *[FAST * n for n in range(1, 9)]], [RATE], [True, *[False] * 3, *[True] * 5]),  # a bolus it does not tell
    ([0.0, 0.3, 0.02, 0.33, 0.04, 0.36], [RATE], [True, False, True, False, True, False]),  # old ones between
    ([0.0, 0.3, 0.32, 0.05, 0.34, 0.36], [RATE], [True, False, False, True, False, False]),
])
def test_it_rises_no_faster_than_the_pump_tells_or_has_shown(
        volumes: list[float], rates: list[float], told: list[bool]) -> None:
    rising = Rising()
    believed(rising, [0.0] * FITTING, rates=[RATE])
    assert believed(rising, volumes, FITTING, rates=rates) == told


@pytest.mark.parametrize("rate", [1.0, RATE, 400.0, 1200.0])
@pytest.mark.parametrize("step_ml", [0.001, 0.1])
def test_one_that_tells_no_rate_is_believed_at_any_rate_it_keeps(rate: float, step_ml: float) -> None:
    rising = Rising()
    volumes = [math.floor(rate / 3600 * n / step_ml) * step_ml for n in range(120)]
    assert all(believed(rising, volumes, rates=[0.0], step_ml=step_ml)[FASTER_TIMES - 1:])


@pytest.mark.parametrize(("hole_s", "told"), [(HOLE_S, [True] * 3), (HOLE_S + 1, [False, False, True])])
def test_after_a_hole_three_must_agree(hole_s: float, told: list[bool]) -> None:
    rising = Rising()
    believed(rising, AT_RATE[:4], rates=[RATE])
    volumes = [volume + STEP * hole_s for volume in AT_RATE[3:6]]
    assert believed(rising, volumes, 3 + hole_s, rates=[RATE]) == told


def test_no_number_is_handed_on_and_an_opening_forgets() -> None:
    rising, none = Rising(), Reading("volume_infused_ml", None, Validity.UNAVAILABLE)
    believed(rising, [5.0] * FITTING)
    assert rising.judged(none, 3.0) is none
    assert believed(rising, [4.0, 5.0], 3.0) == [False, True]
    rising.forget()
    assert believed(rising, [4.0] * FITTING) == [False, False, True]
    rising.forget()
    assert believed(rising, [30.0, 0.1, 0.1, 0.1]) == [False, False, False, True], "an old one at the opening"


def test_one_that_nobody_asked_for_may_have_risen_by_anything() -> None:
    rising = Rising()
    told = [rising.judged(Reading("volume_infused_ml", volume), None).validity for volume in (5.0, 30.0, 29.0)]
    assert told == [Validity.VALID, Validity.VALID, Validity.QUESTIONABLE]


STOOD = [STEP * n for n in range(20)]


@pytest.mark.parametrize(("rate", "runs", "standing_s", "stands"), [
    (RATE, True, 8, False), (RATE, True, 9, True), (RATE, False, 60, False), (RATE / 10, True, 54, False),
    (RATE / 10, True, 55, True), (RATE * 10, True, 9, True), (0.0, True, 9, True)])
def test_a_volume_that_stands_still_while_the_pump_runs_is_an_old_one(
        rate: float, runs: bool, standing_s: int, stands: bool) -> None:
    """By what it has shown, or by what the pump tells where that is less: 0.075 mL owed, and 3 s."""
    rising, track = Rising(), Track(1)
    for n, volume in enumerate(STOOD):
        rising.judged(Reading("volume_infused_ml", volume), float(n), RATE, runs=runs)
        track.fits(volume, RATE, float(n), runs=runs)
    last = Reading("volume_infused_ml", STOOD[-1])
    told = [rising.judged(last, float(len(STOOD) - 1 + n), rate, runs=runs) for n in range(1, standing_s + 1)]
    assert (told[-1].validity is Validity.QUESTIONABLE, rising.stands) == (stands, stands)
    if rate:
        fits = [track.fits(STOOD[-1], rate, float(len(STOOD) - 1 + n), runs=runs) for n in range(1, standing_s + 1)]
        assert fits[-1] is not stands


@pytest.mark.parametrize(("step_ml", "is_told", "rate"), [
    (0.1, False, 5.0), (0.1, False, 52.5), (0.5, False, 200.0), (1.0, False, 52.5), (1.0, True, 5.0),
    (1.0, True, 52.5)])
def test_a_coarse_count_is_believed_once_it_is_known_how_coarse(step_ml: float, is_told: bool, rate: float) -> None:
    """From the start where that is told, else from its third move on; and where it stands, it is noticed, too."""
    rising, track, told = Rising(), Track(1), step_ml if is_told else 0.0
    known_s = FITTING if is_told else 3 * 3600.0 * step_ml / rate + AGAIN

    def believed(volume: float, at_s: float) -> set[bool]:
        judged = rising.judged(Reading("volume_infused_ml", volume), at_s, rate, told, True)
        return {judged.validity is Validity.VALID, track.fits(volume, rate, at_s, step_ml=told, runs=True)}

    for at_s in range(3000):
        volume = rate * at_s / 3600.0 // step_ml * step_ml
        assert believed(volume, float(at_s)) == {True} or at_s < known_s, at_s
    left_s = round(3 * 3600.0 * step_ml / rate)
    assert [believed(volume, 3000.0 + more_s) for more_s in range(left_s)][-1] == {False}


def test_what_stands_beside_a_count_that_cannot_follow_is_no_more_of_now_than_that() -> None:
    """The rate of before a new syringe, with the volume of then."""
    rising, rate = Rising(), Reading("rate_ml_h", 52.5)
    told = []
    for at_s, volume in enumerate((0.0, 0.01, 0.02, 7.0, 0.04, 0.05)):
        rising.judged(Reading("volume_infused_ml", volume), float(at_s), 52.5, runs=True)
        told.append(rising.beside(rate).validity)
    assert told == [*[Validity.VALID] * 3, Validity.QUESTIONABLE, *[Validity.VALID] * 2]


@pytest.mark.parametrize(("leap_ml", "fits"), [(0.06, True), (0.12, False)])
def test_a_fine_count_that_stood_twice_is_no_coarse_one(leap_ml: float, fits: bool) -> None:
    """What a stall of eight seconds made of it, 0.12 mL, is no step of it."""
    track = Track(1)
    for n in [*range(20), *[19] * 7, *range(27, 40), *[39] * 7, 47, 48]:
        track.fits(STEP * n, RATE, float(n), runs=True)
    assert track.fits(STEP * 48 + leap_ml, RATE, 49.0, runs=True) is fits


def test_a_pump_that_runs_again_owes_nothing_for_its_pause() -> None:
    rising = Rising()
    volumes = [*STOOD, *[STOOD[-1]] * 62]
    told = [rising.judged(Reading("volume_infused_ml", volume), float(n), RATE, runs=n < 20 or n >= 80).validity
            for n, volume in enumerate(volumes)]
    assert set(told[2:]) == {Validity.VALID}


@pytest.mark.parametrize(("rate", "step_ml", "after_s"), [(RATE, 0.0, 14), (RATE, 0.2, 24), (None, 0.0, None)])
def test_a_volume_that_never_moved_is_held_to_the_rate_that_is_told(
        rate: float | None, step_ml: float, after_s: int | None) -> None:
    """0.15 mL owed where nobody says how finely it is told, and 3 s."""
    rising = Rising()
    stands = []
    for n in range(100):
        rising.judged(Reading("volume_infused_ml", 1.0), float(n), rate, step_ml, runs=True)
        stands.append(rising.stands)
    assert (stands.index(True) if any(stands) else None) == after_s
