"""The moments at which the end of the process would hurt most, by name. `tests/test_kills.py` ends it at each.

`reached` does nothing, and costs a call: once a commit, once a message. Whoever wants to be there puts a function of
their own in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Point = Literal[
    "before_store",  # something waits to be written
    "in_commit",  # it is written, and not committed
    "after_commit",  # it is committed, and nobody knows
    "before_publish",  # events are committed, and the broker has none of them
    "after_publish",  # the broker has them, and we do not know that it was we who sent them
    "before_cursor",  # a console has stored them, and that is written down nowhere
    "after_cursor",
    "healing",  # a part of what was kept in memory is written
    "packing",  # inputs are rows and packed at once, not committed
    "retention",  # packed inputs lose their bodies, not committed
    "quarantine",  # between two steps of putting a damaged journal aside
    "migration",  # between two steps of making an older journal a newer one, not committed
    "console_before_store",  # a console has something to store
    "console_in_commit",  # it is written, and not committed
    "console_after_commit",  # it is committed, and the edge has no word of it
    "console_after_ack",  # the edge is told that it is stored, and no page has it yet
]


def _nothing(_: Point) -> None:
    """What the product does there."""


reached: Callable[[Point], None] = _nothing
