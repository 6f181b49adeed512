"""`vigil demo`: everything on one machine with embedded defaults, each service its own process, supervised."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import drivers
from edge.clock import EdgeClock
from edge.console.accounts import ensure_user
from edge.demo.enrol import enrol
from edge.demo.nurse import NotYet, Nurse
from edge.demo.services import Service, Services
from edge.model import Role
from edge.process import BadUsage, command_key, make_folder

EDGE = "demo"
READY_WITHIN_S = 60.0  # real seconds
FIRST_CUFF_S = 5.0  # real seconds: the nurse opens the sessions first, so that the first cuff counts for the baseline
SCENARIOS = ("story", "calm")
_DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@dataclass(frozen=True, slots=True)
class Options:
    """What the person asked for."""

    beds: int
    speed: float
    port: int | None
    data: Path | None
    scenario: str
    as_json: bool


@dataclass(frozen=True, slots=True)
class Login:
    """An account made for this demonstration."""

    name: str
    password: str
    role: Role


def run_demo(wanted: Options) -> int:
    """Run until Ctrl-C or SIGTERM. Raises BadUsage."""
    if wanted.scenario not in SCENARIOS:
        raise BadUsage(f"no scenario is named {wanted.scenario!r}; there are {', '.join(SCENARIOS)}")
    return asyncio.run(_until_stopped(Demo(wanted)))


async def _until_stopped(demo: Demo) -> int:
    task = asyncio.ensure_future(demo.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        return 0
    except BaseExceptionGroup as wrong:
        usage = wrong.subgroup(BadUsage)
        if usage is None:
            raise
        first: BaseException = usage
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
    return 0


def rules_file() -> Path:
    """The default rules: deploy/rules.toml of a checkout, or as they were installed with the package."""
    installed = Path(__file__).resolve().parents[1] / "defaults" / "rules.toml"
    return _DEPLOY / "rules.toml" if (_DEPLOY / "rules.toml").is_file() else installed


def free_port(wanted: int | None) -> int:
    """`wanted`, or 8080 where it is free, or any. Raises BadUsage where the wanted one is taken."""
    for port in [wanted] if wanted is not None else [8080, 0]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as wrong:
                if wanted is not None:
                    raise BadUsage(f"port {port} cannot be used ({wrong.strerror}); give another --port") from None
                continue
            chosen: int = probe.getsockname()[1]
            return chosen
    raise AssertionError("port 0 is always free")


class Demo:
    """One demonstration: its folder, its services, and the simulated nurse."""

    def __init__(self, wanted: Options) -> None:
        self.wanted = wanted
        self.data = (wanted.data or Path(tempfile.mkdtemp(prefix="vigil-demo-"))).absolute()
        if set("?#%") & set(str(self.data)):
            raise BadUsage(f"--data {self.data}: simulated ports lie in it, and ? # % cannot stand in a port's address;"
                           " give another folder")
        make_folder(self.data)
        self.ports = self.data / "ports"
        self.ports.mkdir(exist_ok=True)
        self.port = free_port(wanted.port)
        self.mqtt = free_port(0)
        self.clock = EdgeClock(wanted.speed)
        self.epoch = self.clock.now()
        self.services = Services(self.data / "pids.json", self.data, self._say)
        self.logins = [Login("nurse", secrets.token_urlsafe(9), "nurse"),
                       Login("technician", secrets.token_urlsafe(9), "technician")]
        self.twins: list[dict[str, Any]] = []

    def _say(self, line: str) -> None:
        print(f"vigil demo: {line}", file=sys.stderr, flush=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def run(self) -> None:
        """Start everything, tell where it is, play the nurse, keep it alive."""
        try:
            await self._start()
            nurse = Nurse(self.url, self.logins[0].name, self.logins[0].password, self.wanted.speed)
            async with asyncio.TaskGroup() as group:
                for service in self.services.all.values():
                    group.create_task(self.services.keep(service))
                beds = sorted({twin["bed"] for twin in self.twins}, key=lambda bed: (len(bed), bed))
                await self._until(nurse.all_live, beds, READY_WITHIN_S)
                self._tell()
                group.create_task(self._play(nurse, beds))
        finally:
            await self.services.stop(last="broker")

    async def _start(self) -> None:
        simulators = await self.services.start(Service("simulators", [
            "simulate", "--scenario", self.wanted.scenario, "--beds", str(self.wanted.beds), "--speed",
            str(self.wanted.speed), "--ports", str(self.ports), "--wait-for-go", "--port", str(free_port(0)), "--json",
        ], pipes=True, urgent=True))
        await self.services.start(Service("broker", ["broker", "--port", str(self.mqtt)]))
        await asyncio.to_thread(self._accounts)
        command_key(self.data / "command.key", make=True)
        enrol({EDGE: self.data}, {"main": self.data})
        (self.data / "console.toml").write_text(self._console_toml())
        await self.services.start(Service("console", ["console", "--config", str(self.data / "console.toml")]))
        assert simulators.process is not None and simulators.process.stdout is not None
        line = await asyncio.wait_for(simulators.process.stdout.readline(), READY_WITHIN_S)
        if not line:
            raise BadUsage(f"the simulators did not start; see {self.data / 'simulators.log'}")
        self.twins = json.loads(line)["twins"]
        shutil.copy(rules_file(), self.data / "rules.toml")
        (self.data / "edge.toml").write_text(self._edge_toml())
        await self.services.start(Service("edge", ["edge", "--config", str(self.data / "edge.toml")], urgent=True))

    def _accounts(self) -> None:
        for login in self.logins:
            ensure_user(self.data / "console.db", login.name, login.password, login.role, self.epoch)

    def _console_toml(self) -> str:
        return (f'name = "main"\nedge = "{EDGE}"\ndata = {json.dumps(str(self.data))}\nport = {self.port}\n'
                f'simulated = true\nspeed = {self.wanted.speed}\nepoch = {self.epoch}\n[mqtt]\nurl = "mqtt://127.0.0.1:{self.mqtt}"\n')

    def _edge_toml(self) -> str:
        parts = [f'[edge]\nid = "{EDGE}"\ndata = {json.dumps(str(self.data))}\nrules = "rules.toml"\nsimulated = true\n'
                 f'speed = {self.wanted.speed}\nepoch = {self.epoch}\n[mqtt]\nurl = "mqtt://127.0.0.1:{self.mqtt}"\n']
        bed = None
        for twin in self.twins:
            if twin["bed"] != bed:
                bed = twin["bed"]
                parts.append(f'[[bed]]\nid = "{bed}"\n')
            parts.append(f'[[bed.device]]\nid = "{twin["device"]}"\ndriver = "{twin["driver"]}"\n'
                         f"at = {json.dumps(_at(twin))}\n")
            if "start_s" in drivers.find()[twin["driver"]].settings:
                parts.append(f"[bed.device.settings]\nstart_s = {FIRST_CUFF_S * self.wanted.speed}\n")
        return "".join(parts)

    async def _until(
        self, holds: Callable[[list[str]], None], beds: list[str], within_s: float | None = None,
    ) -> None:
        """Ask again until it no longer raises NotYet; after `within_s` that is what ends the demonstration."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        while True:
            try:
                await asyncio.to_thread(holds, beds)
                return
            except NotYet as why:
                if within_s is not None and loop.time() - began_s > within_s:
                    raise BadUsage(f"not up within {within_s:g} s ({why}); see the logs in {self.data}") from None
                await asyncio.sleep(0.1)

    def _tell(self) -> None:
        if self.wanted.as_json:
            print(json.dumps({
                "console": self.url, "mqtt": f"mqtt://127.0.0.1:{self.mqtt}", "data": str(self.data),
                "users": [{"name": u.name, "password": u.password, "role": u.role} for u in self.logins],
                "twins": self.twins, "pids": {name: service.pid for name, service in self.services.all.items()},
            }), flush=True)
            return
        print(f"\nVigil demonstration, {self.wanted.beds} simulated chairs"
              f"{f', {self.wanted.speed:g} times as fast as life' if self.wanted.speed != 1 else ''}\n\n"
              f"  console   {self.url}")
        for login in self.logins:
            print(f"            {login.name} / {login.password}")
        print(f"  broker    mqtt://127.0.0.1:{self.mqtt}\n  data      {self.data}\n")
        if self.wanted.speed == 1 and self.wanted.scenario == "story":
            print("The story takes an hour; with --speed 20 it is over in three minutes. Ctrl-C ends it.\n")
        sys.stdout.flush()

    async def _play(self, nurse: Nurse, beds: list[str]) -> None:
        await asyncio.to_thread(nurse.open_sessions, beds)
        await self._until(nurse.all_ready, beds)
        process = self.services.all["simulators"].process
        assert process is not None and process.stdin is not None
        with contextlib.suppress(ConnectionError):  # they have just died; started again, they wait with pumps stopped
            process.stdin.write(b'{"do":"go"}\n')
            await process.stdin.drain()
        began_s = self.clock.now()
        for minute, bed, scores in nurse.check_ins(beds):
            await asyncio.sleep(max(0.0, began_s + minute * 60 - self.clock.now()) / self.wanted.speed)
            await asyncio.to_thread(nurse.check_in, bed, scores)


def _at(twin: dict[str, Any]) -> str:
    """A pty by its link, which survives replugging; anything else as it is."""
    at: str = twin["at"]
    if not twin.get("port"):
        return at
    scheme, _, query = at.partition("?")
    return f"{scheme.split('://')[0]}://{twin['port']}" + (f"?{query}" if query else "")
