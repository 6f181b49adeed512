"""Contec CMS60C (and CMS50D+/E/F with the same protocol) oximeters: protocol V7.0, 115200 8N1.

Source: the manufacturer's V7.0 document and a real CMS60C session of 1177 real-time frames (grade A). There is no
checksum: only the shape of the packets, so eight real-time frames (0.13 s) must agree before a new number counts.

    type | highbyte | payload ...        type has b7 = 0, every other byte on the wire has b7 = 1
                                         bit 7 of payload byte i is bit i of highbyte

    device   01 real time, 9 bytes, 60/s    p0  b0-3 signal 0-8, b4 searching too long, b5 low SpO2, b6 beep,
                                                b7 probe error (finger out)
                                            p1  b0-6 wave 0-127 (0x40 on probe error), b7 searching
                                            p2  b0-3 bar 0-15, b4 PI invalid, b5-7 zero
                                            p3  pulse 1-254 /min, FF invalid      p4  SpO2 1-100 %, 7F invalid
                                            p5, p6  PI x 100, low byte first, at most 22.00 %, FFFF invalid
             02 model, 03 brand (text; seen on real hardware, not in the document)   0B command, reason: feedback
             0C free (stopped)   0D disconnect notice: reason
             others: 04 05 06 07 08 09 0A 0E 0F 10 11 12 15 of known length are cut and give nothing here
    host     7D | 81 | command | six arguments, unused 0      always 9 bytes

What is made of it:

* A number is reported when it changes and once a second (60 frames). A lost one at once; a new one when eight frames
  running say it (33 ms), since one may hold a flipped bit and a bad wire may send that twice. A driver that was
  never started is shown single frames: it believes each, and reports it.
* A wave that repeats itself exactly in less than a heart beat is an old piece that comes again: the numbers with it are
  questionable (kit/living.py).
* Probe error: invalid, sensor_off; searching: invalid, searching; both override any value, possible or not. PI out of
  reach or flagged invalid is simply unavailable.
* Low SpO2 is the device's own alarm, reported when it begins and ends, and believed like a new number; a device without
  a finger, or that searches, has none.
* The stream is started again when it ends (0C, 0D) or has been still for 2 s; keep-alive every 5 s (edge time).
* Never enable XON/XOFF on this line: packet types 11 and 13 are legal bytes.
"""

from __future__ import annotations

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
    Reading,
    Request,
    Spec,
    Validity,
    Wave,
    Weak,
)
from drivers.kit.listening import Agreeing
from drivers.kit.living import BY_WAVE, Living
from drivers.kit.tally import Tally

LENGTHS = {
    0x01: 9, 0x02: 9, 0x03: 9, 0x04: 9, 0x05: 9, 0x06: 4, 0x07: 8, 0x08: 8, 0x09: 6, 0x0A: 4, 0x0B: 4, 0x0C: 2,
    0x0D: 3, 0x0E: 3, 0x0F: 8, 0x10: 3, 0x11: 9, 0x12: 8, 0x15: 9,
}
REAL_TIME, MODEL, BRAND, FEEDBACK, FREE = 0x01, 0x02, 0x03, 0x0B, 0x0C
FRAMES_S = 60
WAVE_FRAMES = 15
AGREE = 8  # a read, or an old one come again, holds three and more
RESTART_S = 2.0
KEEP_ALIVE_S = 5.0
PI_HIGHEST = 2200


def packet(type_: int, *payload: int) -> bytes:
    """A packet on the wire: the payload's high bits gathered in the second byte. At most 7 payload bytes."""
    high = sum((byte >> 7) << i for i, byte in enumerate(payload))
    return bytes((type_, 0x80 | high, *(0x80 | byte for byte in payload)))


def payload_of(frame: bytes) -> bytes:
    """The payload with its high bits put back. Raises BadFrame where the bytes have not the shape of a packet."""
    if len(frame) < 2 or LENGTHS.get(frame[0]) != len(frame) or min(frame[1:]) < 0x80:
        raise BadFrame(f"not a packet of this protocol: {frame[:9].hex(' ')}")
    if (frame[1] & 0x7F) >> len(frame) - 2:
        raise BadFrame(f"high bits {frame[1]:02X} for bytes that are not there")
    return bytes((byte & 0x7F) | (frame[1] >> i & 1) << 7 for i, byte in enumerate(frame[2:]))


def command(name: str, code: int, effect: Effect = "mode", timeout_s: float | None = 1.0) -> FrameRequest:
    """A control packet. The document lets a response take 1 s."""
    return FrameRequest(name, packet(0x7D, code, 0, 0, 0, 0, 0, 0), effect=effect, timeout_s=timeout_s)


