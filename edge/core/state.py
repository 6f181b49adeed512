"""All a bed remembers, as one value that can be written down and read back (the journal's snapshot)."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from edge.contract.events import EventBody, PendingEvent
from edge.core.alarms import Alarm, Delegation, Information
from edge.core.engine import Engine
from edge.core.entered import Attestation as Attestation
from edge.core.entered import CheckIn as CheckIn
from edge.core.entered import Dose as Dose
from edge.core.entered import Held, Limit, OwnLimit, Spot
from edge.core.entered import Override as Override
from edge.core.entered import Stay as Stay
from edge.core.lacking import Unwatched
from edge.core.protocol import Protocol, Protocols
from edge.core.stopping import Interlock, Stop
from edge.model import (
    DeviceAlarm,
    DeviceKind,
    Dissociation,
    LinkState,
    Phase,
    PumpRole,
    PumpState,
    Undelivered,
    Validity,
)
from edge.vocabulary import DETERMINATION, METRICS

NO_PROTOCOLS = Protocols({})  # what a snapshot has: the configuration names them
OPEN: frozenset[Dissociation] = frozenset({"expected", "observed", "resolving"})


class LatestValue(msgspec.Struct):
    """The newest word about one metric, and the newest valid one."""

    device: str
    value: float | None
    validity: Validity
    reason: str | None
    at_s: float
    valid_value: float | None = None
    valid_at_s: float | None = None
    before_s: float | None = None  # the valid reading before that
    covered: list[tuple[float, float]] = []  # the stretches of the last while that valid readings cover


class Determination(msgspec.Struct, frozen=True):
    """One completed, valid measurement of the blood pressure."""

    at_s: float
    sbp_mmhg: float
    dbp_mmhg: float
    map_mmhg: float | None = None
    nibp_pulse_bpm: float | None = None
    beyond: tuple[str, ...] = ()  # metrics that are outside of the measuring range: the end of it stands for them
    by: str | None = None  # who measured it by hand and entered it


class Below(msgspec.Struct):
    """The running account of one metric against one low limit."""

    points: float = 0.0  # limit - value, times seconds, since it last went below
    is_below: bool = False
    entered_s: list[float] = []


class OwnValue(msgspec.Struct, frozen=True):
    """A device's newest value of a metric, valid, and since when it has been the same (edge clock, s)."""

    value: float
    at_s: float
    since_s: float


class Maintenance(msgspec.Struct, frozen=True):
    """That a technician works on a device: from when, until when at the latest, who, and why."""

    since_s: float
    until_s: float
    by: str
    reason: str


class Gone(msgspec.Struct, frozen=True):
    """That a device went to bed `to` with the patient of `session`. `identity`: which one; None where it has no serial
    number."""

    to: str
    identity: str | None
    session: str


class Device(msgspec.Struct):
    """What the bed knows of one of its devices."""

    kind: DeviceKind
    driver: str
    link: LinkState = "connecting"
    reason: str = ""
    since_s: float = 0.0
    ever_live: bool = False
    identity: str | None = None  # which device is on the line
    bound: str | None = None  # which one this bed has been given numbers of: the only one it takes them from
    pump: PumpState | None = None
    pump_at_s: float = 0.0
    known_at_s: float | None = None  # when a pump last reported a state other than unknown
    infused: bool = False  # its last such word was that it infuses
    role: PumpRole | None = None  # what this pump gives, as edge.toml says it
    starts_cuff: bool = False  # its cuff is started over the wire
    stops: bool = False  # this pump can be stopped over the wire, and edge.toml says that it may
    rate_ml_h: float | None = None  # its last valid rate
    rate_at_s: float = 0.0  # 0: nobody knows the rate now
    volume_ml: float | None = None  # its own counter, as last read
    volume_at_s: float = 0.0
    volume_of: str | None = None  # whose counter that is: the device's identity then
    volume_doubtful: bool = False  # it had leapt there, and nothing of it was counted
    run_since_s: float | None = None  # a pump says without a break that it infuses since then,
    run_ml: float = 0.0  # and so much went in meanwhile
    newest_s: dict[str, float] = {}  # when it last sent a reading of a metric
    alarms: tuple[DeviceAlarm, ...] = ()
    own: dict[str, OwnValue] = {}  # what it measures itself, whichever device is the source
    ask: bool = False  # a person must say that it is this bed's own
    off_until_s: float | None = None  # disconnected as planned, until then at the latest
    maintenance: Maintenance | None = None
    gone: Gone | None = None  # it went to another bed with a patient
    is_guest: bool = False  # it came from another bed with this patient
    away: bool = False  # it is no part of this session, or was disconnected as planned: nothing is missed of it

    def never_gave(self, metric: str) -> bool:
        """Of a monitor, which may lack a module: it is asked for what it has sent. Other kinds measure theirs."""
        return self.kind == "monitor" and metric not in self.newest_s


