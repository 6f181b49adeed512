"""A second copy of the accounts, in a file beside the store: who may come in is known where the store is lost or away.

A row is believed as far as its sum goes (edge.console.sums): no row, rather than a false one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec
from sqlalchemy import Connection, select

from edge import aside
from edge.console import sums
from edge.console.tables import accounts
from edge.model import Role

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


def read(path: Path) -> list[dict[str, Any]]:
    """The accounts in the copy; none where there is none, or it cannot be read."""
    try:
        said = msgspec.json.decode(path.read_bytes(), type=list[dict[str, Any]])
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as fault:
        log.error("%s: the copy of the accounts cannot be read: %s", path, fault)
        return []
    return [row for row in said if _is_account(row)]


def _is_account(row: Mapping[str, Any]) -> bool:
    shapes = {"name": str, "role": str, "hash": str, "made_at_s": int | float, "sum": int}
    return (row.keys() == shapes.keys() and all(isinstance(row[name], shape) for name, shape in shapes.items())
            and row["role"] in get_args(Role) and sums.is_sound(accounts, row))


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Whole or not at all, and for this user's eyes alone. Raises OSError."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(list(rows)))
        aside.to_disk(part)
        part.rename(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    aside.to_disk(path.parent)
