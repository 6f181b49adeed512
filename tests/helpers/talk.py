"""Plays the link between a driver and a twin, told the time: one question in flight, time-outs, quiet, greetings."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from drivers.contract import BadFrame, Decoded, Driver, FrameRequest, Line, Reading
from simulators.contract import Twin

STEP_S = 0.05
Wire = Callable[[bytes], bytes]


@dataclass(slots=True)
class Talk:
    """`speed` edge seconds pass in a real second. `wire` may spoil what the twin says; `every` splits it in pieces."""

    driver: Driver
    twin: Twin
    line: Line
    speed: float = 1.0
    wire: Wire = bytes
    every: int = 4096
    living: Callable[[float], None] = lambda dt_s: None
    real_s: float = 0.0
    said: list[tuple[float, FrameRequest]] = field(default_factory=list)  # with edge time
    heard: list[tuple[float, Sequence[Decoded]]] = field(default_factory=list)
    bad: int = 0
    missed: int = 0
    _queue: deque[FrameRequest] = field(default_factory=deque)
    _asked: FrameRequest | None = None
    _deadline: float = 0.0
    _gate: float = 0.0
    _missed_running: int = 0

    @property
    def at_s(self) -> float:
        """Edge time."""
        return self.real_s * self.speed

    def open(self) -> None:
        """The line is opened (again)."""
        self._asked = None
        self._gate = self.real_s + self.line.lateness_s
        self.driver.framing.flush()
        self.twin.connect()
        self._greet()

    def run(self, house_s: float) -> None:
        """So much edge time passes."""
        end_s = self.at_s + house_s
        while self.at_s < end_s - 1e-9:
            self.real_s += STEP_S
            self.living(STEP_S * self.speed)
            self.receive(self.wire(self.twin.step(STEP_S * self.speed)))
            if self._asked is not None and self.real_s >= self._deadline:
                self._timed_out(self._asked)
            if self._asked is None and self.real_s >= self._gate:
                self._say()

    def receive(self, data: bytes) -> None:
        """Bytes come from the device."""
        for at in range(0, len(data), self.every):
            for frame in self.driver.framing.feed(data[at : at + self.every]):
                self._frame(frame)

    def _greet(self) -> None:
        self._missed_running = 0
        self._queue = deque(say for say in self.driver.on_open() if isinstance(say, FrameRequest))

    def _say(self) -> None:
        if not self._queue:
            request = self.driver.next_request(self.at_s)
            if request is None:
                return
            assert isinstance(request, FrameRequest)
            self._queue.append(request)
        say = self._queue.popleft()
        assert say.timeout_s is not None
        self.said.append((self.at_s, say))
        self._asked, self._deadline = say, self.real_s + say.timeout_s
        self.receive(self.wire(self.twin.feed(say.frame)))

    def _frame(self, frame: bytes) -> None:
        asked = self._asked
        try:
            answered = asked is not None and self.driver.is_response(frame, asked)
            heard = self.driver.decode(frame, asked if answered else None)
        except BadFrame:
            self.bad += 1
            return
        if asked is not None and answered:
            self._asked = None
            self._missed_running = 0
            self._gate = self.real_s + asked.gap_s
        if heard:
            self.heard.append((self.at_s, heard))

    def _timed_out(self, asked: FrameRequest) -> None:
        self._asked = None
        self._gate = self.real_s + self.line.lateness_s
        self.driver.framing.flush()
        self.missed += 1
        self._missed_running += 1
        heard = self.driver.on_timeout(asked)
        if heard:
            self.heard.append((self.at_s, heard))
        if self._missed_running >= 2:
            self._greet()

    # --- what a test asks for -------------------------------------------------------------------------------------

    def readings(self, metric: str) -> list[tuple[float, Reading]]:
        """All readings of one metric, with the edge time they were heard at."""
        heard = [(at_s, one) for at_s, batch in self.heard for one in batch if isinstance(one, Reading)]
        return [(at_s, one) for at_s, one in heard if one.metric == metric]

    def times(self, name: str) -> list[float]:
        """When the question with this name was said."""
        return [at_s for at_s, say in self.said if say.name == name]

    def forget(self) -> None:
        """Forget what was said and heard so far."""
        self.said.clear()
        self.heard.clear()


@dataclass(slots=True)
class StillPatient:
    """A patient who stays as they are, and remembers what was infused."""

    spo2_pct: float | None = 98.0
    pulse_bpm: float | None = 72.0
    perfusion_index_pct: float | None = 4.0
    sbp_mmhg: float | None = 121.6
    dbp_mmhg: float | None = 76.2
    map_mmhg: float | None = 91.3
    resp_bpm: float | None = 14.0
    rates: list[float] = field(default_factory=list)

    def step(self, dt_s: float) -> None:
        """Nothing changes."""

    def infuse(self, rate_ml_h: float) -> None:
        """The pump said so."""
        self.rates.append(rate_ml_h)

    def pleth(self, t_s: float) -> float:
        """A flat line."""
        return 0.5
