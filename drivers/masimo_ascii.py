"""Masimo oximeters (Rad-8, Radical-7, Rad-87) on serial output ASCII 1: one line of text a second, 9600 8N1.

    03/19/16 13:37:12 SN=0000093112 SPO2=098% BPM=097 PI=03.60% SPCO=--.-% SPMET=--.-% DESAT=-- PIDELTA=+--
        ALARM=0000 EXC=000800                                                           (one line, CR LF; no checksum)

    field    scale, unit            source and grade
    date     MM/DD/YY HH:MM:SS      device clock, only that it goes on is used: Rad-8 operator's manual (A)
    SN       text, all - where the device does not say it (a Radical-7 in a dock): A; the dashes from a capture (C)
    SPO2     1 %, three digits, --- none: A      BPM   1 /min, three digits, --- none: A
    PI       0.01 % (perfusion index), --.-- none; a Radical-7 leaves the % out: A; that from a capture (C)
    EXC      hex, bits, 6 or 7 digits (A, in the manual): 001 no sensor, 002 defective sensor, 004 low perfusion, 008
             pulse search, 010 interference, 020 sensor off the patient, 040 too much light, 080 sensor not known,
             400 low signal IQ, 800 Masimo SET runs (no fault); 100, 200 and all others reserved
    ALARM    hex, bits, 4 or 6 digits. Masimo does not publish them; found by one user on one Rad-8 (C): 01 SpO2 high,
             02 SpO2 low, 04 pulse high, 08 pulse low, 10 an alarm is on, 20 its sound is off
    others   SPCO SPMET SPHB SPOC DESAT PIDELTA PVI RESVD EXC1: vary by model and options, not used

Read-only: nothing can be asked. Unknown: what a Rad-8 prints on ASCII 2 beside the trend lines seen (no lines of ASCII
1, so they are refused), what EXC1 says (shown raw where it is not 0), and all bits named reserved above.

What is made of it:

* A line counts with its date, SN, SPO2, BPM, ALARM and EXC, each once; fields are found by name, never by column.
* No sensor, sensor off, defective or unknown sensor: invalid. Pulse search: unavailable, whatever number stands there.
  Interference, too much light, low signal IQ: questionable. Low perfusion: valid, with its reason.
* No checksum: a number that the line before did not say (give or take 2 %, 4 /min, index 1 %) is questionable until it
  repeats; serial number and alarms count when two lines running say them, and a line of another serial number is
  refused before. A driver that was never started is shown single lines, and takes each at its word.
* A line whose date is before the last one's or more than 30 s later is old, until three running follow each other (the
  clock was set); one date for more than three lines running is a feed that stands still: no number. Nor is
  what comes more than 5 s late by it, for as long as it does. A clock that never went says nothing.
* Alarms are the oximeter's own, by its own limits. Bits that are not known are shown raw.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from drivers.contract import (
    Agreement,
    BadFrame,
    Decoded,
    DeviceAlarm,
    DeviceAlarms,
    Framing,
    Identity,
    Late,
    Line,
    Reading,
    Request,
    Spec,
    Validity,
    Weak,
)
from drivers.kit.clocks import Clocked, InStep
from drivers.kit.listening import Listener, Verdict, judged, worst
from drivers.kit.tally import Tally
from drivers.kit.text import Lines, Repeats, Twice, number_of, text_of

LONGEST = 320  # bytes; a Radical-7 with every option on fills about 190
STREAM_BYTES_S = 250
MOST_BETWEEN_S, STILL = 30.0, 3
GRAIN_S = 1.0  # of its clock
DATED = re.compile(r"(?:0\d|1[0-2])/[0-3]\d/\d\d [0-2]\d:[0-5]\d:[0-5]\d ((?:[A-Z][A-Z0-9]*=\S+ ?)+)")
NEEDED = ("SN", "SPO2", "BPM", "ALARM", "EXC")
READ = frozenset({*NEEDED, "PI", "EXC1"})
NUMBER = re.compile(r"\d{3}|---")
INDEX = re.compile(r"\d\d\.\d\d|--\.--")
SERIAL = re.compile(r"[0-9A-Z]{4,16}|-+")
BITS = re.compile(r"[0-9A-F]{4,8}")
PULSE_LOW, PULSE_HIGH, INDEX_HIGH = 18, 321, 20.0  # what an oximeter can say
JUMPS = {"spo2_pct": 2.0, "pulse_bpm": 4.0, "perfusion_index_pct": 1.0}
DIGITS = {"spo2_pct": "03.0f", "pulse_bpm": "03.0f", "perfusion_index_pct": "05.2f"}

NO_NUMBER: tuple[tuple[int, Verdict], ...] = (
    (0x001, (Validity.INVALID, "no_sensor")), (0x002, (Validity.INVALID, "sensor_fault")),
    (0x080, (Validity.INVALID, "sensor_fault")), (0x020, (Validity.INVALID, "sensor_off")),
    (0x008, (Validity.UNAVAILABLE, "searching")),
)
DOUBTFUL: tuple[tuple[int, Verdict], ...] = (
    (0x040, (Validity.QUESTIONABLE, "ambient_light")), (0x010, (Validity.QUESTIONABLE, "artifact")),
    (0x400, (Validity.QUESTIONABLE, "low_signal_quality")), (0x004, (Validity.VALID, "low_perfusion")),
)
KNOWN_EXC = 0x800 | sum(bit for bit, _ in NO_NUMBER + DOUBTFUL)
LIMITS = {
    0x01: DeviceAlarm("high_spo2", "medium", "ALARM 01", "SpO2 high, says the oximeter"),
    0x02: DeviceAlarm("low_spo2", "medium", "ALARM 02", "SpO2 low, says the oximeter"),
    0x04: DeviceAlarm("high_pulse", "medium", "ALARM 04", "Pulse high, says the oximeter"),
    0x08: DeviceAlarm("low_pulse", "medium", "ALARM 08", "Pulse low, says the oximeter"),
}
ON = DeviceAlarm("attention", "medium", "ALARM 10", "The oximeter has an alarm; it does not say which")
SILENCED = DeviceAlarm("silenced", "low", "ALARM 20", "The oximeter's alarm sound is off")


def fields_of(frame: bytes) -> dict[str, str]:
    """The fields of a line by name. Raises BadFrame where it is no line of ASCII 1."""
    match = DATED.fullmatch(text_of(frame))
    if match is None:
        raise BadFrame("not a line of ASCII 1")
    pairs = [pair.partition("=") for pair in match[1].split()]
    fields = {name: value for name, _, value in pairs}
    if len(fields) != len(pairs) or not all(name in fields for name in NEEDED):
        raise BadFrame("a line of ASCII 1 has each field once, and has " + ", ".join(NEEDED))
    return fields


def made_s(frame: bytes) -> float:
    """A line's date as seconds that grow with it; every month has 31 days here."""
    month, day, year, hour, minute, second = (int(part) for part in re.findall(rb"\d\d", frame)[:6])
    days = (year * 12 + month) * 31 + day
    return ((days * 24 + hour) * 60 + minute) * 60.0 + second


