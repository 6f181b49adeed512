"""A place is read exactly or refused in one line; a byte stream loses nothing and says in time what broke it."""

from __future__ import annotations

import asyncio
import os
import termios
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from drivers.contract import Line
from edge.app.supervisor import Supervisor, TaskDied
from edge.field.device_url import DeviceUrl, parse_device_url
from edge.field.modbus import ModbusPort
from edge.field.ports import BytePort, PortLost

LINE = Line(9600)


@pytest.mark.parametrize(("text", "at"), [
    ("serial:///dev/ttyUSB0", DeviceUrl("serial", path="/dev/ttyUSB0")),
    ("serial:///dev/serial/by-id/usb-FTDI_A:1?baud=38400&parity=n&bits=7&stop=2",
     DeviceUrl("serial", path="/dev/serial/by-id/usb-FTDI_A:1",
        overrides={"baud": 38400, "parity": "N", "bits": 7, "stop": 2})),
    ("tcp://10.0.0.7:4001?lateness_s=2.5", DeviceUrl("tcp", host="10.0.0.7", port=4001, overrides={"lateness_s": 2.5})),
    ("tcp://[::1]:4001", DeviceUrl("tcp", host="::1", port=4001)),
    ("modbus+tcp://plc.clinic", DeviceUrl("modbus+tcp", host="plc.clinic", port=502)),
    ("modbus+tcp://10.0.0.9:5020?unit=0", DeviceUrl("modbus+tcp", host="10.0.0.9", port=5020, unit=0)),
    ("modbus+rtu:///dev/ttyUSB3?unit=247&baud=19200",
     DeviceUrl("modbus+rtu", path="/dev/ttyUSB3", unit=247, overrides={"baud": 19200})),
])
def test_a_place_is_read_and_written_back(text: str, at: DeviceUrl) -> None:
    assert parse_device_url(text) == at
    assert parse_device_url(str(at)) == at


@pytest.mark.parametrize(("text", "said"), [
    ("", "'' is no place of a device; write one like serial:///dev/ttyUSB0, tcp://10.0.0.7:4001,"
         " modbus+tcp://10.0.0.9:502?unit=1, modbus+rtu:///dev/ttyUSB0?unit=1"),
    ("/dev/ttyUSB0", "'/dev/ttyUSB0' is no place of a device; write one like serial:///dev/ttyUSB0, tcp://10.0.0.7:4001,"
                     " modbus+tcp://10.0.0.9:502?unit=1, modbus+rtu:///dev/ttyUSB0?unit=1"),
    ("seriel:///dev/ttyS0", "'seriel:///dev/ttyS0' is no place of a device; write one like serial:///dev/ttyUSB0"),
    ("serial://dev/ttyS0", "'serial://dev/ttyS0' names no port; write the whole path, like serial:///dev/ttyUSB0"),
    ("serial:///", "'serial:///' names no port; write the whole path, like serial:///dev/ttyUSB0"),
    ("tcp://10.0.0.7", "'tcp://10.0.0.7' must be a host and a port; write tcp://10.0.0.7:4001"),
    ("tcp://10.0.0.7:99999", "'tcp://10.0.0.7:99999': Port out of range 0-65535; write tcp://10.0.0.7:4001"),
    ("tcp://u@h:1", "'tcp://u@h:1' must be a host and a port; write tcp://10.0.0.7:4001"),
    ("tcp://h:1?baud=9600", "tcp:// has no option 'baud'; it has: lateness_s, silent_after_s"),
    ("serial:///dev/t?parity=M", "parity must be N, E or O, not 'M'"),
    ("serial:///dev/t?stop=", "stop must be a whole number from 1 to 2, not ''"),
    ("serial:///dev/t?lateness_s=nan", "lateness_s must be seconds from above 0 to 3600, not 'nan'"),
    ("serial:///dev/t?baud=1200&baud=9600", "'baud' is given twice in 'baud=1200&baud=9600'; write it once"),
    ("modbus+tcp://h?unit=256", "unit must be a whole number from 0 to 255, not '256'"),
])
def test_a_place_that_is_none_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole line is compared
        parse_device_url(text)
    assert str(caught.value) == said


