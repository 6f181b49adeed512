"""The wire: a pty that hangs up and comes back, a slow reader, a TCP port, and faults that are what they are called."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serial

from simulators.contract import Hands
from simulators.faults import KINDS, Faults, parse
from simulators.wire import MOST_WAITING, NEW_READER_S, Outbox, PtyWire, TcpWire


class Echo:
    """A twin that answers what it hears, and streams what it is given."""

    def __init__(self) -> None:
        self.hands: Hands = {}
        self.connects = 0
        self.stream = b""

    def connect(self) -> None:
        self.connects += 1

    def step(self, dt_s: float) -> bytes:
        return self.stream

    def feed(self, data: bytes) -> bytes:
        return data.upper()


class Tape(Echo):
    """A twin that plays something from a beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.rewound = 0

    def rewind(self) -> None:
        self.rewound += 1


def zero() -> float:
    return 0.0


async def until(what: Callable[[], object], tend: Callable[[], None] = lambda: None) -> None:
    """Give the loop turns until `what` is so."""
    for _ in range(2000):
        tend()
        if what():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came")


def open_port(path: str | Path) -> int:
    return os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)


def read_now(port: int) -> bytes | None:
    """What is there; None once the line has hung up."""
    try:
        return os.read(port, 65536) or None
    except BlockingIOError:
        return b""
    except OSError:
        return None


@pytest.fixture
def wires() -> Iterator[list[PtyWire]]:
    made: list[PtyWire] = []
    yield made
    for wire in made:
        wire.close()


async def test_a_twin_hears_and_answers_over_a_real_pty_without_echo(wires: list[PtyWire]) -> None:
    twin = Echo()
    wires.append(wire := PtyWire(twin, clock=zero))
    port = open_port(wire.path)
    heard = bytearray()

    def look() -> None:
        wire.tend()
        heard.extend(read_now(port) or b"")

    await until(lambda: wire.somebody, look)
    os.write(port, b"abc\r\x03\x11\xff")
    await until(lambda: len(heard) >= 7, look)
    assert bytes(heard) == b"ABC\r\x03\x11\xff"
    assert twin.connects == 1
    os.close(port)
    await until(lambda: not wire.somebody, wire.tend)


ABSENCES = [(0.2, 0), (NEW_READER_S - 0.1, 0), (NEW_READER_S, 1), (60.0, 1)]


@pytest.mark.parametrize(("away_s", "rewound"), ABSENCES)
async def test_a_new_reader_gets_a_tape_from_its_beginning_and_a_link_that_retries_does_not(
    wires: list[PtyWire], away_s: float, rewound: int
) -> None:
    now_s = [100.0]
    wires.append(wire := PtyWire(tape := Tape(), clock=lambda: now_s[0]))
    port = open_port(wire.path)
    await until(lambda: wire.somebody, wire.tend)
    now_s[0] += 10.0
    os.close(port)
    await until(lambda: not wire.somebody, wire.tend)
    now_s[0] += away_s
    port = open_port(wire.path)
    await until(lambda: wire.somebody, wire.tend)
    assert (tape.connects, tape.rewound) == (2, rewound)
    os.close(port)


@pytest.mark.parametrize(("away_s", "rewound"), ABSENCES)
async def test_so_it_is_at_a_tcp_port(away_s: float, rewound: int) -> None:
    now_s = [100.0]
    wire = TcpWire(clock=lambda: now_s[0], twin=(tape := Tape()))
    await wire.open()
    for after_s in (away_s, 0.0):
        _, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        await until(lambda: wire.connections)
        writer.close()
        await until(lambda: not wire.connections)
        now_s[0] += after_s
    assert (tape.connects, tape.rewound) == (2, rewound)
    wire.close()


