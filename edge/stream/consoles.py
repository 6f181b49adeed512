"""The consoles as the edge knows them: what each has signed for this boot, and whether it is there.

A console is there as long as its acks come: DEAD_AFTER_S without one, or its last will, and it is lost. Nothing
unsigned, forged, replayed or said to another boot counts as an ack.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from nacl.signing import VerifyKey

from edge.contract.freshness import ConsoleFreshness
from edge.contract.payloads import DEAD_AFTER_S, Ack, BadPayload, ConsoleSeen, Gone, decode
from edge.contract.signing import Rejected, Verifier
from edge.model import iso

COMPLAINTS_MAX = 100
log = logging.getLogger(__name__)
T = TypeVar("T", Ack, Gone)


class Consoles:
    """Every configured console; all begin lost. Belongs to one event loop."""

    def __init__(
        self, names: Iterable[str], keys: Mapping[str, VerifyKey], *, boot: str, now: Callable[[], float],
        stored: Callable[[str], int], on_rejected: Callable[[str, str, str], None],
        on_changed: Callable[[str, ConsoleSeen], None], on_arrived: Callable[[], None],
    ) -> None:
        """`keys`: the pinned public key of each. `stored(console)`: how far it has stored. `now`: edge time.

        `on_rejected(console, topic, reason)` for what is not believed, `on_changed` when one comes to life or is lost,
        `on_arrived` when one is on a new connection: it knows no more of the present than what the broker retains.
        """
        self.names = tuple(names)
        self.verifiers = {name: Verifier(keys[name], ConsoleFreshness(boot)) for name in self.names if name in keys}
        self._now, self._stored = now, stored
        self._on_rejected, self._on_changed, self._on_arrived = on_rejected, on_changed, on_arrived
        self._since = dict.fromkeys(self.names, now())
        self._watch: dict[str, asyncio.TimerHandle] = {}
        self._runs: dict[str, str | None] = {}  # the connection on which each console sent last
        self._complaints: set[str] = set()

    def seen(self) -> dict[str, ConsoleSeen]:
        """Each one: live or lost, since when, and how far it says it has stored."""
        return {name: self._seen(name) for name in self.names}

    def ack(self, console: str, topic: str, payload: bytes) -> Ack | None:
        """The ack, if it is believed; from now on that console is live."""
        ack = self._verified(Ack, console, topic, payload)
        if ack is None or ack.console != console:
            return None
        timer = self._watch.get(console)
        if timer is None or ack.run != self._runs.get(console):
            self._on_arrived()
        self._runs[console] = ack.run
        self._watch[console] = asyncio.get_running_loop().call_later(DEAD_AFTER_S, self._lost, console)
        if timer is not None:
            timer.cancel()
        else:
            self._changed(console)
        return ack

    def gone(self, console: str, topic: str, payload: bytes) -> None:
        """Its last will; an older connection's says nothing of the present one."""
        gone = self._verified(Gone, console, topic, payload)
        if gone is not None and console in self._watch and gone.run == self._runs.get(console):
            self._watch[console].cancel()
            self._lost(console)

    def stop(self) -> None:
        """Watch no more."""
        for timer in self._watch.values():
            timer.cancel()

    def complain(self, console: str, what: str) -> None:
        """To the log, each thing once a console: an ack comes every two seconds."""
        if len(self._complaints) < COMPLAINTS_MAX and (complaint := f"{console}: {what[:20]}") not in self._complaints:
            self._complaints.add(complaint)
            log.warning("console %s: %s", console, what)

    def _verified(self, kind: type[T], console: str, topic: str, payload: bytes) -> T | None:
        if console not in self.names:
            self._on_rejected("unknown console", topic, "not_configured")
            return None
        verifier = self.verifiers.get(console)
        if verifier is None:
            self._on_rejected(console, topic, "no_key")
            self.complain(console, f"no key: copy its console.pub to keys/{console}.pub in this edge's data folder,"
                                   " or name it under console_keys in edge.toml")
            return None
        checked = verifier.check(topic, payload, asyncio.get_running_loop().time())
        if isinstance(checked, Rejected):
            if checked.reason != "other_boot":  # what each sends until it knows of our restart
                self._on_rejected(console, topic, checked.reason)
            return None
        try:
            return decode(kind, checked.payload)
        except BadPayload as error:
            self._on_rejected(console, topic, "bad_shape")
            self.complain(console, f"signed, but no {kind.__name__}: {error}")
            return None

    def _seen(self, console: str) -> ConsoleSeen:
        return ConsoleSeen(state="live" if console in self._watch else "lost", seq=self._stored(console),
                           since=iso(self._since[console]))

    def _lost(self, console: str) -> None:
        del self._watch[console]
        self._changed(console)

    def _changed(self, console: str) -> None:
        self._since[console] = self._now()
        self._on_changed(console, self._seen(console))
