"""A backup or a restore that is killed between any two of its statements is never taken for whole, and the next try
works. `VIGIL_KILLS=1000` ends them at each; the suite at some."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import pytest_asyncio

from edge.cli import backup
from edge.cli.backup import back_up, restore
from edge.console.events import append
from edge.console.store import Store
from edge.contract.events import PendingEvent
from edge.contract.keys import own_key
from edge.contract.payloads import event_out
from edge.contract.signing import Signer
from edge.journal import Journal
from edge.process import BadUsage
from tests.helpers.bodies import body

KILLS = int(os.environ.get("VIGIL_KILLS", "0"))
EACH = 1 if KILLS else 12  # statements between two kills
KILLED, AT_S = 9, 1_800_000_000.0
FORKED = multiprocessing.get_context("fork")
Truth = dict[str, list[tuple[Any, ...]]]


@pytest_asyncio.fixture
async def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "keys").mkdir(parents=True)
    signer = Signer(own_key(folder / "edge.key"), lambda: 1)
    (folder / "keys" / "main.pub").write_text("ed25519:" + "A" * 43 + "=\n")
    kept = Journal.open(str(folder / "journal.db"), edge="clinic-1", boot="b1", wall=lambda: "now",
                        sign=lambda digest: signer.sign_hash("clinic-1", digest))
    appended = kept.append([PendingEvent("chair-1", None, AT_S + n, body("alarm", text="x")) for n in range(20)])
    await appended.stored
    await kept.close()
    with closing(Store(folder / "console.db")) as store:
        store.now(append, "clinic-1", [event_out(event, False) for event in appended.events], None, AT_S)
    return folder


def said_by(folder: Path) -> Truth:
    """All rows of both stores that tell what was, and the keys: read without a line of Vigil."""
    found: Truth = {}
    for name, table in (("journal.db", "event"), ("journal.db", "seal"), ("console.db", "events"),
                        ("console.db", "edges")):
        with closing(sqlite3.connect(f"file:{folder / name}?mode=ro", uri=True)) as store:
            found[f"{name} {table}"] = sorted(store.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
    found["keys"] = sorted((str(key.relative_to(folder)), key.read_bytes()) for key in
                           (*folder.glob("*.key"), *folder.glob("*.pub"), *folder.glob("keys/*.pub")))
    return found


def ended_at(statement: int, verb: Callable[..., int], *args: Path) -> bool:
    """Does `verb` in a process that ends before it comes to its so-manieth statement. Whether it came there."""
    def life() -> None:
        left = statement

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal left
            if frame.f_code.co_filename != backup.__file__:
                return None
            left -= event == "line"
            if left == 0:
                os._exit(KILLED)
            return trace

        sys.settrace(trace)
        verb(*args)
        os._exit(0)

    process = FORKED.Process(target=life)
    process.start()
    process.join(60)
    assert process.exitcode in (0, KILLED)
    return process.exitcode == KILLED


def every(verb: Callable[..., int], args: Callable[[int], tuple[Path, ...]], check: Callable[[int], None]) -> int:
    """Ends it before each of its statements, a life each. How many lives there were."""
    statement = lives = 0
    while True:
        statement += EACH if lives else 1
        lives += 1
        if not ended_at(statement, verb, *args(statement)):
            return lives
        check(statement)


@pytest.mark.slow
def test_a_backup_that_is_killed_is_no_backup_and_the_next_one_is(data: Path, tmp_path: Path) -> None:
    truth = said_by(data)

    def check(statement: int) -> None:
        to = tmp_path / f"backup-{statement}"
        left = [folder for folder in (to, to.with_name(f"{to.name}.part")) if folder.exists()]
        for number, folder in enumerate(left):
            box = tmp_path / f"box-{statement}-{number}"
            if folder == to or (not (folder / "unfinished").exists() and (folder / "journal.db").exists()):
                restore(folder, box)
                assert said_by(box) == truth, "who took it has all of it"
                continue
            with pytest.raises(BadUsage) as refused:
                restore(folder, box)
            assert "\n" not in str(refused.value)
            assert not box.exists()
        if not to.exists():
            assert back_up(data, to) == 0
        assert said_by(to) == truth
        assert not to.with_name(f"{to.name}.part").exists()

    assert every(back_up, lambda statement: (data, tmp_path / f"backup-{statement}"), check) > 40 / EACH


@pytest.mark.slow
@pytest.mark.parametrize("there", [False, True])
def test_a_restore_that_is_killed_is_done_by_the_next_try(data: Path, tmp_path: Path, there: bool) -> None:
    truth, saved = said_by(data), tmp_path / "saved"
    assert back_up(data, saved) == 0
    done = 0

    def args(statement: int) -> tuple[Path, Path]:
        box = tmp_path / f"box-{statement}"
        if there:
            box.mkdir()
            (box / "edge.toml").write_text("")
        return saved, box

    def check(statement: int) -> None:
        nonlocal done
        box = tmp_path / f"box-{statement}"
        if (box / "journal.db").exists():
            done += 1
            with pytest.raises(BadUsage, match=r"there is a \S+ already"):
                restore(saved, box)
        else:
            assert restore(saved, box) == 0
            assert not (box / ".restore.part").exists()
        assert said_by(box) == truth
        assert said_by(saved) == truth

    assert every(restore, args, check) > 40 / EACH
    assert done < 10, "the journal comes last"


class Killed(BaseException):
    """As kill -9 would."""


def test_what_somebody_has_worked_with_since_is_not_undone(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    saved, box, rename = tmp_path / "saved", tmp_path / "box", Path.rename
    assert back_up(data, saved) == 0

    def renamed(path: Path, target: Path) -> Path:
        if target.name == "journal.db":
            raise Killed
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", renamed)
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(Killed):
            restore(saved, box)
    with closing(Store(box / "console.db")) as store:
        store.now(lambda connection: connection.exec_driver_sql("UPDATE edges SET sounded_seq = 3"))
    with pytest.raises(BadUsage, match=r"there is a console\.db already"):
        restore(saved, box)
    assert (box / "console.db").exists()


def test_a_damaged_console_keeps_nobody_from_a_backup(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    with closing(sqlite3.connect(data / "console.db")) as file:
        (page,) = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events'").fetchone()
    with (data / "console.db").open("r+b") as raw:
        raw.seek((page - 1) * 4096)
        raw.write(bytes(4096))
    assert back_up(data, tmp_path / "saved") == 1
    assert "\n  console.db: " in capsys.readouterr().err
    assert restore(tmp_path / "saved", tmp_path / "box") == 1
    assert "\n  console.db: " in capsys.readouterr().err
    with closing(Store(tmp_path / "box" / "console.db", serves=lambda: AT_S)) as store:
        assert [found.name for found in store.aside] == ["console.db.damaged-1"], "what can be believed is taken"