class CuffCycle(msgspec.Struct):
    """The newest inflation of the bed's cuff, and the loss of SpO2 that it excuses (edge clock, s)."""

    began_s: float
    seen_s: float  # when it was last seen inflated
    follows_s: float | None = None  # when the inflation before it began
    excuses_from_s: float | None = None  # the last valid SpO2 before it was lost in this inflation


class Baseline(msgspec.Struct, frozen=True):
    """This patient's own values before the infusion: the median of the precheck determinations."""

    sbp_mmhg: float
    dbp_mmhg: float
    determinations: int
    quality: Literal["pair", "single"]
    map_mmhg: float | None = None
    pulse_bpm: float | None = None
    spo2_pct: float | None = None


class Order(msgspec.Struct, frozen=True):
    """What was ordered for this session."""

    protocol: str
    weight_kg: float | None
    dose_mg_kg: float | None  # these three where a pump gives the dose,
    duration_min: float | None
    concentration_mg_ml: float | None
    nibp_interval_min: float | None = 5.0  # None: by the schedule of the protocol
    age_years: float | None = None
    by_hand_mg: float | None = None  # and this where a nurse does
    first_session: bool | None = None
    hypertension: bool | None = None

    @property
    def dose_mg(self) -> float:
        if self.by_hand_mg is not None:
            return self.by_hand_mg
        return (self.dose_mg_kg or 0.0) * (self.weight_kg or 0.0)

    @property
    def rate_ml_h(self) -> float | None:
        """The rate that gives the dose in the duration; None where no pump gives it."""
        if not self.concentration_mg_ml or not self.duration_min:
            return None
        return self.dose_mg / self.concentration_mg_ml / self.duration_min * 60

    def mg_kg(self, mg: float) -> float | None:
        """So much by this patient's weight; None where that is not known."""
        return mg / self.weight_kg if self.weight_kg else None


class Pk(msgspec.Struct, frozen=True):
    """The amounts of the drug by its model at `at_s`, when `mg` had gone in: central, two peripheral, effect site."""

    at_s: float
    mg: float
    amounts: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)


class Amendment(msgspec.Struct, frozen=True):
    """That the order was changed: when, who entered it, who ordered it and why, and the order as it was."""

    at_s: float
    user: str
    prescriber: str
    reason: str
    was: Order


