"""`vigil probe` finds each twin on its port by its own words, takes none for another, says when it finds nothing."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import tty
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import cast

import pytest
from serial import Serial

import drivers
import simulators
from drivers.contract import Decoded, FrameRequest, ModbusRequest, Request, Spec
from edge.cli.probe import _next, _words, place_of, run_probe
from edge.clock import EdgeClock
from edge.field.device_url import DeviceUrl, parse_device_url
from edge.field.diagnosis import foreign
from edge.field.discovery import FIRST_BYTE_S, SHORT_S, Found, longest_s, places, probe
from edge.field.harmless import harmless
from edge.field.link_state import Counters
from edge.field.ports import taken
from simulators.contract import ModbusTwin
from simulators.modbus import ModbusLine
from simulators.patient import SimulatedPatient
from simulators.wire import PtyWire
from tests.helpers.golden_table import wire
from tests.helpers.parts import slow_if
from tests.helpers.probing import ASKED, HERE, SERIAL, first_round, listens, responded, talk
from tests.helpers.tap import declared, looked_at, tapping

UNITS = range(1, 4)  # of the twins on Modbus
MEASURED = 23  # drivers, of which the times below are
MORE_S = 4.0  # of one more driver that asks: a short turn and a long one
BY_ITSELF = {"berry_pm6750", "contec_cms50", "masimo_ascii", "nonin"}  # sends once a second or oftener, unasked


class Twins(dict[str, str]):
    """Where each driver's can be reached; and the serial numbers that were found, which requests may name."""

    def __init__(self, places: Mapping[str, str]) -> None:
        super().__init__(places)
        self.serials: set[str | None] = {None}


@pytest.fixture(scope="module")
async def twins(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twins]:
    """One twin of every driver, each behind a tap: whatever was sent to it stands in a table, and is no more than a
    probe may send."""
    ports = tmp_path_factory.mktemp("ports")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge.cli", "simulate", "--json", "--ports", str(ports), stdout=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.DEVNULL)
    assert process.stdout is not None
    rows = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))["twins"]
    async with tapping(ports) as tap:
        twins = Twins({row["driver"]: await tap.on(row["at"]) for row in rows if "rtu" not in row["at"]})
        yield twins
    process.terminate()
    await process.wait()
    may = [request for spec in SPECS for serial in twins.serials for request in looked_at(spec, serial, known=False)]
    # on a serial line Modbus RTU comes last
    may += [FrameRequest(one.name, wire(one), effect=one.effect) for one in may if isinstance(one, ModbusRequest)]
    counts = [declared(line, dict.fromkeys(UNITS, may)) for line in tap.lines.values()]
    assert sum(count > 0 for count in counts) > len(counts) // 2, "what is overheard is not asked"


@pytest.mark.slow
async def test_each_device_is_found(twins: Twins) -> None:
    """All at the same time, each on its own port."""
    assert set(twins) == set(drivers.find())
    now = EdgeClock().now
    every = await asyncio.gather(*(probe(place_of(at), list(drivers.find().values()), now=now)
                                   for at in twins.values()))
    for driver, (tried, _) in zip(twins, every, strict=True):
        found = {one.spec.name: one for one in tried if one.fits}
        assert list(found) == [driver]
        one = found[driver]
        twins.serials.add(one.identity)
        assert (one.counters.bad, str(one.at)) == (0, twins[driver])
        if driver in BY_ITSELF:
            assert tried == [one], "what is overheard has its turn first"
        if driver == "alaris_gh":
            assert (one.identity or "").startswith("8002-5")
        if driver == "suntech_advantage":
            assert "sbp_mmhg" not in one.metrics, "a probe inflates nothing"


@pytest.mark.slow
async def test_what_the_verb_says_of_a_find(twins: Twins) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge.cli", "probe", "--json", twins["nonin"], stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    told = json.loads(said)
    assert process.returncode == 0
    assert [(one["driver"], one["at"]) for one in told["found"]] == [("nonin", twins["nonin"])]
    assert [one["driver"] for one in told["tried"]] == ["nonin"]
    assert told["took_s"] > 0


def test_the_turns_of_a_port() -> None:
    """Those that only ask, then those that set how a device sends, then those that send nothing, then Modbus RTU."""
    turns = places(HERE, list(drivers.find().values()))
    order = [(spec.name, place.transport) for spec, place in turns]
    assert sorted(name for name, _ in order) == sorted(drivers.find()), "each has a turn"
    kinds = [_kind(spec) if place == HERE else "rtu" for spec, place in turns]
    assert kinds == sorted(kinds, key=["asks", "mode", "nothing", "rtu"].index)
    assert {name for name, transport in order if transport == "modbus+rtu"} == {"isco", "modbus_vitals", "vindum"}


