"""Every rule, read by somebody who does not know it: what is wrong, what limit, what ends it, what to do."""

from __future__ import annotations

import re

import pytest

from edge.core.rule import Rule
from tests.helpers.rule_files import RULES

# what a person at the bed can do about it, as the words say it
DEED = re.compile(
    r"\b(airway|ask|call|compare|complete|feel|give|go|help|keep|lay|look|measure|open|pause|put|read|say|speak|start|stay"
    r"|stop|tell|think|watch|write)\b", re.IGNORECASE)
BARE = re.compile(r"[\d.]+ ?(s|min|%|/min)?")  # a number that does not say what of
WORDS = [pytest.param(rule, id=rule.id) for rule in RULES if not rule.request]


@pytest.mark.parametrize("rule", WORDS)
def test_what_is_wrong_stands_in_its_title_and_its_text(rule: Rule) -> None:
    assert rule.title and rule.text and len(rule.title) <= 45


@pytest.mark.parametrize("rule", WORDS)
def test_its_limit_and_what_ends_it_are_said_in_words(rule: Rule) -> None:
    for words in (rule.limit, rule.clears):
        assert words and not BARE.fullmatch(words), words


@pytest.mark.parametrize("rule", WORDS)
def test_its_why_says_what_to_look_at_or_to_do(rule: Rule) -> None:
    assert DEED.search(rule.why), rule.why
