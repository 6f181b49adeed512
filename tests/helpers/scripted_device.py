"""A device that responds to every request in the same form, so that only the dialogue can tell its responses apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from drivers.contract import (
    BadFrame,
    Decoded,
    DeviceAlarm,
    DeviceAlarms,
    Driver,
    FrameRequest,
    Framing,
    Identity,
    Line,
    Pump,
    Reading,
    Request,
    Spec,
    Validity,
    Wave,
)
from edge import model

LINE = Line(9600, silent_after_s=2.0, lateness_s=0.8)
WHO = FrameRequest("who", b"w", effect="identify", timeout_s=0.3)
SPO2 = FrameRequest("spo2_pct", b"s", effect="read", timeout_s=0.3)
PULSE = FrameRequest("pulse_bpm", b"p", effect="read", timeout_s=0.3)
RESP = FrameRequest("resp_bpm", b"r", effect="read", timeout_s=0.3, retries=1)
TRUTH = {b"s": b"=97\n", b"p": b"=63\n", b"r": b"=14\n"}


class Lines:
    """Frames end in a line feed."""

    def __init__(self) -> None:
        self.dropped = 0
        self._begun = b""

    def feed(self, data: bytes) -> list[bytes]:
        *whole, self._begun = (self._begun + data).split(b"\n")
        return whole

    def flush(self) -> None:
        self._begun = b""


class Script:
    """A driver: `=97` is a response, `#SN` says who it is, `!97` comes by itself, `~` is a pleth wave."""

    def __init__(self, polls: Sequence[FrameRequest] = (SPO2, PULSE), every_s: float = 1.0,
                 asks_who: bool = True) -> None:
        self.framing: Framing = Lines()
        self.missed: list[str] = []
        self.polls, self._every_s, self._asks_who = polls, every_s, asks_who
        self._due_s: float | None = None
        self._round: list[FrameRequest] = []

    def on_open(self) -> Sequence[Request]:
        self._round = []
        return [WHO] if self._asks_who else []

    def next_request(self, at_s: float) -> Request | None:
        if self._due_s is None or at_s >= self._due_s:
            self._due_s = at_s + self._every_s
            self._round = list(self.polls)
        return self._round.pop(0) if self._round else None

    def is_response(self, frame: bytes, request: Request) -> bool:
        return frame[:1] == (b"#" if request is WHO else b"=")

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        kind, rest = frame[:1], frame[1:].decode()
        if kind == b"#":
            return [Identity(rest or None)]
        if kind == b"=" and request is not None:
            return [Reading(request.name, float(rest))]
        if kind == b"!":
            return [Reading("heart_rate_bpm", float(rest))]
        if kind == b"~":
            return [Wave("pleth", 75.0, 0, 255, (1, None, 3))]
        if kind == b"*":
            alarm = DeviceAlarm("occlusion", "high", "E7", "Occlusion")
            return [Pump("alarm"), DeviceAlarms((alarm,)), Reading("rate_ml_h", None, Validity.UNAVAILABLE)]
        raise BadFrame(frame)

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        self.missed.append(request.name)
        return [Reading(request.name, None, Validity.UNAVAILABLE, "timeout")] if request is RESP else []


def spec(make: Callable[[], Driver], line: Line = LINE, requests: Sequence[Request] = (WHO, SPO2, PULSE, RESP)) -> Spec:
    return Spec("script", "Script", "oximeter", ("serial",), "D", "this test", line, frozenset(), tuple(requests), "",
                lambda settings: make())


@dataclass
class Bed:
    """What the service would be told."""

    calls: list[tuple[tuple[model.Input, ...], float, bool]] = field(default_factory=list)
    waves: list[tuple[Wave, float]] = field(default_factory=list)

    def decoded(self, inputs: Sequence[model.Input], at_s: float, more: bool) -> None:
        self.calls.append((tuple(inputs), at_s, more))

    def wave(self, wave: Wave, at_s: float) -> None:
        self.waves.append((wave, at_s))

    @property
    def links(self) -> list[tuple[str, str, str | None]]:
        return [(one.state, one.reason, one.identity) for inputs, *_ in self.calls for one in inputs
                if isinstance(one, model.LinkChanged)]

    @property
    def samples(self) -> list[model.Sample]:
        return [sample for inputs, *_ in self.calls for one in inputs if isinstance(one, model.Samples)
                for sample in one.samples]


def wrong(samples: Sequence[model.Sample]) -> list[model.Sample]:
    truth = {"spo2_pct": 97, "pulse_bpm": 63, "resp_bpm": 14, None: None}
    return [sample for sample in samples if sample.value not in (None, truth[sample.metric])]
