"""The stream over real brokers: birth and death, an outage, acks, commands, a broker that hangs."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiomqtt
import msgspec
import pytest

from edge.contract import payloads as contract
from edge.contract.payloads import (
    Ack,
    Answer,
    Gone,
    command_payload,
    decode,
    encode,
)
from edge.stream.backlog import WINDOW
from tests.helpers.stream_world import (
    KEY,
    MOSQUITTO,
    BrokerProcess,
    Console,
    World,
    edge_signer,
    made_world,
    spawn,
    until,
)

BROKERS = ["amqtt", pytest.param("mosquitto", marks=pytest.mark.skipif(MOSQUITTO is None, reason="no mosquitto"))]


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BrokerProcess]:
    process = BrokerProcess(request.param, tmp_path)
    yield process
    process.kill()


@pytest.fixture
async def world(broker: BrokerProcess) -> AsyncIterator[World]:
    await broker.start()
    async with made_world(broker) as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("later_s", [0.0, 0.001, 0.005, 0.02])
async def test_a_stop_in_the_moment_the_broker_dies_is_still_a_stop(world: World, later_s: float) -> None:
    world.broker.kill()
    await asyncio.sleep(later_s)
    async with asyncio.timeout(6):
        await world.stop("stream")


@pytest.mark.slow
async def test_birth_heartbeat_and_a_clean_death(world: World) -> None:
    await until(lambda: len({status.at for status in world.console.statuses()}) >= 3, within_s=6)
    assert {status.state for status in world.console.statuses()} == {"alive"}
    await world.stop("stream")
    await until(lambda: world.console.statuses()[-1].state == "dead", within_s=1)
    retained = Console(world.broker.port)
    retained.acks = False
    task = asyncio.ensure_future(retained.run())
    await until(lambda: retained.statuses(), within_s=2)
    task.cancel()
    assert retained.statuses()[0].state == "dead"


async def states_of(port: int) -> set[str]:
    """The beds of which the broker retains a state, as whoever comes in now is told."""
    found, last = set[str](), contract.state_topic("clinic-1", "asked")
    async with asyncio.timeout(6), aiomqtt.Client("127.0.0.1", port) as late:
        await late.subscribe(contract.state_topic("clinic-1", "+"), qos=1)
        await late.publish(last, b"?", qos=1)
        async for message in late.messages:
            if message.topic.value == last:
                break
            found |= {message.topic.value} & {contract.state_topic("clinic-1", f"chair-{n}") for n in (1, 2)}
    return found  # amqtt tells whoever subscribes of other retained topics, too


@pytest.mark.slow
async def test_a_bed_that_is_taken_out_leaves_no_state_on_the_broker(world: World) -> None:
    """At once, and again at the next connect: it may have been taken out while the broker was away."""
    await until(lambda: world.stream.up, within_s=6)
    for bed in ("chair-1", "chair-2"):
        world.stream.state(bed, b'{"bed":"%s"}' % bed.encode())
    world.stream.forget("chair-2")
    gone = contract.state_topic("clinic-1", "chair-2")
    await until(lambda: (gone, b"") in world.console.heard, within_s=6)
    assert await states_of(world.broker.port) == {contract.state_topic("clinic-1", "chair-1")}
    world.broker.kill()
    await world.broker.start()
    async with aiomqtt.Client("127.0.0.1", world.broker.port) as other:
        await other.publish(gone, b"as it was", qos=1, retain=True)
    before = len(world.console.heard)
    await until(lambda: (gone, b"") in world.console.heard[before:], within_s=20)
    assert gone not in await states_of(world.broker.port)


@pytest.mark.slow
async def test_an_edge_that_is_killed_is_declared_dead_by_its_will(broker: BrokerProcess) -> None:
    await broker.start()
    script = f"""
import asyncio
from edge.contract.payloads import Answer, Status
from edge.stream.verifier import CommandVerifier
from edge.contract.mqtt import Mqtt
from edge.stream.faults import StreamFault
from edge.stream.publisher import Stream
from tests.helpers.stream_world import Box, KEY, edge_signer
status = lambda: Status(edge="clinic-1", boot="boot-1", state="alive", at="", version="", config="", beds=[], seq=0)
asyncio.run(Stream(Mqtt(port={broker.port}), edge="clinic-1", boot="boot-1", status=status, outbox=Box(), consoles=[],
    signer=edge_signer(), console_keys={{}},
    verifier=CommandVerifier(KEY, "clinic-1"), on_command=lambda c: Answer(id=c.id, ok=True), now=lambda: 0.0).run())
