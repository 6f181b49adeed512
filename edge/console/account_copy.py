"""A second copy of the accounts beside the store: who may come in is known where the store is lost or away.

It is written twice, into `console.accounts` and `console.accounts.2`. A row is believed as far as its sum goes
(edge.console.sums): no row, rather than a false one. One that is damaged in one file is taken from the other.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
from sqlalchemy import Connection, select

from edge import aside
from edge.console import sums
from edge.console.tables import accounts
from edge.model import Role

BETWEEN = re.compile(rb"(?<=\}),(?=\{)")  # two rows; a name that holds it makes two that are not believed
FIELDS = ("name", "role", "hash", "made_at_s")

log = logging.getLogger(__name__)


def beside(database: Path) -> Path:
    """Where the copy of a store that is a file lies."""
    return database.with_suffix(".accounts")


def rows_of(connection: Connection) -> list[dict[str, Any]]:
    """Every account of a store that is as it was stored, by name."""
    found = connection.execute(select(accounts).order_by(accounts.c.name)).mappings()
    return [sums.summed(accounts, {field: row[field] for field in FIELDS})
            for row in found if sums.is_sound(accounts, row)]


def both(path: Path) -> tuple[Path, Path]:
    """The two files of a copy; `path` is the first."""
    return path, path.with_name(f"{path.name}.2")


def read(path: Path) -> list[dict[str, Any]]:
    """The accounts in the copy, by name; none where there is none, or nothing of it can be believed."""
    found: dict[str, dict[str, Any]] = {}
    for file in both(path):
        for row in _read_one(file):
            found.setdefault(row["name"], row)
    return sorted(found.values(), key=lambda row: str(row["name"]))


def holds(path: Path, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether these are what each file of the copy has."""
    return all(_read_one(file) == rows for file in both(path))


def _read_one(path: Path) -> list[dict[str, Any]]:
    """Its rows that are believed."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as fault:
        log.error("%s: the copy of the accounts cannot be read: %s", path, fault.strerror)
        return []
    pieces = BETWEEN.split(raw.strip(b"[]\n")) if raw.strip(b"[]\n") else []
    rows = [row for row in map(_row, pieces) if row is not None]
    if len(rows) < len(pieces) or raw[:1] + raw[-1:] != b"[]":
        log.error("%s: the copy of the accounts is damaged: %d of it can be read", path, len(rows))
    return rows


def _row(piece: bytes) -> dict[str, Any] | None:
    try:
        row = msgspec.json.decode(piece, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return row if _is_account(row) else None


def _is_account(row: Mapping[str, Any]) -> bool:
    shapes = {"name": str, "role": str, "hash": str, "made_at_s": int | float, "sum": int}
    return (row.keys() == shapes.keys() and all(isinstance(row[name], shape) for name, shape in shapes.items())
            and row["role"] in get_args(Role) and sums.is_sound(accounts, row))


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Each file whole or not at all, and for this user's eyes alone. Raises OSError."""
    content = msgspec.json.encode(list(rows))
    for file in both(path):
        _write_one(file, content)


def _write_one(path: Path, content: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        aside.to_disk(part)
        part.rename(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    aside.to_disk(path.parent)
