"""What is plugged in, and what it is: serial ports by their own identity, and a probe of one port.

A probe listens first: what comes by itself names most devices that send by themselves. Then each driver has the port
for a moment, those that only ask before those that set how a device sends; and where none got a response, once more for
longer, those first in whose turn anything came. It is the same dialogue as in service, held to what is harmless.

A find is more than a few lucky frames: a protocol without checksums finds a packet here and there in any stream (the
Contec's in 0.3 % of a Nonin's bytes), so most of the bytes that came must stand in good frames.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from serial.tools.list_ports import comports

from drivers.contract import FrameRequest, Line, Spec, Wave
from edge.field.device_url import DeviceUrl
from edge.field.devices import Devices
from edge.field.diagnosis import ENOUGH, Tried, foreign, recognise
from edge.field.harmless import LOOKS, harmless
from edge.field.link_state import Counters
from edge.field.port_names import lasting, links
from edge.field.ports import BytePort, PortLost, taken, wire
from edge.model import Input, LinkChanged, Samples

LISTEN_S = 2.0  # real seconds of a long turn; more where the device may be late
SHORT_S = 1.0  # of a first turn: a device that is there responds sooner
OPENS_S = 3.0  # until the port is open, and the first request is sent
LOOK_S = 0.1
FIRST_BYTE_S, STREAM_S = 2.6, 6.5  # a device that sends by itself begins in the one, and shows its form in the other
RAW_S = 1.5
KEPT = 4096  # bytes of each direction, for the diagnosis
BAUDS = (9600, 19200, 115200, 38400, 57600, 4800, 2400, 1200)
SEVEN, OPEN_LINE = Line(9600, bits=7), Line(9600)
FRAMES = 2  # good frames that make a find
LINE_ENDS = (b"\r", b"\r\n")  # of a request that is a line of text
OTHERS_SHARE = 0.1  # of the bytes: more that are not the device's are another's


@dataclass(frozen=True, slots=True)
class SerialPort:
    """One serial port. `port` survives replugging and reboots: by the adapter's own number, else by its socket."""

    port: str
    device: str
    what: str
    serial: str | None
    usb: str | None = None  # vendor and product number, as in 0403:6001
    vendor: str | None = None
    product: str | None = None


def ports() -> list[SerialPort]:
    """The serial ports of this machine."""
    names = links()
    return [SerialPort(lasting(port, names), port.device, port.description, port.serial_number,
                       f"{port.vid:04x}:{port.pid:04x}" if port.vid is not None else None, port.manufacturer,
                       port.product)
            for port in sorted(comports())]


@dataclass(slots=True)
class Found:
    """What one driver made of the port."""

    spec: Spec
    at: DeviceUrl
    counters: Counters = field(default_factory=lambda: Counters(since=0.0))
    state: str = "connecting"
    identity: str | None = None
    reason: str = ""
    metrics: dict[str, float | None] = field(default_factory=dict)
    sent: bytearray = field(default_factory=bytearray)  # while it had the port, and what came; the first KEPT of each
    came: bytearray = field(default_factory=bytearray)
    heard: bool = False  # whether anything came, in this turn or in the one before
    gone: bool = False  # whether the port went away in its turn

    @property
    def others(self) -> int:
        """Bytes that came and are not this device's, where they are more than the beginning of a stream leaves."""
        seen = self.counters
        return seen.dropped if seen.dropped > max(ENOUGH, OTHERS_SHARE * seen.received) else 0

    @property
    def fits(self) -> bool:
        """Whether this driver's device is here, and is understood well."""
        seen = self.counters
        well = seen.bad * 4 <= seen.frames and seen.understood * 2 >= seen.received
        return self.state == "live" and seen.frames >= FRAMES and well

    def decoded(self, inputs: Sequence[Input], at_s: float, more: bool) -> None:
        """What the dialogue reports; keeps the newest of everything."""
        for given in inputs:
            if isinstance(given, LinkChanged):
                self.state, self.reason = given.state, given.reason
                self.identity = given.identity or self.identity
            elif isinstance(given, Samples):
                self.metrics |= {sample.metric: sample.value for sample in given.samples}

    def tap(self, sent: bool, data: bytes) -> None:
        """These bytes go over the wire now."""
        kept = self.sent if sent else self.came
        kept += data[: KEPT - len(kept)]

    def tried(self) -> Tried:
        """For the diagnosis."""
        return Tried(self.spec, bytes(self.sent), bytes(self.came), self.counters)


