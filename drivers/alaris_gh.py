"""Alaris / Asena GH syringe pump over its RS-232 line: read only, here and always.

Grade S for the line, frame and commands (OpenICE Asena driver, MDDT man-in-the-middle, infupy); C (captured from real
pumps) for the responses marked so. The maker's protocol manual ("Asena Rev 2.1.5") is not public.

    38400 8N1, no flow control, point to point, no address; the pump sends only responses                          S
    ! body | CRC CR        body: command, then fields, separated by ^; ASCII
                           CRC: CRC-16/CCITT-FALSE of the body alone (not ! or |), four upper-case hex digits
                                (32 of 33 published frames agree)
                           ESC (1B) drops a frame that was begun                                                   S

    request            response                                            what is made of it
    INST_SERIALNO      INST_SERIALNO^8002-51740                            identity                                C
    COMMS_PROTOCOL     COMMS_PROTOCOL^Asena Rev 2.1.5                      model                                   C
    SYRINGE_STATUS     SYRINGE_STATUS^BD PLASTIPAK^ 50^CONF                brand, size in mL, CONF = confirmed     S
    INF                see below, once a second
    ALARM              ALARM^AL_OCCLU^ ^                                   code, text, extra (a blank when none)   C
    Trailing fields that say nothing may be empty or missing.                                                      S

    INF, 14 fields (captured during an occlusion, CRC checked):
    INF^8002-51733^A^HLD^0.00^ml/h^^0.969^ml^530.15^mmHg^00:04:09^EVENT^214725
     1  serial        the pump's own serial number, in every status
     2  alarm         - none, A an alarm is on
     3  mode          HLD on hold, SET programmed or running; nothing else has ever been seen
     4  rate          mL/h, two decimals          5  unit, ml/h
     6  drug          empty when none is set
     7  infused       mL, three decimals          8  unit, ml
     9  pressure      mmHg, may be negative      10  unit, mmHg
    11  time left     hh:mm:ss, or 24+: more than 24 h
    12  log type      EVENT                      13  number of the newest entry of the event log

Each response repeats its request's name, so responses cannot be exchanged; a late one to the same request is caught
by the quiet after a time-out: the pump says of itself that it may take 4000 ms (COMMS_RESPONSE_MAX, S). An INF with
another unit, a wrong number of fields or no number where one belongs is a bad frame, never a value. A field left blank
or dashed has no value, and takes no other field with it; a number the pump cannot have (rate over 1200 mL/h, S) is
implausible. An INF of another serial number yields that identity and nothing else.

State: a rate and not HLD is `infusing`, whatever the mode is called, and also under an alarm that does not stop it (a
low battery); what stands still is `alarm` with flag A and `stopped` without; anything else is `unknown`, and so is the
state from the second INF without a response on. Flag A while ALARM gets none (one published simulator forgets its
CR) is an alarm of unknown kind. The meanings of the alarm codes are a reading of their names, but for AL_NOALM and
AL_OCCLU. The syringe is read again every minute, where that gets no response every eleven.
"""

from __future__ import annotations

import binascii
import math
import re
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
    Pump,
    PumpState,
    Reading,
    Request,
    Spec,
    Validity,
)
from drivers.kit.framing import Delimited
from drivers.kit.tally import Tally
from drivers.kit.text import step_of
from drivers.kit.tracks import BY_VOLUME, Rising

START, END, ESC = b"!", b"\r", b"\x1b"
MAX_FRAME = 200  # bytes; the longest one seen has 80
EVERY_S = 1.0  # edge time between two INF, and between two ALARM
MISSED = 2  # so many INF in a row without a response, and what the pump does is unknown
SYRINGE_EVERY_S = 60.0
SYRINGE_RETRY_S = 600.0  # longer where it got no response, since each of those costs seconds of quiet
TIMEOUT_S = 0.5  # both published hosts wait so long
LATENESS_S = 4.0  # the pump's own COMMS_RESPONSE_MAX
# One lost response costs up to EVERY_S + TIMEOUT_S + LATENESS_S before the next can come: that alone is not silence.
SILENT_AFTER_S = 6.0

