"""What a console has stored and an edge's record has lost goes back into the record: of a boot that was killed while
its store failed, of an older copy of the journal. Each once, each as it was signed, and nothing that was not."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, select

from edge.app.offered import Offered
from edge.console import lost_events, tables
from edge.console.lost_events import LostEvents
from edge.console.service import Console
from edge.contract.events import EventRecovered, PendingEvent, event_hash
from edge.contract.payloads import CommandIn, encode, event_out, event_topic, events_payload, status_topic
from edge.contract.signing import hash_is_signed
from edge.journal import journal
from edge.journal.database import JournalError
from edge.journal.journal import Journal
from edge.journal.reader import Reader
from edge.journal.verify import verify
from edge.model import from_iso
from edge.stream import verifier
from tests.helpers.bodies import body
from tests.helpers.console_story import EDGE, SIGNER, START_S, Wire, hear, settings, status
from tests.helpers.faulty_store import Disk, faulty

pytestmark = pytest.mark.slow

STATUS, EVENT = status_topic(EDGE), event_topic(EDGE)
SECONDS = itertools.count(1)
IS_SIGNED = partial(hash_is_signed, SIGNER.public, EDGE)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    monkeypatch.setattr(journal, "RETRY_S", 0.05)
    with faulty(monkeypatch) as disk:
        disk.thread = "journal"
        yield disk


class Edge:
    """One boot of an edge: its journal, and what it says to a console."""

    def __init__(self, folder: Path, boot: str, console: Console) -> None:
        self.boot, self.console = boot, console
        self.kept = Journal.open(str(folder / "journal.db"), edge=EDGE, boot=boot, wall=lambda: "w", holds=True,
                                 sign=partial(SIGNER.sign_hash, EDGE))
        self.offered = Offered(EDGE, self.kept, now=lambda: START_S + 90, is_signed=IS_SIGNED, note=self._note)
        self.asked = 0

    def _note(self, pending: Any) -> None:
        events = self.kept.append(pending).events
        hear(self.console, EVENT, events_payload(events, False), False)

    async def say(self, *texts: str) -> None:
        """An alarm of each text, heard and stored by the console; a heartbeat before and after."""
        await self.beat()
        for text in texts:
            self._note([PendingEvent("chair-1", "s1", START_S, body("alarm", text=text))])
            await self.kept.flush()
        await self.beat()

    def unheard(self, count: int) -> None:
        """So many alarms that no console hears."""
        for n in range(count):
            self.kept.append([PendingEvent("chair-1", "s1", START_S, body("alarm", text=f"unheard {n}"))])

    async def send_late(self) -> None:
        """What the console has not acknowledged, of the backlog; no more before it has."""
        later = await self.kept.events_after(self.console.edges[EDGE].ack().seq, 3)
        if later:
            hear(self.console, EVENT, events_payload(later, True), False)
        await self.console.edges[EDGE].store_batch()

    async def beat(self) -> None:
        hear(self.console, STATUS, status(START_S + next(SECONDS), boot=self.boot, seq=self.kept.head.seq), False)
        await self.console.edges[EDGE].store_batch()

    async def take(self, _: str, found: list[Any]) -> bool | None:
        """An offer of the console."""
        self.asked += 1
        answer = await self.offered.take(CommandIn(
            id="1", edge=EDGE, console="main", user="main", role="technician", bed="chair-1", verb="offer",
            args={"events": found}, issued="", expires="", nonce="", sig=""))
        return answer.ok


@asynccontextmanager
async def a_console(folder: Path) -> AsyncIterator[Console]:
    console = Console(settings(folder, edge_keys={EDGE: SIGNER.public}), Wire())
    await console.load()
    console.edges[EDGE].connected()
    try:
        yield console
    finally:
        console.store.close()


def hashes(connection: Connection) -> list[str]:
    """Of the events that the console has as the edge's own, in order."""
    rows = connection.execute(select(tables.events).where(tables.events.c.edge == EDGE).order_by(tables.events.c.seq))
    return [row.hash for row in rows]


def texts(found: list[EventRecovered]) -> list[str]:
    return [str(one.of_body["text"]) for one in found]


def record(folder: Path) -> list[EventRecovered]:
    verdict = verify(str(folder / "journal.db"), keys=[SIGNER.public])
    assert verdict.problem is None
    with Reader(str(folder / "journal.db")) as reader:
        return [event.body for event in reader.events() if isinstance(event.body, EventRecovered)]


async def test_a_boot_that_is_killed_while_its_store_fails_loses_nothing_that_a_console_heard(
    tmp_path: Path, disk: Disk,
) -> None:
    async with a_console(tmp_path) as console:
        one = Edge(tmp_path, "b1", console)
        await one.say("stored 1", "stored 2")
        disk.break_()
        await one.say("lost 3", "lost 4", "lost 5")
        with suppress(JournalError):
            await one.kept.close()  # all that it kept in memory goes with it
        disk.mend()
        two = Edge(tmp_path, "b2", console)
        assert two.kept.head.seq == 2
        await two.say("new 3")
        lost = LostEvents(console.edges[EDGE], console.store, two.take)
        await lost.offer()
        await lost.offer()
        await two.beat()
        assert two.asked == 1
        await two.kept.close()
        found = record(tmp_path)
        assert texts(found) == ["lost 3", "lost 4", "lost 5"]
        for one_of in found:  # each can still be checked by whoever has the edge's key
            digest = event_hash(
                seq=one_of.of_seq, boot=one_of.of_boot, edge=EDGE, bed="chair-1", session="s1",
                at_s=from_iso(one_of.of_at), wall=one_of.of_wall, kind=one_of.of_kind, body=one_of.of_body,
                prev=one_of.of_prev)
            assert digest == one_of.of_hash
            assert IS_SIGNED(one_of.of_hash, one_of.of_sig)
        three = Edge(tmp_path, "b3", console)
        await three.say("new 7")
        await LostEvents(console.edges[EDGE], console.store, three.take).offer()
        assert three.asked == 0, "the record has them: nobody needs to be asked again"
        await three.kept.close()