async def test_what_is_said_while_nobody_listens_is_lost(wires: list[PtyWire]) -> None:
    twin = Echo()
    wires.append(wire := PtyWire(twin, clock=zero))
    twin.stream = b"old"
    for _ in range(5):
        wire.step(0.02)
        wire.tend()
    twin.stream = b""
    port = open_port(wire.path)
    await until(lambda: wire.somebody, wire.tend)
    assert read_now(port) == b""
    twin.stream = b"unread"
    wire.step(0.02)
    wire.tend()
    os.close(port)
    await until(lambda: not wire.somebody, wire.tend)
    twin.stream = b""
    port = open_port(wire.path)
    await until(lambda: wire.somebody, wire.tend)
    assert read_now(port) == b""
    assert twin.connects == 2
    os.close(port)


async def test_a_pulled_cable_hangs_up_and_the_link_leads_to_the_new_port(wires: list[PtyWire], tmp_path: Path) -> None:
    link = tmp_path / "chair-1-pump"
    wires.append(wire := PtyWire(Echo(), clock=zero, link=link))
    assert os.readlink(link) == wire.path
    port = open_port(link)
    await until(lambda: wire.somebody, wire.tend)
    wire.unplug()
    assert read_now(port) is None
    assert not link.is_symlink()
    with pytest.raises(FileNotFoundError):
        open_port(link)
    wire.step(1.0)
    wire.tend()
    wire.replug()
    again = open_port(link)
    await until(lambda: wire.somebody, wire.tend)
    os.write(again, b"x")
    await until(lambda: read_now(again) == b"X", wire.tend)
    assert read_now(port) is None
    os.close(port)
    os.close(again)


async def test_a_reader_that_stops_reading_neither_blocks_nor_grows_memory(wires: list[PtyWire]) -> None:
    twin = Echo()
    wires.append(wire := PtyWire(twin, clock=zero))
    port = open_port(wire.path)
    await until(lambda: wire.somebody, wire.tend)
    for number in range(3000):
        twin.stream = b"%04d " % number * 40
        wire.step(0.02)
        wire.tend()
    held = bytearray()
    twin.stream = b""
    for _ in range(200):
        held += read_now(port) or b""
        wire.tend()
    assert 4096 <= len(held) <= MOST_WAITING + 256 * 1024
    assert held.endswith(b"2999 ")  # the newest is there; what was lost lies between
    os.close(port)


@pytest.mark.slow
@pytest.mark.parametrize(("bits", "parity"), [(8, "N"), (8, "E"), (7, "E"), (8, "O")])
async def test_a_client_may_ask_for_any_line_setting_as_often_as_it_opens(
    wires: list[PtyWire], bits: int, parity: str
) -> None:
    wires.append(wire := PtyWire(Echo(), clock=zero))
    for _ in range(3):
        client = serial.Serial(wire.path, 19200, bytesize=bits, parity=parity, timeout=0)
        await until(lambda: wire.somebody, wire.tend)
        client.close()
        await until(lambda: not wire.somebody, wire.tend)


async def test_a_silenced_line_stays_up(wires: list[PtyWire]) -> None:
    wires.append(wire := PtyWire(Echo(), clock=zero))
    port = open_port(wire.path)
    await until(lambda: wire.somebody, wire.tend)
    wire.silence(True)
    os.write(port, b"a")
    for _ in range(20):
        wire.tend()
        await asyncio.sleep(0.001)
    assert read_now(port) == b""
    wire.silence(False)
    os.write(port, b"b")
    await until(lambda: read_now(port) == b"B", wire.tend)
    os.close(port)


@pytest.mark.slow
async def test_one_device_behind_a_tcp_port_speaks_to_all_and_can_be_cut_off() -> None:
    twin = Echo()
    wire = TcpWire(clock=zero, twin=twin)
    await wire.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    other, other_writer = await asyncio.open_connection("127.0.0.1", wire.port)
    await until(lambda: len(wire.connections) == 2)
    writer.write(b"hi")
    assert await reader.readexactly(2) == b"HI"
    twin.stream = b"tick"
    wire.step(1.0)
    wire.tend()
    assert await reader.readexactly(4) == await other.readexactly(4) == b"tick"
    wire.unplug()
    assert await reader.read() == await other.read() == b""
    wire.close()
    writer.close()
    other_writer.close()


