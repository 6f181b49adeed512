"""Philips IntelliVue monitors (MP, MX, X2 ...) on the RS-232 Data Export interface: numbers and SpO2 wave, 115200 8N1.

    C0 | 11 01 | length 2 | payload | FCS 2, low byte first | C1     C0, C1 and 7D inside: 7D, byte XOR 20; 7D C1 aborts
    FCS: CRC-16/X-25 of 11 01 to the payload's last byte; everything else is most significant byte first

    host      0D associate (AARQ)   09 release        monitor   0E accepted   0C refused   0A released   19 aborted
              E1 00 00 02 | operation 2 | length 2 | invoke 2 | command 2 | length 2 | object 6 | ...
    operation 1 invoke, 2 result, 3 error, 5 linked result (its number, 2 bytes, stands before invoke)
    command   1 event: time 4, 0D 06 the monitor is there, its attributes; the host confirms, then polls
              7 action F1 3B, extended poll: number 2, sequence 2, time 4 (1/8000 s), date 8, object 2+2 (1, 6:
              numerics; 1, 9: waves), group 2, count 2, length 2, then each context: id 2, count 2, length 2, then each
              observation: handle 2, count 2, length 2, then each attribute: id 2, length 2, value
    attribute 0950 value: what 2, state 2, unit 2, number 4 (8-bit exponent of ten, 24-bit; special: none)
              094B values: count 2, length 2, as many of those       0990 date of a cuff's determination, 8
              0984 system id (2 and a MAC address)    0928 model, two texts    0927 label, UTF-16
    waves     096E samples: what 2, state 2, length 2, as many bytes; once before, and remembered by its handle:
              096D bits of a sample at 2   098D period 4 (1/8000 s)   096F lowest 4, highest 4, and both as samples 2 2
    state     8000 invalid  4000 questionable  2000 unavailable  1000 calibrating  0800 test  0400 demonstration
              0002 in alarm  0001 alarms off
    what      4182 heart rate  4BB8 SpO2  4822 pulse  4A05 4A06 4A07 cuff, systolic, diastolic, mean  500A respiration
              5012 the same, of the airway  50B0 etCO2  4B48 temperature  4BB4 SpO2 wave
    unit      0AA0 0AE0 /min   0220 %   0F20 mmHg   0F03 kPa   17A0 degrees C

Source: a capture of a real MP monitor (M8000; 2,887 frames, FCS good in all) published with JVSCapture, which holds
association, event, linked results and a heart rate, but no valid SpO2 or cuff (B); that and four other programs for the
requests and codes (B). The Data Export guide was not read. 0800 and 0400 rest on one source (C). Of waves the capture
holds the form of an ECG's, and no samples: those, and that a poll of object 1, 9 brings the SpO2 wave, are one source's
(C).

What is made of it:

* Test and demonstration data are no numbers. A number in a unit that is not known here is none.
* A determination counts once: when its date is another than before; what stands there at the opening is remembered.
* Where the airway's respiration has a number, the other is not told. A reply older than the last says nothing, also
  where the line was lost meanwhile; the fourth older one running means that the monitor was restarted.
* A reply whose time has not gone on for more than 5 s is of a monitor that stands still, and no number. Nor is one
  whose time runs ahead of the edge's clock, or comes more than 5 s late by it: something held it up. That lasts until
  it comes in time again, or the monitor's clock has gone back.
* The monitor does not say which limit was passed: "in alarm" is told with the number's label.
* The MAC address of the system id is the serial number. Polled for 10 minutes at a time, renewed every 5; a single poll
  of the monitor itself every 5 s keeps the association. Where nothing comes any more it is released and made anew.
* Waves are asked for where the setting says so: the monitor sends every wave it shows, and what is more than a stream's
  5000 bytes a second counts as old. Samples without a known period say nothing; only the SpO2 wave is told.
* Nothing here can start a cuff: the interface has no such request.
"""

from __future__ import annotations

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
    Late,
    Line,
    Reading,
    Request,
    Setting,
    Spec,
    Validity,
    Wave,
)
from drivers.intellivue.frames import BEGIN, END, TICKS_S, Form, Reader, framed, observations, payload_of
from drivers.kit.clocks import InStep
from drivers.kit.cuffs import DETERMINATION, determination
from drivers.kit.framing import Delimited
from drivers.kit.listening import Verdict, judged, worst
from drivers.kit.tally import Tally

