"""What is known of a treatment: its symptoms, its check-ins, its dose and its schedule, as the facts compute it.

Where nothing can be due (no session, before the infusion) the answer is "no" or 0 and never unknown: what nobody was
asked for cannot be missing.
"""

from __future__ import annotations

from edge.core.context import Number, RuleContext
from edge.core.logic import Truth
from edge.vocabulary import SYMPTOMS


def has_symptom(context: RuleContext, *names: str) -> Truth:
    """Whether one of these symptoms stands: named in a check-in, and in none since as gone."""
    session = context.state.session
    return session is not None and any(name in session.symptoms for name in names)


def has_new_symptom(context: RuleContext, within_s: float, *names: str) -> Truth:
    """Whether one of them stands that was named within the last `within_s`."""
    session = context.state.session
    return session is not None and any(name in names and context.at_s - at_s <= within_s
                                       for name, at_s in session.symptoms.items())


def standing_symptoms(context: RuleContext, *names: str) -> str | None:
    """Which of them stand, in words."""
    session = context.state.session
    found = [SYMPTOMS[name] for name in names if session and name in session.symptoms]
    return ", ".join(found) or None


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
    return max((value for name in ("anxiety", "distress") if (value := score(context, name)) is not None), default=None)


def check_in_overdue_s(context: RuleContext) -> Number:
    """How late the next check-in is; 0 while it is not due."""
    due_s = context.state.check_in_due_s()
    return 0.0 if due_s is None else max(0.0, context.at_s - due_s)


def period_open(context: RuleContext) -> Truth:
    """Whether the dissociation period is open."""
    session = context.state.session
    return session is not None and session.is_open_period
