"""A person's command: checked, signed, sent, and answered by its id or by nobody."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlalchemy import Connection

from edge.console import audit, patients
from edge.console.accounts import User
from edge.console.link import NotConnected, Publisher
from edge.console.settings import Settings
from edge.console.store import Store, StoreBroken
from edge.console.ward import Ward
from edge.contract.commands import MAX_PATIENT_NAME, VERBS, BadCommand, parse
from edge.contract.payloads import Answer, command_payload, command_topic

ANSWER_S = 5.0  # real seconds
LIFE_S = 10.0  # real seconds until a command that hangs on the way is worth nothing

# by the word before the colon of the edge's reason; any other is 422
STATUS = {"moved_on": 409, "already_acknowledged": 409, "forbidden": 403, "forged": 403}
NOT_DONE = frozenset({403, 409, 422, 503})  # the edge has not opened the session; after 504 nobody knows


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the page gets: an HTTP status and {"ok", "reason", "state"}."""

    status: int
    ok: bool
    reason: str | None = None
    state: dict[str, Any] | None = None
    session: str | None = None


def _sendable(args: dict[str, Any]) -> bool:
    """Whether `args` come out as they went in once they are JSON: no NaN, no half character, no depth beyond it."""
    try:
        return bool(msgspec.json.decode(msgspec.json.encode(args)) == args)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):  # ValueError: a lone surrogate
        return False


class CommandClient:
    """Sends commands and matches their answers."""

    def __init__(self, settings: Settings, store: Store, ward: Ward, publisher: Publisher) -> None:
        self._settings = settings
        self._store = store
        self._ward = ward
        self._publisher = publisher
        self._waiting: dict[str, asyncio.Future[Answer]] = {}

    def answered(self, answer: Answer) -> None:
        """An answer came. One that nobody waits for (late, or twice) is dropped."""
        waiting = self._waiting.get(answer.id)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    async def ask(self, user: User, bed: str, verb: str, args: dict[str, Any]) -> Outcome:
        """Does the whole of it; takes up to ANSWER_S real seconds. Never raises for a broken world."""
        if verb not in VERBS:
            return Outcome(422, False, "unknown_verb")
        if user.role not in VERBS[verb].roles:
            return await self._audited(user, bed, verb, "", Outcome(403, False, "forbidden"))
        session: str | None = None
        name: str | None = None
        args = dict(args)
        if not _sendable(args):
            return Outcome(422, False, "bad_args")
        if verb == "start_session":
            given = args.pop("patient", None)
            if given is not None and not (isinstance(given, str) and len(given.strip()) <= MAX_PATIENT_NAME):
                return Outcome(422, False, "bad_patient_name")
            session = args["session"] = uuid.uuid4().hex
            name = given.strip() or None if given else None
        try:
            parse(verb, args)  # the edge has the last word; here a wrong one costs no round trip
        except BadCommand as bad:
            return Outcome(422, False, str(bad))
        ident = str(uuid.uuid4())
        try:
            await self._store.run(self._before, user, bed, verb, ident, session, name)
        except StoreBroken:
            return Outcome(503, False, "store_broken")
        if session is not None and name is not None:
            self._ward.names[session] = name
        outcome = await self._send(user, bed, verb, args, ident)
        if session is not None and outcome.status in NOT_DONE:
            self._ward.names.pop(session, None)
            await self._forget(session)
        elif session is not None and outcome.ok:
            outcome = replace(outcome, session=session)
        return await self._audited(user, bed, verb, ident, outcome)

    def _before(self, connection: Connection, user: User, bed: str, verb: str, ident: str, session: str | None,
                name: str | None) -> None:
        now_s = self._settings.now()
        if session is not None and name is not None:
            patients.name_session(connection, session, bed, name, now_s)
        audit.add(connection, now_s, user.name, f"ask {verb}", bed, id=ident, role=user.role)

    async def _send(self, user: User, bed: str, verb: str, args: dict[str, Any], ident: str) -> Outcome:
        settings = self._settings
        now_s = settings.now()
        payload = command_payload(
            settings.command_key, id=ident, edge=settings.edge, console=settings.name, user=user.name, role=user.role,
            bed=bed, verb=verb, args=args, issued_s=now_s, expires_s=now_s + LIFE_S * settings.speed,
            nonce=secrets.token_hex(16))
        waiting: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[ident] = waiting
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._publisher.publish(command_topic(settings.edge), payload)
                answer = await waiting
        except TimeoutError:
            return Outcome(504, False, "no_answer")
        except NotConnected as broken:
            return Outcome(504, False, "no_answer") if broken.maybe_sent else Outcome(503, False, "no_broker")
        finally:
            del self._waiting[ident]
        if answer.ok:
            return Outcome(200, True, answer.reason, answer.state)
        reason = answer.reason or "refused"
        return Outcome(STATUS.get(reason.partition(":")[0], 422), False, reason, answer.state)

    async def _forget(self, session: str) -> None:
        try:
            await self._store.run(patients.forget_session, session)
        except StoreBroken:
            return  # a name for a session that never was: nothing shows it

    async def _audited(self, user: User, bed: str, verb: str, ident: str, outcome: Outcome) -> Outcome:
        try:
            await self._store.run(audit.add, self._settings.now(), user.name,
                                  f"{'done' if outcome.ok else 'refused'} {verb}", bed, id=ident, role=user.role,
                                  reason=outcome.reason)
        except StoreBroken:
            return outcome  # what was asked is noted, and the edge's journal has the rest
        return outcome
