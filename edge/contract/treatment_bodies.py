"""Bodies of the events of a treatment: that its pump may be stopped, and was; limits of its patient."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType

from edge.contract.edge_bodies import Body


class InterlockMoved(Body, frozen=True, kw_only=True, tag_field="change", tag="interlock"):
    """A person asked that certain alarms stop this pump; a second one armed it; or it is armed no longer (`why`)."""

    state: Literal["asked", "armed", "disarmed"]
    device: str
    why: str = ""
    command: str | UnsetType = UNSET
    by: str | UnsetType = UNSET


class PumpStop(Body, frozen=True, kw_only=True, tag_field="change", tag="pump_stop"):
    """A stop of this pump, for an alarm that said `text`: it is sent; it could not be, for the pump is not connected;
    the pump says that it stands still; or the alarm was over before it could be sent."""

    stop: Literal["sent", "not_sent", "confirmed", "withdrawn"]
    device: str
    rule: str
    alarm: str
    text: str


class LimitSet(Body, frozen=True, kw_only=True, tag_field="change", tag="limit"):
    """For this session a limit of this patient is `value` now; it was `was`, and is `usual` for others."""

    limit: str
    title: str
    unit: str
    value: float
    was: float
    usual: float
    reason: str
    command: str
    by: str


class TreatmentHeld(Body, frozen=True, kw_only=True, tag_field="change", tag="held"):
    """A person holds the treatment (`held`), or lets it go on."""

    held: bool
    reason: str
    command: str
    by: str
