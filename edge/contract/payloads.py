"""The MQTT contract as types: every topic, every payload, and how a command is signed.

Both sides use this file: the edge writes what the console reads, and the other way round for acks and commands.
Payloads are JSON. Decoding refuses a wrong type and ignores a field it does not know, for fields may be added.
Every time is ISO 8601 UTC with milliseconds and Z, of the edge clock (`edge.model.iso`); `seq` is the journal's.

What a console does: subscribe to all topics of its edge; treat the edge as dead when no status came for DEAD_AFTER_S
of its own real time, or when a status with the *same* boot says dead (an old will may come after a new birth); store
each event once by `seq`, and only then send an Ack, whose `seq` says that *every* event up to it is stored; send an Ack
every HEARTBEAT_S real seconds even when nothing is new, for the ack is also the console's heartbeat.
"""

from __future__ import annotations

import functools
import hmac
from collections.abc import Hashable, Iterable
from typing import Annotated, Any, Literal, TypeVar, cast

import msgspec
from msgspec import UNSET, UnsetType

from edge.contract import shared_key, topics
from edge.contract.attention_now import CauseNow as CauseNow
from edge.contract.attention_now import CommentNow as CommentNow
from edge.contract.attention_now import DelegationNow as DelegationNow
from edge.contract.attention_now import FallenLevel as FallenLevel
from edge.contract.attention_now import InformationNow as InformationNow
from edge.contract.attention_now import MaintenanceNow as MaintenanceNow
from edge.contract.attention_now import Shelved as Shelved
from edge.contract.attention_now import Signals as Signals
from edge.contract.attention_now import ToldNow as ToldNow
from edge.contract.box import AnchorNow as AnchorNow
from edge.contract.box import CardNow as CardNow
from edge.contract.box import DriverNow as DriverNow
from edge.contract.box import NotedHead as NotedHead
from edge.contract.box import ProbeNow as ProbeNow
from edge.contract.box import ReloadNow as ReloadNow
from edge.contract.box import SounderNow as SounderNow
from edge.contract.box import SpaceNow as SpaceNow
from edge.contract.box import StorageNow as StorageNow
from edge.contract.events import BadBody, Event, EventBody, Evidence, event_hash, read_body
from edge.contract.lines import LineFrame as LineFrame
from edge.contract.lines import LineMinute as LineMinute
from edge.contract.lines import LineNow as LineNow
from edge.contract.session_now import AttestedNow as AttestedNow
from edge.contract.session_now import Bounds as Bounds
from edge.contract.session_now import BpNow as BpNow
from edge.contract.session_now import CheckInNow as CheckInNow
from edge.contract.session_now import DoseNow as DoseNow
from edge.contract.session_now import EstimateNow as EstimateNow
from edge.contract.session_now import NextNow as NextNow
from edge.contract.session_now import OpenNow as OpenNow
from edge.contract.session_now import ProtocolNow as ProtocolNow
from edge.contract.session_now import SessionNow as SessionNow
from edge.contract.session_now import SpotNow as SpotNow
from edge.contract.session_now import StayNow as StayNow
from edge.contract.treatment_now import AlarmLimitNow as AlarmLimitNow
from edge.contract.treatment_now import InterlockNow as InterlockNow
from edge.contract.treatment_now import LimitNow as LimitNow
from edge.contract.treatment_now import StopNow as StopNow
from edge.contract.vitals import ID_PATTERN as ID_PATTERN
from edge.contract.vitals import BadPayload as BadPayload
from edge.contract.vitals import Id as Id
from edge.contract.vitals import Numeric as Numeric
from edge.contract.vitals import OtherNumeric as OtherNumeric
from edge.contract.vitals import Payload as Payload
from edge.contract.vitals import PumpNow as PumpNow
from edge.contract.vitals import Text64 as Text64
from edge.contract.vitals import Time as Time
from edge.contract.vitals import Vitals as Vitals
from edge.contract.vitals import Wave as Wave
from edge.contract.vitals import WaveName as WaveName
from edge.model import (
    MAX_BEDS,
    AlarmClass,
    AlarmPhase,
    AlarmState,
    DeviceKind,
    Dissociation,
    LinkState,
    Phase,
    Priority,
    PumpRole,
    Role,
    from_iso,
    iso,
)

