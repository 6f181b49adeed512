"""`vigil edge` as a process whose PostgreSQL is down when it starts, dies while it runs, and is away while the edge is
ended and started again: it watches, says that nothing is stored, and writes all in order when the server comes."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from edge.contract.events import Booted, StorageHealed
from edge.journal.reader import Reader
from tests.helpers.edge_run import EdgeRun, edge_running
from tests.helpers.postgres import postgres
from tests.helpers.small_disk import standing, storage

WATCHES_WITHIN_S = 30.0
HEALS_WITHIN_S = 30.0


async def watches(run: EdgeRun, since_s: float) -> None:
    """A reading that was taken after `since_s` is published, and every screen says that nothing is stored."""
    await run.until(lambda: any(at_s > since_s + 1 and word["value"] for at_s, word in run.numerics("spo2_pct")),
                    WATCHES_WITHIN_S, "it watches")
    await run.until(lambda: storage(run) and standing(run), WATCHES_WITHIN_S, "the alarm")


async def heals(run: EdgeRun) -> None:
    await run.until(lambda: storage(run) is None and standing(run) is None, HEALS_WITHIN_S, "it heals")


@pytest.mark.slow
@pytest.mark.long
async def test_an_edge_without_its_server_watches_and_writes_all_of_it_when_it_comes(tmp_path: Path) -> None:
    with postgres() as server:
        url = server.database()
        server.stop()
        async with edge_running(tmp_path, "nonin", speed=1, store=url) as run:
            began_s = run.clock.now()
            await watches(run, began_s)  # it has never seen a journal
            assert run.events("boot") == [], "no event leaves under a number that nobody knows"
            await asyncio.to_thread(server.start)
            await heals(run)

            await asyncio.to_thread(server.stop)  # it dies in the middle
            await watches(run, run.clock.now())
            await run.kill_edge()  # and a restart meanwhile
            began_s = run.clock.now()
            await run.start_edge()
            await watches(run, began_s)
            await asyncio.to_thread(server.start)
            await heals(run)

            await asyncio.to_thread(server.stop)  # and once more, of an edge that goes on
            await watches(run, run.clock.now())
            await asyncio.to_thread(server.start)
            await heals(run)
        run.check_record()
        with Reader(url) as reader:
            events, inputs = list(reader.events()), list(reader.inputs())
        assert len({event.boot for event in events}) == 2
        for records in (events, inputs):
            boots = [record.boot for record in records]
            assert boots == sorted(boots, key=boots.index), "one boot behind the other"
        assert all(a.at_s <= b.at_s for a, b in pairwise(inputs) if a.boot == b.boot), "in the order in which they came"
        booted = [event.body for event in events if isinstance(event.body, Booted)]
        assert [body.gap_s > 0 for body in booted] == [False, True], "the gap is said"
        healed = [event.body for event in events if isinstance(event.body, StorageHealed)]
        assert len(healed) == 3
        assert all(body.events > 0 and body.inputs > 0 and body.lost_inputs == 0 for body in healed)
