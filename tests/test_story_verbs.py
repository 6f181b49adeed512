"""What a story begins with, what each form of its verbs gives the bed or sets, and what is no form of any."""

from __future__ import annotations

from dataclasses import fields
from math import inf
from typing import Any

import pytest

from edge.core.stories import VERBS, run_story
from edge.core.story_bed import Pressure, Shown, StoryBed
from edge.core.story_verbs import Unreadable
from edge.model import (
    Boot,
    ClockSkewed,
    Command,
    DeviceAlarm,
    DeviceAlarmsReported,
    HeardChanged,
    Input,
    LinkChanged,
    RecordDamaged,
    Samples,
    StorageChanged,
    Undelivered,
    WatchPaused,
)
from tests.helpers.rule_files import RULES
from tests.helpers.story_line import FOUND, MANY, NOW, begun, say

KEPT = {one.name for one in fields(StoryBed)} - {
    "bedside", "pending_events", "seq", "raised", "heard", "refusal", "other"}


def told(line: str, given: str) -> tuple[StoryBed, list[Input]]:
    """A bed after this line, and what it was given."""
    bed, found = begun(given).copy(), list[Input]()
    bed.heard = lambda one, _: found.append(one)
    say(bed, line)
    return bed, found


# --- what a person asks -----------------------------------------------------------------------------------------------

ASKED: list[tuple[str, str, dict[str, Any]]] = [
    ("check-in moaas=5 cadss=12 symptom=headache symptom=nausea gone=seizure", "check_in",
     {"moaas": 5, "cadss": 12, "symptoms": ["headache", "nausea"], "gone": ["seizure"]}),
    ("check-in moaas=0", "check_in", {"moaas": 0}),
    ("checklist done", "checklist", {"done": True}),
    ("checklist open", "checklist", {"done": False}),
    ("dose 2 lot A lot B 5min ago", "give_dose", {"devices": 2, "lots": ["A", "B"], "minutes_ago": 5.0}),
    ("dose 1 lot A1", "give_dose", {"devices": 1, "lots": ["A1"]}),
    ("dose 3 12min ago", "give_dose", {"devices": 3, "minutes_ago": 12.0}),
    ("dose 1", "give_dose", {"devices": 1}),
    ("dose 1 lot A1 1min ago because lot B2 leaked", "give_dose",
     {"devices": 1, "lots": ["A1"], "minutes_ago": 1.0, "reason": "lot B2 leaked"}),
    ("attest gait yes", "attest", {"what": "gait", "so": True}),
    ("attest escort no", "attest", {"what": "escort", "so": False}),
    ("amend dose_mg_kg 0.6 she is stable", "amend_order",
     {"dose_mg_kg": 0.6, "prescriber": "Dr Hall", "reason": "she is stable"}),
    ("rebaseline at rest now", "rebaseline", {"reason": "at rest now"}),
    ("device cuff off 5min the bathroom", "device_off", {"device": "cuff", "minutes": 5.0, "reason": "the bathroom"}),
    ("device cuff back", "device_back", {"device": "cuff"}),
    ("measure", "measure_bp", {}),
    ("dissociation begun she says so", "dissociation", {"begun": True, "reason": "she says so"}),
    ("dissociation over", "dissociation", {"begun": False, "reason": ""}),
    ("drug-channel pump", "drug_channel", {"device": "pump"}),
    ("drug-channel pump a new line", "drug_channel", {"device": "pump", "reason": "a new line"}),
    ("end-infusion", "end_infusion", {}),
    ("end-infusion that is enough", "end_infusion", {"reason": "that is enough"}),
    ("close-session", "close_session", {}),
    ("close-session she goes home", "close_session", {"reason": "she goes home"}),
    ("close-session whose: hers, seen", "close_session", {"whose": "hers, seen"}),
    ("close-session she goes whose: hers", "close_session", {"reason": "she goes", "whose": "hers"}),
    ("hold she is anxious", "hold", {"reason": "she is anxious"}),
    ("unhold", "unhold", {}),
    ("disarm", "disarm_interlock", {}),
    ("disarm it stands still", "disarm_interlock", {"reason": "it stands still"}),
    ("pause-sound", "audio_pause", {}),
    ("resume-sound", "audio_resume", {}),
    ("unshelve TEC-2:cuff", "unshelve", {"shelf": "TEC-2:cuff"}),
    ("delegate Dr Hall 10min my break", "delegate", {"to": "Dr Hall", "minutes": 10.0, "reason": "my break"}),
    ("undelegate", "undelegate", {}),
]