# The whole contract is reached through this one module.
Topic = topics.Topic
TopicKind = topics.TopicKind
parse_topic, status_topic, event_topic = topics.parse_topic, topics.status_topic, topics.event_topic
vitals_topic, wave_topic, state_topic = topics.vitals_topic, topics.wave_topic, topics.state_topic
ack_topic, command_topic, answer_topic = topics.ack_topic, topics.command_topic, topics.answer_topic
gone_topic = topics.gone_topic
sign, command_payload = shared_key.sign, shared_key.command_payload

HEARTBEAT_S = 2.0  # real seconds between statuses, and between a console's acks
DEAD_AFTER_S = 5.0  # real seconds without one: the other side is lost

# --- state (QoS 1, retained) ------------------------------------------------------------------------------------------


class AlarmNow(Payload, frozen=True, kw_only=True):
    """Where one alarm stands. `seq` is the event that moved it last: an acknowledgement names the one the nurse saw.
    `no_data`: what it is about cannot be told now, so it stays; `no_data_since`: since when. `worst`: a higher level
    that has fallen and that nobody has acknowledged. `sound`: at this priority it sounds until somebody acknowledges
    it, even where it is over or has fallen; absent: at its own while it is active. `text_at`: when `text` was true.
    The rest is what that event said (AlarmMoved)."""

    alarm: str
    rule: str
    title: str = ""
    state: AlarmState
    was: AlarmState = "inactive"
    priority: Priority
    alarm_class: AlarmClass | None = msgspec.field(default=None, name="class")
    device: str | None = None
    since: Time
    seq: int
    text: str
    why: str = ""
    clears: str = ""
    limit: str | None = None
    evidence: tuple[Evidence, ...] = ()
    by: str | None = None
    acknowledged_at: Time | None = None
    no_data: bool = False
    phase: Phase | None = None
    dissociation: Dissociation | None = None
    superseded_by: str | UnsetType = UNSET
    command: str | UnsetType = UNSET
    level: int | UnsetType = UNSET
    alarm_phase: AlarmPhase | UnsetType = UNSET
    no_data_since: Time | UnsetType = UNSET
    text_at: Time | UnsetType = UNSET
    worst: FallenLevel | UnsetType = UNSET
    signals: Signals | UnsetType = UNSET
    shelved_until: Time | UnsetType = UNSET
    told: tuple[ToldNow, ...] | UnsetType = UNSET  # who was told since it was announced, oldest first,
    next_told: ToldNow | UnsetType = UNSET  # and who is next, if nobody acknowledges it until then
    comments: tuple[CommentNow, ...] | UnsetType = UNSET  # oldest first
    sound: Priority | UnsetType = UNSET
    cause: CauseNow | UnsetType = UNSET  # where other alarms have the same


class DeviceAlarmNow(Payload, frozen=True, kw_only=True):
    """One alarm a device itself has: the shared code, and its own."""

    code: str
    priority: Priority
    raw: str = ""
    text: str = ""


class DeviceNow(Payload, frozen=True, kw_only=True):
    """One device of a bed and its link. `reason` says why the link is as it is. Since the edge started: `frames` good,
    `bad` ones, responses that came too `late`; and in bytes: `received`, `understood` (in good frames), `dropped`."""

    device: str
    kind: DeviceKind | None = None
    driver: str
    identity: str | None = None
    link: LinkState
    reason: str = ""
    since: Time | None = None
    frames: int = 0
    bad: int = 0
    late: int = 0
    received: int = 0
    understood: int = 0
    dropped: int = 0
    line: LineNow | UnsetType = UNSET
    role: PumpRole | UnsetType = UNSET  # of a pump: whether it gives the drug; absent where nobody has said
    ask: bool | UnsetType = UNSET  # a person must say that it is this bed's own (device_back); until then no number
    off_until: Time | UnsetType = UNSET  # disconnected as planned, until then at the latest
    maintenance: MaintenanceNow | UnsetType = UNSET  # nothing of it is shown, counted or missed
    gone_to: str | UnsetType = UNSET  # the bed to which it went with a patient: nothing of it is this bed's
    stops: bool | UnsetType = UNSET  # of a pump: it can be stopped from here, where that is armed
    alarms: tuple[DeviceAlarmNow, ...] = ()


