"""What the journal says of itself: how far it is, what was appended, and while it cannot be written."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from edge.contract.events import Event


@dataclass(frozen=True, slots=True)
class Head:
    """How far the journal has got, in memory: the last event's number and hash, the last input's number, and the house
    time (s) of the later of the two; 0, 0.0 and GENESIS where there is none."""

    seq: int
    n: int
    at_s: float
    hash: str


@dataclass(frozen=True, slots=True)
class Appended:
    """Numbered events, and the moment they (and every input before them) are on the disk: True. Publish nothing before.
    False: the store fails and they are in memory alone, to be published as such."""

    events: tuple[Event, ...]
    stored: asyncio.Future[bool]


@dataclass(frozen=True, slots=True)
class Outage:
    """The store fails, for `reason`, or (`over`) has failed and does no more: so many events and inputs are (were)
    in memory alone, and so many inputs were not kept."""

    reason: str
    events: int
    inputs: int
    lost_inputs: int
    over: bool = False
    placed: bool = False  # it began before the journal was seen: what led to the beds' state then is not in it
