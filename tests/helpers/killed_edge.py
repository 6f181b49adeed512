"""A real edge that is ended at named points (edge/points.py), and the world around it: a broker, an oximeter that keeps
its own log, and a console that stores, acknowledges and forgets nothing."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiomqtt

from edge import points
from edge.app.run import run_edge
from edge.contract import payloads as contract
from edge.contract.keys import public_text
from edge.contract.payloads import Ack, EventOut, Status, decode, decode_events, encode
from edge.contract.signing import Signer
from edge.journal.journal import Journal
from edge.journal.outage import Appended
from simulators.nellcor_ascii import HEAD, WIDTH
from tests.helpers.killing import FORKED, end_at
from tests.helpers.rule_files import FILE
from tests.helpers.stream_world import CONSOLE_KEY, MOSQUITTO, BrokerProcess
from tests.helpers.waiting import ended

EDGE = "clinic-1"
VALUES = range(90, 100)  # SpO2 that the oximeter shows, one after the other
EVERY_S = 0.4  # real seconds
ENDS_WITHIN_S = 6.0
Sabotage = Callable[[], None]


def publishes_before_it_commits() -> None:
    """Events leave for the broker when they are numbered."""
    real = Journal.append

    def append(self: Journal, pending: object) -> Appended:
        appended = real(self, pending)  # type: ignore[arg-type]
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        done.set_result(True)
        return Appended(appended.events, done) if appended.events else appended

    Journal.append = append  # type: ignore[method-assign, assignment]


SABOTAGES: dict[str, Sabotage] = {"": lambda: None, "publishes before it commits": publishes_before_it_commits}


def live(config: Path, point: points.Point, count: int, sabotage: str) -> None:
    """The process: it ends when it has come to `point` so many times."""
    end_at(point, count)
    SABOTAGES[sabotage]()
    run_edge(config)


@dataclass
class World:
    """What was heard and said outside of the edge."""

    folder: Path
    broker: BrokerProcess
    at: str = ""
    shown: list[tuple[float, int]] = field(default_factory=list)  # the oximeter's own log: when, which value
    heard: dict[int, EventOut] = field(default_factory=dict)  # the console's store
    refuted: list[int] = field(default_factory=list)  # numbers that came with two hashes
    unstored: set[int] = field(default_factory=set)
    boot: str = ""

    @property
    def journal(self) -> str:
        return str(self.folder / "journal.db")

    def write_config(self) -> Path:
        path = self.folder / "edge.toml"
        path.write_text(
            f'[edge]\nid = "{EDGE}"\ndata = "{self.folder}"\nrules = "{FILE}"\nsimulated = true\n'
            f'console_keys = {{main = "{public_text(CONSOLE_KEY.verify_key)}"}}\n'
            f'[mqtt]\nurl = "mqtt://127.0.0.1:{self.broker.port}"\n[[bed]]\nid = "chair-1"\n'
            f'[[bed.device]]\nid = "oximeter"\ndriver = "nellcor_ascii"\nat = "{self.at}"\n')
        return path

    async def life(self, point: points.Point, count: int, sabotage: str = "") -> bool:
        """One life, from its start to its end. Whether it was killed at the point."""
        process = FORKED.Process(target=live, args=(self.folder / "edge.toml", point, count, sabotage))
        await asyncio.to_thread(process.start)
        await asyncio.to_thread(process.join, ENDS_WITHIN_S)
        if process.exitcode is None:
            process.terminate()
            await asyncio.to_thread(process.join)
        return process.exitcode == -signal.SIGKILL

    async def _oximeter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop, values = asyncio.get_running_loop(), itertools.cycle(VALUES)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            writer.write(HEAD.encode())
            for second in itertools.count():
                value = next(values)
                self.shown.append((loop.time(), value))
                numbers = f"{value:>6} {72:>7} {150:>7}"
                line = f"01-Jan-26 10:{second // 60 % 60:02}:{second % 60:02}{numbers}".ljust(WIDTH)
                writer.write(f"{line}\r\n".encode())
                await writer.drain()
                if reader.at_eof():
                    break
                await asyncio.sleep(EVERY_S)
        writer.close()

    async def _console(self) -> None:
        signer = Signer(CONSOLE_KEY, itertools.count(1).__next__)
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with aiomqtt.Client("127.0.0.1", self.broker.port, timeout=2) as client:
                    await client.subscribe(f"vigil/1/{EDGE}/+", qos=1)
                    async for message in client.messages:
                        assert isinstance(message.payload, bytes)
                        self._hear(message.topic.value, message.payload)
                        seq = next(k for k in itertools.count(1) if k not in self.heard) - 1
                        if self.boot and not message.topic.value.endswith(f"/{EDGE}/command"):
                            topic = contract.ack_topic(EDGE, "main")
                            ack = encode(Ack(console="main", seq=seq, boot=self.boot))
                            await client.publish(topic, signer.sign(topic, ack), qos=1)
            await asyncio.sleep(0.05)

    def _hear(self, topic: str, payload: bytes) -> None:
        if topic.endswith("/status"):
            status = decode(Status, payload)
            self.boot = status.boot if status.state == "alive" else self.boot
        elif topic.endswith("/event"):
            for event in decode_events(payload):
                if event.unstored:
                    self.unstored.add(event.seq)
                elif self.heard.setdefault(event.seq, event).hash != event.hash:
                    self.refuted.append(event.seq)


@contextlib.asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    """A broker, an oximeter and a console; the edge's configuration is written."""
    broker = BrokerProcess("mosquitto" if MOSQUITTO else "embedded", folder)
    here = World(folder, broker)
    server = await asyncio.start_server(here._oximeter, "127.0.0.1", 0)
    here.at = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    await broker.start()
    console = asyncio.ensure_future(here._console())
    here.write_config()
    try:
        yield here
    finally:
        await ended(console)
        server.close()
        broker.kill()
