"""What somebody on the bus can do to an edge: forged acks, wills and commands, its name, its size limits. Nothing is
believed, all is named, and the edge goes on."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from nacl.signing import SigningKey

from edge.contract import payloads as contract
from edge.contract.events import Event, PendingEvent, numbered
from edge.contract.payloads import Ack, Gone, Status, decode_events, encode
from edge.contract.signing import Signer
from edge.model import iso
from edge.stream.batches import BATCH_BYTES, SMALL_BYTES, TRIES, PayloadSize, event_message
from edge.stream.consoles import Consoles
from edge.stream.faults import EVERY_S, OtherBox, Rejection, Rejections, TooLarge
from edge.stream.own_status import ECHO_S, OTHER_KEPT_S, OwnStatus
from tests.helpers.bodies import body
from tests.helpers.stream_world import (
    CONSOLE_KEY,
    EDGE_KEY,
    MOSQUITTO,
    NOW_S,
    Box,
    BrokerProcess,
    World,
    edge_signer,
    made_world,
    until,
    world_on,
)

ACK, GONE = contract.ack_topic("clinic-1", "main"), contract.gone_topic("clinic-1", "main")
COMMAND, STATUS = contract.command_topic("clinic-1"), contract.status_topic("clinic-1")


def signer(key: SigningKey = CONSOLE_KEY, first: int = 100) -> Signer:
    return Signer(key, itertools.count(first).__next__)


def ack(seq: int = 7, boot: str = "boot-1", **more: Any) -> bytes:
    return encode(Ack(console="main", seq=seq, boot=boot, run="r1", **more))


# --- acks and wills, without a broker ---------------------------------------------------------------------------------


class Heard:
    """The consoles of an edge, and what was rejected of what they are said to have sent."""

    def __init__(self) -> None:
        self.rejected: list[tuple[str, str]] = []
        self.moved: list[str] = []
        self.consoles = Consoles(
            ["main", "second"], {"main": CONSOLE_KEY.verify_key}, boot="boot-1", now=lambda: NOW_S,
            stored=lambda _: 0, on_rejected=lambda sender, _, reason: self.rejected.append((sender, reason)),
            on_changed=lambda name, seen: self.moved.append(f"{name} {seen.state}"),
            on_arrived=lambda: self.moved.append("arrived"))


FORGED_ACKS: list[tuple[str, str, Callable[[Signer], bytes], tuple[str, str] | None]] = [
    ("unsigned", "main", lambda _: ack(), ("main", "unsigned")),
    ("signed by nobody we know", "main", lambda _: signer(SigningKey(b"x" * 32)).sign(ACK, ack()), ("main", "forged")),
    ("by the edge's own key", "main", lambda _: signer(EDGE_KEY).sign(ACK, ack()), ("main", "forged")),
    ("its will, as an ack", "main", lambda s: s.sign(GONE, ack()), ("main", "forged")),
    ("said to an older boot", "main", lambda s: s.sign(ACK, ack(boot="boot-0")), None),
    ("of a console nobody configured", "third", lambda s: s.sign(ACK, ack()), ("unknown console", "not_configured")),
    ("of a console without a key", "second", lambda s: s.sign(ACK, ack()), ("second", "no_key")),
    ("signed nonsense", "main", lambda s: s.sign(ACK, b'{"boot":"boot-1"}'), ("main", "bad_shape")),
]


@pytest.mark.parametrize(("what", "console", "made", "rejected"), FORGED_ACKS, ids=[row[0] for row in FORGED_ACKS])
async def test_a_forged_ack_is_no_ack_and_no_sign_of_life(
    what: str, console: str, made: Callable[[Signer], bytes], rejected: tuple[str, str] | None
) -> None:
    heard, true = Heard(), signer()
    topic = ACK.replace("main", console)
    assert heard.consoles.ack(console, topic, made(true)) is None
    assert (heard.rejected, heard.moved) == ([rejected] if rejected else [], [])
    said = Ack(console="main", seq=9, boot="boot-1", run="r1")
    assert heard.consoles.ack("main", ACK, true.sign(ACK, encode(said))) == said
    assert heard.moved == ["arrived", "main live"]
    heard.consoles.stop()


async def test_a_console_on_a_new_connection_has_arrived_though_its_last_one_was_never_missed() -> None:
    heard, true = Heard(), signer()
    for run in ("r1", "r1", "r2", "r2"):
        said = encode(Ack(console="main", seq=9, boot="boot-1", run=run))
        assert heard.consoles.ack("main", ACK, true.sign(ACK, said)) is not None
    assert heard.moved == ["arrived", "main live", "arrived"]
    heard.consoles.stop()


async def test_an_ack_said_again_moves_nothing_and_a_forged_will_ends_nothing() -> None:
    heard, true = Heard(), signer()
    first, second = (true.sign(ACK, ack(seq)) for seq in (3, 9))
    assert heard.consoles.ack("main", ACK, second) is not None
    assert heard.consoles.ack("main", ACK, first) is None
    assert heard.consoles.ack("main", ACK, second) is None
    gone = encode(Gone(console="main", run="r1"))
    heard.consoles.gone("main", GONE, gone)
    heard.consoles.gone("main", GONE, signer(EDGE_KEY).sign(GONE, gone))
    heard.consoles.gone("main", GONE, true.sign(ACK, gone))
    heard.consoles.gone("main", GONE, true.sign(GONE, encode(Gone(console="main", run="r0"))))
    assert heard.rejected == [("main", reason) for reason in ("replayed", "duplicate", "unsigned", "forged", "forged")]
    assert heard.moved == ["arrived", "main live"]
    heard.consoles.gone("main", GONE, true.sign(GONE, gone))
    assert heard.moved == ["arrived", "main live", "main lost"]
    heard.consoles.stop()


def test_what_is_rejected_is_reported_at_once_and_then_at_most_once_a_minute() -> None:
    rejections = Rejections()
    reports = [rejections.add("main", ACK, "forged", at_s) for at_s in range(int(EVERY_S) + 2)]
    assert [(number, report.count) for number, report in enumerate(reports) if report] == [(0, 1), (int(EVERY_S), 60)]
    assert rejections.add("main", ACK, "unsigned", 1.0) == Rejection("main", ACK, "unsigned", 1)
    assert rejections.add("main", ACK, "duplicate", 1.0) is None
    assert rejections.total["main", "forged"] == EVERY_S + 2


# --- the edge's own status, without a broker --------------------------------------------------------------------------


def status(boot: str = "boot-1", state: str = "alive", at_s: float = NOW_S + 60) -> bytes:
    return json.dumps({"boot": boot, "state": state, "at": iso(at_s)}).encode()


OWN: list[tuple[str, bytes, bool, str]] = [
    ("our own", edge_signer(9).sign(STATUS, status()), False, "echo"),
    ("our own, kept by the broker", edge_signer(9).sign(STATUS, status()), True, "echo"),
    ("our own again", edge_signer(5).sign(STATUS, status()), False, "old"),
    ("the will of an older connection of ours", edge_signer(4).sign(STATUS, status(state="dead")), False, "contradict"),
    ("another box with our key", edge_signer(4).sign(STATUS, status("boot-2")), False, "other"),
    ("our last boot's, kept by the broker", edge_signer(4).sign(STATUS, status("boot-0")), True, "old"),
    ("our last boot's, said again", edge_signer(4).sign(STATUS, status("boot-0", at_s=NOW_S - 9)), False, "old"),
    ("our last boot's will", edge_signer(4).sign(STATUS, status("boot-0", "dead")), False, "old"),
    ("unsigned", status("boot-2"), False, "unsigned"),
    ("of a stranger", signer().sign(STATUS, status("boot-2")), False, "forged"),
    ("signed nonsense", edge_signer(9).sign(STATUS, b'{"at":"now"}'), False, "bad_shape"),
]


@pytest.mark.parametrize(("what", "payload", "retained", "answer"), OWN, ids=[row[0] for row in OWN])
def test_what_comes_on_the_edges_own_status_topic(what: str, payload: bytes, retained: bool, answer: str) -> None:
    own = OwnStatus(EDGE_KEY.verify_key, "boot-1", NOW_S)
    assert own.receive(STATUS, edge_signer(5).sign(STATUS, status()), False, 0.0) == "echo"
    own.connected(1.0)
    assert own.receive(STATUS, payload, retained, 4.0) == answer
    assert own.deaf(1.1 + ECHO_S) is (answer != "echo"), "nothing but our own proves that we are heard"
    assert own.others(4.0) == (["boot-2"] if answer == "other" else [])
    assert own.others(4.0 + OTHER_KEPT_S) == []


# --- sizes, without a broker ------------------------------------------------------------------------------------------


def events(count: int, filler: str = "") -> list[Event]:
    pending = PendingEvent("bed-1", None, NOW_S, body("alarm", why=filler))
    return [numbered(pending, seq=seq, boot="boot-1", edge="clinic-1", wall="", prev="") for seq in range(1, count + 1)]


def test_a_batch_that_is_refused_is_halved_until_it_passes_and_not_tried_larger_for_a_while() -> None:
    size, some = PayloadSize(), events(200, "x" * 700)
    lengths: list[int] = []
    while len((message := event_message(some, True, edge_signer(), size)).payload) > 6000:
        lengths.append(len(message.payload))
        size.batch_failed(message, 0.0)
    assert lengths == sorted(lengths, reverse=True)
    assert len(lengths) < 7
    assert message.last > message.first
    fits = size.most
    for _ in range(9):
        size.batch_stored(message.last, 60.0)
    assert size.most == fits, "what failed a minute ago would fail again"
    for _ in range(9):
        size.batch_stored(message.last, 700.0)
    assert size.most == BATCH_BYTES


def test_a_small_payload_is_not_to_blame() -> None:
    size = PayloadSize()
    for _ in range(9):
        size.batch_failed(event_message(events(1), True, edge_signer(), size), 0.0)
        size.failed(STATUS, SMALL_BYTES, 0.0)
    assert size.most == BATCH_BYTES
    assert not size.hopeless(STATUS, SMALL_BYTES, 0.0)


def test_an_event_too_large_alone_goes_without_its_body_once_and_then_whole_again() -> None:
    size, (large,) = PayloadSize(), events(1, "x" * 9000)
    messages = []
    for _ in range(TRIES + 2):
        messages.append(event_message([large], True, edge_signer(), size))
        size.batch_failed(messages[-1], 0.0)
    assert [message.withheld > 9000 for message in messages] == [False] * TRIES + [True, False]
    (bare,), (whole,) = (decode_events(message.payload) for message in messages[TRIES:])
    assert (bytes(bare.body), bare.hash, bare.prev, bare.verify()) == (b"{}", large.hash, large.prev, True)
    assert len(messages[TRIES].payload) < SMALL_BYTES
    assert (whole.withheld, whole.verify()) == (0, True)


def test_any_other_payload_that_never_passes_is_done_without_for_a_minute() -> None:
    size = PayloadSize()
    for number in range(TRIES):
        assert not size.hopeless("state", 9000, number)
        size.failed("state", 9000, number)
    assert size.hopeless("state", 9000, 10.0)
    assert not size.hopeless("state", 100, 10.0)
    assert not size.hopeless("state", 9000, 100.0)
    size.passed("state")
    assert not size.hopeless("state", 9000, 10.0)


# --- over real brokers ------------------------------------------------------------------------------------------------

needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="no mosquitto")


async def says_every_second(world: World) -> None:
    """As a real console does every two."""
    while True:
        await asyncio.sleep(1.0)
        await world.console.ack()


async def ended(*worlds: World) -> None:
    for world in worlds:
        for name in list(world.tasks):
            await world.stop(name)


@pytest.mark.slow
@needs_mosquitto
@pytest.mark.parametrize("option", ["max_packet_size 6000", "message_size_limit 6000"])
async def test_a_broker_that_takes_no_more_than_6000_bytes_gets_all_that_fits_and_the_rest_is_told(
    option: str, tmp_path: Path
) -> None:
    broker = BrokerProcess("mosquitto", tmp_path, option)
    await broker.start()
    try:
        world = world_on(broker, Box())
        world.box.add(27, "x" * 800)
        world.box.add(1, "y" * 9000)
        world.box.add(9, "z" * 800)
        world.tasks = {"stream": asyncio.ensure_future(world.stream.run()),
                       "console": asyncio.ensure_future(world.console.run()),
                       "acks": asyncio.ensure_future(says_every_second(world))}
        await until(lambda: world.box.cursors.get("main") == 37, within_s=60)
        await ended(world)
    finally:
        broker.kill()
    stored = world.console.store
    assert [seq for seq, event in stored.items() if event.withheld] == [28]
    assert all(event.verify() and not event.withheld for seq, event in stored.items() if seq != 28)
    (told,) = {fault for fault in world.faults if isinstance(fault, TooLarge)}
    assert (told.seq, told.size > 9000) == (28, True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["amqtt", pytest.param("mosquitto", marks=needs_mosquitto)])
async def test_two_boxes_with_one_name_and_key_both_say_so(kind: str, tmp_path: Path) -> None:
    broker = BrokerProcess(kind, tmp_path)
    await broker.start()
    try:
        first, copy = world_on(broker, Box()), world_on(broker, Box(), boot="boot-2", first_n=10_000)
        for world in (first, copy):
            world.tasks["stream"] = asyncio.ensure_future(world.stream.run())
        first.tasks["console"] = asyncio.ensure_future(first.console.run())
        await until(lambda: first.faults and copy.faults, within_s=10)
        await until(lambda: {tuple(s.other_boots) for s in first.console.statuses()} >= {("boot-1",), ("boot-2",)})
        await ended(first, copy)
    finally:
        broker.kill()
    assert first.faults == [OtherBox("boot-2")]
    assert copy.faults == [OtherBox("boot-1")]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["amqtt", pytest.param("mosquitto", marks=needs_mosquitto)])
async def test_an_edge_that_is_pushed_off_the_broker_is_back_within_5_s_and_does_commands(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = itertools.chain(["known"], itertools.repeat("fresh"))
    monkeypatch.setattr(secrets, "token_hex", lambda _: next(tokens))
    broker = BrokerProcess(kind, tmp_path)
    await broker.start()
    try:
        async with made_world(broker) as world, aiomqtt.Client(
                "127.0.0.1", broker.port, timeout=2, identifier="vigil-edge-clinic-1-known"):
            await until(lambda: world.links.count(True) == 2, within_s=5)
            await world.console.say(COMMAND, ping())
            await until(lambda: world.console.of("answer"), within_s=2)
    finally:
        broker.kill()


def ping(nonce: str = "p1") -> bytes:
    return json.dumps({
        "id": nonce, "edge": "clinic-1", "console": "main", "user": "console", "role": "technician", "bed": "chair-1",
        "verb": "ping", "args": {}, "issued": iso(NOW_S), "expires": iso(NOW_S + 10), "nonce": nonce}).encode()


@pytest.mark.slow
async def test_an_edge_that_no_longer_hears_itself_connects_again_within_5_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = BrokerProcess("amqtt", tmp_path)
    await broker.start()
    hearing = OwnStatus.receive
    try:
        async with made_world(broker) as world:
            monkeypatch.setattr(OwnStatus, "receive", lambda *_: "old")
            took_s = await until(lambda: False in world.links, within_s=ECHO_S + 3)
            monkeypatch.setattr(OwnStatus, "receive", hearing)
            assert took_s < 6.5
            await until(lambda: world.links[-1], within_s=2)
    finally:
        broker.kill()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["amqtt", pytest.param("mosquitto", marks=needs_mosquitto)])
async def test_garbage_and_replays_keep_no_signed_command_waiting_and_forged_words_are_told_once(
    kind: str, tmp_path: Path
) -> None:
    broker = BrokerProcess(kind, tmp_path)
    await broker.start()
    try:
        async with made_world(broker) as world:
            world.commit(3)
            await until(lambda: world.box.cursors.get("main") == 3)
            forger = signer(SigningKey(b"x" * 32), 10**9)
            async with aiomqtt.Client("127.0.0.1", broker.port, timeout=20) as flood:
                flood.pending_calls_threshold = 10_000
                for number in range(1500):
                    await flood.publish(COMMAND, b'{"garbage":%d}' % number, qos=0)
                overheard = signer(CONSOLE_KEY, 10**9).sign(COMMAND, ping("p0"))
                for _ in range(1500):
                    await flood.publish(COMMAND, overheard, qos=0)
                await flood.publish(ACK, encode(Ack(console="main", seq=0, boot="boot-1")), qos=1)
                await flood.publish(ACK, forger.sign(ACK, ack(0)), qos=1)
                await flood.publish(COMMAND, forger.sign(COMMAND, ping("p9")), qos=1)
                await world.console.say(COMMAND, ping())
                await until(lambda: b'{"id":"p1","ok":true' in b"".join(world.console.of("answer")))
            told = {(fault.sender, fault.reason) for fault in world.faults if isinstance(fault, Rejection)}
            assert told >= {("main", "unsigned"), ("main", "forged"), ("command", "too_many")}
            assert world.box.cursors == {"main": 3}
            assert not world.commands
    finally:
        broker.kill()


@pytest.mark.slow
async def test_an_old_state_that_somebody_retains_again_is_replaced_for_a_console_that_starts(tmp_path: Path) -> None:
    """Signed by the edge and of this very boot: a console that starts has nothing to tell it from the present one."""
    state, old, new = contract.state_topic("clinic-1", "chair-1"), b'{"boot":"boot-1","alarms":1}', b'{"boot":"boot-1"}'
    broker = BrokerProcess("amqtt", tmp_path)
    await broker.start()
    try:
        async with made_world(broker) as world:
            await until(lambda: world.stream.up)
            world.stream.state("chair-1", old)
            await until(lambda: world.console.of("state") == [old])
            overheard = next(payload for topic, payload in world.console.heard if topic == state)
            world.stream.state("chair-1", new)
            await until(lambda: world.console.of("state") == [old, new])
            async with aiomqtt.Client("127.0.0.1", broker.port, timeout=5) as attacker:
                await attacker.publish(state, overheard, qos=1, retain=True)
                await until(lambda: world.console.of("state") == [old, new, old])
            started = Ack(console="main", seq=0, boot="boot-1", run="started-again")
            await world.console.say(ACK, encode(started))
            await until(lambda: world.console.of("state") == [old, new, old, new])
    finally:
        broker.kill()


@pytest.mark.slow
async def test_a_forged_status_of_another_boot_is_told_and_contradicted_by_nobody(tmp_path: Path) -> None:
    broker = BrokerProcess("amqtt", tmp_path)
    await broker.start()
    try:
        async with made_world(broker) as world:
            forged = encode(Status(edge="clinic-1", boot="boot-9", state="alive", at=iso(NOW_S + 99), version="",
                                   config="", beds=[], seq=0))
            await world.console.publish(STATUS, forged)
            await world.console.publish(STATUS, signer(SigningKey(b"x" * 32)).sign(STATUS, forged))
            await until(lambda: len(world.faults) == 2)
            assert {fault.reason for fault in world.faults if isinstance(fault, Rejection)} == {"unsigned", "forged"}
            assert world.stream.other_boots() == []
    finally:
        broker.kill()
