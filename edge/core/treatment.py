"""What check-ins say of a treatment, as the facts compute it: symptoms, scores, and when the next one is due.

Where nothing can be due (no session, before the infusion) the answer is "no" or 0 and never unknown: what nobody was
asked for cannot be missing.
"""

from __future__ import annotations

from edge.core.context import Number, RuleContext
from edge.core.logic import Truth
from edge.vocabulary import SYMPTOMS


def _standing(context: RuleContext, names: tuple[str, ...]) -> dict[str, float]:
    """Those of `names` that stand, in their order, each with when it was named last."""
    symptoms = context.symptoms()
    return {name: symptoms[name] for name in names if name in symptoms} if symptoms else {}


def has_symptom(context: RuleContext, *names: str) -> Truth:
    """Whether one of these symptoms stands: named in a check-in, and in none since as gone."""
    return bool(_standing(context, names))


def has_new_symptom(context: RuleContext, within_s: float, *names: str) -> Truth:
    """Whether one of them stands that was named within the last `within_s`."""
    return any(context.at_s - at_s <= within_s for at_s in _standing(context, names).values())


def standing_symptoms(context: RuleContext, *names: str) -> tuple[str, ...]:
    """Which of them stand, by name."""
    return tuple(_standing(context, names))


def symptoms_in_words(context: RuleContext, *names: str) -> str | None:
    """Which of them stand, in words."""
    return ", ".join(SYMPTOMS[name] for name in _standing(context, names)) or None


def score(context: RuleContext, name: str) -> Number:
    """A score of the newest check-in that assessed it."""
    session = context.state.session
    for entered in reversed(session.check_ins) if session else ():
        value: Number = getattr(entered, name)
        if value is not None:
            return value
    return None


def upset(context: RuleContext) -> Number:
    """The worse of anxiety and distress, each as last assessed; None where neither was."""
    return max(_upset(context).values(), default=None)


def upset_in_words(context: RuleContext) -> str | None:
    """The worse of anxiety and distress as last assessed: both where they are alike."""
    found, worst = _upset(context), upset(context)
    return ", ".join(f"{name} {value:.0f} of 10" for name, value in found.items() if value == worst) or None


def _upset(context: RuleContext) -> dict[str, float]:
    return {name: value for name in ("anxiety", "distress") if (value := score(context, name)) is not None}


def check_in_age_in_words(context: RuleContext) -> str | None:
    """How long nobody has asked this patient."""
    session = context.state.session
    if session is None:
        return None
    minutes = (context.at_s - context.state.last_check_in_s(session)) / 60
    return f"the last one {minutes:.0f} min ago" if session.check_ins else f"none for {minutes:.0f} min"


def check_in_overdue_s(context: RuleContext) -> Number:
    """How late the next check-in is; 0 while it is not due."""
    due_s = context.state.check_in_due_s()
    return 0.0 if due_s is None else max(0.0, context.at_s - due_s)


def period_open(context: RuleContext) -> Truth:
    """Whether the dissociation period is open."""
    session = context.state.session
    return session is not None and session.is_open_period


def is_held(context: RuleContext) -> Truth:
    """Whether a person holds the treatment."""
    session = context.state.session
    return session is not None and session.held is not None


def held_in_words(context: RuleContext) -> str | None:
    """Who holds it, and why."""
    session = context.state.session
    return None if session is None or session.held is None else f"held by {session.held.by}: {session.held.reason}"
