"""The dissociation period by clock, dose, estimate and check-in. It opens early and never closes by itself.

Where there is an estimate of the concentration at the effect site, the period closes when that is low, too, and may do
so sooner than by the clock alone; never without a quiet check-in.
"""

from __future__ import annotations

from msgspec.structs import replace

from edge.core import dose, pk
from edge.core.protocol import DissociationTimes
from edge.core.state import BedState, CheckIn, Session
from edge.model import Dissociation

SYMPTOM = "dissociation"  # as the console's check-in ticks it


def follow(state: BedState, at_s: float) -> list[tuple[Dissociation, str]]:
    """Move the period on; each move with its basis."""
    session = state.session
    if session is None or session.started_s is None:
        return []
    if session.dissociation == "none":
        if state.protocol.by_hand:
            return _opening_by_hand(state, session.started_s, at_s)
        return _opening(state, session, at_s)
    if session.dissociation in ("resolving", "resolved") and session.ended_s is None:
        return [_to(state, "expected", at_s, "the pump infuses again")]
    if session.dissociation in ("expected", "observed") and _is_fading(state, session, at_s):
        return [_to(state, "resolving", at_s, "the infusion has ended")]
    if session.dissociation == "resolving":
        since = _has_ended(state, session, at_s)
        return [_to(state, "resolved", at_s, f"{since} and a quiet check-in")] if since else []
    return []


def counted_from_s(state: BedState, session: Session) -> float | None:
    """From when the times of its end are counted: the end, or for some protocols the start, of the dose."""
    return session.started_s if state.protocol.dissociation.counted_from == "start" else session.ended_s


def _opening_by_hand(state: BedState, started_s: float, at_s: float) -> list[tuple[Dissociation, str]]:
    after_s = state.protocol.dissociation.opens_after_s
    if at_s - started_s < after_s:
        return []
    return [_to(state, "expected", at_s, f"clock: {after_s / 60:g} minutes after the first dose")]


def _opening(state: BedState, session: Session, at_s: float) -> list[tuple[Dissociation, str]]:
    order = session.order
    mg_kg_h = order.mg_kg(dose.rate_ml_h(state) * (order.concentration_mg_ml or 0.0)) or 0.0
    times = state.protocol.dissociation
    if session.infused_s >= times.opens_after_s and mg_kg_h >= times.opens_from_mg_kg_h:
        return [_to(state, "expected", at_s, f"clock: {times.opens_after_s / 60:g} minutes of infusion")]
    if (order.mg_kg(session.delivered_mg) or 0.0) >= times.opens_after_mg_kg:
        return [_to(state, "expected", at_s, f"dose: {times.opens_after_mg_kg:.2f} mg/kg delivered")]
    from_ng_ml = times.opens_from_ng_ml
    effect = None if from_ng_ml is None else pk.at_effect(state, session, at_s)
    if effect is not None and from_ng_ml is not None and effect[0] >= from_ng_ml:
        return [_to(state, "expected", at_s, f"model estimate: {effect[0]:.0f} ng/mL where it acts")]
    return []


def on_check_in(state: BedState, entered: CheckIn, at_s: float) -> list[tuple[Dissociation, str]]:
    """A check-in that shows dissociation opens the period, or opens it again."""
    session = state.session
    if session is None or session.started_s is None or not shows_dissociation(state, session, entered):
        return []
    if session.dissociation == "resolved":
        return [_to(state, "observed", at_s, "nurse: relapse")]
    if session.dissociation in ("none", "expected"):
        return [_to(state, "observed", at_s, "nurse: check-in")]
    return []


def _is_fading(state: BedState, session: Session, at_s: float) -> bool:
    """The infusion has ended, and no later check-in shows dissociation that is not already less than before; without
    one, the estimate is low and falls."""
    if session.ended_s is None:
        return False
    if not session.check_ins or session.check_ins[-1].at_s < session.ended_s:
        below, effect = state.protocol.dissociation.fades_below_ng_ml, pk.at_effect(state, session, at_s)
        return below is None or effect is None or (effect[0] < below and effect[1])
    last, before = session.check_ins[-1], session.check_ins[-2] if len(session.check_ins) > 1 else None
    falling = before is not None and None not in (last.cadss, before.cadss) and (last.cadss or 0) < (before.cadss or 0)
    return falling or not shows_dissociation(state, session, last)


