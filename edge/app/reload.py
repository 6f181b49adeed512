"""edge.toml read again while everything runs, on SIGHUP: wholly checked first; then only what changed stops and starts.

A file that is refused changes nothing; its one line is in the log and on the page. So is what only a restart can
change. A bed at which somebody is treated cannot be taken out.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import drivers
from edge.app.service import EdgeService
from edge.app.supervisor import Supervisor
from edge.config.changes import changes
from edge.config.files import ConfigError, EdgeConfig, config_hash, load_edge
from edge.contract.payloads import ReloadNow
from edge.model import iso

log = logging.getLogger(__name__)


class Reloader:
    """Waits for SIGHUP. `config` is what runs now, read from `path`."""

    def __init__(self, path: Path, config: EdgeConfig, service: EdgeService, supervisor: Supervisor,
                 now: Callable[[], float]) -> None:
        self._path, self._config = path, config
        self._service, self._supervisor, self._now = service, supervisor, now
        self._maps = _digests(config)
        self._rules = _written(config)
        self._asked = asyncio.Event()

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
        drivers.find.cache_clear()  # a driver or a map may be another too
        try:
            new = load_edge(self._path, drivers.find)
            specs = drivers.find(new.edge.drivers, new.maps)
            maps, digest = _digests(new), config_hash(self._path)
            rules = _written(new)
            self._keeps_patients(new)
        except (ConfigError, OSError, ValueError) as wrong:
            log.error("not read again, nothing is changed: %s", wrong)
            self._say("refused", str(wrong))
            return False
        other = frozenset(path for path in maps if maps[path] != self._maps.get(path))
        found = changes(self._config, new, other)
        await self._service.reconfigure(found, specs, self._supervisor, digest)
        beds = {bed.id: bed for bed in new.bed}
        self._config = self._config.model_copy(
            update={"bed": tuple(beds.get(bed.id, bed) for bed in self._config.bed)})
        self._maps |= maps
        log.info("%s read again: %s", self._path, found)
        later = [*found.restart, *(["the rules or protocols"] if rules != self._rules else [])]
        for what in later:
            log.warning("%s: %s; this takes effect at the next restart", self._path, what)
        self._say("restart" if later else "done", ", ".join(later) or str(found))
        return True

    def _say(self, state: Literal["done", "restart", "refused"], text: str) -> None:
        self._service.reload = ReloadNow(state=state, at=iso(self._now()), text=text)

    def _keeps_patients(self, new: EdgeConfig) -> None:
        """Raises ConfigError where a bed with an open session is not there any more."""
        for bed in {bed.id for bed in self._config.bed} - {bed.id for bed in new.bed}:
            if self._service.in_session(bed):
                raise ConfigError(self._path, None, f"bed {bed!r} has an open session and is not there any more; write"
                                                    " it again, or close the session first")


def _written(config: EdgeConfig) -> bytes:
    protocols = config.edge.protocols_file
    return config.edge.rules.read_bytes() + (protocols.read_bytes() if protocols else b"")


def _digests(config: EdgeConfig) -> dict[Path, str]:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in config.maps}
