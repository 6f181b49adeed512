"""Single facts of a bed that is written down: how late things are, what the pump gives against the order, what each
device says for itself; at the limit and a step beside it."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from msgspec.structs import replace

from edge.core import delivery, sources
from edge.core.context import RuleContext
from edge.core.entered import Spot
from edge.core.facts import FACTS
from edge.core.state import (
    Baseline,
    BedState,
    Below,
    CuffCycle,
    Determination,
    Device,
    LatestValue,
    Order,
    OwnValue,
    Session,
)
from edge.core.stopping import Stop
from edge.model import DeviceAlarm, LinkState, PumpState, Sample, Undelivered, Validity
from edge.vocabulary import BY_FINGER
from tests.helpers.rule_files import PROTOCOLS

NOW = 1_800_000_000.0
ORDER = Order("iv_racemic_40", 70, 0.5, 40, 1.0)  # a blood pressure every five minutes


def bed() -> BedState:
    """In an infusion that has just begun."""
    session = Session("s", "b", ORDER, "INFUSING", NOW, NOW - 600, "nina", started_s=NOW)
    return BedState("b", protocols=PROTOCOLS, session=session, devices={
        "oximeter": Device("oximeter", "o", link="live"), "cuff": Device("nibp", "c", link="live")})


@pytest.mark.parametrize(("device", "after_s", "late_s"), [
    ("cuff", 299, 0), ("cuff", 300, 0), ("cuff", 301, 1), ("oximeter", 301, 0)])
def test_how_late_a_blood_pressure_is(device: str, after_s: float, late_s: float) -> None:
    state = bed()
    state.determinations = [Determination(NOW, 120, 75)]
    assert sources.bp_overdue_s(RuleContext(state, NOW + after_s, device)) == late_s


@pytest.mark.parametrize(("of", "valid_s", "change", "seconds"), [
    # of which device; when the oximeter's last valid one was; and what else is so. Opened 600 s ago, linked 10 s ago
    ("oximeter", 30, {}, 30), ("oximeter", 601, {}, 600), (None, 30, {}, 30), (None, None, {}, 10),
    ("oximeter", None, {}, 10), ("oximeter", None, {"link": "lost"}, 600), ("oximeter", 5, {"link": "lost"}, 5),
    ("oximeter", 30, {"away": True}, 0), (None, 30, {"away": True}, 0),
    ("monitor", 30, {}, 0), ("monitor", None, {}, 0),  # it has never given one, and the oximeter gives it
])
def test_for_how_long_there_was_no_valid_reading(
    of: str | None, valid_s: float | None, change: dict[str, Any], seconds: float,
) -> None:
    state = bed()
    state.devices["oximeter"] = replace(Device("oximeter", "o", link="live", since_s=NOW - 10), **change)
    state.devices["monitor"] = Device("monitor", "m", link="live", since_s=NOW - 20)
    assert asked("no_valid_s", state, "spo2_pct", device="oximeter") == (
        0 if "away" in change else 600 if "link" in change else 10), "nobody has given one"
    assert asked("no_valid_s", state, "spo2_pct", device="monitor") == 20
    valid_at_s = None if valid_s is None else NOW - valid_s
    state.latest["spo2_pct"] = LatestValue("oximeter", None, "invalid", None, NOW, None, valid_at_s)
    assert asked("no_valid_s", state, "spo2_pct", device=of) == seconds
    state.boot_s = NOW - 3
    assert asked("no_valid_s", state, "spo2_pct", device=of) == min(seconds, 3)
    state.devices["monitor"].newest_s["spo2_pct"] = NOW - 60
    assert asked("no_valid_s", state, "spo2_pct", device="monitor") == 3, "it has given one: it is asked for more"
    state.engine, state.cuff = replace(state.engine, cuff_excuses_s=60), CuffCycle(NOW - 5, NOW, None, valid_at_s)
    assert (asked("no_valid_s", state, "spo2_pct", device="monitor") == 0) is (valid_s is not None and valid_s < 60)


def asked(name: str, state: BedState, *arguments: Any, device: str | None = None) -> Any:
    """The fact of this name, in the bed as it is now."""
    return FACTS[name].compute(RuleContext(state, NOW, device), *arguments)


@pytest.mark.parametrize(("below", "points", "times"), [
    (None, 0, 0), (Below(7, is_below=True, entered_s=[NOW - 60, NOW - 59.9, NOW]), 7, 2),
    (Below(7, is_below=False, entered_s=[NOW - 1]), 7, 0)])
def test_what_is_counted_below_a_limit(below: Below | None, points: float, times: float) -> None:
    state = bed()
    state.below = {} if below is None else {"spo2_pct<90": below}
    assert asked("satseconds", state, "spo2_pct", 90.0) == points
    assert asked("violations", state, "spo2_pct", 90.0, 60.0) == times


@pytest.mark.parametrize(("baseline", "value", "rise_pct", "fall_pct"), [
    (120, 138, 15, -15), (97, 90, -700 / 97, 7.22), (None, 138, None, None), (0, 138, None, None),
    (120, None, None, None)])
def test_how_far_a_reading_is_from_its_baseline(
    baseline: float | None, value: float | None, rise_pct: float | None, fall_pct: float | None,
) -> None:
    state = bed()
    assert state.session is not None
    at_first = None if baseline is None else Baseline(baseline, 75, 2, "pair")
    state.session = replace(state.session, baseline=at_first)
    state.determinations = [] if value is None else [Determination(NOW, value, 75)]
    found = asked("rise_pct", state, "sbp_mmhg"), asked("fall_pct", state, "sbp_mmhg")
    assert found == (pytest.approx(rise_pct), fall_pct)
    state.session = None
    assert asked("rise_pct", state, "sbp_mmhg") is None


@pytest.mark.parametrize(("link", "ever_live", "opened", "down", "live", "unstable"), [
    ("connecting", False, False, False, False, False), ("connecting", True, False, True, False, False),
    ("connecting", False, True, True, False, False), ("live", True, True, False, True, False),
    ("lost", True, False, True, False, False), ("unstable", True, True, True, False, True)])
def test_whether_a_device_is_connected(
    link: LinkState, ever_live: bool, opened: bool, down: bool, live: bool, unstable: bool,
) -> None:
    state = bed()
    state.session = state.session if opened else None
    state.devices["oximeter"] = Device("oximeter", "o", link=link, ever_live=ever_live)
    found = [asked(name, state, device="oximeter") for name in ("link_down", "link_live", "link_unstable")]
    assert found == [down, live, unstable]
    assert [asked(name, state) for name in ("link_down", "link_live", "link_unstable")] == [None] * 3, "of none"
    assert (asked("link_live", state, "oximeter"), asked("link_live", state, "pump")) == (live, False)


@pytest.mark.parametrize(("link", "watched_s", "alarms", "quiet", "is_so"), [
    ("live", 60, ["occlusion"], False, True), ("live", 60, ["near_end"], False, False),
    ("live", 60, ["near_end"], True, None), ("live", 60, ["occlusion"], True, True),
    ("lost", 60, ["occlusion"], False, None), ("lost", 0, ["occlusion"], False, True), ("lost", 0, [], False, False)])
def test_whether_a_device_has_an_alarm_of_its_own(
    link: LinkState, watched_s: float, alarms: list[str], quiet: bool, is_so: bool | None,
) -> None:
    state = bed()
    state.engine = replace(state.engine, unwatched_of_s=watched_s)
    state.devices["pump"] = Device("pump", "p", link=link, pump_at_s=NOW - (11 if quiet else 1), alarms=tuple(
        DeviceAlarm(code, "high", code, code) for code in alarms))
    assert asked("device_alarm", state, "near_end", device="pump") is is_so
    assert asked("device_alarm", state, "near_end") is None
    said, reports = FACTS["device_reports"].reason, link == "live" and "occlusion" in alarms
    assert said is not None and asked("device_reports", state, "occlusion", "air") is reports
    assert said(RuleContext(state, NOW), "occlusion", "air") == (
        "the pump's own alarm: occlusion" if reports else None)


@pytest.mark.parametrize(("known_s", "since_s", "word_s", "sent_s", "boot_s", "seconds"), [
    (30, 99, 0, None, 99, 30), (None, 40, 0, None, 99, 40), (30, 99, 10, 5, 99, 25), (30, 99, 5, 10, 99, 25),
    (30, 99, 0, None, 20, 20), (None, 40, NOW, None, 99, 0)])
def test_for_how_long_a_pump_has_not_said_whether_it_runs(
    known_s: float | None, since_s: float, word_s: float, sent_s: float | None, boot_s: float, seconds: float,
) -> None:
    state = bed()
    state.boot_s = NOW - boot_s
    pump = Device("pump", "p", link="live", since_s=NOW - since_s, pump_at_s=NOW - word_s,
                  known_at_s=None if known_s is None else NOW - known_s,
                  newest_s={} if sent_s is None else {"rate_ml_h": NOW - sent_s})
    state.devices["pump"] = pump
    assert asked("no_word_s", state, device="pump") == seconds
    assert asked("no_word_s", state) is None
    words = FACTS["no_word_s"].reason
    assert words is not None
    assert words(RuleContext(state, NOW, "pump")) == "it does not say whether it runs"
    pump.link = "lost"
    assert (words(RuleContext(state, NOW, "pump")), words(RuleContext(state, NOW))) == (None, None)


@pytest.mark.parametrize(("gap_s", "gaps_s", "seconds", "words"), [
    (40, 40, 40, "40 s until 08:00 UTC"), (40, 90, 90, "90 s until 08:00 UTC"), (0, 0, 0, None)])
def test_how_long_nobody_watched(gap_s: float, gaps_s: float, seconds: float, words: str | None) -> None:
    state = bed()
    state.boot_s, state.gap_s, state.gaps_s = NOW, gap_s, gaps_s
    said = FACTS["gap_s"].reason
    assert said is not None
    assert (asked("gap_s", state), said(RuleContext(state, NOW + 9))) == (seconds, words)


@pytest.mark.parametrize(("phase", "unready", "is_so"), [
    ("PRECHECK", False, True), ("READY", False, False), ("INFUSING", True, True), ("INFUSING", False, False)])
def test_a_start_before_the_precheck(phase: Any, unready: bool, is_so: bool) -> None:
    state = bed()
    assert state.session is not None
    state.session = replace(state.session, phase=phase, unready_start=unready)
    assert asked("started_unready", state) is is_so
    state.session = None
    assert asked("started_unready", state) is False


@pytest.mark.parametrize(("change", "long_s", "words", "open_s"), [
    ({}, None, None, None), ({"ended_s": NOW - 3600}, 0, "60 minutes since the end of the infusion", None),
    ({"ended_s": NOW - 3660, "dissociation_opened_s": NOW - 7200, "dissociation": "resolving"}, 60,
     "61 minutes since the end of the infusion", 7200),
    ({"ended_s": NOW - 61 * 60 * 60, "dissociation_opened_s": NOW - 60, "dissociation": "resolved"}, 60 * 3600,
     "3660 minutes since the end of the infusion", None)])
def test_how_long_a_dissociation_period_is_open(
    change: dict[str, Any], long_s: float | None, words: str | None, open_s: float | None,
) -> None:
    state, said = bed(), FACTS["dissociation.long_s"].reason
    assert state.session is not None and said is not None
    state.session = replace(state.session, **change)
    assert (asked("dissociation.long_s", state), said(RuleContext(state, NOW))) == (long_s, words)
    assert asked("session.dissociation_s", state) == open_s


@pytest.mark.parametrize(("change", "known"), [
    ({}, (70, None, 0.5, 35, 2400, 0, 0, 0, None, 300, 0)),
    ({"order": replace(ORDER, duration_min=None, age_years=40, nibp_interval_min=15), "delivered_ml": 3.0,
      "infused_s": 90, "started_s": None, "ended_s": NOW - 30, "phase_since_s": NOW - 20},
     (70, 40, 0.5, 35, None, 3, 90, None, 30, 900, 20))])
def test_what_is_known_of_a_session(change: dict[str, Any], known: tuple[float | None, ...]) -> None:
    state = bed()
    assert state.session is not None
    state.session = replace(state.session, **change)
    names = ("weight_kg", "age_years", "dose_mg_kg", "dose_mg", "duration_s", "delivered_mg", "infused_s", "started_s",
             "ended_s", "nibp_interval_s", "phase_s")
    assert tuple(asked(f"session.{name}", state) for name in names) == known
    state.session = None
    assert [asked(f"session.{name}", state) for name in names] == [None] * len(names)


@pytest.mark.parametrize(("name", "field", "words"), [
    ("storage_failing", "storage_failing", "the disk is full"), ("record_damaged_s", "record_damage", "line 7")])
def test_what_is_wrong_with_the_record_is_said(name: str, field: str, words: str) -> None:
    said = FACTS[name].reason
    assert said is not None
    for told in ("", words):
        assert said(RuleContext(replace(bed(), **{field: told}), NOW)) == (told or None)


# --- what the pump gives against the order ----------------------------------------------------------------------------


def infused(rate_ml_h: float | None = 31.0, order: Order = ORDER, **change: Any) -> RuleContext:
    """Its pump says that it infuses, at this rate."""
    state = bed()
    assert state.session is not None
    state.session = replace(state.session, order=order, **change)
    state.devices["pump"] = Device("pump", "p", link="live", pump="infusing", pump_at_s=NOW, rate_ml_h=rate_ml_h,
                                   rate_at_s=NOW)
    return RuleContext(state, NOW)


@pytest.mark.parametrize(("context", "mg_kg_h", "pct", "words"), [
    (infused(), 0.44, 59.05, "31.0 mL/h, 0.44 mg/kg/h: 59 % of the ordered 52.5 mL/h"),
    (infused(2000), inf, inf, "a rate above what can be measured; ordered are 52.5 mL/h"),
    (infused(order=replace(ORDER, weight_kg=None)), None, None, None),
    (infused(order=replace(ORDER, concentration_mg_ml=None)), 0, None, None),
    (infused(None), None, None, None), (RuleContext(BedState("b", protocols=PROTOCOLS), NOW), None, None, None),
])
def test_the_rate_against_the_order(
    context: RuleContext, mg_kg_h: float | None, pct: float | None, words: str | None,
) -> None:
    assert delivery.rate_mg_kg_h(context) == mg_kg_h
    assert (delivery.rate_pct(context), delivery.rate_in_words(context)) == (pct, words)


def test_the_dose_and_the_time_against_the_order() -> None:
    context = infused(delivered_ml=11.111, infused_s=2460.0)
    assert (delivery.delivered_pct(context), delivery.delivered_mg_kg(context)) == (31.75, 0.16)
    assert (delivery.overrun_s(context), delivery.overrun_in_words(context)) == (60, "41 of 40 min")
    for unknown in (infused(order=replace(ORDER, duration_min=None)), RuleContext(BedState("b"), NOW)):
        assert (delivery.overrun_s(unknown), delivery.overrun_in_words(unknown)) == (None, None)


@pytest.mark.parametrize(("vtbi_ml", "delivered_ml", "said_s", "differs", "words"), [
    (36.75, 0, 0, False, "36.8"), (36.8, 0, 0, True, "36.8"), (36.7514, 0, 0, False, "36.8"),
    (33.25, 0, 0, False, "33.2"), (33.2, 0, 0, True, "33.2"),
    (20, 13.25, 0, False, "20.0"), (20, 13.2, 0, True, "20.0"), (35.04, 0, 0, False, None),
    (35.06, 0, 0, False, "35.1"), (36, 0, 0, False, "36.0"), (36.8, 0, -61, None, None), (36.8, 0, -600, None, None),
    (36.8, 0, -600.1, False, None),
])
def test_a_programme_that_gives_more_or_less_than_was_ordered(
    vtbi_ml: float, delivered_ml: float, said_s: float, differs: bool | None, words: str | None,
) -> None:
    context = infused(delivered_ml=delivered_ml)
    assert delivery.programme_differs(context, 5) is False, "it tells none"
    said_s += NOW
    context.state.latest["vtbi_ml"] = LatestValue("pump", vtbi_ml, "valid", None, said_s, vtbi_ml, said_s)
    context = RuleContext(context.state, NOW)
    assert delivery.programme_differs(context, 5) is differs
    says = f"its programme gives {words} mg; ordered are 35.0 mg"
    assert delivery.programme_in_words(context) == (says if words else None)
    rate = delivery.rate_in_words(context)
    assert delivery.against_order_in_words(context) == (f"{says}; {rate}" if words else rate)
    context = RuleContext(context.state, NOW)
    context.state.session = None
    assert delivery.against_order_in_words(context) is None
    assert delivery.programme_differs(context, 5) is False


@pytest.mark.parametrize(("device", "link", "pump", "says"), [
    ("pump", "live", "infusing", "says that it infuses"),
    ("pump", "live", "stopped", "does not say that it stands still"),
    ("pump", "lost", "infusing", "is not connected"), ("gone", "live", "infusing", "is not connected"),
])
def test_a_stop_that_is_not_confirmed(device: str, link: LinkState, pump: PumpState, says: str) -> None:
    state = infused().state
    assert (delivery.stop_unconfirmed(RuleContext(state, NOW)), delivery.stop_in_words(RuleContext(state, NOW))) == (
        False, None)
    state.devices["pump"].link, state.devices["pump"].pump = link, pump
    state.stop = Stop(device, "a", "RES-3", "low", NOW, NOW + 5)
    assert [delivery.stop_unconfirmed(RuleContext(state, NOW + after_s)) for after_s in (4.9, 5, 6)] == [
        False, True, True]
    assert delivery.stop_in_words(RuleContext(state, NOW)) == f"the {device} {says}, asked to stop because of: low"
    state.stop = replace(state.stop, confirmed_s=NOW + 4)
    assert not delivery.stop_unconfirmed(RuleContext(state, NOW + 5))


# --- what each device says for itself ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("metric", "then", "value", "validity", "kept"), [
    ("spo2_pct", 97, 97, "valid", (97, NOW + 1, NOW)), ("spo2_pct", 97, 96, "valid", (96, NOW + 1, NOW + 1)),
    ("spo2_pct", 97, None, "invalid", None), ("spo2_pct", 97, 96, "questionable", None),
    ("spo2_pct", 97, None, "measuring", (97, NOW, NOW)), ("spo2_pct", 97, None, "underflow", (0, NOW + 1, NOW + 1)),
    ("sbp_mmhg", 120, None, "invalid", (120, NOW, NOW)), ("rate_ml_h", 30, 30, "valid", None),
])
def test_what_a_device_measures_is_kept_with_since_when_it_is_the_same(
    metric: str, then: float, value: float | None, validity: Validity, kept: tuple[float, float, float] | None,
) -> None:
    state = bed()
    sources.keep(state, [Sample("b", "oximeter", metric, then, "valid", NOW)])
    sources.keep(state, [Sample("b", "oximeter", metric, value, validity, NOW + 1)])
    own = state.devices["oximeter"].own.get(metric)
    assert (None if own is None else (own.value, own.at_s, own.since_s)) == kept


@pytest.mark.parametrize(("skew_s", "words"), [
    (0, None), (0.5, "that of console main is 0.5 s ahead of that of the box"),
    (-3, "that of console main is 3 s behind that of the box")])
def test_which_clock_is_off(skew_s: float, words: str | None) -> None:
    assert sources.skewed(RuleContext(BedState("b", skew_s=skew_s, skew_console="main"), NOW)) == words


@pytest.mark.parametrize(("unheard", "texts", "words"), [
    ("", (), None), ("no console", (), "no console"), ("no console", ("low", "high"), "no console: low; high")])
def test_why_nobody_may_hear(unheard: str, texts: tuple[str, ...], words: str | None) -> None:
    told = tuple(Undelivered(text, "high", text) for text in texts)
    assert sources.unheard_in_words(RuleContext(BedState("b", unheard=unheard, undelivered=told), NOW)) == words


@pytest.mark.parametrize(("change", "link", "seconds"), [
    ({}, "live", 90), ({}, "lost", 0), ({"pulse_bpm": None}, "live", 0),
    ({"pulse_bpm": OwnValue(70, NOW - 10, NOW - 100)}, "live", 90),
    ({"pulse_bpm": OwnValue(70, NOW - 10.1, NOW - 100)}, "live", 0),
])
def test_for_how_long_a_finger_is_the_same(
    change: dict[str, OwnValue | None], link: LinkState, seconds: float,
) -> None:
    state = bed()
    assert sources.identical_s(RuleContext(state, NOW, "oximeter")) == 0, "it has sent nothing"
    same = {metric: OwnValue(70, NOW, NOW - 90) for metric in BY_FINGER} | change
    state.devices["oximeter"].own = {metric: own for metric, own in same.items() if own is not None}
    state.devices["oximeter"].link = link
    assert sources.identical_s(RuleContext(state, NOW, "oximeter")) == seconds


@pytest.mark.parametrize(("one", "other", "difference"), [
    ((97, 0), (90, 0), 7), ((97, 0), (90, -8), 7), ((97, 0), (90, -8.1), 0), ((97, -10), (90, -10), 7),
    ((97, -10.1), (90, -10), 0), ((inf, 0), (90, 0), 0), ((97, 0), None, 0),
])
def test_by_how_much_two_devices_differ(
    one: tuple[float, float], other: tuple[float, float] | None, difference: float,
) -> None:
    state = bed()
    state.devices["oximeter-2"] = Device("oximeter", "o", link="live")
    for name, said in (("oximeter", one), ("oximeter-2", other)):
        if said is not None:
            state.devices[name].own["spo2_pct"] = OwnValue(said[0], NOW + said[1], NOW + said[1])
    context = RuleContext(state, NOW)
    assert sources.differ(context, "spo2_pct", 8) == difference
    assert sources.differ_in_words(context, "spo2_pct", 8) == (
        "SpO₂: oximeter 97 and oximeter-2 90 %" if difference else None)


@pytest.mark.parametrize(("after_s", "difference"), [(60, 5), (60.1, 0)])
def test_an_entry_is_compared_with_what_was_measured_then(after_s: float, difference: float) -> None:
    state = bed()
    assert state.session is not None
    state.session = replace(state.session, spots=(Spot(NOW, 92, "nina", "spo2_pct", ("oximeter", 97.0)),))
    context = RuleContext(state, NOW + after_s)
    assert sources.differ(context, "spo2_pct", 60) == difference


@pytest.mark.parametrize(("taken_s", "words"), [
    ((), None), ((3660,), "the last one 61 min ago"), ((6000, 3660), "the last one 61 min ago")])
def test_how_old_the_newest_blood_pressure_is(taken_s: tuple[float, ...], words: str | None) -> None:
    state = bed()
    state.determinations = [Determination(NOW - before_s, 120, 75) for before_s in taken_s]
    assert sources.bp_age_in_words(RuleContext(state, NOW)) == words


@pytest.mark.parametrize(("failed", "spo2", "seconds"), [(0, True, inf), (1, True, 40), (1, False, inf)])
def test_how_far_a_failed_measurement_is_from_the_last_saturation(failed: int, spo2: bool, seconds: float) -> None:
    state = bed()
    state.failed_determinations = failed
    state.latest["sbp_mmhg"] = LatestValue("cuff", None, "invalid", None, NOW)
    if spo2:
        state.latest["spo2_pct"] = LatestValue("oximeter", 97, "valid", None, NOW - 40, 97, NOW - 40)
    assert sources.cuff_failed_apart_s(RuleContext(state, NOW)) == seconds


@pytest.mark.parametrize(("mean", "pressure", "words"), [(None, 110.7, "about 111"), (112, 112, "112")])
def test_a_mean_pressure_is_estimated_to_a_tenth(mean: float | None, pressure: float, words: str) -> None:
    state = bed()
    state.determinations = [Determination(NOW, 150, 91, mean)]
    context = RuleContext(state, NOW)
    assert (sources.mean_pressure(context), sources.mean_in_words(context)) == (pressure, words)