MAX_RATE_ML_H = 1200.0
LIMITS: Mapping[str, tuple[float, float]] = {
    "rate_ml_h": (0.0, MAX_RATE_ML_H),
    "volume_infused_ml": (0.0, 5000.0),
    "line_pressure_mmhg": (-500.0, 2000.0),
    "syringe_size_ml": (1.0, 100.0),
}
UNITS: Mapping[str, str] = {"rate_ml_h": "ml/h", "volume_infused_ml": "ml", "line_pressure_mmhg": "mmHg"}
INF_FIELDS, INF_FIELDS_LEAST = 13, 11  # without the name; type and number of the log entry may be missing
NO_ALARM = "AL_NOALM"
ALARM_CODES: Mapping[str, tuple[str, Priority, str]] = {  # the pump's code: shared code, priority, plain words
    "AL_OCCLU": ("occlusion", "high", "Occlusion: the line is blocked"),
    "AL_EOIST": ("end_of_infusion", "high", "End of infusion, pump stopped"),
    "AL_EOIKV": ("end_of_infusion", "medium", "End of infusion, keeping the vein open"),
    "AL_NEOIN": ("near_end", "low", "Near end of infusion"),
    "AL_VTBIS": ("vtbi_done", "medium", "Volume infused, pump stopped"),
    "AL_VTBIK": ("vtbi_done", "medium", "Volume infused, keeping the vein open"),
    "AL_VTBIC": ("vtbi_done", "medium", "Volume infused, pump goes on at the set rate"),
    "AL_SYRCO": ("syringe", "high", "Check syringe"),
    "AL_DRDIS": ("drive_disengaged", "high", "Drive disengaged"),
    "AL_LWBAT": ("low_battery", "medium", "Battery low"),
    "AL_LBTAC": ("low_battery", "medium", "Battery low, connect mains"),
    "AL_EMBAT": ("battery_empty", "high", "Battery empty"),
    "AL_ACDIS": ("mains_lost", "low", "Mains disconnected"),
    "AL_COMTO": ("comms_timeout", "medium", "Communication time-out at the pump"),
    "AL_CALLB": ("attention", "low", "Call back: the pump waits for an action"),
    "AL_FAULT": ("fault", "high", "Internal fault"),
    "AL_PRDSC": ("pressure_line", "medium", "Pressure disc missing"),
    "AL_LDSCN": ("pressure_line", "medium", "Pressure line disconnected"),
    "AL_RHIGH": ("rate_high", "medium", "Rate high"),
    "AL_TITNC": ("titration", "medium", "Titration not confirmed"),
    "AL_TITCA": ("titration", "medium", "Titration alarm"),
    "AL_TCITG": ("titration", "medium", "Titration alarm"),
}

UNNAMED_ALARM = DeviceAlarm("unknown", "medium", "A", "Pump alarm; the pump does not say which")

_BLANK = re.compile(r"[-.: ]*")
_NUMBER = re.compile(r"-?\d{1,6}(\.\d{1,4})?")
_TIME_LEFT = re.compile(r"(\d\d):([0-5]\d):([0-5]\d)")
_SERIAL = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{1,31}")


def crc(body: bytes) -> int:
    """CRC-16/CCITT-FALSE; of b"123456789" it is 29B1."""
    return binascii.crc_hqx(body, 0xFFFF)


def encode(body: str) -> bytes:
    """`body` as it goes over the wire. Raises UnicodeEncodeError where it is not ASCII."""
    plain = body.encode("ascii")
    return START + plain + f"|{crc(plain):04X}".encode() + END


def decode(frame: bytes) -> list[str]:
    """The fields of a frame's body, the command's name first. Raises BadFrame."""
    if len(frame) < 8 or frame[:1] != START or frame[-1:] != END or frame[-6:-5] != b"|":
        raise BadFrame("not !body|CRC and a carriage return")
    body = frame[1:-6]
    if frame[-5:-1] != b"%04X" % crc(body):
        raise BadFrame("CRC")
    if not all(0x20 <= byte < 0x7F for byte in body):
        raise BadFrame("not printable ASCII")
    return body.decode("ascii").split("^")


def _request(name: str, effect: Effect = "read") -> FrameRequest:
    return FrameRequest(name, encode(name), effect=effect, timeout_s=TIMEOUT_S, distinct=True)


SERIAL, PROTOCOL = _request("INST_SERIALNO", "identify"), _request("COMMS_PROTOCOL", "identify")
SYRINGE, STATUS, ALARM = (_request(name) for name in ("SYRINGE_STATUS", "INF", "ALARM"))
REQUESTS = (SERIAL, PROTOCOL, SYRINGE, STATUS, ALARM)
NAMES = frozenset(request.name for request in REQUESTS)
MODES = ("HLD", "SET")


