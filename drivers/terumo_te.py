"""Terumo TERUFUSION syringe pumps TE-SS730, TE-SS830(P) and volumetric pump TE-LF630: read only; they offer no more.

Grade M: the instruction manuals' chapter "About External Communication Functions" (TE-SS830P pp. 121-127, TE-SS730
pp. 94-96, TE-LF630 p. 80), with their printed exchanges. No capture. Line settings: the page was not found; 9600 8N1 is
a guess, set what the pump's menu says (?baud=...).

    STX text CRC ETX     CRC: CRC-16/XMODEM of the text, four hex digits (V: four printed sums agree, the TE-SS730's
                         does not)
    host   <?xml version="1.0"?><REQ><DEVID>id</DEVID><CMD>base64</CMD></REQ>     without CMD and id: who are you
    pump   <?xml version="1.0"?><REP><DEVID>id</DEVID><CMD>base64</CMD></REP>     silent where id is not its own
    CMD    host: sequence, command, subcommand 2      pump: the same, result, data      (01, 0000: operating status)
           the manual's example answers sequence 01 with 00: it proves nothing, and is not looked at
    result 00 done   11 unknown   12 not executable   13 too short   14 too long   15 out of range

    status, most significant byte first
     0 software 2 (0301: 3.01)   2 upper half: 0 stopped 1 runs 2 stands by 3 purges 4 5 bolus (hands on, free)
     5 alarm bits 3    8 power (b4 b5: 0 battery, 1 mains; b0-3 bars)   9 operation   10 syringe (0 none)
    11 flow rate 3 (0.01 mL/h)   14 volume delivered 3 (0.01 mL)   17 volume to be infused 3 (0.1 mL; FFFFFF no limit,
    EEEEEE off)   20 dose rate 3, unit 1, weight 2, dilution 3   29 more, not known here
    bits 0 shuts down  1 link interrupted  2 completed  3 occlusion  4 5 6 syringe, plunger, slider displaced
         7 barrel  8 nearly empty  13 power failed  15 AC detector  16 no rate  17 rate or volume judgement
         18 no volume  19 battery  20 start reminder  21 pressure  22 maintenance  23 battery replacement

The order of the fields is confirmed by both printed responses; that bit 0 is the lowest of the three bytes is taken
from the numbering alone (D). Unknown bits are shown as they are. The rate is what flows while it runs; a stopped pump's
is 0; while it purges or gives a bolus it is not known. Each request names the pump by the number it gave, which is its
serial number. How late a response may be is unknown; taken as 1 s.
"""

from __future__ import annotations

import base64
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
    Spec,
    Validity,
)
from drivers.kit.framing import Delimited
from drivers.kit.tracks import BY_VOLUME, Rising

STX, ETX = b"\x02", b"\x03"
LONGEST = 700
EVERY_S, AGAIN_S = 1.0, 3.0
TIMEOUT_S = LATENESS_S = 1.0
MISSED = 2
EXAMPLE = "000100700000001201000001"  # the manual's pump
STATUS_COMMAND = bytes.fromhex("01 01 00 00")
KNOWN = 29  # bytes of the status that are known
NO_LIMIT, OFF = 0xFFFFFF, 0xEEEEEE
LIMITS: Mapping[str, tuple[float, float]] = {
    "rate_ml_h": (0.0, 1500.0), "volume_infused_ml": (0.0, 100_000.0), "vtbi_ml": (0.0, 5000.0)}
STATES: Mapping[int, PumpState] = {
    0: "stopped", 1: "infusing", 2: "paused", 3: "infusing", 4: "infusing", 5: "infusing"}
