"""What is plugged in, and what it is: serial ports by their own identity, and a probe of one port.

A probe tries every driver whose transport fits on the port for a few seconds, with the same dialogue as in service. It
sends what the drivers send at any start; a cuff's driver is told to wait two hours before it measures, so a probe
inflates nothing.

A find is more than a few lucky frames: a protocol without checksums finds a packet here and there in any stream (the
Contec's in 0.3 % of a Nonin's bytes), so most of the bytes that came must stand in good frames.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from serial.tools.list_ports import comports

from drivers.contract import Line, Spec, Wave
from edge.field.device_url import DeviceUrl
from edge.field.devices import Devices
from edge.field.diagnosis import Tried, recognise
from edge.field.link_state import Counters
from edge.field.ports import BytePort, PortLost, wire
from edge.model import Input, LinkChanged, Samples

BY_ID = Path("/dev/serial/by-id")
LISTEN_S = 3.0  # real seconds beyond a line's own quiet
LOOK_S = 0.1
RAW_S = 1.5
KEPT = 4096  # bytes of each direction, for the diagnosis
BAUDS = (9600, 19200, 115200, 38400, 57600, 4800, 2400, 1200)
SEVEN = Line(9600, bits=7)
LATER_S = 7200.0  # edge seconds: long after the probe is over
FRAMES = 2  # good frames that make a find
QUIET_SETTINGS = {"start_s": LATER_S}  # a driver that has such a setting does nothing by itself meanwhile


@dataclass(frozen=True, slots=True)
class SerialPort:
    """One serial port. `port` survives replugging and reboots, where the adapter has an identity of its own."""

    port: str
    device: str
    what: str
    serial: str | None
    usb: str | None = None  # vendor and product number, as in 0403:6001
    vendor: str | None = None
    product: str | None = None


def ports() -> list[SerialPort]:
    """The serial ports of this machine."""
    stable = {str(link.resolve()): str(link) for link in sorted(BY_ID.glob("*"))} if BY_ID.is_dir() else {}
    return [SerialPort(stable.get(port.device, port.device), port.device, port.description, port.serial_number,
                       f"{port.vid:04x}:{port.pid:04x}" if port.vid is not None else None, port.manufacturer,
                       port.product)
            for port in sorted(comports())]


@dataclass(slots=True)
class Found:
    """What one driver made of the port."""

    spec: Spec
    counters: Counters = field(default_factory=lambda: Counters(since=0.0))
    state: str = "connecting"
    identity: str | None = None
    reason: str = ""
    metrics: dict[str, float | None] = field(default_factory=dict)
    sent: bytearray = field(default_factory=bytearray)  # while it had the port, and what came; the first KEPT of each
    came: bytearray = field(default_factory=bytearray)

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


def listens_s(spec: Spec) -> float:
    """For how long its driver has the port, where nothing comes."""
    return spec.line.lateness_s + LISTEN_S


async def probe(at: DeviceUrl, specs: Sequence[Spec], *, now: Callable[[], float],
                began: Callable[[Spec], None] = lambda spec: None) -> tuple[list[Found], bytes]:
    """Each of `specs` that fits the transport, up to the first whose device is there; and, where none is, the first
    bytes that come by themselves. `began` is told each driver as its turn begins."""
    fitting = [spec for spec in specs if at.transport in spec.transports]
    gone = await _opens(at, fitting)
    if gone:
        return [Found(spec, state="lost", reason=gone) for spec in fitting], b""
    tried = []
    for spec in fitting:
        found = Found(spec)
        tried.append(found)
        began(spec)
        await _listen(at, spec, found, now)
        if found.fits:
            return tried, b""
    return tried, await _raw(at, fitting)


async def _opens(at: DeviceUrl, fitting: list[Spec]) -> str:
    """Why the port does not open, in words; empty where it does, or where only a Modbus master can tell."""
    if at.is_modbus or not fitting:
        return ""
    port = BytePort(at, at.line(fitting[0].line))
    try:
        await port.open()
    except PortLost as gone:
        return str(gone)
    finally:
        await port.close()
    return ""


async def _listen(at: DeviceUrl, spec: Spec, found: Found, now: Callable[[], float]) -> None:
    """Let this driver's dialogue have the port for a while."""
    settings = {name: value for name, value in QUIET_SETTINGS.items() if name in spec.settings}
    devices = Devices(now=now)
    dialogue = devices.add("probe", spec.name, spec, at, decoded=found.decoded, wave=_ignore, settings=settings,
                           tap=found.tap)
    found.counters = dialogue.counters
    running = asyncio.ensure_future(devices.run())
    listen_s = dialogue.line.lateness_s + LISTEN_S
    longest_s = listen_s + dialogue.line.silent_after_s  # where a first good frame came, the second may take so long
    for look in range(round(longest_s / LOOK_S)):
        await asyncio.wait([running], timeout=LOOK_S)
        if running.done() or (found.fits and (found.metrics or found.identity)):
            break
        if look * LOOK_S >= listen_s and (found.fits or not found.counters.frames):
            break
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def _ignore(wave: Wave, at_s: float) -> None:
    """A waveform says nothing that the numbers beside it do not."""


async def _raw(at: DeviceUrl, fitting: list[Spec]) -> bytes:
    """What comes by itself, at the line of the first driver that fits the transport."""
    if at.is_modbus or not fitting:
        return b""
    port, received = BytePort(at, at.line(fitting[0].line)), b""
    with contextlib.suppress(TimeoutError, PortLost):
        async with asyncio.timeout(RAW_S):
            await port.open()
            while len(received) < KEPT:
                received += await port.read(asyncio.get_running_loop().time() + RAW_S)
    await port.close()
    return received[:KEPT]


async def other_line(at: DeviceUrl, specs: Sequence[Spec]) -> tuple[Spec, DeviceUrl] | None:
    """Where bytes come by themselves and none is understood: the first line setting at which a driver knows them."""
    fitting = [spec for spec in specs if at.transport in spec.transports]
    if at.transport != "serial" or wire(at.path, SEVEN) != SEVEN:
        return None  # a network, or a pty: it has no speed
    for bits, parity in (("8", "N"), ("7", "E"), ("8", "E"), ("8", "O")):
        for baud in BAUDS:
            place = replace(at, overrides={**at.overrides, "baud": baud, "bits": int(bits), "parity": parity})
            found = recognise(await _raw(place, fitting), fitting)
            if found is not None:
                return found, place
    return None
