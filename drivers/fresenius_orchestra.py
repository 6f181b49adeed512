"""Fresenius Vial Orchestra (Base A, Primea, Intensive with Module DPS) and stand-alone Pilote C: read only, always.

Grade S: all of it is from infupy (J. Jaffard; ISC licence), whose settings "come from Fresenius documentation", and
from exchanges of infupy with a simulator. No maker's document and no capture was seen. Not the newer Agilia.

    19200 7E1 · addresses: 0 the base, 1 to 5 the modules in it; a pump that stands alone has none           S
    STX text SUM ETX      SUM = FF - (sum of text & FF), two upper-case hex digits
    ACK 06, or NAK 15 and an error digit, follows every such frame, from either side; host and pump answer at once
    ENQ 05 from the base at any moment, even inside a frame; the host answers DC4 14

    host  <address>CMD[;args]     pump  <address>C[;values] done · I;error refused · E, M;values by itself, which the
                                        host answers with <address>E or M
    value  one letter and hex digits, as many as it likes

    DC       connect: the base first, then the module                                                        S
    LE;dr    d rate, 0.1 mL/h · r volume infused, 0.001 mL                                                   S
    LE;ae    a alarm, e error: what their values mean is unknown; 0 is taken for none, others are shown raw  unknown
    LF;b     what device it is, told as it stands                                                            S

Never sent: all that sets, starts, pauses or resets, takes control (MO;2) or makes the pump report by itself (DE).
Unknown: whether d is what flows or what is set, how to tell a pump that stands still, how often ENQ comes and how soon
DC4 must follow (sent within a second here, at once where no response is awaited), and what the pump does when a host
that connected falls silent.

So the volume says what the pump does (drivers/kit/flow.py): it infuses while the volume rises, and stands still some
seconds after it no longer does. A rate counts while it agrees with the volume's rise, and is questionable until then;
while the pump stands still the set rate is no flow, and is unavailable. A pump that stands still and an old response
that comes again look alike: a volume that does not rise while a rate is set is questionable until it rises, from the
opening on. An alarm without flow is the state `alarm`.
What the pump sends by itself is decoded as if it had been asked for. A module that lost its session (0D, 1E) is
connected again.
"""

from __future__ import annotations

import re
from collections import deque
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
    Setting,
    Spec,
    Validity,
)
from drivers.kit.flow import Flow
from drivers.kit.tally import Tally
from drivers.kit.text import Repeats
from drivers.kit.tracks import Rising, doubted

STX, ETX, ENQ, ACK, DC4, NAK = 0x02, 0x03, 0x05, 0x06, 0x14, 0x15
NAK_ERRORS = b"1245678"
MAX_TEXT = 80
ENQ_CREDIT = 4
BASE, ALONE, SLOTS = "0", "", ("1", "2", "3", "4", "5")
EVERY_S = 1.0
CONNECT_EVERY_S = 3.0
TIMEOUT_S, LATENESS_S = 1.0, 2.0  # the known host waits 1 s; lateness is unknown
SILENT_AFTER_S = 6.0  # one lost response costs up to EVERY_S + TIMEOUT_S + LATENESS_S
MISSED = 2
CLOSED = frozenset({"0D", "1E"})
LIMITS: Mapping[str, tuple[float, float]] = {"rate_ml_h": (0.0, 1200.0), "volume_infused_ml": (0.0, 5000.0)}
SCALES: Mapping[str, tuple[str, float]] = {"d": ("rate_ml_h", 0.1), "r": ("volume_infused_ml", 0.001)}
JUMPS: Mapping[str, float] = {"rate_ml_h": 0.0, "volume_infused_ml": 2.0}  # 6 s at 1200 mL/h
ERRORS: Mapping[str, str] = {
    "01": "unknown command", "02": "disabled in this mode", "03": "disabled in this status", "04": "syntax",
    "0A": "identifier not used", "0B": "identifier incorrect", "0C": "message too long",
    "0D": "session with the base not open", "0E": "communication with the module impossible", "12": "alarm present",
    "1E": "communication with the module not open", "20": "not authorised on this port",
    "24": "connection mode incorrect",
}

_VALUE = re.compile(r"([a-z])([0-9A-F]{1,8})")
_TEXT = re.compile(rb"\x06?\x02([\x20-\x7d]{1,80})([0-9A-F]{2})\x03")


def checksum(text: bytes) -> bytes:
    """Two hex digits; of b"0DC" they are 48."""
    return b"%02X" % (0xFF - (sum(text) & 0xFF))


