"""The demonstration's processes are kept alive, whatever its disk does."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from edge.demo import services
from edge.demo.services import Service, Services
from tests.helpers.waiting import until


@pytest.mark.parametrize("lacks", ["the file of the pids", "the folder of the logs", "both"])
async def test_a_service_is_started_again_where_nothing_can_be_written(
    tmp_path: Path, lacks: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(services, "RESTART_AFTER_S", 0.0)
    monkeypatch.setattr(services, "WRITE_AGAIN_S", 0.01)
    said: list[str] = []
    folder = {name: tmp_path / name for name in ("pids", "logs")}
    for name, path in folder.items():
        if name in lacks or lacks == "both":
            path.write_text("not a folder")  # as a full or read-only disk: whatever is opened in it is an OSError
        else:
            path.mkdir()
    kept = Services(folder["pids"] / "pids.json", folder["logs"], said.append)
    service = await kept.start(Service("one", ["-c", "import time; time.sleep(600)"], program=(sys.executable,)))
    keeping = asyncio.create_task(kept.keep(service))
    try:
        before = service.pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await until(lambda: service.pid != before)
        if folder["pids"].is_file():  # the disk is whole again
            folder["pids"].unlink()
            folder["pids"].mkdir()
        await until(kept.file.exists)
        assert json.loads(kept.file.read_text()) == {"one": service.pid}
        assert any("what one says stands here" in line for line in said) is folder["logs"].is_file()
    finally:
        await kept.stop("one")
        await keeping
