"""How far back a console asks its edge to begin again, where what comes does not follow what is stored.

An edge that was ended while its store failed counts anew from an earlier event, and so does one with an older copy of
its journal. Where it has by then counted beyond what is stored here, it sends only what comes after that, and nothing
of it follows. Where the two part nobody knows: the console asks for what comes after an ever earlier event, each time
twice as far back, until one comes that follows (edge.console.events, `_set_aside`).
"""

from __future__ import annotations

from edge.console.events import Appended, Cursor


class GoingBack:
    """Of one edge. All numbers are of events."""

    def __init__(self) -> None:
        self._cursor = ""  # the hash of the one before which it asks
        self._by = 0  # how far it has gone back from there; 0: not at all
        self._after = 0  # what the edge has sent again up to here is what is stored
        self._gave_up = ""  # for this boot: the edge has nothing earlier that follows

    def after(self, cursor: Cursor) -> int:
        """The event after which the edge is to begin; the cursor's own where all is well."""
        return self._after if self._by and self._cursor == cursor.hash else cursor.seq

    def appended(self, kept: Appended, live_boot: str | None) -> None:
        """What came of one delivery, while heartbeats of `live_boot` come."""
        cursor = kept.cursor
        if self._cursor != cursor.hash:
            self._cursor, self._by = cursor.hash, 0
        after, known = self.after(cursor), {event.seq for event in kept.known}
        while after < cursor.seq and after + 1 in known:
            after += 1
        self._after = after
        if live_boot is None or live_boot in (cursor.boot, self._gave_up):
            return
        if any(one.why in ("chain", "fork") and one.event.seq == after + 1 for one in kept.refused):
            if self._by and self._by == cursor.seq:
                self._by, self._gave_up = 0, live_boot
            else:
                self._by = min(max(1, 2 * self._by), cursor.seq)
                self._after = cursor.seq - self._by
