"""One Modbus connection, to a host and port or a serial line: it carries PDUs, one at a time, and keeps the quiet.

A response on Modbus RTU carries no number, so a late one looks like the response to whatever was sent next; on TCP the
transaction number tells them apart, unless a gateway does not echo it. Both are treated alike: after a time-out, a
cancelled request, or bytes without a request, the line is quiet for `lateness_s` and is then opened afresh. A response
must also be of the function and the length that were requested. Framing, checksums and transaction numbers are
pymodbus' (Modbus application protocol 1.1b3; Modbus over serial line 1.02).
"""

from __future__ import annotations

import asyncio
import logging
import math
import struct
import termios
from collections.abc import Callable

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ExceptionResponse, ModbusPDU

from drivers.contract import Line, ModbusRequest
from edge.field.cancellation import outcome
from edge.field.device_url import DeviceUrl
from edge.field.pace import Flood
from edge.field.ports import PortLost, wire

logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)  # its errors dump wire bytes; ours are counted

CONNECT_TIMEOUT_S = 2.0
QUIET_AT_MOST = 3  # times the lateness; a line that babbles longer is reported, not waited for
ECHO = "our own request came back: the adapter echoes; from now on that is taken off"
SHORTEST_SLEEP_S = 0.002  # uvloop's clock stands still within a millisecond
BUS_BYTES_S = 16_384.0  # what all units of a TCP connection respond with in a second, with room
CLIENT_TIMEOUT_S = 3600.0  # pymodbus' own, never reached: each request is bounded by its own time-out

PLACES = {1: "coils", 2: "discrete inputs", 3: "holding registers", 4: "input registers"}
EXCEPTIONS = {
    1: "illegal function", 2: "illegal data address", 3: "illegal data value", 4: "device failure", 5: "acknowledge",
    6: "device busy", 8: "memory parity error", 10: "gateway: no path to the unit",
    11: "gateway: the unit does not respond",
}
UNIT_ABSENT = frozenset({10, 11})  # a gateway responds, for a unit that does not

Client = AsyncModbusTcpClient | AsyncModbusSerialClient


class NoResponse(Exception):
    """The unit did not respond in time."""


class BadResponse(Exception):
    """The unit responded with an exception (`code`), or with something that was not requested (`code` 0)."""

    def __init__(self, words: str, code: int = 0) -> None:
        super().__init__(words)
        self.code = code


class HungUp(PortLost):
    """The other side closed the connection. `spent`: it had served before; some close it after each answer."""

    def __init__(self, words: str, spent: bool) -> None:
        super().__init__(words)
        self.spent = spent