"""
    console = Console(broker.port)
    task = asyncio.ensure_future(console.run())
    edge = spawn([sys.executable, "-c", script])
    try:
        await until(lambda: console.statuses() and console.statuses()[-1].state == "alive", within_s=15)
        edge.kill()
        await until(lambda: console.statuses()[-1].state == "dead", within_s=2)
    finally:
        edge.kill()
        edge.wait()
        task.cancel()


@pytest.mark.slow
async def test_a_will_that_comes_after_the_new_birth_is_contradicted_at_once(world: World) -> None:
    await until(lambda: len(world.console.statuses()) >= 2)
    dead = msgspec.structs.replace(world.console.statuses()[-1], state="dead")
    topic = contract.status_topic("clinic-1")
    await world.console.publish(topic, edge_signer(1_000_000).sign(topic, encode(dead)))
    await until(lambda: any(status.state == "dead" for status in world.console.statuses()), within_s=1)
    await until(lambda: world.console.statuses()[-1].state == "alive", within_s=0.5)


@pytest.mark.slow
async def test_an_outage_loses_nothing_and_the_live_alarm_does_not_wait_for_the_backlog(world: World) -> None:
    world.commit(3)
    await until(lambda: world.box.cursors.get("main") == 3)
    assert [event.late for event in world.console.events] == [False] * 3
    world.stream.state("chair-1", b'{"as":"of 3"}')
    world.broker.kill()
    await until(lambda: not world.stream.up)
    for _ in range(30):
        world.commit(100)
    world.stream.state("chair-1", b'{"as":"of 3003"}')
    world.console.heard.clear()
    world.console.events.clear()
    world.console.acks = False
    await world.broker.start()
    await until(lambda: world.stream.up and world.console.events)
    (alarm,) = world.commit(1)
    await until(lambda: alarm.seq in world.console.store, within_s=1)
    assert not world.console.store[alarm.seq].late
    assert len(world.console.store) <= 3 + WINDOW * 200 + 1, "no more than the window without an ack"
    world.console.acks = True
    has, before = world.console.seq, len(world.console.events)
    await world.console.ack()
    await until(lambda: world.box.cursors["main"] == alarm.seq, within_s=10)
    missed = dict.fromkeys(event.seq for event in world.console.events[before:] if event.seq != alarm.seq)
    assert list(missed) == list(range(has + 1, 3004)), "in order, from what it says it has"
    assert all(event.late for event in world.console.events if event.seq != alarm.seq), "what was missed is marked late"
    assert all(event.verify() for event in world.console.store.values())
    assert world.links == [True, False, True]
    states = world.console.of("state")
    assert states[-1] == b'{"as":"of 3003"}'
    order = [topic.rsplit("/", 1)[1] for topic, _ in world.console.heard]
    assert order.index("state") < order.index("event"), "what is true comes before what was missed"


@pytest.mark.slow
async def test_only_an_ack_moves_the_cursor_and_only_a_true_one(world: World) -> None:
    world.console.acks = False
    world.commit(5)
    await until(lambda: world.console.seq == 5)
    await world.console.ack(seq=2)
    await until(lambda: world.box.moves == [("main", 2)])
    await world.console.ack(seq=6)
    await world.console.ack(seq=4, console="other")
    await world.console.say(contract.ack_topic("clinic-1", "main"), b"{4}")
    await world.console.say(contract.ack_topic("clinic-1", "other"), encode(Ack(console="other", seq=4, boot="")))
    await world.console.ack(seq=3)
    await until(lambda: world.box.moves[-1] == ("main", 3))
    assert world.box.moves == [("main", 2), ("main", 3)]
    await until(  # what is not acknowledged comes again, late
        lambda: [event.seq for event in world.console.events if event.late][:2] == [4, 5], within_s=3)


@pytest.mark.slow
async def test_an_alarm_committed_while_the_backlog_is_read_still_comes_live_first(world: World) -> None:
    world.console.acks = False
    world.commit(2)
    world.box.on_read = lambda: len(world.box.stored) < 3 and world.commit(1)
    await until(lambda: world.console.seq == 3)
    assert next(event.late for event in world.console.events if event.seq == 3) is False
    assert [event.seq for event in world.console.events if event.late][:2] == [1, 2]


@pytest.mark.slow
async def test_a_console_that_lost_its_store_gets_it_back_and_the_cursor_stays(world: World) -> None:
    world.commit(500)
    await until(lambda: world.box.cursors.get("main") == 500)
    world.console.store.clear()
    await world.console.ack()
    await until(lambda: world.console.seq == 500)
    assert world.box.cursors == {"main": 500}
    assert sorted(seq for _, seq in world.box.moves) == [seq for _, seq in world.box.moves]


@pytest.mark.slow
async def test_a_console_lives_by_its_acks(world: World) -> None:
    await until(lambda: world.changes)
    assert (world.changes[0][0], world.changes[0][1].state) == ("main", "live")
    world.console.acks = False
    took_s = await until(lambda: len(world.changes) == 2, within_s=7)
    assert world.changes[1][1].state == world.stream.console_states()["main"].state == "lost"
    assert took_s > 3.0
    await until(lambda: world.console.statuses()[-1].consoles["main"].state == "lost", within_s=1)
    await world.console.ack()
    await until(lambda: world.stream.console_states()["main"].state == "live", within_s=1)


@pytest.mark.slow
async def test_a_killed_consoles_last_will_is_believed_at_once_and_an_older_ones_not(world: World) -> None:
    await until(lambda: world.changes)
    world.console.acks = False

    async def say(run: str, gone: bool, seq: int = 0) -> None:
        if gone:
            will = encode(Gone(console="main", run=run))
            await world.console.say(contract.gone_topic("clinic-1", "main"), will)
        else:
            ack = Ack(console="main", seq=seq, boot="boot-1", run=run)
            await world.console.say(contract.ack_topic("clinic-1", "main"), encode(ack))

    await say("second", gone=False)
    await say("first", gone=True)
    world.commit(1)
    await say("second", gone=False, seq=1)  # comes after it on the same connection
    await until(lambda: world.box.cursors.get("main") == 1)
    assert [seen.state for _, seen in world.changes] == ["live"]
    await say("second", gone=True)
    await until(lambda: world.stream.console_states()["main"].state == "lost", within_s=1)
    await until(lambda: world.console.statuses()[-1].consoles["main"].state == "lost", within_s=1)
    await say("third", gone=False)
    await until(lambda: world.stream.console_states()["main"].state == "live", within_s=1)


@pytest.mark.slow
async def test_a_command_is_done_once_and_answered_whatever_else_is_refused_with_its_reason(world: World) -> None:
    def signed(name: str, nonce: str, key: bytes = KEY) -> bytes:
        now_s = 1_770_000_000.0
        return command_payload(
            key, id=name, edge="clinic-1", console="main", user="ann", role="nurse", bed="chair-1", verb="audio_pause",
            args={}, issued_s=now_s, expires_s=now_s + 10, nonce=nonce,
        )

    for payload in (signed("c1", "n1"), signed("c1", "n1"), signed("c2", "n2", b"not-the-key-of-this-edge"), b"{"):
        await world.console.publish(contract.command_topic("clinic-1"), payload)
    await world.console.publish(contract.command_topic("clinic-1"), signed("c3", "n3"))
    await until(lambda: len(world.console.of("answer")) == 4)
    answers = [decode(Answer, payload) for payload in world.console.of("answer")]
    assert [(answer.id, answer.ok, answer.reason) for answer in answers] == [
        ("c1", True, None), ("c1", False, "replayed"), ("c2", False, "forged"), ("c3", True, None),
    ]
    assert [command.id for command in world.commands] == ["c1", "c3"]


@pytest.mark.slow
async def test_vitals_leave_at_once_and_are_forgotten_while_there_is_no_broker(world: World) -> None:
    async def heard(payload: bytes, began_s: float) -> float:
        async with asyncio.timeout(8):
            while payload not in world.console.of("vitals")[-1:]:
                await asyncio.sleep(0)
        return time.perf_counter() - began_s

    took_s, bare_s = list[float](), list[float]()
    for number in range(60):
        world.stream.vitals("chair-1", b'{"n":%d}' % number)
        took_s.append(await heard(b'{"n":%d}' % number, time.perf_counter()))
    for number in range(60):  # how soon this broker gives anything on a machine as busy as it is now
        began_s = time.perf_counter()
        await world.console.say(contract.vitals_topic("clinic-1", "chair-9"), b'{"bare":%d}' % number)
        bare_s.append(await heard(b'{"bare":%d}' % number, began_s))
    assert sorted(took_s)[30] < 0.02 + sorted(bare_s)[30], "as soon as the same broker takes and gives anything"
    world.broker.kill()
    await until(lambda: not world.stream.up)
    world.stream.vitals("chair-1", b'{"old":1}')
    world.stream.wave("chair-1", "pleth", b'{"old":1}')
    await world.broker.start()
    await until(lambda: world.stream.up and world.console.subscribed == 2)
    world.stream.wave("chair-1", "pleth", b'{"new":1}')
    world.stream.vitals("chair-1", b'{"new":1}')
    await until(lambda: all(b'{"new":1}' in world.console.of(kind) for kind in ("vitals", "wave")))
    assert b'{"old":1}' not in world.console.of("vitals") + world.console.of("wave"), "they would have come before"


@pytest.mark.slow
async def test_a_broker_that_hangs_is_noticed_within_12_s_and_nothing_is_lost(world: World) -> None:
    world.commit(1)
    await until(lambda: world.box.cursors.get("main") == 1)
    world.broker.send(signal.SIGSTOP)
    try:
        await until(lambda: not world.stream.up, within_s=6)
        world.commit(5)
    finally:
        world.broker.send(signal.SIGCONT)
    await until(lambda: world.box.cursors["main"] == 6, within_s=10)
    await until(lambda: world.console.statuses()[-1].state == "alive", within_s=3)
