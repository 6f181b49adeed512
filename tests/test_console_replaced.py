"""Whatever somebody does to console.db while the console serves, nothing is served out of a wrong file, nobody is
locked out, what was stored is put back or asked for again, and it is said."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing, suppress
from itertools import product
from pathlib import Path

import pytest
import pytest_asyncio

from edge import file_id
from edge.console import accounts, audit, events, open_file, patients
from edge.console.service import Console
from edge.console.store import StoreBroken
from edge.contract.payloads import EventOut, decode, event_topic
from edge.file_id import FileId, id_of
from tests.helpers.console_server import quick_hashes
from tests.helpers.console_story import (
    BED,
    EDGE,
    NURSE,
    START_S,
    STATE,
    STATUS,
    Journal,
    Wire,
    hear,
    settings,
    state,
    status,
    with_users,
)
from tests.helpers.parts import sampled

pytestmark = pytest.mark.slow

NEW_WORD, PATIENT = "another word", "Ada"
EVENT = event_topic(EDGE)


class Home:
    """A console that has served for a while: a copy of its file of an earlier time, and all that was done since."""

    def __init__(self, folder: Path) -> None:
        self.wire = Wire()
        self.console = Console(settings(folder), self.wire)
        self.path, self.older = folder / "console.db", folder.with_name("older.db")
        self.journal = Journal().fill(30)
        self.token = ""
        self.before: list[tuple[str, str]] = []

    async def hear(self, first: int, last: int) -> None:
        hear(self.console, EVENT, self.journal.payload(first, last, late=True))
        await self.console.edges[EDGE].store_batch()

    async def begin(self) -> None:
        console, opened = self.console, self.console.store
        await console.load()
        hear(console, STATUS, status(START_S + 100))
        await self.hear(1, 10)
        self.token, csrf = accounts.new_tokens()
        await console.access.put(accounts.open_session, NURSE[0], START_S, 3600.0, (self.token, csrf))
        await self.note("login")
        with closing(sqlite3.connect(self.path)) as out, closing(sqlite3.connect(self.older)) as copy:
            out.backup(copy)
        user = await console.access.ask(accounts.user_of, self.token, START_S)
        assert user is not None
        await console.access.put(accounts.revoke, user.key)
        await self.note("logout")
        await console.access.put(accounts.put_account, NURSE[0], accounts.hash_password(NEW_WORD), "nurse", START_S)
        await opened.run(patients.name_session, "session-1", EDGE, BED, PATIENT, START_S)
        console.patients["session-1"] = PATIENT
        hear(console, STATE, state(START_S + 1, seq=20, session="session-1"))
        await self.hear(11, 20)
        await console.access.look()
        self.before = [(user, what) for user, what, *_ in opened.now(audit.lines)]

    async def note(self, what: str) -> None:
        await self.console.access.note(audit.add, START_S, NURSE[0], what)

    async def housekeeping(self) -> None:
        """What the console does each second."""
        console = self.console
        with suppress(StoreBroken):
            await console.store.look()
        if console.store.broken is not None:
            await console.store.mend()
        await console.edges[EDGE].check_record()
        await console._read_again()
        await console.access.catch_up()
        await console.access.look()

    async def check_people(self) -> None:
        """Who may come in, and who may not, is as it was."""
        ask = self.console.access.ask
        assert await ask(accounts.user_of, self.token, START_S) is None, "the session that was ended stays so"
        known = await ask(accounts.account, NURSE[0])
        assert known is not None
        assert accounts.check_password(known[0], NEW_WORD)
        assert not accounts.check_password(known[0], NURSE[1]), "the old password"

    async def check_record(self) -> None:
        """Every event once, as it was said; what the store lacks comes when the ack asks for it."""
        console = self.console
        ingest = console.edges[EDGE]
        await console.acknowledge(EDGE)
        await self.hear(self.wire.acks()[-1].seq + 1, 30)
        assert ingest.cursor.seq == 30
        raw, damaged = await console.store.read(events.of_bed, EDGE, BED, 99, None)
        true = {event.seq: event.hash for event in self.journal.events}
        assert damaged == []
        assert [(event.seq, event.hash) for event in (decode(EventOut, one) for one in raw)] == (
            sorted(true.items(), reverse=True))
        assert await console.store.read(events.check, EDGE, 0, 99) == (0, [])

    def said(self) -> int:
        """How often the screens say that the store was damaged or replaced."""
        return sum(one.part == "store" for one in self.console.troubles())


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with people: to be copied."""
    folder = tmp_path_factory.mktemp("begun") / "data"
    with quick_hashes():
        with_users(settings(folder))
    return folder


