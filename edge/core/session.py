"""A session's life: precheck, baseline, infusion, recovery, discharge.

The phase follows what the pump itself says and what the nurse enters. Silence moves nothing: a pump that cannot be
heard keeps the phase it had.
"""

from __future__ import annotations

from math import isfinite
from statistics import median
from typing import NamedTuple

from msgspec import UNSET
from msgspec.structs import asdict, replace

from edge.contract import events
from edge.core import dose
from edge.core.context import RuleContext
from edge.core.dissociation import counted_from_s
from edge.core.entered import Held
from edge.core.logic import Truth
from edge.core.protocol import Gate
from edge.core.protocols import is_a_stay, makes_no_baseline, open_of, waits_s, words_of
from edge.core.state import Baseline, BedState, Override, Session
from edge.model import Phase, iso


def on_infusion(context: RuleContext) -> list[tuple[Phase, str]]:
    """Follow the pump; the phases entered now, each with its reason."""
    state, at_s, session = context.state, context.at_s, context.state.session
    if session is None or session.phase == "CLOSED" or state.no_pump:
        return []
    running = context.infusing()
    session = _counted(session, running, at_s)
    state.session = session
    if running is None:  # silence moves nothing
        return []
    if session.phase == "INFUSING" if running else session.phase not in ("INFUSING", "PAUSED"):
        return []  # nearly always: the phase is that of a pump which does so
    for_s = state.protocol.course.pump_for_s
    status_s = context.status_at_s(running)  # time alone moves nothing either: the pump has to report it again
    if session.infusing_since_s is not None and status_s - session.infusing_since_s >= for_s:
        return _running(state, at_s)
    if session.stopped_since_s is not None and status_s - session.stopped_since_s >= for_s:
        return _stopped(state, at_s)
    return []


def _counted(session: Session, running: Truth, at_s: float) -> Session:
    """Cumulative infusing time, and since when the pump has reported what it reports now.

    A time in which the pump did not respond counts if it infused before; over a restart, if it does so after, too.
    """
    if running is None and session.infusing_since_s is None:
        return session
    infused_s = session.infused_s
    was = session.infusing_since_s is not None or session.infusing_at_boot
    if was and session.infused_at_s is not None and running is not False:
        infused_s += at_s - session.infused_at_s
    if running is None:
        return replace(session, infused_s=infused_s, infused_at_s=at_s)
    if running:
        since = session.infusing_since_s if session.infusing_since_s is not None else at_s
        return replace(session, infused_s=infused_s, infused_at_s=at_s, infusing_since_s=since, stopped_since_s=None,
                       infusing_at_boot=False)
    since = session.stopped_since_s if session.stopped_since_s is not None else at_s
    if not was and session.stopped_since_s is not None and session.infused_at_s is None:
        return session  # nearly always: it has stopped, and so it has been counted
    return replace(session, infused_s=infused_s, infused_at_s=None, infusing_since_s=None, stopped_since_s=since,
                   infusing_at_boot=False)


def _running(state: BedState, at_s: float) -> list[tuple[Phase, str]]:
    session = state.session
    assert session is not None and session.infusing_since_s is not None
    if session.phase == "INFUSING":
        return []
    unready = session.unready_start or session.phase == "PRECHECK"
    if session.started_s is None:  # here the baseline freezes: the last 30 minutes before, and nothing after
        started = session.infusing_since_s
        session = dose.begin(state, replace(session, started_s=started,
                                            baseline=baseline(state, started) or session.baseline))
    state.session = replace(session, unready_start=unready, ended_s=None)
    return [enter(state, "INFUSING", at_s, "the pump infuses" + (", before the precheck was done" if unready else ""))]


def _stopped(state: BedState, at_s: float) -> list[tuple[Phase, str]]:
    session = state.session
    assert session is not None and session.stopped_since_s is not None
    if session.phase not in ("INFUSING", "PAUSED"):
        return []
    course = state.protocol.course
    if session.delivered_mg >= course.complete * session.order.dose_mg:
        return [end(state, session.stopped_since_s, at_s, "the ordered dose is in")]
    if session.phase == "INFUSING":
        return [enter(state, "PAUSED", at_s, "the pump stopped before the dose was complete")]
    if at_s - session.stopped_since_s > course.paused_for_s:
        return [end(state, session.stopped_since_s, at_s, f"paused for more than {_minutes(course.paused_for_s)}")]
    return []


def end(state: BedState, ended_s: float, at_s: float, why: str) -> tuple[Phase, str]:
    """The dose ended at `ended_s`; recovery begins. Nothing is left to hold; and what a person said before, of a gate
    or of the patient's gait, is said of a patient who had not had all of it: before they leave it is asked anew."""
    assert state.session is not None
    state.session = replace(state.session, ended_s=ended_s, held=None, overrides=(), attested={})
    return enter(state, "RECOVERY", at_s, why)


