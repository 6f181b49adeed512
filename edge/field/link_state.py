"""The state of the link to one device, and why: which device it is, whether it is understood, whether it stays.

    connecting   nothing came yet
    live         the device is who it should be, and most of the bytes that come are understood
    silent       no good frame for `silent_after_s`; the reason says what came instead
    lost         the port is gone or does not open
    wrong_device another device is there, or it does not identify itself; or, with `ask`, it may be another bed's
                 (together.py), and a person must say that it is not
    unstable     the link was lost three times within 120 s: it is not to be relied on, whatever it is at this moment

Identity. A device is bound to its bed by its own serial number: the one in edge.toml, else the first one it ever gave
at this bed, which the journal remembers across restarts. After every opening, silence or pair of time-outs it has to
give it again, and nothing it sends counts before it has. A device whose protocol has no serial number is bound by its
port, and the reason says so.

`real_s` is monotonic real seconds; `since` alone is edge time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drivers.contract import Decoded, Identity
from edge.field.together import ASKED, Mate
from edge.model import LinkChanged, LinkState

log = logging.getLogger(__name__)

NAMELESS = "no serial number; bound by its port"
UNNAMED = "did not say its serial number; bound by its port"
NONE_UNDERSTOOD = "bytes come, none understood: baud, bits, parity or driver?"
FEW_UNDERSTOOD = "bytes come, most of them not understood: baud, bits, parity or driver?"
OUR_OWN = "only our own bytes come back: a loop-back, joined wires, or an adapter that echoes and no device behind it"
TOO_LATE = "what comes is too old to be of now: it waited somewhere on the way"
PATIENCE_S = 3.0  # the least time a sending device has to identify itself
LOSSES, LOSSES_WITHIN_S = 3, 120.0  # so many losses in so long: unstable
STAYS_UNSTABLE_S = 30.0  # of nothing at all, and an unstable link is plainly silent or lost
STILL_COMING = 0.2  # of a silence: bytes that came later than that after the last good frame are worth a word
ASLEEP_S, GRACE_S = 30.0, 1.0  # longer than that is a sleep of the machine; so long to hear what waited
FADE_S = 1.0  # every so long the share of understood bytes forgets half of what it knows
BROKEN: frozenset[LinkState] = frozenset({"silent", "lost", "wrong_device", "unstable"})


@dataclass(slots=True)
class Counters:
    """What one dialogue has seen since the service started; `since` is the edge time its link's state last changed."""

    since: float
    frames: int = 0  # good ones
    bad: int = 0  # frames that failed their check, exceptions, implausible values
    late: int = 0  # frames that came too late to be of now
    timeouts: int = 0  # requests that got no response, retries and all
    received: int = 0  # bytes
    understood: int = 0  # those of them that stood in good frames
    dropped: int = 0  # those of them that the framing could make no frame of


