"""A console whose store is full, gone or damaged locks nobody out: people sign in, see, acknowledge and leave, and who
did what is stored when it can be, in order, with the time at which it was done."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.console import access, account_copy, accounts, audit, patients, store, sums, tables
from edge.console.service import Console
from edge.console.store import Store, StoreBroken
from tests.helpers.console_server import quick_hashes, served
from tests.helpers.console_story import BED, NURSE, START_S, TECHNICIAN, Wire, settings, with_users
from tests.helpers.small_disk import fill
from tests.helpers.small_disk import small_disk as small_disk

COPIES = int(os.environ.get("VIGIL_MUTANTS", "0")) or 60
ACKED = {"alarm": "a", "seq": 1}


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with quick_hashes():
        yield


def failing(opened: Store, yes: bool = True) -> None:
    opened.now(lambda connection: connection.exec_driver_sql(f"PRAGMA query_only={'ON' if yes else 'OFF'}"))


async def healed(console: Console) -> None:
    """What the console's housekeeping does each second."""
    await console.store.mend()
    await console._read_again()
    await console.access.catch_up()


def lines(opened: Store) -> list[tuple[str, str]]:
    return [(user, what) for user, what, _, _ in opened.now(audit.lines)]


@pytest.mark.parametrize("removed", ["console.db", "console.db*", "*"])
async def test_a_store_that_is_removed_while_it_serves_is_put_back(tmp_path: Path, removed: str) -> None:
    folder = tmp_path / "data"
    opened = Store(folder / "console.db", serves=lambda: START_S)
    await opened.run(audit.add, START_S, "anna", "login")
    for file in folder.glob(removed):
        file.unlink()
    if removed == "*":
        folder.rmdir()
    await opened.run(audit.add, START_S + 1, "anna", "done")
    await opened.look()
    await opened.run(audit.add, START_S + 2, "anna", "logout")
    with closing(sqlite3.connect(folder / "console.db")) as raw:
        assert raw.execute("SELECT what FROM audit ORDER BY n").fetchall() == [
            ("login",), ("store put back",), ("done",), ("logout",)]
    opened.close()


async def test_one_that_cannot_be_put_back_is_said_until_it_can(tmp_path: Path) -> None:
    opened = Store(tmp_path / "data" / "console.db", serves=lambda: START_S)
    await opened.run(audit.add, START_S, "anna", "login")
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "data").write_text("a file, where its folder was")
    with pytest.raises(StoreBroken, match="was removed, or another file is in its place, and cannot be put back"):
        await opened.look()
    (tmp_path / "data").unlink()
    await opened.look()
    assert lines(opened) == [("anna", "login"), ("vigil", "store put back")]
    opened.close()


