"""Unwatched seconds, each function of it alone: what is said already, counted for whom, and forgotten."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from edge.core import unwatched
from edge.core.alarms import Alarm
from edge.core.context import RuleContext
from edge.core.engine import Engine
from edge.core.lacking import Span, Unwatched
from edge.core.state import BedState, Device
from edge.core.unwatched import ALL, BASELINE
from edge.model import AlarmState
from edge.vocabulary import BY_FINGER

SPO2, PULSE, SBP, RESP = "spo2_pct", "pulse_bpm", "sbp_mmhg", "resp_bpm"
FINGER, BREATH = frozenset({SPO2, PULSE}), frozenset({RESP})
SAYS = {"TEC-1": FINGER, "RES-6": BREATH, "TEC-4": ALL, "TEC-10": ALL}  # by rule, what its alarm says is missing


def bed(*alarms: Alarm) -> BedState:
    """Of each alarm the key is its rule and device."""
    return BedState("b", said_by=SAYS, alarms={one.key: one for one in alarms}, watched=FINGER | BREATH, devices={
        "monitor": Device("monitor", "m", newest_s={SPO2: 1.0, RESP: 1.0, "temp_c": 1.0}),
        "pump": Device("pump", "p", newest_s={"rate_ml_h": 1.0}), "mute": Device("monitor", "m")})


def alarm(rule: str, state: AlarmState = "active", device: str | None = "monitor", *, about: tuple[str, ...] = (),
          ) -> Alarm:
    return Alarm(f"{rule}:{device}", rule, "b", device=device, state=state, about=about)


def lacking(seconds: float, *metrics: str) -> Unwatched:
    """So long it lacked these, up to second 100."""
    span: Span = (100 - seconds, 100)
    return Unwatched([span], {"a rule": 100}, dict.fromkeys(metrics, 100.0),
                     {what: [span] for what in metrics or ("",)})


@pytest.mark.parametrize(("alarms", "said"), [
    ([], {}), ([alarm("TEC-1")], {"monitor": FINGER}), ([alarm("TEC-1", "acknowledged")], {"monitor": FINGER}),
    ([alarm("TEC-1", "latched")], {}), ([alarm("TEC-1", device=None)], {}), ([alarm("RES-3")], {}),
    ([alarm("TEC-1"), alarm("RES-6")], {"monitor": FINGER | BREATH}),
    ([alarm("TEC-1"), alarm("TEC-4")], {"monitor": ALL}), ([alarm("TEC-4"), alarm("TEC-1")], {"monitor": ALL}),
    ([alarm("TEC-1"), alarm("TEC-4", device="pump")], {"monitor": FINGER, "pump": ALL}),
])
def test_what_alarms_say_of_each_device(alarms: list[Alarm], said: Mapping[str, frozenset[str]]) -> None:
    assert unwatched.said_now(bed(*alarms)) == said


@pytest.mark.parametrize(("metrics", "said", "left"), [
    ((SPO2,), None, (SPO2,)), ((SPO2,), ALL, None), ((), ALL, None), ((SPO2,), FINGER, None),
    ((SPO2, RESP), FINGER, (RESP,)), ((), FINGER, ()), ((), None, ()),
])
def test_what_nobody_says_of_what_is_lacked(
    metrics: tuple[str, ...], said: frozenset[str] | None, left: tuple[str, ...] | None,
) -> None:
    assert unwatched.unsaid(metrics, said) == left


@pytest.mark.parametrize(("cause", "metrics", "said", "counted_for"), [
    ("one", (SPO2,), {}, "two"), ("two", (SPO2,), {}, "two"), ("new", (SPO2,), {}, "two"),
    ("one", (SPO2,), {"two": FINGER}, "one"), ("one", (SPO2,), {"two": ALL}, "one"),
    ("one", (SPO2,), {"two": BREATH}, "two"),
    ("new", (RESP,), {}, "new"), ("one", (), {}, "one"), (BASELINE, (SPO2,), {}, BASELINE),
])
def test_devices_that_take_turns_are_counted_as_the_worst_of_them(
    cause: str, metrics: tuple[str, ...], said: Mapping[str, frozenset[str]], counted_for: str,
) -> None:
    state = bed()
    state.unwatched = {"one": lacking(10, SPO2), "two": lacking(20, SPO2), "cuff": lacking(30, SBP),
                       BASELINE: lacking(40, SPO2)}
    assert unwatched.taking_turns(state, cause, metrics, said) == counted_for


@pytest.mark.parametrize(("spans", "since_s", "now"), [
    ([], 5, [(5, 6)]), ([(3, 4)], 5, [(3, 4), (5, 6)]), ([(3, 5)], 5, [(3, 6)]), ([(3, 5.5)], 5, [(3, 6)]),
    ([(5.5, 6)], 5, [(5, 6)]),
])
def test_seconds_that_touch_are_one_stretch(spans: list[Span], since_s: float, now: list[Span]) -> None:
    state = bed()
    state.unwatched["monitor"] = Unwatched([*spans], lacked={SPO2: [*spans]})
    unwatched.count(state, "monitor", since_s, 6, "a rule", (SPO2,))
    found = state.unwatched["monitor"]
    assert (found.spans, found.lacked[SPO2]) == (now, now)
    assert (found.rules, found.metrics) == ({"a rule": 6}, {SPO2: 6})


@pytest.mark.parametrize(("lacked", "found"), [
    ([[]], []),
    ([[(1, 2)], [(2, 3)]], [(1, 3)]),  # those that touch are one
    ([[(1, 2)], [(2.001, 3)]], [(1, 2), (2.001, 3)]),
    ([[(1, 2), (5, 6)], [(1, 4)]], [(1, 4), (5, 6)]),
    ([[(1, 9)], [(2, 3), (8, 9)]], [(1, 9)]),
    ([[(1, 2), (3, 4)], [(4, 7)]], [(1, 2), (3, 7)]),
])
def test_stretches_of_several_metrics_together(lacked: list[list[Span]], found: list[Span]) -> None:
    assert unwatched.together(lacked) == found


@pytest.mark.parametrize(("mostly_s", "until_s", "named"), [(30, 30, []), (30, 30.5, ["", SPO2]), (0, 50, [])])
def test_what_is_missing_for_longer_than_half_the_time_is_named_once(
    mostly_s: float, until_s: float, named: list[str],
) -> None:
    state = bed()
    state.engine = Engine(unwatched_mostly_s=mostly_s)
    for _ in range(2):
        unwatched.count(state, "monitor", 0, until_s, "a rule", ())
        unwatched.count(state, "monitor", 0, until_s, "a rule", (SPO2,))
    assert sorted(state.unwatched["monitor"].mostly) == named


@pytest.mark.parametrize(("before_s", "left"), [(9.9, True), (10, False)])
def test_what_ended_before_the_window_is_forgotten(before_s: float, left: bool) -> None:
    state = bed()
    state.unwatched["monitor"] = Unwatched([(1, 10)], {"a rule": 10}, {SPO2: 10}, {SPO2: [(1, 10)]}, [SPO2])
    state.unwatched["pump"] = Unwatched([(1, 10), (2, 20)], {"a rule": 10}, {SPO2: 10}, {SPO2: [(1, 10)]}, [SPO2])
    unwatched.forget(state, before_s)
    assert ("monitor" in state.unwatched) is left
    pump = state.unwatched["pump"]
    assert [bool(part) for part in (pump.rules, pump.metrics, pump.lacked, pump.mostly)] == [left] * 4
    assert pump.spans == [(1, 10), (2, 20)][not left:]


@pytest.mark.parametrize(("alarms", "device", "unwatched_s", "mostly"), [
    ([], "monitor", 30, (*BY_FINGER, RESP)), ([alarm("TEC-1")], "monitor", 20, (RESP,)),
    ([alarm("TEC-1", device="pump")], "monitor", 30, (*BY_FINGER, RESP)), ([alarm("TEC-4")], "monitor", 0, ()),
    ([alarm("TEC-1"), alarm("RES-6")], "monitor", 0, ()), ([alarm("TEC-4", device=None)], None, 5, ()),
    ([], "pump", 0, ()), ([alarm("TEC-4", device="pump")], "pump", 0, ()),
])
def test_seconds_count_of_which_no_alarm_says(
    alarms: list[Alarm], device: str | None, unwatched_s: float, mostly: tuple[str, ...],
) -> None:
    state = bed(*alarms)
    state.engine = Engine(unwatched_of_s=60)
    state.unwatched = {BASELINE: lacking(5, "sbp_mmhg"), "monitor": Unwatched(
        [(70, 100)], {"a rule": 100}, {SPO2: 90, RESP: 100}, {SPO2: [(70, 90)], RESP: [(80, 100)]}, [SPO2, RESP])}
    context = RuleContext(state, 100, device)
    assert unwatched.FACTS[0].compute(context) == unwatched_s
    names = unwatched.FACTS[0].names
    assert names is not None and sorted(names(context)) == sorted(mostly)


@pytest.mark.parametrize(("at_s", "unwatched_s", "watched_s"), [
    (100, 30, 0), (130, 30, 30), (131, 29, 31), (159, 1, 59), (160, 0, 60), (160.5, 0, 60.5)])
def test_a_stretch_counts_as_far_as_it_is_in_the_window(at_s: float, unwatched_s: float, watched_s: float) -> None:
    state = bed()
    state.engine, state.unwatched = Engine(unwatched_of_s=60), {"monitor": lacking(30, SPO2)}
    context = RuleContext(state, at_s, "monitor")
    assert [fact.compute(context) for fact in unwatched.FACTS] == [unwatched_s, watched_s]


@pytest.mark.parametrize(("device", "lacked", "at_s", "words"), [
    ("monitor", (SPO2,), 100, "SpO₂ from the monitor for 30 of the last 60 s; not watched: a rule"),
    ("monitor", (PULSE, SPO2), 131, "SpO₂ and pulse from the monitor for 29 of the last 60 s; not watched: a rule"),
    ("monitor", (), 160, "state and alarms of the monitor for 0 of the last 60 s; not watched: a rule"),
    (None, ("dbp_mmhg", SBP), 100, "no baseline of blood pressure for 30 of the last 60 s; not watched: a rule"),
    ("pump", (), 100, None),
])
def test_what_was_missing_is_said_in_words(
    device: str | None, lacked: tuple[str, ...], at_s: float, words: str | None,
) -> None:
    state = bed()
    state.engine = Engine(unwatched_of_s=60)
    state.unwatched["monitor" if device else BASELINE] = lacking(30, *lacked)
    context, (unwatched_s, watched_s) = RuleContext(state, at_s, device), unwatched.FACTS
    assert unwatched_s.reason is not None and unwatched_s.reason(context) == words
    if words is None:
        assert watched_s.compute(context) == at_s, "nothing was ever missing"


@pytest.mark.parametrize(("rule", "lacked", "more"), [
    ("TEC-1", (SPO2,), False), ("TEC-1", (SPO2, RESP), True), ("TEC-1", (), True), ("TEC-4", (SPO2, RESP), False),
    ("RES-3", (SPO2,), False), ("RES-6", (SPO2,), True),
])
def test_whether_more_is_missing_than_an_alarm_says(rule: str, lacked: tuple[str, ...], more: bool) -> None:
    state = bed()
    state.unwatched["monitor"] = lacking(9, *lacked)
    assert unwatched.is_more_than(state, "monitor", rule) is more
    assert not unwatched.is_more_than(state, "pump", rule)


@pytest.mark.parametrize(("device", "rule", "told", "news"), [
    ("monitor", "TEC-4", [alarm("TEC-1")], True),  # it gives breaths, too
    ("monitor", "TEC-4", [alarm("TEC-1"), alarm("RES-6")], False),
    ("monitor", "TEC-4", [alarm("TEC-10", about=(SPO2,))], False), ("monitor", "RES-3", [alarm("TEC-1")], False),
    ("monitor", "TEC-1", [alarm("RES-6")], True), ("monitor", "TEC-1", [alarm("RES-9", about=(SPO2, PULSE))], False),
    ("monitor", "TEC-1", [alarm("RES-9", about=(SPO2,))], True), ("monitor", "TEC-1", [], True),
    ("pump", "TEC-4", [alarm("RES-9", about=("rate_ml_h",))], True),  # its own word
    ("pump", "TEC-4", [alarm("RES-9", about=("",))], False), ("mute", "TEC-4", [], False), (None, "TEC-4", [], False),
])
def test_whether_an_alarm_is_news(device: str | None, rule: str, told: list[Alarm], news: bool) -> None:
    assert unwatched.is_news(bed(), device, rule, told) is news
