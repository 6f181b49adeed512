"""A byte stream to a device, over a serial port or a terminal server; every act on it ends in bounded time.

Whatever the world does (no such port, pulled cable, a device that takes no bytes) comes out as `PortLost` with words a
technician can act on.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
import termios
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import serial
import serial_asyncio_fast

from drivers.contract import Line
from edge.field.device_url import DeviceUrl

OPEN_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 1.0
CHUNK = 4096
NO_PORT = "is no serial port"
ESTABLISHED = "01"  # in /proc/net/tcp
MAX_UNSENT = 4096  # bytes a network device may leave untaken before the line counts as jammed


class PortLost(Exception):
    """The way to the device is gone or cannot be opened; says why in words."""


class BytePort:
    """One byte stream. Reads lose nothing: what arrives between two reads is kept."""

    def __init__(self, at: DeviceUrl, line: Line) -> None:
        self._at, self._line = at, line
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._port: serial.Serial | None = None
        self._opening: asyncio.Future[serial.Serial] | None = None

    async def open(self) -> None:
        """Open the line within OPEN_TIMEOUT_S. Raises PortLost."""
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await (self._open_serial() if self._at.path else self._open_tcp())
        except TimeoutError:
            raise PortLost(f"{self._at.endpoint} does not open within {OPEN_TIMEOUT_S:g} s") from None
        except asyncio.CancelledError:
            await self._let_go()
            raise
        except (OSError, termios.error, ValueError) as error:
            raise PortLost(_why(self._at, error)) from None

    async def read(self, until_s: float) -> bytes:
        """The bytes that came, at most CHUNK; b"" if none did until `until_s` (loop time). Raises PortLost."""
        assert self._reader is not None, "read before open"
        try:
            async with asyncio.timeout_at(until_s):
                data = await self._reader.read(CHUNK)
        except TimeoutError:
            return b""
        except (OSError, termios.error):
            data = b""
        if not data:
            raise PortLost(_hung_up(self._at))
        return data

    def write(self, data: bytes) -> None:
        """Send `data` at once. Raises PortLost, also when the other side takes no more bytes."""
        assert self._writer is not None, "write before open"
        if self._port is None:
            self._writer.write(data)
            if self._writer.transport.get_write_buffer_size() > MAX_UNSENT:
                raise PortLost(f"{self._at.endpoint} takes no bytes")
            return
        # Not through pyserial's write: where the device takes no more, it spins for ever on EAGAIN, and with it
        # the event loop and every other bed.
        try:
            sent = os.write(self._port.fileno(), data)
        except BlockingIOError:
            sent = 0
        except (OSError, TypeError):  # TypeError: the transport has just closed the port
            raise PortLost(_hung_up(self._at)) from None
        if sent < len(data):
            raise PortLost(f"{self._at.endpoint} takes no bytes")

    async def close(self) -> None:
        """Close the line within CLOSE_TIMEOUT_S; unsent bytes are thrown away."""
        writer, self._writer, self._reader, self._port = self._writer, None, None, None
        if writer is None:
            return
        if not writer.transport.is_closing():  # a second end would be an error inside the transport
            writer.transport.abort()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await writer.wait_closed()
        except (TimeoutError, OSError):
            pass  # gone already, or the kernel is still at it: nothing of it is ours any more

    async def _open_serial(self) -> None:
        loop = asyncio.get_running_loop()
        if self._opening is None:  # an opening that hangs in the kernel holds one thread, not one a try
            line = wire(self._at.path, self._line)
            self._opening = loop.run_in_executor(
                None, partial(serial.Serial, self._at.path, baudrate=line.baud, bytesize=line.bits, parity=line.parity,
                              stopbits=line.stop, exclusive=True))
        try:
            port = await asyncio.shield(self._opening)
        except (OSError, termios.error, ValueError):
            self._opening = None
            raise
        self._opening = None
        reader = asyncio.StreamReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await serial_asyncio_fast.connection_for_serial(loop, lambda: protocol, port)
        self._reader, self._writer, self._port = reader, asyncio.StreamWriter(transport, protocol, reader, loop), port

    async def _let_go(self) -> None:
        """Nobody waits for the opening any more. What it opens is closed, within CLOSE_TIMEOUT_S before this ends: its
        lock would keep the next one out."""
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.add_done_callback(_close_opened)
            await asyncio.wait([opening], timeout=CLOSE_TIMEOUT_S)

    async def _open_tcp(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(self._at.host, self._at.port)
        sock = self._writer.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _close_opened(opening: asyncio.Future[serial.Serial]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def taken(at: DeviceUrl) -> str:
    """Why a network port is not to be opened beside whoever has it: a program of this machine is connected there, and
    a terminal server may drop it for another. Empty where nobody is. (Linux: /proc/net/tcp, see proc_net_tcp.)"""
    try:
        there = {_plain(one[4][0]) for one in socket.getaddrinfo(at.host, at.port, type=socket.SOCK_STREAM)}
    except OSError:  # the opening says so
        return ""
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            _, _, remote, state, *_ = line.split()
            address, _, port = remote.partition(":")
            if state == ESTABLISHED and int(port, 16) == at.port and _plain(_address(address)) in there:
                return f"{at.endpoint} is in use by another program of this machine"
    return ""


def _address(said: str) -> bytes:
    """Of words of 32 bits, each as this processor holds it, in hex."""
    words = (int(said[begins : begins + 8], 16) for begins in range(0, len(said), 8))
    return b"".join(word.to_bytes(4, sys.byteorder) for word in words)


def _plain(address: str | int | bytes) -> IPv4Address | IPv6Address:
    plain = ip_address(address)
    return plain if plain.version == 4 else plain.ipv4_mapped or plain


def wire(path: str, line: Line) -> Line:
    """The line as the port can be set. A pty has no wire: Linux answers EINVAL to any parity or length but 8N1."""
    pty = os.path.realpath(path).startswith("/dev/pts/")
    return replace(line, bits=8, parity="N", stop=1) if pty else line


def for_group(path: str) -> str:
    """What gives a user the right to this port."""
    try:
        group = Path(path).group()
    except (OSError, KeyError):
        group = "dialout"
    if group == "root":
        return "it belongs to root alone: a udev rule gives it to a group (GROUP=\"dialout\", MODE=\"0660\")"
    return f"as root: usermod -aG {group} USER, the user of this program; then start it, or log in, anew"


def _hung_up(at: DeviceUrl) -> str:
    gone = at.path and not os.path.exists(at.path)
    return f"{at.endpoint} is not there any more" if gone else f"{at.endpoint} hung up"


def _why(at: DeviceUrl, error: Exception) -> str:
    """Why it does not open, in a technician's words, without the library's own around them."""
    if at.path and not os.path.exists(at.path):
        return f"{at.path} is not there"
    if at.path and (os.path.isdir(at.path) or os.strerror(errno.ENOTTY) in str(error)):
        return f"{at.path} {NO_PORT}"
    if "exclusively lock" in str(error) or (isinstance(error, OSError) and error.errno == errno.EBUSY):
        return f"{at.path} is in use by another program"
    if isinstance(error, PermissionError) or (isinstance(error, OSError) and error.errno == errno.EACCES):
        return f"{at.path}: permission denied; {for_group(at.path)}"
    number = error.errno if isinstance(error, OSError) else next(iter(error.args), None)
    words = os.strerror(number).lower() if isinstance(number, int) and number > 0 else str(error)
    if isinstance(error, socket.gaierror):
        words = (error.strerror or str(error)).lower()
    return f"{at.endpoint} does not open: {words}"
