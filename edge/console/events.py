"""The event store: each event of the edge once, its hash checked and chained to the one before."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, case, delete, func, or_, select, update

from edge.console.tables import edges, events, refused_events
from edge.console.upsert import EVENTS, alone, insert
from edge.contract.events import GENESIS
from edge.contract.freshness import Memory
from edge.contract.payloads import BadPayload, EventOut, decode, encode
from edge.model import from_iso

REFUSED_KEPT = 10_000  # who floods the topic with rubbish does not fill the disk

Why = Literal["edge", "seq", "hash", "sig", "chain", "fork"]
Signed = Callable[[str, str], bool]


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
    """An event that was not believed. `why`: of another edge, no number, wrong hash, wrong signature, wrong chain, or
    a second event with a number that is taken."""

    event: EventOut
    why: Why


@dataclass(frozen=True, slots=True)
class Appended:
    """What one delivery came to. `new` were not stored before; `known` were: sent again, or stored by another console
    over the same database."""

    new: list[EventOut]
    refused: list[Refused]
    cursor: Cursor
    known: list[EventOut]


def cursor_of(connection: Connection, edge: str) -> Cursor:
    """How far `edge` is stored."""
    row = connection.execute(select(edges).where(edges.c.edge == edge)).mappings().one_or_none()
    top = connection.execute(select(func.max(events.c.seq)).where(events.c.edge == edge)).scalar_one() or 0
    if row is None:
        return Cursor(0, GENESIS, "", top, 0)
    return Cursor(row["seq"], row["hash"], row["boot"], max(top, row["seq"]), row["sounded_seq"])


def append(
    connection: Connection, edge: str, delivery: Sequence[EventOut], live_boot: str | None, at_s: float,
    is_signed: Signed = lambda _hash, _sig: True,
) -> Appended:
    """Stores what is new and true of `delivery`, and moves the cursor over all that is now without a gap.

    An event may come before the ones it follows (live alarms overtake the backlog); it is stored, and anchored to the
    chain once the gap is closed. `live_boot` is the boot whose heartbeat comes now, and which has sent `delivery`: what
    it says of a number that an earlier boot has taken shows that the edge's journal itself was rewound (a lost disk, a
    restored backup, a boot that was ended while its store failed), see `_set_aside`. Where a stored row and what the
    edge says now disagree, and the row is not what was once stored, or was never signed, the row gives way. `at_s` is
    edge time; `is_signed(hash, signature)` checks the edge's signature over an event's hash.
    """
    alone(connection, EVENTS, edge)
    store = _Rows(connection, edge, at_s, is_signed)
    new: list[EventOut] = []
    known: list[EventOut] = []
    refused: list[Refused] = []
    for event in delivery:
        why = _objection(event, edge, is_signed) or _place(store, event, live_boot)
        if why == "duplicate":
            known.append(event)
            continue
        if why is not None:
            refused.append(Refused(event, why))
            continue
        connection.execute(insert(connection, events).values(**_row(event)))
        new.append(event)
    unchained = _advance(store)
    gone = {event.seq for event in unchained}
    new = [event for event in new if event.seq not in gone]
    refused += [Refused(event, "chain") for event in unchained]
    for each in refused:
        _remember_refusal(connection, each, at_s)
    return Appended(new, refused, cursor_of(connection, edge), known)


def _objection(event: EventOut, edge: str, is_signed: Signed) -> Why | None:
    if event.edge != edge:
        return "edge"
    if not 1 <= event.seq < 2**63:
        return "seq"
    if not event.verify():
        return "hash"
    return None if event.hash_sig is None or is_signed(event.hash, event.hash_sig) else "sig"


class _Rows:
    """The stored rows of one edge, each checked when read."""

    def __init__(self, connection: Connection, edge: str, at_s: float, is_signed: Signed) -> None:
        self.connection, self.edge, self._at_s, self._is_signed = connection, edge, at_s, is_signed

    def get(self, seq: int) -> RowMapping | None:
        """Row `seq`; None where there is none, or where it was damaged and is now put away."""
        found = select(events).where(events.c.edge == self.edge, events.c.seq == seq)
        row = self.connection.execute(found).mappings().one_or_none()
        if row is not None and not is_sound(row, self._is_signed):
            self.put_away(row)
            return None
        return row

    def put_away(self, row: RowMapping) -> None:
        """The row is not what the edge said. It is kept among the refused; the cursor goes back to before it."""
        kept = insert(self.connection, refused_events).values(
            edge=self.edge, seq=row["seq"], hash=row["hash"][:128], why="damaged", at_s=self._at_s, json=row["json"])
        self.connection.execute(kept.on_conflict_do_nothing())
        self.connection.execute(delete(events).where(events.c.edge == self.edge, events.c.seq == row["seq"]))
        if cursor_of(self.connection, self.edge).seq >= row["seq"]:
            self.step_back(row["seq"])

    def step_back(self, seq: int) -> None:
        """The cursor goes back to the last row before `seq` that is there."""
        found = select(events).where(events.c.edge == self.edge, events.c.seq < seq).order_by(events.c.seq.desc())
        before = self.connection.execute(found.limit(1)).mappings().one_or_none()
        if before is None:
            _move(self.connection, self.edge, 0, GENESIS, "")
        else:
            _move(self.connection, self.edge, before["seq"], before["hash"], before["boot"])


def is_sound(row: RowMapping, is_signed: Signed) -> bool:
    """Whether a stored row is what was stored: its JSON, the columns beside it, its hash and its signature."""
    try:
        event = decode(EventOut, row["json"])
    except BadPayload:
        return False
    beside = (event.edge.partition("#")[0], event.seq, event.bed, event.kind, event.prev, event.hash,
              event.hash_sig)
    told = (row["edge"].partition("#")[0], row["seq"], row["bed"], row["kind"], row["prev"], row["hash"], row["sig"])
    return beside == told and event.verify() and (row["sig"] is None or is_signed(row["hash"], row["sig"]))


def _place(store: _Rows, event: EventOut, live_boot: str | None) -> Why | Literal["duplicate"] | None:
    """Whether the number is free and the event before, where we have it, is the one it names."""
    if event.seq == 1 and event.prev != GENESIS:
        return "chain"
    before, taken = store.get(event.seq - 1), store.get(event.seq)
    linked = event.seq == 1 or before is None or before["hash"] == event.prev
    if taken is not None and taken["hash"] == event.hash:
        if not (linked and _fills(event, taken)):
            return "duplicate"
        store.put_away(taken)
        return None
    if before is not None and not linked and _outranks(event, before):
        store.put_away(before)
        before, linked = None, True
    if taken is None:
        return None if linked else "chain"
    anchored = event.seq == 1 or before is not None
    if linked and anchored and live_boot is not None and taken["boot"] not in (live_boot, event.boot):
        _set_aside(store.connection, event, live_boot)
        return None
    if linked and _outranks(event, taken):
        store.put_away(taken)
        return None
    return "fork"


def _fills(event: EventOut, row: RowMapping) -> bool:
    """Whether the row is a gap, and this the event that the chain has there: the edge's record has it again."""
    return not event.damaged and event.hash_sig is not None and decode(EventOut, row["json"]).damaged


