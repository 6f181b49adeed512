"""New Era NE-1000 family (NE-300 to NE-8000, WPI Aladdin, Landgraf) over RS-232: read, and stopped where that is armed.

A bench pump: its manual says NOT FOR CLINICAL USE ON HUMANS. Grade M (NE-1000 manual #1200-01, pp. 33-35) and S
(nesp_lib 2.0.0 and labmcp-new-era 0.1.2, whose exchanges with each other are in the golden table).

    19200 8N1 as delivered (or 9600, 2400, 1200, 300) · address 0 · the pump only responds, except a safe mode's alarms

    basic   > [address] command CR                  < 02 address(2) status data 03          no checksum           M
    safe    > 02 LEN text CRC CRC 03                < 02 LEN address(2) status data CRC CRC 03                     M
            LEN = length of the text + 4 · CRC-16/XMODEM of the text, high byte first (manual's vector: SAF0 5543)

    request   data of the response                  what is made of it
    (empty)   none                                  state
    VER       NE1000V3.923                          model; there is no serial number
    RAT       10.00MH                               the set rate; units UM MM UH MH: uL/min, mL/min, uL/h, mL/h
    DIS       I5.008W0.000UL                        volume infused and withdrawn, UL or ML
    A number has at most four digits, of them three behind the point.

    status  I infusing · W withdrawing · S stopped · P paused · T timed pause · U waits for a trigger · X purging
            A?R reset (power was interrupted) · A?S motor stalled · A?T time-out of safe mode · A?E program error ·
            A?O phase out of range; any status may be followed by an error: ?, ?NA, ?OOR, ?COM, ?IGN

    STP       none                                  the pump pauses; a second one also resets its program     M

STP is sent only on the word of whoever watches the patient (`stop`), once, and not while the pump says that it stands
still, because a second one would reset its program. Whether it was obeyed, the next states say; the response to STP
itself proves nothing. Never sent: all that sets or runs, SAF (which changes the mode) and *RESET. Two effects of a
read (M): the pump takes any response that shows an alarm for the alarm's acknowledgement, so an alarm is shown here
from the first response that has it until the pump runs again; and in safe mode the first valid packet starts the
pump's own communication time-out, after which it STOPS when nothing valid comes. Basic mode is therefore the default.

Only the state says whether the set rate is what flows: it is the rate while infusing, and the rate is 0 while it
stands still; withdrawing and purging have none. Basic mode has no checksum, and in neither does a response say when it
was made: drivers/kit/unchecked.py says when a rate or a volume counts; a status counts when two responses running say
it. In safe mode a driver that was never started is shown single frames, and takes each at its word. The form of a
response names its request; an error or alarm could answer any, and holds no number. Lateness is unknown; taken as 1 s.
"""

from __future__ import annotations

import binascii
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
    Setting,
    Spec,
    Validity,
    Weak,
)
from drivers.kit.framing import Counted, Delimited
from drivers.kit.stops import StopOnce
from drivers.kit.tally import Tally
from drivers.kit.text import Twice
from drivers.kit.tracks import BY_VOLUME
from drivers.kit.unchecked import Unchecked

STX, ETX, CR = b"\x02", b"\x03", b"\r"
MAX_BASIC, MAX_SAFE = 40, 48
EVERY_S = 1.0
TIMEOUT_S = 1.0  # twice the pump's own time-out between two bytes (M); it responds in far less
LATENESS_S = 1.0
MISSED = 2

