"""`vigil replay` over several journals or rules: what would have happened, as a table, JSON and a picture."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from edge.app.run import read_rules
from edge.core import burden
from edge.core.arms import PUBLISHED_A_DAY, Arm, as_heard, at_once, three
from edge.core.burden import Change, Heard, Load, Raise
from edge.journal.database import JournalError
from edge.journal.reader import Reader
from edge.model import iso
from edge.postgres import shown_address
from edge.process import BadUsage, in_processes
from edge.vocabulary import counted

RECORDED = "the recorded rules"
CONSOLE_DB = "console.db"  # in a data folder, beside the journal
SHOWN = 20


@dataclass(frozen=True)
class Finding:
    """One arm over all journals: its load, what it has otherwise than the first one, and what it missed."""

    name: str
    load: Load
    changes: list[tuple[str, Change]]  # each with its journal
    missed: list[tuple[str, Raise]]
    too_low: list[tuple[str, Raise]]
    after_s: list[float]  # rising
    of_no_event: int

    def told_within_s(self, share: float) -> float | None:
        """So long after its beginning that share of the events was told, of those that were; None: none was."""
        return self.after_s[min(len(self.after_s) - 1, int(share * len(self.after_s)))] if self.after_s else None


def compare(
    journals: Sequence[str], files: Sequence[Path], *, arms: bool, event_s: float, as_json: bool, picture: Path | None,
) -> int:
    """Judge each journal by the recorded rules and by each of `files` (with `arms`: by the three arms of the last of
    them) and print what they raise. 0: there is nothing here to fail. Raises BadUsage."""
    named = [(str(file), read_rules(file)[0]) for file in files]
    chosen = [Arm(RECORDED), *(Arm(name, rules) for name, rules in named)]
    if arms:
        name, rules = named[-1] if named else (RECORDED, None)
        chosen = three(rules, name)
    findings, events = _judge(journals, chosen, event_s)
    if picture is not None:
        _draw(findings, picture)
    if as_json:
        print(json.dumps({"journals": [shown_address(journal) for journal in journals], "event_s": event_s,
                          "events": events, "arms": [_as_json(finding) for finding in findings]}))
    else:
        _print(findings, events, event_s, len(journals), published=arms)
    return 0


def journals_in(given: Sequence[str]) -> list[str]:
    """The journals that are meant: of a folder all that are in it. Raises BadUsage for a folder without one."""
    found: list[str] = []
    for one in given:
        if "://" in one or not Path(one).is_dir():
            found.append(one)
            continue
        inside = sorted(str(path) for path in Path(one).glob("*.db") if path.name != CONSOLE_DB)
        if not inside:
            raise BadUsage(f"{one}: no journal is in this folder; give a journal.db, or a folder that has some")
        found += inside
    return found


def _judge(journals: Sequence[str], arms: Sequence[Arm], event_s: float) -> tuple[list[Finding], int]:
    # What is an event is asked of the last arm's limits, by readings that can be judged by.
    truth = next((number for number, arm in enumerate(arms) if (arm.rules, arm.change, arm.hear)
                  == (arms[-1].rules, at_once, as_heard)), len(arms))
    asked = [*arms, Arm("truth", arms[-1].rules, at_once)][:max(len(arms), truth + 1)]
    heard = dict(in_processes(partial(_listen, arms=asked), journals))
    findings = []
    for number, arm in enumerate(arms):
        made = {name: burden.outcome(one[truth], one[number], event_s) for name, one in heard.items()}
        findings.append(Finding(
            arm.name, burden.load([one[number] for one in heard.values()]),
            [(name, change) for name, one in heard.items() for change in burden.changes(one[0], one[number])],
            [(name, event) for name, one in made.items() for event in one.missed],
            [(name, event) for name, one in made.items() for event in one.too_low],
            sorted(after_s for one in made.values() for after_s in one.after_s),
            sum(one.of_no_event for one in made.values())))
    events = sum(burden.is_event(raised, one[truth].last_s, event_s)
                 for one in heard.values() for raised in one[truth].raises)
    return findings, events


def _listen(journal: str, arms: Sequence[Arm]) -> tuple[str, list[Heard]]:
    try:
        with Reader(journal) as reader:
            first = next(reader.inputs(), None)
            return str(reader.place), burden.listen(reader.inputs(), arms, whole=first is not None and first.n == 1)
    except JournalError as wrong:
        raise BadUsage(str(wrong)) from None


def _as_json(finding: Finding) -> dict[str, object]:
    return {
        "name": finding.name, **asdict(finding.load),
        "changes": [{"journal": journal, "kind": change.kind, "by_s": change.by_s, **_raised(change.raised)}
                    for journal, change in finding.changes],
        "missed": [{"journal": journal, **_raised(event)} for journal, event in finding.missed],
        "too_low": [{"journal": journal, **_raised(event)} for journal, event in finding.too_low],
        "of_no_event": finding.of_no_event,
        "told_after_s": {words: finding.told_within_s(share) for words, share in TOLD.items()},
    }


def _raised(raised: Raise) -> dict[str, object]:
    return {"at": iso(raised.from_s), "until": None if raised.until_s is None else iso(raised.until_s),
            "bed": raised.bed, "session": raised.session, "rule": raised.rule, "priority": raised.priority}


ROWS: tuple[tuple[str, str, str], ...] = (
    ("alarms", "raised", "d"), ("alarms a patient-hour", "an_hour", ".2f"),
    ("of these by readings", "of_readings_an_hour", ".2f"), ("alarms in ten minutes", "a_span", ".2f"),
    ("ten minutes in flood", "flood_share", ".1%"), ("chattering", "chattering", "d"), ("stale", "stale", "d"),
    ("the ten commonest rules", "top_ten_share", ".0%"), ("outside sessions", "outside_sessions", "d"),
)
AIMS = {"a_span": f"up to {burden.BEARABLE:g}", "flood_share": f"under {burden.FLOOD_SHARE:.0%}", "chattering": "0",
        "stale": f"under {burden.STALE_MOST}"}


TOLD = {"median": 0.5, "95 %": 0.95, "longest": 1.0}


def _print(findings: Sequence[Finding], events: int, event_s: float, journals: int, *, published: bool) -> None:
    first = findings[0].load
    print(f"{counted(journals, 'journal')}, {counted(first.sessions, 'session')}, {first.patient_h:.1f} patient-hours;"
          f" {events} events (a limit broken for {event_s:g} s or longer)")
    table = [["", *(finding.name for finding in findings), "aim"]]
    table += [[words, *(format(getattr(finding.load, key), form) for finding in findings), AIMS.get(key, "")]
              for words, key, form in ROWS]
    table += [[priority, *(_split(finding.load, priority) for finding in findings), f"about {share:.0%}"]
              for priority, share in burden.PRIORITY_AIM.items()]
    table += _against(findings) if published else []
    table.append(["alarms of no event", *(str(finding.of_no_event) for finding in findings), ""])
    table.append(["events missed", *(str(len(finding.missed)) for finding in findings), "0"])
    table.append(["events told as less", *(str(len(finding.too_low)) for finding in findings), "0"])
    table += [[f"told after, {words}", *(_seconds(finding.told_within_s(share)) for finding in findings), ""]
              for words, share in TOLD.items()]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        print("  ".join(text.ljust(width) if column == 0 else text.rjust(width)
                        for column, (text, width) in enumerate(zip(row, widths, strict=True))).rstrip())
    for finding in findings:
        _print_events(f"{finding.name}: events missed", finding.missed)
        _print_events(f"{finding.name}: events told as less", finding.too_low)
    for finding in findings[1:]:
        _print_changes(findings[0].name, finding)


def _print_events(title: str, events: Sequence[tuple[str, Raise]]) -> None:
    """Which limit was broken, where, from when on and for how long."""
    if events:
        print(f"\n{title}")
    for journal, event in events[:SHOWN]:
        lasted = "to the end" if event.until_s is None else f"for {event.until_s - event.from_s:.0f} s"
        print(f"  {_where(journal, event)}: {event.rule} {lasted}")
    _print_more(len(events))


def _where(journal: str, raised: Raise) -> str:
    return f"{iso(raised.from_s)} {journal} {raised.bed} {raised.session or 'no session'}"


def _print_more(count: int) -> None:
    if count > SHOWN:
        print(f"  and {count - SHOWN} more: write --json for all of them")


def _against(findings: Sequence[Finding]) -> list[list[str]]:
    """What is left of the first arm's alarms by readings, beside what was published of three such arms."""
    first, published = findings[0].load.of_readings_an_hour, PUBLISHED_A_DAY
    left = [f"{finding.load.of_readings_an_hour / first:.0%}" if first else "-" for finding in findings]
    return [["of the first arm's", *left, "published: " + ", ".join(f"{one / published[0]:.0%}" for one in published)]]


