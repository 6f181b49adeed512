"""What the journal has confirmed survives a kill at any moment; what a bad disk makes of it is never served as true."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.contract.events import Event
from edge.journal import Journal, JournalError, Reader
from edge.journal.verify import verify
from edge.model import RecordedInput
from tests.helpers.journal_files import crashed

ROOT = Path(__file__).resolve().parents[1]
MUTANTS = int(os.environ.get("VIGIL_MUTANTS", "0")) or 75

# Writes as fast as it can, and says a number only when it is stored: "<seq> <hash> <n>" a line.
WRITER = """
import asyncio, resource, sys
from edge.journal import Journal, JournalError
from edge.contract.events import PendingEvent
from edge.model import Tick
from tests.helpers.bodies import body

async def main(path, boot, limit):
    journal = Journal.open(path, edge="clinic-1", boot=boot, wall=lambda: "now")
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    while True:
        for k in range(20):
            n = journal.record("chair-1", float(journal.head.n), Tick())
        journal.snapshot("chair-1", n, float(n), b"%d" % n)
        appended = [journal.append([PendingEvent(None, None, float(n), body("alarm", text=str(k)))] * 2)
                     for k in range(3)]
        for each in appended:
            await each.stored
            print(each.events[-1].seq, each.events[-1].hash, n, flush=True)

try:
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
except JournalError as fault:
    print(fault, file=sys.stderr)
    sys.exit(7)
"""


def writer(path: Path, boot: str, limit: int = 0) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path), boot, str(limit)], env=environment, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def confirmed(printed: str) -> tuple[int, str, int]:
    """What the last whole line said: seq, hash, n."""
    seq, digest, n = printed[:printed.rindex("\n")].splitlines()[-1].split()
    return int(seq), digest, int(n)


@pytest.mark.long
@pytest.mark.slow
def test_killed_at_any_moment_it_keeps_all_it_confirmed_and_goes_on_without_a_gap(tmp_path: Path) -> None:
    path, chance = tmp_path / "journal.db", random.Random(1)
    lines = 0
    for life in range(20):
        process = writer(path, f"b{life}")
        assert process.stdout is not None
        printed = "".join(process.stdout.readline() for _ in range(1 + chance.randrange(40)))
        time.sleep(chance.random() / 100)  # not always just after it spoke
        process.send_signal(signal.SIGKILL)
        printed += process.stdout.read()
        process.communicate()
        lines += printed.count("\n")
        seq, digest, n = confirmed(printed)
        verdict = verify(str(path), expect_seq=seq, expect_hash=digest)  # with the -wal file as the kill left it
        assert verdict.ok, (life, verdict.problem)
        assert verdict.inputs >= n
        with Reader(str(path)) as reader:
            assert reader.snapshots()["chair-1"][0] >= n
            assert reader.snapshots()["chair-1"][0] <= verdict.inputs
            assert list(reader.events())[-1].boot == f"b{life}"
    assert lines > 300


@pytest.mark.slow
def test_a_disk_that_takes_no_more_ends_the_edge_and_loses_nothing_confirmed(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    process = writer(path, "b1", limit=300_000)  # no file of this process may grow beyond: writing fails with EFBIG
    printed, complaint = process.communicate(timeout=60)
    assert process.returncode == 7
    assert complaint.splitlines()[0].startswith(f"journal {path}: ")
    seq, digest, _ = confirmed(printed)
    assert verify(str(path), expect_seq=seq, expect_hash=digest).ok


@pytest.mark.slow
def test_another_process_is_turned_away_while_one_writes(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    first = writer(path, "b1")
    assert first.stdout is not None
    first.stdout.readline()
    second = writer(path, "b2")
    printed, complaint = second.communicate(timeout=60)
    assert (second.returncode, printed) == (7, "")
    assert complaint.startswith(f"journal {path} is already being written by process {first.pid};")
    first.kill()
    first.communicate()
    third = writer(path, "b3")  # a dead process holds no lock
    assert third.stdout is not None
    assert third.stdout.readline()
    third.kill()
    third.communicate()


# --- bytes the disk changed -------------------------------------------------------------------------------------------


async def served(path: Path) -> tuple[list[Event], list[RecordedInput], int, dict[str, tuple[int, float, bytes]]]:
    journal = Journal.open(str(path), edge="clinic-1", boot="b9", wall=lambda: "now")
    try:
        return (await journal.events_after(0, 1000), list(journal.inputs()), await journal.cursor("main"),
                journal.snapshots())
    finally:
        await journal.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal"])
async def test_what_a_bad_disk_changed_is_refused_or_harmless(tmp_path: Path, name: str) -> None:
    events, inputs = await crashed(tmp_path)
    good = {each: (tmp_path / each).read_bytes() for each in ("journal.db", "journal.db-wal")}
    assert len(await served(tmp_path / "journal.db")) == 4
    chance, refused, shortened = random.Random(name), 0, 0
    for mutant in range(MUTANTS):
        folder = tmp_path / f"mutant-{mutant}"
        folder.mkdir()
        for each, content in good.items():
            spoilt = bytearray(content)
            at = chance.randrange(len(spoilt))
            if each == name and mutant % 5:
                spoilt[at] ^= 1 << chance.randrange(8)
            elif each == name:
                del spoilt[at:]
            (folder / each).write_bytes(spoilt)
        try:
            found_events, found_inputs, cursor, snapshots = await served(folder / "journal.db")
        except JournalError:
            refused += 1
        else:
            # SQLite takes a -wal file up to its first bad frame, like one that a power cut tore: the end may be
            # missing, and only the console's own number shows it. What is served is true, and fits together.
            assert found_events == events[:len(found_events)]
            assert found_inputs == inputs[:len(found_inputs)]
            assert len(found_inputs) == len(found_events) * 10
            assert cursor <= len(found_events)
            assert all(body == b"s%d" % n and n <= len(found_inputs) for n, _, body in snapshots.values())
            if len(found_events) < len(events):
                shortened += 1
                assert name == "journal.db-wal"
                assert not verify(str(folder / "journal.db"), expect_seq=len(events)).ok
        shutil.rmtree(folder)
    assert refused + shortened > MUTANTS / 5
