"""Conditions as Python functions: `expression.py` writes each condition as Python source, and here it is compiled.

A condition is one Python expression whose value is True, False or None for unknown (Kleene's logic, as in `logic.py`):

    x < y      None if x is None or y is None else x < y
    a and b    False if a is False or b is False, else None if a is None or b is None, else True
    a or b     True if a is True or b is True, else None if a is None or b is None, else False
    not a      None if a is None else not a

Each part is asked once, and none after one that decides. Nothing of the text of a rule gets into the source: facts and
their arguments are bound by a name, numbers are `repr`s.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from math import isfinite
from typing import Any, Literal

_NUMBERS = count(1)  # of names: no two conditions share one, so that many can be one function


@dataclass(frozen=True, slots=True)
class Term:
    """A number as a Python expression; None where it is unknown, which a constant never is."""

    source: str
    is_constant: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A condition as a Python expression of `context`, and what its other names are bound to."""

    text: str
    bound: Mapping[str, Any]


class Code:
    """The source of one condition: hands out names, and knows what is bound to them."""

    def __init__(self) -> None:
        self._bound: dict[str, Any] = {}

    def _name(self) -> str:
        """A name that nothing else uses."""
        return f"x{next(_NUMBERS)}"

    def _bind(self, value: object) -> str:
        name = self._name()
        self._bound[name] = value
        return name

    def constant(self, number: float) -> Term:
        """A number as it is written."""
        return Term(f"({number!r})" if isfinite(number) else self._bind(number), is_constant=True)

    def metric(self, key: str) -> str:
        """The reading of a metric. `any_of` looks for this very form."""
        return f"context.metric({key!r})"

    def call(self, compute: Callable[..., Any], arguments: Sequence[object]) -> str:
        """A call of `compute` with the rule context and these arguments."""
        return f"{self._bind(compute)}({', '.join(['context', *map(self._bind, arguments)])})"

    def operated(self, this: Term, sign: str, that: Term) -> Term:
        """`this` `sign` `that`, as in < or +, where both are known."""
        (asked, x), (others, y) = self._asked(this), self._asked(that)
        unknown = " or ".join(f"{one} is None" for one in (*asked, *others))
        return Term(f"(None if {unknown} else {x} {sign} {y})" if unknown else f"({x} {sign} {y})", not unknown)

    def _asked(self, term: Term) -> tuple[list[str], str]:
        """What must not be None, and how the number is written where it is not."""
        if term.is_constant:
            return [], term.source
        name = self._name()
        return [f"({name} := {term.source})"], name

    def denied(self, part: str) -> str:
        """That it is not so."""
        name = self._name()
        return f"(None if ({name} := {part}) is None else not {name})"

    def joined(self, parts: Sequence[str], word: Literal["and", "or"]) -> str:
        """The parts with this word between them."""
        decides = word == "or"
        names = [self._name() for _ in parts]
        decided = " or ".join(f"({name} := {part}) is {decides}" for name, part in zip(names, parts, strict=True))
        unknown = " or ".join(f"{name} is None" for name in names)
        return f"({decides} if {decided} else None if {unknown} else {not decides})"

    def function(self, source: str) -> Callable[..., Any]:
        """The function of the rule context that `source` is. Raises what `compile` raises of too deep a nesting."""
        return _function(f"{_ROOM[0]}{source}{_ROOM[1]}", self._bound)

    def source(self, text: str) -> Source:
        """`text` with what its names are bound to."""
        return Source(text, self._bound)


_ROOM = "(" * 4, ")" * 4  # what is so deeply nested that Python just takes it is still taken within any_of


def _function(source: str, bound: Mapping[str, Any]) -> Callable[..., Any]:
    found: Callable[..., Any] = eval(compile(f"lambda context: {source}", "<condition>", "eval"), dict(bound))
    return found


_METRIC = re.compile(r"context\.metric\('\w+'\)")


def any_of(conditions: Sequence[Source], *, unknown: bool = False) -> Callable[..., Any]:
    """One function of the rule context: whether any of these conditions is true; `unknown`: or unknown. A metric that
    several of them look at is looked up once: each look costs more than a comparison."""
    text = " or ".join(f"{one.text} is not False" if unknown else one.text for one in conditions) or "False"
    named = [key for key, times in Counter(_METRIC.findall(text)).items() if times > 1]
    for number, key in enumerate(named):
        text = text.replace(key, f"m{number}")
    names = ", ".join(f"m{number}" for number in range(len(named)))
    bound = {name: value for one in conditions for name, value in one.bound.items()}
    return _function(f"(lambda {names}: {text})({', '.join(named)})" if named else text, bound)
