"""What the embedded broker has refused, counted by whom and why, for its log and for the technician's screen.

No I/O. The time comes as a text, ISO 8601. Whoever floods with ever new names pushes out the oldest, never more memory.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from edge.contract.broker_said import Refusals, RefusedClient, RefusedFor
from edge.contract.seen import is_seen

MOST = 32  # told singly
LONGEST = 64  # characters of what a stranger calls itself
LONGEST_WHAT = 160


def shortened(text: str, most: int = LONGEST) -> str:
    """What a stranger wrote, fit for a screen: no control characters, no more than `most` characters."""
    return "".join(letter if is_seen(letter) else "\N{REPLACEMENT CHARACTER}" for letter in text[:most])


class Ledger:
    """Who was refused what, how often and when; the last first."""

    def __init__(self, now: Callable[[], str]) -> None:
        self._now = now
        self._since = now()
        self._kept: dict[tuple[RefusedFor, str | None, str], RefusedClient] = {}
        self._more = 0
        self._is_news = True

    def add(self, why: RefusedFor, user: str | None, client: str, what: str) -> None:
        """One refusal."""
        user = None if user is None else shortened(user)
        what = shortened(what, LONGEST_WHAT)
        at = self._now()
        before = self._kept.pop((why, user, what), None)
        self._kept[why, user, what] = RefusedClient(
            why=why, user=user, client=shortened(client), what=what, count=1, first=at, last=at,
        ) if before is None else msgspec.structs.replace(
            before, client=shortened(client), count=before.count + 1, last=at)
        if len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]
            self._more += 1
        self._is_news = True

    def news(self) -> Refusals | None:
        """All of it, if any of it is new since the last time."""
        if not self._is_news:
            return None
        self._is_news = False
        return Refusals(since=self._since, refused=tuple(reversed(self._kept.values())), more=self._more)
