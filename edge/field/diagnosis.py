"""What the bytes on a port look like where no driver understood them, in words a technician can act on.

Nothing here listens: it is shown what was sent and what came. It says what can be told from bytes alone: nothing at
all, our own bytes back, 7 bits read as 8, a driver's frames that fail their check, a known protocol that has no driver
here, text, another baud rate. What it cannot tell it does not guess.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from drivers.contract import BadFrame, Spec
from edge.field.link_state import OUR_OWN, Counters

ENOUGH = 24  # bytes that show a form
PRINTABLE_SHARE, OURS_SHARE, RUN_SHARE = 0.95, 0.9, 0.6
PART_SHARE = 0.15
SEVERAL = 5  # drivers that had their turn: of so many, one that alone is answered says something
SHOWN = 48  # characters of a text
RECOGNISED_FRAMES, RECOGNISED_SHARE = 3, 0.6
NOT_SUPPORTED: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("HL7 version 2 (MSH|...)", re.compile(rb"MSH\|\^~\\&")),
    ("ASTM E1394 of a laboratory device (H|\\^&)", re.compile(rb"H\|\\\^&")),
    ("NMEA of a positioning receiver (GPS)", re.compile(rb"\$(?:G[A-Z]|BD|QZ)[A-Z]{3},")),
    ("Modbus ASCII; Vigil speaks Modbus RTU and TCP", re.compile(rb":(?:[0-9A-F]{2}){4,}\r\n")),
    ("a computer's console (login:)", re.compile(rb"login: ?")),
    ("a modem (OK, ERROR, NO CARRIER)", re.compile(rb"\r\n(?:OK|ERROR|NO CARRIER|RING|\+CM[ES] ERROR: \S+)\r\n")),
)
BY_ITSELF = "nothing comes by itself"
NOTHING = (f"{BY_ITSELF}, and nobody answers: look at the cable, the device's power, its own output setting, and its"
           " baud rate and parity, which one that has to be asked must share")
OTHER_BAUD = "bytes of no form that is known here: most likely another baud rate, or other bits or parity"
HELD = ("nothing but zeros: the device sends at a far lower baud rate than was tried ({bauds}), or the line is held"
        " low: a wire, or the polarity of the adapter")
FEW = "only {count} bytes answered, too few to tell what they are: {shown}"
ALONE = ("it answers the requests of {title} (driver {name}) and nobody else's, with {count} bytes that are not"
         " understood: most likely its device, with noise, a bad ground, wrong bits or parity, or another model of it")
SLOWER = "bytes like long runs of equal bits: the device sends at a lower baud rate than was tried ({bauds})"


@dataclass(frozen=True, slots=True)
class Tried:
    """What one driver sent and what came while it had the port."""

    spec: Spec
    sent: bytes
    came: bytes
    counters: Counters


def diagnose(tried: Sequence[Tried], raw: bytes) -> list[str]:
    """What can be said of it, the surest first; empty where that is nothing. `raw` came without any request."""
    came = max([raw, *(one.came for one in tried)], key=len, default=b"")
    if not came:
        return [NOTHING]
    if (other := foreign(raw) or foreign(b"".join(one.came for one in tried))) is not None:
        return [other]
    if any(one.sent for one in tried) and not raw and all(_ours(one) for one in tried if one.came):
        return [OUR_OWN]
    said = [*_failing(tried)] or [*_alone(tried, raw)] or [*_partly(tried, raw)]
    sample = raw if len(raw) >= ENOUGH else came
    if len(sample) >= ENOUGH:
        said += _form(sample, sorted({one.spec.line.baud for one in tried}), known=bool(said))
    elif not raw:
        said.append(FEW.format(count=len(came), shown=came.hex(" ")))
    return said


def foreign(sample: bytes) -> str | None:
    """Whose talk it is where that is known and no driver is for it; None: not known."""
    if len(sample) < ENOUGH:
        return None
    least = 2 if len(sample) > 4 * ENOUGH else 1
    return next((f"seen, but there is no driver for it: {name}" for name, pattern in NOT_SUPPORTED
                 if len(pattern.findall(sample)) >= least), None)


def _ours(one: Tried) -> bool:
    """Whether what came is what was sent, but for a little."""
    left, taken = one.came, 0
    for at in range(0, len(one.sent), 4):
        piece = one.sent[at : at + 4]
        found = left.find(piece)
        if found >= 0:
            taken += len(piece)
            left = left[:found] + left[found + len(piece) :]
    return bool(one.sent) and taken >= OURS_SHARE * len(one.came)


def _failing(tried: Sequence[Tried]) -> list[str]:
    """Whose frames these are, though they fail their check."""
    said = []
    for one in tried:
        seen = one.counters
        framed = seen.received - seen.dropped
        if seen.bad >= RECOGNISED_FRAMES and seen.bad > seen.frames and framed >= RECOGNISED_SHARE * seen.received:
            said.append(f"frames as of {one.spec.title} (driver {one.spec.name}), but {seen.bad} of"
                        f" {seen.bad + seen.frames} fail their check: noise, a bad ground, wrong bits or parity, or"
                        " another model of it" + _or_text(one))
    return said


def _alone(tried: Sequence[Tried], raw: bytes) -> list[str]:
    """Whose request alone was answered, by a device that says nothing by itself: it is most likely that driver's."""
    answered = [one for one in tried if one.came]
    if raw or len(answered) != 1 or not answered[0].sent or len(tried) < SEVERAL:
        return []
    (one,) = answered
    return [ALONE.format(title=one.spec.title, name=one.spec.name, count=len(one.came))]