def encode(text: str) -> bytes:
    """`text` in its frame."""
    plain = text.encode("ascii")
    return bytes((STX,)) + plain + checksum(plain) + bytes((ETX,))


def _request(text: str, effect: Effect = "read", timeout_s: float | None = TIMEOUT_S) -> FrameRequest:
    return FrameRequest(text, encode(text), effect=effect, timeout_s=timeout_s, distinct=True)


ACKNOWLEDGE, ALIVE = (FrameRequest(name, bytes((byte,)), effect="read", timeout_s=None, distinct=True)
                      for name, byte in (("ACK", ACK), ("DC4", DC4)))


class Requests:
    """All that is sent to one module."""

    def __init__(self, address: str) -> None:
        self.connect = _request(f"{address}DC", "identify")
        self.kind = _request(f"{address}LF;b", "identify")
        self.flow, self.alarm = _request(f"{address}LE;dr"), _request(f"{address}LE;ae")
        self.heard = {letter: _request(address + letter, timeout_s=None) for letter in "EM"}

    @property
    def all(self) -> tuple[FrameRequest, ...]:
        return self.connect, self.kind, self.flow, self.alarm, *self.heard.values()


CONNECT_BASE = _request("0DC", "identify")
HEARD_BASE = {letter: _request(BASE + letter, timeout_s=None) for letter in "EM"}
MODULES = {address: Requests(address) for address in (*SLOTS, ALONE)}


class FreseniusFraming:
    """STX to ETX, with the ACK before it; NAK and its digit; ENQ, which may stand inside a frame.

    ENQ alone proves little, since any stream has such a byte now and then: it is a frame only for some seconds after a
    text with a good sum, but always noted in `asked`.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self.asked = False
        self._held = bytearray()  # empty, or begins with ACK, STX or NAK
        self._credit = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The whole frames that `data` completes."""
        return [frame for byte in data for frame in self._byte(byte)]

    def _byte(self, byte: int) -> list[bytes]:
        begun, frame = self._held[-1] if self._held else 0, b""
        if byte == ENQ:
            return self._enquiry()
        if byte in (ACK, NAK) or (byte == STX and begun != ACK):
            self.flush()
            self._held.append(byte)
        elif begun == NAK and byte in NAK_ERRORS:
            frame = bytes((NAK, byte))
        elif byte == STX or (STX in self._held and (byte == ETX or 0x20 <= byte <= 0x7D)):
            self._held.append(byte)
            if byte == ETX:
                frame = bytes(self._held)
            elif len(self._held) > MAX_TEXT + 4:
                self.flush()
        else:
            self.flush()
            self.dropped += 1
        if not frame:
            return []
        self._held.clear()
        if _sum_is_good(frame):
            self._credit = ENQ_CREDIT
        return [frame]

    def _enquiry(self) -> list[bytes]:
        self.asked = True
        if self._credit:
            self._credit -= 1
            return [bytes((ENQ,))]
        self.dropped += 1
        return []

    def flush(self) -> None:
        """Forget the incomplete frame."""
        self.dropped += len(self._held)
        self._held.clear()


def _sum_is_good(frame: bytes) -> bool:
    found = _TEXT.fullmatch(frame)
    return found is not None and checksum(found[1]) == found[2]


def _parts(frame: bytes) -> tuple[str, str, str]:
    """Address, status letter and data of a text frame. Raises BadFrame."""
    found = _TEXT.fullmatch(frame)
    if found is None or not _sum_is_good(frame):
        raise BadFrame("not STX, text, its sum, ETX")
    head, _, data = found[1].decode("ascii").partition(";")
    if len(head) not in (1, 2) or head[-1] not in "CIEM" or head[:-1] not in ("", BASE, *SLOTS):
        raise BadFrame(f"no pump says {head!r}")
    return head[:-1], head[-1], data


def _values(data: str) -> dict[str, str]:
    """The values by their letters. Raises BadFrame."""
    found = [_VALUE.fullmatch(part) for part in data.split(";")] if data else []
    values = {one[1]: one[2] for one in found if one}
    if len(values) != len(found):
        raise BadFrame(f"not values: {data!r}")
    return values


