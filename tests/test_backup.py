"""A backup taken while everything runs is whole and consistent, and a box restored from it goes on."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edge.app.recovery import recover
from edge.cli.backup import back_up, restore
from edge.console.audit import add, lines
from edge.console.events import append
from edge.console.store import Store
from edge.contract.events import PendingEvent
from edge.contract.keys import own_key
from edge.contract.payloads import event_out
from edge.contract.signing import Signer
from edge.journal import Journal
from edge.journal.verify import verify
from edge.model import Tick
from edge.process import BadUsage
from tests.helpers.bodies import body
from tests.helpers.journal_files import behind_triggers
from tests.helpers.recovery_story import Life
from tests.helpers.small_disk import fill, remount
from tests.helpers.small_disk import small_disk as small_disk

pytestmark = pytest.mark.slow

AT_S = 1_800_000_000.0


def opened(data: Path, boot: str) -> Journal:
    signer = Signer(own_key(data / "edge.key"), lambda: 1)
    return Journal.open(str(data / "journal.db"), edge="clinic-1", boot=boot, wall=lambda: "now",
                        sign=lambda digest: signer.sign_hash("clinic-1", digest))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "keys").mkdir(parents=True)
    own_key(folder / "edge.key")
    (folder / "command.key").write_text("00" * 32)
    (folder / "keys" / "main.pub").write_text("ed25519:" + "A" * 43 + "=\n")
    return folder


async def test_the_drill(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept, store = opened(data, "b1"), Store(data / "console.db")
    life = Life(kept)
    life.begin("b1")
    going = True

    async def writes() -> None:
        """Edge and console go on while the backup is made."""
        while going:
            life.second(97.0)
            appended = kept.append([PendingEvent("chair-1", None, life.at_s, body("alarm", text="x"))])
            await appended.stored
            await store.run(append, "clinic-1", [event_out(event, False) for event in appended.events], None, life.at_s)

    task = asyncio.ensure_future(writes())
    backups = [tmp_path / f"backup-{k}" for k in range(3)]
    for backup in backups:
        await asyncio.sleep(0.1)
        assert await asyncio.to_thread(back_up, data, backup) == 0
    going = False
    await task
    await kept.close()
    store.close()
    found = [verify(str(backup / "journal.db")) for backup in backups]
    assert found[0].events < found[1].events < found[2].events
    box = tmp_path / "new-box"
    assert restore(backups[1], box) == 0
    assert sorted(os.listdir(box)) == ["command.key", "console.db", "edge.key", "edge.pub", "journal.db", "keys"]
    assert {stat.S_IMODE((box / name).stat().st_mode) for name in ("edge.key", "console.db", "journal.db")} == {0o600}
    again = opened(box, "b2")  # the very same key signs on
    assert (await recover(again)).beds["chair-1"].state.latest["spo2_pct"].value == 97.0
    again.record("chair-1", life.at_s, Tick())
    await again.append([PendingEvent(None, None, life.at_s, body("boot"))]).stored
    await again.close()
    verdict = verify(str(box / "journal.db"), keys=[own_key(data / "edge.key").verify_key])
    assert (verdict.problem, verdict.events) == (None, found[1].events + 1)
    assert f"{found[1].events} events" in capsys.readouterr().out


async def test_what_cannot_be_is_one_line_and_changes_nothing(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match=r"no journal\.db there"):
        back_up(data, tmp_path / "backup")
    kept = opened(data, "b1")
    await kept.append([PendingEvent(None, None, AT_S, body("boot"))]).stored
    await kept.close()
    assert back_up(data, tmp_path / "backup") == 0
    with pytest.raises(BadUsage, match="there is something already"):
        back_up(data, tmp_path / "backup")
    with pytest.raises(BadUsage, match=r"there is a journal\.db already"):
        restore(tmp_path / "backup", data)
    with pytest.raises(BadUsage, match=r"no backup, there is no journal\.db"):
        restore(tmp_path, tmp_path / "new-box")
    with sqlite3.connect(tmp_path / "backup" / "journal.db") as raw:
        raw.execute("DROP TRIGGER event_no_update")
        raw.execute("UPDATE event SET at_ms = at_ms + 1")
    raw.close()
    with pytest.raises(BadUsage, match="event 1: its hash does not match"):
        restore(tmp_path / "backup", tmp_path / "new-box")
    assert not (tmp_path / "new-box").exists()
    assert sorted(name for name in os.listdir(tmp_path)) == ["backup", "data"]


@pytest.fixture
async def backup(data: Path, tmp_path: Path) -> Path:
    kept, store = opened(data, "b1"), Store(data / "console.db")
    await kept.append([PendingEvent(None, None, AT_S, body("boot"))]).stored
    await kept.close()
    store.close()
    assert back_up(data, tmp_path / "backup") == 0
    return tmp_path / "backup"


@pytest.mark.parametrize(("name", "table"), [("console.db", b"accounts"), ("journal.db", b"seal_no_update")])
def test_one_whose_schema_is_no_text_is_refused_in_one_line(
    backup: Path, tmp_path: Path, name: str, table: bytes,
) -> None:
    file = backup / name
    spoilt = file.read_bytes().replace(table, b"\xfe" + table[1:])
    for verb in (b"TABLE", b"TRIGGER"):  # what SQLite says of it then is no UTF-8
        spoilt = spoilt.replace(b"CREATE " + verb + b" \xfe", b"CR.ATE " + verb + b" \xfe")
    file.write_bytes(spoilt)
    with pytest.raises(BadUsage) as refused:
        restore(backup, tmp_path / "box")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "box").exists()


@pytest.mark.parametrize("there", [False, True])
def test_onto_a_disk_that_fills_all_is_restored_or_nothing(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool,
) -> None:
    box, copied, room = tmp_path / "box", shutil.copy2, 0
    if there:
        box.mkdir()
        (box / "edge.toml").write_text("")
    before = sorted(box.rglob("*"))

    def copy(source: Path, target: Path) -> None:
        nonlocal room
        if room == 0:
            target.write_bytes(b"half of it")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room -= 1
        copied(source, target)

    monkeypatch.setattr(shutil, "copy2", copy)
    for files in range(6):
        room = files
        with pytest.raises(BadUsage, match=r"No space left on device; nothing is restored") as told:
            restore(backup, box)
        assert "\n" not in str(told.value)
        assert sorted(box.rglob("*")) == before
        assert box.exists() == there
    room = 6
    assert restore(backup, box) == 0
    assert verify(str(box / "journal.db")).ok


def test_onto_a_disk_that_is_full(backup: Path, small_disk: Path) -> None:
    filler = fill(small_disk)
    with pytest.raises(BadUsage, match="No space left on device"):
        restore(backup, small_disk)
    assert list(small_disk.iterdir()) == [filler]
    filler.unlink()
    assert restore(backup, small_disk) == 0


@pytest.mark.parametrize("left", ["journal.db-wal", "console.db-wal", "console.db"])
def test_beside_what_is_left_of_another_store_nothing_is_restored(backup: Path, tmp_path: Path, left: str) -> None:
    box = tmp_path / "box"
    box.mkdir()
    (box / left).write_bytes(b"of another time")
    with pytest.raises(BadUsage, match=f"there is a {left} already"):
        restore(backup, box)
    assert [found.name for found in box.iterdir()] == [left]


async def test_under_an_edge_that_runs_nothing_is_restored(backup: Path, data: Path) -> None:
    kept = opened(data, "b2")
    for end in ("", "-wal", "-shm"):
        (data / f"journal.db{end}").unlink(missing_ok=True)
    (data / "console.db").unlink()
    with pytest.raises(BadUsage, match="already being written by process"):
        restore(backup, data)
    assert not (data / "console.db").exists()
    await kept.close()


@pytest.mark.parametrize("how", ["full", "read-only"])
async def test_of_a_store_that_fails_what_is_on_the_disk_is_saved(
    data: Path, small_disk: Path, tmp_path: Path, how: str,
) -> None:
    shutil.copytree(data, small_disk / "data")
    folder = small_disk / "data"
    kept, store = opened(folder, "b1"), Store(folder / "console.db")
    try:
        appended = kept.append([PendingEvent(None, None, AT_S, body("boot"))])
        await appended.stored
        await store.run(append, "clinic-1", [event_out(event, False) for event in appended.events], None, AT_S)
        if how == "full":
            fill(small_disk)
        else:  # nobody has it open: there is no -shm file, and none can be made
            await kept.close()
            store.close()
            remount(small_disk, "ro")
        assert back_up(folder, tmp_path / "saved") == 0
        assert verify(str(tmp_path / "saved" / "journal.db")).events == 1
    finally:
        if how == "full":
            await kept.close()
            store.close()


# --- of what is damaged -----------------------------------------------------------------------------------------------


def zeroed(file: Path, at: int, size: int) -> None:
    with file.open("r+b") as raw:
        raw.seek(at)
        raw.write(bytes(size))


@pytest.fixture
async def lived(data: Path) -> Path:
    """A bed's day in both stores, in their main files."""
    kept = opened(data, "b1")
    life = Life(kept)
    life.begin("b1")
    for n in range(8):
        life.second(97.0)
        await kept.append([PendingEvent("chair-1", None, life.at_s, body("alarm", text=str(n)))]).stored
    await kept.close()
    with closing(Store(data / "console.db")) as store:
        for name in ("Ada", "Bo"):
            store.now(add, AT_S, name, "asked")
    return data