def test_a_place_overrides_the_drivers_line() -> None:
    line = parse_device_url("serial:///dev/t?parity=E&silent_after_s=9").line(Line(4800, bits=7, lateness_s=3))
    assert line == Line(4800, bits=7, parity="E", silent_after_s=9, lateness_s=3)


class Cable:
    """A pty: `path` is our side, `device` the other."""

    def __init__(self) -> None:
        self.device, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        self._keep = slave

    def pull(self) -> None:
        for fd in (self.device, self._keep):
            if fd >= 0:
                os.close(fd)
        self.device = self._keep = -1


@pytest.fixture
def cable() -> Iterator[Cable]:
    made = Cable()
    yield made
    made.pull()


def soon(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_bytes_go_both_ways_and_none_is_lost_between_reads(cable: Cable) -> None:
    link = BytePort(DeviceUrl("serial", path=cable.path), LINE)
    await link.open()
    link.write(b"who?")
    assert os.read(cable.device, 10) == b"who?"
    assert await link.read(soon(0.02)) == b""
    os.write(cable.device, b"abc")
    await asyncio.sleep(0)
    os.write(cable.device, b"def")
    came = b""
    while len(came) < 6 and (more := await link.read(soon(1))):
        came += more
    assert came == b"abcdef"
    await link.close()
    await link.close()


@pytest.mark.parametrize("line", [
    Line(19200, bits=7, parity="E"), Line(19200, parity="O", stop=2), Line(19200, bits=7)])
async def test_a_pty_stands_in_for_any_line_also_when_it_is_opened_again(cable: Cable, line: Line) -> None:
    for _ in range(2):
        link = BytePort(DeviceUrl("serial", path=cable.path), line)
        await link.open()
        assert termios.tcgetattr(cable.device)[4] == termios.B19200
        await link.close()


async def test_a_pulled_cable_ends_a_waiting_read_at_once(cable: Cable) -> None:
    link = BytePort(DeviceUrl("serial", path=cable.path), LINE)
    await link.open()
    asyncio.get_running_loop().call_later(0.05, cable.pull)
    with pytest.raises(PortLost, match=f"^{cable.path} (hung up|is not there any more)$"):
        await link.read(soon(2))
    await link.close()


async def test_a_device_that_takes_no_bytes_is_lost_and_stops_nobody_else(cable: Cable) -> None:
    link = BytePort(DeviceUrl("serial", path=cable.path), LINE)
    await link.open()
    with pytest.raises(PortLost, match=f"^{cable.path} takes no bytes$"):
        link.write(b"x" * 100_000)
    await asyncio.wait_for(link.close(), 2)


async def test_a_port_opens_once_and_again_when_it_is_free(cable: Cable) -> None:
    first, second = (BytePort(DeviceUrl("serial", path=cable.path), LINE) for _ in range(2))
    await first.open()
    with pytest.raises(PortLost, match=f"^{cable.path} is in use by another program$"):
        await second.open()
    await first.close()
    await second.open()
    await second.close()


async def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, said in [(tmp_path / "none", "is not there"), (tmp_path / "file", "is no serial port"),
                       (tmp_path, "is no serial port"), (Path("/dev/null"), "is no serial port")]:
        with pytest.raises(PortLost, match=f"^{path} {said}$"):
            await BytePort(DeviceUrl("serial", path=str(path)), LINE).open()
    with pytest.raises(PortLost, match=r"^127\.0\.0\.1:1 does not open: .*"):
        await BytePort(parse_device_url("tcp://127.0.0.1:1"), LINE).open()


@pytest.mark.parametrize("is_open", [False, True])
async def test_an_opening_that_is_given_up_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch, is_open: bool) -> None:
    """A probe whose turn is over, or a device that is taken out, while the kernel opens its port, or just has."""
    may_go, done, closed = threading.Event(), threading.Event(), list[str]()

    class Slow:
        def __init__(self, *arguments: object, **options: object) -> None:
            assert may_go.wait(20)
            done.set()

        def close(self) -> None:
            closed.append("closed")

    monkeypatch.setattr("edge.field.ports.serial.Serial", Slow)
    opening = asyncio.ensure_future(BytePort(DeviceUrl("serial", path="/dev/ttyUSB0"), LINE).open())
    await asyncio.sleep(0)
    if is_open:
        may_go.set()
        assert done.wait(20)  # the loop has not heard of it
    opening.cancel()
    may_go.set()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert closed == ["closed"], "before the next one opens it"