class Request(Payload, frozen=True, kw_only=True):
    """What the system asks a person for."""

    text: str
    since: Time


class Gap(Payload, frozen=True, kw_only=True):
    """From when to when nobody watched (`from` in JSON): the edge was down (restart), or its machine slept, or its loop
    stalled."""

    from_: Time = msgspec.field(name="from")
    to: Time
    why: Literal["restart", "slept", "stalled"] = "restart"


class State(Payload, frozen=True, kw_only=True):
    """A bed's full state as of event `seq`. Retained by the broker, so a reader must judge `at` before believing it."""

    edge: Id
    bed: Id
    at: Time
    seq: int
    boot: str
    simulated: bool = False
    session: SessionNow | None = None
    alarms: list[AlarmNow] = msgspec.field(default_factory=list)
    devices: list[DeviceNow] = msgspec.field(default_factory=list)
    audio_paused_until: Time | None = None
    request: Request | None = None
    gap: Gap | None = None
    shelved: tuple[Shelved, ...] | UnsetType = UNSET
    delegation: DelegationNow | UnsetType = UNSET
    information: tuple[InformationNow, ...] | UnsetType = UNSET  # of the last while, oldest first
    alarm_limits: tuple[AlarmLimitNow, ...] | UnsetType = UNSET  # of the metrics that have a number now
    interlock: InterlockNow | UnsetType = UNSET  # whether alarms stop the pump; absent where none does or did


# --- events, status, acks (QoS 1) -------------------------------------------------------------------------------------


class EventOut(Payload, frozen=True, kw_only=True):
    """An event as it travels. `late`: it comes from the backlog, and must never sound. `unstored`: the edge cannot
    write its record now, and has this event in memory alone. `damaged`: its row in the edge's record cannot be
    believed; number and hashes are all that is known, and `withheld` is the size of what stands there."""

    seq: int
    boot: str
    edge: Id
    bed: str | None = None
    session: str | None = None
    at: Time
    wall: str = ""
    kind: str
    late: bool
    body: msgspec.Raw
    prev: str
    hash: str
    hash_sig: str | None = None  # the journal's own signature over `hash`; null for events of 0.1.0
    withheld: int = 0  # so many bytes are more than the broker takes: `body` is left empty, `hash` is over the whole
    unstored: bool = False
    damaged: bool = False

    def verify(self) -> bool:
        """Whether `hash` is of these contents, where nothing is withheld. Whether `prev` is the hash of `seq` - 1, and
        whose signature it bears, the reader must check."""
        if self.withheld:
            return len(self.hash) == 64
        try:
            digest = event_hash(
                seq=self.seq, boot=self.boot, edge=self.edge, bed=self.bed, session=self.session,
                at_s=from_iso(self.at), wall=self.wall, kind=self.kind, body=msgspec.json.decode(self.body),
                prev=self.prev)
        except (msgspec.MsgspecError, ValueError, OverflowError, OSError):  # `at` is no time, or one no calendar has
            return False
        return hmac.compare_digest(digest.encode(), self.hash.encode())

    def read(self) -> EventBody:
        """What it says. Raises BadPayload where that does not fit its kind, or this version does not know the kind."""
        try:
            return read_body(self.kind, bytes(self.body))
        except BadBody as error:
            raise BadPayload(str(error)) from None


class ConsoleSeen(Payload, frozen=True, kw_only=True):
    """One console as the edge sees it: its acks come or do not, how far it has stored, and since when it is so."""

    state: Literal["live", "lost"]
    seq: int
    since: Time


