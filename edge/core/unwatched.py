"""Unwatched seconds: for how long, of the last while, rules could not be answered for want of one device's readings.

`watching.py` finds such seconds; here they are counted, and said. A cause is the name of a device, or BASELINE for what
is missing and belongs to none.

What another alarm says already is not said twice. Such an alarm speaks of some of what its device gives (that no SpO2
comes says nothing of the breathing), or of all of it (`BedState.said_by`): of the rest the seconds count.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from edge.core.alarms import ACTIVE, Alarm
from edge.core.context import Number, RuleContext
from edge.core.fact import Fact, Parameter
from edge.core.lacking import Span, Unwatched
from edge.core.state import BedState
from edge.vocabulary import DETERMINATION, LOST_WITH, METRICS

BASELINE = ""
ALL: frozenset[str] = frozenset()  # of what is said: whatever the device gives
_OWN_WORD = ""


def said_now(state: BedState) -> Mapping[str, frozenset[str]]:
    """By device, what alarms say of it now: metrics, or ALL."""
    said: dict[str, frozenset[str]] = {}
    for alarm in state.alarms.values():
        if alarm.rule in state.said_by and alarm.state in ACTIVE and alarm.device is not None:
            of, known = state.said_by[alarm.rule], said.get(alarm.device)
            said[alarm.device] = ALL if not of or known == ALL else of | (known or of)
    return said


def unsaid(metrics: Collection[str], said: frozenset[str] | None) -> tuple[str, ...] | None:
    """Of what a rule lacks what nobody says (none of it may be a metric: the device's own word); None: all is said.
    `said`: of its device, None: nothing."""
    if said is None:
        return tuple(metrics)
    left = tuple(metric for metric in metrics if metric not in said)
    return None if not said or (metrics and not left) else left


def count(state: BedState, cause: str, since_s: float, until_s: float, rule: str, metrics: tuple[str, ...]) -> None:
    """From `since_s` to `until_s` the rule of this title could not be answered: these metrics were missing."""
    found = state.unwatched.setdefault(cause, Unwatched())
    for spans in (found.spans, *(found.lacked.setdefault(metric, []) for metric in metrics or (_OWN_WORD,))):
        spans.append((min(since_s, spans.pop()[0]) if spans and spans[-1][1] >= since_s else since_s, until_s))
    mostly_s = state.engine.unwatched_mostly_s
    found.mostly += [what for what in metrics or (_OWN_WORD,) if mostly_s and what not in found.mostly
                     and sum(end_s - begin_s for begin_s, end_s in found.lacked[what]) > mostly_s]
    found.rules[rule] = until_s
    found.metrics.update(dict.fromkeys(metrics, until_s))


def taking_turns(state: BedState, cause: str, metrics: tuple[str, ...], said: Mapping[str, frozenset[str]]) -> str:
    """The device for which a second is counted that belongs to `cause`: where devices take turns at failing to give the
    same metric, each has a part of the bad seconds and the patient all of them, so that they count for the one that has
    most of them. Never for one of which an alarm says so already (`said`)."""
    others = [name for name, found in state.unwatched.items()
              if name != BASELINE and unsaid(metrics, said.get(name)) == metrics
              and not found.metrics.keys().isdisjoint(metrics)]
    return cause if cause == BASELINE else max(
        others, key=lambda name: sum(end_s - begin_s for begin_s, end_s in state.unwatched[name].spans), default=cause)


def forget(state: BedState, before_s: float) -> None:
    """Keep nothing that ended before `before_s`; a cause without any is no cause."""
    for cause, found in list(state.unwatched.items()):
        found.spans = _since(found.spans, before_s)
        found.lacked = {what: kept for what, spans in found.lacked.items() if (kept := _since(spans, before_s))}
        found.mostly = [what for what in found.mostly if what in found.lacked]
        found.rules = {rule: at_s for rule, at_s in found.rules.items() if at_s > before_s}
        found.metrics = {metric: at_s for metric, at_s in found.metrics.items() if at_s > before_s}
        if not found.spans:
            del state.unwatched[cause]


def _since(spans: Iterable[Span], before_s: float) -> list[Span]:
    return [span for span in spans if span[1] > before_s]


def _of(context: RuleContext) -> Unwatched | None:
    """What nobody says of the device, or of the bed."""
    found = context.state.unwatched.get(context.device or BASELINE)
    said = None if found is None else said_now(context.state).get(context.device or BASELINE)
    if found is None or said is None:
        return found
    lacked = {what: spans for what, spans in found.lacked.items() if said and what not in said}
    metrics = {metric: at_s for metric, at_s in found.metrics.items() if metric in lacked}
    return Unwatched(together(lacked.values()), found.rules, metrics, lacked,
                     [what for what in found.mostly if what in lacked]) if lacked else None


def together(lacked: Iterable[list[Span]]) -> list[Span]:
    """The stretches of all, oldest first; those that touch are one."""
    together: list[Span] = []
    for begin_s, end_s in sorted(span for spans in lacked for span in spans):
        if together and together[-1][1] >= begin_s:
            together[-1] = (together[-1][0], max(together[-1][1], end_s))
        else:
            together.append((begin_s, end_s))
    return together


def _unwatched_s(context: RuleContext, *_: str) -> Number:
    """How many of the last `unwatched_of_s` seconds."""
    found, from_s = _of(context), context.at_s - context.state.engine.unwatched_of_s
    return round(sum(end_s - max(begin_s, from_s) for begin_s, end_s in found.spans if end_s > from_s), 3) \
        if found else 0.0


def _watched_s(context: RuleContext, *_: str) -> Number:
    """For how long there has been no such second, since anybody looked."""
    found, state = _of(context), context.state
    since_s = max(state.boot_s, state.session.here_s if state.session else 0.0, found.spans[-1][1] if found else 0.0)
    return round(context.at_s - since_s, 3)


def _in_words(context: RuleContext, *_: str) -> str | None:
    """What was missing for how long, and which rules could not be answered for want of it."""
    found = _of(context)
    if found is None:
        return None
    missing = " and ".join(dict.fromkeys(map(_named, (metric for metric in METRICS if metric in found.metrics))))
    device = context.device
    what = (f"no baseline of {missing}" if device is None else f"{missing} from the {device}" if missing
            else f"state and alarms of the {device}")
    of_s, lacked_s = context.state.engine.unwatched_of_s, _unwatched_s(context) or 0.0
    return f"{what} for {lacked_s:.0f} of the last {of_s:.0f} s; not watched: {', '.join(found.rules)}"


def _named(metric: str) -> str:
    """A metric in the middle of a sentence."""
    label = METRICS[metric].label
    return "blood pressure" if metric in DETERMINATION else label.lower() if label.isalpha() else label


def _mostly(context: RuleContext, *_: str) -> tuple[str, ...]:
    """What was mostly missing, with what is lost together with it: whoever knows that one thing is missing does not
    know it of the next."""
    found = _of(context)
    return () if found is None else tuple(dict.fromkeys(
        lost for what in found.mostly for lost in sorted(LOST_WITH.get(what, (what,)))))


def is_more_than(state: BedState, device: str | None, rule: str) -> bool:
    """Whether the device lacked lately more than what this rule's alarm says."""
    found, said = state.unwatched.get(device or BASELINE), state.said_by.get(rule, ALL)
    return found is not None and said != ALL and any(what not in said for what in found.lacked)


def is_news(state: BedState, device: str | None, rule: str, told: Iterable[Alarm]) -> bool:
    """Whether this rule's alarm says of something that it is missing of which none of these alarms of the device said
    so. An alarm says so of what its rule is about; one over these counts of what it names."""
    if rule not in state.said_by:
        return False
    known: set[str] = set()
    for alarm in told:
        said = state.said_by.get(alarm.rule)
        if said == ALL:
            return False
        known |= said or set(alarm.about)
    return not (state.said_by[rule] or _given(state, device)) <= known


def _given(state: BedState, device: str | None) -> frozenset[str]:
    """What rules look at of all that the device gives; of a pump its own word as well, for that is whether it runs."""
    found = state.devices.get(device or "")
    if found is None:
        return frozenset()
    return state.watched & found.newest_s.keys() | ({_OWN_WORD} if found.kind == "pump" else frozenset())


_BUT = Parameter("rule", many=True, optional=True, form=" that no alarm {} says")
FACTS = (
    Fact("unwatched_s", "s", "the time lately in which a rule could not be answered for want of this device's"
         " readings{0}", _unwatched_s, (_BUT,), reason=_in_words, names=_mostly, of_watching=True),
    Fact("watched_s", "s", "the time since a rule could last not be answered for want of this device's readings{0}",
         _watched_s, (_BUT,), of_watching=True),
)
