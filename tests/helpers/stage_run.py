"""A stage for the tests: twins that only note what is done to them, and minutes that pass when told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

from simulators.contract import Hands, Twin, TwinSpec
from simulators.isco import TWIN
from simulators.patient import Patient
from simulators.scenario import Scenario
from simulators.stage import Options, Stage


class Silent:
    """A monitor's twin that notes what is done to it."""

    def __init__(self, log: list[str]) -> None:
        self.hands: Hands = {name: partial(log.append, name) for name in ("probe_off", "probe_on")}

    def connect(self) -> None: ...

    def step(self, dt_s: float) -> bytes:
        return b""

    def feed(self, data: bytes) -> bytes:
        return b""


class SilentPump(Silent):
    """A pump's twin that infuses from when it is started."""

    def __init__(self, patient: Patient, log: list[str]) -> None:
        self.rate_ml_h = 0.0
        self.vtbi_ml = 0.0

        def start() -> None:
            log.append("start")
            patient.infuse(self.rate_ml_h)

        self.hands: Hands = {"program": partial(log.append, "program"), "start": start}


def fakes(log: list[str]) -> Mapping[str, TwinSpec]:
    def monitor(patient: Patient, seed: int) -> Twin:
        return Silent(log)

    def pump(patient: Patient, seed: int) -> Twin:
        return SilentPump(patient, log)

    names = ("suntech_advantage", "nonin", "contec_cms60")
    pumps = {"isco": TWIN, "alaris_gh": TwinSpec("alaris_gh", ("serial",), pump, hands=("program", "start"))}
    return pumps | {name: TwinSpec(name, ("serial",), monitor) for name in names}


@asynccontextmanager
async def staged(
    scenario: Scenario, twins: Mapping[str, TwinSpec], options: Options | None = None
) -> AsyncIterator[Stage]:
    stage = Stage(scenario, twins, asyncio.get_running_loop().time, options)
    try:
        await stage.open()
        yield stage
    finally:
        stage.close()


async def minutes(stage: Stage, count: int) -> dict[str, list[tuple[float, float]]]:
    """SBP and DBP of every bed at every minute after go, fifty at a time past real waiting."""
    told: dict[str, list[tuple[float, float]]] = {bed: [] for bed in stage.patients}
    for _ in range(count):
        stage.advance(60.0)
        for bed, patient in stage.patients.items():
            told[bed].append((patient.sbp_mmhg or 0.0, patient.dbp_mmhg or 0.0))
    return told
