"""When a cuff that is started by the host is due: for devices without a cycle of their own.

All in edge time. The first determination comes `start_s` after the first opening of the line, the second
`first_pair_s` after the first good one (a baseline is a pair), then one every `interval_s`, from start to start. Never
within 30 s of the last one's end: the pause that a monitor with a SunTech module keeps before an automatic
determination (its published source), and what lets a limb recover (engineering advice, no vendor's text). After a
failure it is tried once more after 30 s; after a second and every further one not before 60 s, and not before the next
is due anyway; from the fourth on only at the ordinary interval.

Whoever watches the patient may say instead when the next one is due (`told`): by a protocol, or because a person asked
for it. The pauses above are kept then, too.
"""

from __future__ import annotations

PAUSE_S = 30.0  # after the end of one
PAUSE_FAILED_S = 60.0  # after the end of two failed ones
SOON_FAILURES = 4  # so many in a row, and the baseline pair is no longer hurried


class Schedule:
    """Given what happened; knows whether one is due. It outlives a lost line."""

    def __init__(self, interval_s: float, first_pair_s: float, start_s: float) -> None:
        self._interval_s, self._first_pair_s, self._start_s = interval_s, first_pair_s, start_s
        self._due_s: float | None = None
        self._told_s: float | None = None  # when one is due instead, by whoever watches the patient
        self._not_before_s = 0.0
        self._started_s = 0.0
        self._good = 0
        self._failed = 0

    def opened(self, at_s: float) -> None:
        """The line is (again) open: never at once."""
        self._due_s = max(self._due_s if self._due_s is not None else at_s, at_s + self._start_s)
        self._not_before_s = max(self._not_before_s, at_s + self._start_s)

    def told(self, at_s: float | None) -> None:
        """One is due then, and none before; None: as this schedule has it, which goes on from the last start."""
        if at_s is None and self._told_s is not None and self._due_s is not None:
            self._due_s = max(self._due_s, self._started_s + self._interval_s)
        self._told_s = at_s

    def due(self, at_s: float) -> bool:
        """Whether one is to be begun now."""
        return self._due_s is not None and self.overdue_s(at_s) >= 0

    def overdue_s(self, at_s: float) -> float:
        """For how long one has been due; below 0 before."""
        if self._due_s is None:
            return -1.0
        return at_s - (self._due_s if self._told_s is None else max(self._told_s, self._not_before_s))

    def began(self, at_s: float) -> None:
        """A start was sent to the device."""
        self._started_s = at_s

    def ended(self, at_s: float, *, good: bool) -> None:
        """A determination ended, or could not be begun."""
        self._good += good
        self._failed = 0 if good else self._failed + 1
        soon = self._good < 2 and self._failed < SOON_FAILURES
        regular = self._started_s + (self._first_pair_s if soon else self._interval_s)
        if good:
            self._due_s = max(regular, at_s + PAUSE_S)
        elif self._failed == 1:
            self._due_s = at_s + PAUSE_S
        else:
            self._due_s = max(regular, at_s + PAUSE_FAILED_S)
        self._not_before_s = at_s + (PAUSE_S if good or self._failed == 1 else PAUSE_FAILED_S)

    def held(self, at_s: float) -> None:
        """One was due and is not started."""
        self._due_s = self._not_before_s = at_s + self._interval_s