class Link:
    """One device's link. `changes` are to be reported, oldest first; whoever reports them clears the list."""

    def __init__(self, bed: str, device: str, silent_after_s: float, *, now: Callable[[], float],
                 identity: str | None = None, remembered: str | None = None) -> None:
        self.counters = Counters(since=now())
        self._mate: Mate | None = None  # itself among those that cannot be told from it
        self._ask = ""  # why a person must say whose it is
        self.serial: str | None = None  # what the device on the line gave last
        self.changes: list[LinkChanged] = []
        self.trusted = identity is None and remembered is None  # whether what it sends may count
        self._now, self._name, self._device = now, f"{bed}/{device}", device
        self._silent_after_s = silent_after_s
        self._expected = identity or remembered  # from edge.toml, else the first it gave
        self._configured = identity is not None
        self._unproven_since: float | None = None
        self.named = False  # whether it has identified itself since the last handshake
        self._remark = ""
        self._last = LinkChanged(device, "connecting")
        self._last_good = 0.0
        self._received, self._understood, self._fade_at = 0.0, 0.0, 0.0  # lately
        self._came_s = 0.0  # when the last bytes came
        self._up = False  # the trusted device sends
        self._open = False  # the port is
        self._losses: list[float] = []
        self._down_since, self._why_down = 0.0, ""
        self._seen = (0, 0, 0)  # bytes received and understood, and late frames, when the last good frame came
        self._refusal = ""  # what the device last refused, in words

    @property
    def state(self) -> LinkState:
        """Where the link stands."""
        return self._last.state

    @property
    def expected(self) -> str | None:
        """The serial number this bed is bound to: from edge.toml, else the first one that came; None: none yet."""
        return self._expected

    @property
    def is_named(self) -> bool:
        """Whether edge.toml names that serial number."""
        return self._configured

    @property
    def up(self) -> bool:
        """Whether what comes now may count: the right device, and most of it understood."""
        return self._up and self.trusted

    @property
    def silent_at(self) -> float:
        """The real time at which the device counts as silent if no good frame comes."""
        return self._last_good + self._silent_after_s

    @property
    def doubtful(self) -> bool:
        """Whether the handshake should be repeated."""
        return not self.trusted or (not self._up and self.state in BROKEN)

    # --- what happens -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The service has started: the device has not sent anything yet."""
        self.changes.append(self._last)

    def among(self, mate: Mate) -> None:
        """Nothing tells this device from those of `mate`'s kind."""
        self._mate = mate
        if mate.asked and self._expected is None:
            self._ask, self.trusted = ASKED, False

    def overslept(self, late_s: float, real_s: float) -> None:
        """Nobody looked at the line for so much longer than was meant: what waits there is heard before it counts as
        silent. Not after a sleep, in which anything may have happened."""
        if self._up and late_s < ASLEEP_S:
            self._last_good = max(self._last_good, real_s - self._silent_after_s + GRACE_S)

    def opened(self, real_s: float) -> None:
        """The connection is open; from here silence is measured."""
        self._last_good, self._open = real_s, True
        self._received = self._understood = 0.0
        self._seen = self._counted

    def doubt(self) -> None:
        """Somebody else may be on the line now: until the device has identified itself, nothing counts."""
        if self.trusted:
            self._unproven_since = None
        self.trusted = self._expected is None and not self._ask
        self.named = False

    def bind(self, serial: str | None) -> None:
        """From now on this one is the bed's (None: the first that gives its serial number), and until it has identified
        itself nothing counts. What edge.toml names stays."""
        if not self._configured:
            self._expected = serial
            self._up = False
            self.doubt()

    def handshake_ended(self, *, complete: bool) -> None:
        """All requests of the handshake were sent; `complete`: all of them got a response."""
        if self.named or self._expected is not None:
            return
        self._remark = NAMELESS if complete else UNNAMED
        if self.state == "live":
            self._change("live", self._remark)

    def received(self, count: int, real_s: float) -> None:
        """So many bytes came."""
        self.counters.received += count
        self._came_s = real_s
        if real_s >= self._fade_at:
            keep = 0.5 ** ((real_s - self._fade_at) // FADE_S + 1)
            self._received, self._understood = self._received * keep, self._understood * keep
            self._fade_at = real_s + FADE_S
        self._received += count

    def understood(self, count: int) -> None:
        """So many of the bytes that came stood in a good frame."""
        self.counters.understood += count
        self._understood += count

    def late(self, count: int) -> None:
        """A good frame of so many bytes came, and is not of now."""
        self.counters.late += 1
        self.understood(count)

    def good(self, items: Sequence[Decoded], real_s: float) -> None:
        """A good frame came, and this is what it says. Among bytes that are mostly rubbish it is no sign of life."""
        self.counters.frames += 1
        for item in items:
            if isinstance(item, Identity):
                self._meet(item)
        if self._understood * 2 < self._received:
            return
        self._last_good = real_s
        self._seen = self._counted
        self._refusal = ""
        if not self._up and not self._ask and self._mate is not None and self._expected is None:
            self._ask = self._mate.back(real_s)
        if self._ask:
            self.trusted = False
            self._change("wrong_device", self._ask)
        elif self.trusted:
            self._up = True
            self._rise(real_s)
        else:
            self._unproven(real_s)

    def confirm(self) -> None:
        """A person has said that this is the bed's own device."""
        if self._ask:
            self._ask, self.trusted = "", self._expected is None

    def refused(self, what: str) -> None:
        """The device refuses a request, or a frame fails its check: counted, never a value. `what` in words, or ""."""
        self.counters.bad += 1
        if what and what != self._refusal:
            log.info("%s: %s", self._name, what)
        self._refusal = what or self._refusal

    def echoed(self, count: int) -> None:
        """Our own bytes came back, so many of them as a frame: no sign of life, and no fault of the device's."""
        self._received = max(self._received - count, 0.0)
        self._refusal = self._refusal or OUR_OWN

    def lost(self, reason: str, real_s: float) -> None:
        """The port is gone or cannot be opened; `reason` in words."""
        self._open = False
        self._fall("lost", reason, real_s)

    def passed(self, real_s: float) -> None:
        """Time passed: notice silence, and that a link has been steady for long enough."""
        if real_s < self.silent_at:
            if self._up and self.state == "unstable":
                self._rise(real_s)
        elif self._up or self.state not in ("silent", "lost") or (self.state == "lost" and self._open):
            self._fall("silent", self._silence(), real_s)
        elif self.state == "silent" and self._why_down == self._nothing_received:
            self._fall("silent", self._silence(), real_s)  # perhaps something comes by now, and says more

    # --- up and down --------------------------------------------------------------------------------------------------

    def _rise(self, real_s: float) -> None:
        if self._lately(real_s):
            why = f"lost {LOSSES} times within {LOSSES_WITHIN_S:g} s; the last: {self._why_down}"
            self._change("unstable", self._last.reason if self.state == "unstable" else why)
        else:
            self._change("live", self._remark)

    def _fall(self, state: LinkState, why: str, real_s: float) -> None:
        if self._mate is not None and (self._up or self._ask):
            self._mate.left(self._last_good)
        if self._up:
            self._up = False
            self._losses = [*self._losses[1 - LOSSES:], real_s]
            self._down_since = real_s
        self._why_down = why
        self.doubt()
        self._unproven_since = None
        if self._lately(real_s) and real_s - self._down_since < STAYS_UNSTABLE_S:
            self._rise(real_s)
        else:
            self._change(state, why)

    def _lately(self, real_s: float) -> bool:
        return len(self._losses) >= LOSSES and real_s - self._losses[-LOSSES] < LOSSES_WITHIN_S

    @property
    def _counted(self) -> tuple[int, int, int]:
        return self.counters.received, self.counters.understood, self.counters.late

    @property
    def _nothing_received(self) -> str:
        return f"nothing received for {self._silent_after_s:g} s"

    def _silence(self) -> str:
        """Why nothing good comes, as far as the bytes show."""
        received, understood, late = (now - then for now, then in zip(self._counted, self._seen, strict=True))
        if self._refusal:
            return self._refusal
        if self._came_s - self._last_good < self._silent_after_s * STILL_COMING:
            return self._nothing_received
        if late and understood * 2 >= received:
            return TOO_LATE
        return FEW_UNDERSTOOD if understood else NONE_UNDERSTOOD

    # --- who it is ----------------------------------------------------------------------------------------------------

    def _meet(self, identity: Identity) -> None:
        serial = (identity.serial or "").strip() or None
        self.named, self.serial = True, serial
        self._remark = "" if serial else NAMELESS
        if self._expected is None:
            self._expected = serial
        self.trusted = serial == self._expected
        if not self.trusted:
            self._up = False
            found = serial or "a device without a serial number"
            accept = "" if self._configured or serial is None else (
                f'; if it is the right one, write identity = "{serial}" for it in edge.toml')
            self._change("wrong_device", f"expected {self._expected}, found {found}{accept}")

    def _unproven(self, real_s: float) -> None:
        """A device sends, and has not (yet) identified itself."""
        if self._unproven_since is None:
            self._unproven_since = real_s
        patience_s = max(self._silent_after_s, PATIENCE_S)
        if self.state != "wrong_device" and real_s - self._unproven_since >= patience_s:
            self._up = False
            self._change("wrong_device", f"expected {self._expected}, but it does not say its serial number")

    def _change(self, state: LinkState, reason: str) -> None:
        changed = LinkChanged(self._device, state, reason, self.serial, ask=bool(self._ask) and state == "wrong_device")
        if changed == self._last:
            return
        was, self._last = self.state, changed
        self.changes.append(changed)
        if was == state:
            return
        self.counters.since = self._now()
        if state in BROKEN:
            log.warning("%s: %s: %s", self._name, state, reason)
        elif was in BROKEN:
            log.warning("%s: live again, was %s", self._name, was)
