"""A session's life: precheck, baseline, infusion, recovery, discharge.

The phase follows what the pump itself says and what the nurse enters. Silence moves nothing: a pump that cannot be
heard keeps the phase it had.
"""

from __future__ import annotations

from math import isfinite
from statistics import median

from msgspec.structs import asdict, replace

from edge.contract import events
from edge.core.alarms import SHOWN
from edge.core.context import RuleContext
from edge.core.dissociation import quiet_check_in
from edge.core.logic import Truth
from edge.core.state import BASELINE_WINDOW_S, Baseline, BedState, Session
from edge.model import PRIORITY_RANK, Phase

RUNNING_FOR_S = 3.0  # the pump must report it, and report it again after so long, before the phase moves
OPEN_FOR_S = 10.0  # what is open again for so long leaves READY; one bad second does not
BASELINE_APART_S = 60.0
DOSE_COMPLETE = 0.97
PAUSED_AT_MOST_S = 1800.0
DISCHARGE_AFTER_S = 3600.0
DISCHARGE_AFTER_START_S = 6000.0
DISCHARGE_HELD_S = 300.0
DISCHARGE_BP_MAX_AGE_S = 1800.0  # every 15 to 30 minutes until then


def on_infusion(state: BedState, at_s: float) -> list[tuple[Phase, str]]:
    """Follow the pump; the phases entered now, each with its reason."""
    session = state.session
    if session is None or session.phase == "CLOSED":
        return []
    context = RuleContext(state, at_s)
    running = context.infusing()
    session = _counted(session, running, at_s)
    state.session = session
    if running is None:  # silence moves nothing
        return []
    status_s = context.status_at_s(running)  # time alone moves nothing either: the pump has to report it again
    if session.infusing_since_s is not None and status_s - session.infusing_since_s >= RUNNING_FOR_S:
        return _running(state, at_s)
    if session.stopped_since_s is not None and status_s - session.stopped_since_s >= RUNNING_FOR_S:
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
        session = replace(session, started_s=started, baseline=baseline(state, started) or session.baseline)
    state.session = replace(session, unready_start=unready, ended_s=None)
    return [enter(state, "INFUSING", at_s, "the pump infuses" + (", before the precheck was done" if unready else ""))]


def _stopped(state: BedState, at_s: float) -> list[tuple[Phase, str]]:
    session = state.session
    assert session is not None and session.stopped_since_s is not None
    if session.phase not in ("INFUSING", "PAUSED"):
        return []
    if session.delivered_mg >= DOSE_COMPLETE * session.order.dose_mg:
        return [_ended(state, session.stopped_since_s, at_s, "the ordered dose is in")]
    if session.phase == "INFUSING":
        return [enter(state, "PAUSED", at_s, "the pump stopped before the dose was complete")]
    if at_s - session.stopped_since_s > PAUSED_AT_MOST_S:
        return [_ended(state, session.stopped_since_s, at_s, "paused for more than 30 minutes")]
    return []


def _ended(state: BedState, ended_s: float, at_s: float, why: str) -> tuple[Phase, str]:
    assert state.session is not None
    state.session = replace(state.session, ended_s=ended_s)
    return enter(state, "RECOVERY", at_s, why)


def end_infusion(state: BedState, at_s: float, why: str) -> tuple[Phase, str]:
    """The nurse ends the infusion although the dose is not complete."""
    assert state.session is not None
    ended = state.session.stopped_since_s
    # a pump that does not respond: the nurse's entry counts until the pump reports otherwise
    state.session = replace(state.session, infusing_since_s=None, infused_at_s=None, infusing_at_boot=False)
    return _ended(state, at_s if ended is None else ended, at_s, why)


def enter(state: BedState, phase: Phase, at_s: float, why: str) -> tuple[Phase, str]:
    """Move to `phase`."""
    assert state.session is not None
    state.session = replace(state.session, phase=phase, phase_since_s=at_s)
    return phase, why


def on_time(state: BedState, at_s: float) -> list[tuple[Phase, str]]:
    """What readings and time allow: READY when nothing is open, DISCHARGE_READY when its criteria have held."""
    session = state.session
    if session is None:
        return []
    if session.phase in ("PRECHECK", "READY"):
        return _precheck(state, at_s)
    if session.phase in ("RECOVERY", "DISCHARGE_READY"):
        return _recovery(state, at_s)
    return []


def _precheck(state: BedState, at_s: float) -> list[tuple[Phase, str]]:
    session = state.session
    assert session is not None
    if session.phase == "PRECHECK":
        state.session = replace(session, baseline=baseline(state, at_s), unready_since_s=None)
        return [] if open_points(state, at_s) else [enter(state, "READY", at_s, "precheck complete")]
    if at_s - session.phase_since_s > BASELINE_WINDOW_S:
        why = "ready for 30 minutes without a start; measure the blood pressure again"
        return [enter(state, "PRECHECK", at_s, why)]
    unmet = open_points(state, at_s)
    if not unmet:
        state.session = replace(session, unready_since_s=None)
        return []
    since = session.unready_since_s if session.unready_since_s is not None else at_s
    state.session = replace(session, unready_since_s=since)
    return [enter(state, "PRECHECK", at_s, unmet[0])] if at_s - since >= OPEN_FOR_S else []


def _recovery(state: BedState, at_s: float) -> list[tuple[Phase, str]]:
    session = state.session
    assert session is not None
    unmet = open_points(state, at_s)
    if unmet:
        state.session = session = replace(session, ready_for_discharge_since_s=None)
        return [enter(state, "RECOVERY", at_s, unmet[0])] if session.phase == "DISCHARGE_READY" else []
    since = session.ready_for_discharge_since_s if session.ready_for_discharge_since_s is not None else at_s
    state.session = replace(session, ready_for_discharge_since_s=since)
    if session.phase == "RECOVERY" and at_s - since >= DISCHARGE_HELD_S:
        return [enter(state, "DISCHARGE_READY", at_s, "all discharge criteria have held for 5 minutes")]
    return []


