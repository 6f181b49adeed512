"""Never silently unwatched, by drawn patterns of every kind of device: within 60 s, and what the hold is longer than
15 s, an alarm that the danger deserves stands, or one that says the device is not watched.

`VIGIL_PATTERNS=10000 pytest tests/test_unwatched_patterns.py` draws so many of each kind: five to fifteen minutes of a
processor each. `VIGIL_FIRST=10000` draws others: those from this number on.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

import pytest

from edge.core.rules import parse_rules
from tests.helpers.rule_files import FILE
from tests.helpers.watched import KINDS, Found, trial
from tests.helpers.watched_cuff import PRESSURES, on_the_same_arm, pressed, two_pumps

MANY = int(os.environ.get("VIGIL_PATTERNS", "0"))
FIRST = int(os.environ.get("VIGIL_FIRST", "0"))
WHOLE = 10  # of so many one is of a bed with all its devices, under all rules

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 + MANY)]


@pytest.fixture(autouse=True)
def _unheard(caplog: pytest.LogCaptureFixture) -> None:
    """Links say in the log what becomes of them, thousands of times; nothing here reads it."""
    caplog.set_level(logging.CRITICAL)


def wrong(many: int, lived: Callable[[int], str]) -> list[str]:
    """What was wrong with so many patterns: nothing."""
    said = ((number, lived(number)) for number in range(FIRST, FIRST + many))
    return [f"{number}: {what}" for number, what in said if what]


def too_long(found: Found, of: str = "") -> str:
    return "" if found.longest_s <= found.limit_s else f"{of} {found}"


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_device_that_sends_every_second(kind: str) -> None:
    def lived(number: int) -> str:
        danger = KINDS[kind][number % len(KINDS[kind])]
        return too_long(trial(danger, number, whole=number % WHOLE == 0), danger)

    assert wrong(MANY or 22, lived) == []


def test_of_a_cuff() -> None:
    def lived(number: int) -> str:
        name = tuple(PRESSURES)[number % len(PRESSURES)]
        found = pressed(name, number)
        return found and f"{name}: {found}"

    assert wrong(MANY or 11, lived) == []


def test_of_a_cuff_on_the_oximeter_s_arm() -> None:
    assert wrong(MANY or 4, lambda number: too_long(on_the_same_arm(number))) == []


def test_of_two_pumps() -> None:
    assert wrong(MANY or 6, lambda number: too_long(two_pumps(number))) == []


@pytest.mark.parametrize("number", [26217, 26539])
def test_of_a_pump_that_stopped_and_is_heard_for_one_second_in_seven(number: int) -> None:
    assert not too_long(two_pumps(number))
    late = parse_rules(FILE.read_text().replace("unwatched_ahead_s = 20", "unwatched_ahead_s = 0"))
    assert too_long(two_pumps(number, late))


def test_they_notice_when_it_breaks() -> None:
    broken = parse_rules(FILE.read_text().replace("'PRO-7') > 30", "'PRO-7') > 60"))
    assert max(trial("pulse 35", number, broken).longest_s for number in range(13)) > 120
