"""What would have happened: what two ways to judge raise, gain, lose, move and miss, and the load of it."""

from __future__ import annotations

import gzip
import json
import sys
from dataclasses import replace as change
from pathlib import Path

import pytest
from msgspec.structs import replace

from edge.cli import main
from edge.cli.burden import journals_in
from edge.contract.events import Booted, Event, PendingEvent, numbered
from edge.core.arms import all_that_was_sent, at_once, limits_alone, looks_at_readings
from edge.core.bedside import Bedside
from edge.core.burden import Heard, Raise, Stay, changes, load, outcome
from edge.core.replay import Replay, Scope, differences, given
from edge.core.rules import parse_rules
from edge.model import (
    BedConfigured,
    Configured,
    DeviceKind,
    Input,
    LinkChanged,
    Priority,
    RecordedInput,
    Restored,
    Sample,
    Samples,
    Tick,
    Validity,
)
from tests.helpers.bed_story import BedStory, spo2
from tests.helpers.rule_files import FILE, HERE, RULES

OLD = gzip.decompress((HERE / "golden" / "journal-0.1.0.db.gz").read_bytes())


def raised(from_s: float, until_s: float | None = None, rule: str = "RES-2", *, group: str = "RES",
           priority: Priority = "medium", session: str | None = "s1", bed: str = "chair-1",
           of_readings: bool = True, called: bool = True) -> Raise:
    return Raise(bed, session, rule, group, None, priority, "physiological", from_s, until_s, of_readings, called)


def heard(*raises: Raise, last_s: float = 3600.0, until_s: float | None = 3600.0) -> Heard:
    return Heard(list(raises), {("chair-1", "s1"): Stay("chair-1", 0.0, until_s)}, last_s)


# --- two arms ---------------------------------------------------------------------------------------------------------

CHANGES: list[tuple[str, list[Raise], list[Raise], list[tuple[str, float]]]] = [
    ("the same", [raised(10, 20)], [raised(10, 25)], []),
    ("later by a second less a bit", [raised(10, 20)], [raised(10.9, 20)], []),
    ("later by a second", [raised(10, 20)], [raised(11, 20)], [("moved", 1)]),
    ("earlier", [raised(10, 20)], [raised(4, 20)], [("moved", -6)]),
    ("a minute later, apart", [raised(10, 20)], [raised(70, 80)], [("moved", 60)]),
    ("more than a minute later, apart", [raised(10, 20)], [raised(70.1, 80)], [("lost", 0), ("gained", 0)]),
    ("far later, while the first still stands", [raised(10)], [raised(900, 950)], [("moved", 890)]),
    ("of another rule", [raised(10, 20)], [raised(10, 20, "RES-3")], [("lost", 0), ("gained", 0)]),
    ("at another bed", [raised(10, 20)], [raised(10, 20, bed="chair-2")], [("lost", 0), ("gained", 0)]),
    ("in another session", [raised(10, 20)], [raised(10, 20, session="s2")], [("lost", 0), ("gained", 0)]),
    ("one more", [raised(10, 20)], [raised(10, 20), raised(30, 40)], [("gained", 0)]),
    ("one fewer", [raised(10, 20), raised(30, 40)], [raised(30, 40)], [("moved", 20), ("lost", 0)]),
]