# --- faults -----------------------------------------------------------------------------------------------------------

FRAME = bytes(range(32))


def sent(kind: str, seed: str = "1") -> list[tuple[float, bytes]]:
    return Faults({kind: 1.0}, seed).through(FRAME, 100.0)


def test_each_fault_is_what_it_is_called() -> None:
    ((_, flipped),) = sent("flip")
    assert sum((a ^ b).bit_count() for a, b in zip(FRAME, flipped, strict=True)) == 1
    assert sent("drop") == []
    assert sent("dup") == [(100.0, FRAME * 2)]
    ((_, dirty),) = sent("garbage")
    assert dirty.endswith(FRAME)
    assert len(FRAME) < len(dirty) <= len(FRAME) + 16
    assert all(FRAME.startswith(piece) and piece != FRAME for n in range(20) for _, piece in sent("truncate", str(n)))
    (first_s, head), (then_s, tail) = sent("split")
    assert head + tail == FRAME
    assert first_s <= then_s <= first_s + 0.2
    delays = [due_s - 100.0 for n in range(200) for due_s, _ in sent("delay", str(n))]
    assert 0.0 <= min(delays) < 0.3
    assert 2.7 < max(delays) <= 3.0
    assert Faults({"reset": 1.0}, "1").resets(FRAME)


def test_a_mute_device_says_nothing_for_a_while_and_then_speaks_again() -> None:
    faults = Faults({"mute": 0.05}, "7")
    heard = [bool(faults.through(FRAME, n * 0.1)) for n in range(2000)]
    assert not all(heard)
    assert heard.count(True) > 500


def test_a_rate_is_a_rate_and_the_same_seed_is_the_same_noise() -> None:
    seen: Counter[str] = Counter()

    def note(kind: str, data: bytes) -> None:
        seen[kind] += 1

    faults = Faults({"flip": 0.1, "drop": 0.02}, "s", note=note)
    first = [faults.through(FRAME, 0.0) for _ in range(5000)]
    again = Faults({"flip": 0.1, "drop": 0.02}, "s")
    assert [again.through(FRAME, 0.0) for _ in range(5000)] == first
    assert 400 < seen["flip"] < 600
    assert 60 < seen["drop"] < 150
    assert sum(pieces == [] for pieces in first) == seen["drop"]


def test_a_late_answer_holds_up_what_follows() -> None:
    now = [0.0]
    out = Outbox(lambda: now[0], Faults({"delay": 0.5}, "3"), lambda: None)
    frames = [bytes([n]) for n in range(50)]
    for frame in frames:
        out.put(frame)
    came = []
    for tick in range(400):
        now[0] = tick * 0.01
        while piece := out.take():
            came.append(piece)
        if tick == 0:
            assert len(came) < len(frames)
    assert came == frames


def test_a_device_that_resets_loses_what_was_under_way() -> None:
    resets = []
    out = Outbox(zero, Faults({"reset": 1.0}, "1"), lambda: resets.append(True))
    out.put(FRAME)
    assert out.take() == b""
    assert resets == [True]


def test_faults_are_written_kind_equals_rate() -> None:
    assert parse(["flip=0.01", "delay=1"]) == {"flip": 0.01, "delay": 1.0}
    for text in ("flip", "flip=", "flip=2", "flip=-1", "flip=nan", "sneeze=0.1", "=1"):
        with pytest.raises(ValueError, match="--fault " + text.replace("+", "")):
            parse([text])
    assert set(KINDS) >= {"flip", "drop", "dup", "garbage", "truncate", "split", "delay", "mute", "reset"}
