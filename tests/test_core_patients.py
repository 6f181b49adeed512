"""One patient after another, and one boot after another: what is handed on, and what ends."""

from __future__ import annotations

import pytest

from edge.core import views
from edge.core.bedside import Bedside
from edge.core.rules import parse_rules
from edge.model import Boot, DeviceAlarm, DeviceAlarmsReported, LinkChanged, PendingEvent, Tick
from tests.test_bedside import DEVICES, ORDER, Chair
from tests.test_core_edges import spo2, state_of, ticks
from tests.test_stories import FILE, RULES

NEXT = {**ORDER, "session": "session-2"}


def alarms(pending_events: list[PendingEvent]) -> list[tuple[str, str, str, str]]:
    return [(pending.body["rule"], pending.body["was"], pending.body["state"], pending.body["priority"])
            for pending in pending_events if pending.kind == "alarm"]


def pauses(pending_events: list[PendingEvent]) -> list[str | None]:
    return [pending.body["paused_until"] for pending in pending_events if pending.kind == "audio"]


def acknowledge(chair: Chair, key: str) -> None:
    alarm = chair.bed.state.alarms[key]
    assert chair.reason(chair.ask("acknowledge", alarm=alarm.id, seq=alarm.seq)) == ""


def closed(chair: Chair) -> Chair:
    chair.pump = "stopped"
    for _ in range(5):
        chair.until((chair.at_s - 1_800_000_000) / 60 + 0.1)
    chair.ask("close_session", reason="the end")
    return chair


# --- acknowledgements -------------------------------------------------------------------------------------------------


def test_what_was_acknowledged_for_one_patient_sounds_for_the_next() -> None:
    chair = Chair().infusing()
    chair.give(LinkChanged("cuff", "lost"))
    chair.give(DeviceAlarmsReported("pump", (DeviceAlarm("low_battery", "low", "b", "battery low"),)))
    chair.until(1)
    for key in ("TEC-4:cuff", "INF-4:pump"):
        acknowledge(chair, key)
    closed(chair)
    assert (state_of(chair, "TEC-4:cuff"), state_of(chair, "INF-4:pump")) == ("acknowledged", "acknowledged")
    chair.ask("audio_pause")
    pending_events = chair.ask("start_session", **NEXT)
    assert sorted(alarms(pending_events)) == [("INF-4", "acknowledged", "active", "medium"),
                                      ("TEC-4", "acknowledged", "active", "low")]
    assert {pending.session for pending in pending_events} == {"session-2"}
    assert pauses(pending_events) == [None]
    again = chair.bed.state.alarms["TEC-4:cuff"]
    assert (again.by, again.acknowledged_at_s, again.seq) == (None, None, chair.seq - 2)
    chair.pump = "infusing"
    chair.until((chair.at_s - 1_800_000_000) / 60 + 0.2)
    assert chair.bed.state.alarms["TEC-4:cuff"].priority == "medium"


# --- what one patient leaves ------------------------------------------------------------------------------------------


def test_alarms_of_nobody_knows_whom_end_when_a_session_starts() -> None:
    chair = Chair()
    chair.bp(185, 100)
    for _ in range(11):
        spo2(chair, 80)
    ticks(chair, 1)
    acknowledge(chair, "RES-3")
    chair.give(LinkChanged("cuff", "lost"))
    ticks(chair, 10)
    pending_events = chair.ask("start_session", **ORDER)
    assert sorted(alarms(pending_events)) == [("HTN-3", "active", "inactive", "high"),
                                      ("RES-3", "acknowledged", "inactive", "high")]
    assert state_of(chair, "TEC-4:cuff") == "active", "the cuff is as lost for this patient"
    spo2(chair, 80)
    assert state_of(chair, "RES-3") == "pending", "what was timed before was not this patient's either"


def test_the_last_patients_saturation_is_not_this_ones() -> None:
    chair = Chair().infusing()
    chair.pump = "stopped"
    chair.until(0.5)
    chair.ask("close_session", reason="the end")
    chair.ask("start_session", **NEXT)
    numerics = views.vitals(chair.bed.state, chair.at_s)["numerics"]
    assert set(numerics) == {"rate_ml_h", "volume_infused_ml"}
    assert "no live SpO₂" in views.full(chair.bed.state, chair.at_s)["session"]["open"]
    spo2(chair, 97)
    assert "no live SpO₂" not in views.full(chair.bed.state, chair.at_s)["session"]["open"]


