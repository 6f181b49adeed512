"""The wires a twin is reached by: a real pty, which can be unplugged and plugged in again, and a TCP port.

Nobody at the other end, a reader that stopped reading, a client that hangs up: the twin lives on, and what it says is
lost, as on a cable. What waits for a slow reader is bounded; the oldest goes first. All calls are made on the event
loop's thread; nothing here waits.
"""

from __future__ import annotations

import asyncio
import math
import os
import select
import termios
import tty
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from simulators.contract import Twin
from simulators.faults import JUMP_S, Cable, Faults

NEW_READER_S = 2.0  # real seconds nobody was there, after which whoever comes is somebody new; links retry within 1 s
MOST_WAITING = 64 * 1024  # bytes kept for a slow reader: seconds of the fastest stream, nothing in memory
_PIECE = 4096

Clock = Callable[[], float]


@runtime_checkable
class Rewinds(Protocol):
    """A twin that plays something from a beginning."""

    def rewind(self) -> None:
        """A new reader is there."""
        ...


class Wire(Protocol):
    """What the stage does to a wire, and what a person can do to its plug."""

    def step(self, dt_s: float) -> None:
        """`dt_s` seconds of the device's life pass."""
        ...

    def tend(self) -> None:
        """Look who is there, send what is due. Called every few milliseconds of real time."""
        ...

    def unplug(self) -> None: ...

    def replug(self) -> None: ...

    def silence(self, on: bool) -> None:
        """The device's words get lost (on) or through (off); the line itself stays up."""
        ...

    def close(self) -> None: ...


class Outbox:
    """What is on its way to one reader, with the wire's faults, in order and bounded."""

    def __init__(self, clock: Clock, faults: Faults | None, on_reset: Callable[[], None],
                 on_cable: Callable[[str], None] = lambda kind: None) -> None:
        self._clock = clock
        self._faults = faults
        self._on_reset, self._on_cable = on_reset, on_cable
        self._pieces: deque[tuple[float, bytes]] = deque()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, data: bytes) -> None:
        if not data:
            return
        if self._faults is None:
            self._add(0.0, data)
            return
        if self._faults.resets(data):
            self.clear()
            self._on_reset()
            return
        if (kind := self._faults.of_the_cable(data)) is not None:
            self._on_cable(kind)
            return
        for due_s, piece in self._faults.through(data, self._clock()):
            self._add(due_s, piece)

    def heard(self, data: bytes) -> None:
        """The host sent `data`."""
        if self._faults is not None:
            self._faults.heard(data)

    def opened(self) -> None:
        """The host opened the line."""
        if self._faults is not None and (old := self._faults.opened()):
            self._add(0.0, old)

    def push(self, data: bytes) -> None:
        """`data` goes out as it is."""
        if data:
            self._add(0.0, data)

    def _add(self, due_s: float, piece: bytes) -> None:
        self._pieces.append((due_s, piece))
        self._size += len(piece)
        while self._size > MOST_WAITING:
            self._size -= len(self._pieces.popleft()[1])

    def take(self) -> bytes:
        """The oldest piece if it is due, else nothing."""
        if not self._pieces or self._pieces[0][0] > self._clock():
            return b""
        _, piece = self._pieces.popleft()
        self._size -= len(piece)
        return piece

    def put_back(self, piece: bytes) -> None:
        """`piece` was taken but not sent."""
        self._pieces.appendleft((0.0, piece))
        self._size += len(piece)

    def clear(self) -> None:
        self._pieces.clear()
        self._size = 0


def _fresh(slave: int) -> None:
    """Raw, so nothing the twin says is echoed back to it, and at a speed nobody asks for: a pty has no parity, and
    tcsetattr refuses (EINVAL) a request for one when nothing else in it is new. Both stay while the master is open."""
    tty.setraw(slave)
    attributes = termios.tcgetattr(slave)
    attributes[tty.ISPEED] = attributes[tty.OSPEED] = termios.B50
    termios.tcsetattr(slave, termios.TCSANOW, attributes)


def _welcome(twin: Twin, alone_s: float) -> None:
    if alone_s >= NEW_READER_S and isinstance(twin, Rewinds):
        twin.rewind()


