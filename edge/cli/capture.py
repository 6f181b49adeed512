"""`vigil capture`: all that goes over a device's line, both ways, as a file that `vigil simulate --play` plays."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import uvloop

from drivers.contract import Spec, Wave
from edge.cli.catalogue import find_driver
from edge.cli.probe import place_of
from edge.clock import EdgeClock
from edge.field.device_url import DeviceUrl
from edge.field.devices import Devices
from edge.field.harmless import harmless
from edge.model import Input, LinkChanged, iso
from edge.process import BadUsage, cancel_on_signals


class _Writer:
    """Lines of {"n": 1, "dir": "dev->host", "ts": "21:26:20.953", "hex": "0c 80"}; `ts` is the time of day in UTC."""

    def __init__(self, file: TextIO, clock: EdgeClock) -> None:
        self._file, self._clock = file, clock
        self.count = self.bytes = 0
        self.why = ""  # nothing comes, in words

    def tap(self, sent: bool, data: bytes) -> None:
        """These bytes go over the wire now."""
        self.count += 1
        self.bytes += 0 if sent else len(data)
        print(json.dumps({"n": self.count, "dir": "host->dev" if sent else "dev->host",
                          "ts": iso(self._clock.now())[11:23], "hex": data.hex(" ")}), file=self._file, flush=True)


    def decoded(self, inputs: Sequence[Input], at_s: float, more: bool) -> None:
        """The bytes alone count; and where none come, why."""
        self.why = next((one.reason for one in inputs if isinstance(one, LinkChanged)), self.why)


def run_capture(port: str, path: Path, driver: str, seconds: float, folder: Path | None) -> int:
    """`vigil capture`: 0, or 1 where the device sent nothing; no file where nothing was sent. Raises BadUsage."""
    spec, at = find_driver(driver, folder), place_of(port)
    if at.is_modbus or at.transport not in spec.transports:
        raise BadUsage(f"driver {spec.name!r} is not recorded at {at.transport}://; a capture is of a byte stream")
    logging.getLogger("edge.field").setLevel(logging.CRITICAL)
    try:
        file = path.open("x", encoding="utf-8")
    except OSError as wrong:
        raise BadUsage(f"{path}: cannot be written ({wrong.strerror}); give a file that is not there yet") from None
    clock = EdgeClock()
    with file:
        writer = _Writer(file, clock)
        uvloop.run(_record(at, spec, seconds, clock, writer))
    if not writer.count:
        path.unlink()
    print(f"{path}: {writer.count} records, {writer.bytes} bytes of the device"
          + ("" if writer.bytes else f": {writer.why or 'nothing came'}"))
    return 0 if writer.bytes else 1


async def _record(at: DeviceUrl, spec: Spec, seconds: float, clock: EdgeClock, writer: _Writer) -> None:
    devices = Devices(now=clock.now)
    devices.add("capture", spec.name, harmless(spec, known=True), at, decoded=writer.decoded, wave=_ignore_wave,
                tap=writer.tap)
    running = asyncio.ensure_future(devices.run())
    cancel_on_signals(running)
    await asyncio.wait([running], timeout=seconds)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


def _ignore_wave(wave: Wave, at_s: float) -> None:
    """The bytes alone count."""
