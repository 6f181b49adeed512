"""A Modbus bus: one connection to a host and port or a serial line, and all units on it, whichever bed they serve.

Units take turns, one request in flight. A unit that does not respond, or of which a gateway says so (exceptions 10 and
11), is absent: it is tried again now and then, and all absent units of a bus together get at most a sixteenth of
its time, however long each try takes. So the others keep their rate. A unit alone on its bus is tried again sooner.

A gateway may close its TCP connection after each answer, when nobody asks for a while, or when a unit does not respond.
So a connection that had served is opened again at once, and one that closes at a request is that unit's absence; the
endpoint is lost where it does not open, or nothing was responded to for `CLOSED_S` meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from drivers.contract import Line, ModbusRequest
from edge.field.connection import FIRST_RETRY_S, LAST_RETRY_S
from edge.field.device_url import DeviceUrl
from edge.field.dialogue import Dialogue
from edge.field.modbus import UNIT_ABSENT, BadResponse, HungUp, ModbusPort, NoResponse
from edge.field.ports import PortLost

log = logging.getLogger(__name__)

SPREAD_S = 1.0  # edge seconds over which the buses of an edge begin, so that their rounds do not fall together
LONGEST_TICK_S = 0.1  # where a unit's driver does not say when it is due: fine enough for polls of 1 Hz
SHORTEST_TICK_S = 0.02
LONGEST_BACKOFF_S = 3.0  # between requests to a unit that does not respond and keeps nobody else waiting
ABSENT_AFTER_MISSED = 2
CLOSED_S = 1.5  # real seconds without a response, while connections are opened and closed: the endpoint is lost
ABSENT_SHARE = 16  # of the bus' time: one part for the absent, the rest for those who respond


@dataclass(slots=True)
class Unit:
    """One device on the bus."""

    number: int
    dialogue: Dialogue
    missed: int = 0
    absent: bool = True  # until it responds
    rest_until: float = 0.0


class Bus:
    """One endpoint. `add` the units, then `run`."""

    def __init__(self, at: DeviceUrl, *, now: Callable[[], float], speed: float = 1.0) -> None:
        self._at, self._now = at, now
        self._units: deque[Unit] = deque()
        self._port: ModbusPort | None = None
        self._asked: Dialogue | None = None  # last
        self._running = self._serving = False  # whether the task is, and whether the endpoint is open
        self._good_s = 0.0  # when a unit last responded
        self._absent_from = 0.0  # from when on an absent unit may be tried
        self._tick_s = min(LONGEST_TICK_S, max(SHORTEST_TICK_S, LONGEST_TICK_S / speed))
        self._phase_s = zlib.crc32(str(at).encode()) % 1000 / 1000 * SPREAD_S / speed  # not all at once

    def add(self, number: int, dialogue: Dialogue) -> None:
        """One more unit. The slowest unit's late response must not meet another's request. """
        line = dialogue.line
        if self._port is None:
            self._port = ModbusPort(self._at, line, self._came_late)
        elif self._at.path and _settings(line) != (first := _settings(self._units[0].dialogue.line)):
            log.warning("%s: %s/%s wants %s; the line is %s, as its first device wants it", self._at.path,
                        dialogue.bed, dialogue.device, _settings(line), first)
        self._port.lateness_s = max(self._port.lateness_s, line.lateness_s)
        self._units.append(Unit(number, dialogue))
        if self._running:
            dialogue.begin(self._now())
        if self._serving:
            dialogue.opened(self._now(), asyncio.get_running_loop().time())
            self._port.wake()

    @property
    def running(self) -> bool:
        """Whether its task runs."""
        return self._running

    def carries(self, dialogue: Dialogue) -> bool:
        """Whether it is one of this bus' units."""
        return any(unit.dialogue is dialogue for unit in self._units)

    def remove(self, dialogue: Dialogue) -> bool:
        """One unit less; whether it was the last. A request of it that is in flight ends by itself."""
        for unit in [one for one in self._units if one.dialogue is dialogue]:
            self._units.remove(unit)
        return not self._units

    @property
    def lateness_s(self) -> float:
        """The longest a late response of any of its units may take."""
        return self._port.lateness_s if self._port is not None else 0.0

    async def run(self) -> None:
        """Live until cancelled."""
        loop, port = asyncio.get_running_loop(), self._port
        assert port is not None, "a bus without units"
        self._running = True
        for unit in self._units:
            unit.dialogue.begin(self._now())
        await asyncio.sleep(self._phase_s)
        wait_s = FIRST_RETRY_S
        try:
            while True:
                try:
                    await port.open()
                    wait_s = FIRST_RETRY_S
                    self._serving = True
                    await self._serve(port)
                except PortLost as gone:
                    for unit in self._units:
                        unit.dialogue.lost(str(gone), self._now(), loop.time())
                except BadResponse:  # never quiet: somebody babbles on the line
                    for unit in self._units:
                        unit.dialogue.lost(f"{port.endpoint} is never quiet", self._now(), loop.time())
                self._serving = False
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, LAST_RETRY_S)
        finally:
            self._running = self._serving = False
            port.close()

    async def _serve(self, port: ModbusPort) -> None:
        """Until the endpoint is lost."""
        loop = asyncio.get_running_loop()
        for unit in self._units:
            unit.dialogue.opened(self._now(), loop.time())
            unit.missed, unit.rest_until = 0, 0.0
        self._absent_from = 0.0
        while True:
            if port.hung_up:
                await self._closed(port)
            turn = self._next(loop.time())
            if turn is not None:
                await self._exchange(port, *turn)
            else:
                await port.rest(self._rest_s(loop.time()))

    def _rest_s(self, real_s: float) -> float:
        """Until a unit may be due. One that does not respond is tried by the tick."""
        if any(unit.absent or unit.rest_until > real_s for unit in self._units):
            return self._tick_s
        return max(min((unit.dialogue.wake(real_s) - real_s for unit in self._units), default=0.0), self._tick_s)

    def _next(self, real_s: float) -> tuple[Unit, ModbusRequest] | None:
        """The unit whose turn it is, with its request. Whoever is served goes to the end of the row."""
        at_s, found = self._now(), None
        for unit in self._units:
            rests = real_s < unit.rest_until or (unit.absent and real_s < self._absent_from)
            if found is not None or rests:
                unit.dialogue.passed(at_s, real_s)
                continue
            request = unit.dialogue.next_request(at_s, real_s)
            if request is not None:
                assert isinstance(request, ModbusRequest), f"a driver behind Modbus sends {request!r}"
                found = unit, request
        if found is not None:
            self._units.remove(found[0])
            self._units.append(found[0])
        return found

    async def _closed(self, port: ModbusPort) -> None:
        """The connection was closed while nobody waited for a response."""
        try:
            await port.open()
        except HungUp as gone:
            self._bear(gone)
            if gone.spent:
                await port.open()

    def _bear(self, gone: HungUp) -> None:
        """Raises it again where the endpoint is lost by it."""
        if self._at.path or (not gone.spent and asyncio.get_running_loop().time() - self._good_s >= CLOSED_S):
            raise gone

    async def _read(self, port: ModbusPort, unit: int, request: ModbusRequest) -> bytes:
        """Once more where the connection had been closed after the last response."""
        try:
            return await port.read(unit, request)
        except HungUp as gone:
            if not gone.spent:
                raise
            return await port.read(unit, request)

    async def _exchange(self, port: ModbusPort, unit: Unit, request: ModbusRequest) -> None:
        """Send the request, and give the unit's dialogue what comes of it."""
        loop, began_s = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        dialogue = self._asked = unit.dialogue
        try:
            data = await self._read(port, unit.number, request)
        except HungUp as gone:
            self._bear(gone)
            dialogue.no_response(self._now(), loop.time())
            self._missed(unit, loop.time() - began_s + port.quiet_s, absent=True)
        except NoResponse:
            dialogue.no_response(self._now(), loop.time())
            self._missed(unit, loop.time() - began_s + port.quiet_s, absent=unit.missed + 1 >= ABSENT_AFTER_MISSED)
        except BadResponse as bad:
            self._good_s = loop.time()
            dialogue.refused(str(bad), self._now(), loop.time())
            if bad.code in UNIT_ABSENT:
                self._missed(unit, loop.time() - began_s, absent=True)
            else:
                unit.missed, unit.absent = 0, False
        else:
            unit.missed, unit.absent, self._good_s = 0, False, loop.time()
            dialogue.responded(data, self._now(), loop.time())

    def _missed(self, unit: Unit, cost_s: float, *, absent: bool) -> None:
        """The unit did not respond, and that took so long: it rests, for the others' sake."""
        real_s = asyncio.get_running_loop().time()
        unit.missed += 1
        unit.absent = unit.absent or absent
        unit.rest_until = real_s + min(self._tick_s * 2 ** min(unit.missed, 8), LONGEST_BACKOFF_S)
        if unit.absent and any(not other.absent for other in self._units):
            self._absent_from = real_s + cost_s * (ABSENT_SHARE - 1)

    def _came_late(self) -> None:
        if self._asked is not None:
            self._asked.came_late()


def _settings(line: Line) -> str:
    return f"{line.baud} {line.bits}{line.parity}{line.stop}"
