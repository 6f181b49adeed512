"""The outbox publisher: puts the edge's facts on MQTT in lanes that never wait for each other, and takes commands in.

    vitals, waves   QoS 0   latest wins; forgotten while there is no broker
    state           QoS 1   retained; latest wins a bed; all again after every connect
    live events     QoS 1   as they are committed
    late events     QoS 1   what a console has not stored, in order, at most two batches ahead of its acks
    status          QoS 1   retained; birth, heartbeat, death; the last will
    answers         QoS 1   to commands, in the order they were done

Only a console's ack moves its cursor. A broker that hangs costs TIMEOUT_S, then everything starts again: birth, states,
backlog. The waits here (heartbeat, retry, patience) are the wire's own and run in real time, on the loop's clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

import aiomqtt
import msgspec

from edge.contract import payloads as contract
from edge.contract.events import Event
from edge.contract.mqtt import TIMEOUT_S, Latest, Mqtt, connected, publish, subscribe
from edge.contract.payloads import (
    DEAD_AFTER_S,
    HEARTBEAT_S,
    Ack,
    Answer,
    BadPayload,
    CommandIn,
    ConsoleSeen,
    Status,
    decode,
    encode,
)
from edge.model import iso
from edge.stream.backlog import BATCH, Backlog, Outbox, late_payload
from edge.stream.verifier import CommandVerifier, Refusal

LIVE_MAX = 2000  # events waiting for the live lane; beyond it they go late
ANSWERS_MAX = 256
COMMANDS_MAX = 100
COMPLAINTS_MAX = 100
RETRY_S, RETRY_MAX_S = 0.1, 2.0
log = logging.getLogger(__name__)


def _ignore(*_: object) -> None:
    """The callback of whoever wants none."""


class Stream:
    """The edge's side of the stream. `run` it; every other method is called on its loop and returns at once."""

    def __init__(
        self, mqtt: Mqtt, *, edge: str, boot: str, status: Callable[[], Status], outbox: Outbox,
        consoles: Iterable[str], verifier: CommandVerifier,
        on_command: Callable[[CommandIn], Answer | Awaitable[Answer]], now: Callable[[], float],
        on_refused: Callable[[Refusal], None] = _ignore,
        on_consoles_changed: Callable[[str, ConsoleSeen], None] = _ignore,
        on_broker_changed: Callable[[bool, str], None] = _ignore,
    ) -> None:
        """`status` builds the present status (its `consoles` from `console_states`); `now` is the edge clock.

        Callbacks run on the loop: `on_refused` for every command the gate refused; `on_consoles_changed` with a
        console's name when it comes to life or is lost (all begin lost); `on_broker_changed` when the way to the
        broker breaks (False, why) or heals (True, ""). Raises OSError where TLS files cannot be used.
        """
        self._mqtt = mqtt
        self._context = mqtt.context()
        self._edge, self._boot, self._status = edge, boot, status
        self._outbox, self._verifier, self._on_command, self._now = outbox, verifier, on_command, now
        self._on_refused, self._on_consoles_changed = on_refused, on_consoles_changed
        self._on_broker_changed = on_broker_changed
        self._backlog = Backlog(dict.fromkeys(consoles, 0), 0)
        self._since = dict.fromkeys(self._backlog.followers, now())
        self._watch: dict[str, asyncio.TimerHandle] = {}
        self._runs: dict[str, str | None] = {}  # the connection each console was heard on last
        self._acked: dict[str, int] = {}
        self._head = 0
        self._up: bool | None = None
        self._quick, self._retained = Latest(), Latest()
        self._states: dict[str, bytes] = {}
        self._live: deque[Event] = deque()
        self._answers: deque[tuple[str, bytes]] = deque(maxlen=ANSWERS_MAX)
        self._commands: asyncio.Queue[bytes] = asyncio.Queue(COMMANDS_MAX)
        self._wake_live, self._wake_late, self._wake_answers = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._wake_status, self._wake_cursors = asyncio.Event(), asyncio.Event()
        self._complaints: set[str] = set()

    # --- what the service says ----------------------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """Whether the broker is reached."""
        return self._up is True

    def console_states(self) -> dict[str, ConsoleSeen]:
        """Every configured console: live or lost, since when, and the seq it says it has stored."""
        return {console: self._seen(console) for console in self._backlog.followers}

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

    def events(self, events: Sequence[Event]) -> None:
        """Events already committed, oldest first."""
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

    def answer(self, console: str, payload: bytes) -> None:
        """An answer (contract.Answer) to `console`; kept over a reconnect."""
        self._answers.append((contract.answer_topic(self._edge, console), payload))
        self._wake_answers.set()

    # --- the life of the connection -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled, which is the clean stop: the last thing said is then that this boot is dead."""
        cursors = {console: await self._outbox.cursor(console) for console in self._backlog.followers}
        self._head = max(self._head, self._status().seq)
        self._acked = dict(cursors)
        self._backlog = Backlog(cursors, self._head)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._do_commands())
                group.create_task(self._move_cursors(cursors))
                await self._keep_connected()
        finally:
            for timer in self._watch.values():
                timer.cancel()

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        wait_s = RETRY_S
        while True:
            began_s = loop.time()
            # A task of its own: when the broker breaks in the moment of our stop, a TaskGroup lets its error win, and
            # the stop would be lost in it.
            connection = loop.create_task(self._connection())
            try:
                await asyncio.wait([connection])
            except asyncio.CancelledError:
                connection.cancel()
                await asyncio.wait([connection])
                if not connection.cancelled():
                    self._ended(connection)
                raise
            self._ended(connection)
            if loop.time() - began_s > HEARTBEAT_S + TIMEOUT_S:  # it held: not one that breaks at once each time
                wait_s = RETRY_S
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, RETRY_MAX_S)

    def _ended(self, connection: asyncio.Task[None]) -> None:
        try:
            connection.result()
        except* aiomqtt.MqttError as broken:
            self._broke(broken)

    async def _connection(self) -> None:
        """One connection, from birth to whatever breaks it."""
        topic = contract.status_topic(self._edge)
        will = aiomqtt.Will(topic, self._last_words(), qos=1, retain=True)
        async with connected(self._mqtt, self._context, f"vigil-edge-{self._edge}", will) as client:
            try:
                await self._born(client)
                await self._lanes(client)
            except asyncio.CancelledError:
                with contextlib.suppress(aiomqtt.MqttError):
                    await publish(client, topic, self._last_words(), retain=True)
                raise
            finally:
                self._quick.clear()
                self._retained.clear()
                self._live.clear()
                if self._up:
                    self._up = None

    async def _born(self, client: aiomqtt.Client) -> None:
        """Ready for commands first, then birth, then what is true at every bed; from here on events go live."""
        status = contract.status_topic(self._edge)
        consoles = [contract.ack_topic(self._edge, "+"), contract.gone_topic(self._edge, "+")]
        await subscribe(client, [status, contract.command_topic(self._edge), *consoles])
        await publish(client, status, encode(self._status()), retain=True)
        self._backlog.connected(self._head, asyncio.get_running_loop().time())
        self._healed()
        for topic, payload in list(self._states.items()):
            await publish(client, topic, payload, retain=True)

    async def _lanes(self, client: aiomqtt.Client) -> None:
        async with asyncio.TaskGroup() as group:
            for lane in (
                self._hear, self._send_quick, self._send_live, self._send_states, self._send_late, self._send_status,
                self._send_answers,
            ):
                group.create_task(lane(client))

    def _broke(self, broken: BaseExceptionGroup[aiomqtt.MqttError]) -> None:
        error: BaseException = broken
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if self._up is not False:
            log.warning("the broker %s is not reached (%s); trying until it is", self._mqtt, error)
            self._up = False
            self._on_broker_changed(False, str(error))

    def _healed(self) -> None:
        log.info("the broker %s is reached", self._mqtt)
        self._up = True
        self._on_broker_changed(True, "")

    def _last_words(self) -> bytes:
        return encode(msgspec.structs.replace(self._status(), state="dead"))

    # --- lanes out ----------------------------------------------------------------------------------------------------

    async def _send_quick(self, client: aiomqtt.Client) -> None:
        while True:
            topic, payload = await self._quick.take()
            await publish(client, topic, payload, qos=0)

    async def _send_states(self, client: aiomqtt.Client) -> None:
        while True:
            topic, payload = await self._retained.take()
            await publish(client, topic, payload, retain=True)

    async def _send_status(self, client: aiomqtt.Client) -> None:
        while True:
            self._wake_status.clear()
            await _wait(self._wake_status, HEARTBEAT_S)
            await publish(client, contract.status_topic(self._edge), encode(self._status()), retain=True)

    async def _send_live(self, client: aiomqtt.Client) -> None:
        """All that came while the broker took the last payload go in one, so a burst cannot build a queue."""
        while True:
            while not self._live:
                self._wake_live.clear()
                await self._wake_live.wait()
            events = [self._live.popleft() for _ in range(min(len(self._live), BATCH))]
            one = len(events) == 1
            payload = contract.event_payload(events[0], False) if one else contract.events_payload(events, False)
            await publish(client, contract.event_topic(self._edge), payload)
            self._backlog.live_sent(events[0].seq, events[-1].seq, asyncio.get_running_loop().time())
            self._wake_late.set()

    async def _send_late(self, client: aiomqtt.Client) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake_late.clear()
            after = self._backlog.next(loop.time())
            if after is None:
                await _wait(self._wake_late, self._backlog.due_in_s(loop.time()))
                continue
            late_to = self._backlog.late_to
            events = [event for event in await self._outbox.events_after(after, BATCH) if event.seq <= late_to]
            payload, count = late_payload(events)
            if count:
                await publish(client, contract.event_topic(self._edge), payload)
            self._backlog.batch_sent(after + 1, events[count - 1].seq if count else late_to, loop.time())

    async def _send_answers(self, client: aiomqtt.Client) -> None:
        while True:
            while not self._answers:
                self._wake_answers.clear()
                await self._wake_answers.wait()
            oldest = self._answers[0]
            await publish(client, *oldest)
            if self._answers and self._answers[0] is oldest:  # else it was the one dropped meanwhile
                self._answers.popleft()

    # --- lanes in -----------------------------------------------------------------------------------------------------

    async def _hear(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            topic = contract.parse_topic(message.topic.value)
            payload = message.payload
            if topic is None or topic.edge != self._edge or not isinstance(payload, bytes):
                continue
            if topic.kind == "ack" and topic.name is not None:
                self._hear_ack(topic.name, payload)
            elif topic.kind == "gone" and topic.name is not None:
                self._hear_gone(topic.name, payload)
            elif topic.kind == "command":
                self._hear_command(payload)
            elif topic.kind == "status":
                self._hear_status(payload)

    def _hear_ack(self, console: str, payload: bytes) -> None:
        try:
            ack = decode(Ack, payload)
        except BadPayload as error:
            self._complain(console, f"its ack is not one: {error}")
            return
        if console not in self._backlog.followers or ack.console != console:
            self._complain(console, f"an ack of {ack.console!r}, which is not a console configured for that topic")
            return
        self._runs[console] = ack.run
        self._alive(console)
        if ack.seq > self._head:
            self._complain(console, f"it says it has stored {ack.seq}, but the journal ends at {self._head}")
            return
        self._backlog.acked(console, ack.seq, asyncio.get_running_loop().time())
        self._wake_late.set()
        if ack.seq > self._acked[console]:
            self._acked[console] = ack.seq
            self._wake_cursors.set()

    def _hear_gone(self, console: str, payload: bytes) -> None:
        try:
            gone = decode(contract.Gone, payload)
        except BadPayload as error:
            self._complain(console, f"its last will is none: {error}")
            return
        if console in self._watch and gone.run == self._runs.get(console):
            self._watch[console].cancel()
            self._lost(console)

    def _hear_command(self, payload: bytes) -> None:
        try:
            self._commands.put_nowait(payload)
        except asyncio.QueueFull:
            self._complain("", f"more than {COMMANDS_MAX} commands are waiting; some were dropped")

    def _hear_status(self, payload: bytes) -> None:
        """The will of an older connection of ours may come after the new birth: say at once that we live."""
        with contextlib.suppress(BadPayload):
            status = decode(Status, payload)
            if status.state == "dead":
                self._wake_status.set()

    def _complain(self, console: str, what: str) -> None:
        """Each thing once a console: an ack comes every two seconds."""
        if len(self._complaints) < COMPLAINTS_MAX and (complaint := f"{console}: {what[:20]}") not in self._complaints:
            self._complaints.add(complaint)
            log.warning("console %s: %s", console or "(any)", what)

    async def _do_commands(self) -> None:
        """One after the other: the answer to a command is always out before that to its replay."""
        while True:
            checked = self._verifier.check(await self._commands.get(), self._now())
            if isinstance(checked, Refusal):
                log.warning("command %r of console %r refused: %s", checked.id, checked.answer_to, checked.reason)
                self._on_refused(checked)
                if checked.answer_to:
                    self.answer(checked.answer_to, encode(Answer(id=checked.id, ok=False, reason=checked.reason)))
                continue
            answer = self._on_command(checked)
            self.answer(checked.console, encode(await answer if inspect.isawaitable(answer) else answer))

    async def _move_cursors(self, moved: dict[str, int]) -> None:
        """Writes down what was acknowledged, the newest of each console; `moved` is what is written already."""
        while True:
            self._wake_cursors.clear()
            for console, seq in self._acked.items():
                if seq > moved[console]:
                    await self._outbox.move_cursor(console, seq)
                    moved[console] = seq
            await self._wake_cursors.wait()

    # --- the consoles' lives ------------------------------------------------------------------------------------------

    def _seen(self, console: str) -> ConsoleSeen:
        follower = self._backlog.followers[console]
        return ConsoleSeen(
            state="live" if console in self._watch else "lost", seq=follower.stored, since=iso(self._since[console])
        )

    def _alive(self, console: str) -> None:
        timer = self._watch.get(console)
        self._watch[console] = asyncio.get_running_loop().call_later(DEAD_AFTER_S, self._lost, console)
        if timer is not None:
            timer.cancel()
        else:
            self._changed(console)

    def _lost(self, console: str) -> None:
        del self._watch[console]
        self._backlog.lost(console)
        self._changed(console)

    def _changed(self, console: str) -> None:
        self._since[console] = self._now()
        self._wake_status.set()  # a console that is lost, or back, is said at once, not with the next heartbeat
        self._on_consoles_changed(console, self._seen(console))


async def _wait(wake: asyncio.Event, at_most_s: float | None) -> None:
    """Until woken, or for so long (real time; None: for ever)."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(at_most_s):
            await wake.wait()
