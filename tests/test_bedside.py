"""A session told to a bedside: phases, baseline, dose, dissociation period, commands; and that nothing is forgotten."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from edge.contract.events import AlarmTold, PendingEvent, numbered
from edge.core.bedside import Bedside
from edge.model import Boot, DeviceAlarm, DeviceAlarmsReported, LinkChanged, LinkState, Priority, Tick
from tests.helpers.bed_story import DEVICES, ORDER, QUIET, T0, BedStory
from tests.helpers.bodies import body_of
from tests.helpers.rule_files import RULES


def test_a_person_is_asked_whose_a_device_is_until_it_is_live() -> None:
    bed = Bedside("chair-1", DEVICES, RULES)
    asked = []
    told: tuple[tuple[LinkState, bool], ...] = (
        ("live", False), ("wrong_device", True), ("silent", False), ("live", False))
    for second, (state, ask) in enumerate(told):
        bed.apply(LinkChanged("oximeter", state, ask=ask), T0 + second)
        asked.append(bed.state.devices["oximeter"].ask)
    assert asked == [False, True, True, False]


def test_a_whole_session() -> None:
    story = BedStory().infusing()
    assert story.phases() == ["READY", "INFUSING"]
    assert story.session.baseline is not None
    assert (story.session.baseline.sbp_mmhg, story.session.baseline.quality) == (122, "pair")
    assert story.session.started_s == pytest.approx(T0, abs=1.5)
    story.until(40)
    story.pump = "stopped"
    story.until(41)
    assert story.phases()[-1] == "RECOVERY"
    assert story.session.delivered_mg == pytest.approx(35, rel=0.01)


def test_the_dissociation_period_opens_and_closes_in_a_whole_session() -> None:
    """Start 5:00; check-ins at 62 (CADSS 9), 82 and 97 (quiet); without a concentration estimate it ends at 100."""
    story = BedStory(long_step_s=2.0).infused()
    story.until(62).command("check_in", cadss=9, moaas=5, distress=1)
    story.until(82).command("check_in", **QUIET)
    story.until(97).command("check_in", **QUIET)
    assert story.until(101).dissociation() == [("expected", 5.0), ("resolving", 40.1), ("resolved", 100.0)]


@pytest.mark.slow
def test_the_period_never_closes_by_itself() -> None:
    story = BedStory().infused()
    story.until(62).command("check_in", cadss=9, moaas=5, distress=1)
    assert story.until(170).dissociation()[-1][0] == "resolving"
    assert story.session.is_open_period


@pytest.mark.parametrize(("scores", "state"), [
    ({"cadss": 5}, "observed"), ({"cadss": 4, "moaas": 5}, "expected"), ({"moaas": 4}, "observed"), ({}, "expected"),
])
def test_a_check_in_shows_dissociation(scores: dict[str, int], state: str) -> None:
    story = BedStory().infusing().until(10)
    story.command("check_in", **scores)
    assert story.session.dissociation == state


def test_a_fast_infusion_opens_the_period_by_dose() -> None:
    story = BedStory().opened().until(0)
    story.pump, story.rate_ml_h = "infusing", 210.0
    assert story.until(3).dissociation() == [("expected", 2.0)]


def test_a_lost_pump_link_ends_nothing_and_the_dose_catches_up() -> None:
    story = BedStory().infusing().until(20)
    story.give(LinkChanged("pump", "lost", "the cable is out"))
    story.pump = None
    story.until(31)
    assert story.session.phase == "INFUSING"
    story.give(LinkChanged("pump", "live"))
    story.volume_ml, story.pump = 27.1, "infusing"
    story.until(31.1)
    assert story.session.delivered_mg == pytest.approx(27.2, abs=0.2)
    assert "RECOVERY" not in story.phases()


def test_what_a_pump_said_counts_no_more_when_its_link_is_lost_and_another_patient_has_had_nothing_of_it() -> None:
    story = BedStory().infusing().until(1)
    pump = story.bed.state.devices["pump"]
    assert (pump.pump, pump.infused) == ("infusing", True)
    story.at_s += 0.25
    assert story.vitals()["pump"]["age_s"] == 0.2
    story.give(LinkChanged("pump", "live", "a word of its own"))
    assert pump.pump == "infusing"
    story.give(LinkChanged("pump", "lost"))
    assert pump.pump is None
    story.command("end_infusion", reason="stopped at the pump")
    story.command("close_session", reason="sent to hospital")
    assert story.bed.state.session is None
    assert (pump.infused, pump.run_since_s, pump.run_ml, pump.own) == (False, None, 0.0, {})


def test_pause_and_resume() -> None:
    story = BedStory().infusing().until(10)
    story.pump = "stopped"
    story.until(12)
    story.pump = "infusing"
    story.until(13)
    assert story.phases()[2:] == ["PAUSED", "INFUSING"]
    story.pump = "paused"
    story.until(45)
    assert story.phases()[-1] == "RECOVERY"


def test_a_pump_counter_that_is_cleared_loses_nothing() -> None:
    story = BedStory().infusing().until(10)
    before = story.session.delivered_mg
    story.volume_ml = 0.0
    story.until(11)
    assert story.session.delivered_mg == pytest.approx(before + 52.5 / 60, abs=0.05)


def test_an_infusion_before_the_precheck_is_done_is_followed_and_marked() -> None:
    story = BedStory().until(-10)
    story.command("start_session", **{**ORDER, "checklist": False})
    story.pump, story.rate_ml_h = "infusing", 52.5
    story.until(-9)
    assert story.phases() == ["INFUSING"]
    assert story.session.unready_start


@pytest.mark.parametrize(("sbp", "dbp", "spo2", "says"), [
    (141, 80, 98, "above 140/90"), (130, 91, 98, "above 140/90"), (120, 75, 93, "below 94"),
    (120, 75, None, "no live SpO₂"),
])
def test_what_holds_a_patient_in_the_precheck(sbp: float, dbp: float, spo2: float | None, says: str) -> None:
    story = BedStory().until(-10)
    story.command("start_session", **ORDER)
    story.spo2 = spo2
    story.bp(sbp, dbp)
    story.until(-8).bp(sbp, dbp)
    story.until(-7)
    assert story.session.phase == "PRECHECK"
    assert any(says in point for point in story.full()["session"]["open"])


def test_discharge_ready_only_when_everything_has_held() -> None:
    story = BedStory().infusing().until(40)
    story.pump = "stopped"
    for minute in range(45, 105, 5):
        story.until(minute).bp(125, 78)
        if minute % 10 == 0:
            story.command("check_in", **QUIET)
    assert story.until(112).session.phase == "DISCHARGE_READY"
    story.command("check_in", cadss=20)
    story.until(113)
    assert story.session.phase == "RECOVERY"


def test_another_patient_inherits_nothing() -> None:
    story = BedStory().infusing().until(5)
    story.bp(190, 100)
    assert story.bed.state.alarms["HTN-3"].state == "active"
    story.pump = "stopped"
    story.until(6).command("close_session", reason="stopped by the patient")
    ended = story.bed.state.alarms.get("HTN-3")
    assert ended is None or ended.state == "inactive"
    story.until(8).command("start_session", **{**ORDER, "session": "session-2"})
    shown = story.vitals()["numerics"]
    assert "sbp_mmhg" not in shown
    story.until(9)
    assert story.session.baseline is None
    assert story.session.delivered_mg == 0


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("start_session", ORDER, "session_open"),
    ("acknowledge", {"alarm": "none", "seq": 1}, "moved_on"),
    ("check_in", {"cadss": 93}, "cadss must be a whole number from 0 to 92"),
    ("check_in", {"moaas": True}, "moaas must be"),
    ("check_in", {"symptoms": "dizzy"}, "symptoms must be a list"),
    ("close_session", {}, "the pump is infusing"),
    ("end_infusion", {"reason": "x"}, "stop it at the pump first"),
    ("checklist", {}, "done must be"),
    ("check_in", {"moas": 3}, "moas is not one; check_in takes anxiety, cadss, dbp_mmhg, distress, gone, moaas"),
    ("audio_pause", {"seconds": 600}, "seconds is not one; audio_pause takes none"),
    ("set_rate", {"rate_ml_h": 100}, "unknown_verb"),
]


@pytest.mark.parametrize(("verb", "args", "says"), REFUSED)
def test_what_is_refused_says_why(verb: str, args: dict[str, Any], says: str) -> None:
    story = BedStory().infusing().until(1)
    assert says in story.reason(story.command(verb, **args))


@pytest.mark.parametrize(("change", "says"), [
    ({"weight_kg": 7}, "weight_kg must be from 35 to 200"), ({"concentration_mg_ml": 50}, "undiluted"),
    ({"dose_mg_kg": 1.1}, "dose_mg_kg"), ({"duration_min": None}, "duration_min must be a number"),
    ({"session": "x"}, "session must be an id"), ({"weight_kg": "70"}, "must be a number"),
])
def test_an_order_that_cannot_be_meant_is_refused(change: dict[str, Any], says: str) -> None:
    story = BedStory()
    assert says in story.reason(story.command("start_session", **{**ORDER, **change}))
    assert story.bed.state.session is None


def test_an_acknowledgement_of_what_was_seen_and_of_what_has_moved_on() -> None:
    story = BedStory().infusing().until(5)
    story.bp(186, 100)
    alarm = story.bed.state.alarms["HTN-3"]
    assert alarm.seq > 0
    assert story.reason(story.command("acknowledge", alarm=alarm.id, seq=alarm.seq - 1)) == "moved_on"
    pending_events = story.command("acknowledge", alarm=alarm.id, seq=alarm.seq)
    assert [(body_of(pending).state, body_of(pending).by) for pending in pending_events] == [("acknowledged", "nina")]
    again = story.bed.state.alarms["HTN-3"]
    assert "already_acknowledged" in story.reason(story.command("acknowledge", alarm=again.id, seq=again.seq))


def test_a_new_alarm_ends_an_audio_pause() -> None:
    story = BedStory().infusing().until(5)
    story.command("audio_pause")
    assert story.full()["audio_paused_until"] is not None
    story.bp(186, 100)
    assert story.full()["audio_paused_until"] is None


def test_an_audio_pause_ends_by_itself() -> None:
    story = BedStory().infusing().until(5)
    story.command("audio_pause")
    story.until(6.9)
    assert story.full()["audio_paused_until"] is not None
    story.until(7.1)
    assert story.full()["audio_paused_until"] is None


def asked(pending_events: list[PendingEvent]) -> list[str]:
    return [body_of(pending).rule for pending in pending_events if pending.kind == "request"]


def test_a_person_is_asked_once_for_each_blood_pressure_that_a_cuff_or_a_person_measured() -> None:
    story = BedStory().infusing()
    state = story.bed.state
    assert asked(story.bp(150, 92)) == ["HTN-R"]
    story.at_s += 1
    assert state.request is not None and state.check_in_every_s is not None
    for given in (story.give(Tick()), story.say("oximeter", spo2_pct=98.0), story.bp(None, None),
                  story.command("check_in", moaas=5)):
        assert asked(given) == []
    assert state.request is not None and state.failed_determinations == 1
    story.at_s += 900
    assert asked(story.command("check_in", sbp_mmhg=151, dbp_mmhg=93)) == ["HTN-R"], "whatever the cuff has failed at"
    story.at_s += 1
    assert asked(story.command("check_in", moaas=5)) == []
    assert state.request is not None
    story.at_s += 900
    assert asked(story.bp(122, 76)) == []
    assert state.request is None, "it ends with the next blood pressure"


def test_who_is_told_is_told_at_once_and_later_without_other_news() -> None:
    def told() -> list[str]:
        return [one.who for one in map(body_of, given) if isinstance(one, AlarmTold) and one.rule == "HTN-3"]

    story = BedStory().infusing()
    given = story.bp(186, 100)
    assert told() == ["nurse"]
    for after_s, who in ((59.0, []), (1.0, ["prescriber"]), (30.0, [])):
        story.at_s += after_s
        given = story.give(Tick())
        assert told() == who


def test_an_alarm_is_numbered_by_its_own_event_of_its_own_bed() -> None:
    story = BedStory().infusing()
    first = story.bp(186, 100)[0]
    story.give(DeviceAlarmsReported("pump", (DeviceAlarm("occlusion", "high", "AL_OCCLU", "occlusion"),)))
    alarms = story.bed.state.alarms
    seqs = {key: alarm.seq for key, alarm in alarms.items()}
    assert seqs["HTN-3"] < seqs["INF-4:pump"]
    event = numbered(first, seq=99, boot="", edge="", wall="", prev="")
    story.bed.numbered([replace(event, bed="chair-2")])
    assert {key: alarm.seq for key, alarm in alarms.items()} == seqs
    story.bed.numbered([event])
    assert {key: alarm.seq for key, alarm in alarms.items()} == {**seqs, "HTN-3": 99}


def test_a_crash_forgets_nothing_and_shows_the_gap() -> None:
    story = BedStory().infusing().until(0.1)
    story.bp(120, 75)
    story.until(5)
    story.bp(186, 100)
    alarm = story.bed.state.alarms["HTN-3"]
    snapshot = story.bed.snapshot()
    story.bed = Bedside("chair-1", DEVICES, RULES)
    story.bed.restore(snapshot)
    story.at_s += 20
    pending_events = story.give(Boot("boot-2", 20.0))
    assert (pending_events[0].kind, body_of(pending_events[0]).gap_s) == ("boot", 20.0)
    raised = [body_of(pending).rule for pending in pending_events[1:] if pending.kind == "alarm"]
    assert raised == ["TEC-7"], "20 s are a gap that is said"
    assert story.bed.state.alarms["HTN-3"].id == alarm.id
    assert story.bed.state.alarms["HTN-3"].state == "active"
    assert story.session.phase == "INFUSING"
    for device in ("pump", "cuff", "oximeter"):
        story.give(LinkChanged(device, "live"))
    story.until(8)
    assert [body_of(d).rule for d in story.pending_events if d.kind == "alarm"] == ["HTN-3", "TEC-7"], (
        "a restart alone raises nothing of the patient"
    )


def test_the_same_inputs_give_the_same_events_byte_for_byte() -> None:
    def told() -> list[PendingEvent]:
        story = BedStory().infusing().until(5)
        story.bp(186, 100)
        story.spo2 = 80
        story.until(7).command("acknowledge", alarm=story.bed.state.alarms["HTN-3"].id, seq=1)
        return story.pending_events

    assert told() == told()


def test_a_snapshot_says_everything() -> None:
    story = BedStory().infusing().until(12)
    story.bp(186, 100)
    twin = Bedside("chair-1", DEVICES, RULES)
    twin.restore(story.bed.snapshot())
    assert twin.state == story.bed.state
    again = Bedside("chair-1", DEVICES, RULES)
    again.restore(twin.snapshot())
    assert twin.snapshot() == again.snapshot()


@pytest.mark.parametrize(("priority", "expected"), [("low", "medium"), ("medium", "medium"), ("high", "high")])
def test_a_pump_alarm_is_at_least_medium(priority: Priority, expected: str) -> None:
    story = BedStory().infusing().until(1)
    story.give(DeviceAlarmsReported("pump", (DeviceAlarm("occlusion", priority, "AL_OCCLU", "occlusion"),)))
    assert story.bed.state.alarms["INF-4:pump"].priority == expected


def test_a_restart_follows_the_present_configuration() -> None:
    story = BedStory().infusing().until(5)
    assert story.bed.state.nibp_interval_s == 300.0
    story.bp(186, 100)
    story.give(DeviceAlarmsReported("pump", (DeviceAlarm("occlusion", "high", "AL_OCCLU", "occlusion"),)))
    assert {"HTN-3", "INF-4:pump"} <= set(story.bed.state.alarms)
    changed = Bedside("chair-1", [DEVICES[1], ("oximeter", "oximeter", "another")], RULES, nibp_interval_s=600.0)
    changed.restore(story.bed.snapshot())
    assert set(changed.state.devices) == {"cuff", "oximeter"}
    assert changed.state.devices["cuff"].link == "live"
    assert changed.state.devices["oximeter"].link == "connecting", "another driver's device is another device"
    assert changed.state.nibp_interval_s == 600.0
    assert "INF-4:pump" not in changed.state.alarms
    assert changed.state.alarms["HTN-3"].state == "active"
