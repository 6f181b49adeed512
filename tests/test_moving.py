"""The session goes on at another bed: what goes along, what stays, and that no value of one patient is another's."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from edge.contract.events import AlarmMoved, CommandRefused, MovedFrom, MovedTo, PendingEvent, numbered
from edge.core import moving, views
from edge.core.bedside import Bedside
from edge.core.state import BedState
from edge.model import (
    Boot,
    CameBack,
    Command,
    DeviceKind,
    Input,
    LinkChanged,
    PumpState,
    PumpStatus,
    Sample,
    Samples,
    Tick,
    Validity,
)
from tests.helpers.bed_story import DEVICES, ORDER, T0
from tests.helpers.rule_files import PROTOCOLS, RULES

A, B = "chair-1", "chair-2"
LATER = {name: value for name, value in ORDER.items() if name != "session"} | {"session": "session-2"}


class Ward:
    """Beds of one edge, told as the service tells them; every input is kept, so that it can be told again."""

    def __init__(self, *beds: str, serials: bool = True, devices: Any = DEVICES) -> None:
        self.beds = {bed: Bedside(bed, devices, RULES, protocols=PROTOCOLS) for bed in beds or (A, B)}
        self.at_s, self.seq = T0 - 900, 0
        self.inputs: list[tuple[str, Input, float]] = []
        self.told: list[PendingEvent] = []
        for bed in self.beds:
            for device, *_ in devices:
                self.give(bed, LinkChanged(device, "live", "", f"{device} of {bed}" if serials else None))

    def give(self, bed: str, given: Input) -> list[PendingEvent]:
        self.inputs.append((bed, given, self.at_s))
        pending = self.beds[bed].apply(given, self.at_s)
        for one in pending:
            self.seq += 1
            event = numbered(one, seq=self.seq, boot="", edge="", wall="", prev="")
            for each in self.beds.values():
                each.numbered([event])
        self.told += pending
        return pending

    def say(self, bed: str, device: str, validity: Validity = "valid", **values: float | None) -> None:
        self.give(bed, Samples(device, tuple(
            Sample(bed, device, metric, value, validity, self.at_s) for metric, value in values.items())))

    def bp(self, bed: str, sbp: float, dbp: float) -> None:
        self.say(bed, "cuff", sbp_mmhg=float(sbp), dbp_mmhg=float(dbp))

    def pump(self, bed: str, state: PumpState, ml: float, rate: float = 0.0) -> None:
        self.give(bed, PumpStatus("pump", state))
        self.say(bed, "pump", rate_ml_h=rate, volume_infused_ml=ml)

    def pass_s(self, seconds: float) -> None:
        """Ticks alone."""
        until_s = self.at_s + seconds
        while self.at_s < until_s:
            self.at_s += 1
            for bed in self.beds:
                self.give(bed, Tick())

    def ask(self, bed: str, verb: str, **args: Any) -> str:
        """Why it was refused; empty where it was done."""
        states = {name: one.state for name, one in self.beds.items()}
        command = Command(f"c{len(self.inputs)}", "main", "nina", "nurse", bed, verb, args)
        given = [(bed, command)] if verb != "move_session" else moving.inputs(
            states, self.beds[bed].rules, command, (), self.at_s)
        for name, one in given:
            for pending in self.give(name, one):
                if isinstance(pending.body, CommandRefused):
                    return pending.body.reason
        return ""

    def move(self, to: str = B, bed: str = A, **args: Any) -> str:
        return self.ask(bed, "move_session", **{"to": to, "reason": "the chair broke", **args})

    def state(self, bed: str) -> BedState:
        return self.beds[bed].state

    def numerics(self, bed: str) -> dict[str, float | None]:
        told = views.vitals(self.state(bed), self.at_s).numerics
        return {name: one.value for name, one in told.items()}

    def opened(self) -> Ward:
        assert self.ask(A, "start_session", **ORDER) == ""
        self.bp(A, 120, 75)
        self.say(A, "oximeter", spo2_pct=97.0, pulse_bpm=70.0)
        self.pump(A, "stopped", 4.0)
        self.pass_s(70)
        self.bp(A, 124, 77)
        self.say(A, "oximeter", spo2_pct=97.0, pulse_bpm=70.0)
        self.pass_s(2)
        return self

    def infusing(self) -> Ward:
        """Two minutes in: 1.75 mL of 1 mg/mL."""
        self.opened()
        for second in range(121):
            self.pump(A, "infusing", 4.0 + 52.5 / 3600 * second, 52.5)
            self.say(A, "oximeter", spo2_pct=97.0, pulse_bpm=70.0)
            self.pass_s(1)
        return self


ALL = ["pump", "cuff", "oximeter"]


# --- a value taken for another patient's ------------------------------------------------------------------------------


def test_no_value_of_the_one_bed_is_ever_of_the_other() -> None:
    """At chair 2 a probe lies on the table and shows 84; the cuff there was tried on somebody. Neither is hers."""
    ward = Ward().opened()
    ward.say(B, "oximeter", spo2_pct=84.0, pulse_bpm=44.0)
    ward.bp(B, 168, 102)
    assert ward.move() == ""
    assert ward.numerics(B) == {} and ward.numerics(A).get("spo2_pct") is None
    session = ward.state(B).session
    assert session is not None and [one.sbp_mmhg for one in ward.state(B).determinations] == [120, 124]
    assert not [alarm for alarm in ward.state(B).alarms.values() if alarm.state == "active"], "of 84 and 168"
    ward.bp(A, 190, 115)  # somebody at the old bed
    ward.say(A, "oximeter", spo2_pct=80.0, pulse_bpm=40.0)
    ward.pass_s(1)
    assert "spo2_pct" not in ward.numerics(B) and ward.numerics(A)["spo2_pct"] == 80
    assert [one.sbp_mmhg for one in ward.state(B).determinations] == [120, 124]
    ward.say(B, "oximeter", spo2_pct=96.0, pulse_bpm=71.0)
    ward.bp(B, 126, 78)
    assert ward.numerics(B)["spo2_pct"] == 96
    assert [one.sbp_mmhg for one in ward.state(B).determinations] == [120, 124, 126]
    assert session.baseline is not None and session.baseline.sbp_mmhg == 122


def test_the_next_patient_of_the_old_bed_begins_with_nothing() -> None:
    ward = Ward().opened()
    assert ward.move() == ""
    assert ward.ask(A, "start_session", **ORDER).startswith("session_closed"), "one id, one patient"
    assert ward.ask(A, "start_session", **LATER) == ""
    other = ward.state(A).session
    assert other is not None and other.baseline is None and other.delivered_mg == 0 and not other.stays
    assert ward.state(A).determinations == []


def test_what_went_along_counts_at_the_old_bed_no_more_until_another_is_there() -> None:
    ward = Ward().infusing()
    assert ward.move(devices=ALL) == ""
    ward.say(A, "oximeter", spo2_pct=97.0, pulse_bpm=70.0)  # still in the old socket for a moment
    ward.bp(A, 150, 95)
    assert ward.numerics(A) == {} and ward.state(A).determinations == []
    assert ward.ask(A, "start_session", **LATER).startswith("not_now: the pump went to another bed")
    for device in ALL:
        ward.give(A, LinkChanged(device, "live", "", f"another {device}"))
    assert ward.ask(A, "start_session", **LATER) == ""
    ward.say(A, "oximeter", spo2_pct=95.0, pulse_bpm=66.0)
    assert ward.numerics(A)["spo2_pct"] == 95


def test_the_old_device_is_back_when_the_session_is_over_or_a_person_says_so() -> None:
    ward = Ward(serials=False).opened()
    assert ward.move(devices=ALL) == ""
    assert moving.over(one.state for one in ward.beds.values()) == {}
    assert ward.ask(A, "device_back", device="cuff") == ""
    ward.bp(A, 140, 85)
    ward.say(A, "oximeter", spo2_pct=91.0)
    assert ward.numerics(A) == {"sbp_mmhg": 140, "dbp_mmhg": 85}
    assert ward.ask(B, "close_session", reason="she went home early") == ""
    assert moving.over(one.state for one in ward.beds.values()) == {A: ("pump", "oximeter")}
    ward.give(A, CameBack(("oximeter",)))
    ward.say(A, "oximeter", spo2_pct=91.0)
    assert ward.numerics(A)["spo2_pct"] == 91


# --- the dose ---------------------------------------------------------------------------------------------------------


def test_the_same_pump_goes_on_counting_while_nobody_hears_it() -> None:
    ward = Ward().infusing()
    assert ward.move(devices=["pump"]) == ""
    session = ward.state(B).session
    assert session is not None and session.delivered_mg == pytest.approx(1.75, abs=0.01)
    ward.pass_s(60)
    ward.give(B, LinkChanged("pump", "live", "", f"pump of {A}"))
    ward.pump(B, "infusing", 4.0 + 52.5 / 3600 * 180, 52.5)
    session = ward.state(B).session
    assert session is not None and session.delivered_mg == pytest.approx(2.625, abs=0.02)


def test_another_pump_counts_from_where_it_stands() -> None:
    ward = Ward().infusing()
    ward.pump(A, "stopped", 5.75)
    ward.pump(B, "stopped", 31.0)
    assert ward.move() == ""
    ward.pump(B, "infusing", 31.0, 52.5)
    ward.pass_s(60)
    ward.pump(B, "infusing", 31.875, 52.5)
    session = ward.state(B).session
    assert session is not None and session.delivered_mg == pytest.approx(2.625, abs=0.02)


def test_without_a_serial_number_a_counter_begins_anew() -> None:
    ward = Ward(serials=False).infusing()
    ward.pump(A, "stopped", 5.75)
    assert ward.move(devices=["pump"]) == ""
    ward.pump(B, "stopped", 50.0)  # whichever pump that is
    session = ward.state(B).session
    assert session is not None and session.delivered_mg == pytest.approx(1.75, abs=0.01)


# --- alarms -----------------------------------------------------------------------------------------------------------


def test_an_alarm_keeps_its_level_who_acknowledged_it_and_whom_it_was_told_to() -> None:
    ward = Ward().infusing()
    ward.bp(A, 182, 100)
    ward.pass_s(3)
    first = ward.state(A).alarms["HTN-3"]
    assert ward.ask(A, "acknowledge", alarm=first.id, seq=first.seq) == ""
    first = ward.state(A).alarms["HTN-3"]
    assert ward.move(devices=ALL) == ""
    ward.pass_s(3)
    moved = ward.state(B).alarms["HTN-3"]
    assert (moved.state, moved.priority, moved.by, moved.since_s) == ("acknowledged", "high", "nina", first.since_s)
    assert (moved.acknowledged_at_s, moved.told) == (first.acknowledged_at_s, first.told)
    assert "HTN-3" not in ward.state(A).alarms
    bodies = [one.body for one in ward.told if isinstance(one.body, AlarmMoved) and one.body.rule == "HTN-3"]
    assert [(one.state, one.alarm_phase) for one in bodies[-2:]] == [("inactive", "end"), ("acknowledged", "continue")]
    ward.bp(B, 150, 88)
    ward.pass_s(2)
    assert ward.state(B).alarms["HTN-3"].state == "inactive", "its own clear ends it, at the other bed"


def test_an_alarm_that_moved_is_acknowledged_by_the_number_it_has_there() -> None:
    ward = Ward().infusing()
    ward.bp(A, 182, 100)
    old = ward.state(A).alarms["HTN-3"]
    assert ward.move(devices=ALL) == ""
    new = ward.state(B).alarms["HTN-3"]
    assert ward.ask(B, "acknowledge", alarm=old.id, seq=old.seq) == "moved_on"
    assert new.id != old.id and new.seq > old.seq
    assert ward.ask(B, "acknowledge", alarm=new.id, seq=new.seq) == ""


# --- what is refused --------------------------------------------------------------------------------------------------


def _other_is_busy(ward: Ward) -> None:
    assert ward.ask(B, "start_session", **LATER) == ""


def _other_infuses(ward: Ward) -> None:
    ward.pump(B, "infusing", 3.0, 40.0)


def _other_is_worked_on(ward: Ward) -> None:
    ward.give(B, Command("m", "main", "tom", "technician", B, "maintain",
                         {"device": "cuff", "minutes": 5, "reason": "a new hose"}))


def _other_has_a_high(ward: Ward) -> None:
    ward.bp(B, 190, 100)
    ward.pass_s(1)


def _nothing(_: Ward) -> None:
    pass


@pytest.mark.parametrize(("before", "args", "line"), [
    (_nothing, {"to": "chair-9"}, "bad_args: this edge has no bed 'chair-9'; it has chair-1, chair-2"),
    (_nothing, {"to": A}, "bad_args: the session is at chair-1 already"),
    (_nothing, {"reason": "ok"}, "reason_needed: 'ok' is no reason"),
    (_nothing, {"devices": ["tv"]}, "bad_args: chair-1 has no device 'tv'; it has pump, cuff, oximeter"),
    (_other_is_busy, {}, "not_now: a session is open at chair-2; close it first"),
    (_other_infuses, {}, "not_now: the pump of chair-2 infuses already; stop it first"),
    (_other_infuses, {"devices": ["pump"]}, ""),
    (_other_is_worked_on, {}, "not_now: the cuff of chair-2 is in maintenance; end that first"),
    (_other_has_a_high, {}, "alarm_stands: at chair-2: Blood pressure 190/100"),
    (_other_has_a_high, {"whose": "the last patient's, gone home"}, ""),
])
def test_what_is_in_the_way_is_said(before: Any, args: dict[str, Any], line: str) -> None:
    ward = Ward().opened()
    before(ward)
    refused = ward.move(**args)
    assert refused.startswith(line) and bool(refused) is bool(line), refused
    assert (ward.state(A).session is None) is (not line)
    assert line == "" or not isinstance(ward.told[-1].body, MovedTo | MovedFrom)
    whose = [one.body.whose for one in ward.told if isinstance(one.body, MovedFrom)]
    assert whose == ([] if line else [args.get("whose", UNSET)])


def test_a_session_that_is_not_there_does_not_move() -> None:
    assert Ward().move().startswith("no_session")


@pytest.mark.parametrize(("state", "devices", "line"), [
    ("infusing", [], "not_now: the pump is infusing; stop it"), ("infusing", ["pump"], ""), ("paused", [], ""),
])
def test_a_pump_that_infuses_is_not_left_behind(state: PumpState, devices: list[str], line: str) -> None:
    ward = Ward().infusing()
    ward.pump(A, state, 5.75, 52.5)
    assert ward.move(devices=devices).startswith(line)
    assert (ward.state(B).session is None) is bool(line)


def test_a_pump_nobody_hears_is_left_behind_by_a_persons_word_alone() -> None:
    ward = Ward().infusing()
    ward.give(A, LinkChanged("pump", "lost", "the cable is out", f"pump of {A}"))
    ward.pass_s(30)
    assert ward.move().startswith("not_now: nobody knows whether the pump still infuses")
    assert ward.ask(A, "end_infusion", reason="stopped at the pump") == ""
    assert ward.move() == ""


def test_without_a_serial_number_an_infusing_pump_is_stopped_first() -> None:
    ward = Ward(serials=False).infusing()
    assert ward.move(devices=["pump"]).startswith("not_now: the pump has no serial number")


NO_PUMP: tuple[tuple[str, DeviceKind, str], ...] = (("cuff", "nibp", "c"), ("oximeter", "oximeter", "o"))
NASAL = {name: value for name, value in ORDER.items() if name not in ("dose_mg_kg", "duration_min",
                                                                      "concentration_mg_ml")}


@pytest.mark.parametrize(("order", "ended", "line"), [
    (ORDER, False, "not_now: chair-2 has no pump, and the dose is not over"),
    (ORDER, True, ""),
    ({**NASAL, "protocol": "esketamine_rems", "dose_mg": 56}, False, ""),
], ids=["before the end", "after it", "a dose by hand"])
def test_a_bed_without_a_pump_takes_whoever_needs_none(order: dict[str, Any], ended: bool, line: str) -> None:
    ward = Ward()
    ward.beds[B] = Bedside(B, NO_PUMP, RULES, protocols=PROTOCOLS)
    if not ended:
        assert ward.ask(A, "start_session", **order) == ""
    else:
        ward.infusing().pump(A, "stopped", 5.75)
        assert ward.ask(A, "end_infusion", reason="she has had enough") == ""
    refused = ward.move()
    assert refused.startswith(line) and bool(refused) is bool(line), refused


@pytest.mark.parametrize(("goes", "stays"), [(["pump"], set()), (["oximeter"], {"rate_ml_h", "volume_infused_ml"})])
def test_what_a_device_said_last_goes_with_it(goes: list[str], stays: set[str]) -> None:
    ward = Ward().opened()
    assert ward.move(devices=goes) == ""
    assert ward.state(A).latest.keys() == stays


def test_a_device_takes_the_place_of_one_of_its_driver() -> None:
    devices = (*DEVICES, ("pump-2", "pump", "p"))
    ward = Ward(devices=devices)
    assert moving.places_of(ward.state(A), ward.state(B), ["pump-2", "pump"]) == {"pump-2": "pump-2", "pump": "pump"}
    ward.beds[B] = Bedside(B, (("left", "pump", "p"), ("right", "pump", "p")), RULES, protocols=PROTOCOLS)
    ward.opened()
    assert ward.move(devices=["pump"]).startswith(
        "not_now: the pump cannot be plugged in at chair-2, which has several devices of its kind (p)")
    assert ward.move(devices=["cuff"]).startswith(
        "not_now: the cuff cannot be plugged in at chair-2, which has no device of its kind (c)")


# --- there, back, and again -------------------------------------------------------------------------------------------


def test_there_and_on_and_back() -> None:
    ward = Ward(A, B, "chair-3").infusing()
    assert ward.move(devices=["pump"]) == ""
    ward.give(B, LinkChanged("pump", "live", "", f"pump of {A}"))
    ward.pass_s(5)
    assert ward.move(to="chair-3", bed=B, devices=["pump"]) == ""
    ward.pass_s(5)
    assert ward.move(to=A, bed="chair-3", devices=["pump"]) == ""
    session = ward.state(A).session
    assert session is not None and [one.bed for one in session.stays] == [A, B, "chair-3"]
    assert ward.state(A).devices["pump"].gone is None and ward.state(A).devices["pump"].bound == f"pump of {A}"
    assert ward.state(B).devices["pump"].gone is not None
    ward.pump(A, "stopped", 5.75)
    ward.pass_s(5)
    assert ward.ask(A, "close_session", reason="she went home early") == ""
    assert set(moving.over(one.state for one in ward.beds.values())) == {B, "chair-3"}
    assert ward.state(A).devices["pump"].bound is None, "whichever is on the line from now on"


# --- record, replay, restart ------------------------------------------------------------------------------------------


def _lived() -> Ward:
    ward = Ward().infusing()
    ward.bp(A, 182, 100)
    ward.pass_s(3)
    assert ward.move(devices=ALL) == ""
    for device in ALL:
        ward.give(B, LinkChanged(device, "live", "", f"{device} of {A}"))
    ward.pass_s(3)
    ward.bp(B, 150, 88)
    ward.pass_s(20)
    assert ward.move(to=A, bed=B, devices=ALL) == ""
    ward.pass_s(5)
    return ward


@pytest.mark.parametrize("alone", [A, B])
def test_each_bed_alone_is_told_all_it_needs(alone: str) -> None:
    """So a restart or a replay of one bed needs nothing of the other; a restart at every input changes nothing."""
    ward = _lived()
    bedside = Bedside(alone, DEVICES, RULES, protocols=PROTOCOLS)
    again: list[PendingEvent] = []
    numbers = {id(one): seq for seq, one in enumerate(ward.told, 1)}
    expected = [one for one in ward.told if one.bed == alone]
    late = next(n for n, (_, one, _) in enumerate(ward.inputs) if getattr(one, "verb", "") == "move_session") - 3
    for n, (bed, given, at_s) in enumerate(ward.inputs):
        if bed != alone:
            continue
        if n > late:
            bedside.restore(bedside.snapshot())
        pending = bedside.apply(given, at_s)
        for one, was in zip(pending, expected[len(again):], strict=False):
            bedside.numbered([numbered(one, seq=numbers[id(was)], boot="", edge="", wall="", prev="")])
        again += pending
    assert msgspec.json.encode(again) == msgspec.json.encode(expected)
    assert bedside.snapshot() == ward.beds[alone].snapshot()


def test_a_boot_in_between_keeps_where_the_session_is() -> None:
    ward = Ward().infusing()
    assert ward.move(devices=ALL) == ""
    for bed in (A, B):
        ward.beds[bed].restore(ward.beds[bed].snapshot())
        ward.give(bed, Boot("b2", 5.0))
    assert ward.state(A).session is None and ward.state(B).session is not None
    ward.say(A, "oximeter", spo2_pct=97.0)
    assert ward.numerics(A) == {}, "what went along is remembered"
    full = views.full(ward.state(A), ward.at_s)
    assert {one.device: one.gone_to for one in full.devices} == dict.fromkeys(ALL, B)
    told = views.full(ward.state(B), ward.at_s).session
    assert told is not None and [one.bed for one in told.stays] == [A]
