"""The twin of a SunTech Advantage cuff module: inflates when told to, feels the patient, and keeps one result.

    idle --start--> inflating --top reached--> deflating --below DBP--> (K) idle with a result
                        |                          |
                        +---- a hand's error, abort (A, then K) ----+

Not known of the real module, and chosen here: frames with a wrong sum get no answer; over-pressure ends with E, every
other error with K; while a measurement runs, BP data and a second start are answered B.
"""

from __future__ import annotations

from collections.abc import Mapping

from drivers.kit.framing import Counted
from drivers.suntech_advantage.frames import HOST, reply, sums_to_zero
from simulators.contract import Hands, TwinSpec
from simulators.cuff import HANDS, Cuff, Phase
from simulators.patient import Patient

STOPPED_S = 0.3  # from A to K
TOPS_MMHG = {0x20: 160, 0x87: 140, 0x28: 90}  # start command: what it inflates to unless set
ABORTED, OVERPRESSURE = 86, 89
ERRORS = {"ok": 0, "weak": 1, "motion": 2, "leak": 87, "loose": 87, "overpressure": OVERPRESSURE}
HOST_LENGTHS = {0x79: 5, 0x17: 5, 0x0C: 6, 0x04: 4}  # bytes of a host frame; the others have 3
LONGEST = 6
VERSION_TEXT = (b"LX2.07", b"Advantage OEM")
NO_RESULT = bytes(20)


def ack(letter: str) -> bytes:
    """The 4-byte answer with this letter."""
    return reply(letter.encode("ascii"))


def _host_length(held: bytes) -> int | None:
    return None if len(held) < 2 else HOST_LENGTHS.get(held[1], 3)


class AdvantageTwin:
    """One module with its hose and cuff."""

    def __init__(self, patient: Patient, seed: int) -> None:
        self._cuff = Cuff(patient)
        self._seed = seed
        self._muted = self._asleep = False
        self._error = 0
        self._result = NO_RESULT
        self._top = 0.0  # what "set initial inflate" said; 0: the start's own
        self._stopping_s: float | None = None
        self._framing = Counted(HOST, _host_length, LONGEST, sums_to_zero)
        self.hands: Hands = {**self._cuff.hands, "ok": self._ok, "mute": self._mute, "unmute": self._unmute}

    @property
    def phase(self) -> Phase:
        """What the cuff does."""
        return self._cuff.phase

    @property
    def pressure_mmhg(self) -> float:
        """The pressure in the cuff."""
        return self._cuff.pressure_mmhg

    @property
    def completed(self) -> int:
        """Measurements that ended, with or without numbers."""
        return self._cuff.completed

    def display(self) -> Mapping[str, float | str | bool | None]:
        """What a person beside it sees: whether it measures, the cuff's pressure, and what is wrong with the cuff."""
        return {"phase": self.phase, "cuff_mmhg": round(self.pressure_mmhg), "fault": self._cuff.wrong}

    # --- the line -------------------------------------------------------------------------------------------------

    def connect(self) -> None:
        self._framing.flush()

    def feed(self, data: bytes) -> bytes:
        replies = [self._reply(frame[1:-1]) for frame in self._framing.feed(data)]
        return b"" if self._muted else b"".join(replies)

    def _reply(self, said: bytes) -> bytes:
        if self._asleep:
            self._asleep = False
            return ack("S")
        if said[0] == 0x79:
            return self._asked(said[1], said[2])
        if said[0] in TOPS_MMHG:
            return self._begin(TOPS_MMHG[said[0]])
        if said[0] == 0x8A:
            self._reset()
            return ack("K")
        if said[0] not in (0x00, 0x17, 0x0C, 0x04, 0x81):
            return ack("D")
        if self.phase != "idle" and said[0] != 0x00:
            return ack("B")
        if said[0] == 0x17:
            return self._set_top(said[1] | said[2] << 8)
        if said[0] == 0x0C and not said[3]:  # the dump valve is let open
            self._cuff.pressure_mmhg = 0.0
        self._asleep = said[0] == 0x81
        return ack("K")

    def _asked(self, what: int, which: int) -> bytes:
        if (what, which) == (0x01, 0x00):
            return self._abort()
        if (what, which) == (0x05, 0x00):
            return reply(round(self.pressure_mmhg).to_bytes(2, "little"))
        if (what, which) == (0x03, 0x00):
            return reply(self._result + b"\0") if self.phase == "idle" else ack("B")
        if (what, which) in ((0x10, 0x03), (0x11, 0x00)):
            return reply(bytes((self._error, 0)))
        if (what, which) == (0x02, 0x03):
            return reply(bytes(3))
        if (what, which) == (0x02, 0x40):
            first, second = VERSION_TEXT
            return reply((first.ljust(8, b"\0") + second).ljust(64, b"\0"))
        return ack("N")

    def _set_top(self, mmhg: int) -> bytes:
        if not 60 <= mmhg <= 280:
            return ack("E")
        self._top = float(mmhg)
        return ack("K")

    # --- life -----------------------------------------------------------------------------------------------------

    def step(self, dt_s: float) -> bytes:
        said = self._live(dt_s)
        return b"" if self._muted else said

    def _live(self, dt_s: float) -> bytes:
        if self._stopping_s is not None:
            self._stopping_s -= dt_s
            if self._stopping_s > 0:
                return b""
            self._stopping_s = None
            return ack("K")
        ended = self._cuff.live(dt_s)
        return b"" if ended is None else self._end(ERRORS[ended])

    def _begin(self, top_mmhg: int) -> bytes:
        if self.phase != "idle" or self._stopping_s is not None:
            return ack("B")
        self._cuff.begin(self._top or float(top_mmhg))
        self._result = NO_RESULT
        self._error = 0
        return ack("O")

    def _end(self, error: int) -> bytes:
        """The cuff is down, and the result kept."""
        felt = self._cuff.felt
        self._error = error if error == OVERPRESSURE else 0
        self._result = self._kept(felt) if error == 0 and felt else bytes(18) + bytes((error, 0))
        return ack("E" if error == OVERPRESSURE else "K")

    def _kept(self, felt: tuple[int, int, int, int]) -> bytes:
        """Bytes 2 to 21 of the BP data; the test code is this measurement's number."""
        sbp, dbp, mean, pulse = (value.to_bytes(2, "little") for value in felt)
        beats = min(max(felt[3] * 25 // 60, 1), 255)
        code = self.completed.to_bytes(4, "little") + (self._seed & 0xFFFFFFFF).to_bytes(4, "little")
        return sbp + dbp + bytes((beats, 1)) + code + pulse + mean + bytes(2)

    def _abort(self) -> bytes:
        """Legal at any time: A now, K when stopped."""
        if self.phase != "idle":
            self._result = bytes(18) + bytes((ABORTED, 0))
        self._cuff.stop()
        self._stopping_s = STOPPED_S
        return ack("A")

    def _reset(self) -> None:
        self._cuff.stop()
        self._top = 0.0
        self._stopping_s, self._result, self._error = None, NO_RESULT, 0

    # --- hands ----------------------------------------------------------------------------------------------------

    def _ok(self) -> None:
        self._cuff.wrong = None
        self._error = 0

    def _mute(self) -> None:
        self._muted = True

    def _unmute(self) -> None:
        self._muted = False


TWIN = TwinSpec(
    name="suntech_advantage",
    transports=("serial", "tcp"),
    make=AdvantageTwin,
    baud=9600,
    hands=(*HANDS, "mute", "unmute"),
)
