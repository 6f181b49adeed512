"""Writes and syncs of the real writer that fail now and then, beneath SQLite and Python: what was said to be stored
is there after a kill, and the chain holds. On demand: `apt-get install fiu-utils`, `VIGIL_IO_FAULTS=20 pytest`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge.journal import JournalError, Reader
from edge.journal.verify import verify

LIVES = int(os.environ.get("VIGIL_IO_FAULTS", "0"))
LIBRARIES = [Path("/usr/lib/fiu") / name for name in ("fiu_run_preload.so", "fiu_posix_preload.so")]
FAULTS = "\n".join(f"enable_random name=posix/io/{name},probability=0.03" for name in ("rw/pwrite", "sync/fdatasync"))
EVENTS = 100

pytestmark = pytest.mark.skipif(not LIVES, reason="on demand: VIGIL_IO_FAULTS=20")


def lived(path: Path, boot: str, *how: str) -> tuple[dict[int, str], int]:
    """What it was told is on the disk, by number, and how often it was told that the disk fails."""
    environment = os.environ | {"LD_PRELOAD": " ".join(map(str, LIBRARIES)), "FIU_ENABLE": FAULTS}
    done = subprocess.run([sys.executable, "-m", "tests.helpers.io_faults", str(path), str(EVENTS), boot, *how],
                          env=environment, capture_output=True, text=True, timeout=100)
    lines = [line.split() for line in done.stdout.splitlines()]
    return ({int(line[1]): line[2] for line in lines if line[0] == "stored"},
            sum(line[0] == "outage" for line in lines))


def lacking(path: Path, said: dict[int, str]) -> set[int]:
    """Those of `said` that are not there."""
    try:
        with Reader(str(path)) as reader:
            there = {event.seq: event.hash for event in reader.events()}
    except JournalError:
        there = {}
    return {seq for seq, digest in said.items() if there.get(seq) != digest}


def test_what_was_said_to_be_on_the_disk_is_there(tmp_path: Path) -> None:
    assert all(library.exists() for library in LIBRARIES), "apt-get install fiu-utils"
    said, faults = dict[int, str](), 0
    for k in range(LIVES):
        more, told = lived(tmp_path / "journal.db", f"b{k}")
        said |= more
        faults += told
        assert lacking(tmp_path / "journal.db", said) == set()
        verdict = verify(str(tmp_path / "journal.db"))
        assert verdict.ok, verdict.problem
    assert faults > LIVES
    print(f"{LIVES} lives, {faults} times told that the disk fails, {len(said)} events confirmed, 0 lost")


def test_who_swallows_the_fault_loses_and_is_found(tmp_path: Path) -> None:
    found = 0
    for k in range(max(3, LIVES // 4)):
        path = tmp_path / f"{k}.db"
        said, _ = lived(path, "b1", "swallow")
        found += bool(lacking(path, said))
    assert found
