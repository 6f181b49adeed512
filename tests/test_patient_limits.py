"""Limits of one patient: the rule with another number, within its bounds, for one session."""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import fields

import pytest

from edge.contract.events import LimitSet
from edge.core import views
from edge.core.bedside import Bedside
from edge.core.patient_limits import read_limits, varied
from edge.core.rules import RulesError, parse_rules
from edge.core.stories import run_story
from edge.core.story_bed import StoryBed
from edge.core.tables import BadTable
from tests.helpers.rule_files import FILE, PROTOCOLS, RULES

GIVEN = "given infusing, background: quiet\n"


def told(story: str) -> StoryBed:
    return run_story(GIVEN + story, "limits", RULES, None, PROTOCOLS)


def test_the_default_bounds_are_those_of_the_table() -> None:
    """Drawn by hand: the rule's own number, the least and the most that may be set, and which other numbers move."""
    assert {limit.id: (limit.rule, limit.number, limit.least, limit.most, *limit.moves) for limit in RULES.limits} == {
        "spo2_low": ("RES-1", 94, 90, 97, 95),
        "spo2_very_low": ("RES-2", 90, 86, 93, 92),
        "pulse_high": ("CAR-1", 120, 100, 135, 115),
        "pulse_low": ("CAR-3", 50, 42, 54, 53),
        "resp_low": ("RES-4", 8, 6, 12, 10),
    }


@pytest.mark.parametrize("limit", RULES.limits, ids=lambda limit: limit.id)
@pytest.mark.parametrize("which", ["least", "most"])
def test_only_its_own_rule_is_another_and_says_so(limit: object, which: str) -> None:
    value = getattr(limit, which)
    one = next(one for one in RULES.limits if one is limit)
    changed = RULES.of_patient(((one.id, value),))
    others = [rule.id for rule, was in zip(changed.rules, RULES.rules, strict=True)
              if any(getattr(rule, key.name) != getattr(was, key.name) for key in fields(rule)
                     if key.name not in ("when", "clear", "at_once", "escalations"))
              or rule.when.text.replace(" ", "") != was.when.text.replace(" ", "")]
    assert others == [one.rule]
    rule, was = changed.named(one.rule), RULES.named(one.rule)
    by = value - one.number
    for key in ("when", "at_once", "clear"):
        new, old = getattr(rule, key), getattr(was, key)
        if old is not None:
            moved = re.sub(r"\b\d+\b", lambda found: f"{float(found[0]) + by:g}"
                           if float(found[0]) in (one.number, *one.moves) else found[0], old.text)
            assert eval(f"lambda: ({new.text})").__code__.co_consts == eval(
                f"lambda: ({moved})").__code__.co_consts or [float(x) for x in re.findall(r"[\d.]+", new.text)] == [
                float(x) for x in re.findall(r"[\d.]+", moved)]
    assert "this patient's" in rule.text and f"usual {one.number:g}" in rule.limit
    assert RULES.of_patient(()).named(one.rule).text == was.text, "without a limit it is as it was"


def test_no_bound_reaches_the_level_above() -> None:
    hard = {"RES-1": 85, "RES-2": 85, "CAR-1": 140, "CAR-3": 40, "RES-4": 5}
    assert {limit.rule for limit in RULES.limits} == set(hard)
    for limit in RULES.limits:
        worst = limit.most if RULES.named(limit.rule).worse.get("pulse_bpm") == 1 else limit.least
        assert (hard[limit.rule] - worst) * (limit.number - worst) < 0, limit.id


def test_it_is_kept_over_a_restart_and_said_in_record_and_state() -> None:
    bed = told("1:00 limit spo2_low 91 lung disease\n")
    body = bed.pending_events[-1].body if isinstance(bed.pending_events[-1].body, LimitSet) else next(
        one.body for one in bed.pending_events if isinstance(one.body, LimitSet))
    assert isinstance(body, LimitSet)
    assert (body.limit, body.value, body.was, body.usual, body.reason) == ("spo2_low", 91, 94, 94, "lung disease")
    again = Bedside("story", (), RULES)
    again.restore(bed.bedside.snapshot())
    assert again.rules.named("RES-1").when.text == "spo2_pct < 91.0"
    assert again.snapshot() != b"" and views.full(again.state, bed.at_s).session is not None
    session = views.full(bed.bedside.state, bed.at_s).session
    assert session is not None
    assert [(one.limit, one.value, one.by) for one in session.limits if one.value is not None] == [
        ("spo2_low", 91, "nurse")]
    assert len(session.limits) == len(RULES.limits)


