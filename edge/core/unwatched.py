"""Unwatched seconds: for how long, of the last while, rules could not be answered for want of one device's readings.

`watching.py` finds such seconds; here they are counted, and said. A cause is the name of a device, or BASELINE for what
is missing and belongs to none.
"""

from __future__ import annotations

from collections.abc import Collection

from edge.core.context import Number, RuleContext
from edge.core.state import BedState, Unwatched
from edge.vocabulary import METRICS

BASELINE = ""


def count(state: BedState, cause: str, since_s: float, until_s: float, rule: str, metrics: tuple[str, ...]) -> None:
    """From `since_s` to `until_s` the rule of this title could not be answered: these metrics were missing."""
    found = state.unwatched.setdefault(cause, Unwatched())
    if found.spans and found.spans[-1][1] >= since_s:
        since_s = min(since_s, found.spans.pop()[0])
    found.spans.append((since_s, until_s))
    found.rules[rule] = until_s
    found.metrics.update(dict.fromkeys(metrics, until_s))


def taking_turns(state: BedState, cause: str, metrics: tuple[str, ...], said: Collection[str | None]) -> str:
    """The device for which a second is counted that belongs to `cause`: where devices take turns at failing to give the
    same metric, each has a part of the bad seconds and the patient all of them, so that they count for the one that has
    most of them. Never for one of which an alarm says so already (`said`)."""
    others = [name for name, found in state.unwatched.items()
              if name not in (BASELINE, *said) and not found.metrics.keys().isdisjoint(metrics)]
    return cause if cause == BASELINE else max(
        others, key=lambda name: sum(end_s - begin_s for begin_s, end_s in state.unwatched[name].spans), default=cause)


def forget(state: BedState, before_s: float) -> None:
    """Keep nothing that ended before `before_s`; a cause without any is no cause."""
    for cause, found in list(state.unwatched.items()):
        found.spans = [span for span in found.spans if span[1] > before_s]
        found.rules = {rule: at_s for rule, at_s in found.rules.items() if at_s > before_s}
        found.metrics = {metric: at_s for metric, at_s in found.metrics.items() if at_s > before_s}
        if not found.spans:
            del state.unwatched[cause]


def _of(context: RuleContext) -> Unwatched | None:
    return context.state.unwatched.get(context.device or BASELINE)


def unwatched_s(context: RuleContext) -> Number:
    """How many of the last `unwatched_of_s` seconds."""
    found, from_s = _of(context), context.at_s - context.state.engine.unwatched_of_s
    return round(sum(end_s - max(begin_s, from_s) for begin_s, end_s in found.spans if end_s > from_s), 3) \
        if found else 0.0


def watched_s(context: RuleContext) -> Number:
    """For how long there has been no such second, since anybody looked."""
    found, state = _of(context), context.state
    since_s = max(state.boot_s, state.session.here_s if state.session else 0.0, found.spans[-1][1] if found else 0.0)
    return round(context.at_s - since_s, 3)


def in_words(context: RuleContext) -> str | None:
    """What was missing for how long, and which rules could not be answered for want of it."""
    found = _of(context)
    if found is None:
        return None
    missing = " and ".join(METRICS[metric].label for metric in METRICS if metric in found.metrics)
    what = f"no baseline {missing}" if context.device is None else missing or "its state and alarms"
    of_s, lacked_s = context.state.engine.unwatched_of_s, unwatched_s(context) or 0.0
    return f"{what} for {lacked_s:.0f} of the last {of_s:.0f} s; not watched: {', '.join(found.rules)}"
