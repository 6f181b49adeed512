"""On a Modbus bus no late, foreign or misshapen response becomes a value, the absent cost the others little, and a
bus that breaks heals for ever."""

from __future__ import annotations

import asyncio
import math
import os
import struct
import tty
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.contract import BadFrame, Decoded, Framing, Identity, Line, ModbusRequest, Reading, Request, Spec
from edge import model
from edge.demo.configuration import free_port
from edge.field.bus import Bus
from edge.field.device_url import DeviceUrl, parse_device_url
from edge.field.devices import Devices
from edge.field.dialogue import Dialogue, WaveBy
from edge.field.modbus import BadResponse, ModbusPort, NoResponse
from edge.field.ports import PortLost
from tests.helpers.waiting import until

FAST = Line(19200, silent_after_s=1.0, lateness_s=0.05)


class Port(ModbusPort):
    """A port that counts what came late."""

    def __init__(self, at: DeviceUrl, line: Line) -> None:
        super().__init__(at, line, self._count)
        self.late = 0

    def _count(self) -> None:
        self.late += 1


# --- RTU over a pty: the slave is written here, byte by byte, so that it shares nothing with the client ---------------


def crc(data: bytes) -> bytes:
    """The Modbus CRC as the standard draws it: polynomial A001, low byte first."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return struct.pack("<H", value)


class Slave:
    """Unit 1 on a pty: register n holds n. The n-th answer takes `takes_s`(n); `spoil` is what becomes of it."""

    def __init__(self) -> None:
        self.takes_s: Callable[[int], float] = lambda n: 0.0
        self.spoil: Callable[[bytes], bytes] = lambda answer: answer
        self.twice_after_s: float | None = None
        self.echoes = False  # the adapter gives back what is sent
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.at = DeviceUrl("modbus+rtu", path=os.ttyname(self._slave), unit=1)
        self._asked = 0
        asyncio.get_running_loop().add_reader(self._master, self._answer)

    def _answer(self) -> None:
        asked = os.read(self._master, 100)
        if self.echoes:
            self._say(asked)
        unit, function, address, count = struct.unpack(">BBHH", asked[:6])
        values = range(address, address + count)
        answer = struct.pack(f">BBB{count}H", unit, function, 2 * count, *values)
        answer = self.spoil(answer + crc(answer))
        self._asked += 1
        loop = asyncio.get_running_loop()
        loop.call_later(self.takes_s(self._asked), self._say, answer)
        if self.twice_after_s is not None:
            loop.call_later(self.twice_after_s, self._say, answer)

    def _say(self, answer: bytes) -> None:
        if self._master >= 0:
            os.write(self._master, answer)

    def pull(self) -> None:
        if self._master >= 0:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            os.close(self._slave)
            self._master = -1


@pytest.fixture
async def slave() -> AsyncIterator[Slave]:
    made = Slave()
    yield made
    made.pull()


async def read_many(bus: Port, n: int, timeout_s: float) -> tuple[int, int, list[tuple[int, int]]]:
    """(right, unanswered, wrong) of n reads that look alike."""
    right, unanswered = 0, 0
    wrong: list[tuple[int, int]] = []
    for i in range(n):
        asked = 100 + i
        try:
            request = ModbusRequest("r", 4, asked, 1, effect="read", timeout_s=timeout_s)
            (got,) = struct.unpack(">H", await bus.read(1, request))
        except (NoResponse, BadResponse):
            unanswered += 1
        else:
            right += got == asked
            wrong += [(asked, got)] * (got != asked)
    bus.close()
    return right, unanswered, wrong


@pytest.mark.slow
async def test_s1_a_late_rtu_answer_is_never_read_as_the_next(slave: Slave) -> None:
    slave.takes_s = lambda n: 0.25 if n % 6 == 0 else 0.0
    bus = Port(slave.at, Line(19200, lateness_s=0.3))
    right, unanswered, wrong = await read_many(bus, 24, 0.1)
    assert wrong == []
    assert right >= 15
    assert unanswered >= 4
    assert bus.late >= 3


async def test_s1_control_without_the_quiet_it_is(slave: Slave) -> None:
    slave.takes_s = lambda n: 0.11 if n % 3 == 0 else 0.04
    _, _, wrong = await read_many(Port(slave.at, Line(19200, lateness_s=0.001)), 12, 0.08)
    assert wrong, "the test above could not fail"


async def test_the_answer_to_a_cancelled_request_is_never_read_as_the_next(slave: Slave) -> None:
    bus = Port(slave.at, Line(19200, lateness_s=0.2))
    await bus.read(1, ModbusRequest("first", 4, 1, 1, effect="read"))
    slave.takes_s = lambda n: 0.1 if n == 2 else 0.0
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await bus.read(1, ModbusRequest("cancelled", 4, 2, 1, effect="read"))
    assert await bus.read(1, ModbusRequest("next", 4, 3, 1, effect="read")) == b"\0\x03"
    bus.close()


async def test_an_answer_said_twice_is_never_read_as_the_next(slave: Slave) -> None:
    slave.twice_after_s = 0.03
    bus = Port(slave.at, FAST)
    for asked in (1, 2, 3):
        assert await bus.read(1, ModbusRequest("r", 4, asked, 1, effect="read")) == struct.pack(">H", asked)
        await until(lambda: bus.late == asked, 5)  # noqa: B023
    assert bus.late == 3
    bus.close()


@pytest.mark.parametrize("spoil", [
    lambda answer: answer[:-2] + bytes([answer[-2] ^ 1, answer[-1]]),
    lambda answer: b"\x02" + answer[1:-2] + crc(b"\x02" + answer[1:-2]),
    lambda answer: answer[:1] + b"\x03" + answer[2:-2] + crc(answer[:1] + b"\x03" + answer[2:-2]),
    lambda answer: b"\x01\x04\x04\0\x07\0\x08" + crc(b"\x01\x04\x04\0\x07\0\x08"),
    lambda answer: answer[:4],
], ids=["bad CRC", "another unit", "another function", "another length", "cut off"])
async def test_an_answer_to_something_else_is_no_answer(slave: Slave, spoil: Callable[[bytes], bytes]) -> None:
    slave.spoil = spoil
    bus = Port(slave.at, FAST)
    with pytest.raises((NoResponse, BadResponse)):
        await bus.read(1, ModbusRequest("r", 4, 7, 1, effect="read", timeout_s=0.05))
    slave.spoil = lambda answer: answer
    assert await bus.read(1, ModbusRequest("r", 4, 9, 1, effect="read")) == b"\0\x09"
    bus.close()


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [True, False])
async def test_an_adapter_that_echoes_costs_one_request(slave: Slave, at_once: bool) -> None:
    """The request itself looks like the response where it reads 17 to 24 coils at 300 to 3FF: 01 01 03 .. 00 18 CRC."""
    slave.echoes, slave.takes_s = True, lambda n: 0.0 if at_once else 0.02
    bus = Port(slave.at, FAST)
    with pytest.raises(BadResponse, match="our own request came back"):
        await bus.read(1, ModbusRequest("coils", 1, 0x300, 24, effect="read", timeout_s=0.2))
    assert await read_many(bus, 20, 0.5) == (20, 0, [])


async def test_a_pulled_rtu_cable_is_lost(slave: Slave) -> None:
    bus = Port(slave.at, FAST)
    await bus.read(1, ModbusRequest("r", 4, 7, 1, effect="read"))
    slave.pull()
    await until(lambda: bus.hung_up, 1)
    with pytest.raises(PortLost, match=r"hung up$"):
        await bus.read(1, ModbusRequest("r", 4, 7, 1, effect="read"))
    with pytest.raises(PortLost, match=r"does not open$"):
        await bus.open()


@pytest.mark.parametrize(("urls", "tasks"), [
    (["modbus+rtu:///dev/ttyS90?unit=1", "modbus+rtu:///dev/ttyS90?unit=2"], ["bus /dev/ttyS90"]),
    (["modbus+tcp://h:502?unit=1", "modbus+tcp://h?unit=2", "modbus+tcp://h:503"], ["bus h:502", "bus h:503"]),
], ids=["units on a line", "units behind an address"])
async def test_units_at_one_endpoint_share_one_bus_whichever_beds_they_serve(
    urls: Sequence[str], tasks: Sequence[str]
) -> None:
    devices = Devices(now=lambda: 0.0)
    for number, url in enumerate(urls):
        devices.add(f"chair-{number}", "r", spec_of(Registers()), parse_device_url(url), decoded=Bed().decoded,
                    wave=NO_WAVE)
    running = devices.tasks()
    assert list(running) == tasks
    for task in running.values():
        task.close()


async def test_the_slowest_units_late_response_must_not_meet_anothers_request() -> None:
    bus = Bus(DeviceUrl("modbus+rtu", path="/dev/ttyS90"), now=lambda: 0.0)
    for lateness_s in (0.05, 2.0, 1.0):
        bus.add(1, Dialogue("b", "r", spec_of(Registers()), replace(FAST, lateness_s=lateness_s), now=lambda: 0.0,
                            decoded=Bed().decoded, wave=NO_WAVE, quiet=False))
    assert bus.lateness_s == 2.0


# --- TCP against pymodbus' own server ---------------------------------------------------------------------------------


class Nothing:
    """Modbus cuts its own frames."""

    dropped = 0

    def feed(self, data: bytes) -> list[bytes]:
        return []

    def flush(self) -> None:
        return None


SERIAL = ModbusRequest("serial", 3, 0, 1, effect="identify", timeout_s=0.3)
PULSE = ModbusRequest("pulse", 4, 1, 1, effect="read", timeout_s=0.3)
COILS = ModbusRequest("coils", 1, 0, 10, effect="read", timeout_s=0.3)


class Registers:
    """A driver: register 0 is its serial number, register 1 a pulse, coil 0 to 9 a pattern."""

    def __init__(self) -> None:
        self.framing: Framing = Nothing()
        self.coils: list[bytes] = []
        self._due_s = 0.0
        self._round: list[ModbusRequest] = []

    def on_open(self) -> Sequence[Request]:
        return [SERIAL]

    def next_request(self, at_s: float) -> Request | None:
        if at_s >= self._due_s:
            self._due_s = at_s + 0.1
            self._round = [PULSE, COILS]
        return self._round.pop(0) if self._round else None

    def is_response(self, frame: bytes, asked: Request) -> bool:
        return True

    def decode(self, frame: bytes, asked: Request | None) -> Sequence[Decoded]:
        assert asked is not None
        if asked.name == "coils":
            self.coils.append(frame)
            return []
        value = int.from_bytes(frame)
        if value == 0xFFFF:
            raise BadFrame("no value")
        return [Identity(str(value))] if asked.name == "serial" else [Reading("pulse_bpm", value)]

    def on_timeout(self, asked: Request) -> Sequence[Decoded]:
        return []


@dataclass
class Bed:
    samples: list[model.Sample] = field(default_factory=list)
    links: list[model.LinkChanged] = field(default_factory=list)
    mores: list[bool] = field(default_factory=list)

    def decoded(self, inputs: Sequence[model.Input], at_s: float, more: bool) -> None:
        self.mores.append(more)
        for one in inputs:
            if isinstance(one, model.Samples):
                self.samples += one.samples
            elif isinstance(one, model.LinkChanged):
                self.links.append(one)


UNITS = (1, 2, 3)
NO_WAVE: WaveBy = lambda wave, at_s: None  # noqa: E731 - a typed nothing


class Plant:
    """Three units on one address: unit n has serial number 100 + n and pulse 60 + n; `refused` ones say exceptions."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.refused: set[int] = set()
        self._server: ModbusTcpServer | None = None

    async def start(self) -> None:
        devices = [SimDevice(id=unit, simdata=(
            [SimData(0, values=[True, False, True, True] + [False] * 12, datatype=DataType.BITS)],
            [SimData(0, values=[False] * 16, datatype=DataType.BITS)],
            [SimData(0, values=[100 + unit], datatype=DataType.REGISTERS)],
            [SimData(0, values=[0, 60 + unit], datatype=DataType.REGISTERS)],
        ), action=self._action(unit)) for unit in UNITS]
        self._server = ModbusTcpServer(devices, address=("127.0.0.1", self.port))
        await self._server.serve_forever(background=True)

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.shutdown()  # type: ignore[no-untyped-call]
            self._server = None

    def _action(self, unit: int) -> Callable[..., Coroutine[None, None, ExcCodes | None]]:
        async def action(function: int, *_: object) -> ExcCodes | None:
            return ExcCodes.DEVICE_BUSY if unit in self.refused and function == 4 else None

        return action


