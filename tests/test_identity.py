"""A device on another bed's cable is never taken for that bed's: swapped while all runs, before the edge starts, and
while it was down. Bed 1's pump infuses at 12 mL/h and bed 2's at 34."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

import drivers
import simulators
from drivers.modbus_map import spec_of
from edge.app.recovery import recover
from edge.app.service import EdgeService
from edge.app.supervisor import Supervisor
from edge.clock import EdgeClock
from edge.config.files import load_edge
from edge.contract.mqtt import Mqtt
from edge.contract.payloads import CommandIn
from edge.core.rules import parse_rules
from edge.field.link_state import NAMELESS
from edge.journal.journal import Journal
from edge.journal.reader import Reader
from edge.model import LinkChanged, PumpStatus, Samples
from simulators.alaris_gh import TWIN, AlarisTwin
from simulators.contract import ModbusTwin, Twin
from simulators.modbus_map import twin_of
from simulators.wire import PtyWire
from tests.helpers.dialogue_run import DialogueRun, StillPatient
from tests.helpers.golden_table import frames
from tests.helpers.rule_files import FILE
from tests.helpers.stream_world import edge_signer

MAP = Path(__file__).parent.parent / "deploy" / "modbus_map.example.toml"
SPECS = {**drivers.find(), "acme_3000": spec_of(MAP)}
TWINS = {**simulators.find(), "acme_3000": twin_of(MAP)}
# whose protocol has a serial number, by its golden table
NAMED = [*(name for name in drivers.find() if any('"identity": "' in row.what for row in frames(name))),
         "acme_3000"]

# --- every driver, told the time ----------------------------------------------------------------------------------


def patient(number: int) -> StillPatient:
    """Whose every number is another's of the other patient."""
    more = 7.0 * number
    return StillPatient(spo2_pct=98.0 - more, pulse_bpm=60.0 + more, sbp_mmhg=110.0 + more, dbp_mmhg=60.0 + more,
                        map_mmhg=80.0 + more, resp_bpm=10.0 + more)


def twin_with(name: str, number: int) -> Twin | ModbusTwin:
    twin = TWINS[name].make(patient(number), number)
    for hand in ("program", "start"):
        if hand in twin.hands:
            twin.hands[hand]()
    return twin


def begun(name: str) -> DialogueRun:
    run = DialogueRun(SPECS[name], twin_with(name, 1))
    run.open()
    run.run(40)
    assert run.dialogue.state == "live"
    return run


def values(run: DialogueRun) -> list[object]:
    """What says something of a patient or of an infusion."""
    return [one for _, one in run.inputs if not isinstance(one, LinkChanged) and one != PumpStatus("device", "unknown")]


@pytest.mark.parametrize("name", SPECS)
def test_a_driver_says_a_serial_number_or_its_card_says_that_it_is_bound_by_its_port(name: str) -> None:
    run = begun(name)
    if name in NAMED:
        assert run.dialogue.link.serial
    else:
        assert run.links()[-1][2] == NAMELESS
        assert "bound by its port" in SPECS[name].wiring or "cannot be told apart" in SPECS[name].wiring


def reopened(run: DialogueRun) -> None:
    """The adapter was pulled, or the network was down: the connection is opened anew."""
    run.dialogue.lost("hung up", run.dialogue.counters.since, run.real_s)
    run.open()


def at_the_devices_end(run: DialogueRun) -> None:
    """Nothing hangs up; for three seconds nothing is connected."""
    new, run.wire = run.wire, lambda data: b""
    run.run(3)
    run.wire = new
    if hasattr(run.twin, "connect"):
        run.twin.connect()


def in_mid_handshake(run: DialogueRun) -> None:
    """The connection is opened twice, and the device is changed as the first request is on its way."""
    reopened(run)
    run.run(0.2)
    reopened(run)


