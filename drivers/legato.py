"""KD Scientific Legato and Harvard Apparatus "Ultra" syringe pumps (Pump 11 Elite, PHD Ultra): read only, always.

Bench pumps: not for use on humans. Grade C for the exchanges marked so (a recording of a real Legato, firmware v3.0.6,
published with python-syringe-pump), S for the rest (that program's parser). No maker's document was read.

    115200 8N1 (USB, or RS-232 at what the pump's menu says) · one pump on the line, address 0                      S
    host  @ command CR LF                      @: the pump does not redraw its screen for it                        C
    pump  LF [text CR LF ...] [LF] [address] prompt [XON]                                                           C
          XON 11 only where somebody has switched the pump's poll mode on; the second LF only where not (S)

    prompt   : idle   > infusing   < withdrawing                                                                    C
             * stalled   T* target reached   >* and <* a limit switch was reached                                   S

    request    text of the response                    what is made of it
    version    three lines, "Serial number: D101754"   identity, when two responses say the same              C
    irate      199.49 ul/min                           the set rate; pl nl ul ml / s sec min h hr             C, units S
    ivolume    1.69023 ul                              volume_infused_ml; pl nl ul ml                         C, units S
    An error is "Argument error: ..." or "Command error ..." and an explanation: no number, and the alarm `attention`.

Never sent: all that sets, runs, stops or clears, and the two commands that public hosts begin with, since they change
the pump: `poll on` and `nvram none`. With `poll on` each response has an end mark; it is read both ways here.
Unknown: what irate says while a ramp runs (so the rate has to agree with the rise of the volume: drivers/kit/flow.py),
how late a response may be (taken as 1 s), and what the pump does when the host falls silent (nothing, as far as known).

There is no checksum, and one flipped bit makes ":" of ">": a prompt counts when two responses running say it, numbers
as drivers/kit/unchecked.py says. Each number's form names its request. A `*` behind `>` belongs to it, but may come
later: after one, the next `>` says nothing until it is seen whether a `*` follows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

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
    Pump,
    PumpState,
    Reading,
    Request,
    Spec,
    Validity,
    Weak,
)
from drivers.kit.flow import Flow
from drivers.kit.text import Twice, step_of
from drivers.kit.tracks import BY_VOLUME
from drivers.kit.unchecked import Unchecked

LF, CR, STAR, XON = 0x0A, 0x0D, 0x2A, 0x11
LONGEST = 160  # bytes; the longest one known has 73
EVERY_S, AGAIN_S = 1.0, 3.0
TIMEOUT_S = LATENESS_S = 1.0
MISSED = 2
LIMITS: Mapping[str, tuple[float, float]] = {"rate_ml_h": (0.0, 13_000.0), "volume_infused_ml": (0.0, 5000.0)}
ML: Mapping[str, float] = {"pl": 1e-9, "nl": 1e-6, "ul": 1e-3, "ml": 1.0}
PER_HOUR: Mapping[str, float] = {"s": 3600.0, "sec": 3600.0, "min": 60.0, "h": 1.0, "hr": 1.0}
STATES: Mapping[str, PumpState] = {":": "stopped", ">": "infusing", "<": "unknown", "*": "alarm", "T*": "stopped"}
LIMIT = DeviceAlarm("end_of_infusion", "high", ">*", "A limit switch was reached: the pusher goes no further")
SAYS: Mapping[str, DeviceAlarm] = {
    "<": DeviceAlarm("attention", "medium", "<", "The pump withdraws"),
    "*": DeviceAlarm("occlusion", "high", "*", "Motor stalled: blocked line, or end of the syringe"),
    "T*": DeviceAlarm("vtbi_done", "medium", "T*", "Target volume or time reached"),
}

_FRAME = re.compile(r"\n((?:[\x20-\x7e]*\r\n)*)\n?(\d\d)?(T\*|[:><*])(?:(?<=[><])(\*))?\x11?")
_PROMPT = re.compile(rb"(?:\d\d)?(?:[:><*]|T\*)")
_TAIL = (bytes((STAR,)), bytes((XON,)))
_NUMBER = r"(\d{1,6}(?:\.(\d{1,6}))?)"
_VERSION = re.compile(r"Firmware: +(\S+)\r\nPump address: +\d+\r\nSerial number: +(\S+)\r\n")
_FORMS: Mapping[str, re.Pattern[str]] = {
    "version": _VERSION,
    "irate": re.compile(_NUMBER + r" ([pnum]l)/(s|sec|min|h|hr)\r\n"),
    "ivolume": re.compile(_NUMBER + r" ([pnum]l)\r\n"),
}
_ERROR = re.compile(r"((?:Argument|Command) error[^\r\n]*)\r\n(?:[^\r\n]*\r\n)*")


def _request(name: str, effect: Effect) -> FrameRequest:
    return FrameRequest(name, f"@{name}\r\n".encode(), effect=effect, timeout_s=TIMEOUT_S, distinct=True)


VERSION, RATE, VOLUME = _request("version", "identify"), _request("irate", "read"), _request("ivolume", "read")


class Prompted:
    """LF to the prompt. The `*` of `>*` and XON, which nothing announces, are frames of one byte behind it."""

    def __init__(self) -> None:
        self.dropped = 0
        self._held = bytearray()  # empty, or begins with LF
        self._behind = b""  # what may follow the frame that has just ended

    def feed(self, data: bytes) -> list[bytes]:
        """The whole frames that `data` completes."""
        return [frame for byte in data if (frame := self._byte(byte))]

    def _byte(self, byte: int) -> bytes:
        behind, self._behind = self._behind, b""
        if behind and byte in behind:
            self._behind = behind.replace(bytes((byte,)), b"")
            return bytes((byte,))
        if byte == LF and not self._held.endswith((b"\r", b"\r\n")):
            self.flush()
        if not (self._held or byte == LF) or not (0x20 <= byte < 0x7F or byte in (LF, CR)):
            self.flush()
            self.dropped += 1
            return b""
        self._held.append(byte)
        if _PROMPT.fullmatch(self._held.rpartition(b"\n")[2]):
            frame = bytes(self._held)
            self._held.clear()
            self._behind = bytes((STAR, XON)) if byte in b"><" else bytes((XON,))
            return frame
        if len(self._held) > LONGEST:
            self.flush()
        return b""

    def flush(self) -> None:
        """Forget the incomplete frame."""
        self.dropped += len(self._held)
        self._held.clear()
        self._behind = b""


class Legato:
    """One pump. One that was never started is shown single frames, and takes each at its word."""

    def __init__(self) -> None:
        self.framing: Framing = Prompted()
        self._unchecked = Unchecked()
        self._started = False
        self._now_s = 0.0
        self._forget()

    def _forget(self) -> None:
        self._due_s = dict.fromkeys((RATE, VOLUME), float("-inf"))
        self._who: Twice[str] = Twice()
        self._who_s = self._now_s
        self._prompt: Twice[str] = Twice()
        self._limit = False  # the last `>` or `<` had a `*`
        self._missed = 0
        self._flow = Flow()
        self._agrees = False
        self._refused: dict[str, DeviceAlarm] = {}
        self._told: tuple[DeviceAlarm, ...] | None = None
        self._unchecked.forget()

    # --- requests -----------------------------------------------------------------------------------------------------

    def on_open(self) -> Sequence[Request]:
        self._forget()
        self._started = True
        return (VERSION, VERSION)

    def next_request(self, at_s: float) -> Request | None:
        self._now_s = at_s
        if self._who.value is None and at_s - self._who_s >= AGAIN_S:
            self._who_s = at_s
            return VERSION
        request = min(self._due_s, key=lambda one: self._due_s[one])
        if at_s < self._due_s[request]:
            return None
        self._due_s[request] = at_s + EVERY_S
        return request

    def is_response(self, frame: bytes, request: Request) -> bool:
        form = _FORMS.get(request.name)
        try:
            text = _parts(frame)[0]
        except BadFrame:
            return False
        return form is not None and (form.fullmatch(text) or _ERROR.fullmatch(text)) is not None

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        if request.name == VERSION.name:
            return ()
        self._missed += 1
        if self._missed < MISSED:
            return ()
        self._prompt.forget()
        return (Pump("unknown"),)

    # --- what comes ---------------------------------------------------------------------------------------------------

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        if frame in _TAIL:
            return self._starred() if frame[0] == STAR else ()
        text, prompt, star = _parts(frame)
        if request is None:
            return ()
        found, error = _FORMS[request.name].fullmatch(text), _ERROR.fullmatch(text)
        if found is None and error is None:
            raise BadFrame(f"{request.name}: {text!r}")
        self._missed = 0
        self._refused.pop(request.name, None)
        if error:
            words = f"The pump refuses {request.name}: {error[1]}"
            self._refused[request.name] = DeviceAlarm("attention", "low", request.name, words)
        said = self._counts(prompt, star)
        decoded: list[Decoded] = []
        if request.name == VERSION.name:
            decoded += self._identity(found) if found else ()
        else:
            decoded.append(self._number(request.name, found, said))
        return [*decoded, *self._state(said)]

    def _identity(self, found: re.Match[str]) -> Sequence[Decoded]:
        said = f"{found[1]} {found[2]}"
        self._who.is_news(said)
        if self._started and self._who.value != said:
            return ()
        return (Identity(found[2], f"KDS / Harvard, firmware {found[1]}"),)

    def _counts(self, prompt: str, star: bool) -> str:
        """The prompt where it counts, `>*` at a limit, and nothing where it has to be said again."""
        if prompt in "><" and (self._limit or star):
            self._limit = star
            return ">*" if star else ""
        self._limit = False
        self._prompt.is_news(prompt)
        return prompt if self._prompt.value == prompt or not self._started else ""

    def _starred(self) -> Sequence[Decoded]:
        self._limit = True
        return self._state(">*")

    def _state(self, said: str) -> Sequence[Decoded]:
        if not said:
            return ()
        says = LIMIT if said == ">*" else SAYS.get(said)
        alarms = (*((says,) if says else ()), *self._refused.values())
        told, self._told = self._told, alarms
        state: Decoded = Pump(STATES.get(said, "alarm"))
        return (state, DeviceAlarms(alarms)) if alarms != told or not self._started else (state,)

    def _number(self, name: str, found: re.Match[str] | None, said: str) -> Reading:
        metric = "rate_ml_h" if name == RATE.name else "volume_infused_ml"
        if found is None or not said:
            if name == RATE.name:
                self._unchecked.interrupt()
            return Reading(metric, None, Validity.UNAVAILABLE)
        unit_ml = ML[found[3]]
        value = round(float(found[1]) * unit_ml * (PER_HOUR[found[4]] if name == RATE.name else 1.0), 9)
        if not LIMITS[metric][0] <= value <= LIMITS[metric][1]:
            return Reading(metric, None, Validity.INVALID, "implausible")
        if not self._started:
            return Reading(metric, value)
        if name == VOLUME.name:
            return self._volume(value, unit_ml * step_of(found[1]), runs=said == ">")
        return self._rate(value, said)

    def _volume(self, value_ml: float, step_ml: float, *, runs: bool) -> Reading:
        reading = self._unchecked.volume(value_ml, self._due_s[VOLUME] - EVERY_S, step_ml, runs=runs)
        if reading.validity is Validity.VALID and self._unchecked.rate_ml_h is not None:
            seen = self._flow.heard(self._due_s[VOLUME] - EVERY_S, self._unchecked.rate_ml_h, value_ml)
            self._agrees = seen.agrees
        return reading

    def _rate(self, value_ml_h: float, said: str) -> Reading:
        reading = self._unchecked.rate(value_ml_h)
        if said in (":", "T*"):
            return Reading("rate_ml_h", 0.0)
        if said != ">":
            return Reading("rate_ml_h", None, Validity.UNAVAILABLE, "not_measured")
        if not self._agrees and reading.validity is Validity.VALID:
            return replace(reading, validity=Validity.QUESTIONABLE, reason="low_signal_quality")
        return reading


def _parts(frame: bytes) -> tuple[str, str, bool]:
    """Text, prompt, and whether a limit switch was reached. Raises BadFrame."""
    found = _FRAME.fullmatch(frame.decode("ascii", "replace"))
    if found is None or found[2] not in (None, "00"):
        raise BadFrame("not a response with the prompt of a pump at address 0")
    return found[1], found[3], found[4] is not None


DRIVER = Spec(
    name="legato",
    title="KD Scientific Legato, Harvard Pump 11 Elite and PHD Ultra syringe pumps",
    kind="pump",
    transports=("serial", "tcp"),
    age=BY_VOLUME,
    names_itself="opening",
    grade="C, S",
    source="a recording of a real Legato (firmware v3.0.6) published with python-syringe-pump, and that program's"
           " parser; no maker's document",
    agrees=(Agreement("capture", "C: recorded from a Legato v3.0.6 (python-syringe-pump, tests/casette.json)"),),
    line=Line(baud=115200, silent_after_s=5.0, lateness_s=LATENESS_S),
    metrics=frozenset(LIMITS),
    requests=(VERSION, RATE, VOLUME),
    wiring=(
        "Line: 115200 8N1 on USB; on RS-232 the baud rate of the pump's menu (?baud=9600). It stands alone on its"
        " line.\n"
        "Cable: its USB socket (a serial port of its own), or RS-232 through an isolated adapter; connector pins are"
        " not known here.\n"
        "Menu: the pump's address must be 0; the way through the menu is not known here.\n"
        "A bench pump, not for use on humans. Before use, infuse 10 mL/h into a cup and compare rate and volume with"
        " the pump's display.\n"
        "Known limits: the rate is questionable for some seconds after each start, until the volume agrees with it;"
        " with a ramp it may stay so. One whose version has no serial number is bound by its port."
    ),
    weak=Weak("its lines have no check", volume=True),
    make=lambda settings: Legato(),
)
