"""Every driver against its golden table: it says what the table says and nothing else, and hears what it must."""

from __future__ import annotations

from collections import Counter

import pytest

import drivers
from drivers.contract import BadFrame
from tests.helpers.golden_table import Row, heard, heard_json, said, wire

DRIVERS = drivers.find()
HEARD = [(name, row) for name in DRIVERS for row in heard(name)]
ASKED = {name: {question.name: question for question in spec.says} for name, spec in DRIVERS.items()}
ALONE = [(name, row) for name, row in HEARD if row.asked is None or row.asked in ASKED[name]]


@pytest.mark.parametrize("name", DRIVERS)
def test_everything_it_can_ever_say_is_a_row(name: str) -> None:
    assert Counter((question.name, wire(question)) for question in DRIVERS[name].says) == Counter(
        (row.name, row.frame) for row in said(name))


@pytest.mark.parametrize(("name", "row"), ALONE, ids=[f"{name}: {row}" for name, row in ALONE])
def test_a_frame_shown_alone_says_what_its_row_says(name: str, row: Row) -> None:
    driver = DRIVERS[name].driver()
    asked = ASKED[name][row.asked] if row.asked else None
    if row.bad:
        with pytest.raises(BadFrame):
            driver.hear(row.frame, asked)
    else:
        assert heard_json(driver.hear(row.frame, asked)) == row.expected
        assert asked is None or driver.answers(row.frame, asked) or not row.expected


@pytest.mark.parametrize("name", DRIVERS)
def test_rows_are_named_once(name: str) -> None:
    assert [row for row, count in Counter((row.way, row.name, row.frame) for row in [*said(name), *heard(name)]).items()
            if count > 1] == []
    assert heard(name), "and there is something to hear"
