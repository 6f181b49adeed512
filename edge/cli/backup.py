"""`vigil backup` and `vigil restore`: a data folder, whole and consistent, while everything runs.

A store that is damaged is saved as it is, and said: edge and console take what can be believed of it, as at any start.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from sqlalchemy.exc import DBAPIError

from edge.aside import ENDS, to_disk
from edge.cli.copying import copy_console, copy_journal, holds_something, is_copy, reading_store
from edge.cli.records import stored_hashes
from edge.console import audit
from edge.console.damage import damage_of, damaged_rows, tells_damage
from edge.console.database import place_of
from edge.contract.keys import BadKey, signing_keys
from edge.journal.database import DatabaseUrl, JournalError, Lock
from edge.journal.verify import Verdict, damaged_records, verify
from edge.postgres import shown_address
from edge.process import BadUsage

# The console first: it has no event that the journal, read after it, has not.
DATABASES = ("console.db", "journal.db")
KEYS = ("*.key", "*.pub", "*.count", "keys/*.pub", "console.accounts", "console.accounts.2")
UNFINISHED = "unfinished"  # a file of this name is in a backup until it is whole
DAMAGED = "damaged"  # in a backup: what of it is not as it was written, a line each, beginning with the file
SUMS = "SHA256SUMS"  # of each file in it, as sha256sum writes them
OF_BACKUP = frozenset({DAMAGED, SUMS})
SHOWN = 20
PLACING = "placing"  # what a restore puts in place: a line a file, its inode and the time of its last change in ns


def back_up(data: Path, to: Path, journal: str | None = None, console: str | None = None) -> int:
    """`vigil backup`: what `data` holds, into the new folder `to`, as files; `journal` and `console` are read from a
    database server where their addresses are given. 1 where some of it is damaged: that is there as it is, and said.
    Raises BadUsage; nothing is left there then."""
    if journal is None and not (data / "journal.db").is_file():
        raise BadUsage(f"--data {data}: no journal.db there; give the folder that edge.toml names as data, and"
                       " --journal URL where edge.toml has one")
    part = to.with_name(f"{to.name}.part")
    if to.exists():
        raise BadUsage(f"{to}: there is something already; give a folder that is not there yet")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True, mode=0o700)
        (part / UNFINISHED).touch()
        _copy_stores(data, part, journal, console)
        for pattern in KEYS:
            for key in data.glob(pattern):
                (part / key.relative_to(data)).parent.mkdir(exist_ok=True)
                shutil.copy2(key, part / key.relative_to(data))
                to_disk(part / key.relative_to(data))
        verdict, damage = _looked_at(part)
        if damage:
            (part / DAMAGED).write_text("".join(f"{line}\n" for line in damage))
        _write_sums(part)
        _finish(part, to)
    except (OSError, sqlite3.Error, JournalError) as fault:
        raise BadUsage(f"{to}: the backup cannot be made ({fault}); nothing is left of it") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    print(f"{to}: {verdict.events} events and {verdict.inputs} inputs, checked; with {', '.join(_names(to))}")
    return _say(to, damage, "is damaged, and saved as it is")


def _say(backup: Path, damage: list[str], what: str) -> int:
    """Names what of `backup` is damaged; 1 where anything is."""
    for line in [f"{backup}: some of it {what}:", *(f"  {line}" for line in damage[:SHOWN])] if damage else ():
        print(line, file=sys.stderr)
    if len(damage) > SHOWN:
        print(f"  and {len(damage) - SHOWN} more: {backup / DAMAGED} names all", file=sys.stderr)
    return 1 if damage else 0


def _finish(part: Path, to: Path) -> None:
    """All of it is there, and on the disk: it gets its name. Raises OSError."""
    for found in part.rglob("*"):
        to_disk(found)
    (part / UNFINISHED).unlink()
    to_disk(part)
    part.rename(to)
    to_disk(to.parent)


def _looked_at(part: Path) -> tuple[Verdict, list[str]]:
    """How far the journal there is good, and what of it and of the console's store is not as it was written, beginning
    with the file. Raises BadUsage where keys, or the stores' versions, do not fit."""
    journal, console = part / "journal.db", part / "console.db"
    of_console = damaged_rows(console) if console.is_file() else []
    verdict = _verdict(part, with_console=not (of_console and damage_of(console)))
    found = damaged_records(str(journal)) if not verdict.ok else []
    if not verdict.ok and not found:
        found = [str(verdict.problem)]
    return verdict, [*(f"journal.db: {what}" for what in found), *(f"console.db: {what}" for what in of_console)]


def _write_sums(part: Path) -> None:
    files = sorted(found.relative_to(part) for found in part.rglob("*") if found.is_file())
    (part / SUMS).write_text("".join(f"{_sum(part / inside)}  {inside}\n" for inside in files
                                     if inside.name != UNFINISHED and not inside.name.endswith("-shm")))