def _seconds(after_s: float | None) -> str:
    return "-" if after_s is None else f"{after_s:.0f} s"


def _split(load: Load, priority: str) -> str:
    count = load.by_priority[priority]
    return f"{count} ({count / load.raised:.0%})" if load.raised else "0"


def _print_changes(first: str, finding: Finding) -> None:
    kinds = Counter(change.kind for _, change in finding.changes)
    print(f"\n{finding.name}, against {first}: " + ", ".join(f"{kinds[kind]} {kind}" for kind in
                                                            ("gained", "lost", "moved")))
    rules = Counter((change.raised.rule, change.kind) for _, change in finding.changes)
    for rule in sorted({rule for rule, _ in rules}):
        print(f"  {rule}: " + ", ".join(f"{rules[rule, kind]} {kind}" for kind in ("gained", "lost", "moved")
                                        if rules[rule, kind]))
    for journal, change in finding.changes[:SHOWN]:
        by = f" by {change.by_s:+.0f} s" if change.kind == "moved" else ""
        print(f"  {_where(journal, change.raised)}: {change.raised.rule} {change.kind}{by}")
    _print_more(len(finding.changes))


def _draw(findings: Sequence[Finding], path: Path) -> None:
    """The rates by priority, a bar an arm, as SVG."""
    try:
        import pygal
    except ImportError:
        raise BadUsage("--picture needs the package pygal: pip install 'vigil[report]'") from None
    chart = pygal.HorizontalStackedBar(js=[], title="Alarms a patient-hour", print_values=True,
                                       formatter=lambda value: f"{value:.2f}")
    chart.x_labels = [f"{finding.name}: {len(finding.missed)} events missed" for finding in findings]
    for priority in ("high", "medium", "low"):
        chart.add(priority, [finding.load.by_priority[priority] / finding.load.patient_h if finding.load.patient_h
                             else 0.0 for finding in findings])
    try:
        path.write_bytes(chart.render())
    except OSError as wrong:
        raise BadUsage(f"--picture {path}: {wrong.strerror}; give a file in a folder that is there") from None
