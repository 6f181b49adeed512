"""The verbs about ports: `vigil ports` lists them, `vigil probe` tells which device is on one."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path

import uvloop

from edge.cli.catalogue import find_drivers
from edge.clock import EdgeClock
from edge.field import discovery
from edge.field.device_url import DeviceUrl, parse_device_url
from edge.field.discovery import Found
from edge.process import BadUsage


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
    tried, raw = uvloop.run(discovery.probe(at, specs, now=EdgeClock().now))
    found = [one for one in tried if one.fits]
    if as_json:
        print(json.dumps({"port": port, "found": [_row(one) for one in found], "raw": raw.hex(" ")}))
    else:
        print("\n".join(_words(port, tried, found, raw)))
    return 0 if found else 1


def _row(found: Found) -> dict[str, object]:
    seen = found.counters
    return {"driver": found.spec.name, "title": found.spec.title, "identity": found.identity, "frames": seen.frames,
            "bad": seen.bad, "numbers": found.metrics}


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
    asked = ", ".join(one.spec.name for one in tried) or "no driver uses this transport"
    lines.append(f"{port}: none of the drivers found its device ({asked})")
    lines.append(f"what comes by itself: {raw.hex(' ')}" if raw else
                 "nothing comes by itself: look at the cable, the device's power, and its own output setting")
    return lines