@pytest.mark.parametrize(("line", "verb", "args"), ASKED, ids=[row[0] for row in ASKED])
def test_what_a_nurse_asks_in_a_story(line: str, verb: str, args: dict[str, Any]) -> None:
    (given,) = told(line, MANY)[1]
    assert isinstance(given, Command)
    assert (given.verb, given.args, given.user, given.role, given.bed) == (verb, args, "nurse", "nurse", "story")


def test_another_session_is_opened_by_the_first_protocol_under_an_id_of_its_own() -> None:
    order = {"weight_kg": 70, "dose_mg_kg": 0.5, "duration_min": 40, "concentration_mg_ml": 1}
    bed, (given,) = told("open-session hers, seen", MANY)
    assert isinstance(given, Command) and given.verb == "start_session"
    assert given.args == order | {"session": f"story-session-{begun(MANY).seq}", "whose": "hers, seen"}
    (bare,) = told("open-session", MANY)[1]
    assert isinstance(bare, Command) and "whose" not in bare.args
    assert bed.refusal is not None and bed.refusal.startswith("session_open")


BY: list[tuple[str, str, str, dict[str, Any]]] = [
    ("override spo2 nurse she is well", "nurse", "nurse", {"gate": "spo2", "reason": "she is well"}),
    ("override spo2 prescriber seen", "nurse", "prescriber", {"gate": "spo2", "reason": "seen"}),
    ("arm anna", "anna", "nurse", {}),
    ("limit spo2_low usual she is well", "nurse", "prescriber", {"limit": "spo2_low", "reason": "she is well"}),
    ("limit spo2_low 88 copd known", "nurse", "prescriber",
     {"limit": "spo2_low", "value": 88.0, "reason": "copd known"}),
]


@pytest.mark.parametrize(("line", "user", "role", "args"), BY, ids=[row[0] for row in BY])
def test_who_asks_it(line: str, user: str, role: str, args: dict[str, Any]) -> None:
    (given,) = told(line, MANY)[1]
    assert isinstance(given, Command)
    assert (given.user, given.role, given.args) == (user, role, args)


# --- what devices and the edge do -------------------------------------------------------------------------------------

GIVEN: list[tuple[str, list[Input]]] = [
    ("alarm pump none", [DeviceAlarmsReported("pump", ())]),
    ("alarm cuff leak low", [DeviceAlarmsReported("cuff", (DeviceAlarm("leak", "low", "leak", "leak"),))]),
    ("alarm pump air_in_line high low_battery medium", [DeviceAlarmsReported("pump", (
        DeviceAlarm("air_in_line", "high", "air_in_line", "air in line"),
        DeviceAlarm("low_battery", "medium", "low_battery", "low battery")))]),
    ("link cuff silent", [LinkChanged("cuff", "silent", "")]),
    ("link cuff lost", [LinkChanged("cuff", "lost", "the cable is out")]),
    ("storage failing", [StorageChanged("the disk is full")]),
    ("storage failing no room", [StorageChanged("no room")]),
    ("storage good", [StorageChanged("")]),
    ("unheard", [HeardChanged("no console is there", (), no_console=True)]),
    ("unheard the page is closed", [HeardChanged("the page is closed")]),
    ("heard", [HeardChanged("")]),
    ("skew -2.5", [ClockSkewed(-2.5, "main")]),
    ("record damaged", [RecordDamaged("a checkpoint does not match")]),
    ("record damaged event 5", [RecordDamaged("event 5")]),
    ("pause 120s", [WatchPaused(120.0, "slept")]),
    ("link cuff lost; restart 30s", [
        LinkChanged("cuff", "lost", "the cable is out"), Boot("story", 30.0),
        *(LinkChanged(name, "live") for name in ("pump", "oximeter", "cuff-2", "oximeter-2", "pump-2"))]),
]