LIMITS: Mapping[str, tuple[float, float]] = {"rate_ml_h": (0.0, 1700.0), "volume_infused_ml": (0.0, 5000.0)}
ML_H: Mapping[str, float] = {"UM": 0.06, "MM": 60.0, "UH": 0.001, "MH": 1.0}
ML: Mapping[str, float] = {"UL": 0.001, "ML": 1.0}
STATES: Mapping[str, PumpState] = {
    "I": "infusing", "X": "infusing", "W": "unknown", "S": "stopped", "P": "paused", "T": "paused", "U": "paused",
}
STANDS_STILL = frozenset("SPTU")
ALARM_CODES: Mapping[str, tuple[str, Priority, str]] = {
    "R": ("attention", "medium", "The pump was reset: its power was interrupted"),
    "S": ("occlusion", "high", "Motor stalled: blocked line, or end of the syringe"),
    "T": ("comms_timeout", "high", "Communication time-out: the pump has stopped"),
    "E": ("fault", "medium", "Error in the pump's program"),
    "O": ("fault", "medium", "The pump's program phase is out of range"),
}
DOING: Mapping[str, DeviceAlarm] = {
    "W": DeviceAlarm("attention", "medium", "W", "The pump withdraws"),
    "X": DeviceAlarm("attention", "medium", "X", "The pump purges at its highest rate"),
}

_NUMBER = r"(?=[\d.]{1,5}[A-Z])(\d{0,4}\.?\d{0,3})"
_PACKET = re.compile(r"(\d\d)(?:([IWSPTUX])(\?[A-Z]*)?|A\?([A-Z]))")
_FORMS: Mapping[str, re.Pattern[str]] = {
    "state": re.compile(""),
    "VER": re.compile(r"NE\d+(?:X\d?)?V\d+\.\d+"),
    "RAT": re.compile(_NUMBER + "(UM|MM|UH|MH)"),
    "DIS": re.compile("I" + _NUMBER + "W" + _NUMBER + "(UL|ML)"),
    "STP": re.compile(""),
}


def crc(data: bytes) -> int:
    """CRC-16/XMODEM; of b"123456789" it is 31C3."""
    return binascii.crc_hqx(data, 0)


def safe(text: bytes) -> bytes:
    """`text` in safe mode's frame."""
    return STX + bytes((len(text) + 4,)) + text + crc(text).to_bytes(2, "big") + ETX


def _safe_length(head: bytes) -> int | None:
    if len(head) < 2:
        return None
    return head[1] + 1 if 7 <= head[1] < MAX_SAFE else 0


def _safe_good(frame: bytes) -> bool:
    return frame[:1] == STX and frame[-1:] == ETX and frame[-3:-1] == crc(frame[2:-3]).to_bytes(2, "big")


def _request(name: str, *, in_safe_mode: bool) -> FrameRequest:
    text = b"0" + name.encode().removeprefix(b"state")
    effect = EFFECTS.get(name, "read")
    distinct = effect != "stop_pump"  # its response is that of a state
    if in_safe_mode:
        return FrameRequest(f"{name} (safe)", safe(text), effect=effect, timeout_s=TIMEOUT_S, distinct=distinct)
    return FrameRequest(name, text + CR, effect=effect, timeout_s=TIMEOUT_S, distinct=distinct)


EFFECTS: Mapping[str, Effect] = {"VER": "identify", "STP": "stop_pump"}
NAMES = ("VER", "state", "RAT", "DIS", "STP")
BASIC = {name: _request(name, in_safe_mode=False) for name in NAMES}
SAFE = {name: _request(name, in_safe_mode=True) for name in NAMES}


def _name(request: Request) -> str:
    return request.name.removesuffix(" (safe)")


