"""What a bad disk made of a journal is kept aside whole; the record goes on after the last of it that can be believed,
and the edge watches. Nothing false is ever served, whatever was changed."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from edge.contract.events import Event, PendingEvent, RecordBegun
from edge.journal import Journal, JournalDamaged, Reader, quarantine
from edge.journal.database import DatabaseUrl, JournalFailing, Lock
from edge.journal.verify import verify
from edge.model import RecordedInput, Tick
from tests.helpers.bodies import body
from tests.helpers.journal_files import AT_S, another, crashed
from tests.helpers.parts import sampled

NAMES = ("journal.db", "journal.db-wal")
MUTANTS = int(os.environ.get("VIGIL_MUTANTS", "0")) or 120


def opened(path: Path, boot: str = "b9") -> Journal:
    return Journal.open(str(path), edge="clinic-1", boot=boot, wall=lambda: "now", holds=True)


def read(path: str) -> bytes:
    return Path(path).read_bytes()


async def go_on(path: Path) -> tuple[list[Event], list[RecordedInput], dict[str, Any], Event]:
    """What is served of it, and the event that is then written behind it."""
    journal = opened(path)
    try:
        events = await journal.events_after(0, 1000)
        inputs: list[RecordedInput] = []
        with suppress(JournalDamaged):  # in the middle
            inputs.extend(journal.inputs())
        snapshots, cursor = journal.snapshots(), await journal.cursor("main")
        assert cursor <= journal.head.seq
        journal.record("chair-1", AT_S + 100, Tick())
        appended = journal.append([PendingEvent("chair-1", "s1", AT_S + 100, body("alarm", text="after"))])
        await asyncio.wait_for(appended.stored, 5)
        return events, inputs, snapshots, appended.events[0]
    finally:
        await journal.close()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
async def test_whatever_a_bad_disk_changed_the_edge_goes_on_behind_what_is_true(tmp_path: Path, name: str) -> None:
    events, inputs = await crashed(tmp_path)
    good = {each: (tmp_path / each).read_bytes() for each in NAMES}
    chance, aside, from_the_start = random.Random(name), 0, 0
    for mutant in range(MUTANTS):
        folder = tmp_path / f"mutant-{mutant}"
        folder.mkdir()
        spoilt = {each: bytearray(content) for each, content in good.items()}
        at = chance.randrange(len(spoilt[name]))
        if mutant % 5:
            spoilt[name][at] ^= 1 << chance.randrange(8)
        else:
            del spoilt[name][at:]
        for each, content in spoilt.items():
            (folder / each).write_bytes(content)
        path = folder / "journal.db"
        found, found_inputs, snapshots, after = await go_on(path)
        assert all(event in events for event in found), "each is one that was written"
        assert all(recorded in inputs for recorded in found_inputs)
        assert all(snapshot == b"s%d" % n or kept for kept in [path.with_name("journal.db.damaged-1").exists()]
                   for n, _, snapshot in snapshots.values())
        with Reader(str(path)) as reader:
            base = reader.base
            assert next(reader.events(after.seq - 1)) == after, "it is on the disk"
        if base.damage:
            aside += 1
            from_the_start += base.checkpoint.event_seq == 0
            assert read(base.damaged_file) == spoilt["journal.db"], "kept aside whole"
            assert read(f"{base.damaged_file}-wal") == spoilt["journal.db-wal"]
            assert (after.seq, after.prev) == (base.checkpoint.event_seq + 1, base.checkpoint.event_hash)
            assert base.checkpoint.event_seq == 0 or base.checkpoint.event_hash in {event.hash for event in events}
        verdict = verify(str(path))
        assert verdict.ok or not base.damage, (mutant, verdict.problem)  # in the middle: named, and never served
        shutil.rmtree(folder)
    if name == "journal.db":
        assert aside > MUTANTS / 20
        assert from_the_start < aside / 2, "mostly it is linked to what was there"
    else:  # SQLite takes a -wal file up to its first bad frame, as after a power cut
        assert aside == 0


# --- each way, one by one ---------------------------------------------------------------------------------------------


async def written(path: Path) -> None:
    # one that does not hold: there each event is waited for, however long a busy disk takes, and is a commit of its own
    journal = Journal.open(str(path), edge="clinic-1", boot="b1", wall=lambda: "now")
    for k in range(5):
        n = journal.record("chair-1", AT_S + k, Tick())
        journal.snapshot("chair-1", n, AT_S + k, b"s%d" % n)
        await journal.append([PendingEvent("chair-1", "s1", AT_S + k, body("alarm", text=str(k)))]).stored
    await journal.move_cursor("main", 3)
    await journal.close()


def changed(path: Path, *statements: str) -> None:
    """As a disk would, behind the triggers."""
    with sqlite3.connect(path) as raw:
        for table in ("input", "seal", "event"):
            for verb in ("update", "delete"):
                raw.execute(f"DROP TRIGGER {table}_no_{verb}")
        for statement in statements:
            raw.execute(statement)
    raw.close()


def meta(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as raw:
        raw.executescript(statement)
    raw.close()


def no_text(path: Path) -> None:
    """What SQLite says of it then is no UTF-8."""
    good = path.read_bytes()
    spoilt = good.replace(b"seal_no_update", b"\xfeeal_no_update")
    spoilt = spoilt.replace(b"CREATE TRIGGER \xfe", b"CR.ATE TRIGGER \xfe")
    assert spoilt != good
    path.write_bytes(spoilt)


LAST_CHECKPOINT = f"UPDATE seal SET hash = {another('hash')} WHERE id = 5"
# how it was damaged, after which event the record goes on, how far the console is
DAMAGED: list[tuple[str, Callable[[Path], object], int, int]] = [
    ("the newest checkpoint", lambda path: changed(path, LAST_CHECKPOINT), 4, 3),
    ("the newest input", lambda path: changed(path, "UPDATE input SET at_ms = at_ms + 1 WHERE n = 5"), 4, 3),
    ("the newest event", lambda path: changed(path, "UPDATE event SET body = '{}' WHERE seq = 5"), 4, 3),
    ("an end is gone", lambda path: changed(path, "DELETE FROM event WHERE seq > 3"), 3, 3),
    ("a cursor", lambda path: changed(path, "UPDATE cursor SET event_hash = 'x'"), 5, 3),
    ("the name of its edge", lambda path: meta(path, "UPDATE meta SET value = 'clinic-3' WHERE key = 'edge'"), 5, 3),
    ("no edge", lambda path: meta(path, "UPDATE meta SET key = 'edgd' WHERE key = 'edge'"), 5, 3),
    ("its version", lambda path: meta(path, "UPDATE meta SET value = 's' WHERE key = 'schema'"), 5, 3),
    ("an older version", lambda path: meta(path, "UPDATE meta SET value = '1' WHERE key = 'schema'"), 5, 3),
    ("where its name stands", lambda path: meta(path, "ALTER TABLE meta RENAME TO mete"), 5, 3),
    ("how far a console is", lambda path: meta(path, "CREATE TABLE spoilt AS SELECT console, NULL seq, event_hash,"
                                                     " moved_at_ms FROM cursor; DROP TABLE cursor;"
                                                     " ALTER TABLE spoilt RENAME TO cursor"), 5, 0),
    ("its schema", no_text, 0, 0),
    ("its first bytes", lambda path: path.write_bytes(b"x" * 100 + path.read_bytes()[100:]), 0, 0),
    ("all of it", lambda path: path.write_bytes(b"x" * 5000), 0, 0),
]


@pytest.mark.parametrize(("damage", "after", "cursor"), sampled((row[1:] for row in DAMAGED), 2),
                         ids=[row[0] for row in DAMAGED])
async def test_the_record_goes_on_after_the_last_that_can_be_believed(
    tmp_path: Path, damage: Callable[[Path], object], after: int, cursor: int,
) -> None:
    path = tmp_path / "journal.db"
    await written(path)
    damage(path)
    spoilt = path.read_bytes()
    journal = opened(path)
    begun = journal.taken_begun()
    assert begun is not None
    assert (begun.checkpoint.event_seq, begun.damaged_file) == (after, f"{path}.damaged-1")
    assert journal.taken_begun() is None, "it is said once"
    assert journal.head.seq == after
    assert journal.head.at_s >= AT_S + after - 1 if after else True
    assert await journal.cursor("main") == cursor
    assert await journal.events_after(0, 10) == []
    said = RecordBegun(damaged_file=begun.damaged_file, damage=begun.damage, after_seq=after)
    appended = journal.append([PendingEvent(None, None, AT_S + 9, said)])
    assert await appended.stored
    await journal.move_cursor("main", after + 1)
    await journal.close()
    assert read(begun.damaged_file) == spoilt
    verdict = verify(str(path))
    assert (verdict.ok, verdict.begins_after, verdict.events) == (True, after, after + 1)
    again = opened(path, "b10")  # nothing is damaged now
    assert again.taken_begun() is None
    assert (again.head.seq, await again.cursor("main")) == (after + 1, after + 1)
    if after == 5:
        assert again.snapshots() == {"chair-1": (5, AT_S + 4, b"s5")}, "what the beds remember is taken along"
    await again.close()
    changed(path, f"UPDATE seal SET prev = {another('prev')} WHERE id = {begun.checkpoint.id + 1}")
    third = opened(path)
    once_more = third.taken_begun()
    assert once_more is not None
    assert (once_more.checkpoint.event_seq, once_more.damaged_file) == (after, f"{path}.damaged-2")
    await third.close()


class Killed(BaseException):
    """The process ended there."""


@pytest.mark.parametrize("step", sampled(((step,) for step in range(12)), 3))
async def test_killed_at_any_step_of_it_the_next_start_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int,
) -> None:
    path = tmp_path / "journal.db"
    await written(path)
    changed(path, LAST_CHECKPOINT)
    spoilt, steps = path.read_bytes(), 0

    def killed(name: str) -> Callable[..., Any]:
        real = getattr(Path, name)

        def act(self: Path, *args: Any, **more: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == step + 1:
                raise Killed
            return real(self, *args, **more)
        return act

    locks: list[Lock] = []

    def lock(place: DatabaseUrl) -> Lock:
        locks.append(Lock(place))
        return locks[-1]

    with monkeypatch.context() as patch:
        patch.setattr("edge.journal.store.Lock", lock)
        for name in ("rename", "unlink"):
            patch.setattr(Path, name, killed(name))
        try:
            await opened(path).close()
        except Killed:
            for each in locks:  # as the kernel does
                each.release()
        else:
            assert step >= 6, "there are that many steps at least"
    for boot in ("b2", "b3"):  # until an event says so, each start does
        journal = opened(path, boot)
        begun = journal.taken_begun()
        assert begun is not None
        assert begun.damaged_file == str(tmp_path / "journal.db.damaged-1")
        assert journal.head.seq == 4
        await journal.close()
    assert (tmp_path / "journal.db.damaged-1").read_bytes() == spoilt
    verdict = verify(str(path))
    assert (verdict.ok, verdict.begins_after) == (True, 4)
    assert not [name for name in os.listdir(tmp_path) if "new" in name or "part" in name], "no rest"


async def test_where_it_cannot_be_kept_aside_the_watch_goes_on_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "journal.db"
    await written(path)
    changed(path, LAST_CHECKPOINT)

    def full(*_: object) -> None:
        raise JournalFailing("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(quarantine, "begin_anew", full)
        patch.setattr("edge.journal.journal.RETRY_S", 0.02)
        journal = opened(path)
        told: list[Any] = []
        journal.watch(told.append)
        assert told[0].reason == "no space left"
        assert await journal.append([PendingEvent(None, None, AT_S, body("alarm"))]).stored is False
    async with asyncio.timeout(5):
        while not told[-1].over:
            await asyncio.sleep(0.02)
    await journal.close()
    assert verify(str(path)).ok


@pytest.mark.parametrize("damage", ["DROP TABLE snapshot", "ALTER TABLE input RENAME COLUMN kind TO king"])
async def test_damage_found_while_it_writes_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str,
) -> None:
    monkeypatch.setattr("edge.journal.journal.RETRY_S", 0.02)
    path = tmp_path / "journal.db"
    told: list[Any] = []
    await written(path)
    journal = opened(path)
    journal.watch(told.append)
    changed(path, damage)
    n = journal.record("chair-1", AT_S + 9, Tick())
    journal.snapshot("chair-1", n, AT_S + 9, b"s6")
    appended = journal.append([PendingEvent(None, None, AT_S + 9, body("alarm"))])
    assert await appended.stored is False
    async with asyncio.timeout(5):
        while not (told and told[-1].over):
            await asyncio.sleep(0.02)
    begun = journal.taken_begun()
    assert begun is not None
    assert begun.checkpoint.event_seq == 5
    assert await journal.events_after(0, 9) == list(appended.events)
    assert journal.snapshots() == {"chair-1": (6, AT_S + 9, b"s6")}
    await journal.close()
    verdict = verify(str(path))
    assert (verdict.ok, verdict.begins_after, verdict.events, verdict.inputs) == (True, 5, 6, 6)


async def test_damage_in_the_middle_is_passed_over_and_told_where_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    await written(path)
    changed(path, "UPDATE event SET body = '{}' WHERE seq = 2")
    told: list[str] = []
    journal = opened(path)
    journal.watch(lambda _: None, told.append)
    assert journal.taken_begun() is None, "its ends are sound, so it goes on"
    assert [event.seq for event in await journal.events_after(0, 10)] == [1, 3, 4, 5]
    assert told == ["event 2: its hash does not match"]
    await journal.close()
    assert verify(str(path)).problem == told[0]


def test_a_database_that_is_no_file_is_never_kept_aside() -> None:
    with pytest.raises(JournalDamaged, match="so it was"):
        quarantine.begin_anew(DatabaseUrl("sqlite://"), "clinic-1", "so it was", None, None)
