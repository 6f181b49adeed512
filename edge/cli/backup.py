"""`vigil backup` and `vigil restore`: a data folder, whole and consistent, while everything runs."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from edge.cli.records import stored_hashes
from edge.contract.keys import BadKey, pinned_key
from edge.journal.database import JournalError
from edge.journal.verify import Verdict, verify
from edge.process import BadUsage

# The console first: it has no event that the journal, read after it, has not.
DATABASES = ("console.db", "journal.db")
KEYS = ("*.key", "*.pub", "*.count", "keys/*.pub")


def back_up(data: Path, to: Path) -> int:
    """`vigil backup`: what `data` holds, into the new folder `to`. Raises BadUsage; nothing is left there then."""
    if not (data / "journal.db").is_file():
        raise BadUsage(f"--data {data}: no journal.db there; give the folder that edge.toml names as data")
    part = to.with_name(f"{to.name}.part")
    if to.exists():
        raise BadUsage(f"{to}: there is something already; give a folder that is not there yet")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True, mode=0o700)
        for name in DATABASES:
            if (data / name).is_file():
                _copy_database(data / name, part / name)
        for pattern in KEYS:
            for key in data.glob(pattern):
                (part / key.relative_to(data)).parent.mkdir(exist_ok=True)
                shutil.copy2(key, part / key.relative_to(data))
        verdict = _checked(part)
        part.rename(to)
    except (OSError, sqlite3.Error) as fault:
        raise BadUsage(f"{to}: the backup cannot be made ({fault}); nothing is left of it") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    print(f"{to}: {verdict.events} events and {verdict.inputs} inputs, checked; with {', '.join(_names(to))}")
    return 0


def restore(backup: Path, data: Path) -> int:
    """`vigil restore`: a backup into the data folder of a box that has none. Raises BadUsage, and changes nothing."""
    if not (backup / "journal.db").is_file():
        raise BadUsage(f"{backup}: no backup, there is no journal.db in it")
    taken = [name for name in DATABASES if (data / name).exists()]
    if taken:
        raise BadUsage(f"--data {data}: there is a {taken[0]} already; stop edge and console, and move it away first")
    verdict = _checked(backup)
    try:
        data.mkdir(parents=True, exist_ok=True)
        for found in sorted(backup.rglob("*")):
            target = data / found.relative_to(backup)
            if found.is_dir():
                target.mkdir(exist_ok=True)
            elif not target.name.endswith((".lock", "-wal", "-shm")):
                shutil.copy2(found, target)
    except OSError as fault:
        raise BadUsage(f"--data {data}: {fault.strerror}; the backup is as it was") from None
    print(f"{data}: {verdict.events} events and {verdict.inputs} inputs, checked; start edge and console")
    return 0


def _copy_database(source: Path, target: Path) -> None:
    """All of it as of one moment, while its owner writes on. The copy is no more readable than the original."""
    address = f"file:{quote(str(source))}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as running, closing(sqlite3.connect(target)) as copy:
        running.backup(copy)
    target.chmod(0o600)


def _checked(folder: Path) -> Verdict:
    """The journal there, against the console's store beside it. Raises BadUsage where it does not hold."""
    journal, public = folder / "journal.db", folder / "edge.pub"
    try:
        console = folder / "console.db"
        expected = stored_hashes(console, str(journal), may_be_empty=True) if console.is_file() else {}
        key = pinned_key(str(public)) if public.is_file() else None
        verdict = verify(str(journal), key=key, expected=expected)
    except (BadKey, JournalError) as fault:
        raise BadUsage(str(fault)) from None
    if not verdict.ok:
        raise BadUsage(f"{journal}: the chain does not hold: {verdict.problem}")
    return verdict


def _names(folder: Path) -> list[str]:
    return sorted(str(found.relative_to(folder)) for found in folder.rglob("*")
                  if found.is_file() and found.suffix in (".db", ".key", ".pub"))
