"""A journal in PostgreSQL: the same record as in a file, byte for byte of its chain; a server that is killed, silent or
not yet there stops nobody; what is damaged is kept aside whole."""

from __future__ import annotations

import asyncio
import gzip
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.event import listen, remove
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from edge import migrating
from edge.contract.events import PendingEvent
from edge.journal import Journal, JournalBusy, JournalError, Reader, journal, schema, segments
from edge.journal.database import DatabaseUrl, JournalFailing
from edge.journal.outage import Outage
from edge.journal.segments import Retention
from edge.journal.size import size_of
from edge.journal.store import Store
from edge.journal.verify import verify
from edge.model import Tick
from edge.postgres import hang_up
from tests.helpers.bodies import body
from tests.helpers.postgres import PASSWORD, Server
from tests.helpers.postgres import server as server

pytestmark = pytest.mark.slow
AT_S = 1_700_000_000.25
KNOWN_WITHIN_S = 5.0
STATEMENTS = {False: 12, True: 10}  # how many are cut, of making a journal and of one that is there
GOLDEN = Path(__file__).parent / "golden" / "journal-0.1.0.db.gz"
APPEND_ONLY = "the journal is append-only"


@pytest.fixture
def url(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(journal, "RETRY_S", 0.05)
    return server.database()


@dataclass
class Kept:
    """A journal that holds, and what was said of its store."""

    url: str
    journal: Journal
    told: list[Outage] = field(default_factory=list)

    async def event(self, inputs: int = 1) -> bool:
        """Some inputs and one event; whether it is in the database now."""
        for _ in range(inputs):
            self.journal.record("chair-1", AT_S, Tick())
        appended = self.journal.append([PendingEvent("chair-1", "s1", AT_S, body("alarm", text="é"))])
        return await asyncio.wait_for(appended.stored, KNOWN_WITHIN_S)

    async def healed(self) -> Outage:
        async with asyncio.timeout(10):
            while not self.told or not self.told[-1].over:
                await self.journal.flush()  # as the edge does each second
                await asyncio.sleep(0.05)
        return self.told[-1]

    def check(self, events: int) -> None:
        verdict = verify(self.url)
        assert (verdict.problem, verdict.events, verdict.hash) == (None, events, self.journal.head.hash)


def opened(url: str, boot: str = "b1", keep_inputs: Retention | None = None, edge: str = "clinic-1") -> Kept:
    kept = Kept(url, Journal.open(url, edge=edge, boot=boot, wall=lambda: "now", holds=True,
                                  keep_inputs=keep_inputs or Retention()))
    kept.journal.watch(kept.told.append)
    return kept


async def test_it_is_the_record_that_a_file_would_be(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "ROWS", 20)
    path = str(tmp_path / "journal.db")
    for boot in ("b1", "b2"):
        for each in (path, url):
            kept = opened(each, boot)
            for _ in range(30):
                assert await kept.event(2)
            kept.journal.snapshot("chair-1", kept.journal.head.n, AT_S, b"\x00\xff")
            await kept.journal.flush()
            await kept.journal.move_cursor("main", 7)
            assert await kept.journal.cursor("main") == 7
            assert kept.journal.snapshots() == {"chair-1": (kept.journal.head.n, AT_S, b"\x00\xff")}
            await kept.journal.close()
    assert verify(url) == verify(path)
    with Reader(url) as here, Reader(path) as there:
        assert list(here.events()) == list(there.events())
        assert list(here.inputs(17)) == list(there.inputs(17))
        assert here.snapshots() == there.snapshots()
        size, other = size_of(here), size_of(there)
        assert size.packed_inputs >= 80
        assert (size.events, size.inputs) == (other.events, other.inputs)
        assert size.file_bytes > 50_000


async def test_old_inputs_are_let_go_of_and_the_chain_holds(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "ROWS", 20)
    kept = opened(url, keep_inputs=Retention(ms=10))
    for k in range(60):
        kept.journal.record("chair-1", AT_S + k, Tick())
        await kept.journal.flush()
    await kept.event()
    await kept.journal.close()
    verdict = verify(url)
    assert verdict.problem is None
    assert verdict.dropped >= 20


@pytest.mark.parametrize("statement", [
    "UPDATE event SET kind = 'x'", "DELETE FROM event", "TRUNCATE event", "DELETE FROM input WHERE n = 1",
    "UPDATE input SET n = 9", "DELETE FROM seal", "TRUNCATE input", "DELETE FROM segment", "TRUNCATE segment, seal"])
async def test_the_database_itself_refuses_to_change_a_record(server: Server, url: str, statement: str) -> None:
    kept = opened(url)
    await kept.event()
    await kept.journal.close()
    server.sql("INSERT INTO segment VALUES (9, 9, 9, 9, 9, NULL)", url=url)
    with pytest.raises(DBAPIError, match=APPEND_ONLY):
        server.sql(statement, url=url)


def test_who_reads_cannot_write(server: Server, url: str) -> None:
    asyncio.run(_written(url))
    with Reader(url) as reader, pytest.raises(DBAPIError, match="read-only transaction"):
        reader.connection.exec_driver_sql("INSERT INTO meta VALUES ('x', 'y')")


async def _written(url: str, edge: str = "clinic-1") -> None:
    kept = opened(url, edge=edge)
    await kept.event()
    await kept.journal.close()


# --- a server that is not there ---------------------------------------------------------------------------------------


async def test_a_server_killed_at_any_moment_loses_nothing_confirmed_and_the_rest_follows(
        server: Server, url: str) -> None:
    kept = opened(url)
    stored: list[bool] = []
    for round_ in range(6):
        writes = [asyncio.ensure_future(kept.event(50)) for _ in range(20 * round_ % 50)]
        await asyncio.sleep(0)  # each has handed in what it has; some are stored, some are under way
        await asyncio.to_thread(server.stop)
        stored += [await write for write in writes]
        assert not await kept.event()
        assert kept.journal.outage is not None
        confirmed = kept.journal.stored_seq
        await asyncio.to_thread(server.start)
        await kept.healed()
        assert verify(url).events >= confirmed
        assert await kept.event()
        kept.check(kept.journal.head.seq)
    assert kept.told[0].reason
    await kept.journal.close()


async def test_a_server_that_answers_nobody_is_known_in_time_and_blocks_nobody(server: Server, url: str) -> None:
    kept = opened(url)
    assert await kept.event()
    loop, late_s = asyncio.get_running_loop(), 0.0
    with server.silent():
        began_s = loop.time()
        write = asyncio.ensure_future(kept.event())
        while not write.done():
            before_s = loop.time()
            await asyncio.sleep(0.01)
            late_s = max(late_s, loop.time() - before_s)
        assert not await write
        assert loop.time() - began_s < KNOWN_WITHIN_S
        assert [outage.reason for outage in kept.told] == ["the database does not answer"]
        assert not await kept.event()  # at once
    assert late_s < 1.0
    assert (await kept.healed()).events == 2
    assert await kept.event()
    kept.check(4)
    await kept.journal.close()


async def test_a_start_without_its_server_watches_and_catches_up(server: Server, url: str) -> None:
    await asyncio.to_thread(server.stop)
    kept = opened(url)
    assert not await kept.event()
    assert "No such file or directory" in kept.told[0].reason
    await asyncio.to_thread(server.start)
    await kept.healed()
    assert await kept.event()
    kept.check(2)
    await kept.journal.close()


async def test_a_restart_before_its_server_is_there_goes_on_behind_the_record(server: Server, url: str) -> None:
    first = opened(url)
    for _ in range(3):
        await first.event()
    await first.journal.close()
    await asyncio.to_thread(server.stop)
    again = opened(url, "b2")
    assert again.journal.unplaced
    for _ in range(2):
        assert not await again.event()
    await asyncio.to_thread(server.start)
    await again.healed()
    assert await again.event()
    again.check(6)
    assert [event.boot for event in await again.journal.events_after(0, 9)] == ["b1"] * 3 + ["b2"] * 3
    await again.journal.close()


@pytest.mark.parametrize("exists", [False, True])
async def test_cut_off_at_any_statement_nothing_confirmed_is_lost_and_the_rest_follows(url: str, exists: bool) -> None:
    """Before each statement of making the journal, and of writing and packing, the line to the server is cut."""
    if exists:
        await opened(url).journal.close()
    left = 0

    def cut(connection: Connection, cursor: object, statement: str, *_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            hang_up(connection)

    listen(Engine, "before_cursor_execute", cut)
    confirmed = 0
    try:
        for step in range(1, STATEMENTS[exists]):
            left = step
            kept = opened(url, f"b{step}")
            for _ in range(2):
                await kept.event()
            if kept.told:
                await kept.healed()
            await kept.journal.close()
            assert left <= 0, "a cut that never came shows nothing"
            confirmed = kept.journal.head.seq
            kept.check(confirmed)
    finally:
        remove(Engine, "before_cursor_execute", cut)
    assert confirmed == 2 * (STATEMENTS[exists] - 1)


async def test_one_edge_at_a_time_and_the_next_as_soon_as_it_is_gone(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(journal_settings(), "lock_timeout", 100)
    kept = opened(url)
    with pytest.raises(JournalBusy, match="already being written; only one edge"):
        opened(url, "b2")
    await kept.journal.close()
    await opened(url, "b2").journal.close()


def journal_settings() -> dict[str, str | int]:
    from edge.postgres import SESSION

    assert isinstance(SESSION, dict)
    return SESSION


async def test_two_journals_live_in_two_schemas_of_one_database(server: Server, url: str) -> None:
    server.sql("CREATE SCHEMA north", "CREATE SCHEMA south", url=url)
    both = [opened(f"{url}&options=-csearch_path%3D{name}") for name in ("north", "south")]
    for kept in both:
        assert await kept.event()
        kept.check(1)
    for kept in both:
        await kept.journal.close()


# --- what is not to be believed ---------------------------------------------------------------------------------------


async def test_a_damaged_one_is_kept_aside_whole_and_a_new_one_goes_on(server: Server, url: str) -> None:
    kept = opened(url)
    for _ in range(5):
        await kept.event()
    kept.journal.snapshot("chair-1", 5, AT_S, b"state")
    await kept.journal.flush()
    await kept.journal.move_cursor("main", 2)
    await kept.journal.close()
    server.sql("ALTER TABLE event DISABLE TRIGGER ALL", "UPDATE event SET body = body || ' ' WHERE seq = 5", url=url)
    kept = opened(url, "b2")
    begun = kept.journal.taken_begun()
    assert begun is not None
    assert (begun.checkpoint.event_seq, begun.at_ms, begun.damaged_file) == (4, AT_S * 1000, "schema public_damaged_1")
    assert await kept.event()
    assert kept.journal.snapshots() == {"chair-1": (4, AT_S, b"state")}
    assert await kept.journal.cursor("main") == 2
    await kept.journal.close()
    verdict = verify(url)
    assert (verdict.problem, verdict.begins_after, verdict.events) == (None, 4, 5)
    assert verify(f"{url}&options=-csearch_path%3Dpublic_damaged_1").problem == (
        "event 5: its body is not the JSON that was hashed")


@pytest.mark.parametrize(("statements", "says"), [
    (["UPDATE meta SET value = '99' WHERE key = 'schema'", "ALTER TABLE event ADD COLUMN next TEXT"],
     "written by a newer vigil .schema 99"),
    ([], "belongs to edge 'north', not to 'clinic-1'"),
    (["DROP TABLE meta, event, seal"], "is not a journal: it is a database with other tables"),
])
async def test_what_is_no_journal_of_ours_is_refused_in_one_line(
        server: Server, url: str, statements: list[str], says: str) -> None:
    await _written(url, "north" if "north" in says else "clinic-1")
    server.sql(*statements, url=url)
    attempts: list[Callable[[], object]] = [lambda: opened(url)]
    if "edge" not in says:
        attempts.append(lambda: Reader(url))
    for attempt in attempts:
        with pytest.raises(JournalError, match=says) as told:
            attempt()
        assert "\n" not in str(told.value)
        assert PASSWORD not in str(told.value)
        assert "vigil:***@" in str(told.value)


# --- brought along ----------------------------------------------------------------------------------------------------


def as_0_1_0_would_have_written_it(url: str, folder: Path) -> None:
    """The golden journal's rows in tables of the first step alone, and nothing of alembic's."""
    (folder / "versions").mkdir()
    shutil.copy(schema.STEPS / "versions" / "r0001_vigil_0_1_0.py", folder / "versions")
    (folder / "old.db").write_bytes(gzip.decompress(GOLDEN.read_bytes()))
    engine = create_engine(url, poolclass=NullPool)
    with closing(sqlite3.connect(folder / "old.db")) as old, engine.begin() as connection:
        migrating.upgrade(connection, folder, None)
        for name in ("meta", "input", "seal", "event", "snapshot", "cursor"):
            for row in old.execute(f"SELECT * FROM {name}").fetchall():
                connection.exec_driver_sql(f"INSERT INTO {name} VALUES ({', '.join(['%s'] * len(row))})", tuple(row))
        connection.exec_driver_sql("DROP TABLE alembic_version")


def test_an_older_one_cut_off_at_any_statement_is_brought_along_whole(
        server: Server, url: str, tmp_path: Path) -> None:
    as_0_1_0_would_have_written_it(url, tmp_path)
    before, left, cut = verify(url), 0, 0
    assert (before.problem, before.events) == (None, 70)

    def end(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        nonlocal left
        left -= statement.lstrip().startswith(("CREATE", "ALTER", "INSERT", "UPDATE", "DROP"))
        if left < 0:
            hang_up(connection)

    while True:
        left = cut
        listen(Engine, "before_cursor_execute", end)
        try:
            store = Store(DatabaseUrl(url), "clinic-1")
            store.open().connection.close()
            break
        except JournalFailing:
            cut += 1
        finally:
            remove(Engine, "before_cursor_execute", end)
        assert server.sql("SELECT value FROM meta WHERE key = 'schema'", url=url) == [("1",)]
    assert cut > 20
    assert verify(url) == before
    assert server.sql("SELECT version_num FROM alembic_version", url=url) == [(schema.HEAD,)]
    with create_engine(url, poolclass=NullPool).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.TABLES) == []


@pytest.mark.parametrize("says", ["belongs to edge 'north', not to 'clinic-1'", "written by a newer vigil .schema 99"])
async def test_an_edge_whose_server_comes_with_anothers_record_writes_not_a_byte_of_it(
        server: Server, url: str, tmp_path: Path, says: str) -> None:
    """And goes on behind its own, an older one, as soon as that is there."""
    server.sql("CREATE SCHEMA mine", "CREATE SCHEMA others", url=url)
    mine, others, place = (f"{url}&options=-csearch_path%3D{name}" for name in ("mine", "others", "place"))
    as_0_1_0_would_have_written_it(mine, tmp_path)
    await Journal.open(others, edge="north", boot="b1", wall=lambda: "now").close()
    if "newer" in says:
        server.sql("UPDATE others.meta SET value = '99' WHERE key = 'schema'",
                   "ALTER TABLE others.event ADD COLUMN next TEXT", url=url)
    before = server.sql("SELECT * FROM others.meta ORDER BY key", url=url)
    kept = opened(place)
    assert not await kept.event()
    server.sql("ALTER SCHEMA others RENAME TO place", url=url)
    async with asyncio.timeout(10):
        while not re.search(says, kept.told[-1].reason):
            await kept.event()
            await asyncio.sleep(0.05)
    server.sql("ALTER SCHEMA place RENAME TO others", "ALTER SCHEMA mine RENAME TO place", url=url)
    healed = await kept.healed()
    assert healed.events >= 1
    await kept.journal.close()
    verdict = verify(place)
    assert (verdict.problem, verdict.events) == (None, 70 + healed.events)
    assert server.sql("SELECT * FROM others.meta ORDER BY key", url=url) == before
    assert server.sql("SELECT count(*) FROM others.event", url=url) == [(0,)]
