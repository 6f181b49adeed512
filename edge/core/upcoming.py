"""What is next at a bed, and when: what a nurse who comes in asks first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil, inf

from edge.contract.payloads import NextNow
from edge.core import dosing, oximetry
from edge.core.context import RuleContext
from edge.core.session import HELD, OpenPoint, held_in_words
from edge.core.state import BedState, Session
from edge.model import iso


def upcoming(state: BedState, points: Iterable[OpenPoint], at_s: float) -> tuple[NextNow, ...]:
    """What is next, soonest first; what has no time is next now, and what is asked before the patient leaves when no
    time keeps them any more. `points`: what is still open."""
    session = state.session
    if session is None:
        return ()
    unmet = [point for point in points if point.override is None]
    kept_s = max((point.at_s for point in unmet if point.at_s is not None), default=-inf)

    def when_s(one: _Next) -> float:
        what, _, due_s = one
        return due_s if due_s is not None else kept_s if what == "leave" else -inf

    found = sorted(_all(state, session, unmet, at_s), key=when_s)
    return tuple(NextNow(what=what, text=text, at=None if due_s is None else iso(due_s)) for what, text, due_s in found)


_Next = tuple[str, str, float | None]


def _all(state: BedState, session: Session, points: list[OpenPoint], at_s: float) -> Iterator[_Next]:
    course, by_hand = state.protocol.course, state.protocol.by_hand
    if session.held is not None:
        yield "held", f"{held_in_words(session.held)}; {_stop_or_wait(state, session)}", None
        points = [point for point in points if point.gate is not HELD]
    if session.phase == "PRECHECK":
        yield from (("precheck", point.words, None) for point in points)
        return
    if session.phase == "READY":
        by_s = session.phase_since_s + course.ready_for_s
        yield "start", "give the first device" if by_hand else "start the pump", by_s
        return
    bp_due_s, check_in_due_s = state.bp_due_s(), state.check_in_due_s()
    if bp_due_s is not None:
        yield "bp", "blood pressure", bp_due_s
    if check_in_due_s is not None:
        yield "check_in", "check-in", check_in_due_s
    if (spo2_due_s := oximetry.asked_s(RuleContext(state, at_s))) is not None:
        yield "oximetry", "oximetry: enter SpO₂", spo2_due_s
    for name, device in state.devices.items():
        if device.off_until_s is not None:
            yield "device", f"the planned absence of the {name} is over", device.off_until_s
    if session.phase == "INFUSING":
        yield from _dose(state, session, at_s)
    elif session.phase == "PAUSED" and session.stopped_since_s is not None:
        text = "go on at the pump, or enter that the infusion has ended"
        yield "resume", text, session.stopped_since_s + course.paused_for_s
    elif session.phase == "RECOVERY":
        yield from _leave(state, points, at_s)
    elif session.phase == "DISCHARGE_READY":
        yield "close", "the patient may leave: close the session", None


def _dose(state: BedState, session: Session, at_s: float) -> Iterator[_Next]:
    device_s, order = dosing.next_device_s(state), session.order
    if device_s is not None:
        yield "dose", f"the next device ({session.delivered_mg:g} of {order.dose_mg:g} mg are in)", device_s
    elif order.duration_min is not None:
        yield "end", "end of the infusion", at_s + max(0.0, order.duration_min * 60 - session.infused_s)


def _leave(state: BedState, points: list[OpenPoint], at_s: float) -> Iterator[_Next]:
    """When the patient may leave at the earliest: what only time can bring, and then so long with nothing open."""
    times = [point.at_s for point in points if point.at_s is not None]
    earliest_s = max([at_s, *times]) + state.protocol.course.discharge_for_s
    asked = [point.words for point in points if point.at_s is None or point.at_s <= at_s]
    yield "leave", "may leave at the earliest", float(ceil(earliest_s))
    yield from (("leave", words, None) for words in asked)


def _stop_or_wait(state: BedState, session: Session) -> str:
    if session.phase != "INFUSING":
        return "it goes on when a person says so"
    return "give no further device" if state.no_pump else "stop the pump"