async def test_people_sign_in_acknowledge_and_leave_and_who_did_what_is_stored_when_it_heals(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        console = home.console
        failing(console.store)
        assert (await home.login((NURSE[0], "wrong"))).status_code == 401
        assert (await home.login()).status_code == 200
        assert (await home.http.get("/api/me")).json()["name"] == NURSE[0]
        home.clock.at_s += 60
        done = await home.command("acknowledge", ACKED)
        assert (done.status_code, done.json()["ok"]) == (200, True)
        assert (await home.http.post("/api/renew", headers={"X-CSRF": home.csrf})).status_code == 200
        assert (await home.http.get("/healthz")).status_code == 503
        (said,) = [one for one in console.troubles() if one.part == "storage"]
        assert f"in its memory alone: {console.access.waiting} entries" in said.what
        assert lines(console.store) == []
        cookie = home.http.cookies["vigil_session"]
        failing(console.store, False)
        await healed(console)
        assert console.store.broken is None
        assert console.access.waiting == 0
        told = console.store.now(lambda connection: list(audit.walk(connection)))
        assert [(line.user, line.what) for line in told][:4] == [
            ("ann", "login refused"), ("ann", "login"), ("ann", "ask acknowledge"), ("ann", "done acknowledge")]
        assert (told[1].at_s, told[2].at_s) == (START_S, START_S + 60), "as it was done, not as it was stored"
        user = console.store.now(accounts.user_of, cookie, home.clock())
        assert user is not None
        assert user.name == NURSE[0], "nobody has to sign in again"
        failing(console.store)
        assert (await home.http.post("/api/logout", headers={"X-CSRF": home.csrf})).status_code == 200
        assert (await home.http.get("/api/me")).status_code == 401


async def test_who_was_signed_in_before_stays_so_and_a_session_that_is_over_ends(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        assert (await home.login()).status_code == 200
        failing(home.console.store)
        assert (await home.command("acknowledge", ACKED)).status_code == 200
        assert (await home.http.get("/api/me")).status_code == 200
        home.clock.at_s += 13 * 3600
        assert (await home.http.get("/api/me")).status_code == 401


async def test_of_more_than_there_is_room_for_the_rest_is_counted_and_people_still_come_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(access, "KEPT", 3)
    async with served(tmp_path) as home:
        failing(home.console.store)
        for _ in range(5):
            await home.login((NURSE[0], "wrong"))
        assert (await home.login()).status_code == 200
        assert (await home.http.get("/api/me")).status_code == 200
        assert (home.console.access.waiting, home.console.access.lost) == (3, 4)
        (said,) = [one for one in home.console.troubles() if one.part == "storage"]
        assert "4 are not kept" in said.what
        failing(home.console.store, False)
        await healed(home.console)
        assert home.console.store.now(audit.lines)[-1] == ("vigil", "lines lost", None, {"lines": 4})


@pytest.mark.slow
async def test_a_disk_that_does_not_answer_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with served(tmp_path) as home:
        assert (await home.login()).status_code == 200
        answers = threading.Event()
        monkeypatch.setattr(store, "FILE_ANSWER_S", 0.3)
        with pytest.raises(StoreBroken, match="the disk does not answer"):
            await home.console.store.run(lambda _: answers.wait())
        try:
            assert (await home.command("acknowledge", ACKED)).status_code == 200
            assert home.console.store.broken == "the disk does not answer"
        finally:
            answers.set()
        await healed(home.console)
        assert ("ann", "done acknowledge") in lines(home.console.store)


def first_page_gone(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(4096))


def cut_to_nothing(path: Path) -> None:
    path.write_bytes(b"")


def accounts_gone(path: Path) -> None:
    page_gone(path, "accounts")


def page_gone(path: Path, table: str) -> None:
    with closing(sqlite3.connect(path)) as file:
        (page,) = file.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    with path.open("r+b") as raw:
        raw.seek((page - 1) * 4096)
        raw.write(bytes(4096))


def a_row_spoilt(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE accounts SET hash = 'x' || hash WHERE name = 'ann'")


def a_name_spoilt(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE accounts SET name = 'anm' WHERE name = 'ann'")


def a_row_spoilt_and_the_events_gone(path: Path) -> None:
    a_row_spoilt(path)
    page_gone(path, "events")


def removed(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [
    first_page_gone, a_row_spoilt, *(pytest.param(damage, marks=pytest.mark.slow) for damage in (
        cut_to_nothing, accounts_gone, a_name_spoilt, a_row_spoilt_and_the_events_gone, removed))])
async def test_accounts_outlive_the_store(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    told = with_users(settings(tmp_path))
    damage(told.database if isinstance(told.database, Path) else Path())
    async with served(tmp_path, users=False) as home:
        assert (await home.login((NURSE[0], "wrong"))).status_code == 401
        assert (await home.login()).json()["role"] == "nurse"
        assert dict(home.console.store.now(accounts.users)).items() >= {"ann": "nurse", "tom": "technician"}.items()
        await home.console.access.look()
        assert [row["name"] for row in account_copy.read(told.account_copy)] == ["ann", "tom"]


async def test_a_changed_password_does_not_come_back_as_it_was(tmp_path: Path) -> None:
    told = with_users(settings(tmp_path))
    accounts.ensure_user(told.database, NURSE[0], "another one", "nurse", START_S)
    first_page_gone(tmp_path / "console.db")
    async with served(tmp_path, users=False) as home:
        assert (await home.login()).status_code == 401
        assert (await home.login((NURSE[0], "another one"))).status_code == 200


async def test_a_store_that_cannot_be_read_at_a_start_is_served_without_and_taken_up_when_it_can(
    tmp_path: Path,
) -> None:
    told = with_users(settings(tmp_path))
    path = tmp_path / "console.db"
    kept = Store(path)
    kept.now(patients.name_session, "s1", "clinic-1", BED, "Ada", START_S)
    kept.close()
    for end in ("", "-wal", "-shm"):
        if (tmp_path / f"console.db{end}").exists():
            (tmp_path / f"console.db{end}").rename(tmp_path / f"away{end}")
    path.mkdir()
    async with served(tmp_path, users=False) as home:
        assert home.console.store.broken
        assert (await home.login()).status_code == 200
        assert (await home.command("acknowledge", ACKED)).status_code == 200
        assert (await home.http.get(f"/api/beds/{BED}/events")).status_code == 503, "what is unknown is not nothing"
        path.rmdir()
        for end in ("", "-wal", "-shm"):
            if (tmp_path / f"away{end}").exists():
                (tmp_path / f"away{end}").rename(tmp_path / f"console.db{end}")
        await healed(home.console)
        assert home.console.store.broken is None
        assert home.console.patients == {"s1": "Ada"}
        assert lines(home.console.store)[-2:] == [("ann", "ask acknowledge"), ("ann", "done acknowledge")]
    assert told.account_copy.stat().st_mode & 0o777 == 0o600


async def test_without_store_and_copy_a_start_is_refused(tmp_path: Path) -> None:
    for copy in account_copy.both(with_users(settings(tmp_path)).account_copy):
        copy.unlink()
    (tmp_path / "console.db").rename(tmp_path / "away")
    (tmp_path / "console.db").mkdir()
    with pytest.raises(Exception, match=r"disk I/O error|unable to open"):
        Console(settings(tmp_path), Wire())


def spoilt(raw: bytes, chance: random.Random) -> bytes:
    changed = bytearray(raw)
    changed[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    return bytes(changed[:chance.randrange(len(raw))] if chance.random() < 0.1 else changed)


def test_of_a_damaged_copy_no_false_account_is_believed(tmp_path: Path) -> None:
    told, chance = with_users(settings(tmp_path)), random.Random(1)
    one, two = account_copy.both(told.account_copy)
    true, raw = account_copy.read(one), one.read_bytes()
    assert [row["name"] for row in true] == ["ann", "tom"]
    assert account_copy.holds(one, true)
    read = 0
    for _ in range(COPIES):
        one.write_bytes(spoilt(raw, chance))
        two.write_bytes(raw)
        assert sums_of(account_copy.read(one)) == sums_of(true), "what is damaged in one is taken from the other"
        two.write_bytes(spoilt(raw, chance))
        for row in account_copy.read(one):
            read += 1
            row["made_at_s"] = START_S  # when it was made is for people alone
            assert row in true
    assert read > COPIES, "of two that are damaged each, most is there still"


def sums_of(rows: list[dict[str, Any]]) -> list[int]:
    return [row["sum"] for row in rows]


async def test_a_damaged_copy_is_written_anew(tmp_path: Path) -> None:
    told = with_users(settings(tmp_path))
    console = Console(told, Wire())
    await console.load()
    for file in account_copy.both(told.account_copy):
        whole = file.read_bytes()
        file.write_bytes(whole[:-20])
        await console.access.look()
        assert file.read_bytes() == whole
    console.store.close()


async def test_accounts_and_both_copies_damaged_at_once_are_one_line_and_a_way_back(tmp_path: Path) -> None:
    told = with_users(settings(tmp_path))
    accounts_gone(tmp_path / "console.db")
    for file in account_copy.both(told.account_copy):
        file.write_bytes(b"")
    async with served(tmp_path, users=False) as home:
        answer = await home.login()
        assert answer.status_code == 503
        assert answer.json()["detail"] == "nobody can sign in: this console has no accounts"
        assert "vigil user --config console.toml NAME --role ROLE" in answer.json()["remedy"]
        accounts.ensure_user(told.database, *NURSE, "nurse", START_S)  # as it says
        assert (await home.login()).status_code == 200


async def test_one_account_damaged_in_the_store_and_in_both_copies_is_said_until_it_has_a_new_password(
    tmp_path: Path,
) -> None:
    told = with_users(settings(tmp_path))
    a_row_spoilt(tmp_path / "console.db")
    for file in account_copy.both(told.account_copy):
        file.write_bytes(file.read_bytes().replace(b"ann", b"anm"))
    async with served(tmp_path, users=False) as home:
        for _ in range(2):
            await home.console.access.look()
        assert (await home.login()).status_code == 401
        assert (await home.login(TECHNICIAN)).status_code == 200
        (said,) = [one for one in home.console.troubles() if one.part == "accounts"]
        assert said.what.startswith("1 of this console's accounts are damaged")
        accounts.ensure_user(told.database, *NURSE, "nurse", START_S)
        await home.console.access.look()
        assert [one for one in home.console.troubles() if one.part == "accounts"] == []
        assert (await home.login()).status_code == 200


async def test_a_row_whose_name_was_spoilt_is_nobodys(tmp_path: Path) -> None:
    with_users(settings(tmp_path))
    a_name_spoilt(tmp_path / "console.db")
    console = Console(settings(tmp_path), Wire())
    await console.load()
    assert [name for name, _ in console.store.now(accounts.users)] == ["ann", "tom"]
    assert [one for one in console.troubles() if one.part == "accounts"] == []
    assert lines(console.store) == [("vigil", "accounts taken from their copy")]
    console.store.close()


@pytest.mark.parametrize("text", ["", "7", "{}", "[7]", "[{}]", '[{"name": "ann", "role": "king"}]', "\xff"])
def test_what_is_no_copy_is_no_account(tmp_path: Path, text: str) -> None:
    path = tmp_path / "console.accounts"
    path.write_bytes(text.encode("latin-1"))
    assert account_copy.read(path) == []
    row = {"name": "ann", "role": "king", "hash": "h", "made_at_s": 1.0}
    path.write_bytes(msgspec.json.encode([sums.summed(tables.accounts, row)]))
    assert account_copy.read(path) == []


@pytest.mark.slow
async def test_on_a_disk_without_a_byte_left_through_a_restart(small_disk: Path) -> None:
    with_users(settings(small_disk))
    filler = fill(small_disk)
    async with served(small_disk, users=False) as home:
        assert (await home.login()).status_code == 200
        assert (await home.command("acknowledge", ACKED)).status_code == 200
        filler.unlink()
        await healed(home.console)
        assert ("ann", "done acknowledge") in lines(home.console.store)
    async with served(small_disk, users=False) as home:
        assert ("ann", "done acknowledge") in lines(home.console.store)
