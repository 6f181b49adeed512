"""The verbs that read a record take a database's address where they take a path; no password is ever shown by any of
them, nor logged, nor served."""

from __future__ import annotations

import json
import logging
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner

from edge.cli import app, backup
from edge.cli.audit import show_audit
from edge.cli.copying import holds_something
from edge.cli.records import verify_journal
from edge.config.stores import store_url
from edge.console import audit
from edge.console.database import NoStore, open_engine, place_of, shown_place, words_of
from edge.console.store import Store
from edge.contract.events import PendingEvent
from edge.contract.payloads import event_out
from edge.journal import Journal, JournalError, Reader, segments
from edge.journal.database import DatabaseUrl
from edge.journal.outage import Outage
from edge.journal.verify import verify
from edge.model import Tick
from edge.postgres import NoDriver, engine, masked, shown_address
from tests.helpers.bodies import body
from tests.helpers.console_server import served
from tests.helpers.console_story import BED, EDGE, STATUS, hear, status
from tests.helpers.postgres import PASSWORD, Server
from tests.helpers.postgres import server as server

MANY = int(os.environ.get("VIGIL_TAMPER", "0")) or 2
AT_S = 1_800_000_000.0
SECRETS = (PASSWORD, quote(PASSWORD, safe=""), "s3cret")


# --- one function masks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("address", "seen"), [
    ("postgresql+psycopg://vigil:s3cret@db/vigil", "postgresql+psycopg://vigil:***@db/vigil"),
    ("postgresql+psycopg://vigil@db/vigil", "postgresql+psycopg://vigil@db/vigil"),
    ("postgresql://vigil:s3cret@/x?host=/run/pg", "postgresql://vigil:***@/x?host=/run/pg"),
    ("postgresql://vigil:a@s3cret:b/c@db/vigil", "postgresql://vigil:***@db/vigil"),
    ("postgresql://:s3cret@db/vigil", "postgresql://:***@db/vigil"),
    ("postgresql://db/vigil?user=v&password=s3cret&connect_timeout=3",
     "postgresql://db/vigil?user=v&password=***&connect_timeout=3"),
    ("postgresql://db/vigil?sslpassword=s3cret", "postgresql://db/vigil?sslpassword=***"),
    ("postgres:/vigil:s3cret@db/vigil", "postgres:/vigil:***@db/vigil"),
    ("vigil:s3cret@db/vigil", "vigil:***@db/vigil"),
    ("cannot use 'postgresql://v:s3cret@db/x': PASSWORD=s3cret", "cannot use 'postgresql://v:***@db/x': PASSWORD=***"),
    ("postgresql://vi@gil:s3cret@db/x", "postgresql://vi@gil:***@db/x"),
    ("postgresql://vigil:a s3cret@db/x", "postgresql://vigil:***@db/x"),
    ("postgresql://vigil:a's3cret@db/x: no route", "postgresql://vigil:***@db/x: no route"),
    ("postgresql://db/x?password=a s3cret&user=v", "postgresql://db/x?password=***&user=v"),
    ("host=db password = 'a \\' s3cret' user=v", "host=db password = *** user=v"),
    ("host=db password=a s3cret", "host=db password=***"),
    ("postgresql://vigil@db:5432/x?sslmode=verify-full&passfile=/etc/vigil/pgpass",
     "postgresql://vigil@db:5432/x?sslmode=verify-full&passfile=/etc/vigil/pgpass"),
    ("/var/lib/vigil/journal.db", "/var/lib/vigil/journal.db"),
    ("sqlite:////var/lib/vigil/journal.db", "sqlite:////var/lib/vigil/journal.db"),
    ("2027-01-15T08:00:00.000Z nina@clinic", "2027-01-15T08:00:00.000Z nina@clinic"),
])
def test_an_address_is_shown_without_what_opens_the_door(address: str, seen: str) -> None:
    assert masked(address) == seen
    assert masked(seen) == seen
    assert "s3cret" not in shown_address(address)
    assert shown_address(seen) == seen or " " in seen


