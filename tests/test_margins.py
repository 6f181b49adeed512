"""How far each number is from its next alarm, by the rules in force."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge.core import margins
from edge.core.context import RuleContext
from edge.core.expression import compile_condition
from edge.core.rule import Rule
from edge.core.rules import RuleSet, parse_rules
from edge.core.state import Baseline, BedState, LatestValue, Order, Session
from edge.core.stories import run_story
from edge.core.story_bed import StoryBed
from tests.helpers.rule_files import FILE, PROTOCOLS, RULES

GIVEN = "given infusing, background: quiet\n"


def told(story: str, given: str = GIVEN) -> StoryBed:
    return run_story(given + story, "margins", RULES, "RES-4", PROTOCOLS)


def away(bed: StoryBed, rules: RuleSet | None = None) -> dict[tuple[str, int], tuple[str, float, float]]:
    found = margins.nearest(bed.bedside.state, rules or bed.bedside.rules, bed.at_s)
    return {(one.metric, one.worse): (one.rule, one.at, one.margin) for one in found}


@pytest.mark.parametrize(("condition", "found"), [
    ("spo2_pct < 94", ["spo2_pct Lt 94"]),
    ("sbp_mmhg >= 180 or dbp_mmhg >= 120 or pair(dbp_mmhg >= 110)",
     ["sbp_mmhg GtE 180", "dbp_mmhg GtE 120", "dbp_mmhg GtE 110 twice"]),
    ("pair(sbp_mmhg >= 1.20 * baseline.sbp_mmhg)", ["sbp_mmhg GtE 1.2 baseline.sbp_mmhg twice"]),
    ("pulse_bpm < 50 or pulse_bpm < 55 and fall_pct(pulse_bpm) > 25", ["pulse_bpm Lt 50"]),
    ("not spo2_pct < 94", []), ("no_valid_s(spo2_pct) > 15", []), ("infusing()", []), ("spo2_pct == 94", []),
    ("session.ended_s > 60", []), ("sbp_mmhg > dbp_mmhg", []),
])
def test_what_alone_raises_an_alarm(condition: str, found: list[str]) -> None:
    assert [" ".join(filter(None, (one.metric, one.sign.__name__, f"{one.number:g}", one.baseline,
                                   "twice" if one.twice else ""))) for one in margins.compared_in(condition)] == found


@pytest.mark.parametrize(("condition", "at", "worse"), [
    ("spo2_pct < 94", 93, -1), ("spo2_pct <= 94", 94, -1), ("pulse_bpm > 120", 121, 1), ("pulse_bpm >= 120", 120, 1),
    ("temp_c > 38.5", 38.6, 1), ("temp_c > 38.55", 38.6, 1), ("temp_c >= 38.55", 38.6, 1), ("temp_c < 35.5", 35.4, -1),
    ("temp_c < 35.55", 35.5, -1), ("temp_c <= 35.55", 35.5, -1),
    # in floating point 1.2 x 120 is a little less than 144, and 1.1 x 120 a little more than 132
    *((f"sbp_mmhg {sign} * baseline.sbp_mmhg", at, worse) for sign, at, worse in (
        (">= 1.2", 144, 1), ("> 1.2", 145, 1), ("<= 1.2", 144, -1), ("< 1.2", 143, -1),
        (">= 1.1", 132, 1), ("> 1.1", 133, 1), ("<= 1.1", 132, -1), ("< 1.1", 131, -1))),
    ("map_mmhg >= 1.2 * baseline.map_mmhg", None, 1),
])
def test_the_first_number_that_is_an_alarm(condition: str, at: float | None, worse: int) -> None:
    session = Session("s", "b", Order("iv_racemic_40", 70, 0.5, 40, 1.0), "INFUSING", 0, 0, "nina",
                      baseline=Baseline(120, 75, 2, "pair"))
    (compared,) = margins.compared_in(condition)
    found = margins._limit(RULES.named("RES-2"), compared, RuleContext(BedState("b", session=session), 0))
    assert (None if found is None else (found.at, found.worse)) == (None if at is None else (at, worse))


FAST = replace(RULES.named("CAR-1"), clear=None)


@pytest.mark.parametrize(("rules", "no_pump", "pulse", "found"), [
    ((FAST,), True, 70, {("CAR-1", 51)}), ((replace(FAST, of_pump=True),), True, 70, set()),
    ((replace(FAST, of_pump=True),), False, 70, {("CAR-1", 51)}), ((replace(FAST, request=True),), False, 70, set()),
    ((replace(FAST, context=frozenset({"READY"})),), False, 70, set()), ((FAST,), False, 120, {("CAR-1", 1)}),
    ((FAST,), False, 121, set()), ((FAST, replace(FAST, id="OWN-1")), False, 70, {("CAR-1", 51)}),
    ((FAST, replace(FAST, id="OWN-1", when=compile_condition("pulse_bpm > 119"))), False, 70, {("OWN-1", 50)}),
    ((RULES.named("CAR-3"),), False, None, set()),  # above all that can be measured: how far is that
])
def test_which_limit_is_the_next(
    rules: tuple[Rule, ...], no_pump: bool, pulse: float | None, found: set[tuple[str, float]],
) -> None:
    session = Session("s", "b", Order("iv_racemic_40", 70, 0.5, 40, 1.0), "INFUSING", 0, 0, "nina")
    state = BedState("b", session=session, no_pump=no_pump, latest={
        "pulse_bpm": LatestValue("o", pulse, "valid" if pulse else "overflow", None, 0)})
    next_up = margins.nearest(state, replace(RULES, rules=rules), 0)
    assert {(one.rule, one.margin) for one in next_up} == found


def test_each_number_at_its_limit_and_one_less() -> None:
    bed = told("1:00 bp 130/80\n1:10 spo2 97; pulse 70\n")
    assert away(bed) == {
        ("spo2_pct", -1): ("RES-1", 93, 4), ("pulse_bpm", 1): ("CAR-1", 121, 51), ("pulse_bpm", -1): ("CAR-3", 49, 21),
        ("sbp_mmhg", 1): ("HTN-1", 144, 14), ("dbp_mmhg", 1): ("HTN-1", 90, 10), ("sbp_mmhg", -1): ("CAR-5", 89, 41),
        **{key: one for key, one in away(bed).items() if key[0] in ("rate_ml_h", "map_mmhg", "volume_infused_ml")},
    }
    assert away(told("1:10 spo2 94\n"))["spo2_pct", -1] == ("RES-1", 93, 1)
    assert away(told("1:10 spo2 93\n"))["spo2_pct", -1] == ("RES-2", 89, 4), "RES-1 has begun: the next one"
    assert ("spo2_pct", -1) not in away(told("1:10 spo2 84\n1:11 spo2 84\n"))


def test_a_patient_s_own_limit_and_a_baseline_count() -> None:
    assert away(told("1:00 limit spo2_low 91 lung disease\n"))["spo2_pct", -1] == ("RES-1", 90, 7)
    high = told("1:00 bp 150/80\n", "given infusing, baseline 140/80, background: quiet\n")
    assert away(high)["sbp_mmhg", 1] == ("HTN-2", 160, 10), "1.2 x 140 is 168: 160 comes first"


def test_what_is_not_known_or_does_not_apply_says_nothing() -> None:
    assert not [key for key in away(told("1:00 spo2 none sensor_off\n")) if key[0] == "spo2_pct"]
    quiet = told("1:00 spo2 97\n", "given no session, background: quiet\n")
    assert ("resp_bpm", -1) not in away(quiet)
    breathing = told("1:00 resp 14\n")
    assert away(breathing)["resp_bpm", -1] == ("RES-4", 7, 7)


def test_a_limit_of_what_has_tenths_is_reached_by_the_next_tenth() -> None:
    warm = parse_rules(FILE.read_text() + """
[[rule]]
id = "WARM-1"
class = "physiological"
priority = "low"
context = ["*"]
title = "-"
text = "-"
clears = "-"
why = "-"
source = "-"
when = "temp_c > 38.5"
""")
    rule, at, margin = away(told("1:00 temp_c 37.2\n"), warm)["temp_c", 1]
    assert (rule, round(at, 6), margin) == ("WARM-1", 38.6, 1.4)
