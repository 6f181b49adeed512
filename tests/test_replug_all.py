"""Every driver's cable is pulled and put back on real ptys, all at once: in the same port, in another one, and in the
midst of the handshake. Each is known in 2 s and live again in 3 s, every time, and nothing is left over.

`VIGIL_REPLUGS=1000 pytest tests/test_replug_all.py -m ""` does it as often.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

import drivers
import simulators
from drivers.contract import Wave
from edge.field.device_url import parse_device_url
from edge.field.devices import Devices
from edge.field.dialogue import Dialogue
from edge.model import Input
from simulators.scenario import catalogue
from simulators.stage import Options, Stage
from tests.helpers.stage_run import staged
from tests.helpers.waiting import until

TURNS = int(os.environ.get("VIGIL_REPLUGS", "3"))
KNOWN_S, AGAIN_S, LOADED = 2.0, 3.0, 5.0  # so much slower may a loaded machine be at one time
BED = "chair-1"


def nowhere(inputs: Sequence[Input], at_s: float, more: bool) -> None:
    """The link alone counts."""


def no_wave(wave: Wave, at_s: float) -> None:
    """Likewise."""


class Ward:
    """A twin of every driver that has a serial line, and the edge's dialogue with each."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.loop = stage, asyncio.get_running_loop()
        self.devices = Devices(now=self.loop.time)
        self.links: dict[str, Dialogue] = {}
        for row in stage.rows:
            if row.port is not None:
                scheme, _, query = row.at.partition("?")
                at = parse_device_url(f"{scheme.split('://')[0]}://{row.port}?{query}&lateness_s=0.05")
                self.links[row.device] = self.devices.add(BED, row.device, drivers.find()[row.driver], at,
                                                          decoded=nowhere, wave=no_wave)

    def plug(self, what: str) -> None:
        for device in self.links:
            self.stage.do(BED, device, what)

    async def until(self, up: bool, within_s: float) -> dict[str, float]:
        """By driver and device, how long it took. Raises AssertionError that names those that did not."""
        began_s = self.loop.time()
        took: dict[str, float] = {}
        while len(took) < len(self.links):
            await asyncio.sleep(0.01)
            now_s = self.loop.time() - began_s
            took |= {device: now_s for device, link in self.links.items() if device not in took and link.link.up is up}
            assert now_s < within_s * LOADED, (up, sorted(self.links.keys() - took))
        return took


async def plainly(ward: Ward, rng: random.Random) -> None:
    """The same ports."""


async def elsewhere(ward: Ward, rng: random.Random) -> None:
    """Others: those that were there are taken meanwhile."""
    taken = [os.openpty() for _ in range(2 * len(ward.links))]
    ward.plug("replug")
    for pair in taken:
        for end in pair:
            os.close(end)


async def in_mid_handshake(ward: Ward, rng: random.Random) -> None:
    for _ in range(3):
        ward.plug("replug")
        await asyncio.sleep(rng.uniform(0.0, 0.3))
        ward.plug("unplug")


WAYS: Sequence[Callable[[Ward, random.Random], Awaitable[None]]] = (plainly, elsewhere, in_mid_handshake)


def left_over() -> tuple[int, int]:
    """Descriptors and tasks; while a request is on its way it has tasks of its own."""
    return len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())


@pytest.fixture
async def ward(tmp_path: Path) -> AsyncIterator[Ward]:
    twins = simulators.find()
    async with staged(catalogue(list(twins), twins), twins, Options(ports=tmp_path)) as stage:
        ward = Ward(stage)
        tasks = [asyncio.ensure_future(stage.run()), asyncio.ensure_future(ward.devices.run())]
        yield ward
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.mark.slow
@pytest.mark.timeout(180 if TURNS <= 9 else 36_000)
async def test_every_device_is_live_again_in_three_seconds_every_time(ward: Ward) -> None:
    rng = random.Random(1)
    await ward.until(True, 10)
    known: dict[str, list[float]] = {device: [] for device in ward.links}
    again: dict[str, list[float]] = {device: [] for device in ward.links}
    before = None
    for turn in range(TURNS):
        ward.plug("unplug")
        for device, took_s in (await ward.until(False, KNOWN_S)).items():
            known[device].append(took_s)
        await WAYS[turn % len(WAYS)](ward, rng)
        ward.plug("replug")
        for device, took_s in (await ward.until(True, AGAIN_S)).items():
            again[device].append(took_s)
        if turn == 0:
            before = left_over()
    assert before is not None
    most_files, most_tasks = before
    await until(lambda: left_over()[0] <= most_files and left_over()[1] <= most_tasks, 5, "nothing is left over")
    for device in ward.links:
        print(f"{device}: known after at most {max(known[device]):.2f} s, live again after {max(again[device]):.2f} s")
        assert sorted(known[device])[TURNS // 2] <= KNOWN_S, device
        assert sorted(again[device])[TURNS // 2] <= AGAIN_S, device
