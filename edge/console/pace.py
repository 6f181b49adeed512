"""How fast one account may ask for what is written down: as people do, with room for a whole ward at once.

Every command is two lines of the audit and, at the edge, of the journal: whoever has a password, and asks without end,
fills both disks. What is asked beyond the pace is refused before it is written, counted, and named on every screen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from edge.console.accounts import User
from edge.console.health import Trouble
from edge.console.security import Limiter

AT_ONCE: Final = 300.0  # commands of an account from one host: every bed of a ward, some times over
EVERY_S: Final = 0.2  # real seconds to each further one
OWN, OWN_EVERY_S = 5.0, 2.0  # a web session's own, which nobody takes from it who has the same password
NOTES, NOTE_EVERY_S = 200.0, 10.0  # lines about sound going on and off, of an account's screens
SHOWN_S: Final = 60.0  # real seconds


class Pace:
    """Of all accounts of a console."""

    def __init__(self, places: Limiter | None = None, screens: Limiter | None = None, notes: Limiter | None = None
                 ) -> None:
        self._places = places or Limiter(AT_ONCE, EVERY_S)
        self._screens = screens or Limiter(OWN, OWN_EVERY_S)
        self._notes = notes or Limiter(NOTES, NOTE_EVERY_S)
        self.refused: Counter[str] = Counter()  # by account
        self._last: dict[str, tuple[float, float]] = {}  # by account: real time, this console's time

    def may_ask(self, user: User, host: str, loop_s: float, now_s: float) -> bool:
        """Whether `user` may ask for one command more."""
        if self._places.allow(f"{user.name}|{host}", loop_s) or self._screens.allow(user.key, loop_s):
            return True
        self.refused[user.name] += 1
        self._last[user.name] = loop_s, now_s
        return False

    def may_note(self, user: User, loop_s: float) -> bool:
        """Whether a line may be written about the sound of a screen of `user`."""
        return self._notes.allow(user.name, loop_s)

    def troubles(self, loop_s: float) -> Iterator[Trouble]:
        """Who was refused just now."""
        for name, (last_loop_s, at_s) in self._last.items():
            if loop_s - last_loop_s < SHOWN_S:
                yield Trouble("accounts", None, at_s, f"More is asked in the name of {name} than people ask:"
                              f" {self.refused[name]} commands were refused", "Where nobody at work does that, somebody"
                              " else has the password: the administrator sets a new one, which ends that account's"
                              " screens. The audit says from where it came in.")
