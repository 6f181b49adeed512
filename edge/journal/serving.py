"""Events as the consoles can take them: each with a signature that they believe, or as an explicit gap.

A console refuses an event whose hash or signature is wrong, and nothing behind a hole moves it on. So of a row that was
damaged what still proves itself is used: the hash that follows from what it says and the chain around it, or the
signature over that. Where the signature alone is lost it is made anew, once a record that this edge signed in the same
boot stands on the event: what somebody else wrote into the record while the edge was off bears no such. Events that an
earlier key of this edge has signed are signed anew, too: a console believes one key. What proves itself by nothing
goes out as its number and the hash that the chain has of it, unsigned and without a word of what stands there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from edge.contract.events import KIND_OF, Event, RecordBegun
from edge.journal import chain, postgres
from edge.journal.chain import Base, Checkpoint, Wrong
from edge.journal.database import DatabaseUrl, JournalError, identity, of_a_row, reading
from edge.journal.reader import base_of, checkpoint_rows, events_page
from edge.journal.schema import CHECKPOINT, CURSOR, EVENT, META, stored
from edge.journal.store import close

LOOKED_AHEAD = 50  # events, for one that this edge signed
PREV, HASH, SIG = (EVENT.columns.keys().index(name) for name in ("prev", "hash", "sig"))
_DIGEST = re.compile(r"[0-9a-f]{64}")


def _nobody(_hash: str, _sig: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Keys:
    """`sign` makes this edge's signature over a hash, always the same one (RFC 8032); None: it signs nothing, and no
    signature is looked at. `signed(hash, sig)`: an earlier key of this edge made that one."""

    sign: Callable[[str], str] | None = None
    signed: Callable[[str, str], bool] = _nobody

    def own(self, event: Event | Checkpoint) -> bool:
        """Whether this edge signed it."""
        return self.sign is not None and event.sig is not None and (
            event.sig == self.sign(event.hash) or self.signed(event.hash, event.sig))


class Served(NamedTuple):
    """Events in order, without a hole; those with `damaged` are gaps. And what was found damaged, in words."""

    events: list[Event]
    damage: str


def served(connection: Connection, after: int, limit: int, keys: Keys, *, before_base: bool = True) -> Served:
    """Up to `limit` events after number `after`, up to the last checkpoint; `before_base`: also those before this
    record begins. Raises DBAPIError where the database itself fails."""
    head = _head(connection)
    after = after if before_base else max(after, base_of(connection).checkpoint.event_seq)
    if after >= base_of(connection).checkpoint.event_seq:
        try:
            page = events_page(connection, after, limit)
            signed = _signed(connection, page, keys)
        except (Wrong, DBAPIError) as fault:
            if isinstance(fault, DBAPIError) and not of_a_row(fault):
                raise
        else:
            if signed is not None and (len(page) == limit or max(after, *(event.seq for event in page), 0) >= head):
                return Served(signed, "")
    return _Mending(connection, head, keys).page(after, limit)


def _head(connection: Connection) -> int:
    """The newest event there is a checkpoint on: a damaged number among the events says nothing."""
    newest = select(CHECKPOINT.c.event_seq).order_by(CHECKPOINT.c.id.desc()).limit(1)
    found = connection.execute(newest).scalar()
    return found if isinstance(found, int) else base_of(connection).checkpoint.event_seq


def _signed(connection: Connection, page: list[Event], keys: Keys) -> list[Event] | None:
    """`page` as the present key signs it; None: something is wrong there."""
    if keys.sign is None:
        return page
    found: list[Event] = []
    before: bool | None = None
    for event in page:
        if event.sig is None:
            if before is None:
                row = connection.execute(stored(connection, EVENT).where(EVENT.c.seq == event.seq - 1)).first()
                before = row is not None and row.sig is not None
            if before:
                return None
            found.append(event)
            continue
        right, before = keys.sign(event.hash), True
        if event.sig != right and not keys.signed(event.hash, event.sig):
            return None
        found.append(event if event.sig == right else msgspec.structs.replace(event, sig=right))
    return found


class _Mending:
    """Of one page: row by row."""

    def __init__(self, connection: Connection, head: int, keys: Keys) -> None:
        self._connection, self._head, self._keys = connection, head, keys
        self._rows: dict[int, list[Any] | None] = {}
        self._damages: list[str] = []
        self._edge = str(connection.execute(select(META.c.value).where(META.c.key == "edge")).scalar())

    def page(self, after: int, limit: int) -> Served:
        """As `served`."""
        base = base_of(self._connection)
        if after < base.checkpoint.event_seq:
            return self._before(base, after, min(limit, base.checkpoint.event_seq - after))
        found: list[Event] = []
        link, at_s = self._link(after), base.at_ms / 1000
        for seq in range(after + 1, min(after + limit, self._head) + 1):
            try:
                found.append(self._believed(seq, link))
            except Wrong as fault:
                self._damages.append(str(fault))
                found.append(self._gap(seq, link, at_s))
            link, at_s = found[-1].hash, found[-1].at_s
        return Served(found, self._words())

    def _words(self) -> str:
        more = len(self._damages) - 1
        return "" if more < 0 else self._damages[0] + (f"; and of {more} more" if more else "")

    # --- rows ---------------------------------------------------------------------------------------------------------

    def _row(self, seq: int) -> list[Any] | None:
        """What stands there, its links and signature being text at least; None: nothing, or nothing to be read."""
        if seq not in self._rows:
            self._rows[seq] = None
            try:
                row = self._connection.execute(stored(self._connection, EVENT).where(EVENT.c.seq == seq)).first()
            except DBAPIError as fault:
                if not of_a_row(fault):
                    raise
                row = None
            if row is not None:
                links = {PREV: "", HASH: "", SIG: None}
                self._rows[seq] = [links[n] if n in links and type(value) is not str else value
                                   for n, value in enumerate(row)]
        return self._rows[seq]

    def _column(self, seq: int, column: int) -> str | None:
        """A hash that stands in a row; None: none does."""
        row = self._row(seq)
        return row[column] if row is not None and _DIGEST.fullmatch(row[column]) else None

    def _checkpoints(self, seq: int) -> Iterator[Checkpoint]:
        """Those on event `seq` that are as they were written."""
        for row in self._connection.execute(
                stored(self._connection, CHECKPOINT).where(CHECKPOINT.c.event_seq == seq)).all():
            with suppress(Wrong):
                checkpoint = chain.typed_checkpoint(row, row[0] - 1)
                checkpoint_rows(self._connection, checkpoint)
                yield checkpoint

    def _link(self, seq: int) -> str:
        """The hash under which event `seq` goes out."""
        base = base_of(self._connection).checkpoint
        if seq <= base.event_seq:
            return base.event_hash
        link = base.event_hash if seq - 1 == base.event_seq else self._column(seq - 1, HASH)
        with suppress(Wrong):
            return self._believed(seq, link or "", told=False).hash
        return self._gap_hash(seq)

    # --- what proves itself -------------------------------------------------------------------------------------------

    def _believed(self, seq: int, link: str, *, told: bool = True) -> Event:
        """Event `seq`, after the one with hash `link`, as something proves that it was written. Raises Wrong."""
        row = self._row(seq)
        if row is None:
            raise Wrong(f"event {seq}: it is missing, or is no text")
        known = {self._column(seq, HASH), self._column(seq + 1, PREV)}
        for prev in dict.fromkeys((link, row[PREV])):
            event = chain.told_event(row, seq, prev)
            if event.hash in known or self._keys.own(event) or any(
                    checkpoint.event_hash == event.hash for checkpoint in self._checkpoints(seq)):
                event = msgspec.structs.replace(event, sig=self._signature(event, told))
                if told and (row[PREV], row[HASH]) != (event.prev, event.hash):
                    self._damages.append(f"event {seq}: its place in the chain")
                return event
        raise Wrong(f"event {seq}: its hash does not match")

    def _signature(self, event: Event, told: bool) -> str | None:
        """The present key's over it; None: it is older than any. Raises Wrong where nothing says that it is ours."""
        if self._keys.sign is None or self._keys.own(event):
            return event.sig if self._keys.sign is None else self._keys.sign(event.hash)
        before = self._row(event.seq - 1)
        if event.sig is None and (before is None or before[SIG] is None):
            return None
        if not self._vouched(event):
            raise Wrong(f"event {event.seq}: its signature is not this edge's")
        if told:
            self._damages.append(f"event {event.seq}: its signature")
        return self._keys.sign(event.hash)

    def _vouched(self, event: Event) -> bool:
        """Whether this edge signed, in the same boot, what is chained to it; or the checkpoint on it."""
        digest = event.hash
        for seq in range(event.seq + 1, event.seq + 1 + LOOKED_AHEAD):
            row = self._row(seq)
            try:
                after = None if row is None else chain.told_event(row, seq, digest)
            except Wrong:
                break
            if after is None or after.boot != event.boot:
                break
            if self._keys.own(after):
                return True
            digest = after.hash
        return any(checkpoint.event_hash == event.hash and self._keys.own(checkpoint)
                   for checkpoint in self._checkpoints(event.seq))

    # --- gaps ---------------------------------------------------------------------------------------------------------

    def _gap(self, seq: int, link: str, at_s: float) -> Event:
        row = self._row(seq)
        size = max(1, sum(len(value) for value in row or () if isinstance(value, str)))
        return Event(seq, "", self._edge, None, None, at_s, "", KIND_OF[RecordBegun], "{}", link, self._gap_hash(seq),
                     damaged=size)

    def _gap_hash(self, seq: int) -> str:
        """What the next event is chained to; else what stands there; else one that is nobody's."""
        base = base_of(self._connection).checkpoint
        known = base.event_hash if seq == base.event_seq else self._column(seq + 1, PREV)
        known = known or next((each.event_hash for each in self._checkpoints(seq)), None) or self._column(seq, HASH)
        return known or hashlib.sha256(f"{self._edge}: event {seq} is damaged".encode()).hexdigest()

    def _before(self, base: Base, after: int, limit: int) -> Served:
        """What is before the record begins: in the one that is kept aside, else a gap."""
        kept = _kept(self._connection, base, self._edge)
        try:
            found = Served([], "") if kept is None else served(kept, after, limit, self._keys)
        except DBAPIError:
            found = Served([], "")
        finally:
            close(kept)
        if found.events:
            return found
        at = select(CURSOR.c.event_hash).where(CURSOR.c.seq == after).limit(1)
        stored_there = self._connection.execute(at).scalar()  # by a console
        link = chain.START.event_hash if after == 0 else str(stored_there or self._gap_hash(after))
        gaps: list[Event] = []
        for seq in range(after + 1, after + limit + 1):
            gaps.append(self._gap(seq, link, base.at_ms / 1000))
            link = gaps[-1].hash
        return Served(gaps, f"events {after + 1} to {after + limit} are in no record that can be read")


def _kept(connection: Connection, base: Base, edge: str) -> Connection | None:
    """The damaged record that this one goes on from, to be read; None: it is not there, nothing of it can be, or it is
    another edge's, which somebody wrote over this one's."""
    if not base.damaged_file:
        return None
    where, url = base.damaged_file, connection.engine.url
    if connection.dialect.name != "sqlite":
        options = f"-csearch_path={postgres.in_options(where.removeprefix('schema '))}"
        where = url.update_query_dict({"options": options}).render_as_string(hide_password=False)
    kept: Connection | None = None
    try:
        place = DatabaseUrl(where)
        kept = reading(place)
        with place.translating_errors():
            if identity(place, kept)[1] != edge:
                raise Wrong("it is another's")
    except JournalError:
        close(kept)
        return None
    return kept
