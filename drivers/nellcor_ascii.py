"""Nellcor oximeters (N-560, N-595, N-600x, NPB-290) on their ASCII output: one line of text every 2 s, 9600 8N1.

    N-560    VERSION 1.56.00    CRC:XXXX  SpO2 Limit: 90-100%    PR Limit: 60-170BPM      a head every 25 lines
                                 ADULT            0SAT-S
    TIME                 %SpO2   BPM     PA     Status
    29-Dec-17 07:19:01    79*     66      18    MO SL       AS                            61 characters, CR LF

    field    scale, unit                     source and grade
    TIME     DD-MMM-YY HH:MM:SS              device clock; only that it goes on is used: a long N-560 log (B)
    %SpO2    1 %, --- none; * beyond the device's limit: the log and two programs (B)
    BPM      1 /min, --- none; * as above: B
    PA       pulse amplitude, no unit, --- none: B; no perfusion index, so not used
    Status   words of two letters, B (N-560 operator's manual, as programs quote it):
             sensor  SD disconnected  SO off the patient     pulse   PS search  LP lost  LM lost, with interference
             MO interference, motion                         limits  SH SL SpO2 high, low   PH PL pulse high, low
             LB low battery                                  sound   AS silenced  AO off

There is no checksum. An N-560 puts each word in a column of its own; other models may not, so columns do not count.

Read-only: nothing is asked. Control-C twice would open a menu of an N-595, and the lines would stop: it is never sent.
Unknown: how lines of an N-595, N-600x and NPB-290 differ (samples only), what the head of each says beside model and
version, and status words beyond the table (shown raw).

What is made of it:

* SD, SO: invalid. PS: unavailable, whatever stands there: an N-560 printed 0, and 96 and 63 too, while it searched. LP,
  LM: invalid. MO: questionable, artifact.
* No checksum: a number that the line before did not say (give or take 3 %, 6 /min) is questionable until it repeats,
  and alarms count when two lines running say them. A driver that was never started takes each line at its word.
* A line whose TIME is not up to 30 s later than the last one's is old, or stands still: no number, until three running
  follow each other (the clock was set). One that comes more than 5 s late by its date is old for as long as it does.
* Limits, lost pulse, battery and sound are the oximeter's own alarms. A number with * and no word for it is one too.
* The first head gives model and version. There is no serial number.
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
    Request,
    Spec,
    Validity,
    Weak,
)
from drivers.kit.clocks import InStep
from drivers.kit.listening import WELL, Listener, Verdict, judged
from drivers.kit.text import Dated, Lines, Repeats, Twice, number_of, text_of

LONGEST = 120  # bytes; the head's first line has about 80
STREAM_BYTES_S = 260  # a head and a line; else one line every 2 s
PROBE_S = 4.0  # two lines take longer than a probe's 3 s; nothing is asked, so lateness has no other use here
GRAIN_S = 1.0  # of its clock
MOST_BETWEEN_S = 30.0  # of two lines, a few lost between them
MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
DATA = re.compile(
    rf"([0-3]\d)-({MONTHS})-(\d\d) ([0-2]\d):([0-5]\d):([0-5]\d)"
    r" +(\d{1,3}|---)(\*?) +(\d{1,3}|---)(\*?) +(?:\d{1,3}|---)"
    r"((?: +[A-Z]{2})*)"
)
VERSION = re.compile(r"(N-\w+|NPB-\w+) +VERSION +([\w.]+) .*")
REST_OF_HEAD = re.compile(r"TIME +%SpO2 +BPM +PA +Status|[A-Z]+ +\d+SAT-S")
WHOLE = re.compile("|".join(form.pattern for form in (DATA, VERSION, REST_OF_HEAD)))
PULSE_LOW, PULSE_HIGH = 18, 321  # what an oximeter can say
JUMPS = {"spo2_pct": 3.0, "pulse_bpm": 6.0}
DIGITS = {"spo2_pct": "3.0f", "pulse_bpm": "3.0f"}

STATES: dict[str, Verdict] = {  # the first that is there counts
    "SD": (Validity.INVALID, "sensor_disconnected"), "SO": (Validity.INVALID, "sensor_off"),
    "PS": (Validity.UNAVAILABLE, "searching"), "LM": (Validity.INVALID, "artifact"),
    "LP": (Validity.INVALID, "weak_pulse"), "MO": (Validity.QUESTIONABLE, "artifact"),
}
SAYS: dict[str, DeviceAlarm] = {
    "LM": DeviceAlarm("no_pulse", "high", "LM", "Pulse lost, with interference, says the oximeter"),
    "LP": DeviceAlarm("no_pulse", "high", "LP", "Pulse lost, says the oximeter"),
    "SH": DeviceAlarm("high_spo2", "medium", "SH", "SpO2 high, says the oximeter"),
    "SL": DeviceAlarm("low_spo2", "medium", "SL", "SpO2 low, says the oximeter"),
    "PH": DeviceAlarm("high_pulse", "medium", "PH", "Pulse high, says the oximeter"),
    "PL": DeviceAlarm("low_pulse", "medium", "PL", "Pulse low, says the oximeter"),
    "LB": DeviceAlarm("low_battery", "low", "LB", "Battery low"),
    "AS": DeviceAlarm("silenced", "low", "AS", "The oximeter's alarm is silenced"),
    "AO": DeviceAlarm("silenced", "low", "AO", "The oximeter's alarm sound is off"),
}
BEYOND = {
    "SpO2*": DeviceAlarm("attention", "medium", "SpO2*", "SpO2 beyond the oximeter's limit"),
    "BPM*": DeviceAlarm("attention", "medium", "BPM*", "Pulse beyond the oximeter's limit"),
}


def _alarms(words: Sequence[str], spo2_beyond: bool, pulse_beyond: bool) -> tuple[DeviceAlarm, ...]:
    """The alarms of a line's status words; words that are not known are shown raw."""
    found = [SAYS.get(word) or DeviceAlarm("unknown", "medium", word, f"The oximeter says {word}, which is not known")
             for word in words if word in SAYS or word not in STATES]
    if spo2_beyond and not {"SH", "SL"} & set(words):
        found.append(BEYOND["SpO2*"])
    if pulse_beyond and not {"PH", "PL"} & set(words):
        found.append(BEYOND["BPM*"])
    return tuple(found)