def _kind(spec: Spec) -> str:
    still = harmless(spec, known=False)
    if not still.requests:
        return "nothing"
    return "mode" if any(one.effect == "mode" for one in still.driver().on_open()) else "asks"


@pytest.mark.parametrize(("port", "first_s", "whole_s"), [("tcp://127.0.0.1:4001", 20, 72), ("/dev/pts/0", 22, 82)])
def test_whoever_must_be_asked_has_been_asked_in_time(port: str, first_s: float, whole_s: float) -> None:
    at, specs = place_of(port), list(drivers.find().values())
    asked = sum(SHORT_S for spec, _ in places(at, specs) if harmless(spec, known=False).requests)
    more = len(specs) - MEASURED  # each has its turn; for one more nobody touches this file
    assert FIRST_BYTE_S + asked <= first_s + more * SHORT_S
    assert longest_s(at, specs) <= whole_s + more * MORE_S


class Inflates:
    """A driver of somebody's own: it starts its cuff whenever it may say anything."""

    START = FrameRequest("start", b"GO", effect="start_cuff")
    NEONATE = FrameRequest("neonate", b"N", effect="mode")
    WHO = FrameRequest("who", b"?", effect="identify")

    def __init__(self) -> None:
        self.framing = SERIAL["nonin"].driver().framing

    def on_open(self) -> Sequence[Request]:
        return [self.START, self.NEONATE, self.WHO]

    def next_request(self, at_s: float) -> Request | None:
        return self.START

    def is_response(self, frame: bytes, request: Request) -> bool:
        return False

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        return []

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        return []


@pytest.mark.parametrize(("known", "opens"), [(False, [Inflates.WHO]), (True, [Inflates.NEONATE, Inflates.WHO])])
def test_nothing_inflates_a_cuff_to_see_what_is_there(known: bool, opens: list[Request]) -> None:
    spec = replace(SERIAL["nonin"], make=lambda settings: Inflates(), settings={},
                   requests=(Inflates.START, Inflates.NEONATE, Inflates.WHO))
    driver = harmless(spec, known=known).driver()
    assert (driver.on_open(), driver.next_request(9999.0)) == (opens, None)


def test_a_port_that_does_not_open_is_said_before_any_driver_listens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.field.discovery._listen", None)
    assert run_probe(str(tmp_path / "ttyUSB9"), as_json=False) == 1
    said = capsys.readouterr().out.splitlines()
    assert said == [f"{tmp_path}/ttyUSB9: cannot be asked: {tmp_path}/ttyUSB9 is not there",
                    "next: plug it in; vigil ports lists the ports there are, each by the name to use"]


def test_what_is_no_port_is_said_and_nobody_is_asked_to_end_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_probe("/dev/null", as_json=False) == 1
    assert capsys.readouterr().out.splitlines() == [
        "/dev/null: cannot be asked: /dev/null is no serial port",
        "next: vigil ports lists the ports there are, each by the name to use"]


@pytest.mark.parametrize(("says", "raw", "words"), [
    pytest.param(b"", "", "nothing comes by itself, and nobody answers", marks=pytest.mark.slow),
    (b"MSH|^~\\&|LAB|A|B|C|2026\r" * 3, "4d 53 48 7c", "seen, but there is no driver for it: HL7 version 2"),
])
def test_a_dumb_port_is_said_to_be_dumb_and_a_stranger_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], says: bytes, raw: str, words: str
) -> None:
    monkeypatch.setattr("edge.field.discovery.listens_s", lambda spec: 0.2)
    for name, seconds in (("SHORT_S", 0.1), ("LISTEN_S", 0.2), ("FIRST_BYTE_S", 0.1), ("STREAM_S", 0.2)):
        monkeypatch.setattr(f"edge.field.discovery.{name}", seconds)
    master, slave = os.openpty()
    tty.setraw(slave)
    talking = threading.Event()

    def talk_on() -> None:
        while not talking.wait(0.02):  # whoever opens the port throws away what came before
            os.write(master, says)

    talker = threading.Thread(target=talk_on)
    if says:
        talker.start()
    try:
        code, said = run_probe(os.ttyname(slave), as_json=True), json.loads(capsys.readouterr().out)
    finally:
        talking.set()
        if says:
            talker.join()
        os.close(master)
        os.close(slave)
    assert (code, said["found"], said["raw"][: len(raw)]) == (1, [], raw)
    assert words in " ".join(said["words"])