@dataclass(frozen=True, slots=True)
class Turn:
    """One driver has the port, where it is written so, for `listens_s` real seconds if nothing comes."""

    spec: Spec
    at: DeviceUrl
    listens_s: float


def listens_s(spec: Spec) -> float:
    """For how long its driver has the port in its long turn, where nothing comes."""
    return max(LISTEN_S, spec.line.lateness_s + SHORT_S)


def places(at: DeviceUrl, specs: Sequence[Spec]) -> list[tuple[Spec, DeviceUrl]]:
    """Each of `specs` that can be at this port, and how it is written for it, the cheapest first: those that only ask,
    then those that set how their device sends, then those that send nothing; on a serial port Modbus RTU comes last.

    A device behind three wires does not see that the port was closed: what the one before was asked is still in its
    input. A request that begins with no mark of its own is understood only after the end of a line. So those that ask
    in lines follow each other, before the others."""
    found = sorted(((spec, at) for spec in specs if at.transport in spec.transports), key=lambda one: _cost(one[0]))
    if at.transport == "serial":
        rtu = replace(at, transport="modbus+rtu")
        units = [spec for spec in specs if "modbus+rtu" in spec.transports and "serial" not in spec.transports]
        found += [(spec, rtu) for spec in sorted(units, key=lambda spec: spec.line.lateness_s)]
    return found


def _cost(spec: Spec) -> tuple[bool, bool, bool, float]:
    asks = harmless(spec, known=False).driver().on_open()
    lines = bool(asks) and all(isinstance(one, FrameRequest) and one.frame.endswith(LINE_ENDS) for one in asks)
    return not _asks(spec), any(one.effect not in LOOKS for one in asks), not lines, spec.line.lateness_s


def longest_s(at: DeviceUrl, specs: Sequence[Spec]) -> float:
    """How long a probe takes where nothing responds."""
    overheard = FIRST_BYTE_S * len(_lines(at, specs))
    return overheard + sum(
        LISTEN_S + spec.line.lateness_s if place.transport == "modbus+rtu" else
        (SHORT_S if _asks(spec) else 0.0) + listens_s(spec) for spec, place in places(at, specs))


async def probe(at: DeviceUrl, specs: Sequence[Spec], *, now: Callable[[], float],
                began: Callable[[Turn], None] = lambda turn: None) -> tuple[list[Found], bytes]:
    """Each of `specs` that can be at this port, up to the first whose device is there; and the first bytes that came by
    themselves. `began` is told each turn as it begins."""
    turns = places(at, specs)
    in_use = "" if at.path else await asyncio.to_thread(taken, at)
    gone = in_use or await _opens(at, [spec for spec, _ in turns])
    if gone:
        return [Found(spec, place, state="lost", reason=gone) for spec, place in turns], b""
    raw, named = await _overhear(at, [spec for spec, place in turns if place == at])
    if foreign(raw) is not None:
        return [], raw
    tried: dict[str, Found] = {}

    async def fits(spec: Spec, place: DeviceUrl, seconds: float) -> bool:
        began(Turn(spec, place, seconds))
        found = Found(spec, place)
        await _listen(place, found, now, seconds, quiet=bool(raw))
        if found.state == "lost" and (gone := await _opens(at, [spec])):
            found.gone, found.reason = True, f"{gone}: it went away while it was probed"
            tried.clear()  # whatever they would have found, it is not there any more
        found.heard = bool(found.came) or (spec.name in tried and tried[spec.name].heard)
        tried[spec.name] = found
        return found.fits or found.gone

    first = [(spec, place) for spec, place in turns if spec is named]
    short = [(spec, place) for spec, place in turns if _asks(spec) and spec is not named]
    plan = [(*one, listens_s(one[0])) for one in first] + [
        (*one, LISTEN_S if one[1].transport == "modbus+rtu" else SHORT_S) for one in short]  # its only one
    for spec, place, seconds in plan:
        if await fits(spec, place, seconds):
            return list(tried.values()), raw
    again = [one for one in turns if one[0] is not named and not (one[0].name in tried and one[1] != at)
             and not (raw and one[0].name in tried and not tried[one[0].name].counters.frames)]
    for spec, place in sorted(again, key=lambda one: not (one[0].name in tried and tried[one[0].name].heard)):
        if await fits(spec, place, listens_s(spec)):
            return list(tried.values()), raw
    return list(tried.values()), raw


def _asks(spec: Spec) -> bool:
    """Whether a probe may ask it anything: a device that only sends is heard without."""
    return bool(harmless(spec, known=False).requests)