RUNS, NOT_TOLD = 1, frozenset({3, 4, 5})
STOPPING = 0x0000FC  # completed, occlusion, displaced, barrel
ALARMS: Mapping[int, tuple[str, Priority, str]] = {
    0: ("attention", "medium", "The pump shuts down"), 1: ("comms_timeout", "medium", "Link interrupted"),
    2: ("vtbi_done", "high", "Completed"), 3: ("occlusion", "high", "Occlusion"),
    4: ("syringe", "high", "Syringe displaced"), 5: ("drive_disengaged", "high", "Plunger displaced"),
    6: ("drive_disengaged", "high", "Slider displaced"), 7: ("syringe", "high", "Barrel not detected"),
    8: ("near_end", "medium", "Syringe nearly empty"), 13: ("mains_lost", "medium", "Power failure"),
    15: ("fault", "low", "AC detector"), 16: ("attention", "low", "No flow rate set"),
    17: ("attention", "low", "Rate or volume is not plausible, says the pump"),
    18: ("attention", "low", "No volume to be infused set"), 19: ("low_battery", "medium", "Battery low"),
    20: ("attention", "low", "Start reminder"), 21: ("pressure_line", "medium", "Line pressure"),
    22: ("attention", "low", "Maintenance is due"), 23: ("low_battery", "low", "Battery to be replaced"),
}
DOES: Mapping[int, str] = {3: "The pump purges", 4: "Bolus, by hand", 5: "Bolus, hands free"}
RESULTS: Mapping[int, str] = {0x11: "unknown command", 0x12: "not executable", 0x13: "too short", 0x14: "too long",
                              0x15: "out of range"}

_TEXT = re.compile(rb'<\?xml version="1\.0"\?><REP><DEVID>([0-9A-Za-z]{1,32})</DEVID>'
                   rb"(?:<CMD>([0-9A-Za-z+/=\s]*)</CMD>)?</REP>")


def framed(text: str) -> bytes:
    """`text` as sent."""
    plain = text.encode("ascii")
    return STX + plain + b"%04X" % binascii.crc_hqx(plain, 0) + ETX


def _request(name: str, device: str, command: bytes, effect: Effect) -> FrameRequest:
    said = f"<CMD>{base64.b64encode(command).decode()}</CMD>" if command else ""
    text = f'<?xml version="1.0"?><REQ><DEVID>{device}</DEVID>{said}</REQ>'
    return FrameRequest(name, framed(text), effect=effect, timeout_s=TIMEOUT_S, distinct=True)


WHO = _request("who", "", b"", "identify")


def status_of(device: str) -> FrameRequest:
    """The request for the status of the pump with this number."""
    return _request("status", device, STATUS_COMMAND, "read")


class TerumoTe:
    """One pump. One that was never started is shown single frames."""

    def __init__(self) -> None:
        self.framing: Framing = Delimited(STX, ETX, LONGEST)
        self._started = False
        self._now_s = 0.0
        self._forget()

    def _forget(self) -> None:
        self._total = Rising()
        self._status: FrameRequest | None = None  # None: it has not said who it is
        self._device = ""
        self._who_s, self._due_s = self._now_s, float("-inf")
        self._missed = 0
        self._told: tuple[DeviceAlarm, ...] | None = None

    def on_open(self) -> Sequence[Request]:
        self._forget()
        self._started = True
        return (WHO,)

    def next_request(self, at_s: float) -> Request | None:
        self._now_s = at_s
        if self._status is None:
            if at_s - self._who_s < AGAIN_S:
                return None
            self._who_s = at_s
            return WHO
        if at_s < self._due_s:
            return None
        self._due_s = at_s + EVERY_S
        return self._status

    def is_response(self, frame: bytes, request: Request) -> bool:
        try:
            device, command = _parts(frame)
        except BadFrame:
            return False
        if request.name == WHO.name:
            return not command
        return bool(command) and request == status_of(device)

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        if request.name == WHO.name:
            return ()
        self._missed += 1
        return (Pump("unknown"),) if self._missed >= MISSED else ()

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        device, command = _parts(frame)
        if request is None:
            return ()
        self._missed = 0
        if not command:
            self._status, self._device = status_of(device), device
            return (Identity(device, "Terumo Terufusion"),)
        if self._started and device != self._device:
            raise BadFrame(f"of pump {device}")
        if command[4]:
            return self._refused(command[4])
        if command[1:4] != STATUS_COMMAND[1:] or len(command) < 5 + KNOWN:
            raise BadFrame(f"no status: {command[:5].hex(' ')}, {len(command)} bytes")
        return self._decoded(command[5:])

    def _refused(self, result: int) -> Sequence[Decoded]:
        text = f"The pump refuses its status: {RESULTS.get(result, 'result')} ({result:02X})"
        gone = (Reading(metric, None, Validity.UNAVAILABLE) for metric in LIMITS)
        return (*gone, Pump("unknown"), *self._alarmed((DeviceAlarm("attention", "low", f"{result:02X}", text),)))

    def _decoded(self, data: bytes) -> Sequence[Decoded]:
        doing, bits = data[2] >> 4, int.from_bytes(data[5:8], "big")
        rate, volume, vtbi = (int.from_bytes(data[at : at + 3], "big") for at in (11, 14, 17))
        alarms = [_alarm(bit) for bit in range(24) if bits >> bit & 1]
        if doing in DOES:
            alarms.append(DeviceAlarm("attention", "medium", f"status {doing}", DOES[doing]))
        if doing not in STATES:
            alarms.append(DeviceAlarm("unknown", "medium", f"status {doing}", f"Pump status {doing}"))
        state = STATES.get(doing, "unknown")
        if state in ("stopped", "paused") and bits & STOPPING:
            state = "alarm"
        flows = self._rate(doing, rate)
        total = self._total.judged(_reading("volume_infused_ml", volume / 100), self._now_s if self._started else None,
                                   flows.value, runs=state == "infusing")
        left = Reading("vtbi_ml", None, Validity.UNAVAILABLE) if vtbi in (NO_LIMIT, OFF) else (
            _reading("vtbi_ml", vtbi / 10))
        return (self._total.beside(flows), total, self._total.beside(left), Pump(state), *self._alarmed(tuple(alarms)))

    @staticmethod
    def _rate(doing: int, rate: int) -> Reading:
        if doing in NOT_TOLD or doing not in STATES:
            return Reading("rate_ml_h", None, Validity.UNAVAILABLE, "not_measured")
        return _reading("rate_ml_h", rate / 100 if doing == RUNS else 0.0)

    def _alarmed(self, alarms: tuple[DeviceAlarm, ...]) -> Sequence[Decoded]:
        told, self._told = self._told, alarms
        return (DeviceAlarms(alarms),) if alarms != told or not self._started else ()