@pytest.mark.parametrize("password", [
    "a s3cret b", "a@s3cret:b/c", "s3cret/s3cret@s3cret", "a%s3cret", "a's3cret", 'a"s3cret', "a?s3cret#", "/s3cret"])
@pytest.mark.parametrize("address", [
    "postgresql+psycopg://vigil:{}@127.0.0.1:1/db", "postgresql+psycopg://127.0.0.1:1/db?password={}&user=v",
    "postgresql+psycopg://vigil@127.0.0.1:1/db?password={}", "postgres:/vigil:{}@127.0.0.1/db", "vigil:{}@127.0.0.1/db",
    "postgresql+psycopg://vigil:{}@127.0.0.1:port/db", "host=127.0.0.1 password = '{}'"])
def test_a_password_written_in_any_way_is_in_no_line(tmp_path: Path, address: str, password: str) -> None:
    for given in {address.format(password), address.format(quote(password, safe=""))}:
        told = [shown_address(given), shown_place(place_of(given)), shown_address(str(tmp_path / given))]
        try:
            told.append(str(DatabaseUrl(given)))
            store_url(given, lambda path: path)
        except (JournalError, ValueError) as refused:
            told.append(str(refused))
        assert all("s3cret" not in line for line in told), told
        assert all("***" in line for line in told[:3]), told


@pytest.mark.parametrize("address", [
    "postgresql://vigil:s3cret/s3cret@s3cret@db/x", "postgresql://vigil:a@s3cret/c@db/x",
    "postgresql://vigil@db:1/x?password=s3cret/s3cret@s3cret"])
def test_an_address_whose_password_would_be_taken_for_a_server_is_refused(address: str) -> None:
    """The server's name is in every error."""
    with pytest.raises(NoDriver, match="an @ in a password is written %40"):
        engine(make_url(address), "test")


@pytest.mark.parametrize("journal", [
    "postgres://v:s3cret@db/x", "postgresql+asyncpg://v:s3cret@db/x", "nonsense://v:s3cret@db/x",
    "postgresql+psycopg://v:s3cret@db:port/x"])
def test_an_address_that_is_none_is_refused_without_its_password(journal: str) -> None:
    with pytest.raises(JournalError) as refused:
        Reader(journal)
    assert "s3cret" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("file", ["edge", "console"])
@pytest.mark.parametrize("address", ["postgres://v:s3cret@db/x", "mysql://v:s3cret@db/x"])
def test_a_configuration_is_refused_without_its_password(tmp_path: Path, file: str, address: str) -> None:
    text = {"edge": f'[edge]\nid = "clinic-1"\ndata = "."\nrules = "r.toml"\njournal = "{address}"\n'
                    '[[bed]]\nid = "chair-1"\n',
            "console": f'edges = ["clinic-1"]\ndata = "."\ndatabase = "{address}"\n'}[file]
    (tmp_path / "it.toml").write_text(text)
    result = CliRunner().invoke(app, [file, "--config", str(tmp_path / "it.toml")])
    assert result.exit_code != 0
    said = result.output + str(result.exception)
    assert "is no database" in said
    assert "s3cret" not in said


# --- with a server ----------------------------------------------------------------------------------------------------


async def written(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "ROWS", 20)
    kept = Journal.open(url, edge=EDGE, boot="b1", wall=lambda: "now")
    for k in range(60):
        n = kept.record(BED, AT_S + k, Tick())
        await kept.append([PendingEvent(BED, None, AT_S + k, body("alarm", text=f"é{k}"))]).stored
    kept.snapshot(BED, n, AT_S, b"\x00")
    await kept.flush()
    await kept.move_cursor("main", 50)
    await kept.close()


def stored_by_a_console(journal: str, console: str) -> None:
    from edge.console.events import append

    with Reader(journal) as reader:
        told = [event_out(event, False) for event in reader.events()]
    kept = Store(console)
    kept.now(append, EDGE, told[:50], "b1", AT_S)
    kept.close()


