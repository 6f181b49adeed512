"""Three-valued logic (Kleene): True, False and None for unknown. UNKNOWN is an answer, not an error."""

from __future__ import annotations

from collections.abc import Iterable

Truth = bool | None


def both(values: Iterable[Truth]) -> Truth:
    """AND: one False decides; otherwise one unknown leaves it unknown."""
    unknown = False
    for value in values:
        if value is False:
            return False
        unknown = unknown or value is None
    return None if unknown else True


def either(values: Iterable[Truth]) -> Truth:
    """OR: one True decides; otherwise one unknown leaves it unknown."""
    unknown = False
    for value in values:
        if value is True:
            return True
        unknown = unknown or value is None
    return None if unknown else False


def negate(value: Truth) -> Truth:
    """NOT: the opposite of unknown is unknown."""
    return None if value is None else not value
