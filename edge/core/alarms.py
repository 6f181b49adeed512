"""An alarm's life: one table, and the alarm itself.

                 true       held      unknown   over        acknowledge   expire   raise
    inactive     pending    active    -         -           -             -        -
    pending      -          active    -         inactive    -             -        -
    active       -          -         -         inactive*   acknowledged  -        -
    acknowledged -          -         -         inactive    -             active   active
    latched      -          active    -         -           inactive      -        -

`true`: the condition is true but not yet for its hold. `held`: true for long enough. `unknown`: it cannot be told; it
never raises and never clears. `over`: the rule's clear condition has held, or the rule no longer applies. `expire`: an
acknowledgement's time is up. `raise`: the priority rose. `-`: nothing moves.
* `latched` where the rule latches: the condition is gone but nobody has acknowledged that it was there.
(IEC 60601-1-8 vocabulary; clinical.md 3.4.)
"""

from __future__ import annotations

from typing import Literal

import msgspec

from edge.contract.events import AlarmMoved
from edge.model import AlarmState, Priority

Signal = Literal["true", "held", "unknown", "over", "acknowledge", "expire", "raise"]

LIFE: dict[tuple[AlarmState, Signal], AlarmState] = {
    ("inactive", "true"): "pending",
    ("inactive", "held"): "active",
    ("pending", "held"): "active",
    ("pending", "over"): "inactive",
    ("active", "over"): "inactive",
    ("active", "acknowledge"): "acknowledged",
    ("acknowledged", "over"): "inactive",
    ("acknowledged", "expire"): "active",
    ("acknowledged", "raise"): "active",
    ("latched", "held"): "active",
    ("latched", "acknowledge"): "inactive",
}
LATCHING: dict[tuple[AlarmState, Signal], AlarmState] = {**LIFE, ("active", "over"): "latched"}

STANDING: frozenset[AlarmState] = frozenset({"active", "acknowledged"})
SHOWN: frozenset[AlarmState] = frozenset({"active", "acknowledged", "latched"})


def move(state: AlarmState, signal: Signal, *, latch: bool) -> AlarmState:
    """Where `signal` takes an alarm that is in `state`: the table above."""
    return (LATCHING if latch else LIFE).get((state, signal), state)


class Alarm(msgspec.Struct, frozen=True):
    """One alarm of one bed. Replaced, never edited; `seq` is the journal's number of its newest event."""

    key: str  # the rule's id, and the device for a rule that holds for each device
    rule: str
    bed: str
    id: str = ""
    device: str | None = None
    state: AlarmState = "inactive"
    priority: Priority = "none"
    since_s: float = 0.0  # when it became active
    true_since_s: float | None = None
    unknown_since_s: float | None = None
    over_since_s: float | None = None
    acknowledged_at_s: float | None = None
    at_once: bool = False  # raised by its rule's at_once, not by a hold
    no_data: bool = False
    about: tuple[str, ...] = ()  # the device's own alarms it speaks of
    seq: int = 0
    by: str | None = None
    body: AlarmMoved | None = None  # what its newest event says


def family(rule_id: str) -> str:
    """What stands before a rule's number: HTN of HTN-3."""
    return rule_id.rpartition("-")[0]
