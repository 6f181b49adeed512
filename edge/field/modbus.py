"""The Modbus bus: one request in flight on each endpoint, and the life of one device (one unit) on it.

A reply on Modbus RTU carries no number, so a late one looks like the answer to whatever was asked next; on TCP the
transaction number tells them apart, unless a gateway does not echo it. Both are treated alike: after a time-out, a
cancelled request, or bytes nobody asked for, the bus is silent for the line's `lateness_s` and is then opened afresh
(reference/libraries.md 3.1, reference/reliability.md findings 1 and 2). An answer must also be of the function and the
length that were asked for.
"""

from __future__ import annotations

import asyncio
import logging
import math
import struct
import termios
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ExceptionResponse, ModbusPDU

from drivers.contract import BadFrame, Decoded, Driver, Line, ModbusRequest, Request, Spec
from edge.cancellation import outcome
from edge.field.device_url import DeviceUrl
from edge.field.exchange import DOUBT_AFTER_MISSED, GREET_EVERY_S
from edge.field.intake import Counters, DecodedBy, Intake, WaveBy
from edge.field.link import FIRST_RETRY_S, LAST_RETRY_S
from edge.field.ports import PortLost, wire
from edge.model import LinkState

logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)  # its errors dump wire bytes; ours are counted

CONNECT_TIMEOUT_S = 2.0
QUIET_AT_MOST = 3  # times the lateness; a bus that babbles longer is reported, not waited for
SHORTEST_SLEEP_S = 0.002  # uvloop's clock stands still within a millisecond
CLIENT_TIMEOUT_S = 3600.0  # pymodbus' own, never reached: each request is bounded by its question's
SPREAD_S = 1.0  # edge seconds over which the devices of an edge begin, so that their rounds do not fall together
LONGEST_TICK_S = 0.1  # a twentieth of a wake-up's cost on 256 devices, and fine enough for polls of 1 Hz
SHORTEST_TICK_S = 0.02
LONGEST_BACKOFF_S = 3.0  # between questions to a unit that does not answer: it must not eat the others' bus


Client = AsyncModbusTcpClient | AsyncModbusSerialClient


class NoAnswer(Exception):
    """The unit did not answer in time."""


class BadAnswer(Exception):
    """The unit answered with an exception, or with something that was not asked for."""


class Waiter(Protocol):
    """Who asked, and wants to know when the answer came after all."""

    def came_late(self) -> None:
        """An answer arrived after its time and was thrown away."""
        ...


