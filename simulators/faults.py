"""What a bad wire does to the bytes on their way from the device to the host: kinds, rates, one seed.

A rate is the chance that one transmission (an answer, or what a streaming device sends at once) is hit. Delay and mute
last real seconds, as the time-outs they are meant to break do.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping

KINDS: Mapping[str, str] = {
    "flip": "one bit is flipped",
    "drop": "the transmission is lost",
    "dup": "it comes twice",
    "garbage": "1 to 16 random bytes come before it",
    "truncate": "its end is lost",
    "split": "it comes in two pieces, up to 0.2 s apart",
    "delay": "it comes late, by up to three time-outs; what follows waits behind it",
    "mute": "nothing is said for up to five time-outs",
    "reset": "the device restarts: what was under way is lost, a TCP connection is closed",
}
_SPLIT_S = 0.2
_GARBAGE = 16

Note = Callable[[str, bytes], None]


def parse(texts: Iterable[str]) -> dict[str, float]:
    """The rates that `KIND=RATE` texts name. Raises ValueError with one clear line."""
    rates: dict[str, float] = {}
    for text in texts:
        kind, equals, number = text.partition("=")
        if kind not in KINDS or not equals:
            raise ValueError(f"--fault {text}: write KIND=RATE, with KIND one of {', '.join(KINDS)}")
        try:
            rate = float(number)
        except ValueError:
            rate = -1.0
        if not 0.0 <= rate <= 1.0:
            raise ValueError(f"--fault {text}: the rate must be a number from 0 to 1, not {number!r}")
        rates[kind] = rate
    return rates


class Faults:
    """One wire's faults. `note` is told every one as it happens: its kind, and the bytes as the device meant them."""

    def __init__(
        self, rates: Mapping[str, float], seed: str, *, timeout_s: float = 1.0, note: Note | None = None
    ) -> None:
        self._rates = rates
        self._rng = random.Random(f"faults {seed}")
        self._timeout_s = timeout_s
        self._note = note
        self._mute_until_s = float("-inf")

    def _hit(self, kind: str, data: bytes) -> bool:
        rate = self._rates.get(kind, 0.0)
        hit = rate > 0.0 and self._rng.random() < rate
        if hit and self._note is not None:
            self._note(kind, data)
        return hit

    def resets(self, data: bytes) -> bool:
        """Whether the device restarts instead of sending `data`."""
        return self._hit("reset", data)

    def through(self, data: bytes, now_s: float) -> list[tuple[float, bytes]]:
        """What becomes of `data` sent at `now_s`: pieces, and when each comes out."""
        rng = self._rng
        if self._hit("mute", data):
            self._mute_until_s = max(self._mute_until_s, now_s + rng.uniform(0.0, 5.0 * self._timeout_s))
        if now_s < self._mute_until_s or self._hit("drop", data):
            return []
        sent = data
        if self._hit("flip", data):
            place = rng.randrange(8 * len(sent))
            hurt = bytearray(sent)
            hurt[place // 8] ^= 1 << place % 8
            sent = bytes(hurt)
        if self._hit("truncate", data):
            sent = sent[: rng.randrange(len(sent))]
        if self._hit("garbage", data):
            sent = rng.randbytes(rng.randint(1, _GARBAGE)) + sent
        if self._hit("dup", data):
            sent += sent
        due_s = now_s + (rng.uniform(0.0, 3.0 * self._timeout_s) if self._hit("delay", data) else 0.0)
        if len(sent) > 1 and self._hit("split", data):
            cut = rng.randrange(1, len(sent))
            return [(due_s, sent[:cut]), (due_s + rng.uniform(0.0, _SPLIT_S), sent[cut:])]
        return [(due_s, sent)] if sent else []