class AlarisGh:
    """One pump on its own line."""

    def __init__(self) -> None:
        self.framing: Framing = Delimited(START, END, MAX_FRAME, abort=ESC)
        self._serial: str | None = None
        self._model: str | None = None
        self._due_s: dict[str, float] = {}
        self._flagged = False  # INF says that an alarm is on
        self._missed = 0  # INF without a response, running
        self.unmapped = Tally()
        self._total = Rising()
        self._asked_s: float | None = None
        self._guessed = False  # the last alarms are a guess, for want of a response to ALARM

    def on_open(self) -> Sequence[Request]:
        self._serial = self._model = None
        self._due_s = {}
        self._flagged = self._guessed = False
        self._missed = 0
        self._total.forget()
        self._asked_s = None
        return (SERIAL, PROTOCOL, SYRINGE)

    def next_request(self, at_s: float) -> Request | None:
        """Whichever has waited longest: INF and ALARM once a second each, the syringe once a minute."""
        syringe_s = self._due_s.get(SYRINGE.name)
        if syringe_s is None:  # it was in the handshake
            self._due_s[SYRINGE.name] = at_s + SYRINGE_EVERY_S
        request = min((STATUS, ALARM, SYRINGE), key=lambda one: self._due_s.get(one.name, float("-inf")))
        if at_s < self._due_s.get(request.name, float("-inf")):
            return None
        self._asked_s = at_s
        self._due_s[request.name] = at_s + (SYRINGE_EVERY_S if request is SYRINGE else EVERY_S)
        return request

    @property
    def due_s(self) -> float:
        """See `Timed`."""
        return min(self._due_s.get(one.name, -math.inf) for one in (STATUS, ALARM, SYRINGE))

    def is_response(self, frame: bytes, request: Request) -> bool:
        return frame.startswith((f"!{request.name}^".encode(), f"!{request.name}|".encode()))

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        if request.name == STATUS.name:
            self._missed += 1
            return (Pump("unknown"),) if self._missed >= MISSED else ()
        if request.name == SYRINGE.name:
            self._due_s[SYRINGE.name] = self._due_s.get(SYRINGE.name, 0.0) + SYRINGE_RETRY_S
        if request.name != ALARM.name or self._flagged is self._guessed:
            return ()
        self._guessed = self._flagged
        return (DeviceAlarms((UNNAMED_ALARM,) if self._flagged else ()),)

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        """What a response contains. A good frame that is no response is late or doubled, and gives nothing."""
        name, *fields = decode(frame)
        if name not in NAMES:
            self.unmapped.saw(f"message {name}")
        if request is None or request.name != name:
            return ()
        if name == STATUS.name:
            return self._status(fields)
        if name == ALARM.name:
            alarms = _alarms(fields)
            self._guessed = False
            return (alarms,)
        if name == SYRINGE.name:
            self._note("syringe", (*fields, "", "", "")[2], "CONF")
            return (_syringe(fields),)
        if len(fields) != 1 or not fields[0].strip():
            raise BadFrame(f"{name}: one field, not {fields}")
        if name == PROTOCOL.name:
            self._model = fields[0].strip()
        else:
            self._serial = _serial(fields[0])
        return (Identity(self._serial, self._model),) if self._serial else ()

    def _status(self, fields: Sequence[str]) -> Sequence[Decoded]:
        if not INF_FIELDS_LEAST <= len(fields) <= INF_FIELDS:
            raise BadFrame(f"INF: {INF_FIELDS + 1} fields, not {len(fields) + 1}")
        number, flag, mode, rate, rate_unit, drug, infused, infused_unit, pressure, pressure_unit, left = fields[:11]
        serial = _serial(number)
        if self._serial is not None and serial != self._serial:
            return (Identity(serial, self._model),)
        state = _state(flag.strip(), mode.strip(), _number("rate_ml_h", rate))
        total = self._total.judged(_reading("volume_infused_ml", infused, infused_unit), self._asked_s,
                                   _number("rate_ml_h", rate), step_of(infused), state == "infusing")
        flows, *others = map(self._total.beside, (
            _reading("rate_ml_h", rate, rate_unit), _reading("line_pressure_mmhg", pressure, pressure_unit),
            _time_left(left)))
        readings = (flows, total, *others)
        self._flagged, self._missed = flag.strip() == "A", 0
        for what, said, *known in (("mode", mode, *MODES), ("flag", flag, "-", "A"), ("drug", drug),
                                   ("log", (*fields, "")[11], "EVENT")):
            self._note(what, said, *known)
        pump = Pump(state)
        if self._serial is None:
            self._serial = serial
            return (Identity(serial, self._model), *readings, pump)
        return (*readings, pump)

    def _note(self, what: str, said: str, *known: str) -> None:
        if (plain := said.strip()) and plain not in known:
            self.unmapped.saw(f"{what} {plain}")


