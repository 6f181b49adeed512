"""deploy/EVIDENCE.md and the numbers it speaks of: neither has one that the other lacks."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from typing import Any

import pytest

from tests.helpers.rule_files import FILE

ROOT = FILE.parent.parent
PAGE = FILE.parent / "EVIDENCE.md"
GRADES = ("A", "B", "C", "choice")
CONDITIONS, TIMES = ("when", "at_once", "clear"), ("hold_s", "clear_hold_s")
TEXTS = ("text", "limit", "at_once_limit", "clears", "ended")
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w])")

SECTIONS = {heading.split(" · ")[0]: body for heading, body in
            re.findall(r"^### (.+)\n((?:(?!^##).*\n?)*)", PAGE.read_text(), re.MULTILINE)}
PROTOCOLS = "deploy/protocols.toml"


@cache
def _read(text: str) -> dict[str, Any]:
    return tomllib.loads(text)


def tables() -> dict[str, Any]:
    """rules.toml as it is now: whoever changes it for a test wants to be noticed."""
    return _read(FILE.read_text())


def rules() -> dict[str, dict[str, Any]]:
    return {rule["id"]: rule for rule in tables()["rule"]}


RULES = list(rules())


def rows(section: str) -> list[list[str]]:
    lines = [line for line in SECTIONS[section].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def first_column(section: str) -> set[float]:
    return {float(row[0]) for row in rows(section) if row[0] != "–"}


def numbers_of_condition(text: str) -> set[float]:
    return {float(node.value) for node in ast.walk(ast.parse(text, mode="eval"))
            if isinstance(node, ast.Constant) and isinstance(node.value, int | float)}


def numbers_of_rule(rule: dict[str, Any]) -> set[float]:
    conditions = [rule[name] for name in CONDITIONS if name in rule]
    conditions += [step["when"] for step in rule.get("raise", []) if "when" in step]
    found = {number for text in conditions for number in numbers_of_condition(text)}
    return (found | {float(rule[name]) for name in TIMES if name in rule}) - {0.0}


def numbers_of_table(table: object) -> set[float]:
    """Every number anywhere in a table of rules.toml that is not a rule."""
    if isinstance(table, dict):
        return {number for value in table.values() for number in numbers_of_table(value)}
    if isinstance(table, list):
        return {number for value in table for number in numbers_of_table(value)}
    return {float(table)} if isinstance(table, int | float) and not isinstance(table, bool) else set()


def test_every_rule_has_its_section_and_every_section_its_rule() -> None:
    others = {f"[{name}]" for name in tables() if name != "rule"}
    assert set(SECTIONS) - {PROTOCOLS} == set(RULES) | others


@pytest.mark.parametrize("rule", RULES)
def test_the_numbers_of_a_rule_are_the_numbers_of_its_section(rule: str) -> None:
    assert first_column(rule) == numbers_of_rule(rules()[rule])


@pytest.mark.parametrize("rule", RULES)
def test_the_words_of_a_rule_say_no_number_that_its_section_lacks(rule: str) -> None:
    section = {float(found) for found in NUMBER.findall(SECTIONS[rule])}
    for name in TEXTS:
        said = {float(found) for found in NUMBER.findall(re.sub(r"{.*?}", "", rules()[rule].get(name, "")))}
        missing = said - section - numbers_of_rule(rules()[rule])
        assert not missing, f"{rule} {name}: {missing} stands nowhere under its heading in {PAGE.name}"


@pytest.mark.parametrize("rule", RULES)
def test_a_section_says_how_urgent_its_rule_is(rule: str) -> None:
    for priority in {rules()[rule]["priority"], *(step["priority"] for step in rules()[rule].get("raise", []))}:
        assert priority.upper() in SECTIONS[rule]


def test_the_numbers_of_any_other_table_are_the_numbers_of_its_section() -> None:
    for table in set(tables()) - {"rule"}:
        assert first_column(f"[{table}]") == numbers_of_table(tables()[table])


def test_the_numbers_of_the_protocols_are_the_numbers_of_their_section() -> None:
    found: set[float] = set()
    for table in tomllib.loads((ROOT / PROTOCOLS).read_text())["protocol"]:
        found |= numbers_of_table(table)
        for gate in (*table.get("ready", ()), *table.get("discharge", ())):
            found |= numbers_of_condition(gate["open"])
        for steps in table.get("schedule", {}).values():
            found |= {number for step in steps if "when" in step for number in numbers_of_condition(step["when"])}
    assert first_column(PROTOCOLS) == found - {0.0}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_row_says_what_it_decides_where_it_is_from_and_how_sure_that_is(section: str) -> None:
    assert rows(section)
    for row in rows(section):
        assert len(row) == 4 and all(row), row
        assert any(grade in re.findall(r"\w+", row[3]) for grade in GRADES), row


@pytest.mark.parametrize("rule", RULES)
def test_a_source_is_a_source_and_no_file_that_is_not_here(rule: str) -> None:
    named = re.findall(r"[\w/.-]+\.md", rules()[rule]["source"])
    assert all((ROOT / name).is_file() for name in named), named
