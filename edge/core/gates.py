"""What the gates of a protocol ask for, as facts: the checklist, the last blood pressures, what is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isfinite

from edge.core.alarms import SHOWN
from edge.core.context import Number, RuleContext
from edge.core.dissociation import quiet_check_in
from edge.core.fact import Fact, Parameter
from edge.core.logic import Truth, both
from edge.core.pairs import Condition
from edge.core.plausible import measured
from edge.core.state import Determination
from edge.model import PRIORITY_RANK, iso

Quantity = Callable[[RuleContext], Number]


def known(context: RuleContext, quantity: Quantity) -> Truth:
    """Whether a number is known now. Of all facts this one is never unknown."""
    return quantity(context) is not None


def _measured_or_entered(context: RuleContext, metric: str, within_s: float) -> Number:
    """As a device measures it now; where none does, as a person entered it within the last `within_s`, unless a device
    has measured it since."""
    now, session = context.metric(metric), context.state.session
    spot = session.entered(metric) if now is None and session is not None else None
    if spot is None or session is None or round(context.at_s - spot.at_s, 3) > within_s:
        return now
    return None if context.is_measured_since(metric, max(spot.at_s, session.here_s)) else float(spot.value)


def facts() -> Iterable[Fact]:
    """What gates alone ask for; the others stand with all facts."""
    yield Fact("measured_or_entered", "{}", "{0}, measured now or entered within {1} s", _measured_or_entered,
               (Parameter("metric"), Parameter("number", "seconds")))


def checklist(context: RuleContext) -> Truth:
    """Whether the session's checklist is confirmed."""
    session = context.state.session
    return session is not None and session.checklist


def baseline_pair(context: RuleContext) -> Truth:
    """Whether the baseline is of two determinations that are far enough apart."""
    session = context.state.session
    return session is not None and session.baseline is not None and session.baseline.quality == "pair"


def last_bp(context: RuleContext) -> Determination | None:
    """The newest determination, however old it is."""
    return context.state.determinations[-1] if context.state.determinations else None


def last_bp_age_s(context: RuleContext) -> Number:
    """How old it is."""
    last = last_bp(context)
    return None if last is None else context.at_s - last.at_s


def last_bp_in_words(context: RuleContext) -> str | None:
    """The newest determination as a person writes it: 132/84."""
    last = last_bp(context)
    return None if last is None else f"{_in_words(last, 'sbp_mmhg')}/{_in_words(last, 'dbp_mmhg')}"


def _in_words(one: Determination, metric: str) -> str:
    value = measured(one, metric)
    if value is None or isfinite(value):
        return "--" if value is None else f"{value:.0f}"
    return f"{'>' if value > 0 else '<'}{getattr(one, metric):.0f}"


def last_two_bp(context: RuleContext, condition: Condition) -> Truth:
    """Whether it is so in the last two determinations, both taken after the end of the infusion."""
    session, last = context.state.session, context.state.determinations[-2:]
    ended_s = session.ended_s if session else None
    if len(last) < 2 or ended_s is None or any(one.at_s <= ended_s for one in last):
        return False
    return both(condition(context.with_determination(one)) for one in last)


def is_quiet(context: RuleContext) -> Truth:
    """Whether the newest check-in is fresh and shows a patient who is back."""
    return quiet_check_in(context.state, context.at_s) is not None


def alarm_shown(context: RuleContext) -> Truth:
    """Whether an alarm of medium or high priority is shown."""
    return any(alarm.state in SHOWN and PRIORITY_RANK[alarm.priority] >= PRIORITY_RANK["medium"]
               for alarm in context.state.alarms.values())


def given_unready_s(context: RuleContext) -> Number:
    """The time since the last dose by hand of a session whose precheck was not complete; None where there is none."""
    session = context.state.session
    if session is None or not session.doses or not session.unready_start:
        return None
    return context.at_s - session.doses[-1].at_s


def is_by_hand(context: RuleContext) -> Truth:
    """Whether the dose of this session is given by hand."""
    return context.state.no_pump


def _taken_between(times_s: tuple[float, ...], context: RuleContext, from_s: float, to_s: float) -> Truth:
    """`from_s` to `to_s` after the start, both included."""
    session = context.state.session
    begun_s = session.started_s if session else None
    return begun_s is not None and any(from_s <= round(at_s - begun_s, 3) <= to_s for at_s in times_s)


def bp_between(context: RuleContext, from_s: float, to_s: float) -> Truth:
    """Whether a blood pressure was taken then."""
    session = context.state.session
    return session is not None and _taken_between(session.bp_at_s, context, from_s, to_s)


def spo2_between(context: RuleContext, from_s: float, to_s: float) -> Truth:
    """Whether there was a valid SpO2 then."""
    session = context.state.session
    return session is not None and _taken_between(session.spo2_at_s, context, from_s, to_s)


def stray_pumps(context: RuleContext) -> tuple[str, ...]:
    """The pumps that infuse, or did when last heard, although the dose of this session is given by hand."""
    state = context.state
    return tuple(name for name, device in state.devices.items()
                 if state.no_pump and device.kind == "pump" and device.infused)


def has_stray_pump(context: RuleContext) -> Truth:
    """Whether there is one."""
    return bool(stray_pumps(context))


def attested(context: RuleContext, what: str) -> Truth:
    """Whether a person has seen that it is so. Where nobody has said anything it is not."""
    session = context.state.session
    found = session.attested.get(what) if session else None
    return found is not None and found.so


def attested_in_words(context: RuleContext, what: str) -> str:
    """What was recorded: nothing is not "no"."""
    session = context.state.session
    found = session.attested.get(what) if session else None
    return "not recorded" if found is None else f"{'yes' if found.so else 'no'}, {iso(found.at_s)[11:16]} UTC"


def last_two_bp_apart_s(context: RuleContext) -> Number:
    """How far apart the last two determinations are; None where there are not two."""
    last = context.state.determinations[-2:]
    return round(last[1].at_s - last[0].at_s, 3) if len(last) == 2 else None


def alarm_ended_s(context: RuleContext) -> Number:
    """The time since an alarm of medium or high priority last ended; None where none has in this session."""
    session = context.state.session
    ended = [alarm.told_s for alarm in context.state.alarms.values()
             if alarm.state == "inactive" and alarm.body is not None and session is not None
             and alarm.told_s >= session.opened_s and PRIORITY_RANK[alarm.body.priority] >= PRIORITY_RANK["medium"]]
    return context.at_s - max(ended) if ended else None
