"""The journal as the edge uses it: numbers and chains at once in memory, stored by the writer's thread.

Where it `holds`, a store that fails stops nobody: numbers go on, what is recorded stays in memory in order, who waits
is told so (`stored` is False), and all of it is written, chained, when the store works again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Self, get_args

import msgspec
from sqlalchemy import Connection, insert, update

from edge.contract.events import Event, PendingEvent, numbered
from edge.journal import chain
from edge.journal.chain import START, Base, InputRow
from edge.journal.confirming import STUCK_S, Confirmations
from edge.journal.database import DatabaseUrl, JournalDamaged, JournalError, JournalFailing
from edge.journal.jobs import Batch, Remember, Retry, SnapshotRow, Stop
from edge.journal.last import Last
from edge.journal.outage import Appended, Head, Outage
from edge.journal.reader import checkpoint_before, checkpoint_page, events_page, latest_snapshots
from edge.journal.schema import CURSOR
from edge.journal.segments import Retention
from edge.journal.serving import Keys, served
from edge.journal.store import Opened, Store, cursor_of, hash_at
from edge.journal.unplaced import Unplaced
from edge.journal.writer import KEEP_ALL, Writer
from edge.model import Input, RecordedInput, encode

FLUSH_AT = 1000  # inputs buffered before they are handed over without being asked
RETRY_S = 1.0  # real seconds between two attempts to write again after a fault
# While the store fails, so many inputs are kept in memory: ten minutes of 30 beds at 14 a second each (about 0.7 kB
# each). Of more, none is numbered or kept; they are counted. Events are always kept: a bed has few.
INPUTS_HELD = 250_000
KINDS: dict[type, str] = {kind: kind.__struct_config__.tag for kind in get_args(Input)}


class Journal:
    """One edge's journal, opened to be written. Every call raises JournalError once storing has failed, or after close;
    unless it holds: then what cannot be stored is kept in memory in order, until it can.

    Belongs to one event loop; nothing here blocks it except `open`, `snapshots` and `inputs`, which are for starting.
    """

    def __init__(self, store: Store, opened: Opened | None, failing: JournalError | None, *, edge: str, boot: str,
                 wall: Callable[[], str], sign: Callable[[str], str] | None, holds: bool,
                 keep_inputs: Retention, signed: Callable[[str, str], bool]) -> None:
        """For `open` alone."""
        self._unplaced = Unplaced(store.last) if opened is None else None
        connection, checkpoint, at_ms = opened or (None, START, 0)
        if self._unplaced is not None:
            checkpoint, at_ms = self._unplaced.checkpoint, self._unplaced.remembered.at_ms
        self._sign, self._store, self._place = sign, store, store.place
        self._keys = Keys(sign, signed)
        self._edge, self._boot, self._wall = edge, boot, wall
        self._n, self._seq, self._hash = checkpoint.last_n, checkpoint.event_seq, checkpoint.event_hash
        self._at_ms = at_ms
        self._inputs: list[InputRow] = []
        self._snapshots: list[SnapshotRow] = []
        self._loop = asyncio.get_running_loop() if holds else None
        self._confirmations = Confirmations(self._loop, self._look) if self._loop else None
        self._writer = Writer(self._place, connection, checkpoint, sign, store=store if holds else None,
                              failing=failing, on_changed=self._changed, keep_inputs=keep_inputs, at_ms=at_ms)
        self._on_outage: Callable[[Outage], None] | None = None
        self._on_damage: Callable[[str], None] = lambda _: None
        self._on_placed: Callable[[list[Event], int], None] = lambda *_: None
        self._began_unplaced, self._placing = self._unplaced is not None, False
        self._told = ""  # why it fails, as `on_outage` was told; "": it does not
        self._failing_since = checkpoint
        self._lost_inputs = 0
        self._timer: asyncio.TimerHandle | None = None
        self._steps, self._stepped_s = -1, 0.0  # how far the writer was when an attempt was last seen to go on
        self._writer.start()

    @classmethod
    def open(
        cls, url: str, *, edge: str, boot: str, wall: Callable[[], str], sign: Callable[[str], str] | None = None,
        holds: bool = False, keep_inputs: Retention = KEEP_ALL, last: Last | None = None,
        signed: Callable[[str, str], bool] = lambda *_: False,
    ) -> Self:
        """Open, or create, the journal of `edge` at a path or database URL, and check its ends. Blocks.

        `wall` tells this machine's own UTC clock in ISO form; `sign` makes this edge's signature over a hash, from any
        thread. `holds`: where the store cannot be written, now or later, go on and keep what comes in memory; the
        caller watches (`watch`), and publishes what is not on the disk as such. Needs a running loop. `keep_inputs`:
        what of older inputs is kept; events always are. `last`: for a journal that may come later than this box does.
        `signed(hash, sig)`: an earlier key of this edge made that signature, where the present one did not.
        Raises JournalBusy when another edge has it, JournalDamaged when it must be moved away first, JournalError for
        all else (another edge's, a newer schema; without `holds`: a store that fails).
        """
        store = Store(DatabaseUrl(url), edge, last)
        failing: JournalError | None = None
        opened: Opened | None
        try:
            opened = store.open()
        except JournalError as fault:
            if not holds or not isinstance(fault, JournalFailing | JournalDamaged):
                store.release()
                raise
            failing, opened = store.open_all_the_same(fault, sign)
        return cls(store, opened, failing, edge=edge, boot=boot, wall=wall, sign=sign, holds=holds,
                   keep_inputs=keep_inputs, signed=signed)

    @property
    def head(self) -> Head:
        """How far it has got, with what is not yet stored."""
        return Head(self._seq, self._n, self._at_ms / 1000, self._hash)

    @property
    def folder(self) -> Path | None:
        """Where its file is; None: it is no file."""
        return self._place.path.parent if self._place.path else None

    @property
    def failed(self) -> JournalError | None:
        """Why nothing more can be stored, or None while all is well."""
        return self._writer.ended

    def record(self, bed: str | None, at_s: float, input: Input) -> int:  # noqa: A002
        """Number one input and keep it for the next commit. `at_s` is kept in whole milliseconds."""
        self._writer.check()
        full = self._lost_inputs or self._n - self._writer.checkpoint.last_n >= INPUTS_HELD
        if full and self._confirmations is not None:  # once one is not kept, none is, until all is well again
            self._lost_inputs += 1
            return self._n
        at_ms = round(at_s * 1000)
        n = self._n + 1
        self._inputs.append((n, self._boot, bed, at_ms, KINDS[type(input)], encode(input).decode()))
        self._n = n
        if at_ms > self._at_ms:
            self._at_ms = at_ms
        if len(self._inputs) >= FLUSH_AT:
            self._hand()
        return n

    def append(self, pending_events: Sequence[PendingEvent]) -> Appended:
        """Number and chain `pending_events`, hand them over with all recorded so far, to be committed together.

        The events come back as they will be read: times in whole milliseconds, bodies as JSON.
        """
        self._writer.check()
        stored: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        seq, prev, at_ms = self._seq, self._hash, self._at_ms
        events: list[Event] = []
        wall = self._wall() if pending_events else ""
        for pending in pending_events:
            seq += 1
            event = numbered(_plain(pending), seq=seq, boot=self._boot, edge=self._edge, wall=wall, prev=prev)
            if self._sign is not None:
                event = msgspec.structs.replace(event, sig=self._sign(event.hash))
            prev = event.hash
            at_ms = max(at_ms, round(event.at_s * 1000))
            events.append(event)
        self._seq, self._hash, self._at_ms = seq, prev, at_ms
        self._hand(tuple(events), stored)
        if self._confirmations is not None:
            stored = self._confirmations.expect(stored)
        return Appended(tuple(events), stored)

    def flush(self) -> asyncio.Future[bool]:
        """Hand over what is buffered; resolves when all that was handed over until now is stored (or kept: False). At
        least once a second is the caller's part: what is buffered longer is lost longer by a crash."""
        return self.append(()).stored

    def snapshot(self, bed: str, n: int, at_s: float, body: bytes) -> None:
        """Keep a bed's whole state after input `n`; stored with the next commit, not before that input."""
        self._writer.check()
        if n > self._n:
            raise ValueError(f"a snapshot after input {n}, but only {self._n} are recorded")
        self._snapshots.append(SnapshotRow(bed, n, round(at_s * 1000), body))

    async def events_after(self, seq: int, limit: int, *, gaps: bool = False) -> list[Event]:
        """Up to `limit` events after number `seq`, in order: stored ones, and what is kept in memory. Raises
        JournalDamaged at one that is not right; where it holds, that is told and left out (`gaps`: it stands as one,
        and what is before a record that was begun anew comes, too)."""
        found: list[Event] = []
        try:
            if self._confirmations is None:
                query = self._writer.query(lambda connection: events_page(connection, seq, limit))
                return await asyncio.wrap_future(query)
            page = await asyncio.wrap_future(
                self._writer.query(lambda connection: served(connection, seq, limit, self._keys, before_base=gaps)))
            found = page.events
            if page.damage:
                self._on_damage(page.damage)
        except JournalFailing:
            if self._confirmations is None:
                raise
        after = found[-1].seq if found else seq
        found = found + self._writer.held_after(after, limit - len(found))
        return found if gaps else [event for event in found if not event.damaged]

    async def cursor(self, console: str) -> int:
        """The number up to which `console` has stored every event; 0 for an unknown one."""
        try:
            return await asyncio.wrap_future(self._writer.query(lambda connection: cursor_of(connection, console) or 0))
        except JournalFailing:
            if self._confirmations is None:
                raise
            return 0

    async def move_cursor(self, console: str, seq: int) -> None:
        """`console` has stored every event up to `seq`. Never goes back; a number beyond what is stored here moves
        nothing (that console means another journal: compare with `head`). Nor does it while the store fails: then its
        next number does."""
        at_ms = self._at_ms
        if self.outage is not None:
            return
        try:
            await asyncio.wrap_future(self._writer.query(lambda connection: _move(connection, console, seq, at_ms)))
        except JournalFailing:
            if self._confirmations is None:
                raise

    def snapshots(self) -> dict[str, tuple[int, float, bytes]]:
        """The newest good snapshot of each bed: n, at_s, body. Blocks: for starting."""
        if self._unplaced is not None and self._unplaced.remembered.snapshots:
            return dict(self._unplaced.remembered.snapshots)
        return self._writer.query(latest_snapshots).result()

    def inputs(self, after_n: int = 0) -> Iterator[RecordedInput]:
        """The stored inputs after number `after_n`, in order, each under a checkpoint that matches. Blocks."""
        if self._unplaced is not None:
            return
        before = self._writer.query(lambda connection: checkpoint_before(connection, after_n)).result()
        while True:
            at = before
            before, rows = self._writer.query(partial(checkpoint_page, before=at)).result()
            with self._place.translating_errors():
                page = [chain.recorded(row) for row in rows if row[0] > after_n]
            yield from page
            if before == at:
                return

    async def close(self) -> None:
        """Store what is buffered, and let go. Raises JournalError if that last part could not be stored."""
        last: asyncio.Future[bool] | None = None
        await self._place_at_the_end()
        if self._confirmations is not None:
            self._confirmations.stop()
        if self._timer is not None:
            self._timer.cancel()
        if self._writer.ended is None:
            last = self.flush()
            self._writer.hand(Stop())
        await asyncio.to_thread(self._writer.join)
        self._store.release()
        if last is not None:
            await last
        if self._writer.failing is not None:
            raise self._writer.failing

    # --- while the store fails ----------------------------------------------------------------------------------------

    @property
    def unplaced(self) -> bool:
        """Nobody has seen the journal yet: the numbers of events are for this process alone, until `watch` tells those
        that they have in the journal. To be published under none before."""
        return self._unplaced is not None

    @property
    def stored_seq(self) -> int:
        """The newest event on the disk."""
        return self._writer.checkpoint.event_seq

    @property
    def stored_head(self) -> tuple[int, str] | None:
        """Number and hash of the newest event on the disk; None: there is none."""
        stored = self._writer.checkpoint
        return (stored.event_seq, stored.event_hash) if stored.event_seq and self._unplaced is None else None

    @property
    def outage(self) -> Outage | None:
        """What is in memory alone because the store fails; None while it does not."""
        stored = self._writer.checkpoint
        return Outage(self._told, max(0, self._seq - stored.event_seq), max(0, self._n - stored.last_n),
                      self._lost_inputs) if self._told else None

    def taken_begun(self) -> Base | None:
        """What the record goes on from, if it was damaged and begun anew since the last call."""
        begun, self._store.begun = self._store.begun, None
        return begun

    def watch(self, on_outage: Callable[[Outage], None], on_damage: Callable[[str], None] = lambda _: None,
              on_placed: Callable[[list[Event], int], None] = lambda *_: None) -> None:
        """From now on tell `on_outage`, on the loop, when the store begins to fail (if it does already: now), fails for
        another reason, or works again; `on_damage` of a record that cannot be believed where it is read; `on_placed`,
        when a journal is seen for the first time, of the events so far under their numbers, and by how much those of
        the inputs have grown."""
        self._on_outage, self._on_damage, self._on_placed = on_outage, on_damage, on_placed
        self._look()

    def _changed(self) -> None:
        """On the writer's thread."""
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        if self._on_outage is None or self._confirmations is None:
            return
        failing = self._writer.failing
        if self._unplaced is not None and failing is None:
            self._go_on_behind(self._unplaced)
        if self._placing and failing is None:
            return  # not over before all of it is on the disk
        silent = f"the {'disk' if self._place.sqlite else 'database'} does not answer"
        why = str(failing).removeprefix(f"journal {self._place}: ") if failing else silent
        if failing is None and not self._confirmations.stuck:
            why = ""
        was, self._told = self._told, why
        if why == was:
            return
        stored, since = self._writer.checkpoint, self._failing_since
        if not was:
            self._failing_since = stored
        if failing is not None:
            self._retry_soon()
        elif not was:
            self._writer.hang_up()
        if why:
            self._on_outage(Outage(why, self._seq - stored.event_seq, self._n - stored.last_n, self._lost_inputs))
        else:
            lost, self._lost_inputs = self._lost_inputs, 0
            placed, self._began_unplaced = self._began_unplaced, False
            self._on_outage(Outage(was, stored.event_seq - since.event_seq, stored.last_n - since.last_n, lost, True,
                                   placed))

    def _go_on_behind(self, unplaced: Unplaced) -> None:
        """The journal is there: what was recorded without it goes on after its end."""
        self._hand()
        assert self._loop is not None
        after, self._unplaced = self._writer.checkpoint, None
        batches = unplaced.placed(after, self._sign)
        events = [event for batch in batches for event in batch.events]
        self._seq, self._hash = (events[-1].seq, events[-1].hash) if events else (after.event_seq, after.event_hash)
        more_n = after.last_n - unplaced.remembered.n
        self._n += more_n
        self._at_ms = max(self._at_ms, self._writer.opened_ms)
        self._failing_since, self._placing = after, True
        stored: asyncio.Future[bool] = self._loop.create_future()
        stored.add_done_callback(self._in_place)
        for batch in [*batches, Batch(stored=stored)]:
            self._writer.hand(batch)
        self._on_placed(events, more_n)

    def _in_place(self, stored: asyncio.Future[bool]) -> None:
        self._placing = False
        if not stored.cancelled() and stored.exception() is None:
            self._look()

    async def _place_at_the_end(self) -> None:
        """One more attempt before all of it is let go."""
        steps = self._writer.steps
        if self._unplaced is None or self._writer.ended is not None or self._loop is None:
            return
        self._writer.hand(Retry())
        until_s = self._loop.time() + STUCK_S
        while self._writer.steps == steps and self._loop.time() < until_s:
            await asyncio.sleep(RETRY_S / 20)
        if self._writer.failing is None and self._unplaced is not None:
            self._go_on_behind(self._unplaced)

    def _retry_soon(self) -> None:
        assert self._loop is not None
        if self._timer is None:
            self._timer = self._loop.call_later(RETRY_S, self._retry)

    def _retry(self) -> None:
        self._timer = None
        if self._writer.failing is None or self._writer.ended is not None:
            return
        now_s = self._loop.time() if self._loop else 0.0
        if self._writer.steps != self._steps:
            self._steps, self._stepped_s = self._writer.steps, now_s
            self._writer.hand(Retry())
        elif now_s - self._stepped_s > STUCK_S:  # the attempt before hangs
            self._writer.hang_up()
        self._retry_soon()

    def _hand(self, events: tuple[Event, ...] = (), stored: asyncio.Future[bool] | None = None) -> None:
        batch = Batch(self._inputs, events, self._snapshots, stored)
        self._inputs, self._snapshots = [], []
        if self._unplaced is None:
            self._writer.hand(batch)
            return
        self._unplaced.add(batch)
        self._writer.hand(Remember(batch.snapshots, self._seq))
        if stored is not None:
            stored.set_result(False)


def _plain(pending: PendingEvent) -> PendingEvent:
    """As it will be read: so that an event just concluded equals the same event from the disk."""
    return msgspec.structs.replace(pending, at_s=round(pending.at_s * 1000) / 1000)


def _move(connection: Connection, console: str, seq: int, at_ms: int) -> None:
    current, event_hash = cursor_of(connection, console), hash_at(connection, seq)
    if event_hash is None or seq <= (current or 0):
        return
    moved = {"seq": seq, "event_hash": event_hash, "moved_at_ms": at_ms}
    if current is None:
        connection.execute(insert(CURSOR).values(console=console, **moved))
    else:
        connection.execute(update(CURSOR).where(CURSOR.c.console == console).values(**moved))
