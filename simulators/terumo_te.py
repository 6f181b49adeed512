"""The twin of drivers.terumo_te: a syringe pump that says who it is, and its operating status to whoever names it.

Chosen here: software 4.03, on mains, a 50 mL syringe; what stands behind the known bytes is zero.
"""

from __future__ import annotations

import base64
import binascii
import re

from drivers.kit.framing import Delimited
from simulators.contract import TwinSpec
from simulators.patient import Patient
from simulators.syringe import HANDS, SyringePump

BITS = {"vtbi_done": 2, "end_of_infusion": 2, "occlusion": 3, "fault": 0, "low_battery": 19}
STOPPED, RUNS = 0x00, 0x10
NO_LIMIT = 0xFFFFFF
TAIL = bytes(24)

_REQUEST = re.compile(rb'<\?xml version="1\.0"\?><REQ><DEVID>([0-9A-Za-z]*)</DEVID>(?:<CMD>([0-9A-Za-z+/=]+)</CMD>)?'
                      rb"</REQ>")


def framed(text: bytes) -> bytes:
    """`text` as sent."""
    return b"\x02" + text + b"%04X" % binascii.crc_hqx(text, 0) + b"\x03"


class TerumoTwin(SyringePump):
    """One pump; its number is that of the manual's for seed 1."""

    def __init__(self, patient: Patient, seed: int = 1) -> None:
        super().__init__(patient)
        self.number = f"000100700000001201{seed % 1_000_000:06d}".encode()
        self._framing = Delimited(b"\x02", b"\x03", 700)

    def connect(self) -> None:
        self._framing.flush()

    def step(self, dt_s: float) -> bytes:
        self.live(dt_s)
        return b""

    def feed(self, data: bytes) -> bytes:
        said = [self._said(frame) for frame in self._framing.feed(data)]
        return b"" if self.muted else b"".join(said)

    def _said(self, frame: bytes) -> bytes:
        text = frame[1:-5]
        found = _REQUEST.fullmatch(text)
        if found is None or frame[-5:-1] != b"%04X" % binascii.crc_hqx(text, 0):
            return b""
        if not found[1] and not found[2]:
            return self._reply(b"")
        if found[1] != self.number:
            return b""
        return self._reply(self._done(base64.b64decode(found[2] or b"")))

    def _reply(self, command: bytes) -> bytes:
        said = b"<CMD>" + base64.b64encode(command) + b"</CMD>" if command else b""
        return framed(b'<?xml version="1.0"?><REP><DEVID>' + self.number + b"</DEVID>" + said + b"</REP>")

    def _done(self, command: bytes) -> bytes:
        if len(command) < 4:
            return command[:1] + bytes(3) + b"\x13"
        if command[1:4] != b"\x01\x00\x00":
            return command[:4] + b"\x11"
        return command[:4] + b"\x00" + self._status()

    def _status(self) -> bytes:
        bits = 0
        for alarm in self.alarms:
            bits |= 1 << BITS[alarm]
        vtbi = NO_LIMIT if self.vtbi_left_ml is None else round(self.vtbi_left_ml * 10)
        numbers = (round(self.set_rate_ml_h * 100), round(self.infused_ml * 100), vtbi, 0)
        return (b"\x04\x03" + bytes((RUNS if self.running else STOPPED, 0x10, 0)) + bits.to_bytes(3, "big")
                + b"\x55\x40\x06" + b"".join(number.to_bytes(3, "big") for number in numbers) + b"\x00\xff\xff"
                + bytes(3) + TAIL)


TWIN = TwinSpec(name="terumo_te", transports=("serial", "tcp"), make=TerumoTwin, baud=9600, hands=HANDS)
