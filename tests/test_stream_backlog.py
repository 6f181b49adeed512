"""What each console is sent late, what it is sent again, and when: all with told time, over no broker."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.contract.events import GENESIS, Event, PendingEvent, numbered
from edge.contract.mqtt import Latest
from edge.contract.payloads import decode_events
from edge.stream.backlog import MAX_PATIENCE_S, PATIENCE_S, WINDOW, Backlog
from edge.stream.batches import BATCH_BYTES, PayloadSize, event_message
from tests.helpers.bodies import body
from tests.helpers.stream_world import edge_signer


def send_batch(backlog: Backlog, at_s: float, size: int = 10) -> tuple[int, int] | None:
    """The next late batch as (first, last), marked as sent."""
    after = backlog.next(at_s)
    if after is None:
        return None
    last = min(after + size, backlog.late_to)
    backlog.batch_sent(after + 1, last, at_s)
    return after + 1, last


def test_after_a_connect_the_backlog_starts_where_the_console_ended_and_waits_for_its_acks() -> None:
    backlog = Backlog({"main": 5}, 100)
    backlog.connected(100, 0.0)
    assert [send_batch(backlog, 0.0) for _ in range(WINDOW + 1)] == [(6, 15), (16, 25), None]
    backlog.acked("main", 15, 0.1)
    assert [send_batch(backlog, 0.1) for _ in range(2)] == [(26, 35), None]


def test_what_is_not_acknowledged_is_sent_again_and_ever_more_rarely() -> None:
    backlog = Backlog({"main": 0}, 5)
    backlog.connected(5, 0.0)
    backlog.acked("main", 0, 0.0)
    sent_s = [step / 10 for step in range(400) if send_batch(backlog, step / 10)]
    assert sent_s[:4] == [0.0, PATIENCE_S, 3 * PATIENCE_S, 7 * PATIENCE_S]
    assert sent_s[-1] - sent_s[-2] == pytest.approx(MAX_PATIENCE_S)


def test_a_console_that_is_gone_is_sent_nothing_again_until_it_returns() -> None:
    backlog = Backlog({"main": 0}, 5)
    backlog.connected(5, 0.0)
    assert send_batch(backlog, 0.0) == (1, 5)
    assert send_batch(backlog, 60.0) is None
    assert backlog.due_in_s(60.0) is None
    backlog.acked("main", 2, 60.0)
    assert backlog.due_in_s(60.0) == PATIENCE_S
    assert send_batch(backlog, 60.0 + PATIENCE_S) == (3, 5)


def test_a_console_that_stores_every_live_event_is_sent_nothing_late() -> None:
    backlog = Backlog({"main": 0}, 0)
    backlog.connected(0, 0.0)
    for seq in range(1, 100):
        backlog.live_sent(seq, seq, seq)
        assert send_batch(backlog, seq) is None
        backlog.acked("main", seq, seq + PATIENCE_S * 0.9)


def test_a_steady_flow_of_live_events_does_not_hide_that_one_was_lost() -> None:
    backlog = Backlog({"main": 0}, 0)
    backlog.connected(0, 0.0)
    backlog.acked("main", 0, 0.0)
    late = []
    for step in range(30):
        backlog.live_sent(step + 1, step + 1, step / 10)
        late.append(send_batch(backlog, step / 10))
    assert [batch for batch in late if batch] != []
    assert next(batch for batch in late if batch)[0] == 1


def test_an_event_still_waiting_for_the_live_lane_never_goes_late() -> None:
    backlog = Backlog({"main": 0}, 10)
    backlog.connected(10, 0.0)
    assert send_batch(backlog, 0.0, size=200) == (1, 10)
    assert send_batch(backlog, 0.0) is None
    backlog.live_sent(12, 13, 0.0)  # 11 was given up
    assert send_batch(backlog, 0.0) == (11, 13)


def test_a_console_that_is_gone_never_holds_up_one_that_lives() -> None:
    backlog = Backlog({"gone": 0, "main": 50}, 100)
    backlog.connected(100, 0.0)
    backlog.acked("main", 50, 0.0)
    sent = [send_batch(backlog, 0.0) for _ in range(5)]
    assert (51, 60) in sent
    assert (61, 70) in sent
    assert sent[-1] is None


def test_what_went_out_before_a_consoles_first_word_goes_again_in_order() -> None:
    """It may have subscribed between two batches, and must not hear the second before the first."""
    backlog = Backlog({"main": 5}, 100)
    backlog.acked("main", 5, 0.0)
    backlog.connected(100, 1.0)
    assert [send_batch(backlog, 1.0) for _ in range(2)] == [(6, 15), (16, 25)]
    backlog.acked("main", 5, 1.1)
    assert [send_batch(backlog, 1.1) for _ in range(3)] == [(6, 15), (16, 25), None]
    backlog.acked("main", 5, 1.2)
    assert send_batch(backlog, 1.2) is None, "once: from here on it is there"


def test_the_console_that_lacks_most_is_served_first() -> None:
    backlog = Backlog({"ahead": 50, "behind": 20}, 100)
    backlog.connected(100, 0.0)
    assert send_batch(backlog, 0.0) == (21, 30)


def test_two_consoles_at_the_same_place_share_a_batch() -> None:
    backlog = Backlog({"a": 0, "b": 0}, 10)
    backlog.connected(10, 0.0)
    assert [send_batch(backlog, 0.0) for _ in range(2)] == [(1, 10), None]


def test_a_console_that_lost_its_store_gets_everything_again_at_once() -> None:
    backlog = Backlog({"main": 90}, 100)
    backlog.connected(100, 0.0)
    assert send_batch(backlog, 0.0) == (91, 100)
    backlog.acked("main", 100, 0.1)
    backlog.acked("main", 3, 0.2)
    assert send_batch(backlog, 0.2) == (4, 13)


@pytest.mark.slow
@given(st.data())
def test_everything_is_stored_in_the_end_whatever_the_broker_loses(data: st.DataObject) -> None:
    head, stored, at_s = 0, 0, 0.0
    backlog = Backlog({"main": 0}, 0)
    backlog.connected(0, at_s)
    for step in range(120):
        at_s += 0.5
        calm = step >= 60
        lost = st.just(False) if calm else st.booleans()
        if not calm and data.draw(st.booleans()):
            first, head = head + 1, head + data.draw(st.integers(1, 7))
            backlog.live_sent(first, head, at_s)
            if not data.draw(lost) and first == stored + 1:
                stored = head
        batch = send_batch(backlog, at_s)
        if batch is not None and not data.draw(lost) and batch[0] <= stored + 1:
            stored = max(stored, batch[1])
        if not data.draw(lost):
            backlog.acked("main", stored, at_s)
        elif data.draw(st.integers(0, 9)) == 0:
            backlog.connected(head, at_s)
    assert stored == head


def chain(count: int, filler: str) -> list[Event]:
    events: list[Event] = []
    for seq in range(1, count + 1):
        prev = events[-1].hash if events else GENESIS
        pending = PendingEvent("chair-1", None, 1_770_000_000.0, body("alarm", text=filler))
        events.append(numbered(pending, seq=seq, boot="boot-1", edge="clinic-1", wall="", prev=prev))
    return events


def test_a_late_payload_is_never_longer_than_a_thin_line_can_bear() -> None:
    events = chain(3, filler="x" * (BATCH_BYTES // 2 - 1000))
    message = event_message(events, True, edge_signer(), PayloadSize())
    assert (message.first, message.last, [event.seq for event in decode_events(message.payload)]) == (1, 2, [1, 2])
    message = event_message(chain(1, filler="x" * BATCH_BYTES), True, edge_signer(), PayloadSize())
    assert (message.first, message.last) == (1, 1)


async def test_the_newest_payload_of_a_topic_replaces_one_that_has_not_gone() -> None:
    latest = Latest()
    for topic, payload in (("a", b"1"), ("b", b"1"), ("a", b"2")):
        latest.put(topic, payload)
    assert [await latest.take(), await latest.take()] == [("a", b"2"), ("b", b"1")]
    taking = asyncio.ensure_future(latest.take())
    await asyncio.sleep(0)
    latest.put("c", b"3")
    assert await taking == ("c", b"3")
