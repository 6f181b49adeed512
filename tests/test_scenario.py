"""Scenarios: who sits where, and that everything happens when the story says, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import simulators
from drivers.alaris_gh import crc, encode
from drivers.nonin.frames import ACK, NAK
from simulators.alaris_gh import AlarisTwin
from simulators.contract import ModbusTwin, Twin, TwinSpec
from simulators.isco import IscoTwin
from simulators.nonin import NoninTwin
from simulators.patient import Patient
from simulators.scenario import (
    BEDS,
    DAY_OPENS_MIN,
    DAY_STARTS_MIN,
    OVER_MIN,
    TROUBLE,
    Bed,
    Device,
    Scenario,
    calm,
    day,
    day_starts_min,
    start_min,
    story,
)
from simulators.stage import Options
from tests.helpers.stage_run import fakes, minutes, staged


def test_the_doses_are_half_a_milligram_a_kilogram_over_forty_minutes() -> None:
    told = [(bed.weight_kg, round(bed.dose_ml, 3), round(bed.rate_ml_h, 3)) for bed in BEDS]
    assert told == [(70, 35, 52.5), (82, 41, 61.5), (58, 29, 43.5), (75, 37.5, 56.25)]


def test_the_beds_of_the_story_stand_as_told() -> None:
    drivers = {bed.id: {d.id: (d.driver, d.transport) for d in bed.devices} for bed in story().beds}
    cuff = ("suntech_advantage", "serial")
    assert drivers == {
        "chair-1": {"pump": ("alaris_gh", "serial"), "cuff": cuff, "oximeter": ("nonin", "serial")},
        "chair-2": {"pump": ("isco", "modbus+tcp"), "cuff": cuff, "oximeter": ("contec_cms60", "serial")},
        "chair-3": {"pump": ("isco", "modbus+rtu"), "cuff": cuff, "oximeter": ("nonin", "serial")},
        "chair-4": {"pump": ("alaris_gh", "serial"), "cuff": cuff, "oximeter": ("nonin", "serial")},
    }


def test_more_beds_bring_the_same_devices_again_and_no_new_trouble() -> None:
    six = story(6)
    assert [bed.id for bed in six.beds] == [f"chair-{n}" for n in range(1, 7)]
    assert six.beds[4].devices == six.beds[0].devices
    assert {step.bed for step in six.steps if step.do != "start"} == {"chair-1", "chair-2", "chair-3", "chair-4"}
    assert {step.do for step in story(1).steps} == {"start", "hypertension"}
    assert {step.do for step in calm(5).steps} == {"start"}


async def test_only_chair_1_gets_hypertensive_and_only_when_the_story_says() -> None:
    async with staged(story(), fakes([]), Options(seed=3)) as stage:
        before = await minutes(stage, 3)  # nothing happens before go
        stage.go()
        told = await minutes(stage, 60)
    for bed in BEDS:
        lowest = [min(row[side] for row in before[bed.id]) for side in (0, 1)]
        high = [n for n, row in enumerate(told[bed.id], 1) if row[0] >= 1.2 * lowest[0] or row[1] >= 1.2 * lowest[1]]
        if bed.id != "chair-1":
            assert high == []
            continue
        assert high[0] == 33  # infusion minute 30
        plateau = told["chair-1"][34:43]
        assert all(184 <= sbp <= 194 and 104 <= dbp <= 114 for sbp, dbp in plateau)
        assert all(sbp < 145 for sbp, _ in told["chair-1"][49:])


async def test_hands_and_plugs_act_at_their_minute(tmp_path: Path) -> None:
    log: list[str] = []
    async with staged(story(), fakes(log), Options(ports=tmp_path)) as stage:
        assert log.count("program") == 2
        cable = tmp_path / "chair-4-pump"
        stage.go()
        await minutes(stage, 3)
        assert "start" not in log
        await minutes(stage, 15)  # 18
        assert log.count("start") == 2
        assert "probe_off" not in log
        await minutes(stage, 1)
        assert "probe_off" in log
        await minutes(stage, 4)  # 23
        assert cable.is_symlink()
        await minutes(stage, 1)
        assert not cable.is_symlink()
        await minutes(stage, 2)
        assert cable.is_symlink()


async def test_the_isco_pumps_stop_by_themselves_about_minute_43() -> None:
    scenario = Scenario(calm().beds[1:3], calm().steps[1:3])
    async with staged(scenario, fakes([])) as stage:
        stage.go()
        pumps = [stage.twin(bed.id, "pump") for bed in scenario.beds]
        running = []
        for _ in range(50):
            await minutes(stage, 1)
            running.append([pump.coils[0] for pump in pumps if isinstance(pump, IscoTwin)])
    ends = [max(n for n, row in enumerate(running, 1) if row[pump]) for pump in (0, 1)]
    assert ends == [43, 43]
    assert start_min(1) == pytest.approx(3.2)


async def test_all_devices_of_a_bed_feel_the_same_patient() -> None:
    """What the pump gives, the cuff finds and the oximeter sees; a second pump gives to nobody they know."""
    felt: dict[str, list[Patient]] = {}

    def spying(name: str, spec: TwinSpec) -> TwinSpec:
        def make(patient: Patient, seed: int) -> Twin | ModbusTwin:
            felt.setdefault(name, []).append(patient)
            return spec.make(patient, seed)

        return replace(spec, make=make)

    twins = {name: spying(name, spec) for name, spec in simulators.find().items()}
    pump, second = Device("pump", "alaris_gh", "serial"), Device("second", "alaris_gh", "serial")
    devices = (pump, Device("cuff", "suntech_advantage", "serial"), second, Device("oximeter", "nonin", "serial"))
    async with staged(Scenario((Bed("chair-1", devices),)), twins) as stage:
        patient = stage.patients["chair-1"]
        assert felt["suntech_advantage"] == felt["nonin"] == [patient]
        assert felt["alaris_gh"][0] is patient
        assert felt["alaris_gh"][1] is not patient


async def test_a_devices_own_time_outs_stay_real_at_any_speed() -> None:
    """A host that asks for remote control every second must keep it in a fast demonstration too."""
    pump = Scenario((Bed("chair-1", (Device("pump", "alaris_gh", "serial"),)),))
    async with staged(pump, {"alaris_gh": simulators.find()["alaris_gh"]}, Options(speed=20.0)) as stage:
        twin = stage.twin("chair-1", "pump")
        assert isinstance(twin, AlarisTwin)
        twin.feed(encode(f"REMOTE_CTRL^ENABLED^{crc(twin.serial.encode()):04X}"))
        stage.advance(4.9)
        assert twin.feed(encode("ALARM")) == encode("ALARM^AL_NOALM^ ^ ")
        stage.advance(0.2)
        assert b"AL_COMTO" in twin.feed(encode("ALARM"))


async def test_so_is_the_time_in_which_an_oximeter_may_be_told_its_format() -> None:
    bed = Scenario((Bed("chair-1", (Device("oximeter", "nonin", "serial"),)),))
    async with staged(bed, {"nonin": simulators.find()["nonin"]}, Options(speed=20.0)) as stage:
        twin = stage.twin("chair-1", "oximeter")
        assert isinstance(twin, NoninTwin)
        twin.connect()
        stage.advance(4.9)
        assert twin.feed(bytes.fromhex("02 70 02 02 08 03")) == ACK
        stage.advance(0.2)
        assert twin.feed(bytes.fromhex("02 70 02 02 07 03")) == NAK


async def test_speed_makes_them_live_faster() -> None:
    async with staged(Scenario(calm().beds[1:2], calm().steps[1:2]), fakes([]), Options(speed=60.0)) as stage:
        stage.go()
        for _ in range(10):
            stage.advance(0.5)
        pump = stage.twin("chair-2", "pump")
        assert isinstance(pump, IscoTwin)
        assert pump.values[148] == pytest.approx(61.5 * (5 - 3.2) / 60, abs=0.02)


def test_every_hand_of_the_story_is_one_its_twin_has() -> None:
    twins = simulators.find()
    beds = {bed.id: {device.id: device.driver for device in bed.devices} for bed in BEDS}
    plug = {"unplug", "replug", "mute", "unmute"}
    for step in (*TROUBLE, *calm().steps):
        if step.device != "patient":
            assert step.do in plug | {*twins[beds[step.bed][step.device]].hands}


def test_a_day_of_many_beds_opens_in_its_middle_too_and_its_past_is_short() -> None:
    assert day_starts_min(4) == DAY_STARTS_MIN
    starts = day_starts_min(30)
    infusing = [bed for bed, at_min in starts.items() if 0 < DAY_OPENS_MIN - at_min < OVER_MIN]
    assert (len(infusing), 30 - len(starts)) == (20, 9), "the others have not begun, and one is over"
    assert sum(DAY_OPENS_MIN - at_min for at_min in starts.values()) < 200, "bed-minutes somebody waits for"
    assert {step.bed for step in day(30).steps if step.do == "start"} == set(starts)
