"""How far clocks are apart: the least delayed ack tells best, the worst console is told, small changes are not."""

from __future__ import annotations

import tomllib

import pytest

from edge.app.skew import Skew
from edge.contract.clocks import KEPT, SKEW_S
from tests.helpers.rule_files import FILE

# acks: console, what its clock showed, when the ack came; then what is told
ACKS: list[tuple[str, list[tuple[str, float, float]], tuple[float, str] | None]] = [
    ("no ack", [], None),
    ("alike", [("main", 100.0, 100.2)], None),
    ("ahead", [("main", 103.0, 100.0)], (3.0, "main")),
    ("behind", [("main", 97.0, 100.0)], (-3.0, "main")),
    ("one that was delayed for long", [("main", 100.0, 100.1), ("main", 102.0, 160.0)], None),
    ("the worst of two", [("main", 103.0, 100.0), ("second", 95.0, 100.0)], (-5.0, "second")),
    ("less than half a second", [("main", 100.4, 100.0)], None),
    ("half a second", [("main", 100.5, 100.0)], (0.5, "main")),
]


@pytest.mark.parametrize(("acks", "told"), [row[1:] for row in ACKS], ids=[row[0] for row in ACKS])
def test_what_is_told(acks: list[tuple[str, float, float]], told: tuple[float, str] | None) -> None:
    skew = Skew()
    for ack in acks:
        skew.heard(*ack)
    assert skew.look() == told


def test_it_is_told_once_and_again_when_the_clock_is_set() -> None:
    skew = Skew()
    skew.heard("main", 140.0, 100.0)
    assert skew.look() == (40.0, "main")
    assert skew.look() is None
    for second in range(KEPT - 1):
        skew.heard("main", 110.0 + second, 110.0 + second)
    assert skew.look() is None, "one ack from before is still kept"
    skew.heard("main", 130.0, 130.0)
    assert skew.look() == (0.0, "main")


def test_a_console_that_is_lost_tells_nothing_more() -> None:
    skew = Skew()
    skew.heard("main", 140.0, 100.0)
    skew.look()
    skew.lost("main")
    assert skew.look() == (0.0, "")


def test_the_screen_and_the_beds_speak_at_the_same_difference() -> None:
    rules = {rule["id"]: rule for rule in tomllib.loads(FILE.read_text())["rule"]}
    assert rules["TEC-5"]["when"] == f"clock_skew_s() > {SKEW_S:g}"
