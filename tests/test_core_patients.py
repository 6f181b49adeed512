"""One patient after another, and one boot after another: what is handed on, and what ends."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import asdict, replace

from edge.contract.events import LinkMoved, PendingEvent
from edge.core import schedule
from edge.core.alarms import Alarm
from edge.core.bedside import Bedside
from edge.core.context import RuleContext
from edge.core.rules import parse_rules
from edge.core.state import Device, Gone, Order, Session
from edge.model import (
    AlarmState,
    Boot,
    ClockSkewed,
    DeviceAlarm,
    DeviceAlarmsReported,
    HeardChanged,
    LinkChanged,
    StorageChanged,
    Tick,
    Undelivered,
    WatchPaused,
)
from tests.helpers.bed_story import DEVICES, ORDER, T0, BedStory, alarms_in, spo2, state_of, ticks
from tests.helpers.bodies import body_of
from tests.helpers.rule_files import FILE, RULES

NEXT = {**ORDER, "session": "session-2"}


def alarms(pending_events: list[PendingEvent]) -> list[tuple[str, str, str, str]]:
    return [(body_of(pending).rule, body_of(pending).was, body_of(pending).state, body_of(pending).priority)
            for pending in pending_events if pending.kind == "alarm"]


def pauses(pending_events: list[PendingEvent]) -> list[str | None]:
    return [body_of(pending).paused_until for pending in pending_events if pending.kind == "audio"]


def acknowledge(story: BedStory, key: str) -> None:
    alarm = story.bed.state.alarms[key]
    assert story.reason(story.command("acknowledge", alarm=alarm.id, seq=alarm.seq)) == ""


def closed(story: BedStory) -> BedStory:
    story.pump = "stopped"
    for _ in range(5):
        story.until((story.at_s - 1_800_000_000) / 60 + 0.1)
    story.command("close_session", reason="the end")
    return story


# --- acknowledgements -------------------------------------------------------------------------------------------------


def test_what_was_acknowledged_for_one_patient_sounds_for_the_next() -> None:
    story = BedStory().infusing()
    story.give(LinkChanged("cuff", "lost"))
    story.give(DeviceAlarmsReported("pump", (DeviceAlarm("low_battery", "low", "b", "battery low"),)))
    story.until(1)
    for key in ("TEC-4:cuff", "INF-4:pump"):
        acknowledge(story, key)
    closed(story)
    assert (state_of(story, "TEC-4:cuff"), state_of(story, "INF-4:pump")) == ("acknowledged", "acknowledged")
    story.command("audio_pause")
    pending_events = story.command("start_session", **NEXT)
    assert sorted(alarms(pending_events)) == [("INF-4", "acknowledged", "active", "medium"),
                                      ("TEC-4", "acknowledged", "active", "low")]
    assert {pending.session for pending in pending_events} == {"session-2"}
    assert pauses(pending_events) == [None]
    again = story.bed.state.alarms["TEC-4:cuff"]
    own = [pending.kind for pending in pending_events].index("alarm")
    assert (again.by, again.acknowledged_at_s, again.seq) == (None, None, story.seq - len(pending_events) + 1 + own)
    story.pump = "infusing"
    story.until((story.at_s - 1_800_000_000) / 60 + 0.2)
    assert story.bed.state.alarms["TEC-4:cuff"].priority == "medium"


# --- what one patient leaves ------------------------------------------------------------------------------------------


def test_alarms_of_nobody_knows_whom_end_when_a_session_starts() -> None:
    story = BedStory()
    story.bp(185, 100)
    for _ in range(11):
        spo2(story, 80)
    ticks(story, 1)
    acknowledge(story, "RES-3")
    story.give(LinkChanged("cuff", "lost"))
    ticks(story, 10)
    pending_events = story.command("start_session", **ORDER)
    assert sorted(alarms(pending_events)) == [("HTN-3", "active", "inactive", "high"),
                                      ("RES-3", "acknowledged", "inactive", "high")]
    assert state_of(story, "TEC-4:cuff") == "active", "the cuff is as lost for this patient"
    spo2(story, 80)
    assert state_of(story, "RES-3") == "pending", "what was timed before was not this patient's either"


def test_the_last_patients_saturation_is_not_this_ones() -> None:
    story = BedStory().infusing()
    story.pump = "stopped"
    story.until(0.5)
    story.command("close_session", reason="the end")
    story.command("start_session", **NEXT)
    numerics = story.vitals()["numerics"]
    assert set(numerics) == {"rate_ml_h", "volume_infused_ml"}
    assert "no live SpO₂" in story.full()["session"]["open"]
    spo2(story, 97)
    assert "no live SpO₂" not in story.full()["session"]["open"]


def test_a_closed_session_is_not_opened_again() -> None:
    story = closed(BedStory().infusing())
    assert "session_closed" in story.reason(story.command("start_session", **ORDER))
    restored = Bedside("chair-1", DEVICES, RULES)
    restored.restore(story.bed.snapshot())
    story.bed = restored
    assert "session_closed" in story.reason(story.command("start_session", **ORDER))
    assert story.reason(story.command("start_session", **NEXT)) == ""


# --- the pause of the sound -------------------------------------------------------------------------------------------


def test_a_new_alarm_ends_a_pause_with_an_event() -> None:
    story = BedStory().infusing()
    story.command("audio_pause")
    pending_events = story.bp(186, 100)
    assert pauses(pending_events) == [None]
    assert pending_events[0].session == "session-1"
    assert pauses(story.bp(187, 100)) == [], "nothing is paused any more"


def test_a_pause_that_is_over_by_itself_is_not_ended_again() -> None:
    story = BedStory().infusing()
    story.command("audio_pause")
    ticks(story, 121)
    assert pauses(story.bp(186, 100)) == []


def test_a_pause_ends_with_its_session() -> None:
    story = BedStory().infusing()
    story.pump = "stopped"
    story.until(0.5)
    story.command("audio_pause")
    assert pauses(story.command("close_session", reason="the end")) == [None]


# --- a restart --------------------------------------------------------------------------------------------------------


def test_what_the_box_said_of_itself_is_forgotten_at_a_restart_until_it_is_said_anew() -> None:
    bed = Bedside("chair-1", DEVICES, RULES)
    before = bed.copy().state
    for given in (StorageChanged("full"), ClockSkewed(3.0, "main"),
                  HeardChanged("nobody", (Undelivered("a", "high", "HTN-3"),), no_console=True)):
        bed.apply(given, T0)
    of_the_box = ("storage_failing", "skew_s", "unheard", "undelivered", "no_console")
    assert all(getattr(bed.state, name) != getattr(before, name) for name in of_the_box)
    bed.apply(Boot("boot-2", 2.0), T0 + 2)
    assert [getattr(bed.state, name) for name in of_the_box] == [getattr(before, name) for name in of_the_box]


def test_a_pause_does_not_survive_a_restart() -> None:
    story = BedStory().infusing()
    story.command("audio_pause")
    pending_events = story.give(Boot("boot-2", 2.0))
    assert [pending.kind for pending in pending_events] == ["boot", "audio"]
    assert story.full()["audio_paused_until"] is None
    assert [pending.kind for pending in story.give(Boot("boot-3", 2.0))] == ["boot"]


@pytest.mark.parametrize("twice", [False, True])
def test_an_alarm_that_nothing_watches_any_more_ends_at_the_start(twice: bool) -> None:
    story = BedStory().infusing()
    story.bp(186, 100)
    story.give(LinkChanged("cuff", "lost"))
    ticks(story, 11)
    acknowledge(story, "TEC-4:cuff")
    lost, severe = story.bed.state.alarms["TEC-4:cuff"], story.bed.state.alarms["HTN-3"]
    without = parse_rules(FILE.read_text().replace("HTN-3", "HTN-9"))
    devices = [device for device in DEVICES if device[0] != "cuff"]
    for _ in range(2 if twice else 1):  # a crash before the start was recorded
        snapshot, story.bed = story.bed.snapshot(), Bedside("chair-1", devices, without)
        story.bed.restore(snapshot)
    pending_events = story.give(Boot("boot-2", 2.0))
    ended = [body for body in alarms_in(pending_events) if body.state == "inactive"]
    assert [(body.alarm, body.was) for body in ended] == [(severe.id, "active"), (lost.id, "acknowledged")]
    assert ended[1].text == "No connection to a monitor: no longer watched, the configuration has changed"
    assert (ended[1].command, ended[1].superseded_by) == (UNSET, UNSET)
    assert alarms(story.give(Boot("boot-3", 2.0))) == []


def test_a_restart_does_not_stop_the_clock_of_the_dissociation_period() -> None:
    story = BedStory().infusing().until(4)
    story.at_s += 60
    story.volume_ml += 52.5 / 60
    story.give(Boot("boot-2", 60.0))
    for _ in range(3):
        story.at_s += 1
        story.give(Tick())
    for device in ("pump", "cuff", "oximeter"):
        story.give(LinkChanged(device, "live"))
    story.until(6)
    assert story.session.infused_s == pytest.approx(360, abs=2)
    assert story.dissociation() == [("expected", 5.1)], "as soon as the pump says that it still infuses"


@pytest.mark.parametrize("boots", [1, 2])
def test_a_gap_after_which_the_pump_stands_still_does_not_count(boots: int) -> None:
    story = BedStory().infusing().until(4)
    for boot in range(boots):
        story.at_s += 120
        story.give(Boot(f"boot-{boot}", 120.0))
    story.give(LinkChanged("pump", "live"))
    story.pump = "stopped"
    story.until(9)
    assert story.session.infused_s == pytest.approx(240, abs=2)
    assert story.dissociation() == []


# --- what a connection and a pause of the watch leave -----------------------------------------------------------------


def wired(**change: Any) -> Bedside:
    """A bed whose pump is connected, has infused, and is bound to this bed."""
    bed = Bedside("chair-1", DEVICES, RULES)
    bed.state.devices["pump"] = replace(Device("pump", "p", link="live", since_s=T0, ever_live=True, identity="A",
                                               bound="A", pump="infusing"), **change)
    return bed


@pytest.mark.parametrize(("change", "given", "expected"), [
    ({}, LinkChanged("pump", "live", identity="A"), {}), ({"ask": True}, LinkChanged("pump", "live", identity="A"), {
        "ask": False}),
    ({}, LinkChanged("pump", "live", identity="A", ask=True), {"ask": True}),
    ({}, LinkChanged("pump", "live", "slow", identity="A"), {"reason": "slow"}),
    ({}, LinkChanged("pump", "live", identity="B"), {"identity": "B", "bound": "B"}),
    ({}, LinkChanged("pump", "wrong_device", identity="B"), {
        "link": "wrong_device", "identity": "B", "since_s": T0 + 9, "pump": None}),
    ({}, LinkChanged("pump", "lost"), {"link": "lost", "since_s": T0 + 9, "pump": None}),
    ({"ask": True}, LinkChanged("pump", "lost"), {"link": "lost", "since_s": T0 + 9, "pump": None}),
    ({}, LinkChanged("pump", "lost", ask=True), {"link": "lost", "since_s": T0 + 9, "pump": None, "ask": True}),
    ({"link": "lost", "ever_live": False}, LinkChanged("pump", "live", identity="A"), {
        "link": "live", "ever_live": True, "since_s": T0 + 9}),
    ({"link": "lost", "ever_live": False}, LinkChanged("pump", "silent"), {
        "link": "silent", "since_s": T0 + 9, "pump": None}),
    ({"bound": None, "link": "lost"}, LinkChanged("pump", "silent", identity="B"), {
        "link": "silent", "identity": "B", "since_s": T0 + 9, "pump": None}),
    ({"bound": None, "gone": Gone("chair-2", "B", "s")}, LinkChanged("pump", "live", identity="A", ask=True), {
        "bound": "A", "gone": None, "ask": True}),
])
def test_what_a_word_of_a_connection_changes(
    change: dict[str, Any], given: LinkChanged, expected: dict[str, Any],
) -> None:
    bed = wired(**change)
    events = [pending for pending in bed.apply(given, T0 + 9) if pending.kind == "link"]
    assert len(events) == bool(expected), "what is as it was is no news"
    found, was = asdict(bed.state.devices["pump"]), asdict(wired(**change).state.devices["pump"])
    assert {key: value for key, value in found.items() if value != was[key]} == expected


@pytest.mark.parametrize(("since_s", "before_s", "gaps_s"), [(60, 30, 50), (60.5, 30, 20), (1, 0, 20)])
def test_gaps_close_on_one_another_are_one(since_s: float, before_s: float, gaps_s: float) -> None:
    bed = wired()
    bed.state.boot_s, bed.state.gaps_s = T0 - since_s, before_s
    bed.apply(WatchPaused(20.0, "slept"), T0)
    assert (bed.state.gap_s, bed.state.gaps_s, bed.state.boot_s) == (20, gaps_s, T0)


@pytest.mark.parametrize(("since_s", "at_boot", "now"), [(None, False, False), (None, True, True), (T0, False, True)])
def test_what_was_timed_before_nobody_watched_begins_anew(since_s: float | None, at_boot: bool, now: bool) -> None:
    bed = wired()
    bed.state.session = Session("s", "chair-1", Order("iv_racemic_40", 70, 0.5, 40, 1.0), "INFUSING", T0 - 60, T0 - 900,
                                "nina", started_s=T0 - 60, infusing_since_s=since_s, infusing_at_boot=at_boot)
    timed: dict[str, Any] = dict.fromkeys(("true_since_s", "true_from_s", "unknown_since_s", "clear_since_s"), T0 - 5)
    states: tuple[AlarmState, ...] = ("pending", "latched")
    bed.state.alarms = {state: Alarm(state, "RES-2", "chair-1", state=state, **timed) for state in states}
    bed._begin_holds_anew(T0, 20.0, "slept")
    assert bed.state.session.infusing_at_boot is now
    assert [alarm.state for alarm in bed.state.alarms.values()] == ["inactive", "latched"]
    assert all(getattr(alarm, key) is None for alarm in bed.state.alarms.values() for key in timed)


def test_what_was_found_out_is_asked_anew_where_something_has_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    bed = wired()
    context = RuleContext(bed.state, T0)
    happened = bed.state.event(T0, LinkMoved(device="pump", state="live", was="lost", reason="", identity=None))
    assert bed._follow(context, [], timed=False, scheduled=True) is context
    assert bed._follow(context, [happened], timed=False, scheduled=True) is not context
    monkeypatch.setattr(schedule, "follow", lambda state: setattr(state, "nibp_interval_s", 600.0))
    assert bed._follow(context, [], timed=False, scheduled=False) is context
    assert bed._follow(context, [], timed=False, scheduled=True) is not context, "how old a pressure may be has changed"
