"""What a driver is: frames in, values out; what to send next comes out as requests. No port, no clock, no event loop.

The dialogue (edge.field) does the rest: it sends one `Request` at a time, cuts the bytes that come into frames with the
driver's `Framing`, gives each frame to `Driver.decode`, and stamps what was decoded with bed, device and time.

    dialogue                                driver
     | open                                   |
     | on_open() ---------------------------> |  the handshake, sent after every (re)open: identity, modes
     | next_request(at_s) ------------------> |  what is due now, or None (a device that streams gets no request)
     | due_s -------------------------------> |  until when it would be None, where the driver says so (`Timed`)
     |   bytes -> framing -> frame            |
     | is_response(frame, request) ---------> |  is this the response to the request, or did it come by itself?
     | decode(frame, request) --------------> |  -> readings, pump state, alarms, identity, waves; or BadFrame
     | on_timeout(request) -----------------> |  no response came

Two times exist and are never mixed. `at_s` is the edge clock (it may run fast in a demonstration) and is for
schedules: "a determination every 300 s". `timeout_s`, `gap_s`, `lateness_s` and `silent_after_s` belong to the wire
and are real seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol, runtime_checkable


class BadFrame(Exception):
    """The bytes are not a good frame of this protocol: counted and dropped by the dialogue, never a value."""


class Late(BadFrame):
    """A good frame, which is not of now: counted as late."""


class SelfCheckFailed(BadFrame):
    """A good frame that shows that nothing this device sends can be believed. Its words are shown to the technician."""


class Validity(StrEnum):
    """Whether a reading's value may be believed (IEEE 11073 BICEPS MeasurementValidity, in words)."""

    VALID = "valid"
    QUESTIONABLE = "questionable"  # shown with a mark; may sustain an alarm, never start or clear one
    MEASURING = "measuring"  # no result yet; not a fault
    CALIBRATING = "calibrating"
    INVALID = "invalid"  # the device says it cannot tell, and says why in `reason`
    UNAVAILABLE = "unavailable"  # the device has no value and gives no reason
    OVERFLOW = "overflow"  # above what the device can measure
    UNDERFLOW = "underflow"


@dataclass(frozen=True, slots=True)
class Reading:
    """One number a driver decoded. `metric` is a key of edge.vocabulary; the unit is in its name.

    `value` is None whenever `validity` is not valid or questionable; a device's sentinel (127, 511, 0x7FFF, '---')
    never gets here. `reason` is a word of REASONS.
    A completed or failed NIBP determination is one `decode` result that carries sbp_mmhg, dbp_mmhg, map_mmhg and
    nibp_pulse_bpm together, once.
    """

    metric: str
    value: float | None
    validity: Validity = Validity.VALID
    reason: str | None = None


PumpState = Literal["infusing", "stopped", "paused", "alarm", "unknown"]


@dataclass(frozen=True, slots=True)
class Pump:
    """What the pump's own status says it is doing."""

    state: PumpState


Priority = Literal["high", "medium", "low"]


@dataclass(frozen=True, slots=True)
class DeviceAlarm:
    """One alarm the device itself has. `code` is a word of ALARMS, `raw` the device's own code, `text` plain words."""

    code: str
    priority: Priority
    raw: str
    text: str


