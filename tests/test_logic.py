"""Three-valued logic and the language of conditions."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.core.context import RuleContext
from edge.core.engine import Engine
from edge.core.expression import ExpressionError, compile_condition, parts_of
from edge.core.facts import FACTS, FUNCTIONS
from edge.core.logic import Truth, both, either, negate
from edge.core.protocols import as_in_0_1_0
from edge.core.rule import applies
from edge.core.state import BedState, Determination, LatestValue, Order, Session
from edge.model import Phase
from edge.vocabulary import METRICS

T, F, U = True, False, None
AND = {(T, T): T, (T, F): F, (T, U): U, (F, T): F, (F, F): F, (F, U): F, (U, T): U, (U, F): F, (U, U): U}
OR = {(T, T): T, (T, F): T, (T, U): T, (F, T): T, (F, F): F, (F, U): U, (U, T): T, (U, F): U, (U, U): U}
AT_S = 1000.0


@pytest.mark.parametrize(("a", "b"), list(itertools.product((T, F, U), repeat=2)))
def test_kleene(a: Truth, b: Truth) -> None:
    assert both((a, b)) is AND[a, b]
    assert either((a, b)) is OR[a, b]
    assert negate(both((a, b))) is either((negate(a), negate(b)))


def bed(**values: float | None) -> BedState:
    latest = {key: LatestValue("d", value, "valid" if value is not None else "invalid", None, AT_S, value, AT_S)
            for key, value in values.items()}
    return BedState(bed="b", latest=latest)


TABLE: list[tuple[str, dict[str, float | None], Truth]] = [
    ("spo2_pct < 90", {"spo2_pct": 89}, T),
    ("spo2_pct < 90", {"spo2_pct": 90}, F),
    ("spo2_pct < 90", {"spo2_pct": None}, U),
    ("spo2_pct < 90", {}, U),
    ("spo2_pct < 90 or pulse_bpm > 120", {"pulse_bpm": 130}, T),
    ("spo2_pct < 90 and pulse_bpm > 120", {"pulse_bpm": 100}, F),
    ("not spo2_pct < 90", {"spo2_pct": 95}, T),
    ("pulse_bpm >= 2 * spo2_pct - 10", {"spo2_pct": 50, "pulse_bpm": 90}, T),
    ("sbp_mmhg >= 1.2 * baseline.sbp_mmhg", {}, U),
    ("1 > 2", {}, F),
    ("pulse_bpm == 60 and pulse_bpm != 61", {"pulse_bpm": 60}, T),
]


@pytest.mark.parametrize(("text", "values", "expected"), TABLE)
def test_conditions(text: str, values: dict[str, float | None], expected: Truth) -> None:
    assert compile_condition(text).evaluate(RuleContext(bed(**values), AT_S)) is expected


def test_a_stale_value_is_unknown() -> None:
    ask = compile_condition("spo2_pct < 90").evaluate
    assert ask(RuleContext(bed(spo2_pct=80), AT_S + 10)) is True
    assert ask(RuleContext(bed(spo2_pct=80), AT_S + 10.1)) is None


@pytest.mark.parametrize(("apart_s", "expected"), [(59, F), (60, T), (600, T), (600.1, F)])
def test_a_pair_is_60_s_to_w_apart(apart_s: float, expected: Truth) -> None:
    state = BedState(bed="b", determinations=[Determination(AT_S - apart_s, 150, 90), Determination(AT_S, 150, 90)])
    assert compile_condition("pair(sbp_mmhg >= 150)").evaluate(RuleContext(state, AT_S)) is expected


@pytest.mark.parametrize(("taken", "watched", "in_0_1_0"), [
    # seconds ago, and the mean pressure: 100 and more counts; what is so where the watch counts, and as in 0.1.0
    ([], U, F), ([(0, 100)], F, F), ([(360, 100)], F, F), ([(360.1, 100)], U, F), ([(360.1, 99)], U, F),
    ([(60, 100), (0, 100)], T, T), ([(59, 100), (0, 100)], F, F), ([(60, 99), (0, 100)], F, F),
    ([(60, 100), (0, 99)], F, F), ([(300, 100), (200, 99), (0, 100)], F, F), ([(120, 100), (30, 100), (0, 100)], T, F),
    ([(120, 99), (30, 100), (0, 100)], F, F), ([(60, None), (0, 100)], U, U), ([(60, None), (0, 99)], F, F),
    ([(300, 100), (60, None), (0, 100)], U, U), ([(600, 100), (0, 100)], T, T), ([(600.1, 100), (0, 100)], F, F),
    ([(60, 100), (0, None)], U, U), ([(700, 100), (601, 100)], U, U),
])
def test_what_is_so_in_two_pressures_in_a_row(
    taken: list[tuple[float, float | None]], watched: Truth, in_0_1_0: Truth,
) -> None:
    ask = compile_condition("pair(map_mmhg >= 100)").evaluate
    for counts_s, expected in ((60.0, watched), (0.0, in_0_1_0)):
        state = BedState("b", engine=Engine(unwatched_of_s=counts_s),
                         determinations=[Determination(AT_S - one, 150, 90, mean) for one, mean in taken])
        assert ask(RuleContext(state, AT_S)) is expected


BAD = [
    ("spo2 < 90", "did you mean 'spo2_pct'"),
    ("spo2_pct", "is not a condition"),
    ("60 < pulse_bpm < 90", "one comparison at a time"),
    ("pulse_bpm > 'x'", "is not a number"),
    ("__import__('os') > 1", "no function is named"),
    ("baseline.sbp > 1", "baseline has no 'sbp'"),
    ("pair(sbp_mmhg)", "is not a condition"),
    ("violations(spo2_pct, 90) > 1", "takes (metric, number, number)"),
    ("spo2_pct <", "cannot read"),
    ("pulse_bpm if 1 else 2", "is not a condition"),
    ("(lambda: 1)() > 0", "no function is named ''"),
    ("violations(spo2_pct, True, 60) > 1", "write a number here, not 'True'"),
    ("violations(spo2_pct, '90', 60) > 1", "write a number here"),
    ("violations(spo2_pct, spo2_pct, 60) > 1", "write a number here"),
    ("spo2_pct < 60, 5", "a comma parts 'spo2_pct < 60, 5'; write"),
    (f"spo2_pct < {'9' * 400}", f"cannot read 'spo2_pct < {'9' * 49}': int too large"),
]


@pytest.mark.parametrize(("text", "says"), BAD)
def test_what_cannot_be_understood_is_said(text: str, says: str) -> None:
    with pytest.raises(ExpressionError) as wrong:
        compile_condition(text)
    assert says in str(wrong.value)


@pytest.mark.parametrize(("context", "phase", "is_open", "holds"), [
    ({"*"}, None, False, True), ({"*"}, "READY", False, True), ({"NO_SESSION"}, None, False, True),
    ({"NO_SESSION"}, "READY", False, False), ({"READY"}, None, False, False), ({"READY"}, "READY", False, True),
    ({"READY"}, "RECOVERY", True, False), ({"DISSOCIATION"}, "RECOVERY", True, True),
    ({"DISSOCIATION"}, "RECOVERY", False, False), ({"DISSOCIATION"}, None, False, False)])
def test_where_a_rule_applies(context: set[str], phase: Phase | None, is_open: bool, holds: bool) -> None:
    session = None if phase is None else Session(
        "s", "b", Order("iv_racemic_40", 70, 0.5, 40, 1.0), phase, 0, 0, "nina",
        dissociation="resolving" if is_open else "none")
    assert applies(frozenset(context), session) is holds


def test_what_a_condition_is_made_of() -> None:
    text = "spo2_pct < 90 or sbp_mmhg >= 180 or pulse_bpm > 120 or resp_bpm <= 8 or temp_c == 37"
    found = compile_condition(text)
    assert found.worse == {"spo2_pct": -1, "sbp_mmhg": 1, "pulse_bpm": 1, "resp_bpm": -1, "temp_c": 0}
    assert (len(found.branches), found.determinations) == (5, 1)
    assert [part.text for part in parts_of(text, "or")] == text.split(" or ")
    assert [part.words for part in parts_of(text, "and")] == [found.words]
    both_text = "spo2_pct < 90 and infusing()"
    assert compile_condition(both_text).branches == ("SpO₂ is below 90 % and the pump infuses",)
    assert [part.text for part in parts_of(both_text, "and")] == both_text.split(" and ")
    assert [part.text for part in parts_of(both_text, "or")] == [both_text]
    assert [part.text for part in parts_of("infusing()", "and")] == ["infusing()"]
    assert (compile_condition("1 > 2").determinations, compile_condition("pair(sbp_mmhg > 9)").determinations) == (1, 2)


@given(st.text(max_size=60))
def test_any_text_is_a_condition_or_an_expression_error(text: str) -> None:
    try:
        compile_condition(text)
    except ExpressionError:
        pass


CHECKED_IN = ("moaas", "cadss", "anxiety", "distress", "nausea", "age_s", "overdue_s", "upset")
KINDS = {  # what a fact is about, that others go by
    "of_person": {f"check_in.{key}" for key in CHECKED_IN} | {
        "symptom", "symptom_within", "checklist", "quiet_check_in", "pump_asked", "attested", "first_session",
        "hypertension", "given_unready_s"},
    "of_watching": {"spo2_overdue_s", "unwatched_s", "watched_s", "identical_s", "bp_overdue_s", "gap_s",
                    "since_gap_s"},
    "of_box": {"gap_s", "since_gap_s", "storage_failing", "unheard", "no_console", "clock_skew_s",
               "record_damaged_s"},
    "of_pump": {"pump.rate_pct", "pump.rate_mg_kg_h", "infusing", "programme_differs", "runs", "no_word_s"},
    "of_link": {"link_down", "link_live", "link_unstable"},
    "of_device": {"link_down", "link_live", "link_unstable", "own_alarm", "device_alarm", "identical_s", "runs",
                  "no_word_s"},
    "sampled": set(METRICS),
}
TAKES = {  # * of which there may be several, ? that may be left out
    "pair": "condition", "last_two_bp": "condition", "known": "quantity", "attested": "attestation",
    "phase": "phase*", "standing": "rule", "own_alarm": "rule*", "unwatched_s": "rule*?", "watched_s": "rule*?",
    "no_valid_s": "metric", "rise_pct": "metric", "fall_pct": "metric", "satseconds": "metric, number",
    "violations": "metric, number, number", "differ": "metric, number", "measured_or_entered": "metric, number",
    "link_live": "word?", "device_alarm": "word*?", "device_reports": "word*", "programme_differs": "number",
    "symptom": "symptom*", "symptom_within": "number, symptom*", "bp_between": "number, number",
    "spo2_between": "number, number",
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_of_a_person_of_the_watching_of_the_box_of_a_pump_and_a_stream(kind: str) -> None:
    assert {name for name, fact in FACTS.items() if getattr(fact, kind)} == KINDS[kind]


def test_what_a_fact_takes_and_which_are_told_to_the_hundredth() -> None:
    takes = {name: [f"{one.takes}{'*' * one.many}{'?' * one.optional}" for one in fact.parameters]
             for name, fact in FACTS.items()}
    assert {name: ", ".join(found) for name, found in takes.items() if found} == TAKES
    assert {name: fact.decimals for name, fact in FACTS.items() if fact.decimals and name not in METRICS} == {
        "pump.rate_mg_kg_h": 2, "session.delivered_mg_kg": 2}
    assert all(FACTS[key].decimals == metric.decimals for key, metric in METRICS.items())
    assert [name for name, fact in FACTS.items() if fact.truth != bool(fact.denied)] == []


def test_two_facts_are_about_the_last_two_blood_pressures() -> None:
    two = {name: fact.determinations for name, fact in FACTS.items() if fact.determinations != 1}
    assert two == {"pair": 2, "last_two_bp": 2}


def test_every_fact_can_be_asked_and_said() -> None:
    """Each by its own name, in a bed of which nothing is known; and its sentence has a place for each argument."""
    examples = {"metric": "spo2_pct", "number": "90", "condition": "spo2_pct < 90", "word": "pump", "rule": "HTN",
                "symptom": "seizure", "quantity": "spo2_pct", "phase": "RECOVERY", "attestation": "gait"}
    for fact in FACTS.values():
        arguments = [examples[parameter.takes] for parameter in fact.parameters]
        asked = f"{fact.name}({', '.join(arguments)})" if fact.name in FUNCTIONS else fact.name
        compiled = compile_condition(asked if fact.truth else f"{asked} > 1")
        assert compiled.evaluate(RuleContext(BedState(bed="b", protocols=as_in_0_1_0()), AT_S)) in (True, False, None)
        assert compiled.uses[-1].fact is fact
        assert "  " not in compiled.words and "{" not in compiled.words, compiled.words


@pytest.mark.parametrize(("text", "words"), [
    ("spo2_pct < 90", "SpO₂ is below 90 %"),
    ("sbp_mmhg >= 1.20 * baseline.sbp_mmhg", "SBP is at least 20 % above the baseline SBP"),
    ("sbp_mmhg < 1.15 * baseline.sbp_mmhg", "SBP is less than 15 % above the baseline SBP"),
    ("pulse_bpm < 0.75 * baseline.pulse_bpm", "Pulse is less than 25 % below the baseline Pulse"),
    ("spo2_pct < baseline.spo2_pct - 2", "SpO₂ is below the baseline SpO₂ − 2 %"),
    ("sbp_mmhg >= 2 * dbp_mmhg", "SBP is at least 2 × DBP"),
    ("sbp_mmhg >= 10 + baseline.sbp_mmhg", "SBP is at least 10 mmHg + the baseline SBP"),
    ("pair(dbp_mmhg >= 110)", "in both of two blood pressures in a row: DBP is at least 110 mmHg"),
    ("not pair(dbp_mmhg >= 110)", "not in both of two blood pressures in a row: DBP is at least 110 mmHg"),
    ("not standing(HTN)", "no alarm HTN is active"),
    ("not link_live(oximeter)", "the oximeter is not connected"),
    ("not infusing()", "the pump does not infuse"),
    ("not not infusing()", "the pump infuses"),
    ("not pair(dbp_mmhg >= 110) and not infusing()",
     "(not in both of two blood pressures in a row: DBP is at least 110 mmHg) and the pump does not infuse"),
    ("sbp_mmhg >= 1.00 * baseline.sbp_mmhg", "SBP is at least 0 % above the baseline SBP"),
    ("sbp_mmhg >= 1.005 * baseline.sbp_mmhg", "SBP is at least 0.5 % above the baseline SBP"),
    ("not device_alarm()", "the device has no alarm of its own"),
    ("device_alarm(near_end, vtbi_done)", "the device has an alarm of its own other than near end, vtbi done"),
    ("not spo2_pct < 90", "not (SpO₂ is below 90 %)"),
    ("link_down() and (spo2_pct < 90 or spo2_pct < 80 and infusing())",
     "the device cannot be reached and (SpO₂ is below 90 % or (SpO₂ is below 80 % and the pump infuses))"),
    ("pair(dbp_mmhg >= 110) and infusing()",
     "(in both of two blood pressures in a row: DBP is at least 110 mmHg) and the pump infuses"),
    ("sbp_mmhg > baseline.sbp_mmhg + 40", "SBP is above the baseline SBP + 40 mmHg"),
    ("pulse_bpm > 120 and (spo2_pct < 90 or link_down())",
     "Pulse is above 120 /min and (SpO₂ is below 90 % or the device cannot be reached)"),
    ("satseconds(spo2_pct, 90) >= 50", "the sum of (90 − SpO₂) × seconds below 90 is at least 50 %·s"),
    ("no_valid_s(spo2_pct) >= 15", "the time without a valid SpO₂ is at least 15 s"),
])
def test_a_condition_in_words(text: str, words: str) -> None:
    assert compile_condition(text).words == words