def maker(driver: Registers) -> Callable[[Mapping[str, str | int | float]], Registers]:
    return lambda settings: driver


def spec_of(driver: Registers) -> Spec:
    return Spec("r", "R", "monitor", ("modbus+tcp", "modbus+rtu"), "D", "", FAST, frozenset(),
                (SERIAL, PULSE, COILS), "", maker(driver))


@pytest.fixture
async def plant() -> AsyncIterator[Plant]:
    made = Plant(free_port())
    await made.start()
    yield made
    await made.stop()


Running = tuple[list[Dialogue], list[Bed], list[Registers]]


@asynccontextmanager
async def running(plant: Plant, identity: str | None = None) -> AsyncIterator[Running]:
    loop = asyncio.get_running_loop()
    devices = Devices(now=loop.time)
    beds, drivers = [Bed() for _ in UNITS], [Registers() for _ in UNITS]
    dialogues = [
        devices.add(f"chair-{unit}", "r", spec_of(driver),
                    DeviceUrl("modbus+tcp", host="127.0.0.1", port=plant.port, unit=unit), decoded=bed.decoded,
                    wave=NO_WAVE, identity=identity)
        for unit, bed, driver in zip(UNITS, beds, drivers, strict=True)
    ]
    task = loop.create_task(devices.run())
    try:
        yield dialogues, beds, drivers
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


