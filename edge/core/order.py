"""The order in which rules are judged: each after those it names with `standing`, wherever they stand in the file.

A group is judged as one. Rules that name each other in a circle have no such order and are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edge.core.alarms import family
from edge.core.rule import Rule


class Circle(ValueError):
    """Two rules that wait for each other; `first` is the one that stands first in the file."""

    def __init__(self, first: str, other: str) -> None:
        super().__init__(f"{first} and {other} ask of each other whether they are active, so neither can be judged"
                         " first; take standing(...) out of one of them")
        self.first = first


def causes(rules: Iterable[Rule]) -> tuple[tuple[Rule, ...], ...]:
    """The rules that raise alarms: each alone, or with its group (highest tier first), after those it names.
    Otherwise as in the file. Raises Circle."""
    units: dict[str, list[Rule]] = {}
    for rule in rules:
        if not rule.request:
            units.setdefault(f"group {rule.group}" if rule.group else f"rule {rule.id}", []).append(rule)
    named = {name: _named(unit, units) for name, unit in units.items()}
    done: list[str] = []
    while len(done) < len(units):
        ready = next((name for name in units if name not in done and named[name] <= set(done)), None)
        if ready is None:
            raise _circle(units, named, done)
        done.append(ready)
    return tuple(tuple(sorted(units[name], key=lambda rule: -rule.tier)) for name in done)


def _named(unit: Sequence[Rule], units: dict[str, list[Rule]]) -> set[str]:
    """The other units that this one names. What it takes from itself is how things stood before."""
    names = {name for rule in unit for condition in rule.conditions.values() for name in condition.rules}
    return {other for other, found in units.items() if found[0] not in unit
            and any(name in (rule.id, family(rule.id)) for rule in found for name in names)}


def _circle(units: dict[str, list[Rule]], named: dict[str, set[str]], done: list[str]) -> Circle:
    """Follow who waits for whom until one comes again."""
    way: list[str] = []
    at = next(name for name in units if name not in done)
    while at not in way:
        way.append(at)
        at = next(name for name in named[at] if name not in done)
    circle = way[way.index(at):]
    names = [units[name][0].id for name in units if name in circle]
    return Circle(names[0], names[1])