class FreseniusOrchestra:
    """One module, in its base or alone."""

    def __init__(self, address: str) -> None:
        self._bytes = FreseniusFraming()
        self.framing: Framing = self._bytes
        self._address = address
        self.unmapped = Tally()
        self._requests = MODULES[address]
        self._repeats = {metric: Repeats({metric: jump}) for metric, jump in JUMPS.items()}
        self._total = Rising()
        self._started = False
        self._now_s = 0.0
        self._forget()

    def _forget(self) -> None:
        self._out: deque[FrameRequest] = deque(maxlen=8)  # what the link itself has to say
        self._connect: deque[FrameRequest] = deque()  # what has to be connected before anything is read
        self._connect_s = float("-inf")
        self._kind: str | None = None
        self._due_s = {"flow": float("-inf"), "alarm": float("-inf")}
        self._missed = 0
        self._flow = Flow()
        self._alarms: Mapping[str, tuple[DeviceAlarm, ...]] = {}
        self._total.forget()
        for repeats in self._repeats.values():
            repeats.forget()

    # --- requests -----------------------------------------------------------------------------------------------------

    def on_open(self) -> Sequence[Request]:
        self._forget()
        self._started = True
        self._connect = deque([self._requests.connect] if self._address else [])
        return [CONNECT_BASE if self._address else self._requests.connect]

    def next_request(self, at_s: float) -> Request | None:
        self._now_s = at_s
        if self._bytes.asked:
            self._bytes.asked = False
            return ALIVE
        if self._out:
            return self._out.popleft()
        if self._connect:
            if at_s < self._connect_s:
                return None
            self._connect_s = at_s + CONNECT_EVERY_S
            return self._connect[0]
        if self._kind is None:
            self._kind = ""  # asked once
            return self._requests.kind
        name = min(self._due_s, key=lambda one: self._due_s[one])
        if at_s < self._due_s[name]:
            return None
        self._due_s[name] = at_s + EVERY_S
        return self._requests.flow if name == "flow" else self._requests.alarm

    def is_response(self, frame: bytes, request: Request) -> bool:
        if request not in (CONNECT_BASE, *self._requests.all):
            return False
        if frame[:1] == bytes((NAK,)):
            return True
        try:
            address, status, data = _parts(frame)
            wanted = BASE if request is CONNECT_BASE else self._address
            if address != wanted or status not in "CI":
                return False
            return status == "I" or "".join(_values(data)) == request.name.partition(";")[2]
        except BadFrame:
            return False

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        if request.name != self._requests.flow.name:
            return ()
        self._missed += 1
        return (Pump("unknown"),) if self._missed >= MISSED else ()

    # --- what comes ---------------------------------------------------------------------------------------------------

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        if frame == bytes((ENQ,)):
            return ()
        if len(frame) == 2 and frame[0] == NAK and frame[1] in NAK_ERRORS:
            self.unmapped.saw(f"NAK {frame[1]:c}")
            return ()
        address, status, data = _parts(frame)
        self._out.append(ACKNOWLEDGE)
        if status in "EM":
            self._out.append((HEARD_BASE if address == BASE else MODULES[address].heard)[status])
            if address != self._address or status == "M":
                self.unmapped.saw(f"{address}{status};{data}")
            return self._told(_values(data)) if address == self._address and status == "E" else ()
        if request is None:
            return ()
        if status == "I":
            return self._refused(data.strip(), request)
        if request.name.endswith("DC"):
            self._connected(request)
            return ()
        if request.name == self._requests.kind.name:
            self._kind = data
            return (Identity(None, f"Fresenius, type {data}"),)
        return self._told(_values(data))

    def _connected(self, request: Request) -> None:
        if self._connect and request == self._connect[0]:
            self._connect.popleft()

    def _refused(self, error: str, request: Request) -> Sequence[Decoded]:
        """A refused connection is tried out all the same: the next read says whether there is one."""
        if request.name.endswith("DC"):
            self._connected(request)
        elif error in CLOSED:
            self._connect = deque([CONNECT_BASE, self._requests.connect] if self._address
                                  else [self._requests.connect])
        text = f"The pump refuses {request.name}: {ERRORS.get(error, f'error {error}')}"
        refused = (DeviceAlarm("attention", "low", f"I {error}", text),)
        if request.name != self._requests.flow.name:
            return self._alarmed(request.name, refused)
        self._flow = Flow()
        gone = (Reading(metric, None, Validity.UNAVAILABLE) for metric in LIMITS)
        return (*gone, Pump("unknown"), *self._alarmed(request.name, refused))

    def _told(self, values: Mapping[str, str]) -> Sequence[Decoded]:
        decoded: list[Decoded] = []
        for letter in values.keys() - set("aedr"):
            self.unmapped.saw(f"value {letter}")
        if "a" in values or "e" in values:
            found = [DeviceAlarm("unknown", "high" if letter == "a" else "medium", f"{letter} {values[letter]}",
                                 f"Pump {word} {values[letter]}; what it means is not known here")
                     for letter, word in (("a", "alarm"), ("e", "error")) if int(values.get(letter, "0"), 16)]
            decoded += self._alarmed(self._requests.alarm.name, tuple(found))
        told_ml_h = int(values["d"], 16) * SCALES["d"][1] if "d" in values else None
        readings = {letter: self._reading(*SCALES[letter], int(values[letter], 16), told_ml_h) for letter in SCALES
                    if letter in values}
        if "d" in readings and "r" in readings:
            self._missed = 0
            decoded += self._flowing(readings["d"], readings["r"])
            decoded += self._alarmed(self._requests.flow.name, ())
        elif "r" in readings:
            decoded.append(readings["r"])
        return decoded

    def _reading(self, metric: str, scale: float, count: int, told_ml_h: float | None) -> Reading:
        value, (low, high) = round(count * scale, 3), LIMITS[metric]
        if not low <= value <= high:
            return Reading(metric, None, Validity.INVALID, "implausible")
        if not self._started:
            return Reading(metric, value)
        reading = self._repeats[metric].judged((Reading(metric, value),))[0]
        if metric != "volume_infused_ml":
            return reading
        return self._total.judged(reading, self._now_s, told_ml_h, runs=bool(told_ml_h))

    def _flowing(self, rate: Reading, volume: Reading) -> Sequence[Decoded]:
        """Rate, volume and what the pump does, as far as the volume says it."""
        if rate.value is None or volume.value is None:
            self._flow = Flow()
            return rate, volume, Pump("unknown")
        seen = self._flow.heard(self._now_s, rate.value, volume.value)
        state: PumpState = seen.state
        told_ml_h = rate.value
        if state == "stopped" and rate.value > 0:
            rate = Reading("rate_ml_h", None, Validity.UNAVAILABLE, "not_measured")
        elif not (self._total.proves and seen.agrees) and rate.validity is Validity.VALID:
            rate = replace(rate, validity=Validity.QUESTIONABLE, reason="low_signal_quality")
        if self._started and told_ml_h > 0 and state != "infusing":
            volume = doubted(volume)
        alarmed = any(one.raw.startswith("a ") for one in self._alarms.get(self._requests.alarm.name, ()))
        return rate, volume, Pump("alarm" if alarmed and state != "infusing" else state)

    def _alarmed(self, by: str, alarms: tuple[DeviceAlarm, ...]) -> Sequence[Decoded]:
        """The alarms that the response to this request shows; told together with those of the others."""
        before = self._alarms
        self._alarms = {**before, by: alarms}
        everything = tuple(dict.fromkeys(one for some in self._alarms.values() for one in some))
        told = tuple(dict.fromkeys(one for some in before.values() for one in some))
        return (DeviceAlarms(everything),) if everything != told or by not in before or not self._started else ()


