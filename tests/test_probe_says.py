"""What `vigil probe` says of every driver's device behind a line that is wrong: one table, in told time."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from edge.field.diagnosis import BY_ITSELF, OTHER_BAUD
from edge.field.link_state import OUR_OWN
from simulators.contract import Hands
from tests.helpers.parts import slow_if
from tests.helpers.probing import SERIAL, talk
from tests.helpers.spoilt_line import Spoilt, noise, read_as, said_of

TEXT = ("masimo_ascii", "nellcor_ascii")  # these send by themselves, in text
BINARY = ("berry_pm6750", "contec_cms50", "dinamap_binary", "nonin")
ASKED = tuple(name for name in SERIAL if name not in (*TEXT, *BINARY))
SLOWER, ZEROS = "bytes like long runs of equal bits: the device sends at a lower", "nothing but zeros: the device sends"
ALONE = "it answers the requests of "
NOISY = "whole frames as of "

WRONG_LINES = [  # whose, how fast the device sends, with which bits and parity, and what is said of it
    *((name, 0.5, 8, "N", (SLOWER, ZEROS)) for name in (*TEXT, *BINARY)),
    *((name, 2.0, 8, "N", (OTHER_BAUD,)) for name in (*TEXT, *BINARY)),
    *((name, 0.5, 8, "N", (BY_ITSELF,)) for name in ASKED),
    *((name, 2.0, 8, "N", (BY_ITSELF,)) for name in ASKED),
    *((name, 1.0, 7, "E", ("7 data bits with even parity, read as 8 bits: write ?bits=7&parity=E",)) for name in TEXT),
    *((name, 1.0, 7, "O", ("7 data bits with odd parity, read as 8 bits: write ?bits=7&parity=O",)) for name in TEXT),
    *((name, 1.0, 8, "E", (OTHER_BAUD,)) for name in (*TEXT, "dinamap_binary", "nonin")),
]


@pytest.mark.parametrize(("name", "speed", "bits", "parity", "says"), [
    pytest.param(*row, marks=slow_if(number % 5 != 1)) for number, row in enumerate(WRONG_LINES)])
def test_a_line_that_is_set_wrongly(
        name: str, speed: float, bits: Literal[7, 8], parity: Literal["N", "E", "O"], says: tuple[str, ...]) -> None:
    host = replace(SERIAL[name].line, bits=8, parity="N")
    device = replace(host, baud=round(host.baud * speed), bits=bits, parity=parity)
    line = Spoilt(talk(name, 1), lambda data: read_as(data, device, host), lambda data: read_as(data, host, device))
    said = said_of(name, line)
    assert any(said[0].startswith(words) for words in says), said


NOISE = [  # what is said of a device with noise on its line
    *((name, ALONE) for name in ("alaris_gh", "capnostream", "ge_dri", "graseby_3400", "intellivue", "medibus",
                                 "terumo_te")),
    ("dinamap_binary", NOISY),
    *((name, f"found {name}") for name in ("berry_pm6750", "contec_cms50")),  # most of it is good
]


@pytest.mark.parametrize(("name", "says"), [
    pytest.param(*row, marks=slow_if(number % 3 != 0)) for number, row in enumerate(NOISE)])
def test_noise_is_said_with_whose_frames_are_among_it(name: str, says: str) -> None:
    said = said_of(name, Spoilt(talk(name, 1), noise(1)))
    assert says in said[0], said
    assert said[0].startswith("found") or f"(driver {name})" in said[0]


class Loop:
    """A plug that joins both wires, or somebody else's device."""

    def __init__(self, *, echoes: bool, says: bytes = b"") -> None:
        self.hands: Hands = {}
        self._echoes, self._says = echoes, says

    def connect(self) -> None: ...

    def step(self, dt_s: float) -> bytes:
        return self._says

    def feed(self, data: bytes) -> bytes:
        return data if self._echoes else b""


@pytest.mark.parametrize(("line", "says"), [
    (Loop(echoes=True), OUR_OWN), (Loop(echoes=False), BY_ITSELF),
    (Loop(echoes=False, says=b"MSH|^~\\&|LAB|A|B|C|2026\r"), "seen, but there is no driver for it: HL7 version 2"),
    (Loop(echoes=False, says=b"TEMP=36.8 C HUM=40\r\n"), "text of a protocol that no driver knows: 'TEMP=36.8"),
])
def test_what_is_no_device_of_ours(line: Loop, says: str) -> None:
    said = said_of("new_era", Spoilt(line, bytes))
    assert said[0].startswith(says), said
