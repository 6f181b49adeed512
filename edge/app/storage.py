"""What the edge does when its record cannot be written, was damaged, or its disk fills: it says so, and watches on."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Mapping

from edge.app.space import Space
from edge.contract.events import Event, EventBody, RecordBegun, SpaceLow, StorageFailing, StorageHealed
from edge.contract.payloads import SpaceNow, StorageNow
from edge.journal.chain import Base
from edge.journal.journal import Journal
from edge.journal.outage import Outage
from edge.model import Input, RecordDamaged, StorageChanged, iso

log = logging.getLogger(__name__)
LOOK_EVERY_S = 60.0  # real seconds between two looks at the disk


class Storage:
    """Every bed has an alarm while the record cannot be written, and when it was damaged."""

    def __init__(
        self, journal: Journal, beds: Mapping[str, object], *, now: Callable[[], float], real_s: Callable[[], float],
        apply: Callable[[str, Input, float], object], note: Callable[[EventBody], None],
        keep_all: Callable[[float, bool], None], changed: Callable[[], None],
        placed: Callable[[list[Event], int], None],
    ) -> None:
        """`apply(bed, input, at_s)` gives a bed an input; `note` makes an event of the edge; `keep_all(at_s, lost)`
        keeps what every bed remembers, because (`lost`) inputs that led to it are not in the record; `changed` sends
        the status; `placed(events, more_n)`: the journal is there at last, and these are the numbers (Journal.watch).
        """
        self._journal, self._beds = journal, beds  # as they are at any time
        self._now, self._real_s, self._apply, self._note = now, real_s, apply, note
        self._keep_all, self._changed, self._placed = keep_all, changed, placed
        self._failing_s: float | None = None  # edge time since when it cannot be written
        self._damages: set[str] = set()
        self._space = Space()
        self._low_s = 0.0

    def watch(self, begun: Base | None, damage: str) -> None:
        """From now on. `begun`: the record was begun anew at this start; `damage`: what could not be taken up of it."""
        if begun is not None:
            self._record_begun(begun)
        self._journal.watch(self._outage_changed, self.damaged, self._placed)
        if damage:
            self.damaged(damage)

    def now(self) -> StorageNow | None:
        """As the status has it; None while it can be written."""
        outage = self._journal.outage
        if outage is None:
            return None
        return StorageNow(since=iso(self._failing_s or self._now()), reason=outage.reason, events=outage.events,
                          inputs=outage.inputs, lost_inputs=outage.lost_inputs)

    def space(self) -> SpaceNow | None:
        """As the status has it; None while there is room."""
        low = self._space.low
        return None if low is None else SpaceNow(since=iso(self._low_s), used_pct=low.used_pct, full_in_s=low.full_in_s)

    def opened(self, beds: Iterable[str]) -> None:
        """These are new: they are told what the others know."""
        if (outage := self._journal.outage) is not None:
            for bed in beds:
                self._apply(bed, StorageChanged(outage.reason), self._now())

    def damaged(self, damage: str) -> None:
        """Each damage is told once, at every bed."""
        if damage not in self._damages:
            self._damages.add(damage)
            log.error("the record is damaged: %s", damage)
            for bed in self._beds:
                self._apply(bed, RecordDamaged(damage), self._now())

    async def look_at_disk(self) -> None:
        """Now and then, for ever."""
        folder = self._journal.folder
        while folder is not None:
            try:
                disk = await asyncio.to_thread(os.statvfs, folder)
            except OSError as fault:
                log.warning("the disk of the journal does not say how full it is: %s", fault.strerror)
            else:
                self.looked(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)
            await asyncio.sleep(LOOK_EVERY_S)
        await asyncio.Event().wait()  # a database server's disk is its own affair

    def looked(self, free: int, total: int) -> None:
        """The disk has so many bytes, and so many free."""
        was, low = self._space.low, self._space.feed(self._real_s(), free, total)
        if (was is None) == (low is None):
            return
        if low is not None:
            self._low_s = self._now()
            log.warning("the disk is %g %% full; at this pace it is full in %s s", low.used_pct, low.full_in_s)
            self._note(SpaceLow(used_pct=low.used_pct, full_in_s=low.full_in_s))
        self._changed()

    def _outage_changed(self, outage: Outage) -> None:
        """The watch goes on; every bed has an alarm until all that was kept in memory is on the disk."""
        at_s = self._now()
        since_s = self._failing_s or at_s
        begun = self._journal.taken_begun()
        if outage.over:
            self._keep_all(at_s, begun is not None or outage.placed or outage.lost_inputs > 0)
        if begun is not None:
            self._record_begun(begun)
        if outage.over:
            log.warning("the record can be written again: %d events and %d inputs kept in memory are stored, %d inputs"
                        " were not kept", outage.events, outage.inputs, outage.lost_inputs)
            self._note(StorageHealed(
                since=iso(since_s), failed_s=round(at_s - since_s, 3),
                reason=outage.reason, events=outage.events, inputs=outage.inputs, lost_inputs=outage.lost_inputs))
            self._failing_s = None
        else:
            log.error("the record cannot be written: %s; the watch goes on", outage.reason)
            if self._failing_s is None:
                self._failing_s = at_s
            self._note(StorageFailing(reason=outage.reason))
        for bed in self._beds:
            self._apply(bed, StorageChanged("" if outage.over else outage.reason), at_s)
        self._changed()

    def _record_begun(self, base: Base) -> None:
        log.error("the record was damaged (%s) and is kept aside as %s; it goes on in a new file after event %d",
                  base.damage, base.damaged_file, base.checkpoint.event_seq)
        self._note(RecordBegun(damaged_file=base.damaged_file, damage=base.damage,
                               after_seq=base.checkpoint.event_seq))
        self.damaged(base.damage)