def test_what_is_said_where_nothing_is_found() -> None:
    tried = [Found(spec, HERE) for spec in SERIAL.values()]
    names = ", ".join(SERIAL)
    asked = f"/dev/ttyUSB0: none of the drivers found its device ({names})"
    silent = ("nothing comes by itself, and nobody answers: look at the cable, the device's power, its own output"
              " setting, and its baud rate and parity, which one that has to be asked must share")
    assert _words("/dev/ttyUSB0", tried, [], b"") == [asked, silent]
    tried[3].came += b"\x15"
    assert _words("/dev/ttyUSB0", tried, [], b"") == [asked, "nothing comes by itself"]
    assert _words("/dev/ttyUSB0", tried, [], b"\x1b\x00") == [asked, "what comes by itself: 1b 00"]


SPECS = list(drivers.find().values())
UNIT_1 = parse_device_url("modbus+rtu:///dev/ttyUSB0?unit=1")


def after(tried: Sequence[Found], *, lost: bool = False, held: Sequence[str] = (), at: DeviceUrl = HERE,
          known: bool = False) -> list[str]:
    found = [] if lost else [one for one in tried if one.state == "live"]
    return list(_next(at, list(tried), found, lost, list(held), known=known))


def seen(name: str, at: DeviceUrl = HERE, *, state: str = "live", **counts: int) -> Found:
    return Found(drivers.find()[name], at, Counters(since=0.0, **counts), state)


@pytest.mark.parametrize(("said", "begins"), [
    (after([seen("nonin", state="lost")], lost=True, held=["minicom (process 7)"]),
     ["next: end the program that has this port: minicom (process 7)"]),
    (after([seen("nonin", received=100, understood=100)], held=["cat /dev/ttyUSB0 (process 7)"]),
     ["other programs have this port open and take some of its bytes: cat /dev/ttyUSB0 (process 7)"]),
    (after([seen("nonin", state="lost")], lost=True), ["next: plug it in"]),
    (after([seen("nonin", state="lost")], lost=True, at=parse_device_url("tcp://10.0.0.7:4001")),
     ["next: look at the address"]),
    (after([seen("nonin", received=1000, dropped=100)]), []),
    (after([seen("nonin", received=1000, dropped=101)]), ["101 of 1000 bytes are not its own"]),
    (after([seen("isco", UNIT_1)]),
     ["others on this line have a unit number each: vigil probe 'modbus+rtu:///dev/ttyUSB0?unit=2'"]),
    (after([seen("new_era", state="silent"), seen("isco", UNIT_1, state="silent")]),
     ["a New Era pump in safe mode is not asked", "a Modbus device has a unit number of its own, and unit 1 was asked;"
      " another one: vigil probe 'modbus+rtu:///dev/ttyUSB0?unit=2'", "next: vigil devices NAME says"]),
    (after([seen("new_era", state="silent"), seen("isco", UNIT_1, state="silent")], known=True),
     ["next: vigil devices NAME says"]),
])
def test_each_outcome_says_what_to_do_about_it(said: list[str], begins: list[str]) -> None:
    assert [line.startswith(first) for line, first in zip(said, begins, strict=True)] == [True] * len(begins)


@pytest.mark.slow
async def test_two_units_on_one_line_are_found_by_their_numbers() -> None:
    loop = asyncio.get_running_loop()
    units = {unit: cast("ModbusTwin", simulators.find()["modbus_vitals"].make(SimulatedPatient(1), unit))
             for unit in (12, 247)}
    wire = PtyWire(ModbusLine(units, "rtu", loop.time), clock=loop.time)

    async def live() -> None:
        while True:
            for twin in units.values():
                twin.step(0.01)
            wire.tend()
            await asyncio.sleep(0.01)

    living = asyncio.ensure_future(live())
    for unit in units:
        at = parse_device_url(f"modbus+rtu://{wire.path}?unit={unit}&parity=N")
        (found,), _ = await probe(at, SPECS, now=loop.time)
        assert (found.spec.name, found.identity, found.at.unit) == ("modbus_vitals", str(5000 + unit), unit)
    living.cancel()
    wire.close()


@pytest.mark.parametrize("place", ["serial://{}", "modbus+rtu://{}?unit=247"])
async def test_a_port_that_is_in_use_is_left_alone(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has it loses no byte, and the line carries none of ours."""
    monkeypatch.setattr("edge.field.discovery._listen", None)
    master, slave = os.openpty()
    in_use, said = Serial(os.ttyname(slave), exclusive=True, timeout=5), b"to the one that has it"
    os.set_blocking(master, False)
    try:
        os.write(master, said)
        tried, raw = await probe(parse_device_url(place.format(in_use.port)), SPECS, now=EdgeClock().now)
        assert {one.reason for one in tried} == {f"{in_use.port} is in use by another program"}
        assert (raw, in_use.read(len(said))) == (b"", said)  # the kernel hands them over when it gets to it
        with pytest.raises(BlockingIOError):
            os.read(master, 1)
    finally:
        in_use.close()
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(("host", "place"), [
    ("127.0.0.1", "tcp://127.0.0.1:{}"), ("127.0.0.1", "tcp://localhost:{}"),
    ("127.0.0.1", "modbus+tcp://127.0.0.1:{}?unit=1"), ("::1", "tcp://[::1]:{}"),
])
async def test_a_terminal_server_that_is_in_use_is_left_alone(
    host: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may give up the one that has it, as the service, for the next: no second connection is tried."""
    monkeypatch.setattr("edge.field.discovery._opens", None)
    came: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: came.append(writer), host, 0)
    port = server.sockets[0].getsockname()[1]
    at = parse_device_url(place.format(port))
    assert taken(at) == "", "nobody is there yet"
    _, in_use = await asyncio.open_connection(host, port)
    tried, raw = await probe(at, SPECS, now=EdgeClock().now)
    assert {one.reason for one in tried} == {f"{at.endpoint} is in use by another program of this machine"}
    assert (raw, len(came)) == (b"", 1)
    for writer in (in_use, *came):
        writer.close()
    server.close()