def end_infusion(state: BedState, at_s: float, why: str) -> tuple[Phase, str]:
    """The nurse ends the infusion although the dose is not complete."""
    assert state.session is not None
    ended = state.session.doses[-1].at_s if state.session.doses else state.session.stopped_since_s
    # a pump that does not respond: the nurse's entry counts until the pump reports otherwise
    state.session = replace(state.session, infusing_since_s=None, infused_at_s=None, infusing_at_boot=False)
    return end(state, at_s if ended is None else ended, at_s, why)


def enter(state: BedState, phase: Phase, at_s: float, why: str) -> tuple[Phase, str]:
    """Move to `phase`."""
    assert state.session is not None
    state.session = replace(state.session, phase=phase, phase_since_s=at_s)
    return phase, why


def on_time(context: RuleContext) -> list[tuple[Phase, str]]:
    """What readings and time allow: READY when nothing is open, DISCHARGE_READY when its criteria have held. Keeps
    since when each gate has been open."""
    state, at_s, session = context.state, context.at_s, context.state.session
    if session is None:
        return []
    if session.phase == "PRECHECK":
        state.session = session = replace(session, baseline=baseline(state, at_s), unready_since_s=None)
    gates, moved = _open_gates(context), list[tuple[Phase, str]]()
    unmet = _not_overridden(session, gates)
    if session.phase in ("PRECHECK", "READY"):
        moved = _precheck(context, session, unmet)
    elif session.phase in ("RECOVERY", "DISCHARGE_READY"):
        moved = _recovery(context, session, unmet)
    _note_open(state, _open_gates(context) if moved else gates, at_s)
    return moved


def _precheck(context: RuleContext, session: Session, unmet: list[Gate]) -> list[tuple[Phase, str]]:
    state, at_s = context.state, context.at_s
    if session.phase == "PRECHECK":
        return [] if unmet else [enter(state, "READY", at_s, "precheck complete")]
    course = state.protocol.course
    if at_s - session.phase_since_s > course.ready_for_s:
        why = f"ready for {_minutes(course.ready_for_s)} without a start; measure the blood pressure again"
        return [enter(state, "PRECHECK", at_s, why)]
    if not unmet:
        if session.unready_since_s is not None:
            state.session = replace(session, unready_since_s=None)
        return []
    since = session.unready_since_s if session.unready_since_s is not None else at_s
    state.session = replace(session, unready_since_s=since)
    return [enter(state, "PRECHECK", at_s, _said(unmet[0], context))] if at_s - since >= course.open_for_s else []


def _recovery(context: RuleContext, session: Session, unmet: list[Gate]) -> list[tuple[Phase, str]]:
    state, at_s = context.state, context.at_s
    if unmet:
        if session.ready_for_discharge_since_s is not None:
            state.session = session = replace(session, ready_for_discharge_since_s=None)
        back = session.phase == "DISCHARGE_READY"
        return [enter(state, "RECOVERY", at_s, _said(unmet[0], context))] if back else []
    since = session.ready_for_discharge_since_s if session.ready_for_discharge_since_s is not None else at_s
    state.session = replace(session, ready_for_discharge_since_s=since)
    for_s = state.protocol.course.discharge_for_s
    if session.phase == "RECOVERY" and at_s - since >= for_s:
        return [enter(state, "DISCHARGE_READY", at_s, f"all discharge criteria have held for {_minutes(for_s)}")]
    return []


def baseline(state: BedState, at_s: float) -> Baseline | None:
    """The median of the valid determinations of the last while, or None."""
    course = state.protocol.course
    context = RuleContext(state, at_s)
    recent = [one for one in state.determinations if 0 <= round(at_s - one.at_s, 3) <= course.baseline_window_s
              and not one.beyond and not makes_no_baseline(state.protocol, context, one)]
    if not recent:
        return None
    apart = round(recent[-1].at_s - recent[0].at_s, 3) >= course.baseline_apart_s
    means = [cycle.map_mmhg for cycle in recent if cycle.map_mmhg is not None]
    before = state.session.baseline if state.session and state.engine.unwatched_of_s else None
    return Baseline(
        median(cycle.sbp_mmhg for cycle in recent), median(cycle.dbp_mmhg for cycle in recent),
        len(recent), "pair" if apart else "single",
        map_mmhg=median(means) if means else None,
        pulse_bpm=_finger(context, "pulse_bpm", before), spo2_pct=_finger(context, "spo2_pct", before),
    )


def _finger(context: RuleContext, metric: str, before: Baseline | None) -> float | None:
    """What the oximeter shows now; in a moment without it, what a nurse has entered or it showed
    before: the baseline is for the session."""
    value = context.metric(metric)
    kept: float | None = getattr(before, metric, None)
    if value is not None and isfinite(value):
        return value
    session = context.state.session
    entered = session.entered(metric) if session is not None else None
    return kept if entered is None else float(entered.value)


