"""What a bad wire does to the bytes on their way from the device to the host: kinds, rates, one seed.

A rate is the chance that one transmission (a response, or what a streaming device sends at once) is hit. What lasts
lasts real seconds, as the time-outs it is meant to break do. The same seed and the same transmissions give the same
faults.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

KINDS: Mapping[str, str] = {
    "flip": "one bit is flipped",
    "drop": "the transmission is lost",
    "dup": "it comes twice",
    "garbage": "1 to 16 random bytes come before it",
    "truncate": "its end is lost",
    "steal": "another program reads too: some of its bytes are gone",
    "replay": "what was said up to a minute ago, to the same request, comes once more before it",
    "split": "it comes in two pieces, up to 0.2 s apart",
    "delay": "it comes late, by up to three time-outs; what follows waits behind it",
    "mute": "nothing is said for up to five time-outs",
    "reset": "the device restarts: what was under way is lost, a TCP connection is closed",
    "stray": "one random byte comes before it",
    "swap": "it changes places with the next one",
    "echo": "the host's own bytes come back before it",
    "flood": "random bytes come without a pause for up to five time-outs",
    "freeze": "for up to ten time-outs the device repeats what it said before",
    "stall": "nothing comes for up to ten time-outs, then all of it at once",
    "stale": "whoever opens the line is given what was said before, as by a terminal server",
    "jump": "a minute of the device's life comes at once, as after a pause of the host",
    "unplug": "the cable is out for up to ten time-outs",
    "flap": "the cable is out and in three times, a time-out each",
    "path": "the adapter is pulled and comes back as another port",
    "one": "a second TCP connection closes the first",
    "exception": "Modbus: an exception instead of the response",
    "words": "Modbus: registers come with the words of each pair changed round",
    "shift": "Modbus: registers are those of the next address",
    "wrong": "Modbus: registers are those of another address that was read before",
    "unit": "Modbus: another unit's number is in the response",
}
ALIASES: Mapping[str, str] = {  # as the kinds are called where faults are spoken of
    "silent": "mute", "late": "delay", "doubled": "dup", "swapped": "swap", "flipped": "flip", "truncated": "truncate",
    "stray-byte": "stray", "frozen": "freeze", "stall-then-burst": "stall", "stale-at-connect": "stale",
    "word-order": "words", "off-by-one": "shift", "wrong-register": "wrong", "wrong-unit": "unit",
    "second-reader": "steal", "old-result": "replay",
    "one-connection": "one", "clock-jump": "jump", "path-change": "path", "lost": "drop",
}
OF_THE_CABLE = ("jump", "unplug", "flap", "path")  # what the wire itself must do
EXCEPTIONS = (2, 4, 6, 10, 11)
JUMP_S = 60.0
_SPLIT_S = 0.2
_GARBAGE = 16
_FLOOD_PIECE, _FLOOD_EVERY_S = 64, 0.05  # bytes, and how often they come
_KEPT = 2048  # bytes of an old session
_OLD_S, _OLD = 60.0, 240  # how old what is replayed may be, and how many transmissions are kept
_READS = frozenset({1, 2, 3, 4})

Note = Callable[[str, bytes], None]
Pieces = list[tuple[float, bytes]]  # when each comes out, and what


def parse(texts: Iterable[str]) -> dict[str, float]:
    """The rates that `KIND=RATE` texts name. Raises ValueError with one clear line."""
    rates: dict[str, float] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        kind = ALIASES.get(name, name)
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
        self._rates = {ALIASES.get(kind, kind): rate for kind, rate in rates.items()}
        self._rng = random.Random(f"faults {seed}")
        self._timeout_s = timeout_s
        self._note = note
        self._mute_until_s = self._frozen_until_s = self._stalled_until_s = float("-inf")
        self._request = b""  # the host's bytes since the device spoke last
        self._said: dict[bytes, bytes] = {}  # request -> what it was answered with last
        self._waiting: bytes | None = None  # what was swapped with its successor
        self._kept = bytearray()
        self._old: deque[tuple[float, bytes, bytes]] = deque(maxlen=_OLD)  # when, to which request, what
        self._read: deque[bytes] = deque(maxlen=16)  # Modbus requests of late

    def _hit(self, kind: str, data: bytes) -> bool:
        rate = self._rates.get(kind, 0.0)
        hit = rate > 0.0 and self._rng.random() < rate
        if hit and self._note is not None:
            self._note(kind, data)
        return hit

    # --- what only the wire can do ------------------------------------------------------------------------------------

    def resets(self, data: bytes) -> bool:
        """Whether the device restarts instead of sending `data`."""
        return self._hit("reset", data)

    def of_the_cable(self, data: bytes) -> str | None:
        """One of OF_THE_CABLE that happens now, instead of `data`."""
        return next((kind for kind in OF_THE_CABLE if self._hit(kind, data)), None)

    def cable(self, kind: str, now_s: float) -> list[tuple[float, bool]]:
        """When the cable is out (False) and in (True) again."""
        wait_s = self._timeout_s
        if kind == "flap":
            return [(now_s + step * wait_s, bool(step % 2)) for step in range(6)]
        out_s = self._rng.uniform(0.0, 10.0 * wait_s) if kind == "unplug" else 0.0
        return [(now_s, False), (now_s + out_s, True)]

    def evicts(self) -> bool:
        """Whether a new TCP connection closes those there are."""
        return self._hit("one", b"")

    def opened(self) -> bytes:
        """Somebody opened the line: what comes first of an old session. Nothing of this one is under way."""
        self._request, self._waiting = b"", None
        kept, self._kept = bytes(self._kept), bytearray()
        return kept if kept and self._hit("stale", kept) else b""

    # --- bytes --------------------------------------------------------------------------------------------------------

    def heard(self, data: bytes) -> None:
        """The host sent `data`."""
        self._request += data

    def through(self, data: bytes, now_s: float) -> Pieces:
        """What becomes of `data` sent at `now_s`: pieces, and when each comes out."""
        rng = self._rng
        request, self._request = self._request, b""
        if self._hit("mute", data):
            self._mute_until_s = max(self._mute_until_s, now_s + rng.uniform(0.0, 5.0 * self._timeout_s))
        if now_s < self._mute_until_s or self._hit("drop", data):
            return []
        sent = self._again(data, request, now_s)
        self._kept = (self._kept + sent)[-_KEPT:]
        if self._hit("flip", data):
            place = rng.randrange(8 * len(sent))
            hurt = bytearray(sent)
            hurt[place // 8] ^= 1 << place % 8
            sent = bytes(hurt)
        if self._hit("steal", data):
            begins, ends = sorted(rng.randrange(len(sent) + 1) for _ in range(2))
            sent = sent[:begins] + sent[ends:]
        if sent and self._hit("truncate", data):
            sent = sent[: rng.randrange(len(sent))]
        if self._hit("garbage", data):
            sent = rng.randbytes(rng.randint(1, _GARBAGE)) + sent
        if self._hit("stray", data):
            sent = rng.randbytes(1) + sent
        if request and self._hit("echo", data):
            sent = request + sent
        if self._hit("dup", data):
            sent += sent
        sent = self._replayed(data, request, now_s) + sent
        swapped = self._swapped(sent, data)
        return self._in_time(swapped, data, now_s) if swapped else []

    def _again(self, data: bytes, request: bytes, now_s: float) -> bytes:
        """`data`, or what was said before where the device is frozen."""
        if self._hit("freeze", data):
            self._frozen_until_s = max(self._frozen_until_s, now_s + self._rng.uniform(0.0, 10.0 * self._timeout_s))
        if now_s >= self._frozen_until_s:
            if len(self._said) >= 64 and request not in self._said:
                self._said.clear()
            self._said[request] = data
        return self._said.setdefault(request, data)

    def _replayed(self, data: bytes, request: bytes, now_s: float) -> bytes:
        if not self._rates.get("replay"):
            return b""
        old = (said for at_s, asked, said in self._old if asked == request and now_s - at_s <= _OLD_S)
        first = next(old, None)
        again = b"" if first is None or not self._hit("replay", data) else self._rng.choice([first, *old])
        self._old.append((now_s, request, data))
        return again

    def _swapped(self, sent: bytes, data: bytes) -> bytes:
        before, self._waiting = self._waiting, None
        if before is None and self._hit("swap", data):
            self._waiting = sent
            return b""
        return sent + (before or b"")

    def _in_time(self, sent: bytes, data: bytes, now_s: float) -> Pieces:
        rng = self._rng
        due_s = now_s + (rng.uniform(0.0, 3.0 * self._timeout_s) if self._hit("delay", data) else 0.0)
        if self._hit("stall", data):
            self._stalled_until_s = max(self._stalled_until_s, now_s + rng.uniform(0.0, 10.0 * self._timeout_s))
        due_s = max(due_s, self._stalled_until_s)
        pieces = [(due_s, sent)]
        if len(sent) > 1 and self._hit("split", data):
            cut = rng.randrange(1, len(sent))
            pieces = [(due_s, sent[:cut]), (due_s + rng.uniform(0.0, _SPLIT_S), sent[cut:])]
        if self._hit("flood", data):
            lasts_s = rng.uniform(0.0, 5.0 * self._timeout_s)
            pieces += [(due_s + count * _FLOOD_EVERY_S, rng.randbytes(_FLOOD_PIECE))
                       for count in range(1, int(lasts_s / _FLOOD_EVERY_S) + 1)]
        return pieces

    # --- Modbus -------------------------------------------------------------------------------------------------------

    def modbus(self, unit: int, request: bytes, respond: Callable[[bytes], bytes]) -> tuple[int, bytes]:
        """The unit and the PDU that respond to the PDU `request`, where `respond` is what the device says to one."""
        function = request[0]
        asked = request
        if function in _READS and len(request) == 5:
            if self._hit("shift", request):
                address = int.from_bytes(request[1:3], "big") + 1 & 0xFFFF
                asked = request[:1] + address.to_bytes(2, "big") + request[3:]
            others = [one for one in self._read if one[0] == function and one[1:3] != request[1:3]]
            if others and self._hit("wrong", request):
                asked = self._rng.choice(others)[:3] + request[3:]
            if request not in self._read:
                self._read.append(request)
        answer = respond(asked)
        if asked != request and answer[:1] != request[:1]:
            answer = respond(request)  # the device has nothing there: no such fault
        if self._hit("exception", request):
            answer = bytes((function | 0x80, self._rng.choice(EXCEPTIONS)))
        if function in (3, 4) and answer[:1] == request[:1] and self._hit("words", request):
            answer = answer[:2] + _turned(answer[2:])
        return (unit + 1 if self._hit("unit", request) else unit), answer


class Cable:
    """When a fault pulls a cable, and when it puts it back."""

    def __init__(self, clock: Callable[[], float], faults: Faults | None) -> None:
        self._clock, self._faults = clock, faults
        self._due: list[tuple[float, bool]] = []

    def pulled(self, kind: str) -> None:
        """A fault of the cable happens now; one at a time."""
        if self._faults is not None and not self._due:
            self._due = self._faults.cable(kind, self._clock())

    def moves(self) -> Iterator[bool]:
        """What is due: out (False), in (True)."""
        while self._due and self._due[0][0] <= self._clock():
            yield self._due.pop(0)[1]


def _turned(registers: bytes) -> bytes:
    """The registers of each pair in the other order."""
    pairs: Sequence[bytes] = [registers[at : at + 4] for at in range(0, len(registers), 4)]
    return b"".join(pair[2:] + pair[:2] for pair in pairs)
