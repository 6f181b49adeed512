"""What is changed in the default rules or protocols is noticed by a story: a few mutants here; all of them with
`python -m tests.helpers.mutate rules protocols`."""

from __future__ import annotations

import pytest

from tests.helpers.mutants import Mutant, changed_functions, of_condition, of_file, of_line, of_module
from tests.helpers.mutate import stories, survives_as_module, survives_as_rules
from tests.helpers.rule_files import FILE


def test_of_a_condition_every_number_comparison_and_part_is_changed() -> None:
    changed = {text for _, text in of_condition("spo2_pct < 90 and not phase(READY, INFUSING) or pulse_bpm >= 1.2")}
    assert changed == {
        "spo2_pct < 91 and not phase(READY, INFUSING) or pulse_bpm >= 1.2",
        "spo2_pct < 89 and not phase(READY, INFUSING) or pulse_bpm >= 1.2",
        "spo2_pct <= 90 and not phase(READY, INFUSING) or pulse_bpm >= 1.2",
        "spo2_pct > 90 and not phase(READY, INFUSING) or pulse_bpm >= 1.2",
        "spo2_pct < 90 or not phase(READY, INFUSING) or pulse_bpm >= 1.2",
        "1 > 0 and not phase(READY, INFUSING) or pulse_bpm >= 1.2",
        "spo2_pct < 90 and 1 > 0 or pulse_bpm >= 1.2",
        "spo2_pct < 90 and phase(READY, INFUSING) or pulse_bpm >= 1.2",
        "spo2_pct < 90 and not phase(INFUSING) or pulse_bpm >= 1.2",
        "spo2_pct < 90 and not phase(READY) or pulse_bpm >= 1.2",
        "spo2_pct < 90 and not phase(READY, INFUSING) and pulse_bpm >= 1.2",
        "1 < 0 or pulse_bpm >= 1.2",
        "spo2_pct < 90 and not phase(READY, INFUSING) or 1 < 0",
        "spo2_pct < 90 and not phase(READY, INFUSING) or pulse_bpm > 1.2",
        "spo2_pct < 90 and not phase(READY, INFUSING) or pulse_bpm <= 1.2",
        "spo2_pct < 90 and not phase(READY, INFUSING) or pulse_bpm >= 1.3",
        "spo2_pct < 90 and not phase(READY, INFUSING) or pulse_bpm >= 1.1",
    }


@pytest.mark.parametrize(("line", "changed"), [
    ("hold_s = 15", {"hold_s = 16", "hold_s = 14"}),
    ("kvo_part = 0.1   # of the rate", {"kvo_part = 0.2", "kvo_part = 0.0"}),
    ("latch = true", {"# latch = true"}),
    ('priority = "low"', {'priority = "medium"'}),
    ('context = ["*"]', set()),
    ('context = ["READY", "PAUSED"]', {"context = ['PAUSED']", "context = ['READY']"}),
    ("dose_mg_kg = { low = 0.1, high = 1.0 }", {
        "dose_mg_kg = { low = 0.2, high = 1.0 }", "dose_mg_kg = { low = 0.0, high = 1.0 }",
        "dose_mg_kg = { low = 0.1, high = 1.1 }", "dose_mg_kg = { low = 0.1, high = 0.9 }"}),
    ('text = "SpO₂ below 90"', set()),
])
def test_of_a_line_its_value_is_changed(line: str, changed: set[str]) -> None:
    assert {new for _, new in of_line(line)} == changed


def test_every_rule_has_mutants() -> None:
    text = FILE.read_text()
    assert {mutant.of for mutant in of_file(text)} == {
        "[engine]", *(part.split('"')[1] for part in text.split("[[rule]]")[1:])}


def test_a_mutant_of_a_file_is_the_file_but_for_one_line() -> None:
    text = FILE.read_text()
    changed = next(of_file(text)).text
    assert changed.count("\n") == text.count("\n")
    assert sum(one != other for one, other in zip(text.split("\n"), changed.split("\n"), strict=True)) == 1


def test_of_a_module_s_mutant_the_functions_are_found_and_none_where_the_import_is_changed() -> None:
    """Those around it, too; a lambda by its place, for all have one name."""
    found = {one.label: changed_functions(one) for one in of_module("asked")}
    names = {label: {old.co_name for old, new in codes.items() if old != new} for label, codes in found.items()}
    assert next(name for label, name in names.items() if "and <-> or in now(context)" in label) == {
        "_joined", "<lambda>"}
    assert next(name for label, name in names.items() if "line 62: False" in label) == set()


def test_the_digits_of_a_rounded_time_are_left_as_they_are() -> None:
    found = [one.label.partition(": ")[2] for one in of_module("cuff")]
    assert any(": 0 -> 1" in label for label in found)
    assert not any(": 3 -> 4" in label for label in found)


@pytest.mark.slow
def test_a_hold_that_counts_wrongly_is_noticed() -> None:
    """A module's functions are changed in the running process, and are afterwards what they were."""
    known, mutants = stories()[:60], list(of_module("hold"))
    turned = next(one for one in mutants if ">= -> <= in round(at_s - since_s" in one.label)
    assert not survives_as_module(turned, known)
    assert survives_as_module(turned._replace(text=(FILE.parent.parent / "edge" / "core" / "hold.py").read_text()),
                              known[:3]) is None


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "was", "now"), [  # each of these was once noticed by nobody
    ("HTN-1", "dbp_mmhg >= 1.20 *", "dbp_mmhg >= 1.25 *"),
    ("HTN-1", '"PAUSED", ', ""),
    ("HTN-2", "dbp_mmhg < 97", "dbp_mmhg <= 97"),
    ("HTN-3", "sbp_mmhg >= 180", "sbp_mmhg > 180"),
    ("HTN-3", "pair(dbp_mmhg >= 110)", "pair(dbp_mmhg > 110)"),
    ("RES-2", "spo2_pct >= 92", "spo2_pct > 92"),
    ("CAR-5", 'when = "sbp_mmhg < 80" }', 'when = "sbp_mmhg < 81" }'),
])
def test_what_nobody_noticed_is_noticed(rule: str, was: str, now: str) -> None:
    head, found, rest = FILE.read_text().partition(f'id = "{rule}"')
    assert was in rest
    assert survives_as_rules(Mutant("", rule, head + found + rest.replace(was, now, 1)), stories()) is False