@pytest.mark.slow
async def test_three_units_each_tell_their_own_and_outlive_the_server(plant: Plant) -> None:
    async with running(plant) as (links, beds, drivers):
        for _ in range(2):
            await until(lambda: all(link.state == "live" for link in links), 5)
            told = [len(bed.samples) for bed in beds]
            await until(lambda told=told: all(len(b.samples) > t + 1 for b, t in zip(beds, told, strict=True)), 2)  # type: ignore[misc]
            await plant.stop()
            await until(lambda: all(link.state == "lost" for link in links), 2)
            await plant.start()
        await until(lambda: all(link.state == "live" for link in links), 5)
    for unit, bed, driver in zip(UNITS, beds, drivers, strict=True):
        assert {(sample.bed, sample.value) for sample in bed.samples} == {(f"chair-{unit}", 60.0 + unit)}
        assert bed.links[1].identity == str(100 + unit)
        assert [link.state for link in bed.links] == ["connecting", "live", "lost", "live", "lost", "live"]
        assert set(driver.coils) == {b"\x0d\x00"}, "ten coils, packed low bit first"
        assert {True, False} <= set(bed.mores)


class Patient(Registers):
    """Never due."""

    due_s = math.inf

    def next_request(self, at_s: float) -> Request | None:
        return None


