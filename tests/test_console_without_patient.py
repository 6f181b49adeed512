"""Who learns who lies where: each role against every answer the console has, over HTTP and on the live feed."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from edge.console import accounts, patients
from edge.console.accounts import User
from edge.console.feed import Page
from edge.console.without_patient import KINDS, state_without
from edge.contract import payloads as wire
from edge.contract.events import read_body
from edge.contract.payloads import Answer, State, encode, event_topic
from edge.contract.treatment_now import HeldNow
from edge.model import iso
from tests.helpers.bodies import rows
from tests.helpers.console_server import Server, served
from tests.helpers.console_story import BED, EDGE, NURSE, START_S, STATE, TECHNICIAN, VITALS, Journal, hear, vitals

pytestmark = pytest.mark.slow

NAME = "Ada Lovelace"
SESSION = "session-1"  # the id that Journal gives: whoever has it and the console's store has the name
AT = iso(START_S)
ROLES = {"nurse": NURSE, "prescriber": ("pia", "a prescriber's password"), "technician": TECHNICIAN,
         "administrator": ("adam", "an administrator's password"), "nobody": None}


def alarm(alarm_class: Any) -> wire.AlarmNow:
    """One that stands, with a comment of whoever looks after it."""
    said = "the cable is broken" if alarm_class == "technical" else f"{NAME} is anxious"
    return wire.AlarmNow(alarm=f"{alarm_class}#1", rule="X", state="active", priority="low", since=AT, seq=1, text="it",
                         alarm_class=alarm_class, comments=(wire.CommentNow(text=said, by="ann", at=AT),))


def full_state() -> State:
    """A bed at which everything is written that people write of a patient."""
    session = wire.SessionNow(
        id=SESSION, phase="INFUSING", phase_since=AT, started=AT, infusion_started=AT, infused_s=60.0, bp_due=AT,
        check_in=wire.CheckInNow(at=AT, user="ann", moaas=5, note=f"{NAME} is well"), symptoms=("nausea",),
        held=HeldNow(by="ann", reason=NAME, at=AT), next=(wire.NextNow(what="bp", text=f"ask {NAME}"),),
        open=[NAME], open_items=(wire.OpenNow(gate="escort", text="escort", reason=f"{NAME}'s sister is here"),))
    return State(
        edge=EDGE, bed=BED, at=AT, seq=9, boot="boot-1", session=session, alarms=[alarm("technical"), alarm(None),
                                                                                  alarm("physiological")],
        devices=[wire.DeviceNow(device="pump", kind="pump", driver="alaris_gh", link="live", since=AT)],
        request=wire.Request(text=f"look at {NAME}", since=AT),
        delegation=wire.DelegationNow(to="ann", since=AT, until=AT, by="pia", reason=NAME),
        information=(wire.InformationNow(what="infusion_ended", text=NAME, at=AT),))


def named(kind: str, text: str) -> dict[str, Any]:
    """An event's body in which whoever wrote something named the patient; of a device nobody writes that."""
    body: dict[str, Any] = json.loads(text)
    free = () if kind in KINDS else ("note", "reason", "comment", "whose")
    return body | {key: NAME for key in free if isinstance(body.get(key), str)}


async def lived(home: Server) -> None:
    """A bed with a named patient, and an event of each kind."""
    home.console.patients[SESSION] = NAME
    await home.console.store.run(patients.name_session, SESSION, EDGE, BED, NAME, START_S)
    hear(home.console, STATE, encode(full_state()), False)
    journal, ingest = Journal(start_s=START_S - 100), home.console.edges[EDGE]
    for kind, text in rows():
        journal.add(read_body(kind, json.dumps(named(kind, text))))
    assert NAME in "".join(event.body_json for event in journal.events)
    hear(home.console, event_topic(EDGE), journal.payload(1, len(rows())), False)
    async with asyncio.timeout(10):
        while ingest.stored < len(rows()):
            await home.console.store.read(lambda _connection: None)  # one thread: behind the batch


