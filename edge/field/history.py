"""What went over one device's wire lately: the last frames, how long responses took, and a count for every minute.

It is for the technician, and costs a watch nothing: each list is short, and a frame's meaning is written down only when
somebody looks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from drivers.contract import Decoded, DeviceAlarms, FrameRequest, Identity, Pump, Reading, Request, Wave
from edge.field.link_state import Counters

FRAMES, RESPONSES, MINUTES = 40, 512, 60  # kept
MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One frame, sent or received. `decoded` is None for one that was sent, and where `why` says what is wrong."""

    at_s: float
    sent: bool
    data: bytes
    name: str = ""  # of the request, or of the request it is the response to
    decoded: Sequence[Decoded] | None = None
    why: str = ""

    def words(self) -> str:
        """What it is, for people."""
        if self.sent:
            return self.name
        if self.decoded is None:
            return f"refused: {self.why}"
        return "; ".join(map(_words, self.decoded)) or "nothing of use by itself"


@dataclass(frozen=True, slots=True)
class Minute:
    """What was counted in the minute that began at `at_s`."""

    at_s: float
    frames: int
    bad: int
    late: int
    timeouts: int
    received: int
    understood: int
    foreign: int  # bytes that became no frame


class History:
    """One dialogue's. `counters` are its own; times are edge seconds, response times real seconds."""

    def __init__(self, counters: Counters) -> None:
        self.frames: deque[Seen] = deque(maxlen=FRAMES)
        self.responses_s: deque[float] = deque(maxlen=RESPONSES)
        self.responded = 0  # requests that got their response, since it began
        self.minutes: deque[Minute] = deque(maxlen=MINUTES)
        self._counters = counters
        self._began_s: float | None = None
        self._before = replace(counters)

    def keep(self, frames: int) -> None:
        """From now on no more frames than are told of: 256 devices' last 40 are 6 MB."""
        self.frames = deque(self.frames, maxlen=frames)

    def sent(self, request: Request, at_s: float) -> None:
        """This request goes out."""
        data = request.frame if isinstance(request, FrameRequest) else (
            bytes((request.function,)) + request.address.to_bytes(2, "big") + request.count.to_bytes(2, "big"))
        self.frames.append(Seen(at_s, True, data, request.name))

    def came(self, data: bytes, at_s: float, request: Request | None, decoded: Sequence[Decoded] | None,
             why: str = "") -> None:
        """This frame came, and is this."""
        self.frames.append(Seen(at_s, False, data, request.name if request is not None else "", decoded, why))

    def response(self, took_s: float) -> None:
        """A request got its response after so many real seconds."""
        self.responded += 1
        self.responses_s.append(took_s)

    def passed(self, at_s: float) -> None:
        """Time passed: a minute may be over."""
        if self._began_s is None:
            self._began_s = at_s
        elif at_s - self._began_s >= MINUTE_S:
            self.minutes.append(self.minute())
            self._began_s, self._before = at_s, replace(self._counters)

    def minute(self) -> Minute:
        """The minute that is under way."""
        now, then = asdict(self._counters), asdict(self._before)
        counted = {name: now[name] - then[name] for name in now if name not in ("since", "dropped")}
        return Minute(self._began_s or 0.0, foreign=now["dropped"] - then["dropped"], **counted)

    def response_s(self, share: float) -> float | None:
        """The response time that so large a share of the last ones kept to; None where there was none."""
        ordered = sorted(self.responses_s)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None


def _words(item: Decoded) -> str:
    match item:
        case Reading(metric, None, validity, reason):
            return f"{metric} {validity}" + (f" ({reason})" if reason else "")
        case Reading(metric, value, validity, _):
            return f"{metric} {value:g}" + ("" if validity == "valid" else f" {validity}")
        case Pump(state):
            return f"pump {state}"
        case DeviceAlarms(alarms):
            return "alarms: " + (", ".join(f"{alarm.text} ({alarm.raw})" for alarm in alarms) or "none")
        case Identity(serial, model):
            return f"identity {serial or 'without a serial number'}" + (f", {model}" if model else "")
        case Wave(name, rate_hz, _, _, samples):
            return f"wave {name}, {len(samples)} samples at {rate_hz:g}/s"
