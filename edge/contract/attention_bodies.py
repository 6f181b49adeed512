"""Bodies of the events of attention: who was told of an alarm, what was said about it, whose the alarms are."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from edge.contract.edge_bodies import Body
from edge.model import InformationKind, Priority


class AlarmTold(Body, frozen=True, kw_only=True, tag_field="change", tag="told"):
    """Nobody has acknowledged this alarm, and now `who` is told: a role, `box` (the sounder of the box itself), or the
    person to whom the alarms of the bed are delegated. `next` is told at `next_at`, unless somebody acknowledges it."""

    rule: str
    alarm: str
    title: str
    text: str
    priority: Priority
    device: str | None
    who: str
    step: int  # from 1
    next: str | None
    next_at: str | None


class AlarmCommented(Body, frozen=True, kw_only=True, tag_field="change", tag="comment"):
    """Somebody has said something about an alarm."""

    rule: str
    alarm: str
    title: str
    comment: str
    command: str
    by: str


class Delegated(Body, frozen=True, kw_only=True, tag_field="change", tag="delegated"):
    """The alarms of this bed are told to `to` first, a role or a person, until then; or they are not any more (`until`
    null): because of `why`, or by a person."""

    to: str
    until: str | None
    why: str
    command: str | UnsetType = UNSET
    by: str | UnsetType = UNSET


class Informed(Body, frozen=True, kw_only=True, tag_field="change", tag="information"):
    """An information signal: worth knowing, and no alarm. `alarms`: those that stand acknowledged, of a reminder."""

    what: InformationKind
    text: str
    alarms: tuple[str, ...] = ()


class InMaintenance(Body, frozen=True, kw_only=True):
    """A technician works on a device until then at the latest: nothing of it is shown, counted or missed."""

    device: str
    maintenance_until: str
    reason: str
    command: str
    by: str
