"""The verbs about ports: `vigil ports` lists them, `vigil probe` tells which device is on one."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import uvloop

from drivers.contract import FrameRequest
from edge.cli.catalogue import find_drivers
from edge.clock import EdgeClock, since_boot_s
from edge.field import discovery
from edge.field.device_url import DeviceUrl, parse_device_url
from edge.field.diagnosis import BY_ITSELF, NOTHING, diagnose
from edge.field.discovery import Found, Turn
from edge.field.port_names import holders
from edge.field.ports import NO_PORT
from edge.process import BadUsage

RAW_SHOWN = 64  # bytes
IDS = {"nibp": "cuff"}  # what a device is called at its bed, where its kind is no word of people's


def list_ports(as_json: bool) -> int:
    """`vigil ports`: serial ports by their own identity, which survives replugging and reboots."""
    found = discovery.ports()
    if as_json:
        print(json.dumps([asdict(one) for one in found]))
        return 0
    if not found:
        print("no serial ports; plug an adapter in, or give the terminal server's address as tcp://host:port")
    for one in found:
        usb = " ".join(word for word in (one.usb, one.vendor, one.product) if word)
        print(f"{one.port}  {one.device}  {usb or one.what}  {one.serial or 'no serial number'}")
    return 0


def place_of(port: str) -> DeviceUrl:
    """A port as a person writes it: a path, or a whole address. Raises BadUsage."""
    if port == "":
        raise BadUsage("no port; write a path like /dev/serial/by-id/..., or tcp://host:port; see: vigil ports")
    try:
        return parse_device_url(f"serial://{Path(port).absolute()}" if "://" not in port else port)
    except ValueError as wrong:
        raise BadUsage(str(wrong)) from None


def run_probe(port: str, as_json: bool, folder: Path | None = None) -> int:
    """`vigil probe`: 0 where one driver or more fits, 1 where none does. Raises BadUsage."""
    at = place_of(port)
    logging.getLogger("edge.field").setLevel(logging.CRITICAL)  # what fails to respond is said at the end, once
    specs = list(find_drivers(folder).values())
    held = holders(at.path) if at.path else []  # a pty's other end is always a program's
    pty = os.path.realpath(at.path).startswith("/dev/pts/")
    progress = _Progress(discovery.longest_s(at, specs))
    tried, raw = uvloop.run(discovery.probe(at, specs, now=EdgeClock().now, began=progress))
    took_s = progress.so_far_s
    found = [one for one in tried if one.fits]
    lost = any(one.state == "lost" for one in tried)
    no_port = any(one.reason.endswith(NO_PORT) for one in tried)
    held = held if (lost or not pty) and not no_port else []
    said = [] if found or lost else diagnose([one.tried() for one in tried], raw)
    if raw and tried and not found and (other := uvloop.run(discovery.other_line(at, specs))) is not None:
        said = [f"as of {other[0].title} on another line: driver = \"{other[0].name}\", at = \"{other[1]}\"", *said]
    words = [*_words(port, tried, found, raw), *(line for line in said if line != NOTHING),
             *_next(at, tried, found, lost, held, known=any(line != NOTHING for line in said))]
    if as_json:
        print(json.dumps({"port": port, "found": [_row(one) for one in found],
                          "raw": "" if found else raw[:RAW_SHOWN].hex(" "), "says": said, "took_s": round(took_s, 1),
                          "words": words, "tried": [_turn(one) for one in tried]}))
    else:
        print("\n".join(words))
    return 0 if found else 1


def _next(at: DeviceUrl, tried: list[Found], found: list[Found], lost: bool, held: list[str], *,
          known: bool) -> Iterator[str]:
    """What a person does about it; `known`: what came has a name."""
    if held:
        others = "; ".join(held)
        yield (f"next: end the program that has this port: {others}" if lost else
               f"other programs have this port open and take some of its bytes: {others}; end them, and probe again")
    elif lost and any(one.reason.endswith(NO_PORT) for one in tried):
        yield "next: vigil ports lists the ports there are, each by the name to use"
    elif lost and at.path and not os.path.exists(at.path):
        yield "next: plug it in; vigil ports lists the ports there are, each by the name to use"
    elif lost and at.path and os.access(at.path, os.R_OK | os.W_OK):
        yield f"next: look which program has it, as root: fuser -v {at.path}"
    elif lost and not at.path:
        yield "next: look at the address, and at the power and network of the terminal server or device"
    for one in found:
        if one.others:
            yield (f"{one.others} of {one.counters.received} bytes are not its own: another device or program on this"
                   " line? A serial line carries one device")
        if one.at.transport == "modbus+rtu":
            yield f"others on this line have a unit number each: vigil probe '{_unit(one.at, 2)}'"
    if found or lost or not tried:
        return
    rtu = next((one.at for one in tried if one.at.is_modbus), None)
    if not known:
        yield from (one.spec.unprobed for one in tried if one.spec.unprobed)
    if rtu is not None and not known:
        yield (f"a Modbus device has a unit number of its own, and unit {rtu.unit} was asked; another one:"
               f" vigil probe '{_unit(rtu, rtu.unit + 1)}'")
    yield "next: vigil devices NAME says which cable, line and menu a device needs"


def _unit(at: DeviceUrl, unit: int) -> str:
    return str(replace(at, unit=unit))


def _row(found: Found) -> dict[str, object]:
    seen = found.counters
    return {"driver": found.spec.name, "at": str(found.at), "title": found.spec.title, "identity": found.identity,
            "frames": seen.frames, "bad": seen.bad, "numbers": found.metrics, "toml": _toml(found)}


def _toml(found: Found) -> str:
    """The lines for edge.toml: the port by the name that stays with it, the device by its serial number."""
    path = found.at.path
    port = next((one.port for one in discovery.ports() if path and one.device == os.path.realpath(path)), path)
    lines = {"id": IDS.get(found.spec.kind, found.spec.kind), "driver": found.spec.name,
             "at": str(replace(found.at, path=port)), **({"identity": found.identity} if found.identity else {})}
    return "[[bed.device]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items())


def _words(port: str, tried: list[Found], found: list[Found], raw: bytes) -> list[str]:
    lines = []
    for one in found:
        known = [f"{key} {value:g}" for key, value in one.metrics.items() if value is not None]
        numbers = ", ".join(known) or "no numbers"
        who = one.identity or one.reason or "no serial number"
        lines.append(f"{port}: {one.spec.title}; driver = \"{one.spec.name}\"; at = \"{one.at}\"; {who}; {numbers}")
    if found:
        return lines
    gone = next((one.reason for one in tried if one.state == "lost"), "")
    if gone:
        return [f"{port}: cannot be asked: {gone}"]
    if not tried and raw:
        return [f"{port}: none of our devices"]
    asked = ", ".join(one.spec.name for one in tried) or "no driver uses this transport"
    lines.append(f"{port}: none of the drivers found its device ({asked})")
    lines.append(f"what comes by itself: {raw[:RAW_SHOWN].hex(' ')}" if raw else
                 BY_ITSELF if any(one.came for one in tried) else NOTHING)
    return lines


def _turn(one: Found) -> dict[str, object]:
    """One driver's turn at the port: what it asks to know its device, for how long it listens, and what came."""
    seen = one.counters
    asks = [request.frame.hex(" ") for request in one.spec.requests
            if isinstance(request, FrameRequest) and request.effect == "identify"]
    return {"driver": one.spec.name, "identify": asks, "listens_s": discovery.listens_s(one.spec),
            "received": seen.received, "understood": seen.understood, "foreign": seen.dropped, "frames": seen.frames,
            "bad": seen.bad, "without_response": seen.timeouts, "link": one.state, "reason": one.reason,
            "came": one.came[:RAW_SHOWN].hex(" ")}


class _Progress:
    """Says on stderr whose turn it is, and how long it takes: so far, and if nothing is found."""

    def __init__(self, longest_s: float) -> None:
        self._began_s = since_boot_s()
        print(f"listening, then asking; at most {longest_s:.0f} s, Ctrl-C ends it", file=sys.stderr, flush=True)

    @property
    def so_far_s(self) -> float:
        """Since it began."""
        return since_boot_s() - self._began_s

    def __call__(self, turn: Turn) -> None:
        print(f"{self.so_far_s:3.0f} s  {turn.spec.name}, for {turn.listens_s:g} s", file=sys.stderr, flush=True)
