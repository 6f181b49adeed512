"""Whom the embedded broker refused: counted, bounded, told to a technician with what to do, and forged by nobody."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path
from typing import get_args

import aiomqtt
import pytest

from edge.console.broker_said import REMEDIES, refused_by_broker
from edge.console.link import Link
from edge.contract.broker_said import REFUSED_TOPIC, Refusals, RefusedFor
from edge.contract.keys import Count, own_key
from edge.contract.payloads import decode
from edge.contract.signing import Signer
from edge.model import iso
from edge.stream.broker import embedded
from edge.stream.broker_access import Access, access_text, made_users, read_access
from edge.stream.broker_refusals import LONGEST, MOST, Ledger
from tests.helpers.console_story import settings
from tests.helpers.waiting import until


def ledger() -> Ledger:
    seconds = count(1_790_000_000)
    return Ledger(lambda: iso(float(next(seconds))))


def test_what_repeats_is_counted_and_the_last_stands_first() -> None:
    kept = ledger()
    first = kept.news()
    assert first is not None
    assert first.refused == (), "said at once: this broker tells it"
    assert kept.news() is None, "nothing new"
    kept.add("password", "edge-clinic-1", "one", "wrong user or password")
    kept.add("topic", "looker", "two", "write vigil/1/clinic-1/event")
    kept.add("password", "edge-clinic-1", "three", "wrong user or password")
    news = kept.news()
    assert news is not None
    assert [(one.user, one.client, one.count) for one in news.refused] == [
        ("edge-clinic-1", "three", 2), ("looker", "two", 1)]
    assert news.refused[0].first < news.refused[1].first < news.refused[0].last


def test_a_flood_of_names_costs_no_memory_and_its_letters_are_fit_for_a_screen() -> None:
    kept = ledger()
    for number in range(MOST + 1):
        kept.add("password", f"user-{number}", "x" * 1000, "wrong user or password")
    kept.add("password", None, "a\x1b[2Jb\u202e", "wrong user or password")
    news = kept.news()
    assert news is not None
    assert (len(news.refused), news.more) == (MOST, 2)
    assert news.refused[0].client == "a\ufffd[2Jb\ufffd"
    assert (news.refused[1].user, len(news.refused[1].client)) == (f"user-{MOST}", LONGEST)


@pytest.mark.parametrize("rights", [None, {"looker": {"read": ("#", "vigil/1/#"), "write": ("#",)}}])
def test_what_begins_with_a_dollar_is_the_brokers_own(rights: dict[str, dict[str, tuple[str, ...]]] | None) -> None:
    access = Access({"looker": "hash"}, rights)  # type: ignore[arg-type]
    for topic in (REFUSED_TOPIC, "$SYS/x", "$share/x"):
        assert not access.may("looker", "write", topic)
    assert access.may("looker", "read", REFUSED_TOPIC)
    assert not access.may(None, "read", REFUSED_TOPIC), "who has not shown who he is"
    assert Access().may(None, "read", REFUSED_TOPIC), "where nobody is asked"


def test_what_was_refused_is_told_to_who_reads_events_and_to_no_edge(tmp_path: Path) -> None:
    (tmp_path / "access").write_text(access_text({"a": ["main"], "b": ["main"]}, ["looker"], anonymous=True))
    access = Access(dict.fromkeys(("edge-a", "edge-b", "console-main", "looker"), "hash"),
                    read_access(None, tmp_path / "access").rights)
    may = {user: access.may(user, "read", REFUSED_TOPIC) for user in [*access.hashes, None, "nobody"]}
    assert [user for user, allowed in may.items() if allowed] == ["console-main", "looker"]


def test_each_refusal_has_its_remedy_and_another_broker_is_said() -> None:
    assert set(REMEDIES) == set(get_args(RefusedFor))
    kept = ledger()
    for why in get_args(RefusedFor):
        kept.add(why, "somebody", "x", why)
    shown = refused_by_broker([None, kept.news()])
    assert shown.told
    assert {row.why: row.remedy for row in shown.refused} == REMEDIES
    assert refused_by_broker([None]).told is False


class Silent:
    """Hears of a connection; what comes over it is nothing here."""

    def connected(self) -> None:
        """Subscribed."""

    def disconnected(self, reason: str) -> None:
        """Gone."""

    def receive(self, topic: str, payload: bytes, retained: bool) -> None:
        """A message."""


@pytest.mark.slow
async def test_a_console_hears_who_came_with_a_wrong_password_or_topic(tmp_path: Path) -> None:
    text, passwords = made_users(["console-main", "looker"])
    (tmp_path / "passwords").write_text(text)
    (tmp_path / "access").write_text(access_text({"clinic-1": ["main"]}, ["looker"]))
    files = {"password_file": tmp_path / "passwords", "access_file": tmp_path / "access"}
    async with embedded(port=0, now=lambda: iso(1_790_000_000.0), **files) as port:  # type: ignore[arg-type]
        own = settings(tmp_path, mqtt_port=port, mqtt_user="console-main", mqtt_password=passwords["console-main"])
        link = Link(own, "clinic-1", Signer(own_key(tmp_path / "key"), Count(tmp_path / "count", 0.0)))
        running = asyncio.ensure_future(link.run(Silent()))
        try:
            await until(lambda: link.broker_said is not None, 5, "the broker says that it tells it", 0.02)
            with pytest.raises(aiomqtt.MqttError):
                async with aiomqtt.Client("127.0.0.1", port, username="looker", password="guess", identifier="g"):
                    pass
            async with aiomqtt.Client("127.0.0.1", port, username="looker", password=passwords["looker"],
                                      identifier="l") as looker:
                await looker.publish("vigil/1/clinic-1/event", b"forged", qos=1)
                await looker.publish(REFUSED_TOPIC, b'{"since":"x"}', qos=1, retain=True)
                await until(lambda: len((link.broker_said or Refusals(since="")).refused) == 3, 5, "all three", 0.02)
                await looker.subscribe(REFUSED_TOPIC, qos=1)
                async with asyncio.timeout(5):  # amqtt hands out what is retained at the CONNECT, too
                    while decode(Refusals, (await anext(looker.messages)).payload) != link.broker_said:
                        pass
            assert link.broker_said is not None
            assert [(one.why, one.user, one.what) for one in link.broker_said.refused] == [
                ("topic", "looker", f"write {REFUSED_TOPIC}"), ("topic", "looker", "write vigil/1/clinic-1/event"),
                ("password", "looker", "wrong user or password")]
        finally:
            running.cancel()
            await asyncio.wait([running])
    assert link.broker_said is None, "what a broker said goes with its connection"
