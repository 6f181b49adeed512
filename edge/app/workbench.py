"""What a technician asks of the box from the page: its ports, what is on one of them, how a driver's device is
connected, and edge.toml read again.

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

import drivers
from edge.app.card import card
from edge.app.keeping import BedAtWork
from edge.app.scale import scale_of
from edge.contract.box import CARD_S, CardNow, DriverNow, PortNow
from edge.contract.box_verbs import BOX_VERBS, LookAtPorts, ProbePort, ReadAgain, ShowDriver
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
    `now` the edge clock, `accepted` the folder of acceptance reports."""

    def __init__(self, works: Mapping[str, BedAtWork], changed: Callable[[], None], folder: Path | None,
                 now: Callable[[], float], *, accepted: Path | None = None) -> None:
        self._works, self._changed, self._folder, self._clock = works, changed, folder, now
        self._accepted = accepted
        self._asked: asyncio.Queue[ProbeNow] = asyncio.Queue(1)
        self._cards: asyncio.Queue[tuple[str, str]] = asyncio.Queue(1)  # what it is of, and the driver's name
        self.card: CardNow | None = None
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
            case ShowDriver(of=of):
                return self._look_up(of)
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

    def _look_up(self, of: str) -> str:
        """Why no card is looked up; "" where it is."""
        bed, slash, device = of.partition("/")
        work = self._works.get(bed) if slash else None
        driver = of if not slash else work.telemetry.specs.get(device, "") if work is not None else ""
        if not slash and driver.endswith(".toml"):  # a file is read only where edge.toml names it for a device
            return f"bad_args: {of} is a file; write the driver's name, or bed/device"
        if slash and not driver:
            return f"not_now: there is no device {of} at this edge"
        if self._cards.full():
            return "not_now: another card is being looked up; ask again in a moment"
        self._cards.put_nowait((of, driver))
        return ""

    async def show(self) -> None:
        """One card after the other, for ever; each is told for a while and then left out."""
        while True:
            asked: tuple[str, str] | None = None
            with suppress(TimeoutError):
                async with asyncio.timeout(CARD_S if self.card is not None else None):
                    asked = await self._cards.get()
            self.card = None if asked is None else await asyncio.to_thread(self._card, *asked)
            self._changed()

    def _card(self, of: str, driver: str) -> CardNow:
        try:
            found = drivers.find(self._folder, (Path(driver),) if driver.endswith(".toml") else ())
        except ValueError as wrong:
            return CardNow(of=of, lines=(str(wrong),))
        if not driver:
            return CardNow(of=of, drivers=tuple(DriverNow(name=one.name, title=one.title) for one in found.values()))
        if driver not in found:
            return CardNow(of=of, lines=(f"no driver is named {driver!r}",))
        scale_of.cache_clear()  # a report may have come since
        return CardNow(of=of, lines=tuple(card(found[driver], self._accepted).splitlines()))

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
