"""The edges of alarms: what people do with them, odd arguments, rules that cannot be used, a restart."""

from __future__ import annotations

from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.app.recovery import recover
from edge.contract.events import PendingEvent
from edge.core import judge
from edge.core.alarms import Alarm
from edge.core.bedside import Bedside
from edge.core.context import RuleContext
from edge.core.expression import compile_condition
from edge.core.rules import RulesError, parse_rules
from edge.core.state import BedState, Device, LatestValue
from edge.model import Boot, Command, DeviceAlarm, DeviceAlarmsReported, LinkChanged, LinkState, Sample, Samples, Tick
from tests.helpers.bed_story import DEVICES, ORDER, BedStory, alarms_in, spo2, state_of, text_of, ticks
from tests.helpers.recovery_story import Life, bp, journal
from tests.helpers.rule_files import FILE, RULES

# --- alarms and what people do with them ------------------------------------------------------------------------------


def occlusion(*more: str) -> DeviceAlarmsReported:
    return DeviceAlarmsReported("pump", tuple(DeviceAlarm(code, "high", code, code) for code in ("occlusion", *more)))


def test_an_acknowledged_pump_alarm_does_not_silence_the_next_one() -> None:
    story = BedStory().infusing()
    story.give(occlusion())
    first = story.bed.state.alarms["INF-4:pump"]
    story.command("acknowledge", alarm=first.id, seq=first.seq)
    story.give(occlusion())
    assert state_of(story, "INF-4:pump") == "acknowledged"
    story.command("audio_pause")
    story.give(occlusion("air_in_line"))
    again = story.bed.state.alarms["INF-4:pump"]
    assert (again.state, again.body and again.body.text) == ("active", "The pump's own alarm: occlusion; air_in_line")
    assert story.bed.state.audio_paused_until_s is None
    assert story.reason(story.command("acknowledge", alarm=first.id, seq=first.seq)) == "moved_on"
    story.give(occlusion("near_end", "air_in_line"))
    assert story.bed.state.alarms["INF-4:pump"].seq == again.seq, "what is no alarm of ours changes nothing"


def test_an_acknowledgement_of_a_high_alarm_ends_after_ten_minutes() -> None:
    story = BedStory().infusing()
    for _ in range(11):
        spo2(story, 80)
    alarm = story.bed.state.alarms["RES-3"]
    story.command("acknowledge", alarm=alarm.id, seq=alarm.seq)
    for _ in range(599):
        spo2(story, 80)
    assert state_of(story, "RES-3") == "acknowledged"
    spo2(story, 80)
    assert story.bed.state.alarms["RES-3"].id == alarm.id
    assert state_of(story, "RES-3") == "active"


def test_a_latched_alarm_that_comes_again_is_a_new_one() -> None:
    story = BedStory().infusing()
    story.bp(185, 100)
    first = story.bed.state.alarms["HTN-3"]
    story.at_s += 300
    story.bp(140, 85)
    assert state_of(story, "HTN-3") == "latched"
    story.at_s += 300
    story.bp(186, 100)
    second = story.bed.state.alarms["HTN-3"]
    assert second.state == "active"
    assert (first.id, second.id, second.worst) == ("chair-1.HTN-3.1", "chair-1.HTN-3.2", None)
    assert story.reason(story.command("acknowledge", alarm=first.id, seq=first.seq)) == "moved_on"


def test_what_a_move_of_a_single_alarm_is_called() -> None:
    story = BedStory().infusing()
    battery = DeviceAlarm("low_battery", "low", "b", "battery low")
    occlusion, door = DeviceAlarm("occlusion", "high", "o", "occlusion"), DeviceAlarm("door_open", "low", "d", "door")

    def reported(*alarms: DeviceAlarm) -> list[tuple[str, str]]:
        story.at_s += 30
        told = alarms_in(story.give(DeviceAlarmsReported("pump", alarms)))
        return [(str(body.alarm_phase), body.state) for body in told if body.rule == "INF-4"]

    assert reported(battery) == [("start", "active")]
    assert reported(battery, door) == [("update", "active")]
    assert reported(battery, occlusion) == [("escalate", "active")]
    alarm = story.bed.state.alarms["INF-4:pump"]
    told = alarms_in(story.command("acknowledge", alarm=alarm.id, seq=alarm.seq))
    assert [(body.alarm_phase, body.state) for body in told] == [("continue", "acknowledged")]
    assert reported(battery, occlusion, door) == [("continue", "active")]


def test_what_ended_must_hold_again_before_it_is_raised() -> None:
    story = BedStory().infusing()
    told: tuple[tuple[LinkState, int, bool], ...] = (
        ("lost", 11, True), ("live", 6, False), ("lost", 9, False), ("lost", 1, True))
    for state, seconds, is_active in told:
        story.give(LinkChanged("cuff", state))
        ticks(story, seconds)
        assert (state_of(story, "TEC-4:cuff") == "active") is is_active, (state, seconds)


