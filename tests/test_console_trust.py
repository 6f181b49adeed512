"""An attacker on the broker, a copied card, a flipped bit, a wrong clock: what the console then shows and says."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from nacl.signing import SigningKey

from edge.console import events, troubles
from edge.console.accounts import User
from edge.console.feed import Page
from edge.console.ingest import Ingest
from edge.console.metrics import Metrics
from edge.console.service import Console
from edge.contract.clocks import ClockOffset
from edge.contract.events import CommandRejected, ConsoleMoved, EventBody, PayloadsRejected, PayloadTooLarge
from edge.contract.payloads import (
    Answer,
    CommandIn,
    EventOut,
    ReloadNow,
    SpaceNow,
    StorageNow,
    answer_topic,
    decode,
    encode,
    event_topic,
    state_topic,
)
from edge.contract.signing import Signer
from edge.model import from_iso, iso
from tests.helpers.console_server import served
from tests.helpers.console_story import (
    BED,
    EDGE,
    SIGNER,
    START_S,
    STATE,
    STATUS,
    VITALS,
    Journal,
    Wire,
    hear,
    settings,
    signed,
    state,
    status,
    vitals,
)

ANN = User("ann", "nurse", "key-ann", "csrf", START_S + 1000)
EVENT, ANSWER = event_topic(EDGE), answer_topic(EDGE, "main")
OTHER_BED = state_topic(EDGE, "chair-2")
MALLORY = Signer(SigningKey(b"m" * 32), itertools.count(10**12).__next__)


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[Console]:
    made = Console(settings(tmp_path), Wire())
    made.edges[EDGE].connected()
    hear(made, STATUS, status(seq=1))
    hear(made, STATE, state(seq=1))
    hear(made, VITALS, vitals(spo2_pct=97))
    yield made
    made.store.close()


def read(page: Page) -> list[dict[str, Any]]:
    waiting = [json.loads(message) for message in page._waiting]
    page._waiting.clear()
    return waiting


def parts(console: Console) -> set[str]:
    return {trouble.part for trouble in console.troubles()}


# --- what an attacker can send ----------------------------------------------------------------------------------------


def forged(payload: bytes, topic: str) -> bytes:
    return signed(topic, payload, MALLORY)


def no_alarms() -> bytes:
    return state(START_S + 1, seq=2**62)


# name, topic, payload, as what it is counted
ATTACKS: list[tuple[str, str, Callable[[], bytes], str]] = [
    ("a state without alarms, unsigned", STATE, no_alarms, "unsigned"),
    ("a state without alarms, by another key", STATE, lambda: forged(no_alarms(), STATE), "forged"),
    ("a genuine state of another bed", STATE, lambda: signed(OTHER_BED, state(bed="chair-2")), "forged"),
    ("a genuine status as a state", STATE, lambda: signed(STATUS, status(START_S + 1)), "forged"),
    ("vitals dated ahead", VITALS, lambda: signed(VITALS, vitals(START_S + 50, spo2_pct=80)), "ahead"),
    ("vitals by another key", VITALS, lambda: forged(vitals(START_S + 1, spo2_pct=80), VITALS), "forged"),
    ("a heartbeat of another boot, unsigned", STATUS, lambda: status(START_S + 9, boot="boot-9"), "unsigned"),
    ("a heartbeat of another boot, by another key", STATUS,
     lambda: forged(status(START_S + 9, boot="boot-9"), STATUS), "forged"),
    ("a death by another key", STATUS, lambda: forged(status(START_S + 9, state="dead"), STATUS), "forged"),
    ("an event with the right prev, unsigned", EVENT, lambda: Journal().fill(1).payload(1, 1), "unsigned"),
    ("an event with the right prev, by another key", EVENT,
     lambda: forged(Journal().fill(1).payload(1, 1), EVENT), "forged"),
    ("a signature cut short", VITALS, lambda: signed(VITALS, vitals(spo2_pct=80))[:-8] + b'=="}', "unsigned"),
    ("a signature that is not last", VITALS,
     lambda: signed(VITALS, vitals(spo2_pct=80))[:-1] + b',"spo2":80}', "unsigned"),
    ("a genuine payload with one byte changed", VITALS,
     lambda: signed(VITALS, vitals(spo2_pct=97)).replace(b"97.0", b"80.0"), "forged"),
    ("an answer nobody signed", ANSWER, lambda: encode(Answer(id="x", ok=True)), "unsigned"),
    ("an answer by another key", ANSWER, lambda: forged(encode(Answer(id="x", ok=True)), ANSWER), "forged"),
    ("a state of the boot before", STATE, lambda: signed(STATE, state(START_S + 1, boot="boot-0")), "other_boot"),
    ("vitals of the boot before", VITALS, lambda: signed(VITALS, vitals(START_S + 1, boot="boot-0", spo2_pct=80)),
     "other_boot"),
    ("a megabyte", VITALS, lambda: b'{"numerics":"' + b"9" * 2**20 + b'"}', "unsigned"),
    ("nothing, as who wipes what is retained", STATUS, bytes, "unsigned"),
]


@pytest.mark.parametrize(("topic", "payload", "reason"), [row[1:] for row in ATTACKS], ids=[row[0] for row in ATTACKS])
async def test_what_the_edge_did_not_sign_is_counted_named_and_changes_nothing(
        console: Console, topic: str, payload: Callable[[], bytes], reason: str) -> None:
    ingest = console.edges[EDGE]
    before = (ingest.state_json(BED), ingest.beds.vitals_json(BED), ingest.heartbeat.boot, ingest.heartbeat.part.ok)
    page = console.join(ANN)
    read(page)
    for retained in (False, True):
        ingest.receive(topic, payload(), retained)
        await ingest.store_batch()
    assert read(page) == []
    assert (ingest.state_json(BED), ingest.beds.vitals_json(BED), ingest.heartbeat.boot,
            ingest.heartbeat.part.ok) == before
    assert (ingest.stored, ingest.cursor.seq) == (0, 0)
    assert dict(ingest.trust.refused) == {reason: 2}
    counted = f'vigil_console_messages_refused_total{{edge="{EDGE}",reason="{reason}"}} 2.0'
    assert counted in Metrics(console).text().decode()
    [trouble] = [each for each in console.troubles() if each.part == "signatures"]
    assert trouble.what.startswith(f"Messages refused in the name of {EDGE}: 2 ")
    assert topic in trouble.what
    hear(console, VITALS, vitals(START_S + 1, spo2_pct=96))
    assert [message["t"] for message in read(page)] == ["vitals"], "the genuine ones go on"


async def test_a_retained_state_that_is_wiped_stays_on_the_screens(console: Console) -> None:
    ingest = console.edges[EDGE]
    before, page = ingest.state_json(BED), console.join(ANN)
    read(page)
    for retained in (False, True):
        ingest.receive(STATE, b"", retained)
    assert (ingest.state_json(BED), read(page)) == (before, [])
    assert not ingest.trust.refused, "an edge clears that of a bed that is no more so, too"


ACK = "vigil/1/clinic-1/ack/main"
SAID_BY_THE_EDGE: list[tuple[EventBody, tuple[str, str] | None]] = [
    (PayloadsRejected(rejected_sender="main", topic=ACK, reason="forged", count=3),
     ("signatures", f"3 messages in the name of main were rejected: forged, on {ACK}")),
    (CommandRejected(command="c1", console="main", reason="replayed", more=41),
     ("signatures", "42 commands in the name of main were rejected: replayed")),
    (CommandRejected(command="", console="", reason="bad_shape: no JSON", more=0),
     ("signatures", "1 commands in the name of nobody were rejected: bad_shape: no JSON")),
    (PayloadTooLarge(too_large=EVENT, of_seq=7, size=9000),
     ("broker", f"The broker does not take 9000 bytes on {EVENT}")),
    (CommandRejected(command="c1", console="main", reason="forbidden", more=0), None),
    (ConsoleMoved(console="main", state="lost", seq=3), None),
]


@pytest.mark.parametrize(("body", "shown"), SAID_BY_THE_EDGE)
async def test_what_the_edge_rejected_stands_on_the_screen_for_a_minute_with_a_remedy(
    tmp_path: Path, body: EventBody, shown: tuple[str, str] | None
) -> None:
    async with served(tmp_path) as home:
        journal = Journal()
        journal.add(body, None)
        hear(home.console, EVENT, journal.payload(1, 1))
        await home.console.edges[EDGE].store_batch()
        found = [(trouble.part, trouble.what) for trouble in home.console.troubles() if trouble.remedy]
        assert found == ([] if shown is None else [(shown[0], f"{EDGE} says: {shown[1]}")])
        home.clock.at_s += 62
        assert [each for each in home.console.troubles() if each.part in ("signatures", "broker")] == []


async def test_a_payload_heard_again_is_not_believed_again(console: Console) -> None:
    old = signed(VITALS, vitals(START_S + 1, spo2_pct=97))
    ingest = console.edges[EDGE]
    ingest.receive(VITALS, old, False)
    hear(console, VITALS, vitals(START_S + 2, spo2_pct=70))
    ingest.receive(VITALS, old, False)
    shown = ingest.beds.vitals_json(BED)
    assert shown is not None
    assert shown["numerics"]["spo2_pct"]["value"] == 70
    assert dict(ingest.trust.refused) == {"replayed": 1}


async def test_yesterdays_payloads_are_not_believed_after_a_restart(tmp_path: Path) -> None:
    first = Console(settings(tmp_path), Wire())
    old = [(STATUS, signed(STATUS, status(START_S, boot="boot-0"))),
           (STATE, signed(STATE, state(START_S, boot="boot-0", seq=5)))]
    for topic, payload in old:
        first.edges[EDGE].receive(topic, payload, False)
    hear(first, STATUS, status(START_S + 9))
    await first.edges[EDGE].store_memory()
    first.store.close()
    again = Console(settings(tmp_path), Wire())
    await again.load()
    for topic, payload in old:
        again.edges[EDGE].receive(topic, payload, False)
    ingest = again.edges[EDGE]
    assert (ingest.heartbeat.boot, ingest.heartbeat.part.ok, ingest.beds.ids()) == (None, False, [])
    assert ingest.trust.refused.total() == 2
    hear(again, STATUS, status(START_S + 10))
    assert ingest.heartbeat.part.ok
    again.store.close()


async def test_without_the_edges_key_nothing_is_believed_and_the_screen_says_what_to_copy(tmp_path: Path) -> None:
    console = Console(settings(tmp_path, edge_keys={}), Wire())
    hear(console, STATUS, status())
    assert console.edges[EDGE].heartbeat.part.ok is False
    [trouble] = console.troubles()
    assert f"keys/{EDGE}.pub" in trouble.remedy
    console.store.close()


async def test_a_retained_state_above_what_the_edge_has_waits_and_is_refused(tmp_path: Path) -> None:
    console = Console(settings(tmp_path), Wire())
    ingest = console.edges[EDGE]
    hear(console, STATUS, status(seq=7), True)
    hear(console, STATE, state(START_S + 1, seq=8), True)
    assert ingest.state_json(BED) is None, "it may be newer than the status retained with it"
    hear(console, STATUS, status(START_S + 2, seq=8))
    assert ingest.beds.live(BED, True, "boot-1")
    hear(console, STATE, state(START_S + 2, seq=2**62), True)
    hear(console, STATUS, status(START_S + 4, seq=9))
    shown = ingest.state_json(BED)
    assert shown is not None
    assert (shown["seq"], ingest.bad) == (8, 1)
    console.store.close()


async def test_an_answer_counts_only_for_the_nonce_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.console.command_client.ANSWER_S", 0.05)

    def reply(command: CommandIn) -> Answer:
        return Answer(id=command.id, ok=True, nonce="of another command")

    async with served(tmp_path) as home:
        home.wire.reply = reply
        await home.login()
        assert (await home.command("audio_pause")).status_code == 504


async def test_two_boxes_with_one_name_are_named_and_not_live(console: Console) -> None:
    ingest = console.edges[EDGE]
    hear(console, STATUS, status(START_S + 1, boot="boot-2", seq=1))
    assert ingest.heartbeat.part.ok, "an edge that started again is one box"
    hear(console, STATUS, status(START_S + 2, boot="boot-1", seq=2))  # the first box, which never stopped
    assert (ingest.heartbeat.part.ok, ingest.heartbeat.part.reason) == (False, f"two boxes call themselves {EDGE}")
    assert "boxes" in parts(console)


async def test_an_edge_that_hears_its_own_name_said_by_another_says_so(console: Console) -> None:
    told = json.loads(status(START_S + 1)) | {"other_boots": ["boot-7"]}
    hear(console, STATUS, json.dumps(told).encode())
    assert console.edges[EDGE].heartbeat.part.ok is False
    assert "boxes" in parts(console)


# --- clocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew_s", [-7200.0, -15.0, -2.1, 0.0, 1.9, 2.1, 40.0, 86400.0])
async def test_no_skew_locks_a_nurse_out_and_it_is_named(tmp_path: Path, skew_s: float) -> None:
    async with served(tmp_path) as home:
        await home.login()
        home.clock.at_s = START_S - skew_s  # the edge stays where it is
        ingest = home.console.edges[EDGE]
        for beat in range(1, 7):
            home.clock.at_s += 1
            hear(home.console, STATUS, status(START_S + beat))
        assert (await home.command("audio_pause")).status_code in (200, 401)
        if skew_s < 86400:
            [(command, _)] = home.wire.commands()
            assert abs(from_iso(command.issued) - (START_S + 6)) < 0.1, "the edge's time"
        assert home.console.edges_json()[EDGE]["skew_s"] == pytest.approx(skew_s, abs=0.1)
        named = [trouble.what for trouble in home.console.troubles() if trouble.part == "clock"]
        assert [f"{abs(skew_s):g} s" in what for what in named] == ([True] if abs(skew_s) > 2 else [])
        assert ingest.heartbeat.part.ok


def test_the_heartbeat_that_was_shortest_on_its_way_tells_the_clock() -> None:
    clock = ClockOffset()
    for at_s, heard_s in ((0, 1.5), (2, 2.1), (4, 5.0)):
        clock.heard(at_s, heard_s)
    assert clock.offset_s == pytest.approx(-0.1)


# --- the record -------------------------------------------------------------------------------------------------------


def journal_of(count: int) -> Journal:
    return Journal().fill(count)


async def stored(console: Console, journal: Journal, first: int, last: int) -> Ingest:
    hear(console, STATUS, status(START_S + last, seq=last))
    hear(console, EVENT, journal.payload(first, last, late=True))
    await console.edges[EDGE].store_batch()
    return console.edges[EDGE]


def flip(console: Console, seq: int, where: int, bit: int) -> None:
    """One bit of a stored event, as a bad disk leaves it."""
    def work(connection: Any) -> None:
        kept = connection.exec_driver_sql("SELECT json FROM events WHERE seq = ?", (seq,)).scalar_one()
        raw = bytearray(kept)
        raw[where % len(raw)] ^= 1 << bit
        connection.exec_driver_sql("UPDATE events SET json = ? WHERE seq = ?", (bytes(raw), seq))

    console.store.now(work)


@pytest.mark.parametrize("seed", range(12))
async def test_a_damaged_event_is_never_handed_out_and_is_fetched_again(console: Console, seed: int) -> None:
    chance = random.Random(seed)
    journal = journal_of(8)
    ingest = await stored(console, journal, 1, 8)
    seq = chance.randint(1, 8)
    flip(console, seq, chance.randrange(10_000), chance.randrange(8))
    true = {event.seq: event.hash for event in journal.events}
    found = [decode(EventOut, raw) for raw in await ingest.events_of_bed(BED, 100, None)]
    assert all(event.verify() and event.hash == true[event.seq] for event in found)
    if len(found) == 8:  # the bit was in `late`, which is no part of what happened
        return
    assert (ingest.cursor.seq, ingest.judge_record().ok) == (seq - 1, False)
    assert "record" in parts(console)
    assert ingest.ack().seq == seq - 1, "the ack asks for it again"
    await stored(console, journal, seq, 8)
    assert [decode(EventOut, raw).seq for raw in await ingest.events_of_bed(BED, 100, None)] == list(range(8, 0, -1))
    assert ingest.cursor.seq == 8


async def test_what_nobody_reads_is_checked_in_the_background(console: Console) -> None:
    journal = journal_of(50)
    ingest = await stored(console, journal, 1, 50)
    console.store.now(lambda connection: connection.exec_driver_sql("DELETE FROM events WHERE seq = 30"))
    for _ in range(4):
        await ingest.check_record()
    assert ingest.cursor.seq == 29
    await stored(console, journal, 30, 50)
    assert ingest.cursor.seq == 50


@pytest.mark.parametrize("damage", [
    "UPDATE edges SET hash = 'f'", "UPDATE edges SET seq = 4", "UPDATE edges SET seq = 99999999",
    "UPDATE events SET hash = 'f' WHERE seq = 8", "UPDATE events SET prev = 'f' WHERE seq = 8",
    "DELETE FROM events WHERE seq >= 7"])
async def test_a_damaged_cursor_or_column_heals_with_the_next_events(console: Console, damage: str) -> None:
    journal = journal_of(12)
    ingest = await stored(console, journal, 1, 8)
    console.store.now(lambda connection: connection.exec_driver_sql(damage))
    await stored(console, journal, 9, 10)
    await stored(console, journal, ingest.cursor.seq + 1, 12)
    assert (ingest.cursor.seq, ingest.cursor.gap) == (12, False)
    assert console.store.now(events.seqs, EDGE) == list(range(1, 13))


async def test_an_event_that_somebody_forged_into_0_1_0_gives_way_to_the_signed_one(console: Console) -> None:
    genuine = Journal()
    for _ in range(4):
        genuine.add()
    forger = Journal(events=genuine.events[:2])
    liar = forger.add(state="inactive")
    console.store.now(events.append, EDGE, [genuine.out(1), genuine.out(2), liar], "boot-1", START_S)
    true = [_with_sig(genuine.out(seq)) for seq in (3, 4)]
    hear(console, STATUS, status(START_S + 4, seq=4))
    hear(console, EVENT, encode(true))
    await console.edges[EDGE].store_batch()
    ingest = console.edges[EDGE]
    assert (ingest.cursor.seq, ingest.refused) == (4, 0)
    found = [decode(EventOut, raw).hash for raw in await ingest.events_of_bed(BED, 10, None)]
    assert found[:2] == [true[1].hash, true[0].hash]


def _with_sig(event: EventOut) -> EventOut:
    return replace(event, hash_sig=SIGNER.sign_hash(EDGE, event.hash))


async def test_an_event_whose_own_signature_is_wrong_is_refused(console: Console) -> None:
    wrong = replace(Journal().add(), hash_sig=MALLORY.sign_hash(EDGE, Journal().add().hash))
    hear(console, EVENT, encode(wrong))
    await console.edges[EDGE].store_batch()
    assert console.edges[EDGE].last_refusal == "event 1: sig"


async def test_a_refused_event_and_an_open_gap_are_said_and_pass(
        console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.console.ingest.GAP_S", 0.0)
    journal = journal_of(5)
    ingest = await stored(console, journal, 1, 2)
    assert ingest.judge_record().ok
    await stored(console, journal, 4, 5)
    assert (ingest.judge_record().ok, ingest.record.reason) == (False, "events after 2 are missing")
    assert console.health()["record"]["ok"] is False
    await stored(console, journal, 3, 3)
    assert ingest.judge_record().ok


async def test_an_edge_that_cannot_write_its_record_is_named_with_the_remedy_until_it_can(console: Console) -> None:
    failing = StorageNow(since=iso(START_S), reason="database or disk is full", events=12, inputs=900)
    hear(console, STATUS, status(START_S + 2, seq=1, storage=failing))
    (trouble,) = [each for each in console.troubles() if each.part == "storage"]
    assert trouble.what == (f"{EDGE} cannot write its record: database or disk is full. Watching and alarms go on; in"
                            " its memory alone: 12 events")
    assert "Do not switch the box off" in trouble.remedy
    lost = replace(failing, lost_inputs=3)
    hear(console, STATUS, status(START_S + 4, seq=1, storage=lost))
    (trouble,) = [each for each in console.troubles() if each.part == "storage"]
    assert trouble.what.endswith("12 events; 3 readings are not kept")
    hear(console, STATUS, status(START_S + 6, seq=1))
    assert [each for each in console.troubles() if each.part == "storage"] == []


async def test_an_edge_whose_disk_fills_is_named_with_the_remedy(console: Console) -> None:
    space = SpaceNow(since=iso(START_S), used_pct=81.3, full_in_s=432_000.0)
    hear(console, STATUS, status(START_S + 2, seq=1, space=space))
    (trouble,) = [each for each in console.troubles() if each.part == "space"]
    assert trouble.what == f"The disk of {EDGE} is 81.3 % full, and is full in 5.0 days"
    assert "keep_inputs_days" in trouble.remedy
    hear(console, STATUS, status(START_S + 4, seq=1, space=replace(space, full_in_s=None)))
    (trouble,) = [each for each in console.troubles() if each.part == "space"]
    assert trouble.what == f"The disk of {EDGE} is 81.3 % full"
    hear(console, STATUS, status(START_S + 6, seq=1))
    assert [each for each in console.troubles() if each.part == "space"] == []


@pytest.mark.parametrize(("reason", "remedy"), [
    ("[code:135] Not authorized", "user and password"), ("[code:134] Bad user name or password", "user and password"),
    ("[code:133] Client identifier not valid", "a second console of this name"),
    ("the broker refused the subscription to vigil/1/clinic-1/event", "access list must let this console read"),
    ("[Errno 111] Connection refused", None), ("the broker does not answer", None), ("", None),
])
def test_a_broker_that_refuses_is_told_apart_from_one_that_is_not_reached(reason: str, remedy: str | None) -> None:
    said = troubles.refusal(reason)
    assert (said is None) if remedy is None else (said is not None and remedy in said)


@pytest.mark.parametrize(("state", "what", "remedy"), [
    ("refused", f"{EDGE} goes on with its old edge.toml; the new one is refused: edge.toml:9: no driver 'nonn'",
     "systemctl reload"),
    ("restart", f"{EDGE} goes by its old configuration in part, until it is restarted: edge.toml:9: no driver 'nonn'",
     "systemctl restart"),
])
async def test_an_edge_toml_that_is_not_gone_by_is_said_until_it_is(
        console: Console, state: Any, what: str, remedy: str) -> None:
    again = ReloadNow(state=state, at=iso(START_S), text="edge.toml:9: no driver 'nonn'")
    hear(console, STATUS, status(START_S + 2, seq=1, reload=again))
    (trouble,) = [each for each in console.troubles() if each.part == "configuration"]
    assert trouble.what == what
    assert remedy in trouble.remedy
    hear(console, STATUS, status(START_S + 4, seq=1, reload=replace(again, state="done")))
    assert [each for each in console.troubles() if each.part == "configuration"] == []
