"""Which of many like cases the fast part of ./test runs, and which only the slow one: together they are all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def slow_if(is_long: bool) -> list[pytest.MarkDecorator]:
    """The marks of a case."""
    return [pytest.mark.slow] if is_long else []


def sampled(cases: Iterable[tuple[Any, ...]], each: int) -> list[Any]:
    """Every `each`th case in the fast part, the others in the slow one."""
    return [pytest.param(*case, marks=slow_if(number % each != 0)) for number, case in enumerate(cases)]
