"""Nonin oximeters (OEM III, Xpod, 3150, 9560): serial data formats 2, 7, 8 and 13, whichever the device sends.

Source: Nonin 9560 OEM specification 6470-000-01 (grade A); b6 of STATUS from OEM III/Xpod. 9600 8N1, no flow control.
The device pushes; the host may choose the format in the first 5 s after connecting, and the device remembers it. A
technician rarely knows which that was, so the framing recognises all four and the identity says which one it is.

Data format 2: 5-byte frames, 75/s; 25 frames are a packet, 3 packets/s. Format 7 is the same with a 16-bit wave.

    DF2   01 | STATUS | PLETH     | FLOAT | CHK        CHK   sum of the four bytes before it, mod 256
    DF7   STATUS | PLETH MSB LSB  | FLOAT | CHK

    STATUS  1 D A O S R G Y    D sensor disconnected (SNSD)  A artifact on this pulse (ARTF)  O out of track (OOT)
                               S sensor alarm (SNSA: finger out, data unusable)  Y first frame of a packet (SYNC)
                               R, G perfusion of this pulse: G good, RG marginal, R low; 12 frames a beat, else 0
    FLOAT   by frame 1..25: 1,2 HR  3 SpO2  4 SREV (firmware)  6,7 TMR (1/3 s)  8 STAT2 (b5 SPA, b0 LOW BAT)
            9 SpO2-D  10 SpO2 fast  11 SpO2 beat to beat  14,15 E-HR  16 E-SpO2  17 E-SpO2-D  20,21 HR-D  22,23 E-HR-D
    HR      ((MSB & 3) << 7) | (LSB & 7F), /min; 511 missing.  SpO2  b6..b0, %; 127 missing

Data format 8: 4 bytes once a second, display values, no checksum, known only by b7 = 1 0 0 0.

    1 R O L M A H H | 0 HR6..HR0 | 0 SpO2 | 0 R P R S R R B    O OOT  L low, M marginal perfusion  A ARTF  S SNSA
                                                               H HR8, HR7  P SPA  B low battery

Data format 13: one message a spot check (the factory default of the 9560).

    00 02 00 0D | length, 2 bytes | century YY MM DD hh mm ss 00 (BCD) | STATUS MSB (b1 SPA, b0 NOMS: no measurement)
    | STATUS LSB (b4 MEM: from memory, b0 LOWBAT) | b0: HR8 | HR7..HR0 | - | SpO2 | ... | CHK: sum of the data | 03

What is made of it:

* A packet gives pulse and SpO2 once, from the recording values: the same 4-beat average as the display's, but never
  held (a display keeps its last reading for 10 s after the finger left), and between SYNC and SREV: where SREV is not
  the one already known, frames were lost or doubled. A number is questionable until two packets running say much the
  same (6 /min, 2 %): the frames that hold it are few, and may be old ones come again. SNSA: invalid, at once.
* TMR of a packet that is not up to 30 s after the last one's is an old packet, until three running follow each other;
  the same for more than three is a feed that stands still: no number. One that comes more than 5 s late by it is old
  for as long as it does. One that never went says nothing.
* OOT: the artifact lasts, the values are questionable. ARTF: one pulse of the average is bad; valid, reason artifact.
* Missing with the finger in: unavailable, searching. A number the device cannot measure (pulse below 18 or above 321,
  SpO2 above 100): invalid, implausible, and the other one counts. Low perfusion: valid, reason low_perfusion.
* Format 8 comes once a second: what comes sooner was held up, and is late. It has neither checksum nor time: three
  frames running must be alike, or six have its form, before it is believed at all; once it is, a number that the frame
  before did not say (give or take 2 %, 4 /min) or that one flipped bit makes of it is questionable until it repeats,
  and one that has jumped by one flipped bit until three frames running say it. Reserved bits say nothing. A driver that
  was never started is shown single frames, and takes each at its word.
* Format 13: one from memory is not of now and gives no number; one of now is valid, reason spot_check_only. Between
  spot checks such a device is silent, and the link state says so: continuous watching needs 2, 7 or 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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
    Reading,
    Request,
    Setting,
    Spec,
    Validity,
    Wave,
    Weak,
)
from drivers.kit.clocks import Cadence, Clocked, InStep
from drivers.kit.text import Repeats
from drivers.nonin.frames import (
    ACK,
    DF13_HEAD,
    FRAME,
    HR_HIGH,
    HR_LOW,
    HR_MISSING,
    NAK,
    PACKET,
    SPO2_HIGH,
    SPO2_MISSING,
    SYNC,
    NoninFraming,
    fours,
    good_frame,
    numbers8,
    spot_check_holds,
)

PLETH_HZ = 75.0
NEAR_BPM, NEAR_PCT = 6, 2  # by so much two packets may differ, a third of a second apart
EVERY8_S = 1.0
JUMPS8 = {"spo2_pct": 2.0, "pulse_bpm": 4.0}  # from one frame of format 8 to the next, a second later
BITS8 = dict.fromkeys(JUMPS8, "b")
COLOUR_PACKETS = 9  # a pulse's perfusion colour is believed for 3 s
TMR_MOST, TMR_STILL, TMR_CYCLE = 90, 3, 1 << 14  # thirds of a second
TMR_S = 1 / 3
NEW_DEVICE_PACKETS = 9  # another firmware number for 3 s: another device was plugged in
SNSA, OOT, ARTF, SNSD = 0x08, 0x10, 0x20, 0x40
GPRF, RPRF = 0x02, 0x04

SELECT = {
    name: FrameRequest(f"select_{name}", bytes((0x02, 0x70, 2, 2, code, 0x03)), effect="mode", timeout_s=0.5)
    for name, code in (("df2", 2), ("df7", 7), ("df8", 8), ("df13", 13))
}
LOW_BATTERY = DeviceAlarm("low_battery", "low", "LOWBAT", "Battery low")


Verdict = tuple[Validity, str | None]  # what the status bits make of both numbers
Numbers = tuple[float | None, float | None]  # pulse and SpO2, None where there is no number


def _status(*, unplugged: bool, off: bool, out_of_track: bool, artifact: bool, low: bool) -> Verdict:
    if unplugged:
        return Validity.INVALID, "sensor_disconnected"
    if off:
        return Validity.INVALID, "sensor_off"
    if out_of_track:
        return Validity.QUESTIONABLE, "artifact"
    return Validity.VALID, "artifact" if artifact else "low_perfusion" if low else None


def _readings(hr: int, spo2: int, verdict: Verdict) -> list[Reading]:
    """Pulse and SpO2. One that cannot be costs only itself."""
    if verdict[0] not in (Validity.VALID, Validity.QUESTIONABLE):
        return [Reading("pulse_bpm", None, *verdict), Reading("spo2_pct", None, *verdict)]
    return [
        _reading("pulse_bpm", hr, HR_MISSING, range(HR_LOW, HR_HIGH + 1), verdict),
        _reading("spo2_pct", spo2, SPO2_MISSING, range(SPO2_HIGH + 1), verdict),
    ]


def _reading(metric: str, value: int, missing: int, possible: range, verdict: Verdict) -> Reading:
    if value in (0, missing):
        return Reading(metric, None, Validity.UNAVAILABLE, "searching")
    if value not in possible:
        return Reading(metric, None, Validity.INVALID, "implausible")
    return Reading(metric, float(value), *verdict)


class Nonin:
    """The driver: the last of battery, identity and perfusion, so that only news is reported.

    A started driver believes a packet's firmware number, and so its order, from the second packet on, and a number of
    format 8 when the frame before said much the same. One that was never started is shown single frames: it takes each
    at its word, and remembers nothing of it.
    """

    def __init__(self, format_: str) -> None:
        self._framing = NoninFraming()
        self.framing: Framing = self._framing
        self._select = SELECT[format_]
        self._started = False
        self._clock, self._clocked = Clocked(TMR_MOST, TMR_STILL, cycle=TMR_CYCLE), -1  # of this firmware; both
        self._in_step = InStep(TMR_CYCLE * TMR_S, TMR_S)  # outlive an opening, and so does it
        self._numbers8, self._cadence8 = Repeats(JUMPS8, BITS8), Cadence(EVERY8_S)
        self._forget()

    def _forget(self) -> None:
        self._firmware: int | None = None
        self._firmware_reported = (-1, 0)  # by the last packet, and how many packets running
        self._battery_low: bool | None = None
        self._battery_before = False
        self._model: str | None = None
        self._low_perfusion, self._colour_age = False, 0
        self._last: Numbers = (None, None)  # of the packet before
        self._numbers8.forget()

    def on_open(self) -> Sequence[Request]:
        self._forget()
        self._clock.away()
        self._cadence8.opened()
        self._started = self._framing.streaming = self._framing.reply_due = True
        return [self._select]

    def next_request(self, at_s: float) -> Request | None:
        self._framing.reply_due = False  # the line is free: the choice has its response, or its time is over
        return None

    def is_response(self, frame: bytes, request: Request) -> bool:
        return frame in (ACK, NAK)

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        return []  # more than 5 s after its connect a Nonin ignores the choice; what it sends is decoded all the same

    def heard_at(self, at_s: float, unsure_s: float) -> None:
        self._in_step.heard(at_s, unsure_s)
        self._cadence8.heard(at_s, unsure_s)

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        if frame in (ACK, NAK):
            return []
        if not self._started:
            self._forget()
        if len(frame) == PACKET:
            return self._decode_packet(frame)
        if len(frame) == 4:
            return self._decode_four(frame)
        if frame.startswith(DF13_HEAD):
            return self._decode_spot_check(frame)
        raise BadFrame(f"{len(frame)} bytes are no packet of format 2 or 7 and no frame of 8 or 13")

    def _decode_packet(self, packet: bytes) -> list[Decoded]:
        df2 = packet[0] == 0x01
        frames = [packet[at : at + FRAME] for at in range(0, PACKET, FRAME)]
        status = [frame[1 if df2 else 0] for frame in frames]
        if not all(good_frame(frame, df2) for frame in frames) or [s & SYNC for s in status] != [1] + [0] * 24:
            raise BadFrame("a frame of the packet fails its checksum, or SYNC is not in the first frame alone")
        numbered = [0] + [frame[3] for frame in frames]  # FLOAT, numbered from 1 as in the table
        if not self._in_order(numbered[4]):
            return []
        made = (numbered[6] & 0x7F) << 7 | (numbered[7] & 0x7F)
        if fault := self._clock.fault(made):
            raise BadFrame(fault)
        if self._started and (fault := self._in_step.fault(made * TMR_S)):
            raise Late(fault)
        self._note_perfusion(status)
        seen = {bit for bit in (SNSD, SNSA, OOT, ARTF) if any(byte & bit for byte in status)}
        verdict = _status(unplugged=SNSD in seen, off=SNSA in seen, out_of_track=OOT in seen, artifact=ARTF in seen,
                          low=self._low_perfusion)
        pulse, spo2 = (numbered[1] & 0x03) << 7 | (numbered[2] & 0x7F), numbered[3] & 0x7F
        readings = self._followed(_readings(pulse, spo2, verdict))
        decoded: list[Decoded] = [*readings, _wave(frames, status, df2)]
        self._numbers8.forget()
        model = f"Nonin, data format {2 if df2 else 7}, firmware {numbered[4]}"
        return decoded + self._news(model, bool(numbered[8] & 0x01))

    def _followed(self, readings: list[Reading]) -> list[Reading]:
        """A packet's numbers; questionable where they are not near those of the packet before."""
        before, self._last = self._last, (readings[0].value, readings[1].value)
        near = not self._started or _near(before, self._last)
        return readings if near else [_questioned(reading) for reading in readings]

    def _in_order(self, firmware: int) -> bool:
        """Whether frame 4 is where it belongs; not yet, before two packets agree. Raises BadFrame where it is not."""
        last, times = self._firmware_reported
        times = times + 1 if firmware == last else 1
        self._firmware_reported = (firmware, times)
        if times >= (NEW_DEVICE_PACKETS if self._firmware is not None else 2 if self._started else 1):
            self._firmware = firmware
            if firmware != self._clocked:
                self._clock.forget()
                self._in_step.forget()
                self._clocked = firmware
        if self._firmware not in (None, firmware):
            raise BadFrame(f"frame 4 says firmware {firmware}, not {self._firmware}: frames were lost or doubled")
        return self._firmware is not None

    def _note_perfusion(self, status: Sequence[int]) -> None:
        colours = {byte & (RPRF | GPRF) for byte in status} - {0}
        self._colour_age = 0 if colours else self._colour_age + 1
        if colours:
            self._low_perfusion = RPRF in colours
        elif self._colour_age > COLOUR_PACKETS or any(byte & (SNSA | SNSD) for byte in status):
            self._low_perfusion = False

    def _decode_four(self, frame: bytes) -> list[Decoded]:
        if not fours(frame):
            raise BadFrame("format 8 has b7 set in its first byte alone")
        told = self._cadence8.told() if self._started else "now"
        if told == "late":
            raise Late("format 8 comes once a second")
        first, last = frame[0], frame[3]
        verdict = _status(unplugged=False, off=bool(last & 0x08), out_of_track=bool(first & 0x20),
                          artifact=bool(first & 0x04), low=bool(first & 0x10))
        decoded = _readings(*numbers8(frame), verdict)
        if self._started:
            decoded = self._numbers8.judged(decoded)
        if told == "unsure":
            decoded = [_questioned(reading) for reading in decoded]
        return [*decoded, *self._news("Nonin, data format 8", bool(last & 0x01))]

    def _decode_spot_check(self, frame: bytes) -> list[Decoded]:
        if not spot_check_holds(frame):
            raise BadFrame("a spot check has not the length it says, fails its checksum or lacks its final 03")
        quality, origin = frame[14], frame[15]
        hr, spo2 = (frame[16] & 1) << 8 | frame[17], frame[19] & 0x7F
        measured, from_memory = not quality & 0x01, origin & 0x10
        reason = "spot_check_only" if measured else "not_measured"
        verdict = Validity.VALID if measured and not from_memory else Validity.UNAVAILABLE, reason
        return [*_readings(hr, spo2, verdict), *self._news("Nonin, data format 13 (spot check)", bool(origin & 0x01))]

    def _news(self, model: str, battery_low: bool) -> list[Decoded]:
        news: list[Decoded] = []
        confirmed = battery_low is self._battery_before or self._battery_low is None
        self._battery_before = battery_low
        if confirmed and battery_low is not self._battery_low:
            self._battery_low = battery_low
            news.append(DeviceAlarms((LOW_BATTERY,) if battery_low else ()))
        if model != self._model:
            self._model = model
            news.append(Identity(None, model))
        return news


