"""Who is told of an alarm that nobody has acknowledged, and when: the table [attention] of rules.toml, checked whole.

A ladder is of one priority, and of one class or of certain rules where it says so. Its steps are counted from when the
alarm was announced.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from edge.core.alarms import family
from edge.core.engine import Seconds
from edge.core.expression import nearest
from edge.core.tables import BadTable, read_table
from edge.model import AlarmClass, Priority
from edge.toml_lines import Where

Recipient = Literal["nurse", "prescriber", "technician", "box"]  # roles, and the sounder of the box itself
_Ladders = Annotated[list[dict[str, Any]], Meta(description="[[attention.ladder]] tables")]
_Steps = Annotated[list[dict[str, Any]], Meta(min_length=1, description="a list of { role = ..., after_s = ... }")]


class Step(msgspec.Struct, frozen=True):
    """Who is told, so long after the alarm was announced."""

    role: Annotated[Recipient, Meta(description=f"one of {', '.join(map(repr, get_args(Recipient)))}")]
    after_s: Seconds


class Ladder(msgspec.Struct, frozen=True):
    """The steps for the alarms of one priority; of one class alone, or of both; of these rules (ids, or what ids begin
    with) alone, or of all."""

    priority: Priority
    steps: tuple[Step, ...]
    alarm_class: AlarmClass | None = None
    rules: tuple[str, ...] = ()

    def is_of(self, priority: Priority, alarm_class: AlarmClass, rule: str) -> bool:
        """Whether it is for such an alarm."""
        return (self.priority == priority and self.alarm_class in (alarm_class, None)
                and (not self.rules or rule in self.rules or family(rule) in self.rules))


class Attention(msgspec.Struct, frozen=True):
    """What a rules.toml without [attention] has, as those of 0.1.0: nobody is told twice, nothing is reminded of."""

    ladders: tuple[Ladder, ...] = ()
    remind_after_s: float = 0.0  # what stands acknowledged is reminded of so often; 0: never
    information_for_s: float = 0.0  # what was said for information stays on the screens so long; 0: none is said
    lost_together_s: float = 0.0  # so many devices,
    lost_together: int = 1_000_000  # lost within so long of the first of them, have one cause
    delegated_for_s: float = 0.0  # whoever the alarms of a bed were delegated to has so long before the ladder begins

    def ladder_of(self, priority: Priority, alarm_class: AlarmClass, rule: str) -> tuple[Step, ...]:
        """The steps for such an alarm: those of its rule before those of its class, and these before those of any."""
        found = [one for one in self.ladders if one.is_of(priority, alarm_class, rule)]
        return min(found, key=lambda one: (not one.rules, one.alarm_class is None)).steps if found else ()


NO_ATTENTION = Attention()


class _AttentionTable(msgspec.Struct, kw_only=True):
    remind_after_s: Seconds = 0.0
    information_for_s: Seconds = 0.0
    delegated_for_s: Seconds = 0.0
    lost_together_s: Seconds = 0.0
    lost_together: Annotated[int, Meta(ge=2, description="a whole number, 2 or more")] = 1_000_000
    ladder: _Ladders = []


class _LadderTable(msgspec.Struct, kw_only=True):
    priority: Annotated[Literal["high", "medium", "low"], Meta(description="one of 'high', 'medium', 'low'")]
    steps: _Steps
    alarm_class: Annotated[AlarmClass, Meta(description='"physiological" or "technical"')] | None = msgspec.field(
        default=None, name="class")
    rules: Annotated[tuple[str, ...], Meta(description="a list of rules' ids, or of what ids begin with")] = ()


def read_attention(table: Mapping[str, Any], rules: Collection[str]) -> Attention:
    """The table [attention] of a file with these rules. Raises BadTable."""
    known = {*rules, *map(family, rules)}
    written = read_table(_AttentionTable, table, ("attention",), "[attention]")
    ladders: list[Ladder] = []
    for number, each in enumerate(written.ladder):
        where: Where = ("attention", "ladder", number)
        one = read_table(_LadderTable, each, where, "[[attention.ladder]]")
        steps = tuple(read_table(Step, step, (*where, "steps", place), "a step")
                      for place, step in enumerate(one.steps))
        if any(later.after_s <= earlier.after_s for earlier, later in pairwise(steps)):
            raise BadTable((*where, "steps"), "each step must come later than the one before it")
        unknown = next((name for name in one.rules if name not in known), None)
        if unknown is not None:
            raise BadTable((*where, "rules"), f"no rule is named {unknown!r}{nearest(unknown, sorted(known))}")
        if any((one.priority, one.alarm_class, one.rules) == (other.priority, other.alarm_class, other.rules)
               for other in ladders):
            raise BadTable((*where, "priority"), f"{one.priority!r} has a ladder already; write its steps there")
        ladders.append(Ladder(one.priority, steps, one.alarm_class, one.rules))
    return Attention(tuple(ladders), remind_after_s=written.remind_after_s, information_for_s=written.information_for_s,
                     lost_together_s=written.lost_together_s, lost_together=written.lost_together,
                     delegated_for_s=written.delegated_for_s)
