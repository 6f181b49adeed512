"""The treatment in a bed's state: whether its pump may be stopped, and was; limits of its patient.
Read through `payloads`."""

from __future__ import annotations

from typing import Literal

from edge.contract.vitals import Payload, Time
from edge.model import Priority


class StopNow(Payload, frozen=True, kw_only=True):
    """The last stop of the pump, for an alarm that said `text`. `sent`: and not confirmed yet; `not_sent`: the pump is
    not connected; `unconfirmed`: the pump has not said in time that it stands still; `confirmed`: it has."""

    state: Literal["sent", "not_sent", "unconfirmed", "confirmed"]
    at: Time
    rule: str
    text: str


class InterlockNow(Payload, frozen=True, kw_only=True):
    """Whether certain alarms stop this pump: `first` has asked for it and a second person must arm it until `until`;
    armed, by both; or off, where a stop is still shown."""

    device: str
    state: Literal["asked", "armed", "off"]
    first: str | None = None
    second: str | None = None
    since: Time | None = None
    until: Time | None = None
    stop: StopNow | None = None


class LimitNow(Payload, frozen=True, kw_only=True):
    """A limit that a prescriber may set for this patient, from `least` to `most`; `value`: as it is set (null: the
    usual one), by whom, when and why."""

    limit: str
    title: str
    unit: str
    usual: float
    least: float
    most: float
    value: float | None = None
    by: str | None = None
    reason: str | None = None
    at: Time | None = None


class AlarmLimitNow(Payload, frozen=True, kw_only=True):
    """Where an alarm of a metric begins, by the rules in force for this patient: at the first value, as it is shown,
    that is one. `worse`: 1 where higher is worse, -1 where lower is; `twice`: two blood pressures in a row must be so.
    `margin`: how far the number was from it when this state was made; 0 or less: it was reached."""

    metric: str
    rule: str
    title: str
    priority: Priority
    at: float
    worse: Literal[1, -1]
    twice: bool = False
    margin: float


class HeldNow(Payload, frozen=True, kw_only=True):
    """A person holds the treatment: what must be met before it goes on stands in the session's open items."""

    by: str
    reason: str
    at: Time
