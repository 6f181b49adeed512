"""What an edge's record has lost and this console has stored is offered to the edge, which puts it into its record.

Where an edge counts anew from an earlier event (it was ended while its store failed, its journal was damaged or is an
older copy), what was stored from there on is set aside here (edge.console.events). An edge that has taken such an event
says so by an event of its own, so none is offered to it again.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, select, tuple_

from edge.console.events import Signed, is_aside, is_sound
from edge.console.ingest import Ingest
from edge.console.store import Store
from edge.console.tables import events
from edge.contract.events import EventRecovered
from edge.contract.payloads import BadPayload, EventOut, decode

OFFERED_BYTES: Final = 40_000  # of events in one command, which may have 65,536
OFFERED: Final = 100  # events in one command
Place = tuple[str, int]  # where in the store: the name they were set aside under, and the number
BEGIN: Final[Place] = ("", 0)


class LostEvents:
    """Of one edge. `offer(edge, events)` says whether the edge took them; None: it could not be asked."""

    def __init__(
        self, ingest: Ingest, store: Store,
        offer: Callable[[str, list[dict[str, Any]]], Coroutine[Any, Any, bool | None]],
    ) -> None:
        self._ingest, self._store, self._offer = ingest, store, offer
        self._boot = ""  # the boot that this is about
        self._after: Place | None = BEGIN
        self._recovered: frozenset[str] = frozenset()

    async def offer(self) -> None:
        """Once for each boot of the edge, when all of its events are here. Raises StoreBroken."""
        ingest, edge = self._ingest, self._ingest.edge
        boot, last = ingest.heartbeat.boot or "", ingest.heartbeat.last
        if last is None or ingest.cursor.boot != boot or ingest.cursor.gap or ingest.cursor.seq < last.seq:
            return
        if boot != self._boot:
            if not await self._store.read(any_aside, edge):
                self._boot, self._after = boot, None
                return
            self._recovered = await self._store.read(recovered, edge)
            self._boot, self._after = boot, BEGIN
        while self._after is not None:
            found, after = await self._store.read(
                set_aside, edge, self._after, self._recovered, ingest.trust.is_signed)
            taken = await self._offer(edge, found) if found else True
            if taken is None:
                return
            self._after = after if taken else None  # an edge that does not take them is not asked again


def any_aside(connection: Connection, edge: str) -> bool:
    """Whether something of `edge` is set aside."""
    return connection.execute(select(events.c.seq).where(is_aside(edge)).limit(1)).first() is not None


def recovered(connection: Connection, edge: str) -> frozenset[str]:
    """The hashes of events that the edge's record has taken up again."""
    rows = connection.execute(select(events.c.json).where(events.c.edge == edge, events.c.kind == "journal"))
    found: set[str] = set()
    for (raw,) in rows:
        try:
            body = decode(EventOut, raw).read()
        except BadPayload:  # a damaged row: it is asked for again
            continue
        if isinstance(body, EventRecovered):
            found.add(body.of_hash)
    return frozenset(found)


def set_aside(
    connection: Connection, edge: str, after: Place, without: frozenset[str], is_signed: Signed,
) -> tuple[list[dict[str, Any]], Place | None]:
    """Events set aside after `after` that the edge has signed and that are none of `without`, as they travel; and where
    to go on, None at the end."""
    found: list[dict[str, Any]] = []
    size, last = 0, after
    rows = connection.execute(
        select(events).where(is_aside(edge), tuple_(events.c.edge, events.c.seq) > after)
        .order_by(events.c.edge, events.c.seq).limit(OFFERED)).mappings().all()
    for row in rows:
        wanted = row["sig"] is not None and row["hash"] not in without and len(row["json"]) <= OFFERED_BYTES
        if wanted and is_sound(row, is_signed):
            if size + len(row["json"]) > OFFERED_BYTES:
                return found, last
            size += len(row["json"])
            found.append(msgspec.json.decode(row["json"], type=dict[str, Any]))
        last = row["edge"], row["seq"]
    return found, last if len(rows) == OFFERED else None
