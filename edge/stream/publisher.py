"""The outbox publisher: puts the edge's facts on MQTT in lanes that never wait for each other, and takes commands in.

    vitals, waves   QoS 0   latest wins; forgotten while there is no broker
    state           QoS 1   retained; latest wins a bed; all again after every connect, and for who arrives
    live events     QoS 1   as they are committed
    late events     QoS 1   what a console has not stored, in order, at most two batches ahead of its acks
    status          QoS 1   retained; birth, heartbeat, death; the last will
    answers         QoS 1   to commands, in the order they were done

Each payload is signed as it leaves (edge.contract.signing). Only a console's
signed ack moves its cursor. A broker that hangs costs TIMEOUT_S, then everything starts again: birth, states,
backlog. The waits here (heartbeat, retry, patience) are the wire's own and run in real time, on the loop's clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import msgspec
from nacl.signing import VerifyKey

from edge import points
from edge.contract import payloads as contract
from edge.contract.events import Event
from edge.contract.mqtt import Connection, Latest, Mqtt, MqttError, Will, connected, keep_connected
from edge.contract.payloads import HEARTBEAT_S, Ack, Answer, CommandIn, ConsoleSeen, Status, encode
from edge.contract.signing import Signer
from edge.model import iso
from edge.stream.backlog import Backlog, Outbox
from edge.stream.batches import BATCH, Message, PayloadSize, event_message
from edge.stream.consoles import Consoles
from edge.stream.faults import Rejections, StreamFault, TooLarge
from edge.stream.inbox import Inbox
from edge.stream.own_status import OwnStatus
from edge.stream.verifier import CommandVerifier, Refusal

LIVE_MAX = 2000  # events waiting for the live lane; beyond it they go late
ANSWERS_MAX = 256
CLEARED = b""  # retained: there is nothing any more
log = logging.getLogger(__name__)


def _ignore(*_: object) -> None:
    """The callback of whoever wants none."""


class Stream:
    """The edge's side of the stream. `run` it; every other method is called on its loop and returns at once."""

    def __init__(
        self, mqtt: Mqtt, *, edge: str, boot: str, status: Callable[[], Status], outbox: Outbox, signer: Signer,
        consoles: Iterable[str], console_keys: Mapping[str, VerifyKey], verifier: CommandVerifier,
        on_command: Callable[[CommandIn], Answer | Awaitable[Answer]], now: Callable[[], float],
        on_refused: Callable[[Refusal], None] = _ignore,
        on_consoles_changed: Callable[[str, ConsoleSeen], None] = _ignore,
        on_broker_changed: Callable[[bool, str], None] = _ignore,
        on_fault: Callable[[StreamFault], None] = _ignore,
        on_acked: Callable[[Ack], None] = _ignore,
    ) -> None:
        """`status` builds the present status (`console_states`, `other_boots`); `now` is the edge clock.

        `console_keys`: the pinned public key of each console; one without is not believed. Callbacks run on the loop:
        `on_refused` for every command the verifier refused; `on_consoles_changed` with a console's name when it comes
        to life or is lost (all begin lost); `on_broker_changed` when the way to the broker breaks (False, why) or heals
        (True, ""); `on_fault` for what a person must know; `on_acked` with every ack that is believed.
        Raises OSError where TLS files cannot be used.
        """
        self._mqtt = mqtt
        self._context = mqtt.context()
        self._edge, self._boot, self._status, self._signer, self._now = edge, boot, status, signer, now
        self._outbox = outbox
        self._on_consoles_changed, self._on_broker_changed = on_consoles_changed, on_broker_changed
        self._on_fault, self._on_acked = on_fault, on_acked
        self._wake_status, self._wake_cursors = asyncio.Event(), asyncio.Event()
        self._rejections = Rejections()
        self._consoles = Consoles(
            consoles, console_keys, boot=boot, now=now, stored=lambda name: self._backlog.followers[name].stored,
            on_rejected=self._rejected, on_changed=self._console_changed, on_arrived=self._say_states_again)
        self._own = OwnStatus(signer.public, boot, now())
        self._inbox = Inbox(
            edge, self._consoles, self._own, verifier, on_command=on_command, on_refused=on_refused, on_fault=on_fault,
            on_rejected=self._rejected, on_ack=self._acknowledged, on_status_wanted=self._wake_status.set,
            answer=self._answer, now=now)
        self._backlog = Backlog(dict.fromkeys(self._consoles.names, 0), 0)
        self._size = PayloadSize()
        self._late: dict[int, Message] = {}  # what went of the backlog and is not acknowledged, by its first event
        self._acked: dict[str, int] = {}
        self._up: bool | None = None
        self._head = self._will_n = 0
        self._quick, self._retained = Latest(), Latest()
        self._states: dict[str, bytes] = {}
        self._live: deque[Event] = deque()
        self._answers: deque[tuple[str, Answer]] = deque(maxlen=ANSWERS_MAX)
        self._wake_live, self._wake_late, self._wake_answers = asyncio.Event(), asyncio.Event(), asyncio.Event()

    # --- what the service says ----------------------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """Whether the broker is reached."""
        return self._up is True

    def console_states(self) -> dict[str, ConsoleSeen]:
        """Every configured console: live or lost, since when, and the seq it says it has stored."""
        return self._consoles.seen()

    def other_boots(self) -> list[str]:
        """Boots other than this one that were alive lately under this edge's name."""
        return self._own.others(asyncio.get_running_loop().time())

    def status_changed(self) -> None:
        """Send the status at once, not with the next heartbeat."""
        self._wake_status.set()

    def vitals(self, bed: str, payload: bytes) -> None:
        """A bed's numerics (contract.Vitals)."""
        if self._up:
            self._quick.put(contract.vitals_topic(self._edge, bed), payload)

    def wave(self, bed: str, name: str, payload: bytes) -> None:
        """A waveform chunk (contract.Wave)."""
        if self._up:
            self._quick.put(contract.wave_topic(self._edge, bed, name), payload)

    def state(self, bed: str, payload: bytes) -> None:
        """A bed's full state (contract.State), kept for the next connect."""
        topic = contract.state_topic(self._edge, bed)
        self._states[topic] = payload
        if self._up:
            self._retained.put(topic, payload)

    def forget(self, bed: str) -> None:
        """The bed is not there any more: what the broker retains of it is cleared, now and at the next connect. A
        console goes by the beds of the status."""
        topic = contract.state_topic(self._edge, bed)
        self._states[topic] = CLEARED
        if self._up:
            self._retained.put(topic, CLEARED)

    def events(self, events: Sequence[Event]) -> None:
        """Events to send, oldest first: already committed, or (the outbox's `stored_seq` tells) kept in memory while
        the store fails."""
        if not events:
            return
        self._head = max(self._head, events[-1].seq)
        if not self._up:
            return  # the journal keeps them; they go late
        self._live.extend(events)
        if len(self._live) > LIVE_MAX:
            dropped = self._live[0].seq, self._live[-1].seq
            self._live.clear()
            self._backlog.late_to = max(self._backlog.late_to, dropped[1])
            self._wake_late.set()
        self._wake_live.set()

    def come_late(self, seq: int) -> None:
        """There are events up to `seq` that were never given to `events`: they go as the backlog does."""
        self._head = max(self._head, seq)
        self._backlog.late_to = max(self._backlog.late_to, seq)
        self._wake_late.set()

    # --- the life of the connection -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled, which is the clean stop: the last thing said is then that this boot is dead."""
        cursors = {console: await self._outbox.cursor(console) for console in self._backlog.followers}
        self._head = max(self._head, self._status().seq)
        self._acked = dict(cursors)
        self._backlog = Backlog(cursors, self._head, self._unacknowledged)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._inbox.do_commands())
                group.create_task(self._move_cursors(cursors))
                await keep_connected(self._connection, self._broke)
        finally:
            self._consoles.stop()

    async def _connection(self) -> None:
        """One connection, from birth to whatever breaks it."""
        topic = contract.status_topic(self._edge)
        self._will_n = self._signer.next_n()
        # A name of its own each time: whoever knows the last one cannot push this one off the broker.
        identifier = f"vigil-edge-{self._edge}-{secrets.token_hex(4)}"
        will = Will(topic, self._signer.sign(topic, self._will_payload(), self._will_n), retain=True)
        async with connected(self._mqtt, self._context, identifier, will) as client:
            try:
                await self._born(client)
                await self._lanes(client)
            except asyncio.CancelledError:
                with contextlib.suppress(MqttError):
                    await self._publish(client, topic, self._will_payload(), retain=True)
                raise
            finally:
                self._quick.clear()
                self._retained.clear()
                self._live.clear()
                if self._up:
                    self._up = None

    async def _born(self, client: Connection) -> None:
        """Ready for commands first, then birth, then what is true at every bed; from here on events go live."""
        status = contract.status_topic(self._edge)
        consoles = [contract.ack_topic(self._edge, "+"), contract.gone_topic(self._edge, "+")]
        await client.subscribe([status, contract.command_topic(self._edge), *consoles])
        await self._publish_status(client)
        now_s = asyncio.get_running_loop().time()
        self._own.connected(now_s)
        self._late.clear()
        self._backlog.connected(self._head, now_s)
        self._healed()
        for topic, payload in list(self._states.items()):
            await self._publish(client, topic, payload, retain=True)

    async def _lanes(self, client: Connection) -> None:
        async with asyncio.TaskGroup() as group:
            for lane in (
                self._inbox.receive, self._send_quick, self._send_live, self._send_states, self._send_late,
                self._send_status, self._send_answers,
            ):
                group.create_task(lane(client))

    def _broke(self, why: str) -> None:
        if self._up is not False:
            log.warning("the broker %s is not reached (%s); trying until it is", self._mqtt, why)
            self._up = False
            self._on_broker_changed(False, why)

    def _healed(self) -> None:
        log.info("the broker %s is reached", self._mqtt)
        self._up = True
        self._on_broker_changed(True, "")

    def _will_payload(self) -> bytes:
        return encode(msgspec.structs.replace(self._status(), state="dead"))

    # --- lanes out ----------------------------------------------------------------------------------------------------

    async def _publish(
        self, client: Connection, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False
    ) -> None:
        """Signed and sent. What the broker has refused again and again is told and passed over, for all else to go."""
        at_s = asyncio.get_running_loop().time()
        if self._size.hopeless(topic, len(payload), at_s):
            self._on_fault(TooLarge(topic, 0, len(payload)))
            return
        try:
            signed = payload and self._signer.sign(topic, payload)  # what clears is empty: a broker asks for that
            await client.publish(topic, signed, qos=qos, retain=retain)
        except (MqttError, asyncio.CancelledError):  # cancelled: another lane saw first that the connection broke
            self._size.failed(topic, len(payload), at_s)
            raise
        self._size.passed(topic)

    async def _publish_status(self, client: Connection) -> None:
        status = msgspec.structs.replace(self._status(), will=self._will_n)
        await self._publish(client, contract.status_topic(self._edge), encode(status), retain=True)

    async def _publish_events(self, client: Connection, events: Sequence[Event], late: bool) -> Message:
        """As many of `events` as the broker takes in one payload. The sender marks them as sent."""
        message = event_message(events, late, self._signer, self._size, self._outbox.stored_seq)
        topic = contract.event_topic(self._edge)
        points.reached("before_publish")
        try:
            await client.publish(topic, message.payload)
        except (MqttError, asyncio.CancelledError):
            self._size.batch_failed(message, asyncio.get_running_loop().time())
            raise
        points.reached("after_publish")
        if message.withheld:
            self._on_fault(TooLarge(topic, message.first, message.withheld))
        return message

    def _unacknowledged(self, stored: int) -> None:
        """A console that is there has not stored what was sent after `stored`: perhaps it never came."""
        message = self._late.pop(stored + 1, None)
        if message is not None:
            self._size.batch_failed(message, asyncio.get_running_loop().time())

    async def _send_quick(self, client: Connection) -> None:
        while True:
            topic, payload = await self._quick.take()
            await self._publish(client, topic, payload, qos=0)

    async def _send_states(self, client: Connection) -> None:
        while True:
            topic, payload = await self._retained.take()
            await self._publish(client, topic, payload, retain=True)

    async def _send_status(self, client: Connection) -> None:
        """The heartbeat; and the proof that we are still connected: our own must come back."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake_status.clear()
            await _wait(self._wake_status, HEARTBEAT_S)
            if self._own.deaf(loop.time()):
                raise MqttError("our own status does not come back from it")
            await self._publish_status(client)

    async def _send_live(self, client: Connection) -> None:
        """All that came while the broker took the last payload go in one, so a burst cannot build a queue."""
        while True:
            while not self._live:
                self._wake_live.clear()
                await self._wake_live.wait()
            message = await self._publish_events(client, list(itertools.islice(self._live, BATCH)), False)
            while self._live and self._live[0].seq <= message.last:
                self._live.popleft()
            self._backlog.live_sent(message.first, message.last, asyncio.get_running_loop().time())
            self._wake_late.set()

    async def _send_late(self, client: Connection) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake_late.clear()
            after = self._backlog.next(loop.time())
            if after is None:
                await _wait(self._wake_late, self._backlog.due_in_s(loop.time()))
                continue
            late_to = self._backlog.late_to
            events = [event for event in await self._outbox.events_after(after, BATCH) if event.seq <= late_to]
            last = late_to
            if events:
                message = await self._publish_events(client, events, True)
                self._late[message.first], last = message, message.last
            self._backlog.batch_sent(after + 1, last, loop.time())

    async def _send_answers(self, client: Connection) -> None:
        while True:
            while not self._answers:
                self._wake_answers.clear()
                await self._wake_answers.wait()
            oldest = self._answers[0]
            console, answer = oldest
            stamped = msgspec.structs.replace(answer, boot=self._boot, at=iso(self._now()))
            await self._publish(client, contract.answer_topic(self._edge, console), encode(stamped))
            if self._answers and self._answers[0] is oldest:  # else it was the one dropped meanwhile
                self._answers.popleft()

    # --- what comes in ------------------------------------------------------------------------------------------------

    def _acknowledged(self, ack: Ack) -> None:
        console, seq = ack.console, ack.seq
        self._on_acked(ack)
        if seq > self._head:
            log.warning("console %s says it has stored %d, but the journal ends at %d", console, seq, self._head)
            return
        now_s = asyncio.get_running_loop().time()
        self._backlog.acked(console, seq, now_s)
        self._wake_late.set()
        if seq > self._acked[console]:
            self._acked[console] = seq
            self._size.batch_stored(seq, now_s)
            self._late = {first: message for first, message in self._late.items() if message.last > seq}
            self._wake_cursors.set()

    def _answer(self, console: str, answer: Answer) -> None:
        """Kept over a reconnect."""
        self._answers.append((console, answer))
        self._wake_answers.set()

    async def _move_cursors(self, moved: dict[str, int]) -> None:
        """Writes down what was acknowledged, the newest of each console; `moved` is what is written already."""
        while True:
            self._wake_cursors.clear()
            for console, seq in self._acked.items():
                if seq > moved[console]:
                    points.reached("before_cursor")
                    await self._outbox.move_cursor(console, seq)
                    points.reached("after_cursor")
                    moved[console] = seq
            await self._wake_cursors.wait()

    def _rejected(self, sender: str, topic: str, reason: str) -> None:
        report = self._rejections.add(sender, topic, reason, asyncio.get_running_loop().time())
        if report is not None:
            self._on_fault(report)

    def _say_states_again(self) -> None:
        """What the broker retains may be an older state of this very boot, which somebody has put there again."""
        for topic, payload in self._states.items():
            self._retained.put(topic, payload)

    def _console_changed(self, console: str, seen: ConsoleSeen) -> None:
        if seen.state == "lost":
            self._backlog.lost(console)
        self._wake_status.set()  # a console that is lost, or back, is said at once, not with the next heartbeat
        self._on_consoles_changed(console, seen)


async def _wait(wake: asyncio.Event, at_most_s: float | None) -> None:
    """Until woken, or for so long (real time; None: for ever)."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(at_most_s):
            await wake.wait()