LONGEST = 3000
DATA = bytes.fromhex("E1 00 00 02")
RENEW_S, ALIVE_S, EVENT_S = 300.0, 5.0, 3.0  # edge time
INVOKE, RESULT, LINKED = 1, 2, 5
EVENT, ACTION, CREATED, EXTENDED_POLL, POLLED_ALIVE = 1, 7, 0x0D06, 0xF13B, 0x0C16
NUMERICS = bytes.fromhex("00 01 00 06")
WAVE_OBJECTS = bytes.fromhex("00 01 00 09")
SAMPLES, PLETH = 0x096E, 0x4BB4
VALUE, VALUES, STAMP, SYSTEM, MODEL, LABEL = 0x0950, 0x094B, 0x0990, 0x0984, 0x0928, 0x0927
SPECIAL = frozenset({0x7FFFFF, 0x800000, 0x7FFFFE, 0x800002, 0x800001})
EXPONENTS = range(-4, 4)
BACK_S, AIRWAY_S = 600, 5
STILL_S = 5.0  # edge time
FOLLOWS_S, SET_BACK = 4, 4  # so many older ones running, each so soon after the other: the clock was set back
MMHG_PER_KPA = 7.50062
PER_MIN, MMHG = {0x0AA0: 1.0, 0x0AE0: 1.0}, {0x0F20: 1.0, 0x0F03: MMHG_PER_KPA}
METRICS: Mapping[int, tuple[str, Mapping[int, float], float, float]] = {
    0x4182: ("heart_rate_bpm", PER_MIN, 10, 350), 0x4BB8: ("spo2_pct", {0x0220: 1.0}, 1, 100),
    0x4822: ("pulse_bpm", PER_MIN, 20, 321), 0x500A: ("resp_bpm", PER_MIN, 0, 120),
    0x5012: ("resp_bpm", PER_MIN, 0, 120), 0x50B0: ("etco2_mmhg", MMHG, 0, 150),
    0x4B48: ("temp_c", {0x17A0: 1.0}, 20, 45),
}
RESPIRATION, AIRWAY = 0x500A, 0x5012
CUFF = (0x4A05, 0x4A06, 0x4A07)
STATES: tuple[tuple[int, Verdict], ...] = (
    (0x0C00, (Validity.INVALID, "not_measured")), (0x8000, (Validity.INVALID, None)),
    (0x2000, (Validity.UNAVAILABLE, None)), (0x1000, (Validity.CALIBRATING, None)),
    (0x4000, (Validity.QUESTIONABLE, "low_signal_quality")),
)
SHOW, IN_ALARM = 0x0C00, 0x0002
SHOWN = DeviceAlarm("attention", "medium", "test data", "The monitor shows test or demonstration data")

ASSOCIATE = (
    "0D EC 05 08 13 01 00 16 01 02 80 00 14 02 00 02 C1 DC 31 80 A0 80 80 01 01 00 00 A2 80 A0 03 00 00 01 A4 80 30 80"
    "02 01 01 06 04 52 01 00 01 30 80 06 02 51 01 00 00 00 00 30 80 02 01 02 06 0C 2A 86 48 CE 14 02 01 00 00 00 01 01"
    "30 80 06 0C 2A 86 48 CE 14 02 01 00 00 00 02 01 00 00 00 00 00 00 61 80 30 80 02 01 01 A0 80 60 80 A1 80 06 0C 2A"
    "86 48 CE 14 02 01 00 00 00 03 01 00 00 BE 80 28 80 06 0C 2A 86 48 CE 14 02 01 00 00 00 01 01 02 01 02 81 48 80 00"
    "00 00 40 00 00 00 00 00 00 00 80 00 00 00 20 00 00 00 00 00 00 00 00 01 00 2C 00 01 00 28 80 00 00 00 00 00 03 E8"
    "00 00 09 C4 00 00 03 E8 FF FF FF FF 60 00 00 00 00 01 00 0C F0 01 00 08 8C 00 00 00 00 00 00 00 00 00 00 00 00 00"
    "00 00 00 00 00 00 00 00 00 00")
RELEASE = "09 18 C1 16 61 80 30 80 02 01 01 A0 80 62 80 80 01 00 00 00 00 00 00 00 00 00"
CONFIRM = "E1 00 00 02 00 02 00 14 00 01 00 01 00 0E 00 21 00 00 00 00 00 0A BD 00 0D 06 00 00"
POLL = ("E1 00 00 02 00 01 00 28 00 03 00 07 00 22 00 21 00 00 00 00 00 00 00 00 F1 3B 00 14 00 02 00 01 00 06 00 00"
        "00 01 00 08 F1 3E 00 04 00 49 3E 00")
