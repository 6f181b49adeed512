"""What systemd is told of this service (sd_notify(3)): that it is ready, and, from the loop itself, that it lives."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress


class Systemd:
    """Does nothing where nobody listens: NOTIFY_SOCKET is only set under `Type=notify`."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) if address else None

    def ready(self) -> None:
        """The service watches."""
        self._tell(b"READY=1")

    def alive(self) -> None:
        """The loop turns. Without it for WatchdogSec, systemd ends the service and starts it again."""
        self._tell(b"WATCHDOG=1")

    def _tell(self, words: bytes) -> None:
        if self._socket is not None:
            with suppress(OSError):  # a full buffer, or nobody there: the next one will do
                self._socket.sendto(words, self._address)