def test_a_closed_session_is_not_opened_again() -> None:
    chair = closed(Chair().infusing())
    assert "session_closed" in chair.reason(chair.ask("start_session", **ORDER))
    restored = Bedside("chair-1", DEVICES, RULES)
    restored.restore(chair.bed.snapshot())
    chair.bed = restored
    assert "session_closed" in chair.reason(chair.ask("start_session", **ORDER))
    assert chair.reason(chair.ask("start_session", **NEXT)) == ""


# --- the pause of the sound -------------------------------------------------------------------------------------------


def test_a_new_alarm_ends_a_pause_with_an_event() -> None:
    chair = Chair().infusing()
    chair.ask("audio_pause")
    pending_events = chair.bp(186, 100)
    assert pauses(pending_events) == [None]
    assert pending_events[0].session == "session-1"
    assert pauses(chair.bp(187, 100)) == [], "nothing is paused any more"


def test_a_pause_that_is_over_by_itself_is_not_ended_again() -> None:
    chair = Chair().infusing()
    chair.ask("audio_pause")
    ticks(chair, 121)
    assert pauses(chair.bp(186, 100)) == []


def test_a_pause_ends_with_its_session() -> None:
    chair = Chair().infusing()
    chair.pump = "stopped"
    chair.until(0.5)
    chair.ask("audio_pause")
    assert pauses(chair.ask("close_session", reason="the end")) == [None]


# --- a restart --------------------------------------------------------------------------------------------------------


def test_a_pause_does_not_survive_a_restart() -> None:
    chair = Chair().infusing()
    chair.ask("audio_pause")
    pending_events = chair.give(Boot("boot-2", 5.0))
    assert [pending.kind for pending in pending_events] == ["boot", "audio"]
    assert views.full(chair.bed.state, chair.at_s)["audio_paused_until"] is None
    assert [pending.kind for pending in chair.give(Boot("boot-3", 5.0))] == ["boot"]


@pytest.mark.parametrize("twice", [False, True])
def test_an_alarm_that_nothing_watches_any_more_ends_at_the_start(twice: bool) -> None:
    chair = Chair().infusing()
    chair.bp(186, 100)
    chair.give(LinkChanged("cuff", "lost"))
    ticks(chair, 11)
    acknowledge(chair, "TEC-4:cuff")
    lost, severe = chair.bed.state.alarms["TEC-4:cuff"], chair.bed.state.alarms["HTN-3"]
    without = parse_rules(FILE.read_text().replace('id = "HTN-3"', 'id = "HTN-9"'))
    devices = [device for device in DEVICES if device[0] != "cuff"]
    for _ in range(2 if twice else 1):  # a crash before the start was recorded
        snapshot, chair.bed = chair.bed.snapshot(), Bedside("chair-1", devices, without)
        chair.bed.restore(snapshot)
    pending_events = chair.give(Boot("boot-2", 5.0))
    ended = [
        pending.body for pending in pending_events if pending.kind == "alarm" and pending.body["state"] == "inactive"
    ]
    assert [(body["alarm"], body["was"]) for body in ended] == [(severe.id, "active"), (lost.id, "acknowledged")]
    assert ended[1]["text"] == "No connection to a monitor: no longer watched, the configuration has changed"
    assert not {"command", "superseded_by"} & set(ended[1])
    assert alarms(chair.give(Boot("boot-3", 5.0))) == []


def test_a_restart_does_not_stop_the_clock_of_the_dissociation_period() -> None:
    chair = Chair().infusing().until(4)
    chair.at_s += 60
    chair.volume_ml += 52.5 / 60
    chair.give(Boot("boot-2", 60.0))
    for _ in range(3):
        chair.at_s += 1
        chair.give(Tick())
    for device in ("pump", "cuff", "oximeter"):
        chair.give(LinkChanged(device, "live"))
    chair.until(6)
    assert chair.session.infused_s == pytest.approx(360, abs=2)
    assert chair.dissociation() == [("expected", 5.1)], "as soon as the pump says that it still infuses"


@pytest.mark.parametrize("boots", [1, 2])
def test_a_gap_after_which_the_pump_stands_still_does_not_count(boots: int) -> None:
    chair = Chair().infusing().until(4)
    for boot in range(boots):
        chair.at_s += 120
        chair.give(Boot(f"boot-{boot}", 120.0))
    chair.give(LinkChanged("pump", "live"))
    chair.pump = "stopped"
    chair.until(9)
    assert chair.session.infused_s == pytest.approx(240, abs=2)
    assert chair.dissociation() == []
