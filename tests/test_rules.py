"""rules.toml as a file: each refusal names the key's own line; windows and order follow from what the rules ask."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import msgspec
import pytest
from msgspec.structs import asdict

from edge.core import rules, tables
from edge.core.bedside import Bedside
from edge.core.engine import Engine
from edge.core.expression import compile_condition
from edge.core.fact import Account
from edge.core.rules import RulesError, parse_rules
from edge.model import Sample, Samples, Tick
from tests.helpers.bed_story import DEVICES, BedStory, spo2, state_of
from tests.helpers.rule_files import FILE, RULES
from tests.helpers.rule_table import differences

RULE = """
[[rule]]
id = "{id}"
title = "Title"
class = "technical"
priority = "low"
context = ["*"]
when = "{when}"
text = "Text"
clears = "it ends"
why = "Because."
source = "made up"
"""


def rules_of(**when: str) -> str:
    return "".join(RULE.format(id=name.replace("_", "-"), when=condition) for name, condition in when.items())


# --- refusals ---------------------------------------------------------------------------------------------------------

TABLES = "write [[rule]] tables, [engine], [attention], [interlock] and [[limit]]"
ONE = rules_of(A_1="spo2_pct < 90") + 'hold_s = 3\nraise = [{ priority = "high", when = "spo2_pct < 80" }]\n'
WRONG: list[tuple[str, str, str]] = [  # what stands in ONE, what is written instead, line and words of the refusal
    ("hold_s = 3", 'hold_s = "3"', "13: A-1: hold_s must be seconds, 0 or more, not '3'"),
    ("hold_s = 3", "hold_s = 1000000000", "13: A-1: hold_s must be seconds, 0 or more, not 1000000000"),
    ("hold_s = 3", "hold_s = true", "13: A-1: hold_s must be seconds, 0 or more, not True"),
    ("hold_s = 3", "hold_s = -1", "13: A-1: hold_s must be seconds"),
    ("hold_s = 3", "holds_s = 3", "13: A-1: no key 'holds_s' in [[rule]]; did you mean 'hold_s'?"),
    ('title = "Title"', 'title = ""', "4: A-1: title must be text"),
    ('title = "Title"', "title = 3", "4: A-1: title must be text"),
    ('title = "Title"\n', "", '2: A-1: needs title = text, as in "..."'),
    ('class = "technical"', 'class = "clinical"', '5: A-1: class must be "physiological" or "technical"'),
    ('priority = "low"', 'priority = "lo"',
     "6: A-1: priority must be one of 'high', 'medium', 'low', 'none', not 'lo'"),
    ('context = ["*"]', "context = []", "7: A-1: context must be a list of PRECHECK"),
    ('context = ["*"]', 'context = "*"', "7: A-1: context must be a list of PRECHECK"),
    ('context = ["*"]', 'context = ["INFUSE"]', "7: A-1: context must be a list of PRECHECK"),
    ("spo2_pct < 90", "spo2 < 90", "8: A-1: no metric is named 'spo2'; did you mean 'spo2_pct'?"),
    ('"spo2_pct < 90"', "90", "8: A-1: when must be a condition"),
    ("spo2_pct < 90", "standing(B-1)", "8: A-1: write a plain word here"),
    ("spo2_pct < 90", "standing(B)", "8: A-1: standing('B'): no rule or family has that name; known: A, A-1"),
    ("spo2_pct < 80", "spo2 < 80", "14: A-1: no metric is named 'spo2'"),
    ('priority = "high", when', 'prio = "high", when', "14: A-1: no key 'prio' in raise; did you mean 'priority'?"),
    ('text = "Text"', 'text = "{spo2}"', "9: A-1: text names {spo2}, which nothing fills in; did you mean 'spo2_pct'?"),
    ("hold_s = 3", "latch = 1", "13: A-1: latch must be true or false, not 1"),
    ("hold_s = 3", "latch_sound = true", "13: A-1: a sound that stays needs its picture: write latch = true, too"),
    ("hold_s = 3", "tier = 1.5", "13: A-1: tier must be a whole number, not 1.5"),
    ("hold_s = 3", 'for_each = ["pumps"]', "13: A-1: for_each must be a list of pump"),
    ("[[rule]]", "[engine]\ngap = 3\n[[rule]]", "3: no key 'gap' in [engine]; did you mean 'gap_s'?"),
    ("[[rule]]", "[engine]\ncoverage = 80\n[[rule]]", "3: coverage must be a part, 0 to 1, not 80"),
    ("[[rule]]", "[rules]\n[[rule]]", f"2: {TABLES}, not rules"),
    ("[[rule]]", "[rule]", f"1: {TABLES}, not an empty file"),
    ("when = ", "when == ", "not TOML"),
]


@pytest.mark.parametrize(("was", "now", "says"), WRONG)
def test_a_refusal_names_the_line_of_the_key(was: str, now: str, says: str) -> None:
    assert was in ONE
    with pytest.raises(RulesError) as wrong:
        parse_rules(ONE.replace(was, now, 1))
    assert says in str(wrong.value)


def test_two_rules_that_ask_each_other_are_refused_by_both_names() -> None:
    text = rules_of(A_1="standing('C-1')", B_1="spo2_pct < 90", C_1="standing('D-1')", D_1="standing('A')")
    with pytest.raises(RulesError, match=r"^rules\.toml:8: A-1 and C-1 ask of each other"):
        parse_rules(text)


def test_what_0_1_0_took_is_still_taken() -> None:
    """A number where a text is meant, and a rule that asks how its own alarm stood."""
    rule = parse_rules(rules_of(A_1="standing('A-1') or spo2_pct < 90") + "limit = 90\ngroup = 3\n").rules[0]
    assert (rule.limit, rule.group) == ("90", "3")


# --- the order in which rules are judged ------------------------------------------------------------------------------


def test_a_rule_is_judged_after_those_it_asks_about() -> None:
    text = rules_of(A_1="standing(C)", B_1="not standing('A-1')", C_1="spo2_pct < 90", D_1="spo2_pct < 80")
    assert [[rule.id for rule in cause] for cause in parse_rules(text).causes] == [["C-1"], ["A-1"], ["B-1"], ["D-1"]]


def test_the_order_in_the_file_does_not_matter() -> None:
    """TEC-1 hands over to TEC-4 at once, wherever the two stand."""
    head, *parts = FILE.read_text().split("[[rule]]")
    swapped = parse_rules(head + "".join("[[rule]]" + part for part in reversed(parts)))
    given = parse_rules(FILE.read_text())
    ids = [cause[-1].id for cause in swapped.causes]
    assert ids.index("TEC-4") < ids.index("TEC-1")
    assert {tuple(rule.id for rule in cause) for cause in swapped.causes} == {
        tuple(rule.id for rule in cause) for cause in given.causes}


# --- windows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("window_s", "apart_s", "fires"), [
    (300, 100, True), (300, 149, True), (300, 150, False), (60, 29, True), (60, 30, False),
])
def test_violations_within_any_window_can_fire(window_s: int, apart_s: int, fires: bool) -> None:
    """Three dips below 90 %, so far apart: the third is within the window if the first is not yet too old."""
    rules = parse_rules(rules_of(A_1=f"violations(spo2_pct, 90, {window_s}) >= 3",
                                 B_1="violations(spo2_pct, 90, 20) >= 99"))
    bed = Bedside("chair-1", DEVICES, rules)
    for second in range(2 * apart_s + 1):
        value = 89.0 if second % apart_s == 0 else 97.0
        bed.apply(Samples("oximeter", (Sample("chair-1", "oximeter", "spo2_pct", value, "valid", 1e9 + second),)),
                  1e9 + second)
    assert (bed.state.alarms["A-1"].state == "active" if "A-1" in bed.state.alarms else False) is fires


def test_coverage_is_kept_for_the_longest_hold_of_each_metric() -> None:
    text = rules_of(A_1="spo2_pct < 90") + "hold_s = 40\n" + rules_of(B_1="pulse_bpm > 120") + "clear_hold_s = 9\n"
    assert parse_rules(text + rules_of(C_1="resp_bpm < 8")).needs.coverage_s == {"spo2_pct": 40.0, "pulse_bpm": 9.0}


# --- [engine] ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gap_s", "raised"), [("3", False), ("5", True)])
def test_the_numbers_of_the_engine_are_the_clinics(gap_s: str, raised: bool) -> None:
    text = FILE.read_text().replace("gap_s = 5 ", f"gap_s = {gap_s} ")
    text = text.replace("gap_of_staleness = 0.5", "gap_of_staleness = 0")
    rules = parse_rules(text)
    story = BedStory()
    story.bed = Bedside("chair-1", DEVICES, rules)
    story.bed.restore(BedStory().infusing().bed.snapshot())
    story.at_s = BedStory().infusing().at_s
    for _ in range(9):
        spo2(story, 89.9)
    spo2(story, 89.9, after_s=4.0)
    for _ in range(5):
        spo2(story, 89.9)
    assert (state_of(story, "RES-2") == "active") is raised
    story.give(Tick())


def test_the_default_rules_are_those_of_the_table() -> None:
    """Priority, latch, group, times, contexts and devices, drawn by hand; the conditions have their stories."""
    assert differences(RULES) == []


NOT_WRITTEN = {  # what counts where a file says nothing: as 0.1.0
    "gap_s": 5.0, "gap_of_staleness": 0.5, "coverage": 0.8, "stream_s": 2.0, "stream_of_staleness": 0.2,
    "pair_apart_s": 60.0, "pair_within_s": 600.0, "pair_within_intervals": 1.2, "pair_spare_s": 60.0,
    "pair_late_s": 60.0, "nibp_stale_after_interval_s": 300.0, "acknowledged_for_s": 600.0, "update_apart_s": 10.0,
    "unwatched_of_s": 0.0, "unwatched_mostly_s": 0.0, "unwatched_ahead_s": 0.0, "entered_for_s": 0.0,
    "cuff_excuses_s": 0.0, "cuff_joins_s": 0.0, "cuff_apart_s": 90.0, "cuff_inflated_mmhg": 20.0,
    "cuff_pause_s": 30.0, "cuff_most": 8.0, "cuff_most_of_s": 900.0, "cuff_repeat_s": 60.0, "cuff_answers_s": 240.0,
    "every_cuff": False, "satseconds_stand_still": False, "levels": False,
    "spo2_least_pct": 30.0, "spo2_most_pct": 100.0, "spo2_leap_pct": 20.0, "spo2_leap_within_s": 1.5,
    "sbp_least_mmhg": 40.0, "sbp_most_mmhg": 300.0, "dbp_least_mmhg": 20.0, "dbp_most_mmhg": 200.0,
    "pulse_pressure_least_mmhg": 10.0, "counter_noise_ml": 0.5, "counter_spare_ml": 1.0, "audio_pause_s": 120.0,
    "gap_shown_s": 1800.0,
}


def test_a_file_that_says_nothing_of_the_engine_is_judged_as_by_0_1_0() -> None:
    assert asdict(Engine()) == NOT_WRITTEN


@pytest.mark.parametrize(("when", "hold_s", "window_s", "covered"), [
    ("satseconds(spo2_pct, 90) >= 50", 0.0, 0.0, {}), ("violations(spo2_pct, 90, 0.5) >= 3", 0.0, 0.5, {}),
    ("violations(spo2_pct, 90, 60) >= 3 or satseconds(spo2_pct, 90) > 5", 0.0, 60.0, {}),
    ("spo2_pct < 90 and satseconds(spo2_pct, 90) > 5", 0.5, 0.0, {"spo2_pct": 0.5})])
def test_what_a_rule_needs_kept(when: str, hold_s: float, window_s: float, covered: dict[str, float]) -> None:
    rule = replace(RULES.named("RES-2"), when=compile_condition(when), at_once=None, clear=None, hold_s=hold_s,
                   clear_hold_s=0.0)
    needs = rules._needs([rule])
    assert (needs.accounts, needs.coverage_s) == ({"spo2_pct": (Account("spo2_pct", 90.0, window_s),)}, covered)


class Silent(msgspec.Struct):
    """Says of its key no word of what it must be."""

    number: Annotated[int, msgspec.Meta(ge=0)]
    text: tables.Text = "-"


def test_what_is_refused_is_cut_short_and_a_key_that_does_not_say_what_it_must_be_is_our_own_fault() -> None:
    with pytest.raises(tables.BadTable) as wrong:
        tables.read_table(Silent, {"number": 1, "text": list("x" * 99)}, (), "it")
    assert str(wrong.value) == f"text must be text, as in \"...\", not {str(list('x' * 99))[:60]}"
    with pytest.raises(TypeError, match=r"Silent\.number does not say"):
        tables.read_table(Silent, {"number": -1}, (), "it")
