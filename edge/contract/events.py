"""Events, and the body of each kind as a type: what the core makes, the journal keeps and every console reads.

One kind of event has one body type, or a few that a reader tells apart (`BODIES`). A body says only what is in its
type; a reader ignores a field it does not know, because fields may be added, and refuses one of another type. A field
that is UNSET is left out of the JSON. Lists in `BODIES` of several types are tried in order: the first that fits.

An event's hash is made over the canonical JSON of its body (`edge.model.canonical`), never over the type, so that a
journal written by another version keeps its chain.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from edge.contract.attention_bodies import AlarmCommented as AlarmCommented
from edge.contract.attention_bodies import AlarmTold as AlarmTold
from edge.contract.attention_bodies import Delegated as Delegated
from edge.contract.attention_bodies import Informed as Informed
from edge.contract.attention_bodies import InMaintenance as InMaintenance
from edge.contract.edge_bodies import Body as Body
from edge.contract.edge_bodies import BrokerMoved as BrokerMoved
from edge.contract.edge_bodies import ClockStepped as ClockStepped
from edge.contract.edge_bodies import CommandRejected as CommandRejected
from edge.contract.edge_bodies import ConsoleMoved as ConsoleMoved
from edge.contract.edge_bodies import EventRecovered as EventRecovered
from edge.contract.edge_bodies import OtherBoxFound as OtherBoxFound
from edge.contract.edge_bodies import PayloadsRejected as PayloadsRejected
from edge.contract.edge_bodies import PayloadTooLarge as PayloadTooLarge
from edge.contract.edge_bodies import RecordBegun as RecordBegun
from edge.contract.edge_bodies import SpaceLow as SpaceLow
from edge.contract.edge_bodies import StorageFailing as StorageFailing
from edge.contract.edge_bodies import StorageHealed as StorageHealed
from edge.contract.edge_bodies import WatchPaused as WatchPaused
from edge.contract.session_bodies import Attested as Attested
from edge.contract.session_bodies import Baseline as Baseline
from edge.contract.session_bodies import BaselineSet as BaselineSet
from edge.contract.session_bodies import ChecklistSet as ChecklistSet
from edge.contract.session_bodies import CuffAsked as CuffAsked
from edge.contract.session_bodies import DeviceAway as DeviceAway
from edge.contract.session_bodies import DeviceReturned as DeviceReturned
from edge.contract.session_bodies import DoseGiven as DoseGiven
from edge.contract.session_bodies import DrugChannelNamed as DrugChannelNamed
from edge.contract.session_bodies import GateOverridden as GateOverridden
from edge.contract.session_bodies import MovedFrom as MovedFrom
from edge.contract.session_bodies import MovedTo as MovedTo
from edge.contract.session_bodies import Order as Order
from edge.contract.session_bodies import OrderAmended as OrderAmended
from edge.contract.session_bodies import SessionClosed as SessionClosed
from edge.contract.session_bodies import SessionOpened as SessionOpened
from edge.contract.treatment_bodies import InterlockMoved as InterlockMoved
from edge.contract.treatment_bodies import LimitSet as LimitSet
from edge.contract.treatment_bodies import PumpStop as PumpStop
from edge.contract.treatment_bodies import TreatmentHeld as TreatmentHeld
from edge.model import (
    AlarmClass,
    AlarmPhase,
    AlarmState,
    DeviceAlarm,
    Dissociation,
    Frozen,
    LinkState,
    Phase,
    Priority,
    canonical,
    iso,
)

EventKind = Literal[
    "alarm",  # an alarm moved
    "session",  # a session was opened, changed or closed
    "phase",  # the session's phase moved
    "dissociation",  # the dissociation period opened, moved or closed
    "check_in",  # the nurse entered one
    "request",  # the system asks a person for something (repeat the blood pressure)
    "audio",  # audio was paused or resumed
    "shelf",  # an alarm was shelved, or came back
    "attention",  # somebody was told of an alarm, or commented on it; whose the alarms are; an information signal
    "command",  # a command was refused
    "link",  # a device's link changed
    "device",  # a device's identity, or its own alarms, changed
    "boot",  # the edge started, and how long nobody watched
    "stream",  # the way to the consoles broke or healed, or a command was refused at the gate
    "journal",  # the record cannot be written, can be again, or begins anew after damage
]


# --- parts of bodies --------------------------------------------------------------------------------------------------


class Evidence(Body, frozen=True, kw_only=True):
    """One number an alarm rests on, and how old it was."""

    metric: str
    value: float | None = None
    age_s: float | None = None


# --- bodies -----------------------------------------------------------------------------------------------------------


class AlarmMoved(Body, frozen=True, kw_only=True):
    """An alarm moved from state `was` to `state`. `since`: when it became active; `by`: who acknowledged it.

    `alarm_phase` says how it moved (IHE ACM words): it started or ended; its level rose (`escalate`, sounds again) or
    fell (`deescalate`); its words follow the facts (`update`, no sound); it was acknowledged or announced again
    (`continue`); its latched picture was taken away (`reset`). `phase` is the session's."""

    rule: str
    alarm: str  # this occurrence: an acknowledgement names it
    title: str
    state: AlarmState
    was: AlarmState
    priority: Priority
    alarm_class: AlarmClass = msgspec.field(name="class")
    device: str | None
    since: str | None
    text: str
    why: str
    clears: str
    limit: str
    evidence: tuple[Evidence, ...]
    by: str | None
    phase: Phase | None
    dissociation: Dissociation | None
    superseded_by: str | UnsetType = UNSET  # the rule that took over
    command: str | UnsetType = UNSET
    level: int | UnsetType = UNSET  # 1 low, 2 medium, 3 high: the highest tier of its group that is on
    alarm_phase: AlarmPhase | UnsetType = UNSET


