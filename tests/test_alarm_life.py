"""An alarm's life, drawn again by hand: every cell of the table, blanks included."""

from __future__ import annotations

from typing import get_args

import pytest

from edge.core.alarms import Trigger, move
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
