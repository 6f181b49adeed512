"""Every device of an edge: its dialogue, and the connection or bus that carries it.

Byte streams have a connection each; Modbus units share the bus of their host and port or line, whichever beds they
serve, since a controller may allow one connection and a line has one master.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Protocol

from drivers.contract import Spec
from edge.field.bus import Bus
from edge.field.connection import Connection, Tap
from edge.field.device_url import DeviceUrl
from edge.field.dialogue import DecodedBy, Dialogue, WaveBy
from edge.field.together import Mate, Together

CONNECTION, BUS = "connection", "bus"  # how their tasks are named


class Tasks(Protocol):
    """Who runs tasks by name: one that ends by itself is a fault of ours."""

    def add(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        """One more."""
        ...

    async def drop(self, name: str) -> None:
        """One less; it is cancelled."""
        ...


class Devices:
    """`add` each device, then run the `tasks`. `now` is the edge clock, `speed` its seconds in a real one; `in_use`:
    whether somebody is treated at a bed.

    While they run, `start` and `stop` change one device and no other.
    """

    def __init__(self, *, now: Callable[[], float], speed: float = 1.0,
                 in_use: Callable[[str], bool] = lambda _: True) -> None:
        self._now, self._speed, self._in_use = now, speed, in_use
        self._connections: dict[str, Connection] = {}
        self._buses: dict[str, Bus] = {}
        self._dialogues: dict[tuple[str, str], Dialogue] = {}
        self._together = Together()
        self._mates: dict[tuple[str, str], Mate] = {}

    def add(self, bed: str, device: str, spec: Spec, at: DeviceUrl, *, decoded: DecodedBy, wave: WaveBy,
            identity: str | None = None, settings: Mapping[str, object] | None = None,
            tap: Tap | None = None, remembered: str | None = None, quiet: bool = True,
            may_stop: bool = False, asked: bool = False) -> Dialogue:
        """One device; `tap` is given the bytes of a stream. `identity` is the serial number that edge.toml names,
        `remembered` the one that was bound before, where it names none. `quiet` False: the line was listened to just
        now, and is quiet. `may_stop`: this pump may be stopped over the wire. `asked`: a person must still say whose
        it is. Raises ValueError where settings or line do not fit."""
        dialogue = Dialogue(bed, device, spec, at.line(spec.line), now=self._now, decoded=decoded, wave=wave,
                            identity=identity, settings=settings, speed=self._speed, quiet=not at.is_modbus,
                            remembered=remembered, may_stop=may_stop)
        if spec.nameless and not at.is_modbus:  # a unit of a bus has a number
            mate = self._mates[bed, device] = self._together.joins(
                f"{bed}/{device}", spec.name, partial(self._in_use, bed), asked=asked)
            dialogue.link.among(mate)
        self._dialogues[bed, device] = dialogue
        if at.is_modbus:
            bus = self._buses.setdefault(at.endpoint, Bus(at, now=self._now, speed=self._speed))
            bus.add(at.unit, dialogue)
        else:
            self._connections[f"{bed}/{device}"] = Connection(dialogue, at, now=self._now, tap=tap, quiet=quiet)
        return dialogue

    def start_cuff_at(self, bed: str, device: str, at_s: float | None) -> None:
        """When the next determination of this cuff is due (drivers.contract.CuffDriver). Nothing for one that is not
        started over the wire, or is out of service."""
        dialogue = self._dialogues.get((bed, device))
        if dialogue is not None and dialogue.cuff is not None:
            dialogue.cuff.start_at(at_s)

    def stop_pump(self, bed: str, device: str, asked_s: float, until_s: float) -> None:
        """This pump is to stop (drivers.contract.StopDriver). Nothing for one that may not be stopped, or is out of
        service."""
        dialogue = self._dialogues.get((bed, device))
        if dialogue is not None and dialogue.stopper is not None:
            dialogue.stopper.stop(asked_s, until_s)

    def is_named(self, bed: str, device: str) -> bool:
        """Whether edge.toml names the serial number of what is to be on this line."""
        dialogue = self._dialogues.get((bed, device))
        return dialogue is not None and dialogue.link.is_named

    def bind(self, bed: str, device: str, serial: str | None) -> None:
        """Another device is to be on this line (`Link.bind`). Nothing for one that is out of service."""
        dialogue = self._dialogues.get((bed, device))
        if dialogue is not None:
            dialogue.link.bind(serial)

    def confirm(self, bed: str, device: str) -> None:
        """A person has said that this is the bed's own device. Nothing for one that nobody asked about."""
        dialogue = self._dialogues.get((bed, device))
        if dialogue is not None:
            dialogue.link.confirm()

    def tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What runs for as long as the edge does, by name."""
        return {**{f"{CONNECTION} {name}": one.run() for name, one in self._connections.items()},
                **{f"{BUS} {name}": one.run() for name, one in self._buses.items()}}

    def start(self, bed: str, device: str, tasks: Tasks) -> None:
        """Run what carries a device that was added just now, if nothing carries it yet."""
        name = f"{bed}/{device}"
        if name in self._connections:
            tasks.add(f"{CONNECTION} {name}", self._connections[name].run())
            return
        for endpoint, bus in self._buses.items():
            if not bus.running and bus.carries(self._dialogues[bed, device]):
                tasks.add(f"{BUS} {endpoint}", bus.run())

    async def stop(self, bed: str, device: str, tasks: Tasks) -> None:
        """Take one device out of service; the others on its bus stay. Raises KeyError where there is none."""
        dialogue, name = self._dialogues.pop((bed, device)), f"{bed}/{device}"
        dialogue.retire()
        if (mate := self._mates.pop((bed, device), None)) is not None:
            self._together.leaves(mate)
        if self._connections.pop(name, None) is not None:
            await tasks.drop(f"{CONNECTION} {name}")
        for endpoint, bus in list(self._buses.items()):
            if bus.carries(dialogue) and bus.remove(dialogue):
                del self._buses[endpoint]
                await tasks.drop(f"{BUS} {endpoint}")

    async def run(self) -> None:
        """All tasks together, until cancelled; for those who have no supervisor."""
        async with asyncio.TaskGroup() as group:
            for name, task in self.tasks().items():
                group.create_task(task, name=name)
