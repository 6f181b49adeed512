"""Where a device is: `at = "serial:///dev/...?baud=9600"` read, checked and written back.

    serial:///dev/serial/by-id/usb-FTDI_...?baud=38400&parity=N&bits=8&stop=1
    tcp://10.0.0.7:4001                          a terminal server, the device's bytes as they are
    modbus+tcp://10.0.0.9:502?unit=1
    modbus+rtu:///dev/ttyUSB0?unit=1&baud=19200

The driver knows its line settings; what is given here overrides them, also `silent_after_s` and `lateness_s` for a slow
way to the device.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast, get_args
from urllib.parse import parse_qsl, urlsplit

from drivers.contract import Line, Transport

TRANSPORTS: tuple[Transport, ...] = get_args(Transport)
MODBUS_PORT = 502
EXAMPLES: Mapping[Transport, str] = {
    "serial": "serial:///dev/ttyUSB0",
    "tcp": "tcp://10.0.0.7:4001",
    "modbus+tcp": "modbus+tcp://10.0.0.9:502?unit=1",
    "modbus+rtu": "modbus+rtu:///dev/ttyUSB0?unit=1",
}


@dataclass(frozen=True, slots=True)
class DeviceUrl:
    """One place a device can be reached. `path` is set on a serial line, `host` and `port` on a network."""

    transport: Transport
    path: str = ""
    host: str = ""
    port: int = 0
    unit: int = 1
    overrides: Mapping[str, int | float | str] = field(default_factory=dict)

    @property
    def is_modbus(self) -> bool:
        """Whether a Modbus bus, not a byte stream, is there."""
        return self.transport in ("modbus+tcp", "modbus+rtu")

    @property
    def endpoint(self) -> str:
        """The port or address alone: what can be opened once. Units on one bus share it."""
        return self.path or (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")

    def line(self, default: Line) -> Line:
        """`default` with what this place overrides."""
        return replace(default, **cast("dict[str, Any]", dict(self.overrides)))

    def __str__(self) -> str:
        query = [f"unit={self.unit}"] if self.is_modbus else []
        query += [f"{name}={value}" for name, value in self.overrides.items()]
        return f"{self.transport}://{self.endpoint}" + ("?" + "&".join(query) if query else "")


def parse_device_url(text: str) -> DeviceUrl:
    """The place `text` names. Raises ValueError with one clear line."""
    scheme = text.split(":", 1)[0].lower()
    if "://" not in text or scheme not in TRANSPORTS:
        near = difflib.get_close_matches(scheme, TRANSPORTS, n=1)
        example = EXAMPLES[cast(Transport, near[0])] if near else ", ".join(EXAMPLES.values())
        raise ValueError(f"{text!r} is no place of a device; write one like {example}")
    transport = next(known for known in TRANSPORTS if known == scheme)
    url = urlsplit(text)
    options = _options(transport, url.query)
    unit = options.pop("unit", 1)
    if transport in ("serial", "modbus+rtu"):
        if url.netloc or not url.path.startswith("/") or url.path == "/":
            raise ValueError(f"{text!r} names no port; write the whole path, like {EXAMPLES[transport]}")
        return DeviceUrl(transport, path=url.path, unit=int(unit), overrides=options)
    try:
        host, port = url.hostname, url.port
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}; write {EXAMPLES[transport]}") from None
    if port is None and transport == "modbus+tcp":
        port = MODBUS_PORT
    if not host or not port or url.path not in ("", "/") or url.username is not None:
        raise ValueError(f"{text!r} must be a host and a port; write {EXAMPLES[transport]}")
    return DeviceUrl(transport, host=host, port=port, unit=int(unit), overrides=options)


def _whole(low: int, high: int) -> tuple[Callable[[str], int | float | str], str]:
    def convert(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError
        return value

    return convert, f"a whole number from {low} to {high}"


def _seconds(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and 0 < value <= 3600):
        raise ValueError
    return value


def _parity(text: str) -> str:
    if text.upper() not in ("N", "E", "O"):
        raise ValueError
    return text.upper()


ANYWHERE = {
    "silent_after_s": (_seconds, "seconds from above 0 to 3600"),
    "lateness_s": (_seconds, "seconds from above 0 to 3600"),
}
ON_SERIAL = {
    "baud": _whole(50, 4_000_000),
    "bits": _whole(7, 8),
    "parity": (_parity, "N, E or O"),
    "stop": _whole(1, 2),
}
UNIT = {"modbus+rtu": _whole(1, 247), "modbus+tcp": _whole(0, 255)}


def _options(transport: Transport, query: str) -> dict[str, int | float | str]:
    """The `?name=value` part, checked for this transport. Raises ValueError."""
    known: dict[str, tuple[Callable[[str], int | float | str], str]] = dict(ANYWHERE)
    if transport in ("serial", "modbus+rtu"):
        known |= ON_SERIAL
    if transport in UNIT:
        known["unit"] = UNIT[transport]
    chosen: dict[str, int | float | str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(sorted(known))}"
            raise ValueError(f"{transport}:// has no option {name!r}; {hint}")
        if name in chosen:
            raise ValueError(f"{name!r} is given twice in {query!r}; write it once")
        convert, wanted = known[name]
        try:
            chosen[name] = convert(value)
        except ValueError:
            raise ValueError(f"{name} must be {wanted}, not {value!r}") from None
    return chosen