def _reading(metric: str, value: float) -> Reading:
    low, high = LIMITS[metric]
    return Reading(metric, value) if low <= value <= high else Reading(metric, None, Validity.INVALID, "implausible")


def _alarm(bit: int) -> DeviceAlarm:
    code, priority, text = ALARMS.get(bit, ("unknown", "medium", f"Pump alarm bit {bit}"))
    return DeviceAlarm(code, priority, f"bit {bit}", text)


def _parts(frame: bytes) -> tuple[str, bytes]:
    """The pump's number, and what its command says (empty: it says who it is). Raises BadFrame."""
    text, told = frame[1:-5], frame[-5:-1]
    if frame[:1] != STX or frame[-1:] != ETX or told != b"%04X" % binascii.crc_hqx(text, 0):
        raise BadFrame("not STX text CRC ETX")
    found = _TEXT.fullmatch(text)
    if found is None:
        raise BadFrame(f"not a response: {text[:60]!r}")
    try:
        command = base64.b64decode(b"".join((found[2] or b"").split()), validate=True)
    except binascii.Error as error:
        raise BadFrame(f"not base64: {error}") from None
    if command and len(command) < 5:
        raise BadFrame(f"a command of {len(command)} bytes")
    return found[1].decode(), command


DRIVER = Spec(
    name="terumo_te",
    title="Terumo Terufusion TE-SS730, TE-SS830(P) syringe and TE-LF630 volumetric pumps",
    kind="pump",
    transports=("serial", "tcp"),
    age=BY_VOLUME,
    names_itself="always",
    grade="M, line settings unknown",
    source="instruction manuals TE-SS830P pp. 121-127, TE-SS730 pp. 94-96, TE-LF630 p. 80, with printed exchanges",
    agrees=(Agreement("printed", "M: printed in the TE-SS830P manual"),),
    documents=("TE-SS830P instruction manual", "TE-SS730 instruction manual", "TE-LF630 instruction manual"),
    line=Line(baud=9600, silent_after_s=5.0, lateness_s=LATENESS_S),
    metrics=frozenset(LIMITS),
    requests=(WHO, status_of(EXAMPLE)),
    addressed=lambda serial: (status_of(serial),),
    wiring=(
        "Line: not known here (the manual's page was not found); 9600 8N1 is tried, ?baud= sets another.\n"
        "Cable: the pump's external communication socket, or its communication rack, to an isolated adapter;"
        " connector and pins are not known here.\n"
        "Menu: external communication may have to be switched on in the pump's menu by the maker's service.\n"
        "Before use, infuse 10 mL/h into a cup and compare rate and volume with the pump's display.\n"
        "Known limits: no rate while it purges or gives a bolus; no drug, no pressure; never seen with a real pump."
    ),
    make=lambda settings: TerumoTe(),
)