class PhaseMoved(Body, frozen=True, kw_only=True):
    """The session is in `phase` now. Where a nurse's command moved it, that is named instead of the figures."""

    phase: Phase
    why: str
    delivered_mg: float | UnsetType = UNSET
    baseline: Baseline | UnsetType | None = UNSET
    started: str | UnsetType | None = UNSET
    command: str | UnsetType = UNSET
    by: str | UnsetType = UNSET


class DissociationMoved(Body, frozen=True, kw_only=True):
    """The dissociation period is in `state` now, on this basis."""

    state: Dissociation
    basis: str
    command: str | UnsetType = UNSET
    by: str | UnsetType = UNSET


class CheckedIn(Body, frozen=True, kw_only=True):
    """What the nurse entered; null: not assessed."""

    moaas: int | None
    cadss: int | None
    anxiety: int | None
    distress: int | None
    nausea: int | None
    symptoms: tuple[str, ...]
    note: str
    gone: tuple[str, ...] | UnsetType = UNSET  # symptoms named before that are no more
    spo2_pct: int | UnsetType = UNSET  # read off a device that Vigil does not read,
    resp_bpm: int | UnsetType = UNSET  # counted,
    pulse_bpm: int | UnsetType = UNSET
    sbp_mmhg: int | UnsetType = UNSET  # or measured by hand
    dbp_mmhg: int | UnsetType = UNSET
    command: str
    by: str


class Requested(Body, frozen=True, kw_only=True):
    """The system asks a person for something."""

    rule: str
    text: str
    why: str
    evidence: tuple[Evidence, ...]


class AudioMoved(Body, frozen=True, kw_only=True):
    """Audio is paused until then, or sounds again (null): by a nurse's command, or because of `why`."""

    paused_until: str | None
    why: str | UnsetType = UNSET
    command: str | UnsetType = UNSET
    by: str | UnsetType = UNSET


class ShelfMoved(Body, frozen=True, kw_only=True):
    """A technical alarm is not sounded until then, for the reason `why`; or it came back (null): because of `why`, or
    by a person (`by`)."""

    rule: str
    title: str
    device: str | None
    until: str | None
    why: str = ""
    command: str | UnsetType = UNSET
    by: str | UnsetType = UNSET


class CommandRefused(Body, frozen=True, kw_only=True):
    """A bed refused a command; `reason` begins with its code."""

    ok: Literal[False] = False
    verb: str
    reason: str
    command: str
    by: str


class LinkMoved(Body, frozen=True, kw_only=True):
    """The link to a device changed, or learned who the device is."""

    device: str
    state: LinkState
    was: LinkState
    reason: str
    identity: str | None


class DeviceAlarmsNow(Body, frozen=True, kw_only=True):
    """All alarms a device itself has now."""

    device: str
    alarms: tuple[DeviceAlarm, ...]


class Booted(Body, frozen=True, kw_only=True):
    """The edge started; nobody watched for `gap_s` before."""

    gap_s: float
    boot: str


EventBody = (
    AlarmMoved | SessionOpened | ChecklistSet | DoseGiven | SessionClosed
    | OrderAmended | GateOverridden | BaselineSet | Attested | DrugChannelNamed | CuffAsked
    | InterlockMoved | PumpStop | LimitSet | TreatmentHeld | MovedTo | MovedFrom
    | DeviceAway | DeviceReturned
    | PhaseMoved | DissociationMoved | CheckedIn
    | Requested | AudioMoved | ShelfMoved | AlarmTold | AlarmCommented | Delegated | Informed | InMaintenance
    | CommandRefused | LinkMoved | DeviceAlarmsNow | Booted
    | ConsoleMoved | BrokerMoved | CommandRejected | PayloadsRejected | OtherBoxFound | PayloadTooLarge | WatchPaused
    | StorageFailing
    | StorageHealed | RecordBegun | ClockStepped | SpaceLow | EventRecovered
)