def baseline(state: BedState, at_s: float) -> Baseline | None:
    """The median of the valid determinations of the last 30 minutes, or None."""
    recent = [cycle for cycle in state.determinations if 0 <= round(at_s - cycle.at_s, 3) <= BASELINE_WINDOW_S]
    if not recent:
        return None
    apart = round(recent[-1].at_s - recent[0].at_s, 3) >= BASELINE_APART_S
    context = RuleContext(state, at_s)
    means = [cycle.map_mmhg for cycle in recent if cycle.map_mmhg is not None]
    return Baseline(
        median(cycle.sbp_mmhg for cycle in recent), median(cycle.dbp_mmhg for cycle in recent),
        len(recent), "pair" if apart else "single",
        map_mmhg=median(means) if means else None,
        pulse_bpm=_finite(context.metric("pulse_bpm")), spo2_pct=_finite(context.metric("spo2_pct")),
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


def open_points(state: BedState, at_s: float) -> list[str]:
    """What is still open before the next step, in plain words: before READY, or before discharge."""
    session = state.session
    if session is None:
        return []
    if session.phase in ("PRECHECK", "READY"):
        return _before_ready(state, session, at_s)
    if session.phase in ("RECOVERY", "DISCHARGE_READY"):
        return _before_discharge(state, session, at_s)
    return []


def _before_ready(state: BedState, session: Session, at_s: float) -> list[str]:
    context = RuleContext(state, at_s)
    spo2 = context.metric("spo2_pct")
    unmet = [] if session.checklist else ["checklist not confirmed"]
    if session.baseline is None:
        unmet.append("no blood pressure measured yet")
    elif session.baseline.quality == "single":
        unmet.append("a second blood pressure at least 1 minute after the first")
    if spo2 is None:
        unmet.append("no live SpO₂")
    elif spo2 < 94:
        unmet.append(f"SpO₂ {spo2:.0f} % is below 94 %" if isfinite(spo2) else "SpO₂ is below 94 %")
    last = state.determinations[-1] if state.determinations else None  # however old: only a lower one ends the hold
    highest = 150 if (session.order.age_years or 0) > 65 else 140
    if last is not None and (last.sbp_mmhg > highest or last.dbp_mmhg > 90):
        unmet.append(f"blood pressure {last.sbp_mmhg:.0f}/{last.dbp_mmhg:.0f} is above {highest}/90: rest and measure"
                     " again, or ask the prescriber")
    pulse = context.metric("pulse_bpm")
    if pulse is not None and not 50 <= pulse <= 110:
        unmet.append("pulse 50 to 110 at rest")
    moaas = next((entered.moaas for entered in reversed(session.check_ins) if entered.moaas is not None), None)
    if moaas is not None and moaas < 5:
        unmet.append(f"MOAA/S {moaas} before the start")
    return unmet


def _before_discharge(state: BedState, session: Session, at_s: float) -> list[str]:
    unmet = []
    if session.ended_s is None or at_s - session.ended_s < DISCHARGE_AFTER_S:
        unmet.append("60 minutes after the end of the infusion")
    if session.started_s is None or at_s - session.started_s < DISCHARGE_AFTER_START_S:
        unmet.append("100 minutes after the start of the infusion")
    last = state.determinations[-2:]
    base = session.baseline
    if len(last) < 2 or base is None or at_s - last[-1].at_s > DISCHARGE_BP_MAX_AGE_S or not all(
        session.ended_s is not None and c.at_s > session.ended_s
        and abs(c.sbp_mmhg - base.sbp_mmhg) <= 0.2 * base.sbp_mmhg
        and abs(c.dbp_mmhg - base.dbp_mmhg) <= 0.2 * base.dbp_mmhg
        and c.sbp_mmhg < 160 and c.dbp_mmhg < 100 for c in last
    ):
        unmet.append("last two blood pressures within 20 % of baseline and below 160/100")
    context = RuleContext(state, at_s)
    spo2, pulse = context.metric("spo2_pct"), context.metric("pulse_bpm")
    if spo2 is None or spo2 < min(94, base.spo2_pct - 2 if base and base.spo2_pct is not None else 94):
        unmet.append("SpO₂ at least 94 %")
    if pulse is None or not 50 <= pulse <= 110:
        unmet.append("pulse 50 to 110")
    if not quiet_check_in(session, at_s):
        unmet.append("a check-in of the last 15 minutes: MOAA/S 5, CADSS at most 4, distress at most 3,"
                     " no dissociation")
    if session.is_open_period:
        unmet.append("dissociation period still open")
    if any(a.state in SHOWN and PRIORITY_RANK[a.priority] >= 2 for a in state.alarms.values()):
        unmet.append("an alarm of medium or high priority")
    return unmet


def describe_order(session: Session) -> events.Order:
    """The order as it is published."""
    order = session.order
    return events.Order(
        protocol=order.protocol, weight_kg=order.weight_kg, dose_mg_kg=order.dose_mg_kg,
        dose_mg=round(order.dose_mg, 2), duration_min=order.duration_min,
        concentration_mg_ml=order.concentration_mg_ml, nibp_interval_min=order.nibp_interval_min,
    )


def describe_baseline(session: Session) -> events.Baseline | None:
    """The baseline as it is published."""
    return events.Baseline(**asdict(session.baseline)) if session.baseline else None
