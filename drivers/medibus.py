"""Draeger MEDIBUS: anaesthesia machines and ventilators (Primus, Fabius, Evita ...): numbers and alarms.

Grade A for the framing and the two numbers of the document's own example (Draeger "RS 232 MEDIBUS protocol
definition"); S for the other codes and the alarms' layout (VSCaptureDrgVent, which ran such machines): which codes a
machine has, and in which form, is said in a document of its own that was not read. Line settings are chosen at the
machine; 9600 8E1 here.

    command   ESC 1B  code [data] CC CR        either side may send one; one is outstanding at a time
    response  SOH 01  code [data] CC CR        CC: sum of all before it, low byte, two hex digits (example: 7A)    A
    30 no operation  51 initialise  52 identify  24 measured data  27 alarms  28 date and time  55 stop            A
    15 (response): corrupt                                                                                         A
    11, 13 (DC1, DC3) may stand anywhere and are skipped
    A side that has heard nothing for 3 s has lost the other: then 51 again. A response takes 10 s at most.        A

    measured data: a code of two characters, a value of four, and so on. A value that is missing, or has no        A
      digit (blanks, dashes, stars), is none
      EB SpO2 %  E1 pulse (both of the example)                                                                    A
      D5 respiration by CO2, else D6   E6 etCO2 mmHg, else E3 kPa                                                  S
    alarms: priority 1, code 2, words 12; none: no data                                                            S
    date and time: HH:MM:SS, then the date in the machine's language ("09:11:4806-OKT-21")                         S
      (W. Kaisers' MEDIBUS server, MIT licence, with this example)
    identity: number 4, 'name', revisions                                                                          A

Sent: 51, 52, then 24 every second, 27 and 28 every three, which also keep the connection; to the machine's
own commands, the response to 51 and to 30, and "corrupt" to all others (this host has nothing to tell). Nothing is set.

What is made of it: the sum misses two digits that changed places, and an old response may come again, so a number that
is new is questionable until three responses running say it. A response names its command. One later than 3 s cannot
be: the connection is lost by then (D). Numbers have no time; the machine's time of day, asked for before them, shows
that old answers come again: while it does not go on as the edge's clock does, numbers are questionable (kit/clocks.py).
A machine that has no time is asked once a minute, and nothing shows it. A number that was there and is missing is
unavailable. A code that is not mapped is not shown; an alarm that is not known is shown with its words.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence

from drivers.contract import (
    Agreement,
    BadFrame,
    Decoded,
    DeviceAlarm,
    DeviceAlarms,
    Effect,
    FrameRequest,
    Framing,
    Identity,
    Line,
    Priority,
    Reading,
    Request,
    Spec,
    Validity,
)
from drivers.kit.clocks import GoesOn
from drivers.kit.listening import judged
from drivers.kit.tally import Tally
from drivers.kit.text import Repeats
from drivers.kit.tracks import doubted

ESC, SOH, CR, FLOW = 0x1B, 0x01, 0x0D, b"\x11\x13"
LONGEST = 1600
NOP, CORRUPT, ALARMS_CODE, DATA_CODE, TIME_CODE, INITIALISE, IDENTIFY = 0x30, 0x15, 0x27, 0x24, 0x28, 0x51, 0x52
KNOWN = frozenset({NOP, CORRUPT, ALARMS_CODE, DATA_CODE, TIME_CODE, INITIALISE, IDENTIFY})
DAY_S = 86_400.0
EVERY_S, RARELY_S, REFUSED_S = 1.0, 3.0, 60.0
TIMEOUT_S = LATENESS_S = 3.0
BEGIN_S = 1.0  # a machine that is not there is asked again soon
SILENT_AFTER_S = 6.0  # a machine says something every 3 s, or has lost its host
MMHG_PER_KPA = 7.50062
METRICS: Mapping[str, tuple[tuple[str, float], ...]] = {  # metric: its codes, the first that has a number; and a factor
    "spo2_pct": (("EB", 1.0),), "pulse_bpm": (("E1", 1.0),), "resp_bpm": (("D5", 1.0), ("D6", 1.0)),
    "etco2_mmhg": (("E6", 1.0), ("E3", MMHG_PER_KPA)),
}
LIMITS: Mapping[str, tuple[float, float]] = {
    "spo2_pct": (1, 100), "pulse_bpm": (20, 321), "resp_bpm": (0, 120), "etco2_mmhg": (0, 150)}
JUMPS: Mapping[str, float] = {"spo2_pct": 2.0, "pulse_bpm": 4.0, "resp_bpm": 2.0, "etco2_mmhg": 3.0}
ALARMS: Mapping[str, tuple[str, Priority]] = {
    "00": ("no_breath", "high"), "0D": ("no_breath", "high"), "0E": ("no_breath", "high"), "0F": ("no_breath", "high"),
    "01": ("no_pulse", "high"), "02": ("low_pulse", "high"), "1E": ("high_pulse", "medium"), "07": ("low_spo2", "high"),
    "22": ("high_spo2", "low"), "27": ("low_etco2", "medium"), "28": ("high_etco2", "medium"),
    "3C": ("high_fico2", "medium"), "3D": ("sampling_line", "medium"), "35": ("sensor_off", "low"),
    "90": ("high_resp", "medium"), "4B": ("low_battery", "medium"), "EF": ("mains_lost", "medium"),
}

_WHO = re.compile(r"([0-9A-F]{4})'([^']*)'([\d.:]*)")
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d):([0-5]\d).*")
_VALUE = re.compile(r" *(\d{1,4}(?:\.\d{0,2})?) *|\D{4}")


def framed(start: int, code: int, data: str = "") -> bytes:
    """A command (`start` ESC) or a response (SOH) as sent."""
    plain = bytes((start, code)) + data.encode("ascii")
    return plain + b"%02X" % (sum(plain) & 0xFF) + bytes((CR,))


def _command(name: str, code: int, effect: Effect, timeout_s: float = TIMEOUT_S) -> FrameRequest:
    return FrameRequest(name, framed(ESC, code), effect=effect, timeout_s=timeout_s, distinct=True)


def _answer(name: str, code: int, effect: Effect) -> FrameRequest:
    return FrameRequest(name, framed(SOH, code), effect=effect, timeout_s=None)


BEGIN, WHO = _command("initialise", INITIALISE, "mode", BEGIN_S), _command("identify", IDENTIFY, "identify")
DATA, ALARM = _command("measured_data", DATA_CODE, "read"), _command("alarms", ALARMS_CODE, "read")
TIME = _command("time", TIME_CODE, "read")
EVERY: Mapping[FrameRequest, float] = {TIME: RARELY_S, DATA: EVERY_S, ALARM: RARELY_S}
BEGUN = _answer("initialised", INITIALISE, "mode")
ALIVE, UNKNOWN = _answer("alive", NOP, "read"), _answer("corrupt", CORRUPT, "read")
ANSWERS = {INITIALISE: BEGUN, NOP: ALIVE}


class MedibusFraming:
    """ESC or SOH to CR. DC1 and DC3 are no part of a frame, and count as dropped."""

    def __init__(self) -> None:
        self.dropped = 0
        self._held = bytearray()  # empty, or begins with ESC or SOH

    def feed(self, data: bytes) -> list[bytes]:
        """The whole frames that `data` completes."""
        return [frame for byte in data if (frame := self._byte(byte))]

    def _byte(self, byte: int) -> bytes:
        if byte in (ESC, SOH):
            self.flush()
        elif byte in FLOW or not self._held:
            self.dropped += 1
            return b""
        self._held.append(byte)
        if byte == CR:
            frame = bytes(self._held)
            self._held.clear()
            return frame
        if len(self._held) > LONGEST:
            self.flush()
        return b""

    def flush(self) -> None:
        """Forget the incomplete frame."""
        self.dropped += len(self._held)
        self._held.clear()


class Medibus:
    """One machine. One that was never started is shown single frames, and takes each at its word."""

    def __init__(self) -> None:
        self.framing: Framing = MedibusFraming()
        self._repeats = Repeats(JUMPS, times=3)
        self._time = GoesOn(DAY_S)  # outlives an opening
        self.unmapped = Tally()
        self._started = False
        self._forget()

    def _forget(self) -> None:
        self._out: deque[FrameRequest] = deque(maxlen=4)
        self._begun = False
        self._due_s = dict.fromkeys(EVERY, float("-inf"))
        self._now_s = float("-inf")
        self._seen: set[str] = set()  # metrics that were there
        self._told: tuple[DeviceAlarm, ...] | None = None
        self._repeats.forget()

    # --- requests -----------------------------------------------------------------------------------------------------

    def on_open(self) -> Sequence[Request]:
        self._forget()
        self._started = True
        return (BEGIN,)

    def next_request(self, at_s: float) -> Request | None:
        self._now_s = at_s
        if self._out:
            return self._out.popleft()
        if not self._begun:
            return BEGIN
        request = min(self._due_s, key=lambda one: self._due_s[one])
        if at_s < self._due_s[request]:
            return None
        self._due_s[request] = at_s + EVERY[request]
        return request

    def is_response(self, frame: bytes, request: Request) -> bool:
        try:
            start, code, _ = _parts(frame)
        except BadFrame:
            return False
        return start == SOH and isinstance(request, FrameRequest) and code in (request.frame[1], CORRUPT)

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        return ()

    # --- what comes ---------------------------------------------------------------------------------------------------

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        start, code, data = _parts(frame)
        if start == ESC:
            self._out.append(ANSWERS.get(code, UNKNOWN))
            if code not in ANSWERS:
                self.unmapped.saw(f"command {code:02X} {data[:8]}".strip())
            return ()
        if code not in KNOWN:
            self.unmapped.saw(f"response {code:02X}")
        if request is None:
            return ()
        if code == CORRUPT:
            return self._refused(request)
        if code == INITIALISE:
            if not self._begun:
                self._out.append(WHO)
            self._begun = True
            return ()
        if code == IDENTIFY:
            found = _WHO.fullmatch(data)
            if found is None:
                raise BadFrame(f"no identity: {data!r}")
            return (Identity(None, f"Draeger {found[2]} {found[3]}".strip()),)
        if code == DATA_CODE:
            return self._measured(data)
        if code == TIME_CODE:
            return self._timed(data)
        return self._alarms(data) if code == ALARMS_CODE else ()

    def _refused(self, request: Request) -> Sequence[Decoded]:
        """Not understood, or it has no such thing: no number is left, and no alarm."""
        if request in (ALARM, TIME):
            self._due_s[request] = self._now_s + REFUSED_S
            if request == TIME:
                self._time.forget()
            return ()
        return self._measured("") if request.name == DATA.name else ()

    def _timed(self, data: str) -> Sequence[Decoded]:
        found = _TIME.fullmatch(data)
        if not any(one.isdigit() for one in data):
            self.unmapped.saw("no time")
            self._time.forget()
            return ()
        if found is None:
            raise BadFrame(f"no time: {data!r}")
        hours, minutes, seconds = (int(part) for part in found.groups())
        if self._started:
            self._time.told(3600.0 * hours + 60.0 * minutes + seconds, self._now_s)
        return ()

    def _measured(self, data: str) -> Sequence[Decoded]:
        if len(data) % 6:
            raise BadFrame(f"measured data of {len(data)} characters")
        values: dict[str, float | None] = {}
        for at in range(0, len(data), 6):
            code, value = data[at : at + 2], data[at + 2 : at + 6]
            if code not in _CODES and value.strip():
                self.unmapped.saw(f"code {code}")
            if code in _CODES:
                found = _VALUE.fullmatch(value)
                if found is None:
                    raise BadFrame(f"{code}: {value!r}")
                values[code] = float(found[1]) if found[1] else None
        readings = [reading for metric in METRICS for reading in self._metric(metric, values)]
        if not self._started:
            return readings
        told = self._repeats.judged(readings)
        return told if self._time.holds(self._now_s) else [doubted(one) for one in told]

    def _metric(self, metric: str, values: Mapping[str, float | None]) -> list[Reading]:
        there = [(values[code], factor) for code, factor in METRICS[metric] if code in values]
        if not there and metric not in self._seen:
            return []
        self._seen.add(metric)
        for value, factor in there:
            if value is not None:
                return [judged(metric, round(value * factor, 1), *LIMITS[metric])]
        return [Reading(metric, None, Validity.UNAVAILABLE)]

    def _alarms(self, data: str) -> Sequence[Decoded]:
        if len(data) % 15:
            raise BadFrame(f"alarms of {len(data)} characters")
        alarms = tuple(_alarm(data[at : at + 15]) for at in range(0, len(data), 15))
        told, self._told = self._told, alarms
        return (DeviceAlarms(alarms),) if alarms != told or not self._started else ()


_CODES = frozenset(code for codes in METRICS.values() for code, _ in codes)


def _alarm(said: str) -> DeviceAlarm:
    code, words = said[1:3], said[3:].strip()
    word, priority = ALARMS.get(code, ("unknown", "medium"))
    return DeviceAlarm(word, priority, f"{code} priority {said[0]}", words or f"Alarm {code}")


def _parts(frame: bytes) -> tuple[int, int, str]:
    """How it begins, its code and its data. Raises BadFrame."""
    body = frame[:-3]
    if len(frame) < 5 or frame[0] not in (ESC, SOH) or frame[-1] != CR or frame[-3:-1] != b"%02X" % (sum(body) & 0xFF):
        raise BadFrame("not ESC or SOH, code, data, a good sum and CR")
    if not all(0x20 <= byte < 0x7F for byte in body[2:]):
        raise BadFrame("not printable ASCII")
    return frame[0], frame[1], body[2:].decode("ascii")


DRIVER = Spec(
    name="medibus",
    title="Draeger anaesthesia machines and ventilators on MEDIBUS (measured data and alarms)",
    kind="monitor",
    transports=("serial", "tcp"),
    grade="A for the framing, S",
    source="Draeger RS 232 MEDIBUS protocol definition, with its example; codes from VSCaptureDrgVent; no capture",
    agrees=(Agreement("printed", "A: the protocol definition's own example"),),
    documents=("Draeger RS 232 MEDIBUS protocol definition",),
    line=Line(baud=9600, parity="E", silent_after_s=SILENT_AFTER_S, lateness_s=LATENESS_S),
    metrics=frozenset(METRICS),
    same_words=True,
    age="the machine's time of day, asked for before its numbers, where it has one",
    requests=(BEGIN, WHO, TIME, DATA, ALARM, BEGUN, ALIVE, UNKNOWN),
    wiring=(
        "Line: 9600 8E1, or what is set on the machine (?baud=...&parity=N); no flow control.\n"
        "Cable: the machine's COM port (9-pin D) to an isolated adapter.\n"
        "Menu: protocol MEDIBUS (not MEDIBUS.X), and baud rate, parity and stop bits as here; the way there differs"
        " by machine and is not known here.\n"
        "Known limits: which codes a machine sends, and how its values are written, is said in a document for each"
        " machine that is not known here: compare every number with its display before use. No waves, no airway"
        " pressures, no serial number (it is bound by its port). Several alarms of ventilation are shown as unknown,"
        " with the machine's own words. Of a machine that refuses to tell its time of day an old answer that comes"
        " again may be taken for a new one."
    ),
    make=lambda settings: Medibus(),
)
