"""Conditions as Python functions: `expression.py` writes each condition as Python source, and here it is compiled.

A condition is true, false or unknown (None), so it has three Python expressions; `Source.value` is made of the other
two where a condition is joined:

    x < y      true: both are known, and x < y      false: both are known, and not x < y
    a and b    true: both are true                  false: one of them is false
    a or b     true: one of them is true            false: both are false
    not a      true: a is false                     false: a is true

So whether something is true, which is what judging asks nearly always, costs no more than Python's own `and` and `or`.
Nothing of the text of a rule gets into the source: facts and their arguments are bound by a name, numbers are `repr`s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any


@dataclass(frozen=True, slots=True)
class Source:
    """A condition as three Python expressions: that it is true, that it is false, and which of the three it is."""

    true: str
    false: str
    value: str

    @classmethod
    def of_parts(cls, true: str, false: str) -> Source:
        """Unknown where neither holds."""
        return cls(true, false, f"(True if {true} else False if {false} else None)")

    @classmethod
    def of_truth(cls, call: str) -> Source:
        """Of a call that returns True, False or None."""
        return cls(f"({call} is True)", f"({call} is False)", call)

    def denied(self, name: str) -> Source:
        """That it is not so. `name`: one that nothing else uses."""
        return Source(self.false, self.true, f"(None if ({name} := {self.value}) is None else not {name})")


def joined(parts: Sequence[Source], word: str) -> Source:
    """The parts with "and" or "or" between them."""
    other = "or" if word == "and" else "and"
    return Source.of_parts(f"({f' {word} '.join(part.true for part in parts)})",
                           f"({f' {other} '.join(part.false for part in parts)})")


@dataclass(frozen=True, slots=True)
class Term:
    """A number as a Python expression; None where it is unknown, which a constant never is."""

    value: str
    is_constant: bool = False


class Code:
    """The source of one condition: hands out names, and knows what is bound to them."""

    def __init__(self) -> None:
        self._bound: dict[str, Any] = {}
        self._count = 0

    def name(self) -> str:
        """A name that nothing else uses."""
        self._count += 1
        return f"x{self._count}"

    def bind(self, value: object) -> str:
        """A name for this value."""
        name = self.name()
        self._bound[name] = value
        return name

    def constant(self, number: float) -> Term:
        """A number as it is written."""
        return Term(f"({number!r})" if isfinite(number) else self.bind(number), is_constant=True)

    def call(self, compute: Callable[..., Any], arguments: Sequence[object]) -> str:
        """A call of `compute` with the rule context and these arguments."""
        return f"{self.bind(compute)}({', '.join(['context', *map(self.bind, arguments)])})"

    def compared(self, this: Term, sign: str, that: Term) -> Source:
        """`this` `sign` `that`, as in <, where both are known."""
        known, unknown, (x, y) = self._known(this, that)
        return Source(f"({known}{x} {sign} {y})", f"({known}not {x} {sign} {y})", f"({unknown}{x} {sign} {y})")

    def computed(self, this: Term, sign: str, that: Term) -> Term:
        """`this` `sign` `that`, as in +, where both are known."""
        _, unknown, (x, y) = self._known(this, that)
        return Term(f"({unknown}{x} {sign} {y})", this.is_constant and that.is_constant)

    def _known(self, *terms: Term) -> tuple[str, str, list[str]]:
        """That these are known, before what is so then; that one is not, likewise; and how each is written then."""
        names = [term.value if term.is_constant else self.name() for term in terms]
        asked = [(name, term) for name, term in zip(names, terms, strict=True) if not term.is_constant]
        known = "".join(f"({name} := {term.value}) is not None and " for name, term in asked)
        unknown = " or ".join(f"({name} := {term.value}) is None" for name, term in asked)
        return known, f"None if {unknown} else " if unknown else "", names

    def function(self, source: str) -> Callable[..., Any]:
        """The function of the rule context that `source` is. Raises what `compile` raises of too deep a nesting."""
        found: Callable[..., Any] = eval(compile(f"lambda context: {source}", "<condition>", "eval"), self._bound)
        return found
