"""Oximetry by a protocol's schedule: the saturation as last measured or entered, and when the next one is due.

An oximeter that measures meets the schedule by itself. A saturation that a nurse has read elsewhere and entered is a
record with its time and its name: it meets what asks for oximetry, rules judge it (`by_entry.py`), and nothing shows it
as a live number.
Percent; times: edge clock, s.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import NamedTuple

from edge.core.context import Number, RuleContext
from edge.core.fact import Fact
from edge.core.plausible import BEYOND
from edge.core.state import BedState, Session
from edge.vocabulary import METRICS


class Newest(NamedTuple):
    """The saturation as last known of this patient. `by`: who entered it; None: a device measured it."""

    pct: float
    at_s: float
    by: str | None = None


def newest(state: BedState) -> Newest | None:
    """What was measured at this bed or entered in this session last, however old it is; None: nothing. Infinite: below
    what the device can measure."""
    session, latest = state.session, state.latest.get("spo2_pct")
    if session is None:
        return None
    spot = session.entered("spo2_pct")
    entered = [] if spot is None else [Newest(spot.value, spot.at_s, spot.by)]
    if (latest is None or latest.valid_value is None or latest.valid_at_s is None
            or latest.valid_at_s < session.here_s):
        return entered[0] if entered else None
    is_below = latest.valid_value <= METRICS["spo2_pct"].low  # of what can be measured: the end of it stands for it
    measured = Newest(BEYOND["underflow"] if is_below else latest.valid_value, latest.valid_at_s)
    return max([measured, *entered], key=lambda one: one.at_s)


def last_s(state: BedState, session: Session) -> float:
    """From when the next one is counted: the last one, at whichever bed, or the start."""
    begun_s = session.opened_s if session.started_s is None else session.started_s
    last = newest(state)
    return max([begun_s, *session.spo2_at_s[-1:], *([] if last is None else [last.at_s])])


def due_s(state: BedState) -> float | None:
    """When the next one is due, were the oximeter gone from now on; None before the start, and where none is."""
    session = state.session
    if session is None or session.started_s is None or state.oximetry_every_s is None:
        return None
    return last_s(state, session) + state.oximetry_every_s


def asked_s(context: RuleContext) -> float | None:
    """When a person has to measure the next one; None where none is due, or an oximeter measures by itself."""
    return None if context.metric("spo2_pct") is not None else due_s(context.state)


def _overdue_s(context: RuleContext) -> Number:
    next_s = due_s(context.state)
    return 0.0 if next_s is None else max(0.0, context.at_s - next_s)


def _pct(context: RuleContext) -> Number:
    last = newest(context.state)
    return None if last is None else last.pct


def _age_s(context: RuleContext) -> Number:
    last = newest(context.state)
    return None if last is None else context.at_s - last.at_s


def in_words(context: RuleContext) -> str | None:
    """The saturation as last known, as a person reads it; above 100 % there is none."""
    last = newest(context.state)
    if last is None:
        return None
    return f"{last.pct:.0f}" if isfinite(last.pct) else "below the measuring range"


def _age_in_words(context: RuleContext) -> str | None:
    session = context.state.session
    if session is None:
        return None
    minutes, last = (context.at_s - last_s(context.state, session)) / 60, newest(context.state)
    if last is None:
        return f"none for {minutes:.0f} min"
    return f"the last one {minutes:.0f} min ago{'' if last.by is None else f', {last.pct:.0f} % entered by {last.by}'}"


def facts() -> Iterable[Fact]:
    """What conditions may ask of it."""
    yield Fact("last_spo2.pct", "%", "the saturation as last measured or entered", _pct)
    yield Fact("last_spo2.age_s", "s", "the time since a saturation was last measured or entered", _age_s)
    yield Fact("spo2_overdue_s", "s", "the time since the next oximetry was due", _overdue_s, reason=_age_in_words,
               of_watching=True)
