"""The audio pause: what ends it before its time, so that nobody has to guess whether a bed may sound."""

from __future__ import annotations

from collections.abc import Iterator

from edge.contract.events import AudioMoved, PendingEvent
from edge.core.state import BedState


def end_pause(state: BedState, at_s: float, why: str) -> Iterator[PendingEvent]:
    """End a pause; an event if it was still running."""
    until_s, state.audio_paused_until_s = state.audio_paused_until_s, None
    if until_s is not None and until_s > at_s:
        yield state.event(at_s, AudioMoved(paused_until=None, why=why))
