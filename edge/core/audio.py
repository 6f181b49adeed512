"""The sound of a bed: how urgent it is now, and what ends a pause before its time, so that nobody has to guess."""

from __future__ import annotations

from collections.abc import Iterator

from edge.contract.events import AudioMoved, PendingEvent
from edge.core.alarms import Alarm
from edge.core.state import BedState
from edge.model import PRIORITY_RANK, Priority


def sounds(state: BedState, at_s: float) -> Priority:
    """The most urgent alarm that sounds here now: not what is acknowledged, paused or shelved."""
    if state.audio_paused_until_s is not None and state.audio_paused_until_s > at_s:
        return "none"
    heard = (alarm.sound for key, alarm in state.alarms.items() if key not in state.shelves)
    return max(heard, key=PRIORITY_RANK.__getitem__, default="none")


def end_pause(state: BedState, at_s: float, why: str) -> Iterator[PendingEvent]:
    """End a pause; an event if it was still running."""
    until_s, state.audio_paused_until_s = state.audio_paused_until_s, None
    if until_s is not None and until_s > at_s:
        yield state.event(at_s, AudioMoved(paused_until=None, why=why))


def acknowledgement_expired(state: BedState, alarm: Alarm, at_s: float) -> bool:
    """Whether a high alarm has been acknowledged for so long that it is announced again."""
    return (alarm.state == "acknowledged" and alarm.priority == "high" and alarm.acknowledged_at_s is not None
            and at_s - alarm.acknowledged_at_s >= state.engine.acknowledged_for_s)