def _sum(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _changed(backup: Path) -> list[str]:
    """The files that are not as they were when the backup was made; none is known of one made before there were sums.
    Raises OSError."""
    if not (backup / SUMS).is_file():
        return []
    lines = (backup / SUMS).read_bytes().splitlines()
    said = [line.decode("utf-8", "replace").partition("  ") for line in lines]
    return [name or SUMS for digest, _, name in said
            if not (backup / name).is_file() or _sum(backup / name) != digest]


def _copy_stores(data: Path, part: Path, journal: str | None, console: str | None) -> None:
    if console is not None:
        copy_console(place_of(console), part / "console.db")
    elif (data / "console.db").is_file():
        _copy_database(data / "console.db", part / "console.db")
    if journal is None:
        _copy_database(data / "journal.db", part / "journal.db")
        return
    copy_journal(journal, str(part / "journal.db"))
    (part / "journal.db").chmod(0o600)


def restore(backup: Path, data: Path, journal: str | None = None, console: str | None = None) -> int:
    """`vigil restore`: a backup into the data folder of a box that has none, the stores into empty databases where
    their addresses are given. Raises BadUsage, and changes nothing."""
    if (backup / UNFINISHED).exists():
        raise BadUsage(f"{backup}: this backup was cut short and is not whole; give another, or make a new one")
    if not (backup / "journal.db").is_file():
        raise BadUsage(f"{backup}: no backup, there is no journal.db in it")
    damage = (backup / DAMAGED).read_text(errors="replace").splitlines() if (backup / DAMAGED).is_file() else []
    if console is not None and not (backup / "console.db").is_file():
        raise BadUsage(f"--console: there is no console.db in {backup}; leave it out")
    servers = {name: url for name, url in (("console.db", console), ("journal.db", journal)) if url is not None}
    _undo(data)
    _must_be_free(data, servers)
    done = console is not None and holds_something(console) and is_copy(backup / "console.db", console)
    for url in servers.values():
        if holds_something(url) and not (done and url == console):
            raise BadUsage(f"{shown_address(url)}: there is something already; stop edge and console, and give an empty"
                           " one")
    verdict = _as_it_was_made(backup, damage)
    part = data / ".restore.part"
    there = data.exists()
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True, mode=0o700)
        copied = _copy_files(backup, part, OF_BACKUP | set(servers), bool(damage))
        if console is not None and not done:  # one that was ended between the two has copied it
            copy_console(backup / "console.db", console)
        if journal is not None:
            copy_journal(str(backup / "journal.db"), journal)
        _put_in_place(copied, part, data)
    except OSError as fault:
        raise BadUsage(f"--data {data}: {fault.strerror}; nothing is restored, and the backup is as it was") from None
    except JournalError as fault:
        also = f"; {shown_address(console)} has the console's store already: empty it" if console is not None else ""
        raise BadUsage(f"{fault}{also}; then restore again") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if not there:
            with suppress(OSError):  # what was restored is in it
                data.rmdir()
    print(f"{data}: {verdict.events} events and {verdict.inputs} inputs, checked; start edge and console")
    _say_lost_lines(data, console)
    return _say(backup, damage, "was damaged when it was saved; edge and console take what can be believed of it")


def _say_lost_lines(data: Path, console: str | None) -> None:
    """Where the console has noted a line of the audit that is not in what was restored: it will say so itself, once."""
    file = data / "console.db"
    with suppress(ValueError, DBAPIError):  # a store that is damaged, which is said anyway
        noted = audit.noted(audit.noted_in(file))
        if noted is None or (console is None and not file.is_file()):
            return
        with reading_store(file if console is None else place_of(console)) as connection:
            last = audit.last(connection)
            if not audit.has(connection, noted):
                print(f"the console's audit went up to line {noted.n}, the backup's ends at {last.n if last else 0}:"
                      " the console will say in a line of it that the others are lost", file=sys.stderr)


def _as_it_was_made(backup: Path, damage: list[str]) -> Verdict:
    """What is in it, where that is as it was when it was made. Raises BadUsage."""
    try:
        changed = _changed(backup)
    except OSError as fault:
        raise BadUsage(f"{backup}: cannot be read: {fault.strerror}") from None
    verdict = _verdict(backup, with_console=False) if damage else _checked(backup)
    if changed or (damage and not (backup / SUMS).is_file()):
        what = ", ".join(changed) or SUMS
        raise BadUsage(f"{backup}: {what} is not as it was when the backup was made; give another")
    return verdict


def _must_be_free(data: Path, servers: Mapping[str, str]) -> None:
    """No store of another time, nor a part of one, which SQLite would take for the restored one's; nor an edge at work.
    Raises BadUsage."""
    ours = [data / name for name in DATABASES if name not in servers]
    taken = [path.name for path in ours if path.exists()]
    taken += [wal.name for path in ours if (wal := Path(f"{path}-wal")).exists() and wal.stat().st_size]
    if taken:
        raise BadUsage(f"--data {data}: there is a {taken[0]} already; stop edge and console, and move it away first")
    if (data / "journal.db.lock").exists():
        try:
            Lock(DatabaseUrl(str(data / "journal.db"))).release()
        except JournalError as busy:
            raise BadUsage(f"--data {data}: {busy}; stop it first") from None


