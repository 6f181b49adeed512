"""edge.toml read again while everything runs, on SIGHUP: wholly checked first, with the rules, protocols, register maps
and drivers it names; then only what changed stops and starts.

A file that is refused changes nothing; its one line is in the log and on the page. So is what only a restart can
change. A bed at which somebody is treated cannot be taken out.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import drivers
from drivers.contract import Spec
from edge.app.files import read_protocols, read_rules
from edge.app.running import Running
from edge.app.service import EdgeService
from edge.app.supervisor import Supervisor
from edge.config.changes import changes
from edge.config.files import ConfigError, EdgeConfig, config_hash, load_edge
from edge.contract.payloads import ReloadNow
from edge.model import iso
from edge.process import BadUsage

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Read:
    """edge.toml and all it names, as they are now: what its drivers and rules are written in, too."""

    config: EdgeConfig
    specs: Mapping[str, Spec]
    drivers: dict[str, str]
    rules: bytes
    digest: str


def _read(path: Path) -> _Read:
    """Raises ConfigError, BadUsage, OSError or ValueError, each with one line."""
    drivers.find.cache_clear()  # a driver or a map may be another too
    config = load_edge(path, drivers.find)
    rules, _ = read_rules(config.edge.rules)
    read_protocols(config.edge.protocols_file, rules)
    return _Read(config, drivers.find(config.edge.drivers, config.maps), _digests(config), _written(config),
                 config_hash(path))


class Reloader:
    """Waits for SIGHUP. `config` is what runs now, read from `path`; `running`: who asked is told there."""

    def __init__(self, path: Path, config: EdgeConfig, service: EdgeService, supervisor: Supervisor,
                 now: Callable[[], float], running: Running | None = None) -> None:
        self._path, self._config = path, config
        self._service, self._supervisor, self._now, self._running = service, supervisor, now, running
        self._drivers = _digests(config)
        self._rules = _written(config)
        self._asked = asyncio.Event()
        service.workbench.read_again = self._asked.set

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._asked.set)
        try:
            while True:
                await self._asked.wait()
                self._asked.clear()
                await self.reload()
        finally:
            loop.remove_signal_handler(signal.SIGHUP)

    async def reload(self) -> bool:
        """Read the file again and go over to it; whether it was good."""
        try:
            read = await asyncio.to_thread(_read, self._path)  # the beds are watched meanwhile
            new = read.config
            self._keeps_patients(new)
        except (ConfigError, BadUsage, OSError, ValueError) as wrong:
            log.error("not read again, nothing is changed: %s", wrong)
            self._say("refused", str(wrong))
            return False
        found = changes(self._config, new, _others(self._drivers, read.drivers))
        await self._service.reconfigure(found, read.specs, self._supervisor, read.digest)
        self._config = self._config.model_copy(update={"bed": new.bed})
        self._drivers = read.drivers
        log.info("%s read again: %s", self._path, found)
        later = [*found.restart, *(["the rules or protocols"] if read.rules != self._rules else [])]
        for what in later:
            log.warning("%s: %s; this takes effect at the next restart", self._path, what)
        self._say("restart" if later else "done", ", ".join(later) or str(found))
        return True

    def _say(self, state: Literal["done", "restart", "refused"], text: str) -> None:
        again = ReloadNow(state=state, at=iso(self._now()), text=text)
        self._service.read_again(again)
        if self._running is not None:
            self._running.say(again)

    def _keeps_patients(self, new: EdgeConfig) -> None:
        """Raises ConfigError where a bed with an open session is not there any more."""
        for bed in {bed.id for bed in self._config.bed} - {bed.id for bed in new.bed}:
            if self._service.in_session(bed):
                raise ConfigError(self._path, None, f"bed {bed!r} has an open session and is not there any more; write"
                                                    " it again, or close the session first")


def _written(config: EdgeConfig) -> bytes:
    protocols = config.edge.protocols_file
    return config.edge.rules.read_bytes() + (protocols.read_bytes() if protocols else b"")


def _digests(config: EdgeConfig) -> dict[str, str]:
    """What the clinic's own drivers are written in, by the name they are found by. A module may use those beside it, so
    all of a folder's count for each."""
    digests = {str(path): _digest([path]) for path in config.maps}
    folder = config.edge.drivers
    if folder is not None:
        whole = _digest(sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".toml")))
        digests |= dict.fromkeys(drivers.find(folder).keys() - drivers.find().keys(), whole)
    return digests


def _digest(paths: Sequence[Path]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def _others(before: Mapping[str, str], after: Mapping[str, str]) -> frozenset[str]:
    return frozenset(name for name in before.keys() & after.keys() if before[name] != after[name])
