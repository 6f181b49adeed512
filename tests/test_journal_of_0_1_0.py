"""A journal that 0.1.0 wrote opens, verifies, replays without a difference and is taken up: what is on a disk stays."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from edge.app.recovery import recover
from edge.core.replay import differences
from edge.journal.journal import Journal
from edge.journal.reader import Reader
from edge.journal.verify import verify
from edge.model import Tick
from tests.helpers.rule_files import HERE


@pytest.fixture
def old(tmp_path: Path) -> str:
    path = tmp_path / "journal.db"
    path.write_bytes(gzip.decompress((HERE / "golden" / "journal-0.1.0.db.gz").read_bytes()))
    return str(path)


def test_it_verifies(old: str) -> None:
    verdict = verify(old)
    assert (verdict.ok, verdict.events, verdict.inputs) == (True, 70, 1134), verdict.problem


def test_it_replays_without_a_difference(old: str) -> None:
    with Reader(old) as reader:
        assert [str(found) for found in differences(reader.inputs(), reader.events())] == []


async def test_a_bed_is_taken_up_from_its_snapshot(old: str) -> None:
    kept = Journal.open(old, edge="clinic-1", boot="boot-3", wall=lambda: "2026-09-21T15:00:00.000Z")
    bed = (await recover(kept)).beds["chair-1"]
    state = bed.state
    assert (state.session, state.closed, state.alarm_count) == (None, ["session-1"], 16)
    assert {name: device.identity for name, device in state.devices.items()} == {
        "pump": "8002-51740", "cuff": "SN1", "oximeter": None}
    assert bed.apply(Tick(), kept.head.at_s + 1) == []
    await kept.close()