class ModbusPort:
    """One endpoint. `late` is called when a response comes after its time and is thrown away."""

    def __init__(self, at: DeviceUrl, line: Line, late: Callable[[], None] = lambda: None) -> None:
        self._at, self._line, self._late = at, line, late
        self.lateness_s = line.lateness_s
        self._lock = asyncio.Lock()
        self._client: Client | None = None
        self._quiet_until = 0.0
        self._fresh = at.transport == "modbus+rtu"
        self._in_flight = False
        self._spent = False  # a request was responded to on this very TCP connection
        self._owed = False  # a response may still come
        self._sent = b""  # the request in flight, as it went out on a serial line
        self._echoes = self._came_back = False  # the adapter gives back what is sent; it did so just now
        self._resting: asyncio.Future[None] | None = None
        self._flood = Flood(max(line.baud / 10, BUS_BYTES_S))

    @property
    def endpoint(self) -> str:
        """The port or address, for people."""
        return self._at.endpoint

    @property
    def hung_up(self) -> bool:
        """Whether the endpoint was open and has gone away."""
        return self._client is not None and not self._client.connected

    @property
    def quiet_s(self) -> float:
        """For how long nothing may be sent yet; 0 where the line is free."""
        return max(self._quiet_until - asyncio.get_running_loop().time(), 0.0) if self._quiet_until else 0.0

    async def open(self) -> None:
        """Open the endpoint if it is not. Raises PortLost."""
        async with self._lock:
            await self._ready()

    async def read(self, unit: int, request: ModbusRequest) -> bytes:
        """The registers big-endian, or the coils packed low bit first. Raises NoResponse, BadResponse, PortLost
        (HungUp where the connection was open)."""
        async with self._lock:
            client = await self._ready()
            self._in_flight = self._owed = True
            clean = False
            try:
                response = await outcome(_request(client, unit, request), request.timeout_s, lambda: self.hung_up)
                clean, self._spent = True, not self._at.path
            except (TimeoutError, ModbusException) as error:
                if self.hung_up:
                    clean = self._spent  # it was closed before the request came, which so went nowhere
                    raise self._gone() from None
                if isinstance(error, ModbusException) or self._came_back:
                    raise BadResponse(ECHO if self._came_back else str(error)) from None
                raise NoResponse(request.name) from None
            finally:
                self._in_flight, came_back, self._came_back = False, self._came_back, False
                if not clean or came_back:  # also when cancelled: its response is still on the way
                    self._keep_quiet()
            if came_back:
                raise BadResponse(ECHO)
            try:
                return _payload(response, unit, request)
            except BadResponse:
                if not isinstance(response, ExceptionResponse):
                    self._keep_quiet()
                raise

    async def rest(self, wait_s: float) -> None:
        """For so long, or until the endpoint hangs up, or `wake`."""
        loop = asyncio.get_running_loop()
        self._resting = loop.create_future()
        timer = loop.call_later(wait_s, self.wake)
        try:
            await self._resting
        finally:
            timer.cancel()
            self._resting = None

    def wake(self) -> None:
        """End the rest."""
        if self._resting is not None and not self._resting.done():
            self._resting.set_result(None)

    def close(self) -> None:
        """Close the endpoint; the next request opens it again."""
        client, self._client, self._spent = self._client, None, False
        if client is not None:
            client.close()

    async def _ready(self) -> Client:
        """The open client, after the quiet that is owed."""
        loop = asyncio.get_running_loop()
        if self.hung_up:
            raise self._gone()
        if self._fresh:  # a response to a process before this one may still be on the way
            self._fresh = False
            self._keep_quiet()
        if self._quiet_until:
            patience_until = loop.time() + QUIET_AT_MOST * self.lateness_s
            while (rest_s := self._quiet_until - loop.time()) > 0:  # bytes that come meanwhile begin it anew
                if loop.time() > patience_until:
                    raise BadResponse(f"{self.endpoint} is never quiet")
                await asyncio.sleep(max(rest_s, SHORTEST_SLEEP_S))
            self._quiet_until = 0.0
            self.close()
        if self._client is None:
            self._client = await self._connect()
        return self._client

    async def _connect(self) -> Client:
        client = _client(self._at, self._line, self._trace, self._changed, self._echoes)
        try:
            opened = await outcome(client.connect(), CONNECT_TIMEOUT_S)
        except (TimeoutError, OSError, termios.error, ModbusException):
            opened = False
        except asyncio.CancelledError:  # nobody waits for it any more; open, its lock would keep the next one out
            client.close()
            raise
        if not opened:
            client.close()
            raise PortLost(f"{self._at.endpoint} does not open")
        return client

    def _gone(self) -> HungUp:
        spent = self._spent
        self.close()
        self._echoes = False  # perhaps another adapter comes back
        return HungUp(f"{self._at.endpoint} hung up", spent)

    def _keep_quiet(self) -> None:
        self._quiet_until = asyncio.get_running_loop().time() + self.lateness_s

    def _changed(self, connected: bool) -> None:
        """pymodbus tells here that the endpoint is there, or has gone."""
        if not connected:
            self.wake()

    def _trace(self, sending: bool, data: bytes) -> bytes:
        """pymodbus shows all bytes here: those that come while nobody waits are a late response, or noise; and those
        that begin with the request itself are an echo (RS-485 adapters hear themselves)."""
        if sending:
            self._sent = data if self._at.path else b""
        elif self._in_flight and self._sent and not self._echoes and data.startswith(self._sent):
            self._echoes = self._came_back = True
        if not sending and data and not self._in_flight:
            if self._owed:
                self._owed = False
                self._late()
            self._keep_quiet()
        if not sending and self._flood.has(len(data), asyncio.get_running_loop().time()):
            return b""  # what no bus carries is not parsed: nobody else's time is spent on it
        return data


def where(request: ModbusRequest) -> str:
    """What a request reads, for people: `coils 0..141`."""
    return f"{PLACES[request.function]} {request.address}..{request.address + request.count - 1}"


def _client(at: DeviceUrl, line: Line, trace: Callable[[bool, bytes], bytes], changed: Callable[[bool], None],
            echoes: bool) -> Client:
    """pymodbus' client, which neither retries nor reconnects by itself; `echoes`: it takes our own bytes off."""
    if at.transport == "modbus+tcp":
        return AsyncModbusTcpClient(at.host, port=at.port, timeout=CLIENT_TIMEOUT_S, retries=0, reconnect_delay=0,
                                    trace_packet=trace, trace_connect=changed)
    line = wire(at.path, line)
    return AsyncModbusSerialClient(at.path, baudrate=line.baud, bytesize=line.bits, parity=line.parity,
                                   stopbits=line.stop, timeout=CLIENT_TIMEOUT_S, retries=0, reconnect_delay=0,
                                   trace_packet=trace, trace_connect=changed, handle_local_echo=echoes)


async def _request(client: Client, unit: int, request: ModbusRequest) -> ModbusPDU:
    read = {1: client.read_coils, 2: client.read_discrete_inputs, 3: client.read_holding_registers,
            4: client.read_input_registers}[request.function]
    return await read(request.address, count=request.count, device_id=unit)


_DIGITS = bytes.maketrans(b"\x00\x01", b"01")


def _payload(response: ModbusPDU, unit: int, request: ModbusRequest) -> bytes:
    """What the response carries, as bytes. Raises BadResponse if it is not exactly what was requested."""
    if isinstance(response, ExceptionResponse):
        code = response.exception_code
        words = f" ({EXCEPTIONS[code]})" if code in EXCEPTIONS else ""
        raise BadResponse(f"exception {code} at {where(request)}{words}", code)
    if response.function_code != request.function or (unit and response.dev_id != unit):
        raise BadResponse(f"a response to something else than {where(request)}")
    if request.function in (1, 2):
        if len(response.bits) != math.ceil(request.count / 8) * 8:
            raise BadResponse(f"{len(response.bits)} bits at {where(request)}")
        digits = bytes(response.bits[: request.count]).translate(_DIGITS)
        whole = int(digits[::-1], 2)  # the first coil is the lowest bit
        return whole.to_bytes(len(response.bits) // 8, "little")
    if len(response.registers) != request.count:
        raise BadResponse(f"{len(response.registers)} registers at {where(request)}")
    return struct.pack(f">{request.count}H", *response.registers)