async def test_an_endpoint_that_hangs_up_while_nothing_is_due_is_told_at_once(
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.field.dialogue.LONGEST_REST_S", 3600.0)
    hang_up, told = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.read(100)
        writer.write(asked[:4] + b"\0\5" + asked[6:8] + b"\2\0\7")
        await hang_up.wait()
        server.close()  # it is gone: one that only closes a connection is opened again, and not lost
        writer.close()

    def decoded(inputs: Sequence[model.Input], at_s: float, more: bool) -> None:
        states = [one.state for one in inputs if isinstance(one, model.LinkChanged)]
        if "live" in states:
            asyncio.get_running_loop().call_later(0.05, hang_up.set)  # the bus rests
        if "lost" in states:
            told.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    devices = Devices(now=asyncio.get_running_loop().time)
    spec = replace(spec_of(Patient()), line=replace(FAST, silent_after_s=3600.0))
    devices.add("bed", "r", spec, DeviceUrl("modbus+tcp", host="127.0.0.1", port=server.sockets[0].getsockname()[1],
                                            unit=1), decoded=decoded, wave=NO_WAVE)
    async with server:
        task = asyncio.ensure_future(devices.run())
        await asyncio.wait_for(told.wait(), 20)
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.slow
async def test_a_unit_that_refuses_is_counted_and_stops_nobody_else(plant: Plant) -> None:
    async with running(plant) as (links, beds, _):
        await until(lambda: all(len(bed.samples) > 1 for bed in beds), 5)
        bad = links[1].counters.bad
        plant.refused = {2}
        await until(lambda: links[1].counters.bad > bad, 3)
        bad, told = links[1].counters.bad, [len(bed.samples) for bed in beds]
        await until(lambda: links[1].counters.bad > bad + 2, 3)
        assert len(beds[1].samples) <= told[1] + 1
        assert len(beds[0].samples) > told[0]
        assert len(beds[2].samples) > told[2]


@pytest.mark.slow
async def test_a_unit_with_another_serial_number_is_refused(plant: Plant) -> None:
    async with running(plant, identity="102") as (links, beds, _):
        await until(lambda: all(link.state in ("live", "wrong_device") for link in links), 5)
        before = len(beds[1].samples)
        await until(lambda: len(beds[1].samples) > before + 2, 5)  # the others on this bus had their turns too
        assert [link.state for link in links] == ["wrong_device", "live", "wrong_device"]
        assert [bool(bed.samples) for bed in beds] == [False, True, False]
        assert beds[0].links[-1].reason == "expected 102, found 101"
