"""How much drug is in the blood and where it acts, by a compartment model: an estimate, and never more than that.

It is drawn beside the dose. No rule and no gate asks for it; the dissociation period opens by it early, and closes by
it only with the clock and a nurse's check-in. A patient's own concentration may differ by a factor of two. Amounts are
mg, times seconds, rates per minute as the papers have them; the step is exact for a constant infusion, whatever its
length.
"""

from __future__ import annotations

import functools
import math

from msgspec.structs import replace

from edge.core.channels import of_the_drug
from edge.core.protocol import PkModel
from edge.core.state import BedState, Pk, Session

Matrix = tuple[tuple[float, ...], ...]
STEP_S = 10.0  # so far apart the amounts are kept at least
ORDER, HALVINGS_TO = 12, 0.25  # of the series, for a matrix whose norm is at most that


def advance(model: PkModel, amounts: tuple[float, ...], mg: float, for_s: float) -> tuple[float, ...]:
    """The amounts (central, two peripheral, and at the effect site) after `for_s` in which `mg` went in evenly."""
    for_s = round(for_s, 3)
    if for_s <= 0:
        return (amounts[0] + mg, *amounts[1:])
    step = _step(model, for_s / 60)
    column = (*amounts, mg / (for_s / 60))
    return tuple(sum(row[n] * column[n] for n in range(5)) for row in step[:4])


def concentrations(model: PkModel, amounts: tuple[float, ...], weight_kg: float) -> tuple[float, float]:
    """In the blood and at the effect site, ng/mL."""
    volume_l = model.v1_l_kg * weight_kg
    return 1000 * amounts[0] / volume_l, 1000 * amounts[3] / volume_l


def follow(state: BedState, at_s: float) -> None:
    """Bring the amounts up to the newest word on what went in. Where the pump is not heard they wait for it: what it
    delivered meanwhile is then taken to have gone in evenly."""
    session, model = state.session, state.protocol.pk
    if session is None or model is None or session.started_s is None or not session.order.weight_kg:
        return
    known = session.pk or Pk(session.started_s, 0.0)
    until_s = at_s if session.ended_s is not None else heard_s(state)
    if until_s - known.at_s < STEP_S:
        return
    mg = session.delivered_mg - known.mg
    amounts = advance(model, known.amounts, mg, until_s - known.at_s)
    state.session = replace(session, pk=Pk(until_s, session.delivered_mg, amounts))


def heard_s(state: BedState) -> float:
    """When a pump last told its volume."""
    return max((device.volume_at_s for device in of_the_drug(state)), default=0.0)


def now(state: BedState, session: Session, at_s: float) -> tuple[float, float, bool] | None:
    """The concentrations now, ng/mL, and whether they are degraded: the pump has not been heard for so long that they
    are those of a drug that is given no more. None where there is no model, no weight or no dose yet."""
    model, known, weight_kg = state.protocol.pk, session.pk, session.order.weight_kg
    if model is None or known is None or weight_kg is None:
        return None
    amounts = advance(model, known.amounts, session.delivered_mg - known.mg, at_s - known.at_s)
    blood, effect = concentrations(model, amounts, weight_kg)
    return blood, effect, session.ended_s is None and at_s - heard_s(state) > model.degraded_after_s


def at_effect(state: BedState, session: Session, at_s: float) -> tuple[float, bool] | None:
    """Where the drug acts, ng/mL, and whether it falls there; None where the estimate is not one to go by: there is
    none, or some of what went in is not known."""
    found, model = now(state, session, at_s), state.protocol.pk
    if found is None or model is None or found[2]:
        return None
    if session.ended_s is not None and heard_s(state) < session.ended_s - model.degraded_after_s:
        return None
    return found[1], found[0] < found[1]


@functools.lru_cache(maxsize=64)
def _step(model: PkModel, minutes: float) -> Matrix:
    """exp(A t) for the four amounts and the rate of infusion (mg/min) as the fifth."""
    out, ke0 = model.k10 + model.k12 + model.k13, model.ke0
    rates = ((-out, model.k21, model.k31, 0.0, 1.0), (model.k12, -model.k21, 0.0, 0.0, 0.0),
             (model.k13, 0.0, -model.k31, 0.0, 0.0), (ke0, 0.0, 0.0, -ke0, 0.0), (0.0,) * 5)
    scaled = tuple(tuple(value * minutes for value in row) for row in rates)
    norm = max(sum(map(abs, row)) for row in scaled)
    halvings = max(0, math.ceil(math.log2(norm / HALVINGS_TO)))
    small = tuple(tuple(value / 2**halvings for value in row) for row in scaled)
    unit = tuple(tuple(float(i == j) for j in range(5)) for i in range(5))
    total = term = unit
    for n in range(1, ORDER + 1):
        term = tuple(tuple(value / n for value in row) for row in _times(term, small))
        total = tuple(tuple(a + b for a, b in zip(x, y, strict=True)) for x, y in zip(total, term, strict=True))
    for _ in range(halvings):
        total = _times(total, total)
    return total


def _times(left: Matrix, right: Matrix) -> Matrix:
    columns = tuple(zip(*right, strict=True))
    return tuple(tuple(sum(a * b for a, b in zip(row, column, strict=True)) for column in columns) for row in left)
