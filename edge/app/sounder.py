"""Sound at the box itself, where no page may be heard: one small port, and what can stand behind it.

    alsa       aplay, on a sound card
    speaker    the PC speaker, /dev/input/by-path/platform-pcspkr-event-spkr: the edge's user must be able to write it
    command    any program: the burst comes as a WAV on its standard input, {priority} in its arguments is replaced
    file       WAV files in a folder, one a burst: for tests and for whoever wants to hear what would sound
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from edge.config.box import SounderTable
from edge.contract.payloads import SounderNow
from edge.model import PRIORITY_RANK, Priority
from edge.sound import BURSTS, FUNDAMENTAL_HZ, Sounding, wav

SPEAKER = Path("/dev/input/by-path/platform-pcspkr-event-spkr")
EV_SND, SND_TONE = 0x12, 0x02  # linux/input-event-codes.h
LOOK_S = 0.2  # real seconds between two looks at what is to sound
ENDS_WITHIN_S = 10.0  # a program that plays for longer hangs
RETRY_S = 5.0
log = logging.getLogger(__name__)


class Silent(Exception):
    """It cannot sound: one line that says why."""


class Port(Protocol):
    """What makes a burst audible."""

    async def play(self, priority: Sounding) -> None:
        """Until the burst has ended. Raises Silent."""
        ...


class Command:
    """A program that is given the burst as a WAV."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = tuple(argv)

    async def play(self, priority: Sounding) -> None:
        argv = [part.replace("{priority}", priority) for part in self._argv]
        try:
            process = await asyncio.create_subprocess_exec(
                *argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE)
        except OSError as fault:
            raise Silent(f"{argv[0]}: {fault.strerror}") from None
        try:
            async with asyncio.timeout(ENDS_WITHIN_S):
                _, said = await process.communicate(wav(priority))
        except TimeoutError:
            raise Silent(f"{argv[0]} does not end") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode:
            words = said.decode(errors="replace").strip().splitlines()
            raise Silent(f"{argv[0]}: {words[-1] if words else f'it ended with {process.returncode}'}")


class Speaker:
    """The PC speaker: one tone, on and off as the pulses are."""

    def __init__(self, path: Path = SPEAKER) -> None:
        self._path = path

    async def play(self, priority: Sounding) -> None:
        try:
            fd = os.open(self._path, os.O_WRONLY)
        except OSError as fault:
            raise Silent(f"{self._path}: {fault.strerror}") from None
        try:
            at_s = 0.0
            for pulse in BURSTS[priority].pulses:
                await asyncio.sleep(max(0.0, pulse.start_s - at_s))
                self._tone(fd, FUNDAMENTAL_HZ)
                await asyncio.sleep(pulse.duration_s)
                self._tone(fd, 0)
                at_s = pulse.start_s + pulse.duration_s
        finally:
            with contextlib.suppress(Silent):
                self._tone(fd, 0)
            os.close(fd)

    def _tone(self, fd: int, hz: int) -> None:
        try:
            os.write(fd, struct.pack("@llHHi", 0, 0, EV_SND, SND_TONE, hz))
        except OSError as fault:
            raise Silent(f"{self._path}: {fault.strerror}") from None


class Files:
    """Each burst a file: 0001-medium.wav."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._number = folder, itertools.count(1)

    async def play(self, priority: Sounding) -> None:
        name = f"{next(self._number):04}-{priority}.wav"
        try:
            await asyncio.to_thread((self._folder / name).write_bytes, wav(priority))
        except OSError as fault:
            raise Silent(f"{self._folder}: {fault.strerror}") from None


def port_of(table: SounderTable | None) -> Port | None:
    """What edge.toml names; None: nothing."""
    match table:
        case None:
            return None
        case SounderTable(use="alsa"):
            return Command(["aplay", "-q", "-D", table.device, "-"])
        case SounderTable(use="speaker"):
            return Speaker()
        case SounderTable(use="file"):
            assert table.folder is not None
            return Files(table.folder)
        case _:
            return Command(table.command)


class Sounder:
    """Sounds what is `wanted`, burst after burst, with the silences between them; a rise interrupts a silence."""

    def __init__(self, port: Port | None, wanted: Callable[[], Priority], changed: Callable[[], None]) -> None:
        """`changed` sends the status."""
        self._port, self._wanted, self._changed = port, wanted, changed
        self._fault = ""
        self._now: Priority = "none"

    def now(self) -> SounderNow:
        """As the status has it."""
        if self._port is None:
            return SounderNow(state="off")
        return SounderNow(state="failing" if self._fault else "ready", reason=self._fault, priority=self._now)

    async def run(self) -> None:
        """For ever."""
        while self._port is not None:
            self._now = self._wanted()
            if self._now == "none":
                await asyncio.sleep(LOOK_S)
                continue
            await self._burst(self._port, self._now)
        await asyncio.Event().wait()

    async def _burst(self, port: Port, priority: Sounding) -> None:
        loop = asyncio.get_running_loop()
        try:
            await port.play(priority)
        except Silent as fault:
            self._said(str(fault))
            await asyncio.sleep(RETRY_S)
            return
        self._said("")
        until_s = loop.time() + BURSTS[priority].silence_s
        while loop.time() < until_s and 0 < PRIORITY_RANK[self._wanted()] <= PRIORITY_RANK[priority]:
            await asyncio.sleep(LOOK_S)

    def _said(self, fault: str) -> None:
        if fault == self._fault:
            return
        if fault:
            log.error("this box cannot sound: %s", fault)
        else:
            log.warning("this box sounds again")
        self._fault = fault
        self._changed()