def _checked(fields: Mapping[str, str], name: str, form: re.Pattern[str]) -> str:
    value = fields[name].removesuffix("%")
    if not form.fullmatch(value):
        raise BadFrame(f"{name} cannot be {fields[name]!r}")
    return value


def _readings(fields: Mapping[str, str], verdict: Verdict) -> list[Reading]:
    spo2, pulse = _checked(fields, "SPO2", NUMBER), _checked(fields, "BPM", NUMBER)
    index = _checked(fields, "PI", INDEX) if "PI" in fields else "-"
    if "-" not in spo2 and int(spo2) > 100:
        raise BadFrame(f"SPO2 cannot be {spo2}")
    return [
        judged("pulse_bpm", number_of(pulse), PULSE_LOW, PULSE_HIGH, verdict),
        judged("spo2_pct", number_of(spo2), 1, 100, verdict),
        judged("perfusion_index_pct", number_of(index), 0, INDEX_HIGH, verdict),
    ]


def _alarms(alarm: int, exc: int, more: str) -> tuple[DeviceAlarm, ...]:
    """What ALARM says, and every bit that is not known."""
    found = [one for bit, one in LIMITS.items() if alarm & bit]
    if alarm & 0x10 and not found:
        found.append(ON)
    if alarm & 0x20:
        found.append(SILENCED)
    unknown = (("ALARM", "medium", alarm & ~0x3F), ("EXC", "low", exc & ~KNOWN_EXC), ("EXC1", "low", int(more, 16)))
    for field, priority, bits in unknown:
        if bits:
            raw = f"{field} {bits:02X}"
            found.append(DeviceAlarm("unknown", "medium" if priority == "medium" else "low", raw,
                                     f"The oximeter says {raw}, which is not known"))
    return tuple(found)


