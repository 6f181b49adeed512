"""Who did what through this console, refusals included; never a patient's name. Each line is chained to the one before.

A line that was edited, taken out, put in or moved is found by `vigil audit`. That the last ones were cut off shows a
head (number and hash) that was noted elsewhere: the console notes the last one in a file of its data folder; whoever
can write there, too, is found by one noted on another box, or by the edge's journal, which has every command by its id.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select

from edge.console.tables import audit
from edge.console.upsert import AUDIT, alone
from edge.contract.events import GENESIS
from edge.contract.keys import write_whole
from edge.model import canonical

PAGE = 1000
ADDED = "audit lines"  # a connection's: its transaction has added some
HEAD = re.compile(r"([1-9][0-9]*):([0-9a-f]{64})\n")


class Broken(Exception):
    """The chain does not hold: the number of the line, and why."""

    def __init__(self, n: int, why: str) -> None:
        super().__init__(f"line {n}: {why}")
        self.n = n


@dataclass(frozen=True, slots=True)
class Line:
    """One line, as its hash says it was written. `at_s`: this console's time, seconds since 1970."""

    n: int
    at_s: float
    user: str
    what: str
    edge: str | None
    bed: str | None
    detail: dict[str, Any]
    hash: str


def line_hash(
    n: int, at_s: float, user: str, what: str, edge: str | None, bed: str | None, detail: bytes, prev: str,
) -> str:
    """SHA-256 over all a line says and the hash of the one before."""
    said = {"n": n, "at_s": at_s, "user": user, "what": what, "edge": edge, "bed": bed, "prev": prev}
    return hashlib.sha256(canonical(said) + b"\n" + detail).hexdigest()


def add(
    connection: Connection, at_s: float, user: str, what: str, edge: str | None = None, bed: str | None = None, /,
    **detail: Any,
) -> None:
    """Adds one line. `at_s` is this console's time; `detail` must be JSON."""
    alone(connection, AUDIT, "audit")
    last = connection.execute(select(audit.c.n, audit.c.hash).order_by(audit.c.n.desc()).limit(1)).first()
    n, prev = (last.n + 1, last.hash) if last else (1, GENESIS)
    user, said = user[:64].replace("\0", "\ufffd"), msgspec.json.encode(detail)  # what every database can hold
    connection.execute(insert(audit).values(
        n=n, at_s=at_s, user=user, what=what, edge=edge, bed=bed, detail=said, prev=prev,
        hash=line_hash(n, at_s, user, what, edge, bed, said, prev)))
    connection.info[ADDED] = True


@dataclass(frozen=True, slots=True)
class Head:
    """A line's number and hash."""

    n: int
    hash: str


def noted_in(database: Path) -> Path:
    """Where the head of the audit in the console's `database` is noted."""
    return database.with_name(f"{database.name}.audit")


def noted(file: Path) -> Head | None:
    """What is noted there; None: nothing. Raises OSError, ValueError where it is no head."""
    try:
        found = HEAD.fullmatch(file.read_text("ascii"))
    except FileNotFoundError:
        return None
    if found is None:
        raise ValueError("it is no N:HASH")
    return Head(int(found[1]), found[2])


def note(file: Path, head: Head) -> None:
    """All of it, or what was there stays. Raises OSError."""
    write_whole(file, f"{head.n}:{head.hash}\n", 0o600)


def last(connection: Connection) -> Head | None:
    """The last line; None: there is none."""
    row = connection.execute(select(audit.c.n, audit.c.hash).order_by(audit.c.n.desc()).limit(1)).first()
    return Head(row.n, row.hash) if row else None


def has(connection: Connection, head: Head) -> bool:
    """Whether that line is there, as it was noted."""
    return connection.execute(select(audit.c.hash).where(audit.c.n == head.n)).scalar() == head.hash


def say_lost(connection: Connection, at_s: float, head: Head) -> int:
    """Adds a line where `head`, which was noted, is not there. How many lines are lost; 0: none."""
    if has(connection, head):
        return 0
    end = last(connection)
    after = end.n if end else 0
    add(connection, at_s, "vigil", "audit lines lost", noted=head.n, hash=head.hash, after=after)
    return max(1, head.n - after)  # one at least: that one is another now


def walk(connection: Connection) -> Iterator[Line]:
    """Every line, oldest first, each checked. Raises Broken at the first that is not as it was written."""
    n, prev = 0, GENESIS
    while True:
        page = connection.execute(select(audit).where(audit.c.n > n).order_by(audit.c.n).limit(PAGE)).all()
        for row in page:
            line = checked(row, n + 1, prev)
            n, prev = line.n, line.hash
            yield line
        if len(page) < PAGE:
            return


def checked(row: Row[Any], n: int, prev: str) -> Line:
    """A stored line that must be number `n`, chained to `prev`. Raises Broken."""
    if row.n != n:
        raise Broken(n, "it is missing" if row.n == n + 1 else f"it and all up to {row.n - 1} are missing")
    if row.prev != prev:
        raise Broken(n, "it is not chained to the line before")
    detail = bytes(row.detail)
    if row.hash != line_hash(row.n, row.at_s, row.user, row.what, row.edge, row.bed, detail, prev):
        raise Broken(n, "its hash does not match")
    return Line(row.n, row.at_s, row.user, row.what, row.edge, row.bed, msgspec.json.decode(detail), row.hash)


def lines(connection: Connection) -> list[tuple[str, str, str | None, dict[str, Any]]]:
    """All lines, oldest first: user, what, bed, detail."""
    return [(line.user, line.what, line.bed, line.detail) for line in walk(connection)]