def _made_s(day: str, month: str, year: str, hour: str, minute: str, second: str) -> float:
    """A line's date as seconds that grow with it; every month has 31 days here."""
    days = (int(year) * 12 + MONTHS.split("|").index(month)) * 31 + int(day)
    return ((days * 24 + int(hour)) * 60 + int(minute)) * 60.0 + int(second)


class NellcorAscii(Listener):
    """The driver: the alarms and the model as reported, and the numbers of the line before."""

    def __init__(self) -> None:
        self.framing: Framing = Lines(LONGEST, WHOLE)
        self._started = False
        self._model = ""
        self._alarms: Twice[tuple[DeviceAlarm, ...]] = Twice()
        self._numbers = Repeats(JUMPS, DIGITS)
        self._dated = Dated(MOST_BETWEEN_S)
        self._in_step = InStep(grain_s=GRAIN_S)  # outlives an opening

    def on_open(self) -> Sequence[Request]:
        self._started = True
        self._model = ""
        self._alarms.forget()
        self._numbers.forget()
        self._dated.forget()
        return []

    def heard_at(self, at_s: float, unsure_s: float) -> None:
        self._in_step.heard(at_s, unsure_s)

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        line = text_of(frame)
        if data := DATA.fullmatch(line):
            return self._data(data)
        if head := VERSION.fullmatch(line):
            return self._head(f"Nellcor {head[1]}, version {head[2]}")
        if REST_OF_HEAD.fullmatch(line):
            return []
        raise BadFrame("not a line of this output")

    def _data(self, data: re.Match[str]) -> list[Decoded]:
        *made, spo2, spo2_beyond, pulse, pulse_beyond, status = data.groups()
        if self._started and not self._dated.follows(_made_s(*made)):
            raise BadFrame(f"of {made[3]}:{made[4]}:{made[5]}, which does not follow the line before")
        if self._started and (fault := self._in_step.fault(_made_s(*made))):
            raise Late(fault)
        words = status.split()
        verdict = next((verdict for word, verdict in STATES.items() if word in words), WELL)
        readings = [judged("pulse_bpm", number_of(pulse), PULSE_LOW, PULSE_HIGH, verdict),
                    judged("spo2_pct", number_of(spo2), 1, 100, verdict)]
        alarms = _alarms(words, bool(spo2_beyond), bool(pulse_beyond))
        if not self._started:
            return [*readings, DeviceAlarms(alarms)]
        news = [DeviceAlarms(alarms)] if self._alarms.is_news(alarms) else []
        return [*self._numbers.judged(readings), *news]

    def _head(self, model: str) -> list[Decoded]:
        if self._started and model == self._model:
            return []
        self._model = model
        return [Identity(None, model)]


def _make(settings: Mapping[str, str | int | float]) -> NellcorAscii:
    return NellcorAscii()


DRIVER = Spec(
    name="nellcor_ascii",
    title="Nellcor oximeter (N-560, N-595, N-600x, NPB-290; ASCII output)",
    kind="oximeter",
    transports=("serial", "tcp"),
    grade="B",
    source="two logs of N-560 oximeters and three public programs that read them; status words of the N-560 operator's"
           " manual as those programs quote them",
    agrees=(
        Agreement("capture", "REAL: an N-560's log (2017)"),
        Agreement("capture", "REAL: an N-560 of hansmuc/NellcorN560Seriell"),
    ),
    weak=Weak("its lines have no check", JUMPS),
    line=Line(baud=9600, silent_after_s=6.5, stream_bytes_s=STREAM_BYTES_S, lateness_s=PROBE_S),
    metrics=frozenset({"pulse_bpm", "spo2_pct"}),
    requests=(),
    wiring=(
        "Line: 9600 8N1, no flow control.\n"
        "Cable: RS-232 on the data port at the back (DB-15 on an N-560 and its relatives), TX, RX and GND, to an"
        " isolated adapter; the pins are not known here, see the device's manual.\n"
        "Menu: the serial port has to be set to ASCII and 9600; the way there differs by model and is not known"
        " here. Never type into this port: control-C opens a menu, and the lines stop.\n"
        "Known limits: no waves, no serial number (it is bound by its port)."
    ),
    make=_make,
)
