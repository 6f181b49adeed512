"""What a volume says of a pump that does not tell whether it runs, at whatever rate and however finely it is told."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest

from drivers.kit.flow import Flow, Seen

RATES = (0.5, 5.0, 52.5, 400.0, 1200.0)


def pump(rate_ml_h: Callable[[float], float], told_ml_h: Callable[[float], float], seconds: int,
         grain_ml: float = 0.001, every_s: float = 1.0) -> Iterator[tuple[float, Seen]]:
    """A pump that gives one rate and tells another, its volume in whole grains."""
    flow, volume = Flow(), 0.0
    for n in range(round(seconds / every_s)):
        at_s = n * every_s
        yield at_s, flow.heard(at_s, told_ml_h(at_s), math.floor(volume / grain_ml + 1e-9) * grain_ml)
        volume += rate_ml_h(at_s) * every_s / 3600.0


def until(seen: Iterator[tuple[float, Seen]], after_s: float, wanted: Callable[[Seen], bool]) -> float:
    """How long after that moment it first is so."""
    return next(at_s - after_s for at_s, one in seen if at_s >= after_s and wanted(one))


@pytest.mark.parametrize("rate", RATES)
def test_a_steady_pump_infuses_and_its_rate_agrees(rate: float) -> None:
    seen = list(pump(lambda _: rate, lambda _: rate, 400))
    grain_s = 0.001 / rate * 3600
    assert all(one == Seen("infusing", True) for at_s, one in seen if at_s > 12 + 6 * grain_s)


@pytest.mark.parametrize("rate", RATES)
def test_one_that_is_stopped_is_known_to_be_so_soon_and_starts_at_once(rate: float) -> None:
    def flows(at_s: float) -> float:
        return 0.0 if 200 <= at_s < 300 else rate

    grain_s = 0.001 / rate * 3600
    assert until(pump(flows, lambda _: rate, 400), 201, lambda one: one.state == "stopped") <= 6 + 4 * grain_s
    assert until(pump(flows, lambda _: rate, 400), 299, lambda one: one.state == "infusing") <= 2 + 2 * grain_s


def test_one_that_never_ran_is_unknown_until_three_tenths_of_a_millilitre_should_have_come() -> None:
    seen = dict(pump(lambda _: 0.0, lambda _: 52.5, 60))
    assert {one.state for at_s, one in seen.items() if at_s < 20} == {"unknown"}
    assert {one.state for at_s, one in seen.items() if at_s > 21} == {"stopped"}
    assert not any(one.agrees for one in seen.values())


def test_after_a_volume_that_fell_it_must_be_seen_to_rise() -> None:
    """It was set to nothing, or is an old one that came again."""
    flow = Flow()
    told = [flow.heard(float(at_s), 52.5, volume).state
            for at_s, volume in enumerate((7.0, 7.014, 7.028, 6.0, 6.0, 6.014))]
    assert told == ["unknown", "infusing", "infusing", "unknown", "unknown", "infusing"]


@pytest.mark.parametrize("rate", [5.0, 52.5])
def test_a_coarse_volume_is_not_taken_for_a_pump_that_stands_still(rate: float) -> None:
    seen = dict(pump(lambda _: rate, lambda _: rate, 1500, grain_ml=0.1))
    first_s = next(at_s for at_s, one in seen.items() if one.state == "infusing")
    assert {one.state for at_s, one in seen.items() if at_s > first_s} == {"infusing"}
    assert seen[1490].agrees


@pytest.mark.parametrize(("true", "told"), [(52.5, 525.0), (52.5, 5.25), (52.5, 80.0), (52.5, 30.0)])
def test_a_rate_that_is_not_what_flows_does_not_agree(true: float, told: float) -> None:
    seen = dict(pump(lambda _: true, lambda _: told, 300))
    assert not any(one.agrees for at_s, one in seen.items() if at_s > 60)


def test_after_a_new_rate_it_agrees_again_within_ten_seconds_and_a_bolus_does_not_spoil_what_follows() -> None:
    def rate(at_s: float) -> float:
        return 1200.0 if 100 <= at_s < 110 else 5.0

    seen = list(pump(rate, lambda at_s: 5.0, 300))
    assert not any(one.agrees for at_s, one in seen if 104 < at_s < 110)
    assert until(iter(seen), 110, lambda one: one.agrees) <= 35
    assert until(pump(lambda at_s: 20.0 if at_s >= 99 else 50.0, lambda at_s: 20.0 if at_s >= 100 else 50.0, 200), 100,
                 lambda one: one.agrees) <= 10


def test_a_rate_of_zero_agrees_while_nothing_flows_and_a_volume_that_is_reset_begins_anew() -> None:
    flow = Flow()
    assert flow.heard(0.0, 0.0, 1.0) == Seen("stopped", True)
    assert flow.heard(1.0, 0.0, 1.2) == Seen("unknown", False)
    assert flow.heard(2.0, 0.0, 0.0) == Seen("stopped", True)
    seen = [flow.heard(3.0 + n, 360.0, (5.0 if n < 30 else 2.0) + n / 10) for n in range(45)]
    assert {one.agrees for one in seen[10:30]} == {one.agrees for one in seen[40:]} == {True}


def test_a_pump_that_starts_again_agrees_as_soon_as_one_that_starts() -> None:
    def flows(at_s: float) -> float:
        return 0.0 if 40 <= at_s < 55 else 52.5

    assert until(pump(flows, lambda _: 52.5, 100), 55, lambda one: one.agrees) <= 12
