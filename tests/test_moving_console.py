"""A session that was at another bed before is one session in the console: its trend and its events are of both beds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.console import events, history
from edge.console.history import Determination, Row
from edge.console.store import Store
from edge.contract.payloads import EventOut, decode
from tests.helpers.console_story import EDGE, START_S, Journal

A, B = "chair-1", "chair-2"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "console.db")
    yield opened
    opened.close()


def trend_of(
    store: Store, from_s: float, stays: list[tuple[str, float]]
) -> tuple[list[tuple[float, bytes]], list[history.Cuff]]:
    """What is read of bed B, part after part."""
    read = [store.now(history.rows_of, EDGE, part) for part in history.parts(B, from_s, START_S + 200, stays)]
    return [row for rows, _ in read for row in rows], [cycle for _, cycles in read for cycle in cycles]


def test_of_each_bed_only_what_it_measured_while_the_patient_was_there(store: Store) -> None:
    moved_s = START_S + 60
    rows: list[Row | Determination] = []
    for bed, value in ((A, 97.0), (B, 84.0)):
        rows += [Row(EDGE, bed, START_S + second, {"spo2_pct": value}) for second in (0, 59, 60, 61, 120)]
        rows += [Determination(EDGE, bed, START_S + second, {"sbp_mmhg": value + 40}) for second in (30, 90)]
    store.now(history.append, rows)
    moments, cuffs = trend_of(store, START_S - 10, [(A, moved_s)])
    assert [(at_s - START_S, history.decode_numerics(told)["spo2_pct"]) for at_s, told in moments] == [
        (0, 97), (59, 97), (60, 84), (61, 84), (120, 84)]
    assert [(at_s - START_S, values["sbp_mmhg"]) for at_s, values in cuffs] == [(30, 137), (90, 124)]
    alone, _ = trend_of(store, START_S - 10, [])
    assert len(alone) == 5, "of a bed whose patient was nowhere else, all"
    late, _ = trend_of(store, moved_s + 30, [(A, moved_s)])
    assert [at_s - START_S for at_s, _ in late] == [120]


def test_the_events_of_the_session_come_with_those_of_the_bed_and_no_others(store: Store) -> None:
    journal = Journal()
    journal.add(bed=A)  # of the session, at the old bed
    journal.add(bed=B)
    journal.add(bed="chair-3")
    store.now(events.append, EDGE, [journal.out(n) for n in (1, 2, 3)], "boot-1", START_S)
    for moved, seqs in ((("session-1", [A]), [2, 1]), (("session-2", [A]), [2]), (("", []), [2])):
        found, damaged = store.now(events.of_bed, EDGE, B, 10, None, lambda _hash, _sig: True, moved)
        assert ([decode(EventOut, one).seq for one in found], damaged) == (seqs, [])
