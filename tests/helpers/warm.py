"""The fast tests of the core, collected once, and told to many mutants: each in a copy of the process (fork) that has
everything imported, the test that is likeliest to notice first, until one fails.

`Warm` is a plugin of pytest that runs no test by itself: it gives the collected ones to a function. Which functions of
edge/core a test calls and how long it takes is found out once (`Notes`), in a copy as well; a mutant of a function is
told the tests that call it, alone.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from cProfile import Profile
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType

import pytest

CORE = str(Path(__file__).parent.parent.parent / "edge" / "core")
TIMES, MORE_S = 4.0, 4.0  # of a test's own processor time, and above it: what takes longer has noticed, too
NOBODY = "-"
NEVER_S = 1e9  # noted of a test that is too long, or fails without a mutant

Called = str  # of a function: module, its name there and its line


def called(module: str, code: CodeType) -> Called:
    """How notes name a function."""
    return f"{module}:{code.co_qualname}:{code.co_firstlineno}"


class _TooLong(BaseException):
    """A test has had its time; nothing in it takes this for an error of its own."""


def _too_long(*_: object) -> None:
    raise _TooLong


@dataclass
class Notes:
    """Of each test how long it takes on a processor, and which functions of the core it calls."""

    lasts_s: dict[str, float] = field(default_factory=dict)
    calls: dict[str, list[Called]] = field(default_factory=dict)


def read_notes(file: Path) -> Notes:
    """What is noted so far."""
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return Notes({test: lasts_s for test, lasts_s, _ in lines}, {test: calls for test, _, calls in lines})


@dataclass
class Warm:
    """The plugin. `work` is called with it when all tests have been collected."""

    work: Callable[[Warm], None]
    notes_in: Path
    longest_s: float  # of a processor: a test that takes longer, looked at, is left out
    most_s: float  # of a processor, for a mutant: nobody noticed it by then
    items: list[pytest.Item] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)
    killers: dict[str, int] = field(default_factory=dict)  # tests, by how many mutants each has noticed
    _failed: bool = False

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of one test after the other."""
        self.items = session.items
        self._find_out()
        self.work(self)
        return True

    def _find_out(self) -> None:
        while any(item.nodeid not in self.notes.lasts_s for item in self.items):
            before = len(self.notes.lasts_s)
            self._told([], self._write_notes)
            self.notes = read_notes(self.notes_in)
            if len(self.notes.lasts_s) == before:
                raise RuntimeError(f"{self.notes_in}: no test could be looked at")
        known = self.notes.lasts_s
        left_out = sum(known.get(item.nodeid, NEVER_S) == NEVER_S for item in self.items)
        print(f"{len(self.items)} tests without {left_out} that are too long or fail", file=sys.stderr, flush=True)
        self.items = sorted((item for item in self.items if known.get(item.nodeid, NEVER_S) != NEVER_S),
                            key=lambda item: known[item.nodeid])

    def _write_notes(self) -> None:
        """A line for each test that has none. Of a long one only that it is long: to find out what it calls takes
        minutes."""
        known = read_notes(self.notes_in).lasts_s
        signal.signal(signal.SIGPROF, _too_long)
        for item in self.items:
            if item.nodeid not in known:
                lasts_s, calls = self._looked_at(item)
                with self.notes_in.open("a") as notes:
                    notes.write(json.dumps([item.nodeid, lasts_s, calls]) + "\n")

    def _looked_at(self, item: pytest.Item) -> tuple[float, list[Called]]:
        begun_s, fails, look = time.process_time(), True, Profile(builtins=False)
        signal.setitimer(signal.ITIMER_PROF, self.longest_s)
        look.enable()
        with suppress(_TooLong):
            fails = self._fails(item)
        look.disable()
        signal.setitimer(signal.ITIMER_PROF, 0)
        seen = {entry.code for entry in look.getstats() if isinstance(entry.code, CodeType)}
        calls = sorted(called(Path(code.co_filename).stem, code) for code in seen if code.co_filename.startswith(CORE))
        return (NEVER_S, []) if fails else (round(time.process_time() - begun_s, 4), calls)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Of one test: before, in and after it."""
        self._failed = self._failed or report.failed

    def _fails(self, item: pytest.Item) -> bool:
        self._failed = False
        item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
        return self._failed

    def of_function(self, name: Iterable[Called]) -> list[pytest.Item]:
        """The tests that call any of these."""
        names = set(name)
        return [item for item in self.items if not names.isdisjoint(self.notes.calls[item.nodeid])]

    def that_mention(self, word: re.Pattern[str]) -> list[pytest.Item]:
        """The tests in whose name, file or parameters it stands."""
        files = {path: path.read_text() for path in {item.path for item in self.items}}

        def text(item: pytest.Item) -> str:
            told = getattr(item, "callspec", None)
            return f"{item.nodeid} {files[item.path]}" if told is None else f"{item.nodeid} {told.params}"

        return [item for item in self.items if word.search(text(item))]

    def noticed_by(self, items: Iterable[pytest.Item], prepare: Callable[[], None]) -> str | None:
        """The test that fails after `prepare`, of these; None: all pass."""
        order = sorted(items, key=lambda item: -self.killers.get(item.nodeid, 0))
        found = self._told(order, prepare)
        if found == NOBODY:
            return None
        self.killers[found] = self.killers.get(found, 0) + 1
        return found

    def _told(self, items: list[pytest.Item], prepare: Callable[[], None]) -> str:
        """In a copy of this process: `prepare`, and the tests until one fails. Its name, or NOBODY."""
        reads, writes = os.pipe()
        child = os.fork()
        if not child:
            last = "the change"
            try:
                silent = os.open(os.devnull, os.O_WRONLY)
                os.dup2(silent, 1)
                os.dup2(silent, 2)
                prepare()
                begun_s = time.process_time()
                for item in items:
                    if time.process_time() - begun_s > self.most_s:
                        break
                    last = item.nodeid
                    os.write(writes, f"{last}\n".encode())
                    signal.setitimer(signal.ITIMER_PROF, TIMES * self.notes.lasts_s[last] + MORE_S)
                    if self._fails(item):
                        os._exit(1)
                os.write(writes, f"{NOBODY}\n".encode())
            finally:
                os._exit(1)
        os.close(writes)
        with os.fdopen(reads) as told:
            lines = told.read().split("\n")
        os.waitpid(child, 0)
        return lines[-2] if len(lines) > 1 else "the change"


def collected(files: Iterable[Path], plugin: Warm) -> None:
    """Let pytest collect the fast tests of these files, and give them to the plugin."""
    pytest.main(["-qq", "-s", "-m", "not slow", "-p", "no:cacheprovider", "--timeout", "0",
                 *map(str, files)], plugins=[plugin])
