"""An edge without a broker, with real connections to staged twins, whose edge.toml is read again while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import drivers
from edge.app.recovery import recover
from edge.app.reload import Reloader
from edge.app.running import Running as Process
from edge.app.service import EdgeService
from edge.app.supervisor import Supervisor
from edge.clock import EdgeClock
from edge.config.files import EdgeConfig, load_edge
from edge.contract.mqtt import Mqtt
from edge.core.replay import differences
from edge.core.rules import parse_rules
from edge.journal.journal import Journal
from edge.journal.reader import Reader
from simulators.stage import Stage
from tests.helpers.rule_files import FILE
from tests.helpers.stream_world import edge_signer

HEAD = '[edge]\nid = "clinic-1"\ndata = "."\nrules = "rules.toml"\n'


def bed(number: int, **devices: str) -> str:
    """A bed with these devices: id = "driver at"."""
    text = f'[[bed]]\nid = "chair-{number}"\n'
    for name, words in devices.items():
        driver, at = words.split(" ")
        text += f'[[bed.device]]\nid = "{name}"\ndriver = "{driver}"\nat = "{at}"\n'
    return text


def config_of(folder: Path, *beds: str, head: str = HEAD) -> EdgeConfig:
    (folder / "rules.toml").write_text(FILE.read_text())
    (folder / "edge.toml").write_text(head + "".join(beds))
    return load_edge(folder / "edge.toml", drivers.find)


@dataclass
class Running:
    """An edge without a broker, with real connections to staged twins."""

    folder: Path
    stage: Stage
    service: EdgeService
    reloader: Reloader
    supervisor: Supervisor

    def at(self, place: int, driver: str) -> str:
        rows = [row.at for row in self.stage.rows if row.driver == driver]
        return rows[place - 1]

    @property
    def again(self) -> tuple[str, str] | None:
        """How edge.toml was last read again, as the status says it."""
        now = self.service._status().reload
        return None if now is None else (now.state, now.text)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(8):
            while not true():
                await asyncio.sleep(0.01)

    def inputs(self, kind: type, name: str) -> int:
        with Reader(str(self.folder / "journal.db")) as reader:
            return sum(1 for one in reader.inputs() if one.bed == name and isinstance(one.input, kind))


@asynccontextmanager
async def running(folder: Path, *beds: str, stage: Stage, head: str = HEAD) -> AsyncIterator[Running]:
    config, clock = config_of(folder, *beds, head=head), EdgeClock()
    journal = Journal.open(config.edge.journal, edge="clinic-1", boot="b1", wall=clock.wall)
    service = EdgeService(
        config, parse_rules(FILE.read_text()), FILE.read_text(), drivers.find(config.edge.drivers), clock=clock,
        journal=journal, recovered=await recover(journal), boot="b1", version="0", config_hash="0", key=b"k" * 32,
        mqtt=Mqtt("127.0.0.1", 1), signer=edge_signer(), console_keys={})
    supervisor = Supervisor()
    reloader = Reloader(folder / "edge.toml", config, service, supervisor, clock.now, Process(folder))
    life = asyncio.ensure_future(supervisor.run_all({**service.tasks(), "reload": reloader.run()}))
    living = asyncio.ensure_future(stage.run())
    await asyncio.sleep(0)  # all of it has begun
    try:
        yield Running(folder, stage, service, reloader, supervisor)
        assert not life.done()
    finally:
        for task in (life, living):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await journal.close()
    with Reader(str(folder / "journal.db")) as reader:
        assert list(differences(reader.inputs(), reader.events())) == []
