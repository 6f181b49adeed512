"""The fast tests of the core in a process of their own, in which one module of it is another from the import on.

    python -m tests.helpers.cold MODULE SOURCE NOTES SECONDS FILE...

Exits 0 where all pass; otherwise a line says which test failed. It ends by a
signal after so many seconds of a processor. The quick ones (`Notes` of `warm.py`) go first.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from tests.helpers.warm import NEVER_S, read_notes

SAYS = "noticed by "
STARTS_S = 10  # of a processor, until all tests are collected


class Another(MetaPathFinder, Loader):
    """Finds one module in another place."""

    def __init__(self, module: str, source: Path) -> None:
        self._module, self._source = module, source

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Where it is this module."""
        return ModuleSpec(name, self, origin=str(self._source)) if name == self._module else None

    def exec_module(self, module: ModuleType) -> None:
        """From that place."""
        exec(compile(self._source.read_text(), self._source, "exec"), module.__dict__)  # a mutant of our own source


class QuickFirst:
    """A plugin: the tests that pass without a change, the quick ones first; the one that fails is named."""

    def __init__(self, lasts_s: dict[str, float]) -> None:
        self._lasts_s = lasts_s

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """In that order."""
        items[:] = sorted((item for item in items if self._lasts_s.get(item.nodeid, NEVER_S) != NEVER_S),
                          key=lambda item: self._lasts_s[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """The one that fails."""
        if report.failed:
            sys.stdout.write(f"\n{SAYS}{report.nodeid}\n")


def main(module: str, source: str, notes: str, most_s: str, *files: str) -> int:
    """0 where all pass."""
    resource.setrlimit(resource.RLIMIT_CPU, (int(most_s) + STARTS_S,) * 2)
    sys.meta_path.insert(0, Another(module, Path(source)))
    return int(pytest.main(["-x", "-q", "-s", "-m", "not slow", "-p", "no:cacheprovider", *files],
                           plugins=[QuickFirst(read_notes(Path(notes)).lasts_s)]))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
