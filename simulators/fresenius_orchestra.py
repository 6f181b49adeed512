"""The twin of drivers.fresenius_orchestra: a base with one Module DPS, or a Pilote C that stands alone.

It answers every command that the driver's source has, the acting ones too. Chosen here, since the real pump's is not
known: d is the set rate; ENQ comes once a second while a host is connected, and three without DC4 end the session; the
alarm's value has a bit for each alarm; a frame that gets no ACK is not repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from drivers.fresenius_orchestra import ACK, DC4, ENQ, ETX, NAK, STX, checksum, encode
from simulators.contract import TwinSpec
from simulators.patient import Patient
from simulators.syringe import HANDS, SyringePump

ENQ_EVERY_S, ENQ_MISSED = 1.0, 3
MAX_TEXT = 80
BITS = {"occlusion": 0x01, "end_of_infusion": 0x02, "vtbi_done": 0x04, "fault": 0x08, "low_battery": 0x10}
UNKNOWN, NOT_IN_MODE, SYNTAX, NOT_USED, NO_BASE, ALARM, NO_MODULE = "01", "02", "04", "0B", "0D", "12", "1E"


class FreseniusTwin(SyringePump):
    """The pump in slot `address` of a base; an empty address: it stands alone."""

    def __init__(self, patient: Patient, address: str = "1") -> None:
        super().__init__(patient)
        self.address = address
        self._held: bytearray | None = None
        self._open: set[str] = set()  # addresses whose session is open
        self._by_host = False
        self._spontaneous = ""  # letters of what it tells by itself
        self._enq_s, self._enq_missed = 0.0, 0
        self._told = ""

    def connect(self) -> None:
        self._held = None
        self._open.clear()
        self._by_host, self._spontaneous = False, ""

    def step(self, dt_s: float) -> bytes:
        self.live(dt_s)
        if not self._open:
            return b""
        said = b""
        self._enq_s += dt_s
        if self._enq_s >= ENQ_EVERY_S:
            self._enq_s -= ENQ_EVERY_S
            self._enq_missed += 1
            said = bytes((ENQ,))
        if self._enq_missed > ENQ_MISSED:
            self.connect()
        return b"" if self.muted else said + self._news()

    def _news(self) -> bytes:
        now = self._values(self._spontaneous)
        if not now or now == self._told:
            return b""
        self._told = now
        return encode(f"{self.address}E;{now}")

    def feed(self, data: bytes) -> bytes:
        said = b"".join(self._byte(byte) for byte in data)
        return b"" if self.muted else said

    def _byte(self, byte: int) -> bytes:
        if byte == DC4:
            self._enq_missed = 0
        elif byte == STX:
            self._held = bytearray()
        elif byte == ETX and self._held is not None:
            text, self._held = bytes(self._held), None
            return self._heard(text)
        elif self._held is not None:
            self._held.append(byte)
            if len(self._held) > MAX_TEXT + 2:
                self._held = None
                return bytes((NAK,)) + b"7"
        return b""

    def _heard(self, text: bytes) -> bytes:
        if checksum(text[:-2]) != text[-2:]:
            return bytes((NAK,)) + b"2"
        head, _, arguments = text[:-2].decode("ascii", "replace").partition(";")
        address, command = (head[:1], head[1:]) if head[:1].isdigit() else ("", head)
        if address not in (self.address, "0" if self.address else ""):
            return bytes((NAK,)) + b"4"
        if command in ("E", "M"):
            return bytes((ACK,))
        return bytes((ACK,)) + encode(address + self._obey(address, command, arguments))

    def _obey(self, address: str, command: str, arguments: str) -> str:
        """What it does, and the reply without the address."""
        if command == "DC":
            if address not in ("0", "") and "0" not in self._open:
                return f"I;{NO_BASE}"
            self._open.add(address)
            self._enq_missed = 0
            return "C"
        if address not in self._open:
            return f"I;{NO_MODULE if address != '0' else NO_BASE}"
        commands: dict[str, Callable[[], str]] = {
            "FC": lambda: self._close(address), "MO": lambda: self._mode(arguments), "PO": self._pause,
            "RV": self._reset_volume, "LP": lambda: "C;KETAMINE", "LN": lambda: "C;1", "LF": lambda: "C;b0101",
            "LE": lambda: self._read(address, arguments), "DE": lambda: self._report(arguments),
            "AE": lambda: self._report(""), "DM": lambda: "C", "AM": lambda: "C",
        }
        return commands.get(command, lambda: f"I;{UNKNOWN}")()

    def _close(self, address: str) -> str:
        self._open.discard(address)
        return "C"

    def _mode(self, arguments: str) -> str:
        if arguments not in ("1", "2"):
            return f"I;{SYNTAX}"
        self._by_host = arguments == "2"
        return "C"

    def _pause(self) -> str:
        if not self._by_host:
            return f"I;{NOT_IN_MODE}"
        if self.stopped_by:
            return f"I;{ALARM}"
        self.stop()
        return "C"

    def _reset_volume(self) -> str:
        if not self._by_host:
            return f"I;{NOT_IN_MODE}"
        self.infused_ml = 0.0
        return "C"

    def _report(self, letters: str) -> str:
        self._spontaneous, self._told = letters, ""
        return "C"

    def _read(self, address: str, letters: str) -> str:
        if address == "0":
            return f"C;b{1 << int(self.address) - 1:02X}" if letters == "b" else f"I;{NOT_USED}"
        values = self._values(letters)
        return f"C;{values}" if values and values.count(";") == len(letters) - 1 else f"I;{NOT_USED}"

    def _values(self, letters: str) -> str:
        known: Mapping[str, str] = {
            "d": f"{round(self.set_rate_ml_h * 10):04X}", "r": f"{round(self.infused_ml * 1000):08X}",
            "a": f"{sum(BITS.get(alarm, 0x80) for alarm in self.alarms):04X}", "e": "0000",
            "m": f"{self.running:02X}",
        }
        return ";".join(letter + known[letter] for letter in letters if letter in known)


def _make(patient: Patient, seed: int) -> FreseniusTwin:
    return FreseniusTwin(patient)


TWIN = TwinSpec(name="fresenius_orchestra", transports=("serial", "tcp"), make=_make, baud=19200, bits=7, parity="E",
                hands=HANDS)
