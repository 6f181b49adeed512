"""The simulators worked by a person: what a line asks for is done at the device, and read back from its front."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import simulators
from simulators.control import Control, serve_control
from simulators.patient import EPISODES
from simulators.scenario import Scenario, calm, day
from simulators.stage import PLUG, Stage
from tests.helpers.stage_run import staged

ONE = Scenario(calm(1).beds)
PUMPS = Scenario(calm(2).beds)


def asked(control: Control, **words: Any) -> Mapping[str, Any]:
    answer: Mapping[str, Any] = json.loads(control.answer(json.dumps({"bed": "chair-1"} | words).encode()))
    return answer


def shown(stage: Stage, device: str, bed: str = "chair-1") -> Mapping[str, Any]:
    """What stands on the front of one device."""
    (row,) = (row for row in stage.look() if row["bed"] == bed)
    (found,) = (found for found in row["devices"] if found["device"] == device)
    front: Mapping[str, Any] = found
    return front


@pytest.mark.parametrize("bed", ["chair-1", "chair-2"])
async def test_a_pump_is_programmed_started_stopped_and_loaded_again(bed: str) -> None:
    async with staged(PUMPS, simulators.find()) as stage:
        control = Control(stage)

        def pump(**words: Any) -> Mapping[str, Any]:
            assert asked(control, bed=bed, device="pump", **words) == {"ok": True}
            stage.advance(0.5)
            front: Mapping[str, Any] = shown(stage, "pump", bed)["display"]
            return front

        front = pump(do="program", rate_ml_h=60, vtbi_ml=1)
        assert (front["running"], front["rate_ml_h"], front["vtbi_ml"], front["infused_ml"]) == (False, 60, 1, 0)
        assert pump(do="start")["running"] is True
        stage.advance(59)
        assert shown(stage, "pump", bed)["display"]["infused_ml"] == pytest.approx(0.99, abs=0.01)
        stage.advance(2)
        front = shown(stage, "pump", bed)["display"]
        assert (front["running"], front["infused_ml"]) == (False, 1.0), "the volume is in"
        front = pump(do="load")
        assert (front["running"], front["infused_ml"], front["alarm"]) == (False, 0, None)
        assert pump(do="start")["running"] is True, "a pump can start again"
        assert pump(do="stop")["running"] is False


async def test_another_patient_comes_to_a_bed_made_ready() -> None:
    async with staged(ONE, simulators.find()) as stage:
        control = Control(stage)
        before = stage.patients["chair-1"].sbp_mmhg
        for device, do in (("pump", "start"), ("oximeter", "probe_off"), ("cuff", "leak"), ("oximeter", "unplug")):
            assert asked(control, device=device, do=do) == {"ok": True}
        assert asked(control, device="patient", do="hypertension", amount=60, over_s=1) == {"ok": True}
        stage.advance(120)
        assert (stage.patients["chair-1"].sbp_mmhg or 0) > (before or 0) + 50
        assert shown(stage, "oximeter")["unplugged"] is True
        assert asked(control, device="patient", do="next") == {"ok": True}
        stage.advance(1)
        (bed,) = stage.look()
        assert bed["episodes"] == dict.fromkeys(EPISODES, 0.0)
        assert stage.patients["chair-1"].sbp_mmhg == pytest.approx(before, abs=10)
        pump, cuff, oximeter = (shown(stage, device) for device in ("pump", "cuff", "oximeter"))
        assert (pump["display"]["running"], pump["display"]["infused_ml"]) == (False, 0.0)
        assert (cuff["display"]["fault"], oximeter["display"]["probe"], oximeter["unplugged"]) == (None, True, False)


@pytest.mark.parametrize(("words", "reason"), [
    ({"device": "pump", "do": "sing"}, "nobody can 'sing' chair-1 pump; there are: program, start"),
    ({"device": "kettle", "do": "start"}, "no device 'chair-1' 'kettle'; there are: chair-1 pump"),
    ({"device": "patient", "do": "hiccups"}, "no episode 'hiccups'; there are: hypertension"),
    ({"device": "patient", "do": "hypertension", "amount": "much"}, '"amount" and "over_s" must be numbers'),
    ({"device": "cuff", "do": "program", "rate_ml_h": 50, "vtbi_ml": 30}, "chair-1 cuff is no pump"),
    ({"device": "pump", "do": "program", "rate_ml_h": -1, "vtbi_ml": 30}, "a rate is above 0"),
    ({"device": "pump", "do": "program", "rate_ml_h": 50, "vtbi_ml": True},
     '"rate_ml_h" and "vtbi_ml" must be numbers'),
    ({"bed": "chair-9", "device": "patient", "do": "next"}, "no device 'chair-9' 'patient'"),
    ({"do": 7}, "not understood"),
])
async def test_what_cannot_be_done_is_one_line(words: dict[str, Any], reason: str) -> None:
    async with staged(ONE, simulators.find()) as stage:
        answer = asked(Control(stage), **words)
        assert answer["ok"] is False
        assert str(answer["reason"]).startswith(reason)


async def test_every_hand_shown_can_be_used() -> None:
    async with staged(PUMPS, simulators.find()) as stage:
        control = Control(stage)
        for bed in stage.look():
            for device in bed["devices"]:
                assert set(PLUG) <= set(device["hands"])
                for hand in device["hands"]:
                    assert asked(control, bed=bed["bed"], device=device["device"], do=hand) == {"ok": True}, hand


async def test_a_bed_worked_by_a_person_says_so() -> None:
    async with staged(PUMPS, simulators.find()) as stage:
        control = Control(stage)
        asked(control, device="pump", do="start")
        asked(control, bed="chair-2", device="pump", do="start", by="person")
        told = json.loads(control.answer(b'{"do": "look"}'))
        assert {bed["bed"]: bed["by_hand"] for bed in told["beds"]} == {"chair-1": False, "chair-2": True}


def may(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_the_socket_is_this_users_alone_and_answers_every_line(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with staged(ONE, simulators.find()) as stage, await serve_control(Control(stage), path):
        assert may(path) == 0o600
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"bed": "chair-1", "device": "pump", "do": "start"}\nnonsense\n')
        assert json.loads(await reader.readline()) == {"ok": True}
        assert json.loads(await reader.readline())["ok"] is False
        assert shown(stage, "pump")["display"]["running"] is True
        writer.write(b"x" * 10_000)
        assert await reader.read() == b"", "a line without an end is not waited for"
        writer.close()


async def test_a_name_no_socket_can_have_is_refused(tmp_path: Path) -> None:
    async with staged(ONE, simulators.find()) as stage:
        with pytest.raises(ValueError, match="longer than 100 bytes"):
            await serve_control(Control(stage), tmp_path / ("x" * 100))


async def test_a_past_lived_in_good_time_is_the_one_that_go_lives_and_waits_for_it() -> None:
    plan = day(2)
    fronts = []
    for beforehand in ((), (1500.0, 2000.0)):
        async with staged(plan, simulators.find()) as stage:
            control = Control(stage)
            for past_s in beforehand:
                assert asked(control, do="live", past_s=past_s) == {"ok": True}
                stage.advance(60)  # real time goes by meanwhile, and nobody lives it
            assert asked(control, do="go", past_s=2400) == {"ok": True}
            assert asked(control, do="live", past_s=9000) == {"ok": True}, "it has gone on: nothing of that is lived"
            before = shown(stage, "pump")["display"]["infused_ml"]
            stage.advance(60)
            fronts.append((before, shown(stage, "pump")["display"]["infused_ml"]))
    assert fronts[0] == fronts[1]
    before, after = fronts[0]
    assert (before, after - before) == (pytest.approx(52.5 * 17 / 60, abs=0.1), pytest.approx(52.5 / 60, abs=0.01))
