"""Holds a wheel to running without a checkout: the demonstration with rules, protocols and page, and the edge."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


def unpacked(folder: Path) -> Path:
    """The wheel of this source, built and unpacked as pip does; what it needs besides is installed here already."""
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True,
                   capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "site")
    return folder / "site"


def run(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python of this environment, with the wheel before all."""
    return subprocess.run([sys.executable, *arguments], cwd=site, env=environment(site), capture_output=True, text=True,
                          check=False)


def environment(site: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}


@asynccontextmanager
async def demonstration(site: Path, data: Path) -> AsyncIterator[dict[str, str]]:
    """`vigil demo` of the wheel; what it says once it is up."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge.cli", "demo", "--json", "--beds", "1", "--speed", "20", "--data", str(data),
        cwd=site, env=environment(site), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        assert line, (await process.stderr.read()).decode()
        yield json.loads(line)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def test_a_wheel_runs_the_demonstration_and_the_edge_without_a_checkout(tmp_path: Path) -> None:
    site, data = unpacked(tmp_path), tmp_path / "data"
    assert run(site, "-c", "import edge; print(edge.__file__)").stdout.startswith(str(site)), "this very wheel runs"
    async with demonstration(site, data) as told, httpx.AsyncClient() as http:
        page = await http.get(told["console"] + "/")
        assert (page.status_code, '<div id="page">' in page.text) == (200, True)
    for name in ("rules.toml", "protocols.toml"):
        assert (data / name).read_bytes() == (ROOT / "deploy" / name).read_bytes()
    checked = run(site, "-m", "edge.cli", "edge", "--check", "--config", str(data / "edge.toml"))
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
