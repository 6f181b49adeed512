"""What comes in over the stream: acks and wills of the consoles, commands, and the edge's own status."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from edge.contract.commands import PING
from edge.contract.mqtt import Connection
from edge.contract.payloads import Ack, Answer, CommandIn, parse_topic
from edge.stream.consoles import Consoles
from edge.stream.faults import OtherBox, StreamFault
from edge.stream.own_status import OwnStatus
from edge.stream.verifier import CommandVerifier, Refusal

COMMANDS_MAX = 100
WORTHLESS_ANSWERED = 20  # a second: whoever floods without a key is not worth more, and never in a signed command's way
log = logging.getLogger(__name__)


class Inbox:
    """Hands on what it believes. Belongs to one event loop."""

    def __init__(
        self, edge: str, consoles: Consoles, own: OwnStatus, verifier: CommandVerifier, *,
        on_command: Callable[[CommandIn], Answer | Awaitable[Answer]], on_refused: Callable[[Refusal], None],
        on_fault: Callable[[StreamFault], None], on_rejected: Callable[[str, str, str], None],
        on_ack: Callable[[Ack], None], on_status_wanted: Callable[[], None],
        answer: Callable[[str, Answer], None], now: Callable[[], float],
    ) -> None:
        """`answer(console, answer)` sends one; `on_ack` for every ack believed; `now` is edge time."""
        self._edge, self._consoles, self._own, self._verifier = edge, consoles, own, verifier
        self._on_command, self._on_refused, self._on_fault = on_command, on_refused, on_fault
        self._on_rejected, self._on_ack, self._on_status_wanted = on_rejected, on_ack, on_status_wanted
        self._answer, self._now = answer, now
        self._signed: asyncio.Queue[CommandIn | Refusal] = asyncio.Queue(COMMANDS_MAX)
        self._worthless: deque[float] = deque(maxlen=WORTHLESS_ANSWERED)
        self._named: set[str] = set()

    async def receive(self, client: Connection) -> None:
        """All that comes on this connection."""
        async for message in client.messages():
            topic, payload = message.topic, message.payload
            parsed = parse_topic(topic)
            if parsed is None or parsed.edge != self._edge:
                continue
            if parsed.kind == "ack" and parsed.name is not None:
                if (ack := self._consoles.ack(parsed.name, topic, payload)) is not None:
                    self._on_ack(ack)
            elif parsed.kind == "gone" and parsed.name is not None:
                self._consoles.gone(parsed.name, topic, payload)
            elif parsed.kind == "command":
                self._receive_command(topic, payload)
            elif parsed.kind == "status":
                self._receive_status(topic, payload, message.retained)

    async def do_commands(self) -> None:
        """One after the other: the answer to a command is always out before that to its replay."""
        while True:
            checked = await self._signed.get()
            if isinstance(checked, Refusal):
                self._refuse(checked)
            elif checked.verb == PING:
                self._answer(checked.console, Answer(id=checked.id, ok=True, nonce=checked.nonce))
            else:
                answer = self._on_command(checked)
                answer = await answer if inspect.isawaitable(answer) else answer
                self._answer(checked.console, replace(answer, nonce=checked.nonce))

    def _refuse(self, refusal: Refusal) -> None:
        log.warning("command %r of console %r refused: %s", refusal.id, refusal.answer_to, refusal.reason)
        self._on_refused(refusal)
        if refusal.answer_to:
            self._answer(refusal.answer_to,
                         Answer(id=refusal.id, ok=False, reason=refusal.reason, nonce=refusal.nonce))

    def _receive_command(self, topic: str, payload: bytes) -> None:
        """Checked before it waits: what anybody may have sent never takes the place of what only a console can."""
        checked = self._verifier.check(payload, self._now())
        if isinstance(checked, Refusal) and checked.worthless:
            now_s = asyncio.get_running_loop().time()
            if len(self._worthless) == WORTHLESS_ANSWERED and now_s - self._worthless[0] < 1.0:
                self._on_rejected("command", topic, "too_many")
                return
            self._worthless.append(now_s)
        try:
            self._signed.put_nowait(checked)
        except asyncio.QueueFull:
            self._on_rejected("command", topic, "too_many")

    def _receive_status(self, topic: str, payload: bytes, retained: bool) -> None:
        now_s = asyncio.get_running_loop().time()
        verdict = self._own.receive(topic, payload, retained, now_s)
        if verdict == "contradict":
            # The will of an older connection of ours may come after the new birth: say at once that we live.
            self._on_status_wanted()
        elif verdict == "other":
            for boot in set(self._own.others(now_s)) - self._named:
                self._named.add(boot)
                log.error("another box, or a copy of this one, calls itself %s: its boot is %s", self._edge, boot)
                self._on_fault(OtherBox(boot))
                self._on_status_wanted()
        elif verdict not in ("echo", "old") and not retained:
            self._on_rejected("this edge", topic, verdict)
