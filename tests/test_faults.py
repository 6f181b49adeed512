"""Each way in which a wire lies is what it is called; the cable's and Modbus' among them."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from simulators.contract import Hands
from simulators.faults import ALIASES, EXCEPTIONS, KINDS, Faults, parse
from simulators.isco import IscoTwin
from simulators.modbus import ModbusLine, respond
from simulators.patient import SimulatedPatient
from simulators.wire import PtyWire, TcpWire

FRAME = bytes(range(32))


def through(rates: dict[str, float], *sent: bytes, request: bytes = b"", seed: str = "1") -> list[tuple[float, bytes]]:
    """What comes of transmissions a second apart, from second 100 on, each after `request`."""
    faults, came = Faults(rates, seed), []
    for number, data in enumerate(sent):
        faults.heard(request)
        came += faults.through(data, 100.0 + number)
    return came


def test_a_stray_byte_comes_before() -> None:
    ((_, dirty),) = through({"stray": 1.0}, FRAME)
    assert (len(dirty), dirty[1:]) == (33, FRAME)


def test_an_echo_is_the_hosts_own_bytes() -> None:
    assert through({"echo": 1.0}, FRAME, request=b"?\r") == [(100.0, b"?\r" + FRAME)]
    assert through({"echo": 1.0}, FRAME) == [(100.0, FRAME)], "what streams is no response"


def test_two_transmissions_change_places() -> None:
    assert through({"swap": 1.0}, b"one", b"two", b"three") == [(101.0, b"twoone")]


def test_a_flood_is_random_bytes_for_a_while() -> None:
    (first, *flood) = through({"flood": 1.0}, FRAME)
    assert first == (100.0, FRAME)
    assert 0 < len(flood) <= 100
    assert max(due_s for due_s, _ in flood) <= 105.0


def test_a_frozen_device_repeats_what_it_said_to_the_same_request() -> None:
    faults = Faults({"freeze": 1.0}, "4")
    said = []
    for number, (request, data) in enumerate([(b"a", b"A0"), (b"b", b"B0"), (b"a", b"A1"), (b"b", b"B1")]):
        faults.heard(request)
        said += [piece for _, piece in faults.through(data, number * 0.01)]
    assert said == [b"A0", b"B0", b"A0", b"B0"]


def test_a_stall_holds_everything_back_and_hands_it_over_at_once() -> None:
    came = through({"stall": 0.3}, *([FRAME] * 40))
    late = [due_s for due_s, _ in came if due_s != int(due_s)]
    assert len(came) == 40
    assert len(late) > len(set(late)) > 0


def test_a_terminal_server_hands_over_what_it_kept() -> None:
    faults = Faults({"stale": 1.0}, "1")
    assert faults.opened() == b""
    for _ in range(100):
        faults.through(FRAME, 0.0)
    assert faults.opened() == (FRAME * 100)[-2048:]
    assert faults.opened() == b"", "once"


@pytest.mark.parametrize(("kind", "moves"), [("path", 2), ("unplug", 2), ("flap", 6)])
def test_a_cable_goes_out_and_comes_back(kind: str, moves: int) -> None:
    found = Faults({}, "1").cable(kind, 100.0)
    assert [plugged for _, plugged in found] == [False, True] * (moves // 2)
    assert [at_s for at_s, _ in found] == sorted(at_s for at_s, _ in found)
    assert 100.0 <= found[-1][0] <= 110.0


def test_the_names_in_use_lead_to_the_kinds() -> None:
    assert parse(["late=0.1", "word-order=0.2"]) == {"delay": 0.1, "words": 0.2}
    assert set(ALIASES.values()) <= set(KINDS)
    readme = (Path(__file__).parent.parent / "simulators" / "README.md").read_text()
    assert [kind for kind in KINDS if f"`{kind}`" not in readme] == []


# --- Modbus -----------------------------------------------------------------------------------------------------------


def pdu(function: int, address: int, count: int) -> bytes:
    return struct.pack(">BHH", function, address, count)


def answered(rates: dict[str, float], *requests: bytes) -> list[tuple[int, bytes]]:
    twin, faults = IscoTwin(SimulatedPatient(1)), Faults(rates, "1")
    return [faults.modbus(1, request, lambda one: respond(twin, one)) for request in requests]


GOOD = respond(IscoTwin(SimulatedPatient(1)), pdu(3, 76, 2))


def test_modbus_lies_in_good_frames() -> None:
    assert answered({}, pdu(3, 76, 2)) == [(1, GOOD)]
    assert answered({"words": 1.0}, pdu(3, 76, 2)) == [(1, GOOD[:2] + GOOD[4:6] + GOOD[2:4])]
    assert answered({"shift": 1.0}, pdu(3, 76, 2)) == [(1, GOOD[:2] + GOOD[4:6] + bytes(2))]
    assert answered({"unit": 1.0}, pdu(3, 76, 2)) == [(2, GOOD)]
    ((_, refused),) = answered({"exception": 1.0}, pdu(3, 76, 2))
    assert refused[0] == 0x83 and refused[1] in EXCEPTIONS
    first, other = answered({"wrong": 1.0}, pdu(3, 74, 2), pdu(3, 76, 2))
    assert other == first, "the registers of the request before it"


def test_a_bus_with_faults_lies_too() -> None:
    twin = IscoTwin(SimulatedPatient(1))
    line = ModbusLine({1: twin}, "tcp", lambda: 0.0, Faults({"words": 1.0}, "1"))
    frame = struct.pack(">HHHB", 7, 0, 6, 1) + pdu(3, 76, 2)
    assert line.feed(frame)[7:] == GOOD[:2] + GOOD[4:6] + GOOD[2:4]


# --- on real wires ----------------------------------------------------------------------------------------------------


class Talker:
    """A twin that says a word whenever it is asked."""

    def __init__(self) -> None:
        self.hands: Hands = {}

    def connect(self) -> None: ...

    def step(self, dt_s: float) -> bytes:
        return b"."

    def feed(self, data: bytes) -> bytes:
        return data.upper()


async def until(what: Callable[[], object], tend: Callable[[], None] = lambda: None) -> None:
    for _ in range(2000):
        tend()
        if what():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came")


async def test_an_adapter_comes_back_under_its_name_as_another_port(tmp_path: Path) -> None:
    now = [0.0]
    wire = PtyWire(Talker(), clock=lambda: now[0], faults=Faults({"path": 1.0}, "1"), link=tmp_path / "oximeter")
    before = wire.path
    reader = open(tmp_path / "oximeter", "rb", buffering=0)  # noqa: ASYNC230, SIM115 - a pty, and it is left open
    await until(lambda: wire.somebody, wire.tend)
    wire.step(1.0)
    wire.tend()
    assert wire.path != before
    assert (tmp_path / "oximeter").resolve() == Path(wire.path)
    reader.close()
    wire.close()


async def test_an_unplugged_adapter_is_away_and_comes_back(tmp_path: Path) -> None:
    now = [0.0]
    wire = PtyWire(Talker(), clock=lambda: now[0], faults=Faults({"unplug": 1.0}, "1"), link=tmp_path / "oximeter")
    reader = open(wire.path, "rb", buffering=0)  # noqa: ASYNC230, SIM115
    await until(lambda: wire.somebody, wire.tend)
    wire.step(1.0)
    wire.tend()
    assert not (tmp_path / "oximeter").exists()
    now[0] = 10.0
    wire.tend()
    assert (tmp_path / "oximeter").exists()
    reader.close()
    wire.close()


async def test_a_second_connection_closes_the_first_where_only_one_may_be() -> None:
    wire = TcpWire(clock=lambda: 0.0, twin=Talker(), faults=Faults({"one": 1.0}, "1"))
    await wire.open()
    first, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    await until(lambda: len(wire.connections) == 1)
    _, other = await asyncio.open_connection("127.0.0.1", wire.port)
    with suppress(ConnectionResetError):
        assert await asyncio.wait_for(first.read(), 5) == b""
    await until(lambda: len(wire.connections) == 1)
    for one in (writer, other):
        one.close()
    wire.close()