async def _opens(at: DeviceUrl, fitting: list[Spec]) -> str:
    """Why the port does not open, in words; empty where it does, or where only a Modbus master can tell."""
    if at.transport == "modbus+tcp" or not fitting:
        return ""
    port = BytePort(replace(at, transport="serial") if at.path else at, at.line(fitting[0].line))
    try:
        await port.open()
    except PortLost as gone:
        return str(gone)
    finally:
        await port.close()
    return ""


async def _listen(at: DeviceUrl, found: Found, now: Callable[[], float], listen_s: float, *, quiet: bool) -> None:
    """Let this driver's dialogue have the port for a while; `quiet`: it has to wait for a quiet line first."""
    devices = Devices(now=now)
    dialogue = devices.add("probe", found.spec.name, harmless(found.spec, known=False), at, decoded=found.decoded,
                           wave=_ignore, tap=found.tap, quiet=quiet)
    found.counters = dialogue.counters
    running, loop = asyncio.ensure_future(devices.run()), asyncio.get_running_loop()
    if at.transport == "modbus+rtu" or (quiet and not at.is_modbus):  # its first request waits for so long
        listen_s += dialogue.line.lateness_s
    sends_by = loop.time() + (OPENS_S if _asks(found.spec) and not at.is_modbus else 0.0)
    longest_s = listen_s + LISTEN_S + dialogue.line.silent_after_s  # from a first good frame to the second
    began = loop.time()
    while loop.time() - began < longest_s:
        await asyncio.wait([running], timeout=LOOK_S)
        if running.done() or (found.fits and (found.metrics or found.identity)):
            break
        if not found.sent and not found.came and loop.time() < sends_by:
            began = loop.time()  # the port is not open yet
        if loop.time() - began >= listen_s and (found.fits or not found.counters.frames):
            break
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def _ignore(wave: Wave, at_s: float) -> None:
    """A waveform says nothing that the numbers beside it do not."""


def _lines(at: DeviceUrl, specs: Sequence[Spec]) -> list[Line]:
    """The lines at which a device of `specs` may be heard without being asked, the commonest first."""
    if at.is_modbus:
        return []
    lines = Counter(at.line(replace(OPEN_LINE, baud=spec.line.baud, bits=spec.line.bits, parity=spec.line.parity))
                    for spec in specs if spec.line.stream_bytes_s is not None and at.transport in spec.transports)
    has_speed = at.transport == "serial" and wire(at.path, SEVEN) == SEVEN
    return [line for line, _ in lines.most_common(None if has_speed else 1)]


async def _overhear(at: DeviceUrl, fitting: list[Spec]) -> tuple[bytes, Spec | None]:
    """What comes by itself, and whose it is, if that is known."""
    first = b""
    for line in _lines(at, fitting):
        raw, named = await _hear(at, line, fitting)
        first = first or raw
        if named is not None:
            return raw, named
    return first, None


async def _hear(at: DeviceUrl, line: Line, fitting: list[Spec], first_byte_s: float = FIRST_BYTE_S,
                stream_s: float = STREAM_S) -> tuple[bytes, Spec | None]:
    """The first bytes that come at this line, up to KEPT or as soon as they are known."""
    port, received, named = BytePort(at, line), b"", None
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + first_byte_s
    try:
        await port.open()
        while len(received) < KEPT and named is None and loop.time() < ends_s:
            data = await port.read(min(ends_s, loop.time() + 2 * LOOK_S))
            if data and not received:
                ends_s = loop.time() + stream_s
            received += data
            named = recognise(received, fitting) if data else None
    except PortLost:
        pass
    finally:
        await port.close()
    return received[:KEPT], named


async def other_line(at: DeviceUrl, specs: Sequence[Spec]) -> tuple[Spec, DeviceUrl] | None:
    """Where bytes come by themselves and none is understood: the first line setting at which a driver knows them."""
    fitting = [spec for spec in specs if at.transport in spec.transports]
    if at.transport != "serial" or wire(at.path, SEVEN) != SEVEN:
        return None  # a network, or a pty: it has no speed
    for bits, parity in (("8", "N"), ("7", "E"), ("8", "E"), ("8", "O")):
        for baud in BAUDS:
            place = replace(at, overrides={**at.overrides, "baud": baud, "bits": int(bits), "parity": parity})
            _, named = await _hear(place, place.line(OPEN_LINE), fitting, RAW_S, RAW_S)
            if named is not None:
                return named, place
    return None
