"""`vigil audit`: who did what, when; whatever is changed of it afterwards is found. `VIGIL_AUDIT=1000` looks longer."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection

from edge.cli.audit import show_audit
from edge.console import audit
from edge.console.store import Store
from edge.contract.events import GENESIS
from edge.journal import Journal
from edge.model import Command
from edge.process import BadUsage

MANY = int(os.environ.get("VIGIL_AUDIT", "0")) or 5
LINES = 12
AT_S = 1_700_000_000.0


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audit") / "console.db"
    store = Store(path)
    for k in range(LINES):
        user, verb = ("nina", "tom")[k % 2], ("ask acknowledge", "done acknowledge")[k % 2]
        store.now(audit.add, AT_S + k, user, verb, "clinic-1", "chair-1", id=f"c{k}")
    store.close()
    return path


@pytest.fixture
def console(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(written, tmp_path))


def head(path: Path) -> str:
    with closing(sqlite3.connect(path)) as raw:
        n, digest = raw.execute("SELECT n, hash FROM audit ORDER BY n DESC LIMIT 1").fetchone()
    return f"{n}:{digest}"


def test_each_line_says_who_when_what_and_the_last_that_the_chain_holds(
    console: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert show_audit(str(console)) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == LINES
    assert said.out.splitlines()[0] == (
        '     1 2023-11-14T22:13:20.000Z nina clinic-1/chair-1 ask acknowledge {"id": "c0"}')
    assert f"the chain holds: {LINES} lines; head {head(console)}" in said.err
    assert show_audit(str(console), user="tom", as_json=True) == 0
    assert {json.loads(line)["user"] for line in capsys.readouterr().out.splitlines()} == {"tom"}


def anew(raw: sqlite3.Connection) -> None:
    """All hashes made anew by somebody who knows how."""
    rows = raw.execute("SELECT n, at_s, user, what, edge, bed, detail FROM audit ORDER BY n").fetchall()
    prev = GENESIS
    for n, row in enumerate(rows, 1):
        digest = audit.line_hash(n, row[1], row[2], row[3], row[4], row[5], row[6], prev)
        raw.execute("UPDATE audit SET n = ?, prev = ?, hash = ? WHERE n = ?", (n, prev, digest, row[0]))
        prev = digest


CHANGES = {  # what is done to line :n (and :m); and whether only a noted head shows it
    "edited": ("UPDATE audit SET user = 'tina' WHERE n = :n", False),
    "another time": ("UPDATE audit SET at_s = at_s + 0.001 WHERE n = :n", False),
    "another detail": ("UPDATE audit SET detail = CAST(' ' || detail AS BLOB) WHERE n = :n", False),
    "taken out": ("DELETE FROM audit WHERE n = :n", None),
    "moved": ("UPDATE audit SET n = -n WHERE n IN (:n, :m); UPDATE audit SET n = CASE n WHEN -:n THEN :m ELSE :n END"
              " WHERE n < 0", False),
    "the end cut off": ("DELETE FROM audit WHERE n >= :n", True),
    "edited and made anew": ("UPDATE audit SET user = 'tina' WHERE n = :n; ANEW", True),
    "taken out and made anew": ("DELETE FROM audit WHERE n = :n; ANEW", True),
}


@pytest.mark.timeout(300 + MANY)
@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_changed_is_found(console: Path, capsys: pytest.CaptureFixture[str], change: str) -> None:
    chance, noted, (words, needs_head) = random.Random(change), head(console), CHANGES[change]
    for number in range(MANY):
        path = console.with_name(f"{number}.db")
        shutil.copy(console, path)
        n, m = sorted(chance.sample(range(1, LINES + 1), 2))
        with closing(sqlite3.connect(path, isolation_level=None)) as raw:
            for statement in words.split("; "):
                if statement == "ANEW":
                    anew(raw)
                else:
                    raw.execute(statement, {"n": n, "m": m})
        if needs_head is not True and not (needs_head is None and n == LINES):
            assert show_audit(str(path)) == 1, (change, n)
            assert f"line {n}" in capsys.readouterr().err
        assert show_audit(str(path), head=noted) == 1, (change, n)
        path.unlink()


async def test_a_command_in_the_journal_without_its_line_is_found(
    console: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    journal = Journal.open(str(console.with_name("journal.db")), edge="clinic-1", boot="b1", wall=lambda: "now")
    for name, console_name in [*((f"c{k}", "main") for k in range(0, LINES, 2)), ("x", "other")]:
        journal.record("chair-1", AT_S, Command(
            name, console_name, "nina", "nurse", "chair-1", "acknowledge", {}, f"nonce-{name}"))
    await journal.close()
    place = str(console.with_name("journal.db"))
    assert show_audit(str(console), against=place) == 0, "the other console keeps its own"
    with closing(sqlite3.connect(console, isolation_level=None)) as raw:
        raw.execute(f"DELETE FROM audit WHERE n >= {LINES - 1}")
    assert show_audit(str(console)) == 0, "by itself the chain holds"
    assert show_audit(str(console), against=place) == 1
    assert f"nina's command c{LINES - 2} (acknowledge), and no line tells of it" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "more", "says"), [
    ("nowhere.db", {}, "no such file; give a console.db"),
    ("console.db", {"head": "7"}, "write SEQ:HASH"),
    ("console.db", {"against": "nowhere.db"}, "there is no journal at"),
    ("other.db", {}, "no console's store of this version")])
def test_bad_usage_is_one_line(console: Path, name: str, more: dict[str, str], says: str) -> None:
    sqlite3.connect(console.with_name("other.db")).execute("CREATE TABLE t (x)").connection.close()
    with pytest.raises(BadUsage, match=says) as refused:
        show_audit(str(console.with_name(name)), **more)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


# --- what the console notes itself ------------------------------------------------------------------------------------


def serving(path: Path) -> Store:
    return Store(path, serves=lambda: AT_S + 99)


def lived(path: Path, *users: str) -> None:
    with closing(serving(path)) as store:
        for user in users:
            store.now(audit.add, AT_S, user, "login")


def cut(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("DELETE FROM audit WHERE n >= 4")


def made_anew(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("UPDATE audit SET user = 'eve' WHERE n = 5")
        anew(raw)


def gone(path: Path) -> None:
    path.unlink()
    Store(path).close()


@pytest.mark.parametrize(("happened", "lost", "after"), [(cut, 2, 3), (made_anew, 1, 5), (gone, 5, 0)])
def test_an_end_that_was_cut_off_is_found_and_then_said_once_in_a_line_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], happened: Callable[[Path], None], lost: int, after: int,
) -> None:
    path = tmp_path / "console.db"
    lived(path, "ann", "bob", "cem", "dan", "eva")
    noted = head(path)
    assert audit.noted_in(path).read_text() == f"{noted}\n"
    assert show_audit(str(path)) == 0
    happened(path)
    assert show_audit(str(path)) == 1
    assert "noted elsewhere" in capsys.readouterr().err
    for _ in range(2):
        with closing(serving(path)) as store:
            found = store.now(audit.lines)
            assert store.lost_lines in (lost, 0)
        assert [line[3] for line in found if line[1] == "audit lines lost"] == [
            {"noted": 5, "hash": noted.partition(":")[2], "after": after}], "once"
        assert show_audit(str(path)) == 0, "nobody is accused for ever"
    lived(path, "fay")
    assert show_audit(str(path), head=noted) == 1


def test_a_line_that_is_taken_back_is_not_noted_nor_one_of_a_store_that_does_not_serve(tmp_path: Path) -> None:
    path = tmp_path / "console.db"
    lived(path, "ann")
    noted = audit.noted_in(path).read_text()

    def taken_back(connection: Connection) -> None:
        audit.add(connection, AT_S, "bob", "login")
        raise KeyError

    with closing(serving(path)) as store, pytest.raises(KeyError):
        store.now(taken_back)
    with closing(Store(path)) as store:
        store.now(audit.add, AT_S, "cem", "login")
    assert audit.noted_in(path).read_text() == noted
    assert show_audit(str(path)) == 0
    lived(path, "dan")
    assert audit.noted_in(path).read_text() == f"{head(path)}\n"
    assert head(path).startswith("3:")


@pytest.mark.parametrize("spoilt", [b"", b"\xff", b"5:abc\n", b"0:" + b"a" * 64 + b"\n"])
def test_a_head_that_cannot_be_told_is_one_line_and_made_anew(tmp_path: Path, spoilt: bytes) -> None:
    path = tmp_path / "console.db"
    lived(path, "ann")
    file = audit.noted_in(path)
    file.write_bytes(spoilt)
    with pytest.raises(BadUsage, match="cannot be read") as refused:
        show_audit(str(path))
    assert "\n" not in str(refused.value)
    lived(path, "bob")
    assert file.read_text() == f"{head(path)}\n"
    assert show_audit(str(path), noted=file) == 0
    file.unlink()
    with pytest.raises(BadUsage, match="no such file"):
        show_audit(str(path), noted=file)