@pytest.mark.parametrize("swap", [reopened, at_the_devices_end,
                                  pytest.param(in_mid_handshake, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [NAMED[0], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMED[1:])])
def test_another_device_of_the_same_kind_gives_no_number_until_the_first_is_back(
    name: str, swap: Callable[[DialogueRun], None]
) -> None:
    run = begun(name)
    first, serial = run.twin, run.dialogue.link.serial
    run.twin = twin_with(name, 2)
    swap(run)
    run.forget()
    run.run(60)
    assert values(run) == []
    assert run.dialogue.state in ("wrong_device", "unstable")
    assert run.dialogue.link.serial != serial
    run.twin = first
    swap(run)
    run.run(30)
    assert values(run)
    assert run.dialogue.link.serial == serial


# --- the edge, with two pumps on real ptys ------------------------------------------------------------------------

RATES = {1: 12.0, 2: 34.0}


@dataclass
class Clinic:
    """Two beds with a pump each behind a path that stays; what is plugged in where can be changed."""

    folder: Path
    driver: str = "alaris_gh"
    wires: list[PtyWire] = field(default_factory=list)
    service: EdgeService = field(init=False)

    def __post_init__(self) -> None:
        clock = asyncio.get_running_loop().time
        for number in RATES:
            twin = self._pump(number) if self.driver == "alaris_gh" else cast(
                "Twin", TWINS[self.driver].make(patient(number), number))
            self.wires.append(PtyWire(twin, clock=clock, link=self.folder / f"port-{number}"))
        (self.folder / "rules.toml").write_text(FILE.read_text())
        (self.folder / "edge.toml").write_text('[edge]\nid = "clinic-1"\ndata = "."\nrules = "rules.toml"\n' + "".join(
            f'[[bed]]\nid = "chair-{number}"\n[[bed.device]]\nid = "pump"\ndriver = "{self.driver}"\n'
            f'at = "serial://{self.folder}/port-{number}"\n' for number in RATES))

    @staticmethod
    def _pump(number: int) -> AlarisTwin:
        pump = cast(AlarisTwin, TWIN.make(patient(number), number))
        pump.rate_ml_h = RATES[number]
        pump.hands["program"]()
        pump.hands["start"]()
        return pump

    def swap(self) -> None:
        """Each into the other's port."""
        first, second = self.wires
        for wire in self.wires:
            wire.unplug()
        first.link, second.link = second.link, first.link
        for wire in self.wires:
            wire.replug()

    @asynccontextmanager
    async def running(self, boot: str) -> AsyncIterator[None]:
        """The edge runs, without a broker."""
        config, clock = load_edge(self.folder / "edge.toml", drivers.find), EdgeClock()
        journal = Journal.open(config.edge.journal, edge="clinic-1", boot=boot, wall=clock.wall)
        service = self.service = EdgeService(
            config, parse_rules(FILE.read_text()), FILE.read_text(), drivers.find(), clock=clock, journal=journal,
            recovered=await recover(journal), boot=boot, version="0", config_hash="0", key=b"k" * 32,
            mqtt=Mqtt("127.0.0.1", 1), signer=edge_signer(), console_keys={})
        life = asyncio.ensure_future(Supervisor().run_all({**service.tasks(), "pumps": self._live()}))
        try:
            yield
            assert not life.done()
        finally:
            life.cancel()
            with suppress(asyncio.CancelledError):
                await life
            await journal.close()

    async def _live(self) -> None:
        while True:
            for wire in self.wires:
                wire.tend()
                wire.step(0.01)
            await asyncio.sleep(0.01)

    def links(self) -> list[str]:
        """The newest state of each bed's link."""
        found = {"chair-1": "", "chair-2": ""}
        with Reader(str(self.folder / "journal.db")) as reader:
            for one in reader.inputs():
                if isinstance(one.input, LinkChanged) and one.bed is not None:
                    found[one.bed] = one.input.state
        return list(found.values())

    def rates(self, metric: str = "rate_ml_h") -> dict[str, list[float]]:
        """Every rate (or other number) that a bed was given."""
        found: dict[str, list[float]] = {"chair-1": [], "chair-2": []}
        with Reader(str(self.folder / "journal.db")) as reader:
            for one in reader.inputs():
                if isinstance(one.input, Samples) and one.bed is not None:
                    found[one.bed] += [sample.value for sample in one.input.samples
                                       if sample.metric == metric and sample.value is not None]
        return found

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(40):
            while not true():
                await asyncio.sleep(0.05)

    def none_is_wrong(self) -> None:
        assert {bed: set(rates) for bed, rates in self.rates().items()} == {"chair-1": {12.0}, "chair-2": {34.0}}


@pytest.mark.slow
async def test_two_pumps_swapped_while_all_runs_and_while_the_edge_is_down(tmp_path: Path) -> None:
    clinic = Clinic(tmp_path)
    async with clinic.running("b1"):
        await clinic.until(lambda: all(clinic.rates().values()))
        clinic.swap()
        await clinic.until(lambda: clinic.links() == ["wrong_device"] * 2)
        clinic.swap()
        await clinic.until(lambda: clinic.links() == ["live"] * 2)
    clinic.swap()
    async with clinic.running("b2"):
        await clinic.until(lambda: clinic.links() == ["wrong_device"] * 2)
    async with clinic.running("b3"):  # nor does a third start forget it
        await clinic.until(lambda: clinic.links() == ["wrong_device"] * 2)
        seen = {bed: len(rates) for bed, rates in clinic.rates().items()}
        clinic.swap()
        await clinic.until(lambda: all(len(rates) > seen[bed] for bed, rates in clinic.rates().items()))
    clinic.none_is_wrong()
    for wire in clinic.wires:
        wire.close()


async def said_back(clinic: Clinic, bed: str) -> str | None:
    """A nurse says that this bed's device is its own; why that is refused."""
    sent = CommandIn(id=f"{bed} {len(clinic.rates()[bed])}", console="main", user="nina", role="nurse", bed=bed,
                     verb="device_back", args={"device": "pump"}, edge="clinic-1", issued="", expires="", nonce=bed,
                     sig="")
    return (await clinic.service._command(sent)).reason


@pytest.mark.slow
async def test_two_oximeters_that_nothing_tells_apart_give_no_number_after_a_swap_until_a_nurse_says_whose(
    tmp_path: Path,
) -> None:
    clinic = Clinic(tmp_path, "nonin")
    own = {f"chair-{number}": {patient(number).pulse_bpm} for number in RATES}

    def pulses() -> dict[str, set[float | None]]:
        return {bed: set(values) for bed, values in clinic.rates("pulse_bpm").items()}

    async with clinic.running("b1"):
        await clinic.until(lambda: pulses() == own)
        clinic.swap()
        await clinic.until(lambda: clinic.links() == ["wrong_device"] * 2)
    async with clinic.running("b2"):  # a restart does not forget that it is asked
        await clinic.until(lambda: clinic.links() == ["wrong_device"] * 2)
        clinic.swap()
        for bed in own:
            assert await said_back(clinic, bed) is None
        await clinic.until(lambda: clinic.links() == ["live"] * 2)
        seen = {bed: len(values) for bed, values in clinic.rates("pulse_bpm").items()}
        await clinic.until(lambda: all(len(values) > seen[bed] for bed, values in clinic.rates("pulse_bpm").items()))
        assert await said_back(clinic, "chair-1") == "not_now: the pump is not away as planned"
    assert pulses() == own, "never a number of the other bed"
    for wire in clinic.wires:
        wire.close()
