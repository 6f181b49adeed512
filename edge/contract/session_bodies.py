"""Bodies of the events of a session: its order, what changed in it and why, and who said so."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from edge.contract.edge_bodies import Body
from edge.model import Phase, Role


class Order(Body, frozen=True, kw_only=True):
    """What was ordered for a session."""

    protocol: str
    weight_kg: float | None = None
    dose_mg_kg: float | None = None
    dose_mg: float | None = None
    duration_min: float | None = None
    concentration_mg_ml: float | None = None
    nibp_interval_min: float | None = None
    first_session: bool | UnsetType = UNSET
    hypertension: bool | UnsetType = UNSET


class Baseline(Body, frozen=True, kw_only=True):
    """This patient's own values before the infusion, from how many determinations, and how good they are."""

    sbp_mmhg: float | None = None
    dbp_mmhg: float | None = None
    determinations: int = 0
    quality: str | None = None
    map_mmhg: float | None = None
    pulse_bpm: float | None = None
    spo2_pct: float | None = None


class SessionOpened(Body, frozen=True, kw_only=True, tag_field="change", tag="opened"):
    """A session was opened on a bed."""

    phase: Phase
    order: Order
    command: str
    by: str
    whose: str | UnsetType = UNSET  # a person's word on the alarms of high priority that stood


class ChecklistSet(Body, frozen=True, kw_only=True, tag_field="change", tag="checklist"):
    """The precheck's checklist was confirmed, or taken back."""

    done: bool
    command: str
    by: str


class DoseGiven(Body, frozen=True, kw_only=True, tag_field="change", tag="dose"):
    """The patient took the drug by hand at `given`: so many devices, together `mg`; `delivered_mg` is all since t0.
    `reason`: of one that came sooner than the protocol has them apart."""

    devices: int
    mg: float
    lots: tuple[str, ...]
    given: str
    delivered_mg: float
    command: str
    by: str
    reason: str | UnsetType = UNSET


class SessionClosed(Body, frozen=True, kw_only=True, tag_field="change", tag="closed"):
    """A session was closed, from phase `from`, with these discharge criteria unmet."""

    phase: Phase
    from_: Phase = msgspec.field(name="from")
    reason: str
    unmet: tuple[str, ...]
    delivered_mg: float
    command: str
    by: str
    whose: str | UnsetType = UNSET  # a person's word on the alarms of high priority that stood


class OrderAmended(Body, frozen=True, kw_only=True, tag_field="change", tag="amended"):
    """The order is `order` now, as `prescriber` ordered; it was `was`."""

    order: Order
    was: Order
    prescriber: str
    reason: str
    command: str
    by: str


class GateOverridden(Body, frozen=True, kw_only=True, tag_field="change", tag="override"):
    """A gate that was open, with what it said, no longer holds the session."""

    gate: str
    text: str
    reason: str
    role: Role
    command: str
    by: str


class BaselineSet(Body, frozen=True, kw_only=True, tag_field="change", tag="baseline"):
    """The baseline is this one now; it was `was`."""

    baseline: Baseline
    was: Baseline | None
    reason: str
    command: str
    by: str


class Attested(Body, frozen=True, kw_only=True, tag_field="change", tag="attested"):
    """A person has seen that it is so, or not."""

    what: str
    so: bool
    command: str
    by: str


class DrugChannelNamed(Body, frozen=True, kw_only=True, tag_field="change", tag="drug_channel"):
    """A person said which of this bed's pumps gives the drug; `was`: which it was until then, if any."""

    device: str
    was: str | None
    reason: str
    command: str
    by: str


class CuffAsked(Body, frozen=True, kw_only=True, tag_field="change", tag="measure_bp"):
    """A person asked for a blood pressure now: this cuff is started over the wire."""

    cuff: str
    command: str
    by: str


class DeviceAway(Body, frozen=True, kw_only=True):
    """A device is disconnected as planned, until then at the latest."""

    device: str
    until: str
    reason: str
    command: str
    by: str


class DeviceReturned(Body, frozen=True, kw_only=True):
    """The planned time of a device is over, or it is back (`why`): what is missing of it is missed again."""

    device: str
    why: str
    command: str | UnsetType = UNSET
    by: str | UnsetType = UNSET


class MovedTo(Body, frozen=True, kw_only=True, tag_field="change", tag="moved_to"):
    """The session goes on at bed `to`; these devices of this bed are plugged over to it."""

    to: str
    phase: Phase
    devices: tuple[str, ...]
    delivered_mg: float
    reason: str
    command: str
    by: str


class MovedFrom(Body, frozen=True, kw_only=True, tag_field="change", tag="moved_from"):
    """The session goes on here, and was at bed `from` until now. `devices` of this bed, each by the name it had there:
    another one is to be on its line."""

    from_: str = msgspec.field(name="from")
    phase: Phase
    order: Order
    baseline: Baseline | None
    devices: dict[str, str]
    delivered_mg: float
    reason: str
    command: str
    by: str
    whose: str | UnsetType = UNSET  # a person's word on the alarms of high priority that stood
