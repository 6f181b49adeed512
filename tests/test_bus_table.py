"""A bus of four units of which one to three are in trouble, in every way that units and gateways have: the healthy keep
nine tenths of their rate, and the trouble stays with its own. The real bus, told the time; `test_bus_gateway.py` has
the same over TCP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from pymodbus.exceptions import ModbusIOException
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.pdu.register_message import ReadHoldingRegistersResponse

from drivers.contract import Line, Spec
from edge import model
from edge.field.bus import Bus
from edge.field.device_url import DeviceUrl
from edge.field.dialogue import Dialogue
from tests.helpers.poller import READS, Poller
from tests.helpers.told_time import told

LINE = Line(19200, silent_after_s=5.0, lateness_s=1.0)
UNITS = (1, 2, 3, 4)
ANSWERS_S = 0.02
SECONDS = 30.0


def at_once(n: int) -> float | None:
    return ANSWERS_S


@dataclass
class Gateway:
    """`takes_s` of a unit: how long its n-th answer takes, None where it never comes; `code`: an exception instead.

    `serial`: one request at a time, also those that nobody waits for any more. `resets`: units at whose request the
    connection closes. `closes`: it closes after each answer. `one`: a newer connection closes the older.
    """

    takes_s: dict[int, Callable[[int], float | None]] = field(default_factory=dict)
    code: dict[int, int] = field(default_factory=dict)
    resets: frozenset[int] = frozenset()
    serial: bool = False
    waits_s: float = 1.0  # for a unit that does not answer, where `serial`
    closes: bool = False
    one: bool = False
    up: bool = True
    connects: int = 0
    asked: int = 0
    busy_until: float = 0.0
    newest: FakeClient | None = None

    async def answer(self, unit: int) -> int | None:
        """An exception code, or 0; None: nothing comes."""
        loop = asyncio.get_running_loop()
        self.asked += 1
        takes_s = self.takes_s.get(unit, at_once)(self.asked)
        begins_s = max(loop.time(), self.busy_until) if self.serial else loop.time()
        ends_s = begins_s + (self.waits_s if takes_s is None else takes_s)
        if self.serial:
            self.busy_until = ends_s
        await asyncio.sleep(ends_s - loop.time())
        return None if takes_s is None and unit not in self.code else self.code.get(unit, 0)


class FakeClient:
    """pymodbus' client as far as edge/field/modbus.py uses it, in front of `GATEWAY`."""

    gateway: Gateway

    def __init__(self, host: str, *, trace_packet: Callable[[bool, bytes], bytes], **_: Any) -> None:
        self.connected = False
        self._trace = trace_packet
        self._late: set[asyncio.Task[None]] = set()

    async def connect(self) -> bool:
        self.gateway.connects += 1
        if self.gateway.one and self.gateway.newest is not None:
            self.gateway.newest.connected = False
        self.gateway.newest = self
        self.connected = self.gateway.up
        return self.connected

    def close(self) -> None:
        self.connected = False

    async def read_holding_registers(self, address: int, *, count: int, device_id: int) -> ModbusPDU:
        if not self.connected or device_id in self.gateway.resets:
            self.connected = False
            raise ModbusIOException("closed")
        came: asyncio.Future[int | None] = asyncio.ensure_future(self.gateway.answer(device_id))
        try:
            code = await asyncio.shield(came)
        except asyncio.CancelledError:
            self._late.add(late := asyncio.ensure_future(self._too_late(came)))
            late.add_done_callback(self._late.discard)
            raise
        if code is None:
            await asyncio.sleep(3600)
        self._trace(False, b"an answer")
        if self.gateway.closes:
            self.connected = False
        if code:
            return ExceptionResponse(3, code)
        return ReadHoldingRegistersResponse(dev_id=device_id, registers=[60 + device_id] * count)

    async def _too_late(self, came: asyncio.Future[int | None]) -> None:
        if await came is not None and self.connected:
            self._trace(False, b"an answer")

    read_coils = read_discrete_inputs = read_input_registers = read_holding_registers


@dataclass
class Bed:
    links: list[model.LinkChanged] = field(default_factory=list)
    pulses: set[float | None] = field(default_factory=set)

    def decoded(self, inputs: Sequence[model.Input], at_s: float, more: bool) -> None:
        for one in inputs:
            if isinstance(one, model.LinkChanged):
                self.links.append(one)
            elif isinstance(one, model.Samples):
                self.pulses |= {sample.value for sample in one.samples}


@dataclass
class Plant:
    """The four units with their bus."""

    gateway: Gateway
    drivers: list[Poller] = field(default_factory=list)
    beds: list[Bed] = field(default_factory=list)
    dialogues: list[Dialogue] = field(default_factory=list)

    def bus(self, monkeypatch: pytest.MonkeyPatch) -> Bus:
        monkeypatch.setattr("edge.field.modbus.AsyncModbusTcpClient", type("Fake", (FakeClient,), {
            "gateway": self.gateway}))
        now = asyncio.get_running_loop().time
        bus = Bus(DeviceUrl("modbus+tcp", host="10.0.0.9", port=502, unit=1), now=now)
        for unit in UNITS:
            driver, bed = Poller(1.0), Bed()
            spec = Spec("p", "P", "monitor", ("modbus+tcp",), "D", "", LINE, frozenset(), READS, "",
                        lambda settings, driver=driver: driver)  # type: ignore[misc]
            dialogue = Dialogue(f"chair-{unit}", "p", spec, LINE, now=now, decoded=bed.decoded,
                                wave=lambda wave, at_s: None, quiet=False)
            bus.add(unit, dialogue)
            self.drivers.append(driver)
            self.beds.append(bed)
            self.dialogues.append(dialogue)
        return bus

    def live(self, monkeypatch: pytest.MonkeyPatch, then: Callable[[Gateway], None] = lambda gateway: None) -> None:
        """`SECONDS`, then `then` happens, and so many again."""
        async def life() -> None:
            task = asyncio.ensure_future(self.bus(monkeypatch).run())
            await asyncio.sleep(SECONDS)
            then(self.gateway)
            await asyncio.sleep(SECONDS)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        told(life())

    def states(self, unit: int) -> list[str]:
        states = [link.state for link in self.beds[unit - 1].links]
        return [state for before, state in zip(["", *states], states, strict=False) if state != before]


