"""The twin of an Alaris / Asena GH syringe pump: its responses to every command the driver knows of.

It shares the frame with its driver and nothing else, and obeys remote control as a real pump would, so that programs
that are not ours can be tried against it. Not known of the real pump, and chosen here: a refused command is answered
with the unchanged value; remote control is lost `comms_timeout_s` after it was last enabled, which raises AL_COMTO and
leaves the infusion as it is; the alarm flag is set with every alarm, a low battery's too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from drivers.alaris_gh import END, ESC, MAX_FRAME, MAX_RATE_ML_H, NO_ALARM, START, crc, decode, encode
from drivers.contract import BadFrame
from drivers.kit.framing import Delimited
from simulators.contract import Hands, TwinSpec
from simulators.patient import Patient

SYRINGE_ML = 50.0
MIN_RATE_ML_H = 0.1
RUNNING_MMHG, RESTING_MMHG, OCCLUDED_MMHG = 18.0, 4.0, 530.0
RISE_MMHG_S, SETTLE_PER_S = 60.0, 0.5
FIRST_LOG_ID = 127904
# Worst first: the one the pump shows.
ALARM_ORDER = ("AL_FAULT", "AL_OCCLU", "AL_EOIST", "AL_VTBIS", "AL_COMTO", "AL_LWBAT")
STOPPING = frozenset({"AL_FAULT", "AL_OCCLU", "AL_EOIST"})  # while one of them is on, it does not start


def serial_number(seed: int) -> str:
    """The serial number of the pump with this seed; 0 is the pump of the published captures, 8002-51740."""
    return f"8002-5{(1740 + 7919 * seed) % 10000:04d}"


class Permission:
    """A right that has to be asked for again and again."""

    def __init__(self) -> None:
        self.left_s = 0.0

    @property
    def given(self) -> bool:
        return self.left_s > 0

    def step(self, dt_s: float) -> bool:
        """Time passes; whether it ran out just now."""
        given = self.given
        self.left_s = max(self.left_s - dt_s, 0.0)
        return given and not self.given


class AlarisTwin:
    """One pump. A stage sets `rate_ml_h` and `vtbi_ml` and has the hand `program` enter them."""

    def __init__(self, patient: Patient, seed: int) -> None:
        self.serial = serial_number(seed)
        self.rate_ml_h, self.vtbi_ml = 52.5, 35.0
        self.comms_timeout_s = 5.0
        self.wire_speed = 1.0
        self.running = False
        self.volume_infused_ml = 0.0
        self.pressure_mmhg = RESTING_MMHG
        self._patient = patient
        self._set_rate_ml_h = self.rate_ml_h
        self._vtbi_left_ml: float | None = self.vtbi_ml
        self._syringe_left_ml = SYRINGE_ML
        self._alarms: set[str] = set()
        self._occluded = self._muted = False
        self._log_id = FIRST_LOG_ID
        self._control, self._config = Permission(), Permission()
        self._told_ml_h = 0.0
        self._framing = Delimited(START, END, MAX_FRAME, abort=ESC)
        self.hands: Hands = {
            "program": self._program, "start": self._start, "stop": self._stop, "occlude": self._occlude,
            "clear": self._clear, "mute": self._mute, "unmute": self._unmute,
            "load": self._load,
            "low_battery": lambda: self._raise("AL_LWBAT"), "fault": lambda: self._raise("AL_FAULT"),
        }
        self._answers: dict[str, Callable[[Sequence[str]], str | None]] = {
            "INST_SERIALNO": lambda _: f"INST_SERIALNO^{self.serial}",
            "COMMS_PROTOCOL": lambda _: "COMMS_PROTOCOL^Asena Rev 2.1.5",
            "COMMS_RESPONSE_MAX": lambda _: "COMMS_RESPONSE_MAX^4000^ms",
            "SYRINGE_STATUS": lambda _: f"SYRINGE_STATUS^BD PLASTIPAK^{SYRINGE_ML:3.0f}^CONF",
            "INF_RATE_MAX_SYRINGE": lambda _: f"INF_RATE_MAX_SYRINGE^{MAX_RATE_ML_H:.2f}^ml/h",
            "INF": lambda _: self._status(), "ALARM": lambda _: f"ALARM^{self._shown}^ ^ ",
            "INF_RATE": self._rate, "INF_VI": lambda _: f"INF_VI^{self.volume_infused_ml:.3f}^ml",
            "INF_VI_CLEAR": self._clear_volume, "INF_VTBI": self._vtbi, "INF_BOLUS": lambda _: "INF_BOLUS^DISABLED",
            "INF_START": self._remote_start, "INF_STOP": self._remote_stop,
            "REMQUERY": lambda _: "REMQUERY^DEACT^^^^",
            "REMOTE_CTRL": self._remote_control, "REMOTE_CFG": self._remote_config,
        }

    # --- the line -------------------------------------------------------------------------------------------------

    def connect(self) -> None:
        self._framing.flush()

    def feed(self, data: bytes) -> bytes:
        replies = [self._reply(frame) for frame in self._framing.feed(data)]
        return b"" if self._muted else b"".join(replies)

    def _reply(self, frame: bytes) -> bytes:
        try:
            name, *fields = decode(frame)
        except BadFrame:
            return b""
        answer = self._answers.get(name)
        body = answer(fields) if answer is not None else None
        return b"" if body is None else encode(body)

    # --- life -----------------------------------------------------------------------------------------------------

    def step(self, dt_s: float) -> bytes:
        if self.running:
            self._infuse(dt_s)
        if self._occluded and self.running:
            self.pressure_mmhg = min(self.pressure_mmhg + RISE_MMHG_S * dt_s, OCCLUDED_MMHG)
            if self.pressure_mmhg >= OCCLUDED_MMHG:
                self._raise("AL_OCCLU")
        elif not self._occluded:
            rest = RUNNING_MMHG if self.running else RESTING_MMHG
            self.pressure_mmhg += (rest - self.pressure_mmhg) * min(SETTLE_PER_S * dt_s, 1.0)
        self._config.step(dt_s / self.wire_speed)
        if self._control.step(dt_s / self.wire_speed):
            self._raise("AL_COMTO")
        return b""

    def _infuse(self, dt_s: float) -> None:
        """A blocked line takes next to nothing; the rest arrives until the VTBI or the syringe ends."""
        if self._occluded:
            return
        moved_ml = min(self._set_rate_ml_h * dt_s / 3600.0, self._left_ml)
        self.volume_infused_ml += moved_ml
        self._syringe_left_ml -= moved_ml
        if self._vtbi_left_ml is not None:
            self._vtbi_left_ml -= moved_ml
        if self._left_ml > 1e-9:
            return
        done = self._vtbi_left_ml is not None and self._vtbi_left_ml <= 1e-9
        self._vtbi_left_ml = None if done else self._vtbi_left_ml
        self._stop()
        self._raise("AL_VTBIS" if done else "AL_EOIST")

    @property
    def _left_ml(self) -> float:
        vtbi = self._vtbi_left_ml
        return self._syringe_left_ml if vtbi is None else min(vtbi, self._syringe_left_ml)

    @property
    def _shown(self) -> str:
        return next((code for code in ALARM_ORDER if code in self._alarms), NO_ALARM)

    def _event(self) -> None:
        """Something happened: a log entry, and the patient feels the rate."""
        self._log_id += 1
        rate = self._set_rate_ml_h if self.running and not self._occluded else 0.0
        if rate != self._told_ml_h:
            self._told_ml_h = rate
            self._patient.infuse(rate)

    def _raise(self, code: str) -> None:
        self._alarms.add(code)
        if code in STOPPING:
            self.running = False
        self._event()

    # --- hands ----------------------------------------------------------------------------------------------------

    def _program(self) -> None:
        self._set_rate_ml_h = min(max(self.rate_ml_h, 0.0), MAX_RATE_ML_H)
        self._vtbi_left_ml = self.vtbi_ml if self.vtbi_ml > 0 else None
        self._event()

    def _start(self) -> None:
        self.running = not self._alarms & STOPPING and self._set_rate_ml_h > 0 and self._left_ml > 0
        self._event()

    def _stop(self) -> None:
        self.running = False
        self._event()

    def _occlude(self) -> None:
        self._occluded = True
        self._event()

    def _clear(self) -> None:
        """Everything wrong is put right, an empty syringe replaced; the pump stays on hold until somebody starts it."""
        if "AL_EOIST" in self._alarms:
            self._syringe_left_ml = SYRINGE_ML
        self._alarms.clear()
        self._occluded = False
        self._event()

    def _load(self) -> None:
        """A full syringe for the next patient: nothing infused yet, nothing wrong, on hold; the programme is kept."""
        self.running, self.volume_infused_ml = False, 0.0
        self._syringe_left_ml = SYRINGE_ML
        self._alarms.clear()
        self._occluded = False
        self._program()

    def display(self) -> Mapping[str, float | str | bool | None]:
        """The front: running or on hold, the programme, what went in, and the alarm that stands."""
        return {
            "running": self.running, "rate_ml_h": self._set_rate_ml_h, "vtbi_ml": self.vtbi_ml,
            "infused_ml": round(self.volume_infused_ml, 2), "alarm": None if self._shown == NO_ALARM else self._shown,
        }

    def _mute(self) -> None:
        self._muted = True

    def _unmute(self) -> None:
        self._muted = False

    # --- answers --------------------------------------------------------------------------------------------------

    def _status(self) -> str:
        alarm = "-" if self._shown == NO_ALARM else "A"
        mode, rate = ("SET", self._set_rate_ml_h) if self.running else ("HLD", 0.0)
        return (
            f"INF^{self.serial}^{alarm}^{mode}^{rate:.2f}^ml/h^^{self.volume_infused_ml:.3f}^ml"
            f"^{self.pressure_mmhg:.2f}^mmHg^{self._time_left()}^EVENT^{self._log_id}"
        )

    def _time_left(self) -> str:
        if self._set_rate_ml_h <= 0:
            return "24+"
        seconds = int(self._left_ml / self._set_rate_ml_h * 3600.0)
        hours, rest = divmod(seconds, 3600)
        return "24+" if seconds > 86400 else f"{hours:02d}:{rest // 60:02d}:{rest % 60:02d}"

    def _rate(self, fields: Sequence[str]) -> str:
        if len(fields) == 2 and fields[1] == "ml/h" and self._config.given:
            asked = _number(fields[0])
            if asked is not None and MIN_RATE_ML_H <= asked <= MAX_RATE_ML_H:
                self._set_rate_ml_h = round(asked, 2)
                self._event()
        return f"INF_RATE^{self._set_rate_ml_h:.2f}^ml/h"

    def _vtbi(self, fields: Sequence[str]) -> str:
        if fields and self._config.given:
            asked = _number(fields[1]) if len(fields) >= 3 and fields[2] == "ml" else None
            if fields[0] == "DEACT":
                self._vtbi_left_ml = None
                self._event()
            elif fields[0] == "ACTIV" and asked is not None and 0 < asked <= SYRINGE_ML:
                self._vtbi_left_ml = asked
                self._event()
        if self._vtbi_left_ml is None:
            return "INF_VTBI^DEACT^^^"
        return f"INF_VTBI^ACTIV^{self._vtbi_left_ml:.3f}^ml^STOP"

    def _clear_volume(self, _: Sequence[str]) -> str:
        if self._config.given:
            self.volume_infused_ml = 0.0
            self._event()
        return "INF_VI_CLEAR"

    def _remote_start(self, _: Sequence[str]) -> str:
        if self._control.given:
            self._start()
        return "INF_START"

    def _remote_stop(self, _: Sequence[str]) -> str:
        if self._control.given:
            self._stop()
        return "INF_STOP"

    def _remote_control(self, fields: Sequence[str]) -> str:
        if not self._permit(self._control, fields):
            return "REMOTE_CTRL^DISABLED"
        self._alarms.discard("AL_COMTO")
        return "REMOTE_CTRL^ENABLED^****^PERMIT^0^ms"

    def _remote_config(self, fields: Sequence[str]) -> str:
        return "REMOTE_CFG^ENABLED^****" if self._permit(self._config, fields) else "REMOTE_CFG^DISABLED"

    def _permit(self, permission: Permission, fields: Sequence[str]) -> bool:
        """The code is the CRC of the serial number. A wrong one changes nothing."""
        if list(fields[:2]) == ["ENABLED", f"{crc(self.serial.encode()):04X}"]:
            permission.left_s = self.comms_timeout_s
        elif list(fields[:1]) == ["DISABLED"]:
            permission.left_s = 0.0
        return permission.given


def _number(text: str) -> float | None:
    plain = text.strip()
    return float(plain) if plain.replace(".", "", 1).isdecimal() and plain.isascii() else None


TWIN = TwinSpec(
    name="alaris_gh",
    transports=("serial", "tcp"),
    make=AlarisTwin,
    baud=38400,
    hands=("program", "start", "stop", "occlude", "clear", "load", "mute", "unmute", "low_battery", "fault"),
)
