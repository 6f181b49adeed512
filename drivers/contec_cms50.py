"""Contec CMS50D+/E/F oximeters of the older generation: protocol V5.1, 19200 8O1. They send, and need no command.

    byte 1   b7 = 1   b0-3 signal strength 0-8   b4 searching for too long   b5 SpO2 is dropping   b6 beat
    byte 2   b7 = 0   b0-6 wave 0-127
    byte 3   b7 = 0   b0-3 bar 0-15   b4 probe error (no finger)   b5 searching   b6 bit 7 of the pulse
    byte 4   b7 = 0   b0-6 pulse, 1 /min; with its bit 7 in byte 3, FF none
    byte 5   b7 = 0   b0-6 SpO2, 1 %; 7F none
    60 packets a second, no checksum

Source: the maker's V5.1 document for line, packet and bits (A); that FF and 7F stand for none is taken over from V7.0,
where they do (D). The same five bytes are the "BCI protocol" of Berry and other boards, on other lines (`?baud=` and
`?parity=` in the device's address); boards that send more than 60 packets a second are taken for a stalled line, and
are not served. Some newer CMS50D+ send without parity. Unknown: which models do, and whether a device says FF and 7F.
Never sent: F5 F5, which has the device hand over its memory. The newer generation, V7.0 at 115200 baud, is
drivers.contec_cms60.

What is made of it:

* Probe error and searching override any number. A signal of 9 to 14, an SpO2 of 1 to 9 or 101 to 126: no packet of
  this protocol (15, no signal, is what BCI boards say). The limit of 9 keeps out a Nonin, whose frames have the same
  shape and always a 1 there.
* Packets count while they follow each other without a gap, each with much the same SpO2. A number counts when eight
  packets running say it (0.13 s), since a flipped bit makes another number of a number, and a piece of the stream may
  come again; a lost one at once. Told when
  it changes and once a second.
* "SpO2 is dropping" is the device's own alarm, where two packets running say it. Without a finger there is none.
* A wave that repeats itself exactly in less than a heart beat is an old piece that comes again: the numbers with it are
  questionable (kit/living.py).
* The device does not say who it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drivers.contract import (
    BadFrame,
    Decoded,
    DeviceAlarm,
    DeviceAlarms,
    Framing,
    Line,
    Request,
    Spec,
    Validity,
    Wave,
    Weak,
)
from drivers.kit.listening import WELL, Agreeing, Listener, Verdict, judged
from drivers.kit.living import BY_WAVE, Living
from drivers.kit.text import Twice

PACKET = 5
PACKETS_S = 60
WAVE_PACKETS = 15
AGREE = 8  # a read, or an old one come again, holds three and more
NO_SIGNAL, SIGNAL_MAX = 15, 8
NO_PULSE, NO_SPO2 = 0xFF, 0x7F
PULSE_LOW, PULSE_HIGH, SPO2_LOW = 18, 254, 10
STEP_PCT = 3  # from one packet to the next; more has to be said twice
DROPPING = DeviceAlarm("low_spo2", "medium", "SpO2 dropping", "SpO2 is dropping, says the oximeter")


def _fault(frame: bytes) -> str | None:
    """Why these bytes are no packet of this protocol."""
    if len(frame) != PACKET or frame[0] < 0x80 or max(frame[1:]) >= 0x80:
        return f"not a packet of this protocol: {frame[:PACKET].hex(' ')}"
    if SIGNAL_MAX < frame[0] & 0x0F < NO_SIGNAL:
        return f"signal strength {frame[0] & 0x0F}"
    if 0 < frame[4] < SPO2_LOW or 100 < frame[4] < NO_SPO2:
        return f"SpO2 {frame[4]}"
    return None


def _alike(spo2: int, next_spo2: int) -> bool:
    """Whether one packet can follow the other, a sixtieth of a second later."""
    return abs(spo2 - next_spo2) <= STEP_PCT or NO_SPO2 in (spo2, next_spo2)


class FiveByteFraming:
    """A byte of 80 or more begins a packet, four below it end it; what does not fit is dropped.

    Any stream has such bytes here and there, so the first packet is held until another one follows it without a gap and
    with much the same SpO2, and so is one with another SpO2.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._held = bytearray()  # empty, or begins with a byte of 80 or more
        self._first = b""  # a packet that waits for the next one
        self._last = b""  # the last one that counted, where nothing stood between

    def feed(self, data: bytes) -> list[bytes]:
        """The whole packets that `data` completes."""
        frames: list[bytes] = []
        for byte in data:
            if (byte >= 0x80) is bool(self._held):  # a packet begins too early, or does not begin
                self._drop()
            if self._held or byte >= 0x80:
                self._held.append(byte)
            else:
                self.dropped += 1
            if len(self._held) == PACKET:
                frames += self._whole()
        return frames

    def flush(self) -> None:
        """Forget the incomplete packet."""
        self._drop()

    def _whole(self) -> list[bytes]:
        packet = bytes(self._held)
        if _fault(packet):
            self._drop()
            return []
        self._held.clear()
        before = self._first or self._last
        if not before or not _alike(before[4], packet[4]):
            self.dropped += len(self._first)
            self._first, self._last = packet, b""
            return []
        found = [self._first, packet] if self._first else [packet]
        self._first, self._last = b"", packet
        return found

    def _drop(self) -> None:
        self.dropped += len(self._held) + len(self._first)
        self._held.clear()
        self._first = self._last = b""