async def over_http(home: Server) -> str:
    """Every answer that can be asked for, and what a command is answered."""
    told = []
    for path, operations in home.app.openapi()["paths"].items():
        if "get" in operations:
            answer = await home.http.get(path.replace("{edge}", EDGE).replace("{bed}", BED))
            told.append(f"{path} {answer.status_code} {answer.text}")
    home.wire.reply = lambda command: Answer(id=command.id, ok=False, reason="moved_on",
                                             state=json.loads(encode(full_state())))
    told.append((await home.command("comment", {"alarm": "technical#1", "text": "seen"})).text)
    return "\n".join(told)


def on_the_feed(home: Server, user: User) -> tuple[str, Page]:
    """All that a page of this user is told as it joins."""
    page = home.console.join(user)
    return read(page), page


def read(page: Page) -> str:
    """All that waits for the page."""
    waiting = "\n".join(page._waiting)
    page._waiting.clear()
    return waiting


@pytest.mark.parametrize("role", ROLES)
async def test_only_who_treats_patients_learns_who_they_are(role: str, tmp_path: Path) -> None:
    """The table: a nurse and a prescriber see name and session; whoever else asks sees neither in any answer."""
    knows = role in ("nurse", "prescriber")
    async with served(tmp_path) as home:
        for name, (who, password) in ((name, who) for name, who in ROLES.items() if who is not None):
            accounts.ensure_user(home.console.settings.database, who, password, name, START_S)  # type: ignore[arg-type]
        if (who_ := ROLES[role]) is not None:
            assert (await home.login(who_)).status_code == 200
        await lived(home)
        told = await over_http(home)
        assert (NAME in told, SESSION in told) == (knows, knows)
        if role in ("nurse", "prescriber", "technician"):
            assert "alaris_gh" in told
            assert "the cable is broken" in told, "a technical alarm and what is said of it is for everybody"


@pytest.mark.parametrize("role", ["nurse", "technician"])
async def test_the_live_feed_tells_a_technician_of_beds_and_nobody_s_name(role: Any, tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        before, page = on_the_feed(home, User("x", role, "key", "csrf", 0.0))
        assert NAME not in before
        await lived(home)
        hear(home.console, VITALS, vitals(START_S + 1, spo2_pct=91), False)
        home.console.edges[EDGE].publish_state(BED)
        later, again = read(page), on_the_feed(home, User("x", role, "key", "csrf", 0.0))[0]
        for told in (later, again):
            assert (NAME in told, SESSION in told) == (role == "nurse", role == "nurse")
            assert '"pump"' in told
            assert '"INFUSING"' in told, "whether somebody is treated with the device"
        assert '"spo2_pct":{"value":91' in later
        kinds = {json.loads(message)["event"]["kind"] for message in later.splitlines() if '"t":"event"' in message}
        assert kinds == ({kind for kind, _ in rows()} if role == "nurse" else {kind for kind, _ in rows()} & KINDS)


async def test_the_second_encoding_is_made_once_and_only_where_somebody_reads_it(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        feed, made = home.console.feed, itertools.count()
        nurse = on_the_feed(home, User("ann", "nurse", "key", "csrf", 0.0))[1]
        feed.publish("whole", lambda: f"less {next(made)}")
        assert (read(nurse), next(made)) == ("whole", 0)
        two = [on_the_feed(home, User("tom", "technician", f"key{n}", "csrf", 0.0))[1] for n in range(2)]
        feed.publish("whole", lambda: f"less {next(made)}")
        feed.publish("whole", lambda: None)
        assert [read(page) for page in (nurse, *two)] == ["whole\nwhole", "less 1", "less 1"]


def test_another_session_is_another_one_for_a_technician() -> None:
    """The page draws a trend anew for another session's id."""
    first = full_state()
    assert first.session is not None
    second = wire.SessionNow(id="session-2", phase="PRECHECK", started=iso(START_S + 1))
    ids = [state_without(State(edge=EDGE, bed=BED, at=AT, seq=9, boot="b", session=one)).session
           for one in (first.session, second)]
    assert [one.id for one in ids if one is not None] == [AT, iso(START_S + 1)]
