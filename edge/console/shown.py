"""Which stored events the pages of this console have, where another console stores into the same database, too."""

from __future__ import annotations

from edge.console.events import Appended, Cursor
from edge.contract.payloads import EventOut

REMEMBERED = 20_000  # events


class ShownEvents:
    """`before`: what was stored before this start, which no page waits for."""

    def __init__(self, before: Cursor) -> None:
        self.before = before
        self._hashes: dict[str, None] = {}

    def others(self, kept: Appended, boot: str | None) -> list[EventOut]:
        """Those of what came that the other console stored first: new to the pages of this one, once. `boot`: the
        edge's present one."""
        self._hashes |= dict.fromkeys(event.hash for event in kept.new)
        others: list[EventOut] = []
        for event in kept.known:
            begun_anew = event.boot == boot != self.before.boot
            if event.hash not in self._hashes and (begun_anew or event.seq > self.before.top):
                self._hashes[event.hash] = None
                others.append(event)
        while len(self._hashes) > REMEMBERED:
            del self._hashes[next(iter(self._hashes))]
        return others
