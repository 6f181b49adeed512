"""A row of the journal that was damaged never stops the stream: a console gets the event, with a signature that it
believes, where something proves it; else a gap, said to be one. Never a word that the edge did not write."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
from nacl.signing import SigningKey
from sqlalchemy import select

from edge.cli.records import verify_journal
from edge.console import events, tables
from edge.console.store import Store
from edge.contract.events import Event, PendingEvent
from edge.contract.keys import earlier_keys, own_key, signing_keys
from edge.contract.payloads import EventOut, decode, encode, event_out
from edge.contract.signing import Signer, hash_is_signed
from edge.journal import Journal
from edge.journal.outbox import Outbox
from edge.journal.postgres import in_options
from edge.journal.verify import verify
from edge.model import Tick
from tests.helpers.bodies import body
from tests.helpers.journal_files import behind_triggers
from tests.helpers.postgres import Server, postgres
from tests.helpers.stream_world import EDGE_KEY

pytestmark = pytest.mark.slow

EDGE, AT_S = "clinic-1", 1_700_000_000.0
ANOTHER = SigningKey(b"a" * 32)
LAST = 12


def signer(key: SigningKey = EDGE_KEY, earlier: Sequence[SigningKey] = ()) -> Signer:
    return Signer(key, lambda: 1, [one.verify_key for one in earlier])


def opened(url: str, boot: str, keys: Signer | None = None) -> Journal:
    keys = keys or signer()
    return Journal.open(url, edge=EDGE, boot=boot, wall=lambda: "w", sign=partial(keys.sign_hash, EDGE), holds=True,
                        signed=partial(keys.has_signed, EDGE))


async def written(journal: Journal, count: int, first: int = 1) -> list[Event]:
    """So many events, each a commit of its own with an input before it."""
    found: list[Event] = []
    for k in range(first, first + count):
        journal.record("chair-1", AT_S + k, Tick())
        appended = journal.append([PendingEvent("chair-1", "s1", AT_S + k, body("alarm", text=str(k)))])
        assert await asyncio.wait_for(appended.stored, 5)
        found += appended.events
    return found


async def made(url: str, keys: Signer | None = None) -> list[Event]:
    """Boots of four events, three of them."""
    found: list[Event] = []
    for boot in ("b1", "b2", "b3"):
        journal = opened(url, boot, keys)
        found += await written(journal, 4, len(found) + 1)
        await journal.close()
    return found


@asynccontextmanager
async def served(url: str, keys: Signer | None = None) -> AsyncIterator[tuple[Journal, list[str]]]:
    journal, told = opened(url, "b9", keys), list[str]()
    journal.watch(lambda _: None, told.append)
    try:
        yield journal, told
    finally:
        await journal.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    kept = Store(tmp_path / "console.db")
    yield kept
    kept.close()


async def fetched(journal: Journal, store: Store, key: SigningKey = EDGE_KEY, page: int = 5) -> dict[int, EventOut]:
    """What the console has stored after it fetched all that it lacks, a page at a time, as the stream sends it."""
    is_signed, out = partial(hash_is_signed, key.verify_key, EDGE), Outbox(journal)
    while True:
        cursor = store.now(events.cursor_of, EDGE)
        found = await out.events_after(cursor.seq, page)
        if not found:
            break
        wire = [decode(EventOut, encode(event_out(event, True))) for event in found]
        kept = store.now(events.append, EDGE, wire, None, AT_S, is_signed)
        assert [(one.event.seq, one.why) for one in kept.refused] == []
        assert kept.cursor.seq == found[-1].seq, "the stream goes on"
    assert store.now(events.check, EDGE, 0, 1000, is_signed)[1] == []
    rows = store.now(lambda connection: connection.execute(select(tables.events.c.json)).scalars().all())
    stored = [decode(EventOut, row) for row in rows]
    return {one.seq: one for one in stored}


def true(truth: Sequence[Event], found: dict[int, EventOut], gaps: AbstractSet[int] = frozenset()) -> None:
    """All of it, each word as it was written, but for the gaps, in which there is none."""
    assert {seq for seq, event in found.items() if event.damaged} == gaps
    for event in truth:
        got = found[event.seq]
        if got.damaged:
            assert (bytes(got.body), got.bed, got.session, got.hash_sig) == (b"{}", None, None, None)
            assert got.withheld > 0
        else:
            expected = msgspec.structs.replace(event_out(event, True), hash_sig=got.hash_sig)
            assert got == expected
            assert got.hash_sig is None or hash_is_signed(EDGE_KEY.verify_key, EDGE, got.hash, got.hash_sig)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as server:
        yield server


Made = tuple[str, list[Event]]  # where a journal of three boots is, and its events


@pytest.fixture(scope="module")
def first_file(tmp_path_factory: pytest.TempPathFactory) -> Made:
    place = str(tmp_path_factory.mktemp("made") / "journal.db")
    return place, asyncio.run(made(place))


@pytest.fixture(scope="module")
def first_database(server: Server) -> Made:
    place = server.database()
    return place, asyncio.run(made(place))


@pytest.fixture
def file(first_file: Made, tmp_path: Path) -> Made:
    return str(shutil.copy(first_file[0], tmp_path / "journal.db")), [*first_file[1]]


@pytest.fixture
def database(first_database: Made, server: Server) -> Made:
    place = server.database()
    template, name = (url.partition("?")[0].rpartition("/")[2] for url in (first_database[0], place))
    server.sql(f"DROP DATABASE {name}", f"CREATE DATABASE {name} TEMPLATE {template}")
    return place, [*first_database[1]]


FLIPPED = "substr({0}, 1, 20) || CASE substr({0}, 21, 1) WHEN 'A' THEN 'B' ELSE 'A' END || substr({0}, 22)"
SIG, HASH, PREV = (FLIPPED.format(column) for column in ("sig", "hash", "prev"))
TRUE_ALL_THE_SAME = [
    ("a signature", f"UPDATE event SET sig = {SIG} WHERE seq = 6"),
    ("a signature that is no base64", "UPDATE event SET sig = '?' WHERE seq = 6"),
    ("a signature that is gone", "UPDATE event SET sig = NULL WHERE seq = 6"),
    ("the first signature", f"UPDATE event SET sig = {SIG} WHERE seq = 1"),
    ("the last signature of a boot", f"UPDATE event SET sig = {SIG} WHERE seq = 8"),
    ("the last signature", f"UPDATE event SET sig = {SIG} WHERE seq = {LAST}"),
    ("two signatures", f"UPDATE event SET sig = {SIG} WHERE seq IN (5, 6)"),
    ("its hash", f"UPDATE event SET hash = {HASH} WHERE seq = 6"),
    ("its link", f"UPDATE event SET prev = {PREV} WHERE seq = 6"),
    ("its hash and its link", f"UPDATE event SET hash = {HASH}, prev = {PREV} WHERE seq = 6"),
    ("its hash and its signature", f"UPDATE event SET hash = {HASH}, sig = {SIG} WHERE seq = 6"),
]
GAPS: list[tuple[str, str, set[int]]] = [
    ("its time", "UPDATE event SET at_ms = at_ms + 65536 WHERE seq = 6", {6}),
    ("its number", "UPDATE event SET seq = 70 WHERE seq = 6", {6}),
    ("its body", "UPDATE event SET body = '{\"k\":1}' WHERE seq = 6", {6}),
    ("a body that is no JSON", "UPDATE event SET body = '{' WHERE seq = 6", {6}),
    ("its boot", "UPDATE event SET boot = 'b7' WHERE seq = 6", {6}),
    ("its bed", "UPDATE event SET bed = 'chair-2' WHERE seq = 6", {6}),
    ("its session", "UPDATE event SET session = NULL WHERE seq = 6", {6}),
    ("its kind", "UPDATE event SET kind = 'link' WHERE seq = 6", {6}),
    ("its edge", "UPDATE event SET edge = 'clinic-2' WHERE seq = 6", {6}),
    ("the row", "DELETE FROM event WHERE seq = 6", {6}),
    ("the first row", "DELETE FROM event WHERE seq = 1", {1}),
    ("three rows", "DELETE FROM event WHERE seq IN (4, 5, 6)", {4, 5, 6}),
    ("three bodies", "UPDATE event SET body = '{}' WHERE seq IN (4, 5, 6)", {4, 5, 6}),
    ("a body, and the link behind it", f"UPDATE event SET body = '{{}}', prev = {PREV} WHERE seq = 6", {6}),
]


async def true_all_the_same(record: Made, store: Store, what: str) -> None:
    place, truth = record
    assert not verify(place, keys=[EDGE_KEY.verify_key]).ok
    async with served(place) as (journal, told):
        true(truth, found := await fetched(journal, store))
        assert all(event.hash_sig for event in found.values())
        assert told or "last signature" in what, "the edge says it"
        assert [event.seq for event in await journal.events_after(0, 100)] == [*range(1, LAST + 1)]


@pytest.mark.parametrize(("what", "how"), TRUE_ALL_THE_SAME, ids=[what for what, _ in TRUE_ALL_THE_SAME])
async def test_what_still_proves_itself_reaches_the_console_with_a_signature_it_believes(
    file: Made, store: Store, what: str, how: str,
) -> None:
    behind_triggers(file[0], how)
    await true_all_the_same(file, store, what)


@pytest.mark.parametrize(("what", "how"), [TRUE_ALL_THE_SAME[0], TRUE_ALL_THE_SAME[-2]])
async def test_so_it_does_from_a_server(database: Made, server: Server, store: Store, what: str, how: str) -> None:
    server.sql("ALTER TABLE event DISABLE TRIGGER USER", how, url=database[0])
    await true_all_the_same(database, store, what)


async def gap_and_on(record: Made, store: Store, gaps: set[int], spoil: Callable[[], object]) -> None:
    place, truth = record
    async with served(place) as (journal, told):  # while it is open: no start finds it first
        truth += await written(journal, 1, LAST + 1)
        spoil()
        true(truth, await fetched(journal, store), gaps)
        assert any(f"event {min(gaps)}" in line for line in told), told
        truth += await written(journal, 1, LAST + 2)
        true(truth, await fetched(journal, store), gaps)
        assert [event.seq for event in await journal.events_after(0, 100)] == [
            event.seq for event in truth if event.seq not in gaps], "nobody else is told of gaps"


@pytest.mark.parametrize(("what", "how", "gaps"), GAPS, ids=[what for what, _, _ in GAPS])
async def test_what_nothing_proves_is_a_gap_and_the_stream_goes_on_behind_it(
    file: Made, store: Store, what: str, how: str, gaps: set[int],
) -> None:
    await gap_and_on(file, store, gaps, partial(behind_triggers, file[0], how))


@pytest.mark.parametrize(("what", "how", "gaps"), [GAPS[0], GAPS[1], GAPS[-3]])
async def test_so_it_is_from_a_server(
    database: Made, server: Server, store: Store, what: str, how: str, gaps: set[int],
) -> None:
    await gap_and_on(database, store, gaps, lambda: server.sql(
        "ALTER TABLE event DISABLE TRIGGER USER", how, url=database[0]))


@pytest.mark.parametrize("page", [1, 2, 3, 7, 200])
async def test_a_gap_is_the_same_whichever_page_it_is_on(file: Made, store: Store, page: int) -> None:
    place, truth = file
    behind_triggers(place, "UPDATE event SET body = '{}' WHERE seq IN (2, 3, 7)",
            f"UPDATE event SET hash = {HASH} WHERE seq = 5", f"UPDATE event SET prev = {PREV} WHERE seq = 11",
            f"UPDATE event SET sig = {SIG} WHERE seq IN (4, 8, 9)")
    async with served(place) as (journal, _):
        true(truth, await fetched(journal, store, page=page), {2, 3, 7})


def changed_bytes(path: Path, what: bytes, to: bytes) -> None:
    content = path.read_bytes()
    assert content.count(what) == 1
    path.write_bytes(content.replace(what, to))


async def test_rows_that_are_no_text_are_gaps(file: Made, store: Store) -> None:
    place, truth = Path(file[0]), file[1]
    changed_bytes(place, b'"text":"6"', b'"text":"\xff"')
    async with served(str(place)) as (journal, told):
        true(truth, await fetched(journal, store), {6})
        assert any("event 6" in line for line in told)


async def test_after_the_key_was_changed_the_console_that_knows_the_new_one_gets_all_of_it(
    tmp_path: Path, store: Store,
) -> None:
    place, path = str(tmp_path / "journal.db"), tmp_path / "edge.key"
    first = own_key(path)
    truth = await made(place, Signer(first, lambda: 1))
    path.unlink()  # and a start makes another
    now = own_key(path)
    assert now != first
    assert own_key(path) == now
    assert earlier_keys(path) == [first.verify_key]
    keys = Signer(now, lambda: 1, earlier_keys(path))
    async with served(place, keys) as (journal, told):
        truth += await written(journal, 2, LAST + 1)
        behind_triggers(place, f"UPDATE event SET sig = {SIG} WHERE seq = 6")
        found = await fetched(journal, store, now)
        assert [event.hash for event in truth] == [found[event.seq].hash for event in truth]
        assert all(hash_is_signed(now.verify_key, EDGE, event.hash, event.hash_sig or "") for event in found.values())
        assert told == ["event 6: its signature"]
        assert not any(event.damaged for event in found.values())


async def test_what_somebody_else_signed_or_wrote_is_never_signed_by_the_edge(tmp_path: Path, store: Store) -> None:
    """The end of the record written anew while the edge was off, without its key: each hash is right."""
    place = str(tmp_path / "journal.db")
    await made(place, signer(ANOTHER))
    async with served(place) as (journal, told):
        truth = await written(journal, 2, LAST + 1)
        found = await fetched(journal, store)
        true(truth, {seq: event for seq, event in found.items() if seq > LAST})
        assert {seq for seq, event in found.items() if event.damaged} == set(range(1, LAST + 1))
        assert not any(event.hash_sig for event in found.values() if event.damaged)
        assert "event 1: its signature is not this edge's" in told[0]


async def begun_twice(record: Made, store: Store, spoil: Callable[..., object]) -> None:
    """Once, and behind that again."""
    place, truth = record
    for boot in ("b4", "b5"):
        spoil(f"UPDATE event SET at_ms = at_ms + 1 WHERE seq = {len(truth)}",
              "UPDATE event SET body = '{}' WHERE seq = 3")
        truth.pop()
        journal = opened(place, boot)
        assert journal.head.seq == len(truth)
        truth += await written(journal, 3, len(truth) + 1)
        await journal.close()
    async with served(place) as (journal, _):
        true(truth, await fetched(journal, store), {3})
        assert [event.seq for event in await journal.events_after(0, 100)] == [13, 14, 15, 16][-3:]


async def test_what_is_before_a_record_that_was_begun_anew_comes_from_the_one_kept_aside(
    file: Made, store: Store,
) -> None:
    await begun_twice(file, store, partial(behind_triggers, file[0]))


@pytest.mark.parametrize("schema", ["public", 'Ward "1"'])
async def test_so_it_comes_from_the_schemas_of_a_server(server: Server, store: Store, schema: str) -> None:
    url = server.database()
    if schema != "public":
        server.sql('CREATE SCHEMA "Ward ""1"""', url=url)
        url += f"&options={quote(f'-csearch_path={in_options(schema)}')}"
    record = url, await made(url)
    await begun_twice(record, store, lambda *how: server.sql(
        "ALTER TABLE event DISABLE TRIGGER USER", *how, url=url))