class Bus:
    """One endpoint, shared by the units on it. Requests queue up in the order they were made."""

    def __init__(self, at: DeviceUrl, line: Line) -> None:
        self._at, self._line = at, line
        self.lateness_s = line.lateness_s
        self._lock = asyncio.Lock()
        self._client: Client | None = None
        self._quiet_until = 0.0
        self._fresh = at.transport == "modbus+rtu"
        self._asking = False
        self._last_waiter: Waiter | None = None
        self.losses = 0  # how often the endpoint was lost: whoever sees it grow must greet the device again

    @property
    def endpoint(self) -> str:
        """The port or address, for people."""
        return self._at.endpoint

    @property
    def hung_up(self) -> bool:
        """Whether the endpoint was open and has gone away."""
        return self._client is not None and not self._client.connected

    async def open(self) -> None:
        """Open the endpoint if it is not. Raises PortLost."""
        async with self._lock:
            await self._ready()

    async def read(self, unit: int, request: ModbusRequest, waiter: Waiter) -> bytes:
        """The registers big-endian, or the coils packed low bit first. Raises NoAnswer, BadAnswer, PortLost."""
        async with self._lock:
            client = await self._ready()
            self._asking, self._last_waiter = True, waiter
            clean = False
            try:
                response = await outcome(_request(client, unit, request), request.timeout_s)
                clean = True
            except TimeoutError:
                raise (self._gone() if self.hung_up else NoAnswer(request.name)) from None
            except ModbusException as error:
                raise (self._gone() if self.hung_up else BadAnswer(str(error))) from None
            finally:
                self._asking = False
                if not clean:  # also when cancelled: its answer is still on the way
                    self._keep_quiet()
            try:
                return _payload(response, unit, request)
            except BadAnswer:
                if not isinstance(response, ExceptionResponse):
                    self._keep_quiet()
                raise

    def close(self) -> None:
        """Close the endpoint; the next request opens it again."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def _ready(self) -> Client:
        """The open client, after the quiet that is owed."""
        loop = asyncio.get_running_loop()
        if self.hung_up:
            raise self._gone()
        if self._fresh:  # an answer to a process before this one may still be on the way
            self._fresh = False
            self._keep_quiet()
        if self._quiet_until:
            patience_until = loop.time() + QUIET_AT_MOST * self.lateness_s
            while (rest_s := self._quiet_until - loop.time()) > 0:  # bytes that come meanwhile begin it anew
                if loop.time() > patience_until:
                    raise BadAnswer(f"{self.endpoint} is never quiet")
                await asyncio.sleep(max(rest_s, SHORTEST_SLEEP_S))
            self._quiet_until = 0.0
            self.close()
        if self._client is None:
            self._client = await self._connect()
        return self._client

    async def _connect(self) -> Client:
        client = _client(self._at, self._line, self._trace)
        try:
            opened = await outcome(client.connect(), CONNECT_TIMEOUT_S)
        except (TimeoutError, OSError, termios.error, ModbusException):
            opened = False
        if not opened:
            client.close()
            self.losses += 1
            raise PortLost(f"{self._at.endpoint} does not open")
        return client

    def _gone(self) -> PortLost:
        self.close()
        self.losses += 1
        return PortLost(f"{self._at.endpoint} hung up")

    def _keep_quiet(self) -> None:
        self._quiet_until = asyncio.get_running_loop().time() + self.lateness_s

    def _trace(self, sending: bool, data: bytes) -> bytes:
        """pymodbus shows all bytes here: those that come while nobody waits are a late answer, or noise."""
        if not sending and data and not self._asking:
            if self._last_waiter is not None:
                self._last_waiter.came_late()
                self._last_waiter = None
            self._keep_quiet()
        return data


class Buses:
    """The endpoints in use: units on one serial bus share it, each device on TCP has its own connection."""

    def __init__(self) -> None:
        self._shared: dict[str, Bus] = {}

    def bus(self, at: DeviceUrl, line: Line) -> Bus:
        """The bus at `at`."""
        if at.transport == "modbus+tcp":
            return Bus(at, line)
        bus = self._shared.setdefault(at.endpoint, Bus(at, line))
        bus.lateness_s = max(bus.lateness_s, line.lateness_s)  # the slowest unit's late answer is everybody's
        return bus


class ModbusLink:
    """One device at one bed behind Modbus. `heard` and `wave` are called on the stack that got the answer."""

    def __init__(self, bed: str, device: str, spec: Spec, at: DeviceUrl, bus: Bus, *, now: Callable[[], float],
                 heard: DecodedBy, wave: WaveBy, identity: str | None = None,
                 settings: Mapping[str, object] | None = None, speed: float = 1.0) -> None:
        self._line = at.line(spec.line)
        self._unit, self._bus = at.unit, bus
        self._driver: Driver = spec.driver(settings)
        self._intake = Intake(bed, device, self._line, now=now, heard=heard, wave=wave, identity=identity)
        self._queue: deque[tuple[ModbusRequest, bool]] = deque()  # a question, and whether it greets
        self._missed = 0
        self._greeted_well = True
        self._greet_at = math.inf
        self._rest_until = 0.0
        self._tick_s = min(LONGEST_TICK_S, max(SHORTEST_TICK_S, LONGEST_TICK_S / speed))
        self._phase_s = zlib.crc32(f"{bed}/{device}".encode()) % 1000 / 1000 * SPREAD_S / speed  # not all at once

    @property
    def counters(self) -> Counters:
        """What this link has seen so far."""
        return self._intake.counters

    @property
    def state(self) -> LinkState:
        """Where this link stands."""
        return self._intake.state

    def came_late(self) -> None:
        """An answer arrived after its time and was thrown away."""
        self._intake.counters.late += 1

    async def run(self) -> None:
        """Live until cancelled."""
        self._intake.begin()
        await asyncio.sleep(self._phase_s)
        wait_s = FIRST_RETRY_S
        try:
            while True:
                try:
                    await self._bus.open()
                    wait_s = FIRST_RETRY_S
                    await self._talk()
                except PortLost as gone:
                    self._intake.lost(str(gone))
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, LAST_RETRY_S)
        finally:
            self._bus.close()

    async def _talk(self) -> None:
        """Until the endpoint is lost."""
        loop = asyncio.get_running_loop()
        losses = self._bus.losses
        self._intake.opened(loop.time())
        self._greet(loop.time())
        next_at = loop.time()
        while True:
            if self._bus.hung_up or self._bus.losses != losses:
                raise PortLost(f"{self._bus.endpoint} hung up")
            self._intake.check(loop.time())
            if loop.time() >= self._greet_at and self._intake.doubtful:
                self._greet(loop.time())
            if loop.time() >= self._rest_until and self._due(self._intake.now()):
                await self._exchange(*self._queue.popleft())
                next_at = loop.time()
            else:
                next_at = max(next_at + self._tick_s, loop.time())
                await asyncio.sleep(next_at - loop.time())

    def _greet(self, real_s: float) -> None:
        self._intake.doubt()
        self._queue = deque((read, True) for read in _reads(self._driver.on_open()))
        self._greeted_well = True
        self._greet_at = math.inf
        if not self._queue:
            self._greeting_ends(real_s)

    def _due(self, at_s: float) -> bool:
        """Whether a question waits; the driver is asked for one where none does. It is kept until its turn."""
        if not self._queue:
            request = self._driver.next_request(at_s)
            if request is not None:
                self._queue.extend((read, False) for read in _reads([request]))
        return bool(self._queue)

    async def _exchange(self, request: ModbusRequest, greets: bool) -> None:
        """Ask, and hear what comes; an answer that does not come is heard as that."""
        try:
            data = await self._bus.read(self._unit, request, self)
            at_s = self._intake.now()
            items = self._driver.decode(data, request)
        except NoAnswer:
            self._missed += 1
            rest_s = min(self._tick_s * 2 ** min(self._missed, 8), LONGEST_BACKOFF_S)
            self._rest_until = asyncio.get_running_loop().time() + rest_s
            self._intake.counters.timeouts += 1
            self._unanswered(request, greets)
        except (BadAnswer, BadFrame):
            self._missed = 0
            self._intake.bad()
            self._unanswered(request, greets)
        else:
            self._answered(items, at_s, greets)

    def _answered(self, items: Sequence[Decoded], at_s: float, greets: bool) -> None:
        real_s = asyncio.get_running_loop().time()
        self._missed = 0
        self._intake.good(items, at_s, real_s, more=self._due(at_s))
        if greets:
            self._greeting_ends(real_s)

    def _unanswered(self, request: ModbusRequest, greets: bool) -> None:
        real_s, at_s = asyncio.get_running_loop().time(), self._intake.now()
        self._intake.said(self._driver.on_timeout(request), at_s, more=self._missed == 0 and self._due(at_s))
        if greets:
            self._greeted_well = False
            self._greeting_ends(real_s)
        elif self._missed >= DOUBT_AFTER_MISSED:
            self._greet(real_s)

    def _greeting_ends(self, real_s: float) -> None:
        """If the last question of the greeting was asked, say so; ask again later where it left doubt."""
        if not any(greets for _, greets in self._queue):
            self._greet_at = real_s + GREET_EVERY_S
            self._intake.greeted(answered=self._greeted_well)


def _reads(requests: Iterable[Request]) -> list[ModbusRequest]:
    reads = []
    for request in requests:
        assert isinstance(request, ModbusRequest), f"a driver behind Modbus sends {request!r}"
        reads.append(request)
    return reads


def _client(at: DeviceUrl, line: Line, trace: Callable[[bool, bytes], bytes]) -> Client:
    """pymodbus' client, which neither retries nor reconnects by itself."""
    if at.transport == "modbus+tcp":
        return AsyncModbusTcpClient(at.host, port=at.port, timeout=CLIENT_TIMEOUT_S, retries=0, reconnect_delay=0,
                                    trace_packet=trace)
    line = wire(at.path, line)
    return AsyncModbusSerialClient(at.path, baudrate=line.baud, bytesize=line.bits, parity=line.parity,
                                   stopbits=line.stop, timeout=CLIENT_TIMEOUT_S, retries=0, reconnect_delay=0,
                                   trace_packet=trace)


