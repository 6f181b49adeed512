"""A tap on real ports: it stands between whoever talks to a device and the device, and keeps every byte that is sent.

    host --- pty or TCP port of the tap ===(kept)=== pty or TCP port of the twin

`declared` cuts what was sent into requests that the golden tables have; what is left over is in no table. Modbus is cut
by the rules of its application protocol (V1.1b3, and the serial line guide V1.02), not by our own transport.
"""

from __future__ import annotations

import asyncio
import os
import struct
import tty
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from pymodbus.framer import FramerRTU

from drivers.contract import Effect, FrameRequest, Request, Spec
from edge.field.device_url import DeviceUrl, parse_device_url
from simulators.contract import Hands
from simulators.wire import PtyWire

READS: frozenset[Effect] = frozenset({"identify", "read"})
LOOK_S = 0.005
PIECE = 4096


class Undeclared(AssertionError):
    """Something was sent that is in no table, or that may not be sent here."""


@dataclass(slots=True)
class Line:
    """One port: what stands there, and each connection's bytes to the device."""

    at: DeviceUrl
    sent: list[bytearray] = field(default_factory=list)


class _Relay:
    """The host's side of a serial line, as the twin of a pty: what it is fed goes on to the device."""

    def __init__(self, line: Line) -> None:
        self.hands: Hands = {}
        self.gone = False  # the device's port
        self._line, self._device = line, -1

    def connect(self) -> None:
        self.close()
        self._line.sent.append(bytearray())
        try:
            self._device = os.open(self._line.at.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            tty.setraw(self._device)
        except OSError:
            self.gone = True

    def step(self, dt_s: float) -> bytes:
        if self._device < 0:
            return b""
        try:
            return os.read(self._device, PIECE)
        except BlockingIOError:
            return b""
        except OSError:
            self.gone = True
            return b""

    def feed(self, data: bytes) -> bytes:
        self._line.sent[-1] += data
        with suppress(OSError):  # its port is gone, and `step` says so
            os.write(self._device, data)
        return b""

    def close(self) -> None:
        if self._device >= 0:
            os.close(self._device)
        self._device, self.gone = -1, False


class Tap:
    """The taps of one test. `on` gives the place to talk to instead."""

    def __init__(self, folder: Path) -> None:
        self.lines: dict[str, Line] = {}
        self._folder = folder
        self._serial: list[tuple[_Relay, PtyWire]] = []
        self._servers: dict[str, asyncio.Server] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def on(self, text: str) -> str:
        """The device at `text` is reached there from now on; units of one TCP port share a tap, as they share it."""
        at = parse_device_url(text)
        line = self.lines.setdefault(at.endpoint, Line(at))
        if at.path:
            relay = _Relay(line)
            link = self._folder / f"tap-{len(self._serial)}"
            self._serial.append((relay, PtyWire(relay, clock=asyncio.get_running_loop().time, link=link)))
            return str(replace(at, path=str(link)))
        server = self._servers.get(at.endpoint)
        if server is None:
            server = await asyncio.start_server(lambda *ends: self._carry(line, *ends), "127.0.0.1", 0)
            self._servers[at.endpoint] = server
        port: int = server.sockets[0].getsockname()[1]
        return str(replace(at, host="127.0.0.1", port=port))

    async def of(self, config: Path, twins: Iterable[Mapping[str, str]]) -> None:
        """Put a tap on every device of an edge.toml, whose `twins` stand where `vigil simulate --json` said."""
        text = await asyncio.to_thread(config.read_text)
        for twin in twins:
            at = parse_device_url(twin["at"])
            now = str(replace(at, path=twin["port"]) if "port" in twin else at)  # a link outlives its pty
            if f'"{now}"' not in text:
                raise LookupError(f"{config}: no device at {now}")
            text = text.replace(f'"{now}"', f'"{await self.on(now)}"')
        await asyncio.to_thread(config.write_text, text)

    async def run(self) -> None:
        """Carry what comes on serial lines, until cancelled."""
        while True:
            for relay, wire in self._serial:
                if relay.gone:
                    relay.close()
                    wire.unplug()
                wire.replug()
                wire.step(LOOK_S)
                wire.tend()
            await asyncio.sleep(LOOK_S)

    async def _carry(self, line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept = bytearray()
        line.sent.append(kept)
        try:
            theirs, ours = await asyncio.open_connection(line.at.host, line.at.port)
        except OSError:
            writer.close()
            return
        back = asyncio.ensure_future(_pass(theirs, writer))
        self._tasks.add(back)
        try:
            while data := await reader.read(PIECE):
                kept += data
                ours.write(data)
        except ConnectionError:
            pass
        finally:
            back.cancel()
            self._tasks.discard(back)
            ours.close()

    def close(self) -> None:
        """The devices' own ports stay."""
        for relay, wire in self._serial:
            wire.close()
            relay.close()
        for server in self._servers.values():
            server.close()
        for task in self._tasks:
            task.cancel()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Back to the host, until the device hangs up."""
    with suppress(ConnectionError):
        while data := await reader.read(PIECE):
            writer.write(data)
    writer.close()


@asynccontextmanager
async def tapping(folder: Path) -> AsyncIterator[Tap]:
    """A tap that carries for as long as the body runs."""
    tap = Tap(folder)
    running = asyncio.ensure_future(tap.run())
    try:
        yield tap
        assert not running.done() or running.exception() is None
    finally:
        running.cancel()
        tap.close()


# --- what may be sent -------------------------------------------------------------------------------------------------


def in_service(spec: Spec, serial: str | None = None) -> list[Request]:
    """What its driver may send at a bed where nothing is armed: of a pump, reads alone. `serial` is the device's own
    number, for the requests that name it."""
    named = spec.addressed(serial) if spec.addressed and serial else ()
    return [one for one in (*spec.requests, *named) if spec.kind != "pump" or one.effect in READS]


def looked_at(spec: Spec, serial: str | None = None, *, known: bool) -> list[Request]:
    """What may be sent by a check or a recording (`known`: somebody said what it is), or by a probe: no cuff moves, and
    a device with a cuff that nobody named keeps its settings."""
    cuff = any(one.effect == "start_cuff" for one in spec.requests)
    effects = READS if cuff and not known else READS | {"mode"}
    return [one for one in in_service(spec, serial) if one.effect in effects]


def declared(line: Line, allowed: Mapping[int, Iterable[Request]]) -> int:
    """How many requests were sent on `line`, each of them one of `allowed`, which is by Modbus unit (1 on a stream).
    Raises Undeclared with what is none."""
    count = 0
    for sent in map(bytes, line.sent):
        if not line.at.is_modbus:
            count += _frames(sent, {one.frame for one in allowed[1] if isinstance(one, FrameRequest)}, line)
            continue
        cut = _mbap(sent) if line.at.transport == "modbus+tcp" else _rtu(sent)
        pdus = {unit: {_pdu(one) for one in some if not isinstance(one, FrameRequest)}
                for unit, some in allowed.items()}
        for unit, pdu in cut:
            if pdu not in pdus.get(unit, set()):
                raise Undeclared(f"{line.at}: unit {unit} was sent {pdu.hex(' ')}, which is no request of its driver")
            count += 1
    return count


def _pdu(request: Request) -> bytes:
    assert not isinstance(request, FrameRequest)
    return struct.pack(">BHH", request.function, request.address, request.count)


def _frames(sent: bytes, frames: set[bytes], line: Line) -> int:
    """`sent` is these frames, one after the other; the last may be on its way."""
    at = count = 0
    longest = sorted(frames, key=len, reverse=True)
    while at < len(sent):
        rest = sent[at : at + (len(longest[0]) if longest else 0)]
        frame = next((one for one in longest if rest.startswith(one)), None)
        if frame is None:
            raise Undeclared(f"{line.at}: after {count} requests was sent {sent[at : at + 40].hex(' ')},"
                             " which no table has")
        at, count = at + len(frame), count + 1
    return count


def _mbap(sent: bytes) -> Iterable[tuple[int, bytes]]:
    """Unit and PDU of each request on TCP. Header: transaction, protocol 0, length of what follows, unit."""
    while sent:
        _, protocol, length = struct.unpack_from(">HHH", sent)
        if protocol or not 2 <= length <= 254 or len(sent) < 6 + length:
            raise Undeclared(f"no Modbus TCP request: {sent[:40].hex(' ')}")
        yield sent[6], sent[7 : 6 + length]
        sent = sent[6 + length :]


def _rtu(sent: bytes) -> Iterable[tuple[int, bytes]]:
    """Unit and PDU of each request on a serial line: a read is unit, function, address, count and CRC, 8 bytes."""
    for at in range(0, len(sent), 8):
        frame = sent[at : at + 8]
        if len(frame) < 8 or FramerRTU.compute_CRC(frame[:6]).to_bytes(2, "big") != frame[6:]:
            raise Undeclared(f"no read on Modbus RTU: {frame.hex(' ')}")
        yield frame[0], frame[1:6]
