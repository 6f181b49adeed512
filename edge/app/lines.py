"""What went over a device's wire lately, as the technician's page is told it."""

from __future__ import annotations

import msgspec

from edge.contract.payloads import DeviceNow, LineFrame, LineMinute, LineNow
from edge.field.dialogue import Dialogue
from edge.field.history import Minute, Seen
from edge.model import iso

MINUTES, FRAMES, BYTES = 5, 6, 32  # told: the last ones, and so many bytes of each frame


def with_line(device: DeviceNow, dialogue: Dialogue, at: str = "", unsure: str = "") -> DeviceNow:
    """The device, with its line; `at` and `unsure` as LineNow has them."""
    history, response_s = dialogue.history, dialogue.history.response_s(0.95)
    return msgspec.structs.replace(device, line=LineNow(
        at=at, unsure=unsure, expected=dialogue.link.expected, timeouts=dialogue.counters.timeouts,
        response_s=None if response_s is None else round(response_s, 3),
        unmapped=dict(dialogue.unmapped), minutes=tuple(map(_minute, [*history.minutes][-MINUTES:])),
        frames=tuple(map(_frame, [*history.frames][-FRAMES:]))))


def _minute(one: Minute) -> LineMinute:
    return LineMinute(at=iso(one.at_s), frames=one.frames, bad=one.bad, late=one.late, timeouts=one.timeouts,
                      received=one.received, understood=one.understood, foreign=one.foreign)


def _frame(one: Seen) -> LineFrame:
    more = " ..." if len(one.data) > BYTES else ""
    return LineFrame(at=iso(one.at_s), sent=one.sent, hex=one.data[:BYTES].hex(" ") + more, says=one.words())
