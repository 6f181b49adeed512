"""How far the clocks of this box and of its consoles are apart, by the time in each ack. No I/O."""

from __future__ import annotations

from edge.contract.clocks import ClockOffset

STEP_S = 0.5  # the beds are told when it has changed by so much


class Skew:
    """Fed with acks; `look` now and then."""

    def __init__(self) -> None:
        self._offsets: dict[str, ClockOffset] = {}
        self._told = (0.0, "")

    def heard(self, console: str, console_s: float, now_s: float) -> None:
        """This console's clock showed `console_s` when an ack came at `now_s`; both in seconds of real length."""
        self._offsets.setdefault(console, ClockOffset()).heard(console_s, now_s)

    def lost(self, console: str) -> None:
        """It is there no more: what its clock shows is not known."""
        self._offsets.pop(console, None)

    def look(self) -> tuple[float, str] | None:
        """The worst console: seconds that it is ahead (below 0: behind), and its name; None: about as told before."""
        worst = max(((clock.offset_s, console) for console, clock in self._offsets.items()),
                    key=lambda found: abs(found[0]), default=(0.0, ""))
        found = (round(worst[0], 1), worst[1])
        if abs(found[0] - self._told[0]) < STEP_S:
            return None
        self._told = found
        return found
