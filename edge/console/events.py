"""The event store: each event of the edge once, its hash checked and chained to the one before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from edge.console.tables import edges, events, refused_events
from edge.contract.events import GENESIS
from edge.contract.payloads import EventOut, decode, encode
from edge.model import from_iso

REFUSED_KEPT = 10_000  # who floods the topic with rubbish does not fill the disk

Why = Literal["edge", "seq", "hash", "chain", "fork"]


@dataclass(frozen=True, slots=True)
class Cursor:
    """Every event of the edge up to `seq` is stored; `top` is the highest stored at all, so `top` > `seq` is a gap.

    `sounded_seq` is the highest alarm event some page confirmed sounding; 0: none.
    """

    seq: int
    hash: str
    boot: str
    top: int
    sounded_seq: int

    @property
    def gap(self) -> bool:
        """Whether an event is missing between two stored ones."""
        return self.top > self.seq


@dataclass(frozen=True, slots=True)
class Refused:
    """An event that was not believed. `why`: of another edge, no number, wrong hash, wrong chain, or a second event
    with a number that is taken."""

    event: EventOut
    why: Why


@dataclass(frozen=True, slots=True)
class Appended:
    """What one delivery came to. `new` were not stored before; a duplicate is in neither list."""

    new: list[EventOut]
    refused: list[Refused]
    cursor: Cursor


def cursor_of(connection: Connection, edge: str) -> Cursor:
    """How far `edge` is stored."""
    row = connection.execute(select(edges).where(edges.c.edge == edge)).mappings().one_or_none()
    top = connection.execute(select(func.max(events.c.seq)).where(events.c.edge == edge)).scalar_one() or 0
    if row is None:
        return Cursor(0, GENESIS, "", top, 0)
    return Cursor(row["seq"], row["hash"], row["boot"], max(top, row["seq"]), row["sounded_seq"])


def append(
    connection: Connection, edge: str, delivery: Sequence[EventOut], live_boot: str | None, at_s: float,
) -> Appended:
    """Stores what is new and true of `delivery`, and moves the cursor over all that is now without a gap.

    An event may come before the ones it follows (live alarms overtake the backlog); it is stored, and anchored to the
    chain once the gap is closed. `live_boot` is the boot whose heartbeat is heard now: only its word can show that the
    edge's journal itself was rewound (a lost disk, a restored backup), see `_set_aside`. `at_s` is edge time.
    """
    new: list[EventOut] = []
    refused: list[Refused] = []
    for event in delivery:
        why = _objection(event, edge) or _place(connection, event, live_boot)
        if why == "duplicate":
            continue
        if why is not None:
            refused.append(Refused(event, why))
            continue
        connection.execute(insert(events).values(**_row(event)))
        new.append(event)
    unchained = _advance(connection, edge)
    gone = {event.seq for event in unchained}
    new = [event for event in new if event.seq not in gone]
    refused += [Refused(event, "chain") for event in unchained]
    for each in refused:
        _remember_refusal(connection, each, at_s)
    return Appended(new, refused, cursor_of(connection, edge))


def _objection(event: EventOut, edge: str) -> Why | None:
    if event.edge != edge:
        return "edge"
    if not 1 <= event.seq < 2**63:
        return "seq"
    return None if event.verify() else "hash"


def _place(connection: Connection, event: EventOut, live_boot: str | None) -> Why | Literal["duplicate"] | None:
    """Whether the number is free and the event before, where we have it, is the one it names."""
    if event.seq == 1 and event.prev != GENESIS:
        return "chain"
    before = _stored(connection, event.edge, event.seq - 1)
    linked = event.seq == 1 or before is None or before["hash"] == event.prev
    taken = _stored(connection, event.edge, event.seq)
    if taken is None:
        return None if linked else "chain"
    if taken["hash"] == event.hash:
        return "duplicate"
    anchored = event.seq == 1 or before is not None
    if linked and anchored and event.boot == live_boot and taken["boot"] != live_boot:
        _set_aside(connection, event.edge, event.seq)
        return None
    return "fork"


def _set_aside(connection: Connection, edge: str, seq: int) -> None:
    """The edge's journal went back to before `seq` and counts again: what we stored from there on keeps its place in
    the store under another name (`edge#2`, ...), and the cursor goes back with the journal."""
    sides = select(func.count(func.distinct(events.c.edge))).where(events.c.edge.like(f"{edge}#%"))
    name = f"{edge}#{connection.execute(sides).scalar_one() + 2}"
    connection.execute(update(events).where(events.c.edge == edge, events.c.seq >= seq).values(edge=name))
    before = _stored(connection, edge, seq - 1)
    cursor = cursor_of(connection, edge)
    if cursor.seq >= seq:
        _move(connection, edge, seq - 1, before["hash"] if before else GENESIS, before["boot"] if before else "")
    connection.execute(update(edges).where(edges.c.edge == edge, edges.c.sounded_seq >= seq).values(
        sounded_seq=seq - 1))


def _stored(connection: Connection, edge: str, seq: int) -> RowMapping | None:
    found = select(events.c.seq, events.c.hash, events.c.prev, events.c.boot, events.c.json)
    return connection.execute(found.where(events.c.edge == edge, events.c.seq == seq)).mappings().one_or_none()


def _advance(connection: Connection, edge: str) -> list[EventOut]:
    """Moves the cursor over the chained events that follow it; returns the one, now removed, that did not chain."""
    cursor = cursor_of(connection, edge)
    seq, digest, boot = cursor.seq, cursor.hash, cursor.boot
    found = select(events.c.seq, events.c.prev, events.c.hash, events.c.boot, events.c.json)
    unchained: list[EventOut] = []
    for row in connection.execute(found.where(events.c.edge == edge, events.c.seq > seq).order_by(events.c.seq)):
        if row.seq != seq + 1:
            break
        if row.prev != digest:
            unchained.append(decode(EventOut, row.json))
            break
        seq, digest, boot = row.seq, row.hash, row.boot
    for event in unchained:
        connection.execute(delete(events).where(events.c.edge == edge, events.c.seq == event.seq))
    if seq > cursor.seq:
        _move(connection, edge, seq, digest, boot)
    return unchained


def _move(connection: Connection, edge: str, seq: int, digest: str, boot: str) -> None:
    row = insert(edges).values(edge=edge, seq=seq, hash=digest, boot=boot, sounded_seq=0)
    connection.execute(row.on_conflict_do_update(index_elements=["edge"], set_={
        "seq": seq, "hash": digest, "boot": boot}))


def _row(event: EventOut) -> dict[str, Any]:
    return {
        "edge": event.edge, "seq": event.seq, "boot": event.boot, "bed": event.bed, "session": event.session,
        "at_s": from_iso(event.at), "kind": event.kind, "prev": event.prev, "hash": event.hash, "json": encode(event),
    }


def _remember_refusal(connection: Connection, refused: Refused, at_s: float) -> None:
    event = refused.event
    seq = max(-(2**63), min(event.seq, 2**63 - 1))
    row = insert(refused_events).values(
        edge=event.edge, seq=seq, hash=event.hash[:128], why=refused.why, at_s=at_s, json=encode(event))
    connection.execute(row.on_conflict_do_nothing())
    newest = connection.execute(select(func.max(refused_events.c.n))).scalar_one()
    connection.execute(delete(refused_events).where(refused_events.c.n <= newest - REFUSED_KEPT))


def sounded(connection: Connection, edge: str, seq: int, known: bool = False) -> int | None:
    """Notes that a page sounded alarm event `seq`. Returns the highest so noted; None: `seq` is no alarm.

    A page's word is not enough: a wrong high number would tell the edge that alarms yet to come were heard. `known`:
    the bed's state lists the alarm, though its event is not stored yet.
    """
    kind = connection.execute(select(events.c.kind).where(events.c.edge == edge, events.c.seq == seq)).scalar()
    if kind != "alarm" and not known:
        return None
    row = insert(edges).values(edge=edge, seq=0, hash=GENESIS, boot="", sounded_seq=seq)
    connection.execute(row.on_conflict_do_update(index_elements=["edge"], set_={
        "sounded_seq": func.max(edges.c.sounded_seq, row.excluded.sounded_seq)}))
    return cursor_of(connection, edge).sounded_seq


def of_bed(connection: Connection, edge: str, bed: str, limit: int, before: int | None) -> list[bytes]:
    """The JSON of the last `limit` events of `bed` below `before`, newest first."""
    wanted: ColumnElement[bool] = and_(events.c.edge == edge, events.c.bed == bed)
    if before is not None:
        wanted = and_(wanted, events.c.seq < before)
    found = select(events.c.json).where(wanted).order_by(events.c.seq.desc()).limit(limit)
    return list(connection.execute(found).scalars())


def seqs(connection: Connection, edge: str) -> list[int]:
    """Every stored number of `edge`, in order."""
    return list(connection.execute(select(events.c.seq).where(events.c.edge == edge).order_by(events.c.seq)).scalars())
