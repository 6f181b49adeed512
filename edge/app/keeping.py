"""What of every bed goes into the record so that a restart takes it up, and a replay can begin there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from edge.app import beds
from edge.app.recovery import CONFIGURED
from edge.app.telemetry import Telemetry
from edge.core.bedside import Bedside
from edge.journal.journal import Journal
from edge.model import Configured, Restored, encode

KEEP_EVERY_S = 86_400.0  # edge seconds: of what retention leaves, a replay can begin within a day


@dataclass(slots=True)
class BedAtWork:
    """One bed of a running edge."""

    bedside: Bedside
    telemetry: Telemetry
    due_s: float = 0.0  # edge time of its next tick
    snapshot_s: float = 0.0
    last_n: int = 0
    unstored: int = 0  # appends on their way to the disk


class Keeper:
    """Of the beds in `works`, as they are at any time. `kept_s` is the edge time at which a replay can begin."""

    def __init__(self, journal: Journal, works: Mapping[str, BedAtWork], rules_text: str, protocols_text: str,
                 at_s: float) -> None:
        self._journal, self._works = journal, works
        self._rules_text, self._protocols_text = rules_text, protocols_text
        self._loop = asyncio.get_running_loop()
        self.kept_s = at_s

    def configured(self) -> Configured:
        """What the edge goes by now."""
        return Configured(self._rules_text, tuple(beds.recorded(work.bedside.state) for work in self._works.values()),
                          self._protocols_text)

    def snapshot(self, bed: str, work: BedAtWork, at_s: float) -> None:
        """What one bed remembers."""
        work.snapshot_s = self._loop.time()
        self._journal.snapshot(bed, work.last_n, at_s, work.bedside.snapshot())

    @contextmanager
    def another(self, at_s: float) -> Iterator[None]:
        """The edge goes by another configuration from `at_s` on; within, beds that are new are told that they begin."""
        configured = self.configured()
        n = self._journal.record(None, at_s, configured)
        for work in self._works.values():
            work.last_n = n
        yield
        for bed, work in self._works.items():
            self.snapshot(bed, work, at_s)
        # last: until every bed has its snapshot, a restart must read the beds' inputs as configured before
        self._journal.snapshot(CONFIGURED, n, at_s, encode(configured))

    @contextmanager
    def anew(self, at_s: float) -> Iterator[None]:
        """The same at the start of a record that has nothing of what the beds remember."""
        self.keep_all(at_s, True)
        yield
        for bed, work in self._works.items():
            self.snapshot(bed, work, at_s)

    def keep_all(self, at_s: float, lost: bool) -> None:
        """What the beds are, and what each remembers: a restart takes up from here, and a replay can begin here.
        `lost`: some of the inputs that led to it are not in the record."""
        self.kept_s = at_s
        configured = self.configured()
        n, after_seq = self._journal.record(None, at_s, configured), self._journal.head.seq
        for bed, work in self._works.items():
            restored = Restored(work.bedside.snapshot().decode(), after_seq, lost)
            work.last_n = self._journal.record(bed, at_s, restored)
            self.snapshot(bed, work, at_s)
        self._journal.snapshot(CONFIGURED, n, at_s, encode(configured))
