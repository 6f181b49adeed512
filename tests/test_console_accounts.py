"""An administrator makes, disables and audits accounts, and sees and does nothing clinical; one always stays; each
change is a line of the chained audit; and the command line agrees."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from edge.cli.audit import show_audit
from edge.console import account_copy, accounts, administration, audit
from edge.console.accounts import ensure_user
from edge.console.run import put_user
from edge.console.security import COOKIE
from edge.console.store import Store
from edge.contract.accounts import ROLES
from edge.contract.seen import ALL_SEEN, WITH_SOMETHING, is_seen
from edge.process import BadUsage
from tests.helpers.console_server import COMMANDS, ORIGIN, Server, quick_hashes, served
from tests.helpers.console_story import BED, EDGE, NURSE, START_S, TECHNICIAN, settings

ADAM, BOB = ("adam", "adam's password"), ("bob", "bob's password")


@asynccontextmanager
async def administered(data: Path) -> AsyncIterator[Server]:
    """A console where Adam, its only administrator, is logged in."""
    with quick_hashes():
        ensure_user(settings(data).database, *ADAM, "administrator", START_S)
    async with served(data) as home:
        await home.login(ADAM)
        yield home


async def change(home: Server, how: str, **body: Any) -> httpx.Response:
    return await home.http.post(f"/api/accounts/{how}", json=body, headers={"X-CSRF": home.csrf, "Origin": ORIGIN})


def audited(home: Server) -> list[tuple[str, str, Any]]:
    return [(user, what, detail.get("account")) for user, what, _, detail in home.console.store.now(audit.lines)
            if what.startswith("account")]


async def test_accounts_are_made_disabled_and_enabled_and_each_change_is_audited(tmp_path: Path) -> None:
    async with administered(tmp_path) as home:
        assert (await change(home, "add", name=BOB[0], role="prescriber", password=BOB[1])).json() == {"ok": True}
        told = (await home.http.get("/api/accounts")).json()
        assert {(one["name"], one["role"], one["disabled"]) for one in told} == {
            ("adam", "administrator", False), ("ann", "nurse", False), ("tom", "technician", False),
            ("bob", "prescriber", False)}
        assert not any("hash" in one or "password" in one for one in told)
        assert (await home.login(BOB)).status_code == 200
        await home.login(ADAM)
        assert (await change(home, "disable", name="bob")).status_code == 200
        assert (await home.login(BOB)).status_code == 401
        await home.login(ADAM)
        assert [one["disabled"] for one in (await home.http.get("/api/accounts")).json()] == [False, False, True, False]
        assert (await change(home, "password", name="bob", password="another password")).status_code == 200
        assert (await home.login(BOB)).status_code == 401, "the old one is gone"
        assert (await home.login(("bob", "another password"))).status_code == 200
        assert audited(home) == [
            ("adam", "account made", "bob"), ("adam", "account disabled", "bob"),
            ("adam", "account given a new password and enabled", "bob")]


REFUSED = [
    ("add", {"name": "ann", "role": "nurse", "password": "long enough"}, 409, "account_exists"),
    ("add", {"name": "eve", "role": "doctor", "password": "long enough"}, 422, "bad_request"),
    ("add", {"name": "eve", "role": "nurse", "password": "too short"}, 422, "bad_request"),
    ("add", {"name": " ", "role": "nurse", "password": "long enough"}, 422, "bad_request"),
    ("add", {"name": "e\u202eve", "role": "nurse", "password": "long enough"}, 422, "bad_request"),
    ("add", {"name": "e" * 65, "role": "nurse", "password": "long enough"}, 422, "bad_request"),
    ("disable", {"name": "adam"}, 409, "last_administrator"),
    ("disable", {"name": "nobody"}, 404, "no_such_account"),
    ("password", {"name": "nobody", "password": "long enough"}, 404, "no_such_account"),
    ("password", {"name": "ann", "password": "too short"}, 422, "bad_request"),
]


async def test_what_cannot_be_is_refused_with_a_problem_and_changes_nothing(tmp_path: Path) -> None:
    async with administered(tmp_path) as home:
        before = home.console.store.now(accounts.everybody)
        for how, body, status, kind in REFUSED:
            answer = await change(home, how, **body)
            assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{kind}"), (how, body)
        assert home.console.store.now(accounts.everybody) == before
        assert (await change(home, "add", name="e" * 64, role="nurse", password="ten chars.")).status_code == 200


async def test_the_last_administrator_stays_and_of_two_either_may_go(tmp_path: Path) -> None:
    async with administered(tmp_path) as home:
        await change(home, "add", name=BOB[0], role="administrator", password=BOB[1])
        assert (await change(home, "disable", name="adam")).status_code == 200, "himself: another one stays"
        assert (await home.http.get("/api/me")).status_code == 401
        await home.login(BOB)
        assert (await change(home, "disable", name="bob")).json()["type"] == "/problems/last_administrator"
        assert (await change(home, "disable", name="adam")).json()["type"] == "/problems/account_disabled"


async def test_who_is_disabled_is_out_at_once_also_where_the_store_breaks_after_it(tmp_path: Path) -> None:
    async with administered(tmp_path) as home:
        theirs = httpx.AsyncClient(transport=home.http._transport, base_url=ORIGIN, headers={"Origin": ORIGIN})
        await theirs.post("/api/login", json={"name": NURSE[0], "password": NURSE[1]})
        user = await home.console.access.ask(accounts.user_of, theirs.cookies[COOKIE], home.clock.at_s)
        assert user is not None
        page = home.console.join(user)
        await change(home, "disable", name="ann")
        assert (await theirs.get("/api/me")).status_code == 401
        assert await page.ended() == 4401, "her page is cut"
        home.console.store.now(lambda connection: connection.exec_driver_sql("PRAGMA query_only=ON"))
        home.console.access._waiting.append(lambda connection: None)  # as while a store does not work
        assert (await theirs.get("/api/me")).status_code == 401, "memory knows it, too"
        assert (await theirs.post("/api/login", json={"name": NURSE[0], "password": NURSE[1]})).status_code == 401


CLINICAL = ("/api/beds", "/api/devices", f"/api/beds/{BED}/history", f"/api/beds/{BED}/events",
            f"/api/edges/{EDGE}/beds/{BED}/history", f"/api/edges/{EDGE}/beds/{BED}/events")


async def test_an_administrator_sees_and_does_nothing_clinical(tmp_path: Path) -> None:
    async with administered(tmp_path) as home:
        for path in CLINICAL:
            answer = await home.http.get(path)
            assert (answer.status_code, answer.json()["type"]) == (403, "/problems/forbidden"), path
        asked = await home.http.post(COMMANDS, json={"verb": "check_in", "args": {"moaas": 5}},
                                     headers={"X-CSRF": home.csrf, "Origin": ORIGIN})
        box = await home.http.post(f"/api/edges/{EDGE}/box", json={"verb": "read_again"},
                                   headers={"X-CSRF": home.csrf, "Origin": ORIGIN})
        assert (asked.status_code, box.status_code, home.wire.commands()) == (403, 403, [])


@pytest.mark.parametrize("who", [NURSE, TECHNICIAN])
async def test_nobody_else_manages_accounts_or_reads_the_audit(tmp_path: Path, who: tuple[str, str]) -> None:
    async with administered(tmp_path) as home:
        await home.login(who)
        before = home.console.store.now(accounts.everybody)
        assert (await change(home, "add", name="eve", role="administrator", password="long enough")).status_code == 403
        assert (await change(home, "password", name="adam", password="long enough")).status_code == 403
        assert (await change(home, "disable", name="adam")).status_code == 403
        for path in ("/api/accounts", "/api/audit"):
            assert (await home.http.get(path)).status_code == 403
            home.http.cookies.clear()
            assert (await home.http.get(path)).status_code == 401
            await home.login(who)
        assert home.console.store.now(accounts.everybody) == before


async def test_a_change_needs_our_page_its_token_and_a_screen_that_is_not_locked(tmp_path: Path) -> None:
    async with administered(tmp_path) as home:
        body = {"name": "ann"}
        for headers in ({"Origin": ORIGIN}, {"X-CSRF": home.csrf, "Origin": "http://evil.test"},
                        {"X-CSRF": "x" * 32, "Origin": ORIGIN}):
            answer = await home.http.post("/api/accounts/disable", json=body, headers=headers)
            assert answer.status_code == 403, headers
        assert (await home.login(NURSE)).status_code == 200


async def test_the_audit_is_read_in_pages_newest_first_and_tells_where_it_was_changed(tmp_path: Path) -> None:
    async with administered(tmp_path) as home:
        for number in range(4):
            home.console.store.now(audit.add, START_S, "ann", f"ask {number}", EDGE, BED, id=str(number))
        whole = (await home.http.get("/api/audit")).json()
        assert whole["broken"] is None
        numbers = [line["n"] for line in whole["lines"]]
        assert numbers == list(range(len(numbers), 0, -1))
        page = (await home.http.get("/api/audit", params={"limit": 2, "before": 4})).json()
        assert ([line["n"] for line in page["lines"]], page["broken"]) == ([3, 2], None)
        assert (await home.http.get("/api/audit", params={"before": 1})).json() == {"lines": [], "broken": None}
        assert whole["lines"][0] | {"detail": None, "n": 0} == {
            "n": 0, "at": "2027-01-15T08:00:00.000Z", "user": "ann", "what": "ask 3", "edge": EDGE, "bed": BED,
            "detail": None}
        middle = numbers[1]
        home.console.store.now(lambda connection: connection.execute(
            text("UPDATE audit SET user = 'tom' WHERE n = :n"), {"n": middle}))
        told = (await home.http.get("/api/audit")).json()
        assert ([line["n"] for line in told["lines"]], told["broken"]) == (
            [numbers[0]], f"line {middle}: its hash does not match")


async def test_a_fault_of_our_own_is_a_problem_that_says_whom_to_tell(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a bug")

    async with administered(tmp_path) as home:
        monkeypatch.setattr(administration, "newest", broken)
        told = await home.http.get("/api/audit")
        assert (told.status_code, told.headers["content-type"]) == (500, "application/problem+json")
        assert told.json() == {"type": "/problems/internal", "title": "The console has an error of its own",
                               "status": 500, "detail": "The console has an error of its own",
                               "remedy": "Tell the administrator; its log names it.", "instance": "/api/audit"}


def test_what_the_schema_lets_through_is_what_a_person_sees() -> None:
    whole, part = re.compile(ALL_SEEN), re.compile(WITH_SOMETHING)
    for code in (*range(0xD800), *range(0xE000, 0x20000), *range(0xE0000, 0xE0200), 0xEFFFF, 0xF0000, 0xFFFFD, 0xFFFFE,
                 0xFFFFF, 0x100000, 0x10FFFD, 0x10FFFE):  # what lies between is all letters, or assigned to nothing
        seen = is_seen(chr(code)) and code != ord(" ")
        assert (whole.match(chr(code)) is not None, part.match(chr(code)) is not None) == (seen, seen), hex(code)
    assert whole.match("a b") and not whole.match(" b") and not whole.match("a ") and not part.match("  ")


async def test_a_name_that_cannot_be_seen_whole_is_refused_in_words(tmp_path: Path) -> None:
    async with administered(tmp_path) as home:
        for name in ("0\x02", "a\u00adb", " ann", "ann\u2028", "a\ue000"):
            told = await change(home, "add", name=name, role="nurse", password="long enough")
            assert told.status_code == 422
            assert told.json()["detail"] == "name: it has characters that may not stand there"
        told = await change(home, "add", name="Zoë O’Néill 2 中", role="nurse", password="long enough")
        assert told.status_code == 200


async def test_where_the_store_does_not_work_no_account_is_changed(tmp_path: Path) -> None:
    async with administered(tmp_path) as home:
        home.console.store.now(lambda connection: connection.exec_driver_sql("PRAGMA query_only=ON"))
        answer = await change(home, "disable", name="ann")
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/store_broken")
        home.console.store.now(lambda connection: connection.exec_driver_sql("PRAGMA query_only=OFF"))
        assert not any(accounts.is_disabled(hashed) for _, _, hashed, _ in home.console.store.now(accounts.everybody))


def command_line(folder: Path, name: str, role: str, monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    (folder / "console.toml").write_text('name = "main"\nedges = ["edge"]\ndata = "data"\n[mqtt]\nurl ='
                                         ' "mqtt://127.0.0.1:1883"\n')
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    assert put_user(folder / "console.toml", name, role) == 0


def test_the_command_line_disables_an_account_and_a_new_password_lets_it_in_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    """With the copy that a console reads while its store is broken; and an account keeps its role."""
    file, database = tmp_path / "console.toml", tmp_path / "data" / "console.db"

    def may_come_in() -> tuple[list[tuple[str, str]], list[bool]]:
        with accounts.opened(database) as store:
            copied = account_copy.read(account_copy.beside(database))
            return list(store.now(accounts.users)), [accounts.is_disabled(row["hash"]) for row in copied]

    with quick_hashes():
        for name, role in (("adam", "administrator"), ("tom", "technician")):
            command_line(tmp_path, name, role, monkeypatch, "long enough")
        assert put_user(file, "tom", disabled=True) == 0
        assert capsys.readouterr().out.endswith("tom: disabled; a new password lets it in again\n")
        assert may_come_in() == ([("adam", "administrator")], [False, True])
        for name, words in (("tom", "is disabled already: A new"), ("adam", "last administrator: Make another"),
                            ("eve", "no account 'eve'")):
            with pytest.raises(BadUsage, match=words):
                put_user(file, name, disabled=True)
        monkeypatch.setattr("sys.stdin", io.StringIO("long enough\n"))
        assert put_user(file, "tom") == 0
        assert may_come_in() == ([("adam", "administrator"), ("tom", "technician")], [False, False])
    with accounts.opened(database) as store:
        assert [what for _, what, _, _ in store.now(audit.lines)][-2:] == [
            "account disabled", "account given a new password and enabled"]


def test_the_command_line_agrees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                 capsys: pytest.CaptureFixture[str]) -> None:
    with quick_hashes():
        command_line(tmp_path, "adam", "administrator", monkeypatch, "long enough")
        for name, role, password, words in (
                ("adam", "nurse", "long enough", "adam is the last administrator"),
                ("eve", "nurse", "too short", "a password needs at least 10 characters"),
                ("eve", "nurse", "x" * 257, "a password has at most 256 characters"),
                ("e" * 65, "nurse", "long enough", "no name for an account"),
                ("eve", "doctor", "long enough", f"--role must be one of {', '.join(ROLES)}")):
            with pytest.raises(BadUsage, match=words):
                command_line(tmp_path, name, role, monkeypatch, password)
        command_line(tmp_path, "bob", "administrator", monkeypatch, "long enough")
        command_line(tmp_path, "adam", "nurse", monkeypatch, "long enough")
    database = tmp_path / "data" / "console.db"
    store = Store(database)
    assert store.now(accounts.users) == [("adam", "nurse"), ("bob", "administrator")]
    store.close()
    capsys.readouterr()
    assert show_audit(str(database)) == 0
    assert capsys.readouterr().out.count("account") >= 3