class Status(Payload, frozen=True, kw_only=True):
    """Birth, heartbeat and death of an edge. `epoch` is the edge time of this boot's start, from which the edge clock
    runs `speed` times as fast as real time. `will` is the counter of the last will in force, the only old status to be
    believed; `other_boots` are boots other than this one that were alive lately under this edge's name: two boxes
    that call themselves the same. `storage`: null while the record can be written, `space`: while its disk has
    room. `protocols`: by which it opens sessions, the first by itself. `reload`, `probe`, `card`: null until asked."""

    edge: Id
    boot: str
    state: Literal["alive", "dead"]
    at: Time
    version: str
    config: str
    beds: Annotated[list[Id], msgspec.Meta(max_length=MAX_BEDS)]
    seq: int
    speed: float = 1.0
    epoch: Time = ""
    simulated: bool = False
    consoles: dict[str, ConsoleSeen] = msgspec.field(default_factory=dict)
    will: int = 0
    other_boots: list[str] = msgspec.field(default_factory=list)
    storage: StorageNow | None = None
    space: SpaceNow | None = None
    protocols: tuple[ProtocolNow, ...] = ()
    sounder: SounderNow | None = None
    anchor: AnchorNow | None = None
    reload: ReloadNow | None = None
    probe: ProbeNow | None = None
    card: CardNow | None = None


class Ack(Payload, frozen=True, kw_only=True):
    """`console` has stored every event up to `seq`. `boot` is the edge boot it knows; `run` names the connection it is
    sent on (see Gone). `sounded` are the alarm events that its pages have confirmed sounding: those of the alarms that
    stand, and the last others; `sounded_seq` is the highest ever, all that a console of 0.1.0 says."""

    console: Id
    seq: Annotated[int, msgspec.Meta(ge=0)]
    boot: str
    sounded_seq: int | None = None
    at: Time | None = None
    run: str | None = None
    sounded: tuple[int, ...] | None = None


class Gone(Payload, frozen=True, kw_only=True):
    """A console's last will: the connection `run` has broken. Accepted only for its last connection."""

    console: Id
    run: str


# --- commands and answers (QoS 1) -------------------------------------------------------------------------------------


class CommandOut(Payload, frozen=True, kw_only=True):
    """What a person asks, before it is signed. `edge` is the one meant: a command that names another is refused,
    whoever signed it."""

    id: Text64
    edge: str = ""
    console: Id
    user: Text64
    role: Role
    bed: Id
    verb: Text64
    args: dict[str, Any]
    issued: Time
    expires: Time
    nonce: Text64


class CommandIn(CommandOut, frozen=True, kw_only=True):
    """What a person asks. `edge` is the one meant: a command that names another is refused, whoever signed it."""

    sig: str


class Answer(Payload, frozen=True, kw_only=True):
    """The answer to the command `id` with that `nonce`: done, or refused for `reason`; `state` is what is true now,
    where that helps, as a State."""

    id: str
    ok: bool
    reason: str | None = None
    state: dict[str, Any] | None = None
    nonce: str = ""
    boot: str = ""
    at: Time = ""


# --- reading and writing ----------------------------------------------------------------------------------------------

T = TypeVar("T")
encode = msgspec.json.encode


@functools.cache
def _decoder(kind: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cast(Any, kind))


def decode(kind: type[T], payload: bytes) -> T:
    """`payload` as this payload type: `decode(Vitals, payload)`. Raises BadPayload, and nothing else."""
    try:
        value: T = _decoder(cast(Hashable, kind)).decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # ValueError: not UTF-8
        raise BadPayload(str(error)) from None
    return value


def event_out(event: Event, late: bool, unstored: bool = False) -> EventOut:
    """The event as it travels."""
    return EventOut(
        seq=event.seq, boot=event.boot, edge=event.edge, bed=event.bed, session=event.session, at=iso(event.at_s),
        wall=event.wall, kind=event.kind, late=late, body=msgspec.Raw(event.body_json), prev=event.prev,
        hash=event.hash, hash_sig=event.sig, unstored=unstored, withheld=event.damaged, damaged=event.damaged > 0)


def events_payload(events: Iterable[Event], late: bool) -> bytes:
    """Events as a JSON list, in the order given: oldest first."""
    return encode([event_out(event, late) for event in events])


def decode_events(payload: bytes) -> list[EventOut]:
    """One event or a list of them. Raises BadPayload."""
    if payload.lstrip()[:1] == b"[":
        return decode(list[EventOut], payload)
    return [decode(EventOut, payload)]
