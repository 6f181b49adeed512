"""One console, two edges that each have a bed of the same name: nothing of one is ever shown, stored or done as the
other's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edge.console import accounts, audit, patients
from edge.contract.payloads import ack_topic, event_topic, state_topic, status_topic, vitals_topic
from tests.helpers.console_server import Server, served
from tests.helpers.console_story import BED, EDGE, START_S, STATE, Journal, hear, said, state, status, vitals

OTHER = "clinic-2"
EDGES = (EDGE, OTHER)


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Server]:
    async with served(tmp_path, edges=EDGES) as home:
        other = home.console.edges[OTHER]
        other.connected()
        hear(home.console, status_topic(OTHER), status(edge=OTHER, boot="boot-2"), False)
        hear(home.console, state_topic(OTHER, BED), state(edge=OTHER, boot="boot-2", session="s-2"), False)
        hear(home.console, vitals_topic(OTHER, BED), vitals(edge=OTHER, boot="boot-2", spo2_pct=88), False)
        await home.login()
        yield home


def at(edge: str, what: str) -> str:
    return f"/api/edges/{edge}/beds/{BED}/{what}"


async def test_a_page_is_told_of_both_and_each_message_names_its_edge(two: Server) -> None:
    page = two.console.join(await _user(two))
    first = [json.loads(message) for message in page._waiting]
    assert [(m["t"], m.get("edge")) for m in first if m["t"] in ("state", "vitals")] == [
        ("state", EDGE), ("vitals", EDGE), ("state", OTHER), ("vitals", OTHER)]
    [hello] = [m for m in first if m["t"] == "hello"]
    assert (hello["edges"], hello["beds"]) == ([*EDGES], [BED])
    assert [(bed["edge"], bed["bed"]) for bed in hello["ward"]] == [(EDGE, BED), (OTHER, BED)]
    listed = (await two.http.get("/api/beds")).json()
    shown = [(bed["edge"], bed["vitals"]["numerics"]["spo2_pct"]["value"]) for bed in listed]
    assert shown == [(EDGE, 97), (OTHER, 88)]


async def test_events_of_the_same_numbers_are_kept_apart_and_acknowledged_apart(two: Server) -> None:
    journals = {EDGE: Journal().fill(3), OTHER: Journal("boot-2", edge=OTHER).fill(2)}
    for edge, journal in journals.items():
        hear(two.console, event_topic(edge), journal.payload(1, len(journal.events)), False)
        await two.console.edges[edge].store_batch()
        await two.console.acknowledge(edge)
    acks = {topic: json.loads(payload)["seq"] for topic, payload in two.wire.sent if "/ack/" in topic}
    assert acks == {ack_topic(EDGE, "main"): 3, ack_topic(OTHER, "main"): 2}
    for edge, journal in journals.items():
        found = (await two.http.get(at(edge, "events"))).json()
        assert [event["hash"] for event in found] == [event.hash for event in reversed(journal.events)]


async def test_an_event_of_one_edge_under_the_topic_of_the_other_is_refused(two: Server) -> None:
    other = two.console.edges[OTHER]
    hear(two.console, event_topic(OTHER), Journal().fill(1).payload(1, 1), False)
    await other.store_batch()
    assert (other.stored, other.refused) == (0, 1)
    hear(two.console, STATE, state(edge=OTHER), False)
    assert two.console.edges[EDGE].bad == 1


async def test_one_edge_that_falls_silent_leaves_the_other_live(two: Server) -> None:
    hear(two.console, status_topic(OTHER), status(START_S + 1, edge=OTHER, boot="boot-2", state="dead"), False)
    listed = (await two.http.get("/api/beds")).json()
    assert [bed["state"]["live"] for bed in listed] == [True, False]
    hops = two.console.health()
    assert (hops["edge"]["ok"], hops["edge"]["reason"]) == (False, f"{OTHER}: dead")
    assert {edge: told["edge"]["ok"] for edge, told in two.console.edges_json().items()} == {EDGE: True, OTHER: False}


async def test_a_command_goes_to_the_edge_its_address_names(two: Server) -> None:
    for edge in EDGES:
        two.wire.sent.clear()
        answer = await two.http.post(at(edge, "commands"), json={"verb": "audio_pause"}, headers={"X-CSRF": two.csrf})
        assert answer.status_code == 200, answer.text
        [(command, _)] = two.wire.commands()
        assert (command.edge, [topic for topic, _ in two.wire.sent]) == (edge, [f"vigil/1/{edge}/command"])
    assert two.console.store.now(lambda connection: audit.lines(connection))[-1][2] == BED


async def test_a_session_belongs_to_its_edge(two: Server) -> None:
    order = {"weight_kg": 70, "dose_mg_kg": 0.5, "duration_min": 40, "concentration_mg_ml": 1}
    answer = await two.http.post(at(OTHER, "commands"), headers={"X-CSRF": two.csrf}, json={
        "verb": "start_session", "args": {"patient": "A. B.", **order}})
    assert answer.status_code == 200, answer.text

    def edges_of(connection: Any) -> list[Any]:
        return list(connection.exec_driver_sql("SELECT edge, bed FROM patients"))

    assert two.console.store.now(edges_of) == [(OTHER, BED)]
    assert list(two.console.store.now(patients.names).values()) == ["A. B."]


async def test_an_address_of_0_1_0_works_where_one_edge_has_the_bed_and_else_says_what_to_write(two: Server) -> None:
    for method, what in (("GET", "history"), ("GET", "events"), ("POST", "commands")):
        answer = await two.http.request(method, f"/api/beds/{BED}/{what}", headers={"X-CSRF": two.csrf},
                                        json={"verb": "audio_pause"} if method == "POST" else None)
        assert answer.status_code == 409
        assert f"2 edges have a bed {BED}: {EDGE}, {OTHER}" in answer.json()["detail"]
    hear(two.console, status_topic(OTHER), status(START_S + 2, edge=OTHER, boot="boot-2", beds=["chair-7"]), False)
    assert (await two.http.get(f"/api/beds/{BED}/history")).status_code == 200
    assert (await two.http.get("/api/beds/chair-7/history")).status_code == 200, "there before its first state"
    assert (await two.http.get(at(OTHER, "history"))).status_code == 404, "a bed that its edge no longer names is gone"
    assert (await two.http.get(at("clinic-9", "history"))).status_code == 404


async def test_trends_of_beds_of_one_name_are_kept_apart(two: Server) -> None:
    for edge, value in ((EDGE, 97), (OTHER, 88)):
        await two.console.edges[edge].store_history()
        trend = (await two.http.get(at(edge, "history"))).json()
        assert trend["metrics"]["spo2_pct"] == [value]


async def test_a_page_watches_and_sounds_by_edge(two: Server) -> None:
    page = two.console.join(await _user(two))
    await two.console.receive_from_page(page, json.dumps({"t": "watch", "edge": OTHER, "bed": BED}))
    assert two.console.feed.watched(OTHER, BED)
    assert not two.console.feed.watched(EDGE, BED)
    for edge in EDGES:
        journal = Journal(edge=edge).fill(1)
        hear(two.console, event_topic(edge), journal.payload(1, 1), False)
        await two.console.edges[edge].store_batch()
    await two.console.receive_from_page(page, json.dumps({"t": "sounded", "edge": OTHER, "seq": 1}))
    assert {edge: ingest.cursor.sounded_seq for edge, ingest in two.console.edges.items()} == {EDGE: 0, OTHER: 1}
    assert said(list(page._waiting), "event")[0]["event"]["edge"] == EDGE


async def _user(home: Server) -> Any:
    token = home.http.cookies["vigil_session"]
    return home.console.store.now(accounts.user_of, token, home.clock())
