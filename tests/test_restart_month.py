"""A restart on a month of 30 beds: the first judged reading comes within five seconds. `VIGIL_MONTH=30` runs it, on so
many days; it writes 0.23 GB a day. The records of the past are of the true size and number, not of true content: a
start reads the ends of a journal, and what follows the newest snapshots."""

from __future__ import annotations

import asyncio
import os
import random
import time
from dataclasses import astuple, replace
from pathlib import Path

import pytest
from sqlalchemy import insert

from edge.contract.events import GENESIS, PendingEvent, numbered
from edge.journal import chain, schema
from edge.journal.chain import START, Checkpoint
from edge.journal.database import DatabaseUrl, writing
from edge.journal.schema import CHECKPOINT, EVENT, INPUT, SEGMENT
from edge.model import encode
from tests.helpers.bodies import body
from tests.helpers.edge_run import EDGE, edge_running

DAYS = int(os.environ.get("VIGIL_MONTH", "0"))
BEDS = 30
SEGMENT_BYTES, SEGMENT_ROWS = 44_000, 2000
SEGMENTS_A_DAY = round(0.32e6 * 24 * BEDS / SEGMENT_BYTES)
EVENTS_A_DAY = 200 * BEDS
AT_MS = round(time.time() * 1000) - 86_400_000  # young enough to be kept
WITHIN_S = 5.0


def write_month(path: Path) -> None:
    """The past, and one true checkpoint at its end."""
    connection, chance = writing(DatabaseUrl(str(path))), random.Random(1)
    with connection.begin():
        schema.migrate(connection, 0, EDGE)
    before, prev, seq = START, GENESIS, 0
    for _ in range(DAYS):
        with connection.begin():
            events = []
            for _ in range(EVENTS_A_DAY):
                seq += 1
                event = numbered(PendingEvent("chair-1", None, AT_MS / 1000, body("alarm", text=str(seq))), seq=seq,
                                 boot="b1", edge=EDGE, wall="", prev=prev)
                prev = event.hash
                events.append((event.seq, event.boot, event.edge, event.bed, event.session, AT_MS, event.wall,
                               event.kind, event.body_json, event.prev, event.hash, None))
            connection.execute(insert(EVENT), [dict(zip(EVENT.columns.keys(), row, strict=True)) for row in events])
            for _ in range(SEGMENTS_A_DAY):
                first = before
                before = Checkpoint(first.id + 500, first.last_n + SEGMENT_ROWS - 3, first.last_n + SEGMENT_ROWS, seq,
                                    prev, "f" * 64, chance.randbytes(32).hex())
                connection.execute(insert(SEGMENT).values(
                    first_n=first.last_n + 1, last_n=before.last_n, first_id=first.id + 1, last_id=before.id,
                    at_ms=AT_MS, body=chance.randbytes(SEGMENT_BYTES)))
                connection.execute(insert(CHECKPOINT).values(astuple(before)))
    row = before.last_n + 1, "b1", None, AT_MS, "tick", encode({"type": "tick"}).decode()
    with connection.begin():
        connection.execute(insert(INPUT).values(row))
        connection.execute(insert(CHECKPOINT).values(astuple(replace(
            chain.next_checkpoint(before, [row], seq, prev)))))
    connection.close()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.skipif(not DAYS, reason="VIGIL_MONTH=30 writes 7 GB")
async def test_the_first_judged_reading_comes_within_five_seconds(tmp_path: Path) -> None:
    store = tmp_path / "store"
    await asyncio.to_thread(store.mkdir)
    await asyncio.to_thread(write_month, store / "journal.db")
    async with edge_running(tmp_path, "--scenario", "calm", "--beds", str(BEDS), speed=1, store=store) as run:
        await run.until(lambda: len({heard.topic for heard in run.vitals()}) == BEDS, 60, "all beds are read")
        await asyncio.sleep(35)  # each bed has a snapshot, and inputs after it
        await run.kill_edge()
        began_s = run.clock.now()
        await run.start_edge()

        def read() -> list[float]:
            return [heard.at_s for heard in run.vitals() for word in heard.said["numerics"].values()
                    if heard.at_s > began_s and word["value"] is not None and word["age_s"] < 1]

        await run.until(read, 60, "a reading")
        took_s = min(read()) - began_s
        print(f"{DAYS} days of {BEDS} beds, {(store / 'journal.db').stat().st_size / 1e9:.1f} GB: first judged reading"
              f" after {took_s:.2f} s")
        assert took_s < WITHIN_S
