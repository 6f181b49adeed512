"""What a technician is told of a port on which no driver's device was found: by the bytes alone, and no more than they
show."""

from __future__ import annotations

import math
import random
from typing import cast

import pytest

import drivers
import simulators
from drivers.contract import FrameRequest, Spec
from edge.field.diagnosis import FEW, HELD, NOTHING, OTHER_BAUD, SLOWER, Tried, diagnose, recognise
from edge.field.link_state import OUR_OWN, Counters
from simulators.contract import Hands, Twin
from tests.helpers.dialogue_run import DialogueRun, StillPatient
from tests.helpers.golden_table import frames

SPECS = {name: spec for name, spec in drivers.find().items() if "serial" in spec.transports}
RNG = random.Random("diagnosis")
TEXT = b"P 097 R 71 SENSOR OK\r\nP 098 R 72 SENSOR OK\r\n" * 3


def with_parity(text: bytes, ones: int) -> bytes:
    """Seven bits and a parity bit, as eight bits show them: the number of ones is even (0) or odd (1)."""
    return bytes(byte | (0x80 if byte.bit_count() % 2 != ones else 0) for byte in text)


def read_faster(text: bytes, times: int) -> bytes:
    """What a reader sees who samples so many times in each bit: start, eight bits low first, stop, no pause."""
    line = "".join("0" + f"{byte:08b}"[::-1] + "1" for byte in text)
    line, seen, at = "".join(bit * times for bit in line), bytearray(), 0
    while (at := line.find("0", at)) >= 0 and at + 10 <= len(line):
        seen.append(int(line[at + 1 : at + 9][::-1], 2))
        at += 10
    return bytes(seen)


def read_slower(text: bytes, bits: float) -> bytes:
    """What a reader sees while so many bits go by in one of its own; without a stop bit Linux hands over 00."""
    line = "".join("0" + f"{byte:08b}"[::-1] + "1" for byte in text) + "1" * 400
    seen, at = bytearray(), 0.0
    while (at := float(line.find("0", math.ceil(at)))) >= 0:
        byte = [line[int(at + bits * (place + 1.5))] for place in range(9)]
        seen.append(int("".join(byte[7::-1]), 2) if byte[8] == "1" else 0)
        at = float(line.find("1", int(at + bits * 9.5)))
    return bytes(seen)


def crc(frame: bytes) -> bytes:
    value = 0xFFFF
    for byte in frame:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return frame + value.to_bytes(2, "little")


MODBUS = crc(bytes((17, 3, 0, 4, 0, 2))) + crc(bytes((17, 3, 4, 1, 2, 3, 4)))


@pytest.mark.parametrize(("raw", "said"), [
    (b"", NOTHING),
    (RNG.randbytes(400), OTHER_BAUD),
    (with_parity(TEXT, 0), "7 data bits with even parity, read as 8 bits: write ?bits=7&parity=E"),
    (with_parity(TEXT, 1), "7 data bits with odd parity, read as 8 bits: write ?bits=7&parity=O"),
    (TEXT, "text of a protocol that no driver knows: 'P 097 R 71 SENSOR OK\\r\\nP 098 R 72 SENSOR OK\\r\\nP 09'"),
    (read_faster(TEXT, 2), SLOWER),
    (read_faster(TEXT, 4), SLOWER),
    (read_faster(TEXT, 8), SLOWER),
    (bytes(40), HELD),
    (read_slower(TEXT * 4, 2), OTHER_BAUD),
    (read_slower(TEXT * 4, 6), OTHER_BAUD),
    (read_slower(TEXT * 9, 12), OTHER_BAUD),
    (MODBUS * 4, "Modbus RTU of unit 17: another master is on this line; for a device of ours write modbus+rtu://"),
    (b"MSH|^~\\&|MON|ICU|" * 4,
     "seen, but there is no driver for it: HL7 version 2 (MSH|...)"),
    (b"\nClinic box ttyS0\nlogin: \nlogin: \nlogin: \nlogin: \nlogin: \nlogin: \nlogin: \nlogin: ",
     "seen, but there is no driver for it: a computer's console (login:)"),
])
def test_bytes_that_come_by_themselves(raw: bytes, said: str) -> None:
    assert diagnose([], raw) == [said.format(bauds="")]


@pytest.mark.parametrize("answer", [b"\r\nERROR\r\n", b"\r\n+CME ERROR: 10\r\n", b"\r\nOK\r\n"])
@pytest.mark.parametrize("echoes", [True, False])
def test_a_modem_is_a_modem_whether_it_echoes_or_not(answer: bytes, echoes: bool) -> None:
    told = [Tried(spec, b"!QA\r", (b"!QA\r" if echoes else b"") + answer, Counters(since=0.0)) for spec in
            SPECS.values()]
    assert diagnose(told, b"") == ["seen, but there is no driver for it: a modem (OK, ERROR, NO CARRIER)"]


@pytest.mark.parametrize("talker", ["GP", "GN", "GL", "GA", "GB", "GI", "BD", "QZ"])
def test_a_positioning_receiver_is_one_whoever_made_it(talker: str) -> None:
    sentences = f"${talker}RMC,081836,A,3751.65,S*62\r\n${talker}GGA,134658.00,5106.9*60\r\n".encode() * 3
    assert diagnose([], sentences) == ["seen, but there is no driver for it: NMEA of a positioning receiver (GPS)"]


