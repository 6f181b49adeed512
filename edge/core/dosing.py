"""A dose that a nurse hands to the patient: the phases follow what was given, and no pump has a part in it."""

from __future__ import annotations

from msgspec.structs import replace

from edge.contract.commands import says_why
from edge.core import session as course
from edge.core.state import BedState, Dose
from edge.model import Phase


class NotGiven(ValueError):
    """A dose that cannot have been given so; the message begins with a code and says what to do."""


def give(state: BedState, given: Dose, at_s: float, reason: str = "") -> list[tuple[Phase, str]]:
    """Note what was given; the phases entered now, each with its reason. `reason`: why so soon after the last device,
    where it is sooner than the protocol has them apart. Raises NotGiven."""
    session, by_hand = state.session, state.protocol.by_hand
    assert session is not None
    assert by_hand is not None
    if session.phase not in ("PRECHECK", "READY", "INFUSING"):
        raise NotGiven(f"not_now: no dose is due, the phase is {session.phase}")
    earliest_s = max(session.opened_s, session.doses[-1].at_s if session.doses else 0.0)
    if given.at_s < earliest_s:
        raise NotGiven(f"bad_args: minutes_ago must be at most {int((at_s - earliest_s) / 60)}, after the session was"
                       " opened and the dose before")
    if session.delivered_mg + given.mg > session.order.dose_mg:
        raise NotGiven(f"beyond_order: with these {given.mg:g} mg it were {session.delivered_mg + given.mg:g} mg;"
                       f" ordered are {session.order.dose_mg:g} mg: amend the order first")
    if session.doses and not says_why(reason):
        after_s = round(given.at_s - session.doses[-1].at_s, 3)
        if after_s < by_hand.apart_s:
            minutes, seconds = divmod(int(after_s), 60)
            raise NotGiven(f"reason_needed: the last device was taken {minutes}:{seconds:02d} min before this one, and"
                           f" they are to be {by_hand.apart_s / 60:g} min apart; enter when this one was taken, or why"
                           " so soon")
    unready = session.unready_start or session.phase == "PRECHECK"
    if session.started_s is None:
        session = replace(session, started_s=given.at_s, baseline=course.baseline(state, given.at_s)
                          or session.baseline)
    session = state.session = replace(session, doses=(*session.doses, given), unready_start=unready)
    moved = []
    if session.phase != "INFUSING":
        moved.append(course.enter(state, "INFUSING", at_s, "the first device was given"
                                  + (", before the precheck was done" if unready else "")))
    if session.delivered_mg >= state.protocol.course.complete * session.order.dose_mg:
        moved.append(course.end(state, given.at_s, at_s, "the ordered dose is in"))
    return moved


def follow(state: BedState, at_s: float) -> list[tuple[Phase, str]]:
    """A dose that is not gone on with is over."""
    session, limit_s = state.session, state.protocol.course.paused_for_s
    if session is None or session.phase != "INFUSING" or not session.doses:
        return []
    last_s = session.doses[-1].at_s
    if at_s - last_s <= limit_s:
        return []
    return [course.end(state, last_s, at_s, f"no further device for {limit_s / 60:g} minutes")]


def next_device_s(state: BedState) -> float | None:
    """When the next device of a dose that has begun may be given; None: none is due."""
    session, by_hand = state.session, state.protocol.by_hand
    if session is None or by_hand is None or session.phase != "INFUSING" or not session.doses:
        return None
    return session.doses[-1].at_s + by_hand.apart_s