class NewEra:
    """One pump at address 0 of its own line."""

    def __init__(self, mode: str = "basic") -> None:
        self._safe = mode == "safe"
        self._requests = SAFE if self._safe else BASIC
        self.framing: Framing = (Counted(STX, _safe_length, MAX_SAFE, _safe_good) if self._safe
                                 else Delimited(STX, ETX, MAX_BASIC))
        self.unmapped = Tally()
        self._twice: Twice[str] = Twice()
        self._unchecked = Unchecked()
        self._at_its_word = self._safe  # until it is started; then a good frame may still be an old one
        self._stop = StopOnce()
        self._forget()

    def _forget(self) -> None:
        self._due_s = dict.fromkeys(("state", "RAT", "DIS"), float("-inf"))
        self._read_s = float("-inf")  # when the last volume was requested
        self._unchecked.forget()
        self._stop.forget()
        self._missed = 0
        self._status = ""  # the status that counts; empty: none yet
        self._alarm: str | None = None  # the letter of the last alarm, until the pump runs again
        self._twice.forget()

    def on_open(self) -> Sequence[Request]:
        self._forget()
        self._at_its_word = False
        return (self._requests["VER"],)

    def stop(self, asked_s: float, until_s: float) -> None:
        """See `StopDriver`."""
        self._stop.ask(asked_s, until_s)

    def next_request(self, at_s: float) -> Request | None:
        if self._stop.taken(at_s) and self._status not in STANDS_STILL:
            return self._requests["STP"]
        name = min(self._due_s, key=lambda one: self._due_s[one])
        if at_s < self._due_s[name]:
            return None
        self._due_s[name] = at_s + EVERY_S
        if name == "DIS":
            self._read_s = at_s
        return self._requests[name]

    @property
    def due_s(self) -> float:
        """See `Timed`."""
        return float("-inf") if self._stop.waits else min(self._due_s.values())

    def is_response(self, frame: bytes, request: Request) -> bool:
        try:
            _, error, alarm, data = self._split(frame)
        except BadFrame:
            return False
        return bool(error or alarm) or _FORMS[_name(request)].fullmatch(data) is not None

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        if _name(request) != "state":
            return ()
        self._missed += 1
        if self._missed < MISSED:
            return ()
        self._status = ""
        self._twice.forget()
        return (Pump("unknown"),)

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        """What a response contains. What nobody waits for is late or doubled, but for an alarm that came by itself."""
        status, error, alarm, data = self._split(frame)
        if alarm:
            return self._alarmed(alarm)
        if error:
            self.unmapped.saw(f"error {error}")
        if request is None:
            return ()
        name = _name(request)
        found = None if error else _FORMS[name].fullmatch(data)
        if found is None and not error:
            raise BadFrame(f"{name}: data {data!r}")
        if name == "state":
            self._missed = 0
        decoded: list[Decoded] = list(self._counted(status))
        if name == "VER" and found:
            decoded.append(Identity(None, data))
        elif name in ("RAT", "DIS"):
            metric = "rate_ml_h" if name == "RAT" else "volume_infused_ml"
            value = _value(name, found) if found else None
            decoded.append(self._reading(metric, value, status, refused=bool(error)))
        return decoded

    def _split(self, frame: bytes) -> tuple[str, str, str, str]:
        """Status, error, alarm and data of a frame; each may be empty. Raises BadFrame."""
        if self._safe:
            if len(frame) < 8 or _safe_length(frame) != len(frame) or not _safe_good(frame):
                raise BadFrame("not 02 LEN text CRC 03")
            text = frame[2:-3]
        else:
            if frame[:1] != STX or frame[-1:] != ETX:
                raise BadFrame("not 02 text 03")
            text = frame[1:-1]
        if not all(0x20 <= byte < 0x7F for byte in text):
            raise BadFrame("not printable ASCII")
        plain = text.decode("ascii")
        found = _PACKET.match(plain)
        data = plain[found.end():] if found else ""
        if found is None or found[1] != "00" or ((found[3] or found[4]) and data):
            raise BadFrame(f"not a status of address 00: {plain!r}")
        return found[2] or "", found[3] or "", found[4] or "", data

    def _alarmed(self, letter: str) -> Sequence[Decoded]:
        """The pump stands still, and forgets its alarm with this very response."""
        self._alarm, self._status = letter, ""
        self._twice.forget()
        return (Pump("alarm"), DeviceAlarms((_alarm(letter),)))

    def _counted(self, status: str) -> Sequence[Decoded]:
        """The state, from the response on that makes it count."""
        self._twice.is_news(status)
        if self._twice.value != status and not self._at_its_word:
            return ()
        self._status = status
        if status in ("I", "W", "X"):
            self._alarm = None
        alarms = [_alarm(self._alarm)] if self._alarm else []
        if status in DOING:
            alarms.append(DOING[status])
        state = "alarm" if self._alarm else STATES[status]
        return (Pump(state), DeviceAlarms(tuple(alarms)))

    def _reading(self, metric: str, value: float | None, status: str, *, refused: bool) -> Reading:
        if metric == "rate_ml_h" and status != "I":
            value = 0.0 if status in STANDS_STILL and not refused else None
        if value is None or not self._status or self._status != status:
            if metric == "rate_ml_h":
                self._unchecked.interrupt()
            return Reading(metric, None, Validity.UNAVAILABLE)
        if not LIMITS[metric][0] <= value <= LIMITS[metric][1]:
            return Reading(metric, None, Validity.INVALID, "implausible")
        if self._at_its_word:
            return Reading(metric, value)
        if metric == "rate_ml_h":
            return self._unchecked.rate(value)
        return self._unchecked.volume(value, self._read_s, _step_ml(value), runs=status == "I")