def _outranks(event: EventOut, row: RowMapping) -> bool:
    """Whether the edge's signature stands against a row that nobody signed."""
    return event.hash_sig is not None and row["sig"] is None


def _set_aside(connection: Connection, event: EventOut, live_boot: str) -> None:
    """The edge's journal went back to before `event` and counted again: what we stored from there on of other boots
    keeps its place in the store under another name (`edge#2`, ...), and the cursor goes back with the journal."""
    edge, seq = event.edge, event.seq
    sides = select(func.count(func.distinct(events.c.edge))).where(is_aside(edge))
    name = f"{edge}#{connection.execute(sides).scalar_one() + 2}"
    others = and_(events.c.edge == edge, events.c.seq >= seq, events.c.boot.not_in((event.boot, live_boot)))
    connection.execute(update(events).where(others).values(edge=name))
    before = _stored(connection, edge, seq - 1)
    cursor = cursor_of(connection, edge)
    if cursor.seq >= seq:
        _move(connection, edge, seq - 1, before["hash"] if before else GENESIS, before["boot"] if before else "")
    connection.execute(update(edges).where(edges.c.edge == edge, edges.c.sounded_seq >= seq).values(
        sounded_seq=seq - 1))


def is_aside(edge: str) -> ColumnElement[bool]:
    """The condition under which a row was set aside from `edge`."""
    return events.c.edge.startswith(f"{edge}#", autoescape=True)


