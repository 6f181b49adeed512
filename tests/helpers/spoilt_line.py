"""A twin's line as a technician may find it: another baud rate, other bits or parity, noise; and a probe of it that
nobody waits for. The receiver is that of a common UART: it looks at the middle of each bit, and gives 00 for a byte
without its stop bit or with a wrong parity (Linux, termios: neither IGNPAR nor PARMRK)."""

from __future__ import annotations

import random
from collections.abc import Callable

from drivers.contract import Line
from edge.field.diagnosis import diagnose, foreign, recognise
from edge.field.discovery import SHORT_S, Found, listens_s, places
from simulators.contract import Hands, Twin
from tests.helpers.probing import ASKED, HERE, SERIAL, listens

OTHERS = ("legato", "dinamap", "ge_dri", "par_nibp", "alaris_gh")  # have their turn too
STREAM_S, FIRST_S, LOOK_S = 3.0, 2.5, 0.1
ALL = [spec for spec, _ in places(HERE, list(SERIAL.values()))]
Way = Callable[[bytes], bytes]


def _bits(data: bytes, line: Line) -> list[int]:
    out = []
    for byte in data:
        bits = [byte >> at & 1 for at in range(line.bits)]
        parity = [] if line.parity == "N" else [sum(bits) % 2 if line.parity == "E" else 1 - sum(bits) % 2]
        out += [0, *bits, *parity, *[1] * int(line.stop)]
    return out


def read_as(data: bytes, sent: Line, read: Line) -> bytes:
    """What somebody who listens with `read` gets of what was sent with `sent`."""
    bits, ratio = _bits(data, sent) + [1] * 20, sent.baud / read.baud
    end = len(bits) / ratio

    def level(at: float) -> int:
        return bits[int(at * ratio)] if at < end else 1

    out, at = bytearray(), 0.0
    while data and at < end:
        if level(at):
            at += 0.05
            continue
        byte = sum(level(at + 1.5 + bit) << bit for bit in range(read.bits))
        at += 1.5 + read.bits
        good = True
        if read.parity != "N":
            good = (byte.bit_count() + level(at)) % 2 == (0 if read.parity == "E" else 1)
            at += 1
        out.append(byte if good and level(at) else 0)
        while at < end and not level(at):
            at += 0.05
    return bytes(out)


def noise(seed: int) -> Way:
    """One flipped bit in about a hundred bytes, and in most short answers."""
    rng = random.Random(seed)

    def flipped(data: bytes) -> bytes:
        spoilt, at = bytearray(data), rng.randrange(18 if len(data) < 40 else 90)
        while at < len(spoilt):
            spoilt[at] ^= 1 << rng.randrange(8)
            at += rng.randrange(60, 140)
        return bytes(spoilt)

    return flipped


class Spoilt:
    """The twin behind such a line, from the host's side; keeps what went over it."""

    def __init__(self, twin: Twin, down: Way, up: Way = bytes) -> None:
        self.hands: Hands = {}
        self.sent, self.came = bytearray(), bytearray()
        self._twin, self._down, self._up = twin, down, up

    def connect(self) -> None:
        """Three wires tell nothing."""

    def step(self, dt_s: float) -> bytes:
        return self._came(self._down(self._twin.step(dt_s)))

    def feed(self, data: bytes) -> bytes:
        self.sent += data
        return self._came(self._down(self._twin.feed(self._up(data))))

    def _came(self, data: bytes) -> bytes:
        self.came += data
        return data


def said_of(name: str, line: Spoilt) -> list[str]:
    """What a probe says of this line: `found NAME`, or its diagnosis. Of the others only some have their turn."""
    raw, left_s = b"", FIRST_S
    while left_s > 0:
        data = line.step(LOOK_S)
        left_s = STREAM_S if data and not raw else left_s - LOOK_S
        raw += data
    if (other := foreign(raw)) is not None:
        return [other]
    named, tried = recognise(raw, ALL), list[Found]()
    turns = [spec for spec in ALL if spec.name == name or spec.name in OTHERS]
    for spec in turns if named is None else [named, *(spec for spec in turns if spec is not named)]:
        line.sent.clear()
        line.came.clear()
        found = listens(spec, line, SHORT_S if spec in ASKED and spec is not named else listens_s(spec),
                        quiet=bool(raw))
        if found.fits:
            return [f"found {spec.name}"]
        found.sent, found.came = bytearray(line.sent), bytearray(line.came)
        tried.append(found)
    return diagnose([one.tried() for one in tried], raw)
