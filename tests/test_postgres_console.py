"""The console's store in PostgreSQL: what a file would hold; two consoles over one database both serve, and neither
doubles an event; a server that is gone or silent breaks no page and no name."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, event, select
from sqlalchemy.engine import Engine

from edge.cli.audit import show_audit
from edge.console import audit, database, events, history, patients, store
from edge.console.accounts import account, ensure_user
from edge.console.history import Determination, Row
from edge.console.store import Store, StoreBroken
from edge.console.tables import events as event_table
from edge.console.tables import metadata
from edge.contract.freshness import Memory
from edge.contract.payloads import EventOut, event_topic
from tests.helpers.console_server import served
from tests.helpers.console_story import BED, EDGE, START_S, Journal, hear
from tests.helpers.postgres import PASSWORD, Server
from tests.helpers.postgres import server as server

pytestmark = pytest.mark.slow


@pytest.fixture
def url(server: Server) -> str:
    return server.database()


def chain(length: int) -> list[EventOut]:
    """As an edge sends it."""
    told = Journal().fill(length)
    return [told.out(seq) for seq in range(1, length + 1)]


def use(kept: Store) -> list[Any]:
    """A little of everything the console stores, and what is read back."""
    told = chain(30)
    shuffled = told[:]
    random.Random(1).shuffle(shuffled)
    found: list[Any] = []
    for part in (shuffled[:10], shuffled[5:], told):
        done = kept.now(events.append, EDGE, part, "boot-1", 1.0)
        found.append((done.new, done.refused, done.cursor, done.known))
    found += [kept.now(events.sounded, EDGE, seq, True) for seq in (7, 3, 9)]
    kept.now(events.remember, EDGE, Memory())
    kept.now(history.append, [Row(EDGE, "chair-1", 1.1, {"spo2_pct": 97.0}), Row(EDGE, "chair-1", 1.1, {}),
                              Determination(EDGE, "chair-1", 1.3, {"sbp_mmhg": 120.1, "dbp_mmhg": None})])
    kept.now(patients.name_session, "s1", EDGE, "chair-1", "Ada", 5.0)
    kept.now(patients.name_session, "s1", EDGE, "chair-1", "Ada L.", 6.0)
    kept.now(audit.add, 7.0, "anna", "login", EDGE, "chair-1", why="é\x00")
    found += [kept.now(events.of_bed, EDGE, BED, 100, None), kept.now(events.check, EDGE, 0, 100),
              kept.now(events.heal, EDGE, [4], 8.0), kept.now(events.memory_of, EDGE),
              kept.now(history.rows_since, EDGE, "chair-1", 0.0), kept.now(patients.names), kept.now(audit.lines)]
    return found


def test_it_holds_what_a_file_holds(url: str, tmp_path: Path) -> None:
    found = []
    for place in (tmp_path / "console.db", url):
        kept = Store(place)
        found.append(use(kept))
        kept.close()
    assert found[1] == found[0]


def test_its_tables_are_those_the_code_knows_and_its_numbers_have_64_bits(url: str) -> None:
    kept = Store(url)
    assert kept.now(lambda connection: list(compare_metadata(MigrationContext.configure(connection), metadata))) == []
    kept.now(lambda connection: connection.execute(event_table.insert().values(
        edge=EDGE, seq=2**63 - 1, boot="b", at_s=0.1, kind="k", prev="p", hash="h", json=b"")))
    assert kept.now(events.seqs, EDGE) == [2**63 - 1]
    kept.close()


def test_an_end_of_the_audit_that_was_cut_off_is_found_by_what_each_console_noted(
    server: Server, url: str, tmp_path: Path,
) -> None:
    folders = tmp_path / "one", tmp_path / "two"
    kept = []
    for folder in folders:
        folder.mkdir()
        kept.append(Store(url, serves=lambda: START_S, accounts=folder / "console.accounts"))
    for k in range(6):
        kept[k % 2].now(audit.add, START_S, "nina", "login")
    for one in kept:
        one.close()
    notes = [folder / "console.db.audit" for folder in folders]
    assert [note.read_text()[:2] for note in notes] == ["5:", "6:"]
    assert [show_audit(url, noted=note) for note in notes] == [0, 0]
    server.sql("DELETE FROM audit WHERE n = 6", url=url)
    assert [show_audit(url, noted=note) for note in (None, *notes)] == [0, 0, 1]
    Store(url, serves=lambda: START_S, accounts=folders[1] / "console.accounts").close()
    assert [show_audit(url, noted=note) for note in notes] == [0, 0]


def test_a_stranger_cannot_break_it_with_the_character_it_cannot_hold(url: str) -> None:
    kept = Store(url)
    kept.now(audit.add, 1.0, "x\x00y", "login refused")
    assert kept.now(audit.lines)[0][0] == "x\ufffdy"
    assert kept.now(account, "x\x00y") is None
    kept.close()


# --- two consoles -----------------------------------------------------------------------------------------------------


async def test_two_consoles_store_at_once_and_no_event_is_there_twice(url: str) -> None:
    one, two = Store(url), Store(url)
    told = chain(400)
    seen: list[list[int]] = [[], []]
    together = asyncio.Barrier(2)

    async def hear(kept: Store, which: int) -> None:
        cuts = [0, *sorted(random.Random(which).sample(range(1, 400), 99)), 400]
        for at, to in itertools.pairwise(cuts):
            await together.wait()
            part = told[at:to]
            done = await kept.run(events.append, EDGE, part, "b1", 1.0)
            assert not done.refused
            seen[which] += [each.seq for each in done.new]
            assert {each.seq for each in [*done.new, *done.known]} == {each.seq for each in part}

    await asyncio.gather(hear(one, 0), hear(two, 1))
    assert sorted(seen[0] + seen[1]) == list(range(1, 401)), "each is new to one of them"
    assert one.now(events.seqs, EDGE) == list(range(1, 401))
    assert two.now(events.cursor_of, EDGE).seq == 400
    assert (one.broken, two.broken) == (None, None)
    for kept in (one, two):
        kept.close()


async def test_two_consoles_make_the_tables_at_once(url: str) -> None:
    both = await asyncio.gather(*(asyncio.to_thread(Store, url) for _ in range(2)))
    assert await asyncio.to_thread(ensure_user, url, "ann", "one", "nurse", 1.0)
    for kept in both:
        assert kept.now(account, "ann") is not None
        kept.close()


async def test_two_consoles_over_one_database_both_serve_and_show_each_event_once(url: str, tmp_path: Path) -> None:
    """One edge speaks to both; the pages of each see every event, whoever stored it; a login and a name hold at both.
    """
    told = Journal(start_s=START_S - 60)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    async with (served(tmp_path / "one", server=url) as one,
                served(tmp_path / "two", server=url, name="second") as two):
        both, shown = (one, two), [Shown(one), Shown(two)]
        for part in range(1, 41, 4):
            told.fill(part + 3)
            for home in both if part % 8 == 1 else both[::-1]:
                hear(home.console, event_topic(EDGE), told.payload(part, part + 3))
            hear(one.console, event_topic(EDGE), told.payload(max(1, part - 2), part + 1, late=True))  # sent again
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            while any(home.console.edges[EDGE].cursor.seq < 40 for home in both):
                await asyncio.sleep(0.01)
        assert one.console.store.now(events.seqs, EDGE) == list(range(1, 41))
        assert sum(home.console.edges[EDGE].stored for home in both) == 40
        assert [sorted(each.seqs) for each in shown] == [list(range(1, 41))] * 2
        assert [home.console.edges[EDGE].ack().seq for home in both] == [40, 40]
        await one.login()
        two.http.cookies = one.http.cookies
        found = await two.http.get(f"/api/beds/{BED}/events?limit=3")
        assert [row["seq"] for row in found.json()] == [40, 39, 38]
        one.console.store.now(patients.name_session, "c0ffee", EDGE, BED, "Ada", 1.0)
        await two.console.take_names()
        assert two.console.patients == {"c0ffee": "Ada"}
        assert [(home.console.store.broken, home.console.edges[EDGE].refused) for home in both] == [(None, 0)] * 2


class Shown:
    """The numbers of the events that a console gave to its pages."""

    def __init__(self, home: Any) -> None:
        self.seqs: list[int] = []
        self._publish = home.console.feed.publish
        home.console.feed.publish = self

    def __call__(self, message: str, less: Any = None) -> None:
        said = json.loads(message)
        self.seqs += [said["event"]["seq"]] if said["t"] == "event" else []
        self._publish(message, less)


# --- a server that is not there ---------------------------------------------------------------------------------------


async def test_a_server_killed_breaks_the_store_until_it_is_back(server: Server, url: str) -> None:
    kept = Store(url)
    told = chain(9)
    await kept.run(events.append, EDGE, told[:3], "b1", 1.0)
    await asyncio.to_thread(server.stop)
    with pytest.raises(StoreBroken) as broken:
        await kept.run(events.append, EDGE, told[3:6], "b1", 1.0)
    assert PASSWORD not in str(broken.value)
    assert "\n" not in str(kept.broken)
    await asyncio.to_thread(server.start)
    assert (await kept.run(events.append, EDGE, told[3:], "b1", 1.0)).cursor.seq == 9
    assert kept.broken is None
    kept.close()


async def test_a_console_that_starts_before_its_server_lets_people_in_and_takes_up_what_is_there(
    server: Server, url: str, tmp_path: Path,
) -> None:
    async with served(tmp_path, server=url) as home:
        await home.console.access.look()
        home.console.store.now(patients.name_session, "c0ffee", EDGE, BED, "Ada", 1.0)
    await asyncio.to_thread(server.stop)
    async with served(tmp_path, users=False, server=url) as home:
        said = home.console.store.broken
        signed_in = await home.login()
        done = await home.command("acknowledge", {"alarm": "a", "seq": 1})
        await asyncio.to_thread(server.start)
        assert said is not None
        assert PASSWORD not in said
        assert (signed_in.status_code, done.status_code) == (200, 200)
        async with asyncio.timeout(40):
            while home.console.store.broken or home.console.access.waiting or not home.console.patients:
                await asyncio.sleep(0.05)
        assert home.console.patients == {"c0ffee": "Ada"}
        assert [line[1] for line in home.console.store.now(audit.lines)][-2:] == ["ask acknowledge", "done acknowledge"]


async def test_a_server_that_was_started_anew_meanwhile_breaks_nothing(server: Server, url: str) -> None:
    kept = Store(url)
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)
    assert len((await kept.run(events.append, EDGE, chain(3), "b1", 1.0)).new) == 3
    kept.close()


async def test_a_server_that_answers_nobody_is_known_in_time(
        server: Server, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "ANSWER_S", 0.5)
    kept = Store(url)
    with server.silent():
        for _ in range(2):
            with pytest.raises(StoreBroken, match="the database does not answer"):
                await kept.run(events.append, EDGE, chain(3), "b1", 1.0)
    monkeypatch.undo()
    assert (await kept.run(events.append, EDGE, chain(3), "b1", 1.0)).cursor.seq == 3
    kept.close()


# --- brought along ----------------------------------------------------------------------------------------------------


def test_a_migration_cut_off_at_any_statement_is_run_again(server: Server, url: str) -> None:
    """The connection ends before statement k, for every k, as by a kill; then it opens whole."""
    cut = 0
    while True:
        left = cut

        def end(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
            nonlocal left
            if statement.lstrip().startswith(("CREATE", "ALTER", "INSERT", "UPDATE", "DROP")):
                left -= 1
                if left < 0:
                    raise KeyboardInterrupt

        event.listen(Engine, "before_cursor_execute", end)
        try:
            Store(url).close()
            break
        except KeyboardInterrupt:
            cut += 1
        finally:
            event.remove(Engine, "before_cursor_execute", end)
        assert server.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", url=url)[0][0] == 0
    assert cut > 15
    kept = Store(url)
    assert kept.now(lambda connection: connection.execute(select(event_table)).all()) == []
    kept.close()


@pytest.mark.parametrize(("statement", "says"), [
    ("UPDATE alembic_version SET version_num = '9999'", "written by a later version of Vigil .schema 9999"),
    ("DROP TABLE alembic_version", "is not a console's store: it is a database with other tables .accounts")])
def test_what_is_none_of_ours_is_refused_in_one_line(server: Server, url: str, statement: str, says: str) -> None:
    Store(url).close()
    server.sql(statement, url=url)
    with pytest.raises((database.SchemaTooNew, database.NoStore), match=says) as refused:
        Store(url)
    assert "\n" not in str(refused.value)
    assert PASSWORD not in str(refused.value)
