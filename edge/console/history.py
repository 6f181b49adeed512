"""What the trends are drawn from: a bed's numerics at most once a second, and each cuff determination once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, select

from edge.console import sums
from edge.console.tables import determinations, vitals
from edge.console.upsert import insert
from edge.contract.payloads import Numeric, Vitals
from edge.model import from_iso, iso
from edge.vocabulary import DETERMINATION

KEEP_S = 7 * 86400.0
EVERY_S = 1.0
PART_S = 1800.0  # edge time that is read at once: some 1,800 rows, with their checksums some 40 ms
GAP_S = 15.0  # rows further apart than this are not joined by a line
SHOWN = frozenset({"valid", "questionable"})

Cuff = tuple[float, dict[str, float | None]]

decode_numerics = msgspec.json.Decoder(dict[str, float]).decode


@dataclass(frozen=True, slots=True)
class Row:
    """One moment of one bed: what was valid and not stale. Edge time."""

    edge: str
    bed: str
    at_s: float
    numerics: dict[str, float]  # by metric; of a second device metric@device


@dataclass(frozen=True, slots=True)
class Part:
    """A time of one bed, from `from_s` on and before `until_s`, edge time."""

    bed: str
    from_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class Determination:
    """One completed cuff cycle."""

    edge: str
    bed: str
    at_s: float
    values: dict[str, float | None]


class Recorder:
    """Thins the vitals as they come and holds them until `take`, so that one commit a second stores them all.

    `limit` bounds what is held while the store is broken; beyond it the oldest go.
    """

    def __init__(self, limit: int = 20_000) -> None:
        self._limit = limit
        self._last_row: dict[str, float] = {}
        self._last_cuff: dict[str, float] = {}
        self._held: list[Row | Determination] = []

    def receive(self, vitals: Vitals) -> None:
        """Keeps what is due. Raises ValueError where a time is none."""
        at_s = from_iso(vitals.at)
        last = self._last_row.get(vitals.bed)
        if last is None or at_s >= last + EVERY_S or at_s < last - GAP_S:  # far back: the edge's clock began anew
            self._last_row[vitals.bed] = at_s
            shown = {metric: numeric.value for metric, numeric in vitals.numerics.items()
                     if metric not in DETERMINATION and _shown(numeric) and numeric.value is not None}
            shown |= {f"{other.metric}@{other.device}": other.value for other in vitals.others or ()
                      if other.metric not in DETERMINATION and not other.stale}
            self._held.append(Row(vitals.edge, vitals.bed, at_s, shown))
        cuff = vitals.numerics.get("sbp_mmhg")
        if cuff is not None and _shown(cuff):
            self._receive_cuff(vitals, from_iso(cuff.at))
        del self._held[: -self._limit]

    def _receive_cuff(self, vitals: Vitals, at_s: float) -> None:
        if self._last_cuff.get(vitals.bed) == at_s:
            return
        self._last_cuff[vitals.bed] = at_s
        together: dict[str, float | None] = {}
        for metric in DETERMINATION:
            numeric = vitals.numerics.get(metric)
            ours = numeric is not None and _shown(numeric) and abs(from_iso(numeric.at) - at_s) < 1.0
            together[metric] = numeric.value if numeric is not None and ours else None
        self._held.append(Determination(vitals.edge, vitals.bed, at_s, together))

    def take(self) -> list[Row | Determination]:
        """What is held; it is then the caller's."""
        held, self._held = self._held, []
        return held

    def give_back(self, rows: Sequence[Row | Determination]) -> None:
        """The store would not have them: they are held on, as far as the limit goes."""
        self._held = [*rows, *self._held][-self._limit:]


def _shown(numeric: Numeric) -> bool:
    return numeric.value is not None and not numeric.stale and numeric.validity in SHOWN


