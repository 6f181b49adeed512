"""A disk of 3 MB under a real edge, to be filled and remounted; and what the edge says of it."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.edge_run import EdgeRun


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "vigil", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Not a byte is left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    return filler


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


def standing(run: EdgeRun) -> dict[str, Any] | None:
    """TEC-11 as the last state of the bed has it."""
    return next((alarm for alarm in run.states()[-1]["alarms"] if alarm["rule"] == "TEC-11"), None)


def storage(run: EdgeRun) -> Any:
    return [heard.said for heard in run.heard if heard.topic.endswith("/status")][-1]["storage"]
