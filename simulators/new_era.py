"""The twin of a New Era NE-1000: basic and safe mode, queries, and the commands that its public hosts send.

`safe_s` is what SAF set: 0 is basic mode. An alarm is in the response to whatever comes next, which is then not done,
and is forgotten with it (the manual). A safe frame is understood in both modes and gets a safe response (seen with
nesp_lib). The hand `ignore_stop` makes it answer STP and run on. Chosen here: a new pump's alarm of a reset is shown
only after `reset`, as by a pump that was on for a while.
"""

from __future__ import annotations

import re

from drivers.kit.framing import Counted
from drivers.new_era import CR, ETX, MAX_SAFE, ML_H, STX, crc, safe
from simulators.contract import TwinSpec
from simulators.patient import Patient
from simulators.syringe import HANDS, SyringePump

_LETTER = {"fault": "E", "occlusion": "S", "end_of_infusion": "S"}
_COMMAND = re.compile(r"(\d{0,2})(RAT|DIS|VER|RUN|STP|SAF|DIA|)(.*)")


def number(value: float) -> str:
    """At most four digits, of them at most three behind the point."""
    for decimals in (3, 2, 1, 0):
        text = f"{value:.{decimals}f}"
        if len(text.replace(".", "")) <= 4:
            return text
    return "9999"


class NewEraTwin(SyringePump):
    """One pump at address 0."""

    max_rate_ml_h = 1699.0

    def __init__(self, patient: Patient, seed: int = 0) -> None:
        super().__init__(patient)
        self.safe_s = 0
        self.ignores_stop = False
        self._letter: str | None = None  # the alarm that the next response shows
        self._silent_s: float | None = None  # of safe mode's time-out; None: not begun
        self.hands = {**self.hands, "ignore_stop": lambda: self._ignore(True), "obey_stop": lambda: self._ignore(False)}
        self._held = bytearray()
        self._packets = Counted(STX, lambda head: None if len(head) < 2 else head[1] + 1, MAX_SAFE,
                                lambda one: len(one) >= 6 and one[-3:-1] == crc(one[2:-3]).to_bytes(2, "big"))

    def _ignore(self, on: bool) -> None:
        self.ignores_stop = on

    def reset(self) -> None:
        """Its power was interrupted."""
        self.stop()
        self._letter = "R"

    def connect(self) -> None:
        self._held.clear()
        self._packets.flush()

    def alarm(self, word: str) -> None:
        if word not in self.alarms and word in _LETTER:
            self._letter = _LETTER[word]
        super().alarm(word)

    def clear(self) -> None:
        super().clear()
        self._letter = None

    def step(self, dt_s: float) -> bytes:
        before = self._letter
        self.live(dt_s)
        if self.safe_s and self._silent_s is not None:
            self._silent_s += dt_s
            if self._silent_s > self.safe_s:
                self._silent_s = None
                self.stop()
                self._letter = "T"
        news = self._letter if self.safe_s and self._letter != before else None
        return safe(f"00A?{news}".encode()) if news and not self.muted else b""

    def feed(self, data: bytes) -> bytes:
        in_safe_frames = bool(self.safe_s) or data[:1] == STX
        texts = self._packeted(data) if in_safe_frames else self._lines(data)
        replies = []
        for text in texts:
            self._silent_s = 0.0
            plain = self._reply(text).encode()
            replies.append(safe(plain) if in_safe_frames else STX + plain + ETX)
        return b"" if self.muted else b"".join(replies)

    def _packeted(self, data: bytes) -> list[str]:
        return [frame[2:-3].decode("latin-1") for frame in self._packets.feed(data)]

    def _lines(self, data: bytes) -> list[str]:
        self._held += data
        *lines, rest = bytes(self._held).split(CR)
        self._held = bytearray(rest[-MAX_SAFE:])
        return [line.decode("latin-1").replace(" ", "").upper() for line in lines]

    def _reply(self, text: str) -> str:
        if self._letter is not None:
            letter, self._letter = self._letter, None
            return f"00A?{letter}"
        found = _COMMAND.fullmatch(text)
        if found is None:
            return f"00{self._status}?"
        said = self._done(found[2], found[3])
        return f"00{self._status}{said}"

    def _done(self, command: str, argument: str) -> str:
        if command == "RUN":
            self.start()
        elif command == "STP":
            if not self.ignores_stop:
                self.stop()
        elif command == "SAF":
            self.safe_s = int(argument) if argument.isdecimal() else self.safe_s
        elif command == "RAT" and argument:
            return self._rate(argument)
        query = {
            "VER": "NE1000V3.923", "RAT": f"{number(self.set_rate_ml_h)}MH",
            "DIS": f"I{number(self.infused_ml)}W0.000ML", "DIA": "26.59",
        }
        return query.get(command, "") if not argument else ""

    def _rate(self, argument: str) -> str:
        unit = argument[-2:]
        plain = argument[:-2]
        if unit not in ML_H or not plain.replace(".", "", 1).isdecimal():
            return "?"
        asked = float(plain) * ML_H[unit]
        if not 0 < asked <= self.max_rate_ml_h:
            return "?OOR"
        self.set_rate_ml_h = asked
        return ""

    @property
    def _status(self) -> str:
        return "I" if self.running else "P" if self.infused_ml and self.to_go_ml > 1e-9 else "S"


TWIN = TwinSpec(name="new_era", transports=("serial", "tcp"), make=NewEraTwin, baud=19200,
                hands=(*HANDS, "ignore_stop", "obey_stop"))
