"""What an edge says of its own box: its store, its disk, its sounder, its anchors. Read it through `payloads`."""

from __future__ import annotations

from typing import Literal

from edge.contract.vitals import Id, Payload, Time
from edge.model import Priority

CARD_S = 20.0  # real seconds for which a wiring card is told: long enough for every page that asked


class StorageNow(Payload, frozen=True, kw_only=True):
    """The edge cannot write its record since then, for `reason`: so many events and inputs are in its memory alone, and
    `lost_inputs` were judged and not kept."""

    since: Time
    reason: str
    events: int
    inputs: int
    lost_inputs: int = 0


class SpaceNow(Payload, frozen=True, kw_only=True):
    """Since then the edge's disk is nearly full: so much of it is used, and at this pace it is full in so many seconds
    (null: it does not fill)."""

    since: Time
    used_pct: float
    full_in_s: float | None


class SounderNow(Payload, frozen=True, kw_only=True):
    """Sound at the edge's own box: none is configured (`off`), it is `ready`, or it cannot sound, for `reason`.
    `priority`: what it sounds now."""

    state: Literal["off", "ready", "failing"]
    reason: str = ""
    priority: Priority = "none"


class AnchorNow(Payload, frozen=True, kw_only=True):
    """Whether heads of the record leave the box (edge.app.anchor): nowhere is named (`off`), the newest delivered is
    event `seq` (`ready`), or none has been since then (`failing`), for `reason`."""

    state: Literal["off", "ready", "failing"]
    reason: str = ""
    seq: int = 0
    since: Time | None = None


class ReloadNow(Payload, frozen=True, kw_only=True):
    """How edge.toml was last read again while the edge ran: the edge went over to it, and `text` says what changed
    (`done`); it did, and some of what changed takes a restart (`restart`); or it was refused and nothing changed
    (`refused`), and `text` is the one line that says why."""

    state: Literal["done", "restart", "refused"]
    at: Time
    text: str


class PortNow(Payload, frozen=True, kw_only=True):
    """A serial port of the box: `port` is the name that stays with it, `what` its adapter, `used_by` the device of
    edge.toml that is there, as bed/device; "" where none is."""

    port: str
    what: str
    used_by: str = ""


class ProbeNow(Payload, frozen=True, kw_only=True):
    """What a technician had looked up at the box: its serial `ports`, and what is `at` one place. While it is
    `running`, `says` is whose turn it is; then what was `found` there, with the lines for edge.toml (`toml`), or what
    the bytes look like (`nothing`). `failed`: it could not be done, and `says` says why."""

    state: Literal["listed", "running", "found", "nothing", "failed"]
    since: Time
    by: str
    ports: tuple[PortNow, ...] = ()
    at: str = ""
    says: tuple[str, ...] = ()
    toml: str = ""


class DriverNow(Payload, frozen=True, kw_only=True):
    """A driver that this edge has: its name for edge.toml, and the devices it is for."""

    name: str
    title: str


class CardNow(Payload, frozen=True, kw_only=True):
    """What a technician had looked up of a driver: its wiring card in `lines`, as `vigil devices` prints it; `of` names
    the driver, or the device that has it as bed/device; "" for the list of all `drivers`. It stays for CARD_S."""

    of: str
    lines: tuple[str, ...] = ()
    drivers: tuple[DriverNow, ...] = ()


class NotedHead(Payload, frozen=True, kw_only=True):
    """A line of an anchor file, and what is posted: event `seq` of `edge` had this hash; `sig` is the edge's signature
    over it (edge.contract.signing.hash_is_signed)."""

    edge: Id
    seq: int
    hash: str
    sig: str
    at: Time
