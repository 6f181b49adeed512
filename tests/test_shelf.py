"""Shelved alarms: what can be, for how long, and what brings it back."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from edge.contract.events import ShelfMoved
from edge.core import shelf
from edge.core.alarms import Alarm
from edge.core.state import BedState, Shelf
from edge.model import Boot, LinkChanged, WatchPaused
from tests.helpers.bed_story import T0, BedStory, spo2, state_of, ticks

LOST = "TEC-4:oximeter"


def lost() -> BedStory:
    """A session, and an oximeter whose link is lost for long enough: TEC-4, low."""
    story = BedStory().opened()
    story.give(LinkChanged("oximeter", "lost", "the cable is out"))
    ticks(story, 12)
    return story


def alarm_of(story: BedStory, rule: str) -> dict[str, Any]:
    return next(alarm for alarm in story.full()["alarms"] if alarm["rule"] == rule)


def shelve(story: BedStory, rule: str = "TEC-4", minutes: float = 5, **more: Any) -> str:
    """Shelve the alarm of this rule as it stands; why it is refused, or ""."""
    seen = alarm_of(story, rule)
    asked = {"alarm": seen["alarm"], "seq": seen["seq"], "minutes": minutes, "reason": "the patient walks"} | more
    return story.reason(story.command("shelve", **asked))


def moved(story: BedStory) -> list[tuple[str, str]]:
    """Each move of a shelf: until when or "back", and why."""
    return [("back" if body.until is None else "shelved", body.why) for pending in story.pending_events
            if isinstance(body := pending.body, ShelfMoved)]


def test_it_stays_on_the_screen_and_makes_no_sound() -> None:
    story = lost()
    assert shelve(story) == ""
    alarm = alarm_of(story, "TEC-4")
    assert alarm["state"] == "active"
    assert alarm["signals"] == {"audio": "paused", "visual": "on", "remote": "paused"}
    (kept,) = story.full()["shelved"]
    assert (kept["rule"], kept["device"], kept["by"], kept["reason"]) == (
        "TEC-4", "oximeter", "nina", "the patient walks")
    assert alarm["shelved_until"] == kept["until"]
    assert moved(story) == [("shelved", "the patient walks")]


@pytest.mark.parametrize(("seconds", "back"), [(299, False), (300, True)])
def test_it_comes_back_by_itself(seconds: int, back: bool) -> None:
    story = lost()
    shelve(story)
    ticks(story, seconds)
    assert (moved(story)[-1] == ("back", "its time is up")) is back
    assert alarm_of(story, "TEC-4")["signals"]["audio"] == ("on" if back else "paused")
    assert ("shelved" in story.full()) is not back


def test_what_ends_and_comes_again_is_shelved_still() -> None:
    story = lost()
    shelve(story)
    story.give(LinkChanged("oximeter", "live"))
    for _ in range(12):
        spo2(story, 98.0)
    assert state_of(story, LOST) == "inactive"
    assert [kept["rule"] for kept in story.full()["shelved"]] == ["TEC-4"], "seen though nothing stands"
    story.give(LinkChanged("oximeter", "lost", "the cable is out"))
    ticks(story, 12)
    assert alarm_of(story, "TEC-4")["signals"]["audio"] == "paused"


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("without a reason", {"reason": " "}, "bad_args: reason"),
    ("for no time", {"minutes": 0.5}, "bad_args: minutes must be from 1 to 30 min"),
    ("for too long", {"minutes": 31}, "bad_args: minutes must be from 1 to 30 min"),
    ("an alarm that is not there", {"alarm": "nobody's"}, "moved_on"),
    ("as nobody can have seen it", {"seq": 10**6}, "moved_on"),
]


@pytest.mark.parametrize(("asked", "says"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_refused(asked: dict[str, Any], says: str) -> None:
    story = lost()
    assert shelve(story, **asked).startswith(says)
    assert moved(story) == []


def test_twice_is_refused() -> None:
    story = lost()
    shelve(story)
    assert shelve(story) == "already_shelved: by nina"


def test_an_alarm_of_the_patient_is_never_shelved() -> None:
    story = BedStory().infusing()
    for _ in range(20):
        spo2(story, 88.0)
    assert shelve(story, "RES-2").startswith("not_technical: only an alarm of the equipment can be shelved")


def test_one_that_is_urgent_is_never_shelved() -> None:
    story = lost()
    alarms = story.bed.state.alarms
    alarms[LOST] = replace(alarms[LOST], priority="high")  # no technical rule of ours is; a clinic's may be
    assert shelve(story).startswith("too_urgent: an alarm of high priority cannot be shelved")


def test_one_that_becomes_urgent_comes_back() -> None:
    story = lost()
    shelve(story)
    alarms = story.bed.state.alarms
    alarms[LOST] = replace(alarms[LOST], priority="high")
    ticks(story, 1)
    assert moved(story)[-1] == ("back", "it is more urgent now")


def test_a_medium_one_may_stay() -> None:
    story = lost()
    shelve(story, minutes=30)
    story.pump, story.rate_ml_h = "infusing", 52.5
    story.until(0.5)
    assert alarm_of(story, "TEC-4")["priority"] == "medium"
    assert moved(story) == [("shelved", "the patient walks")]


def test_a_person_takes_it_back() -> None:
    story = lost()
    shelve(story)
    (kept,) = story.full()["shelved"]
    assert story.reason(story.command("unshelve", shelf=kept["shelf"])) == ""
    assert alarm_of(story, "TEC-4")["signals"]["audio"] == "on"
    assert story.reason(story.command("unshelve", shelf=kept["shelf"])) == "moved_on: this alarm is no longer shelved"


def test_with_the_session_it_comes_back() -> None:
    story = lost()
    shelve(story)
    story.command("close_session", reason="not started")
    assert moved(story)[-1] == ("back", "the session is closed")


def test_after_a_restart_it_comes_back_and_after_a_stall_it_does_not() -> None:
    story = lost()
    shelve(story)
    story.give(WatchPaused(3.0, "stalled"))
    assert len(moved(story)) == 1
    story.give(Boot("boot-2", 3.0))
    assert moved(story)[-1] == ("back", "the edge was restarted")


def test_it_is_remembered_whole() -> None:
    story = lost()
    shelve(story)
    again = BedStory()
    again.at_s = story.at_s
    again.bed.restore(story.bed.snapshot())
    assert again.full()["shelved"] == story.full()["shelved"]


@pytest.mark.parametrize(("change", "until_s", "why"), [
    (None, 60, ""), (None, 0, "its time is up"), ({"state": "inactive", "about": ("b",), "priority": "high"}, 60, ""),
    ({"about": ("a",)}, 60, ""), ({"about": ("a", "b")}, 60, "it has something new"), ({"about": ()}, 60, ""),
    ({"priority": "high"}, 60, "it is more urgent now"),
    ({"state": "acknowledged", "priority": "high"}, 0.1, "it is more urgent now"),
    ({}, 0, "its time is up"), ({}, 0.1, ""),
])
def test_what_brings_an_alarm_back(change: dict[str, Any] | None, until_s: float, why: str) -> None:
    alarm = Alarm("TEC-4:cuff", "TEC-4", "b", device="cuff", state="active", priority="medium", about=("a",))
    kept = Shelf("TEC-4:cuff", "TEC-4", "cuff", "t", T0 - 60, T0 + until_s, "nina", "known", about=("a",))
    other = replace(kept, key="TEC-4:pump", until_s=T0 + 999)
    state = BedState("b", shelves={one.key: one for one in (kept, other)},
                     alarms={} if change is None else {alarm.key: replace(alarm, **change)})
    told: list[Any] = [pending.body for pending in shelf.review(state, T0)]
    assert [one.why.startswith(why) and one.until is None for one in told] == ([True] if why else [])
    assert list(state.shelves) == (["TEC-4:pump"] if why else ["TEC-4:cuff", "TEC-4:pump"])
