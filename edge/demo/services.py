"""Processes kept alive: each service of a demonstration is its own, and is started again when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

log = logging.getLogger(__name__)

RESTART_AFTER_S = 0.3  # real seconds; doubles up to a bound while a service dies at once
RESTART_AFTER_MAX_S = 5.0
STOPS_WITHIN_S = 5.0
WRITE_AGAIN_S = 2.0
URGENT = -5  # nice value
WAIT = "--wait-for-go"
_PR_SET_PDEATHSIG = 1


def _prepare(urgent: bool) -> None:
    """In the service's process, before exec: a parent that is killed takes its services with it (prctl(2)); what must
    keep time goes before what only shows it, where we may say so."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if urgent:
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, URGENT)


@dataclass(slots=True)
class Service:
    """One service: its name, its arguments to `vigil`, and its process now."""

    name: str
    arguments: list[str]
    process: asyncio.subprocess.Process | None = None
    pipes: bool = False  # its standard input and output belong to us
    waits: bool = False  # for the word to go, with WAIT among its arguments
    urgent: bool = False
    program: tuple[str, ...] = (sys.executable, "-m", "edge.cli")

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None


@dataclass(slots=True)
class Services:
    """All services. `file` holds their present pids, as soon as it can be written. No disk that is full or read-only
    ends them, or keeps one from being started again."""

    file: Path
    logs: Path
    changed: Callable[[str], None]
    all: dict[str, Service] = field(default_factory=dict)
    stopping: bool = False

    async def start(self, service: Service) -> Service:
        """Start one, with its log in a file of its own."""
        self.all[service.name] = service
        pipe = asyncio.subprocess.PIPE if service.pipes else None
        told = asyncio.subprocess.PIPE if service.pipes or service.waits else asyncio.subprocess.DEVNULL
        with self._log(service.name) as out:
            service.process = await asyncio.create_subprocess_exec(  # a session of its own: Ctrl-C is ours to pass on
                *service.program, *service.arguments,
                stdin=told, stdout=pipe or out, stderr=out,
                start_new_session=True, preexec_fn=partial(_prepare, service.urgent))
        self._write()
        return service

    async def go(self, service: Service) -> None:
        """`service` waits no longer; nor will it where it is started again."""
        if not service.waits:
            return
        service.waits = False
        service.arguments.remove(WAIT)
        assert service.process is not None and service.process.stdin is not None
        with contextlib.suppress(ConnectionError):  # it has just died, and is started again
            service.process.stdin.write(b"go\n")
            await service.process.stdin.drain()
        service.process.stdin.close()

    @contextlib.contextmanager
    def _log(self, name: str) -> Iterator[IO[bytes] | None]:
        """The file for what it says; None, for this terminal, where there can be none."""
        try:
            out = (self.logs / f"{name}.log").open("ab")
        except OSError as fault:
            self.changed(f"{fault}: what {name} says stands here")
            yield None
            return
        with out:
            yield out

    def _write(self) -> None:
        pids = {name: service.pid for name, service in self.all.items()}
        new = self.file.with_suffix(".new")
        try:
            new.write_text(json.dumps(pids))
            new.replace(self.file)
        except OSError as fault:
            log.warning("%s cannot be written, and is tried again: %s", self.file, fault)
            if not self.stopping:
                asyncio.get_running_loop().call_later(WRITE_AGAIN_S, self._write)

    async def keep(self, service: Service) -> None:
        """Start `service` again whenever it ends, for as long as the demonstration lasts."""
        wait_s = RESTART_AFTER_S
        while True:
            assert service.process is not None
            began_s = asyncio.get_running_loop().time()
            code = await service.process.wait()
            if self.stopping:
                return
            self.changed(f"{service.name} ended ({_why(code)}); starting it again")
            if asyncio.get_running_loop().time() - began_s > 10 * RESTART_AFTER_S:
                wait_s = RESTART_AFTER_S
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RESTART_AFTER_MAX_S)
            await self.start(service)
            self.changed(f"{service.name} runs again, pid {service.pid}")

    async def stop(self, last: str) -> None:
        """End all, politely, then not; `last` after the others, since they have last words for it to carry."""
        self.stopping = True
        await self._end([name for name in self.all if name != last])
        await self._end([name for name in self.all if name == last])

    async def _end(self, names: Iterable[str]) -> None:
        waits: dict[str, asyncio.Future[int]] = {}
        for name in names:
            service = self.all[name]
            if service.process is not None and service.process.returncode is None:
                service.process.terminate()
                waits[name] = asyncio.ensure_future(service.process.wait())
        if waits:
            await asyncio.wait(waits.values(), timeout=STOPS_WITHIN_S)
        for name, waiting in waits.items():
            process = self.all[name].process
            if process is not None and not waiting.done():
                log.warning("%s (pid %s) did not stop; killed", name, process.pid)
                os.kill(process.pid, signal.SIGKILL)
            await waiting


def _why(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
