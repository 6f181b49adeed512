"""What a pump's own counter makes a dose of, at each limit; and when the estimate is one to go by."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from edge.core import dose, pk
from edge.core.engine import Engine
from edge.core.entered import Stay
from edge.core.state import BedState, Device, Order, Pk, Session
from edge.model import PumpState, Sample, Validity
from edge.vocabulary import METRICS
from tests.helpers.rule_files import PROTOCOLS

NOW = 1_800_000_000.0
ORDER = Order("iv_racemic_40", 70, 0.5, 40, 1.0)
MOST_ML_H = float(METRICS["rate_ml_h"].high)


def bed(volume_ml: float | None = 10.0, *, doubtful: bool = False, **change: Any) -> BedState:
    """An infusion; its pump's counter was read last at NOW."""
    session = Session("s", "b", ORDER, "INFUSING", NOW, NOW - 1200, "nina", started_s=NOW - 600, delivered_ml=5.0)
    pump = Device("pump", "p", link="live", identity="A", volume_of="A", volume_ml=volume_ml, volume_at_s=NOW,
                  volume_doubtful=doubtful, rate_ml_h=52.5, rate_at_s=NOW)
    return BedState("b", engine=Engine(counter_noise_ml=0.5, counter_spare_ml=1.0), protocols=PROTOCOLS,
                    session=replace(session, **change), devices={"pump": pump})


def told(state: BedState, metric: str, value: float | None, at_s: float, validity: Validity = "valid") -> Device:
    dose.count(state, [Sample("b", "pump", metric, value, validity, at_s)])
    return state.devices["pump"]


@pytest.mark.parametrize(("change", "mg", "ml_h", "given_mg", "primed_mg"), [
    ({}, 35, 52.5, 5, 2), ({"concentration_mg_ml": 2.0}, 35, 26.25, 10, 4), ({"dose_mg_kg": None}, 0, 0, 5, 2),
    ({"weight_kg": None}, 0, 0, 5, 2), ({"by_hand_mg": 56.0}, 56, 84, 5, 2), ({"duration_min": None}, 35, None, 5, 2),
    ({"concentration_mg_ml": None}, 35, None, 0, 0),
])
def test_what_an_order_and_what_was_given_come_to(
    change: dict[str, Any], mg: float, ml_h: float | None, given_mg: float, primed_mg: float,
) -> None:
    order = replace(ORDER, **change)
    session = bed(order=order, primed_ml=2.0).session
    assert session is not None
    assert (order.dose_mg, order.rate_ml_h) == (mg, ml_h)
    assert (session.delivered_mg, session.primed_mg) == (given_mg, primed_mg)


@pytest.mark.parametrize(("until_s", "here_s"), [((), NOW - 1200), ((-90,), NOW - 90), ((-90, -60), NOW - 60)])
def test_since_when_a_patient_is_at_this_bed(until_s: tuple[float, ...], here_s: float) -> None:
    session = bed(stays=tuple(Stay("other", NOW - 999, NOW + one) for one in until_s)).session
    assert session is not None and session.here_s == here_s


@pytest.mark.parametrize(("before_ml", "doubtful", "after_s", "reads_ml", "grown_ml", "kept_ml"), [
    (10, False, 60, 10, 0, 10), (10, False, 60, 10.25, 0.25, 10.25), (None, False, 60, 10, 0, 10),
    (10, False, 60, 9.5, 0, 10),  # its rounding: nothing was cleared
    (10, False, 60, 9.4, 9.4, 9.4),  # cleared: what it shows went in since
    (10, True, 60, 9.4, 0, 9.4),  # back from a total that was not believed
    (0.75, False, 60, 0.5, 0, 0.75), (0.25, False, 60, 0, 0, 0),  # an empty counter was cleared
    (10, False, 0, 11, 1, 11), (10, False, -5, 11, 1, 11), (10, False, 0, 11.1, 0, 11.1),
    (10, False, 3600, 11 + MOST_ML_H, 1 + MOST_ML_H, 11 + MOST_ML_H),
    (10, False, 3600, 11.1 + MOST_ML_H, 0, 11.1 + MOST_ML_H),
])
def test_what_a_counter_grew_by(
    before_ml: float | None, doubtful: bool, after_s: float, reads_ml: float, grown_ml: float, kept_ml: float,
) -> None:
    state = bed(before_ml, doubtful=doubtful)
    pump = told(state, "volume_infused_ml", reads_ml, NOW + after_s)
    assert state.session is not None
    assert state.session.delivered_ml - 5.0 == pytest.approx(grown_ml, abs=1e-9)
    assert (pump.volume_ml, state.session.after_end_ml) == (kept_ml, 0)
    assert pump.volume_at_s == (NOW + after_s if kept_ml == reads_ml else NOW)


def test_what_comes_after_the_end_is_dose_and_told_apart() -> None:
    state = bed(ended_s=NOW)
    told(state, "volume_infused_ml", 10.5, NOW + 60)
    assert state.session is not None and (state.session.delivered_ml, state.session.after_end_ml) == (5.5, 0.5)


@pytest.mark.parametrize(("said", "run_ml", "since_s"), [
    ("infusing", 3.0, NOW - 60), (None, 3.0, NOW - 60), ("unknown", 3.0, NOW - 60), ("stopped", 0.0, None)])
