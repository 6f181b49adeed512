"""When a bed's state leaves for the screens again."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

import drivers
from edge.app.telemetry import LINES_EVERY_S, STATE_EVERY_S, Telemetry
from edge.field.dialogue import Dialogue
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
    telemetry.refresh(story.at_s, 7)  # events of other beds send none either
    assert (sent.states == 2) is again
    monkeypatch.setattr(telemetry, "_loop", loop)
    telemetry.close()


@pytest.mark.parametrize(("counted", "later_s", "again"), [
    ({"frames": 20, "received": 400, "understood": 400}, LINES_EVERY_S - 1, False),
    ({"frames": 20, "received": 400, "understood": 400}, LINES_EVERY_S, True),
    ({"bad": 1}, STATE_EVERY_S, True),
    ({"late": 1}, STATE_EVERY_S, True),
    ({"timeouts": 1}, STATE_EVERY_S, True),
    ({"dropped": 1}, STATE_EVERY_S, True)], ids=str)
async def test_a_wire_that_does_well_is_told_now_and_then_and_one_that_errs_at_the_next_turn(
        counted: dict[str, int], later_s: float, again: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    story, sent = BedStory().opened(), Sent()
    telemetry = Telemetry("clinic-1", "b1", False, story.bed, cast(Stream, sent), now=lambda: story.at_s)
    spec = drivers.find()["nonin"]
    dialogue = telemetry.dialogues["oximeter"] = Dialogue(
        story.bed.state.bed, "oximeter", spec, spec.line, now=lambda: story.at_s, decoded=lambda *_: None,
        wave=lambda *_: None)
    telemetry.counters["oximeter"], telemetry.places["oximeter"] = dialogue.counters, ("", "")
    began_s = asyncio.get_running_loop().time()
    with monkeypatch.context() as clock:
        clock.setattr(telemetry, "_loop", type("Then", (), {"time": staticmethod(lambda: began_s)}))
        telemetry.send_state(telemetry.state(story.at_s, 0))
        clock.setattr(telemetry, "_loop", type("Later", (), {"time": staticmethod(lambda: began_s + later_s)}))
        for name, more in counted.items():
            setattr(dialogue.counters, name, more)
        telemetry.refresh(story.at_s, 0)
    assert (sent.states == 2) is again
    telemetry.close()