class MasimoAscii(Listener):
    """The driver: the identity of the device, the alarms as reported, and the numbers of the line before."""

    def __init__(self) -> None:
        self.framing: Framing = Lines(LONGEST, DATED)
        self._started = False
        self.unmapped = Tally()
        self._serial: Twice[str] = Twice()
        self._alarms: Twice[tuple[DeviceAlarm, ...]] = Twice()
        self._numbers = Repeats(JUMPS, DIGITS)
        self._clock, self._clocked = Clocked(MOST_BETWEEN_S, STILL), ""  # of this serial number; outlive an opening
        self._in_step = InStep(grain_s=GRAIN_S)  # so does it

    def on_open(self) -> Sequence[Request]:
        self._started = True
        self._serial.tell_again()
        self._alarms.forget()
        self._numbers.forget()
        self._clock.away()
        return []

    def heard_at(self, at_s: float, unsure_s: float) -> None:
        self._in_step.heard(at_s, unsure_s)

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        fields = fields_of(frame)
        for name in fields.keys() - READ:
            if any(char.isdigit() for char in fields[name]):
                self.unmapped.saw(name)
        serial = _checked(fields, "SN", SERIAL)
        exc, more = _checked(fields, "EXC", BITS), _checked({"EXC1": "0000", **fields}, "EXC1", BITS)
        alarms = _alarms(int(_checked(fields, "ALARM", BITS), 16), int(exc, 16), more)
        readings = _readings(fields, worst(int(exc, 16), NO_NUMBER + DOUBTFUL))
        identity = Identity(None if "-" in serial else serial, "Masimo, ASCII 1")
        if not self._started:
            return [*readings, DeviceAlarms(alarms), identity]
        decoded: list[Decoded] = []
        if self._serial.is_news(serial):
            decoded.append(identity)
            if serial != self._clocked:
                self._clock.forget()
                self._in_step.forget()
                self._clocked = serial
        if self._serial.value not in (None, serial):
            raise BadFrame(f"the serial number is {serial}, and was {self._serial.value}")
        if fault := self._clock.fault(made_s(frame)):
            raise BadFrame(fault)
        if fault := self._in_step.fault(made_s(frame)):
            raise Late(fault)
        decoded += self._numbers.judged(readings)
        if self._alarms.is_news(alarms):
            decoded.append(DeviceAlarms(alarms))
        return decoded


def _make(settings: Mapping[str, str | int | float]) -> MasimoAscii:
    return MasimoAscii()


DRIVER = Spec(
    name="masimo_ascii",
    title="Masimo oximeter (Rad-8, Radical-7, Rad-87; serial output ASCII 1)",
    kind="oximeter",
    transports=("serial", "tcp"),
    names_itself="always",
    grade="A",
    source="Rad-8 operator's manual, serial output (lines and EXC); lines captured from a Rad-8 and two Radical-7; the"
           " ALARM bits from one user's Rad-8 (grade C)",
    agrees=(Agreement("capture", "REAL: Rad-8 of hansmuc/NellcorN560Seriell"),),
    weak=Weak("its lines have no check", JUMPS),
    documents=("Masimo Rad-8 operator's manual",),
    line=Line(baud=9600, silent_after_s=4.5, stream_bytes_s=STREAM_BYTES_S),
    metrics=frozenset({"pulse_bpm", "spo2_pct", "perfusion_index_pct"}),
    requests=(),
    wiring=(
        "Line: 9600 8N1, no flow control.\n"
        "Cable: RS-232 on the device's (or its docking station's) DB-9, null-modem cable (TX, RX crossed, GND).\n"
        "Menu: set the serial output to ASCII 1: a Rad-8 leaves the factory on ASCII 2, of which nothing is"
        " understood. The way to it differs by model and is not known here.\n"
        "Known limits: the bits of ALARM are one user's reading; one that says dashes for SN is bound by its port."
    ),
    make=_make,
)