@pytest.mark.parametrize(("before", "after", "expected"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_what_one_arm_has_otherwise(before: list[Raise], after: list[Raise], expected: list[tuple[str, float]]) -> None:
    found = [(change.kind, change.by_s) for change in changes(heard(*before), heard(*after))]
    assert sorted((kind, round(by_s, 6)) for kind, by_s in found) == sorted(expected)


MISSED: list[tuple[str, Raise, list[Raise], bool]] = [
    ("raised within it", raised(10, 30), [raised(25, 30)], False),
    ("nothing raised", raised(10, 30), [], True),
    ("nothing raised, but shorter than an event", raised(10, 24.9), [], False),
    ("nothing raised, just an event", raised(10, 25), [], True),
    ("raised as it was over", raised(10, 30), [raised(30, 40)], False),
    ("raised until it began", raised(20, 40), [raised(5, 20)], False),
    ("raised until just before it", raised(20, 40), [raised(5, 19.9)], True),
    ("raised after it", raised(10, 30), [raised(30.1, 40)], True),
    ("a higher level of the same alarm", raised(10, 30), [raised(25, 30, "RES-3")], False),
    ("a level to which the alarm fell", raised(10, 30), [raised(25, 30, called=False)], False),
    ("another alarm", raised(10, 30), [raised(25, 30, "HTN-2", group="HTN")], True),
    ("at another bed", raised(10, 30), [raised(25, 30, bed="chair-2")], True),
    ("it stands at the end", raised(3580, None), [], True),
    ("no patient", raised(10, 30, session=None), [], False),
    ("of no reading", raised(10, 30, "TEC-1", group="TEC-1", of_readings=False), [], False),
]


@pytest.mark.parametrize(("event", "raises", "expected"), [row[1:] for row in MISSED], ids=[row[0] for row in MISSED])
def test_which_events_an_arm_misses(event: Raise, raises: list[Raise], expected: bool) -> None:
    assert bool(outcome(heard(event), heard(*raises), 15.0).missed) is expected


LOW, HIGH = raised(10, 30, priority="low"), raised(30, 60, "RES-3", priority="high")
TELLS: list[tuple[str, list[Raise], list[Raise], list[float], int, int]] = [
    ("after its hold", [HIGH], [raised(40, 60, "RES-3", priority="high")], [10], 0, 0),
    ("it stood already", [HIGH], [raised(5, 60, "RES-3", priority="high")], [0], 0, 0),
    ("as something less", [HIGH], [raised(40, 60, priority="low")], [], 1, 0),
    ("as something less first", [HIGH], [raised(31, 50, priority="low"), raised(50, 60, priority="high")], [20], 0, 0),
    ("two levels, each in its time", [LOW, HIGH],
     [raised(25, 40, priority="low"), raised(40, 60, "RES-3", priority="high")], [15, 10], 0, 0),
    ("an alarm of no event", [HIGH], [raised(40, 60, priority="high"), raised(100, 110)], [10], 0, 1),
    ("one that fell there called nobody", [HIGH], [raised(40, 60, priority="high"), raised(100, 110, called=False)],
     [10], 0, 0),
    ("an event of a fallen level", [raised(10, 30, called=False)], [raised(20, 30)], [10], 0, 0),
    ("no alarm of readings is of no event", [], [raised(10, 30, of_readings=False)], [], 0, 0),
]


@pytest.mark.parametrize(("events", "raises", "after_s", "too_low", "of_no_event"), [row[1:] for row in TELLS],
                         ids=[row[0] for row in TELLS])
def test_when_and_how_urgently_an_arm_tells_of_events(events: list[Raise], raises: list[Raise], after_s: list[float],
                                                      too_low: int, of_no_event: int) -> None:
    found = outcome(heard(*events), heard(*raises), 15.0)
    assert (list(found.after_s), len(found.too_low), found.of_no_event) == (after_s, too_low, of_no_event)


# --- the load ---------------------------------------------------------------------------------------------------------


def test_rates_are_by_patient_hour_and_by_ten_minutes_of_who_watches() -> None:
    two_beds = heard(*(raised(60.0 * number, priority="low") for number in range(12)), raised(10, session=None))
    two_beds.stays["chair-2", "s2"] = Stay("chair-2", 1800.0, 5400.0)
    found = load([two_beds])
    assert (found.sessions, found.patient_h, found.raised, found.outside_sessions) == (2, 2.0, 12, 1)
    assert (found.an_hour, round(found.a_span, 6)) == (6.0, round(12 / 9, 6)), "90 minutes with a patient: nine spans"
    assert found.by_priority == {"low": 12, "medium": 0, "high": 0}


def test_a_stay_within_another_adds_nothing_to_who_watches() -> None:
    one = heard()
    one.stays["chair-2", "s2"] = Stay("chair-2", 600.0, 1200.0)
    assert (one.attended_s, one.patient_s) == (3600, 4200)


def test_a_level_to_which_an_alarm_fell_called_nobody() -> None:
    one = heard(raised(10, 20), raised(20, 30, called=False), raised(40, 50, session=None, called=False))
    assert (load([one]).raised, load([one]).outside_sessions) == (1, 0)
    assert changes(heard(raised(10, 20)), one) == []


@pytest.mark.parametrize(("count", "floods"), [(10, 0), (11, 1)])
def test_more_than_ten_in_ten_minutes_are_a_flood(count: int, floods: int) -> None:
    found = load([heard(*(raised(number * 50.0) for number in range(count)))])
    assert found.flood_share == pytest.approx(floods / 6)


@pytest.mark.parametrize(("times", "count"), [
    ((0, 30, 60), 1), ((0, 30, 60.1), 0), ((0, 60), 0), ((0, 20, 40, 60, 80), 1), ((0, 20, 40, 500, 520, 540), 2),
])
def test_three_within_a_minute_chatter(times: tuple[float, ...], count: int) -> None:
    assert load([heard(*(raised(at_s, at_s + 5) for at_s in times))]).chattering == count


def test_what_called_nobody_or_no_patients_nurse_does_not_chatter() -> None:
    assert load([heard(*(raised(at_s, at_s + 5, called=False) for at_s in (0, 20, 40)))]).chattering == 0
    assert load([heard(*(raised(at_s, at_s + 5, session=None) for at_s in (0, 20, 40)))]).chattering == 0


@pytest.mark.parametrize(("one", "stale"), [
    (raised(10, 3600), 0), (raised(10, 3600.1), 1), (raised(10, None), 0), (raised(10, 20, session="unknown"), 0),
])
def test_what_outlives_its_session_is_stale(one: Raise, stale: int) -> None:
    assert load([heard(one)]).stale == stale


@pytest.mark.parametrize(("until_s", "stale"), [(86_400.0, 0), (86_401.0, 1)])
def test_what_stands_for_a_day_is_stale(until_s: float, stale: int) -> None:
    assert load([heard(raised(0, until_s), last_s=90_000, until_s=None)]).stale == stale


def test_ten_rules_share_what_they_share() -> None:
    found = load([heard(*(raised(60.0 * number, rule=f"X-{number}") for number in range(12)))])
    assert found.top_ten_share == pytest.approx(10 / 12)


def test_nothing_at_all_has_no_rate() -> None:
    found = load([Heard()])
    assert (found.an_hour, found.a_span, found.flood_share, found.top_ten_share) == (0, 0, 0, 0)


# --- from events ------------------------------------------------------------------------------------------------------


def ears_of(story: BedStory) -> Heard:
    ears = Heard()
    for event in story.pending_events:
        ears.hear(event, RULES)
    return ears


def test_a_rise_to_a_higher_level_calls_again_and_a_fall_does_not() -> None:
    story = BedStory().infusing()
    for value, seconds in ((88.0, 20), (83.0, 20), (88.0, 30), (97.0, 40)):
        for _ in range(seconds):
            spo2(story, value)
    found = [raised for raised in ears_of(story).raises if raised.group == RULES.named("RES-2").group]
    assert [(raised.rule, raised.called, raised.until_s is None) for raised in found] == [
        ("RES-2", True, False), ("RES-3", True, False), ("RES-2", False, False), ("RES-1", False, False)]
    low, very_low, low_again, _ = found
    assert (low.until_s, very_low.until_s) == (very_low.from_s, low_again.from_s), "one alarm, called twice"
    assert low.of_readings and (low.session, low.bed) == ("session-1", "chair-1")


def test_a_session_is_counted_from_its_opening_to_its_end() -> None:
    story = BedStory().opened()
    at_s = story.at_s
    (stay,) = ears_of(story).stays.values()
    assert (stay.bed, stay.until_s) == ("chair-1", None)
    story.command("close_session", reason="she goes home")
    (stay,) = ears_of(story).stays.values()
    assert stay.until_s == at_s, story.reason(story.pending_events)


# --- the arms ---------------------------------------------------------------------------------------------------------


def test_limits_alone_hold_for_no_time_and_ask_for_no_pair() -> None:
    bare = limits_alone(RULES)
    assert {rule.id for rule in RULES if "pair(" in rule.when.text} > {"HTN-1", "HTN-2"}
    assert [rule.id for rule in bare if looks_at_readings(rule) and "pair(" in rule.when.text] == []
    assert bare.named("HTN-2").when.text.startswith("(sbp_mmhg >= 160 or dbp_mmhg >= 100 or ")
    assert (bare.named("RES-2").hold_s, bare.named("RES-2").clear_hold_s) == (0, 0)


def test_without_artefacts_only_the_time_is_left_out() -> None:
    kept = at_once(RULES)
    assert kept.named("HTN-2").when.text == RULES.named("HTN-2").when.text
    assert kept.named("RES-2").hold_s == 0
    assert kept.named("TEC-4").hold_s == RULES.named("TEC-4").hold_s > 0, "what looks at no reading is the same"
    assert not looks_at_readings(change(RULES.named("RES-2"), alarm_class="technical"))


@pytest.mark.parametrize(("value", "validity", "heard_as"), [
    (88.0, "valid", "valid"), (88.0, "questionable", "valid"), (88.0, "invalid", "valid"), (None, "invalid", "invalid"),
])
def test_every_number_that_was_sent_counts(value: float | None, validity: Validity, heard_as: Validity) -> None:
    sample = Sample("chair-1", "oximeter", "spo2_pct", value, validity, 1.0)
    told = all_that_was_sent(RecordedInput(1, "b", "chair-1", 1.0, Samples("oximeter", (sample,))))
    assert isinstance(told.input, Samples)
    assert told.input.samples[0].validity == heard_as


def test_what_is_no_reading_is_told_as_it_was() -> None:
    tick = RecordedInput(1, "b", "chair-1", 1.0, Tick())
    assert all_that_was_sent(tick) is tick


# --- what a replay is given -------------------------------------------------------------------------------------------

CONFIGURED, TOLD = Configured("", (BedConfigured("chair-1", 600.0, ()),)), Restored("{}", 0, lost=False)
GIVEN: list[tuple[str, list[Input], bool, str]] = [
    ("from the first on, it comes to a snapshot by itself", [CONFIGURED, Tick(), TOLD, Tick()], True, "CTT"),
    ("but not where inputs were lost", [CONFIGURED, Tick(), replace(TOLD, lost=True), Tick()], True, "CTRT"),
    ("of a part, nothing before the first snapshot", [CONFIGURED, Tick(), TOLD, Tick(), TOLD], False, "CRT"),
    ("a second start is told to all", [CONFIGURED, TOLD, CONFIGURED, Tick()], False, "CRCT"),
    ("before any configuration there is no bed", [Tick(), CONFIGURED, Tick()], True, "CT"),
]


@pytest.mark.parametrize(("inputs", "whole", "expected"), [row[1:] for row in GIVEN], ids=[row[0] for row in GIVEN])
def test_which_inputs_a_replay_is_given(inputs: list[Input], whole: bool, expected: str) -> None:
    recorded = [RecordedInput(number, "b", None if one is CONFIGURED else "chair-1", float(number), one)
                for number, one in enumerate(inputs)]
    assert "".join(type(one.input).__name__[0] for one in given(recorded, Scope(whole))) == expected


def test_what_followed_from_lost_inputs_is_left_and_all_else_is_compared() -> None:
    devices: tuple[tuple[str, DeviceKind, str], ...] = (("oximeter", "oximeter", "o"),)
    told: list[tuple[str, float, Input]] = [
        ("", 0, Configured("", tuple(BedConfigured(bed, 300.0, devices) for bed in ("chair-1", "chair-2")))),
        ("chair-1", 1, Tick()), ("chair-2", 1.5, Tick()), ("chair-1", 3, Tick()),
        ("chair-1", 5, Restored(Bedside("chair-1", devices, RULES).snapshot().decode(), 5, lost=True))]
    inputs = [RecordedInput(number, "b", bed or None, at_s, one) for number, (bed, at_s, one) in enumerate(told)]
    concluded = [("chair-1", 2.9), ("chair-1", 3), ("chair-1", 3.1), ("chair-2", 3.1), ("chair-1", 4), ("chair-1", 4.1)]
    events = [numbered(PendingEvent(bed, None, at_s, Booted(gap_s=seq, boot="b")), seq=seq, boot="b", edge="e", wall="",
                       prev="") for seq, (bed, at_s) in enumerate(concluded, 1)]
    scope = Scope()
    found = [one.recorded.seq for one in differences(inputs, events, RULES, scope) if one.recorded]
    assert (found, scope.unjudged) == ([1, 2, 4, 6], 2), "of a bed, after its last input, before what it remembered"


RULE = """[[rule]]
id = "T-1"
class = "technical"
priority = "low"
context = ["*"]
title = "t"
text = "t"
clears = "-"
why = "-"
source = "-"
for_each = ["oximeter"]
when = "link_down()"
"""


def recorded_bed() -> tuple[list[RecordedInput], list[Event]]:
    """A bed whose oximeter is lost, is back and is lost again, and what followed."""
    told: list[Input] = [Configured(RULE, (BedConfigured("chair-1", 300.0, (("oximeter", "oximeter", "o"),)),))]
    for link in ("live", "lost", "live", "lost"):
        told += [LinkChanged("oximeter", link), Tick()]
    inputs = [RecordedInput(number, "b", "chair-1" if number > 1 else None, float(number), one)
              for number, one in enumerate(told, 1)]
    replay, events = Replay(), list[Event]()
    for one in inputs:
        for pending in replay.give(one):
            events.append(numbered(pending, seq=len(events) + 1, boot="b", edge="e", wall="", prev=""))
            replay.beds["chair-1"].numbered(events[-1:])
    return inputs, events


def test_a_replay_and_a_record_part_at_the_first_event_that_is_another() -> None:
    inputs, events = recorded_bed()
    assert len(events) > 3 and list(differences(inputs, events)) == []
    more = numbered(PendingEvent("chair-1", None, 9.0, Booted(gap_s=1, boot="b")), seq=99, boot="b", edge="e", wall="",
                    prev="")
    assert [(one.n, one.recorded, one.replayed) for one in differences(inputs, [*events, more])] == [(9, more, None)]
    assert [(one.n, one.recorded) for one in differences([], [more])] == [(0, more)]
    (short,) = differences(inputs, events[:-1])
    assert short.recorded is None and short.replayed is not None and short.n == 8
    for other in (replace(events[1], at_s=8.5), replace(events[1], bed="chair-2"), replace(events[1], session="s"),
                  replace(events[1], kind="boot"), replace(events[1], body_json=more.body_json)):
        (found,) = differences(inputs, [events[0], other, *events[2:]])
        assert (found.recorded, found.replayed is not None) == (other, True)


def test_with_other_rules_events_are_matched_by_what_they_say() -> None:
    inputs, events = recorded_bed()
    assert list(differences(inputs, events, parse_rules(RULE))) == []
    found = list(differences(inputs, events, parse_rules(RULE.replace("T-1", "T-2"))))
    alarms = [one for one in events if one.kind == "alarm"]
    assert [one.recorded for one in found if one.replayed is None] == alarms
    assert {one.n for one in found if one.recorded is not None} == {0}


def test_what_is_not_judged_is_counted_and_the_last_of_it_named() -> None:
    _, events = recorded_bed()
    scope = Scope()
    for seq in (1, 3, 2):
        scope.leave(events[seq - 1])
    assert (scope.unjudged, scope.last_unjudged) == (3, events[2])


@pytest.mark.parametrize("upto", [1, 2])
def test_events_of_inputs_that_were_lost_are_passed_over(upto: int) -> None:
    inputs, events = recorded_bed()
    bed = Replay()
    for one in inputs[:4]:
        bed.give(one)
    again = RecordedInput(4, "b", "chair-1", 4.0, Restored(bed.beds["chair-1"].snapshot().decode(), upto, lost=True))
    later = [one for one in events if one.at_s > 4]
    scope = Scope()
    assert list(differences([inputs[0], again, *inputs[4:]], [*events[:upto], *later], scope=scope)) == []
    assert scope.unjudged == upto


# --- as a person types it ---------------------------------------------------------------------------------------------


@pytest.fixture
def journals(tmp_path: Path) -> list[str]:
    paths = [tmp_path / "monday.db", tmp_path / "tuesday.db"]
    for path in paths:
        path.write_bytes(OLD)
    return [str(path) for path in paths]


def typed(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["vigil", "replay", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.slow
def test_two_journals_and_the_rules_of_today(
    journals: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, *journals, "--rules", str(FILE), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    then, now = told["arms"]
    assert (then["name"], then["sessions"], then["raised"], then["changes"]) == ("the recorded rules", 2, 32, [])
    assert now["name"] == str(FILE)
    gained = {(change["rule"], change["kind"]) for change in now["changes"]}
    assert {("TEC-7", "gained"), ("DIS-4", "gained")} < gained
    assert {change["journal"] for change in now["changes"]} == set(journals)
    assert now["missed"] == []


def test_the_three_arms_as_a_table_and_a_picture(
    journals: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    picture = tmp_path / "arms.svg"
    assert typed(monkeypatch, journals[0], "--arms", "--picture", str(picture)) == 0
    out = capsys.readouterr().out
    assert out.startswith("1 journal, 1 session, 1.3 patient-hours; 5 events (a limit broken for 15 s or longer)")
    rows = {line[:24].strip(): line[24:].split() for line in out.splitlines()}
    assert rows["alarms"] == ["18", "18", "16"]
    assert rows["chattering"] == ["1", "1", "0", "0"]
    assert rows["of the first arm's"][3:] == ["published:", "100%,", "74%,", "14%"]
    assert "RES-2: 2 lost, 2 moved" in out
    assert "events missed\n" not in out, "none is"
    drawn = picture.read_text()
    assert "limits alone" in drawn and "src=" not in drawn and "xlink:href=\"http" not in drawn


def test_which_events_are_missed_is_printed(
    journals: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, journals[0], "--arms", "--event-s", "1") == 0
    _, _, said = capsys.readouterr().out.partition("\nthe recorded rules: events missed\n")
    assert said.startswith(f"  2026-09-21T14:25:25.000Z {journals[0]} chair-1 session-1: RES-2 for 1 s\n\n")


def test_a_folder_is_all_its_journals(
    journals: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "console.db").touch()
    assert journals_in([str(tmp_path), "postgresql+psycopg://db/vigil"]) == [*journals, "postgresql+psycopg://db/vigil"]
    (empty := tmp_path / "empty").mkdir()
    assert typed(monkeypatch, str(empty)) == 2
    assert f"{empty}: no journal is in this folder; give a journal.db, or a folder" in capsys.readouterr().err


def test_a_picture_that_cannot_be_written_is_one_line(
    journals: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, journals[0], "--picture", "/nowhere/arms.svg") == 2
    assert "--picture /nowhere/arms.svg: No such file or directory; give a file in a folder" in capsys.readouterr().err
