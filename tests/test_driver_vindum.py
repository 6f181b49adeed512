"""The Vindum pump, a map in TOML: its units are proven with every round, and its direction counts."""

from __future__ import annotations

from typing import cast

import pytest

import drivers
import simulators
from drivers.contract import DeviceAlarms, Pump
from simulators.contract import ModbusTwin
from simulators.modbus_map import MapTwin
from tests.helpers.dialogue_run import DialogueRun, StillPatient

HOLDING, INPUT = 3, 4


def with_twin() -> tuple[DialogueRun, MapTwin]:
    twin = cast("ModbusTwin", simulators.find()["vindum"].make(StillPatient(), 1))
    assert isinstance(twin, MapTwin)
    twin.hands["program"]()
    run = DialogueRun(drivers.find()["vindum"], twin)
    run.open()
    return run, twin


@pytest.mark.slow
def test_an_infusion_to_the_end_of_its_volume() -> None:
    run, twin = with_twin()
    run.run(5)
    twin.hands["start"]()
    run.run(600)
    assert run.samples("rate_ml_h")[-1][1].value == 52.5
    assert round(run.samples("volume_infused_ml")[-1][1].value or 0, 1) == 8.7
    run.run(1900)
    states = [one.state for _, batch in run.decoded for one in batch if isinstance(one, Pump)]
    assert (states[0], "infusing" in states, states[-1]) == ("stopped", True, "stopped")
    assert (run.bad, run.timeouts) == (0, 0)


def test_another_rate_unit_is_no_number_and_the_link_says_which_register() -> None:
    run, twin = with_twin()
    run.run(5)
    run.forget()
    twin.raw[HOLDING, 30] = 0  # mL/min, set at the pump meanwhile
    run.run(10)
    assert run.samples("rate_ml_h") == []
    assert run.links()[-1][2].startswith("self-check 'rate unit is mL/h': holding 30 holds 0, not 1")


def test_a_pump_that_retracts_gives_no_rate_and_says_so() -> None:
    run, twin = with_twin()
    twin.hands["start"]()
    run.run(5)
    run.forget()
    show = twin.read

    def retracting(function: int, address: int, count: int) -> list[int]:
        words = list(show(function, address, count))
        return [2, *words[1:]] if (function, address) == (HOLDING, 0) else words

    twin.read = retracting  # type: ignore[method-assign]
    run.run(5)
    told = [alarm.text for _, batch in run.decoded for one in batch if isinstance(one, DeviceAlarms)
            for alarm in one.alarms]
    assert "the pump retracts" in told
    assert {sample.value for _, sample in run.samples("rate_ml_h")} == {None}


def test_an_error_bit_that_nobody_knows_is_shown_raw() -> None:
    run, twin = with_twin()
    twin.raw[INPUT, 24] = 0x0008
    run.run(5)
    told = {(alarm.code, alarm.raw) for _, batch in run.decoded for one in batch if isinstance(one, DeviceAlarms)
            for alarm in one.alarms}
    assert ("unknown", "input 23 bit 3") in told
