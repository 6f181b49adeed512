"""What a person has entered: when it raises, keeps and ends an alarm; and when the next oximetry is due."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from msgspec.structs import replace

from edge.core import by_entry, oximetry, treatment
from edge.core.alarms import Alarm
from edge.core.context import RuleContext
from edge.core.entered import Spot
from edge.core.facts import FACTS
from edge.core.state import BedState, CheckIn, LatestValue, Order, Session
from edge.core.transitions import Judged
from tests.helpers.rule_files import PROTOCOLS, RULES

NOW = 1_800_000_000.0
FOR_S = RULES.engine.entered_for_s
LOW, WELL = RULES.named("RES-2"), 97
ORDER = Order("iv_racemic_40", 70, 0.5, 40, 1.0)


def bed(*entered: tuple[int, float], measured: tuple[float, float] | None = None, **change: Any) -> BedState:
    """Saturations that were entered, and the one that was measured last: percent, and how long ago."""
    session = Session("s", "b", ORDER, "INFUSING", NOW - 3000, NOW - 3600, "nina", started_s=NOW - 3000)
    state = BedState("b", engine=RULES.engine, protocols=PROTOCOLS, session=replace(
        session, spots=tuple(Spot(NOW - before_s, pct, "nina") for pct, before_s in entered), **change))
    if measured is not None:
        pct, at_s = measured[0], NOW - measured[1]
        state.latest["spo2_pct"] = LatestValue("o", pct, "valid", None, at_s, pct, at_s)
    return state


def now(state: BedState) -> RuleContext:
    return RuleContext(state, NOW)


# --- alarms -----------------------------------------------------------------------------------------------------------


class IsLow:
    """What a rule asks."""

    def begins(self, context: RuleContext, /) -> bool:
        return LOW.when.evaluate(context) is True


@pytest.mark.parametrize(("entered", "raised"), [
    ((), None), (((88, 60),), NOW - 60), (((WELL, 60),), None), (((WELL, 90), (88, 60)), NOW - 60),
    (((88, FOR_S - 1),), NOW - FOR_S + 1), (((88, FOR_S),), None),
])
def test_a_low_entry_raises_at_once(entered: tuple[tuple[int, float], ...], raised: float | None) -> None:
    judged = by_entry.raised(LOW, now(bed(*entered)))
    assert judged == (None if raised is None else Judged("held", True, entered_s=raised))
    assert by_entry.begins(IsLow(), now(bed(*entered))) is (raised is not None)
    assert by_entry.begins(IsLow(), now(bed(*entered, measured=(88, 0))))


@pytest.mark.parametrize(("rests_s", "entered", "measured", "judged", "rests_now_s"), [
    (None, (), None, None, None),  # it is judged by what is measured
    (FOR_S - 0.1, (), None, None, FOR_S - 0.1), (FOR_S, (), None, Judged("clear"), FOR_S),
    (60, (), (88, 0), None, None),  # from now on it rests on what is measured
    (None, ((88, 60),), (88, 60), None, None), (None, ((WELL, 60),), (88, 60), None, None),
    (None, ((WELL, 60),), None, Judged("clear", False), None), (90, ((WELL, 60),), None, Judged("clear", False), 90),
    (90, ((88, 60),), None, Judged(None, True), 60), (None, ((88, 60),), None, Judged(None, True), None),
])
def test_an_alarm_that_is_on_and_an_entry(
    rests_s: float | None, entered: tuple[tuple[int, float], ...], measured: tuple[float, float] | None,
    judged: Judged | None, rests_now_s: float | None,
) -> None:
    state = bed(*entered)
    if measured is not None:  # and not later than it was entered
        at_s = NOW - measured[1]
        state.latest["spo2_pct"] = LatestValue("o", measured[0], "valid", None, NOW, measured[0], at_s)
    alarm = Alarm("RES-2", "RES-2", "b", state="active", entered_s=None if rests_s is None else NOW - rests_s)
    state.alarms["RES-2"] = alarm
    assert by_entry.active(state, LOW, alarm, now(state)) == judged
    assert state.alarms["RES-2"].entered_s == (None if rests_now_s is None else NOW - rests_now_s)


def test_an_acknowledgement_of_what_was_entered_runs_out_too() -> None:
    state = bed((88, 60))
    alarm = Alarm("RES-3", "RES-3", "b", state="acknowledged", priority="high", entered_s=NOW - 60,
                  acknowledged_at_s=NOW - RULES.engine.acknowledged_for_s)
    assert by_entry.active(state, LOW, alarm, now(state)) == Judged("expire", True)


@pytest.mark.parametrize(("judged_s", "rests_s", "entered", "measured", "says"), [
    (None, None, (), (95, 0), 95), (NOW - 60, None, ((88, 60),), (95, 60), 88),
    (None, NOW - 60, ((88, 60),), (95, 60), 88),
    (None, None, ((88, 60),), None, 88), (None, None, ((88, 60),), (95, 60), 95),
])
def test_an_alarm_says_what_it_rests_on(
    judged_s: float | None, rests_s: float | None, entered: tuple[tuple[int, float], ...],
    measured: tuple[float, float] | None, says: float,
) -> None:
    state = bed(*entered)
    if measured is not None:
        state.latest["spo2_pct"] = LatestValue("o", measured[0], "valid", None, NOW, measured[0], NOW - measured[1])
    alarm = Alarm("RES-2", "RES-2", "b", entered_s=rests_s)
    told = by_entry.told_by(LOW, alarm, Judged("held", True, entered_s=judged_s), now(state))
    assert told.metric("spo2_pct") == says
    if rests_s is None:
        told = by_entry.told_by(LOW, None, Judged("held", True, entered_s=judged_s), now(state))
        assert told.metric("spo2_pct") == says


# --- oximetry by the schedule -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "newest", "words"), [
    (bed(), None, None), (bed((95, 60)), (95, 60, "nina"), "95"), (bed(measured=(97, 90)), (97, 90, None), "97"),
    (bed((95, 60), measured=(97, 90)), (95, 60, "nina"), "95"),
    (bed((95, 90), measured=(97, 60)), (97, 60, None), "97"),
    (bed(measured=(97, 3600)), (97, 3600, None), "97"), (bed(measured=(97, 3600.5)), None, None),  # another patient's
    (bed((95, 60), measured=(97, 3600.5)), (95, 60, "nina"), "95"),
    (bed(measured=(0, 60)), (-inf, 60, None), "below the measuring range"), (bed(measured=(1, 60)), (1, 60, None), "1"),
])
def test_the_saturation_as_last_known(
    state: BedState, newest: tuple[float, float, str | None] | None, words: str | None,
) -> None:
    found = oximetry.newest(state)
    assert found == (None if newest is None else (newest[0], NOW - newest[1], newest[2]))
    assert oximetry.in_words(now(state)) == words
    assert FACTS["last_spo2.pct"].compute(now(state)) == (None if newest is None else newest[0])
    assert FACTS["last_spo2.age_s"].compute(now(state)) == (None if newest is None else newest[1])


@pytest.mark.parametrize(("change", "measured", "from_s"), [
    ({}, None, 3000), ({"started_s": None}, None, 3600), ({"spo2_at_s": (NOW - 900, NOW - 300)}, None, 300),
    ({"spo2_at_s": (NOW - 900,)}, (97, 120), 120), ({}, (97, 3300), 3000),
])
def test_from_when_the_next_oximetry_is_counted(
    change: dict[str, Any], measured: tuple[float, float] | None, from_s: float,
) -> None:
    state = bed(measured=measured, **change)
    assert state.session is not None
    assert oximetry.last_s(state, state.session) == NOW - from_s


@pytest.mark.parametrize(("every_s", "before_s", "late_s"), [
    (None, 700, 0), (600, 599, 0), (600, 600, 0), (600, 601, 1), (600, 720, 120)])
def test_how_late_the_next_oximetry_is(every_s: float | None, before_s: float, late_s: float) -> None:
    state = bed((95, before_s))
    state.oximetry_every_s = every_s
    assert FACTS["spo2_overdue_s"].compute(now(state)) == late_s
    asked_s = oximetry.asked_s(now(state))
    assert asked_s == (None if every_s is None else NOW - before_s + every_s)
    state.latest["spo2_pct"] = LatestValue("o", 97, "valid", None, NOW, 97, NOW)
    assert oximetry.asked_s(now(state)) is None, "an oximeter measures"
    assert state.session is not None
    state.session = replace(state.session, started_s=None)
    assert oximetry.due_s(state) is None


@pytest.mark.parametrize(("state", "words"), [
    (bed(), "none for 50 min"), (bed(measured=(97, 3000)), "the last one 50 min ago"),
    (bed((95, 600)), "the last one 10 min ago, 95 % entered by nina"), (BedState("b"), None)])
def test_how_old_the_last_saturation_is_in_words(state: BedState, words: str | None) -> None:
    reason = FACTS["spo2_overdue_s"].reason
    assert reason is not None and reason(now(state)) == words


@pytest.mark.parametrize(("before_s", "new"), [(599.9, True), (600, True), (600.1, False)])
def test_a_symptom_is_new_for_so_long(before_s: float, new: bool) -> None:
    context = now(bed(check_ins=(CheckIn(NOW - before_s, "nina", symptoms=("headache",)),)))
    assert FACTS["symptom_within"].compute(context, 600, "headache") is new
    assert FACTS["symptom_within"].compute(context, 600, "seizure") is False


def test_how_long_nobody_has_asked_is_said_in_minutes() -> None:
    asked = now(bed(check_ins=(CheckIn(NOW - 9030, "nina"),), started_s=NOW - 9990))
    assert treatment.check_in_age_in_words(asked) == "the last one 150 min ago"
    assert treatment.check_in_age_in_words(now(bed())) == "none for 50 min"
    assert treatment.check_in_age_in_words(now(BedState("b"))) is None


def test_a_check_in_is_late_from_the_second_in_which_it_is_due() -> None:
    state = bed(started_s=NOW - 3000)
    state.check_in_every_s = 3000
    late_s = FACTS["check_in.overdue_s"].compute
    assert [late_s(RuleContext(state, NOW + after_s)) for after_s in (-1, 0, 1)] == [0, 0, 1]
    assert late_s(now(BedState("b"))) == 0
