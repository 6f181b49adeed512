"""`vigil audit`: who did what through a console, when; and whether any of it was changed since."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from edge.cli.copying import reading_store
from edge.cli.heads import read_head
from edge.console import audit
from edge.console.audit import Broken, Line
from edge.console.database import place_of, words_of
from edge.journal.database import JournalDamaged, JournalError
from edge.journal.reader import Reader
from edge.model import Command, iso
from edge.postgres import shown_address
from edge.process import BadUsage


def show_audit(
    console: str, *, user: str | None = None, head: str | None = None, against: str | None = None,
    noted: Path | None = None, as_json: bool = False,
) -> int:
    """0 where the chain holds, 1 with the first line that is not as it was written.

    `console`: a path or URL. `user`: only theirs are printed. `head`: N:HASH of a line that must be there. `against`: a
    journal; each command in it that came from this console must have its line. `noted`: the file in which the console
    notes its last line (None: the one beside `console`). Raises BadUsage.
    """
    place, shown = place_of(console), shown_address(console)
    if isinstance(place, Path) and not place.is_file():
        raise BadUsage(f"{shown}: no such file; give a console.db")
    heads = [audit.Head(*read_head(head))] if head is not None else []
    heads += _noted(place, noted)  # before the lines are read: the console goes on
    asked: set[str] = set()
    last = None
    problem = None
    try:
        with reading_store(place) as connection:
            for line in audit.walk(connection):
                if line.what.startswith("ask "):
                    asked.add(str(line.detail.get("id")))
                if any(each.n == line.n and each.hash != line.hash for each in heads):
                    raise Broken(line.n, "its hash is not the one that was noted elsewhere")
                if user in (None, line.user):
                    print(json.dumps(asdict(line)) if as_json else _words(line))
                last = line
            if (seq := max((each.n for each in heads), default=0)) > (last.n if last else 0):
                raise Broken(seq, f"the lines end at {last.n if last else 0}, but it was noted elsewhere: the end is"
                                  " missing")
    except Broken as fault:
        problem = str(fault)
    except DBAPIError as fault:
        raise BadUsage(f"{shown}: no console's store of this version ({words_of(fault)}); start the console once with"
                       " it, or give another one") from None
    if problem is None and against is not None:
        problem = _not_asked(against, asked)
    if problem is not None:
        print(f"{shown}: the chain does not hold: {problem}", file=sys.stderr)
        return 1
    ended = f"{last.n} lines; head {last.n}:{last.hash}" if last else "0 lines"
    print(f"{shown}: the chain holds: {ended}", file=sys.stderr)
    return 0


def _noted(place: Path | str, given: Path | None) -> list[audit.Head]:
    """What the console has noted. Raises BadUsage."""
    file = given or (audit.noted_in(place) if isinstance(place, Path) else None)
    if file is None:
        return []
    try:
        found = audit.noted(file)
    except (OSError, ValueError) as fault:
        raise BadUsage(f"{file}: the head that the console noted cannot be read ({fault}); it is made anew with the"
                       " next line") from None
    if found is None and given is not None:
        raise BadUsage(f"--noted {file}: no such file; give console.db.audit of the console's data folder")
    return [] if found is None else [found]


def _words(line: Line) -> str:
    where = "" if line.bed is None else f" {line.edge}/{line.bed}"
    said = f" {json.dumps(line.detail, ensure_ascii=False)}" if line.detail else ""
    return f"{line.n:6} {iso(line.at_s)} {line.user}{where} {line.what}{said}"


def _not_asked(journal: str, asked: set[str]) -> str | None:
    """The first command of the journal that has no line here, of those consoles that have lines at all."""
    try:
        with Reader(journal) as reader:
            commands = [(each.n, each.input) for each in reader.inputs() if isinstance(each.input, Command)]
    except JournalDamaged as fault:
        raise BadUsage(f"--against: {fault.what}") from None
    except JournalError as fault:
        raise BadUsage(f"--against: {fault}") from None
    ours = {command.console for _, command in commands if command.id in asked}
    missing = next(((n, command) for n, command in commands
                    if command.console in ours and command.id not in asked), None)
    if missing is None:
        return None
    n, command = missing
    return (f"input {n} of {shown_address(journal)} is {command.user}'s command {command.id} ({command.verb}), and no"
            " line tells of it")