def _or_text(one: Tried) -> str:
    """Where not one frame was good, a text of lines may be anybody's."""
    text = one.came[:SHOWN]
    if one.counters.frames or not text or _printable(text) < PRINTABLE_SHARE * len(text):
        return ""
    return f"; or the text of a protocol that no driver knows: {text.decode('ascii', 'replace')!r}"


def _form(sample: bytes, bauds: Sequence[int], *, known: bool) -> list[str]:
    if units := _modbus_units(sample):
        return [f"Modbus RTU of unit {', '.join(map(str, units))}: another master is on this line; for a device of"
                " ours write modbus+rtu://"]
    if (parity := _parity(sample)) is not None:
        return [f"7 data bits with {parity} parity, read as 8 bits: write ?bits=7&parity={parity[0].upper()}"]
    if known:
        return []
    if _printable(sample) >= PRINTABLE_SHARE * len(sample):
        text = sample[:SHOWN].decode("ascii", "replace")
        return [f"text of a protocol that no driver knows: {text!r}"]
    told = [byte for byte in sample if byte]  # 00 stands for a byte without its stop bit, too, of a faster sender
    if not told:
        return [HELD.format(bauds=", ".join(map(str, bauds)))]
    if sum(map(_slow, told)) >= RUN_SHARE * len(told) and {*told} != {0xFF}:
        return [SLOWER.format(bauds=", ".join(map(str, bauds)))]
    return [OTHER_BAUD]


def _slow(byte: int) -> bool:
    """Whether no bit stands alone among its like, from the start bit to the stop bit: so each bit of a slower sender
    looks, which lasts for two or more of the reader's. One byte in nine does by chance."""
    runs = re.findall("0+|1+", "0" + f"{byte:08b}"[::-1] + "1")
    return all(len(run) > 1 for run in runs[:-1])


def _printable(sample: bytes) -> int:
    return sum(0x20 <= byte < 0x7F or byte in b"\r\n\t\x02\x03\x1b" for byte in sample)


def _parity(sample: bytes) -> str | None:
    """`even` or `odd` where the highest bit of every byte is the parity of a text's other seven; both values of it
    occur."""
    text = bytes(byte & 0x7F for byte in sample)
    if _printable(text) < PRINTABLE_SHARE * len(text) or len({byte & 0x80 for byte in sample}) < 2:
        return None
    ones = {byte.bit_count() % 2 for byte in sample}
    return None if len(ones) > 1 else "odd" if 1 in ones else "even"


def _modbus_units(sample: bytes) -> list[int]:
    """Units of Modbus RTU frames among the bytes: requests of 8 bytes and responses, each with its CRC."""
    units, at, found = set(), 0, 0
    while at + 5 <= len(sample):
        function = sample[at + 1]
        lengths = (8, 5 + sample[at + 2]) if 1 <= function <= 4 else (5,) if 0x81 <= function <= 0x84 else ()
        length = next((one for one in lengths if at + one <= len(sample) and _crc_fits(sample[at : at + one])), 0)
        if length:
            units.add(sample[at])
            found += 1
        at += length or 1
    return sorted(units) if found >= 2 else []


def _crc_fits(frame: bytes) -> bool:
    """Modbus over serial line 1.02: polynomial A001, low byte first; over a frame with its CRC it is 0."""
    value = 0xFFFF
    for byte in frame:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value == 0


def recognise(raw: bytes, specs: Sequence[Spec]) -> Spec | None:
    """The device that sends these bytes by itself: most of them stand in frames that its driver takes."""
    best, share = None, RECOGNISED_SHARE
    for spec in specs:
        frames, taken = _taken(raw, spec)
        if frames >= RECOGNISED_FRAMES and taken > share * len(raw):
            best, share = spec, taken / len(raw)
    return best


def _partly(tried: Sequence[Tried], raw: bytes) -> list[str]:
    """Whose frames the bytes hold between much that is none: a part, and of no other driver half as much."""
    shares = sorted(((taken / len(raw), one.spec) for one in tried for frames, taken in [_taken(raw, one.spec)]
                     if frames >= RECOGNISED_FRAMES), key=lambda found: found[0], reverse=True) if raw else []
    if not shares or shares[0][0] < PART_SHARE or (len(shares) > 1 and 2 * shares[1][0] > shares[0][0]):
        return []
    share, spec = shares[0]
    return [f"{share:.0%} of the bytes are whole frames as of {spec.title} (driver {spec.name}), the others are none:"
            " noise, a bad ground, or a second device on this line"]


def _taken(raw: bytes, spec: Spec) -> tuple[int, int]:
    """How many frames of these bytes its driver takes, and how many bytes those are."""
    driver, frames, taken = spec.driver(), 0, 0
    driver.on_open()
    for frame in driver.framing.feed(raw):
        try:
            driver.decode(frame, None)
        except BadFrame:
            continue
        frames, taken = frames + 1, taken + len(frame)
    return frames, taken
