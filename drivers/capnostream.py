"""Oridion / Medtronic Capnostream 20 and 35 capnographs with pulse oximetry, 115200 8N1. Partial: see what is unknown.

    85 | length | code | payload ... | check       length   of code and payload, in bytes
                                                   check    XOR of length, code and payload
    after 85 a byte 80 is sent as 80 00 and 85 as 80 05, so 85 begins a frame wherever it stands

    host     01 enable communication   02 disable   04 start real time   05 stop real time   06 link is active
    device   00 CO2 wave     number, CO2 (integer, 1/256; in the units of 25), fast status
             01 numerics     0-3   device time, s (only that it goes on)
                             4     etCO2, 1 mmHg, or 0.1 kPa or vol % by 25; FF none       5  FiCO2 (not used)
                             6     respiration, 1 /min, FF none
                             7     SpO2, 1 %, FF none          8  pulse, 1 /min, FF none
                             9     slow status: 02 alarms silenced for a while, 04 for good
                             13    CO2 alarms: 01 no breath, 02 04 etCO2 high, low, 08 10 respiration high, low,
                                   20 FiCO2 high
                             14    SpO2 alarms: 01 no pulse, 02 04 SpO2 high, low, 08 10 pulse high, low,
                                   20 sensor off the patient, 40 sensor disconnected
                             15    s without a breath; 16-24  its limits (not used), the last one the pulse's lower
                             25    CO2 in 1 mmHg, 2 kPa, 3 vol %
                             26    CO2 module: 01 check calibration, 02 check flow, 04 pump off, 80 battery low
             04 who it is    "V45.67 02/24/2008 B355987654  ": software, its date, serial number
    fast     01 CO2 value invalid, 02 starts up, 04 sampling line blocked, 08 end of a breath, 10 maintains itself,
    status   20 purges, 40 sampling line not connected, 80 malfunction

Source: one open-source program that ran with such devices (mdpnp, the OpenICE adapters): grade C for every line above.
The maker's Data Transfer Protocols document exists and was not read. Unknown: numerics 10 to 12 and beyond 26 (not
used), all bits that are not named (shown raw), other messages (cut, not decoded), how often numerics come (taken as
once a second), whether they need a start, and how long a device sends without a sign that the link is active.

What is sent: on opening stop and disable (what that program sends when it leaves, so that what a former host began has
ended), enable (the device says who it is), start; then link is active every 5 s. None sets a limit or a value.

What is made of it:

* etCO2 in mmHg: kPa are converted (7.50062), vol % are not, since that needs the air pressure: no value then.
* That program met numerics moved by a byte with a good check. Byte 25 is then no unit, or byte 24 is one: refused.
* No line, blocked, malfunction: etCO2 and respiration invalid. Start-up, self-maintenance, purge: calibrating. Pump
  off: unavailable. Sensor off or disconnected: SpO2 and pulse invalid; no pulse: unavailable.
* Numerics whose time is before the last ones' or more than 30 s later are old, until three running follow each other
  (the clock was set); the same time for more than four running is a feed that stands still: no number. Nor is what
  comes more than 5 s late by that clock, for as long as it does. A clock that never went says nothing.
* The check, an XOR, does not see two bytes that changed places, nor one bit of two bytes. So a number that jumps is
  doubtful until it repeats (etCO2 with respiration, SpO2 with pulse); alarms count when two running say them.
* The fast status is that of the last wave since the numerics before. CO2 waves are not shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import xor

from drivers.contract import (
    BadFrame,
    Decoded,
    DeviceAlarm,
    DeviceAlarms,
    FrameRequest,
    Framing,
    Identity,
    Late,
    Line,
    Priority,
    Request,
    Spec,
    Validity,
    Weak,
)
from drivers.kit.clocks import Clocked, InStep
from drivers.kit.listening import WELL, Verdict, judged, worst
from drivers.kit.tally import Tally
from drivers.kit.text import Repeats, Twice

START_BYTE, ESCAPE, ESCAPED = 0x85, 0x80, (0x00, 0x05)
WAVE, NUMERICS, IDENTITY = 0x00, 0x01, 0x04
WAVE_LEN, NUMERICS_LEN = 4, 27  # bytes of payload, at least
NONE = 0xFF
MOST_BETWEEN_S, STILL = 30.0, 4
GRAIN_S = 1.0  # of its clock
LINK_EVERY_S = 5.0
JUMPS: Mapping[str, float] = {"etco2_mmhg": 3.0, "resp_bpm": 2.0, "spo2_pct": 2.0, "pulse_bpm": 4.0}
STREAM_BYTES_S = 400  # 20 waves of 8 bytes and one numerics, with room for escapes and longer numerics
MMHG_PER_KPA = 7.50062
IN_MMHG = {1: 1.0, 2: 0.1 * MMHG_PER_KPA, 3: None}  # unit of byte 25: what a count is in mmHg
WHO = re.compile(r"V([\w.]{5}) [\d/ ]{10} ([0-9A-Z]{10}) {0,2}")

FAST: tuple[tuple[int, Verdict], ...] = (
    (0x80, (Validity.INVALID, "module_error")), (0x40, (Validity.INVALID, "sensor_disconnected")),
    (0x04, (Validity.INVALID, "pneumatic_fault")), (0x32, (Validity.CALIBRATING, None)),
    (0x01, (Validity.UNAVAILABLE, "not_measured")),
)
OXIMETER: tuple[tuple[int, Verdict], ...] = (
    (0x40, (Validity.INVALID, "sensor_disconnected")), (0x20, (Validity.INVALID, "sensor_off")),
    (0x01, (Validity.UNAVAILABLE, "searching")),
)
Says = Mapping[int, tuple[str, Priority, str]]
CO2_SAYS: Says = {
    0x01: ("no_breath", "high", "No breath"), 0x02: ("high_etco2", "medium", "etCO2 high"),
    0x04: ("low_etco2", "medium", "etCO2 low"), 0x08: ("high_resp", "medium", "Respiration high"),
    0x10: ("low_resp", "medium", "Respiration low"), 0x20: ("high_fico2", "medium", "FiCO2 high"),
}
SPO2_SAYS: Says = {
    0x01: ("no_pulse", "high", "No pulse found"), 0x02: ("high_spo2", "medium", "SpO2 high"),
    0x04: ("low_spo2", "medium", "SpO2 low"), 0x08: ("high_pulse", "medium", "Pulse high"),
    0x10: ("low_pulse", "medium", "Pulse low"), 0x20: ("sensor_off", "low", "SpO2 sensor off the patient"),
    0x40: ("sensor_off", "low", "SpO2 sensor disconnected"),
}
MODULE_SAYS: Says = {
    0x01: ("attention", "low", "CO2 module: check the calibration"),
    0x02: ("attention", "medium", "CO2 module: check the flow"), 0x04: ("attention", "medium", "CO2 pump off"),
    0x80: ("low_battery", "low", "Battery low"),
}
SLOW_SAYS: Says = {
    0x02: ("silenced", "low", "Alarm sound off for a while"), 0x04: ("silenced", "low", "Alarm sound off"),
}
SLOW_OTHERS = (0x01, 0x08, 0x10, 0x20, 0x40, 0x80)  # not known to be alarms
FAST_SAYS: Says = {
    0x04: ("sampling_line", "medium", "CO2 sampling line blocked"),
    0x40: ("sampling_line", "low", "CO2 sampling line not connected"),
    0x80: ("fault", "medium", "CO2 module: malfunction"),
}


def command(name: str, code: int, timeout_s: float | None = None, gap_s: float = 0.0) -> FrameRequest:
    """A command without arguments; none of their codes is escaped."""
    return FrameRequest(name, bytes((START_BYTE, 1, code, 1 ^ code)), effect="mode", timeout_s=timeout_s, gap_s=gap_s)


ENABLE = command("enable", 0x01, timeout_s=1.5)  # that program gives a command 1.5 s
DISABLE = command("disable", 0x02, gap_s=0.1)
START = command("start_real_time", 0x04)
STOP = command("stop_real_time", 0x05, gap_s=0.1)  # it waits 0.1 s after a stop
LINK_ACTIVE = command("link_active", 0x06)


class CapnostreamFraming:
    """85 begins a frame; its length counts the bytes as they are before 80 and 85 are escaped. Frames are as sent, with
    a good check."""

    def __init__(self) -> None:
        self.dropped = 0
        self._raw = bytearray()  # empty, or begins with 85
        self._plain = bytearray()  # length, code, payload, check
        self._escape = False

    def feed(self, data: bytes) -> list[bytes]:
        """The whole frames that `data` completes."""
        frames: list[bytes] = []
        for byte in data:
            if byte == START_BYTE:
                self._drop()
                self._raw.append(byte)
                continue
            if not self._raw:
                self.dropped += 1
                continue
            self._raw.append(byte)
            if byte == ESCAPE and not self._escape:
                self._escape = True
                continue
            if self._escape and byte not in ESCAPED:
                self._drop()
                continue
            self._plain.append(ESCAPE | byte if self._escape else byte)
            self._escape = False
            if self._plain[0] == 0:
                self._drop()
            elif len(self._plain) == self._plain[0] + 2:
                if reduce(xor, self._plain) == 0:
                    frames.append(bytes(self._raw))
                    self._raw.clear()
                self._drop()
        return frames

    def flush(self) -> None:
        """Forget the incomplete frame."""
        self._drop()

    def _drop(self) -> None:
        self.dropped += len(self._raw)
        self._raw.clear()
        self._plain.clear()
        self._escape = False


def message_of(frame: bytes) -> tuple[int, bytes]:
    """Code and payload of a frame as sent. Raises BadFrame where its form, length or check is wrong."""
    framing = CapnostreamFraming()
    if framing.feed(frame) != [frame]:
        raise BadFrame(f"not one whole frame with a good check: {frame[:8].hex(' ')}")
    plain = frame[1:].replace(b"\x80\x05", b"\x85").replace(b"\x80\x00", b"\x80")
    return plain[1], plain[2:-1]


def _scaled(said: int, scale: float | None = 1.0) -> float | None:
    return None if said == NONE or scale is None else round(said * scale, 1)


def _said(field: str, bits: int, says: Says, silent: int = 0) -> list[DeviceAlarm]:
    """An alarm for each bit, raw where it is not known; the bits of `silent` are none."""
    found = []
    for bit in (1 << place for place in range(8)):
        if bits & bit & ~silent:
            raw = f"{field} {bit:02X}"
            code, priority, text = says.get(bit, ("unknown", "low", f"The capnograph says {raw}, which is not known"))
            found.append(DeviceAlarm(code, priority, raw, text))
    return found


class Capnostream:
    """The driver: when the link was last said to be active, the alarms as reported, and the last wave's status."""

    def __init__(self) -> None:
        self.framing: Framing = CapnostreamFraming()
        self.unmapped = Tally()
        self._clock = Clocked(MOST_BETWEEN_S, STILL, cycle=2.0**32)  # outlives an opening
        self._in_step = InStep(2.0**32, GRAIN_S)  # so does it
        self._started = False
        self._forget()

    def _forget(self) -> None:
        self._alarms: Twice[tuple[DeviceAlarm, ...]] = Twice()
        self._co2, self._oximeter = Repeats(JUMPS), Repeats(JUMPS)
        self._fast = 0
        self._link_said_s: float | None = None

    def on_open(self) -> Sequence[Request]:
        self._forget()
        self._started = True
        self._clock.away()
        return [STOP, DISABLE, ENABLE, START]

    def next_request(self, at_s: float) -> Request | None:
        if self._link_said_s is None:
            self._link_said_s = at_s
        if at_s - self._link_said_s < LINK_EVERY_S:
            return None
        self._link_said_s = at_s
        return LINK_ACTIVE

    def heard_at(self, at_s: float, unsure_s: float) -> None:
        self._in_step.heard(at_s, unsure_s)

    def is_response(self, frame: bytes, request: Request) -> bool:
        return request == ENABLE and frame[2:3] == bytes((IDENTITY,))

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        return []

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        code, payload = message_of(frame)
        if code == WAVE and len(payload) >= WAVE_LEN:
            self._fast = payload[3]
            self.unmapped.saw("CO2 wave")
        elif code == NUMERICS and len(payload) >= NUMERICS_LEN:
            return self._numerics(payload)
        elif code == IDENTITY:
            return self._who(payload)
        elif code in (WAVE, NUMERICS):
            raise BadFrame(f"message {code:02X} has only {len(payload)} bytes")
        else:
            self.unmapped.saw(f"message {code:02X}")
        return []

    def _who(self, payload: bytes) -> list[Decoded]:
        who = WHO.fullmatch(payload.decode("ascii", "replace"))
        if who is None:
            raise BadFrame("not the name of a Capnostream")
        return [Identity(who[2], f"Capnostream, software {who[1]}")]

    def _numerics(self, said: bytes) -> list[Decoded]:
        if said[25] not in IN_MMHG or said[24] in IN_MMHG:  # no pulse limit is so low
            raise BadFrame(f"numerics have no unit {said[25]} after a pulse limit {said[24]}: moved by a byte?")
        made_s = float(int.from_bytes(said[:4], "big"))
        if self._started and (fault := self._clock.fault(made_s)):
            raise BadFrame(fault)
        if self._started and (fault := self._in_step.fault(made_s)):
            raise Late(fault)
        if said[5] != NONE:
            self.unmapped.saw("FiCO2")
        for bit in (one for one in SLOW_OTHERS if said[9] & one):
            self.unmapped.saw(f"slow status {bit:02X}")
        fast, self._fast = self._fast, 0
        co2, oximeter = worst(fast, FAST), worst(said[14], OXIMETER)
        if said[26] & 0x04 and co2 == WELL:
            co2 = Validity.UNAVAILABLE, "not_measured"
        breath = [judged("etco2_mmhg", _scaled(said[4], IN_MMHG[said[25]]), 0, 150, co2),
                  judged("resp_bpm", _scaled(said[6]), 0, 150, co2)]
        blood = [judged("spo2_pct", _scaled(said[7]), 1, 100, oximeter),
                 judged("pulse_bpm", _scaled(said[8]), 18, 254, oximeter)]
        if self._started:
            breath, blood = self._co2.judged(breath), self._oximeter.judged(blood)
        decoded: list[Decoded] = [*breath, *blood]
        alarms = (*_said("CO2", said[13], CO2_SAYS), *_said("SpO2", said[14], SPO2_SAYS),
                  *_said("module", said[26], MODULE_SAYS), *_said("slow", said[9], SLOW_SAYS, silent=sum(SLOW_OTHERS)),
                  *_said("fast", fast, FAST_SAYS, silent=0x3B))
        if self._alarms.is_news(alarms) or not self._started:
            decoded.append(DeviceAlarms(alarms))
        return decoded