def _near(before: Numbers, now: Numbers) -> bool:
    """Whether each number of `now` stood there before, give or take a little: one that did not may be an old one come
    again."""
    pairs = zip(before, now, (NEAR_BPM, NEAR_PCT), strict=True)
    return all(new is None or (old is not None and abs(new - old) <= jump) for old, new, jump in pairs)


def _questioned(reading: Reading) -> Reading:
    if reading.validity is not Validity.VALID:
        return reading
    return replace(reading, validity=Validity.QUESTIONABLE, reason="low_signal_quality")


def _wave(frames: Sequence[bytes], status: Sequence[int], df2: bool) -> Wave:
    samples = tuple(
        None if byte & (SNSA | SNSD) else frame[2] if df2 else frame[1] << 8 | frame[2]
        for frame, byte in zip(frames, status, strict=True)
    )
    return Wave("pleth", PLETH_HZ, 0, 255 if df2 else 65535, samples)


DRIVER = Spec(
    name="nonin",
    title="Nonin oximeter (OEM III, Xpod, 3150, 9560; data formats 2, 7, 8, 13)",
    kind="oximeter",
    transports=("serial", "tcp"),
    grade="A",
    source="Nonin 9560 OEM specification 6470-000-01; frame values also from pufferfish-software's unit tests",
    weak=Weak("a frame of data format 8 has neither check nor time, where that format is sent", JUMPS8),
    documents=("Nonin 6470-000-01",),
    line=Line(baud=9600, silent_after_s=4.5, stream_bytes_s=75 * FRAME),
    metrics=frozenset({"spo2_pct", "pulse_bpm"}),
    requests=tuple(SELECT.values()),
    wiring=(
        "Line: 9600 8N1, no flow control.\n"
        "Cable: RS-232 or USB serial (or Bluetooth SPP), TX, RX and GND, to an isolated adapter; connector and pins"
        " differ by model and are not known here.\n"
        "Menu: nothing to choose. The data format is chosen in the first 5 s after the device connects; else it"
        " keeps the one it was last set to, and that one is decoded.\n"
        "Known limits: no capture of a device was seen; it has no serial number (it is bound by its port)."
    ),
    make=lambda settings: Nonin(str(settings["format"])),
    settings={"format": Setting("df7", "the format requested; whichever of them comes is recognised", tuple(SELECT))},
)
