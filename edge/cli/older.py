"""What the rules that come with this version have, and a clinic's own file has not: for who brings it up to date."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_CONDITIONS = ("when", "at_once", "clear")
_KEYS = ("for_each", "for_bed", "group", "raise", "latch_sound", "continues", *_CONDITIONS)  # what changes a judgement


def lacking(text: str, shipped: str) -> Iterator[str]:
    """One line for each thing in the text of `shipped` that a clinic's text has not: a key of [engine], a table, a
    rule, a key of a rule, or a condition that asks something else. Numbers are the clinic's own."""
    mine, theirs = tomllib.loads(text), tomllib.loads(shipped)
    for key, value in theirs["engine"].items():
        if key not in mine.get("engine", {}):
            yield f"[engine] has no {key} ({str(value).lower()} there)"
    yield from (f"there is no [{name}]" for name in theirs if name not in mine and name != "engine")
    rules = {rule["id"]: rule for rule in mine["rule"]}
    for rule in theirs["rule"]:
        if rule["id"] not in rules:
            yield f"there is no {rule['id']} ({rule['title']})"
        else:
            yield from _of_rule(rules[rule["id"]], rule)


def _of_rule(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    absent = [key for key in _KEYS if key in theirs and key not in mine]
    if absent:
        yield f"{mine['id']} has no {', '.join(absent)}"
    yield from (f"{mine['id']} asks something else in {key}: {theirs[key]}" for key in _CONDITIONS
                if key in mine and key in theirs and _asked(mine[key]) != _asked(theirs[key]))


def _asked(condition: str) -> str:
    return _NUMBER.sub("#", condition)