def _stored(connection: Connection, edge: str, seq: int) -> RowMapping | None:
    found = select(events.c.seq, events.c.hash, events.c.prev, events.c.boot, events.c.json)
    return connection.execute(found.where(events.c.edge == edge, events.c.seq == seq)).mappings().one_or_none()


def _advance(store: _Rows) -> list[EventOut]:
    """Moves the cursor over the chained events that follow it; returns the one, now removed, that did not chain."""
    connection, edge = store.connection, store.edge
    cursor = _checked_cursor(store)
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


def _checked_cursor(store: _Rows) -> Cursor:
    """The cursor, put back to a row that is there and sound where it names none."""
    while True:
        cursor = cursor_of(store.connection, store.edge)
        if cursor.seq == 0:
            return cursor
        row = store.get(cursor.seq)  # puts a damaged one away, and the cursor back with it
        if row is not None and row["hash"] == cursor.hash:
            return cursor
        if row is not None:
            _move(store.connection, store.edge, row["seq"], row["hash"], row["boot"])
        elif cursor_of(store.connection, store.edge).seq == cursor.seq:
            store.step_back(cursor.seq)


def _move(connection: Connection, edge: str, seq: int, digest: str, boot: str) -> None:
    row = insert(connection, edges).values(edge=edge, seq=seq, hash=digest, boot=boot, sounded_seq=0)
    connection.execute(row.on_conflict_do_update(index_elements=["edge"], set_={
        "seq": seq, "hash": digest, "boot": boot}))


def _row(event: EventOut) -> dict[str, Any]:
    return {
        "edge": event.edge, "seq": event.seq, "boot": event.boot, "bed": event.bed, "session": event.session,
        "at_s": from_iso(event.at), "kind": event.kind, "prev": event.prev, "hash": event.hash, "json": encode(event),
        "sig": event.hash_sig,
    }


def _remember_refusal(connection: Connection, refused: Refused, at_s: float) -> None:
    event = refused.event
    seq = max(-(2**63), min(event.seq, 2**63 - 1))
    row = insert(connection, refused_events).values(
        edge=event.edge, seq=seq, hash=event.hash[:128], why=refused.why, at_s=at_s, json=encode(event))
    connection.execute(row.on_conflict_do_nothing())
    newest = connection.execute(select(func.max(refused_events.c.n))).scalar_one()
    connection.execute(delete(refused_events).where(refused_events.c.n <= newest - REFUSED_KEPT))


def sounded(connection: Connection, edge: str, seq: int, known: bool = False) -> int | None:
    """Notes that a page sounded alarm event `seq`. Returns the highest so noted; None: `seq` is no alarm.

    A page's word is not enough: a wrong high number would tell the edge that alarms yet to come had sounded. `known`:
    the bed's state lists the alarm, though its event is not stored yet.
    """
    kind = connection.execute(select(events.c.kind).where(events.c.edge == edge, events.c.seq == seq)).scalar()
    if kind != "alarm" and not known:
        return None
    row = insert(connection, edges).values(edge=edge, seq=0, hash=GENESIS, boot="", sounded_seq=seq)
    connection.execute(row.on_conflict_do_update(index_elements=["edge"], set_={
        "sounded_seq": case((edges.c.sounded_seq > row.excluded.sounded_seq, edges.c.sounded_seq),
                            else_=row.excluded.sounded_seq)}))
    return cursor_of(connection, edge).sounded_seq


