"""`vigil probe` finds each twin on its port by its own words, takes none for another, says when it finds nothing."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

import drivers
import simulators
from drivers.contract import FrameRequest, Spec
from edge.cli.probe import _words, run_probe
from edge.field.dialogue import Dialogue
from edge.field.discovery import QUIET_SETTINGS, Found
from simulators.contract import Twin
from simulators.nonin import NoninTwin
from simulators.patient import SimulatedPatient


@pytest.fixture(scope="module")
async def twins(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, str]]:
    """One twin of every driver: where each can be reached."""
    ports = tmp_path_factory.mktemp("ports")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge.cli", "simulate", "--json", "--ports", str(ports), stdout=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.DEVNULL)
    assert process.stdout is not None
    rows = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))["twins"]
    yield {row["driver"]: row["at"] for row in rows if "rtu" not in row["at"]}
    process.terminate()
    await process.wait()


async def probe(port: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge.cli", "probe", "--json", port, stdout=asyncio.subprocess.PIPE)
    said, _ = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode, said.decode()


@pytest.mark.slow
async def test_each_device_is_found(twins: dict[str, str]) -> None:
    assert set(twins) == set(drivers.find())
    said = dict(zip(twins, await asyncio.gather(*map(probe, twins.values())), strict=True))
    for driver, (code, words) in said.items():
        found = json.loads(words)["found"]
        assert (code, [one["driver"] for one in found]) == (0, [driver])
        assert found[0]["bad"] == 0
        if driver == "alaris_gh":
            assert found[0]["identity"].startswith("8002-5")
        if driver == "suntech_advantage":
            assert "sbp_mmhg" not in found[0]["numbers"], "a probe inflates nothing"


def test_a_port_that_does_not_open_is_said_before_any_driver_listens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.field.discovery._listen", None)
    assert run_probe(str(tmp_path / "ttyUSB9"), as_json=False) == 1
    assert capsys.readouterr().out == f"{tmp_path}/ttyUSB9: cannot be asked: {tmp_path}/ttyUSB9 is not there\n"


@pytest.mark.slow
def test_a_dumb_port_is_said_to_be_dumb(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("edge.field.discovery.LISTEN_S", 0.2)  # each driver's own quiet is waited for
    master, slave = os.openpty()
    try:
        code, said = run_probe(os.ttyname(slave), as_json=True), json.loads(capsys.readouterr().out)
    finally:
        os.close(master)
        os.close(slave)
    assert (code, said["found"], said["raw"]) == (1, [], "")


def test_what_is_said_where_nothing_is_found() -> None:
    tried = [Found(spec) for spec in SERIAL.values()]
    names = ", ".join(SERIAL)
    asked = f"/dev/ttyUSB0: none of the drivers found its device ({names})"
    silent = "nothing comes by itself: look at the cable, the device's power, and its own output setting"
    assert _words("/dev/ttyUSB0", tried, [], b"") == [asked, silent]
    assert _words("/dev/ttyUSB0", tried, [], b"\x1b\x00") == [asked, "what comes by itself: 1b 00"]


# --- one talk, told the time: whose is it? ---------------------------------------------------------------------------

SERIAL = {name: spec for name, spec in drivers.find().items() if "serial" in spec.transports}
SEEDS = range(8)


def talk(name: str, seed: int, format_: str | None = None) -> Twin:
    """A device that has been on the line for a while."""
    twin = cast("Twin", simulators.find()[name].make(SimulatedPatient(seed), seed))
    twin.connect()
    if isinstance(twin, NoninTwin) and format_:
        twin.format = format_
    twin.step(6.0 + seed / 77)  # past the time a Nonin may be told its format, and in the middle of a frame
    return twin


def listens(spec: Spec, twin: Twin, seconds: float = 6.0) -> Found:
    """What the driver makes of it, without waiting."""
    found = Found(spec)
    clock = [0.0]
    settings = {name: value for name, value in QUIET_SETTINGS.items() if name in spec.settings}
    dialogue = Dialogue("probe", spec.name, spec, spec.line, now=lambda: clock[0], decoded=found.decoded,
                        wave=lambda wave, at_s: None, settings=settings)
    found.counters = dialogue.counters
    dialogue.opened(0.0, 0.0)
    while clock[0] < seconds:
        clock[0] += 0.02
        request = dialogue.next_request(clock[0], clock[0])
        sent = twin.feed(request.frame) if isinstance(request, FrameRequest) else b""
        data = sent + twin.step(0.02)
        if data:
            dialogue.received(data, clock[0], clock[0])
    return found


TALKS = [*((name, None) for name in SERIAL), *(("nonin", format_) for format_ in ("df2", "df8"))]


@pytest.mark.parametrize(("name", "format_"), TALKS)
@pytest.mark.parametrize("driver", SERIAL)
def test_a_talk_belongs_to_its_own_driver(driver: str, name: str, format_: str | None) -> None:
    """Any stretch of any device's talk, at whatever moment it is met, on a line without a speed (TCP, a pty)."""
    fits = [listens(SERIAL[driver], talk(name, seed, format_)).fits for seed in SEEDS]
    assert fits == [driver == name] * len(SEEDS)


def test_lucky_frames_among_noise_are_no_find() -> None:
    """A Nonin's pleth holds whole packets of the Contec's protocol, which has no checksum."""
    lucky = [listens(SERIAL["contec_cms60"], talk("nonin", seed)) for seed in SEEDS]
    assert any(found.counters.frames >= 2 for found in lucky), "the noise is lucky enough to be worth this test"
    assert not any(found.fits for found in lucky)
