"""What a person may ask about a treatment besides its order: that its pump is stopped when certain alarms stand; limits
of this patient; that it is held; that it goes on at another bed. Read through `commands`."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from edge.contract.verb import MAX_REASON, Reason, Verb, WithReason, number
from edge.model import Role


class ArmInterlock(Verb, frozen=True, kw_only=True):
    """From now on certain alarms stop the drug's pump ([interlock] of rules.toml). The first person asks for it, a
    second one arms it with the same command. Nothing is ever started from here."""

    verb: ClassVar[str] = "arm_interlock"


class DisarmInterlock(Verb, frozen=True, kw_only=True):
    """No alarm stops the pump any more. Where a stop is not confirmed it needs a reason: what the pump does now."""

    verb: ClassVar[str] = "disarm_interlock"

    reason: Reason | None = None


class SetLimit(WithReason, frozen=True, kw_only=True):
    """For this session a limit of this patient is another one, within the bounds of rules.toml ([[limit]]); without a
    value it is the usual one again."""

    verb: ClassVar[str] = "set_limit"
    roles: ClassVar[frozenset[Role]] = frozenset({"prescriber"})

    limit: Annotated[str, Meta(min_length=1, max_length=40, title="Limit")]
    value: Annotated[float, number("Value (none: the usual one)", 0, 1000, "")] | None = None


class HoldTreatment(WithReason, frozen=True, kw_only=True):
    """The treatment is not to begin, or not to go on, until a person lets it. Nothing is stopped by it: stop the pump
    at the pump. Alarms stay in force."""

    verb: ClassVar[str] = "hold"


class ReleaseHold(Verb, frozen=True, kw_only=True):
    """What was held may go on. Refused while something is open that the protocol asks for before."""

    verb: ClassVar[str] = "unhold"


class MoveSession(WithReason, frozen=True, kw_only=True):
    """The patient goes to another bed of the same edge, and the session with its order, dose, baseline and alarms goes
    on there. `devices` of this bed are plugged over to that bed, each in the place of one of the same driver; the
    others stay, and what they measure from now on is not this patient's."""

    verb: ClassVar[str] = "move_session"

    to: Annotated[str, Meta(min_length=1, max_length=32, title="To bed")]
    devices: Annotated[list[Annotated[str, Meta(min_length=1, max_length=64)]], Meta(
        title="Plugged over with the patient", extra={"one": "device"})] | None = None
    # where alarms of high priority stand at the other bed: whose they are, and what was done about them
    whose: Annotated[str, Meta(max_length=MAX_REASON, pattern=r"\S", title="Whose are the alarms that stand there"),
                     ] | None = None