def append(connection: Connection, rows: Iterable[Row | Determination]) -> None:
    """Stores what a Recorder held; what is there already stays as it is."""
    moments: list[dict[str, Any]] = []
    cuffs: list[dict[str, Any]] = []
    for row in rows:
        if isinstance(row, Row):
            moments.append(sums.summed(vitals, {"edge": row.edge, "bed": row.bed, "at_s": row.at_s,
                                                "numerics": msgspec.json.encode(row.numerics)}))
        else:
            cuffs.append(sums.summed(determinations, {"edge": row.edge, "bed": row.bed, "at_s": row.at_s} | row.values))
    if moments:
        connection.execute(insert(connection, vitals).on_conflict_do_nothing(), moments)
    if cuffs:
        connection.execute(insert(connection, determinations).on_conflict_do_nothing(), cuffs)


def prune(connection: Connection, edge: str, beds: Iterable[str], before_s: float) -> None:
    """Forgets what is older than `before_s`, edge time."""
    for bed in beds:  # by bed, as the key runs: a scan of the whole table would keep an alarm waiting
        for table in (vitals, determinations):
            connection.execute(delete(table).where(table.c.edge == edge, table.c.bed == bed, table.c.at_s < before_s))


def rows_since(
    connection: Connection, edge: str, bed: str, from_s: float, until_s: float = inf,
) -> tuple[list[tuple[float, bytes]], list[Cuff]]:
    """What is stored of the bed from edge time `from_s` on, before `until_s`: moments as (time, JSON), and
    determinations; oldest first. What a bad disk changed is left out."""
    found = select(vitals).where(
        vitals.c.edge == edge, vitals.c.bed == bed, vitals.c.at_s >= from_s, vitals.c.at_s < until_s)
    stored = connection.execute(found.order_by(vitals.c.at_s)).mappings()
    moments = [(row["at_s"], row["numerics"]) for row in stored if sums.is_sound(vitals, row)]
    cuffs = select(determinations).where(
        determinations.c.edge == edge, determinations.c.bed == bed, determinations.c.at_s >= from_s,
        determinations.c.at_s < until_s)
    rows = connection.execute(cuffs.order_by(determinations.c.at_s)).mappings()
    return moments, [(row["at_s"], {metric: row[metric] for metric in DETERMINATION}) for row in rows
                     if sums.is_sound(determinations, row)]


def parts(bed: str, from_s: float, now_s: float, stays: Sequence[tuple[str, float]]) -> list[Part]:
    """How a trend is read: no part takes the store longer than an alarm may wait. `stays` are the beds where the
    patient was before, each with until when; oldest first. Of each bed only what it measured while they were there."""
    found: list[Part] = []
    begun_s = from_s
    for where, until_s in (*stays, (bed, inf)):
        at_s = max(from_s, begun_s)
        while at_s + PART_S < min(until_s, now_s):
            found.append(Part(where, at_s, at_s + PART_S))
            at_s += PART_S
        if at_s < until_s:
            found.append(Part(where, at_s, until_s))
        begun_s = until_s
    return found


def rows_of(connection: Connection, edge: str, part: Part) -> tuple[list[tuple[float, bytes]], list[Cuff]]:
    """What is stored of one part of a trend."""
    return rows_since(connection, edge, part.bed, part.from_s, part.until_s)


def trend(moments: Sequence[tuple[float, bytes]], cuffs: Sequence[Cuff], metrics: Sequence[str],
          gap_s: float = GAP_S) -> bytes:
    """The page's JSON: `at` in ISO, one column a metric (empty: all there are), and the determinations.

    Where moments are more than `gap_s` apart a row of nulls stands between them, a second after the earlier one, so
    that no line can bridge what nobody saw. A metric that was not valid at a moment is null there.
    """
    rows = [(at_s, decode_numerics(stored)) for at_s, stored in moments]
    names = list(metrics) or sorted({name for _, numerics in rows for name in numerics})
    times: list[str] = []
    columns: dict[str, list[float | None]] = {name: [] for name in names}
    before_s: float | None = None
    for at_s, numerics in rows:
        if before_s is not None and at_s - before_s > gap_s:
            times.append(iso(before_s + EVERY_S))
            for column in columns.values():
                column.append(None)
        times.append(iso(at_s))
        for name, column in columns.items():
            column.append(numerics.get(name))
        before_s = at_s
    return msgspec.json.encode({"at": times, "metrics": columns,
                                "determinations": [{"at": iso(at_s)} | values for at_s, values in cuffs]})