async def test_what_somebody_wrote_over_it_is_no_source_of_what_was_before(file: Made, store: Store) -> None:
    """Another edge's, kept aside in its place: a gap of ours, never an event of theirs."""
    place, truth = file
    behind_triggers(place, f"UPDATE event SET at_ms = at_ms + 1 WHERE seq = {len(truth)}")
    truth.pop()
    await opened(place, "b4").close()
    behind_triggers(Path(f"{place}.damaged-1"), "UPDATE meta SET value = 'clinic-2' WHERE key = 'edge'")
    async with served(place) as (journal, _):
        truth += await written(journal, 5, len(truth) + 1)
        true(truth, await fetched(journal, store), set(range(1, len(truth) - 4)))


async def test_what_is_in_no_record_at_all_is_a_gap_behind_what_the_console_has(file: Made, store: Store) -> None:
    place, truth = Path(file[0]), file[1]
    async with served(str(place)) as (journal, _):
        out = [decode(EventOut, encode(event_out(event, True))) for event in (await Outbox(journal).events_after(0, 4))]
        store.now(events.append, EDGE, out, None, AT_S)
        await journal.move_cursor("main", 4)
    behind_triggers(place, f"UPDATE event SET at_ms = at_ms + 1 WHERE seq = {LAST}")
    await opened(str(place), "b4").close()
    place.with_name("journal.db.damaged-1").unlink()
    async with served(str(place)) as (journal, told):
        truth = [*truth[:LAST - 1], *await written(journal, 2, LAST)]
        true(truth, await fetched(journal, store), set(range(5, LAST)))
        assert told == [f"events {where} are in no record that can be read" for where in ("5 to 9", "10 to 11")]




