"""Killed at any of the points named in edge/points.py, a journal keeps all that it said is kept, and goes on.

The truth is kept outside: by the process that was told "it is on the disk". `VIGIL_KILLS=1000` looks longer.
"""

from __future__ import annotations

import gzip
import os
import random
import sqlite3
from pathlib import Path
from typing import get_args

import pytest

from edge import points
from edge.journal import Reader
from edge.journal.verify import verify
from tests.helpers.journal_files import another
from tests.helpers.killing import Ended, Life, lived

KILLS = int(os.environ.get("VIGIL_KILLS", "0"))
OF_THE_STREAM = {"before_publish", "after_publish", "before_cursor", "after_cursor"}  # tests/test_kills_edge.py
POINTS: list[points.Point] = [  # those of a console: tests/test_kills_console.py
    point for point in get_args(points.Point) if point not in OF_THE_STREAM and not point.startswith("console_")]
OLD = Path(__file__).parent / "golden" / "journal-0.1.0.db.gz"
LATEST = {"quarantine": 5, "migration": 3, "retention": 4, "packing": 4, "healing": 4}  # how often a life comes there


def spoilt(path: Path) -> None:
    """Its last checkpoint is none."""
    with sqlite3.connect(path) as raw:
        raw.execute("DROP TRIGGER seal_no_update")
        raw.execute(f"UPDATE seal SET hash = {another('hash')} WHERE id = (SELECT max(id) FROM seal)")
    raw.close()


def check(path: Path, life: Life, ended: Ended, before: Ended) -> None:
    """Everything it was told is on the disk is there; the chain holds."""
    seq, digest, n = (ended.seq, ended.hash, ended.n) if ended.seq else (before.seq, before.hash, before.n)
    damaged = life.point == "quarantine" and not ended.seq  # then its last commit is what was spoilt
    verdict = verify(str(path), expected={} if damaged or not seq else {seq: digest})
    assert verdict.ok, (life, ended, verdict.problem)
    assert damaged or verdict.inputs >= n, (life, ended)
    with Reader(str(path)) as reader:
        kept = reader.snapshots()
        assert damaged or not n or n <= kept["chair-1"][0] <= verdict.inputs, life


def lives(folder: Path, point: points.Point, count: int, number: int) -> bool:
    """A life that ends at the `count`th `point`, and one that goes on behind it. Whether the first was killed."""
    path, before, edge = folder / "journal.db", Ended(False, 0, "", 0), "clinic-1"
    if point == "migration" and number % 2:
        path.write_bytes(gzip.decompress(OLD.read_bytes()))
        with Reader(str(path)) as reader:
            edge = reader.edge
    if point == "quarantine":
        before = lived(Life(path, edge, "b0", "after_commit", 20))
        spoilt(path)
    life = Life(path, edge, "b1", point, count, faults=point == "healing")
    ended = lived(life)
    if point == "migration" and ended.killed and not (path.is_file() and path.stat().st_size):
        return True  # not even begun
    if point != "migration" and point != "quarantine":
        check(path, life, ended, before)
    after = Life(path, edge, "b2", "after_commit", 5)
    check(path, after, lived(after), ended if ended.seq else before)
    return ended.killed


@pytest.mark.slow
@pytest.mark.timeout(300 + KILLS)
@pytest.mark.parametrize("point", POINTS)
def test_killed_there_it_has_all_that_it_confirmed(tmp_path: Path, point: points.Point) -> None:
    chance = random.Random(point)
    many = max(3, KILLS // len(POINTS))
    killed = 0
    for number in range(many):
        folder = tmp_path / str(number)
        folder.mkdir()
        killed += lives(folder, point, 1 + chance.randrange(LATEST.get(point, 40)), number)
    assert killed >= many * 0.8, "it comes there"


@pytest.mark.slow
def test_who_acknowledges_before_it_is_stored_is_found(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    ended = lived(Life(path, "clinic-1", "b1", "before_store", 10, sabotage="acknowledges before it stores"))
    assert not verify(str(path), expect_seq=ended.seq, expect_hash=ended.hash).ok