@pytest.mark.parametrize(("line", "given"), GIVEN, ids=[row[0] for row in GIVEN])
def test_what_is_given_to_the_bed(line: str, given: list[Input]) -> None:
    assert told(line, MANY)[1] == given


def test_the_time_that_passes_in_a_pause_or_without_the_edge() -> None:
    assert [told(line, MANY)[0].at_s - NOW for line in ("pause 120s", "restart 30s")] == [120, 30]


def test_what_sounds_where_nobody_hears_it_is_named_as_it_stands() -> None:
    bed = run_story("given infusing, background: quiet\n0:10 bp 190/90 -> HTN-3 active", "story.txt", RULES)
    found = list[Input]()
    bed.heard = lambda one, _: found.append(one)
    for words in ("the page is closed: HTN-3", ": HTN-3"):
        VERBS["unheard"][1](bed, words.split())
    body = bed.alarms["HTN-3"].body
    assert body is not None
    sounds = (Undelivered("HTN-3", "high", body.text),)
    assert found == [HeardChanged("the page is closed", sounds), HeardChanged("no console is there", sounds, True)]
    with pytest.raises(Unreadable, match="no alarm HTN-3 HTN-9 is known; write unheard"):
        VERBS["unheard"][1](bed, ["why:", "HTN-3", "HTN-9"])


def test_who_acknowledges_a_level_that_has_fallen_acknowledges_the_alarm() -> None:
    bed = run_story("""given infusing, background: quiet
        0:05 link cuff lost
        0:10 link cuff live; bp 190/90 -> HTN-3 active
        1:10 bp 165/90 -> HTN-2 active, HTN-3 latched
        1:15 ack HTN-3 -> HTN-2 acknowledged, HTN-3 inactive""", "story.txt", RULES)
    assert bed.alarms["HTN-2"].by == "nurse"


MEASURED: list[tuple[str, str, list[tuple[float | None, str, str | None]]]] = [  # systolic, diastolic, mean, pulse
    ("bp 150/90", "cuff", [(150, "valid", None), (90, "valid", None), (None, "invalid", None), (70, "valid", None)]),
    ("bp 150/90/110", "cuff", [(150, "valid", None), (90, "valid", None), (110, "valid", None), (70, "valid", None)]),
    ("bp auto 150/90/110", "cuff",
     [(150, "valid", None), (90, "valid", None), (110, "valid", None), (70, "valid", None)]),
    ("bp overflow/underflow", "cuff", [
        (None, "overflow", "out_of_range"), (None, "underflow", "out_of_range"), (None, "invalid", None),
        (70, "valid", None)]),
    ("bp failed leak", "cuff", [(None, "invalid", "leak")] * 4),
    ("second bp 150/90/110", "cuff-2",
     [(150, "valid", None), (90, "valid", None), (110, "valid", None), (70, "valid", None)]),
]


@pytest.mark.parametrize(("line", "device", "numbers"), MEASURED, ids=[row[0] for row in MEASURED])
def test_what_a_cuff_says_of_a_determination(
    line: str, device: str, numbers: list[tuple[float | None, str, str | None]],
) -> None:
    (given,) = told(line, MANY)[1]
    assert isinstance(given, Samples)
    assert [one.metric for one in given.samples] == ["sbp_mmhg", "dbp_mmhg", "map_mmhg", "nibp_pulse_bpm"]
    assert {(one.bed, one.device, one.at_s) for one in given.samples} == {("story", device, NOW)}
    assert [(one.value, one.validity, one.reason) for one in given.samples] == numbers


# --- what goes on from then on ----------------------------------------------------------------------------------------