def vigil(*args: str) -> str:
    """What it prints; it must end well."""
    result = CliRunner().invoke(app, list(args), standalone_mode=False)
    assert result.exception is None, result.exception
    assert not result.return_value, result.output
    assert not any(secret in result.output for secret in SECRETS)
    return result.output


def ended(*_: str) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
async def test_a_record_on_a_server_is_read_backed_up_and_restored(
        server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, console = server.database(), server.database()
    await written(journal, monkeypatch)
    stored_by_a_console(journal, console)
    assert "the chain holds: 60 events, 60 inputs" in vigil("verify", journal, "--against", console)
    assert json.loads(vigil("journal", journal, "--json"))["events"] == 60
    assert "vigil:***@" in vigil("journal", journal)
    data, to = tmp_path / "data", tmp_path / "backup"
    data.mkdir()
    (data / "edge.count").write_text("7")
    vigil("backup", str(to), "--data", str(data), "--journal", journal, "--console", console)
    assert (to / "journal.db").stat().st_mode & 0o777 == 0o600
    assert verify(str(to / "journal.db")) == verify(journal)
    assert "50 events are as they were" in vigil("verify", str(to / "journal.db"), "--against", str(to / "console.db"))
    # back to another server, and to files
    there, beside = server.database(), server.database()
    with pytest.MonkeyPatch.context() as patched:  # one that is ended between the two databases
        patched.setattr(backup, "copy_journal", ended)
        with pytest.raises(KeyboardInterrupt):
            backup.restore(to, tmp_path / "box", there, beside)
    assert holds_something(beside)
    assert not holds_something(there)
    vigil("restore", str(to), "--data", str(tmp_path / "box"), "--journal", there, "--console", beside)
    assert not (tmp_path / "box" / "journal.db").exists()
    assert (tmp_path / "box" / "edge.count").read_text() == "7"
    vigil("restore", str(to), "--data", str(tmp_path / "files"))
    for url in (there, str(tmp_path / "files" / "journal.db")):
        assert verify(url) == verify(journal)
        kept = Journal.open(url, edge=EDGE, boot="b2", wall=lambda: "now")
        assert await kept.cursor("main") == 50
        assert kept.snapshots() == {BED: (60, AT_S, b"\x00")}
        await kept.append([PendingEvent(BED, None, AT_S + 99, body("alarm", text="on"))]).stored
        await kept.close()
        assert verify(url).events == 61
    kept_there = Store(beside)
    for what in ("one", "two"):  # it numbers on from what was copied
        kept_there.now(audit.add, AT_S, "anna", what)
    kept_there.close()
    for url in (journal, console):
        result = CliRunner().invoke(app, ["restore", str(to), "--data", str(tmp_path / "box2"), "--journal", url],
                                    standalone_mode=False)
        assert "there is something already" in str(result.exception)


@pytest.mark.slow
async def test_no_password_is_shown_logged_or_served_whatever_goes_wrong(
        server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    good = server.database()
    name = str(make_url(good).database)
    wrong = server.address(name, "s3cret-but-wrong")
    gone = f"postgresql+psycopg://vigil:{quote(PASSWORD, safe='')}@127.0.0.1:1/{name}"
    told, outages = [str(DatabaseUrl(good)), shown_address(gone)], list[Outage]()
    for url in (good, wrong, gone, f"{good}&options=-csearch_path%3Dnowhere", f"{good}&nonsense=1"):
        for args in (["verify", url], ["journal", url], ["replay", url], ["replay", url, url],
                     ["verify", str(tmp_path / "none.db"), "--against", url],
                     ["backup", str(tmp_path / "to"), "--data", str(tmp_path), "--journal", url],
                     ["restore", str(tmp_path / "to"), "--data", str(tmp_path), "--journal", url]):
            result = CliRunner().invoke(app, args)
            told += [result.output, str(result.exception)]
        try:
            open_engine(url).dispose()
        except (DBAPIError, NoStore) as fault:
            told.append(words_of(fault) if isinstance(fault, DBAPIError) else str(fault))
        try:
            kept = Journal.open(url, edge=EDGE, boot="b1", wall=lambda: "now", holds=True)
            kept.watch(outages.append)
            await kept.append([PendingEvent(BED, None, AT_S, body("alarm"))]).stored
            await kept.close()
        except JournalError as fault:
            told.append(str(fault))
    async with served(tmp_path, server=server.database()) as home:
        await home.login()
        server.stop()
        try:
            hear(home.console, STATUS, status(), False)
            for path in ("/healthz", "/metrics", "/api/me", f"/api/beds/{BED}/events", f"/api/beds/{BED}/history"):
                told.append((await home.http.get(path)).text)
            told += [json.dumps(home.console.health()), home.console.beat()]
        finally:
            server.start()
    told += [caplog.text, repr(outages)]
    assert all("s3cret" not in line for line in told), [line for line in told if "s3cret" in line]
    assert sum("***" in line for line in told) > 10


TAMPERED = {  # by somebody who has the server's password
    "edited": ("UPDATE audit SET what = 'nothing' WHERE n = :n", "UPDATE event SET body = 'x' WHERE seq = :n"),
    "removed": ("DELETE FROM audit WHERE n = :n", "DELETE FROM event WHERE seq = :n"),
    "reordered": ("UPDATE audit SET n = -n WHERE n IN (:n, :n + 1);"
                  "UPDATE audit SET n = CASE n WHEN -:n THEN :n + 1 ELSE :n END WHERE n < 0",
                  "UPDATE event SET seq = -seq WHERE seq IN (:n, :n + 1);"
                  "UPDATE event SET seq = CASE seq WHEN -:n THEN :n + 1 ELSE :n END WHERE seq < 0"),
    "cut off": ("DELETE FROM audit WHERE n > :n", "DELETE FROM event WHERE seq > :n"),
}


@pytest.mark.slow
@pytest.mark.timeout(300 + MANY)
async def test_whatever_was_made_of_a_record_on_a_server_is_found(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    chance, journal, console = random.Random(1), server.database(), server.database()
    await written(journal, monkeypatch)
    stored_by_a_console(journal, console)
    kept = Store(console)
    for n in range(12):
        kept.now(audit.add, AT_S + n, "anna", "sounded", seq=n)
    *_, last = kept.now(lambda connection: list(audit.walk(connection)))
    kept.close()
    verify_head = {"console": f"{last.n}:{last.hash}"}
    assert show_audit(console, head=verify_head["console"]) == 0
    assert verify_journal(journal, against=console) == 0
    capsys.readouterr()
    for url, which, upto in ((console, 0, 11), (journal, 1, 49)):
        opened, table = engine(make_url(url), "somebody"), ("audit", "event")[which]
        for kind, changes in TAMPERED.items():
            for _ in range(MANY):
                n = chance.randrange(1, upto)
                with opened.begin() as connection:
                    rows = [dict(row) for row in connection.execute(text(f"SELECT * FROM {table}")).mappings()]
                    change(connection, table, changes[which].split(";"), n)
                found = show_audit(url, head=verify_head["console"]) if which == 0 else (
                    verify_journal(url, against=console))
                assert found == 1, (kind, n)
                said = capsys.readouterr()
                assert "the chain does not hold" in said.out + said.err
                assert PASSWORD not in said.out + said.err
                with opened.begin() as connection:
                    change(connection, table, [f"DELETE FROM {table}"], 0, rows)
        opened.dispose()
    assert show_audit(console, head=verify_head["console"]) == 0
    assert verify_journal(journal, against=console) == 0, "it was put back each time"


def change(
    connection: Connection, table: str, statements: list[str], n: int, rows: Sequence[dict[str, Any]] = (),
) -> None:
    """Past the guards that are there against slips."""
    connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
    for statement in statements:
        connection.execute(text(statement), {"n": n})
    for row in rows:
        names, values = ", ".join(f'"{name}"' for name in row), ", ".join(f":{name}" for name in row)
        connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)
    connection.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))
