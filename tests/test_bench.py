"""The benchmark: what it matches with what, its own device, and one short measurement of everything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import uvloop

import drivers
from drivers.contract import DeviceAlarms, Pump, Reading
from edge.demo.bench import DRIVERS, Bench, Plan, compared, matched, matched_events
from edge.demo.bench_core import measure
from edge.demo.bench_drivers.one_read import BLOCK
from edge.demo.bench_parsers import measure as parsers_measured
from edge.demo.bench_parsers import sent_by_its_twin
from edge.demo.bench_parts import METRICS, OneBlock

WINDOW = (10.0, 20.0)


@pytest.mark.parametrize(("answered", "rates", "found"), [
    ([[[10.5, 11.0]]], [("bed-0", 10.5, 11.002)], [0.002]),
    ([[[10.5, 9.9], [11.0, 10.0], [12.0, 20.0]]],
     [("bed-0", 10.5, 10.1), ("bed-0", 11.0, 10.1), ("bed-0", 12.0, 20.1)], [0.1]),  # only what left in the window
    ([[[10.5, 11.0]], [[10.5, 11.5]]], [("bed-1", 10.5, 11.6)], [0.1]),  # the same rate of another bed
    ([[[10.5, 11.0]]], [("bed-0", 10.5, 11.1), ("bed-0", 10.5, 12.0)], [0.1]),  # only its first arrival
    ([[[10.5, 11.0]]], [("bed-0", 99.0, 11.1)], []),  # a rate nobody gave
])
def test_a_rate_is_matched_with_its_own_first_arrival(answered: Any, rates: Any, found: list[float]) -> None:
    assert matched(answered, rates, WINDOW) == pytest.approx(found)


def test_a_mad_beds_own_numbers_are_none_of_the_others() -> None:
    assert matched([[[10.5, 11.0]]], [("mad", 10.5, 11.1)], WINDOW) == []
    assert matched_events([[11.0]], [("mad", 11.1)], WINDOW) == []


def test_the_p99_beside_a_mad_bed_is_compared_with_that_of_the_same_size_without() -> None:
    runs = [{"devices": size, "mad": mad, "wire_to_subscriber_ms": {"p99": p99}}
            for size, mad, p99 in ((4, "", 10.0), (4, "hang", 11.0), (8, "", 20.0), (8, "hang", 19.0))]
    assert [(row["devices"], row["more_pct"]) for row in compared(runs)] == [(4, 10.0), (8, -5.0)]


@pytest.mark.parametrize(("alarmed", "events", "found"), [
    ([[11.0, 12.0]], [("bed-0", 11.02), ("bed-0", 12.05)], [0.02, 0.05]),
    ([[11.0, 12.0]], [("bed-0", 12.05)], [0.05]),  # the first was never told: its event is not the second's
    ([[9.0, 21.0]], [("bed-0", 11.0), ("bed-0", 21.1)], []),
    ([[11.0], []], [("bed-1", 11.1)], []),
])
def test_an_alarm_is_matched_with_the_first_event_after_it(alarmed: Any, events: Any, found: list[float]) -> None:
    assert matched_events(alarmed, events, WINDOW) == pytest.approx(found)


def test_the_core_alone_is_measured_over_a_whole_session_with_every_rule() -> None:
    core = measure(minutes=2)
    assert core.samples == pytest.approx(5 * (120 + 2 * 60), abs=10), "five numbers each second from its opening"
    assert core.events > 3, "it opens, gets ready and starts"
    assert core.samples_a_second > 1000, "a tenth of what the slowest machine should do"


def test_one_block_tells_all_and_never_the_same_rate() -> None:
    spec = drivers.find(DRIVERS)["one_read"]
    driver, pump = spec.driver(None), OneBlock()
    rates = []
    for alarm in (False, True):
        if alarm:
            pump.toggle()
        words = pump.read(BLOCK.function, BLOCK.address, BLOCK.count)
        items = driver.decode(b"".join(word.to_bytes(2, "big") for word in words), BLOCK)
        readings = {item.metric: item.value for item in items if isinstance(item, Reading)}
        assert len(readings) == METRICS
        assert set(readings) == spec.metrics
        rates.append(readings["rate_ml_h"])
        assert [item.state for item in items if isinstance(item, Pump)] == ["infusing"]
        assert [bool(item.alarms) for item in items if isinstance(item, DeviceAlarms)] == [alarm]
    assert rates[0] != rates[1]
    assert [rate for rate, _ in pump.answered] == rates
    assert len(pump.alarmed) == 1


def test_a_parser_is_fed_what_its_twin_sends_and_is_asked() -> None:
    sent = sent_by_its_twin(drivers.find()["alaris_gh"], seconds=5)
    assert any(piece.startswith(b"!INF^") for piece in sent)


@pytest.mark.parametrize(("names", "found"), [
    (("alaris_gh", "isco"), ["alaris_gh"]), (("contec_cms60",), ["contec_cms60"])])
def test_a_parser_costs_something_and_a_modbus_driver_has_none(names: tuple[str, ...], found: list[str]) -> None:
    parsers = parsers_measured(names, seconds=2, least=2000)
    assert [one.name for one in parsers] == found
    assert all(one.frames_us > 0 and one.noise_us > 0 for one in parsers)


@pytest.mark.slow
def test_a_bed_that_floods_takes_no_rounds_from_the_others(tmp_path: Path) -> None:
    found = uvloop.run(Bench(Plan((3,), 3.0, mad="garbage"), 3, tmp_path).run())
    assert (found["mad"], found["arrived_of_answered_pct"] >= 95) == ("garbage", True)


@pytest.mark.slow
@pytest.mark.parametrize(("profile", "more", "kept"), [
    ("one-read", ["--no-record"], "none"), ("four-reads", ["--record", "plain"], "plain")])
def test_a_short_measurement_measures_everything(profile: str, more: list[str], kept: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli", "bench", "--sizes", "3", "--seconds", "4", "--profile", profile, "--json",
         *more],
        capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["sizes"]
    assert (found["devices"], found["profile"], found["broker"]) == (3, profile, "embedded")
    assert (found["record"], found["record_kept"]) == (kept != "none", kept)
    assert found["arrived_of_answered_pct"] >= 95
    assert found["points_a_second"] == pytest.approx(12, abs=4)
    for spread in (found["wire_to_subscriber_ms"], found["wire_to_event_ms"], found["wire_to_page_ms"]):
        assert spread["count"] >= 2
        assert 0 < spread["p50"] <= spread["p99"] <= spread["max"]
    assert found["edge"]["cpu_pct_of_one_core"] > 0
    assert 0 < found["edge"]["share_of_all_work_pct"] <= 100
