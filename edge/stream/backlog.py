"""Which events each console still lacks, and what to send it next: told the time, no I/O.

One topic carries the events to every console, so a batch sent for one counts for all that it fits. The only thing
that says an event has arrived is the console's own ack: `stored`. Between `stored` and `sent` lies what is on its way;
what stays there too long is sent again, for no broker may be trusted with it: with its defaults
mosquitto 2.0 forgets what comes beyond 1000 messages to a console that is away, and says nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edge.contract.events import Event

WINDOW = 2  # unacknowledged batches a console may have
PATIENCE_S = 1.0  # real seconds after which what was sent and not acknowledged is sent again
MAX_PATIENCE_S = 8.0  # for a console that lives but stores nothing: doubled each time up to here


class Outbox(Protocol):
    """What the publisher needs of the journal."""

    @property
    def stored_seq(self) -> int:
        """The newest event on the disk; while the store fails, there are newer ones in memory."""
        ...

    async def events_after(self, seq: int, limit: int) -> Sequence[Event]:
        """At most `limit` events after `seq`, oldest first."""
        ...

    async def cursor(self, console: str) -> int:
        """The highest seq this console has ever acknowledged; 0 at first."""
        ...

    async def move_cursor(self, console: str, seq: int) -> None:
        """`console` has stored everything up to `seq`. Called with rising seqs only."""
        ...


@dataclass(slots=True)
class Follower:
    """How far one console is. All numbers are event seqs; times are real seconds of the caller's monotonic clock."""

    stored: int  # by its own latest ack; may move back when the console lost its store
    sent: int  # everything up to here was sent, live or late
    live: bool = False
    batches: deque[int] = field(default_factory=deque)  # the last seq of each late batch not yet acknowledged
    owing_s: float = 0.0  # since when it owes an ack: what it lacks began to go out, or its ack last moved
    patience_s: float = PATIENCE_S

    def rewind(self, at_s: float) -> None:
        """Send again from what it has stored."""
        self.sent = self.stored
        self.batches.clear()
        self.owing_s = at_s

    def again_at_s(self) -> float | None:
        """When to send again what it has not acknowledged; None: nothing is missing, or nobody is there to take it."""
        return self.owing_s + self.patience_s if self.live and self.stored < self.sent else None


class Backlog:
    """The late lane's memory. `late_to`: up to here events may go late; beyond it they are the live lane's."""

    def __init__(
        self, stored: Mapping[str, int], head: int, on_unacknowledged: Callable[[int], None] = lambda _: None
    ) -> None:
        """`stored`: each console's cursor; `head`: the newest event there is. `on_unacknowledged(seq)`: a
        console that is there has stored up to `seq` and not acknowledged in time what was sent after it."""
        self._on_unacknowledged = on_unacknowledged
        self.followers = {console: Follower(seq, seq) for console, seq in stored.items()}
        self.late_to = head

    def connected(self, head: int, at_s: float) -> None:
        """The broker is back: everything up to `head` that is not stored is late, and due at once.

        No console has sent an ack on this connection yet: what goes out before the first may reach none.
        """
        self.late_to = head
        for follower in self.followers.values():
            follower.live = False
            follower.patience_s = PATIENCE_S
            follower.rewind(at_s)

    def acked(self, console: str, seq: int, at_s: float) -> None:
        """`console` says it has stored everything up to `seq`; the caller has checked that there is such a seq."""
        follower = self.followers[console]
        returned, follower.live = not follower.live, True
        deaf = returned and seq == follower.stored
        if seq < follower.stored:  # it lost its store
            follower.stored = seq
            follower.rewind(at_s)
        elif seq > follower.stored:
            follower.stored = seq
            follower.sent = max(follower.sent, seq)
            follower.owing_s = at_s
            follower.patience_s = PATIENCE_S
            while follower.batches and follower.batches[0] <= seq:
                follower.batches.popleft()
        if returned:
            follower.patience_s = PATIENCE_S
        if deaf:  # whether it heard what went out before this word of it nobody knows: again at once, and in order
            follower.rewind(at_s)

    def lost(self, console: str) -> None:
        """Nobody is there: nothing is sent again until it acknowledges something."""
        self.followers[console].live = False

    def live_sent(self, first: int, last: int, at_s: float) -> None:
        """The live lane has sent, or given up, `first` to `last`: from now on they may also go late."""
        self.late_to = max(self.late_to, last)
        self._sent(self.followers.values(), first, last, at_s)

    def next(self, at_s: float) -> int | None:
        """The seq after which the next late batch begins, or None when nothing is due."""
        for follower in self.followers.values():
            again_at_s = follower.again_at_s()
            if again_at_s is not None and at_s >= again_at_s:
                follower.patience_s = min(follower.patience_s * 2, MAX_PATIENCE_S)
                self._on_unacknowledged(follower.stored)
                follower.rewind(at_s)
        waiting = [f.sent for f in self.followers.values() if f.sent < self.late_to and len(f.batches) < WINDOW]
        return min(waiting, default=None)

    def batch_sent(self, first: int, last: int, at_s: float) -> None:
        """A late batch `first` to `last` has gone out."""
        for follower in self._sent(self.followers.values(), first, last, at_s):
            follower.batches.append(last)

    def due_in_s(self, at_s: float) -> float | None:
        """Real seconds until `next` may have something without any ack or event before; None: never."""
        due = [again_at_s for f in self.followers.values() if (again_at_s := f.again_at_s()) is not None]
        return max(0.0, min(due) - at_s) if due else None

    @staticmethod
    def _sent(followers: Iterable[Follower], first: int, last: int, at_s: float) -> list[Follower]:
        """Advances those for whom this batch leaves no gap, and returns them."""
        advanced = [f for f in followers if first - 1 <= f.sent < last]
        for follower in advanced:
            if follower.sent == follower.stored:
                follower.owing_s = at_s
            follower.sent = last
        return advanced
