"""A console's damaged file is kept aside whole, and the console goes on in a new one, with all of the old that can be
believed: accounts (also from their copy), sessions, names, the audit up to its first broken line, the last trends, and
what of each edge was believed last. Events are fetched again from the edges' journals.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

import msgspec
from sqlalchemy import ColumnElement, Connection, Engine, Table, create_engine, inspect, literal_column, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, StaticPool

from edge import aside
from edge.console import account_copy, audit, events, sums, tables
from edge.contract.events import GENESIS
from edge.contract.freshness import Memory
from edge.contract.payloads import BadPayload, decode
from edge.model import Role

# The whole file is read at a start, its indexes compared with its tables; without them where it is larger, and beyond
# the second size not at all: rows are checked when they are read.
WHOLE_CHECK_UP_TO_BYTES = 64 * 1024 * 1024
QUICK_CHECK_UP_TO_BYTES = 256 * 1024 * 1024
TRENDS_TAKEN = 100_000  # rows: an hour of 30 beds, two seconds
DAMAGED_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
DAMAGED_WORDS = ("malformed database schema", "no such table", "no such column", "table ", "Could not decode")
TOKEN_HASH = re.compile(r"[0-9a-f]{64}")

log = logging.getLogger(__name__)


def is_damage(fault: DBAPIError) -> bool:
    """Whether it says that the file is not what was written; not that a disk is full, or cannot be written."""
    return isinstance(fault.orig, sqlite3.Error) and tells_damage(fault.orig)


def tells_damage(fault: sqlite3.Error) -> bool:
    """The same of what SQLite itself said."""
    return getattr(fault, "sqlite_errorcode", 0) & 0xFF in DAMAGED_CODES or str(fault).startswith(DAMAGED_WORDS)


def damage_of(path: Path) -> str:
    """What is damaged of the file, before a byte of it is changed; "": nothing that shows, or it cannot be read."""
    try:
        if not path.is_file() or aside.is_text(path):
            return ""
        with closing(sqlite3.connect(_address(path), uri=True)) as file:
            size = path.stat().st_size
            if size > QUICK_CHECK_UP_TO_BYTES:
                file.execute("SELECT count(*) FROM sqlite_master")
                return ""
            check = "integrity_check" if size <= WHOLE_CHECK_UP_TO_BYTES else "quick_check"
            said = str(file.execute(f"PRAGMA {check}(1)").fetchone()[0])
            return "" if said == "ok" else said.splitlines()[-1]
    except sqlite3.DatabaseError as fault:
        return str(fault) if fault.sqlite_errorcode & 0xFF in DAMAGED_CODES else ""
    except UnicodeDecodeError:  # see aside.tells_damage
        return "its schema is no text"
    except OSError:
        return ""


def damaged_rows(path: Path) -> list[str]:
    """What of a console's file is not as it was written, in words, without a name of a patient: the file, or rows."""
    if what := damage_of(path):
        return [what]
    found: list[str] = []
    engine = aside.tells_damage(create_engine(f"sqlite:///{_address(path)}&uri=true", poolclass=NullPool))
    try:
        with engine.connect() as out:
            for table in (tables.accounts, tables.patients, tables.vitals, tables.determinations):
                columns = {column["name"] for column in inspect(out).get_columns(table.name)}
                query = select(literal_column("rowid").label("row_number"), *(
                    column for column in table.c if column.name in columns))
                found += [f"{table.name}: row {row['row_number']} does not match its checksum"
                          for row in out.execute(query).mappings() if not sums.is_sound(table, row)]
            for _ in audit.walk(out):
                """Each line is checked."""
    except audit.Broken as fault:
        found.append(f"audit: {fault}")
    except (DBAPIError, sqlite3.Error, msgspec.MsgspecError, TypeError, ValueError) as fault:
        found.append(str(fault.args[0] if fault.args else fault).splitlines()[0])
    finally:
        engine.dispose()
    return found


def begin_anew(path: Path, damage: str, at_s: float, make: Callable[[Path], Engine], take: bool = True) -> None:
    """The file goes aside, and a new one, made by `make`, takes its place. `at_s`: this console's time. `take`: what is
    there was the console's, and what of it can be believed is taken. Raises OSError, sqlalchemy.exc.DBAPIError."""
    number = aside.free_number(path)
    kept = aside.kept_as(path, number)
    part = aside.new_part(path)
    new = make(part)
    try:
        with new.begin() as connection:
            taken = _take(path, connection) if take else {tables.accounts.name: _from_copy(path, connection)}
            audit.add(connection, at_s, "vigil", "store begun anew", damaged_file=kept.name, damage=damage, taken=taken)
    finally:
        new.dispose()
    aside.put_in_place(path, part, number)
    log.error("%s was damaged (%s) and is kept aside as %s; taken from it: %s", path, damage, kept.name, taken)


def open_to_read(path: Path) -> Engine:
    """What is there, on a disk that takes nothing. Raises sqlalchemy.exc.DBAPIError."""
    for more in ("", "&immutable=1"):  # without room for the -shm file SQLite must be told that nobody writes
        def connect(more: str = more) -> sqlite3.Connection:
            return sqlite3.connect(_address(path) + more, uri=True, isolation_level=None, check_same_thread=False)

        opened = aside.tells_damage(create_engine("sqlite://", creator=connect, poolclass=StaticPool))
        try:
            with opened.begin() as connection:
                connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
            return opened
        except DBAPIError:
            opened.dispose()
            if more:
                raise
    raise AssertionError("one of the two returned or raised")