def _make(settings: Mapping[str, str | int | float]) -> Capnostream:
    return Capnostream()


DRIVER = Spec(
    name="capnostream",
    title="Capnostream 20 / 35 capnograph with pulse oximetry (partial: no waves, no IPI, no trends)",
    kind="monitor",
    transports=("serial", "tcp"),
    names_itself="opening",
    grade="C",
    source="one open-source program that ran with such devices (mdpnp, OpenICE); the maker's document was not read",
    line=Line(baud=115200, silent_after_s=3.5, stream_bytes_s=STREAM_BYTES_S, lateness_s=1.5),
    metrics=frozenset({"etco2_mmhg", "resp_bpm", "spo2_pct", "pulse_bpm"}),
    requests=(STOP, DISABLE, ENABLE, START, LINK_ACTIVE),
    wiring=(
        "Line: 115200 8N1, no flow control.\n"
        "Cable: RS-232, TX, RX and GND, to an isolated adapter; the connector is not known here, see the device's"
        " manual.\n"
        "Menu: which entries are needed (baud, real-time transfer) is not known here, see the device's manual. On"
        " opening it is told to stop, disable, enable and start sending, and nothing else.\n"
        "Known limits: partial, one program's knowledge, never tried here on a device. One that does not"
        " say its serial number is bound by its port."
    ),
    weak=Weak("its check, an exclusive or of the bytes, does not see two that changed places", JUMPS),
    make=_make,
)
