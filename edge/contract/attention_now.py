"""Attention in a bed's state: who was told of an alarm, comments, whose the alarms are. Read through `payloads`."""

from __future__ import annotations

from edge.contract.vitals import Payload, Time
from edge.model import InformationKind


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
