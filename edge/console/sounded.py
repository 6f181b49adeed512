"""Which alarm events a page has sounded, as the acks tell the edge. No I/O."""

from __future__ import annotations

from collections.abc import Set

TOLD = 64  # the last that each ack names, with all of those that stand
KEPT = 4096


class SoundedEvents:
    """Since this console began."""

    def __init__(self) -> None:
        self._seqs: dict[int, None] = {}  # the last one last

    def add(self, seq: int) -> None:
        """A page has sounded it."""
        self._seqs.pop(seq, None)
        self._seqs[seq] = None
        if len(self._seqs) > KEPT:
            del self._seqs[next(iter(self._seqs))]

    def back_to(self, seq: int) -> None:
        """No later one has sounded: where some have, the edge's journal went back, and counts again from there."""
        if max(self._seqs, default=0) > seq:
            self._seqs = {old: None for old in self._seqs if old <= seq}

    def told(self, standing: Set[int]) -> tuple[int, ...]:
        """Those of the alarms that stand (`standing`: the events that moved them last), and the last others."""
        return tuple(sorted({*list(self._seqs)[-TOLD:], *(standing & self._seqs.keys())}))
