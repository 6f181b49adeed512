"""Refused commands are written down, but not without end."""

from __future__ import annotations

from edge.app.refusals import MOST, WITHIN_S, Refusals


def test_a_flood_of_refused_commands_is_counted_and_a_few_are_written_down() -> None:
    refusals = Refusals()
    flood = [refusals.noted(n * 0.001) for n in range(1000)]
    assert flood == [True] * MOST + [False] * (1000 - MOST)
    assert not refusals.noted(WITHIN_S - 0.01)
    assert refusals.noted(WITHIN_S)
    assert refusals.taken() == 1000 - MOST + 1
    assert refusals.taken() == 0


def test_now_and_then_one_is_always_written_down() -> None:
    refusals = Refusals()
    assert all(refusals.noted(n * WITHIN_S / MOST) for n in range(200))
    assert refusals.taken() == 0