def _verdict(frame: bytes) -> Verdict:
    if frame[2] & 0x10:
        return Validity.INVALID, "sensor_off"
    return (Validity.INVALID, "searching") if frame[0] & 0x10 or frame[2] & 0x20 else WELL


class ContecCms50(Listener):
    """The driver. One that was never started is shown single packets, and takes each at its word."""

    def __init__(self) -> None:
        self.framing: Framing = FiveByteFraming()
        self._started = False
        self._forget()

    def _forget(self) -> None:
        self._numbers = Agreeing(AGREE, every=PACKETS_S)
        self._alarms: Twice[tuple[DeviceAlarm, ...]] = Twice()
        self._wave: list[int | None] = []
        self._living = Living(PACKETS_S)

    def on_open(self) -> Sequence[Request]:
        self._started = True
        self._forget()
        return []

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        fault = _fault(frame)
        if fault:
            raise BadFrame(fault)
        pulse, spo2 = (frame[2] & 0x40) << 1 | frame[3], frame[4]
        verdict = _verdict(frame)
        readings = [
            judged("pulse_bpm", None if pulse in (0, NO_PULSE) else float(pulse), PULSE_LOW, PULSE_HIGH, verdict),
            judged("spo2_pct", None if spo2 in (0, NO_SPO2) else float(spo2), SPO2_LOW, 100, verdict),
        ]
        alarms = (DROPPING,) if frame[0] & 0x20 and verdict is WELL else ()
        if not self._started:
            return [*readings, DeviceAlarms(alarms)]
        sample = None if frame[2] & 0x10 else frame[1]
        self._living.sample(sample)
        decoded: list[Decoded] = [*self._numbers.news([self._living.beside(one) for one in readings])]
        if self._alarms.is_news(alarms):
            decoded.append(DeviceAlarms(alarms))
        self._wave.append(sample)
        if len(self._wave) == WAVE_PACKETS:
            decoded.append(Wave("pleth", float(PACKETS_S), 0, 127, tuple(self._wave)))
            self._wave.clear()
        return decoded


def _make(settings: Mapping[str, str | int | float]) -> ContecCms50:
    return ContecCms50()


DRIVER = Spec(
    name="contec_cms50",
    title="Contec CMS50D+/E/F oximeter (older generation, protocol V5.1)",
    kind="oximeter",
    transports=("serial", "tcp"),
    grade="A, codes for no number D",
    source="Contec communication protocol V5.1; no capture of a device was seen",
    documents=("Contec communication protocol V5.1",),
    line=Line(baud=19200, parity="O", silent_after_s=3.0, stream_bytes_s=PACKETS_S * PACKET),
    metrics=frozenset({"pulse_bpm", "spo2_pct"}),
    age=BY_WAVE,
    weak=Weak("its packets have no check", wave=True, alike=AGREE),
    requests=(),
    wiring=(
        "Line: 19200 8O1, no flow control. A newer CMS50D+ may send without parity (?parity=N); one of protocol V7.0"
        " needs the driver contec_cms60.\n"
        "Cable: the device's own USB cable (a serial port inside) or Contec's serial cable.\n"
        "Menu: nothing to choose; it sends by itself while it is on.\n"
        "Known limits: no checksum and no serial number; it is bound by its port. Boards with the same five bytes"
        " (BCI protocol) work where they send 60 packets a second."
    ),
    make=_make,
)
