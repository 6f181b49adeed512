"""A hold: something counts only once it has been true for long enough, and enough of that time was seen.

                        true, for long enough    true     false    unknown
    nothing runs        held *                   pending  broken   broken
    runs                held *                   pending  broken   pending; broken when unknown for longer than `gap_s`

* held: true for `for_s` without a gap, and at least `share` of that time has valid readings; else still pending.
A gap (no reading for too long, or unknown for too long) lets the time begin anew with the reading that ends it.
`share` and `gap_s`: rules.toml [engine]. Pure: no clock and no bed; what it remembers is its `Progress`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from edge.core.logic import Truth

Verdict = Literal["pending", "held", "broken"]


class Progress(NamedTuple):
    """How far a hold has got: since when it is true, and since when it is unknown (edge clock, s)."""

    since_s: float | None = None
    unknown_since_s: float | None = None


class Coverage(NamedTuple):
    """What is known of the time that a hold looks at."""

    began_s: float  # what is true now may have begun then: a reading covers the time since the one before
    gap_ended_s: float = 0.0  # when the newest reading that came after a gap came; 0 for none
    share: float = 1.0  # of the last `for_s` seconds, how much has valid readings


NOTHING = Progress()


@dataclass(frozen=True, slots=True)
class Hold:
    """For how long, with which gap at most, and how much of it must be covered (0 to 1)."""

    for_s: float
    gap_s: float
    share: float

    def feed(self, progress: Progress, truth: Truth, coverage: Coverage, at_s: float) -> tuple[Progress, Verdict]:
        """How it stands with `truth` at `at_s`, after `progress`."""
        if truth is False:
            return NOTHING, "broken"
        if truth is None:
            return self._unknown(progress, at_s)
        if self.for_s == 0:
            return NOTHING, "held"
        since_s = coverage.began_s if progress.since_s is None or self._lost(progress, at_s) else progress.since_s
        since_s = max(since_s, coverage.gap_ended_s)
        held = round(at_s - since_s, 3) >= self.for_s and coverage.share >= self.share
        return Progress(since_s), "held" if held else "pending"

    def _unknown(self, progress: Progress, at_s: float) -> tuple[Progress, Verdict]:
        if progress.since_s is None:
            return NOTHING, "broken"
        progress = Progress(progress.since_s, at_s if progress.unknown_since_s is None else progress.unknown_since_s)
        return (NOTHING, "broken") if self._lost(progress, at_s) else (progress, "pending")

    def _lost(self, progress: Progress, at_s: float) -> bool:
        return progress.unknown_since_s is not None and at_s - progress.unknown_since_s > self.gap_s
