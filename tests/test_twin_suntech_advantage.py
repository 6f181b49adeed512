"""The SunTech twin as a program that is not ours sees it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from drivers.contract import Reading, Validity
from drivers.suntech_advantage.frames import encode
from drivers.suntech_advantage.requests import ABORT, BP_DATA, CUFF, VERSION_TEXT
from simulators.suntech_advantage import AdvantageTwin, ack
from tests.helpers.dialogue_run import StillPatient
from tests.helpers.suntech_bench import EMPTY, START, Bench

EXCHANGES: list[tuple[str, str]] = [
    ("3A 00 C6", "3E 04 4B 73"),
    ("3A 79 10 03 3A", "3E 05 00 00 BD"),
    ("3A 79 11 00 3C", "3E 05 00 00 BD"),
    ("3A 79 05 00 48", "3E 05 00 00 BD"),
    ("3A 17 A0 00 0F", "3E 04 4B 73"),
    ("3A 79 01 00 4C", "3E 04 41 7D"),
    ("3A 8A 3C", "3E 04 4B 73"),
    ("3A 0C 00 01 01 B8", "3E 04 4B 73"),
    ("3A 04 01 C1", "3E 04 4B 73"),
    ("3A 79 02 03 48", "3E 06 00 00 00 BC"),
    ("3A 20 A6", "3E 04 4F 6F"),
    ("3A 87 3F", "3E 04 4F 6F"),
    ("3A 28 9E", "3E 04 4F 6F"),
]


def twin_of(seed: int = 1) -> AdvantageTwin:
    return AdvantageTwin(StillPatient(), seed)


def lived(twin: AdvantageTwin, seconds: float) -> bytes:
    return b"".join(twin.step(0.1) for _ in range(round(seconds * 10)))


@pytest.mark.parametrize(("host", "module"), EXCHANGES)
def test_the_twin_answers_at_every_split(host: str, module: str) -> None:
    sent = bytes.fromhex(host)
    for at in range(len(sent)):
        twin = twin_of()
        assert twin.feed(b"\x00\x79" + sent[:at]) + twin.feed(sent[at:]) == bytes.fromhex(module)


def test_the_twin_takes_about_half_a_minute() -> None:
    for sbp, dbp in ((90.0, 50.0), (120.0, 76.0), (200.0, 110.0)):
        twin = AdvantageTwin(StillPatient(sbp_mmhg=sbp, dbp_mmhg=dbp, map_mmhg=(sbp + 2 * dbp) / 3), 1)
        twin.feed(START.frame)
        assert lived(twin, 20) == b""
        assert lived(twin, 15) == ack("K")
        assert twin.feed(BP_DATA.frame)[2:6] == bytes((round(sbp), 0, round(dbp), 0))


def test_the_twin_refuses_what_it_cannot_do_now() -> None:
    twin = twin_of()
    twin.feed(START.frame)
    for busy in (START.frame, BP_DATA.frame, bytes.fromhex("3A17A0000F")):
        assert twin.feed(busy) == ack("B")
    assert twin.feed(ABORT.frame) == ack("A")
    assert twin.feed(START.frame) == ack("B")
    assert lived(twin, 0.5) == ack("K")
    assert twin.feed(BP_DATA.frame)[20] == 86
    assert twin.feed(encode(b"\x3a", b"\x79\x77\x00")) == ack("N")
    assert twin.feed(encode(b"\x3a", b"\x55")) == ack("D")
    assert twin.feed(encode(b"\x3a", bytes((0x17, 0xFF, 0xFF)))) == ack("E")


@pytest.mark.parametrize("sent", [START.frame[:-1] + b"\x00", b"\x3a\x20", b"\x20\xa6", b"\x3a\x79\x05\x00\x49"])
def test_the_twin_keeps_silent_on_a_wrong_sum(sent: bytes) -> None:
    twin = twin_of()
    assert twin.feed(sent) == b""
    assert twin.phase == "idle"
    assert twin.feed(b"\x00\x00\x00" + CUFF.frame) == EMPTY


def test_the_twin_sleeps_and_wakes() -> None:
    twin = twin_of()
    assert twin.feed(encode(b"\x3a", b"\x81")) == ack("K")
    assert twin.feed(CUFF.frame) == ack("S")
    assert twin.feed(CUFF.frame) == EMPTY


def test_the_twin_rises_falls_and_can_be_reset() -> None:
    twin = twin_of()
    twin.feed(START.frame)
    pressures = [twin.pressure_mmhg for _ in range(250) if twin.step(0.1) == b""]
    top = pressures.index(max(pressures))
    assert 4.5 < top / 10 < 6.5
    assert all(later <= earlier for earlier, later in pairwise(pressures[top:]))
    twin.feed(encode(b"\x3a", b"\x8a"))
    assert (twin.phase, twin.pressure_mmhg) == ("idle", 0.0)
    assert lived(twin, 60) == b""


def test_the_twin_that_is_mute_says_nothing_at_all() -> None:
    twin = twin_of()
    twin.feed(START.frame)
    twin.hands["mute"]()
    assert twin.feed(CUFF.frame) + lived(twin, 60) == b""
    twin.hands["unmute"]()
    assert twin.feed(BP_DATA.frame)[7] == 1


def test_each_measurement_of_the_twin_has_its_own_number() -> None:
    twin = twin_of()
    frames = []
    for _ in range(2):
        twin.feed(START.frame)
        lived(twin, 40)
        frames.append(twin.feed(BP_DATA.frame))
    assert frames[0] != frames[1]
    assert frames[0][2:8] == frames[1][2:8]
    assert VERSION_TEXT.frame == bytes.fromhex("3A7902400B")
    assert Validity.VALID in {one.validity for one in Bench().result(frames[0]) if isinstance(one, Reading)}
