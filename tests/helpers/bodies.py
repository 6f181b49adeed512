"""Bodies of events for tests: as version 0.1.0 wrote one of the kind, with what the test says instead."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from edge.contract.events import Event, EventBody, PendingEvent, read_body

GOLDEN = Path(__file__).parent.parent / "golden"
FILES = (GOLDEN / "events_0.1.0.txt", GOLDEN / "events_0.2.0.txt")  # 0.2.0: what is new in it


@cache
def rows() -> list[tuple[str, str]]:
    """Every example of the golden files: kind, JSON."""
    lines = [line.split(" ", 1) for file in FILES for line in file.read_text().splitlines()
             if not line.startswith("#")]
    return [(kind, text) for kind, text in lines]


def body(kind: str, **said: Any) -> EventBody:
    """The body of an event of `kind`."""
    example = json.loads(next(text for of, text in rows() if of == kind))
    unknown = set(said) - set(example) - {"command", "superseded_by", "why", "change"}
    assert not unknown, f"{kind} has no {unknown}"
    return read_body(kind, json.dumps({**example, **said}))


def body_of(event: PendingEvent | Event) -> Any:
    """What an event says, of whatever kind it is: a test knows which it asks."""
    return event.body
