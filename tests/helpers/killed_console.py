"""A console that ends by SIGKILL at a named point while it fetches an edge's events, and what it told before whom."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import select

from edge import points
from edge.cli.copying import reading_store
from edge.console import events, tables
from edge.console.ingest import Ingest
from edge.console.service import Console
from edge.contract.payloads import Ack, decode, event_topic
from edge.contract.signing import Signer
from tests.helpers.console_story import EDGE, EDGE_KEY, START_S, STATUS, Journal, settings, signed, status
from tests.helpers.killing import FORKED, end_at

EVENTS, AT_ONCE, LIVE = 60, 10, 5
DAMAGED = 7  # what the disk makes of this one is found when it is read back, and it is fetched again
EVENT = event_topic(EDGE)


def told_by_the_edge() -> Journal:
    """The same in every life: the truth."""
    return Journal(start_s=START_S - 2 * EVENTS).fill(EVENTS)


@dataclass(frozen=True)
class Life:
    """One life of a console: where it ends, and what is wrong with it."""

    folder: Path
    number: int
    point: points.Point
    count: int
    server: str | None = None
    name: str = "main"
    sabotage: str = ""  # a name in SABOTAGES


class Told:
    """A broker that passes on all that is said to the edge, and a page that does with all it is shown."""

    def __init__(self, said: Connection) -> None:
        self._said = said
        self.acked = 0

    async def publish(self, topic: str, payload: bytes) -> None:
        """The broker has it."""
        if "/ack/" in topic:
            self.acked = decode(Ack, payload).seq
            self._said.send(("ack", self.acked))

    def show(self, message: str, _less: object = None) -> None:
        """A page has it."""
        read = json.loads(message)
        if read["t"] == "event":
            self._said.send(("shown", read["event"]["seq"]))


def acknowledges_before_it_stores(console: Console) -> None:
    """The edge hears of a batch, and then it is stored."""
    real = Ingest.store_batch

    async def store_batch(self: Ingest) -> None:
        late = [waiting.event for waiting in self.lanes.late]
        if late and late[0].seq == self.cursor.seq + 1:
            was, self.cursor = self.cursor, replace(self.cursor, seq=late[-1].seq)
            await console.acknowledge(EDGE)
            self.cursor = was
        await real(self)

    Ingest.store_batch = store_batch  # type: ignore[method-assign]


def shows_before_it_stores(console: Console) -> None:
    """The pages have a batch, and then it is stored."""
    real = Ingest.store_batch

    async def store_batch(self: Ingest) -> None:
        for waiting in [*self.lanes.live, *self.lanes.late]:
            console.feed.publish(json.dumps({"t": "event", "event": {"seq": waiting.event.seq}}))
        await real(self)

    Ingest.store_batch = store_batch  # type: ignore[method-assign]


def moves_its_cursor_alone(console: Console) -> None:
    """How far it has come is committed, and then what it has."""
    real = events.append

    def append(connection: sqlalchemy.Connection, edge: str, delivery: Any, *more: Any) -> events.Appended:
        last = delivery[-1]
        if last.seq <= events.cursor_of(connection, edge).seq + AT_ONCE:
            events._move(connection, edge, last.seq, last.hash, last.boot)
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("BEGIN")
        return real(connection, edge, delivery, *more)

    events.append = append  # type: ignore[assignment]


SABOTAGES: dict[str, Callable[[Console], None]] = {
    each.__name__: each for each in (acknowledges_before_it_stores, shows_before_it_stores, moves_its_cursor_alone)}


async def _live(life: Life, said: Connection) -> None:
    wire, journal = Told(said), told_by_the_edge()
    signer = Signer(EDGE_KEY, itertools.count(1 + life.number * 1_000_000).__next__)
    console = Console(settings(life.folder, server=life.server, name=life.name), wire)
    await console.load()
    ingest = console.edges[EDGE]
    said.send(("begun", ingest.cursor.seq))
    console.feed.publish = wire.show  # type: ignore[method-assign, assignment]
    if life.sabotage:
        SABOTAGES[life.sabotage](console)

    async def hear(topic: str, payload: bytes) -> None:
        ingest.receive(topic, signed(topic, payload, signer), False)
        while ingest.lanes:
            await ingest.store_batch()

    await hear(STATUS, status(START_S + life.number))
    await hear(EVENT, journal.payload(EVENTS - LIVE + 1, EVENTS))  # live alarms overtake what the edge sends again
    for turn in itertools.count():
        await console.acknowledge(EDGE)
        if wire.acked == EVENTS and turn > EVENTS / AT_ONCE:
            break
        if turn == 3 and life.server is None:
            console.store.now(lambda connection: connection.execute(tables.events.update().where(
                tables.events.c.seq == DAMAGED).values(json=b"{}")))
        await hear(EVENT, journal.payload(min(wire.acked + 1, EVENTS), min(wire.acked + AT_ONCE, EVENTS), late=True))
        await ingest.check_record()
    console.store.close()


def live(life: Life, said: Connection) -> None:
    """The process."""
    end_at(life.point, life.count)
    asyncio.run(_live(life, said))


@dataclass
class Ended:
    """What came of a life: whether it was killed, where it began, what the edge was told last and the pages saw."""

    killed: bool = False
    begun: int | None = None
    acked: int = 0
    shown: list[int] = field(default_factory=list)


def begin(life: Life) -> Callable[[], Ended]:
    """Starts it; what is returned waits for its end."""
    mine, its = FORKED.Pipe(duplex=False)
    process = FORKED.Process(target=live, args=(life, its))
    process.start()
    its.close()

    def end() -> Ended:
        ended = Ended()
        try:
            while True:
                what, seq = mine.recv()
                if what == "shown":
                    ended.shown.append(seq)
                elif what == "begun":
                    ended.begun = seq
                else:
                    ended.acked = seq
        except EOFError:
            pass
        process.join(60)
        assert process.exitcode in (0, -signal.SIGKILL), (life, process.exitcode)
        ended.killed = process.exitcode != 0
        return ended

    return end


@dataclass(frozen=True)
class Stored:
    """What is in a console's store."""

    hashes: dict[int, str]
    cursor: int
    asides: int  # rows under another name
    refused: list[str]


def stored(place: Path | str) -> Stored:
    """Read by somebody else."""
    with reading_store(place) as connection:
        rows = connection.execute(select(tables.events.c.edge, tables.events.c.seq, tables.events.c.hash)).all()
        cursor = connection.execute(select(tables.edges.c.seq)).scalar() or 0
        refused = list(connection.execute(select(tables.refused_events.c.why)).scalars())
    return Stored({row.seq: row.hash for row in rows if row.edge == EDGE}, cursor,
                  sum(row.edge != EDGE for row in rows), refused)
