"""What a technician asks of the box from the page: its ports, what is on one of them, and edge.toml read again.

A probe is a process of its own (`vigil probe`), with less of the processor than the beds: whatever comes over that wire
delays nobody who is watched. A port that a device of edge.toml has is left alone.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from edge.app.keeping import BedAtWork
from edge.contract.box import PortNow
from edge.contract.box_verbs import BOX_VERBS, LookAtPorts, ProbePort, ReadAgain
from edge.contract.payloads import Answer, CommandIn, ProbeNow
from edge.field.device_url import parse_device_url
from edge.field.discovery import ports
from edge.model import iso

log = logging.getLogger(__name__)

NICE = 10
LONGEST_S = 180.0  # real seconds; a probe says itself how long it takes at most
COMMAND = (sys.executable, "-m", "edge.cli", "probe", "--json")


class Workbench:
    """`works` are the beds, as they are at any time; `changed` sends the status; `folder` is the clinic's own drivers;
    `now` the edge clock."""

    def __init__(self, works: Mapping[str, BedAtWork], changed: Callable[[], None], folder: Path | None,
                 now: Callable[[], float]) -> None:
        self._works, self._changed, self._folder, self._clock = works, changed, folder, now
        self._asked: asyncio.Queue[ProbeNow] = asyncio.Queue(1)
        self.now: ProbeNow | None = None
        self.read_again: Callable[[], None] | None = None  # set by who can

    def obey(self, sent: CommandIn) -> Answer:
        """What was asked, by whoever may (CommandVerifier), is begun; the status says how it goes. Or why it is not."""
        asked = BOX_VERBS[sent.verb]
        try:
            args = msgspec.convert(sent.args, asked)
        except msgspec.ValidationError as wrong:
            return Answer(id=sent.id, ok=False, reason=f"bad_args: {wrong}")
        why = self._begin(args, sent.user)
        return Answer(id=sent.id, ok=not why, reason=why or None)

    def _begin(self, args: object, by: str) -> str:
        """Why it is refused; "" where it is begun."""
        match args:
            case ReadAgain():
                if self.read_again is None:
                    return "not_now: this edge does not read its edge.toml again; start it anew"
                self.read_again()
            case LookAtPorts() if not self._busy:
                self._say(ProbeNow(state="listed", since=iso(self._clock()), by=by, ports=self._ports()))
            case ProbePort(at=at) if not self._busy:
                try:
                    place = parse_device_url(at if "://" in at else f"serial://{at}")
                except ValueError as wrong:
                    return f"bad_args: {wrong}"
                if who := self._used().get(endpoint(place.path or place.endpoint)):
                    return f"not_now: {place.endpoint} is {who}; take it out of edge.toml first, or look at its wire"
                self._say(ProbeNow(state="running", since=iso(self._clock()), by=by, at=at, ports=self._ports()))
                assert self.now is not None
                self._asked.put_nowait(self.now)
            case _:
                assert self.now is not None
                return f"not_now: {self.now.at} is being probed for {self.now.by}; wait until that is over"
        return ""

    def _used(self) -> dict[str, str]:
        """The places that devices have now, each with whose it is."""
        return {endpoint(parse_device_url(work.telemetry.places[device][0]).endpoint): f"{bed}/{device}"
                for bed, work in self._works.items() for device in work.telemetry.dialogues}

    @property
    def _busy(self) -> bool:
        return self.now is not None and self.now.state == "running"

    def _ports(self) -> tuple[PortNow, ...]:
        used = self._used()
        return tuple(PortNow(port=one.port, used_by=used.get(endpoint(one.port), ""), what=" ".join(
            word for word in (one.vendor, one.product, one.serial) if word) or one.what.replace("n/a", ""))
                     for one in ports())

    def _say(self, now: ProbeNow) -> None:
        self.now = now
        self._changed()

    async def run(self) -> None:
        """One probe after the other, for ever."""
        while True:
            asked = await self._asked.get()
            try:
                async with asyncio.timeout(LONGEST_S):
                    await self._probe(asked)
            except TimeoutError:
                self._say(msgspec.structs.replace(asked, state="failed", says=(f"no end after {LONGEST_S:g} s",)))

    async def _probe(self, asked: ProbeNow) -> None:
        folder = () if self._folder is None else ("--drivers", str(self._folder))
        process = await asyncio.create_subprocess_exec(
            *COMMAND, *folder, "--", asked.at, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, preexec_fn=lambda: os.nice(NICE))
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            last = ""
            while line := await process.stderr.readline():
                last = " ".join(line.decode("utf-8", "replace").split()).removesuffix(", Ctrl-C ends it")
                self._say(msgspec.structs.replace(asked, says=(last,)))
            told = await process.stdout.read()
            await process.wait()
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        self._say(_outcome(asked, told, last))


def _outcome(asked: ProbeNow, told: bytes, last: str) -> ProbeNow:
    """What `vigil probe --json` printed; where it printed nothing, its last word says why."""
    try:
        result = json.loads(told)
    except ValueError:
        return msgspec.structs.replace(asked, state="failed", says=(last,))
    found = result["found"]
    return msgspec.structs.replace(
        asked, state="found" if found else "nothing", says=tuple(result["words"]),
        toml="\n".join(one["toml"] for one in found))


def endpoint(path: str) -> str:
    """A place as it is compared: the port that a link leads to."""
    return os.path.realpath(path) if path.startswith("/") else path
