"""`vigil rules explain`: each rule in words that are true, with every number it judges by."""

from __future__ import annotations

import ast

import pytest

from edge.core.explain import explain, explain_rule
from edge.core.rules import parse_rules
from tests.helpers.rule_files import FILE, RULES


def test_a_rule_says_its_branches_its_end_its_latch_and_whom_it_replaces() -> None:
    assert explain_rule(RULES.named("HTN-3"), RULES).splitlines()[:9] == [
        "HTN-3  Severe hypertension: HIGH physiological alarm, always",
        "  raised       when one of these is so:",
        "               - SBP is at least 180 mmHg",
        "               - DBP is at least 120 mmHg",
        "               - in both of two blood pressures in a row: DBP is at least 110 mmHg",
        "  ends         when SBP is below 170 mmHg and DBP is below 105 mmHg",
        "  then         its picture stays until a nurse acknowledges it",
        "  instead of   HTN-1 and HTN-2: of one group only the highest is active",
        "  says         Blood pressure <SBP>/<DBP> mmHg: severe hypertension",
    ]


def test_what_a_rule_leaves_out_is_said_as_left_out() -> None:
    words = explain_rule(RULES.named("INF-4"), RULES)
    assert "when the pump has an alarm of its own other than vtbi done, end of infusion, near end, mains lost" in words
    assert "as the most urgent of the device's alarms, and never less than MEDIUM" in words
    assert "ends         when that is no longer so" in words


def test_times_and_urgency_are_said() -> None:
    res = explain_rule(RULES.named("RES-2"), RULES)
    assert "raised       when SpO₂ is below 90 %, for 15 s" in res
    assert "at once      when one of these is so:" in res
    assert "ends         when SpO₂ is at least 92 %, for 10 s" in res
    assert "says at end  SpO₂ <SpO₂> %: 92 % or more again\n" in res
    tec = explain_rule(RULES.named("TEC-1"), RULES)
    assert "more urgent  MEDIUM while infusing, while paused, in the dissociation period, when the time" in tec
    assert "without a valid SpO₂ is at least 30 s; while it is active it becomes no less urgent" in tec
    assert "for each oximeter and each monitor" in tec.splitlines()[0]


def test_a_number_has_the_unit_of_the_metric_it_is_of() -> None:
    words = explain_rule(RULES.named("TEC-13"), RULES)
    assert "two devices' SpO₂ within 60 s is above 5 %\n" in words
    assert "two devices' SBP within 60 s is above 20 mmHg\n" in words
    of_pulse = parse_rules(FILE.read_text().replace("satseconds(spo2_pct, 90)", "satseconds(pulse_bpm, 45)"))
    assert "seconds below 45 is at least 50 /min·s" in explain_rule(of_pulse.named("RES-2"), of_pulse)


def test_whether_the_bed_is_watched_is_said_with_this_clinics_numbers() -> None:
    words = explain_rule(RULES.named("TEC-10"), RULES)
    assert "each monitor, and for the bed where it is no device's" in words.splitlines()[0]
    assert "more urgent  HIGH when SBP is below 80 mmHg;" in explain_rule(RULES.named("CAR-5"), RULES)
    other = parse_rules(FILE.read_text().replace("unwatched_of_s = 60", "unwatched_of_s = 90"))
    assert "lately       of the last 60 s" in explain(RULES)
    assert "lately       of the last 90 s" in explain(other)


def test_a_request_is_no_alarm() -> None:
    words = explain_rule(RULES.named("HTN-R"), RULES)
    assert words.startswith("HTN-R  Repeat the blood pressure: a request, no alarm, while infusing")
    assert "ends" not in words


@pytest.mark.parametrize("rule", [rule.id for rule in RULES])
def test_every_number_a_rule_judges_by_is_in_its_words(rule: str) -> None:
    found = RULES.named(rule)
    words = explain_rule(found, RULES)
    said = words[:words.index("  says ")]
    for condition in found.conditions.values():
        for node in ast.walk(ast.parse(condition.text, mode="eval")):
            if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and node.value:  # 0: no reading
                share = f"{round((node.value - 1) * 100, 6):g} % above"
                least = "what can be measured" if node.value == 0 else share
                ways = (f" {node.value:g}", f"({node.value:g}", share, least)
                assert any(way in said for way in ways), node.value
    for seconds in (found.hold_s, found.clear_hold_s):
        assert not seconds or f"for {seconds:g} s" in said


def test_what_holds_for_all_rules_is_said_with_this_clinics_numbers() -> None:
    other = parse_rules(FILE.read_text().replace("pair_within_s = 600", "pair_within_s = 720")
                        .replace("coverage = 0.8", "coverage = 0.9"))
    assert "at least 60 s apart, and at most 600 s, or 1.2 intervals of the cuff and 60 s" in explain(RULES)
    assert "at most 720 s" in explain(other)
    assert "valid readings for 90 % of the time, and no gap of more than 5 s" in explain(other)