POLL_WAVES = POLL.replace("00 02 00 01 00 06", "00 03 00 01 00 09")
ALIVE = "E1 00 00 02 00 01 00 1C 00 01 00 07 00 16 00 21 00 00 00 00 00 00 00 00 0C 16 00 08 00 01 00 01 00 21 08 0C"


def _request(
    name: str, payload: str, effect: Effect, timeout_s: float | None = None, gap_s: float = 0.0
) -> FrameRequest:
    return FrameRequest(name, framed(bytes.fromhex(payload)), effect=effect, timeout_s=timeout_s, gap_s=gap_s)


LEAVE = _request("release", RELEASE, "mode", gap_s=0.3)
JOIN = _request("associate", ASSOCIATE, "mode", timeout_s=3.0)
HEARD = _request("confirm", CONFIRM, "mode")
NUMBERS = _request("poll_numerics", POLL, "read")
WAVES = _request("poll_waves", POLL_WAVES, "read")
KEEP = _request("keep_alive", ALIVE, "read")


class Intellivue:
    """The driver. One that was never started is shown single frames, and takes each at its word."""

    def __init__(self, *, waves: bool = False) -> None:
        self._asks_waves = waves
        self.framing: Framing = Delimited(BEGIN, END, LONGEST)
        self._started = False
        self.unmapped = Tally()
        self._time: int | None = None  # of the last reply; outlives a line that is lost
        self._older = (0, 0)  # the time of the last one that was older than that, and how many came running
        self._now_s = self._goes_s = 0.0  # edge time: now, and when the monitor's clock was last seen to go
        self._in_step = InStep(2**32 / TICKS_S)  # outlives a line that is lost too
        self._forget()

    def _forget(self) -> None:
        self._out: deque[FrameRequest] = deque(maxlen=8)
        self._joined = self._polling = False
        self._join_s: float | None = None
        self._polled_s = self._kept_s = float("-inf")
        self._forms: dict[int, Form] = {}  # of each wave, by its handle
        self._breaths: dict[int, int] = {}  # of each respiration, when it last had a number
        self._stamp: bytes | None = None  # of the last determination; None: nothing was seen yet
        self._says: dict[int, DeviceAlarm] = {}
        self._told: tuple[DeviceAlarm, ...] | None = None

    # --- requests -----------------------------------------------------------------------------------------------------

    def on_open(self) -> Sequence[Request]:
        self._forget()
        self._started = True
        return [LEAVE, JOIN]

    def next_request(self, at_s: float) -> Request | None:
        self._now_s = at_s
        if self._out:
            return self._out.popleft()
        if not self._joined:
            return None
        if self._join_s is None:
            self._join_s = at_s
        self._polling = self._polling or at_s - self._join_s >= EVENT_S  # it does not say that it is there
        if not self._polling:
            return None
        if at_s - self._polled_s >= RENEW_S:
            self._polled_s = self._kept_s = at_s
            if self._asks_waves:
                self._out.append(WAVES)
            return NUMBERS
        if at_s - self._kept_s >= ALIVE_S:
            self._kept_s = at_s
            return KEEP
        return None

    def is_response(self, frame: bytes, request: Request) -> bool:
        return request is JOIN and frame[5:6] in (b"\x0e", b"\x0c")

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        return ()

    def heard_at(self, at_s: float, unsure_s: float) -> None:
        self._in_step.heard(at_s, unsure_s)

    # --- what comes ---------------------------------------------------------------------------------------------------

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        payload = payload_of(frame)
        if payload[:1] == b"\x0e":
            self._joined = True
        elif payload[:1] in (b"\x0c", b"\x0a", b"\x19"):
            self._joined = self._polling = False
        if payload[:4] != DATA:
            return ()
        reader = Reader(payload[4:])
        operation, _ = reader.u16(), reader.u16()
        if operation == LINKED:
            reader.take(2)
        _, command, _ = reader.u16(), reader.u16(), reader.u16()
        if operation == INVOKE and command == EVENT:
            return self._event(reader)
        if operation in (RESULT, LINKED) and command == ACTION:
            return self._polled(reader)
        self.unmapped.saw(f"operation {operation}, command {command}")
        return ()

    def _event(self, reader: Reader) -> Sequence[Decoded]:
        reader.take(10)
        event, _ = reader.u16(), reader.u16()
        if event != CREATED:
            self.unmapped.saw(f"event {event:04X}")
            return ()
        reader.take(6)
        attributes = reader.attributes()
        self._out.append(HEARD)
        self._joined = self._polling = True
        system, model = attributes.get(SYSTEM, b""), attributes.get(MODEL, b"")
        texts = "".join(chr(byte) if 0x20 < byte < 0x7F else " " for byte in model).split()
        return (Identity(system[2:].hex() if len(system) == 8 else None, " ".join(texts) or None),)

    def _polled(self, reader: Reader) -> Sequence[Decoded]:
        reader.take(6)
        action, _ = reader.u16(), reader.u16()
        if action != EXTENDED_POLL:
            if action != POLLED_ALIVE:
                self.unmapped.saw(f"action {action:04X}")
            return ()
        reader.take(4)
        time = int.from_bytes(reader.take(4), "big")
        reader.take(8)
        polled = reader.take(4)
        out_of_step = self._in_step.fault(time / TICKS_S) if self._started else ""
        if polled == WAVE_OBJECTS:
            if self._started and (out_of_step or self._is_behind(time)):
                return ()
            return [wave for handle, attributes in observations(reader) for wave in self._wave(handle, attributes)]
        if polled != NUMERICS:
            self.unmapped.saw(f"poll of {polled.hex(' ')}")
            return ()
        if self._started and self._is_old(time):
            return ()
        self._time = time
        if self._started and out_of_step:
            raise Late(out_of_step)
        decoded = [one for _, attributes in observations(reader) for one in self._observed(attributes, time)]
        alarms = tuple(dict.fromkeys(self._says[what] for what in sorted(self._says)))
        if alarms != self._told and (decoded or alarms or self._told):
            self._told = alarms
            decoded.append(DeviceAlarms(alarms))
        return decoded

    def _is_behind(self, time: int) -> bool:
        return self._time is not None and 0 < self._time - time < BACK_S * TICKS_S

    def _is_old(self, time: int) -> bool:
        """Whether this reply is older than the last, and not by a clock set back. Raises BadFrame: it stands still."""
        if time != self._time:
            self._goes_s = self._now_s
        elif self._now_s - self._goes_s > STILL_S:
            raise BadFrame(f"the monitor's clock has stood still for {self._now_s - self._goes_s:.0f} s")
        if not self._is_behind(time):
            self._older = 0, 0
            return False
        last, count = self._older
        if time != last:  # the parts of one reply have the same
            self._older = time, count + 1 if 0 < time - last <= FOLLOWS_S * TICKS_S else 1
        return self._older[1] < SET_BACK

    def _wave(self, handle: int, attributes: Mapping[int, bytes]) -> list[Decoded]:
        """The samples of one observation, where they are of the SpO2 wave and in a form that is known."""
        form = self._forms.setdefault(handle, Form()).learned(attributes)
        self._forms[handle] = form
        if SAMPLES not in attributes:
            return []
        reader = Reader(attributes[SAMPLES])
        what, state = reader.u16(), reader.u16()
        data = reader.take(reader.u16())
        if what != PLETH:
            self.unmapped.saw(f"wave {what:04X}")
        if what != PLETH or form.rate_hz is None or form.bits != 16 or len(data) % 2:
            return []
        lost = worst(state, STATES)[0] is not Validity.VALID
        samples = (int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
        kept = tuple(None if lost or not form.low <= one <= form.high else one for one in samples)
        return [Wave("pleth", form.rate_hz, form.low, form.high, kept)] if kept else []

    def _observed(self, attributes: Mapping[int, bytes], time: int) -> list[Decoded]:
        """One observation: a number, or several in one."""
        values = [attributes[VALUE]] if VALUE in attributes else []
        if VALUES in attributes:
            several = Reader(attributes[VALUES])
            count = several.u16()
            several.take(2)
            values += [several.take(10) for _ in range(count)]
        label = attributes.get(LABEL, b"")[2:].decode("utf-16-be", "replace").strip("\0 ")
        found = {}
        for value in values:
            reader = Reader(value)
            what, state, unit = reader.u16(), reader.u16(), reader.u16()
            found[what] = state, unit, _number(reader.take(4))
            if what not in METRICS and what not in CUFF and found[what][2] is not None:
                self.unmapped.saw(f"{what:04X} {label}".strip())
            self._alarm(what, state, label)
        decoded: list[Decoded] = [one for what in found if what in METRICS
                                  for one in self._metric(what, *found[what], time)]
        if all(what in found for what in CUFF):
            decoded += self._cuff(attributes.get(STAMP), [found[what] for what in CUFF])
        return decoded

    def _alarm(self, what: int, state: int, label: str) -> None:
        self._says.pop(what, None)
        if state & SHOW:
            self._says[what] = SHOWN
        elif state & IN_ALARM:
            raw = f"{what:04X} in alarm"
            self._says[what] = DeviceAlarm("attention", "medium", raw, f"{label or raw}: in alarm, says the monitor")

    def _metric(self, what: int, state: int, unit: int, number: float | None, time: int) -> list[Reading]:
        metric, units, low, high = METRICS[what]
        verdict = worst(state, STATES)
        value = None if number is None or unit not in units else round(number * units[unit], 2)
        if number is not None and unit not in units:
            self.unmapped.saw(f"{what:04X} in unit {unit:04X}")
        reading = judged(metric, value, low, high, verdict)
        other = {AIRWAY: RESPIRATION, RESPIRATION: AIRWAY}.get(what)
        if other is None:
            return [reading]
        if reading.value is not None:
            self._breaths[what] = time
        since = self._breaths.get(other)
        hidden = since is not None and time - since < AIRWAY_S * TICKS_S and (what == RESPIRATION or value is None)
        return [] if hidden else [reading]

    def _cuff(self, stamp: bytes | None, values: Sequence[tuple[int, int, float | None]]) -> Sequence[Reading]:
        """The determination that stands there, where it is a new one."""
        verdicts = [worst(state, STATES) for state, _, _ in values]
        numbers = [None if number is None or unit not in MMHG else number * MMHG[unit] for _, unit, number in values]
        sbp, dbp, mean = numbers
        believed = all(verdict[0] in (Validity.VALID, Validity.QUESTIONABLE) for verdict in verdicts)
        if not believed or sbp is None or dbp is None or mean is None:
            self._stamp = self._stamp or b""
            return ()
        stamp = stamp or repr(numbers).encode()
        first, same, self._stamp = self._stamp is None, stamp == self._stamp, stamp
        if self._started and (first or same):
            return ()
        found = determination(round(sbp, 1), round(dbp, 1), round(mean, 1), None)
        if found is None:
            return tuple(Reading(metric, None, Validity.INVALID, "implausible") for metric in DETERMINATION)
        doubt = next((verdict for verdict in verdicts if verdict[0] is Validity.QUESTIONABLE), None)
        return found if doubt is None else tuple(
            replace(one, validity=doubt[0], reason=doubt[1]) if one.value is not None else one for one in found)


def _number(raw: bytes) -> float | None:
    """A FLOAT-Type: exponent of ten and mantissa; None where it is none, or more than any number here has."""
    exponent, mantissa = int.from_bytes(raw[:1], "big", signed=True), int.from_bytes(raw[1:], "big", signed=True)
    if mantissa & 0xFFFFFF in SPECIAL or exponent not in EXPONENTS:
        return None
    return float(mantissa * 10**exponent) if exponent >= 0 else mantissa / 10**-exponent


def _make(settings: Mapping[str, str | int | float]) -> Intellivue:
    return Intellivue(waves=settings["waves"] == "on")


DRIVER = Spec(
    name="intellivue",
    title="Philips IntelliVue (RS-232 Data Export; numbers, and the SpO2 wave)",
    kind="monitor",
    transports=("serial", "tcp"),
    names_itself="opening",
    grade="B, test data C",
    source="a published capture of a real monitor (JVSCapture, 2,887 frames); five public programs; the Data Export"
           " guide was not read",
    agrees=(Agreement("capture", "REAL, second frame"), Agreement("capture", "REAL, frame 8")),
    line=Line(baud=115200, silent_after_s=5.0, stream_bytes_s=5000),
    metrics=frozenset({*DETERMINATION, *(metric for metric, *_ in METRICS.values())}),
    requests=(LEAVE, JOIN, HEARD, NUMBERS, WAVES, KEEP),
    wiring=(
        "Line: 115200 8N1, no flow control.\n"
        "Cable: the monitor's MIB/RS-232 interface (RJ45, an option board on many models) to an isolated adapter;"
        " the pins are not known here, see the maker's installation guide. One host a port: on opening a former"
        " host's association is released.\n"
        "Menu: in the monitor's hardware settings the port must be set to \"DataOut 1\" or \"Data Export\" at"
        " 115200; the words differ by release.\n"
        "Known limits: invasive pressures, gases, ST, the ECG and the monitor's alarm texts are not read; the cuff"
        " cannot be started. Compare SpO2 and the cuff with the monitor's screen before use: no capture with valid"
        " ones was seen."
    ),
    make=_make,
    settings={"waves": Setting("off", "on: also the SpO2 wave; only where the monitor shows few waves", ("off", "on"))},
)
