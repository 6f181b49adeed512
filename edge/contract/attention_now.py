"""Attention in a bed's state: how an alarm is signalled, who was told of it, comments, whose the alarms are. Read
through `payloads`."""

from __future__ import annotations

from edge.contract.vitals import Payload, Time
from edge.model import InformationKind, Priority, SignalState


class ToldNow(Payload, frozen=True, kw_only=True):
    """Who was told of an alarm, or is next: a role, `box` (the sounder of the box), or a person's name."""

    who: str
    at: Time


class CauseNow(Payload, frozen=True, kw_only=True):
    """What several alarms of this edge have in common: a wire, a moment, the box itself. Those of one `id` are one line
    on a screen, and each bed's own in all else."""

    id: str
    text: str


class CommentNow(Payload, frozen=True, kw_only=True):
    """What somebody has said about an alarm."""

    text: str
    by: str
    at: Time


class DelegationNow(Payload, frozen=True, kw_only=True):
    """The alarms of this bed are told to `to` first, a role or a person, until then."""

    to: str
    since: Time
    until: Time
    by: str
    reason: str


class InformationNow(Payload, frozen=True, kw_only=True):
    """Worth knowing, and no alarm: it is shown for a while, and signalled once."""

    what: InformationKind
    text: str
    at: Time


class MaintenanceNow(Payload, frozen=True, kw_only=True):
    """A technician works on a device, until then at the latest."""

    since: Time
    until: Time
    by: str
    reason: str


class Signals(Payload, frozen=True, kw_only=True):
    """How an alarm condition is signalled here (audio, visual) and elsewhere (remote); words of IEEE 11073 BICEPS."""

    audio: SignalState
    visual: SignalState
    remote: SignalState


class FallenLevel(Payload, frozen=True, kw_only=True):
    """A higher level at which an alarm stood, that latches and that nobody has acknowledged: what was said then."""

    rule: str
    title: str
    priority: Priority
    text: str


class Shelved(Payload, frozen=True, kw_only=True):
    """An alarm that is not sounded until then, whether it stands now or not: by whom, and why. `shelf` names it."""

    shelf: str
    rule: str
    title: str
    device: str | None
    since: Time
    until: Time
    by: str
    reason: str