# kind -> the types its body may have. Several of one kind differ in a tag or in the fields they need.
BODIES: dict[EventKind, tuple[type[Body], ...]] = {
    "alarm": (AlarmMoved,),
    "session": (SessionOpened, ChecklistSet, DoseGiven, OrderAmended, GateOverridden, BaselineSet, Attested,
                DrugChannelNamed, CuffAsked, InterlockMoved, PumpStop, LimitSet, TreatmentHeld,
                MovedTo, MovedFrom, SessionClosed),
    "phase": (PhaseMoved,),
    "dissociation": (DissociationMoved,),
    "check_in": (CheckedIn,),
    "request": (Requested,),
    "audio": (AudioMoved,),
    "shelf": (ShelfMoved,),
    "attention": (AlarmTold, AlarmCommented, Delegated, Informed),
    "command": (CommandRefused,),
    "link": (LinkMoved,),
    "device": (DeviceAlarmsNow, DeviceAway, DeviceReturned, InMaintenance),
    "boot": (Booted, WatchPaused, ClockStepped),
    "stream": (ConsoleMoved, BrokerMoved, CommandRejected, PayloadsRejected, OtherBoxFound, PayloadTooLarge),
    "journal": (StorageFailing, StorageHealed, RecordBegun, SpaceLow, EventRecovered),
}
KIND_OF: dict[type[Body], EventKind] = {body: kind for kind, bodies in BODIES.items() for body in bodies}


class BadBody(ValueError):
    """A body that does not fit its kind; the message says what and where."""


@functools.cache
def _decoders(kind: EventKind) -> tuple[msgspec.json.Decoder[EventBody], ...]:
    return tuple(msgspec.json.Decoder(body) for body in BODIES[kind])


def read_body(kind: str, text: str | bytes) -> EventBody:
    """The JSON of a body as its type. Raises BadBody for a kind this version does not know, or a misfit."""
    if kind not in BODIES:
        raise BadBody(f"no kind of event is named {kind!r}")
    faults: list[str] = []
    for decoder in _decoders(kind):
        try:
            return decoder.decode(text)
        except (msgspec.MsgspecError, ValueError, RecursionError) as fault:  # ValueError: not UTF-8
            faults.append(str(fault))
    raise BadBody(f"{kind}: {'; '.join(dict.fromkeys(faults))}")


# --- events -----------------------------------------------------------------------------------------------------------


class PendingEvent(Frozen, frozen=True):
    """An event before the journal numbers it. Its kind follows from its body's type."""

    bed: str | None
    session: str | None
    at_s: float
    body: EventBody

    @property
    def kind(self) -> EventKind:
        """What sort of event it is."""
        return KIND_OF[type(self.body)]


class Event(Frozen, frozen=True):
    """A fact in the journal: numbered, hash-chained, never edited. `wall` is this machine's own UTC clock at commit.
    `body_json` is the canonical JSON of its body, byte for byte what was hashed. `sig` is the edge's signature over
    `hash` (edge.contract.signing), None in journals of 0.1.0. `damaged`: what stands in its row, so many characters,
    cannot be believed; number and hashes are all that is known of it, the rest is empty."""

    seq: int
    boot: str
    edge: str
    bed: str | None
    session: str | None
    at_s: float
    wall: str
    kind: EventKind
    body_json: str
    prev: str
    hash: str
    sig: str | None = None
    damaged: int = 0

    @property
    def body(self) -> EventBody:
        """What it says. Raises BadBody where this version does not know it."""
        return read_body(self.kind, self.body_json)


GENESIS = "0" * 64


def event_hash(
    *, seq: int, boot: str, edge: str, bed: str | None, session: str | None, at_s: float, wall: str, kind: str,
    body: object, prev: str,
) -> str:
    """SHA-256 over the canonical JSON of all an event says, `at` in ISO form, and the hash before it.

    `body`: any form of it with that JSON; what is canonical JSON already goes in as msgspec.Raw.
    """
    record = {"seq": seq, "boot": boot, "edge": edge, "bed": bed, "session": session, "at": iso(at_s), "wall": wall,
              "kind": kind, "body": body, "prev": prev}
    return hashlib.sha256(canonical(record)).hexdigest()


def numbered(pending: PendingEvent, *, seq: int, boot: str, edge: str, wall: str, prev: str) -> Event:
    """`pending` as the event with this number, chained to the one before."""
    body = canonical(pending.body)
    digest = event_hash(seq=seq, boot=boot, edge=edge, bed=pending.bed, session=pending.session, at_s=pending.at_s,
                        wall=wall, kind=pending.kind, body=msgspec.Raw(body), prev=prev)
    return Event(seq, boot, edge, pending.bed, pending.session, pending.at_s, wall, pending.kind, body.decode(), prev,
                 digest)
