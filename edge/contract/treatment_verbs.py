"""What a person may ask about a treatment besides its order: that its pump is stopped when certain alarms stand. Read
through `commands`."""

from __future__ import annotations

from typing import ClassVar

from edge.contract.verb import Reason, Verb


class ArmInterlock(Verb, frozen=True, kw_only=True):
    """From now on certain alarms stop the drug's pump ([interlock] of rules.toml). The first person asks for it, a
    second one arms it with the same command. Nothing is ever started from here."""

    verb: ClassVar[str] = "arm_interlock"


class DisarmInterlock(Verb, frozen=True, kw_only=True):
    """No alarm stops the pump any more. Where a stop is not confirmed it needs a reason: what the pump does now."""

    verb: ClassVar[str] = "disarm_interlock"

    reason: Reason | None = None