class Session(msgspec.Struct, frozen=True):
    """One treatment of one patient in one bed. Replaced, never edited."""

    id: str
    bed: str
    order: Order
    phase: Phase
    phase_since_s: float
    opened_s: float
    opened_by: str
    checklist: bool = False
    baseline: Baseline | None = None
    infusing_since_s: float | None = None  # reported by the pump, without a break, since then
    stopped_since_s: float | None = None
    started_s: float | None = None  # t0
    ended_s: float | None = None  # tE
    infused_s: float = 0.0
    infused_at_s: float | None = None  # up to when infused_s is counted
    infusing_at_boot: bool = False  # it was, when the edge last started; the pump has not responded since
    unready_start: bool = False  # the infusion ran before the session was ready
    unready_since_s: float | None = None  # since then something has been open again in READY
    delivered_ml: float = 0.0  # from t0 on; as in 0.1.0: from the opening of the session on
    primed_ml: float = 0.0  # by the drug's pump before t0: no dose
    after_end_ml: float = 0.0  # of delivered_ml, what came after tE
    drug_pump: str | None = None  # as a person named it in this session; None: as edge.toml says
    dissociation: Dissociation = "none"
    dissociation_since_s: float | None = None
    dissociation_opened_s: float | None = None
    check_ins: tuple[CheckIn, ...] = ()
    ready_for_discharge_since_s: float | None = None
    doses: tuple[Dose, ...] = ()  # by hand
    amendments: tuple[Amendment, ...] = ()  # of the order, oldest first
    overrides: tuple[Override, ...] = ()
    attested: dict[str, Attestation] = {}  # the last word on each
    limits: tuple[OwnLimit, ...] = ()  # of this patient, where they are not the usual ones
    held: Held | None = None  # a person holds the treatment
    pk: Pk | None = None
    open_since_s: dict[str, float] = {}  # gates that are open, by id
    but_for_the_stay_s: float | None = None  # since then nothing but the minimum stay has kept the patient
    bp_at_s: tuple[float, ...] = ()  # when blood pressures were taken in this session,
    spo2_at_s: tuple[float, ...] = ()  # and when there was a valid SpO2, once in a while
    stays: tuple[Stay, ...] = ()  # at other beds, before this one; oldest first
    spots: tuple[Spot, ...] = ()  # what a person has read and entered, oldest first

    @property
    def delivered_mg(self) -> float:
        by_hand_mg = sum([dose.mg for dose in self.doses]) if self.doses else 0.0
        return self.delivered_ml * (self.order.concentration_mg_ml or 0.0) + by_hand_mg

    @property
    def primed_mg(self) -> float:
        """What the drug's pump gave before the start."""
        return self.primed_ml * (self.order.concentration_mg_ml or 0.0)

    @property
    def symptoms(self) -> dict[str, float]:
        """The symptoms that stand, each with when it was named last: until a later check-in names it as gone."""
        found: dict[str, float] = {}
        for entered in self.check_ins:
            if entered.symptoms:
                found |= dict.fromkeys(entered.symptoms, entered.at_s)
            for symptom in entered.gone:
                found.pop(symptom, None)
        return found

    def entered(self, metric: str) -> Spot | None:
        """What a person has entered of it last."""
        return next((spot for spot in reversed(self.spots) if spot.metric == metric), None)

    @property
    def here_s(self) -> float:
        """Since when the patient has been at this bed."""
        return self.stays[-1].until_s if self.stays else self.opened_s

    @property
    def is_open_period(self) -> bool:
        """Whether the dissociation period is open."""
        return self.dissociation in OPEN


class Shelf(msgspec.Struct, frozen=True):
    """An alarm that is not sounded for a while, by its name: a rule, and its device. Times: edge clock, s."""

    key: str
    rule: str
    device: str | None
    title: str
    since_s: float
    until_s: float
    by: str
    reason: str
    about: tuple[str, ...] = ()  # what it named then


