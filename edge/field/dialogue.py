"""The dialogue with one device; time is an argument: what to send now, and what came of it. No port, no clock, no loop.

    gate closed ---(quiet is over)---> free ---(something is due)---> pending ---(its response)---> free
         ^                                                               |
         +------------------(no response in time: keep quiet)------------+

One request is in flight. After a time-out nothing is sent for the line's `lateness_s`, so that a late response comes
while nobody waits and is thrown away; it can never be read as the next one. (Without that quiet a client showed one
parameter's value as another's in 17 of 300 reads of a device that was late now and then; with one shorter than the
device's worst lateness, in 143 of 300.) A late response that is recognised ends the quiet, since nothing else is on its
way; and a request whose response names it need not wait for that of another such request. What such a late response
says counts, as of the moment of its request: older than that it cannot be. The same quiet stands before
the first request after every opening, for the response to somebody else's request. What a device sends by itself is
decoded at any time.

Our own requests may come back (an adapter that echoes, a loop-back plug): they are no frames of the device. Bytes have
an age (pace.py): what comes faster than the device sends has waited on the way, and is late. A flood is thrown away.

Byte streams and Modbus are the same dialogue: a stream's bytes go to `received`; a Modbus bus sends the request as a
PDU and gives the response to `responded`, an exception to `refused`, nothing at all to `no_response`. The quiet of a
shared bus is the bus's own (edge/field/modbus.py).

`at_s` is edge time: samples are stamped with it, and drivers' schedules see it. `real_s` is monotonic real seconds, for
time-outs and silence. Everything here happens on the stack that read the bytes: no queue stands before judgement.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from drivers.contract import (
    BadFrame,
    Decoded,
    Heard,
    Late,
    Line,
    Request,
    SelfCheckFailed,
    Spec,
    Timed,
    Wave,
)
from edge.field.contradictions import TWO_ANSWER, Contradictions
from edge.field.echoes import Echoes
from edge.field.history import History
from edge.field.link_state import Counters, Link
from edge.field.pace import Flood, Pace
from edge.field.pending import Overdue, Pending, gap_s, is_distinct
from edge.field.stamping import inputs
from edge.model import Input, LinkState

DecodedBy = Callable[[Sequence[Input], float, bool], None]  # (inputs, at_s, more requests due in this same round)
WaveBy = Callable[[Wave, float], None]

TICK_S = 0.02  # how often a free line is checked for something due, where its driver does not say when that is
LONGEST_REST_S = 1.0  # without such a look, for what else time brings
LATE_S = 0.002  # so much after it is due, lest a loop's clock of milliseconds wakes it just before
HANDSHAKE_EVERY_S = 3.0  # how often a device that is silent, wrong or unproven is identified again
DOUBT_AFTER_MISSED = 2  # so many time-outs in a row, and the cable may be in another device
UNSURE_S = 1.0  # real time for which this process may be held up, and what came waits here
SETTLE_S = 0.1  # of quiet after a late response, in case it comes twice
READ_ONLY = frozenset({"identify", "read"})


class Dialogue:
    """One device at one bed. `decoded` and `wave` are called with what comes; `speed` edge seconds pass in a real one.

    Raises ValueError where the settings are not the driver's. `quiet` False: the transport keeps the quiet.
    """

    def __init__(self, bed: str, device: str, spec: Spec, line: Line, *, now: Callable[[], float], decoded: DecodedBy,
                 wave: WaveBy, identity: str | None = None, settings: Mapping[str, object] | None = None,
                 speed: float = 1.0, quiet: bool = True, remembered: str | None = None,
                 may_stop: bool = False) -> None:
        self.bed, self.device, self.line = bed, device, line
        self.link = Link(bed, device, line.silent_after_s, now=now, identity=identity, remembered=remembered)
        self.history = History(self.link.counters)
        self._driver = spec.driver(settings)
        self.unmapped: Mapping[str, int] = getattr(self._driver, "unmapped", {})  # drivers.contract.Unmapping
        self._timed = self._driver if isinstance(self._driver, Timed) else None
        self._heard_at = self._driver.heard_at if isinstance(self._driver, Heard) else _nowhere
        self._speed, self._passed_at_s = speed, 0.0
        self.cuff = spec.cuff_of(self._driver)
        self.stopper = spec.stop_of(self._driver) if may_stop else None
        effects = READ_ONLY | ({"stop_pump"} if may_stop else set())
        self._allowed = frozenset(one for one in spec.requests if spec.kind != "pump" or one.effect in effects)
        self._addressed = spec.addressed
        self._echoes, self._others = Echoes(spec, settings), Contradictions()
        self._decoded, self._wave = decoded, wave
        self._quiet_s = line.lateness_s if quiet else 0.0
        self._queue: deque[Pending] = deque()
        self._pending: Pending | None = None
        self._overdue: dict[Request, Overdue] = {}  # timed out, and the response may still come
        self._unseen_until = 0.0  # until then a response that never came could still be on its way
        self._deadline = math.inf
        self._sent_s = self._sent_at_s = 0.0  # when: real and edge seconds
        self._not_before = 0.0
        self._missed, self._owes_end = 0, False
        self._in_doubt = False  # a late response may still show that the same device is there; nothing is sent
        self._handshake_at = math.inf
        self._handshake_complete = True
        self._handshake_missed = False  # a request of the handshake timed out while the device was not there
        carried_s = line.baud / (1 + line.bits + (line.parity != "N") + line.stop)
        self._pace = Pace(line.stream_bytes_s or carried_s, line.silent_after_s, speed)
        self._flood = Flood(max(carried_s, line.stream_bytes_s or 0.0) * speed)

    # --- what others see ----------------------------------------------------------------------------------------------

    @property
    def counters(self) -> Counters:
        """What this dialogue has seen so far."""
        return self.link.counters

    @property
    def state(self) -> LinkState:
        """Where the link stands."""
        return self.link.state

    @property
    def waiting(self) -> bool:
        """Whether a response is awaited and may still come in time."""
        return self._pending is not None

    def wake(self, real_s: float) -> float:
        """The real time at which `next_request` must be called again even if nothing comes."""
        due = self._deadline if self._pending else max(self._not_before, real_s + self._rest_s())
        silent_at = self.link.silent_at
        return min(due, silent_at) if silent_at > real_s else due

    def _rest_s(self) -> float:
        """For how long at least nothing will be due, unless something comes: real seconds from the last look."""
        if (self._timed is None or self._queue or self._overdue or self._in_doubt or self._handshake_missed
                or self.link.state != "live"):
            return TICK_S
        rest_s = (self._timed.due_s - self._passed_at_s) / self._speed + LATE_S
        return min(max(rest_s, TICK_S), LONGEST_REST_S)

    # --- the connection -----------------------------------------------------------------------------------------------

    def retire(self) -> None:
        """Taken out of service: whatever still comes goes nowhere."""
        self._decoded = self._wave = _nowhere

    def begin(self, at_s: float) -> None:
        """The service has started: report that the device has not responded yet."""
        self.link.begin()
        self._deliver([], at_s, more=False)

    def opened(self, at_s: float, real_s: float, *, quiet: bool = True) -> None:
        """The connection was opened: whatever was begun is forgotten, and the handshake follows the quiet. `quiet`
        False: the line was listened to just now, and nothing came."""
        if self._pending is not None:
            self._overdue[self._pending.request] = Overdue(real_s + self._quiet_s, self._sent_at_s, seen=True)
        self._pending = None
        self._not_before = real_s + (self._quiet_s if quiet else 0.0)
        self._pace.opened(at_s, real_s)
        self._others.forget()
        self._driver.framing.flush()
        self.link.opened(real_s)
        self._handshake(real_s)

    def lost(self, reason: str, at_s: float, real_s: float) -> None:
        """The connection is gone or does not open; `reason` in words."""
        self.link.lost(reason, real_s)
        self._deliver([], at_s, more=False)

    # --- requests -----------------------------------------------------------------------------------------------------

    def passed(self, at_s: float, real_s: float) -> None:
        """Time passed: notice what did not come."""
        self._passed_at_s = at_s
        if self._pending and real_s >= self._deadline:
            self.no_response(at_s, real_s)
        self.link.passed(real_s)
        self.history.passed(at_s)
        if self.link.changes:
            self._deliver([], at_s, more=False)

    def next_request(self, at_s: float, real_s: float) -> Request | None:
        """Time passed (see `passed`): the request to send now, or None."""
        self.passed(at_s, real_s)
        if self._pending or real_s < self._not_before:
            return None
        if self._in_doubt:
            if any(real_s < overdue.until for overdue in self._overdue.values()):
                return None
            self._handshake(real_s)
        if real_s >= self._handshake_at and (self.link.doubtful or self._came_after_handshake):
            self._handshake(real_s)
        if not self._due(at_s) or not self._free(self._queue[0].request, real_s):
            return None
        return self._send(self._queue.popleft(), at_s, real_s)

    @property
    def _came_after_handshake(self) -> bool:
        """Whether the device was switched on during its handshake, and has not identified itself."""
        return self._handshake_missed and self.link.up and not self.link.named

    def _handshake(self, real_s: float) -> None:
        self.link.doubt()
        self._echoes.forget()
        self._handshake_missed = self._in_doubt = False
        self._queue = deque(Pending(request, request.retries, handshake=True) for request in self._driver.on_open())
        self._handshake_complete = True
        self._handshake_at = real_s + HANDSHAKE_EVERY_S if not self._queue else math.inf
        if not self._queue:
            self.link.handshake_ended(complete=True)

    def _due(self, at_s: float) -> bool:
        """Whether a request waits; the driver gives one where none does. It is kept until its turn."""
        if not self._queue and (request := self._driver.next_request(at_s)) is not None:
            self._queue.append(Pending(request, request.retries))
        return bool(self._queue)

    def _free(self, request: Request, real_s: float) -> bool:
        """Whether no response that could be taken for this request's own is on its way."""
        over = [old for old, overdue in self._overdue.items() if real_s >= overdue.until]
        for old in over:
            if not self._overdue.pop(old).seen:
                self._unseen_until = real_s + 3 * self._quiet_s
        if over and not self._overdue:
            self._driver.framing.flush()  # what was begun and never ended
        responsive = self.link.up and self._missed < DOUBT_AFTER_MISSED  # else it is polled slowly
        return all(responsive and is_distinct(request) and is_distinct(old) and request != old for old in self._overdue)

    def _send(self, pending: Pending, at_s: float, real_s: float) -> Request:
        request = pending.request
        assert self._may_send(request), f"{self.device}: {request.name!r} is not a request this driver may send"
        self.history.sent(request, at_s)
        self._sent_s, self._sent_at_s = real_s, at_s
        self._echoes.sent(request, real_s)
        if request.timeout_s is None:
            self._not_before = real_s + gap_s(request)
            self._handshake_ends(pending, real_s)
        else:
            self._pending = pending
            self._deadline = real_s + request.timeout_s
        return request

    def _may_send(self, request: Request) -> bool:
        """Whether it is one of those declared; where they name the device, it names the one that is there."""
        if request in self._allowed:
            return True
        mine = self._addressed(self.link.serial) if self._addressed and self.link.serial else ()
        return request in mine and request.effect in READ_ONLY

    # --- what comes ---------------------------------------------------------------------------------------------------

    def received(self, data: bytes, at_s: float, real_s: float) -> None:
        """These bytes came on a stream."""
        framing, link = self._driver.framing, self.link
        link.received(len(data), real_s)
        self._heard_at(at_s, UNSURE_S * self._speed)
        if self._flood.has(len(data), real_s):
            framing.flush()
            data = b""
        if self._echoes.begins(data):
            link.echoed(0)
        awaits = self._pending is not None and not self.line.stream_bytes_s
        of_now = self._pace.of_now(len(data), at_s, real_s, awaited=awaits)
        for frame in framing.feed(data):
            if self._echoes.is_echo(frame, real_s):
                link.echoed(len(frame))
                self.history.came(frame, at_s, None, None, "our own bytes came back")
            elif of_now or self._is_awaited(frame):
                self._frame(frame, at_s, real_s)
            else:
                link.late(len(frame))
        link.counters.dropped = framing.dropped + self._flood.thrown

    def responded(self, data: bytes, at_s: float, real_s: float) -> None:
        """The response to the request in flight, from a transport that cuts its own frames."""
        assert self._pending is not None, "a response to nothing"
        self.link.received(len(data), real_s)
        self._frame(data, at_s, real_s)
        if self._pending is not None:  # not one this driver can use
            self._gave_nothing(at_s, real_s)

    def refused(self, what: str, at_s: float, real_s: float) -> None:
        """The device refuses the request in flight; `what` in words."""
        self.link.refused(what)
        self._gave_nothing(at_s, real_s)

    def no_response(self, at_s: float, real_s: float) -> None:
        """The request in flight got no response in time."""
        pending, self._pending = self._pending, None
        assert pending is not None, "no response to nothing"
        self._overdue[pending.request] = Overdue(real_s + self._quiet_s, self._sent_at_s)
        self._not_before = real_s + gap_s(pending.request)
        if pending.tries > 0:
            pending.tries -= 1
            self._queue.appendleft(pending)
            return
        self.counters.timeouts += 1
        self._missed += 1
        self._failed(pending, at_s, real_s, more=False)

    def came_late(self) -> None:
        """A response came after its time, and the transport has thrown it away."""
        self.counters.late += 1

    def _frame(self, frame: bytes, at_s: float, real_s: float) -> None:
        if self._is_late(frame, at_s, real_s):
            return
        pending = self._pending if self._is_awaited(frame) else None
        request = pending.request if pending else None
        if pending and self._missed and self.link.doubtful and not pending.handshake:
            self._handshake_at = real_s  # it is there again: who it is need not wait
        try:
            items = self._driver.decode(frame, request)
        except BadFrame as bad:
            if isinstance(bad, Late):
                self.link.late(len(frame))
            else:
                self.link.refused(str(bad) if isinstance(bad, SelfCheckFailed) else "")
            self.history.came(frame, at_s, request, None, str(bad))
            return
        self.link.understood(len(frame))
        self._pace.frame(len(frame))
        self.history.came(frame, at_s, request, items)
        more = False
        if pending:
            self._echoes.answered(pending.request)
            self._pending = None
            self._missed = 0
            self._not_before = max(self._not_before, real_s + gap_s(pending.request))
            self.history.response(real_s - self._sent_s)
            more = self._due(at_s)
        if counts := self._is_of_one(frame, pending, real_s):
            self.link.good(items, real_s)
        counts = counts and self.link.up and not self._in_doubt
        self._deliver(self._inputs(items, at_s) if counts else [], at_s, more=more)
        if pending:
            self._handshake_ends(pending, real_s)

    def _is_of_one(self, frame: bytes, pending: Pending | None, real_s: float) -> bool:
        """Whether this device alone answers; one that sends by itself may send what looks like an answer."""
        if self.line.stream_bytes_s:
            return True
        if pending is None:
            self._others.besides(frame, real_s, self._driver.is_response)
        else:
            self._others.answered(pending.request, frame, real_s)
        if self._others.many:
            self.link.refused(TWO_ANSWER)
        return not self._others.many

    def _is_awaited(self, frame: bytes) -> bool:
        """Whether this is the response to the request in flight: not one that was sent before that request."""
        return self._pending is not None and self._driver.is_response(frame, self._pending.request)

    def _is_late(self, frame: bytes, at_s: float, real_s: float) -> bool:
        """Whether this is the response to an overdue request: then no other is on its way, unless one never came."""
        for request, overdue in self._overdue.items():
            if self._driver.is_response(frame, request):
                self.link.late(len(frame))
                certain, overdue.seen = real_s >= self._unseen_until and not overdue.seen, True
                if real_s >= self._unseen_until:
                    overdue.until = min(overdue.until, real_s + SETTLE_S)
                if certain and is_distinct(request) and self.link.up:
                    self._missed, self._in_doubt = 0, False  # the device that was asked is there
                    self._late_all_the_same(frame, request, overdue.sent_at_s, at_s)
                else:
                    self.history.came(frame, at_s, request, None, "came too late")
                return True
        return False

    def _late_all_the_same(self, frame: bytes, request: Request, sent_at_s: float, at_s: float) -> None:
        """A late response that can be no other's: what it says was so when, or after, it was requested."""
        try:
            items = self._driver.decode(frame, request)
        except BadFrame as bad:
            self.history.came(frame, at_s, request, None, str(bad))
            return
        self.history.came(frame, at_s, request, items)
        self._deliver(self._inputs(items, sent_at_s), at_s, more=False)

    # --- what follows -------------------------------------------------------------------------------------------------

    def _gave_nothing(self, at_s: float, real_s: float) -> None:
        """The request in flight is over without a usable response, and the device is there."""
        pending, self._pending = self._pending, None
        assert pending is not None
        self._missed = 0
        self._failed(pending, at_s, real_s, more=True)

    def _failed(self, pending: Pending, at_s: float, real_s: float, *, more: bool) -> None:
        items = self._driver.on_timeout(pending.request)
        self._deliver(self._inputs(items, at_s) if self.link.trusted else [], at_s, more=more and self._due(at_s))
        self._handshake_complete = self._handshake_complete and not pending.handshake
        self._handshake_missed = self._handshake_missed or (pending.handshake and not self.link.up)
        if pending.handshake:
            self._handshake_ends(pending, real_s)
        elif self._missed >= DOUBT_AFTER_MISSED:
            self._in_doubt = any(is_distinct(old) and not overdue.seen for old, overdue in self._overdue.items())
            if not self._in_doubt:
                self._handshake(real_s)

    def _handshake_ends(self, last: Pending, real_s: float) -> None:
        """If `last` was the last request of the handshake, report it; repeat it later where it left doubt."""
        if last.handshake and not any(pending.handshake for pending in self._queue):
            self._handshake_at = real_s + HANDSHAKE_EVERY_S
            self.link.handshake_ended(complete=self._handshake_complete)

    def _inputs(self, items: Sequence[Decoded], at_s: float) -> list[Input]:
        return inputs(self.bed, self.device, items, at_s, self.counters, self._wave)

    def _deliver(self, given: list[Input], at_s: float, *, more: bool) -> None:
        """Give the bed what there is; an empty call ends a round that was announced as going on."""
        told: list[Input] = [*self.link.changes, *given]
        self.link.changes.clear()
        if told or (self._owes_end and not more):
            self._owes_end = more
            self._decoded(told, at_s, more)


def _nowhere(*_: object) -> None:
    """Nobody listens any more."""
