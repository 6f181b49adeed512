"""The session in a bed's state: where it stands, what was ordered and given, what is open and what is due; and the
protocols by which an edge opens one."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from edge.contract.events import Baseline, Order
from edge.contract.treatment_now import HeldNow, LimitNow
from edge.contract.vitals import Payload, Time
from edge.model import Dissociation, Phase, Role, Route


class CheckInNow(Payload, frozen=True, kw_only=True):
    """The last check-in; null is "not assessed"."""

    at: Time
    user: str
    moaas: int | None = None
    cadss: int | None = None
    anxiety: int | None = None
    distress: int | None = None
    nausea: int | None = None
    symptoms: tuple[str, ...] = ()
    note: str = ""


class SpotNow(Payload, frozen=True, kw_only=True):
    """The last saturation, %, that a person entered: when and who. It is never a live number."""

    pct: int
    at: Time
    user: str


class BpNow(Payload, frozen=True, kw_only=True):
    """The last blood pressure, mmHg, that a person measured and entered. It is never a live number."""

    sbp_mmhg: int
    dbp_mmhg: int
    at: Time
    user: str


class DoseNow(Payload, frozen=True, kw_only=True):
    """What the patient took by hand at `at`: so many devices, together `mg`."""

    at: Time
    devices: int
    mg: float
    lots: tuple[str, ...] = ()
    user: str = ""


class OpenNow(Payload, frozen=True, kw_only=True):
    """A gate that is open before the next step: what is missing, since when, and from when it can be met (null: now).
    `override`: who may go on in spite of it; `overridden_by`: who has, and for which `reason`."""

    gate: str
    text: str
    since: Time | None = None
    at: Time | None = None
    override: tuple[Role, ...] = ()
    overridden_by: str | None = None
    reason: str | None = None


class NextNow(Payload, frozen=True, kw_only=True):
    """What is next at this bed, and when (null: now; of start and resume: by when). `what`: held, precheck, start,
    dose, bp, check_in, oximetry, end, resume, leave, or close."""

    what: str
    text: str
    at: Time | None = None


class AttestedNow(Payload, frozen=True, kw_only=True):
    """What a person has seen last: that it is so, or not."""

    what: str
    so: bool
    at: Time
    user: str


class EstimateNow(Payload, frozen=True, kw_only=True):
    """What a model makes of the dose, ng/mL, in the blood and where it acts. `degraded`: the pump has not been heard
    lately. It judges nothing."""

    model: str
    blood_ng_ml: float
    effect_ng_ml: float
    degraded: bool
    text: str = "model estimate, individual concentration may differ by 2x"


class StayNow(Payload, frozen=True, kw_only=True):
    """That the session was at another bed of this edge before."""

    bed: str
    from_: Time = msgspec.field(name="from")
    until: Time


class SessionNow(Payload, frozen=True, kw_only=True):
    """The open session of a bed. No patient: names live in the console's store alone."""

    id: str
    phase: Phase
    phase_since: Time | None = None
    dissociation: Literal["open", "closed"] = "closed"
    dissociation_state: Dissociation | None = None
    dissociation_since: Time | None = None
    started: Time | None = None
    infusion_started: Time | None = None
    infusion_ended: Time | None = None
    infused_s: float | None = None
    dose_mg: float | None = None
    dose_mg_kg: float | None = None
    # so many minutes after the start it would have been time to leave, had there been no minimum stay; null: not yet
    ready_min: float | None = None
    primed_mg: float = 0.0  # what the drug's pump gave before the start: no dose
    after_end_mg: float = 0.0  # of dose_mg, what came after the end of the infusion
    order: Order | None = None
    baseline: Baseline | None = None
    open: list[str] = msgspec.field(default_factory=list)
    check_in: CheckInNow | None = None
    check_in_due: Time | None = None
    symptoms: tuple[str, ...] = ()  # named in a check-in, and in none since as gone
    quiet: bool = False  # the last check-in is fresh and shows nothing that keeps the patient here
    route: Route | None = None
    bp_due: Time | None = None  # when the next blood pressure is due; null: none is
    doses: tuple[DoseNow, ...] = ()  # given by hand, oldest first; empty where a pump gives it
    open_items: tuple[OpenNow, ...] = ()  # `open` says the same in words, without those that are overridden
    estimate: EstimateNow | None = None
    next: tuple[NextNow, ...] = ()  # soonest first
    held: HeldNow | None = None
    limits: tuple[LimitNow, ...] = ()  # those that may be set for a patient, with what is set
    attested: tuple[AttestedNow, ...] = ()  # what is not named here, nobody has recorded
    stays: tuple[StayNow, ...] = ()  # at other beds, before this one; oldest first
    # when a person has to measure the saturation; absent: none is due, or an oximeter measures by itself
    spo2_due: Time | UnsetType = UNSET
    spo2_entered: SpotNow | UnsetType = UNSET
    bp_entered: BpNow | UnsetType = UNSET  # where it is the newest
    checklist: bool | None = None  # whether the list before the start is confirmed; null: an edge that does not say


class Bounds(Payload, frozen=True, kw_only=True):
    """From `low` to `high`, both allowed."""

    low: float
    high: float


class ProtocolNow(Payload, frozen=True, kw_only=True):
    """A protocol by which this edge opens sessions, as a form needs it. `limits`: by the argument of start_session.
    `doses_mg`: what may be ordered where a nurse gives the dose by hand, in devices of `device_mg`; empty where a pump
    gives it."""

    id: str
    title: str
    drug: str
    route: Route
    limits: dict[str, Bounds] = msgspec.field(default_factory=dict)
    doses_mg: tuple[float, ...] = ()
    device_mg: float | None = None