def test_a_run_ends_with_a_word_that_says_so(said: PumpState | None, run_ml: float, since_s: float | None) -> None:
    pump = Device("pump", "p", pump=said, run_since_s=NOW - 60, run_ml=3.0)
    dose.run(pump, NOW)
    assert (pump.run_ml, pump.run_since_s) == (run_ml, since_s)


@pytest.mark.parametrize(("value", "validity", "rate_ml_h", "rate_at_s"), [
    (30.0, "valid", 30.0, NOW + 1), (30.0, "invalid", 52.5, 0.0), (30.0, "measuring", 52.5, NOW),
    (None, "overflow", MOST_ML_H, NOW + 1)])
def test_a_rate_that_is_not_valid_is_unknown_now(
    value: float | None, validity: Validity, rate_ml_h: float, rate_at_s: float,
) -> None:
    pump = told(bed(), "rate_ml_h", value, NOW + 1, validity)
    assert (pump.rate_ml_h, pump.rate_at_s) == (rate_ml_h, rate_at_s)


def test_a_pump_that_has_told_no_rate_runs_at_none() -> None:
    state = bed()
    state.devices["pump"].rate_ml_h = None
    assert dose.rate_ml_h(state) == 0
    assert dose.rate_ml_h(BedState("b", protocols=PROTOCOLS)) == 0


@pytest.mark.parametrize(("run_ml", "delivered_ml", "primed_ml"), [(0, 5, 2), (1.5, 6.5, 0.5), (3, 8, 0)])
def test_what_went_in_since_the_pump_began_to_run_is_dose_at_the_start(
    run_ml: float, delivered_ml: float, primed_ml: float,
) -> None:
    state = bed(primed_ml=2.0)
    state.devices["pump"].run_ml = run_ml
    assert state.session is not None
    begun = dose.begin(state, state.session)
    assert (begun.delivered_ml, begun.primed_ml) == (delivered_ml, primed_ml)


# --- the estimate -----------------------------------------------------------------------------------------------------


def estimated(*, ended_s: float | None = None, heard_s: float = NOW, amounts: tuple[float, ...] = (9.0, 0, 0, 1.0),
              ) -> BedState:
    """These amounts at NOW, and nothing has gone in since."""
    state = bed(ended_s=ended_s, pk=Pk(NOW, 5.0, amounts))
    state.devices["pump"].volume_at_s = heard_s
    return state


@pytest.mark.parametrize(("heard_s", "kept_s"), [(9.9, 0), (10, 10), (11, 11)])
def test_the_amounts_are_kept_every_ten_seconds(heard_s: float, kept_s: float) -> None:
    state = estimated(heard_s=NOW + heard_s)
    pk.follow(state, NOW + 60)
    assert state.session is not None and state.session.pk is not None and state.session.pk.at_s == NOW + kept_s


def test_the_first_amounts_are_of_all_that_went_in_since_the_start() -> None:
    state = bed(started_s=NOW - 10, delivered_ml=0.5)
    state.devices["pump"].volume_at_s = NOW
    pk.follow(state, NOW)
    assert state.session is not None and state.session.pk is not None and state.session.pk.mg == 0.5
    assert sum(state.session.pk.amounts[:3]) == pytest.approx(0.5, rel=0.02)


def test_a_dose_of_a_second_has_begun_to_act_and_one_of_no_time_has_not() -> None:
    model = PROTOCOLS.by_id["iv_racemic_40"].pk
    assert model is not None
    assert pk.advance(model, (0.0, 0.0, 0.0, 0.0), 1.0, 1.0)[3] > 0
    assert pk.advance(model, (2.0, 0.0, 0.0, 0.0), 1.0, 0.0) == (3.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(("ended_s", "after_s", "degraded"), [(None, 30, False), (None, 30.1, True), (NOW, 999, False)])
def test_it_is_degraded_when_the_pump_has_not_been_heard_for_half_a_minute(
    ended_s: float | None, after_s: float, degraded: bool,
) -> None:
    state = estimated(ended_s=ended_s)
    assert state.session is not None
    found = pk.now(state, state.session, NOW + after_s)
    assert found is not None and found[2] is degraded
    assert (pk.at_effect(state, state.session, NOW + after_s) is None) is degraded


@pytest.mark.parametrize(("heard_s", "is_one"), [(-30, True), (-30.1, False)])
def test_it_is_none_to_go_by_where_the_end_was_not_heard(heard_s: float, is_one: bool) -> None:
    state = estimated(ended_s=NOW, heard_s=NOW + heard_s)
    assert state.session is not None
    assert (pk.at_effect(state, state.session, NOW) is not None) is is_one


@pytest.mark.parametrize(("amounts", "falls"), [((1.0, 0, 0, 2.0), True), ((2.0, 0, 0, 2.0), False),
                                                ((3.0, 0, 0, 2.0), False)])
def test_it_falls_where_the_drug_acts_when_there_is_less_in_the_blood(amounts: tuple[float, ...], falls: bool) -> None:
    state = estimated(amounts=amounts)
    assert state.session is not None
    found = pk.at_effect(state, state.session, NOW)
    assert found is not None and found[0] == pytest.approx(1000 * 2 / (1.7522 * 70))
    assert found[1] is falls


def test_without_a_pump_nobody_has_heard_one() -> None:
    assert pk.heard_s(BedState("b", protocols=PROTOCOLS)) == 0