@dataclass(frozen=True, slots=True)
class DeviceAlarms:
    """All alarms the device has now; an empty tuple means that it reports none."""

    alarms: tuple[DeviceAlarm, ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity that the device gives. `serial` is what a bed is bound by; None where it has no such number."""

    serial: str | None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Wave:
    """Consecutive samples of a waveform at `rate_hz`, each from `low` to `high` (no unit), None where there is none."""

    name: str
    rate_hz: float
    low: int
    high: int
    samples: tuple[int | None, ...]


Decoded = Reading | Pump | DeviceAlarms | Identity | Wave

REASONS = frozenset({
    "sensor_off", "sensor_disconnected", "no_sensor", "searching", "low_perfusion", "artifact",
    "low_signal_quality", "ambient_light", "cuff_loose", "cuff_leak", "overpressure", "inflate_timeout",
    "weak_pulse", "out_of_range", "module_error", "user_abort", "timeout", "pneumatic_fault", "not_measured",
    "spot_check_only", "implausible", "sensor_fault",
})

ALARMS = frozenset({
    "occlusion", "end_of_infusion", "near_end", "vtbi_done", "syringe", "drive_disengaged", "low_battery",
    "battery_empty", "mains_lost", "comms_timeout", "attention", "fault", "pressure_line", "rate_high", "titration",
    "overpressure", "underpressure", "poor_fill", "sensor_off", "low_spo2", "unknown",
    "high_spo2", "low_pulse", "high_pulse", "no_pulse", "silenced",
    "asystole", "arrhythmia",
    "no_breath", "low_etco2", "high_etco2", "low_resp", "high_resp", "high_fico2", "sampling_line",
})


Effect = Literal["identify", "read", "mode", "start_cuff", "stop_cuff", "stop_pump"]
"""What a request does to the device: it says who it is; it says what it measures; it sends in another way (format,
stream on or off); its cuff inflates; its cuff lets go; the pump stops. A pump's driver may use the first two, and the
last (a law with a test), which the dialogue sends only where edge.toml says so. There is none that starts or sets a
pump, or lets it go on."""


@dataclass(frozen=True, slots=True)
class FrameRequest:
    """A request to a device on a byte stream: the exact bytes, and how long the response may take."""

    name: str
    frame: bytes
    effect: Effect = field(kw_only=True)
    timeout_s: float | None = 1.0  # None: there is no response
    retries: int = 0  # how often it is sent again after a time-out, before `on_timeout`
    gap_s: float = 0.0  # silence kept on the wire after the response
    distinct: bool = False  # its response names it: neither can be taken for another such request's


@dataclass(frozen=True, slots=True)
class ModbusRequest:
    """A read of a Modbus device. `decode` gets registers as big-endian bytes, or coils packed, low bit first."""

    name: str
    function: Literal[1, 2, 3, 4]
    address: int
    count: int
    effect: Literal["identify", "read"] = field(kw_only=True)
    timeout_s: float = 1.0
    retries: int = 0


Request = FrameRequest | ModbusRequest
Transport = Literal["serial", "tcp", "modbus+tcp", "modbus+rtu"]


@dataclass(frozen=True, slots=True)
class Line:
    """How the wire is set, and what the wire's silence means (real seconds)."""

    baud: int
    bits: Literal[7, 8] = 8
    parity: Literal["N", "E", "O"] = "N"
    stop: Literal[1, 2] = 1
    silent_after_s: float = 5.0  # no good frame for so long: the device is silent
    stream_bytes_s: float | None = None  # what it sends by itself, bytes a second at most; faster is old. None: polled
    lateness_s: float = 1.0  # the longest a late response may take: so long is the quiet after a time-out


class Framing(Protocol):
    """Cuts a byte stream into frames, each with all of its bytes, marks and delimiters too. Keeps what is incomplete;
    forgets what cannot become a frame, and counts it."""

    dropped: int  # bytes that became no frame

    def feed(self, data: bytes) -> list[bytes]:
        """The whole frames that `data` completes, oldest first. Never raises, never holds more than a few frames."""
        ...

    def flush(self) -> None:
        """Forget what is incomplete (the line was reopened, or the rest never came)."""
        ...


class Driver(Protocol):
    """One device's protocol, seen from the host. Holds what it must remember between frames, nothing of the world."""

    framing: Framing

    def on_open(self) -> Sequence[Request]:
        """The handshake after the line opens, in order; also the moment to forget everything remembered."""
        ...

    def next_request(self, at_s: float) -> Request | None:
        """The next request that is due at edge time `at_s`, or None. Called whenever the line is free."""
        ...

    def is_response(self, frame: bytes, request: Request) -> bool:
        """Whether `frame` is the response to `request`; if not, it came by itself and the wait goes on."""
        ...

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        """What a whole frame contains; `request` is what it is the response to, None for a frame that came by itself.

        Raises BadFrame where it fails its check or makes no sense.
        """
        ...

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        """What it means that `request` got no response in time (often nothing: the dialogue counts it)."""
        ...


@runtime_checkable
class Timed(Protocol):
    """What a driver may have besides: it knows when it is due. One without it is asked many times a second."""

    @property
    def due_s(self) -> float:
        """Edge time before which `next_request` gives None, and changes nothing, unless something comes meanwhile;
        infinity: only what comes makes it ask."""
        ...


@runtime_checkable
class Heard(Protocol):
    """What a driver may have besides, whose device says when it made what it sends: it is told when that came."""

    def heard_at(self, at_s: float, unsure_s: float) -> None:
        """What `decode` is given next came at edge time `at_s`, and may have waited here for `unsure_s` of it."""
        ...


@runtime_checkable
class CuffDriver(Protocol):
    """A driver whose cuff the host starts, and may be told when (beside Driver)."""

    def start_at(self, at_s: float | None) -> None:
        """The next determination is due then (edge time; infinite: none is), as far as the cuff's own pauses let it.
        None: by the driver's own schedule."""
        ...


@runtime_checkable
class StopDriver(Protocol):
    """A driver whose pump can be stopped over the wire (beside Driver): its maker's document says how."""

    def stop(self, asked_s: float, until_s: float) -> None:
        """The pump is to stop: the next request is the stop, given out once for each `asked_s` (edge time) and never
        after `until_s`. Nothing where the pump says that it stands still. A line that opens anew forgets it."""
        ...


@runtime_checkable
class Unmapping(Protocol):
    """What a driver may have besides: a count of what the device sent and it makes nothing of, by the name that the
    protocol gives it. The technician sees it; nothing is judged by it."""

    @property
    def unmapped(self) -> Mapping[str, int]:
        """How often each came since the driver was made."""
        ...


def unmapped_of(driver: Driver) -> Mapping[str, int]:
    """What `driver` has counted; empty for one that maps all it knows."""
    return driver.unmapped if isinstance(driver, Unmapping) else {}


DeviceKind = Literal["pump", "nibp", "oximeter", "monitor"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing a technician may set for a device in edge.toml; `default` also says its type."""

    default: str | int | float
    help: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Agreement:
    """Bytes that neither this driver nor its twin made, and that it decodes: what gold rests on (drivers/README.md).

    `whose` is the origin of the rows of the golden table, word for word.
    """

    kind: Literal["capture", "printed", "program"]  # of a real device; printed by its maker; another program's own
    whose: str


@dataclass(frozen=True, slots=True)
class Weak:
    """What the check of a line lets through, where a wire has hurt or joined what the device said (drivers/README.md).

    `near`: metric -> how far a wrong number that counts at once may be from the last, in the metric's unit; what is
    further has to be said again, or go on in one direction. `volume`: a wrong volume counts where the pump could have
    come to it from the last.
    """

    check: str  # what check there is, as a sentence: "Its lines have no check"
    near: Mapping[str, float] = field(default_factory=dict)
    volume: bool = False
    wave: bool = False  # a wave is shown as it comes
    alike: int = 0  # any number that is hurt in the same way in so many frames running counts; 0: none does


@dataclass(frozen=True, slots=True)
class Spec:
    """A driver as others find it: `DRIVER = Spec(...)` in its module."""

    name: str
    title: str
    kind: DeviceKind
    transports: tuple[Transport, ...]
    grade: str  # how well the protocol is known: see drivers/README.md
    source: str
    line: Line
    metrics: frozenset[str]
    requests: tuple[Request, ...]  # everything it can ever send; the dialogue sends nothing else
    wiring: str
    make: Callable[[Mapping[str, str | int | float]], Driver]
    settings: Mapping[str, Setting] = field(default_factory=dict)
    defined_at: Mapping[str, str] = field(default_factory=dict)  # metric -> file:line, where it is data
    agrees: tuple[Agreement, ...] = ()
    weak: Weak | None = None  # None: nothing that was hurt is known to count
    age: str = ""  # what shows that an old number comes again, where no time of the device's own does (`Heard`)
    names_itself: Literal["", "opening", "always"] = ""  # when it says its serial number: never, where asked at an
    # opening, or with its numbers
    documents: tuple[str, ...] = ()  # of makers, that were read: number or title of each, and nothing else
    unprobed: str = ""  # the form of it that a probe does not ask, why, and how it is found instead
    same_words: bool = False  # the device sends the very commands that are sent to it
    addressed: Callable[[str], tuple[Request, ...]] | None = None  # those of `requests` that name the device by the
    # serial number it gave, for this one; in `requests` they stand for the number of the golden table

    @property
    def nameless(self) -> bool:
        """Whether its protocol has no serial number, so that nothing tells one such device from another: its wiring
        card says so, in these words."""
        return any(words in self.wiring for words in ("bound by its port", "cannot be told apart"))

    @property
    def starts_cuff(self) -> bool:
        """Whether its cuff is started over the wire, when it is told."""
        return self.cuff_of(self.driver()) is not None

    @property
    def stops_pump(self) -> bool:
        """Whether its pump can be stopped over the wire."""
        return self.stop_of(self.driver()) is not None

    def stop_of(self, driver: Driver) -> StopDriver | None:
        """`driver` as one that can stop its pump, where it is one and has the request for it."""
        stops = any(request.effect == "stop_pump" for request in self.requests)
        return driver if stops and isinstance(driver, StopDriver) else None

    def cuff_of(self, driver: Driver) -> CuffDriver | None:
        """`driver` as one that is told when to measure, where it is one and may start a cuff."""
        starts = any(request.effect == "start_cuff" for request in self.requests)
        return driver if starts and isinstance(driver, CuffDriver) else None

    def driver(self, settings: Mapping[str, object] | None = None) -> Driver:
        """A driver with these settings over the defaults. Raises ValueError with one clear line for a bad one."""
        chosen: dict[str, str | int | float] = {name: setting.default for name, setting in self.settings.items()}
        for name, value in (settings or {}).items():
            setting = self.settings.get(name)
            if setting is None:
                known = ", ".join(self.settings) or "none"
                raise ValueError(f"{self.name} has no setting {name!r}; it has: {known}")
            chosen[name] = _checked(self.name, name, setting, value)
        return self.make(chosen)


def _checked(driver: str, name: str, setting: Setting, value: object) -> str | int | float:
    kind = type(setting.default)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{driver}: setting {name!r} must be {kind.__name__}, not {value!r}")
    if setting.choices and value not in setting.choices:
        raise ValueError(f"{driver}: setting {name!r} must be one of {', '.join(setting.choices)}, not {value!r}")
    assert isinstance(value, str | int | float)
    return value