async def test_an_older_copy_of_a_journal_gets_back_what_came_after_it_in_many_offers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lost_events, "OFFERED", 4)
    async with a_console(tmp_path) as console:
        one = Edge(tmp_path, "b1", console)
        await one.say("kept 1")
        await one.kept.close()
        shutil.copy(tmp_path / "journal.db", tmp_path / "copy.db")
        one = Edge(tmp_path, "b2", console)
        after = [f"after {n}" for n in range(2, 13)]
        await one.say(*after)
        await one.kept.close()
        shutil.copy(tmp_path / "copy.db", tmp_path / "journal.db")
        two = Edge(tmp_path, "b3", console)
        lost = LostEvents(console.edges[EDGE], console.store, two.take)
        await lost.offer()
        assert two.asked == 0, "nothing is known yet of what this boot has"
        await two.say("new 2")
        await lost.offer()
        await two.kept.close()
        assert texts(record(tmp_path)) == after
        assert two.asked == 3


async def test_who_is_not_there_is_asked_again_and_who_refuses_is_not(tmp_path: Path, disk: Disk) -> None:
    async with a_console(tmp_path) as console:
        one = Edge(tmp_path, "b1", console)
        await one.say("stored 1")
        disk.break_()
        await one.say("lost 2")
        with suppress(JournalError):
            await one.kept.close()
        disk.mend()
        two = Edge(tmp_path, "b2", console)
        await two.say("new 2")
        answers: list[bool | None] = [None, False]

        async def ask(_: str, found: list[dict[str, Any]]) -> bool | None:
            assert [event["seq"] for event in found] == [2]
            return answers.pop(0)

        lost = LostEvents(console.edges[EDGE], console.store, ask)
        for _ in range(4):
            await lost.offer()
        assert answers == []
        await two.kept.close()


@pytest.mark.parametrize("change", [
    {"body": {"text": "never said"}}, {"seq": 9}, {"edge": "clinic-2"}, {"hash_sig": None}, {"hash_sig": "c2ln"},
    {"at": "2027-01-15T08:00:07.000Z"}, {"bed": "chair-2"}, {"withheld": 7}, {"hash": "0" * 64}, {"kind": None},
])
async def test_nothing_is_taken_that_the_edge_did_not_sign(tmp_path: Path, change: dict[str, Any]) -> None:
    async with a_console(tmp_path) as console:
        one = Edge(tmp_path, "b1", console)
        await one.say("true 1")
        (true,) = await one.kept.events_after(0, 1)
        offered = msgspec.json.decode(encode(event_out(true, False)))
        assert await one.take(EDGE, [offered | change]) is False
        assert await one.take(EDGE, [offered]) is True, "it is there already"
        assert await one.take(EDGE, [7]) is False
        assert await one.take(EDGE, []) is True
        await one.kept.close()
        assert record(tmp_path) == []


def test_what_is_offered_fits_into_a_command() -> None:
    assert lost_events.OFFERED_BYTES + 1000 < verifier.MAX_BYTES


@pytest.mark.parametrize(("lost", "ahead", "boots"), [(1, 0, 1), (1, 1, 2), (7, 5, 1), (40, 1, 3)])
async def test_an_edge_that_has_counted_beyond_what_it_lost_is_followed_from_where_the_two_part(
    tmp_path: Path, disk: Disk, lost: int, ahead: int, boots: int,
) -> None:
    """The console hears nothing of the boots that follow the one that was lost, until they have counted further."""
    async with a_console(tmp_path) as console:
        one = Edge(tmp_path, "b0", console)
        await one.say("stored 1", "stored 2")
        disk.break_()
        await one.say(*(f"lost {n}" for n in range(lost)))
        with suppress(JournalError):
            await one.kept.close()
        disk.mend()
        ingest = console.edges[EDGE]
        assert ingest.cursor.seq == 2 + lost
        for boot in range(boots):
            later = Edge(tmp_path, f"b{boot + 1}", console)
            later.unheard(-(-(lost + ahead) // boots))
            await later.kept.flush()
            if boot < boots - 1:
                await later.kept.close()
        await later.say("new")
        for _ in range(later.kept.head.seq):
            await later.beat()
            await later.send_late()
        assert ingest.cursor.seq == later.kept.head.seq
        with Reader(str(tmp_path / "journal.db")) as reader:
            assert console.store.now(hashes) == [event.hash for event in reader.events()]
        await LostEvents(ingest, console.store, later.take).offer()
        await later.kept.close()
        assert texts(record(tmp_path)) == [f"lost {n}" for n in range(lost)]
