"""Lives that end by SIGKILL at a named point (edge/points.py), each in a process of its own, and what each said before.

A life is forked from a server that has imported everything already, so that it costs some 50 ms.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from edge import points
from edge.contract.events import PendingEvent
from edge.journal import Journal, journal, segments
from edge.journal.jobs import Batch
from edge.journal.segments import Retention
from edge.journal.writer import Writer
from edge.model import Tick
from tests.helpers.bodies import body
from tests.helpers.faulty_store import faulty

LINGERS_S = 0.02  # as on a busy machine: whoever may speak at this point, does
EVENTS = 60  # of a life that is not ended before
KEPT_MS = 4_000
FAULT_EVERY = 12  # events between two faults of a life with faults


def end_at(point: points.Point, count: int) -> None:
    """This process ends when it has come to `point` so many times."""
    left = count

    def reached(here: points.Point) -> None:
        nonlocal left
        if here == point:
            left -= 1
            if left <= 0:
                time.sleep(LINGERS_S)
                os.kill(os.getpid(), signal.SIGKILL)

    points.reached = reached


@dataclass(frozen=True)
class Life:
    """One life of a journal at `path`: where it ends, and what is wrong with it."""

    path: Path
    edge: str
    boot: str
    point: points.Point
    count: int
    faults: bool = False  # its disk fails now and then
    sabotage: str = ""  # a name in SABOTAGES


def acknowledges_before_it_stores() -> None:
    """Every caller is told that all is on the disk, and then it is written."""
    real = Writer._write_or_hold

    def write(self: Writer, batches: list[Batch]) -> bool:
        for batch in batches:
            batch.settle(True)
        return real(self, batches)

    Writer._write_or_hold = write  # type: ignore[method-assign]


SABOTAGES: dict[str, Callable[[], None]] = {"acknowledges before it stores": acknowledges_before_it_stores}


async def _live(life: Life, said: Connection) -> None:
    segments.ROWS, journal.RETRY_S = 20, 0.01
    with pytest.MonkeyPatch.context() as patch, faulty(patch) as disk:
        kept = Journal.open(str(life.path), edge=life.edge, boot=life.boot, wall=lambda: "now", holds=True,
                            keep_inputs=Retention(ms=KEPT_MS))
        kept.watch(lambda outage: None)
        at_s = kept.head.at_s or 1_700_000_000.0
        for k in range(EVENTS):
            at_s += 1
            n = [kept.record("chair-1", at_s, Tick()) for _ in range(10)][-1]
            kept.snapshot("chair-1", n, at_s, b"%d" % n)
            appended = kept.append([PendingEvent("chair-1", None, at_s, body("alarm", text=str(k)))] * 2)
            if await appended.stored:
                said.send((appended.events[-1].seq, appended.events[-1].hash, n))
            if life.faults and k % FAULT_EVERY == FAULT_EVERY // 3:
                disk.break_("before" if k % 2 else "after")
            if life.faults and k % FAULT_EVERY == FAULT_EVERY * 2 // 3:
                disk.mend()
                await asyncio.sleep(0.03)
        await kept.close()


def live(life: Life, said: Connection) -> None:
    """The process."""
    end_at(life.point, life.count)
    if life.sabotage:
        SABOTAGES[life.sabotage]()
    asyncio.run(_live(life, said))


FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload([
    "tests.helpers.killing", "edge.app.run", "edge.app.service", "edge.cli.copying", "edge.console.service"])


@dataclass(frozen=True)
class Ended:
    """What came of a life: whether it was killed, and the last event and input it was told are on the disk."""

    killed: bool
    seq: int
    hash: str
    n: int


def lived(life: Life) -> Ended:
    """To its end."""
    mine, its = FORKED.Pipe(duplex=False)
    process = FORKED.Process(target=live, args=(life, its))
    process.start()
    its.close()
    last = 0, "", 0
    try:
        while True:
            last = mine.recv()
    except EOFError:
        pass
    process.join(30)
    assert process.exitcode in (0, -signal.SIGKILL), (life, process.exitcode)
    return Ended(process.exitcode != 0, *last)
