"""The connection to one device on a byte stream: open, carry its dialogue's bytes, lose, open again, for ever.

A broken world is retried without end and logged when it breaks and when it heals; a fault of our own goes up to the
supervisor and ends the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from drivers.contract import FrameRequest
from edge.field.device_url import DeviceUrl
from edge.field.dialogue import Dialogue
from edge.field.ports import CHUNK, BytePort, PortLost

FIRST_RETRY_S = 0.2
LAST_RETRY_S = 1.0
Tap = Callable[[bool, bytes], None]  # (whether we sent it, the bytes): all that goes over the wire, as it goes
STALLED_S = 0.5  # so much later than it should, and this process (or the machine) has stood still
REOPEN_AFTER_S = 5.0  # of silence beyond the first: a half-open connection never says that it is dead


class Connection:
    """One device's stream. It carries; what is sent and what it means is the dialogue's."""

    def __init__(self, dialogue: Dialogue, at: DeviceUrl, *, now: Callable[[], float], tap: Tap | None = None,
                 quiet: bool = True) -> None:
        self._dialogue, self._now, self._tap, self._quiet = dialogue, now, tap, quiet
        self._port = BytePort(at, dialogue.line)

    async def run(self) -> None:
        """Live until cancelled."""
        loop = asyncio.get_running_loop()
        self._dialogue.begin(self._now())
        wait_s = FIRST_RETRY_S
        while True:
            try:
                await self._port.open()
                wait_s = FIRST_RETRY_S
                await self._carry()
            except PortLost as gone:
                self._dialogue.lost(str(gone), self._now(), loop.time())
            finally:
                await self._port.close()
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, LAST_RETRY_S)

    async def _carry(self) -> None:
        """Until the port is lost, or has been silent for so long that opening it again is worth a try."""
        loop, dialogue, port = asyncio.get_running_loop(), self._dialogue, self._port
        dialogue.opened(self._now(), loop.time(), quiet=self._quiet)
        self._quiet = True  # only at the first opening can somebody have listened before
        while dialogue.waiting or loop.time() < dialogue.link.silent_at + REOPEN_AFTER_S:
            request = dialogue.next_request(self._now(), loop.time())
            if request is not None:
                assert isinstance(request, FrameRequest), f"a driver on a byte stream sends {request!r}"
                port.write(request.frame)
                if self._tap is not None:
                    self._tap(True, request.frame)
            until_s = dialogue.wake(loop.time())
            data = await port.read(until_s)
            if (late_s := loop.time() - until_s) > STALLED_S:
                dialogue.link.overslept(late_s, loop.time())
            if data:
                if self._tap is not None:
                    self._tap(False, data)
                dialogue.received(data, self._now(), loop.time())
                if len(data) == CHUNK:  # more waits: the other beds first
                    await asyncio.sleep(0)