async def _request(client: Client, unit: int, request: ModbusRequest) -> ModbusPDU:
    ask = {1: client.read_coils, 2: client.read_discrete_inputs, 3: client.read_holding_registers,
           4: client.read_input_registers}[request.function]
    return await ask(request.address, count=request.count, device_id=unit)


_DIGITS = bytes.maketrans(b"\x00\x01", b"01")


def _payload(response: ModbusPDU, unit: int, request: ModbusRequest) -> bytes:
    """What the answer carries, as bytes. Raises BadAnswer if it is not exactly what was asked for."""
    if response.isError():
        raise BadAnswer(f"{request.name}: exception {getattr(response, 'exception_code', '?')}")
    if response.function_code != request.function or (unit and response.dev_id != unit):
        raise BadAnswer(f"{request.name}: an answer to something else")
    if request.function in (1, 2):
        if len(response.bits) != math.ceil(request.count / 8) * 8:
            raise BadAnswer(f"{request.name}: {len(response.bits)} bits")
        digits = bytes(response.bits[: request.count]).translate(_DIGITS)
        whole = int(digits[::-1], 2)  # the first coil is the lowest bit
        return whole.to_bytes(len(response.bits) // 8, "little")
    if len(response.registers) != request.count:
        raise BadAnswer(f"{request.name}: {len(response.registers)} registers")
    return struct.pack(f">{request.count}H", *response.registers)