def _address(path: Path) -> str:
    return f"file:{quote(str(path))}?mode=ro"


def _take(path: Path, into: Connection) -> dict[str, int]:
    """What of the damaged file can be believed, and how many rows of each table."""
    left = aside.left_of(path)
    whole = _as_long_as_it_was(left)
    engine = aside.tells_damage(create_engine(f"sqlite:///{_address(whole)}&uri=true", poolclass=NullPool))
    taken: dict[str, int] = {}
    try:
        with engine.connect() as out:
            columns = {name: {column["name"] for column in inspect(out).get_columns(name)}
                       for name in inspect(out).get_table_names()}
            for table, limit in ((tables.accounts, None), (tables.web_sessions, None), (tables.patients, None),
                                 (tables.vitals, TRENDS_TAKEN), (tables.determinations, TRENDS_TAKEN)):
                found = _rows(out, table, columns.get(table.name, set()), limit)
                taken[table.name] = _put(into, table, [row for row in found if _believed(table, row)])
            taken[tables.audit.name] = _put(into, tables.audit, list(_audit(out)))
            _take_memory(out, into)
    except (DBAPIError, sqlite3.Error) as fault:
        log.warning("%s: no more can be read of it: %s", path, fault.args[0] if fault.args else fault)
    finally:
        engine.dispose()
        taken[tables.accounts.name] = taken.get(tables.accounts.name, 0) + _from_copy(path, into)
        if whole != left:
            for end in (*aside.ENDS, "-shm"):
                Path(f"{whole}{end}").unlink(missing_ok=True)
    return taken


def _as_long_as_it_was(path: Path) -> Path:
    """SQLite reads nothing of a file that was cut short: a copy of such a one is, with nothing in what is lacking.
    Raises OSError."""
    with path.open("rb") as file:
        head = file.read(100)
    page = int.from_bytes(head[16:18], "big")
    was = (65536 if page == 1 else page) * int.from_bytes(head[28:32], "big")
    size = path.stat().st_size
    if not head.startswith(b"SQLite format 3") or not size < was <= 16 * size + WHOLE_CHECK_UP_TO_BYTES:
        return path
    copy = path.with_name(f"{path.name}.reading")
    for end in aside.ENDS:
        if Path(f"{path}{end}").exists():
            shutil.copy(f"{path}{end}", f"{copy}{end}")  # with its mode
    os.truncate(copy, was)
    return copy


def _believed(table: Table, row: Mapping[str, Any]) -> bool:
    if table is tables.web_sessions:  # nobody's whose account was lost: a session is looked up with its account
        return isinstance(row.get("token_hash"), str) and bool(TOKEN_HASH.fullmatch(row["token_hash"])) and (
            row.get("revoked") is False)
    return sums.is_sound(table, row) and (table is not tables.accounts or row.get("role") in get_args(Role))


def _put(into: Connection, table: Table, rows: list[dict[str, Any]]) -> int:
    """Those that the table takes: what a column cannot hold was not written by us."""
    if not rows:
        return 0
    with suppress(DBAPIError, TypeError, ValueError), into.begin_nested():
        into.execute(table.insert(), rows)
        return len(rows)
    put = 0
    for row in rows:
        with suppress(DBAPIError, TypeError, ValueError), into.begin_nested():
            into.execute(table.insert(), row)
            put += 1
    return put


def _rows(out: Connection, table: Table, there: set[str], limit: int | None) -> Iterator[dict[str, Any]]:
    """The last `limit` rows (None: all) from the end; where one cannot be read, those from the beginning, too."""
    columns = [column for column in table.c if column.name in there]
    number: ColumnElement[int] = literal_column("rowid")
    seen: set[int] = set()
    for order in (number.desc(), number.asc()) if columns else ():
        query = select(number.label("row_number"), *columns).order_by(order).limit(limit)
        with suppress(DBAPIError, sqlite3.Error, TypeError, ValueError):
            for row in out.execute(query).mappings():
                if row["row_number"] in seen:
                    return
                seen.add(row["row_number"])
                yield {column.name: row[column.name] for column in columns}
            return


def _from_copy(path: Path, into: Connection) -> int:
    """Accounts that the damaged file has lost; how many."""
    there = set(into.execute(select(tables.accounts.c.name)).scalars())
    return _put(into, tables.accounts, [row for row in account_copy.read(account_copy.beside(path))
                                        if row["name"] not in there])


def _audit(out: Connection) -> Iterator[dict[str, Any]]:
    """Up to the first line that is not as it was written."""
    n, prev = 1, GENESIS
    with suppress(audit.Broken, DBAPIError):
        while (row := out.execute(select(tables.audit).where(tables.audit.c.n == n)).one_or_none()) is not None:
            n, prev = n + 1, audit.checked(row, n, prev).hash
            yield dict(zip(tables.audit.c.keys(), row, strict=True))


def _take_memory(out: Connection, into: Connection) -> None:
    with suppress(DBAPIError):
        for row in out.execute(select(tables.edges.c.edge, tables.edges.c.memory)).all():
            with suppress(BadPayload):
                events.remember(into, row.edge, decode(Memory, row.memory or b""))
