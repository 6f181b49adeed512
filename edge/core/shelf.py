"""Shelved alarms: a technical alarm that a nurse knows about is not sounded for a while; it stays on the screen.

Shelved is the alarm of that name, whether it stands or comes again. It comes back by itself: when its time is up, when
it becomes more urgent than `MOST` or has something new, with another patient, and after a restart of the edge.
(ANSI/ISA-18.2, 12.6: by name, with a reason, for a time, always to be seen. That no alarm of high priority and none of
the patient can be shelved is ours.)
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from edge.contract.commands import Shelve, Unshelve
from edge.contract.events import PendingEvent, ShelfMoved
from edge.core.alarms import ACTIVE, Alarm
from edge.core.state import BedState, Shelf
from edge.model import PRIORITY_RANK, AlarmClass, Command, Priority, iso

MOST: Priority = "medium"


class NotShelved(ValueError):
    """It cannot be shelved, or is not; the message begins with a code."""


def shelve(
    state: BedState, alarm: Alarm, alarm_class: AlarmClass, title: str, command: Command, args: Shelve, at_s: float,
) -> Iterator[PendingEvent]:
    """Put an alarm that stands on the shelf. Raises NotShelved."""
    if alarm_class != "technical":
        raise NotShelved("not_technical: only an alarm of the equipment can be shelved; this one is the patient's")
    if not _may_be(alarm):
        raise NotShelved("too_urgent: an alarm of high priority cannot be shelved; acknowledge it")
    if alarm.key in state.shelves:
        raise NotShelved(f"already_shelved: by {state.shelves[alarm.key].by}")
    shelf = Shelf(key=alarm.key, rule=alarm.rule, device=alarm.device, title=title, since_s=at_s,
                  until_s=at_s + args.minutes * 60, by=command.user, reason=args.reason.strip(), about=alarm.about)
    state.shelves = state.shelves | {alarm.key: shelf}
    yield state.event(at_s, ShelfMoved(rule=shelf.rule, title=title, device=shelf.device, until=iso(shelf.until_s),
                                       why=shelf.reason, command=command.id, by=command.user))


def take_back(state: BedState, command: Command, args: Unshelve, at_s: float) -> Iterator[PendingEvent]:
    """A person takes an alarm from the shelf. Raises NotShelved."""
    if args.shelf not in state.shelves:
        raise NotShelved("moved_on: this alarm is no longer shelved")
    yield _return(state, args.shelf, at_s, command=command)


def review(state: BedState, at_s: float) -> Iterator[PendingEvent]:
    """What comes back by itself now."""
    for key, shelf in list(state.shelves.items()):
        alarm = state.alarms.get(key)
        why = _more(alarm, shelf) if alarm is not None and alarm.state in ACTIVE else ""
        if why:
            yield _return(state, key, at_s, why=why)
        elif at_s >= shelf.until_s:
            yield _return(state, key, at_s, why="its time is up")


def clear(state: BedState, at_s: float, why: str) -> Iterator[PendingEvent]:
    """All of them come back: who shelved them watched another patient, or could not know what happened since."""
    for key in list(state.shelves):
        yield _return(state, key, at_s, why=why)


def _more(alarm: Alarm, shelf: Shelf) -> str:
    """Why an alarm that stands is no longer the one that was shelved."""
    if not _may_be(alarm):
        return "it is more urgent now"
    return "" if set(alarm.about) <= set(shelf.about) else "it has something new"


def _may_be(alarm: Alarm) -> bool:
    return PRIORITY_RANK[alarm.priority] <= PRIORITY_RANK[MOST]


def _return(state: BedState, key: str, at_s: float, *, why: str = "", command: Command | None = None) -> PendingEvent:
    shelf = state.shelves[key]
    state.shelves = {other: kept for other, kept in state.shelves.items() if other != key}
    moved = ShelfMoved(rule=shelf.rule, title=shelf.title, device=shelf.device, until=None, why=why)
    return state.event(at_s, moved if command is None else replace(moved, command=command.id, by=command.user))