async def test_a_record_is_verified_by_all_the_keys_that_its_edge_had_each_in_its_time(tmp_path: Path) -> None:
    place, path = str(tmp_path / "journal.db"), tmp_path / "edge.key"
    keys = []
    for boot in range(12):  # so that edge.10.pub comes after edge.9.pub
        path.unlink(missing_ok=True)
        keys.append(own_key(path))
        journal = opened(place, f"b{boot}", Signer(keys[-1], lambda: 1))
        await written(journal, 2, 1 + 2 * boot)
        await journal.close()
    found = signing_keys(str(tmp_path / "edge.pub"))
    assert found == [key.verify_key for key in keys]
    assert verify(place, keys=found).ok
    assert verify_journal(place) == 0
    for wrong in (found[-1:], found[1:], found[::-1], [*found[:5], *found[6:]]):
        assert "its signature is not this edge's" in str(verify(place, keys=wrong).problem)


async def test_a_gap_is_filled_when_its_event_comes_again_signed_and_the_chain_has_its_hash(
    file: Made, store: Store, tmp_path: Path,
) -> None:
    place, truth = file
    whole = shutil.copy(place, tmp_path / "saved.db")
    behind_triggers(place, "UPDATE event SET body = '{}' WHERE seq IN (6, 7)")
    async with served(place) as (journal, _):
        true(truth, await fetched(journal, store), {6, 7})
    async with served(str(whole)) as (journal, _):  # as it was saved
        sent = [decode(EventOut, encode(event_out(event, True))) for event in await journal.events_after(0, 100)]
    is_signed = partial(hash_is_signed, EDGE_KEY.verify_key, EDGE)
    unsigned = [msgspec.structs.replace(event, hash_sig=None) for event in sent]
    for again, filled in ((unsigned, []), (sent[6:7], [7]), (sent, [6])):
        kept = store.now(events.append, EDGE, again, None, AT_S, is_signed)
        assert ([event.seq for event in kept.new], kept.refused, kept.cursor.seq) == (filled, [], LAST)
    async with served(str(whole)) as (journal, _):
        true(truth, await fetched(journal, store))
