"""Two faults and three at once: the disk is full while the broker is away and the clock is set; a kill during a
recovery, again and again; a restart in the middle of an outage. It watches within ten seconds, and the record is
whole."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from edge.app.recovery import EMPTY
from edge.contract.events import BrokerMoved, ClockStepped, StorageFailing, StorageHealed
from tests.helpers.edge_run import EdgeRun, edge_running
from tests.helpers.small_disk import fill, standing, storage
from tests.helpers.small_disk import small_disk as small_disk

WATCHES_WITHIN_S = 10.0
STEP_S = -3600.0
# `vigil edge` on a machine whose wall clock somebody sets: by the seconds in the file named first.
ON_A_SET_CLOCK = """
import sys, time
from pathlib import Path
real, file = time.time, Path(sys.argv.pop(1))
def wall():
    try:
        return real() + float(file.read_text() or 0)
    except OSError:
        return real()
time.time = wall
from edge.cli import main
main()
"""


async def watches(run: EdgeRun, since_s: float) -> None:
    """A reading that was taken after `since_s` is published."""
    await run.until(lambda: any(at_s > since_s + 1 and word["value"] for at_s, word in run.numerics("spo2_pct")),
                    WATCHES_WITHIN_S, "it watches")


def remove(folder: Path) -> None:
    """The journal, as a person would."""
    for file in folder.glob("journal.db*"):
        file.unlink()


async def broker(run: EdgeRun, runs: bool) -> None:
    assert run.services is not None
    service = run.services.all["broker"]
    assert service.process is not None
    if runs:
        await run.services.start(service)
    else:
        service.process.kill()
        await service.process.wait()


@pytest.mark.slow
@pytest.mark.long
async def test_full_disk_without_a_broker_while_the_clock_is_set_and_kills_in_the_middle(
    tmp_path: Path, small_disk: Path,
) -> None:
    async with edge_running(tmp_path, "nonin", speed=1, store=small_disk) as run:
        assert run.services is not None
        await run.until(lambda: run.events("boot"), WATCHES_WITHIN_S, "it has started")
        await run.end_edge()
        run.services.all["edge"].program = (sys.executable, "-c", ON_A_SET_CLOCK, str(tmp_path / "clock"))
        began_s = run.clock.now()
        await run.start_edge()
        await watches(run, began_s)

        await broker(run, False)  # three faults at once
        filler = fill(small_disk)
        (tmp_path / "clock").write_text(str(STEP_S))
        await asyncio.sleep(1.5)
        await run.kill_edge()  # and a restart in the middle of them, ended again while it recovers
        for life_s in (0.4, 1.0):
            await run.start_edge()
            await asyncio.sleep(life_s)
            await run.kill_edge()
        began_s = run.clock.now()
        await run.start_edge()
        await broker(run, True)
        await run.until(lambda: storage(run) and standing(run), WATCHES_WITHIN_S, "the alarm")
        await watches(run, began_s)
        filler.unlink()
        (tmp_path / "clock").write_text("0")
        await run.until(lambda: storage(run) is None and standing(run) is None, 5, "it heals")

        await broker(run, False)  # the same, and all of it ends without a restart
        filler = fill(small_disk)
        (tmp_path / "clock").write_text(str(STEP_S))
        await asyncio.sleep(2)
        began_s = run.clock.now()
        await broker(run, True)
        await run.until(lambda: storage(run) and standing(run), WATCHES_WITHIN_S, "the alarm")
        await watches(run, began_s)
        filler.unlink()
        await run.until(lambda: storage(run) is None and standing(run) is None, 5, "it heals")
    run.check_record()
    journal = [event.body for event in run.events_recorded("journal")]
    healed = [body for body in journal if isinstance(body, StorageHealed)]
    assert len(healed) == 2
    assert all(body.lost_inputs == 0 for body in healed)
    assert sum(isinstance(body, StorageFailing) for body in journal) >= 2
    steps = [event.body.step_s for event in run.events_recorded("boot") if isinstance(event.body, ClockStepped)]
    assert any(abs(step_s - STEP_S) < 2 for step_s in steps)
    brokers = [event.body.broker for event in run.events_recorded("stream") if isinstance(event.body, BrokerMoved)]
    assert "lost" in brokers


@pytest.mark.slow
async def test_a_record_that_was_removed_while_its_edge_was_down_is_missed_at_every_bed(tmp_path: Path) -> None:
    """The open session is gone with it: a bed without one, and nothing said, would look as if all were well."""
    async with edge_running(tmp_path, "nonin", speed=1) as run:
        await run.until(run.states, WATCHES_WITHIN_S, "it has started")
        assert run.states()[-1]["alarms"] == [], "a first start misses nothing"
        await run.kill_edge()
        remove(tmp_path)
        await run.start_edge()
        await run.until(lambda: [alarm for alarm in run.states()[-1]["alarms"] if alarm["rule"] == "TEC-12"],
                        WATCHES_WITHIN_S, "the alarm")
        (alarm,) = [alarm for alarm in run.states()[-1]["alarms"] if alarm["rule"] == "TEC-12"]
        assert EMPTY in alarm["text"]
