"""Every driver against its golden table: it sends what the table says and nothing else, and decodes what it must."""

from __future__ import annotations

from collections import Counter

import pytest

import drivers
from drivers.contract import BadFrame
from tests.helpers.golden_table import Row, decoded_json, frames, requests, wire

DRIVERS = drivers.find()
FRAMES = [(name, row) for name in DRIVERS for row in frames(name)]
REQUESTS = {name: {request.name: request for request in spec.requests} for name, spec in DRIVERS.items()}
ALONE = [(name, row) for name, row in FRAMES if row.request is None or row.request in REQUESTS[name]]


@pytest.mark.parametrize("name", DRIVERS)
def test_everything_it_can_ever_send_is_a_row(name: str) -> None:
    assert Counter((request.name, wire(request), request.effect) for request in DRIVERS[name].requests) == Counter(
        (row.name, row.frame, row.effect) for row in requests(name))


@pytest.mark.parametrize(("name", "row"), ALONE, ids=[f"{name}: {row}" for name, row in ALONE])
def test_a_frame_shown_alone_says_what_its_row_says(name: str, row: Row) -> None:
    driver = DRIVERS[name].driver()
    request = REQUESTS[name][row.request] if row.request else None
    if row.bad:
        with pytest.raises(BadFrame):
            driver.decode(row.frame, request)
    else:
        assert decoded_json(driver.decode(row.frame, request)) == row.expected
        assert request is None or driver.is_response(row.frame, request) or not row.expected


@pytest.mark.parametrize("name", DRIVERS)
def test_rows_are_named_once(name: str) -> None:
    rows = Counter((row.way, row.name, row.frame) for row in [*requests(name), *frames(name)])
    assert [row for row, count in rows.items() if count > 1] == []
    assert frames(name), "and there is something to decode"
