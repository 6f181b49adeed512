"""systemd's watchdog is fed by the loop that judges: an edge whose loop is stuck is ended, and its successor watches.
The test is systemd here: it hears what the real process tells it, and ends it when it hears nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from edge.app.systemd import Systemd
from edge.journal.verify import verify
from tests.helpers.killed_edge import World, live, world
from tests.helpers.killing import FORKED

pytestmark = pytest.mark.slow
WATCHDOG_S = 6.0  # the unit waits ten
READY_WITHIN_S = 60.0  # on a busy machine
FED_BEFORE_IT_STICKS = 3


def stuck(config: Path, address: str) -> None:
    """An edge whose loop is stuck, in a call that does not come back, after it has fed the watchdog some times."""
    fed, tell = 0, Systemd.alive

    def alive(self: Systemd) -> None:
        nonlocal fed
        fed += 1
        if fed > FED_BEFORE_IT_STICKS:
            time.sleep(3600)
        tell(self)

    Systemd.alive = alive  # type: ignore[method-assign]
    well(config, address)


def well(config: Path, address: str) -> None:
    os.environ["NOTIFY_SOCKET"] = address
    live(config, "before_store", 10**9, "")


async def heard(systemd: socket.socket, within_s: float) -> str:
    """What the service says next; "": nothing."""
    try:
        async with asyncio.timeout(within_s):
            return (await asyncio.get_running_loop().sock_recv(systemd, 100)).decode()
    except TimeoutError:
        return ""


async def test_a_loop_that_is_stuck_is_ended_and_its_successor_watches(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as systemd:
        systemd.bind(address)
        async with world(tmp_path) as here:
            process = FORKED.Process(target=stuck, args=(tmp_path / "edge.toml", address))
            await asyncio.to_thread(process.start)
            assert await heard(systemd, READY_WITHIN_S) == "READY=1"
            for _ in range(FED_BEFORE_IT_STICKS):
                assert await heard(systemd, READY_WITHIN_S) == "WATCHDOG=1"
            assert await heard(systemd, WATCHDOG_S) == "", "only the loop feeds it, no thread of its own"
            assert process.pid is not None
            os.kill(process.pid, signal.SIGABRT)  # as systemd does
            await asyncio.to_thread(process.join)
            assert process.exitcode == -signal.SIGABRT
            await watches_again(here, systemd, address)
        assert verify(here.journal).problem is None


async def watches_again(here: World, systemd: socket.socket, address: str) -> None:
    shown = len(here.heard)
    process = FORKED.Process(target=well, args=(here.folder / "edge.toml", address))
    await asyncio.to_thread(process.start)
    assert await heard(systemd, READY_WITHIN_S) == "READY=1"
    assert await heard(systemd, READY_WITHIN_S) == "WATCHDOG=1"
    async with asyncio.timeout(READY_WITHIN_S):
        while len(here.heard) <= shown:
            await asyncio.sleep(0.05)
    process.terminate()
    await asyncio.to_thread(process.join)
    assert process.exitcode == 0