SET: list[tuple[str, dict[str, Any]]] = [
    ("spo2 88", {"shown": FOUND | {"spo2_pct": Shown(88.0)}}),
    ("spo2 none sensor_off", {"shown": FOUND | {"spo2_pct": Shown(None, "invalid", "sensor_off")}}),
    ("spo2 overflow", {"shown": FOUND | {"spo2_pct": Shown(None, "overflow", "out_of_range")}}),
    ("pulse underflow", {"shown": FOUND | {"pulse_bpm": Shown(None, "underflow", "out_of_range")}}),
    ("spo2 questionable 85", {"shown": FOUND | {"spo2_pct": Shown(85.0, "questionable", "artifact")}}),
    ("spo2 silent", {"shown": {}}),
    ("vtbi 35; spo2 silent", {"shown": {"vtbi_ml": Shown(35.0)}}),
    ("cuff_pressure 80; spo2 silent", {"shown": {"cuff_pressure_mmhg": Shown(80.0)}}),
    ("pulse silent", {"shown": {"spo2_pct": Shown(97.0)}}),
    ("temp 36.5", {"shown": FOUND | {"temp_c": Shown(36.5)}}),
    ("volume_infused 12.5", {"volume_ml": 12.5}),
    ("rate 105", {"rate_ml_h": 105.0}),
    ("rate none unknown; rate 60", {"rate_ml_h": 60.0}),
    ("spo2 88 for 1s", {"shown": FOUND | {"spo2_pct": Shown(88.0)}}),
    ("pump stopped", {"pump": "stopped"}),
    ("pump silent", {"pump": None}),
    ("pump mum", {"pump": None, "is_mum": True}),
    ("link cuff lost", {"links": begun(MANY).links | {"cuff": "lost"}}),
    ("bp 150/90", {"pressure": None, "cuff_at_s": NOW}),
    ("bp failed leak", {"pressure": None, "cuff_at_s": NOW}),
    ("bp off", {"pressure": None}),
    ("bp auto 131/82/97", {"pressure": Pressure(131, 82, 97), "cuff_at_s": NOW}),
    ("bp auto overflow/underflow", {"pressure": Pressure(inf, -inf), "cuff_at_s": NOW}),
    ("second bp 150/90", {}),
    ("second spo2 91", {"second_spo2_pct": 91.0}),
    ("second pump infusing 30", {"second_pump": "infusing", "second_rate_ml_h": 30.0}),
    ("second pump infusing 30; second pump stopped", {"second_rate_ml_h": 30.0}),
    ("second volume 4.5", {"second_ml": 4.5}),
    ("check-in off", {"checks_in": False, "check_in_at_s": NOW}),
    ("check-in moaas=5", {"checks_in": False}),
    ("check-in moaas=5; check-in auto", {"check_in_at_s": NOW}),
    ("attest gait no", {"attests": False}),
    ("stop ignored", {"obeys": False}),
    ("stop ignored; stop obeyed", {}),
]


@pytest.mark.parametrize(("line", "changed"), SET, ids=[row[0] for row in SET])
def test_what_is_otherwise_from_then_on(line: str, changed: dict[str, Any]) -> None:
    before, after = begun(MANY), told(line, MANY)[0]
    assert {name: getattr(after, name) for name in KEPT if getattr(after, name) != getattr(before, name)} == changed


def test_what_is_shown_for_some_seconds_goes_on_for_those_and_no_more() -> None:
    bed, given = told("spo2 88 for 3s", MANY)
    sent = [one for one in given if isinstance(one, Samples) and one.device == "oximeter"]
    assert ([one.samples[0].at_s - NOW for one in sent], bed.at_s - NOW) == ([0, 1], 2), "the line itself is the third"


def test_a_pump_that_a_story_speaks_for_does_not_stop_by_itself() -> None:
    assert begun("infusing").dose_ml == 35
    for line in ("volume_infused 3", "pump paused", "pump silent"):
        assert told(line, "infusing")[0].dose_ml is None


# --- what is no form of any -------------------------------------------------------------------------------------------

