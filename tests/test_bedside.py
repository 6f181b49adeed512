"""A session told to a bedside: phases, baseline, dose, dissociation period, commands; and that nothing is forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from edge.core import views
from edge.core.bedside import Bedside
from edge.core.state import Session
from edge.model import (
    Boot,
    Command,
    DeviceAlarm,
    DeviceAlarmsReported,
    Event,
    Input,
    Kind,
    LinkChanged,
    PendingEvent,
    Priority,
    PumpState,
    PumpStatus,
    Sample,
    Samples,
    Tick,
)
from tests.test_stories import RULES

T0 = 1_800_000_000.0
DEVICES: tuple[tuple[str, Kind, str], ...] = (
    ("pump", "pump", "p"), ("cuff", "nibp", "c"), ("oximeter", "oximeter", "o"),
)
ORDER: dict[str, Any] = {"session": "session-1", "protocol": "iv_racemic_40", "weight_kg": 70, "dose_mg_kg": 0.5,
                         "duration_min": 40, "concentration_mg_ml": 1.0, "checklist": True}
QUIET = {"moaas": 5, "cadss": 3, "distress": 1}


LIVED: dict[tuple[object, ...], tuple[bytes, dict[str, Any]]] = {}


class Chair:
    """A bed that is lived through second by second; times are minutes since the pump starts."""

    def __init__(self, *more: tuple[str, Kind, str]) -> None:
        self.bed = Bedside("chair-1", (*DEVICES, *more), RULES)
        self.at_s = T0 - 900
        self.pending_events: list[PendingEvent] = []
        self.seq = 0
        self.rate_ml_h = 0.0
        self.volume_ml = 0.0
        self.pump: PumpState | None = "stopped"
        self.spo2: float | None = 98.0
        for device in self.bed.state.devices:
            self.give(LinkChanged(device, "live"))

    def give(self, given: Input) -> list[PendingEvent]:
        pending_events = self.bed.apply(given, self.at_s)
        for pending in pending_events:
            self.seq += 1
            self.bed.numbered([Event(self.seq, "", "", pending.bed, pending.session, pending.at_s, "", pending.kind,
                                     pending.body, "", "")])
        self.pending_events += pending_events
        return pending_events

    def say(self, device: str, **values: float | None) -> list[PendingEvent]:
        return self.give(Samples(device, tuple(
            Sample("chair-1", device, metric, value, "valid" if value is not None else "invalid", self.at_s)
            for metric, value in values.items())))

    def bp(self, sbp: float | None, dbp: float | None) -> list[PendingEvent]:
        return self.say("cuff", sbp_mmhg=sbp, dbp_mmhg=dbp)

    def ask(self, verb: str, **args: Any) -> list[PendingEvent]:
        return self.give(Command(f"c{self.seq}", "main", "nina", "nurse", "chair-1", verb, args))

    def until(self, minute: float) -> Chair:
        while self.at_s < T0 + minute * 60 - 0.5:
            self.at_s += 1.0
            if self.pump == "infusing":
                self.volume_ml += self.rate_ml_h / 3600
            if self.pump is not None:
                self.give(PumpStatus("pump", self.pump))
                self.say("pump", rate_ml_h=self.rate_ml_h if self.pump == "infusing" else 0.0,
                         volume_infused_ml=self.volume_ml)
            if self.spo2 is not None:
                self.say("oximeter", spo2_pct=self.spo2, pulse_bpm=70.0)
            self.give(Tick())
        return self

    def opened(self) -> Chair:
        """Seven minutes before the infusion: a session, and a baseline."""
        return self._lived("opened", self._open)

    def infusing(self) -> Chair:
        """The first seconds of an infusion."""
        return self._lived("infusing", self._infuse)

    def infused(self) -> Chair:
        """Forty minutes of infusion are over, and so is the infusion."""
        return self._lived("infused", self._end)

    def _open(self) -> None:
        self.until(-10)
        self.ask("start_session", **ORDER)
        self.bp(120, 75)
        self.until(-8)
        self.bp(124, 77)
        self.until(-7)

    def _infuse(self) -> None:
        self.opened().until(0)
        self.pump, self.rate_ml_h = "infusing", 52.5
        self.until(0.1)

    def _end(self) -> None:
        self.infusing().until(40)
        self.pump = "stopped"
        self.until(45)

    def _lived(self, how: str, live: Callable[[], None]) -> Chair:
        """Lives so the first time, and goes on from there whenever the same is asked of a chair as new."""
        key = (how, self.bed.snapshot(), self.at_s, self.rate_ml_h, self.pump, self.spo2)
        if key not in LIVED:
            live()
            LIVED[key] = (self.bed.snapshot(), dict(vars(self), pending_events=list(self.pending_events)))
        snapshot, remembered = LIVED[key]
        bed = self.bed
        vars(self).update(remembered, bed=bed, pending_events=list(remembered["pending_events"]))
        bed.restore(snapshot)
        return self

    @property
    def session(self) -> Session:
        assert self.bed.state.session is not None
        return self.bed.state.session

    def phases(self) -> list[str]:
        return [pending.body["phase"] for pending in self.pending_events if pending.kind == "phase"]

    def dissociation(self) -> list[tuple[str, float]]:
        return [(pending.body["state"], round((pending.at_s - T0) / 60, 1)) for pending in self.pending_events
                if pending.kind == "dissociation"]

    def reason(self, pending_events: Iterable[PendingEvent]) -> str:
        refused = [pending for pending in pending_events if pending.kind == "command"]
        return str(refused[0].body["reason"]) if refused else ""


def test_a_whole_session() -> None:
    chair = Chair().infusing()
    assert chair.phases() == ["READY", "INFUSING"]
    assert chair.session.baseline is not None
    assert (chair.session.baseline.sbp_mmhg, chair.session.baseline.quality) == (122, "pair")
    assert chair.session.started_s == pytest.approx(T0, abs=1.5)
    chair.until(40)
    chair.pump = "stopped"
    chair.until(41)
    assert chair.phases()[-1] == "RECOVERY"
    assert chair.session.delivered_mg == pytest.approx(35, rel=0.01)


def test_the_dissociation_period_as_in_clinical_7_5() -> None:
    """Start 5:00; check-ins at 62 (CADSS 9), 82 and 97 (quiet); without a concentration estimate it ends at 100."""
    chair = Chair().infused()
    chair.until(62).ask("check_in", cadss=9, moaas=5, distress=1)
    chair.until(82).ask("check_in", **QUIET)
    chair.until(97).ask("check_in", **QUIET)
    assert chair.until(101).dissociation() == [("expected", 5.0), ("resolving", 40.1), ("resolved", 100.0)]


def test_the_period_never_closes_by_itself() -> None:
    chair = Chair().infused()
    chair.until(62).ask("check_in", cadss=9, moaas=5, distress=1)
    assert chair.until(170).dissociation()[-1][0] == "resolving"
    assert chair.session.is_open_period


@pytest.mark.parametrize(("scores", "state"), [
    ({"cadss": 5}, "observed"), ({"cadss": 4, "moaas": 5}, "expected"), ({"moaas": 4}, "observed"), ({}, "expected"),
])
def test_a_check_in_shows_dissociation(scores: dict[str, int], state: str) -> None:
    chair = Chair().infusing().until(10)
    chair.ask("check_in", **scores)
    assert chair.session.dissociation == state


def test_a_fast_infusion_opens_the_period_by_dose() -> None:
    chair = Chair().opened().until(0)
    chair.pump, chair.rate_ml_h = "infusing", 210.0
    assert chair.until(3).dissociation() == [("expected", 2.0)]


def test_a_relapse_opens_it_again() -> None:
    chair = Chair().infusing().until(40)
    chair.pump = "stopped"
    chair.until(90).ask("check_in", **QUIET)
    chair.until(101).ask("check_in", cadss=12)
    assert [state for state, _ in chair.dissociation()][-2:] == ["resolved", "observed"]


def test_a_lost_pump_link_ends_nothing_and_the_dose_catches_up() -> None:
    chair = Chair().infusing().until(20)
    chair.give(LinkChanged("pump", "lost", "the cable is out"))
    chair.pump = None
    chair.until(31)
    assert chair.session.phase == "INFUSING"
    chair.give(LinkChanged("pump", "live"))
    chair.volume_ml, chair.pump = 27.1, "infusing"
    chair.until(31.1)
    assert chair.session.delivered_mg == pytest.approx(27.2, abs=0.2)
    assert "RECOVERY" not in chair.phases()


def test_pause_and_resume() -> None:
    chair = Chair().infusing().until(10)
    chair.pump = "stopped"
    chair.until(12)
    chair.pump = "infusing"
    chair.until(13)
    assert chair.phases()[2:] == ["PAUSED", "INFUSING"]
    chair.pump = "paused"
    chair.until(45)
    assert chair.phases()[-1] == "RECOVERY"


def test_a_pump_counter_that_is_cleared_loses_nothing() -> None:
    chair = Chair().infusing().until(10)
    before = chair.session.delivered_mg
    chair.volume_ml = 0.0
    chair.until(11)
    assert chair.session.delivered_mg == pytest.approx(before + 52.5 / 60, abs=0.05)


def test_an_infusion_before_the_precheck_is_done_is_followed_and_marked() -> None:
    chair = Chair().until(-10)
    chair.ask("start_session", **{**ORDER, "checklist": False})
    chair.pump, chair.rate_ml_h = "infusing", 52.5
    chair.until(-9)
    assert chair.phases() == ["INFUSING"]
    assert chair.session.unready_start


@pytest.mark.parametrize(("sbp", "dbp", "spo2", "says"), [
    (141, 80, 98, "above 140/90"), (130, 91, 98, "above 140/90"), (120, 75, 93, "below 94"),
    (120, 75, None, "no live SpO₂"),
])
def test_what_holds_a_patient_in_the_precheck(sbp: float, dbp: float, spo2: float | None, says: str) -> None:
    chair = Chair().until(-10)
    chair.ask("start_session", **ORDER)
    chair.spo2 = spo2
    chair.bp(sbp, dbp)
    chair.until(-8).bp(sbp, dbp)
    chair.until(-7)
    assert chair.session.phase == "PRECHECK"
    assert any(says in point for point in views.full(chair.bed.state, chair.at_s)["session"]["open"])


def test_discharge_ready_only_when_everything_has_held() -> None:
    chair = Chair().infusing().until(40)
    chair.pump = "stopped"
    for minute in range(45, 105, 5):
        chair.until(minute).bp(125, 78)
        if minute % 10 == 0:
            chair.ask("check_in", **QUIET)
    assert chair.until(112).session.phase == "DISCHARGE_READY"
    chair.ask("check_in", cadss=20)
    chair.until(113)
    assert chair.session.phase == "RECOVERY"


def test_another_patient_inherits_nothing() -> None:
    chair = Chair().infusing().until(5)
    chair.bp(190, 100)
    assert chair.bed.state.alarms["HTN-3"].state == "active"
    chair.pump = "stopped"
    chair.until(6).ask("close_session", reason="stopped by the patient")
    ended = chair.bed.state.alarms.get("HTN-3")
    assert ended is None or ended.state == "inactive"
    chair.until(8).ask("start_session", **{**ORDER, "session": "session-2"})
    shown = views.vitals(chair.bed.state, chair.at_s)["numerics"]
    assert "sbp_mmhg" not in shown
    chair.until(9)
    assert chair.session.baseline is None
    assert chair.session.delivered_mg == 0


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("start_session", ORDER, "session_open"),
    ("acknowledge", {"alarm": "none", "seq": 1}, "moved_on"),
    ("check_in", {"cadss": 93}, "cadss must be a whole number from 0 to 92"),
    ("check_in", {"moaas": True}, "moaas must be"),
    ("check_in", {"symptoms": "dizzy"}, "symptoms must be a list"),
    ("close_session", {}, "the pump is infusing"),
    ("end_infusion", {"reason": "x"}, "stop it at the pump first"),
    ("checklist", {}, "done must be"),
    ("check_in", {"moas": 3}, "moas is not one; check_in takes anxiety, cadss, distress, moaas"),
    ("audio_pause", {"seconds": 600}, "seconds is not one; audio_pause takes none"),
    ("set_rate", {"rate_ml_h": 100}, "unknown_verb"),
]


@pytest.mark.parametrize(("verb", "args", "says"), REFUSED)
def test_what_is_refused_says_why(verb: str, args: dict[str, Any], says: str) -> None:
    chair = Chair().infusing().until(1)
    assert says in chair.reason(chair.ask(verb, **args))


@pytest.mark.parametrize(("change", "says"), [
    ({"weight_kg": 7}, "weight_kg must be from 35 to 200"), ({"concentration_mg_ml": 50}, "undiluted"),
    ({"dose_mg_kg": 1.1}, "dose_mg_kg"), ({"duration_min": None}, "duration_min must be a number"),
    ({"session": "x"}, "session must be an id"), ({"weight_kg": "70"}, "must be a number"),
])
def test_an_order_that_cannot_be_meant_is_refused(change: dict[str, Any], says: str) -> None:
    chair = Chair()
    assert says in chair.reason(chair.ask("start_session", **{**ORDER, **change}))
    assert chair.bed.state.session is None


def test_an_acknowledgement_of_what_was_seen_and_of_what_has_moved_on() -> None:
    chair = Chair().infusing().until(5)
    chair.bp(186, 100)
    alarm = chair.bed.state.alarms["HTN-3"]
    assert alarm.seq > 0
    assert chair.reason(chair.ask("acknowledge", alarm=alarm.id, seq=alarm.seq - 1)) == "moved_on"
    pending_events = chair.ask("acknowledge", alarm=alarm.id, seq=alarm.seq)
    assert [(pending.body["state"], pending.body["by"]) for pending in pending_events] == [("acknowledged", "nina")]
    again = chair.bed.state.alarms["HTN-3"]
    assert "already_acknowledged" in chair.reason(chair.ask("acknowledge", alarm=again.id, seq=again.seq))


def test_a_new_alarm_ends_an_audio_pause() -> None:
    chair = Chair().infusing().until(5)
    chair.ask("audio_pause")
    assert views.full(chair.bed.state, chair.at_s)["audio_paused_until"] is not None
    chair.bp(186, 100)
    assert views.full(chair.bed.state, chair.at_s)["audio_paused_until"] is None


def test_an_audio_pause_ends_by_itself() -> None:
    chair = Chair().infusing().until(5)
    chair.ask("audio_pause")
    chair.until(6.9)
    assert views.full(chair.bed.state, chair.at_s)["audio_paused_until"] is not None
    chair.until(7.1)
    assert views.full(chair.bed.state, chair.at_s)["audio_paused_until"] is None


def test_a_crash_forgets_nothing_and_shows_the_gap() -> None:
    chair = Chair().infusing().until(5)
    chair.bp(186, 100)
    alarm = chair.bed.state.alarms["HTN-3"]
    snapshot = chair.bed.snapshot()
    chair.bed = Bedside("chair-1", DEVICES, RULES)
    chair.bed.restore(snapshot)
    chair.at_s += 20
    pending_events = chair.give(Boot("boot-2", 20.0))
    assert [(pending.kind, pending.body.get("gap_s")) for pending in pending_events] == [("boot", 20.0)]
    assert chair.bed.state.alarms["HTN-3"].id == alarm.id
    assert chair.bed.state.alarms["HTN-3"].state == "active"
    assert chair.session.phase == "INFUSING"
    for device in ("pump", "cuff", "oximeter"):
        chair.give(LinkChanged(device, "live"))
    chair.until(8)
    assert [d.body["rule"] for d in chair.pending_events if d.kind == "alarm"] == ["HTN-3"], (
        "a restart alone raises nothing"
    )


def test_the_same_inputs_give_the_same_events_byte_for_byte() -> None:
    def told() -> list[PendingEvent]:
        chair = Chair().infusing().until(5)
        chair.bp(186, 100)
        chair.spo2 = 80
        chair.until(7).ask("acknowledge", alarm=chair.bed.state.alarms["HTN-3"].id, seq=1)
        return chair.pending_events

    assert told() == told()


def test_a_snapshot_says_everything() -> None:
    chair = Chair().infusing().until(12)
    chair.bp(186, 100)
    twin = Bedside("chair-1", DEVICES, RULES)
    twin.restore(chair.bed.snapshot())
    assert twin.state == chair.bed.state
    again = Bedside("chair-1", DEVICES, RULES)
    again.restore(twin.snapshot())
    assert twin.snapshot() == again.snapshot()


@pytest.mark.parametrize(("priority", "expected"), [("low", "medium"), ("medium", "medium"), ("high", "high")])
def test_a_pump_alarm_is_at_least_medium(priority: Priority, expected: str) -> None:
    chair = Chair().infusing().until(1)
    chair.give(DeviceAlarmsReported("pump", (DeviceAlarm("occlusion", priority, "AL_OCCLU", "occlusion"),)))
    assert chair.bed.state.alarms["INF-4:pump"].priority == expected


def test_a_restart_follows_the_present_configuration() -> None:
    chair = Chair().infusing().until(5)
    chair.bp(186, 100)
    chair.give(DeviceAlarmsReported("pump", (DeviceAlarm("occlusion", "high", "AL_OCCLU", "occlusion"),)))
    assert {"HTN-3", "INF-4:pump"} <= set(chair.bed.state.alarms)
    changed = Bedside("chair-1", [DEVICES[1], ("oximeter", "oximeter", "another")], RULES, nibp_interval_s=600.0)
    changed.restore(chair.bed.snapshot())
    assert set(changed.state.devices) == {"cuff", "oximeter"}
    assert changed.state.devices["cuff"].link == "live"
    assert changed.state.devices["oximeter"].link == "connecting", "another driver's device is another device"
    assert changed.state.nibp_interval_s == 600.0
    assert "INF-4:pump" not in changed.state.alarms
    assert changed.state.alarms["HTN-3"].state == "active"
