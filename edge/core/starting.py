"""The cuff that is started over the wire: when the next measurement is due, and when none may be begun.

IEC 80601-2-30 lets an automatic cuff measure in a row for 15 minutes at most, and asks for at least 30 s without
pressure between two measurements of a longer series. The figures stand in rules.toml. The driver keeps pauses of its
own besides; whichever is longer holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, inf

from edge.contract.commands import MeasureBp
from edge.contract.events import CuffAsked, PendingEvent, Requested
from edge.core.refusal import Refused
from edge.core.state import BedState, Device
from edge.model import Command

BY_HAND = "Measure the blood pressure now, at the cuff"
WHY = "A person asked for it."


def starts(state: BedState, at_s: float) -> list[tuple[str, float | None]]:
    """For each cuff of this bed that is started over the wire when the next measurement is due: infinite where it is
    not to measure, None where its own schedule counts."""
    return [(name, _due_s(state, name, at_s)) for name, device in state.devices.items() if device.starts_cuff]


def _due_s(state: BedState, name: str, at_s: float) -> float | None:
    if state.devices[name].away:
        return inf
    if name != _starter(state):
        return inf if _starter(state) is not None else None
    if state.cuff_asked_s is not None:
        return max(state.cuff_asked_s, _allowed_s(state))
    due_s = state.bp_due_s()
    if due_s is None:
        return None
    if state.failed_determinations and state.cuff_ended_s and state.cuff_ended_s[-1] >= due_s:
        wait_s = state.engine.cuff_repeat_s if state.failed_determinations == 1 else state.interval_s()
        due_s = state.cuff_ended_s[-1] + wait_s
    return max(due_s, _allowed_s(state))


def _starter(state: BedState) -> str | None:
    """The cuff to start: the first that is there."""
    return next((name for name, device in state.devices.items() if device.starts_cuff and _is_there(device)), None)


def _is_there(device: Device) -> bool:
    return device.link == "live" and not device.away


def _allowed_s(state: BedState) -> float:
    """From when another measurement may be begun."""
    engine, ended_s = state.engine, state.cuff_ended_s
    if not ended_s:
        return 0.0
    most = int(engine.cuff_most)
    crowded_s = ended_s[-most] + engine.cuff_most_of_s if len(ended_s) >= most else 0.0
    return max(ended_s[-1] + engine.cuff_pause_s, crowded_s)


def note_ended(state: BedState, at_s: float) -> None:
    """A measurement ended, good or failed."""
    recent = [one for one in state.cuff_ended_s if at_s - one < state.engine.cuff_most_of_s]
    state.cuff_ended_s, state.cuff_asked_s = [*recent, at_s], None


def measure_bp(state: BedState, _: object, command: Command, __: MeasureBp, at_s: float) -> Iterator[PendingEvent]:
    """Start the cuff where that is done over the wire; else ask the person. Raises Refused."""
    able = [name for name, device in state.devices.items() if device.starts_cuff]
    if not able:
        yield _asked_of_a_person(state, at_s)
        return
    name = _starter(state)
    if name is None:
        device = state.devices[able[0]]
        how = "is disconnected as planned" if device.away else f"is not connected ({device.link})"
        raise Refused(f"not_now: the {able[0]} {how}; measure at another cuff")
    if state.cuff_asked_s is not None or _is_inflated(state, at_s):
        raise Refused("not_now: the cuff is measuring")
    wait_s = _allowed_s(state) - at_s
    if wait_s > 0:
        raise Refused(f"too_soon: the arm needs a pause; the cuff can be started again in {ceil(wait_s)} s")
    state.cuff_asked_s = at_s
    yield state.event(at_s, CuffAsked(cuff=name, command=command.id, by=command.user))


def _is_inflated(state: BedState, at_s: float) -> bool:
    return state.cuff is not None and at_s - state.cuff.seen_s <= state.engine.gap_s


def follow(state: BedState, at_s: float) -> Iterator[PendingEvent]:
    """A measurement that was asked for and does not come is left to a person."""
    asked_s = state.cuff_asked_s
    if asked_s is not None and at_s - asked_s >= state.engine.cuff_answers_s:
        state.cuff_asked_s = None
        yield _asked_of_a_person(state, at_s)


def _asked_of_a_person(state: BedState, at_s: float) -> PendingEvent:
    state.request = {"rule": "", "text": BY_HAND, "since_s": at_s}
    return state.event(at_s, Requested(rule="", text=BY_HAND, why=WHY, evidence=()))
