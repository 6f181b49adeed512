"""A session that goes on at another bed. Both beds are told in one commit: no crash leaves it at both, or at none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge.app.keeping import BedAtWork
from edge.contract.events import CommandRefused, PendingEvent
from edge.core import moving
from edge.field.devices import Devices
from edge.journal.journal import Journal
from edge.model import Arrived, CameBack, Command, Input


class Moves:
    """Of sessions between the beds in `works`, as they are at any time."""

    def __init__(self, works: Mapping[str, BedAtWork], devices: Devices, journal: Journal) -> None:
        self._works, self._devices, self._journal = works, devices, journal
        self._guests: dict[str, frozenset[str]] = {}  # by bed, as they were last

    def move(self, command: Command, at_s: float) -> tuple[list[BedAtWork], list[PendingEvent]]:
        """Do what a `move_session` asks, or refuse it, and record what each bed was told. Returns the beds that were,
        and what followed; it is to be appended at once."""
        states = {bed: work.bedside.state for bed, work in self._works.items()}
        named = [(bed, device) for bed, state in states.items() for device in state.devices
                 if self._devices.is_named(bed, device)]
        given = moving.inputs(states, self._works[command.bed].bedside.rules, command, named, at_s)
        works = [self._works[bed] for bed, _ in given]
        followed: list[PendingEvent] = []
        told: list[tuple[BedAtWork, str, Input]] = []
        for work, (bed, one) in zip(works, given, strict=True):
            news = work.bedside.apply(one, at_s)
            followed += news
            told.append((work, bed, one))
            if any(isinstance(pending.body, CommandRefused) for pending in news):
                break  # and the other bed is told nothing
        else:
            self._bind(given)
        self._journal.flush()  # so that a full buffer does not part what is recorded now
        for work, bed, one in told:
            work.last_n = self._journal.record(bed, at_s, one)
        return [work for work, _, _ in told], followed

    def _bind(self, given: Sequence[tuple[str, Input]]) -> None:
        """Which device is to be on which line now."""
        for bed, one in given:
            if isinstance(one, Arrived):
                counters = moving.read(one.carried).devices
                self._guests[bed] = frozenset(counters)
                for place, counter in counters.items():
                    self._devices.bind(one.from_bed, counter.was, None)
                    if counter.identity is not None:
                        self._devices.bind(bed, place, counter.identity)

    def look(self, bed: str) -> list[Input]:
        """With each tick of a bed. Devices of it that went away with a patient are its own again when that session is
        over; and on the line of one that came with a patient, whichever is there is the bed's from then on."""
        state = self._works[bed].bedside.state
        guests = frozenset(name for name, device in state.devices.items() if device.is_guest)
        for device in self._guests.get(bed, frozenset()) - guests:
            if device in state.devices:
                self._devices.bind(bed, device, None)
        self._guests[bed] = guests
        if all(device.gone is None for device in state.devices.values()):  # nearly always: no other bed is asked
            return []
        names = moving.over(work.bedside.state for work in self._works.values()).get(bed)
        return [CameBack(names)] if names else []
