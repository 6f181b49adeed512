"""`vigil probe` finds each twin on its port by its own words, and says plainly when it finds nothing."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


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
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, said.decode()


async def test_each_device_is_found(twins: dict[str, str]) -> None:
    assert set(twins) == {"alaris_gh", "contec_cms60", "isco", "nonin", "suntech_advantage"}
    said = dict(zip(twins, await asyncio.gather(*map(probe, twins.values())), strict=True))
    for driver, (code, words) in said.items():
        found = json.loads(words)["found"]
        assert (code, [one["driver"] for one in found]) == (0, [driver])
        assert found[0]["bad"] == 0
        if driver == "alaris_gh":
            assert found[0]["identity"].startswith("8002-5")
        if driver == "suntech_advantage":
            assert "sbp_mmhg" not in found[0]["numbers"], "a probe inflates nothing"


async def test_a_dumb_port_is_said_to_be_dumb(tmp_path: Path) -> None:
    master, slave = os.openpty()
    try:
        code, said = await probe(os.ttyname(slave))
    finally:
        os.close(master)
        os.close(slave)
    assert (code, json.loads(said)["found"]) == (1, [])
