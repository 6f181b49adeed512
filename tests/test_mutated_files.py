"""Any file of an installation, changed in any way, and every verb that reads it: what is said is true, or the verb says
in one line what is wrong. The truth is what was written before, read without a line of Vigil.

`VIGIL_MUTANTS=500` changes each file so many times; the suite some of them twice.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import typer
from typer.testing import CliRunner

from edge.cli import app
from edge.config.files import ConfigError, load_console
from edge.console import accounts, audit, events, patients
from edge.console.run import console_settings
from edge.console.service import Console
from edge.console.store import Store
from edge.contract.events import PendingEvent
from edge.contract.keys import own_key
from edge.contract.payloads import event_out
from edge.contract.signing import Signer
from edge.journal import Journal, segments
from edge.model import Tick
from edge.process import BadUsage
from tests.helpers.bodies import body
from tests.helpers.console_server import quick_hashes

MANY = int(os.environ.get("VIGIL_MUTANTS", "0"))
MUTANTS = MANY or 2
AT_S, BED, EDGE, WORD = 1_700_000_000.0, "chair-1", "clinic-1", "s3cret-word"
DAY = "2023-11-15"  # after AT_S
FILES = ("data/journal.db", "data/console.db", "data/console.accounts", "data/edge.key", "data/edge.pub",
         "data/console.key", "data/keys/main.pub", "data/keys/clinic-1.pub", "data/edge.count", "heads", "archive.db",
         "saved/journal.db", "saved/console.db", "saved/edge.key", "saved/edge.pub", "edge.toml", "console.toml")
Rows = dict[str, list[tuple[Any, ...]]]


def rows_of(journal: Path) -> Rows:
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as store:
        return {table: store.execute(f"SELECT * FROM {table}").fetchall() for table in ("event", "input", "seal")}


@dataclass(frozen=True)
class Truth:
    """A whole installation, and what it says."""

    folder: Path
    rows: dict[str, Rows]
    lines: list[dict[str, Any]]
    people: dict[str, str]


async def write_journal(folder: Path) -> None:
    signer = Signer(own_key(folder / "data" / "edge.key"), lambda: 1)
    with patch.object(segments, "ROWS", 20):
        kept = Journal.open(str(folder / "data" / "journal.db"), edge=EDGE, boot="b1", wall=lambda: "now",
                            sign=lambda digest: signer.sign_hash(EDGE, digest))
        heads = []
        for k in range(60):
            n = kept.record(BED, AT_S + k, Tick())
            appended = kept.append([PendingEvent(BED, None, AT_S + k, body("alarm", text=f"é{k}"))])
            await appended.stored
            event = appended.events[0]
            heads.append({"edge": EDGE, "seq": event.seq, "hash": event.hash,
                          "sig": signer.sign_hash(EDGE, event.hash), "at": "x"})
        kept.snapshot(BED, n, AT_S, b"\x00")
        await kept.flush()
        told = [event_out(event, False) for event in await kept.events_after(0, 99)]
        await kept.close()
    (folder / "heads").write_text("".join(json.dumps(head) + "\n" for head in heads))
    (folder / "data" / "edge.count").write_text("7")
    with closing(Store(folder / "data" / "console.db")) as store:
        store.now(events.append, EDGE, told[:50], "b1", AT_S)
        store.now(patients.name_session, "s1", EDGE, BED, "Ada", AT_S)
        for n in range(20):
            store.now(audit.add, AT_S + n, "ann", "sounded", EDGE, BED, seq=n)
    accounts.ensure_user(folder / "data" / "console.db", "ann", WORD, "nurse", AT_S)


def vigil(*args: str, said: str = "") -> tuple[int, str]:
    """Its exit code and all it prints; whatever ends it is a line for a person."""
    result = CliRunner().invoke(app, list(args), standalone_mode=False, input=said)
    fault, output = result.exception, result.output
    if isinstance(fault, BadUsage | typer.TyperException):
        told = str(fault) if isinstance(fault, BadUsage) else fault.format_message()
        assert told.strip(), args
        assert "\n" not in told.strip(), (args, told)
        assert len(told) < 600, (args, told)
        output += told
        code = 2
    else:
        assert fault is None or isinstance(fault, SystemExit), (args, repr(fault), fault.__traceback__)
        code = int(result.return_value or 0)
    assert WORD not in output, args
    assert "Traceback" not in output, args
    return code, output


@pytest.fixture(scope="module")
async def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    folder = tmp_path_factory.mktemp("mutated") / "site"
    with quick_hashes():
        assert vigil("init", str(folder))[0] == 0
        await write_journal(folder)
        assert vigil("backup", str(folder / "saved"), "--data", str(folder / "data"))[0] == 0
        assert vigil("journal", str(folder / "data" / "journal.db"), "--export", str(folder / "out"), "--before",
                     DAY)[0] == 0
        (archive,) = (folder / "out").glob("*.db")
        archive.rename(folder / "archive.db")
        shutil.rmtree(folder / "out")
        known = Store(folder / "data" / "console.db")
        lines = [json.loads(line) for line in vigil("audit", str(folder / "data" / "console.db"), "--json")[1]
                 .splitlines() if line.startswith("{")]
        people = {"ann": (known.now(accounts.account, "ann") or ("", ""))[0]}
        known.close()
    return Truth(folder, {name: rows_of(folder / name) for name in ("data/journal.db", "saved/journal.db",
                                                                     "archive.db")}, lines, people)


def changed(content: bytes, chance: random.Random) -> bytes:
    """One bit, some bytes, a page, the end, or all of it."""
    if not content:
        return b"\x00"
    spoilt, at = bytearray(content), chance.randrange(len(content))
    match chance.randrange(8):
        case 0 | 1 | 2:
            spoilt[at] ^= 1 << chance.randrange(8)
        case 3:
            spoilt[at:at + 16] = chance.randbytes(16)
        case 4:
            page = at - at % 4096
            spoilt[page:page + 4096] = bytes(len(spoilt[page:page + 4096]))
        case 5:
            del spoilt[at:]
        case 6:
            spoilt[:] = b""
        case _:
            spoilt[:] = chance.randbytes(len(content))
    return bytes(spoilt)


def same_or_less(journal: Path, truth: Rows) -> bool:
    """Whether each row there is one that was written."""
    return all(set(rows) <= set(truth[table]) for table, rows in rows_of(journal).items())


def check_journal(path: Path, rows: Rows, *more: str) -> None:
    """Where it is said to hold, it holds what was written and is whole."""
    code, said = vigil("verify", str(path), *more)
    assert code in (0, 1, 2), said
    if code == 0:
        now = rows_of(path)
        assert now["event"] == rows["event"], said
        assert now["input"] == rows["input"], said
    vigil("journal", str(path))
    vigil("replay", str(path))


def check_console(folder: Path, truth: Truth) -> None:
    console = folder / "data" / "console.db"
    code, said = vigil("audit", str(console), "--json")
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert lines == truth.lines[:len(lines)], "nothing else is printed"
    assert code or "the chain holds" in said
    vigil("audit", str(console), "--against", str(folder / "data" / "journal.db"))


def check_copies(folder: Path, truth: Truth) -> None:
    """Of a backup and of what is restored, all is true."""
    code, said = vigil("backup", str(folder / "to"), "--data", str(folder / "data"))
    assert (folder / "to").exists() == (code in (0, 1)), said
    assert (folder / "to" / "damaged").exists() == (code == 1), "what is damaged is there, and marked"
    if code == 0:
        assert same_or_less(folder / "to" / "journal.db", truth.rows["data/journal.db"])
    code, _ = vigil("restore", str(folder / "saved"), "--data", str(folder / "box"))
    assert (folder / "box").exists() == (code == 0)
    if code == 0:
        assert same_or_less(folder / "box" / "journal.db", truth.rows["saved/journal.db"])


async def check_start(folder: Path, truth: Truth) -> bool:
    """The console starts and serves what is true, or says in a line why not. Whether it starts."""
    try:
        settings = console_settings(load_console(folder / "console.toml"), folder / "console.toml")
    except (BadUsage, ConfigError) as refused:
        told = str(refused)
        assert "\n" not in told
        return False
    console = Console(settings)
    try:
        await console.load()
        known = await console.access.ask(accounts.account, "ann")
        assert known is None or known == (truth.people["ann"], "nurse")
        assert console.patients.items() <= {"s1": "Ada"}.items()
    finally:
        console.store.close()
    return True


@pytest.fixture
def site(truth: Truth, tmp_path: Path) -> Iterator[Path]:
    with quick_hashes():
        yield tmp_path


@pytest.mark.slow
@pytest.mark.timeout(300 + 10 * MUTANTS)
@pytest.mark.parametrize("file", FILES if MANY else FILES[::6])
async def test_a_changed_file_is_true_or_a_line(site: Path, truth: Truth, file: str) -> None:
    chance, said = random.Random(file), Counter[str]()
    content = (truth.folder / file).read_bytes()
    for number in range(MUTANTS):
        folder = Path(shutil.copytree(truth.folder, site / str(number)))
        (folder / file).write_bytes(changed(content, chance))
        try:
            for name, rows in truth.rows.items():
                if file in (name, "heads", "data/edge.pub", "data/console.db"):
                    more = ("--head", str(folder / "heads")) if file == "heads" else (
                        "--against", str(folder / "data" / "console.db")) if file == "data/console.db" else ()
                    check_journal(folder / name, rows, *more)
            check_console(folder, truth)
            check_copies(folder, truth)
            vigil("doctor", str(folder))
            vigil("user", "--config", str(folder / "console.toml"), "tom", "--role", "nurse", said=f"{WORD}\n")
            said["starts" if await check_start(folder, truth) else "says why not"] += 1
        finally:
            shutil.rmtree(folder)
    print(file, dict(said))
