"""The life of one device on a byte stream: open, talk, lose, open again, for ever.

A broken world is retried without end and logged when it breaks and when it heals; a fault of our own goes up to the
supervisor and ends the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from drivers.contract import Spec
from edge.field.device_url import DeviceUrl
from edge.field.exchange import Exchange
from edge.field.intake import Counters, DecodedBy, Intake, WaveBy
from edge.field.ports import ByteLink, PortLost
from edge.model import LinkState

FIRST_RETRY_S = 0.2
LAST_RETRY_S = 1.0
REOPEN_AFTER_S = 5.0  # of silence beyond the first: a half-open connection never says that it is dead


class Link:
    """One device at one bed. `heard` and `wave` are called on the stack that read the bytes."""

    def __init__(self, bed: str, device: str, spec: Spec, at: DeviceUrl, *, now: Callable[[], float], heard: DecodedBy,
                 wave: WaveBy, identity: str | None = None, settings: Mapping[str, object] | None = None) -> None:
        self._line = at.line(spec.line)
        self._intake = Intake(bed, device, self._line, now=now, heard=heard, wave=wave, identity=identity)
        self._exchange = Exchange(spec.driver(settings), self._line, self._intake)
        self._port = ByteLink(at, self._line)

    @property
    def counters(self) -> Counters:
        """What this link has seen so far."""
        return self._intake.counters

    @property
    def state(self) -> LinkState:
        """Where this link stands."""
        return self._intake.state

    async def run(self) -> None:
        """Live until cancelled."""
        self._intake.begin()
        wait_s = FIRST_RETRY_S
        while True:
            try:
                await self._port.open()
                wait_s = FIRST_RETRY_S
                await self._talk()
            except PortLost as gone:
                self._intake.lost(str(gone))
            finally:
                await self._port.close()
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, LAST_RETRY_S)

    async def _talk(self) -> None:
        """Until the port is lost, or has been silent for so long that opening it again is worth a try."""
        loop = asyncio.get_running_loop()
        exchange, intake, port = self._exchange, self._intake, self._port
        exchange.opened(loop.time())
        while exchange.waiting or loop.time() < intake.silent_at + REOPEN_AFTER_S:
            frame = exchange.say(loop.time())
            if frame is not None:
                port.write(frame)
            data = await port.read(exchange.wake(loop.time()))
            if data:
                exchange.received(data, loop.time())