DAMAGES: list[tuple[str, Callable[[Path], object], list[str]]] = [  # what is done to a data folder, what is said
    ("an event's body", lambda data: behind_triggers(data / "journal.db", "UPDATE event SET at_ms = 5 WHERE seq = 3"),
     ["journal.db: event 3: its hash does not match"]),
    ("two", lambda data: behind_triggers(data / "journal.db", "UPDATE event SET at_ms = 5 WHERE seq IN (3, 7)"),
     ["journal.db: event 3: its hash does not match", "journal.db: event 7: its hash does not match"]),
    ("an event that is gone", lambda data: behind_triggers(data / "journal.db", "DELETE FROM event WHERE seq = 4"),
     ["journal.db: event 4 is missing"]),
    ("an input", lambda data: behind_triggers(data / "journal.db", "UPDATE input SET at_ms = 5 WHERE n = 6"),
     ["does not match"]),
    ("a checkpoint that is gone", lambda data: behind_triggers(data / "journal.db", "DELETE FROM seal WHERE id = 3"),
     ["journal.db: checkpoint 3 is missing"]),
    ("no database", lambda data: zeroed(data / "journal.db", 0, 100), ["journal.db: it is no database"]),
    ("the console's audit", lambda data: behind_triggers(data / "console.db", "UPDATE audit SET at_s = 5 WHERE n = 2"),
     ["console.db: audit: line 2: its hash does not match"]),
    ("no console's store", lambda data: zeroed(data / "console.db", 0, 100), ["console.db: file is not a database"]),
]


