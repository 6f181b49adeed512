"""The verbs about what is written down: verify, replay, and the rules."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from edge.app.keeping import KEEP_EVERY_S
from edge.app.run import read_protocols, read_rules
from edge.cli.copying import console_hashes
from edge.cli.heads import noted_heads
from edge.cli.older import lacking
from edge.config.files import protocols_beside
from edge.console.database import place_of, words_of
from edge.contract.keys import BadKey, signing_keys
from edge.contract.payloads import BadPayload, EventOut, decode
from edge.core.explain import explain
from edge.core.protocol import Protocols
from edge.core.replay import Scope, differences
from edge.core.rule import Rule
from edge.core.rules import RuleSet
from edge.core.stories import Begun, StoryError, run_story, stories_of
from edge.core.wording import apart
from edge.demo.configuration import rules_file
from edge.journal.archive import drop, export
from edge.journal.database import DatabaseUrl, JournalDamaged, JournalError
from edge.journal.reader import Reader
from edge.journal.size import size_of
from edge.journal.verify import verify
from edge.model import from_iso, iso
from edge.postgres import shown_address
from edge.process import BadUsage
from edge.vocabulary import counted

SHOWN = 20


def verify_journal(journal: str, key: str | None = None, against: Path | str | None = None,
                   head: str | None = None) -> int:
    """`vigil verify`: 0 if chain and signatures hold, 1 with the first bad record if not.

    `key`: the edge's public key, or its .pub file, which brings those before it; None: edge.pub beside the journal,
    where there is one. `against`: a
    console's store, a path or URL, whose events it must agree with. `head`: SEQ:HASH of an event that it must have, or
    a file of such heads (edge.app.anchor).
    """
    shown = shown_address(str(against))
    key = key or _key_beside(journal)
    try:
        keys = signing_keys(key) if key else []
        place = str(DatabaseUrl(journal))
        expected = {} if against is None else stored_hashes(str(against), journal)
        for seq, digest in noted_heads(head, journal, keys).items() if head is not None else ():
            if expected.setdefault(seq, digest) != digest:
                raise BadUsage(f"--head {head}: {shown} has another hash of event {seq}, {expected[seq]}")
        verdict = verify(journal, keys=keys, expected=expected)
    except (BadKey, JournalError) as wrong:
        raise BadUsage(str(wrong)) from None
    journal = place if "://" in journal else shown_address(journal)
    if not verdict.ok:
        print(f"{journal}: the chain does not hold: {verdict.problem}")
        return 1
    print(f"{journal}: the chain holds: {counted(verdict.events, 'event')}, {counted(verdict.inputs, 'input')};"
          f" last hash {verdict.hash}")
    if expected:
        print(f"{len(expected)} events are as they were stored elsewhere, up to event {max(expected)}")
    if verdict.dropped:
        print(f"{verdict.dropped} of the inputs are no longer kept: their checkpoints stand for them")
    if verdict.begins_after:
        print(f"it begins after event {verdict.begins_after}: what was before is in another file")
    signed = verdict.signed_from
    if signed is None:
        print("no event is signed: it was written before edges had keys")
    else:
        before = f", events 1 to {signed - 1} are from before this edge had a key" if signed > 1 else ""
        whose = "by this edge's key" if keys else "but by whom is not checked: write --key edge.pub"
        print(f"signed from event {signed} on, {whose}{before}")
    return 0


def stored_hashes(console: str, journal: str, *, may_be_empty: bool = False) -> dict[int, str]:
    """The hashes of the events of this journal's edge in a console's store, by number; a row that is damaged there
    tells nothing. None where the journal is so damaged that it does not say whose it is. Raises BadUsage,
    JournalError."""
    place, shown = place_of(console), shown_address(console)
    if isinstance(place, Path) and not place.is_file():
        raise BadUsage(f"--against {shown}: no such file; give a console.db")
    try:
        with Reader(journal) as reader:
            edge = reader.edge
    except JournalDamaged:
        return {}
    try:
        rows = console_hashes(place, edge)
    except DBAPIError as fault:
        raise BadUsage(f"--against {shown}: no console's store of this version ({words_of(fault)}); start the console"
                       " once with it, or give another one") from None
    found: dict[int, str] = {}
    for seq, digest, text in rows:
        with suppress(BadPayload):
            event = decode(EventOut, text)
            if (event.seq, event.hash) == (seq, digest) and event.verify():
                found[seq] = digest
    if not found and not may_be_empty:
        raise BadUsage(f"--against {shown}: it has no event of {edge}")
    return found


def show_size(journal: str, as_json: bool) -> int:
    """`vigil journal`."""
    try:
        with Reader(journal) as reader:
            size, place = size_of(reader), str(reader.place)
    except JournalError as wrong:
        raise BadUsage(str(wrong)) from None
    if as_json:
        print(json.dumps({**asdict(size), "packed_mb_an_hour": size.packed_mb_an_hour}))
        return 0
    print(f"{place}: {size.file_bytes / 1e6:.1f} MB, of which {size.free_bytes / 1e6:.1f} MB are free for new records")
    print(f"{size.events} events, kept for ever")
    if size.inputs_from_s is not None and size.inputs_to_s is not None:
        print(f"{size.inputs} inputs, from {iso(size.inputs_from_s)} to {iso(size.inputs_to_s)}; {size.packed_inputs}"
              f" of them packed in {size.packed_bytes / 1e6:.1f} MB; {size.dropped} older ones are no longer kept")
    if size.packed_mb_an_hour is not None:
        day = size.packed_mb_an_hour * 24
        print(f"it grows by {size.packed_mb_an_hour:g} MB an hour; 30 days of inputs take {30 * day / 1000:.2f} GB")
    return 0


def export_inputs(journal: str, folder: Path, before: str, drops: bool, key: str | None) -> int:
    """`vigil journal --export`: packed inputs from before a day, into a file of their own that is a journal; then,
    where `drops`, out of this one. Raises BadUsage."""
    try:
        before_s = from_iso(before if "T" in before else f"{before}T00:00:00.000Z")
    except ValueError:
        raise BadUsage(f"--before {before}: write a day (UTC), as in 2026-11-01") from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with Reader(journal) as reader:
            made = export(reader, folder, round(before_s * 1000))
            place = reader.place
        if made is None:
            print(f"{place}: no packed inputs from before {iso(before_s)} are here; nothing was exported")
            return 0
        code = verify_journal(str(made.path), key or _key_beside(journal))
        if code:
            raise BadUsage(f"{made.path}: does not verify; nothing was dropped")
        print(f"inputs {made.first_n} to {made.last_n} and {made.events} events are in {made.path}")
        if drops and not drop(place, made.upto):
            print("the edge is running: it drops them from its journal when it packs inputs next, within minutes")
        elif drops:
            print(f"dropped from {place}: checkpoints stand for them; its file gives the room to new records")
    except JournalError as wrong:
        raise BadUsage(str(wrong)) from None
    except OSError as wrong:
        raise BadUsage(f"{folder}: {wrong.strerror}") from None
    return 0


def _key_beside(journal: str) -> str | None:
    beside = Path(journal.removeprefix("sqlite:///")).parent / "edge.pub"
    return str(beside) if beside.is_file() else None


def replay_journal(journal: str, rules: Path | None, as_json: bool) -> int:
    """`vigil replay`: 0 without a difference, 1 with, or where nothing of what was recorded can be judged."""
    other = read_rules(rules)[0] if rules else None
    try:
        with Reader(journal) as reader:
            first = next(reader.inputs(), None)
            scope = Scope(whole=first is not None and first.n == 1)
            found = list(differences(reader.inputs(), reader.events(), other, scope))
            head = sum(1 for _ in reader.events())
    except JournalError as wrong:
        raise BadUsage(str(wrong)) from None
    nothing = bool(scope.unjudged) and not (scope.whole or scope.judged)
    if as_json:
        print(json.dumps({"events": head, "differences": [str(difference) for difference in found],
                          "unjudged": scope.unjudged, "judged_from": {
                              str(bed): {"input": begun.n, "at": iso(begun.at_s)}
                              for bed, begun in scope.judged.items()}}))
        return 1 if found or nothing else 0
    for difference in found[:SHOWN]:
        print(difference)
    if len(found) > SHOWN:
        print(f"and {len(found) - SHOWN} more")
    _print_unjudged(scope)
    print(f"{counted(head, 'event')} recorded, {counted(len(found), 'difference')}"
          + ("" if rules else " (the recorded rules)"))
    return 1 if found or nothing else 0


def _print_unjudged(scope: Scope) -> None:
    if (last := scope.last_unjudged) is None:
        return
    print(f"{counted(scope.unjudged, 'event')} of beds, up to event {last.seq} of {iso(last.at_s)}, not judged: this"
          " record has not all inputs that led there; the file they were exported to has them")
    for bed, begun in scope.judged.items():
        print(f"{bed}: judged from input {begun.n} of {iso(begun.at_s)} on")
    if not (scope.whole or scope.judged):
        print("nothing can be judged: no bed's state stands in this record, where an edge writes it every"
              f" {KEEP_EVERY_S / 3600:g} hours")


def check_rules(path: Path) -> int:
    """`vigil rules check`: whether they can be used; what those of this version have besides, and which words seem
    to be of another number than is asked."""
    rules, text = read_rules(path)
    print(f"{path}: {counted(len(rules.rules), 'rule')}, all good: {', '.join(rule.id for rule in rules.rules)}")
    for line in lacking(text, rules_file().read_text("utf-8")):
        print(f"{path}: unlike {rules_file().name} of this version: {line}")
    for line in (line for rule in rules for line in apart(rule)):
        print(f"{path}: {line}")
    return 0


def explain_rules(path: Path) -> int:
    """`vigil rules explain`: each rule as a person would say it."""
    print(explain(read_rules(path)[0]))
    return 0


def test_rules(path: Path, stories: Path | None) -> int:
    """`vigil rules test`: runs every rule's stories, by the protocols beside the rules; 1 if one does not come true or
    is missing."""
    rules, _ = read_rules(path)
    folder = stories or _stories_beside(path)
    if not folder.is_dir():
        raise BadUsage(f"--stories {folder}: no such folder; give the one with a text file a rule")
    protocols, _ = read_protocols(protocols_beside(path), rules)
    begun: Begun = {}
    bad = sum(_print_story_run(rules, rule, folder, protocols, begun) for rule in rules.rules)
    print(f"{counted(len(rules.rules), 'rule')}, {bad} without a true story")
    return 1 if bad else 0


def _stories_beside(path: Path) -> Path:
    for folder in (path.parent / "stories", path.parent.parent / "tests" / "stories"):
        if folder.is_dir():
            return folder
    raise BadUsage(f"{path}: no stories beside it; write --stories FOLDER with one text file a rule")


def _print_story_run(rules: RuleSet, rule: Rule, folder: Path, protocols: Protocols | None, begun: Begun) -> bool:
    file = folder / f"{rule.id}.txt"
    if not file.is_file():
        print(f"{rule.id}: no story; write {file}", file=sys.stderr)
        return True
    try:
        for story in stories_of(file.read_text()):
            run_story(story, str(file), rules, of=rule.id, protocols=protocols, begun=begun)
    except StoryError as wrong:
        print(wrong, file=sys.stderr)
        return True
    return False
