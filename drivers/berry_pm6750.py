"""Berry PM6750 ("BM") vital-signs boards, as they stand in low-cost monitors: ECG, SpO2, cuff, temperature; 115200 8N1.

    55 AA | len | type | data ... | check     len: bytes from len to check    check: NOT of sum from len to data   B

    board   02 ECG    status, heart rate 1 /min, respiration 1 /min, ST (not used), arrhythmia              B
                      status  b0 weak signal   b1 lead off   b2-7 gain, filter, mode (not used)
            03 cuff   status, pressure in 2 mmHg, SYS, MEAN, DIA in mmHg                                    B
                      status  b0-1 patient   b2-5 0 finished, 1 measuring, 2 stopped, 3 over-pressure, 4 loose or no
                      cuff, 5 timeout, 6 error, 7 disturbed, 8 out of range, 9 initialising, 10 initialised
            04 SpO2   0 ok, 1 sensor off, 2 no finger, 3 searching, 4 searched too long; SpO2 7F none; pulse FF none   B
            05 temp.  1 probe off; degrees C, tenths                                                        B
            FE SpO2 wave, 0 to 100, one sample a frame                                                      B
            01 ECG wave, FF respiration wave, 30 31 beats, FC FD versions: cut, not decoded                 B, FC FD -
    host    02 01 start, 02 00 stop the cuff   09 01 adult, 02 child, 03 neonate   FB, FF 00 wave off, FE 01 on   B

Source: the vendor's own parser and four public clients, which agree (B); no maker's manual, no capture. Public tables
print a wrong check for "Lead5" (F2; it is F3): that command is not sent. Unknown: how often each type comes (taken as
once a second), whether the cuff's status comes while it is idle, what stands for no heart rate, respiration or
temperature (0 and FF are taken for none), how many SpO2 samples a second there are (as many as were counted in the last
seconds), and what the versions say, so the board has no identity. The other waves are switched off.

What is made of it:

* Lead off: heart rate and respiration invalid; weak signal: questionable. Arrhythmia counts when two frames running
  say it, and not without leads. A number that jumps is questionable until it repeats: the check lets two flips through.
* The board has no cycle of its own: a determination is started here (drivers/kit/schedules.py). A result counts once,
  where the board was seen to measure; a status that stands since before is the last one's. Where the board restarts
  while it measures and then shows the last result again, its cuff never rose above that systolic pressure: not
  measured. It has no pulse from the cuff.
* The check is weak: a result, or over-pressure, counts when two statuses running say it, and never where the board
  measures on. Of a board that says it once, and nothing while its cuff is idle, it counts after 2.5 s where the cuff
  rose above that systolic pressure.
* None is started while the cuff holds more than 10 mmHg, or the board initialises or measures; where that lasts for
  30 s, or the board does not begin within 15 s, it is a failed one. Over-pressure holds: none until the line is opened
  again. One that has not ended after 140 s is stopped; a stop that does not help is sent again, five times in all, and
  then is a high alarm.
* A board that was switched on again sends the other waves: they are switched off again, and its patient is set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drivers.contract import (
    BadFrame,
    Decoded,
    DeviceAlarm,
    DeviceAlarms,
    Effect,
    FrameRequest,
    Framing,
    Line,
    Priority,
    Reading,
    Request,
    Setting,
    Spec,
    Validity,
    Wave,
)
from drivers.kit.cuffs import (
    DETERMINATION,
    SCHEDULE,
    cuff_pressure,
    determination,
    failed,
    schedule_of,
)
from drivers.kit.cycle import Cycle
from drivers.kit.framing import Counted
from drivers.kit.listening import WELL, Verdict, judged, worst
from drivers.kit.schedules import Schedule
from drivers.kit.tally import Tally
from drivers.kit.text import Repeats, Twice

HEAD = b"\x55\xaa"
LEAST, LONGEST = 4, 30  # what len may be
ECG, CUFF, OXIMETER, TEMPERATURE = 0x02, 0x03, 0x04, 0x05
SIZES = {ECG: 5, CUFF: 5, OXIMETER: 3, TEMPERATURE: 3}  # bytes of data
PLETH, OTHER_WAVES = 0xFE, frozenset({0x01, 0xFF})
PLETH_HIGHEST, PLETH_SAMPLES = 100, 15  # of a piece
PLETH_KNOWN_S, PLETH_LATELY_S = 5.0, 20.0  # edge time for which samples are counted
PLETH_HZ = range(10, 251)
NONE, NO_SPO2 = 0xFF, 0x7F
FINISHED, MEASURING, OVERPRESSURE, INITIALISING, INITIALISED = 0, 1, 3, 9, 10
STREAM_BYTES_S = 4500  # with all waves on: 250 ECG frames of 12 bytes a second, and two waves of 6
JUMPS = {"heart_rate_bpm": 4.0, "resp_bpm": 2.0, "spo2_pct": 2.0, "pulse_bpm": 4.0, "temp_c": 0.5}

LOW_MMHG = 10
LONGEST_S = 140.0  # edge time
SAID_ONCE_S, GIVEN_UP_S = 2.5, 10.0  # edge time after an end that is not said again; of a board that says all again
SETTLE_S = 5.0  # after an opening or a command, before waves mean that the board was switched on again
RESULTS: Mapping[int, str] = {
    2: "user_abort", 3: "overpressure", 4: "cuff_loose", 5: "timeout", 6: "module_error", 7: "artifact",
    8: "out_of_range", 9: "module_error", 10: "module_error",
}
LEADS: tuple[tuple[int, Verdict], ...] = (
    (0x02, (Validity.INVALID, "sensor_off")), (0x01, (Validity.QUESTIONABLE, "low_signal_quality")))
FINGER: Mapping[int, Verdict] = {
    0: WELL, 1: (Validity.INVALID, "sensor_off"), 2: (Validity.INVALID, "sensor_off"),
    3: (Validity.UNAVAILABLE, "searching"), 4: (Validity.UNAVAILABLE, "searching"),
}
ARRHYTHMIA: Mapping[int, tuple[str, Priority, str]] = {
    2: ("asystole", "high", "Asystole"), 3: ("arrhythmia", "high", "Ventricular fibrillation or tachycardia"),
    4: ("arrhythmia", "medium", "R on T"), 5: ("arrhythmia", "medium", "Multifocal PVC"),
    6: ("arrhythmia", "medium", "PVC couplet"), 7: ("arrhythmia", "low", "PVC"), 8: ("arrhythmia", "low", "Bigeminy"),
    9: ("arrhythmia", "low", "Trigeminy"), 10: ("high_pulse", "medium", "Tachycardia"),
    11: ("low_pulse", "medium", "Bradycardia"), 12: ("arrhythmia", "low", "Missed beat"),
}
HELD = DeviceAlarm("overpressure", "high", "NIBP 3",
                   "Cuff over-pressure: no more measurements. Check cuff and hose, then replug the board")


def _check(data: bytes) -> int:
    return ~sum(data) & 0xFF


def encode(type_: int, *data: int) -> bytes:
    """A frame as sent, in either direction."""
    body = bytes((len(data) + 3, type_, *data))
    return HEAD + body + bytes((_check(body),))


def _length(held: bytes) -> int | None:
    if len(held) < 3:
        return None if HEAD.startswith(held[:2]) else 0
    return 2 + held[2] if held[:2] == HEAD and LEAST <= held[2] <= LONGEST else 0


def _good(frame: bytes) -> bool:
    return _check(frame[2:-1]) == frame[-1]


def _command(name: str, effect: Effect, type_: int, argument: int) -> FrameRequest:
    return FrameRequest(name, encode(type_, argument), effect=effect, timeout_s=None, gap_s=0.05)


START, STOP = _command("start_cuff", "start_cuff", 0x02, 1), _command("stop_cuff", "stop_cuff", 0x02, 0)
WAVES_SET = (_command("ecg_wave_off", "mode", 0xFB, 0), _command("spo2_wave_on", "mode", PLETH, 1),
             _command("resp_wave_off", "mode", 0xFF, 0))
PATIENTS = {name: _command(f"patient_{name}", "mode", 0x09, number)
            for number, name in enumerate(("adult", "child", "neonate"), 1)}


class Pleth:
    """The SpO2 wave: sample after sample, and how many a second there are."""

    def __init__(self) -> None:
        self._samples: list[int | None] = []
        self._since_s: float | None = None
        self._count = 0.0

    def sample(self, data: bytes, at_s: float) -> Sequence[Wave]:
        """One more, at edge time `at_s`; a piece of the wave where it is full."""
        if len(data) != 1:
            raise BadFrame(f"an SpO2 sample of {len(data)} bytes")
        if self._since_s is None:
            self._since_s = at_s
            return ()
        self._count += 1
        self._samples.append(data[0] if data[0] <= PLETH_HIGHEST else None)
        if len(self._samples) < PLETH_SAMPLES:
            return ()
        samples, self._samples = tuple(self._samples), []
        lasts_s = at_s - self._since_s
        if lasts_s < PLETH_KNOWN_S:
            return ()
        rate_hz = round(self._count / lasts_s)
        if lasts_s > PLETH_LATELY_S:
            self._since_s, self._count = at_s - lasts_s / 2, self._count / 2
        return (Wave("pleth", float(rate_hz), 0, PLETH_HIGHEST, samples),) if rate_hz in PLETH_HZ else ()


class BerryPm6750:
    """One board. One that was never started is shown single frames, and takes each at its word."""

    def __init__(self, schedule: Schedule, patient: str) -> None:
        self.framing: Framing = Counted(HEAD[:1], _length, LONGEST + 2, _good)
        self._cycle = Cycle(schedule, start=START, stop=STOP, longest_s=LONGEST_S, held=HELD)
        self._settings = (*WAVES_SET, PATIENTS[patient])
        self._started = False
        self._last_result = b""
        self.unmapped = Tally()
        self._forget()

    def _forget(self) -> None:
        self._cuff: tuple[int, int] | None = None  # its status and pressure, as last told
        self._end: tuple[int, bytes, float] | None = None  # a status, its result, and when it was said: not yet again
        self._says_again = False  # the board was heard while its cuff is idle
        self._repeats = {type_: Repeats(JUMPS) for type_ in SIZES}
        self._rhythm: Twice[tuple[DeviceAlarm, ...]] = Twice()
        self._unknown: dict[int, DeviceAlarm] = {}  # of each type, its code that is not known
        self._told: tuple[DeviceAlarm, ...] | None = None
        self._waves = False
        self._pleth = Pleth()
        self._set_s: float | None = None
        self._to_set: list[FrameRequest] = []

    # --- requests -----------------------------------------------------------------------------------------------------

    def on_open(self) -> Sequence[Request]:
        self._started = True
        self._cycle.open()
        self._forget()
        return self._settings

    def start_at(self, at_s: float | None) -> None:
        self._cycle.told(at_s)

    def next_request(self, at_s: float) -> Request | None:
        stop = self._cycle.turn(at_s)
        if stop is not None or self._cycle.phase == "stopping":
            self._end = None
            return stop
        if self._end is not None and at_s - self._end[2] >= (GIVEN_UP_S if self._says_again else SAID_ONCE_S):
            self._cycle.owed += self._finish(*self._end[:2], once=True)
        return self._cycle.begin(at_s, ready=self._is_ready()) or self._settings_due(at_s)

    def _is_ready(self) -> bool:
        status, mmhg = self._cuff or (FINISHED, 0)
        return status not in (MEASURING, INITIALISING) and mmhg <= LOW_MMHG

    def _settings_due(self, at_s: float) -> Request | None:
        if self._set_s is None:
            self._set_s = at_s
        if self._waves and not self._to_set and at_s - self._set_s >= SETTLE_S:
            self._to_set, self._set_s = list(self._settings), at_s
        self._waves = self._waves and at_s - self._set_s >= SETTLE_S
        return self._to_set.pop(0) if self._to_set else None

    def is_response(self, frame: bytes, request: Request) -> bool:
        """Nothing is a response: the board sends by itself."""
        return False

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        """Nothing waits for a response."""
        return ()

    # --- what comes ---------------------------------------------------------------------------------------------------

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        if _length(frame) != len(frame) or not _good(frame):
            raise BadFrame("not one whole frame with a good check")
        type_, data = frame[3], frame[4:-1]
        if len(data) != SIZES.get(type_, len(data)):
            raise BadFrame(f"type {type_:02X} has {len(data)} bytes of data")
        self._waves = self._waves or type_ in OTHER_WAVES
        if type_ == PLETH:
            return () if self._cycle.opened else self._pleth.sample(data, self._cycle.now_s)
        if not self._started:
            self._rhythm.forget()
            self._unknown.clear()
        found: list[Decoded] = []
        if type_ == ECG:
            found += self._ecg(data)
        elif type_ == CUFF:
            found += self._nibp(data)
        elif type_ == OXIMETER:
            found += self._oximeter(data)
        elif type_ == TEMPERATURE:
            found += self._temperature(data)
        else:
            self.unmapped.saw(f"type {type_:02X}")
        if not found and not self._cycle.owed:
            return found
        found = [*self._cycle.owed, *found]
        self._cycle.owed.clear()
        return [*found, *self._alarms()]

    def _numbers(self, type_: int, readings: Sequence[Reading]) -> Sequence[Reading]:
        return self._repeats[type_].judged(readings) if self._started else readings

    def _ecg(self, data: bytes) -> Sequence[Decoded]:
        status, heart, resp, _, rhythm = data
        verdict = worst(status, LEADS)
        self._note(ECG, "ECG", rhythm if verdict is WELL else 1, {0, 1, *ARRHYTHMIA})
        code, priority, text = ARRHYTHMIA.get(rhythm, ("", "low", ""))
        alarms = (DeviceAlarm(code, priority, f"ECG {rhythm:02X}", text),) if code and verdict is WELL else ()
        self._rhythm.is_news(alarms)
        if not self._started:
            self._rhythm.value = alarms
        return self._numbers(ECG, (
            judged("heart_rate_bpm", None if heart in (0, NONE) else float(heart), 15, 254, verdict),
            judged("resp_bpm", None if resp in (0, NONE) else float(resp), 1, 150, verdict)))

    def _oximeter(self, data: bytes) -> Sequence[Decoded]:
        status, spo2, pulse = data
        self._note(OXIMETER, "SpO2", status, set(FINGER))
        verdict = FINGER.get(status, (Validity.UNAVAILABLE, None))
        return self._numbers(OXIMETER, (
            judged("spo2_pct", None if spo2 in (0, NO_SPO2) else float(spo2), 1, 100, verdict),
            judged("pulse_bpm", None if pulse in (0, NONE) else float(pulse), 18, 254, verdict)))

    def _temperature(self, data: bytes) -> Sequence[Decoded]:
        status, degrees, tenths = data
        if tenths > 9 and not status and degrees != NONE:
            raise BadFrame(f"{tenths} tenths of a degree")
        self._note(TEMPERATURE, "temperature", status, {0, 1})
        verdict = WELL if status == 0 else (Validity.INVALID, "sensor_off")
        value = None if degrees in (0, NONE) else degrees + tenths / 10
        return self._numbers(TEMPERATURE, (judged("temp_c", value, 20, 45, verdict),))

    def _note(self, type_: int, what: str, code: int, known: set[int]) -> None:
        self._unknown.pop(type_, None)
        if code not in known:
            raw = f"{what} {code:02X}"
            self._unknown[type_] = DeviceAlarm("unknown", "low", raw, f"The board says {raw}, which is not known")

    def _alarms(self) -> Sequence[Decoded]:
        alarms = (*self._cycle.alarms, *(self._rhythm.value or ()), *self._unknown.values())
        if self._started and alarms == self._told:
            return ()
        self._told = alarms
        return (DeviceAlarms(alarms),)

    # --- the cuff -----------------------------------------------------------------------------------------------------

    def _nibp(self, data: bytes) -> Sequence[Decoded]:
        status, mmhg = data[0] >> 2 & 0x0F, 2 * data[1]
        self._cuff = status, mmhg
        self._note(CUFF, "NIBP", status, {FINISHED, MEASURING, *RESULTS})
        cycle = self._cycle
        if status == MEASURING:
            self._end = None
            if cycle.phase in ("idle", "starting"):
                cycle.enter("measuring", cycle.now_s if cycle.phase == "idle" else cycle.since_s)
                cycle.top_mmhg = 0
            cycle.top_mmhg = max(cycle.top_mmhg, mmhg)
            return (cuff_pressure(mmhg),)
        cycle.stuck = False
        if not self._started:
            return () if status in (INITIALISING, INITIALISED) else self._result(status, data[2:])
        if cycle.phase == "stopping":
            cycle.end("timeout")
        elif cycle.phase == "measuring":
            before, self._end = self._end, (status, data[2:], cycle.now_s)
            if status not in (FINISHED, OVERPRESSURE) or (before is not None and before[:2] == self._end[:2]):
                return self._finish(status, data[2:])
        else:
            self._says_again = True
        return ()

    def _finish(self, status: int, result: bytes, *, once: bool = False) -> tuple[Reading, ...]:
        """The determination is over. `once`: the board did not say so again."""
        self._end, cycle = None, self._cycle
        found = failed("not_measured") if once and self._says_again else self._result(status, result, once)
        cycle.held = cycle.held or status == OVERPRESSURE
        cycle.end(None, good=found[0].value is not None)
        return found

    def _result(self, status: int, result: bytes, once: bool = False) -> tuple[Reading, ...]:
        if status != FINISHED:
            return failed(RESULTS.get(status, "module_error"))
        sbp, mean, dbp = result
        again, self._last_result = result == self._last_result, result
        if (again or once) and self._started and self._cycle.top_mmhg < sbp:
            return failed("not_measured")
        return determination(sbp, dbp, mean, None) or failed("implausible")


DRIVER = Spec(
    name="berry_pm6750",
    title="Berry PM6750 vital-signs board (ECG, SpO2 with its wave, cuff, temperature)",
    kind="monitor",
    transports=("serial", "tcp"),
    grade="B",
    source="the vendor's own parser and four public clients; no maker's manual, no capture of a board",
    line=Line(baud=115200, silent_after_s=5.0, stream_bytes_s=STREAM_BYTES_S),
    metrics=frozenset({*DETERMINATION, *JUMPS, "cuff_pressure_mmhg"}),
    requests=(*WAVES_SET, *PATIENTS.values(), START, STOP),
    wiring=(
        "Line: 115200 8N1, no flow control.\n"
        "Cable: the board's serial port (TTL; the monitor it stands in may bring it out as RS-232 or USB) to an"
        " isolated adapter, TX, RX and GND. Its connector is not known here, see the board's sheet. One host only,"
        " which starts its cuff: never beside the monitor's own program.\n"
        "Menu: nothing has to be chosen on the board; it sends as soon as it is on.\n"
        "Known limits: no ECG wave, no pulse from the cuff, no serial number (it is bound by its port); how it says"
        " that it has no heart rate, respiration or temperature is unknown: before use pull each lead and probe"
        " once, and see that the number goes. Its check lets one hurt frame in 256 through: a number counts when it"
        " is said again, but the result of a board that says it only once is then believed."
    ),
    make=lambda settings: BerryPm6750(schedule_of("berry_pm6750", settings), str(settings["patient"])),
    settings={**SCHEDULE, "patient": Setting("adult", "how high the cuff inflates at first", tuple(PATIENTS))},
)
