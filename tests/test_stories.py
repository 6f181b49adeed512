"""Every rule has a story, and every story comes true."""

from __future__ import annotations

import re

import pytest

from drivers.contract import ALARMS
from edge.contract.events import AlarmMoved
from edge.core.alarms import ACTIVE, SHOWN
from edge.core.bedside import Bedside
from edge.core.rules import parse_rules
from edge.core.stories import Begun, StoryError, run_story, stories_of
from edge.core.story_bed import StoryBed
from tests.helpers.parts import slow_if
from tests.helpers.rule_files import FILE, HERE, PROTOCOLS, RULES

STORIES = [
    (path.stem, number, story)
    for path in sorted((HERE / "stories").glob("*.txt"))
    for number, story in enumerate(stories_of(path.read_text()), 1)
]
COURSE = [  # of no rule: what opens the next step of a session
    (path.stem, number, story)
    for path in sorted((HERE / "stories" / "course").glob("*.txt"))
    for number, story in enumerate(stories_of(path.read_text()), 1)
]
WHOLE = [  # of whole sessions: hours
    (path.stem, number, story)
    for path in sorted((HERE / "stories" / "course" / "whole").glob("*.txt"))
    for number, story in enumerate(stories_of(path.read_text()), 1)
]
LONG_MIN = 5


def minutes(story: str) -> int:
    """How long it lasts."""
    return max((int(minute) for minute in re.findall(r"^(\d+):\d\d", story, re.MULTILINE)), default=0)


OVER_WATCHING = {rule.id for rule in RULES if any(one.of_watching for one in rule.conditions.values())}
TOLD = [pytest.param(name, story, id=f"{name}-{number}", marks=slow_if(minutes(story) > LONG_MIN))
        for name, number, story in (*STORIES, *COURSE)]
BEGUN: Begun = {}  # what stories begin with is lived once a worker
TOLD += [pytest.param(name, story, id=f"whole-{name}-{number}", marks=pytest.mark.slow)
         for name, number, story in WHOLE]


def as_shown(bedside: Bedside) -> dict[str, tuple[str, str, str]]:
    """The alarms of a bed by id: state, rule, priority."""
    return {alarm.id: (alarm.state, alarm.rule, alarm.priority)
            for alarm in bedside.state.alarms.values() if alarm.state in SHOWN}


def as_told(name: str, bed: StoryBed) -> dict[str, tuple[str, str, str]]:
    """The same of this bed, by the last event of each alarm."""
    return {body.alarm: (body.state, body.rule, body.priority) for event in bed.pending_events
            if event.bed == name and isinstance(body := event.body, AlarmMoved)}


@pytest.mark.parametrize(("name", "story"), TOLD)
def test_the_story_comes_true(name: str, story: str) -> None:
    """Every alarm of every rule counts here, not only those of the story's own family; but a rule over whether the bed
    is watched counts in its own family's stories alone, and so they are told."""
    of = name if name in OVER_WATCHING else None
    bed = run_story(story, f"{name}.txt", RULES, of, PROTOCOLS, begun=BEGUN)
    assert bed.pending_events
    for one in (bed.bedside, bed.other):
        if one is not None:
            shown, told = as_shown(one), as_told(one.state.bed, bed)
            assert {key: told.get(key) for key in shown} == shown, "who goes by events knows what stands"
            assert {key for key, (state, *_) in told.items() if state in ACTIVE} <= shown.keys(), "and what is over"


@pytest.mark.parametrize("number", [0, 1])
def test_a_story_goes_as_it_would_alone(number: int) -> None:
    """Whatever was told before of the same bed; the second is 59 s into a minute that the first has kept."""
    begun: Begun = {}
    told = ["given infusing\n3:59 spo2 88 -> nothing\n4:30 -> RES-2 active\n",
            "given infusing\n2:59.5 spo2 none sensor_off -> nothing\n3:30 -> TEC-1:oximeter active medium\n"]
    run_story(told[1 - number], "other", RULES, "RES-2", begun=begun)
    alone, after = (run_story(told[number], "this", RULES, "RES-2", begun=kept) for kept in (None, begun))
    assert (after.pending_events, after.bedside.snapshot()) == (alone.pending_events, alone.bedside.snapshot())
    assert (after.raised, after.at_s, after.seq) == (alone.raised, alone.at_s, alone.seq)


def test_every_rule_has_a_story_and_every_story_a_rule() -> None:
    assert {name for name, _, _ in STORIES} == {rule.id for rule in RULES.rules}


def stories_about(rule: str) -> list[str]:
    """Shortest first."""
    return sorted((story for name, _, story in STORIES if name == rule), key=minutes)


@pytest.mark.parametrize("rule", [
    pytest.param(rule.id, marks=slow_if(number % 3 != 0 or minutes(stories_about(rule.id)[0]) > LONG_MIN))
    for number, rule in enumerate(RULES.rules)])
def test_a_rule_that_never_fires_fails_its_stories(rule: str) -> None:
    # without the limits a prescriber may move: they name numbers that a rule that never fires has no more
    lines = re.sub(r"^\[\[limit\]\]\n(?:\S.*\n)+", "", FILE.read_text(), flags=re.MULTILINE).split("[[rule]]")
    dead = "[[rule]]".join(part.replace("\nwhen = ", "\nwhen = \"false_\" #", 1) if f'id = "{rule}"' in part else part
                           for part in lines).replace('"false_"', '"1 > 2"')
    dead = dead.replace("at_once = \"satseconds(spo2_pct, 90) >= 50 or violations(spo2_pct, 90, 60) >= 3\"", "") \
        if rule == "RES-2" else dead
    broken = parse_rules(dead)

    begun: Begun = {}

    def tell() -> None:
        for story in stories_about(rule):
            run_story(story, f"{rule}.txt", broken, begun=begun)

    with pytest.raises(StoryError):
        tell()


LEFT_TO_THE_PUMP = {"vtbi_done", "end_of_infusion", "near_end", "mains_lost"}


def test_every_alarm_of_a_pump_is_passed_on_but_those_that_are_no_fault_of_the_delivery() -> None:
    lines = ["given infusing, background: quiet"]
    for second, code in enumerate(sorted(ALARMS | {"door_open", "air_in_line"}), 10):
        passed_on = "nothing" if code in LEFT_TO_THE_PUMP else "INF-4:pump active medium"
        lines.append(f"0:{second} alarm pump none; alarm pump {code} medium -> {passed_on}")
    run_story("\n".join(lines), "INF-4", RULES)
