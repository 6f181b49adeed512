"""A rule: a condition as data, ready to be judged, and the contexts in which it applies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from edge.core.expression import Compiled
from edge.core.fact import Use
from edge.core.state import Session
from edge.model import AlarmClass, DeviceKind, Phase, Priority
from edge.vocabulary import LOST_WITH

PHASES: tuple[Phase, ...] = get_args(Phase)
EVERYWHERE = "*"
PERIOD = "DISSOCIATION"  # the dissociation period is open, whatever the phase
NO_SESSION = "NO_SESSION"
ContextName = Phase | Literal["DISSOCIATION", "NO_SESSION", "*"]
CONTEXTS = (*PHASES, PERIOD, NO_SESSION, EVERYWHERE)


@dataclass(frozen=True, slots=True)
class Escalation:
    """A higher priority that a rule has in some context, or once something more is true."""

    priority: Priority
    context: frozenset[str] = frozenset({EVERYWHERE})
    when: Compiled | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition as data; see deploy/rules.toml for what each field means."""

    id: str
    title: str
    alarm_class: AlarmClass
    priority: Priority
    context: frozenset[str]
    when: Compiled
    text: str
    why: str
    source: str
    clears: str
    limit: str = ""
    at_once_limit: str = ""  # the limit where `at_once` raised it
    ended: str = ""  # what is said when its own condition ends it; empty: that it is over
    hold_s: float = 0.0
    at_once: Compiled | None = None
    clear: Compiled | None = None
    clear_hold_s: float = 0.0
    latch: bool = False
    latch_sound: bool = False  # its sound latches with its picture
    group: str = ""
    tier: int = 0
    for_each: tuple[DeviceKind, ...] = ()
    for_bed: bool = False  # beside those of `for_each`, one for what belongs to no device
    escalations: tuple[Escalation, ...] = ()
    request: bool = False  # no alarm: an event that asks a person for something, once for each determination
    device_priority: bool = False  # at least `priority`, else the worst of the device's own
    continues: frozenset[str] = frozenset()  # of one cause with these rules: it goes on where their alarm was
    of_pump: bool = False  # it asks what a pump does: where the dose is given by hand it has nothing to say

    @property
    def of_box(self) -> bool:
        """Whether it asks of the box alone: at every bed of it, it says the same."""
        return all(use.fact.of_box for use in self.when.uses)

    @property
    def uses(self) -> list[Use]:
        """The facts it uses, in the order it names them."""
        return [use for part in (self.when, self.at_once, self.clear) if part for use in part.uses]

    @property
    def metrics(self) -> list[str]:
        """The metrics it looks at, in the order it names them."""
        return list(dict.fromkeys(metric for part in (self.when, self.at_once, self.clear) if part
                                  for metric in part.metrics))

    @property
    def lost(self) -> frozenset[str]:
        """The metrics that its alarm says are missing, with what is lost together with them; none: all that its device
        gives."""
        return frozenset(metric for part in (self.when, self.at_once) if part for use in part.uses for lost in use.lost
                         for metric in LOST_WITH.get(lost, (lost,)))

    @property
    def worse(self) -> Mapping[str, int]:
        """The metrics it compares with a limit, and in which direction (+1, -1) they get worse."""
        return self.when.worse

    @property
    def conditions(self) -> dict[str, Compiled]:
        """All its conditions, by the key they stand under."""
        found = {"when": self.when, "at_once": self.at_once, "clear": self.clear}
        steps = {f"raise.{number}": step.when for number, step in enumerate(self.escalations)}
        return {key: condition for key, condition in (found | steps).items() if condition is not None}


def applies(rule_context: frozenset[str], session: Session | None) -> bool:
    """Whether a context of phases, DISSOCIATION, NO_SESSION or * holds with this session, or with none."""
    if EVERYWHERE in rule_context:
        return True
    if session is None:
        return NO_SESSION in rule_context
    return session.phase in rule_context or (PERIOD in rule_context and session.is_open_period)
