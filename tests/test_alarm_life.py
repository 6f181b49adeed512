"""An alarm's life, drawn again by hand: every cell of the table, blanks included."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from edge.core.alarms import Alarm, Trigger, move
from edge.model import AlarmState

# fmt: off
HAND = """
               true      held     unknown   clear      acknowledge    expire   escalate
inactive       pending   active   .         .          .              .        .
pending        .         active   .         inactive   .              .        .
active         .         .        .         inactive*  acknowledged   .        .
acknowledged   .         .        .         inactive   .              active   active
latched        .         active   .         .          inactive       .        .
"""
# fmt: on
HEAD, *ROWS = [line.split() for line in HAND.strip().splitlines()]
CELLS = [(row[0], trigger, cell) for row in ROWS for trigger, cell in zip(HEAD, row[1:], strict=True)]


def test_the_hand_drawn_table_has_every_state_and_every_signal() -> None:
    assert {row[0] for row in ROWS} == set(get_args(AlarmState))
    assert set(HEAD) == set(get_args(Trigger))


@pytest.mark.parametrize("latch", [False, True])
@pytest.mark.parametrize(("state", "trigger", "cell"), CELLS)
def test_every_cell(state: AlarmState, trigger: Trigger, cell: str, latch: bool) -> None:
    expected = state if cell == "." else cell.rstrip("*")
    if cell.endswith("*") and latch:
        expected = "latched"
    assert move(state, trigger, latch=latch) == expected


def test_silence_moves_nothing() -> None:
    for state in get_args(AlarmState):
        assert move(state, "unknown", latch=True) == state


@pytest.mark.parametrize(("state", "priority", "kept", "sound"), [
    ("active", "medium", "none", "medium"), ("active", "medium", "high", "high"), ("active", "high", "medium", "high"),
    ("latched", "high", "medium", "medium"), ("latched", "high", "none", "none"),
    ("acknowledged", "high", "high", "none"), ("inactive", "high", "high", "none"),
    ("pending", "high", "high", "none")])
def test_how_urgently_an_alarm_calls(state: AlarmState, priority: Any, kept: Any, sound: str) -> None:
    assert Alarm("a", "HTN-3", "b", state=state, priority=priority, kept_sound=kept).sound == sound


@pytest.mark.parametrize(("change", "at_rest"), [
    ({}, True), ({"state": "pending"}, False), ({"state": "latched"}, False), ({"on": True}, False),
    *(({key: 1.0}, False) for key in ("true_since_s", "true_from_s", "clear_since_s", "unknown_since_s"))])
def test_an_alarm_is_at_rest_where_nothing_of_it_is_timed(change: dict[str, Any], at_rest: bool) -> None:
    assert Alarm("a", "HTN-3", "b", **change).is_at_rest is at_rest