def test_a_limit_that_rules_toml_no_longer_has_is_left_out() -> None:
    bed = told("1:00 limit spo2_low 91 lung disease\n")
    text = FILE.read_text()
    narrower = parse_rules(text.replace("least = 90\nmost = 97", "least = 92\nmost = 97"))
    for rules in (narrower, parse_rules(re.sub(r"\[\[limit\]\]\n(?:.+\n)+", "", text))):
        again = Bedside("story", (), rules)
        again.restore(bed.bedside.snapshot())
        assert again.rules.named("RES-1").text == RULES.named("RES-1").text


def test_what_was_counted_below_the_old_limit_is_not_gone_on_with() -> None:
    bed = told("1:00 spo2 89\n1:05 limit spo2_very_low 88 lung disease\n1:06 spo2 97\n"
               "1:20 limit spo2_very_low usual better now\n")
    assert all(not one.is_below and not one.points for one in bed.bedside.state.below.values())


WRONG = [
    ('rule = "RES-1"\nnumber', 'rule = "RES-9"\nnumber', "no rule is named 'RES-9'"),
    ("number = 94", "number = 96.5", "RES-1 has no number 96.5 in its conditions"),
    ("moves = [95]", "moves = [96]", "RES-1 has no number 96 in its conditions"),
    ("least = 90\n", "least = 95\n", "94 is not from least, 95, to most, 97"),
    ('id = "spo2_very_low"', 'id = "spo2_low"', "a limit is named 'spo2_low' already"),
    ('id = "spo2_low"', 'id = "SpO2"', "id must be a word of a-z"),
    ('title = "SpO₂, awareness"\n', "", "needs title"),
]


@pytest.mark.parametrize(("old", "new", "says"), WRONG)
def test_a_faulty_limit_is_refused_with_its_line(old: str, new: str, says: str) -> None:
    text = FILE.read_text()
    assert old in text
    with pytest.raises(RulesError, match=f"^rules.toml:\\d+: .*{re.escape(says)}"):
        parse_rules(text.replace(old, new, 1))


def test_words_keep_what_is_no_limit() -> None:
    limit = next(one for one in RULES.limits if one.id == "spo2_low")
    table = {"when": "spo2_pct < 94 and rise_pct(pulse_bpm) > 94", "text": "{spo2_pct}: below 94 %, 194, 9.94",
             "limit": "94 % for 60 s"}
    found = varied(table, [(limit, 91)])
    assert found["text"] == "{spo2_pct}: below 91 %, 194, 9.94 (this patient's limit)"
    assert found["limit"] == "91 % for 60 s (this patient's; usual 94)"
    assert varied(table, []) == table


def test_what_may_be_set_is_of_the_rules_and_no_memory_of_a_bed() -> None:
    bed = Bedside("bed", (), RULES)
    assert b"spo2_low" not in bed.snapshot()
    bed.restore(bed.snapshot())
    assert bed.state.limits == RULES.limits


@pytest.mark.parametrize(("least", "most", "taken"), [
    (90, 90, True), (86, 90, True), (90, 93, True), (90.5, 93, False), (86, 89.5, False)])
def test_the_usual_number_is_within_its_bounds(least: float, most: float, taken: bool) -> None:
    table = {"id": "own", "title": "-", "unit": "%", "rule": "OWN-1", "number": 90.0, "least": float(least),
             "most": float(most)}
    refused = nullcontext() if taken else pytest.raises(BadTable, match="90 is not from least")
    with refused:
        read_limits([table], {"OWN-1": {"when": "spo2_pct < 90"}})
