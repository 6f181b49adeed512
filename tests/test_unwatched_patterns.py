"""Never silently unwatched, by drawn patterns of every kind of device: within 60 s, and what the hold is longer than
15 s, an alarm that the danger deserves stands, or one that says the device is not watched.

`VIGIL_PATTERNS=10000 pytest tests/test_unwatched_patterns.py` draws so many of each kind: ten minutes of a
processor each.
"""

from __future__ import annotations

import os

import pytest

from edge.core.rules import parse_rules
from tests.helpers.rule_files import FILE
from tests.helpers.watched import KINDS, trial
from tests.helpers.watched_cuff import PRESSURES, on_the_same_arm, pressed, two_pumps

MANY = int(os.environ.get("VIGIL_PATTERNS", "0"))
WHOLE = 10  # of so many one is of a bed with all its devices, under all rules

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_device_that_sends_every_second(kind: str) -> None:
    for number in range(MANY or 22):
        danger = KINDS[kind][number % len(KINDS[kind])]
        found = trial(danger, number, whole=number % WHOLE == 0)
        assert found.longest_s <= found.limit_s, f"{danger} {number}: {found}"


def test_of_a_cuff() -> None:
    for number in range(MANY or 11):
        name = tuple(PRESSURES)[number % len(PRESSURES)]
        assert pressed(name, number) == "", f"{name} {number}"


def test_of_a_cuff_on_the_oximeter_s_arm() -> None:
    for number in range(MANY or 4):
        found = on_the_same_arm(number)
        assert found.longest_s <= found.limit_s, f"{number}: {found}"


def test_of_two_pumps() -> None:
    for number in range(MANY or 6):
        found = two_pumps(number)
        assert found.longest_s <= found.limit_s, f"{number}: {found}"


def test_they_notice_when_it_breaks() -> None:
    broken = parse_rules(FILE.read_text().replace("unwatched_s() > 30", "unwatched_s() > 60"))
    assert max(trial("pulse 35", number, broken).longest_s for number in range(13)) > 120
