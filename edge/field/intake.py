"""What a link does with what its driver heard: knows who is speaking, refuses the implausible, stamps it, hands it on.

Everything here happens on the stack that read the bytes: no queue stands before judgement. Edge time stamps samples;
`real_s`, monotonic seconds, measures silence.

Who is speaking. A device is bound to its bed by its own serial number: the one in edge.toml, else the first one heard
in this run. After every opening, silence or pair of missed answers it has to say it again, and nothing it says counts
before it has. A device whose protocol has no serial number is bound by its port, and the link says so.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drivers.contract import Decoded, DeviceAlarms, Identity, Line, Pump, Reading, Wave
from edge.model import DeviceAlarm, DeviceAlarmsReported, Input, LinkChanged, LinkState, PumpStatus, Sample, Samples
from edge.vocabulary import METRICS, WAVES

log = logging.getLogger(__name__)

DecodedBy = Callable[[Sequence[Input], float, bool], None]  # (inputs, at_s, more questions due in this same round)
WaveBy = Callable[[Wave, float], None]

NAMELESS = "no serial number; bound by its port"
UNNAMED = "did not say its serial number; bound by its port"
PATIENCE_S = 3.0  # the least time a speaking device has to say who it is
BROKEN: frozenset[LinkState] = frozenset({"silent", "lost", "wrong_device"})


@dataclass(slots=True)
class Counters:
    """What one link has seen since the service started; `since` is the edge time its state last changed."""

    since: float
    frames: int = 0  # good ones
    bad: int = 0  # frames that failed their check, refusals, implausible values
    late: int = 0  # answers that came after their time and were thrown away
    timeouts: int = 0  # requests that got no response, retries and all
    dropped: int = 0  # pieces the framing could make nothing of
    received: int = 0  # bytes of a byte stream
    understood: int = 0  # those of them that stood in good frames


class Intake:
    """The one door from a driver to a bed."""

    def __init__(self, bed: str, device: str, line: Line, *, now: Callable[[], float], heard: DecodedBy, wave: WaveBy,
                 identity: str | None = None) -> None:
        self.now = now
        self.counters = Counters(since=now())
        self.serial: str | None = None  # what the device on the line said last
        self._bed, self._device, self._line = bed, device, line
        self._heard, self._wave = heard, wave
        self._expected = identity  # from edge.toml, else the first heard
        self._configured = identity is not None
        self._trusted = identity is None
        self._unproven_since: float | None = None
        self._named = False  # whether it has said who it is since it was last asked
        self._remark = ""
        self._last_good = 0.0
        self._bad_at_last_good = 0
        self._last = LinkChanged(device, "connecting")
        self._links: list[LinkChanged] = []
        self._owes_end = False

    # --- what the link tells --------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The service has started: say that the device is not heard yet."""
        self._links.append(self._last)
        self._deliver([], self.now(), more=False)

    def opened(self, real_s: float) -> None:
        """The line is open; from here silence is measured."""
        self._last_good = real_s

    def doubt(self) -> None:
        """Somebody else may be on the line now: until the device has said who it is, nothing counts."""
        if self._trusted:
            self._unproven_since = None
        self._trusted = self._expected is None
        self._named = False

    def greeted(self, *, answered: bool) -> None:
        """All that is asked at the start was asked; `answered`: all of it was answered."""
        if self._named or self._expected is not None:
            return
        self._remark = NAMELESS if answered else UNNAMED
        if self.state == "live":
            self._change("live", self._remark)
            self._deliver([], self.now(), more=self._owes_end)

    def good(self, items: Sequence[Decoded], at_s: float, real_s: float, *, more: bool) -> None:
        """A good frame came at edge time `at_s`, and this is what it says."""
        self.counters.frames += 1
        self._last_good = real_s
        self._bad_at_last_good = self.counters.bad
        for item in items:
            if isinstance(item, Identity):
                self._meet(item)
        if self._trusted:
            self._change("live", self._remark)
        else:
            self._unproven(real_s)
        self.said(items, at_s, more=more)

    def said(self, items: Sequence[Decoded], at_s: float, *, more: bool) -> None:
        """Hand on what follows from a frame, or from an answer that never came."""
        self._deliver(self._inputs(items, at_s) if self._trusted else [], at_s, more=more)

    def bad(self) -> None:
        """A frame failed its check, or a device refused: counted, never a value."""
        self.counters.bad += 1

    def lost(self, reason: str) -> None:
        """The port is gone or cannot be opened; `reason` in words."""
        self.doubt()
        self._unproven_since = None
        self._change("lost", reason)
        self._deliver([], self.now(), more=False)

    def check(self, real_s: float) -> None:
        """Time passed: notice silence."""
        if real_s < self.silent_at or self.state == "silent":
            return
        bad = self.counters.bad - self._bad_at_last_good
        what = f"nothing but {bad} bad frames" if bad else "nothing heard"
        self.doubt()
        self._unproven_since = None
        self._change("silent", f"{what} for {self._line.silent_after_s:g} s")
        self._deliver([], self.now(), more=False)

    @property
    def state(self) -> LinkState:
        """Where the link stands."""
        return self._last.state

    @property
    def silent_at(self) -> float:
        """The real time at which the device counts as silent if no good frame comes."""
        return self._last_good + self._line.silent_after_s

    @property
    def doubtful(self) -> bool:
        """Whether the device should be asked again who it is."""
        return not self._trusted or self.state in BROKEN

    # --- who it is ------------------------------------------------------------------------------------------------

    def _meet(self, identity: Identity) -> None:
        serial = (identity.serial or "").strip() or None
        self._named, self.serial = True, serial
        self._remark = "" if serial else NAMELESS
        if self._expected is None:
            self._expected = serial
        self._trusted = serial == self._expected
        if not self._trusted:
            found = serial or "a device without a serial number"
            accept = "" if self._configured else "; restart the edge to accept it"
            self._change("wrong_device", f"expected {self._expected}, found {found}{accept}")

    def _unproven(self, real_s: float) -> None:
        """Somebody speaks, and has not (yet) said who."""
        if self._unproven_since is None:
            self._unproven_since = real_s
        patience_s = max(self._line.silent_after_s, PATIENCE_S)
        if self.state != "wrong_device" and real_s - self._unproven_since >= patience_s:
            self._change("wrong_device", f"expected {self._expected}, but it does not say its serial number")

    # --- handing on -----------------------------------------------------------------------------------------------

    def _inputs(self, items: Sequence[Decoded], at_s: float) -> list[Input]:
        readings = tuple(self._sample(item, at_s) for item in items if isinstance(item, Reading))
        inputs: list[Input] = [Samples(self._device, readings)] if readings else []
        for item in items:
            if isinstance(item, Pump):
                inputs.append(PumpStatus(self._device, item.state))
            elif isinstance(item, DeviceAlarms):
                alarms = tuple(DeviceAlarm(one.code, one.priority, one.raw, one.text) for one in item.alarms)
                inputs.append(DeviceAlarmsReported(self._device, alarms))
            elif isinstance(item, Wave):
                assert item.name in WAVES, f"{self._device}: the driver speaks of an unknown wave {item.name!r}"
                self._wave(item, at_s)
        return inputs

    def _sample(self, reading: Reading, at_s: float) -> Sample:
        assert reading.metric in METRICS, f"{self._device}: the driver speaks of an unknown metric {reading.metric!r}"
        metric, value = METRICS[reading.metric], reading.value
        if value is not None and not (math.isfinite(value) and metric.low <= value <= metric.high):
            self.counters.bad += 1
            return Sample(self._bed, self._device, metric.key, None, "invalid", at_s, "implausible")
        if value is None and reading.validity.value in ("valid", "questionable"):
            return Sample(self._bed, self._device, metric.key, None, "unavailable", at_s, reading.reason)
        if value is not None:  # a whole number and its float are written differently, and a replay reads floats
            value = float(value) if reading.validity.value in ("valid", "questionable") else None
        return Sample(self._bed, self._device, metric.key, value, reading.validity.value, at_s, reading.reason)

    def _change(self, state: LinkState, reason: str) -> None:
        changed = LinkChanged(self._device, state, reason, self.serial)
        if changed == self._last:
            return
        was, self._last = self.state, changed
        self._links.append(changed)
        if was == state:
            return
        self.counters.since = self.now()
        if state in BROKEN:
            log.warning("%s/%s: %s: %s", self._bed, self._device, state, reason)
        elif was in BROKEN:
            log.warning("%s/%s: live again, was %s", self._bed, self._device, was)

    def _deliver(self, inputs: list[Input], at_s: float, *, more: bool) -> None:
        """Give the bed what there is; an empty call ends a round that was announced as going on."""
        told: list[Input] = [*self._links, *inputs]
        self._links.clear()
        if told or (self._owes_end and not more):
            self._owes_end = more
            self._heard(told, at_s, more)
