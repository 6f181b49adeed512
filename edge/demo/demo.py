"""`vigil demo`: everything on one machine with embedded defaults, each service its own process, supervised."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.clock import EdgeClock
from edge.console.accounts import ensure_user
from edge.demo.configuration import (
    EDGE,
    Ports,
    Shared,
    Site,
    free_port,
    new_logins,
    rules_file,
    write_broker,
    write_console,
    write_edge,
)
from edge.demo.nurse import NotYet, Nurse
from edge.demo.opening import name_patients, simulate_past
from edge.demo.services import WAIT, Service, Services
from edge.demo.shift import Hands, Shift
from edge.process import BadUsage, cancel_on_signals, make_folder
from simulators.control import LONGEST_PATH
from simulators.scenario import SCENARIOS

READY_WITHIN_S = 60.0  # real seconds
PAST_S, PAST_BED_S = 10.0, 1.0  # real seconds the past takes, about, and more for each bed
FIRST_CUFF_S = 5.0  # real seconds: the nurse opens the sessions first, so that the first cuff counts for the baseline
DAY_FIRST_CUFF_S = 75.0  # edge seconds: on a day that has long begun, whoever looks sees it come


@dataclass(frozen=True, slots=True)
class Options:
    """What the person asked for. `scenario` None: a day at the speed of life, the story at any other."""

    beds: int
    speed: float
    port: int | None
    data: Path | None
    scenario: str | None
    as_json: bool
    edges: int = 1

    @property
    def chosen(self) -> str:
        """The scenario it comes to."""
        return self.scenario or ("day" if self.speed == 1 else "story")


def run_demo(options: Options) -> int:
    """Run until Ctrl-C or SIGTERM. Raises BadUsage."""
    if options.chosen not in SCENARIOS:
        raise BadUsage(f"no scenario is named {options.scenario!r}; there are {', '.join(SCENARIOS)}")
    return asyncio.run(_until_stopped(Demo(options)))


async def _until_stopped(demo: Demo) -> int:
    task = asyncio.ensure_future(demo.run())
    cancel_on_signals(task)
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


class Demo:
    """One demonstration: its folder, its services, and the simulated nurse."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.own_folder = options.data is None
        self.data = (options.data or Path(tempfile.mkdtemp(prefix="vigil-demo-"))).absolute()
        if set("?#%") & set(str(self.data)):
            raise BadUsage(f"--data {self.data}: simulated ports lie in it, and ? # % cannot stand in a port's address;"
                           " give another folder")
        make_folder(self.data)
        self.clock = EdgeClock(options.speed)
        self.ports = Ports()
        self.shared = Shared(self.data, options.speed, self.clock.now(), self.ports.take(),
                             self.ports.take(options.port))
        self.sockets = Path(tempfile.mkdtemp(prefix="vigil-"))  # short: a socket's path may not be long
        self.sites = [self._site(number) for number in range(options.edges)]
        self.services = Services(self.data / "pids.json", self.data, self._print)
        self.logins = new_logins()

    def _site(self, number: int) -> Site:
        name = EDGE if number == 0 else f"{EDGE}-{number + 1}"
        site = Site(name, self.data if number == 0 else self.data / name, self.sockets / name)
        assert len(str(site.socket)) <= LONGEST_PATH, site.socket
        site.ports.mkdir(parents=True, exist_ok=True)
        return site

    def _print(self, line: str) -> None:
        print(f"vigil demo: {line}", file=sys.stderr, flush=True)

    @property
    def url(self) -> str:
        """Where the console's page is."""
        return f"http://127.0.0.1:{self.shared.http_port}"

    async def run(self) -> None:
        """Start everything, print where it is, play the nurse, keep it running."""
        try:
            await self._start()
            nurses = {site.edge: self._nurse(site) for site in self.sites}
            async with asyncio.TaskGroup() as group:
                for service in self.services.all.values():
                    group.create_task(self.services.keep(service))
                for site in self.sites:
                    await self._until(nurses[site.edge].all_live, site.beds, READY_WITHIN_S)
                self._tell()
                for site in self.sites:
                    play = self._day if self.options.chosen == "day" else self._story
                    group.create_task(play(site, nurses[site.edge]))
        finally:
            await self.services.stop(last="broker")
            self.ports.close()
            shutil.rmtree(self.sockets, ignore_errors=True)
            if self.own_folder:
                shutil.rmtree(self.data, ignore_errors=True)

    def _nurse(self, site: Site) -> Nurse:
        login = self.logins[0]
        return Nurse(self.url, login.name, login.password, site.edge)

    # --- the services -------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        for site in self.sites:
            await self.services.start(Service(f"simulators{site.suffix}", [
                "simulate", "--scenario", self.options.chosen, "--beds", str(self.options.beds), "--speed",
                str(self.options.speed), "--ports", str(site.ports), WAIT, "--port", str(self.ports.take()),
                "--control", str(site.socket), "--json",
            ], pipes=True, urgent=True))
        broker = await asyncio.to_thread(write_broker, self.shared, self.sites)
        await self.services.start(Service("broker", broker, urgent=True))
        await asyncio.to_thread(self._accounts)
        pasts = [await asyncio.to_thread(self._names, site) for site in self.sites]
        console = write_console(self.shared, self.sites, self.logins)
        await self.services.start(Service("console", ["console", "--config", str(console)]))
        for site, sessions in zip(self.sites, pasts, strict=True):
            await self._start_edge(site, sessions)

    async def _start_edge(self, site: Site, sessions: Mapping[str, str]) -> None:
        simulators = self.services.all[f"simulators{site.suffix}"].process
        assert simulators is not None and simulators.stdout is not None
        line = await asyncio.wait_for(simulators.stdout.readline(), READY_WITHIN_S)
        if not line:
            raise BadUsage(f"the simulators did not start; see {self.data / f'simulators{site.suffix}.log'}")
        site.twins = json.loads(line)["twins"]
        day = self.options.chosen == "day"
        config = write_edge(self.shared, site, DAY_FIRST_CUFF_S if day else FIRST_CUFF_S * self.options.speed)
        edge = Service(f"edge{site.suffix}", ["edge", "--config", str(config), *([WAIT] if day else [])], urgent=True,
                       waits=day)
        await self.services.start(edge)  # by the time the past is lived, it has read its program
        if day and sessions:
            await self._past(site, sessions)
        elif day:
            await self._go(site)
        await self.services.go(edge)

    def _names(self, site: Site) -> dict[str, str]:
        """Session ids of a past that is to be lived; none where there is no past. It is lived once: a folder that has a
        record keeps it."""
        if self.options.chosen != "day" or (site.data / "journal.db").exists():
            return {}
        return name_patients(self.shared, site, self.options.beds, self.shared.epoch)

    async def _past(self, site: Site, sessions: Mapping[str, str]) -> None:
        """What of the day is over."""
        if not self.options.as_json:
            about_s = PAST_S + PAST_BED_S * self.options.beds
            self._print(f"living the last hour at every bed first; about {about_s:.0f} s")
        await asyncio.to_thread(simulate_past, self.shared, site, sessions, self.clock.now)

    async def _go(self, site: Site) -> None:
        process = self.services.all[f"simulators{site.suffix}"].process
        assert process is not None and process.stdin is not None
        with contextlib.suppress(ConnectionError):  # they have just died; started again, they wait with pumps stopped
            process.stdin.write(json.dumps({"do": "go"}).encode() + b"\n")
            await process.stdin.drain()

    def _accounts(self) -> None:
        for login in self.logins:
            ensure_user(self.data / "console.db", login.name, login.password, login.role, self.shared.epoch)

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

    # --- what is printed ----------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        if self.options.as_json:
            print(json.dumps({
                "console": self.url, "mqtt": f"mqtt://127.0.0.1:{self.shared.mqtt_port}", "data": str(self.data),
                "users": [{"name": u.name, "password": u.password, "role": u.role} for u in self.logins],
                "twins": [twin | ({"edge": site.edge} if len(self.sites) > 1 else {})
                          for site in self.sites for twin in site.twins],
                "pids": {name: service.pid for name, service in self.services.all.items()},
                "edges": [site.edge for site in self.sites],
            }), flush=True)
            return
        fast = f", {self.options.speed:g} times as fast as life" if self.options.speed != 1 else ""
        print(f"\nVigil demonstration, {self.options.beds * len(self.sites)} simulated beds{fast}\n\n"
              f"  console   {self.url}     (the page offers the accounts; or by hand:)")
        for login in self.logins:
            print(f"            {login.name} / {login.password}")
        print(f"  broker    mqtt://127.0.0.1:{self.shared.mqtt_port}\n  data      {self.data}"
              f"{'  (goes with the demonstration; --data DIR keeps it)' if self.own_folder else ''}\n")
        if self.options.chosen == "day":
            print(WHAT_TO_SEE.format(url=self.url))
        elif self.options.speed == 1:
            print("The story takes an hour; with --speed 20 it is over in three minutes.")
        print("Ctrl-C ends it all.\n", flush=True)

    # --- what is played -----------------------------------------------------------------------------------------------

    async def _day(self, site: Site, nurse: Nurse) -> None:
        await Shift(nurse, Hands(site.socket), site.beds, self.clock.now, self.options.speed).run()

    async def _story(self, site: Site, nurse: Nurse) -> None:
        beds = site.beds
        await asyncio.to_thread(nurse.open_sessions, beds)
        await self._until(nurse.all_ready, beds)
        await self._go(site)
        began_s = self.clock.now()
        for minute, bed, scores in nurse.check_ins(beds):
            await asyncio.sleep(max(0.0, began_s + minute * 60 - self.clock.now()) / self.options.speed)
            await asyncio.to_thread(nurse.check_in, bed, scores)


WHAT_TO_SEE = """Look at, in this order:
  1. {url}                 sign in as the nurse: beds before, in and after an infusion
  2. the second bed, at once        oxygen falls below 90 %: an alarm, heard and seen; acknowledge it
  3. the first bed, within 4 min    its next cuff measurement is above 180: HIGH, with the burst of IEC 60601-1-8
  4. {url}/simulation      work the devices yourself: a bed that you touch is yours, the others go on
"""

__all__ = ["Demo", "Options", "free_port", "rules_file", "run_demo"]
