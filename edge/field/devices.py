"""Every device of an edge: its dialogue, and the connection or bus that carries it.

Byte streams have a connection each; Modbus units share the bus of their host and port or line, whichever beds they
serve, since a controller may allow one connection and a line has one master.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from drivers.contract import Spec
from edge.field.bus import Bus
from edge.field.connection import Connection, Tap
from edge.field.device_url import DeviceUrl
from edge.field.dialogue import DecodedBy, Dialogue, WaveBy


class Devices:
    """`add` each device, then run the `tasks`. `now` is the edge clock, `speed` its seconds in a real one."""

    def __init__(self, *, now: Callable[[], float], speed: float = 1.0) -> None:
        self._now, self._speed = now, speed
        self._connections: dict[str, Connection] = {}
        self._buses: dict[str, Bus] = {}

    def add(self, bed: str, device: str, spec: Spec, at: DeviceUrl, *, decoded: DecodedBy, wave: WaveBy,
            identity: str | None = None, settings: Mapping[str, object] | None = None,
            tap: Tap | None = None) -> Dialogue:
        """One device; `tap` is given the bytes of a stream. Raises ValueError where settings or line do not fit."""
        dialogue = Dialogue(bed, device, spec, at.line(spec.line), now=self._now, decoded=decoded, wave=wave,
                            identity=identity, settings=settings, speed=self._speed, quiet=not at.is_modbus)
        if at.is_modbus:
            bus = self._buses.setdefault(at.endpoint, Bus(at, now=self._now, speed=self._speed))
            bus.add(at.unit, dialogue)
        else:
            self._connections[f"{bed}/{device}"] = Connection(dialogue, at, now=self._now, tap=tap)
        return dialogue

    def tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What runs for as long as the edge does, by name."""
        return {**{f"connection {name}": one.run() for name, one in self._connections.items()},
                **{f"bus {name}": one.run() for name, one in self._buses.items()}}

    async def run(self) -> None:
        """All tasks together, until cancelled; for those who have no supervisor."""
        async with asyncio.TaskGroup() as group:
            for name, task in self.tasks().items():
                group.create_task(task, name=name)