DRIVER = Spec(
    name="fresenius_orchestra",
    title="Fresenius Vial Orchestra (Module DPS in its base) and Pilote C syringe pumps",
    kind="pump",
    transports=("serial", "tcp"),
    age="a volume that stands still while a rate is set",
    grade="S",
    source="infupy by J. Jaffard (ISC), whose settings come from Fresenius documentation; no maker's document, no"
           " capture",
    agrees=(Agreement("program", "P"),),
    line=Line(baud=19200, bits=7, parity="E", silent_after_s=SILENT_AFTER_S, lateness_s=LATENESS_S),
    metrics=frozenset(LIMITS),
    requests=(ACKNOWLEDGE, ALIVE, CONNECT_BASE, *HEARD_BASE.values(),
              *(request for module in MODULES.values() for request in module.all)),
    wiring=(
        "Line: 19200 7E1, no flow control; one module a line: a base's port serves one bed.\n"
        "Cable: RS-232 of the base (or of the pump alone) to an isolated adapter; connector and pins are not known"
        " here, see the maker's manual.\n"
        "Menu: the steps on the base are not known here. The setting `module` is the slot of the pump in the base,"
        ' counted from 1 (which end is slot 1: try it), or "none" for a pump that stands alone.\n'
        "Before use, infuse 10 mL/h into a cup and compare rate and volume with the pump's display; then stop the"
        " pump by hand, and unplug this line while it runs, and see what the pump does: neither is known here.\n"
        "Known limits: alarms are shown as raw codes. Running or not is inferred from the volume, some seconds late."
        " It has no serial number; it is bound by its port and slot."
    ),
    make=lambda settings: FreseniusOrchestra(ALONE if settings["module"] == "none" else str(settings["module"])),
    settings={"module": Setting("1", "the pump's slot in the base; none: it stands alone", (*SLOTS, "none"))},
)
