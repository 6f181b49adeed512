"""The facts the rooms hand each other: the words they share, and what comes in (inputs), as they are kept.

Everything is frozen, slotted and typed, and has one JSON form (msgspec), which is what the journal keeps. Times are
`at_s`: seconds since 1970 UTC of the edge clock, in whole milliseconds; `iso` writes them for people and for MQTT.
Imports nothing of ours.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

import msgspec

STATEMENT = (
    "Vigil is a research and evaluation system: a secondary display, not cleared or certified as a medical device. The"
    " bedside devices' own alarms stay in force; whoever operates it decides its status where it is used."
)
"""What Vigil is, wherever that is stated."""

# --- words ------------------------------------------------------------------------------------------------------------

Validity = Literal[
    "valid", "questionable", "measuring", "calibrating", "invalid", "unavailable", "overflow", "underflow"
]
PumpState = Literal["infusing", "stopped", "paused", "alarm", "unknown"]
LinkState = Literal["connecting", "live", "silent", "lost", "wrong_device", "unstable"]
Priority = Literal["high", "medium", "low", "none"]
AlarmState = Literal["pending", "active", "acknowledged", "latched", "inactive"]
AlarmPhase = Literal["start", "continue", "update", "escalate", "deescalate", "end", "reset"]
SignalState = Literal["on", "paused", "latched", "acknowledged", "off"]
AlarmClass = Literal["physiological", "technical"]
DeviceKind = Literal["pump", "nibp", "oximeter", "monitor"]
PumpRole = Literal["drug", "carrier"]
Dissociation = Literal["none", "expected", "observed", "resolving", "resolved"]
Phase = Literal["PRECHECK", "READY", "INFUSING", "PAUSED", "RECOVERY", "DISCHARGE_READY", "CLOSED"]
MAX_BEDS = 1024  # of one edge
Role = Literal["nurse", "technician", "prescriber", "administrator"]
InformationKind = Literal["reminder", "infusion_ended", "delegation"]
Route = Literal["intravenous", "subcutaneous", "nasal", "intramuscular"]
PRIORITY_RANK: dict[str, int] = {"none": 0, "low": 1, "medium": 2, "high": 3}
SILENCE = frozenset({"silent", "lost", "wrong_device", "unstable"})


@lru_cache(maxsize=256)  # what came in one frame has one time
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
    ask: bool = False  # a person must say that it is this bed's own: nothing tells it from another


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
    objection: str = ""  # what other beds of the edge have against it; empty: nothing


class Arrived(Frozen, frozen=True, tag="arrived"):
    """A patient comes to this bed from another one of the edge, and the session with them. `carried` (JSON): all that
    the other bed knew of this patient (edge.core.moving)."""

    from_bed: str
    carried: str
    command: str  # the command that asked for it,
    by: str  # who, and why
    reason: str
    whose: str = ""  # their word on the alarms of high priority that stood here


class CameBack(Frozen, frozen=True, tag="came_back"):
    """Devices of this bed that went to another bed with a patient are this bed's again: that session is over."""

    devices: tuple[str, ...]


class Tick(Frozen, frozen=True, tag="tick"):
    """Time passed."""


class Boot(Frozen, frozen=True, tag="boot"):
    """The edge started; nobody watched for `gap_s` before (0: the first start)."""

    boot: str
    gap_s: float


class WatchPaused(Frozen, frozen=True, tag="paused"):
    """For `gap_s` this edge judged nothing, though it was not restarted: its machine slept, or its loop stalled."""

    gap_s: float
    why: Literal["slept", "stalled"]


class StorageChanged(Frozen, frozen=True, tag="storage"):
    """The record cannot be written, for `failing`, or can be ("")."""

    failing: str


class Undelivered(Frozen, frozen=True):
    """An alarm that nobody may hear: its rule (and `:device`), and what it says."""

    alarm: str
    priority: Priority
    text: str


class HeardChanged(Frozen, frozen=True, tag="heard"):
    """This bed's alarms may be heard by nobody, for `unheard`, or are heard (""). `undelivered`: those that sound now
    and are confirmed by nobody. `no_console`: nor would another be."""

    unheard: str
    undelivered: tuple[Undelivered, ...] = ()
    no_console: bool = False


class ClockSkewed(Frozen, frozen=True, tag="skew"):
    """The clock of this console is `skew_s` ahead of this edge's (below 0: behind)."""

    skew_s: float
    console: str


class RecordDamaged(Frozen, frozen=True, tag="record_damaged"):
    """The record was found damaged, and was begun anew."""

    damage: str


class Restored(Frozen, frozen=True, tag="restored"):
    """What the bed remembers, whole, as `snapshot` (JSON), when the newest event was `after_seq`: a replay can begin
    here. `lost`: it must, for some of the inputs that led to it are not in this record."""

    snapshot: str
    after_seq: int
    lost: bool


class BedConfigured(Frozen, frozen=True):
    """A bed as edge.toml had it: `devices` are (name, kind, driver)."""

    bed: str
    nibp_interval_s: float
    devices: tuple[tuple[str, DeviceKind, str], ...]
    roles: dict[str, PumpRole] = {}  # what each pump gives, where that is said
    starts: tuple[str, ...] = ()  # whose cuff is started over the wire
    stops: tuple[str, ...] = ()  # which pumps may be stopped over the wire


class Configured(Frozen, frozen=True, tag="configured"):
    """What the edge was told at its start; with it a journal can be replayed years later."""

    rules: str  # the text of rules.toml
    beds: tuple[BedConfigured, ...]
    protocols: str = ""  # the text of protocols.toml; empty: as 0.1.0, which had none


Input = (
    Samples | PumpStatus | DeviceAlarmsReported | LinkChanged | Command | Tick | Boot | Configured | WatchPaused
    | StorageChanged | RecordDamaged | Restored | HeardChanged | ClockSkewed | Arrived | CameBack
)


class RecordedInput(Frozen, frozen=True):
    """One input as the journal keeps it: numbered over all beds; `bed` is None for what concerns the whole edge."""

    n: int
    boot: str
    bed: str | None
    at_s: float
    input: Input


def canonical(record: object) -> bytes:
    """The bytes a hash or a signature is made over: JSON, keys sorted, no white space, UTF-8."""
    return msgspec.json.encode(record, order="sorted")


encode = msgspec.json.encode
decode_input = msgspec.json.Decoder(Input).decode
