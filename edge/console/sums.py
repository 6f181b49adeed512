"""A checksum beside each row that nothing else vouches for: what a bad disk made of it is not believed.

It is against disks, not against people: events and audit are chained and signed for that.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Float, RowMapping, Table

from edge.console.tables import accounts, determinations, patients, vitals

# What of a row is summed, in this order; stored sums depend on it.
SUMMED: Mapping[str, tuple[str, ...]] = {
    accounts.name: ("name", "role", "hash"),
    patients.name: ("session", "edge", "bed", "name"),
    vitals.name: ("edge", "bed", "at_s", "numerics"),
    determinations.name: ("edge", "bed", "at_s", "sbp_mmhg", "dbp_mmhg", "map_mmhg", "nibp_pulse_bpm"),
}


def row_sum(table: Table, values: RowMapping | Mapping[str, Any]) -> int:
    """CRC-32 over what the row says; a value that is left out is null."""
    said = [_plain(table, name, values.get(name)) for name in SUMMED[table.name]]
    return zlib.crc32(msgspec.json.encode(said))


def summed(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """`values`, to be stored in `table`, with their sum."""
    return {**values, "sum": row_sum(table, values)}


def is_sound(table: Table, row: RowMapping | Mapping[str, Any]) -> bool:
    """Whether a stored row is what was stored. Vigil before 0.2.0 stored no sums: such a row is believed."""
    try:
        return row.get("sum") is None or row["sum"] == row_sum(table, row)
    except (TypeError, ValueError):  # a column holds what it cannot hold
        return False


def _plain(table: Table, name: str, value: Any) -> Any:
    if isinstance(table.c[name].type, Float) and value is not None:
        return float(value)
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")  # as PostgreSQL stores it (edge.console.tables.Words)
    return bytes(value) if isinstance(value, bytes | memoryview) else value
