"""Coverage: which stretches of the last while have valid readings, and what a hold may conclude from that."""

from __future__ import annotations

from edge.core.context import RuleContext
from edge.core.engine import Engine
from edge.core.expression import Compiled
from edge.core.hold import Coverage
from edge.core.state import BedState, LatestValue
from edge.vocabulary import DETERMINATION, METRICS


def covers_s(engine: Engine, metric: str) -> float:
    """How far back a reading covers the time before it."""
    return max(engine.stream_s, METRICS[metric].stale_after_s * engine.stream_of_staleness)


def cover(latest: LatestValue, covered_s: float, kept_s: float) -> None:
    """Note the time that this valid reading covers; stretches that touch are one. Kept for `kept_s`."""
    since_s = round(latest.at_s - covered_s, 3)
    if latest.covered and since_s <= latest.covered[-1][1]:
        since_s = latest.covered.pop()[0]
    latest.covered = [stretch for stretch in latest.covered if latest.at_s - stretch[1] <= kept_s]
    latest.covered.append((max(since_s, round(latest.at_s - kept_s, 3)), latest.at_s))


def share(latest: LatestValue, since_s: float, until_s: float) -> float:
    """Which part of the time from `since_s` to `until_s` has valid readings, 0 to 1."""
    covered_s = sum(max(0.0, min(end_s, until_s) - max(begin_s, since_s)) for begin_s, end_s in latest.covered)
    return covered_s / (until_s - since_s)


def to_activate(condition: Compiled, context: RuleContext, hold_s: float) -> Coverage:
    """For a condition that must hold before its alarm becomes active."""
    return Coverage(_began_s(condition, context), _gap_ended_s(condition, context.state),
                    _least_share(condition, context, hold_s))


def to_clear(condition: Compiled, context: RuleContext, hold_s: float) -> Coverage:
    """For a condition that must hold before its alarm ends: it begins with the reading that says so, never before."""
    return Coverage(context.at_s, _gap_ended_s(condition, context.state), _least_share(condition, context, hold_s))


def _least_share(condition: Compiled, context: RuleContext, hold_s: float) -> float:
    """Of the readings that say something now, the one least seen. Determinations are no stream: they have none."""
    latest = context.state.latest
    shares = (round(share(latest[metric], context.at_s - hold_s, context.at_s), 3) for metric in condition.sampled
              if metric not in DETERMINATION and context.metric(metric) is not None) if hold_s else ()
    return min(shares, default=1.0)


def _gap_ended_s(condition: Compiled, state: BedState) -> float:
    """When the newest reading that came after a gap came: what was so before the gap does not count."""
    last_s = 0.0
    for metric in condition.sampled:
        latest = state.latest.get(metric)
        if latest is None or latest.valid_at_s is None or latest.before_s is None:
            continue
        if round(latest.valid_at_s - latest.before_s, 3) > state.longest_gap_s(metric):
            last_s = max(last_s, latest.valid_at_s)
    return last_s


def _began_s(condition: Compiled, context: RuleContext) -> float:
    """It may have begun right after the reading before: fifteen low readings at 1 Hz are 15 s."""
    for metric in condition.metrics:
        latest = context.state.latest.get(metric)
        if latest and latest.at_s == context.at_s and latest.before_s is not None \
                and context.at_s - latest.before_s <= context.state.engine.stream_s:
            return latest.before_s
    return context.at_s
