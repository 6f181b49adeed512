"""`vigil replay` over several journals or rules: what would have happened, as a table, JSON and a picture."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from edge.app.run import read_rules
from edge.core import burden
from edge.core.arms import Arm, at_once, three
from edge.core.burden import Change, Heard, Load, Raise
from edge.journal.database import JournalError
from edge.journal.reader import Reader
from edge.model import iso
from edge.postgres import shown_address
from edge.process import BadUsage
from edge.vocabulary import counted

RECORDED = "the recorded rules"
SHOWN = 20


@dataclass(frozen=True)
class Finding:
    """One arm over all journals: its load, what it has otherwise than the first one, and what it missed."""

    name: str
    load: Load
    changes: list[tuple[str, Change]]  # each with its journal
    missed: list[tuple[str, Raise]]


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
        _print(findings, events, event_s, len(journals))
    return 0


def _judge(journals: Sequence[str], arms: Sequence[Arm], event_s: float) -> tuple[list[Finding], int]:
    heard: dict[str, list[Heard]] = {}
    for journal in journals:
        try:
            with Reader(journal) as reader:
                first = next(reader.inputs(), None)
                # What is an event is asked of the last arm's limits, by readings that can be judged by.
                truth = Arm("truth", arms[-1].rules, at_once)
                heard[str(reader.place)] = burden.listen(
                    reader.inputs(), [*arms, truth], whole=first is not None and first.n == 1)
        except JournalError as wrong:
            raise BadUsage(str(wrong)) from None
    findings = [Finding(
        arm.name, burden.load([one[number] for one in heard.values()]),
        [(name, change) for name, one in heard.items() for change in burden.changes(one[0], one[number])],
        [(name, event) for name, one in heard.items() for event in burden.missed(one[-1], one[number], event_s)],
    ) for number, arm in enumerate(arms)]
    truths = [one[-1] for one in heard.values()]
    events = sum(burden.is_event(raised, truth.last_s, event_s) for truth in truths for raised in truth.raises)
    return findings, events


def _as_json(finding: Finding) -> dict[str, object]:
    return {
        "name": finding.name, **asdict(finding.load),
        "changes": [{"journal": journal, "kind": change.kind, "by_s": change.by_s, **_raised(change.raised)}
                    for journal, change in finding.changes],
        "missed": [{"journal": journal, **_raised(event)} for journal, event in finding.missed],
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


def _print(findings: Sequence[Finding], events: int, event_s: float, journals: int) -> None:
    first = findings[0].load
    print(f"{counted(journals, 'journal')}, {counted(first.sessions, 'session')}, {first.patient_h:.1f} patient-hours;"
          f" {events} events (a limit broken for {event_s:g} s or longer)")
    table = [["", *(finding.name for finding in findings), "aim"]]
    table += [[words, *(format(getattr(finding.load, key), form) for finding in findings), AIMS.get(key, "")]
              for words, key, form in ROWS]
    table += [[priority, *(_split(finding.load, priority) for finding in findings), f"about {share:.0%}"]
              for priority, share in burden.PRIORITY_AIM.items()]
    table.append(["events missed", *(str(len(finding.missed)) for finding in findings), "0"])
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        print("  ".join(text.ljust(width) if column == 0 else text.rjust(width)
                        for column, (text, width) in enumerate(zip(row, widths, strict=True))).rstrip())
    for finding in findings[1:]:
        _print_changes(findings[0].name, finding)


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
        raised = change.raised
        by = f" by {change.by_s:+.0f} s" if change.kind == "moved" else ""
        print(f"  {iso(raised.from_s)} {journal} {raised.bed} {raised.session or 'no session'}:"
              f" {raised.rule} {change.kind}{by}")
    if len(finding.changes) > SHOWN:
        print(f"  and {len(finding.changes) - SHOWN} more: write --json for all of them")


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
