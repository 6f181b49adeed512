"""Pairs: what is so in two blood pressures in a row, which are not one disturbed moment taken twice."""

from __future__ import annotations

from collections.abc import Callable

from edge.core.context import RuleContext
from edge.core.logic import Truth, both

Condition = Callable[[RuleContext], Truth]


def pair(context: RuleContext, condition: Condition) -> Truth:
    """In the newest determination, an earlier one to pair with it, and all between them. Where there is none to pair
    with and the next determination is late, nobody can know."""
    if not context.state.engine.unwatched_of_s:
        return _of_the_last_two(context, condition)
    newest = context.newest_determination()
    if newest is None:
        return None
    truth, is_unknown = condition(context.with_determination(newest)), context.pair_is_unknown()
    for before in reversed(context.state.determinations[:-1] if truth is not False else ()):
        truth = both((truth, condition(context.with_determination(before))))
        if truth is False:
            break
        if context.is_pair(before, newest):
            if truth:
                return True
            is_unknown = True
    return None if is_unknown else False


def _of_the_last_two(context: RuleContext, condition: Condition) -> Truth:
    """As 0.1.0 had it."""
    determinations = context.state.determinations
    if len(determinations) < 2:
        return False
    newest, before = context.newest_determination(), determinations[-2]
    if newest is None:
        return None
    if not context.is_pair(before, newest):
        return False
    return both(condition(context.with_determination(one)) for one in (newest, before))