def test_a_few_bytes_say_nothing() -> None:
    assert diagnose([], b"\x1b\x00") == []


def tried(name: str, twin: Twin | None = None, seconds: float = 8.0) -> Tried:
    """One driver's turn at a port."""
    tapped = Tapped(twin or Deaf())
    run = DialogueRun(SPECS[name], tapped)
    run.open()
    run.run(seconds)
    return Tried(SPECS[name], bytes(tapped.sent), bytes(tapped.came), run.dialogue.counters)


class Tapped:
    """A twin, and what goes over its wire."""

    def __init__(self, twin: Twin) -> None:
        self.hands, self._twin = twin.hands, twin
        self.sent, self.came = bytearray(), bytearray()

    def connect(self) -> None:
        self._twin.connect()

    def step(self, dt_s: float) -> bytes:
        self.came += (came := self._twin.step(dt_s))
        return came

    def feed(self, data: bytes) -> bytes:
        self.sent += data
        self.came += (came := self._twin.feed(data))
        return came


class Deaf:
    """Nothing is on the port."""

    def __init__(self) -> None:
        self.hands: Hands = {}

    def connect(self) -> None: ...

    def step(self, dt_s: float) -> bytes:
        return b""

    def feed(self, data: bytes) -> bytes:
        return b""


class Echo(Deaf):
    """A loop-back plug."""

    def feed(self, data: bytes) -> bytes:
        return data


class Spoiled(Deaf):
    """A device whose frames have all one bit wrong."""

    def __init__(self, frame: bytes, at: int) -> None:
        super().__init__()
        self._frame = frame[:at] + bytes((frame[at] ^ 1,)) + frame[at + 1 :]
        self._left_s = 0.0

    def step(self, dt_s: float) -> bytes:
        self._left_s -= dt_s
        if self._left_s > 0:
            return b""
        self._left_s = 0.5
        return self._frame


ASKING = [name for name, spec in SPECS.items()
          if any(isinstance(one, FrameRequest) for one in spec.requests)]


@pytest.mark.parametrize("name", ASKING)
def test_a_loop_back_plug_is_our_own_bytes(name: str) -> None:
    assert diagnose([tried(name, Echo())], b"") == [OUR_OWN]


@pytest.mark.parametrize("name", ASKING)
def test_our_own_bytes_are_no_sign_of_life(name: str) -> None:
    """A board whose commands have the form of its frames would be live by itself."""
    run = DialogueRun(SPECS[name], Echo())
    run.open()
    run.run(20.0)
    assert [(state, reason) for _, state, reason in run.links()][-1:] == [("silent", OUR_OWN)]
    assert "live" not in {state for _, state, _ in run.links()}


def test_a_few_bytes_that_answered_are_shown() -> None:
    """Where nothing comes by itself either, a technician would look for a cable that is not broken."""
    answered = Tried(SPECS["graseby_3400"], b"<CHCK>93\r", b"<OK\x06\r", Counters(since=0.0, received=5))
    assert diagnose([answered], b"") == [FEW.format(count=5, shown="3c 4f 4b 06 0d")]


def test_silence_after_requests_is_silence() -> None:
    assert diagnose([tried(name) for name in ("alaris_gh", "nonin")], b"") == [NOTHING]


def test_frames_that_fail_their_check_are_called_by_their_driver() -> None:
    frame = next(row.frame for row in frames("alaris_gh") if row.name == "running" or b"INF^" in row.frame)
    spoiled = tried("alaris_gh", Spoiled(frame, 8))
    (said,) = diagnose([spoiled], b"")
    seen = spoiled.counters
    assert said.startswith(f"frames as of {SPECS['alaris_gh'].title} (driver alaris_gh), but {seen.bad} of {seen.bad}")


@pytest.mark.parametrize(("good", "says"), [(0, True), (1, False)])
def test_lines_of_which_none_is_good_may_be_another_s(good: int, says: bool) -> None:
    lines = b"ST,GS,+0012.3kg\r\n" * 9
    counted = Counters(since=0.0, frames=good, bad=9 - good, received=len(lines), dropped=0)
    (said,) = diagnose([Tried(SPECS["nellcor_ascii"], b"", lines, counted)], b"")
    assert ("; or the text of a protocol that no driver knows: 'ST,GS,+0012.3kg" in said) is says


def stream(name: str, seconds: int) -> bytes:
    twin = cast("Twin", simulators.find()[name].make(StillPatient(), 1))
    twin.connect()
    return b"".join(twin.step(0.1) for _ in range(seconds * 10))


STREAMS = [name for name, spec in SPECS.items() if spec.line.stream_bytes_s and not spec.requests]


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_recognised_whatever_line_it_came_on(name: str) -> None:
    specs: list[Spec] = list(SPECS.values())
    assert recognise(stream(name, 6), specs) is SPECS[name]
    assert recognise(RNG.randbytes(4000), specs) is None


def test_counters_alone_are_enough_for_nothing() -> None:
    assert diagnose([Tried(SPECS["nonin"], b"", b"", Counters(since=0.0))], b"") == [NOTHING]
