"""One model drives a journal in SQLite and one in PostgreSQL side by side: whatever is done, and whenever the server is
killed in between, both hold the same record, and nothing that was confirmed is lost.

VIGIL_MODEL=100 runs so many stories instead of a few; each kills the server some times.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from edge.contract.events import Event, PendingEvent
from edge.journal import Journal, Reader, journal, segments
from edge.journal.verify import verify
from edge.model import Sample, Samples, Tick
from tests.helpers.bodies import body
from tests.helpers.postgres import Server
from tests.helpers.postgres import server as server

AT_S = 1_700_000_000.0
STORIES = int(os.environ.get("VIGIL_MODEL", "4"))
BEDS = st.sampled_from(["chair-1", "chair-2", None])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)  # the character 0 is among them


@dataclass
class Side:
    """One of the two journals, and how far it was confirmed."""

    url: str
    journal: Journal = field(init=False)
    confirmed: int = 0  # the last event of which it was said that it is stored
    waiting: list[tuple[int, asyncio.Future[bool]]] = field(default_factory=list)

    def note(self) -> None:
        for seq, stored in self.waiting:
            if stored.done() and stored.result():
                self.confirmed = max(self.confirmed, seq)
        self.waiting = [each for each in self.waiting if not each[1].done()]


class Both(RuleBasedStateMachine):
    """What an edge does with its journal, done to both."""

    server: Server

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.sides = [Side(str(Path(self.folder.name) / "journal.db")), Side(self.server.database())]
        self.up = True
        self.boot = 0
        self.at_s = AT_S
        self.told: list[Event] = []
        self.inputs = 0

    def run(self, doing: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(doing, 30))

    @initialize()
    def start(self) -> None:
        self.run(self._open())

    async def _open(self) -> None:
        self.boot += 1
        for side in self.sides:
            side.journal = Journal.open(side.url, edge="clinic-1", boot=f"b{self.boot}", wall=lambda: "now", holds=True)
            side.journal.watch(lambda _: None)

    # --- moves --------------------------------------------------------------------------------------------------------

    @rule(bed=BEDS, count=st.integers(1, 30), value=st.floats(allow_nan=False, allow_infinity=False))
    def record(self, bed: str | None, count: int, value: float) -> None:
        self.at_s += 1
        frame = Samples("oximeter", (Sample(bed or "chair-1", "oximeter", "spo2_pct", value, "valid", self.at_s),))
        for k in range(count):
            numbers = {side.journal.record(bed, self.at_s, frame if k % 2 else Tick()) for side in self.sides}
            assert len(numbers) == 1
        self.inputs += count

    @rule(bed=BEDS, texts=st.lists(TEXTS, min_size=1, max_size=4), waits=st.booleans())
    def append(self, bed: str | None, texts: list[str], waits: bool) -> None:
        self.run(self._append(bed, texts, waits))

    @rule(texts=st.lists(TEXTS, min_size=1, max_size=4))
    @precondition(lambda self: not self.up)
    def append_without_server(self, texts: list[str]) -> None:
        self.run(self._append("chair-1", texts, True))

    async def _append(self, bed: str | None, texts: list[str], waits: bool) -> None:
        pending = [PendingEvent(bed, "s1", self.at_s, body("alarm", text=text)) for text in texts]
        done = [side.journal.append(pending) for side in self.sides]
        assert done[0].events == done[1].events
        self.told += done[0].events
        for side, appended in zip(self.sides, done, strict=True):
            side.waiting.append((appended.events[-1].seq, appended.stored))
            if waits:
                stored = await appended.stored
                assert self.up or side is self.sides[0] or not stored, "there is no server, and it was called stored"

    @rule()
    def flush(self) -> None:
        async def both() -> None:
            await asyncio.gather(*(side.journal.flush() for side in self.sides))

        self.run(both())

    @rule(body_=st.binary(max_size=50))
    def snapshot(self, body_: bytes) -> None:
        for side in self.sides:
            side.journal.snapshot("chair-1", self.inputs, self.at_s, body_)

    @rule(part=st.floats(0, 1))
    @precondition(lambda self: self.up and self.told)
    def move_cursor(self, part: float) -> None:
        seq = max(1, round(part * len(self.told)))
        self.run(self._settled())
        for side in self.sides:
            self.run(side.journal.move_cursor("main", seq))
        cursors = {self.run(side.journal.cursor("main")) for side in self.sides}
        assert len(cursors) == 1
        assert cursors.pop() >= seq

    @rule()
    @precondition(lambda self: self.up)
    def kill_server(self) -> None:
        self.server.stop("immediate")
        self.up = False

    @rule()
    @precondition(lambda self: not self.up)
    def start_server(self) -> None:
        self.server.start()
        self.up = True

    @rule()
    @precondition(lambda self: self.up)
    def kill_and_start_server(self) -> None:
        self.server.stop("immediate")
        self.server.start()

    @rule()
    @precondition(lambda self: self.up)
    def restart_edge(self) -> None:
        self.run(self._settled())
        for side in self.sides:
            self.run(side.journal.close())
        self.run(self._open())
        assert [side.journal.head for side in self.sides] == [self.sides[0].journal.head] * 2
        assert self.sides[1].journal.snapshots() == self.sides[0].journal.snapshots()

    @rule(after=st.integers(0, 60), limit=st.integers(1, 30))
    def read(self, after: int, limit: int) -> None:
        expected = self.told[after:after + limit]
        for side in self.sides if self.up else self.sides[:1]:
            self.run(self._settled())
            assert self.run(side.journal.events_after(after, limit)) == expected

    async def _settled(self) -> None:
        """All that was handed over is stored, where it can be, and the outage is said to be over."""
        while True:
            done = await asyncio.gather(*(side.journal.flush() for side in self.sides))
            if not self.up or (all(done) and all(side.journal.outage is None for side in self.sides)):
                return
            await asyncio.sleep(0.01)

    # --- what always holds --------------------------------------------------------------------------------------------

    @invariant()
    def the_heads_are_one(self) -> None:
        heads = [side.journal.head for side in self.sides if hasattr(side, "journal")]
        assert heads == heads[:1] * len(heads)

    @invariant()
    def nothing_confirmed_is_lost(self) -> None:
        for side in self.sides:
            side.note()
            if side.confirmed and (self.up or side is self.sides[0]):
                confirmed = self.told[side.confirmed - 1]
                with Reader(side.url) as reader:
                    assert next(reader.events(side.confirmed - 1)) == confirmed

    def teardown(self) -> None:
        if not self.up:
            self.server.start()
            self.up = True
        try:
            if hasattr(self.sides[0], "journal"):
                self.run(self._settled())
                for side in self.sides:
                    self.run(side.journal.close())
                self._compare()
        finally:
            self.loop.close()
            self.folder.cleanup()

    def _compare(self) -> None:
        for side in self.sides:
            verdict = verify(side.url)
            assert (verdict.problem, verdict.events, verdict.inputs) == (None, len(self.told), self.inputs)
        with Reader(self.sides[0].url) as here, Reader(self.sides[1].url) as there:
            assert list(there.events()) == list(here.events()) == self.told
            assert list(there.inputs()) == list(here.inputs())


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(0 if STORIES > 20 else 300)
def test_both_databases_hold_the_same_record_whatever_is_done(
        server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "RETRY_S", 0.02)
    monkeypatch.setattr(segments, "ROWS", 20)
    monkeypatch.setattr(Both, "server", server, raising=False)
    run_state_machine_as_test(Both, settings=settings(
        max_examples=STORIES, stateful_step_count=25, deadline=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck)))