def never(n: int) -> float | None:
    return None


def slow(n: int) -> float | None:
    """Later than the time-out, by up to its lateness."""
    return 0.6 + n % 8 / 10


def dead(*units: int) -> dict[int, Callable[[int], float | None]]:
    return dict.fromkeys(units, never)


def refusing(code: int) -> Gateway:
    return Gateway(code=dict.fromkeys((2, 3, 4), code))


TROUBLE: dict[str, tuple[Callable[[], Gateway], int]] = {  # how many units are in trouble: the last ones
    "none": (Gateway, 0),
    "one dead": (lambda: Gateway(dead(4)), 1),
    "three dead": (lambda: Gateway(dead(2, 3, 4)), 3),
    "one slow": (lambda: Gateway({4: slow}), 1),
    "three slow": (lambda: Gateway(dict.fromkeys((2, 3, 4), slow)), 3),
    "dead behind a gateway that serves one at a time": (lambda: Gateway(dead(4), serial=True), 1),
    "three behind it": (lambda: Gateway(dead(2, 3, 4), serial=True), 3),
    "of which it says 0x0B after its own second": (
        lambda: Gateway(dead(2, 3, 4), dict.fromkeys((2, 3, 4), 11), serial=True), 3),
    "slow behind it": (lambda: Gateway({4: slow}, serial=True), 1),
    **{f"exception {code:#04x}": (partial(refusing, code), 3) for code in (2, 4, 6, 10, 11)},
    "the connection closes at the request": (lambda: Gateway(resets=frozenset({4})), 1),
    "at those of three": (lambda: Gateway(resets=frozenset({2, 3, 4})), 3),
    "a gateway that closes after each answer": (lambda: Gateway(closes=True), 0),
    "and units dead behind it": (lambda: Gateway(dead(3, 4), closes=True, serial=True), 2),
    "one that takes one connection": (lambda: Gateway(one=True), 0),
}


def sampled(names: Sequence[str]) -> list[Any]:
    """Every seventh; the others in the slow part."""
    return [pytest.param(name, marks=() if number % 7 == 2 else pytest.mark.slow) for number, name in enumerate(names)]


@pytest.mark.parametrize("name", sampled(list(TROUBLE)))
def test_the_healthy_keep_nine_tenths_of_their_rate_and_are_live_all_the_time(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, ill = TROUBLE[name]
    plant = Plant(make())
    plant.live(monkeypatch)
    well = UNITS[: len(UNITS) - ill]
    for unit in well:
        assert plant.drivers[unit - 1].rounds >= 0.9 * 2 * SECONDS, unit
        assert plant.states(unit) == ["connecting", "live"], unit
    for unit in UNITS:
        assert plant.beds[unit - 1].pulses <= {60.0 + unit}
        assert unit in well or plant.dialogues[unit - 1].state != "live"


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, (_, ill) in TROUBLE.items() if ill])
def test_what_was_in_trouble_is_live_soon_after_it_is_over(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def heal(gateway: Gateway) -> None:
        gateway.takes_s, gateway.code, gateway.resets = {}, {}, frozenset()

    plant = Plant(TROUBLE[name][0]())
    plant.live(monkeypatch, heal)
    assert [dialogue.state for dialogue in plant.dialogues] == ["live"] * 4
    # an absent unit is tried every 22 s, by its share of the bus
    assert min(driver.rounds for driver in plant.drivers) >= SECONDS / 3


def test_a_gateway_that_is_switched_off_is_lost_within_two_seconds_and_live_again(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = Plant(Gateway())
    fell: list[float] = []

    async def life() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(plant.bus(monkeypatch).run())
        for accepts in (False, True):  # refused; or accepted and closed at once, as some terminal servers do
            await asyncio.sleep(10.0)
            assert [dialogue.state for dialogue in plant.dialogues] == ["live"] * 4
            began_s = loop.time()
            plant.gateway.up, plant.gateway.resets = accepts, frozenset(UNITS)
            assert plant.gateway.newest is not None
            plant.gateway.newest.connected = False
            while {dialogue.state for dialogue in plant.dialogues} != {"lost"}:
                await asyncio.sleep(0.01)
            fell.append(loop.time() - began_s)
            await asyncio.sleep(1.0)
            plant.gateway.up, plant.gateway.resets = True, frozenset()
        await asyncio.sleep(3.0)
        assert [dialogue.state for dialogue in plant.dialogues] == ["live"] * 4
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    told(life())
    assert max(fell) <= 2.0, fell
