"""What a page is told: live only while the edge is heard, from its own boot, never from what a broker retained."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from edge.console import audit, history, sounded
from edge.console.accounts import User
from edge.console.feed import Feed, Page
from edge.console.health import Heartbeat
from edge.console.service import Console
from edge.contract.payloads import (
    DEAD_AFTER_S,
    AlarmNow,
    OtherNumeric,
    Status,
    Vitals,
    decode,
    encode,
    event_topic,
)
from tests.helpers.console_story import (
    BED,
    EDGE,
    START_S,
    STATE,
    STATUS,
    VITALS,
    WAVE,
    Clock,
    Journal,
    Wire,
    hear,
    numeric,
    said,
    settings,
    signed,
    state,
    status,
    vitals,
    wave,
)

ANN = User("ann", "nurse", "key-ann", "csrf", START_S + 1000)
EVENT = event_topic(EDGE)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def console(tmp_path: Path, clock: Clock, wire: Wire) -> Iterator[Console]:
    made = Console(settings(tmp_path, clock), wire)
    yield made
    made.store.close()


def read(page: Page) -> list[str]:
    """All that waits for the page."""
    waiting = list(page._waiting)
    page._waiting.clear()
    return waiting


# --- the edge's heartbeat ---------------------------------------------------------------------------------------------

Step = tuple[str, str, str, float, bool]
N, R = "new", "retained"
HEARTBEATS: list[tuple[str, list[Step]]] = [
    # how it came, boot, state, at (or real seconds waited), and whether the edge is live then
    ("a birth that comes now is one", [(N, "a", "alive", 0, True)]),
    ("what is retained is not", [(R, "a", "alive", 0, False)]),
    ("retained, then a later one", [(R, "a", "alive", 0, False), (N, "a", "alive", 2, True)]),
    ("a broker that marks all as retained", [(R, "a", "alive", 0, False), (R, "a", "alive", 2, True)]),
    ("the same retained twice", [(R, "a", "alive", 0, False), (R, "a", "alive", 0, False)]),
    ("a replayed heartbeat feeds no life",
     [(N, "a", "alive", 0, True), ("wait", "", "", 4, True), (N, "a", "alive", 0, True), ("wait", "", "", 2, False),
      (N, "a", "alive", 0, False)]),
    ("retained and later, but from before this connection",
     [(N, "a", "alive", 0, True), ("wait", "", "", 6, False), ("connect", "", "", 0, False),
      (R, "a", "alive", 60, False), (N, "a", "alive", 62, True)]),
    ("silence", [(N, "a", "alive", 0, True), ("wait", "", "", 4.9, True), ("wait", "", "", 0.2, False)]),
    ("its own last will", [(N, "a", "alive", 0, True), (N, "a", "dead", 0, False)]),
    ("life after its own last will",
     [(N, "a", "alive", 0, True), (N, "a", "dead", 0, False), (N, "a", "alive", 2, True)]),
    ("an old will after a new birth",
     [(N, "a", "alive", 0, True), (N, "b", "alive", 5, True), (N, "a", "dead", 0, True)]),
    ("a will of nobody known", [(N, "a", "alive", 0, True), (N, "z", "dead", 0, True)]),
    ("an old heartbeat after a new birth ends nothing and starts nothing",
     [(N, "a", "alive", 0, True), (N, "b", "alive", 5, True), (N, "a", "alive", 6, True), (N, "b", "dead", 5, False),
      (N, "a", "alive", 8, False)]),
    ("a retained death", [(R, "a", "dead", 0, False), (N, "a", "alive", 2, True)]),
]


@pytest.mark.parametrize("steps", [row[1] for row in HEARTBEATS], ids=[row[0] for row in HEARTBEATS])
def test_only_a_fresh_heartbeat_is_life(steps: list[Step]) -> None:
    heartbeat = Heartbeat(START_S)
    loop_s = 100.0
    for number, (how, boot, word, at, live) in enumerate(steps):
        if how == "connect":
            heartbeat.connected()
        elif how == "wait":
            loop_s += at
            heartbeat.tick(loop_s, START_S)
        else:
            told = decode(Status, status(START_S + at, boot=boot, state=word))
            heartbeat.receive(told, START_S + at, how == "retained", loop_s, START_S)
        assert heartbeat.part.ok is live, f"step {number + 1}: {how} {boot} {word} {at}"


def test_since_is_when_it_turned_and_age_is_real_time() -> None:
    heartbeat = Heartbeat(START_S)
    assert (heartbeat.part.since_s, heartbeat.age_s(0)) == (START_S, None)
    heartbeat.receive(decode(Status, status(START_S)), START_S, False, 10.0, START_S + 1)
    heartbeat.receive(decode(Status, status(START_S + 2)), START_S + 2, False, 12.0, START_S + 3)
    assert (heartbeat.part.since_s, heartbeat.age_s(12.8)) == (START_S + 1, 0.8)
    heartbeat.tick(12.0 + DEAD_AFTER_S + 0.1, START_S + 9)
    assert (heartbeat.part.ok, heartbeat.part.since_s, heartbeat.part.reason) == (False, START_S + 9, "silent")


# --- what is shown as live --------------------------------------------------------------------------------------------


async def test_a_retained_state_after_a_restart_is_not_live_until_the_edge_is_heard(console: Console) -> None:
    console.edges[EDGE].connected()
    hear(console, STATUS, status(START_S - 3600), True)
    hear(console, STATE, state(START_S - 3600), True)
    page = console.join(ANN)
    first = read(page)
    assert [message["live"] for message in said(first, "state")] == [False]
    assert said(first, "beat")[0]["hops"]["edge"]["ok"] is False
    hear(console, STATUS, status(START_S), False)
    assert [message["live"] for message in said(read(page), "state")] == [True], "told at once, without a new state"


async def test_a_state_of_an_earlier_boot_is_not_live_though_the_edge_is(console: Console) -> None:
    hear(console, STATUS, status(START_S, boot="boot-1"), False)
    hear(console, STATE, state(START_S, boot="boot-1", seq=7), False)
    page = console.join(ANN)
    hear(console, STATUS, status(START_S + 9, boot="boot-2"), False)
    assert [message["live"] for message in said(read(page), "state")][-1] is False
    hear(console, STATE, state(START_S + 9, boot="boot-2", seq=9), False)
    hear(console, STATE, state(START_S + 1, boot="boot-1", seq=8), True)
    told = said(read(page), "state")
    assert [(message["boot"], message["live"]) for message in told] == [("boot-2", True)]


async def test_a_state_that_was_overtaken_is_not_shown(console: Console) -> None:
    hear(console, STATUS, status(START_S + 11))
    page = console.join(ANN)
    read(page)
    for seq, at_s in ((5, 10.0), (4, 9.0), (5, 9.5), (5, 11.0), (6, 11.0)):
        hear(console, STATE, state(START_S + at_s, seq=seq), False)
    assert [(m["seq"], m["at"][-5:]) for m in said(read(page), "state")] == [(5, ".000Z"), (5, ".000Z"), (6, ".000Z")]


async def test_vitals_and_waves_that_a_broker_retained_are_not_shown(console: Console) -> None:
    page = console.join(ANN)
    page.watching = (EDGE, BED)
    read(page)
    hear(console, VITALS, vitals(spo2_pct=97), True)
    hear(console, WAVE, wave(), True)
    assert read(page) == []


async def test_vitals_reach_the_page_as_they_came_and_waves_only_who_watches(console: Console) -> None:
    hear(console, STATUS, status())
    ward, bedside = console.join(ANN), console.join(ANN)
    await console.receive_from_page(bedside, json.dumps({"t": "watch", "bed": BED}))
    read(ward), read(bedside)
    more = json.loads(vitals(spo2_pct=97)) | {"t": "hello", "tomorrow": {"a": 1}}
    hear(console, VITALS, json.dumps(more).encode(), False)
    hear(console, WAVE, wave(), False)
    [shown] = map(json.loads, read(ward))
    assert shown == more | {"t": "vitals"}, "unknown fields travel; what kind it is we say ourselves"
    chunk = said(read(bedside), "wave")
    assert [(m["bed"], m["name"], m["rate"], m["samples"]) for m in chunk] == [(BED, "pleth", 75.0, [1, None, 3])]


REFUSED = [
    ("not JSON", VITALS, b"{"),
    ("another bed than the topic", VITALS, vitals(bed="chair-2", spo2_pct=1)),
    ("another edge than the topic", STATUS, status().replace(b"clinic-1", b"clinic-2")),
    ("a wrong type", STATE, state().replace(b'"seq":1', b'"seq":"1"')),
    ("no time", VITALS, vitals(spo2_pct=97).replace(b"T", b"?")),
    ("a year no calendar has", STATUS, status().replace(b'"at":"2', b'"at":"X')),
    ("nesting without end", EVENT, b"[" * 100_000),
    ("not UTF-8", STATE, b'{"edge":"\xff"}'),
]


@pytest.mark.parametrize(("topic", "payload"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
async def test_a_payload_outside_the_contract_changes_nothing(console: Console, topic: str, payload: bytes) -> None:
    hear(console, STATUS, status(beds=[]))
    ingest = console.edges[EDGE]
    page = console.join(ANN)
    read(page)
    hear(console, topic, payload, False)
    assert (read(page), ingest.bad + ingest.trust.refused.total(), ingest.beds.ids()) == ([], 1, [])


def drawn(messages: list[str]) -> list[tuple[str, Any]]:
    return [(one["t"], one.get("beds") or one.get("bed")) for one in map(json.loads, messages)
            if one["t"] in ("ward", "state", "vitals")]


async def test_what_is_retained_of_a_bed_that_its_edge_no_longer_has_is_not_shown(console: Console) -> None:
    ingest = console.edges[EDGE]
    page = console.join(ANN)
    hear(console, STATUS, status(beds=["chair-9"]))
    read(page)
    hear(console, STATE, state(), True)
    hear(console, VITALS, vitals(spo2_pct=97), False)
    assert (drawn(read(page)), ingest.beds.ids(), ingest.state_json(BED)) == ([], ["chair-9"], None)
    hear(console, STATUS, status(START_S + 2, beds=["chair-9", BED]))
    assert drawn(read(page)) == [("ward", ["chair-9", BED]), ("state", BED)], "it waited until the edge named the bed"
    hear(console, VITALS, vitals(START_S + 2, spo2_pct=97), False)
    assert drawn(read(page)) == [("vitals", BED)]
    hear(console, STATUS, status(START_S + 4, beds=["chair-9"]))
    assert (ingest.beds.ids(), ingest.state_json(BED), ingest.beds.vitals_json(BED)) == (["chair-9"], None, None)


async def test_the_clearing_of_a_retained_state_is_no_news_and_not_counted(console: Console) -> None:
    hear(console, STATUS, status())
    hear(console, STATE, state(), False)
    ingest = console.edges[EDGE]
    before = ingest.state_json(BED)
    ingest.receive(STATE, b"", False)
    assert (ingest.state_json(BED), ingest.bad, ingest.trust.refused.total()) == (before, 0, 0)
    ingest.receive(VITALS, b"", False)
    assert ingest.bad + ingest.trust.refused.total() == 1, "of anything else nothing is no payload"


async def test_another_edges_topics_are_not_ours(console: Console) -> None:
    for topic in ("vigil/1/clinic-2/status", "vigil/2/clinic-1/status"):
        console.edges[EDGE].receive(topic, signed(topic, status()), False)
    assert (console.edges[EDGE].bad, console.edges[EDGE].heartbeat.boot) == (0, None)


# --- events -----------------------------------------------------------------------------------------------------------


async def test_an_event_is_shown_only_once_and_only_when_it_is_stored(console: Console, wire: Wire) -> None:
    hear(console, STATUS, status())
    page = console.join(ANN)
    read(page)
    journal = Journal().fill(3)
    hear(console, EVENT, journal.payload(1, 3), False)
    assert read(page) == [], "not yet stored"
    await console.edges[EDGE].store_batch()
    hear(console, EVENT, journal.payload(1, 3, late=True), False)
    await console.edges[EDGE].store_batch()
    shown = [message["event"] for message in said(read(page), "event")]
    assert [(event["seq"], event["late"]) for event in shown] == [(1, False), (2, False), (3, False)]
    await console.acknowledge(EDGE)
    assert wire.acks()[-1].seq == 3


async def test_late_events_are_shown_as_late_and_change_nothing_that_is_live(console: Console) -> None:
    hear(console, STATUS, status(), False)
    hear(console, STATE, state(seq=9), False)
    before = console.edges[EDGE].state_json(BED)
    page = console.join(ANN)
    read(page)
    journal = Journal().fill(2)
    hear(console, EVENT, journal.payload(1, 1, late=True), False)
    hear(console, EVENT, journal.payload(2, 2), True)
    await console.edges[EDGE].store_batch()
    told = read(page)
    assert [m["event"]["late"] for m in said(told, "event")] == [True, True], "a retained event is an old one"
    assert said(told, "state") == []
    assert console.edges[EDGE].state_json(BED) == before


async def test_a_live_alarm_does_not_wait_for_the_backlog(console: Console) -> None:
    hear(console, STATUS, status(START_S + 500))
    journal = Journal().fill(500)
    hear(console, EVENT, journal.payload(1, 499, late=True), False)
    hear(console, EVENT, journal.payload(500, 500), False)
    page = console.join(ANN)
    read(page)
    await console.edges[EDGE].store_batch()
    assert [m["event"]["seq"] for m in said(read(page), "event")] == [500]
    assert (console.edges[EDGE].cursor.seq, console.edges[EDGE].cursor.gap) == (0, True)


async def test_what_cannot_be_stored_is_not_shown_not_acknowledged_and_said(console: Console, wire: Wire) -> None:
    hear(console, STATUS, status())
    page = console.join(ANN)
    read(page)
    journal = Journal().fill(1)

    def writable(yes: bool) -> None:
        console.store.now(lambda connection: connection.exec_driver_sql(f"PRAGMA query_only={'OFF' if yes else 'ON'}"))

    writable(False)
    hear(console, EVENT, journal.payload(1, 1), False)
    await console.edges[EDGE].store_batch()
    await console.acknowledge(EDGE)
    assert (said(read(page), "event"), wire.acks()[-1].seq) == ([], 0)
    assert console.health()["console"]["ok"] is False
    writable(True)
    hear(console, EVENT, journal.payload(1, 1, late=True), False)
    await console.edges[EDGE].store_batch()
    await console.acknowledge(EDGE)
    assert (len(said(read(page), "event")), wire.acks()[-1].seq) == (1, 1)
    assert console.health()["console"]["ok"] is True


async def test_the_ack_names_console_boot_and_the_highest_alarm_that_sounded(console: Console, wire: Wire) -> None:
    page = console.join(ANN)
    hear(console, STATUS, status(boot="boot-7"), False)
    hear(console, EVENT, Journal("boot-7").fill(3).payload(1, 3), False)
    await console.edges[EDGE].store_batch()
    for seq in (2, 1, 2, 99):
        assert await console.receive_from_page(page, json.dumps({"t": "sounded", "seq": seq}))
    await console.acknowledge(EDGE)
    ack = wire.acks()[-1]
    assert (ack.console, ack.seq, ack.boot, ack.sounded_seq, ack.sounded) == ("main", 3, "boot-7", 2, (1, 2))
    lines = [(what, detail["seq"]) for _, what, _, detail in console.store.now(audit.lines)]
    assert lines == [("sounded", 2), ("sounded", 1), ("sounded unknown", 99)]


async def test_nobody_but_who_treats_patients_is_believed_to_have_heard_an_alarm(console: Console, wire: Wire) -> None:
    page = console.join(dataclasses.replace(ANN, role="technician"))
    hear(console, STATUS, status(boot="boot-7"), False)
    hear(console, EVENT, Journal("boot-7").fill(3).payload(1, 3), False)
    await console.edges[EDGE].store_batch()
    for claim in ({"t": "sound", "state": "on"}, {"t": "sounded", "seq": 2}):
        assert await console.receive_from_page(page, json.dumps(claim))
    await console.acknowledge(EDGE)
    assert (wire.acks()[-1].sounded_seq, wire.acks()[-1].sounded) == (None, ())
    assert console.health()["sound"]["ok"] is False, "its page does not sound, whatever it says"
    assert [what for _, what, _, _ in console.store.now(audit.lines)] == ["sound on", "sounded refused"]


async def test_an_alarm_the_state_lists_may_sound_before_its_event_is_stored(console: Console) -> None:
    hear(console, STATUS, status())
    alarm = AlarmNow(alarm="a", rule="HTN-3", state="active", priority="high", since="", seq=40, text="")
    hear(console, STATE, state(seq=40, alarms=[alarm]), False)
    assert await console.edges[EDGE].sounded(40)
    assert not await console.edges[EDGE].sounded(41)
    assert console.edges[EDGE].ack().sounded == (40,)


async def test_of_what_sounded_the_ack_names_the_last_and_all_that_stands(
    console: Console, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sounded, "TOLD", 2)
    hear(console, STATUS, status())
    alarms = [AlarmNow(alarm=f"a{seq}", rule="HTN-3", state="active", priority="high", since="", seq=seq, text="")
              for seq in (1, 2, 3, 4, 5)]
    hear(console, STATE, state(seq=5, alarms=alarms), False)
    for seq in (1, 2, 4, 5):
        await console.edges[EDGE].sounded(seq)
    hear(console, STATE, state(seq=6, alarms=alarms[:1]), False)
    assert console.edges[EDGE].ack().sounded == (1, 4, 5)


# --- pages ------------------------------------------------------------------------------------------------------------


async def test_a_page_first_hears_hello_then_every_bed_then_a_beat(console: Console) -> None:
    hear(console, STATUS, status(), False)
    hear(console, STATE, state(session="s-1"), False)
    hear(console, VITALS, vitals(spo2_pct=97), False)
    console.patients["s-1"] = "A. B."
    first = [json.loads(message) for message in read(console.join(ANN))]
    assert [message["t"] for message in first] == ["hello", "state", "vitals", "beat"]
    assert first[0].items() >= {
        "t": "hello", "now": "2027-01-15T08:00:00.000Z", "speed": 1.0, "edge": EDGE, "simulated": False,
        "user": {"name": "ann", "role": "nurse"}, "beds": [BED]}.items()
    assert (first[0]["edges"], first[0]["ward"]) == ([EDGE], [{"edge": EDGE, "bed": BED, "name": BED}])
    assert (first[1]["patient"], first[1]["live"]) == ("A. B.", True)


async def test_a_beat_comes_at_once_when_a_hop_turns_and_only_then(console: Console) -> None:
    page = console.join(ANN)
    console.beat_if(due=True)
    read(page)
    console.beat_if(due=False)
    assert read(page) == []
    console.edges[EDGE].connected()
    console.beat_if(due=False)
    [beat] = said(read(page), "beat")
    assert {name: hop["ok"] for name, hop in beat["hops"].items()} == {
        "broker": True, "edge": False, "record": True, "console": True, "sound": False}


async def test_a_ward_is_heard_while_one_page_has_its_sound_on(console: Console) -> None:
    one, two = console.join(ANN), console.join(ANN)
    heard: list[bool] = []
    for page, word in ((one, "blocked"), (two, "on"), (one, "on"), (two, "blocked")):
        assert await console.receive_from_page(page, json.dumps({"t": "sound", "state": word}))
        heard.append(console.health()["sound"]["ok"])
    console.leave(one)
    assert [*heard, console.health()["sound"]["ok"]] == [False, True, True, True, False]


NOT_OURS = ["", "{", "[]", '{"t":"watch"}', '{"t":"sound","state":"loud"}', '{"t":"sounded","seq":0}',
            '{"t":"sounded","seq":99999999999999999999}', '{"t":"command","verb":"start"}', "[" * 10_000]


@pytest.mark.parametrize("text", NOT_OURS)
async def test_a_page_that_talks_nonsense_is_refused(console: Console, text: str) -> None:
    assert not await console.receive_from_page(console.join(ANN), text)


async def test_a_slow_page_is_cut_and_the_others_miss_nothing() -> None:
    feed = Feed(limit=10)
    slow, quick = feed.join(ANN, ["hello"]), feed.join(ANN, ["hello"])
    got: list[str | None] = [await quick.next()]
    for n in range(30):
        feed.publish(str(n))
        got.append(await quick.next())
    assert got == ["hello", *map(str, range(30))]
    assert (slow.cut_code, quick.cut_code, feed.cut_slow) == (1013, None, 1)
    assert await slow.next() is None
    assert not slow._waiting, "what it did not read is let go"


async def test_who_logs_out_is_shown_nothing_more(console: Console) -> None:
    page, other = console.join(ANN), console.join(User("bob", "nurse", "key-bob", "csrf", 0))
    console.feed.end_sessions({"key-ann"})
    assert (await page.ended(), other.cut_code) == (4401, None)
    await console.end_sessions()
    assert other.cut_code == 4401, "its login is in no store: it has ended"


async def test_beat_and_ack_keep_coming_by_themselves(console: Console, wire: Wire) -> None:
    page = console.join(ANN)
    read(page)
    running = asyncio.ensure_future(console.run())
    while (message := await page.next()) is not None and json.loads(message)["t"] != "beat":
        pass
    while len(wire.acks()) < 2:
        console.edges[EDGE].ack_due.set()
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


# --- trends -----------------------------------------------------------------------------------------------------------


def trend(recorder: history.Recorder, *metrics: str) -> dict[str, Any]:
    moments = [(row.at_s, encode(row.numerics)) for row in recorder._held if isinstance(row, history.Row)]
    cuffs = [(row.at_s, row.values) for row in recorder._held if isinstance(row, history.Determination)]
    told: dict[str, Any] = json.loads(history.trend(moments, cuffs, metrics))
    return told


def test_a_trend_has_a_row_a_second_and_a_null_where_nobody_saw() -> None:
    recorder = history.Recorder()
    for at in (0, 0.2, 0.9, 1.0, 2.0, 30.0, 45.0, 60.5):
        recorder.receive(decode(Vitals, vitals(START_S + at, spo2_pct=90 + at)))
    told = trend(recorder, "spo2_pct", "resp_bpm")
    assert told["metrics"]["spo2_pct"] == [90, 91, 92, None, 120, 135, None, 150.5]
    assert told["metrics"]["resp_bpm"] == [None] * 8
    assert [at[17:19] for at in told["at"]] == ["00", "01", "02", "03", "30", "45", "46", "00"]


def test_what_a_second_device_says_is_a_line_of_its_own_in_the_trend() -> None:
    recorder = history.Recorder()
    for at, stale in ((0, False), (1, True)):
        told = decode(Vitals, vitals(START_S + at, spo2_pct=97))
        recorder.receive(replace(told, others=(OtherNumeric(
            metric="spo2_pct", value=84, at=told.at, age_s=0.0, stale=stale, device="oximeter-2"),)))
    assert trend(recorder, "spo2_pct", "spo2_pct@oximeter-2")["metrics"] == {
        "spo2_pct": [97, 97], "spo2_pct@oximeter-2": [84, None]}


NOT_SHOWN = [numeric(None, START_S, validity="invalid"), numeric(97, START_S, stale=True),
             numeric(97, START_S, validity="calibrating"), numeric(None, START_S)]


@pytest.mark.parametrize("told", NOT_SHOWN)
def test_what_is_stale_or_not_valid_is_a_gap_in_the_trend(told: Any) -> None:
    recorder = history.Recorder()
    recorder.receive(decode(Vitals, vitals(START_S, spo2_pct=told, pulse_bpm=60)))
    assert trend(recorder, "spo2_pct", "pulse_bpm")["metrics"] == {"spo2_pct": [None], "pulse_bpm": [60]}


def test_a_determination_is_one_point_however_often_it_is_told() -> None:
    recorder = history.Recorder()
    for at in range(5):
        cuff: dict[str, Any] = {name: numeric(value, START_S + (0 if at < 3 else 3)) for name, value in (
            ("sbp_mmhg", 120), ("dbp_mmhg", 80), ("map_mmhg", 93))}
        recorder.receive(decode(Vitals, vitals(START_S + at, bed=BED, **cuff)))
    told = trend(recorder)
    assert [(d["at"][17:19], d["sbp_mmhg"], d["nibp_pulse_bpm"]) for d in told["determinations"]] == [
        ("00", 120, None), ("03", 120, None)]
    assert told["metrics"] == {}, "the cuff's numbers are points, never a line"


def test_what_waits_for_a_broken_store_is_bounded() -> None:
    recorder = history.Recorder(limit=10)
    for at in range(50):
        recorder.receive(decode(Vitals, vitals(START_S + at, spo2_pct=97)))
    recorder.give_back(recorder.take())
    held = recorder.take()
    assert [row.at_s - START_S for row in held] == list(range(40, 50))


async def test_old_trends_are_forgotten_and_the_rest_stays(console: Console, clock: Clock) -> None:
    for at in (0, 100):
        hear(console, STATUS, status(START_S + at))
        hear(console, VITALS, vitals(START_S + at, spo2_pct=97, sbp_mmhg=120))
    await console.edges[EDGE].store_history()
    console.store.now(history.prune, EDGE, [BED], START_S + 50)
    moments, cuffs = console.store.now(history.rows_since, EDGE, BED, 0.0)
    assert [at for at, _ in moments] == [at for at, _ in cuffs] == [START_S + 100]