@pytest.mark.slow
async def test_an_adapter_that_is_pulled_ends_the_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was found before, and without a turn for each of the others."""
    link, turns = tmp_path / "ttyUSB0", []
    master, slave = os.openpty()
    link.symlink_to(os.ttyname(slave))
    monkeypatch.setattr("edge.field.discovery.FIRST_BYTE_S", 0.05)

    async def listen(at: DeviceUrl, found: Found, *others: object, quiet: bool) -> None:
        turns.append(found.spec.name)
        if len(turns) == 3:
            link.unlink()
            found.state, found.reason = "lost", f"{link} hung up"

    monkeypatch.setattr("edge.field.discovery._listen", listen)
    try:
        tried, _ = await probe(parse_device_url(f"serial://{link}"), SPECS, now=EdgeClock().now)
    finally:
        os.close(master)
        os.close(slave)
    assert len(turns) == 3
    assert [one.reason for one in tried] == [f"{link} is not there: it went away while it was probed"]


async def test_another_s_stream_that_is_known_needs_no_turns(
        monkeypatch: pytest.MonkeyPatch) -> None:
    async def overhear(at: DeviceUrl, fitting: list[Spec]) -> tuple[bytes, None]:
        return b"$BDGSV,4,1,13,02,63,161*71\r\n$GNRMC,081836,A,3751.65,S*62\r\n" * 3, None

    async def opens(at: DeviceUrl, fitting: list[Spec]) -> str:
        return ""

    monkeypatch.setattr("edge.field.discovery._listen", None)
    monkeypatch.setattr("edge.field.discovery._overhear", overhear)
    monkeypatch.setattr("edge.field.discovery._opens", opens)
    tried, raw = await probe(HERE, SPECS, now=EdgeClock().now)
    assert tried == []
    assert _words("/dev/ttyUSB0", tried, [], raw) == ["/dev/ttyUSB0: none of our devices"]
    assert foreign(raw) == "seen, but there is no driver for it: NMEA of a positioning receiver (GPS)"


# --- one talk, told the time: whose is it? ---------------------------------------------------------------------------

SEEDS = range(8)

TALKS = [*((name, None) for name in SERIAL), *(("nonin", format_) for format_ in ("df2", "df8"))]


@pytest.mark.parametrize(("driver", "name", "format_"), [  # the fast part takes each driver's own, and samples
    pytest.param(driver, *talk, marks=slow_if(driver != talk[0] and number % 6 != 0))
    for number, (driver, talk) in enumerate(product(SERIAL, TALKS))])
def test_a_talk_belongs_to_its_own_driver(driver: str, name: str, format_: str | None) -> None:
    """Any stretch of any device's talk, at whatever moment it is met, on a line without a speed (TCP, a pty)."""
    fits = [listens(SERIAL[driver], talk(name, seed, format_)).fits for seed in SEEDS]
    assert fits == [driver == name] * len(SEEDS)


def test_lucky_frames_among_noise_are_no_find() -> None:
    """A Nonin's pleth holds whole packets of the Contec's protocol, which has no checksum."""
    lucky = [listens(SERIAL["contec_cms60"], talk("nonin", seed)) for seed in SEEDS]
    assert any(found.counters.frames >= 2 for found in lucky), "the noise is lucky enough to be worth this test"
    assert not any(found.fits for found in lucky)


@pytest.mark.parametrize("name", [pytest.param(spec.name, marks=slow_if(number % 4 != 2))  # dinamap among them
                                  for number, spec in enumerate(ASKED)])
def test_a_device_that_does_not_see_the_port_close_is_found_in_the_first_round(name: str) -> None:
    """What the driver before has asked stands in its input: its own first request must be understood all the same."""
    assert [found.spec.name for found in first_round(talk(name, 1)) if responded(found)] == [name]
