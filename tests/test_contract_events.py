"""Event bodies: what 0.1.0 wrote is read byte for byte; a misfit is refused; an added field is harmless."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from edge.contract.events import BODIES, KIND_OF, BadBody, EventBody, EventKind, read_body
from edge.model import canonical
from tests.helpers.bodies import rows

ROWS = rows()
REQUIRED: dict[str, str] = {kind: next(text for of, text in ROWS if of == kind) for kind in BODIES}


@pytest.mark.parametrize(("kind", "text"), ROWS)
def test_what_0_1_0_wrote_reads_as_its_type_and_writes_the_same_bytes(kind: str, text: str) -> None:
    body = read_body(kind, text)
    assert KIND_OF[type(body)] == kind
    assert canonical(body).decode() == text


def test_every_kind_and_every_body_has_its_place() -> None:
    assert set(BODIES) == set(get_args(EventKind))
    assert set(KIND_OF) == set(get_args(EventBody))
    assert {kind for kind, _ in ROWS} == set(BODIES)


@pytest.mark.parametrize("kind", BODIES)
def test_an_added_field_is_harmless(kind: str) -> None:
    body = json.loads(REQUIRED[kind])
    assert read_body(kind, json.dumps({**body, "added_later": {"x": 1}})) == read_body(kind, REQUIRED[kind])


@pytest.mark.parametrize("kind", BODIES)
def test_a_field_of_another_type_or_none_at_all_is_refused(kind: str) -> None:
    body = json.loads(REQUIRED[kind])
    for name in ("state", "phase", "paused_until", "gap_s", "note", "text", "device", "by", "broker", "console"):
        if name in body:
            with pytest.raises(BadBody, match=name):
                read_body(kind, json.dumps({**body, name: ["not this"]}))
    for wrong in ("{}", "[]", "null", "", "\ud800".encode("utf-8", "surrogatepass"), "[" * 100_000):
        with pytest.raises(BadBody):
            read_body(kind, wrong)


def test_a_kind_nobody_knows_is_refused() -> None:
    with pytest.raises(BadBody, match="weather"):
        read_body("weather", "{}")
