"""A patient who changes fast is shown as they are: what is doubted, for it may be a flipped bit or an old line, is not
doubted for as long as the change lasts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

import drivers
import simulators
from drivers.contract import Reading, Validity
from drivers.kit.text import Repeats, moves
from tests.helpers.dialogue_run import DialogueRun, StillPatient
from tests.helpers.parts import sampled

SPECS = drivers.find()
LASTS_S, SETTLED_S, LATE_S = 10.0, 30.0, 5.5  # LATE_S: one monitor is asked every 5 s
DOUBTFUL = frozenset({"dinamap_binary"})  # all of its numbers are questionable
Curve = Callable[[float], float]


def desaturates(at_s: float) -> float:
    """98 to 70 % in 10 s."""
    return 98.0 - 2.8 * min(max(at_s, 0.0), LASTS_S)


def races(at_s: float) -> float:
    """60 to 150 /min in 10 s."""
    return 60.0 + 9.0 * min(max(at_s, 0.0), LASTS_S)


def leaps(at_s: float) -> float:
    """60 to 150 /min at once."""
    return 60.0 if at_s < 0 else 150.0


CHANGES: dict[str, tuple[str, tuple[Curve, ...]]] = {
    "spo2_pct": ("spo2_pct", (desaturates,)), "pulse_bpm": ("pulse_bpm", (races, leaps)),
    "heart_rate_bpm": ("pulse_bpm", (races, leaps))}
CASES = [(name, metric, curve) for name, spec in SPECS.items() if name not in DOUBTFUL
         for metric in sorted(spec.metrics & CHANGES.keys()) for curve in CHANGES[metric][1]]


def changing(name: str, attribute: str, curve: Curve, seconds: float, speed: float = 1.0) -> tuple[DialogueRun, float]:
    """A run in which the patient changes, and when they begin to."""
    patient = StillPatient()
    setattr(patient, attribute, curve(-1.0))
    run = DialogueRun(SPECS[name], simulators.find()[name].make(patient, 1), speed=speed)
    run.open()
    run.run(SETTLED_S)
    run.forget()
    began_s = run.at_s
    run.living = lambda dt_s: setattr(patient, attribute, curve(run.at_s - began_s))
    run.run(seconds)
    return run, began_s


@pytest.mark.parametrize(("name", "metric", "curve"), sampled(CASES, 5))
def test_while_it_changes_the_last_valid_number_is_never_old(name: str, metric: str, curve: Curve) -> None:
    run, began_s = changing(name, CHANGES[metric][0], curve, LASTS_S + 2 * LATE_S)
    valid = [(at_s - began_s, one.value) for at_s, one in run.samples(metric) if one.validity == "valid"]
    times = [0.0, *(at_s for at_s, _ in valid)]
    assert max(later - earlier for earlier, later in pairwise(times)) <= LATE_S
    assert valid[-1][1] == pytest.approx(curve(LASTS_S), abs=0.6)
    for at_s, value in valid:
        assert any(abs((value or 0) - curve(at_s - late_s)) <= 1 for late_s in (0.0, 0.35, 0.7, 1.0, 1.5, 2.0))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, spec in SPECS.items() if "sbp_mmhg" in spec.metrics])
def test_a_systolic_pressure_that_is_60_higher_is_shown(name: str) -> None:
    """From one determination to the next."""
    run, _ = changing(name, "sbp_mmhg", lambda at_s: 118.0 if at_s < 600 else 178.0, 1500.0, speed=2.0)
    told = [one.value for _, one in run.samples("sbp_mmhg") if one.validity == "valid" and one.value is not None]
    assert {round(told[0]), round(told[-1])} == {118, 178}
    assert set(map(round, told)) == {118, 178}, "and nothing between"


@pytest.mark.parametrize(("values", "true"), [
    ((98, 95, 92), True), ((92, 95, 98), True), ((98, 95, 95), False), ((98, 94, 98), False), ((98, 88, 78), True),
    ((98, 87, 78), False), ((98, 98, 95), False), ((98, 97, 93), True), ((98, 97, 92), False)])
def test_a_change_is_true_where_it_goes_on_in_one_direction(values: tuple[int, ...], true: bool) -> None:
    assert moves(values, 3, 10.0) is true


@pytest.mark.parametrize(("said", "valid"), [
    ([98, 98, 95, 92, 89], [False, True, False, True, True]),  # it falls
    ([98, 98, 94, 98, 98], [False, True, False, False, True]),  # one line was wrong
    ([98, 98, 95, 95, 92], [False, True, False, True, False]),  # it rests meanwhile
    ([98, 98, None, 92, 89], [False, True, False, False, False]),  # and was gone meanwhile
])
def test_a_number_that_jumps_counts_when_it_repeats_or_goes_on(said: list[int | None], valid: list[bool]) -> None:
    repeats = Repeats({"spo2_pct": 2.0})
    told = [repeats.judged([Reading("spo2_pct", one) if one is not None
                            else Reading("spo2_pct", None, Validity.UNAVAILABLE)])[0] for one in said]
    assert [one.validity is Validity.VALID for one in told] == valid
