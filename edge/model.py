"""The facts the rooms hand each other: what comes in (inputs), what is concluded (events), and how they are kept.

Everything is frozen, slotted and typed, and has one JSON form (msgspec), which is what the journal keeps. Times are
`at_s`: seconds since 1970 UTC of the edge clock, in whole milliseconds; `iso` writes them for people and for MQTT.
Imports nothing of ours.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

# --- words ------------------------------------------------------------------------------------------------------------

Validity = Literal[
    "valid", "questionable", "measuring", "calibrating", "invalid", "unavailable", "overflow", "underflow"
]
PumpState = Literal["infusing", "stopped", "paused", "alarm", "unknown"]
LinkState = Literal["connecting", "live", "silent", "lost", "wrong_device"]
Priority = Literal["high", "medium", "low", "none"]
AlarmState = Literal["pending", "active", "acknowledged", "latched", "inactive"]
AlarmClass = Literal["physiological", "technical"]
Kind = Literal["pump", "nibp", "oximeter", "monitor"]
Phase = Literal["PRECHECK", "READY", "INFUSING", "PAUSED", "RECOVERY", "DISCHARGE_READY", "CLOSED"]
Role = Literal["nurse", "technician"]
PRIORITY_RANK: dict[str, int] = {"none": 0, "low": 1, "medium": 2, "high": 3}
SILENCE = frozenset({"silent", "lost", "wrong_device"})


def iso(at_s: float) -> str:
    """`at_s` as UTC ISO 8601 with milliseconds and Z: 2026-01-31T09:05:00.250Z."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_iso(text: str) -> float:
    """The reverse of `iso`. Raises ValueError."""
    return datetime.fromisoformat(text).timestamp()


class Frozen(msgspec.Struct, frozen=True):
    """Base of what is written down and never edited."""


# --- what comes in ----------------------------------------------------------------------------------------------------


class Sample(Frozen, frozen=True):
    """A reading stamped by the link. `at_s` is when its bytes arrived and is never stamped again."""

    bed: str
    device: str
    metric: str
    value: float | None
    validity: Validity
    at_s: float
    reason: str | None = None


class Samples(Frozen, frozen=True, tag="samples"):
    """All samples of one frame of one device: a determination's four numbers come in one of these."""

    device: str
    samples: tuple[Sample, ...]


class PumpStatus(Frozen, frozen=True, tag="pump"):
    """The pump's own status."""

    device: str
    state: PumpState


class DeviceAlarm(Frozen, frozen=True):
    """One alarm a device itself has."""

    code: str
    priority: Priority
    raw: str
    text: str


class DeviceAlarmsReported(Frozen, frozen=True, tag="device_alarms"):
    """All alarms a device has now, by its own word."""

    device: str
    alarms: tuple[DeviceAlarm, ...]


class LinkChanged(Frozen, frozen=True, tag="link"):
    """The link to a device changed its state, or learned who the device is."""

    device: str
    state: LinkState
    reason: str = ""
    identity: str | None = None


NOTE_MOST, REASON_MOST, WORD_MOST = 500, 200, 40  # characters of a nurse's note, of a reason, of each symptom


class Command(Frozen, frozen=True, tag="command"):
    """What a person asks through the console; checked (signature, expiry, nonce, role) before it gets here."""

    id: str
    console: str
    user: str
    role: Role
    bed: str
    verb: str
    args: dict[str, Any]
    nonce: str = ""


class Tick(Frozen, frozen=True, tag="tick"):
    """Time passed."""


class Boot(Frozen, frozen=True, tag="boot"):
    """The edge started; nobody watched for `gap_s` before (0: the first start)."""

    boot: str
    gap_s: float


class BedConfigured(Frozen, frozen=True):
    """A bed as edge.toml had it: `devices` are (name, kind, driver)."""

    bed: str
    nibp_interval_s: float
    devices: tuple[tuple[str, Kind, str], ...]


class Configured(Frozen, frozen=True, tag="configured"):
    """What the edge was told at its start; with it a journal can be replayed years later."""

    rules: str  # the text of rules.toml
    beds: tuple[BedConfigured, ...]


Input = Samples | PumpStatus | DeviceAlarmsReported | LinkChanged | Command | Tick | Boot | Configured


class RecordedInput(Frozen, frozen=True):
    """One input as the journal keeps it: numbered over all beds; `bed` is None for what concerns the whole edge."""

    n: int
    boot: str
    bed: str | None
    at_s: float
    input: Input


# --- what is concluded ------------------------------------------------------------------------------------------------

EventKind = Literal[
    "alarm",  # an alarm moved: body as house.md 7
    "session",  # a session was opened, changed or closed
    "phase",  # the session's phase moved
    "dissociation",  # the dissociation period opened, moved or closed
    "check_in",  # the nurse entered one
    "request",  # the system asks a person for something (repeat the blood pressure)
    "audio",  # audio was paused or resumed
    "command",  # a command was refused
    "link",  # a device's link changed
    "device",  # a device's identity, or its own alarms, changed
    "boot",  # the edge started, and how long nobody watched
    "stream",  # the way to the consoles broke or healed
    "journal",  # the journal says something of itself
]


class PendingEvent(Frozen, frozen=True):
    """An event before the journal numbers it."""

    kind: EventKind
    bed: str | None
    session: str | None
    at_s: float
    body: dict[str, Any]


class Event(Frozen, frozen=True):
    """A fact in the journal: numbered, hash-chained, never edited. `wall` is this machine's own UTC clock at commit."""

    seq: int
    boot: str
    edge: str
    bed: str | None
    session: str | None
    at_s: float
    wall: str
    kind: EventKind
    body: dict[str, Any]
    prev: str
    hash: str


GENESIS = "0" * 64


def canonical(record: dict[str, Any]) -> bytes:
    """The bytes a hash or a signature is made over: JSON, keys sorted, no white space, UTF-8."""
    return msgspec.json.encode(record, order="sorted")


def event_hash(
    *, seq: int, boot: str, edge: str, bed: str | None, session: str | None, at_s: float, wall: str, kind: str,
    body: dict[str, Any], prev: str,
) -> str:
    """SHA-256 over the canonical JSON of all an event says, `at` in ISO form, and the hash before it."""
    record = {"seq": seq, "boot": boot, "edge": edge, "bed": bed, "session": session, "at": iso(at_s), "wall": wall,
              "kind": kind, "body": body, "prev": prev}
    return hashlib.sha256(canonical(record)).hexdigest()


def numbered(pending: PendingEvent, *, seq: int, boot: str, edge: str, wall: str, prev: str) -> Event:
    """`pending` as the event with this number, chained to the one before."""
    digest = event_hash(seq=seq, boot=boot, edge=edge, bed=pending.bed, session=pending.session, at_s=pending.at_s,
                        wall=wall, kind=pending.kind, body=pending.body, prev=prev)
    return Event(
        seq, boot, edge, pending.bed, pending.session, pending.at_s, wall, pending.kind, pending.body, prev, digest
    )


encode = msgspec.json.encode
decode_input = msgspec.json.Decoder(Input).decode