@pytest.mark.parametrize(("after_s", "phases"), [(9.9, []), (10, ["update"])])
def test_the_words_of_an_alarm_change_at_most_every_ten_seconds(after_s: float, phases: list[str]) -> None:
    story = BedStory().infusing()
    story.bp(185, 100)
    story.at_s += after_s
    assert [body.alarm_phase for body in alarms_in(story.bp(190, 100)) if body.rule == "HTN-3"] == phases


def test_a_latched_alarm_is_taken_away_by_its_acknowledgement() -> None:
    story = BedStory().infusing()
    story.bp(185, 100)
    story.at_s += 300
    story.bp(140, 85)
    alarm = story.bed.state.alarms["HTN-3"]
    pending_events = story.command("acknowledge", alarm=alarm.id, seq=alarm.seq)
    assert [(body.alarm_phase, body.state) for body in alarms_in(pending_events) if body.rule == "HTN-3"] == [
        ("reset", "inactive")]
    assert story.reason(story.command("acknowledge", alarm=alarm.id, seq=alarm.seq)) == "moved_on"


ODD: list[tuple[str, dict[str, Any]]] = [
    ("acknowledge", {"alarm": None, "seq": None}), ("acknowledge", {"alarm": [], "seq": {}}), ("acknowledge", {}),
    ("check_in", {"moaas": 2.5}), ("check_in", {"symptoms": [1]}), ("check_in", {"cadss": "4"}),
    ("start_session", {**ORDER, "weight_kg": 10**400}), ("start_session", {**ORDER, "age_years": -1}),
    ("checklist", {"done": "yes"}), ("", {}), ("_start", ORDER),
]


@pytest.mark.parametrize(("verb", "args"), ODD)
def test_odd_arguments_are_refused_and_change_nothing(verb: str, args: dict[str, Any]) -> None:
    story = BedStory()
    if verb not in ("start_session", "_start"):
        story.command("start_session", **ORDER)
    before = story.bed.snapshot()
    assert story.reason(story.command(verb, **args)) != ""
    assert story.bed.snapshot() == before


def test_two_failed_measurements_say_why() -> None:
    story = BedStory().infusing()
    for _ in range(2):
        story.at_s += 60
        story.give(Samples("cuff", tuple(Sample("chair-1", "cuff", metric, None, "invalid", story.at_s, "cuff_leak")
                                         for metric in ("sbp_mmhg", "dbp_mmhg"))))
        story.give(Tick())
    assert text_of(story, "TEC-2:cuff").endswith("cuff leak")


def test_the_beds_do_not_know_each_other() -> None:
    one, other = BedStory(), BedStory()
    alone = BedStory().infusing()
    alone.bp(120, 80)
    one.opened()
    other.infusing()
    for _ in range(20):
        spo2(one, 70)
    other.bp(120, 80)
    assert replace_boot(other.pending_events) == replace_boot(alone.pending_events)
    assert other.bed.state == alone.bed.state


def replace_boot(pending_events: list[PendingEvent]) -> list[tuple[str, float, str]]:
    return [(pending.kind, pending.at_s, str(msgspec.to_builtins(pending.body) | {"command": ""}))
            for pending in pending_events]


# --- rules that cannot be used ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("was", "now", "says"), [
    ('text = "SpO₂ {spo2_pct} %: low', 'text = "SpO₂ {spo2_pct:d} %: low', "text names {spo2_pct}"),
    ('text = "SpO₂ {spo2_pct} %: low', 'text = "SpO₂ {spo2} %: low', "text names {spo2}"),
    ('text = "SpO₂ {spo2_pct} %: low', 'text = "SpO₂ {spo2_pct %: low', "text cannot be read"),
    ("tier = 1", 'tier = "1"', "tier must be"), ("tier = 1", "tier = true", "tier must be"),
    ('for_each = ["pump"]', 'for_each = 3', "for_each must be"), ("hold_s = 15", "hold_s = nan", "hold_s must be"),
    ("hold_s = 15", "hold_s = inf", "hold_s must be"),
])
def test_what_would_fail_when_an_alarm_is_raised_fails_when_the_rules_are_read(was: str, now: str, says: str) -> None:
    text = FILE.read_text()
    assert was in text
    with pytest.raises(RulesError, match=r"^rules\.toml:\d+: ") as wrong:
        parse_rules(text.replace(was, now, 1))
    assert says in str(wrong.value)


# --- a restart --------------------------------------------------------------------------------------------------------


def restarted(story: BedStory, gap_s: float) -> None:
    snapshot = story.bed.snapshot()
    story.bed = Bedside("chair-1", DEVICES, RULES)
    story.bed.restore(snapshot)
    story.at_s += gap_s
    story.give(Boot("boot-2", gap_s))


