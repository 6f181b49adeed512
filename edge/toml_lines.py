"""On which line of a TOML file a key stands, so that a refusal can name it. The standard parser does not say."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

Where = tuple[str | int, ...]  # the way to a key: ("bed", 0, "device", 1, "at")

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(rf"\s*({_DOTTED})\s*=")


def parsed(text: str) -> dict[str, Any]:
    """What the text says. Raises TOMLDecodeError."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise tomllib.TOMLDecodeError("brackets in brackets in brackets (at line 1, column 1)") from None


def key_lines(text: str) -> dict[Where, int]:
    """The line (from 1) of every table and key of a TOML text, by the way to it.

    Keys inside { } and items of a list over several lines are not told apart; `line_of` gives their owner's line.
    """
    lines: dict[Where, int] = {(): 1}
    table: Where = ()
    counts: dict[Where, int] = {}
    closing = ""
    for number, line in enumerate(text.split("\n"), 1):
        if closing:
            closing = "" if closing in line else closing
        elif header := _HEADER.match(line):
            table = _enter(_split(header[2]), header[1] == "[[", counts)
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault((*table, *_split(key[1])), number)
            closing = next((mark for mark in ('"""', "'''") if line.count(mark) == 1), "")
    return lines


def line_of(lines: Mapping[Where, int], where: Where) -> int:
    """The line of a key, of the first of several tables, or of the nearest table around it."""
    while where not in lines:
        if (*where, 0) in lines:
            return lines[*where, 0]
        where = where[:-1]
    return lines[where]


def not_toml(text: str, said: str) -> tuple[int, str]:
    """The line, and the words for it, of what the standard parser said of a text that is no TOML."""
    at = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", said)
    line = int(at[1]) if at and at[1] else max(1, text.rstrip().count("\n") + 1)
    what = said[: at.start()] if at else said
    twice = "twice" in what or "overwrite" in what
    write = "it stands there already: take one out, or write [[name]] for several of a kind" if twice else (
        "write key = value, with text in quotes")
    return line, f"is not TOML: {what}; {write}"


def _split(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in re.findall(_PART, dotted)]


def _enter(words: list[str], many: bool, counts: dict[Where, int]) -> Where:
    """The way to a [table] or to the next [[table]]; a name of many on the way means its latest."""
    where: Where = ()
    for word in words[:-1]:
        where = (*where, word)
        if where in counts:
            where = (*where, counts[where])
    where = (*where, words[-1])
    if many:
        counts[where] = counts.get(where, -1) + 1
    return (*where, counts[where]) if where in counts else where
