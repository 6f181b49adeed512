"""A tap on every port, serial, TCP and Modbus: nothing is ever sent but requests of the golden tables, and none that
does more than it may, at a bed and in a check. The same tap stands on the probe's ports (test_probe.py), on those of a
recording (test_check.py) and of the demonstration (test_demo_wire.py).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

import drivers
import simulators
from drivers.contract import ModbusRequest, Request, Wave
from edge.field.acceptance import check
from edge.field.device_url import DeviceUrl, parse_device_url
from edge.field.devices import Devices
from edge.model import Input
from simulators.scenario import catalogue
from tests.helpers.golden_table import requests, wire
from tests.helpers.stage_run import staged
from tests.helpers.tap import Line, Tap, Undeclared, declared, in_service, looked_at, tapping
from tests.helpers.waiting import until

SPECS = drivers.find()
PLACES = {"tcp": "modbus+tcp://10.0.0.9?unit=3", "rtu": "modbus+rtu:///dev/ttyUSB0?unit=3"}
READ = ModbusRequest("flow", 3, 74, 2, effect="read")
PDU = bytes.fromhex("03 004A 0002")
RTU = bytes.fromhex("03 03 004A 0002 E43F")  # the serial line guide's CRC, low byte first
TCP = bytes.fromhex("0001 0000 0006 03 03 004A 0002")


def test_the_table_is_what_the_tap_lets_through() -> None:
    """The driver's requests are the golden table's rows: the tap may ask the driver."""
    for name, spec in SPECS.items():
        assert {wire(one) for one in spec.requests} == {row.frame for row in requests(name)}, name


@pytest.mark.parametrize(("place", "sent", "says"), [
    ("tcp", TCP, ""), ("tcp", TCP * 3, ""), ("rtu", RTU * 3, ""), ("tcp", b"", ""),
    ("tcp", TCP.replace(b"\x4a", b"\x4b"), "unit 3 was sent 03 00 4b 00 02"),
    ("tcp", TCP[:6] + b"\x04" + TCP[7:], "unit 4 was sent"), ("tcp", TCP[:-1], "no Modbus TCP request"),
    ("tcp", bytes.fromhex("0001 0000 0006 03 06 004A 0002"), "unit 3 was sent 06"),  # a write
    ("rtu", RTU[:-1], "no read on Modbus RTU"), ("rtu", RTU[1:] + RTU, "no read on Modbus RTU"),
    ("rtu", RTU + b"\x00", "no read on Modbus RTU"),
])
def test_a_modbus_request_that_is_none_is_told(place: str, sent: bytes, says: str) -> None:
    line = Line(parse_device_url(PLACES[place]), [bytearray(sent)])
    if not says:
        assert declared(line, {3: [READ]}) == len(sent) // len(TCP if place == "tcp" else RTU)
        return
    with pytest.raises(Undeclared, match=says):
        declared(line, {3: [READ]})


def test_a_byte_that_stands_in_no_table_is_told() -> None:
    spec = SPECS["suntech_advantage"]
    one = next(row for row in requests(spec.name) if row.effect == "start_cuff").frame
    line = Line(parse_device_url("serial:///dev/ttyUSB0"), [bytearray(one * 2)])
    assert declared(line, {1: in_service(spec)}) == 2
    for known in (True, False):
        with pytest.raises(Undeclared, match="after 0 requests"):
            declared(line, {1: looked_at(spec, known=known)})
    line.sent.append(bytearray(one + b"\x00"))
    with pytest.raises(Undeclared, match=r"after 1 requests was sent 00, which no table has"):
        declared(line, {1: in_service(spec)})


def test_a_stop_of_a_pump_is_not_let_through() -> None:
    stop = next(row.frame for row in requests("new_era") if row.effect == "stop_pump")
    line = Line(parse_device_url("tcp://10.0.0.7:4001"), [bytearray(stop)])
    with pytest.raises(Undeclared):
        declared(line, {1: in_service(SPECS["new_era"])})


# --- every device, on real ptys and TCP -------------------------------------------------------------------------------


class Ward:
    """A twin of every driver on every transport it has, behind a tap each."""

    def __init__(self, tap: Tap) -> None:
        self.tap = tap
        self.places: dict[str, tuple[str, DeviceUrl, DeviceUrl]] = {}  # by device: driver, the twin's place, the tap's
        self.serials: dict[str, str | None] = {}

    def hold(self, may: Callable[[str, str | None], list[Request]]) -> dict[str, int]:
        """How many requests each port was sent, each one that its driver may send. Forgets them."""
        allowed: dict[str, dict[int, list[Request]]] = defaultdict(dict)
        for device, (driver, at, _) in self.places.items():
            allowed[at.endpoint][at.unit] = may(driver, self.serials.get(device))
        counts = {place: declared(line, allowed[place]) for place, line in self.tap.lines.items()}
        for line in self.tap.lines.values():
            line.sent = [bytearray() for _ in line.sent]
        return counts

    def asked(self, *kinds: str) -> set[str]:
        """The ports whose drivers ask anything at all, of these kinds."""
        return {at.endpoint for driver, at, _ in self.places.values()
                if SPECS[driver].requests and SPECS[driver].kind in kinds}


@pytest.fixture
async def ward(tmp_path: Path) -> AsyncIterator[Ward]:
    twins = simulators.find()
    async with staged(catalogue(list(twins), twins), twins) as stage, tapping(tmp_path) as tap:
        living = asyncio.ensure_future(stage.run())
        ward = Ward(tap)
        for row in stage.rows:
            ward.places[row.device] = row.driver, parse_device_url(row.at), parse_device_url(await tap.on(row.at))
        yield ward
        living.cancel()
        with suppress(asyncio.CancelledError):
            await living


def nowhere(inputs: Sequence[Input], at_s: float, more: bool) -> None:
    """What was sent is what counts."""


def no_wave(wave: Wave, at_s: float) -> None:
    """Likewise."""


@pytest.mark.slow
async def test_at_a_bed_and_in_a_check_only_what_is_declared_is_sent(ward: Ward) -> None:
    now = asyncio.get_running_loop().time
    devices = Devices(now=now)
    settings = {name: {"start_s": 1.0} for name, spec in SPECS.items() if "start_s" in spec.settings}
    links = {device: devices.add("chair-1", device, SPECS[driver], at, decoded=nowhere, wave=no_wave,
                                 settings=settings.get(driver)).link
             for device, (driver, _, at) in ward.places.items()}
    running = asyncio.ensure_future(devices.run())
    await until(lambda: all(link.up for link in links.values()), 20, "every device is live")
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    ward.serials = {device: link.serial for device, link in links.items()}
    counts = ward.hold(lambda driver, serial: in_service(SPECS[driver], serial))
    assert {place for place, count in counts.items() if count} == ward.asked("pump", "nibp", "oximeter", "monitor")

    async def checked(driver: str, at: DeviceUrl) -> None:
        await check(at, SPECS[driver], 0.5, now=now)

    alone = {at.endpoint: (driver, at) for driver, _, at in ward.places.values()}  # one master a line
    await asyncio.gather(*(checked(driver, at) for driver, at in alone.values()))
    counts = ward.hold(lambda driver, serial: looked_at(SPECS[driver], serial, known=True))
    streams = {place for place, count in counts.items() if not count}
    assert not streams & ward.asked("pump", "nibp"), "one that sends by itself may be live before it is asked"