def _step_ml(volume_ml: float) -> float:
    """How fine four digits tell it."""
    return next((step for under, step in ((10, 0.001), (100, 0.01), (1000, 0.1)) if volume_ml < under), 1.0)


def _value(name: str, found: re.Match[str]) -> float | None:
    """The number in mL/h or mL. Raises BadFrame for one no pump says."""
    digits = found[1]
    if not 1 <= len(digits.replace(".", "")) <= 4:
        raise BadFrame(f"{name}: {digits!r} is no number of four digits")
    return round(float(digits) * (ML_H[found[2]] if name == "RAT" else ML[found[3]]), 6)


def _alarm(letter: str) -> DeviceAlarm:
    code, priority, text = ALARM_CODES.get(letter, ("unknown", "medium", f"Pump alarm {letter}"))
    return DeviceAlarm(code, priority, f"A?{letter}", text)


DRIVER = Spec(
    name="new_era",
    title="New Era NE-1000 family syringe pump (WPI Aladdin)",
    kind="pump",
    transports=("serial", "tcp"),
    age=BY_VOLUME,
    grade="M, S",
    source="NE-1000 manual #1200-01 pp. 33-35; nesp_lib 2.0.0 and labmcp-new-era 0.1.2, which agree with each other",
    agrees=(Agreement("program", "P: seen between two independent programs"),),
    weak=Weak("its basic mode has no check", volume=True),
    documents=("New Era manual #1200-01",),
    line=Line(baud=19200, silent_after_s=5.0, lateness_s=LATENESS_S),
    metrics=frozenset(LIMITS),
    requests=(*BASIC.values(), *SAFE.values()),
    wiring=(
        "Line: 19200 8N1 as delivered, no flow control. One pump a line; a chain of pumps is not read.\n"
        "Cable: RS-232 at the socket \"To Computer\" (RJ-11; the maker's cable CBL-PC-PUMP) to an isolated USB"
        " adapter.\n"
        "Menu: in the pump's setup: address 0 (Ad:00), the baud rate, basic mode. Set mode = \"safe\" only where the"
        " pump itself was set to safe mode (SAF): there the pump stops when Vigil falls silent for longer than its"
        " time-out.\n"
        "The maker says: not for clinical use on humans.\n"
        "Stop: it can be stopped over the wire (STP), where edge.toml says so and two people have armed it.\n"
        "Known limits: a read acknowledges an alarm at the pump, so this driver shows it until the pump runs again."
        " The pump has no serial number to tell: two of them cannot be told apart."
    ),
    unprobed=(
        "a New Era pump in safe mode is not asked: from the first valid packet on it stops when no other comes in time."
        " With no patient on it: vigil check PORT --driver new_era --set mode=safe"),
    make=lambda settings: NewEra(str(settings["mode"])),
    settings={"mode": Setting("basic", "which mode the pump is set to", ("basic", "safe"))},
)