STOP = command("stop_real_time", 0xA2)
STOP_STORAGE = command("stop_storage", 0xA7)
GET_BRAND = command("ask_brand", 0xA9, "identify")
GET_MODEL = command("ask_model", 0xA8, "identify")
START = command("start_real_time", 0xA1)
KEEP_ALIVE = command("keep_alive", 0xAF, timeout_s=None)
REQUESTS = (STOP, STOP_STORAGE, GET_BRAND, GET_MODEL, START, KEEP_ALIVE)
RESPONSES = {
    STOP.name: FREE, STOP_STORAGE.name: FREE, GET_BRAND.name: BRAND, GET_MODEL.name: MODEL, START.name: REAL_TIME,
}


class ContecFraming:
    """A byte below 80 begins a packet whose length its type gives; a byte below 80 inside one begins anew."""

    def __init__(self) -> None:
        self.dropped = 0
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The whole packets that `data` completes."""
        frames: list[bytes] = []
        buffer = self._buffer
        for byte in data:
            if byte < 0x80:
                self.dropped += len(buffer)
                buffer.clear()
                if byte not in LENGTHS:
                    self.dropped += 1
                    continue
            elif not buffer:
                self.dropped += 1
                continue
            buffer.append(byte)
            if len(buffer) == LENGTHS[buffer[0]]:
                frames.append(bytes(buffer))
                buffer.clear()
        return frames

    def flush(self) -> None:
        """Forget the incomplete packet."""
        self.dropped += len(self._buffer)
        self._buffer.clear()


LOW_SPO2 = DeviceAlarm("low_spo2", "medium", "low SpO2", "SpO2 low, says the oximeter")
METRICS = ("pulse_bpm", "spo2_pct", "perfusion_index_pct")
NOTHING = tuple(Reading(metric, None, Validity.UNAVAILABLE) for metric in METRICS)


def _real_time(payload: bytes) -> list[Reading]:
    """Pulse, SpO2 and perfusion index of one real-time packet. Raises BadFrame where the numbers make no sense."""
    flags, wave, bar, pulse, spo2 = payload[:5]
    index = payload[5] | payload[6] << 8
    if flags & 0x80 or wave & 0x80:
        reason = "sensor_off" if flags & 0x80 else "searching"
        return [Reading(metric, None, Validity.INVALID, reason) for metric in METRICS]
    if bar & 0xE0 or (spo2 > 100 and spo2 != 0x7F):
        raise BadFrame(f"SpO2 {spo2} or the bits of {bar:02X} cannot be")
    values = (
        float(pulse) if 0 < pulse < 0xFF else None,
        float(spo2) if 0 < spo2 <= 100 else None,
        index / 100 if not bar & 0x10 and index <= PI_HIGHEST else None,
    )
    return [none if value is None else Reading(none.metric, value)
            for none, value in zip(NOTHING, values, strict=True)]


class ContecCms60:
    """The driver: the last of each number, so that only news is reported, and whether the stream still runs."""

    def __init__(self) -> None:
        self.framing: Framing = ContecFraming()
        self.unmapped = Tally()
        self._started = False
        self._forget()

    def _forget(self) -> None:
        self._brand = ""
        self._numbers = Agreeing(AGREE, every=FRAMES_S)
        self._low_spo2: bool | None = None  # the alarm as reported; None: nothing yet
        self._low_running = (False, 0)  # of the last frame, and how many frames running had it
        self._frames = 0  # real-time ones
        self._wave: list[int | None] = []
        self._living = Living(FRAMES_S)
        self._ended = False
        self._frames_before = -1
        self._still_since_s: float | None = None
        self._start_requested_s: float | None = None
        self._kept_alive_s: float | None = None

    def on_open(self) -> Sequence[Request]:
        self._forget()
        self._started = True
        return [STOP, STOP_STORAGE, GET_BRAND, GET_MODEL, START]

    def next_request(self, at_s: float) -> Request | None:
        if self._kept_alive_s is None or self._start_requested_s is None or self._still_since_s is None:
            self._kept_alive_s = self._start_requested_s = self._still_since_s = at_s
        if self._frames != self._frames_before:
            self._frames_before, self._still_since_s = self._frames, at_s
        still = at_s - self._still_since_s >= RESTART_S
        if (still or self._ended) and at_s - self._start_requested_s >= RESTART_S:
            self._start_requested_s = self._still_since_s = self._kept_alive_s = at_s
            self._ended = False
            return START
        if at_s - self._kept_alive_s >= KEEP_ALIVE_S:
            self._kept_alive_s = at_s
            return KEEP_ALIVE
        return None

    def is_response(self, frame: bytes, request: Request) -> bool:
        if not frame or not isinstance(request, FrameRequest):
            return False
        if frame[0] == FEEDBACK:
            try:
                return payload_of(frame)[0] == request.frame[2]
            except BadFrame:  # `decode` raises it again
                return False
        return frame[0] == RESPONSES.get(request.name)

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        return []  # an older model knows neither 02 nor 03; `next_request` repeats a start that brought nothing

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        payload = payload_of(frame)
        match frame[0]:
            case 0x01:
                return self._decode_real_time(payload)
            case 0x02:
                return self._decode_model(payload)
            case 0x03:
                self._brand = _text(payload)
            case 0x0C if request is None or request.name not in (STOP.name, STOP_STORAGE.name):
                return self._lost()
            case 0x0D:
                self.unmapped.saw(f"disconnect notice, reason {payload[0]:02X}")
                return self._lost()
            case 0x0B:
                if payload[1]:
                    self.unmapped.saw(f"feedback to {payload[0]:02X}, reason {payload[1]:02X}")
            case 0x0C:
                pass
            case other:
                self.unmapped.saw(f"packet {other:02X}")
        return []

    def _decode_real_time(self, payload: bytes) -> list[Decoded]:
        readings = _real_time(payload)
        self._ended = False
        self._frames += 1
        sample = None if payload[0] & 0x80 else payload[1] & 0x7F
        if self._started:
            self._living.sample(sample)
            readings = self._numbers.news([self._living.beside(one) for one in readings])
        decoded: list[Decoded] = [*readings]
        decoded += self._decode_alarm(payload[0] & 0xA0 == 0x20 and not payload[1] & 0x80)
        self._wave.append(sample)
        if len(self._wave) == WAVE_FRAMES:
            decoded.append(Wave("pleth", float(FRAMES_S), 0, 127, tuple(self._wave)))
            self._wave.clear()
        return decoded

    def _decode_alarm(self, low: bool) -> list[Decoded]:
        before, times = self._low_running
        self._low_running = low, times + 1 if low is before else 1
        if self._started and (self._low_running[1] < AGREE or low is self._low_spo2):
            return []
        self._low_spo2 = low
        return [DeviceAlarms((LOW_SPO2,) if low else ())]

    def _decode_model(self, payload: bytes) -> list[Decoded]:
        """The real CMS60C says its model in two parts: index 0 with six letters, then index FF with a remainder."""
        model = _text(payload[1:])
        if payload[0] != 0 or not model:
            return []
        return [Identity(None, f"{self._brand} {model}".strip())]

    def _lost(self) -> list[Decoded]:
        """The device itself ended the stream: from here on it has no numbers."""
        self._ended = True
        self._wave.clear()
        self._numbers.interrupt()
        self._numbers.news(NOTHING)
        ended: list[Decoded] = [DeviceAlarms(())] if self._low_spo2 else []
        self._low_spo2, self._low_running = False, (False, 0)
        return [*NOTHING, *ended]


def _text(payload: bytes) -> str:
    return "".join(chr(byte) for byte in payload if 0x20 <= byte < 0x7F).strip()


def _make(settings: Mapping[str, str | int | float]) -> ContecCms60:
    return ContecCms60()


DRIVER = Spec(
    name="contec_cms60",
    title="Contec CMS60C / CMS50 oximeter (protocol V7.0)",
    kind="oximeter",
    transports=("serial", "tcp"),
    grade="A",
    source="Contec communication protocol V7.0; a real CMS60C session (InfantLab, MIT)",
    agrees=(Agreement("capture", "REAL session, CMS60C"),),
    documents=("Contec communication protocol V7.0",),
    line=Line(baud=115200, silent_after_s=3.0, stream_bytes_s=FRAMES_S * LENGTHS[REAL_TIME]),
    metrics=frozenset(METRICS),
    age=BY_WAVE,
    weak=Weak("its packets have no check", wave=True, alike=AGREE),
    requests=REQUESTS,
    wiring=(
        "Line: 115200 8N1, no flow control: XON/XOFF must be off, since its two bytes are data here.\n"
        "Cable: the device's own USB cable (a serial port inside).\n"
        "Menu: nothing to choose; the driver asks for the stream.\n"
        "Known limits: one device was recorded; what its session does not hold rests on the document alone. No"
        " serial number: it is bound by its port."
    ),
    make=_make,
)
