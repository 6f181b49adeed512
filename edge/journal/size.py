"""How large a journal is, and what makes it so: read at one moment, without a look at what the records say."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select

from edge.journal import postgres
from edge.journal.reader import Reader, ends, has_segments, moment
from edge.journal.schema import EVENT, INPUT, SEGMENT, TABLES


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes and counts. Times are edge time in seconds; None: there is nothing of it."""

    file_bytes: int
    free_bytes: int  # in the file, for new records
    events: int
    inputs: int  # kept, as rows and packed
    dropped: int  # inputs no longer kept
    packed_bytes: int
    packed_inputs: int
    inputs_from_s: float | None
    inputs_to_s: float | None

    @property
    def packed_mb_an_hour(self) -> float | None:
        """How fast packed inputs of all beds together grow."""
        if self.inputs_from_s is None or self.inputs_to_s is None or not self.packed_inputs:
            return None
        hours = (self.inputs_to_s - self.inputs_from_s) / 3600 * self.packed_inputs / self.inputs
        return round(self.packed_bytes / 1e6 / hours, 3) if hours else None


def size_of(reader: Reader) -> Size:
    """The size of a journal that an edge may be writing. Raises JournalError."""
    connection, base = reader.connection, reader.base.checkpoint
    first = next(reader.inputs(), None)
    with reader.place.translating_errors(), moment(connection):
        last = ends(connection)
        events = connection.execute(select(func.count()).select_from(EVENT)).scalar_one()
        rows, rows_to = connection.execute(select(func.count(), func.max(INPUT.c.at_ms))).one()
        packed, packed_bytes = 0, 0
        if has_segments(connection):
            count = func.sum(SEGMENT.c.last_n - SEGMENT.c.first_n + 1)
            packed, packed_bytes = connection.execute(
                select(func.coalesce(count, 0), func.coalesce(func.sum(func.length(SEGMENT.c.body)), 0)).where(
                    SEGMENT.c.body.is_not(None))).one()
        if reader.place.sqlite:
            page, pages, free = (connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0 for name in (
                "page_size", "page_count", "freelist_count"))
        else:
            page, pages, free = 1, postgres.bytes_of(connection, TABLES.sorted_tables), 0
    inputs = int(packed) + int(rows)
    return Size(
        file_bytes=page * pages, free_bytes=page * free, events=events, inputs=inputs,
        dropped=last.n - base.last_n - inputs, packed_bytes=int(packed_bytes), packed_inputs=int(packed),
        inputs_from_s=first.at_s if first else None, inputs_to_s=None if rows_to is None else rows_to / 1000)