def _serial(text: str) -> str:
    if not _SERIAL.fullmatch(text.strip()):
        raise BadFrame(f"serial number {text!r}")
    return text.strip()


def _number(metric: str, text: str) -> float | None:
    """The value of the field, None where it is empty. Raises BadFrame where that is no number."""
    plain = text.strip()
    if _BLANK.fullmatch(plain):
        return None
    if not _NUMBER.fullmatch(plain):
        raise BadFrame(f"{metric}: {text!r} is not a number")
    return float(plain)


def _reading(metric: str, text: str, unit: str) -> Reading:
    value = _number(metric, text)
    if unit.strip() != UNITS[metric] and (value is not None or unit.strip()):
        raise BadFrame(f"{metric}: unit {unit!r}")
    return _judged(metric, value)


def _judged(metric: str, value: float | None) -> Reading:
    if value is None:
        return Reading(metric, None, Validity.UNAVAILABLE)
    low, high = LIMITS[metric]
    return Reading(metric, value) if low <= value <= high else Reading(metric, None, Validity.INVALID, "implausible")


def _time_left(text: str) -> Reading:
    if text.strip() == "24+":
        return Reading("time_remaining_s", None, Validity.OVERFLOW)
    if _BLANK.fullmatch(text):
        return Reading("time_remaining_s", None, Validity.UNAVAILABLE)
    found = _TIME_LEFT.fullmatch(text.strip())
    if found is None:
        raise BadFrame(f"time left {text!r}")
    hours, minutes, seconds = (int(part) for part in found.groups())
    return Reading("time_remaining_s", float(hours * 3600 + minutes * 60 + seconds))


def _state(flag: str, mode: str, rate_ml_h: float | None) -> PumpState:
    if mode != "HLD" and rate_ml_h is not None and rate_ml_h > 0:
        return "infusing"
    if flag == "A":
        return "alarm"
    known = flag == "-" and (mode == "HLD" or (mode == "SET" and rate_ml_h == 0))
    return "stopped" if known else "unknown"


def _syringe(fields: Sequence[str]) -> Reading:
    if not 1 <= len(fields) <= 3:
        raise BadFrame(f"SYRINGE_STATUS: 4 fields, not {len(fields) + 1}")
    _, size, confirmed = (*fields, "", "")[:3]
    if confirmed.strip() != "CONF":  # nobody at the pump has confirmed what is fitted
        return Reading("syringe_size_ml", None, Validity.UNAVAILABLE)
    return _judged("syringe_size_ml", _number("syringe_size_ml", size))


def _alarms(fields: Sequence[str]) -> DeviceAlarms:
    if not 1 <= len(fields) <= 3 or not fields[0].strip():
        raise BadFrame(f"ALARM: 4 fields, not {len(fields) + 1}")
    raw = fields[0].strip()
    if raw == NO_ALARM:
        return DeviceAlarms(())
    extra = " ".join(" ".join(fields[1:]).split())
    code, priority, text = ALARM_CODES.get(raw, ("unknown", "medium", f"Pump alarm {raw}"))
    return DeviceAlarms((DeviceAlarm(code, priority, raw, f"{text} ({extra})" if extra else text),))


def _make(settings: Mapping[str, str | int | float]) -> AlarisGh:
    return AlarisGh()


DRIVER = Spec(
    name="alaris_gh",
    title="Alaris / Asena GH syringe pump",
    kind="pump",
    transports=("serial", "tcp"),
    age=BY_VOLUME,
    names_itself="always",
    grade="S, captured responses C",
    source="OpenICE Asena driver, MDDT captures of two real pumps, infupy; no maker's manual is public",
    agrees=(
        Agreement("capture", "C: captured from a real pump (MDDT)"),
        Agreement("program", "S: published frame (OpenICE, MDDT), CRC checked"),
    ),
    line=Line(baud=38400, silent_after_s=SILENT_AFTER_S, lateness_s=LATENESS_S),
    metrics=frozenset({*LIMITS, "time_remaining_s"}),
    requests=REQUESTS,
    wiring=(
        "Line: 38400 8N1, no flow control; one pump a line.\n"
        "Cable: the pump's RS-232 socket, at RS-232 levels, to an isolated USB adapter or terminal server; connector"
        " and pins are not known here, see the pump's manual.\n"
        "Menu: RS-232 must be enabled in the pump's configuration. Monitoring needs no remote control, and this"
        " driver never requests it.\n"
        "Known limits: what most alarm codes mean is read from their names; only an occlusion and no alarm were ever"
        " seen."
    ),
    make=_make,
)