def test_a_restart_does_not_end_the_alarm_of_a_missing_signal() -> None:
    story = BedStory().infusing()
    for _ in range(20):
        spo2(story, None, "invalid")
    assert state_of(story, "TEC-1:oximeter") == "active"
    restarted(story, 2.0)
    ticks(story, 3)
    story.give(LinkChanged("oximeter", "live"))
    for _ in range(20):
        spo2(story, None, "invalid")
        assert state_of(story, "TEC-1:oximeter") == "active"


def test_a_restart_in_the_middle_of_a_hold_starts_it_anew_and_ends_nothing() -> None:
    story = BedStory().infusing()
    for _ in range(14):
        spo2(story, 89)
    restarted(story, 3.0)
    story.give(LinkChanged("oximeter", "live"))
    for _ in range(10):
        spo2(story, 89)
    assert state_of(story, "RES-2") == "pending"
    for _ in range(5):
        spo2(story, 89)
    assert state_of(story, "RES-2") == "active"


async def test_an_acknowledgement_since_the_last_snapshot_survives_a_crash(tmp_path: Path) -> None:
    kept = journal(tmp_path, "boot-1")
    life = Life(kept)
    life.begin("boot-1")
    life.give(LinkChanged("cuff", "live"))
    life.give(bp(life.at_s, 185.0, 100.0))
    alarm = life.bed.state.alarms["HTN-3"]
    life.give(Command("c1", "main", "nina", "nurse", "chair-1", "acknowledge", {"alarm": alarm.id, "seq": alarm.seq}))
    assert life.bed.state.alarms["HTN-3"].state == "acknowledged"
    await kept.close()
    again = journal(tmp_path, "boot-2")
    found = (await recover(again)).beds["chair-1"].state.alarms["HTN-3"]
    await again.close()
    assert found.state == "acknowledged"


def test_an_alarm_that_hands_over_says_to_which_and_never_that_all_is_well() -> None:
    story = BedStory().infusing()
    story.give(LinkChanged("oximeter", "silent"))
    ticks(story, 30)
    assert state_of(story, "TEC-4:oximeter") == "active"
    story.give(LinkChanged("oximeter", "live"))
    ticks(story, 12)
    assert state_of(story, "TEC-1:oximeter") == "active"
    story.give(LinkChanged("oximeter", "silent"))
    ticks(story, 30)
    assert state_of(story, "TEC-4:oximeter") == "active"
    ends = [body.text for body in alarms_in(story.pending_events) if (body.rule, body.state) == ("TEC-1", "inactive")]
    assert ends == ["No SpO₂: see No connection to a monitor"]


@pytest.mark.parametrize(("verb", "args", "says"), [
    ("check_in", {}, "an empty check-in says nothing"),
    ("check_in", {"note": "  ", "symptoms": []}, "an empty check-in says nothing"),
    ("check_in", {"moaas": 5, "note": {"a": 1}}, "note must be text"),
    ("check_in", {"moaas": 5, "note": "x" * 501}, "note must be at most 500 characters, not 501"),
    ("check_in", {"moaas": 5, "symptoms": [""]}, "symptoms must be a list of words"),
    ("close_session", {"reason": "   "}, "reason must not be blank"),
    ("close_session", {"reason": ["x"]}, "reason must be text"),
    ("close_session", {"reason": "x" * 201}, "reason must be at most 200 characters"),
])
def test_words_that_say_nothing_or_would_be_cut_are_refused(verb: str, args: dict[str, Any], says: str) -> None:
    story = BedStory().infusing()
    story.pump = "stopped"
    story.until(11)
    before = story.session
    assert says in story.reason(story.command(verb, **args))
    assert story.session == before


# --- what a rule triggers ---------------------------------------------------------------------------------------------

NOW = 1_800_000_000.0
RULE = changed(RULES.named("RES-2"), hold_s=10.0, at_once=compile_condition("spo2_pct < 70"), clear_hold_s=20.0)
NO_CLEAR = changed(RULE, clear=None)


def at(seconds: float | None) -> float | None:
    return None if seconds is None else NOW + seconds


def known(value: float | None) -> BedState:
    """One saturation, after a stream of them; or none."""
    return BedState("b", engine=RULES.engine, latest={"spo2_pct": LatestValue(
        "o", value, "valid" if value else "invalid", None, NOW, value, NOW, NOW - 1, [(NOW - 60, NOW)])})