@pytest.mark.parametrize(("damage", "said"), [row[1:] for row in DAMAGES], ids=[row[0] for row in DAMAGES])
async def test_what_is_damaged_is_saved_as_it_is_and_said(
    lived: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], object], said: list[str],
) -> None:
    damage(lived)
    saved, box = tmp_path / "saved", tmp_path / "box"
    assert back_up(lived, saved) == 1
    noted = (saved / "damaged").read_text().splitlines()
    assert [one for one, words in zip(noted, said, strict=True) if words in one] == noted
    told = capsys.readouterr().err
    assert restore(saved, box) == 1
    for err in (told, capsys.readouterr().err):
        assert [line.strip() for line in err.splitlines()[1:]] == noted
    assert {found.name for found in box.iterdir()} >= {"journal.db", "console.db", "edge.key"}
    assert {"damaged", "SHA256SUMS"}.isdisjoint(found.name for found in box.iterdir())
    kept = Journal.open(str(box / "journal.db"), edge="clinic-1", boot="b2", wall=lambda: "now", holds=True)
    await kept.append([PendingEvent(None, None, AT_S + 99, body("boot"))]).stored
    assert kept.outage is None
    await kept.close()
    with closing(Store(box / "console.db", serves=lambda: AT_S)):
        """It starts."""
    content = (saved / "journal.db").read_bytes()
    (saved / "journal.db").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BadUsage, match=r"journal\.db is not as it was when the backup was made|does not hold"):
        restore(saved, tmp_path / "other")


def test_over_an_audit_that_went_further_a_restore_says_what_the_console_then_does(
    lived: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert back_up(lived, tmp_path / "saved") == 0
    with closing(Store(lived / "console.db", serves=lambda: AT_S)) as store:
        store.now(add, AT_S, "Cy", "asked")
    for file in (*lived.glob("*.db"), *lived.glob("*.db-*")):
        file.unlink()
    assert restore(tmp_path / "saved", lived) == 0
    assert "the console's audit went up to line 3, the backup's ends at 2" in capsys.readouterr().err
    with closing(Store(lived / "console.db", serves=lambda: AT_S)) as store:
        assert [line[1] for line in store.now(lines)] == ["asked", "asked", "audit lines lost"]
        assert store.lost_lines == 1


def test_a_byte_that_is_another_in_any_file_of_a_backup_is_found(lived: Path, tmp_path: Path) -> None:
    saved, chance = tmp_path / "saved", random.Random(5)
    assert back_up(lived, saved) == 0
    files = [found for found in saved.rglob("*") if found.is_file() and not found.name.endswith(("-wal", "-shm"))]
    assert {found.name for found in files} >= {"journal.db", "console.db", "edge.key", "edge.pub", "main.pub",
                                               "SHA256SUMS"}
    for file in files:
        for _ in range(3):
            whole = file.read_bytes()
            at = chance.randrange(len(whole))
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << chance.randrange(8)]) + whole[at + 1:])
            with pytest.raises(BadUsage) as refused:
                restore(saved, tmp_path / "box")
            assert "\n" not in str(refused.value), (file, at)
            assert not (tmp_path / "box").exists()
            file.write_bytes(whole)
    assert restore(saved, tmp_path / "box") == 0


@pytest.mark.parametrize("room_kb", [40, 400])
def test_onto_a_disk_that_fills_nothing_is_left_of_a_backup(lived: Path, small_disk: Path, room_kb: int) -> None:
    filler = fill(small_disk)
    os.truncate(filler, filler.stat().st_size - room_kb * 1024)
    if room_kb < 100:
        with pytest.raises(BadUsage, match="nothing is left of it"):
            back_up(lived, small_disk / "saved")
        assert list(small_disk.iterdir()) == [filler]
    else:
        assert back_up(lived, small_disk / "saved") == 0
