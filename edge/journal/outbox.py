"""The journal as the stream sees it: what each console lacks, without a hole."""

from __future__ import annotations

from edge.contract.events import Event
from edge.journal.journal import Journal


class Outbox:
    """Of a journal that holds."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @property
    def stored_seq(self) -> int:
        """The newest event on the disk."""
        return self._journal.stored_seq

    async def events_after(self, seq: int, limit: int) -> list[Event]:
        """At most `limit` events after `seq`, oldest first; where one cannot be believed a gap stands for it."""
        return await self._journal.events_after(seq, limit, gaps=True)

    async def cursor(self, console: str) -> int:
        """The number up to which `console` has stored every event."""
        return await self._journal.cursor(console)

    async def move_cursor(self, console: str, seq: int) -> None:
        """`console` has stored every event up to `seq`."""
        await self._journal.move_cursor(console, seq)
