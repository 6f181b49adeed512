"""A demonstration run as its users run it: a process that prints one JSON line, listened to from outside."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt
import httpx

from edge.demo.configuration import free_port
from tests.helpers.waiting import until

START_WITHIN_S = 40.0
DAY_STARTS_WITHIN_S = 120.0  # an hour is lived first


@dataclass
class Demo:
    """A running demonstration, and all that was heard of it over MQTT, with the loop's time of arrival."""

    told: dict[str, Any]
    heard: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)
    cookies: httpx.Cookies = field(default_factory=httpx.Cookies)
    csrf: str = ""

    @property
    def data(self) -> Path:
        return Path(self.told["data"])

    @property
    def pids(self) -> dict[str, int]:
        """The present ones; a service that was killed has another."""
        pids: dict[str, int] = json.loads((self.data / "pids.json").read_text())
        return pids

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Events as MQTT carried them, each once."""
        seen: dict[int, dict[str, Any]] = {}
        for _, topic, payload in self.heard:
            if topic.endswith("/event"):
                for event in payload["events"]:
                    seen.setdefault(event["seq"], event)
        return [event for _, event in sorted(seen.items()) if kind is None or event["kind"] == kind]

    def active(self) -> list[tuple[str, str, str]]:
        """(bed, rule, priority) of every alarm that became active or rose, in order."""
        return [(e["bed"], e["body"]["rule"], e["body"]["priority"]) for e in self.events("alarm")
                if e["body"]["state"] == "active"]

    async def until(self, holds: Callable[[], object], within_s: float, what: str) -> None:
        """Wait until `holds()`; fails with `what`."""
        await until(holds, within_s, what, 0.05)

    async def get(self, path: str) -> Any:
        """What the console answers the nurse."""
        async with httpx.AsyncClient(base_url=self.told["console"], cookies=self.cookies, timeout=5) as client:
            if not self.csrf:
                user = next(user for user in self.told["users"] if user["role"] == "nurse")
                answer = await client.post("/api/login", json={"name": user["name"], "password": user["password"]},
                                           headers={"Origin": self.told["console"]})
                answer.raise_for_status()
                self.csrf, self.cookies = answer.json()["csrf"], client.cookies
            answer = await client.get(path)
            answer.raise_for_status()
            return answer.json()

    def journal(self) -> list[tuple[int, str, str | None, dict[str, Any]]]:
        """(seq, kind, bed, body) of all events on the disk."""
        with contextlib.closing(sqlite3.connect(f"file:{self.data}/journal.db?mode=ro", uri=True)) as db:
            return [(seq, kind, bed, json.loads(body))
                    for seq, kind, bed, body in db.execute("SELECT seq, kind, bed, body FROM event ORDER BY seq")]

    def stored(self) -> list[int]:
        """The numbers in the console's store, in order."""
        with contextlib.closing(sqlite3.connect(f"file:{self.data}/console.db?mode=ro", uri=True)) as db:
            return [seq for (seq,) in db.execute("SELECT seq FROM events ORDER BY seq")]


@contextlib.asynccontextmanager
async def running(data: Path, *arguments: str) -> AsyncIterator[Demo]:
    """`vigil demo --json` with these arguments, for as long as the body runs; it must end cleanly."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge.cli", "demo", "--json", "--data", str(data), "--port", str(free_port()),
        *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_WITHIN_S if arguments else DAY_STARTS_WITHIN_S)
        assert line, (await process.stderr.read()).decode()
        demo = Demo(json.loads(line))
        listening = asyncio.ensure_future(_listen(demo))
        yield demo
        listening.cancel()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 20)
    assert code == 0, (await process.stderr.read()).decode()


async def _listen(demo: Demo) -> None:
    loop = asyncio.get_running_loop()
    port = int(demo.told["mqtt"].rpartition(":")[2])
    while True:
        with contextlib.suppress(aiomqtt.MqttError):
            async with aiomqtt.Client("127.0.0.1", port, keepalive=5, max_queued_incoming_messages=10_000) as client:
                await client.subscribe("vigil/1/#", qos=1)
                async for message in client.messages:
                    assert isinstance(message.payload, bytes)
                    said = json.loads(message.payload)
                    if isinstance(said, list) or message.topic.value.endswith("/event"):
                        said = {"events": said if isinstance(said, list) else [said]}
                    demo.heard.append((loop.time(), message.topic.value, said))
        await asyncio.sleep(0.2)
