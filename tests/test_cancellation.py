"""A stop is never swallowed by what a library waits with."""

from __future__ import annotations

import asyncio

import pytest

from edge.field.cancellation import outcome


async def give(value: int, after_s: float = 0.0) -> int:
    await asyncio.sleep(after_s)
    return value


async def fail() -> None:
    raise OSError("broken")


async def test_it_gives_what_the_work_gives_or_raises() -> None:
    assert await outcome(give(7)) == 7
    with pytest.raises(OSError, match="broken"):
        await outcome(fail())


async def test_work_that_takes_too_long_is_ended() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        await outcome(work(), timeout_s=0.01)
    await asyncio.wait_for(ended.wait(), 1)


async def test_a_stop_in_the_moment_the_work_is_done_is_still_a_stop() -> None:
    """What asyncio.wait_for gets wrong before Python 3.12: both in the same turn of the loop."""
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def library() -> int:
        return await asyncio.wait_for(done, 10)

    waiting = asyncio.ensure_future(outcome(library()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    done.set_result(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_stop_reaches_the_work() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    waiting = asyncio.ensure_future(outcome(work()))
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.wait_for(ended.wait(), 1)
