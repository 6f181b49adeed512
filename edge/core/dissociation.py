"""The dissociation period by clock, dose and check-in. It opens early and never closes by itself.

No effect-site estimate is used yet, so the clock part of its end is 60 minutes, as the text asks where there is none.
"""

from __future__ import annotations

from msgspec.structs import replace

from edge.core import dose
from edge.core.state import BedState, CheckIn, Session
from edge.model import Dissociation

START_AFTER_S = 300.0
START_MG_KG = 0.10
MIN_RATE_MG_KG_H = 0.3  # 0.2 mg/kg over 40 min
END_AFTER_S = 3600.0
CHECK_IN_AFTER_END_S = 1200.0
CHECK_IN_FRESH_S = 900.0
SYMPTOM = "dissociation"  # as the console's check-in ticks it


def follow(state: BedState, at_s: float) -> list[tuple[Dissociation, str]]:
    """Move the period on; each move with its basis."""
    session = state.session
    if session is None or session.started_s is None:
        return []
    if session.dissociation == "none":
        return _opening(state, session, at_s)
    if session.dissociation in ("resolving", "resolved") and session.ended_s is None:
        return [_to(state, "expected", at_s, "the pump infuses again")]
    if session.dissociation in ("expected", "observed") and _is_fading(session):
        return [_to(state, "resolving", at_s, "the infusion has ended")]
    if session.dissociation == "resolving" and _has_ended(session, at_s):
        return [_to(state, "resolved", at_s, "60 minutes since the end and a quiet check-in")]
    return []


def _opening(state: BedState, session: Session, at_s: float) -> list[tuple[Dissociation, str]]:
    mg_kg_h = dose.rate_ml_h(state) * session.order.concentration_mg_ml / session.order.weight_kg
    if session.infused_s >= START_AFTER_S and mg_kg_h >= MIN_RATE_MG_KG_H:
        return [_to(state, "expected", at_s, "clock: 5 minutes of infusion")]
    if session.delivered_mg / session.order.weight_kg >= START_MG_KG:
        return [_to(state, "expected", at_s, "dose: 0.10 mg/kg delivered")]
    return []


def on_check_in(state: BedState, entered: CheckIn, at_s: float) -> list[tuple[Dissociation, str]]:
    """A check-in that shows dissociation opens the period, or opens it again."""
    session = state.session
    if session is None or session.started_s is None or not shows_dissociation(entered):
        return []
    if session.dissociation == "resolved":
        return [_to(state, "observed", at_s, "nurse: relapse")]
    if session.dissociation in ("none", "expected"):
        return [_to(state, "observed", at_s, "nurse: check-in")]
    return []


def _is_fading(session: Session) -> bool:
    """The infusion has ended, and no later check-in shows dissociation that is not already less than before."""
    if session.ended_s is None:
        return False
    if not session.check_ins or session.check_ins[-1].at_s < session.ended_s:
        return True
    last, before = session.check_ins[-1], session.check_ins[-2] if len(session.check_ins) > 1 else None
    falling = before is not None and None not in (last.cadss, before.cadss) and (last.cadss or 0) < (before.cadss or 0)
    return falling or not shows_dissociation(last)


def shows_dissociation(entered: CheckIn) -> bool:
    """The nurse ticked it, CADSS above 4, or MOAA/S 4 or lower."""
    scores = (entered.cadss is not None and entered.cadss > 4) or (entered.moaas is not None and entered.moaas <= 4)
    return SYMPTOM in entered.symptoms or scores


def quiet_check_in(session: Session, at_s: float) -> CheckIn | None:
    """The newest check-in if it is fresh, taken late enough and shows a patient who is back."""
    if not session.check_ins or session.ended_s is None:
        return None
    last = session.check_ins[-1]
    quiet = last.moaas == 5 and last.cadss is not None and not shows_dissociation(last)
    calm = last.distress is not None and last.distress <= 3
    late = last.at_s >= session.ended_s + CHECK_IN_AFTER_END_S
    return last if quiet and calm and late and at_s - last.at_s <= CHECK_IN_FRESH_S else None


def _has_ended(session: Session, at_s: float) -> bool:
    assert session.ended_s is not None
    stopped = session.infusing_since_s is None and session.phase not in ("INFUSING", "PAUSED")
    return stopped and at_s - session.ended_s >= END_AFTER_S and quiet_check_in(session, at_s) is not None


def _to(state: BedState, moved: Dissociation, at_s: float, basis: str) -> tuple[Dissociation, str]:
    session = state.session
    assert session is not None
    opened = at_s if moved in ("expected", "observed") and not session.is_open_period else session.dissociation_opened_s
    state.session = replace(session, dissociation=moved, dissociation_since_s=at_s, dissociation_opened_s=opened)
    return moved, basis
