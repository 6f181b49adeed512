"""Schedules: how long after the last one the next blood pressure, check-in and oximetry are due, by the protocol.

A row's condition is asked as things stood at the last one, so that nothing falls due, or due no more, as time passes.
"""

from __future__ import annotations

from edge.core import oximetry
from edge.core.context import RuleContext
from edge.core.protocol import Step
from edge.core.protocols import holds
from edge.core.state import BedState, Session


def follow(state: BedState) -> None:
    """Keep how often things are due as the session, the readings and the alarms stand now."""
    session = state.session
    if session is None:
        state.cuff_every_s = state.check_in_every_s = state.oximetry_every_s = None
        return
    schedule = state.protocol.schedule
    state.cuff_every_s = _every_s(state, session, schedule.cuff, state.last_bp_s(session))
    state.check_in_every_s = _every_s(state, session, schedule.check_in, state.last_check_in_s(session))
    state.oximetry_every_s = _every_s(state, session, schedule.oximetry, oximetry.last_s(state, session))


def _every_s(state: BedState, session: Session, steps: tuple[Step, ...], last_s: float) -> float | None:
    """From the one at `last_s` to the next; None: as ordered, or no more."""
    context = RuleContext(state, last_s)
    for step in steps:
        if step.when and not holds(step.when, context):
            continue
        if step.ordered and session.order.nibp_interval_min is not None:
            return None
        if (after_s := _after_s(step, session.started_s, last_s)) is not None:
            return after_s  # where all fixed times of a row are done, the next row counts
    return None


def _after_s(step: Step, started_s: float | None, last_s: float) -> float | None:
    """Whichever comes first: the next of the fixed times that the last one was not for, or so long after it."""
    found = [step.every_min * 60] if step.every_min else []
    if started_s is not None:
        times = (started_s + minutes * 60 for minutes in step.at_min)
        found += [round(at_s - last_s, 3) for at_s in times if at_s - step.early_min * 60 > last_s][:1]
    return min(found, default=None)
