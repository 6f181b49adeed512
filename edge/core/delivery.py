"""What the pumps give, against what was ordered, as the facts compute it: rate, dose, duration, programme.

Shares are in percent of the order, rounded to a hundredth: a pump's own rounding is no deviation.
"""

from __future__ import annotations

from math import isfinite

from edge.core.context import Number, RuleContext
from edge.core.logic import Truth


def rate_mg_kg_h(context: RuleContext) -> Number:
    """The rate of the pumps together."""
    session, rate_ml_h = context.state.session, context.rate_ml_h()
    if session is None or rate_ml_h is None:
        return None
    mg_kg_h = session.order.mg_kg(rate_ml_h * (session.order.concentration_mg_ml or 0.0))
    return None if mg_kg_h is None else round(mg_kg_h, 2)


def rate_pct(context: RuleContext) -> Number:
    """The same in percent of the rate that gives the ordered dose in the ordered duration."""
    session, rate_ml_h = context.state.session, context.rate_ml_h()
    ordered_ml_h = session.order.rate_ml_h if session else None
    return None if rate_ml_h is None or not ordered_ml_h else round(100.0 * rate_ml_h / ordered_ml_h, 2)


def rate_in_words(context: RuleContext) -> str | None:
    """The rate, in its own unit, by weight and in percent of the ordered rate, and that rate."""
    session, rate_ml_h = context.state.session, context.rate_ml_h()
    mg_kg_h, pct = rate_mg_kg_h(context), rate_pct(context)
    ordered = session.order.rate_ml_h if session else None
    if rate_ml_h is None or mg_kg_h is None or pct is None or ordered is None:
        return None
    if not isfinite(rate_ml_h):
        return f"a rate above what can be measured; ordered are {ordered:.1f} mL/h"
    return f"{rate_ml_h:.1f} mL/h, {mg_kg_h:.2f} mg/kg/h: {pct:.0f} % of the ordered {ordered:.1f} mL/h"


def delivered_pct(context: RuleContext) -> Number:
    """The delivered dose in percent of the ordered dose."""
    session = context.state.session
    return None if session is None else round(100.0 * session.delivered_mg / session.order.dose_mg, 2)


def delivered_mg_kg(context: RuleContext) -> Number:
    """The delivered dose by weight."""
    session = context.state.session
    mg_kg = session.order.mg_kg(session.delivered_mg) if session else None
    return None if mg_kg is None else round(mg_kg, 2)


def delivered_in_words(context: RuleContext) -> str | None:
    """The delivered dose, and the ordered one."""
    session = context.state.session
    if session is None:
        return None
    mg_kg = delivered_mg_kg(context)
    by_weight = "" if mg_kg is None else f", {mg_kg:.2f} mg/kg,"
    return f"{session.delivered_mg:.1f} mg{by_weight} of the ordered {session.order.dose_mg:.1f} mg"


def overrun_s(context: RuleContext) -> Number:
    """The time infused beyond the ordered duration; below 0 until then. Pauses do not count."""
    session = context.state.session
    ordered_min = session.order.duration_min if session else None
    return None if session is None or ordered_min is None else round(session.infused_s - ordered_min * 60, 3)


def overrun_in_words(context: RuleContext) -> str | None:
    """How long it has infused, and how long was ordered."""
    session = context.state.session
    ordered_min = session.order.duration_min if session else None
    return None if session is None or ordered_min is None else f"{session.infused_s / 60:.0f} of {ordered_min:.0f} min"


def programme_differs(context: RuleContext, pct: float) -> Truth:
    """Whether the pump's own programme gives more than the ordered dose, or less with what is already in, by more than
    `pct` percent. False for a pump that tells no programme."""
    session, latest = context.state.session, context.state.latest.get("vtbi_ml")
    if session is None or latest is None or latest.valid_at_s is None or latest.valid_at_s < session.here_s:
        return False
    programmed, delivered = _programmed_pct(context), delivered_pct(context)
    if programmed is None or delivered is None:
        return None
    return programmed > 100.0 + pct or programmed + delivered < 100.0 - pct


def programme_in_words(context: RuleContext, *_: float) -> str | None:
    """What the pump is programmed to give, and the ordered dose; None where they agree or it tells nothing."""
    session, programmed_mg = context.state.session, _programmed_mg(context)
    if session is None or programmed_mg is None or round(programmed_mg - session.order.dose_mg, 1) == 0:
        return None
    return f"its programme gives {programmed_mg:.1f} mg; ordered are {session.order.dose_mg:.1f} mg"


def against_order_in_words(context: RuleContext) -> str | None:
    """How programme and rate of the pump stand to the order."""
    return "; ".join(filter(None, (programme_in_words(context), rate_in_words(context)))) or None


def _programmed_pct(context: RuleContext) -> Number:
    session, programmed_mg = context.state.session, _programmed_mg(context)
    if session is None or programmed_mg is None:
        return None
    return round(100.0 * programmed_mg / session.order.dose_mg, 2)


def _programmed_mg(context: RuleContext) -> Number:
    session, vtbi_ml = context.state.session, context.metric("vtbi_ml")
    mg_ml = session.order.concentration_mg_ml if session else None
    return None if vtbi_ml is None or mg_ml is None else vtbi_ml * mg_ml


def stop_unconfirmed(context: RuleContext) -> bool:
    """Whether a stop was asked for, and the pump has not said in time that it stands still."""
    stop = context.state.stop
    return stop is not None and stop.confirmed_s is None and context.at_s >= stop.until_s


def stop_in_words(context: RuleContext) -> str | None:
    """Which pump, and what it says."""
    stop = context.state.stop
    if stop is None:
        return None
    device = context.state.devices.get(stop.device)
    if device is None or device.link != "live":
        says = "is not connected"
    else:
        says = "says that it infuses" if device.pump == "infusing" else "does not say that it stands still"
    return f"the {stop.device} {says}, asked to stop because of: {stop.text}"
