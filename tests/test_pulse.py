"""A sleep, a stall, a step of the clock: each is noticed, with its seconds; systemd hears the loop."""

from __future__ import annotations

import asyncio
import configparser
import socket
from pathlib import Path

import pytest

from edge.app.pulse import Pause, Pulse
from edge.app.recovery import recover
from edge.app.service import ALIVE_EVERY_S, EdgeService
from edge.app.systemd import Systemd
from edge.clock import EdgeClock, since_boot_s
from edge.config.files import load_edge
from edge.contract.events import Booted, ClockStepped, Event
from edge.contract.events import WatchPaused as PausedEvent
from edge.contract.mqtt import Mqtt
from edge.core.replay import differences
from edge.core.stories import run_story
from edge.core.story_bed import OPENED_S
from edge.journal import Journal, Reader
from tests.helpers.bodies import body_of
from tests.helpers.rule_files import FILE, RULES
from tests.helpers.stream_world import edge_signer

ROOT = Path(__file__).parent.parent
# how much the clocks went on (real, loop, wall), and what that was
TURNS: list[tuple[str, tuple[float, float, float], Pause | None, float]] = [
    ("a usual turn", (0.02, 0.02, 0.02), None, 0.0),
    ("late, and no more", (2.0, 2.0, 2.0), None, 0.0),
    ("stalled", (2.1, 2.1, 2.1), Pause(2.1, "stalled"), 0.0),
    ("slept", (1860.0, 0.02, 1860.0), Pause(1860.0, "slept"), 0.0),
    ("slept for a moment", (2.5, 0.02, 2.5), Pause(2.5, "slept"), 0.0),
    ("the clock was set forward", (0.02, 0.02, 3600.02), None, 3600.0),
    ("and back", (0.02, 0.02, -86400.0), None, -86400.02),
    ("by less than anybody minds", (0.02, 0.02, 2.0), None, 0.0),
    ("by as much as somebody does", (0.02, 0.02, 2.02), None, 2.0),
    ("slept, and was set when it woke", (60.0, 0.02, 360.0), Pause(60.0, "slept"), 300.0),
]


@pytest.mark.parametrize(("passed", "pause", "step_s"), [row[1:] for row in TURNS], ids=[row[0] for row in TURNS])
def test_what_a_turn_of_the_loop_tells(passed: tuple[float, float, float], pause: Pause | None, step_s: float) -> None:
    clocks = (1000.0, 500.0, 1_800_000_000.0)
    pulse = Pulse(*clocks)
    after = tuple(clock + more for clock, more in zip(clocks, passed, strict=True))
    assert pulse.feed(after[0], after[1], after[2]) == (pause, step_s)
    assert pulse.feed(after[0] + 0.02, after[1] + 0.02, after[2] + 0.02) == (None, 0.0), "it is told once"


def test_after_a_pause_holds_begin_anew_and_the_gap_is_shown() -> None:
    bed = run_story("""
        given infusing
        20:00  spo2 89
        20:10  pause 10s    -> RES-2 pending
        20:34               -> RES-2 pending
        20:36               -> RES-2 active
        """, "story", RULES, of="RES-2")
    (event,) = [pending for pending in bed.pending_events if isinstance(pending.body, PausedEvent)]
    assert event.body == PausedEvent(gap_s=10.0, why="slept")
    assert event.at_s - OPENED_S == 120 + 20 * 60 + 20
    state = bed.bedside.state
    assert (state.gap_s, state.gap_why) == (10.0, "slept")
    assert state.devices["oximeter"].link == "live", "no connection broke"


@pytest.mark.parametrize("address", ["@vigil-test-of-systemd", "{folder}/notify"])
def test_systemd_hears_that_it_is_ready_and_that_the_loop_turns(tmp_path: Path, address: str) -> None:
    address = address.format(folder=tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind("\0" + address[1:] if address.startswith("@") else address)
        systemd = Systemd({"NOTIFY_SOCKET": address})
        systemd.ready()
        systemd.alive()
        assert [heard.recv(100) for _ in range(2)] == [b"READY=1", b"WATCHDOG=1"]
    systemd.alive()  # nobody is there any more
    Systemd({}).ready()


def test_the_unit_asks_for_it_and_waits_for_several() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read(ROOT / "deploy" / "systemd" / "vigil-edge.service")
    assert unit["Service"]["Type"] == "notify"
    assert int(unit["Service"]["WatchdogSec"]) >= 5 * ALIVE_EVERY_S


async def test_a_machine_that_slept_says_so_at_every_bed_and_a_set_clock_is_an_event(tmp_path: Path) -> None:
    real_s, wall_s = [0.0], [0.0]
    clock = EdgeClock(wall=lambda: 1_800_000_000.0 + wall_s[0] + real_s[0],
                      monotonic=lambda: since_boot_s() + real_s[0])
    (tmp_path / "edge.toml").write_text(
        '[edge]\nid = "clinic-1"\ndata = "."\nrules = "rules.toml"\n[[bed]]\nid = "b-1"\n[[bed]]\nid = "b-2"\n')
    (tmp_path / "rules.toml").write_text(FILE.read_text())
    config = load_edge(tmp_path / "edge.toml")
    kept = Journal.open(config.edge.journal, edge="clinic-1", boot="b1", wall=lambda: "now", holds=True)
    service = EdgeService(
        config, RULES, FILE.read_text(), {}, clock=clock, journal=kept, recovered=await recover(kept), boot="b1",
        version="0", config_hash="0", key=b"k" * 32, mqtt=Mqtt("127.0.0.1", 1), signer=edge_signer(), console_keys={})
    ticks = asyncio.ensure_future(service._ticks())

    async def told(kind: type) -> list[Event]:
        async with asyncio.timeout(5):
            while True:
                found = [event for event in await kept.events_after(0, 100) if isinstance(event.body, kind)]
                if found:
                    return found
                await asyncio.sleep(0.01)

    try:
        await told(Booted)
        await asyncio.sleep(0.05)  # the loop turns
        real_s[0] = 1860.0
        slept = await told(PausedEvent)
        assert [(event.bed, body_of(event).why) for event in slept] == [("b-1", "slept"), ("b-2", "slept")]
        assert all(1860 <= body_of(event).gap_s < 1862 for event in slept)
        wall_s[0] = -7200.0
        (stepped,) = await told(ClockStepped)
        assert -7202 < body_of(stepped).step_s < -7198
        assert stepped.at_s >= slept[0].at_s, "the edge clock goes on"
    finally:
        ticks.cancel()
        await kept.close()
    with Reader(str(tmp_path / "journal.db")) as reader:
        assert [str(difference) for difference in differences(reader.inputs(), reader.events())] == []
