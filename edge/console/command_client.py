"""A person's command: checked, signed, sent, and answered by its id or by nobody."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlalchemy import Connection

from edge.console import audit, patients
from edge.console.access import Access
from edge.console.accounts import User, users
from edge.console.ingest import Ingest
from edge.console.link import NotConnected
from edge.console.settings import Settings
from edge.console.turns import TooManyWait, Turns
from edge.contract.box_verbs import BOX_VERBS
from edge.contract.commands import MAX_PATIENT_NAME, NURSE, OFFER, PING, VERBS, BadCommand, Delegate, parse
from edge.contract.payloads import Answer, CommandOut, command_topic, encode
from edge.contract.problems import KINDS, kind_of_reason
from edge.contract.signing import Signer
from edge.model import iso

ANSWER_S = 5.0  # real seconds
EXPIRES_AFTER_S = 10.0  # real seconds until a command that hangs on the way is worth nothing
AT_ONCE = 4  # commands to one edge: each is two lines of the audit, written one after the other, before its answer goes
WAITING = 400  # of one screen, and of one account

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


@dataclass(frozen=True, slots=True)
class NewCommand:
    """What somebody asks for at a bed."""

    user: User
    edge: str
    bed: str
    verb: str
    args: dict[str, Any]
    id: str


def _objection(asked: NewCommand) -> str | None:
    """Why the edge would refuse the arguments, in its own words: here a wrong one costs no round trip."""
    try:
        parse(asked.verb, asked.args)
    except BadCommand as bad:
        return str(bad)
    return None


def _status(reason: str) -> int:
    """Of what the edge refused. Its arguments kept the contract, or they had not been sent: 409 where it will not have
    them (an order beyond its protocol's limits), and 422 is a malformed request alone."""
    status = KINDS[kind_of_reason(reason)].status
    return 409 if status == 422 else status


class CommandClient:
    """Sends commands and matches their answers. `patients` (session id -> name) gains each session that is started."""

    def __init__(self, settings: Settings, access: Access, patients: dict[str, str],
                 edges: Mapping[str, Ingest], signer: Signer) -> None:
        self._settings = settings
        self._access = access
        self._patients = patients
        self._edges = edges
        self._signer = signer
        self._waiting: dict[tuple[str, str], asyncio.Future[Answer]] = {}  # by edge and the command's nonce
        # by edge and account; with no account: of all of them
        self._ways: defaultdict[tuple[str, str], Turns] = defaultdict(lambda: Turns(AT_ONCE, WAITING))

    def answered(self, edge: str, answer: Answer) -> None:
        """An answer of `edge` came. One whose nonce nobody waits for (late, or twice) is dropped."""
        waiting = self._waiting.get((edge, answer.nonce))
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    async def perform(self, user: User, edge: str, bed: str, verb: str, args: dict[str, Any],
                      seen: str | None = None) -> Outcome:
        """Does the whole of it; takes up to ANSWER_S real seconds, and as long until its turn comes. `seen`: the
        session that the user saw at the bed. Never raises for a broken world."""
        asked = NewCommand(user, edge, bed, verb, dict(args), str(uuid.uuid4()))
        if verb not in VERBS:
            return Outcome(422, False, "unknown_verb")
        async with self._turn(asked) as is_mine:
            return await self._perform(asked, seen) if is_mine else Outcome(503, False, "not_sent")

    @asynccontextmanager
    async def _turn(self, asked: NewCommand) -> AsyncIterator[bool]:
        """Waits for a place on the way to the edge. The accounts come in turn, and the screens of each: who asks for
        hundreds at once on a hundred screens, as who has stolen a password does, keeps nobody else's command waiting.
        False: none came within ANSWER_S."""
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(ANSWER_S):
                    for account, key in ((asked.user.name, asked.user.key), ("", asked.user.name)):
                        await held.enter_async_context(self._ways[asked.edge, account].turn(key))
                is_mine = True
            except (TimeoutError, TooManyWait):
                is_mine = False
            yield is_mine

    async def _perform(self, asked: NewCommand, seen: str | None) -> Outcome:
        user, edge, bed, verb = asked.user, asked.edge, asked.bed, asked.verb
        if user.role not in VERBS[verb].roles:
            return await self._audited(asked, Outcome(403, False, "forbidden"))
        if seen is not None and self._edges[edge].beds.moved(bed)[0] not in (seen, ""):
            return await self._audited(asked, Outcome(409, False, "other_session: another session is open at this bed"
                                                      " now; look who is there, then enter it anew"))
        if not _sendable(asked.args):
            return Outcome(422, False, "bad_args")
        if verb == "start_session":
            return await self._start_session(asked)
        if (why := _objection(asked)) is not None:
            return Outcome(KINDS[kind_of_reason(why)].status, False, why)
        if verb == "delegate" and (why := await self._nobody(asked)) is not None:
            return Outcome(KINDS[kind_of_reason(why)].status, False, why)
        await self._record(asked, None, None)
        return await self._audited(asked, await self._send(asked))

    async def _nobody(self, asked: NewCommand) -> str | None:
        """Why alarms cannot go to whom this names: only a role, or an account, of whoever treats patients."""
        to = Delegate(**asked.args).who()
        known = await self._access.ask(users)
        if to in NURSE or any(name == to and role in NURSE for name, role in known):
            return None
        return (f"unknown_person: nobody named {to[:40]!r} treats patients here;"
                " write nurse, prescriber or the name of one")

    async def _start_session(self, asked: NewCommand) -> Outcome:
        """The session's id is made here, and the patient's name stays here."""
        given = asked.args.pop("patient", None)
        if given is not None and not (isinstance(given, str) and len(given.strip()) <= MAX_PATIENT_NAME):
            return Outcome(422, False, "bad_patient_name")
        session = asked.args["session"] = uuid.uuid4().hex
        name = given.strip() or None if given else None
        if (why := _objection(asked)) is not None:
            return Outcome(422, False, why)
        await self._record(asked, session, name)
        if name is not None:
            self._patients[session] = name
        outcome = await self._send(asked)
        if outcome.status in NOT_DONE:
            self._patients.pop(session, None)
            await self._forget(session)
        elif outcome.ok:
            outcome = replace(outcome, session=session)
        return await self._audited(asked, outcome)

    async def _record(self, asked: NewCommand, session: str | None, name: str | None) -> None:
        """Stores who asks for what before it is sent; in memory where the store does not work."""
        now_s = self._settings.now()

        def record(connection: Connection) -> None:
            if session is not None and name is not None:
                patients.name_session(connection, session, asked.edge, asked.bed, name, now_s)
            audit.add(connection, now_s, asked.user.name, f"ask {asked.verb}", asked.edge, asked.bed, id=asked.id,
                      role=asked.user.role)

        await self._access.note(record)

    async def ask_box(self, user: User, edge: str, verb: str, args: dict[str, Any]) -> Outcome:
        """A verb of BOX_VERBS, for the edge as a whole. Never raises for a broken world."""
        bed = next(iter(self._edges[edge].beds.ids()), "none")  # a command has one; the edge does not look at it
        asked = NewCommand(user, edge, bed, verb, args, str(uuid.uuid4()))
        async with self._turn(asked) as is_mine:
            if not is_mine:
                return Outcome(503, False, "not_sent")
            if user.role not in BOX_VERBS[verb].roles:
                return await self._audited(asked, Outcome(403, False, "forbidden"))
            await self._record(asked, None, None)
            return await self._audited(asked, await self._send(asked))

    async def ping(self, edge: str) -> str | None:
        """Whether a command gets to `edge` and its answer back: None, or why not. It does nothing and is not stored."""
        bed = next(iter(self._edges[edge].beds.ids()), "none")
        nobody = User(self._settings.name, "technician", "", "", 0.0)
        outcome = await self._send(NewCommand(nobody, edge, bed, PING, {}, str(uuid.uuid4())))
        return None if outcome.ok else outcome.reason

    async def offer(self, edge: str, lost: list[dict[str, Any]]) -> bool | None:
        """Gives `edge` events that its record has lost: whether it took them; None: it could not be asked."""
        bed = next(iter(self._edges[edge].beds.ids()), "none")
        nobody = User(self._settings.name, "technician", "", "", 0.0)
        outcome = await self._send(NewCommand(nobody, edge, bed, OFFER, {"events": lost}, str(uuid.uuid4())))
        return None if outcome.status in (503, 504) else outcome.ok

    async def _send(self, asked: NewCommand) -> Outcome:
        settings, way = self._settings, self._edges[asked.edge]
        issued_s = way.now_s()
        nonce, topic = secrets.token_hex(16), command_topic(asked.edge)
        command = CommandOut(
            id=asked.id, edge=asked.edge, console=settings.name, user=asked.user.name, role=asked.user.role,
            bed=asked.bed, verb=asked.verb, args=asked.args, issued=iso(issued_s),
            expires=iso(issued_s + settings.real(EXPIRES_AFTER_S)), nonce=nonce)
        waiting: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[asked.edge, nonce] = waiting
        try:
            async with asyncio.timeout(ANSWER_S):
                await way.publisher.publish(topic, self._signer.sign(topic, encode(command)))
                answer = await waiting
        except TimeoutError:
            return Outcome(504, False, "no_answer")
        except NotConnected as broken:
            return Outcome(504, False, "no_answer") if broken.maybe_sent else Outcome(503, False, "no_broker")
        finally:
            del self._waiting[asked.edge, nonce]
        if answer.ok:
            return Outcome(200, True, answer.reason, answer.state)
        reason = answer.reason or "refused"
        return Outcome(_status(reason), False, reason, answer.state)

    async def _forget(self, session: str) -> None:
        await self._access.note(patients.forget_session, session)

    async def _audited(self, asked: NewCommand, outcome: Outcome) -> Outcome:
        await self._access.note(
            audit.add, self._settings.now(), asked.user.name, f"{'done' if outcome.ok else 'refused'} {asked.verb}",
            asked.edge, asked.bed, id=asked.id, role=asked.user.role, reason=outcome.reason)
        return outcome
