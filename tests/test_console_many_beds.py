"""An edge, or whoever has its key, that announces beds without end: no more tiles or memory than it may have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.config.files import ConfigError, load_edge
from edge.console import early
from edge.console.early import EarlyStates
from edge.console.service import Console
from edge.contract import freshness
from edge.contract.freshness import Claim, Freshness
from edge.contract.payloads import state_topic, vitals_topic
from edge.model import MAX_BEDS, iso
from tests.helpers.console_story import BED, EDGE, START_S, STATUS, Wire, hear, settings, state, status, vitals

MOST = [f"b{n}" for n in range(MAX_BEDS)]


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    made = Console(settings(tmp_path), Wire())
    yield made
    made.store.close()


async def test_an_edge_has_at_most_so_many_beds(console: Console) -> None:
    ingest = console.edges[EDGE]
    hear(console, STATUS, status(beds=[*MOST, "one-more"]))
    assert (ingest.bad, ingest.beds.ids(), ingest.heartbeat.part.ok) == (1, [], False), "NOT LIVE, and never in part"
    hear(console, STATUS, status(START_S + 1, beds=MOST))
    assert (ingest.bad, ingest.beds.ids(), ingest.heartbeat.part.ok) == (1, MOST, True)


async def test_new_beds_come_at_the_pace_of_people(console: Console) -> None:
    ingest = console.edges[EDGE]
    others = [f"c{n}" for n in range(MAX_BEDS)]
    hear(console, STATUS, status(beds=MOST))
    hear(console, STATUS, status(START_S + 1, beds=others))
    assert (ingest.bad, ingest.beds.ids()) == (0, others)
    hear(console, STATUS, status(START_S + 2, beds=[*others[1:], "new"]))
    assert (ingest.bad, ingest.beds.ids()) == (1, others)
    hear(console, STATUS, status(START_S + 3, beds=others[::-1]))
    assert (ingest.bad, ingest.beds.ids()) == (1, others[::-1]), "in another order none is new"


async def test_states_and_vitals_of_beds_that_nobody_named_fill_no_memory(
    console: Console, monkeypatch: pytest.MonkeyPatch,
) -> None:
    ingest = console.edges[EDGE]
    one = len(state(bed="b10"))
    monkeypatch.setattr(early, "MAX_BYTES", 5 * one + 500)  # a signature beside
    hear(console, STATUS, status(beds=[BED]))
    for n in range(10, 20):
        hear(console, state_topic(EDGE, f"b{n}"), state(bed=f"b{n}"))
        hear(console, vitals_topic(EDGE, f"b{n}"), vitals(bed=f"b{n}"))
    kept = [bed for bed, _ in ingest._early.all()]
    assert kept == [f"b{n}" for n in range(20 - len(kept), 20)], "the oldest go"
    assert 2 <= len(kept) <= 5
    assert (ingest.beds.ids(), ingest.beds._vitals) == ([BED], {})
    hear(console, STATUS, status(START_S + 1, beds=[BED, "b19"]))
    assert ingest.state_json("b19") is not None


def test_what_is_taken_out_is_no_longer_counted() -> None:
    kept = EarlyStates()
    kept.hold("a", b"x" * early.MAX_BYTES)
    kept.hold("a", b"y" * early.MAX_BYTES)
    assert [bed for bed, _ in kept.all()] == ["a"]
    kept.hold("b", b"z")
    assert kept.take("a") is None, "one byte too many"
    assert (kept.take("b"), kept.take("b")) == (b"z", None)
    kept.hold("c", b"x" * early.MAX_BYTES)
    assert kept.take("c") is not None


def test_topics_without_end_are_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freshness, "MAX_LANES", 2)
    fresh = Freshness()
    assert fresh.judge(STATUS, 1, Claim("boot-1", iso(START_S), "alive"), 0.0) == (None, True)
    told = Claim("boot-1", iso(START_S))
    said = [fresh.judge(vitals_topic(EDGE, f"b{n}"), n, told, 0.0)[0] for n in (2, 3, 4)]
    assert said == [None, None, "bad_shape"]
    assert fresh.judge(vitals_topic(EDGE, "b2"), 5, told, 0.0)[0] is None


def test_an_edge_toml_with_more_beds_is_refused(tmp_path: Path) -> None:
    head = '[edge]\nid = "e"\ndata = "d"\nrules = "r"\nprotocols = "p"\n[mqtt]\nurl = "mqtt://127.0.0.1:1883"\n'
    beds = [f'[[bed]]\nid = "{bed}"\n' for bed in MOST]
    file = tmp_path / "edge.toml"
    file.write_text(head + "".join(beds))
    assert len(load_edge(file).bed) == MAX_BEDS
    file.write_text(head + "".join(beds) + '[[bed]]\nid = "more"\n')
    with pytest.raises(ConfigError, match=f"there are {MAX_BEDS + 1} beds; one edge has at most {MAX_BEDS}"):
        load_edge(file)
