"""GE Datex-Ohmeda S/5 monitors (S/5 AM, CCM, FM, B650, B850 ...) on their "DRI" computer interface: the numbers.

Grade A for the layout: documents 8005313 and M1017617, with their example requests. No capture was seen.

    19200 8E1, RTS/CTS (115200 on some B850) · 7E record sum 7E · 7E is sent as 7D 5E, 7D as 7D 5D, the sum too
    sum = low byte of the sum of the record's bytes · little-endian · signed 16-bit values

    record  0 length 2 (all of it)  2 number 1 (counts up)  3 level 1  6 time 4 (s, Unix)  14 main type 2 (0: numbers)
            16 eight times offset 2, type 1 (1 displayed, 2 3 trends, 4 auxiliary; FF ends)  40 the data
    request main type 0, type 0: what (1 displayed), interval 2 (s, 5 or more; -1 once), classes 4 (0: basic alone), 0 2
    displayed, 278 bytes: time 4, groups 270, 2, class 2 (bits 8-11; 0 basic). A group: status 4, label 2, its values

    at   group   status b0 module there, b1 active      values at +6
    0    ECG     b2 asystole, b3-6 source of the rate   heart rate 1 /min; +14 respiration by impedance 1 /min
                 (1 9 ECG), b7 b8 noise, b9 learns
    72   NIBP    label b5 measures, b8 older than 60 s  systolic, diastolic, mean 0.01 mmHg, pulse 1 /min
    86   T1                                             0.01 degrees C
    118  SpO2                                           SpO2 0.01 %, pulse 1 /min
    132  CO2     b2 b7 apnoea, b3 b4 calibrates,        end-tidal 0.01 %, fi, respiration 1 /min, ambient 0.1 mmHg
                 b5 occlusion, b6 leak, b9 wet
    no number: -32767 invalid, -32766 not updated, -32764 below range, -32763 above, -32762 not calibrated; others
    up to -32001. Auxiliary, type 4: time of the last NIBP at 0 (s, Unix)

Sent: a request for the displayed values once, every 5 s; none to come by itself (does that begin its interval anew? It
is not known). Records that come all the same are read.

What is made of it:

* A group without its module says nothing; one that had it is `sensor_disconnected`. Not active: not measured.
* The heart rate counts where its source is the ECG: else it is a pulse. Respiration: the CO2 module's, else the ECG's.
* etCO2 in mmHg is its share of the ambient pressure that stands beside it. Where the monitor corrects for wet gas, 47
  mmHg of water vapour are taken off, and it is questionable: that the bit means this is deduced (D).
* A determination counts once: where the monitor was seen to measure, where its numbers change, or where the old-data
  bit goes; not while that is set. Where the auxiliary record comes, its time decides. One at the opening may be old.
* A record that comes twice, or one older than the last, says nothing, also where the line was lost meanwhile; the
  fourth older one running means that the monitor's clock was set back. One 5 s late by that clock is no number.
* Counted, not shown: invasive pressures (16, 30, 44, 58), T2 to T4 (94 on), other records. Not used: ST, gases, flow.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    Spec,
    Validity,
)
from drivers.kit.clocks import InStep
from drivers.kit.cuffs import DETERMINATION, determination, failed
from drivers.kit.listening import WELL, Verdict, judged, worst
from drivers.kit.tally import Tally

FLAG, ESCAPE, FLIP = 0x7E, 0x7D, 0x20
HEADER, LONGEST, SUBRECORD, UNION, CLASS_AT = 40, 1490, 278, 4, 276  # bytes of a record, and of what is displayed
DISPLAYED, AUXILIARY, END = 1, 4, 0xFF
ECG, NIBP, TEMPERATURE, SPO2, CO2 = 0, 72, 86, 118, 132
OTHERS = (("P1", 16, 4), ("P2", 30, 4), ("P3", 44, 4), ("P4", 58, 4), ("T2", 94, 1), ("T3", 102, 1), ("T4", 110, 1))
EVERY_S, GRAIN_S, TIMEOUT_S = 5, 1.0, 2.0  # GRAIN_S: of its clock
FOLLOWS_S, SET_BACK = 30, 4  # so many older ones running, each so soon after the other: the clock was set back
SOON_S = 2 * EVERY_S  # how old a determination may be that stands there at the opening
WATER_MMHG, CONTROL = 47.0, -32001  # a value up to CONTROL is none
SPECIAL: Mapping[int, Verdict] = {
    -32767: (Validity.INVALID, None), -32766: (Validity.UNAVAILABLE, None), -32764: (Validity.UNDERFLOW, None),
    -32763: (Validity.OVERFLOW, None), -32762: (Validity.CALIBRATING, None),
}
LIMITS: Mapping[str, tuple[float, float]] = {
    "heart_rate_bpm": (15, 350), "resp_bpm": (0, 120), "temp_c": (20, 45), "spo2_pct": (1, 100),
    "pulse_bpm": (20, 321), "etco2_mmhg": (0, 150),
}
NOISY: tuple[tuple[int, Verdict], ...] = (
    (0x200, (Validity.CALIBRATING, "searching")), (0x180, (Validity.QUESTIONABLE, "artifact")))
SAMPLES: tuple[tuple[int, Verdict], ...] = (
    (0x18, (Validity.CALIBRATING, None)), (0x20, (Validity.INVALID, "pneumatic_fault")),
    (0x40, (Validity.INVALID, "pneumatic_fault")))
ECG_SOURCES, MEASURES, OLD = frozenset({1, 9}), 0x20, 0x100
ASYSTOLE = (0x04, DeviceAlarm("asystole", "high", "ECG asystole", "Asystole, says the monitor"))
CO2_SAYS = (
    (0x84, DeviceAlarm("no_breath", "high", "CO2 apnoea", "No breath, says the monitor")),
    (0x20, DeviceAlarm("sampling_line", "medium", "CO2 occlusion", "CO2 sampling line blocked")),
    (0x40, DeviceAlarm("sampling_line", "medium", "CO2 leak", "CO2 sampling line leaks")),
)


def framed(record: bytes) -> bytes:
    """A record as sent."""
    plain = record + bytes((sum(record) & 0xFF,))
    escaped = plain.replace(b"\x7d", b"\x7d\x5d").replace(b"\x7e", b"\x7d\x5e")
    return bytes((FLAG,)) + escaped + bytes((FLAG,))


def _once() -> FrameRequest:
    """The displayed values of the basic class, once."""
    data = struct.pack("<BhIh", DISPLAYED, -1, 0, 0)
    head = bytearray(HEADER)
    struct.pack_into("<h", head, 0, HEADER + len(data))
    head[21] = END  # the first subrecord stands at 0 and has type 0; there is no second
    return FrameRequest("once", framed(bytes(head) + data), effect="read", timeout_s=TIMEOUT_S)


ONCE = _once()


def _plain(frame: bytes) -> bytes | None:
    """The record in a frame, or None where it is not whole, or its length or sum is wrong."""
    content = frame[1:-1]
    if frame[:1] != frame[-1:] or frame[:1] != bytes((FLAG,)) or FLAG in content or content[-1:] == bytes((ESCAPE,)):
        return None
    parts = content.split(bytes((ESCAPE,)))
    plain = parts[0] + b"".join(bytes((part[0] ^ FLIP,)) + part[1:] if part else b"\x5d" for part in parts[1:])
    record = plain[:-1]
    if len(record) < HEADER or sum(record) & 0xFF != plain[-1] or int.from_bytes(record[:2], "little") != len(record):
        return None
    return record


class FlagFraming:
    """A flag opens a frame and closes it. What has no good sum between two was noise; its end may be a beginning."""

    def __init__(self) -> None:
        self.dropped = 0
        self._held = bytearray()  # empty, or begins with a flag

    def feed(self, data: bytes) -> list[bytes]:
        """The whole frames that `data` completes."""
        frames: list[bytes] = []
        for byte in data:
            if not self._held and byte != FLAG:
                self.dropped += 1
                continue
            self._held.append(byte)
            if byte == FLAG and len(self._held) > 1:
                frame = bytes(self._held)
                self._held.clear()
                if _plain(frame) is not None:
                    frames.append(frame)
                else:
                    self.dropped += len(frame) - 1
                    self._held.append(FLAG)
            elif len(self._held) > 2 * LONGEST:
                self.flush()
        return frames

    def flush(self) -> None:
        """Forget the incomplete frame."""
        self.dropped += len(self._held)
        self._held.clear()


@dataclass(frozen=True, slots=True)
class Group:
    """One group of a displayed subrecord."""

    status: int
    label: int
    values: tuple[int, ...]

    @property
    def there(self) -> bool:
        """Whether its module is in the monitor."""
        return bool(self.status & 0x01)

    @property
    def active(self) -> bool:
        """Whether it measures."""
        return bool(self.status & 0x02)


def _group(union: bytes, at: int, count: int) -> Group:
    status, label = struct.unpack_from("<IH", union, at)
    return Group(status, label, struct.unpack_from(f"<{count}h", union, at + 6))


def _subrecords(record: bytes) -> list[tuple[int, bytes]]:
    """Type and bytes, to the end of the record, of each subrecord. Raises BadFrame."""
    found = []
    for at in range(16, HEADER, 3):
        offset, type_ = struct.unpack_from("<hB", record, at)
        if type_ == END:
            break
        if not 0 <= offset < len(record) - HEADER:
            raise BadFrame(f"a subrecord at {offset} of {len(record) - HEADER}")
        found.append((type_, record[HEADER + offset :]))
    return found


def _judged(metric: str, raw: int, scale: float, group: Group, verdict: Verdict = WELL) -> Reading:
    """One value of a group."""
    if not group.active:
        return Reading(metric, None, Validity.UNAVAILABLE, "not_measured")
    if raw <= CONTROL:
        return Reading(metric, None, *SPECIAL.get(raw, (Validity.UNAVAILABLE, None)))
    return judged(metric, round(raw * scale, 2), *LIMITS[metric], verdict)


class Cuff:
    """Which determination is new: see the datasheet."""

    def __init__(self) -> None:
        self._known: tuple[int, ...] | None = None  # the values as they stood last
        self._time: int | None = None
        self._measured = self._was_old = False

    def news(self, group: Group, now: int, taken: int | None) -> Sequence[Reading]:
        """The determination of this record, where it is one that was not told; `taken` is when, by the auxiliary."""
        first = self._known is None
        changed = self._known != group.values and group.values[0] > CONTROL
        self._known = group.values
        if group.label & MEASURES:
            self._measured = True
            return ()
        ended, self._measured = self._measured and not first, False
        old = bool(group.label & OLD)
        fresh, self._was_old = self._was_old and not old, old
        if taken is None:
            is_new = ended or (not first and not old and (changed or fresh))
        else:
            unseen, self._time = taken != self._time, taken
            is_new = (unseen and (not first or 0 <= now - taken <= SOON_S)) or (ended and old)
        return self.result(group) if is_new else ()

    def result(self, group: Group) -> Sequence[Reading]:
        """The determination that stands in this group."""
        if group.label & MEASURES:
            return ()
        if group.label & OLD:
            return failed("not_measured")
        sbp, dbp, mean, pulse = group.values
        if min(sbp, dbp, mean) <= CONTROL:
            return failed("not_measured")
        found = determination(sbp / 100, dbp / 100, mean / 100, None if pulse <= 0 else pulse)
        return found or failed("implausible")


class GeDri:
    """The driver. One that was never started is shown single records, and takes each at its word."""

    def __init__(self) -> None:
        self.framing: Framing = FlagFraming()
        self.unmapped = Tally()
        self._started = False
        self._record: tuple[int, int] | None = None  # number and time of the last one; outlives a line that is lost
        self._older = (0, 0)  # the time of the last one that was older than that, and how many came running
        self._in_step = InStep(grain_s=GRAIN_S)  # outlives it, too
        self._forget()

    def _forget(self) -> None:
        self._cuff = Cuff()
        self._seen: set[int] = set()  # groups whose module was there
        self._told: tuple[DeviceAlarm, ...] | None = None
        self._level: int | None = None
        self._asked_s: float | None = None

    def on_open(self) -> Sequence[Request]:
        self._forget()
        self._started = True
        return [ONCE, ONCE]

    def next_request(self, at_s: float) -> Request | None:
        if self._asked_s is not None and at_s - self._asked_s < EVERY_S:
            return None
        self._asked_s = at_s
        return ONCE

    def is_response(self, frame: bytes, request: Request) -> bool:
        record = _plain(frame)
        return request is ONCE and record is not None and record[14:16] == bytes(2) and record[18] == DISPLAYED

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        return ()

    def heard_at(self, at_s: float, unsure_s: float) -> None:
        self._in_step.heard(at_s, unsure_s)

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        record = _plain(frame)
        if record is None:
            raise BadFrame("not one whole record with a good sum")
        number, level, time, main = struct.unpack_from("<BBxxI4xh", record, 2)
        if main:
            self.unmapped.saw(f"main type {main}")
            return ()
        subrecords = _subrecords(record)
        late = self._in_step.fault(time)
        if self._started and self._is_old(number, time):
            return ()
        self._record = number, time
        if self._started and late:
            raise Late(late)
        taken = next((struct.unpack_from("<I", data)[0] for type_, data in subrecords
                      if type_ == AUXILIARY and len(data) >= 4), None)
        decoded: list[Decoded] = []
        for type_, data in subrecords:
            if type_ == DISPLAYED and len(data) < SUBRECORD:
                raise BadFrame(f"displayed values of {len(data)} bytes")
            if type_ == DISPLAYED and data[CLASS_AT + 1] & 0x0F == 0:
                decoded += self._displayed(data[UNION:], time, taken)
            elif type_ != AUXILIARY:
                of_class = f", class {data[CLASS_AT + 1] & 0x0F}" if type_ == DISPLAYED else ""
                self.unmapped.saw(f"record {type_}{of_class}")
        if decoded and level != self._level:
            self._level = level
            decoded.append(Identity(None, f"GE S/5, DRI level {level}"))
        return decoded

    def _is_old(self, number: int, time: int) -> bool:
        """Whether this record came before, or is older than the last, and not by a clock that was set back."""
        if self._record is None or self._record == (number, time):
            return self._record is not None
        if time >= self._record[1]:
            self._older = 0, 0
            return False
        last, count = self._older
        self._older = time, count + 1 if 0 < time - last <= FOLLOWS_S else 1
        return self._older[1] < SET_BACK

    def _displayed(self, union: bytes, time: int, taken: int | None) -> Sequence[Decoded]:
        ecg, nibp, spo2 = _group(union, ECG, 5), _group(union, NIBP, 4), _group(union, SPO2, 2)
        temperature, co2 = _group(union, TEMPERATURE, 1), _group(union, CO2, 4)
        self._note_others(union, (ecg, nibp, spo2, temperature, co2))
        decoded: list[Decoded] = [
            *self._of(ECG, ecg, [self._heart(ecg)]),
            *self._of(SPO2, spo2, [_judged("spo2_pct", spo2.values[0], 0.01, spo2),
                                   _judged("pulse_bpm", spo2.values[1], 1, spo2)]),
            *self._of(TEMPERATURE, temperature, [_judged("temp_c", temperature.values[0], 0.01, temperature)]),
            *self._of(CO2, co2, [_etco2(co2)]),
            *self._breathing(ecg, co2),
        ]
        if nibp.there:
            decoded += self._cuff.news(nibp, time, taken) if self._started else self._cuff.result(nibp)
        alarms = _alarms(ecg, co2)
        if not self._started or alarms != self._told:
            self._told = alarms
            decoded.append(DeviceAlarms(alarms))
        return decoded

    def _note_others(self, union: bytes, mapped: Sequence[Group]) -> None:
        for name, at, count in OTHERS:
            group = _group(union, at, count)
            if group.there and max(group.values) > CONTROL:
                self.unmapped.saw(name)
        for code in {one for group in mapped if group.active for one in group.values if one <= CONTROL} - {*SPECIAL}:
            self.unmapped.saw(f"no number {code}")

    def _of(self, at: int, group: Group, readings: list[Reading]) -> list[Reading]:
        """The readings of a group, as far as its module is or was there."""
        if group.there:
            self._seen.add(at)
            return readings
        gone = [Reading(one.metric, None, Validity.INVALID, "sensor_disconnected") for one in readings]
        return gone if at in self._seen else []

    def _heart(self, ecg: Group) -> Reading:
        if ecg.active and ecg.status >> 3 & 0x0F not in ECG_SOURCES:
            self.unmapped.saw(f"heart rate of source {ecg.status >> 3 & 0x0F}")
            return Reading("heart_rate_bpm", None, Validity.UNAVAILABLE)
        return _judged("heart_rate_bpm", ecg.values[0], 1, ecg, worst(ecg.status, NOISY))

    def _breathing(self, ecg: Group, co2: Group) -> list[Reading]:
        by_co2 = _judged("resp_bpm", co2.values[2], 1, co2, worst(co2.status, SAMPLES))
        by_ecg = _judged("resp_bpm", ecg.values[4], 1, ecg, worst(ecg.status, NOISY))
        if co2.there and (co2.active or not ecg.there):
            return self._of(CO2, co2, [by_co2])
        return self._of(ECG, ecg, [by_ecg])


def _etco2(co2: Group) -> Reading:
    share, ambient = co2.values[0], co2.values[3]
    reading = _judged("etco2_mmhg", 0 if share > CONTROL else share, 1, co2, worst(co2.status, SAMPLES))
    if reading.value is None:
        return reading
    if not 4000 <= ambient <= 8500:
        return Reading("etco2_mmhg", None, Validity.UNAVAILABLE)
    wet = co2.status & 0x200
    value = round(share / 10000 * (ambient / 10 - (WATER_MMHG if wet else 0)), 1)
    verdict = (Validity.QUESTIONABLE, "low_signal_quality") if wet else (reading.validity, reading.reason)
    return judged("etco2_mmhg", value, *LIMITS["etco2_mmhg"], verdict)


def _alarms(ecg: Group, co2: Group) -> tuple[DeviceAlarm, ...]:
    found = [ASYSTOLE[1]] if ecg.there and ecg.active and ecg.status & ASYSTOLE[0] else []
    return (*found, *(alarm for bits, alarm in CO2_SAYS if co2.there and co2.status & bits))


DRIVER = Spec(
    name="ge_dri",
    title="GE Datex-Ohmeda S/5, B650, B850 (DRI computer interface; numbers, no waves)",
    kind="monitor",
    transports=("serial", "tcp"),
    grade="A, wet gas D",
    source="Datex-Ohmeda documents 8005313 and M1017617, with their example requests; no capture was seen",
    documents=("Datex-Ohmeda 8005313", "Datex-Ohmeda M1017617"),
    line=Line(baud=19200, parity="E", silent_after_s=11.0),
    metrics=frozenset({*DETERMINATION, *LIMITS}),
    requests=(ONCE,),
    wiring=(
        "Line: 19200 8E1; newer monitors may be set to 115200 (?baud=115200). RTS/CTS must be wired through or"
        " looped at the monitor's end: without CTS it may send nothing.\n"
        "Cable: 9-pin D socket of the monitor's serial port (UPI board of an S/5) to an isolated adapter. One host a"
        " port.\n"
        "Menu: in the monitor's service menu the port must be set to the computer interface (DRI); the way there"
        " differs by model and is not known here.\n"
        "Known limits: the monitor is asked for its displayed values every 5 s, as often as it would send them by"
        " itself at most, so numbers are up to 5 s old when they come. No waves, no serial number (it is bound by"
        " its port), no alarm texts, one temperature."
    ),
    make=lambda settings: GeDri(),
)
