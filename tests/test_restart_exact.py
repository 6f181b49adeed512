"""A restart is exact at any point: a bed that is written down and taken up again between any two inputs goes on as if
it had not been, byte for byte.

The slow part tries some stories, at every seventh input. `VIGIL_RESTARTS=1` tries all, at each (5: at every fifth).
"""

from __future__ import annotations

import os

import msgspec
import pytest

from edge.contract.events import PendingEvent
from edge.core.bedside import Bedside
from edge.core.stories import run_story, stories_of
from edge.model import Input
from tests.helpers.rule_files import HERE, PROTOCOLS, RULES

ASKED = int(os.environ.get("VIGIL_RESTARTS", "0"))
EVERY, EACH = ASKED or 7, 1 if ASKED else 40
STORIES = [(path.stem, number, story)
           for path in sorted((HERE / "stories").rglob("*.txt"))
           for number, story in enumerate(stories_of(path.read_text()), 1)]
OVER_WATCHING = {rule.id for rule in RULES if any(one.of_watching for one in rule.conditions.values())}

pytestmark = pytest.mark.slow


class Restarted(Bedside):
    """A bed that begins anew from its own snapshot, again and again."""

    count = 0

    def apply(self, given: Input, at_s: float) -> list[PendingEvent]:
        self.count += 1
        if self.count % EVERY == 0:
            self.restore(self.snapshot())
        return super().apply(given, at_s)


def told(name: str, story: str) -> tuple[bytes, bytes]:
    """All the events of a story, and what the bed remembers at its end."""
    bed = run_story(story, f"{name}.txt", RULES, name if name in OVER_WATCHING else None, PROTOCOLS)
    return msgspec.json.encode(bed.pending_events), bed.bedside.snapshot()


@pytest.mark.parametrize(("name", "story"), [
    pytest.param(name, story, id=f"{name}-{number}") for name, number, story in STORIES[::EACH]])
def test_a_restart_changes_nothing(name: str, story: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = told(name, story)
    monkeypatch.setattr("edge.core.stories.Bedside", Restarted)
    assert told(name, story) == plain