async def test_a_modbus_line_whose_opening_is_given_up_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a probe's turn may fall into it; the next turn found the port in use by another program: by us."""
    connecting, said = asyncio.Event(), list[str]()

    class Client:
        connected = False

        async def connect(self) -> bool:
            connecting.set()
            await asyncio.Event().wait()
            raise AssertionError("it never connects")

        def close(self) -> None:
            said.append("closed")

    monkeypatch.setattr("edge.field.modbus._client", lambda *arguments: Client())
    line = Line(9600, lateness_s=0.01)
    opening = asyncio.ensure_future(ModbusPort(parse_device_url("modbus+rtu:///dev/ttyUSB0?unit=1"), line).open())
    await connecting.wait()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert said == ["closed"]


@pytest.mark.parametrize("turns", range(10))
async def test_a_line_is_free_whenever_its_opening_is_given_up(turns: int) -> None:
    """After so many turns of the event loop: before, while and after the kernel has opened it."""
    master, slave = os.openpty()
    tty.setraw(slave)
    place = parse_device_url(f"modbus+rtu://{os.ttyname(slave)}?unit=1")
    port = ModbusPort(place, Line(9600, lateness_s=0.0))
    opening = asyncio.ensure_future(port.open())
    for _ in range(turns):
        await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait([opening])
    port.close()  # as a bus does that ends
    serial.Serial(os.ttyname(slave), exclusive=True).close()
    os.close(master)
    os.close(slave)


async def test_a_terminal_server_is_a_byte_stream_too() -> None:
    async def device(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(4) + b"!")
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(device, "127.0.0.1", 0)
    link = BytePort(DeviceUrl("tcp", host="127.0.0.1", port=server.sockets[0].getsockname()[1]), LINE)
    await link.open()
    link.write(b"who?")
    assert await link.read(soon(1)) == b"who?!"
    link.write(b".")
    with pytest.raises(PortLost, match=r"hung up$"):
        await link.read(soon(2))
    await link.close()
    server.close()


# --- supervision ------------------------------------------------------------------------------------------------------


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def _bug() -> None:
    await asyncio.sleep(0)
    raise KeyError("ours")


async def test_a_bug_in_one_task_ends_them_all_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    told: list[tuple[str, str]] = []
    supervisor = Supervisor(lambda name, error: told.append((name, repr(error))))
    with pytest.raises(TaskDied, match=r"^task link died$") as caught:
        await supervisor.run_all({"clock": _for_ever(), "link": _bug()})
    assert repr(caught.value.__cause__) == "KeyError('ours')"
    assert told == [("link", "KeyError('ours')")]
    assert supervisor.names == ()
    assert "Traceback" in caplog.text


async def test_a_task_that_ends_without_an_error_is_a_bug_too() -> None:
    with pytest.raises(TaskDied, match=r"^task nap died$"):
        await Supervisor().run_all({"nap": asyncio.sleep(0), "clock": _for_ever()})


async def test_being_cancelled_cancels_all() -> None:
    supervisor = Supervisor()
    running = asyncio.ensure_future(supervisor.run_all({"a": _for_ever(), "b": _for_ever()}))
    await asyncio.sleep(0.01)
    alive = supervisor.names
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (alive, supervisor.names) == (("a", "b"), ())
