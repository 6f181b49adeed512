"""A link on real ptys: cables pulled and plugged, another device on the same port, a connection half open."""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge.field.device_url import DeviceUrl
from edge.field.devices import Devices
from edge.field.dialogue import Dialogue
from tests.helpers.scripted_device import TRUTH, Bed, Script, spec, wrong
from tests.helpers.waiting import until


class Pty:
    """A scripted device behind a symlink that stays the same, as /dev/serial/by-id does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.master = -1
        self.serial = b"A1"

    def plug(self) -> None:
        self.master, slave = os.openpty()
        tty.setraw(slave)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(slave))
        os.close(slave)
        os.set_blocking(self.master, False)
        asyncio.get_running_loop().add_reader(self.master, self._answer)

    def unplug(self) -> None:
        if self.master >= 0:
            asyncio.get_running_loop().remove_reader(self.master)
            os.close(self.master)
            self.master = -1
            self.path.unlink()

    def _answer(self) -> None:
        try:
            said = os.read(self.master, 100)
        except OSError:  # nobody has the other side open yet
            return
        for byte in said:
            os.write(self.master, {**TRUTH, b"w": b"#" + self.serial + b"\n"}[bytes([byte])])


@asynccontextmanager
async def running(path: Path, bed: Bed) -> AsyncIterator[Dialogue]:
    at = DeviceUrl("serial", path=str(path), overrides={"lateness_s": 0.05})
    loop = asyncio.get_running_loop()
    devices = Devices(now=loop.time)
    dialogue = devices.add("chair-1", "script", spec(lambda: Script(every_s=0.05)), at, decoded=bed.decoded,
                           wave=bed.wave)
    task = loop.create_task(devices.run())
    try:
        yield dialogue
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), task.exception()


@pytest.mark.slow
async def test_a_pulled_cable_is_noticed_and_a_plugged_one_heals_for_ever(tmp_path: Path) -> None:
    bed, pty = Bed(), Pty(tmp_path / "by-id")
    async with running(pty.path, bed) as link:
        await until(lambda: link.state == "lost", 2)
        assert bed.links[-1] == ("lost", f"{pty.path} is not there", None), "it started without the device"
        for _ in range(3):
            pty.plug()
            await until(lambda: link.state == "live", 5)
            heard = len(bed.samples)
            await until(lambda heard=heard: len(bed.samples) > heard, 2)  # type: ignore[misc]
            pty.unplug()
            await until(lambda: link.state in ("lost", "unstable"), 2)
    assert [state for state, *_ in bed.links] == ["connecting", *["lost", "live"] * 3, "unstable"]
    assert wrong(bed.samples) == []


async def test_another_device_plugged_into_the_same_port_is_refused(tmp_path: Path) -> None:
    bed, pty = Bed(), Pty(tmp_path / "by-id")
    pty.plug()
    async with running(pty.path, bed) as link:
        await until(lambda: link.state == "live", 5)
        pty.unplug()
        await until(lambda: link.state == "lost", 2)
        heard = len(bed.samples)
        pty.serial = b"B2"
        pty.plug()
        await until(lambda: link.state == "wrong_device", 5)
        frames = link.counters.frames
        await until(lambda: link.counters.frames > frames + 2, 5)
        assert len(bed.samples) == heard
    pty.unplug()


@pytest.mark.slow
async def test_a_half_open_connection_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal server that was switched off and on does not say that the old connection is dead."""
    monkeypatch.setattr("edge.field.connection.REOPEN_AFTER_S", 0.1)
    callers: list[asyncio.StreamWriter] = []

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(writer)
        while len(callers) > 1 and not reader.at_eof():
            writer.write(b"!71\n")
            await asyncio.sleep(0.05)

    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    loop, bed = asyncio.get_running_loop(), Bed()
    at = DeviceUrl(
        "tcp", host="127.0.0.1", port=listening.sockets[0].getsockname()[1], overrides={"silent_after_s": 0.2}
    )
    devices = Devices(now=loop.time)
    link = devices.add("chair-1", "script", spec(lambda: Script((), asks_who=False)), at, decoded=bed.decoded,
                       wave=bed.wave)
    task = loop.create_task(devices.run())
    await until(lambda: link.state == "live", 3)
    task.cancel()
    await asyncio.wait([task])
    assert [state for state, *_ in bed.links] == ["connecting", "silent", "live"]
    for caller in callers:
        caller.close()
    listening.close()