class BedState(msgspec.Struct):
    """Everything of one bed. The only mutable value of the core; `Bedside` alone changes it."""

    bed: str
    engine: Engine = Engine()
    protocols: Protocols = NO_PROTOCOLS
    limits: tuple[Limit, ...] = ()  # that may be set for a patient
    said_by: dict[str, frozenset[str]] = {}  # by rule: what its alarm says is missing; see edge.core.unwatched
    watched: frozenset[str] = frozenset()  # the metrics that rules look at
    nibp_interval_s: float = 300.0
    cuff_every_s: float | None = None  # by the protocol's schedule; None: as ordered, or as nibp_interval_s
    check_in_every_s: float | None = None  # likewise; None: no check-in is due
    oximetry_every_s: float | None = None  # likewise; None: no oximetry is due
    no_pump: bool = False  # the session's dose is given by hand: what a pump of this bed does is no part of it
    boot_s: float = 0.0
    gap_s: float = 0.0  # for so long before boot_s nobody watched,
    gaps_s: float = 0.0  # with the gaps close before it together,
    gap_why: Literal["restart", "slept", "stalled"] = "restart"  # and why
    storage_failing: str = ""  # why the record cannot be written now
    unheard: str = ""  # why nobody may hear the alarms of this bed,
    undelivered: tuple[Undelivered, ...] = ()  # which of them sound now,
    no_console: bool = False  # and whether no console is there at all
    skew_s: float = 0.0  # the clock of a console is so far ahead of the edge's; below 0: behind
    skew_console: str = ""  # and which
    record_damage: str = ""  # what was damaged when the record was last found so,
    record_damaged_at_s: float = 0.0  # and when; 0: never
    devices: dict[str, Device] = {}
    latest: dict[str, LatestValue] = msgspec.field(default_factory=dict, name="seen")  # by metric; JSON as in 0.1.0
    determinations: list[Determination] = []
    failed_determinations: int = msgspec.field(default=0, name="failed_in_row")
    below: dict[str, Below] = {}
    session: Session | None = None
    closed: list[str] = []  # the ids of the sessions closed last
    alarms: dict[str, Alarm] = {}
    orphans: list[Alarm] = []  # shown when their rule or device left the configuration; they end at the next tick
    alarm_count: int = 0
    audio_paused_until_s: float | None = None
    shelves: dict[str, Shelf] = {}  # by the alarm's key
    delegation: Delegation | None = None
    information: tuple[Information, ...] = ()  # of the last while, oldest first
    interlock: Interlock | None = None  # whether alarms stop the pump
    stop: Stop | None = None  # the last one, until the pump runs again
    request: dict[str, Any] | None = None
    cuff: CuffCycle | None = None
    cuff_ended_s: list[float] = []  # when determinations ended lately, good or failed
    cuff_asked_s: float | None = None  # a person asked for one then, and none has ended since
    unwatched: dict[str, Unwatched] = {}  # by device; "" for what is missing and belongs to none
    looked_s: float | None = None  # when it was last looked whether the rules can be answered

    def event(self, at_s: float, body: EventBody) -> PendingEvent:
        """An event of this bed and its session, before the journal numbers it."""
        return PendingEvent(self.bed, self.session.id if self.session else None, at_s, body)

    @property
    def protocol(self) -> Protocol:
        """The session's protocol; without a session, and for one that is no longer configured, the first."""
        session, known = self.session, self.protocols
        if session is None:
            return known.first
        return known.by_id.get(session.order.protocol) or known.named(session.order.protocol) or known.first

    def interval_s(self) -> float:
        """How often a determination is due, seconds."""
        if self.session is None:
            return self.nibp_interval_s
        if self.cuff_every_s is not None:
            return self.cuff_every_s
        ordered_min = self.session.order.nibp_interval_min
        return self.nibp_interval_s if ordered_min is None else ordered_min * 60

    def last_bp_s(self, session: Session) -> float:
        """From when the next determination of this session is counted: the last one, or the start."""
        begun_s = session.opened_s if session.started_s is None else session.started_s
        return max(self.determinations[-1].at_s if self.determinations else 0.0, begun_s)

    def last_check_in_s(self, session: Session) -> float:
        """From when the next check-in is counted: the last one, or the start."""
        begun_s = session.opened_s if session.started_s is None else session.started_s
        return max(session.check_ins[-1].at_s if session.check_ins else 0.0, begun_s)

    def bp_due_s(self) -> float | None:
        """When the next blood pressure is due; None before the start, and without a session."""
        session = self.session
        if session is None or session.started_s is None:
            return None
        return self.last_bp_s(session) + self.interval_s()

    def check_in_due_s(self) -> float | None:
        """When the next check-in is due; None before the start, without a session, and where none is."""
        session = self.session
        if session is None or session.started_s is None or self.check_in_every_s is None:
            return None
        return self.last_check_in_s(session) + self.check_in_every_s

    def stale_after_s(self, metric: str) -> float:
        """How old a value may be before it is no longer live; the cuff's depends on its interval."""
        if metric in DETERMINATION:
            return self.interval_s() + self.engine.nibp_stale_after_interval_s
        return METRICS[metric].stale_after_s

    def longest_gap_s(self, metric: str) -> float:
        """A longer time without a valid reading breaks a hold."""
        return max(self.engine.gap_s, METRICS[metric].stale_after_s * self.engine.gap_of_staleness)

    def can_be_told_s(self) -> float:
        """How old the newest determination may be before two of them, where there are none, can no longer be ruled
        out."""
        return self.interval_s() + self.engine.pair_late_s

    def pair_window_s(self) -> float:
        """How far apart two determinations in a row may be to count as a pair: jitter of the interval included."""
        engine = self.engine
        return max(engine.pair_within_s, engine.pair_within_intervals * self.interval_s() + engine.pair_spare_s)