def _copy_files(backup: Path, part: Path, without: frozenset[str], damaged: bool) -> list[Path]:
    """Copies what a data folder needs of `backup` into `part`, to the disk. Their paths in it, the journal's last: a
    folder that has one is restored. Raises OSError."""
    copied: list[Path] = []
    for found in sorted(backup.rglob("*")):
        inside = found.relative_to(backup)
        beside = (".lock", "-shm") if damaged else (".lock", "-wal", "-shm")
        if found.is_dir() or found.name in without or found.name.endswith(beside):
            continue
        (part / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(found, part / inside)
        to_disk(part / inside)
        copied.append(inside)
    return sorted(copied, key=lambda inside: inside.name == "journal.db")


def _undo(data: Path) -> None:
    """A restore that was ended while it put files in place is undone, as far as nobody has worked with them since.
    Where the last one is in its place, it was done."""
    part = data / ".restore.part"
    if not (part / PLACING).is_file():
        return
    noted = [line.split(" ", 2) for line in (part / PLACING).read_text().splitlines()]
    if not noted or not (part / noted[-1][2]).exists():
        return
    for inode, at_ns, name in noted:
        found = data / name
        untouched = found.is_file() and (found.stat().st_ino, found.stat().st_mtime_ns) == (int(inode), int(at_ns))
        if untouched and not (part / name).exists() and not Path(f"{found}-wal").exists():
            found.unlink()


def _put_in_place(copied: list[Path], part: Path, data: Path) -> None:
    """All of it is copied: each file by a rename. Raises OSError."""
    told = [(part / inside).stat() for inside in copied]
    (part / "noting").write_text("".join(
        f"{found.st_ino} {found.st_mtime_ns} {inside}\n" for inside, found in zip(copied, told, strict=True)))
    to_disk(part / "noting")
    (part / "noting").rename(part / PLACING)
    to_disk(part)
    for inside in copied:
        (data / inside).parent.mkdir(exist_ok=True)
        (part / inside).rename(data / inside)
        to_disk((data / inside).parent)


def _copy_database(source: Path, target: Path) -> None:
    """All of it as of one moment, while its owner writes on. The copy is no more readable than the original."""
    try:
        _copy_moment(f"file:{quote(str(source))}?mode=ro", target)
    except sqlite3.OperationalError:  # on a read-only disk SQLite has no room for its -shm file, and nobody writes
        if os.access(source.parent, os.W_OK):
            raise
        beside = target.with_name(f"{target.name}.copied")
        target.unlink(missing_ok=True)
        try:
            for end in ENDS:
                if Path(f"{source}{end}").exists():
                    shutil.copyfile(f"{source}{end}", f"{beside}{end}")
            _copy_moment(f"file:{quote(str(beside))}", target)
        finally:
            for end in (*ENDS, "-shm"):
                Path(f"{beside}{end}").unlink(missing_ok=True)
    except sqlite3.DatabaseError as fault:
        if not tells_damage(fault):
            raise
        for end in ENDS:  # SQLite cannot read it: as it is
            target.with_name(f"{target.name}{end}").unlink(missing_ok=True)
            if Path(f"{source}{end}").exists():
                shutil.copyfile(f"{source}{end}", f"{target}{end}")
                Path(f"{target}{end}").chmod(0o600)
    target.chmod(0o600)


def _copy_moment(address: str, target: Path) -> None:
    with closing(sqlite3.connect(address, uri=True)) as running, closing(sqlite3.connect(target)) as copy:
        running.backup(copy)


def _verdict(folder: Path, *, with_console: bool = True) -> Verdict:
    """Of the journal there, against the console's store beside it. Raises BadUsage."""
    journal, public = folder / "journal.db", folder / "edge.pub"
    try:
        console = folder / "console.db"
        compared = with_console and console.is_file()
        expected = stored_hashes(str(console), str(journal), may_be_empty=True) if compared else {}
        keys = signing_keys(str(public)) if public.is_file() else []
        return verify(str(journal), keys=keys, expected=expected)
    except (BadKey, JournalError) as fault:
        raise BadUsage(str(fault)) from None


def _checked(folder: Path) -> Verdict:
    """The same where it holds. Raises BadUsage."""
    verdict = _verdict(folder)
    if not verdict.ok:
        raise BadUsage(f"{folder / 'journal.db'}: the chain does not hold: {verdict.problem}")
    return verdict


def _names(folder: Path) -> list[str]:
    return sorted(str(found.relative_to(folder)) for found in folder.rglob("*")
                  if found.is_file() and found.suffix in (".db", ".key", ".pub"))