class PtyWire:
    """`twin` behind a pty. `path` is the port to open now; `link`, if given, is a name that survives replugging."""

    def __init__(self, twin: Twin, *, clock: Clock, faults: Faults | None = None, link: Path | None = None) -> None:
        self.twin = twin
        self.link = link
        self.path = ""
        self.somebody = False  # whether anybody has the port open
        self._silenced = False
        self._clock = clock
        self._left_s = math.inf  # when the last reader left
        self._master: int | None = None
        self._poll = select.poll()
        self._out = Outbox(clock, faults, self._reset, self._on_cable)
        self._cable = Cable(clock, faults)
        self._elsewhere = False  # comes back as another port
        self.replug()

    def replug(self) -> None:
        """A new pty, under the same link. Nothing happens if it is plugged in."""
        if self._master is not None:
            return
        master, slave = self._another() if self._elsewhere else os.openpty()
        _fresh(slave)
        os.set_blocking(master, False)
        self.path = os.ttyname(slave)
        os.close(slave)  # kept open, it would hide every hang-up from us
        self._master = master
        self._poll.register(master, 0)
        if self.link is not None:
            fresh = self.link.with_name(f".{self.link.name}.new")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(self.path)
            fresh.replace(self.link)

    def _another(self) -> tuple[int, int]:
        """A pty of another name than the last one."""
        self._elsewhere = False
        first = os.openpty()
        if os.ttyname(first[1]) != self.path:
            return first
        second = os.openpty()
        for end in first:
            os.close(end)
        return second

    def unplug(self) -> None:
        """The cable is pulled: whoever has the port open sees it hang up, and the link is gone."""
        if self._master is None:
            return
        self._leave()
        self._poll.unregister(self._master)
        os.close(self._master)
        self._master = None
        if self.link is not None:
            self.link.unlink(missing_ok=True)

    close = unplug

    def silence(self, on: bool) -> None:
        self._silenced = on

    def step(self, dt_s: float) -> None:
        self._say(self.twin.step(dt_s))

    def tend(self) -> None:
        for plugged in self._cable.moves():
            (self.replug if plugged else self.unplug)()
        if self._master is None:
            return
        hung_up = any(events & select.POLLHUP for _, events in self._poll.poll(0))
        if hung_up and self.somebody:
            self._hear()  # what was said just before hanging up
            self._leave()
        elif not hung_up and not self.somebody:
            self._arrive(self._master)
        self._send()

    def _say(self, data: bytes) -> None:
        if self.somebody and not self._silenced:
            self._out.put(data)

    def _arrive(self, master: int) -> None:
        self.somebody = True
        _welcome(self.twin, self._clock() - self._left_s)
        asyncio.get_running_loop().add_reader(master, self._hear)
        self.twin.connect()
        self._out.opened()

    def _leave(self) -> None:
        if self.somebody and self._master is not None:
            self._left_s = self._clock()
            asyncio.get_running_loop().remove_reader(self._master)
            self.somebody = False
            self._flush()
        self._out.clear()

    def _flush(self) -> None:
        """A port as new: what the last reader left unread, or set, is not for the next one."""
        try:
            slave = os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:
            return
        try:
            termios.tcflush(slave, termios.TCIFLUSH)
            _fresh(slave)
        finally:
            os.close(slave)

    def _reset(self) -> None:
        self.twin.connect()

    def _on_cable(self, kind: str) -> None:
        if kind == "jump":
            self._out.push(self.twin.step(JUMP_S))
            return
        self._elsewhere = kind == "path"
        self._cable.pulled(kind)

    def _hear(self) -> None:
        if self._master is None:
            return
        try:
            data = os.read(self._master, _PIECE)
        except BlockingIOError:
            return
        except OSError:  # EIO: the last one closed it
            self._leave()
            return
        if data:
            self._out.heard(data)
            self._say(self.twin.feed(data))
            self._send()

    def _send(self) -> None:
        while self._master is not None and self.somebody and (piece := self._out.take()):
            try:
                sent = os.write(self._master, piece)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._leave()
                return
            if sent < len(piece):
                self._out.put_back(piece[sent:])
                return


class TcpWire:
    """A TCP port. With `twin`, all who connect share that device (a terminal server); with `line`, each gets a line
    of its own onto the same twins (Modbus TCP), which whoever owns them steps."""

    def __init__(
        self, *, clock: Clock, twin: Twin | None = None, line: Callable[[], Twin] | None = None,
        faults: Faults | None = None, host: str = "127.0.0.1",
    ) -> None:
        if (twin is None) == (line is None):
            raise TypeError("either a twin or a line")
        self.host = host
        self.port = 0
        self._twin = twin
        self._line = line
        self.clock = clock
        self.faults = faults
        self.cable = Cable(clock, faults)
        self.silenced = False
        self.unplugged = False
        self.left_s = math.inf  # when the last client left
        self._server: asyncio.Server | None = None
        self.connections: list[_Connection] = []

    async def open(self, port: int = 0) -> None:
        """Listen on `port` (0: any free one). Raises OSError where it is taken."""
        server = await asyncio.get_running_loop().create_server(self._accept, self.host, port)
        self._server = server
        self.port = cast(int, server.sockets[0].getsockname()[1])

    def _accept(self) -> _Connection:
        line = self._twin if self._line is None else self._line()
        assert line is not None
        return _Connection(line, self)

    def step(self, dt_s: float) -> None:
        if self._twin is None:
            return
        said = self._twin.step(dt_s)
        for connection in self.connections:
            connection.say(said)

    def tend(self) -> None:
        for plugged in self.cable.moves():
            (self.replug if plugged else self.unplug)()
        for connection in list(self.connections):
            connection.send()

    def unplug(self) -> None:
        """Everybody is cut off, and nobody gets in."""
        for connection in list(self.connections):
            connection.drop()
        self.unplugged = True

    def replug(self) -> None:
        self.unplugged = False

    def silence(self, on: bool) -> None:
        self.silenced = on

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.drop()


class _Connection(asyncio.Protocol):
    """One client of a TcpWire."""

    def __init__(self, line: Twin, wire: TcpWire) -> None:
        self.line = line
        self._wire = wire
        self._out = Outbox(wire.clock, wire.faults, self.drop, self._on_cable)
        self._transport: asyncio.Transport | None = None
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._wire.unplugged:
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=_PIECE)
        if not self._wire.connections:
            _welcome(self.line, self._wire.clock() - self._wire.left_s)
        elif self._wire.faults is not None and self._wire.faults.evicts():
            for other in list(self._wire.connections):
                other.drop()
        self._wire.connections.append(self)
        self.line.connect()
        self._out.opened()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self in self._wire.connections:
            self._wire.connections.remove(self)
            self._wire.left_s = self._wire.clock()

    def _on_cable(self, kind: str) -> None:
        if kind == "jump":
            self._out.push(self.line.step(JUMP_S))
        else:
            self._wire.cable.pulled(kind)

    def data_received(self, data: bytes) -> None:
        self._out.heard(data)
        self.say(self.line.feed(data))
        self.send()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self.send()

    def say(self, data: bytes) -> None:
        if not self._wire.silenced:
            self._out.put(data)

    def send(self) -> None:
        while self._transport is not None and not self._full and (piece := self._out.take()):
            self._transport.write(piece)

    def drop(self) -> None:
        """Close the connection at once, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()
