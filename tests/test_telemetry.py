"""When a bed's state leaves for the screens again."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from edge.app.telemetry import STATE_EVERY_S, Telemetry
from edge.stream.publisher import Stream
from tests.helpers.bed_story import BedStory


class Sent:
    """The stream, as far as states go."""

    def __init__(self) -> None:
        self.states = 0

    def state(self, _: str, __: bytes) -> None:
        self.states += 1


@pytest.mark.parametrize(("spo2", "again"), [(96.0, False), (95.0, False), (93.0, True)],
                         ids=["nearer to the same limit", "one from it", "at it, so that another is next"])
async def test_a_number_that_moves_sends_no_state(spo2: float, again: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    story, sent = BedStory().opened(), Sent()
    telemetry = Telemetry("clinic-1", "b1", False, story.bed, cast(Stream, sent), now=lambda: story.at_s)
    loop: Any = telemetry._loop
    telemetry.send_state(before := telemetry.state(story.at_s, 0))
    story.at_s += 1
    story.say("oximeter", spo2_pct=spo2)
    assert telemetry.state(story.at_s, 0).alarm_limits != before.alarm_limits
    later_s = asyncio.get_running_loop().time() + STATE_EVERY_S
    monkeypatch.setattr(telemetry, "_loop", type("Later", (), {"time": staticmethod(lambda: later_s)}))
    telemetry.refresh(story.at_s, 0)
    assert (sent.states == 2) is again
    monkeypatch.setattr(telemetry, "_loop", loop)
    telemetry.close()