HELD = Gate("held", "held()", "")  # nobody overrides it; a person lets the treatment go on


class OpenPoint(NamedTuple):
    """A gate that is open: what is missing, from when it can be met (None: now), and the override of it, if any."""

    gate: Gate
    words: str
    at_s: float | None
    override: Override | None


def open_items(context: RuleContext) -> list[OpenPoint]:
    """What is still open before the next step, before READY or before discharge; also what was overridden."""
    state, session = context.state, context.state.session
    if session is None:
        return []
    overrides = {one.gate: one for one in session.overrides}
    return [OpenPoint(gate, _said(gate, context), _can_be_met_s(state, session, gate), overrides.get(gate.id))
            for gate in _open_gates(context)]


def _open_gates(context: RuleContext) -> list[Gate]:
    """The same as gates, without their words: these are asked for every second, and nobody reads them then."""
    state, session = context.state, context.state.session
    assert session is not None
    gates: tuple[Gate, ...] = ()
    if session.phase in ("PRECHECK", "READY"):
        gates = state.protocol.ready
    elif session.phase in ("RECOVERY", "DISCHARGE_READY"):
        gates = state.protocol.discharge
    elif session.held is not None:
        gates = state.protocol.go_on
    return [*([] if session.held is None else [HELD]), *(open_of(gates, context) if gates else ())]


def _said(gate: Gate, context: RuleContext) -> str:
    session = context.state.session
    if gate is HELD and session is not None and session.held is not None:
        return held_in_words(session.held)
    return words_of(gate, context)


def _not_overridden(session: Session, gates: list[Gate]) -> list[Gate]:
    overridden = {one.gate for one in session.overrides}
    return [gate for gate in gates if gate.id not in overridden] if overridden else gates


def held_in_words(held: Held) -> str:
    """Who holds the treatment, and why."""
    return f"held by {held.by}: {held.reason}"


def open_points(state: BedState, at_s: float) -> list[str]:
    """The same in plain words, without what was overridden."""
    return [point.words for point in open_items(RuleContext(state, at_s)) if point.override is None]


def _can_be_met_s(state: BedState, session: Session, gate: Gate) -> float | None:
    """From when: what a gate waits for in time alone."""
    times: list[float] = []
    for name, limit_s in waits_s(gate.open):
        from_s = {"ended_s": session.ended_s, "started_s": session.started_s}.get(
            name, counted_from_s(state, session))
        after_s = state.protocol.dissociation.back_after_s if name == "check_in" else limit_s
        times += [] if from_s is None else [from_s + after_s]
    return max(times, default=None)


def _note_open(state: BedState, gates: list[Gate], at_s: float) -> None:
    """Keep since when each gate has been open."""
    assert state.session is not None
    _note_but_for_the_stay(state, gates, at_s)
    known = state.session.open_since_s
    now = {gate.id: known.get(gate.id, at_s) for gate in gates}
    if now != known:
        state.session = replace(state.session, open_since_s=now)


def _note_but_for_the_stay(state: BedState, gates: list[Gate], at_s: float) -> None:
    """Keep since when nothing but time alone, from the start or the end of the dose, has kept the patient here."""
    session = state.session
    assert session is not None
    after = session.phase in ("RECOVERY", "DISCHARGE_READY")
    since_s = session.but_for_the_stay_s or at_s if after and all(
        is_a_stay(gate.open) for gate in _not_overridden(session, gates)) else None
    if since_s != session.but_for_the_stay_s:
        state.session = replace(session, but_for_the_stay_s=since_s)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:g} minutes"


def phase_moved(state: BedState, phase: Phase, why: str, at_s: float) -> events.PendingEvent:
    """The event of a phase that was entered by itself."""
    current = state.session
    assert current is not None
    return state.event(at_s, events.PhaseMoved(
        phase=phase, why=why, delivered_mg=round(current.delivered_mg, 2), baseline=describe_baseline(current),
        started=iso(current.started_s) if current.started_s is not None else None))


def describe_order(session: Session) -> events.Order:
    """The order as it is published."""
    order = session.order
    return events.Order(
        protocol=order.protocol, weight_kg=order.weight_kg, dose_mg_kg=order.dose_mg_kg,
        dose_mg=round(order.dose_mg, 2), duration_min=order.duration_min,
        concentration_mg_ml=order.concentration_mg_ml, nibp_interval_min=order.nibp_interval_min,
        first_session=UNSET if order.first_session is None else order.first_session,
        hypertension=UNSET if order.hypertension is None else order.hypertension,
    )


def describe_baseline(session: Session) -> events.Baseline | None:
    """The baseline as it is published."""
    return events.Baseline(**asdict(session.baseline)) if session.baseline else None