@pytest_asyncio.fixture
async def home(tmp_path: Path, begun: Path) -> AsyncIterator[Home]:
    with quick_hashes():
        made = Home(Path(shutil.copytree(begun, tmp_path / "data")))
        await made.begin()
        yield made
        made.console.store.close()


def removed(path: Path, older: Path) -> None:
    path.unlink()


def its_log_removed(path: Path, older: Path) -> None:
    Path(f"{path}-wal").unlink()


def its_index_replaced(path: Path, older: Path) -> None:
    Path(f"{path}-shm").unlink()
    Path(f"{path}-shm").write_bytes(bytes(32768))


def its_log_replaced(path: Path, older: Path) -> None:
    """Of another file: who starts with it beside ours would read its pages."""
    with closing(sqlite3.connect(older)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("UPDATE accounts SET role = 'technician'")
        other.commit()
        Path(f"{path}-wal").unlink()
        shutil.copy(f"{older}-wal", f"{path}-wal")


def an_older_one(path: Path, older: Path) -> None:
    older.rename(path)


def an_empty_one(path: Path, older: Path) -> None:
    path.rename(older)
    path.write_bytes(b"")


def another_programs(path: Path, older: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE bookmarks (url)")


def a_text(path: Path, older: Path) -> None:
    path.unlink()
    path.write_text("edge = 'clinic-1'\n")


def a_link_to_an_older_one(path: Path, older: Path) -> None:
    path.unlink()
    path.symlink_to(older)


def a_link_to_nothing(path: Path, older: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


def a_folder(path: Path, older: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("x")


PUT_BACK = [removed, an_older_one, an_empty_one, another_programs, a_text, a_link_to_an_older_one, a_link_to_nothing,
            a_folder, its_log_removed, its_index_replaced, its_log_replaced]


@pytest.mark.parametrize("happened", sampled([(each,) for each in PUT_BACK], 4))
async def test_a_file_that_is_not_at_its_place_any_more_is_put_back_with_the_next_write(
    home: Home, happened: Callable[[Path, Path], None],
) -> None:
    happened(home.path, home.older)
    await home.hear(21, 22)
    with closing(sqlite3.connect(f"file:{home.path}?mode=ro", uri=True)) as reader:
        stored = reader.execute("SELECT count(*), max(seq) FROM events").fetchone()
        assert stored == (22, 22), "who opens the file now sees all of it"
        told = reader.execute("SELECT user, what FROM audit ORDER BY n").fetchall()
    assert told == [*home.before, ("vigil", "store put back")]
    await home.housekeeping()
    await home.check_people()
    await home.check_record()
    kept = home.console.store.aside
    assert len(kept) == (happened not in (removed, a_link_to_nothing))
    assert home.said() == len(kept)


def overwritten(path: Path, content: bytes) -> None:
    with path.open("r+b") as file:  # as `cp` does: the very same file
        file.truncate(0)
        file.write(content)


def written_over_by_an_older_one(path: Path, older: Path) -> None:
    overwritten(path, older.read_bytes())


def emptied(path: Path, older: Path) -> None:
    overwritten(path, b"")


def written_over_by_another_programs(path: Path, older: Path) -> None:
    another = path.with_name("another.db")
    another_programs_made(another)
    overwritten(path, another.read_bytes())


def another_programs_made(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE bookmarks (url)")


def written_over_by_a_text(path: Path, older: Path) -> None:
    overwritten(path, b"edge = 'clinic-1'\n")


def cut_off(path: Path, older: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


@pytest.mark.parametrize(("checkpointed", "happened"), sampled(product((True, False), (
    written_over_by_an_older_one, emptied, written_over_by_another_programs, written_over_by_a_text, cut_off)), 6))
async def test_a_file_that_somebody_wrote_over_is_kept_aside_and_what_memory_has_counts(
    home: Home, checkpointed: bool, happened: Callable[[Path, Path], None],
) -> None:
    """`cp older.db console.db` leaves the open file where it is, with another's pages in it."""
    if checkpointed:  # nothing is left beside it that would hide the older pages
        opened = home.console.store
        assert opened._engine is not None
        with closing(opened._engine.raw_connection()) as raw:
            raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        opened.now(lambda _: None)
    happened(home.path, home.older)
    await home.check_people()
    await home.housekeeping()
    await home.check_people()
    await home.check_record()
    console = home.console
    assert [kept.name for kept in console.store.aside] == ["console.db.damaged-1"]
    assert home.said() == 1
    assert ("vigil", "store begun anew") in [(user, what) for user, what, *_ in console.store.now(audit.lines)]
    assert console.store.now(patients.names) == {"session-1": PATIENT}, "whose bed it is now is still known"
    assert console.patients == {"session-1": PATIENT}


async def test_over_another_disk_it_is_not_put_back_and_comes_back_whole(
    home: Home, monkeypatch: pytest.MonkeyPatch,
) -> None:
    beneath = home.path.parent.with_name("beneath")

    def seen(path: Path | str) -> FileId | None:
        found = id_of(path)
        return (-1, found[1]) if found and beneath.exists() else found

    for module in (open_file, file_id):
        monkeypatch.setattr(module, "id_of", seen)
    home.path.parent.rename(beneath)
    home.path.parent.mkdir()  # what is mounted there now
    with pytest.raises(StoreBroken, match="another one is mounted over its folder"):
        await home.console.store.look()
    await home.hear(21, 22)
    await home.check_people()
    assert list(home.path.parent.iterdir()) == [], "nothing is begun there"
    home.path.parent.rmdir()
    beneath.rename(home.path.parent)
    await home.housekeeping()
    assert home.console.store.broken is None
    await home.check_record()
    assert home.console.store.aside == []


async def test_a_console_that_ends_leaves_what_it_has_at_its_place(home: Home) -> None:
    an_older_one(home.path, home.older)
    home.console.store.close()
    with closing(sqlite3.connect(home.path)) as reader:
        assert reader.execute("SELECT count(*) FROM events").fetchone() == (20,)


async def test_removed_and_damaged_at_once_it_begins_anew_and_takes_nothing_of_the_other_file(home: Home) -> None:
    opened = home.console.store
    assert opened._engine is not None
    with closing(opened._engine.raw_connection()) as raw:
        raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        raw.cursor().execute("PRAGMA cache_size = 1")
    (page,) = opened.now(lambda connection: connection.exec_driver_sql(
        "SELECT rootpage FROM sqlite_master WHERE name = 'events'").one())
    with home.path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(bytes(4096))
    opened.now(lambda _: None)
    an_older_one(home.path, home.older)
    await home.housekeeping()
    await home.check_people()
    await home.check_record()
    assert "login" not in [what for _, what, *_ in opened.now(audit.lines)]


async def test_a_password_that_was_set_from_the_command_line_is_no_stranger(home: Home) -> None:
    with closing(sqlite3.connect(home.path)) as other:
        other.execute("PRAGMA wal_autocheckpoint = 0")
        other.execute("UPDATE audit SET detail = zeroblob(5000000) WHERE n = 1")  # beyond SQLite's 1,000 pages
        other.commit()
    accounts.ensure_user(home.path, NURSE[0], "a third word", "nurse", START_S)
    await home.console.store.look()
    known = await home.console.access.ask(accounts.account, NURSE[0])
    assert known is not None
    assert accounts.check_password(known[0], "a third word")
    assert home.said() == 0
