"""An alarm's life: one table, and the alarm itself.

                 true       held      unknown   clear       acknowledge   expire   escalate
    inactive     pending    active    -         -           -             -        -
    pending      -          active    -         inactive    -             -        -
    active       -          -         -         inactive*   acknowledged  -        -
    acknowledged -          -         -         inactive    -             active   active
    latched      -          active    -         -           inactive      -        -

`true`: the condition is true but not yet for its hold. `held`: true for long enough. `unknown`: it is unknown; it
never activates, never clears. `clear`: the rule's clear condition has held, or it no longer applies. `expire`: an
acknowledgement's time is up. `escalate`: the priority rose, or there is something new. `-`: nothing moves.
* `latched` where the rule latches: the condition is gone but nobody has acknowledged that it was there. Its picture
stays; its sound too, and whoever is told of it, where the rule latches the sound (`kept_sound`).
(Words of IEC 60601-1-8, and of the alert states of IEEE 11073 BICEPS.)

Rules of one group share one alarm (`levels.py`): each tier keeps its own record here, with its own hold and its own
clear; the record of the tier that speaks carries the group's alarm: its id, state, acknowledgement and words.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from edge.contract.events import AlarmMoved
from edge.model import PRIORITY_RANK, AlarmState, InformationKind, Priority

Trigger = Literal["true", "held", "unknown", "clear", "acknowledge", "expire", "escalate"]

LIFE: dict[tuple[AlarmState, Trigger], AlarmState] = {
    ("inactive", "true"): "pending",
    ("inactive", "held"): "active",
    ("pending", "held"): "active",
    ("pending", "clear"): "inactive",
    ("active", "clear"): "inactive",
    ("active", "acknowledge"): "acknowledged",
    ("acknowledged", "clear"): "inactive",
    ("acknowledged", "expire"): "active",
    ("acknowledged", "escalate"): "active",
    ("latched", "held"): "active",
    ("latched", "acknowledge"): "inactive",
}
LATCHING: dict[tuple[AlarmState, Trigger], AlarmState] = {**LIFE, ("active", "clear"): "latched"}

ACTIVE: frozenset[AlarmState] = frozenset({"active", "acknowledged"})
SHOWN: frozenset[AlarmState] = frozenset({"active", "acknowledged", "latched"})


def move(state: AlarmState, trigger: Trigger, *, latch: bool) -> AlarmState:
    """Where `trigger` takes an alarm that is in `state`: the table above."""
    return (LATCHING if latch else LIFE).get((state, trigger), state)


class Told(msgspec.Struct, frozen=True):
    """Who was told of an alarm: a role, `box`, or a person's name; edge clock, s."""

    who: str
    at_s: float


class Comment(msgspec.Struct, frozen=True):
    """What somebody has said about an alarm."""

    at_s: float
    by: str
    text: str


class Delegation(msgspec.Struct, frozen=True):
    """To whom the alarms of this bed are told first: a role or a person; until when; by whom, and why."""

    to: str
    since_s: float
    until_s: float
    by: str
    reason: str


class Information(msgspec.Struct, frozen=True):
    """What was said for information."""

    at_s: float
    what: InformationKind
    text: str


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
    true_from_s: float | None = None  # since when no reading has said otherwise, whatever was missing in between
    unknown_since_s: float | None = None
    clear_since_s: float | None = msgspec.field(default=None, name="over_since_s")
    acknowledged_at_s: float | None = None
    at_once: bool = False  # raised by its rule's at_once, not by a hold
    entered_s: float | None = None  # it rests on what a person entered then, and on nothing measured
    quiet_to: Priority = "none"  # up to here an acknowledgement holds that was made under another name of its cause
    no_data: bool = False
    no_data_since_s: float | None = None  # since when what it is about cannot be told
    about: tuple[str, ...] = ()  # the device's own alarms, or the symptoms, that it names
    seq: int = 0
    by: str | None = None
    body: AlarmMoved | None = None  # what its newest event says
    on: bool = False  # a tier of a group: its own condition has held and has not cleared, whichever tier speaks
    worst: AlarmMoved | None = None  # a higher level that latches, has fallen, and that nobody has acknowledged
    heard_seq: int = 0  # the newest event that sounded: whoever acknowledges must have seen it
    told_s: float = 0.0  # when its newest event was
    announced_s: float | None = None  # from when its ladder counts; None: it is to begin, or nobody is to be told
    climbed_s: float = 0.0  # up to when the steps of the ladder were looked at
    told: tuple[Told, ...] = ()  # since it was announced
    next_told: Told | None = None  # if nobody acknowledges it until then
    text_s: float = 0.0  # when the words of `body` were true
    reminded_s: float | None = None  # of its acknowledgement, last
    comments: tuple[Comment, ...] = ()
    kept_sound: Priority = "none"  # what sounds on, fallen or over, until somebody acknowledges it (`latch_sound`)

    @property
    def sound(self) -> Priority:
        """How urgently it calls for somebody, a pause and a shelf aside."""
        if self.state == "active":
            return max(self.priority, self.kept_sound, key=PRIORITY_RANK.__getitem__)
        return self.kept_sound if self.state == "latched" else "none"

    @property
    def is_at_rest(self) -> bool:
        """Whether it is neither on nor shown, and nothing of it is timed: only a condition that is true moves it."""
        return (self.state == "inactive" and self.true_since_s is None and self.true_from_s is None and not self.on
                and self.clear_since_s is None and self.unknown_since_s is None)


def family(rule_id: str) -> str:
    """What stands before a rule's number: HTN of HTN-3."""
    return rule_id.rpartition("-")[0]