NO_FORM = [
    "bp", "bp 150/90 twice", "second", "second bp", "second spo2", "second pump infusing", "link pump",
    "link pump up", "link cable live", "link pump live now", "pump", "pump runs", "alarm pump", "alarm pump occlusion",
    "alarm cable none", "alarm cable occlusion high", "alarm pump occlusion high far", "ack", "ack HTN-3",
    "check-in moaas", "check-in moaas=x", "check-in symptom=", "check-in gone=", "checklist", "checklist done now",
    "dose", "dose x", "dose 1 lot", "dose 1 5min", "attest", "attest gait", "attest gait maybe", "override spo2 nurse",
    "override spo2 doctor why", "amend dose_mg_kg more why", "amend dose_mg_kg 0.6", "device", "device cuff off 5min",
    "device cuff off 5 the bathroom", "dissociation", "dissociation open", "drug-channel", "restart", "restart 5",
    "storage", "storage full", "unheard why: X-1", "skew", "skew 1 2", "record", "record whole", "pause", "pause 5",
    "delegate",
    "delegate nurse 10min", "shelve TEC-2:cuff 10 why", "shelve TEC-2:cuff 10min", "comment TEC-2:cuff", "arm",
    "arm anna ben", "stop", "stop now", "limit spo2_low", "limit spo2_low 88", "limit spo2_low usual", "move with pump",
    "move because it is broken",
]


@pytest.mark.parametrize("line", NO_FORM)
def test_what_is_no_form_of_a_verb_is_answered_with_its_forms(line: str) -> None:
    with pytest.raises(Unreadable) as wrong:
        told(line, MANY)
    assert f"write {VERBS[line.split()[0]][0]}" in str(wrong.value)


OTHERWISE = [
    ("skew fast", "a clock's difference in seconds is a number, not 'fast'"),
    ("alarm pump occlusion urgent", "an alarm of a device is high, medium or low, not 'urgent'"),
    ("device cuff off soonmin the bathroom", "minutes is a number, not 'soon'"),
    ("limit spo2_low low she is well", "a limit is a number, not 'low'"),
    ("second volume much", "a volume is a number, not 'much'"),
    ("second pump infusing fast", "a rate is a number, not 'fast'"),
    ("bp 150", "a blood pressure is S/D or S/D/MEAN, not '150'"),
    ("bp 150/90/overflow", "a blood pressure is S/D or S/D/MEAN, not '150/90/overflow'"),
    ("bp auto high", "a blood pressure is S/D or S/D/MEAN, not 'high'"),
    ("spo2", "write spo2_pct VALUE [for 20s], spo2_pct none REASON"),
    ("spo2 none", "spo2_pct is a number, not 'none'"),
    ("spo2 88 for long", "write 'for 20s', not 'for long'"),
    ("spo2 88 89", "write 'for 20s', not '89'"),
    ("comment TEC-2:cuff seen", "no alarm TEC-2:cuff is known"),
    ("shelve TEC-2:cuff 10min seen", "no alarm TEC-2:cuff is known"),
]


@pytest.mark.parametrize(("line", "says"), OTHERWISE, ids=[row[0] for row in OTHERWISE])
def test_what_a_verb_cannot_read_is_one_line(line: str, says: str) -> None:
    with pytest.raises(Unreadable) as wrong:
        told(line, MANY)
    assert says in str(wrong.value) and "\n" not in str(wrong.value)


def test_where_there_are_two_beds_a_move_names_its_devices_after_with() -> None:
    with pytest.raises(Unreadable, match=r"^write move \[with DEVICE"):
        say(begun("infusing, background: quiet, two beds").copy(), "move pump because it is broken")


@pytest.mark.parametrize("line", [
    "second spo2 91", "second bp 150/90", "second pump infusing 30", "second pump stopped", "second volume 3"])
def test_a_second_device_speaks_only_where_the_story_has_one(line: str) -> None:
    with pytest.raises(Unreadable, match="in a story that is given two of each"):
        told(line, "infusing")
