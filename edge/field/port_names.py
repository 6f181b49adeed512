"""Which names of a serial port stay with it: ttyUSB0 is whichever adapter came first.

Under /dev/serial/by-id a USB adapter is named by its own serial number; under by-path any one is named by the socket it
is plugged into (udev, 60-serial.rules). Two adapters without a number share one name under by-id. And which program
has a port now.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from serial.tools.list_ports import comports

BY_ID, BY_PATH = Path("/dev/serial/by-id"), Path("/dev/serial/by-path")
SHOWN = 60  # characters of a program's command line
NUMBERED = re.compile(r"/dev/tty(USB|ACM)\d+")


class Plugged(Protocol):
    """A port as pyserial lists it."""

    device: str
    serial_number: str | None


def links() -> dict[Path, dict[str, str]]:
    """By folder: each port's device, and the name it has there."""
    return {folder: {os.path.realpath(link): str(link) for link in sorted(folder.glob("*"))}
            for folder in (BY_ID, BY_PATH) if folder.is_dir()}


def lasting(port: Plugged, names: dict[Path, dict[str, str]]) -> str:
    """The name that stays with this port; its own where it has no other."""
    first, second = (BY_ID, BY_PATH) if port.serial_number else (BY_PATH, BY_ID)
    return names.get(first, {}).get(port.device) or names.get(second, {}).get(port.device) or port.device


def holders(path: str) -> list[str]:
    """The other programs that have this port open, as far as this user may know: name and process number."""
    device, found = os.path.realpath(path), []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        try:
            if any(os.path.realpath(fd) == device for fd in (process / "fd").iterdir()):
                words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                found.append(f"{words[:SHOWN].strip()} (process {process.name})")
        except OSError:  # another user's, or over
            continue
    return found


def unsure(path: str, plugged: Iterable[Plugged] | None = None) -> str:
    """Why another adapter may have this name tomorrow, and what to write instead; "" where none may. `plugged`: the
    ports of this machine, where they are known."""
    device = os.path.realpath(path)
    port = next((one for one in (comports() if plugged is None else plugged) if one.device == device), None)
    lasts = lasting(port, links()) if port is not None else ""
    write = f"write {lasts}" if lasts not in ("", device, path) else (
        "write its name under /dev/serial/by-id or /dev/serial/by-path (vigil ports)")
    if NUMBERED.fullmatch(path):
        return f"{path} may be another adapter after a replug or a restart: {write}"
    if path.startswith(f"{BY_ID}/") and port is not None and not port.serial_number:
        return f"this adapter has no serial number, and another like it would have the same name: {write}"
    return ""