def of_bed(
    connection: Connection, edge: str, bed: str, limit: int, before: int | None,
    is_signed: Signed = lambda _hash, _sig: True, moved: tuple[str, Sequence[str]] = ("", ()),
    kinds: Collection[str] | None = None,
) -> tuple[list[bytes], list[int]]:
    """The JSON of the last `limit` events of `bed` below `before`, newest first; and the numbers of damaged ones,
    which are left out: they are for `heal`. `moved`: a session, and beds where it was before: with its events there.
    `kinds`: of these alone; None: of every kind."""
    wanted: ColumnElement[bool] = and_(events.c.edge == edge, events.c.bed == bed)
    session, stays = moved
    if stays:
        wanted = or_(wanted, and_(events.c.edge == edge, events.c.bed.in_(stays), events.c.session == session))
    if before is not None:
        wanted = and_(wanted, events.c.seq < before)
    if kinds is not None:
        wanted = and_(wanted, events.c.kind.in_(kinds))
    rows = connection.execute(select(events).where(wanted).order_by(events.c.seq.desc()).limit(limit)).mappings().all()
    sound = [is_sound(row, is_signed) for row in rows]
    return ([row["json"] for row, good in zip(rows, sound, strict=True) if good],
            [row["seq"] for row, good in zip(rows, sound, strict=True) if not good])


def check(
    connection: Connection, edge: str, after: int, limit: int, is_signed: Signed = lambda _hash, _sig: True,
) -> tuple[int, list[int]]:
    """Reads `limit` rows up to the cursor after number `after`. Returns the last number read, 0 at the end, and the
    numbers that are damaged, missing or out of the chain."""
    cursor = cursor_of(connection, edge)
    found = select(events).where(events.c.edge == edge, events.c.seq >= max(after, 1), events.c.seq <= cursor.seq)
    rows = connection.execute(found.order_by(events.c.seq).limit(limit + 1)).mappings().all()
    wrong = [row["seq"] for row in rows if not is_sound(row, is_signed)]
    for one, two in pairwise(rows):
        if two["seq"] != one["seq"] + 1 or two["prev"] != one["hash"]:
            wrong.append(one["seq"] + 1)
    if after == 0 and cursor.seq and (not rows or rows[0]["seq"] != 1):
        wrong.append(1)
    if rows and len(rows) <= limit and rows[-1]["seq"] < cursor.seq:
        wrong.append(rows[-1]["seq"] + 1)
    return (rows[-1]["seq"] if len(rows) > limit else 0), sorted(set(wrong))


def heal(connection: Connection, edge: str, wrong: Sequence[int], at_s: float,
         is_signed: Signed = lambda _hash, _sig: True) -> Cursor:
    """Puts damaged rows away and the cursor back to before the first of `wrong`: the ack that follows asks for the
    rest again. What the disk made of an index is made anew first: rows are found through it."""
    alone(connection, EVENTS, edge)
    if wrong and connection.dialect.name == "sqlite":
        connection.exec_driver_sql("REINDEX events")
    store = _Rows(connection, edge, at_s, is_signed)
    for seq in wrong:
        store.get(seq)
    if wrong and cursor_of(connection, edge).seq >= min(wrong):
        store.step_back(min(wrong))
    return cursor_of(connection, edge)


def remember(connection: Connection, edge: str, memory: Memory) -> None:
    """Keeps what of `edge` was believed last."""
    row = insert(connection, edges).values(
        edge=edge, seq=0, hash=GENESIS, boot="", sounded_seq=0, memory=encode(memory))
    connection.execute(row.on_conflict_do_update(index_elements=["edge"], set_={"memory": row.excluded.memory}))


def beds_of(connection: Connection, edge: str) -> set[str]:
    """Every bed of `edge` that something is stored of."""
    found = select(events.c.bed).where(events.c.edge == edge, events.c.bed.is_not(None)).distinct()
    return set(connection.execute(found).scalars())


def memory_of(connection: Connection, edge: str) -> Memory:
    """What of `edge` was believed last."""
    kept = connection.execute(select(edges.c.memory).where(edges.c.edge == edge)).scalar()
    try:
        return Memory() if kept is None else decode(Memory, kept)
    except BadPayload:  # a damaged row: as if this console had never received anything of the edge
        return Memory()


def seqs(connection: Connection, edge: str) -> list[int]:
    """Every stored number of `edge`, in order."""
    return list(connection.execute(select(events.c.seq).where(events.c.edge == edge).order_by(events.c.seq)).scalars())
