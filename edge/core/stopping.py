"""What a bed remembers of stopping its pump; decided in `interlock.py`. Times: edge clock, s."""

from __future__ import annotations

import msgspec


class Interlock(msgspec.Struct, frozen=True):
    """That this pump may be stopped from here: who asked for it and when, and the other person, who armed it."""

    device: str
    first: str
    asked_s: float
    until_s: float  # until then the other person may come
    second: str | None = None
    armed_s: float | None = None  # None: only asked for
    spent: tuple[str, ...] = ()  # alarms, by id, for which it was to stop: none stops it twice


class Stop(msgspec.Struct, frozen=True):
    """A stop of this pump, for an alarm and what it said. It is sent before `until_s` or never."""

    device: str
    alarm: str
    rule: str
    text: str
    asked_s: float
    until_s: float
    sent_s: float | None = None  # None: it could not be sent yet
    confirmed_s: float | None = None  # when the pump said that it stands still
