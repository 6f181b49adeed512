"""`vigil probe`: which device is on this port, found by each driver's own read-only questions.

Every driver whose transport fits is given the port for a few seconds, through the same link as in service. A cuff's
driver is told to wait two hours before it measures: a probe inflates nothing.

A find is a talk, not a few lucky frames: a protocol without checksums finds a packet here and there in any stream (the
Contec's in 0.3 % of a Nonin's bytes), so most of the bytes that came must stand in good frames.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

import drivers
from drivers.contract import Spec, Wave
from edge.clock import EdgeClock
from edge.field.device_url import DeviceUrl, parse_device_url
from edge.field.intake import Counters
from edge.field.link import Link
from edge.field.modbus import Buses, ModbusLink
from edge.field.ports import ByteLink, PortLost
from edge.model import Input, LinkChanged, Samples
from edge.process import BadUsage

LISTEN_S = 3.0  # real seconds beyond a line's own quiet
LOOK_S = 0.1
RAW_S = 1.5
LATER_S = 7200.0  # edge seconds: long after the probe is over
FRAMES = 2  # good frames that make a find


@dataclass(slots=True)
class Found:
    """What one driver heard on the port."""

    spec: Spec
    counters: Counters = field(default_factory=lambda: Counters(since=0.0))
    state: str = "connecting"
    identity: str | None = None
    reason: str = ""
    metrics: dict[str, float | None] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """Whether this driver's device answers here, and answers well."""
        heard = self.counters
        well = heard.bad * 4 <= heard.frames and heard.understood * 2 >= heard.received
        return self.state == "live" and heard.frames >= FRAMES and well

    def hear(self, inputs: Sequence[Input], at_s: float, more: bool) -> None:
        """What the link says; keeps the newest of everything."""
        for given in inputs:
            if isinstance(given, LinkChanged):
                self.state, self.reason = given.state, given.reason
                self.identity = given.identity or self.identity
            elif isinstance(given, Samples):
                self.metrics |= {sample.metric: sample.value for sample in given.samples}


def run_probe(port: str, as_json: bool) -> int:
    """0 where one driver or more fits, 1 where none does. Raises BadUsage."""
    try:
        at = parse_device_url(f"serial://{Path(port).absolute()}" if "://" not in port else port)
    except ValueError as wrong:
        raise BadUsage(str(wrong)) from None
    if port == "":
        raise BadUsage("no port; write a path like /dev/serial/by-id/..., or tcp://host:port; see: vigil ports")
    logging.getLogger("edge.field").setLevel(logging.CRITICAL)  # what fails to answer is said at the end, once
    fitting = [spec for spec in drivers.find().values() if at.transport in spec.transports]
    tried, raw = uvloop.run(_probe(at, fitting))
    found = [one for one in tried if one.fits]
    if as_json:
        print(json.dumps({"port": port, "found": [_row(one) for one in found], "raw": raw.hex(" ")}))
    else:
        print("\n".join(_words(port, tried, found, raw)))
    return 0 if found else 1


async def _probe(at: DeviceUrl, fitting: list[Spec]) -> tuple[list[Found], bytes]:
    gone = await _opens(at, fitting)
    if gone:
        return [Found(spec, state="lost", reason=gone) for spec in fitting], b""
    tried = []
    for spec in fitting:
        found = Found(spec)
        tried.append(found)
        await _listen(at, spec, found)
        if found.fits:
            return tried, b""
    return tried, await _raw(at, fitting)


async def _opens(at: DeviceUrl, fitting: list[Spec]) -> str:
    """Why the port does not open, in words; empty where it does, or where only a Modbus master can tell."""
    if at.is_modbus or not fitting:
        return ""
    port = ByteLink(at, at.line(fitting[0].line))
    try:
        await port.open()
    except PortLost as gone:
        return str(gone)
    finally:
        await port.close()
    return ""


async def _listen(at: DeviceUrl, spec: Spec, found: Found) -> None:
    """Let this driver talk on the port for a while."""
    now = EdgeClock().now
    settings = {"start_s": LATER_S} if "start_s" in spec.settings else {}
    line = at.line(spec.line)
    link: Link | ModbusLink
    if at.is_modbus:
        link = ModbusLink("probe", spec.name, spec, at, Buses().bus(at, line), now=now, heard=found.hear, wave=_ignore,
                          settings=settings)
    else:
        link = Link("probe", spec.name, spec, at, now=now, heard=found.hear, wave=_ignore, settings=settings)
    found.counters = link.counters
    talking = asyncio.ensure_future(link.run())
    enough_s = line.lateness_s + LISTEN_S
    for _ in range(round(enough_s / LOOK_S)):
        await asyncio.wait([talking], timeout=LOOK_S)
        if talking.done() or (found.fits and (found.metrics or found.identity)):
            break
    talking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await talking


def _ignore(wave: Wave, at_s: float) -> None:
    """A waveform says nothing that the numbers beside it do not."""


async def _raw(at: DeviceUrl, fitting: list[Spec]) -> bytes:
    """What comes by itself, at the line of the first driver that fits the transport."""
    if at.is_modbus or not fitting:
        return b""
    port, heard = ByteLink(at, at.line(fitting[0].line)), b""
    with contextlib.suppress(TimeoutError, PortLost):
        async with asyncio.timeout(RAW_S):
            await port.open()
            while len(heard) < 64:
                heard += await port.read(RAW_S)
    await port.close()
    return heard[:64]


def _row(found: Found) -> dict[str, object]:
    heard = found.counters
    return {"driver": found.spec.name, "title": found.spec.title, "identity": found.identity, "frames": heard.frames,
            "bad": heard.bad, "numbers": found.metrics}


def _words(port: str, tried: list[Found], found: list[Found], raw: bytes) -> list[str]:
    lines = []
    for one in found:
        known = [f"{key} {value:g}" for key, value in one.metrics.items() if value is not None]
        numbers = ", ".join(known) or "no numbers"
        who = one.identity or one.reason or "no serial number"
        lines.append(f"{port}: {one.spec.title}; driver = \"{one.spec.name}\"; {who}; {numbers}")
    if found:
        return lines
    gone = next((one.reason for one in tried if one.state == "lost"), "")
    if gone:
        return [f"{port}: cannot be asked: {gone}"]
    asked = ", ".join(one.spec.name for one in tried) or "no driver speaks over this transport"
    lines.append(f"{port}: none of the drivers found its device ({asked})")
    lines.append(f"what comes by itself: {raw.hex(' ')}" if raw else
                 "nothing comes by itself: look at the cable, the device's power, and its own output setting")
    return lines
