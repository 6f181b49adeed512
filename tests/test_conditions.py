"""Each condition of the default rules and protocols says at its limits what was drawn by hand (`conditions.txt`); the
table notices each number one unit beside itself, each comparison turned, each part left out."""

from __future__ import annotations

from edge.core.expression import ExpressionError, compile_condition
from tests.helpers.conditions import FILE, of_protocols, of_rules, rows, wrong
from tests.helpers.mutants import of_condition
from tests.helpers.mutate import EQUIVALENT
from tests.helpers.rule_files import PROTOCOLS, RULES

TABLE = list(rows(FILE.read_text()))
OF = {row.of for row in TABLE}


def conditions() -> dict[str, str]:
    return of_rules(RULES) | of_protocols(PROTOCOLS)


def is_read(condition: str) -> bool:
    try:
        return bool(compile_condition(condition))
    except ExpressionError:
        return False


def test_each_condition_says_what_was_drawn() -> None:
    assert wrong(conditions(), TABLE) == []


def test_every_condition_was_drawn_and_nothing_else() -> None:
    found = conditions()
    assert found.keys() >= OF
    drawn = {found[of] for of in OF}  # what a protocol takes over from another stands there
    assert {of for of, text in found.items() if text not in drawn} == set()


def test_the_table_notices_whatever_is_changed() -> None:
    known = {label.replace(":", "") for label in EQUIVALENT}
    lives = {f"{of} {what}" for of, text in conditions().items() if of in OF for what, new in of_condition(text)
             if is_read(new) and not wrong({of: new}, [row for row in TABLE if row.of == of])}
    assert lives - known == set()
