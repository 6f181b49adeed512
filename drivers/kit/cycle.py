"""One determination of a cuff that the host begins: from the start that is due to its end.

Phases: idle, starting (the start was sent), measuring (the cuff is seen to work), idle again. A device that is asked
for its result is `ended` and `asking` before that. A start that nothing follows, or a line that is lost meanwhile, ends
the determination without numbers. A cuff that measures too long is `stopping`: it is told so again and again, and if
that is in vain a person is told (STUCK). After an over-pressure nothing is started until the line opens again.

All in edge time. Nothing here knows a device's bytes.
"""

from __future__ import annotations

from typing import Literal

from drivers.contract import Decoded, DeviceAlarm, FrameRequest
from drivers.kit.cuffs import STUCK, Stopping, failed
from drivers.kit.schedules import Schedule

GIVE_UP_S = 30.0  # after one was due that could not be started
BEGINS_S = 15.0  # from the start to the first sign of it

Phase = Literal["idle", "starting", "measuring", "ended", "asking", "stopping"]


class Cycle:
    """Told what the device says; says what is to be sent. The driver takes what is `owed` with its next readings."""

    def __init__(
        self, schedule: Schedule, *, start: FrameRequest, stop: FrameRequest, longest_s: float, held: DeviceAlarm
    ) -> None:
        self._schedule = schedule
        self._start, self._stop, self._longest_s, self._held_alarm = start, stop, longest_s, held
        self.now_s = 0.0
        self.opened = False  # and no turn has come since
        self._interrupted = False  # by an opening
        self.held = self.stuck = False
        self.owed: list[Decoded] = []
        self._forget()

    def _forget(self) -> None:
        self.enter("idle", 0.0)
        self._stopping = Stopping()
        self.top_mmhg = 0  # the highest pressure of this one
        self.owed.clear()

    def open(self) -> None:
        """The line is open (again)."""
        self._interrupted = self._interrupted or self.phase != "idle"
        self.opened, self.held = True, False
        self._forget()

    def enter(self, phase: Phase, at_s: float) -> None:
        """Another phase begins."""
        self.phase, self.since_s = phase, at_s

    def told(self, at_s: float | None) -> None:
        """When the next one is due; None: as the schedule has it."""
        self._schedule.told(at_s)

    def turn(self, at_s: float) -> FrameRequest | None:
        """Brings the phase up to this time; what is to be sent before all else (and alone, while it is stopping)."""
        self.now_s = at_s
        if self.opened:
            self.opened = False
            self._schedule.opened(at_s)
        if self._interrupted:
            self._interrupted = False
            self.end("timeout")
        if self.phase == "measuring" and at_s - self.since_s >= self._longest_s:
            self.enter("stopping", at_s)
            self._stopping.begin(at_s)
        if self.phase == "starting" and at_s - self.since_s >= BEGINS_S:
            self.end("not_measured")
        return self._stop_due(at_s) if self.phase == "stopping" else None

    def _stop_due(self, at_s: float) -> FrameRequest | None:
        if not self._stopping.is_due(at_s):
            return None
        if not self._stopping.in_vain:
            return self._stop
        self.stuck = True
        self.end("timeout")
        return None

    def begin(self, at_s: float, *, ready: bool) -> FrameRequest | None:
        """The start, where it is idle, one is due and the device is `ready` for it."""
        if self.phase != "idle" or not self._schedule.due(at_s):
            return None
        if self.held:
            self._schedule.held(at_s)
            self.owed += failed("overpressure")
        elif ready:
            self._schedule.began(at_s)
            self.enter("starting", at_s)
            self.top_mmhg = 0
            return self._start
        elif self._schedule.overdue_s(at_s) >= GIVE_UP_S:
            self.end("not_measured")
        return None

    def end(self, reason: str | None, *, good: bool = False) -> None:
        """It is over; `reason` is why there are no numbers, where no frame says it."""
        self.phase = "idle"
        self._schedule.ended(self.now_s, good=good)
        if self.held:
            self._schedule.held(self.now_s)
        self.owed += failed(reason) if reason else ()

    @property
    def alarms(self) -> tuple[DeviceAlarm, ...]:
        """What a person must see to at the cuff."""
        return (*((self._held_alarm,) if self.held else ()), *((STUCK,) if self.stuck else ()))
