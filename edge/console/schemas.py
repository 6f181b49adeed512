"""What goes over HTTP, as types: the console's OpenAPI is made of these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from edge.contract.accounts import MAX_NAME, MAX_PASSWORD, MIN_PASSWORD
from edge.contract.box_verbs import MAX_AT, MAX_OF
from edge.contract.broker_said import RefusedFor
from edge.contract.seen import ALL_SEEN
from edge.model import Role


class StrictModel(BaseModel):
    """Base: what is not named is refused."""

    model_config = ConfigDict(extra="forbid")


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
Password = Annotated[str, Field(min_length=1, max_length=MAX_PASSWORD)]
FreshPassword = Annotated[str, Field(min_length=MIN_PASSWORD, max_length=MAX_PASSWORD)]


class Login(StrictModel):
    """Name and password."""

    name: Name
    password: Password


class Unlock(StrictModel):
    """The password of whoever is logged in."""

    password: Password


class AccountNamed(StrictModel):
    """The account that is meant."""

    name: Name


class NewPassword(StrictModel):
    """The account that is meant, and its password from now on."""

    name: Name
    password: FreshPassword


class NewAccount(StrictModel):
    """An account to be made."""

    model_config = ConfigDict(extra="forbid", regex_engine="python-re")  # the other one has no look-ahead
    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME, pattern=ALL_SEEN)]
    role: Role
    password: FreshPassword


class AccountNow(BaseModel):
    """An account. `disabled`: nobody comes in under it until it gets a new password."""

    name: str
    role: Role
    disabled: bool
    made_at: str


class AuditLine(BaseModel):
    """Who did what when, by this console's clock; never a patient's name."""

    n: int
    at: str
    user: str
    what: str
    edge: str | None
    bed: str | None
    detail: dict[str, Any]


class Audit(BaseModel):
    """Lines, newest first. `broken`: the first that is not as it was written, and why; it and what is older are not
    told."""

    lines: list[AuditLine]
    broken: str | None


class Me(BaseModel):
    """Who is logged in; `csrf` goes into the X-CSRF header of every change.

    At `expires_at` (this console's time, as `now` is) a session locks, unless it is renewed before; it holds for
    `lock_after_s` real seconds. `locked`: it shows and sounds, and changes nothing until /api/unlock has the password.
    """

    name: str
    role: Role
    csrf: str
    expires_at: str
    now: str
    lock_after_s: float
    locked: bool


class Done(BaseModel):
    """It is done."""

    ok: bool = True


class CommandRequest(StrictModel):
    """A verb of the contract and its arguments. `start_session` may carry `patient`, a name that stays here. `session`:
    the one that was seen at the bed; where another one is open there by now, nothing is sent."""

    verb: Annotated[str, Field(min_length=1, max_length=64)]
    args: dict[str, Any] = {}
    session: Annotated[str | None, Field(max_length=64)] = None


class BoxRequest(StrictModel):
    """What a technician asks of an edge as a whole."""

    verb: Literal["look_at_ports", "read_again"]


class ProbeRequest(StrictModel):
    """What is at a port, or at tcp://host:port?"""

    verb: Literal["probe_port"]
    at: Annotated[str, Field(min_length=1, max_length=MAX_AT, pattern=r"^(/|[a-z+]+://)[!-~]+$")]


class CardRequest(StrictModel):
    """How a driver's device is connected? `of` is the driver, or bed/device; "" lists the drivers."""

    verb: Literal["show_driver"]
    of: Annotated[str, Field(max_length=MAX_OF, pattern=r"^[A-Za-z0-9_./-]*$")] = ""


class CommandOutcome(BaseModel):
    """Done. `state` is what is true now, where that helps; `session`: the one that was started.

    A command that was refused is answered with a problem that has these members too: `reason` is the edge's.
    """

    ok: bool
    reason: str | None = None
    state: dict[str, Any] | None = None
    session: str | None = None


class BedNow(BaseModel):
    """A bed's last state (with `patient` and `live`) and vitals, as MQTT brought them."""

    edge: str
    bed: str
    state: dict[str, Any] | None
    vitals: dict[str, Any] | None


class EdgeNow(BaseModel):
    """The edge's last status, and whether it is live now."""

    edge: str
    ok: bool
    since: str
    age_s: float | None
    status: dict[str, Any] | None


class DevicesOfBed(BaseModel):
    """One bed's devices; where not `live`, this is what they last were."""

    edge: str
    bed: str
    live: bool
    devices: list[dict[str, Any]]


class RefusedNow(BaseModel):
    """What of one user the broker refused, how often, from first to last, and what to do about it."""

    why: RefusedFor
    user: str | None
    client: str
    what: str
    count: int
    first: str
    last: str
    remedy: str


class RefusedByBroker(BaseModel):
    """What the embedded broker refused since it began, the last first; `more` are no longer told singly. `told` False:
    it tells nothing. Another broker writes what it refuses to its own log."""

    told: bool
    since: str | None
    refused: list[RefusedNow]
    more: int


class Devices(BaseModel):
    """All beds' devices, and each edge; `edge` is the first. `broker`: for a technician alone."""

    edge: EdgeNow
    edges: list[EdgeNow]
    beds: list[DevicesOfBed]
    broker: RefusedByBroker | None = None


class DeterminationAt(BaseModel):
    """One completed cuff cycle."""

    at: str
    sbp_mmhg: float | None
    dbp_mmhg: float | None
    map_mmhg: float | None
    nibp_pulse_bpm: float | None


class History(BaseModel):
    """A trend: `at` and each metric are columns of one length; null is a gap and is never to be bridged."""

    at: list[str]
    metrics: dict[str, list[float | None]]
    determinations: list[DeterminationAt]


class EventRead(BaseModel):
    """An event as the edge wrote it."""

    seq: int
    boot: str
    edge: str
    bed: str | None
    session: str | None
    at: str
    wall: str
    kind: str
    late: bool
    body: dict[str, Any]
    prev: str
    hash: str


class Health(BaseModel):
    """Whether the console works, and each part of the way (`hops`)."""

    ok: bool
    hops: dict[str, dict[str, Any]]
