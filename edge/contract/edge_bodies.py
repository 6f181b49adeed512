"""The bodies of events of the edge itself: its watch, its record, its way to the consoles. Read through `events`."""

from __future__ import annotations

from typing import Any, Literal

from edge.model import Frozen


class Body(Frozen, frozen=True, kw_only=True):
    """Base of an event's body."""


class WatchPaused(Body, frozen=True, kw_only=True):
    """The edge was there, but judged nothing for `gap_s`: its machine slept, or its loop stalled. Holds begin anew."""

    gap_s: float
    why: Literal["slept", "stalled"]


class ClockStepped(Body, frozen=True, kw_only=True):
    """Somebody set this machine's clock by `step_s`. The edge clock went on as it was."""

    step_s: float


class StorageFailing(Body, frozen=True, kw_only=True, tag_field="storage", tag="failing"):
    """The record cannot be written, for `reason`. The watch goes on; from here on events are kept in memory and sent
    marked `unstored`."""

    reason: str


class StorageHealed(Body, frozen=True, kw_only=True, tag_field="storage", tag="healed"):
    """The record can be written again. What was kept in memory since `since` is stored now, in order: so many `events`
    and `inputs`. `lost_inputs` more were judged, but not kept: there was no room for them."""

    since: str
    failed_s: float
    reason: str
    events: int
    inputs: int
    lost_inputs: int


class SpaceLow(Body, frozen=True, kw_only=True, tag_field="storage", tag="space_low"):
    """So much of the journal's disk is used, and (null: it does not fill) at this pace it is full in so many
    seconds."""

    used_pct: float
    full_in_s: float | None


class RecordBegun(Body, frozen=True, kw_only=True, tag_field="storage", tag="begun"):
    """The record was damaged and is kept aside whole as `damaged_file`. This one goes on after event `after_seq`, the
    last that could be believed, and is chained to it."""

    damaged_file: str
    damage: str
    after_seq: int


class EventRecovered(Body, frozen=True, kw_only=True, tag_field="storage", tag="recovered"):
    """Event `of_seq` of an earlier boot was not in this record (that boot was ended while its store failed, or the
    journal was damaged or is an older copy). `console` had stored it, and gave it back: what it said, and the hash and
    signature by which it is this edge's own."""

    console: str
    of_seq: int
    of_boot: str
    of_at: str
    of_wall: str
    of_kind: str
    of_body: dict[str, Any]
    of_prev: str
    of_hash: str
    of_sig: str


class ConsoleMoved(Body, frozen=True, kw_only=True):
    """A console came or went; it has stored every event up to `seq`."""

    console: str
    state: Literal["live", "lost"]
    seq: int


class BrokerMoved(Body, frozen=True, kw_only=True):
    """The broker is reached, or lost for `reason`."""

    broker: Literal["reached", "lost"]
    reason: str


class CommandRejected(Body, frozen=True, kw_only=True):
    """A command was refused before it reached a bed; `more`: as many others since the last event of this sort."""

    command: str
    console: str
    ok: Literal[False] = False
    reason: str
    more: int


class PayloadsRejected(Body, frozen=True, kw_only=True):
    """`count` payloads in the name of `rejected_sender` were rejected for `reason` (edge.contract.signing), the first
    of them on `topic`, since the last event of this sort."""

    rejected_sender: str
    topic: str
    reason: str
    count: int


class OtherBoxFound(Body, frozen=True, kw_only=True):
    """Another box, or a copy of this one, is alive under this edge's name; its boot is `other_boot`."""

    other_boot: str


class PayloadTooLarge(Body, frozen=True, kw_only=True):
    """The broker does not take so many bytes: event `of_seq` went to the consoles without its body, or (0) a payload on
    `too_large` not at all."""

    too_large: str
    of_seq: int
    size: int
