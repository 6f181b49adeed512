"""Graseby 3400 syringe pump (anaesthesia) over its RS-232 line: read only, here and always.

Grade S: all of it is from STANPUMP (S. Shafer; GR_3400.C), which ran this pump in studies. No maker's document and no
capture was seen; the vectors are that source's rule worked out by hand (D).

    9600 8N1, the known host holds RTS and DTR · the pump sends only responses                              S
    > < CMD [n] > CS CR                 CS: the 8-bit sum of all from < to > inclusive, two upper-case hex digits
    < < ACK CMD STAT [data] > CS CR     a line feed between frames is skipped

    ACK    OK; CE: the command is refused, CMD and STAT are told all the same
    STAT   STBY standing by · INFS infusing · ALRM an alarm, whose cause the line does not tell

    request   data of the response          what is made of it
    CHCK      none                          state, alarm
    TOTL      integer, 0.1 mL               volume_infused_ml                                               S
    GETR      unknown; taken as an integer  rate_ml_h, questionable until the setting `rate` says that a    unknown
              in 0.1 mL/h, as CHGR takes it person compared it with the pump's display

Never sent, since they act: STRT, STOP, CHGR, ZTOT; and CHKR, the known host's once a second, which also keeps its
control alive. Whether the pump has to be in its computer mode to respond is unknown.

The START key on the pump's front ends the computer's part: commands are then refused (CE) and STAT is still true. So
the state is told, and rate and volume are unavailable, with the alarm `attention` to say why. An unknown STAT is shown
as it is, and the state is unknown.

The sum lets one in 256 garbled frames through, so a number that is new counts as questionable until it repeats, and a
volume that stands still while the pump infuses, for longer than it took to rise, is questionable until it rises. Each
response repeats its request's name; a late one to the same request is caught by the quiet after a time-out. The pump
says nothing of itself: there is no serial number, and two such pumps cannot be told apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from drivers.contract import (
    BadFrame,
    Decoded,
    DeviceAlarm,
    DeviceAlarms,
    FrameRequest,
    Framing,
    Line,
    Pump,
    PumpState,
    Reading,
    Request,
    Setting,
    Spec,
    Validity,
    Weak,
)
from drivers.kit.framing import Delimited
from drivers.kit.tally import Tally
from drivers.kit.text import Repeats
from drivers.kit.tracks import BY_VOLUME, Rising, doubted

START, END = b"<", b"\r"
MAX_FRAME = 40  # bytes; the longest one known has 21
EVERY_S: Mapping[str, float] = {"CHCK": 2.0, "TOTL": 1.0, "GETR": 4.0}  # the less is asked, the less is late
MISSED = 2  # so many CHCK in a row without a response, and what the pump does is unknown
TIMEOUT_S = 1.0
STEP_ML = 0.1  # of the volume
LATENESS_S = 3.0  # the longest the known host waits
# One lost response costs up to 1 s + TIMEOUT_S + LATENESS_S before the next can come: that alone is not silence.
SILENT_AFTER_S = 6.0

LIMITS: Mapping[str, tuple[float, float]] = {"rate_ml_h": (0.0, 1200.0), "volume_infused_ml": (0.0, 5000.0)}
JUMPS: Mapping[str, float] = {"rate_ml_h": 0.0, "volume_infused_ml": 1.0}  # in 3 s at 1200 mL/h
STATES: Mapping[str, PumpState] = {"STBY": "stopped", "INFS": "infusing", "ALRM": "alarm"}
METRIC: Mapping[str, str] = {"TOTL": "volume_infused_ml", "GETR": "rate_ml_h"}

ALARM = DeviceAlarm("unknown", "high", "ALRM", "Pump alarm; the pump does not say which")
STARTED_BY_HAND = DeviceAlarm(
    "attention", "low", "CE", "The pump refuses to tell rate and volume: it was started with its own key")

_FRAME = re.compile(rb"<(OK|CE)([A-Z]{4})([A-Z]{4})(\d{0,6})>([0-9A-F]{2})\r")


def checksum(data: bytes) -> bytes:
    """Two hex digits; of b"123456789" they are DD."""
    return b"%02X" % (sum(data) & 0xFF)


def encode(body: str) -> bytes:
    """`body` as it goes over the wire."""
    plain = f"<{body}>".encode("ascii")
    return plain + checksum(plain) + END


def _request(name: str) -> FrameRequest:
    return FrameRequest(name, encode(name), effect="read", timeout_s=TIMEOUT_S, distinct=True)


CHECK, TOTAL, RATE = (_request(name) for name in ("CHCK", "TOTL", "GETR"))
REQUESTS = (CHECK, TOTAL, RATE)


class Graseby3400:
    """One pump on its own line. `rate_known`: a person found GETR to say what the display says."""

    def __init__(self, rate_known: bool = False) -> None:
        self.framing: Framing = Delimited(START, END, MAX_FRAME)
        self._rate_known = rate_known
        self.unmapped = Tally()
        self._repeats = {metric: Repeats({metric: jump}) for metric, jump in JUMPS.items()}
        self._total = Rising()
        self._asked_s: float | None = None
        self._forget()

    def _forget(self) -> None:
        self._due_s = dict.fromkeys((request.name for request in REQUESTS), float("-inf"))
        self._missed = 0
        self._refused: set[str] = set()  # requests that the pump refused the last time
        self._total.forget()
        self._runs = False
        self._asked_s = None
        for repeats in self._repeats.values():
            repeats.forget()

    def on_open(self) -> Sequence[Request]:
        self._forget()
        return (CHECK,)

    def next_request(self, at_s: float) -> Request | None:
        request = min(REQUESTS, key=lambda one: self._due_s[one.name])
        if at_s < self._due_s[request.name]:
            return None
        self._asked_s = at_s
        self._due_s[request.name] = at_s + EVERY_S[request.name]
        return request

    @property
    def due_s(self) -> float:
        """See `Timed`."""
        return min(self._due_s.values())

    def is_response(self, frame: bytes, request: Request) -> bool:
        return frame[3:7] == request.name.encode()

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        if request.name != CHECK.name:
            return ()
        self._missed += 1
        return (Pump("unknown"),) if self._missed >= MISSED else ()

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        """What a response contains. A good frame that is no response is late or doubled, and gives nothing."""
        found = _FRAME.fullmatch(frame)
        if found is None:
            raise BadFrame("not <ACK CMD STAT data>CS and a carriage return")
        ack, command, status, data, told = found.groups()
        if told != checksum(frame[:-3]):
            raise BadFrame("checksum")
        name = command.decode()
        if name not in EVERY_S:
            self.unmapped.saw(f"response {name}")
        if request is None or request.name != name:
            return ()
        refused = ack == b"CE"
        metric = METRIC.get(name)
        if (metric is None or refused) == bool(data):
            raise BadFrame(f"{name}: data {data!r}")
        (self._refused.add if refused else self._refused.discard)(name)
        if metric is not None:
            return (self._reading(metric, data),)
        self._missed = 0
        return self._state(status.decode())

    def _state(self, status: str) -> Sequence[Decoded]:
        state = STATES.get(status, "unknown")
        self._runs = state == "infusing"
        alarms = [ALARM] if status == "ALRM" else []
        if status not in STATES:
            alarms.append(DeviceAlarm("unknown", "medium", status, f"Pump status {status}"))
        if self._refused and state == "infusing":
            alarms.append(STARTED_BY_HAND)
        return (Pump(state), DeviceAlarms(tuple(alarms)))

    def _reading(self, metric: str, data: bytes) -> Reading:
        if not data:
            self._repeats[metric].forget()
            return Reading(metric, None, Validity.UNAVAILABLE)
        value, (low, high) = int(data) / 10.0, LIMITS[metric]
        if not low <= value <= high:
            return Reading(metric, None, Validity.INVALID, "implausible")
        (reading,) = self._repeats[metric].judged((Reading(metric, value),))
        if metric == "rate_ml_h" and not self._rate_known:
            return replace(reading, validity=Validity.QUESTIONABLE)
        if metric == "rate_ml_h":
            return doubted(reading) if self._total.stands else reading
        return self._total.judged(reading, self._asked_s, 0.0, STEP_ML, self._runs)


DRIVER = Spec(
    name="graseby_3400",
    title="Graseby 3400 anaesthesia syringe pump",
    kind="pump",
    transports=("serial", "tcp"),
    age=BY_VOLUME,
    grade="S",
    source="STANPUMP by S. Shafer, GR_3400.C (a host that ran this pump in studies); no maker's document, no capture",
    line=Line(baud=9600, silent_after_s=SILENT_AFTER_S, lateness_s=LATENESS_S),
    metrics=frozenset(LIMITS),
    requests=REQUESTS,
    weak=Weak("its check lets one hurt line in 256 through", volume=True),
    wiring=(
        "Line: 9600 8N1, no flow control; the known host holds RTS and DTR high.\n"
        "Cable: RS-232 of the pump to an isolated USB adapter; connector and pins are not known here, see the pump's"
        " service manual.\n"
        "Menu: whether a computer mode has to be chosen on the pump is not known here.\n"
        "Before use, infuse 10 mL/h into a cup, started as it will be at the bed, and compare what this driver shows"
        " with the pump's display; then set rate = \"as_displayed\". Until then the rate is shown as questionable.\n"
        "Known limits: once START on the pump's front was pressed it may refuse to tell rate and volume, and only"
        " its state is known. It does not tell which alarm it has, nor who it is: two such pumps cannot be told"
        " apart."
    ),
    make=lambda settings: Graseby3400(settings["rate"] == "as_displayed"),
    settings={"rate": Setting("unconfirmed", "whether a person found the rate told to be the one displayed",
                              ("unconfirmed", "as_displayed"))},
)