def shows_dissociation(state: BedState, session: Session, entered: CheckIn) -> bool:
    """The nurse ticked it, or a score of the protocol shows it."""
    times = state.protocol.dissociation
    above = _cadss_above(session, times)
    scores = ((entered.cadss is not None and entered.cadss > above)
              or (entered.moaas is not None and entered.moaas <= times.moaas_at_most))
    return SYMPTOM in entered.symptoms or scores


def quiet_check_in(state: BedState, at_s: float) -> CheckIn | None:
    """The newest check-in if it is fresh, taken late enough and shows a patient who is back."""
    session, times = state.session, state.protocol.dissociation
    if session is None or not session.check_ins or session.ended_s is None:
        return None
    from_s = counted_from_s(state, session)
    last = session.check_ins[-1]
    quiet = last.moaas == times.back_moaas and not shows_dissociation(state, session, last)
    quiet = quiet and (last.cadss is not None or _is_attested(session, last))
    calm = last.distress is not None and last.distress <= times.back_distress_at_most
    late = from_s is not None and last.at_s >= from_s + times.back_after_s
    return last if quiet and calm and late and at_s - last.at_s <= times.back_fresh_s else None


def _cadss_above(session: Session, times: DissociationTimes) -> int:
    """A patient whose own CADSS before the start was above the limit is held to that, and so much more."""
    before = [one.cadss for one in session.check_ins
              if one.cadss is not None and session.started_s is not None and one.at_s <= session.started_s]
    if times.cadss_of_baseline is None or not before or before[-1] <= times.cadss_above:
        return times.cadss_above
    return before[-1] + times.cadss_of_baseline


def _is_attested(session: Session, last: CheckIn) -> bool:
    """A person has seen with the check-in, or after it, that there is no dissociation."""
    seen = session.attested.get("no_dissociation")
    return seen is not None and seen.so and seen.at_s >= last.at_s


def _has_ended(state: BedState, session: Session, at_s: float) -> str:
    """What shows it, beside the quiet check-in; "": it has not ended."""
    from_s, times = counted_from_s(state, session), state.protocol.dissociation
    assert from_s is not None
    stopped = session.infusing_since_s is None and session.phase not in ("INFUSING", "PAUSED")
    if not stopped or quiet_check_in(state, at_s) is None:
        return ""
    since_s, by_estimate_s = at_s - from_s, times.estimate_closes_after_s
    if since_s < min(times.closes_after_s, times.closes_after_s if by_estimate_s is None else by_estimate_s):
        return ""  # by neither
    effect = pk.at_effect(state, session, at_s) if times.closes_below_ng_ml is not None else None
    if effect is None or times.closes_below_ng_ml is None or times.estimate_closes_after_s is None:
        after_s = times.closes_after_s
        return f"{after_s / 60:g} minutes since the {times.counted_from}" if at_s - from_s >= after_s else ""
    if effect[0] >= times.closes_below_ng_ml or at_s - from_s < times.estimate_closes_after_s:
        return ""
    return f"{(at_s - from_s) / 60:.0f} minutes since the {times.counted_from}, model estimate {effect[0]:.0f} ng/mL,"


def by_hand(state: BedState, *, begun: bool, at_s: float) -> Dissociation:
    """A person says that it has begun, or that it is over."""
    moved: Dissociation = "observed" if begun else "resolved"
    _to(state, moved, at_s, "")
    return moved


def _to(state: BedState, moved: Dissociation, at_s: float, basis: str) -> tuple[Dissociation, str]:
    session = state.session
    assert session is not None
    opened = at_s if moved in ("expected", "observed") and not session.is_open_period else session.dissociation_opened_s
    state.session = replace(session, dissociation=moved, dissociation_since_s=at_s, dissociation_opened_s=opened)
    return moved, basis
