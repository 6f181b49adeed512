"""The live feed: each message encoded once and handed to every page; a page that cannot keep up is cut, not fed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

from edge.console.accounts import User
from edge.console.without_patient import event_without, sees_patients
from edge.contract.payloads import EventOut

QUEUE = 256  # messages a page may lag behind: more than ten seconds of a full ward

Sound = Literal["on", "blocked"]


def encode(message: dict[str, Any]) -> str:
    """A message for pages, as it goes to all of them."""
    return msgspec.json.encode(message).decode()


class Page:
    """One connected browser page. `cut_code` is set once and ends it: 1013 too slow, 4401 logged out."""

    def __init__(self, user: User, limit: int = QUEUE) -> None:
        self.user = user
        self.watching: tuple[str, str] | None = None
        self.sound: Sound | None = None
        self.cut_code: int | None = None
        self._limit = limit
        self._waiting: deque[str] = deque()
        self._wake = asyncio.Event()
        self._sounded: deque[tuple[str, int]] = deque(maxlen=256)

    @property
    def sounds(self) -> bool:
        """Whether alarms sound here: with whoever treats patients, and nobody else is believed to have heard one."""
        return self.sees_patients

    @property
    def sees_patients(self) -> bool:
        """Whether it may know who lies where."""
        return sees_patients(self.user.role)

    def first_sounded(self, edge: str, seq: int) -> bool:
        """Whether the page says for the first time, as far as remembered, that it sounded `seq` of `edge`."""
        if (edge, seq) in self._sounded:
            return False
        self._sounded.append((edge, seq))
        return True

    def send(self, message: str) -> None:
        """Queues `message`; cuts the page where it has `limit` of them waiting."""
        if self.cut_code is None and len(self._waiting) >= self._limit:
            self.cut(1013)
        if self.cut_code is None:
            self._waiting.append(message)
            self._wake.set()

    def cut(self, code: int) -> None:
        """Ends the page and forgets what it had not read."""
        if self.cut_code is None:
            self.cut_code = code
            self._waiting.clear()
            self._wake.set()

    async def next(self) -> str | None:
        """The next message; None once cut."""
        while not self._waiting and self.cut_code is None:
            self._wake.clear()
            await self._wake.wait()
        return self._waiting.popleft() if self._waiting else None

    async def ended(self) -> int:
        """Waits for the cut; its code."""
        while self.cut_code is None:
            self._wake.clear()
            await self._wake.wait()
        return self.cut_code


class Feed:
    """All pages."""

    def __init__(self, limit: int = QUEUE) -> None:
        self._limit = limit
        self._pages: set[Page] = set()
        self.cut_slow = 0

    def __len__(self) -> int:
        return len(self._pages)

    def join(self, user: User, first: Iterable[str]) -> Page:
        """A new page with what it must know first; nothing published later comes before that."""
        before = list(first)
        page = Page(user, self._limit + len(before))
        for message in before:
            page.send(message)
        self._pages.add(page)
        return page

    def leave(self, page: Page) -> None:
        """The page is gone."""
        self._pages.discard(page)

    def publish(self, message: str, without_patient: Callable[[], str | None] | None = None) -> None:
        """To every page. A message about a patient comes with `without_patient`: what pages get instead that may not
        know of one (None: nothing), made once, and only where such a page is open."""
        others = [page for page in self._pages if not page.sees_patients] if without_patient is not None else []
        for page in self._pages.difference(others):
            self._send(page, message)
        if others and without_patient is not None and (less := without_patient()) is not None:
            for page in others:
                self._send(page, less)

    def publish_state(self, state: dict[str, Any], without_patient: Callable[[], dict[str, Any] | None]) -> None:
        """A bed's state to every page, as `publish`."""
        def less() -> str | None:
            return None if (said := without_patient()) is None else encode({**said, "t": "state"})

        self.publish(encode({**state, "t": "state"}), less)

    def publish_event(self, event: EventOut) -> None:
        """A stored event to every page, as `publish`."""
        def less() -> str | None:
            return None if (said := event_without(event)) is None else encode({"t": "event", "event": said})

        self.publish(encode({"t": "event", "event": event}), less)

    def publish_wave(self, edge: str, bed: str, message: str) -> None:
        """To the pages that watch this bed."""
        for page in self._pages:
            if page.watching == (edge, bed):
                self._send(page, message)

    def watched(self, edge: str, bed: str) -> bool:
        """Whether any page watches this bed."""
        return any(page.watching == (edge, bed) for page in self._pages)

    def audible(self) -> bool:
        """Whether some page that sounds alarms has its sound on."""
        return any(page.sounds and page.sound == "on" and page.cut_code is None for page in self._pages)

    def pages_of(self, account: str) -> int:
        """How many pages this account has open."""
        return sum(page.user.name == account for page in self._pages)

    def keys(self) -> set[str]:
        """The web sessions of all pages."""
        return {page.user.key for page in self._pages}

    def end_sessions(self, keys: set[str]) -> None:
        """Cuts the pages of web sessions that are over."""
        for page in self._pages:
            if page.user.key in keys:
                page.cut(4401)

    def _send(self, page: Page, message: str) -> None:
        was = page.cut_code
        page.send(message)
        if was is None and page.cut_code == 1013:
            self.cut_slow += 1