@pytest.mark.parametrize(("before", "value", "trigger", "truth", "after"), [
    # true since, true from, unknown since; what is read; the trigger; the same three
    ((None, None, None), 97, "clear", False, None), ((None, None, None), None, "clear", None, None),
    ((None, None, None), 88, "true", True, (-1, 0, None)), ((-5, -5, None), 88, "true", True, (-5, -5, None)),
    ((-9.9, -9.9, None), 88, "true", True, (-9.9, -9.9, None)), ((-10, -10, None), 88, "held", True, (-10, -10, None)),
    ((-5, -5, None), 97, "clear", False, (None, None, None)), ((-5, -5, None), None, "unknown", None, (-5, -5, 0)),
    ((-9, -9, -5), None, "unknown", None, (-9, -9, -5)), ((-9, -9, -5.1), None, "clear", None, (None, -9, None)),
    ((None, -9, None), None, "clear", None, (None, -9, None)), ((None, -9, None), 97, "clear", False, (None,) * 3),
    ((None, -9, None), 88, "true", True, (-1, -9, None)), ((None, None, None), 69, "held", True, None),
])
def test_what_a_rule_triggers_that_is_not_on(
    before: tuple[float | None, ...], value: float | None, trigger: str, truth: bool | None,
    after: tuple[float | None, ...] | None,
) -> None:
    since_s, from_s, unknown_s = map(at, before)
    alarm = Alarm("RES-2", "RES-2", "b", true_since_s=since_s, true_from_s=from_s, unknown_since_s=unknown_s)
    state = known(value)
    judged = judge._judged(state, RULE, alarm, RuleContext(state, NOW))
    assert (judged.trigger, judged.truth, judged.at_once) == (trigger, truth, value == 69)
    kept = state.alarms.get("RES-2", alarm)
    assert (kept.true_since_s, kept.true_from_s, kept.unknown_since_s) == tuple(map(at, after or before))


def test_what_counts_at_once_is_true_from_then_on() -> None:
    state, alarm = known(88), Alarm("RES-2", "RES-2", "b")
    assert judge._judged(state, changed(RULE, hold_s=0.0), alarm, RuleContext(state, NOW)).trigger == "held"
    assert (state.alarms["RES-2"].true_from_s, state.alarms["RES-2"].true_since_s) == (NOW, None)


@pytest.mark.parametrize(("rule", "clear_s", "acknowledged_s", "value", "trigger", "truth", "now_s"), [
    (RULE, None, None, 88, None, True, None), (RULE, None, None, 91, None, False, None),
    (RULE, None, None, 92, None, False, 0), (RULE, -19.9, None, 92, None, False, -19.9),
    (RULE, -20, None, 92, "clear", False, -20), (RULE, -20, None, 91, None, False, None),
    (RULE, -5, None, None, "unknown", None, -5), (RULE, None, -600, 88, "expire", True, None),
    (RULE, None, -599.9, 88, None, True, None), (RULE, -5, -600, 92, None, False, -5),
    (RULE, -5, -600, None, "expire", None, -5), (RULE, None, None, 69, None, True, None),
    (NO_CLEAR, -20, None, 90, "clear", False, -20), (NO_CLEAR, -20, None, 89, None, True, None),
    (changed(NO_CLEAR, when=compile_condition("spo2_pct < 50")), -20, None, 69, None, True, None),
    (changed(NO_CLEAR, when=compile_condition("spo2_pct < 50")), -20, None, 70, "clear", False, -20),
    (changed(NO_CLEAR, clear_hold_s=0.0), None, None, 90, "clear", False, None),
])
def test_what_a_rule_triggers_that_is_on(
    rule: Any, clear_s: float | None, acknowledged_s: float | None, value: float | None, trigger: str | None,
    truth: bool | None, now_s: float | None,
) -> None:
    alarm = Alarm("RES-2", "RES-2", "b", state="acknowledged" if acknowledged_s else "active", priority="high",
                  clear_since_s=at(clear_s), acknowledged_at_s=at(acknowledged_s))
    for one in (alarm, msgspec.structs.replace(alarm, state="inactive", on=True)) if not acknowledged_s else (alarm,):
        state = known(value)
        judged = judge._judged(state, rule, one, RuleContext(state, NOW))
        assert (judged.trigger, judged.truth) == (trigger, truth)
        assert state.alarms.get("RES-2", one).clear_since_s == at(now_s)


@pytest.mark.parametrize(("of_pump", "no_pump", "away", "in_force"), [
    (False, False, False, True), (False, False, True, False), (True, True, False, False), (True, False, False, True),
    (False, True, False, True)])
def test_which_rules_are_in_force(of_pump: bool, no_pump: bool, away: bool, in_force: bool) -> None:
    state = BedState("b", no_pump=no_pump, devices={"pump": Device("pump", "p", away=away)})
    rule = changed(RULES.named("RES-2"), of_pump=of_pump)
    assert judge._is_in_force(rule, RuleContext(state, NOW, "pump")) is in_force
    assert judge._is_in_force(rule, RuleContext(state, NOW)) is not (of_pump and no_pump)
    assert not judge._is_in_force(RULES.named("INF-3"), RuleContext(state, NOW, "pump")), "without a session"
