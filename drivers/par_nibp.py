"""PAR / Medlab NIBP2010 and NIBP2020 cuff modules (UN300C, SINNOR N6, "ABATON"), pressure-only boards: 4800 8N1.

    host    02 | NN ; ; | CC | 03      NN two digits, CC the sum of NN;; in two upper-case hex digits                  B
            58                         stop, at any time                                                               B
    module  02 | text | 03 0D          the text's length says what it is                                               B
              PPP C c S s              while it measures: pressure in the cuff, mmHg; caution; state; no check         B
              999                      the end of it; no check                                                         B
              Sa;Ab;Cnn;Mnn;Psssdddmmm;Rnnn;Tnnnn;;CC   status, 39 characters, CC its sum up to the two semicolons     B
                 S 0 self-test, 1 ready, 2 error, 3 8 9 measures, 4 manometer, 5 initialises, 6 waits in its cycle,
                   7 leak test      A 0 adult, 1 neonate     C its cycle, min     P systolic, diastolic, mean, mmHg
                 R pulse, /min      T s to its next          dashes or blanks: none
              M 00 03 none   02 invalid command (another source: self-test)   05 stopped   06 loose or no cuff   07 leak
                08 pneumatic   09 too long, few oscillations   10 out of range   11 13 motion   12 over-pressure
                14 leak test   15 system; others are not known                                                         B
              caution 0 none, 1 neonate's cuff for an adult, 2 the other way; 3 to 5 legal, unknown                    B
    sent    18 status   03 no cycle of its own   24 adult   25 neonate   01 start   58 stop

Source: three programs that quote the maker's manual (Rev. 2.12, 2.14), two that ran real modules, and frames of a real
one. That manual itself was not read. Unknown: M01, M04, M16 and on; how often the cuff's pressure comes (1 to 20 a
second are taken); whether the result comes by itself (waited for 1.1 s after the end, then asked for); what version
and serial number (28, 71) look like, so they are not asked for. More than a second is left between commands, as those
programs do. Not supported: combined boards with SpO2 (FD ... FE, 19200 baud), the module's own cycles.

What is made of it:

* A result counts with S 1, M 00 or 03, nine digits, the patient that is set, SYS > MAP > DIA, once, after the end of a
  determination that was started here and was seen to inflate. The module's error frames may carry the pressures of the
  one before (so its manual's own example): they are never read. The sum is weak: a result, or over-pressure, counts
  when two statuses running say it, so it is asked for once more, five times at most.
* A cuff pressure has no check: one that is further from the one before than a cuff moves in a second is questionable.
* Where the end was lost (no pressure for 5 s), a result equal to the one before is not measured: it may be that one.
* A status without pressures while it measures is a module that was restarted. Its mode is set again.
* Schedule: drivers/kit/schedules.py. None is started unless the module was ready or in error within the last 6 s.
  Over-pressure holds: none until the line is opened again. One that has not ended after 120 s is stopped; a stop that
  does not help is sent again, five times in all, and then is a high alarm.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence

from drivers.contract import (
    Agreement,
    BadFrame,
    Decoded,
    DeviceAlarm,
    DeviceAlarms,
    Effect,
    FrameRequest,
    Framing,
    Line,
    Reading,
    Request,
    Setting,
    Spec,
    Weak,
)
from drivers.kit.cuffs import (
    CUFF_MAX_MMHG,
    DETERMINATION,
    SCHEDULE,
    cuff_pressure,
    determination,
    failed,
    schedule_of,
)
from drivers.kit.cycle import Cycle
from drivers.kit.framing import Delimited
from drivers.kit.schedules import Schedule
from drivers.kit.text import Repeats

START_BYTE, END_BYTE = b"\x02", b"\r"
LONGEST = 48
GAP_S = 1.1  # real seconds between two commands
EVERY_S, TIMEOUT_S, LATENESS_S = 2.0, 3.0, 1.0
SILENT_AFTER_S = 7.0  # one lost response costs EVERY_S + TIMEOUT_S + LATENESS_S
KNOWN_S, LONGEST_S, STILL_S = 6.0, 120.0, 5.0  # edge time
ASKED = 5  # times, for one result
CUFF_STEP_MMHG = 60.0  # between two cuff pressures: up in a second, or let go
PUSHED_S = 1.1  # after the end the result may come by itself
RISEN_MMHG = 20
MEASURES, MAY_START = frozenset("389"), frozenset("12")
WELL = frozenset({"00", "03"})
OVERPRESSURE = "12"
ERRORS: Mapping[str, tuple[str, str]] = {  # M: reason, plain words
    "00": ("user_abort", "stopped"), "03": ("user_abort", "stopped"),
    "02": ("module_error", "invalid command or self-test"),
    "05": ("user_abort", "stopped"), "06": ("cuff_loose", "loose or no cuff"), "07": ("cuff_leak", "leak"),
    "08": ("pneumatic_fault", "pneumatic fault"), "09": ("weak_pulse", "too few oscillations"),
    "10": ("out_of_range", "out of range"), "11": ("artifact", "motion"), "12": ("overpressure", "over-pressure"),
    "13": ("artifact", "motion, signal too large"), "14": ("cuff_leak", "leak found in the leak test"),
    "15": ("module_error", "system error"),
}
CAUTIONS = {"1": "a neonate's cuff, and the module is set to adult", "2": "an adult's cuff, and it is set to neonate"}
HELD = DeviceAlarm("overpressure", "high", "M12",
                   "Cuff over-pressure: no more measurements. Check cuff and hose, then replug the module")

_CUFF = re.compile(r"(\d{3})C([0-5])S([34789])")
_STATUS = re.compile(r"S(\d);A([01]);C(\d\d|--);M(\d\d);P(\d{9}|-{9}| {9});R(\d{3}|---| {3});T(?:\d{4}|-{4}| {4});;"
                     r"[0-9A-F]{2}")


def checksum(text: bytes) -> bytes:
    """Two hex digits; of b"01;;" they are D7."""
    return b"%02X" % (sum(text) & 0xFF)


def _command(name: str, number: str, effect: Effect, timeout_s: float | None = None) -> FrameRequest:
    text = f"{number};;".encode("ascii")
    frame = START_BYTE + text + checksum(text) + b"\x03"
    return FrameRequest(name, frame, effect=effect, timeout_s=timeout_s, gap_s=GAP_S)


STATUS = _command("status", "18", "read", TIMEOUT_S)
MANUAL = _command("manual", "03", "mode")
PATIENTS = {"adult": _command("adult", "24", "mode"), "neonate": _command("neonate", "25", "mode")}
START = _command("start", "01", "start_cuff")
STOP = FrameRequest("stop", b"X", effect="stop_cuff", timeout_s=None, gap_s=0.5)


class ParNibp:
    """One module. One that was never started is shown single frames, and takes each at its word."""

    def __init__(self, schedule: Schedule, patient: str) -> None:
        self.framing: Framing = Delimited(START_BYTE, END_BYTE, LONGEST)
        self._cycle = Cycle(schedule, start=START, stop=STOP, longest_s=LONGEST_S, held=HELD)
        self._mode = (MANUAL, PATIENTS[patient])
        self._patient = str(list(PATIENTS).index(patient))
        self._started = False
        self._last_result: str | None = None
        self._forget()

    def _forget(self) -> None:
        self._cuff_s = 0.0  # when the last cuff pressure came
        self._seen_end = False
        self._once: tuple[str, ...] | None = None  # what the status after the end said
        self._asked = 0  # times, for this result
        self._mmhg = Repeats({"cuff_pressure_mmhg": CUFF_STEP_MMHG})
        self._state: tuple[str, float] | None = None  # S of the last status, and when
        self._status_s = float("-inf")
        self._to_set: deque[FrameRequest] = deque()
        self._error: DeviceAlarm | None = None
        self._caution: DeviceAlarm | None = None
        self._told: tuple[DeviceAlarm, ...] | None = None

    # --- requests -----------------------------------------------------------------------------------------------------

    def on_open(self) -> Sequence[Request]:
        self._started = True
        self._cycle.open()
        self._forget()
        self._to_set.extend(self._mode)
        return [STATUS, STATUS]  # before its mode is set: a probe has four seconds

    def start_at(self, at_s: float | None) -> None:
        self._cycle.told(at_s)

    def next_request(self, at_s: float) -> Request | None:
        cycle = self._cycle
        stop = cycle.turn(at_s)
        if stop is not None or cycle.phase == "stopping":
            return stop
        if cycle.phase == "measuring" and at_s - self._cuff_s >= STILL_S:
            cycle.enter("ended", at_s - PUSHED_S)
        if cycle.phase == "ended" and at_s - cycle.since_s >= PUSHED_S:
            cycle.phase, self._asked = "asking", self._asked + 1
            return STATUS
        return self._idle(at_s) if cycle.phase == "idle" else None

    def _idle(self, at_s: float) -> Request | None:
        if self._to_set:
            return self._to_set.popleft()
        start = self._cycle.begin(at_s, ready=self._is_ready(at_s))
        if start is not None:
            self._seen_end, self._once, self._asked = False, None, 0
            self._mmhg.forget()
            return start
        if at_s - self._status_s < EVERY_S:
            return None
        self._status_s = at_s
        return STATUS

    def _is_ready(self, at_s: float) -> bool:
        return self._state is not None and self._state[0] in MAY_START and at_s - self._state[1] <= KNOWN_S

    def is_response(self, frame: bytes, request: Request) -> bool:
        return request is STATUS and frame[1:2] == b"S"

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        if self._cycle.phase == "asking" and not self._asks_again():
            self._cycle.end("timeout")
        return self._with_owed((), heard=False)

    def _asks_again(self) -> bool:
        """Whether the result is asked for once more."""
        if self._asked >= ASKED:
            return False
        self._cycle.enter("ended", self._cycle.now_s)
        return True

    # --- what comes ---------------------------------------------------------------------------------------------------

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        if frame[:1] != START_BYTE or frame[-2:] != b"\x03\r" or not frame.isascii():
            raise BadFrame("not 02 text 03 0D")
        text = frame[1:-2].decode("ascii")
        if text == "999":
            return self._with_owed(self._ended())
        cuff = _CUFF.fullmatch(text)
        if cuff is not None:
            return self._with_owed(self._cuff(*cuff.groups()))
        status = _STATUS.fullmatch(text)
        if status is None or checksum(frame[1:-4]) != frame[-4:-2]:
            raise BadFrame(f"neither cuff, end nor a status with a good sum: {text!r}")
        return self._with_owed(self._status(*status.groups()))

    def _with_owed(self, decoded: Sequence[Decoded], *, heard: bool = True) -> Sequence[Decoded]:
        """With what is owed, and the alarms where they changed; a module that is not heard is not said to have none."""
        everything = [*self._cycle.owed, *decoded]
        self._cycle.owed.clear()
        alarms = (*self._cycle.alarms, *(one for one in (self._error, self._caution) if one is not None))
        if alarms != self._told and (alarms or heard) and (self._started or everything):
            self._told = alarms
            everything.append(DeviceAlarms(alarms))
        return everything

    def _ended(self) -> Sequence[Decoded]:
        if self._cycle.phase == "stopping":
            self._cycle.end("timeout")
        elif self._cycle.phase == "measuring":
            self._cycle.enter("ended", self._cycle.now_s)
            self._seen_end = True
        self._cycle.stuck = False
        return ()

    def _cuff(self, pressure: str, caution: str, state: str) -> Sequence[Decoded]:
        mmhg = int(pressure)
        words = CAUTIONS.get(caution, f"cuff caution {caution}")
        self._caution = None if caution == "0" else DeviceAlarm("attention", "low", f"C{caution}", f"Cuff: {words}")
        self._state = state, self._cycle.now_s
        self._cuff_s = self._cycle.now_s
        if state in MEASURES and self._cycle.phase == "starting":
            self._cycle.phase = "measuring"
        if mmhg <= CUFF_MAX_MMHG:
            self._cycle.top_mmhg = max(self._cycle.top_mmhg, mmhg)
        return self._mmhg.judged((cuff_pressure(mmhg),)) if self._started else (cuff_pressure(mmhg),)

    def _status(
        self, state: str, patient: str, _cycle: str, error: str, pressures: str, pulse: str
    ) -> Sequence[Decoded]:
        self._state = state, self._cycle.now_s
        self._cycle.stuck = self._cycle.stuck and state in MEASURES
        self._error = _alarm(error) if state == "2" else None
        blank = not pressures.strip("- ")
        if blank and state in "05":
            self._restarted()
            return ()
        found = _result(state, error, pressures, pulse)
        if not self._started:
            return found if state not in MEASURES else ()
        if self._cycle.phase == "stopping" and state not in MEASURES:
            self._cycle.end("timeout")
        if self._cycle.phase == "asking" and state in MEASURES:  # it was not the end
            self._cycle.phase, self._cuff_s = "measuring", self._cycle.now_s
        if self._cycle.phase not in ("ended", "asking") or state in MEASURES:
            return ()
        said, before = (state, patient, error, pressures, pulse), self._once
        if (found[0].value is not None or error == OVERPRESSURE) and said != before:
            self._once = said
            if not self._asks_again():
                self._cycle.end("not_measured")
            return ()
        if patient != self._patient:
            self._to_set.extend(self._mode)
            found = failed("module_error")
        again, sbp = pressures == self._last_result, found[0].value
        least_mmhg = RISEN_MMHG if self._seen_end else sbp
        if sbp is not None and least_mmhg is not None and (
                (again and not self._seen_end) or self._cycle.top_mmhg < least_mmhg):
            found = failed("not_measured")
        self._last_result = pressures
        self._cycle.held = self._cycle.held or error == OVERPRESSURE
        self._cycle.end(None, good=found[0].value is not None)
        return found

    def _restarted(self) -> None:
        """A status that the module sends when it is switched on."""
        if self._cycle.phase not in ("idle", "starting"):
            self._cycle.end("module_error")
        if not self._to_set:
            self._to_set.extend(self._mode)


def _result(state: str, error: str, pressures: str, pulse: str) -> tuple[Reading, ...]:
    """The determination a status holds."""
    if state != "1" or error not in WELL or not pressures.isdigit():
        return failed(ERRORS.get(error, ("module_error", ""))[0])
    sbp, dbp, mean = (int(pressures[at : at + 3]) for at in (0, 3, 6))
    return determination(sbp, dbp, mean, int(pulse) if pulse.isdigit() else None) or failed("implausible")


def _alarm(error: str) -> DeviceAlarm:
    reason, words = ERRORS.get(error, ("module_error", "an error that is not known"))
    serious = reason in ("module_error", "pneumatic_fault", "overpressure")
    return DeviceAlarm("fault" if serious else "attention", "medium" if serious else "low", f"M{error}",
                       f"Cuff module: {words}")


DRIVER = Spec(
    name="par_nibp",
    title="PAR / Medlab NIBP2010, NIBP2020 cuff module (pressure-only board)",
    kind="nibp",
    transports=("serial", "tcp"),
    age="a result that does not belong to its own start",
    grade="B",
    source="three programs that quote the maker's manual, two that ran real modules, frames of a real one; the manual"
           " itself was not read",
    agrees=(Agreement("capture", "REAL, bench of a NIBP2020"),),
    line=Line(baud=4800, silent_after_s=SILENT_AFTER_S, lateness_s=LATENESS_S),
    weak=Weak("its cuff pressures have no check", {"cuff_pressure_mmhg": CUFF_STEP_MMHG}),
    metrics=frozenset({*DETERMINATION, "cuff_pressure_mmhg"}),
    requests=(STATUS, MANUAL, *PATIENTS.values(), START, STOP),
    wiring=(
        "Line: 4800 8N1, no flow control, DTR and RTS low.\n"
        "Cable: host port of the module: RS-232, or 5 V TTL on the other variant, to an isolated adapter that fits;"
        " its connector is not known here, see the module's sheet. One host, and nobody else may start it: its own"
        " cycle is switched off.\n"
        "Menu: nothing to choose on the module; the setting `patient` is whom it measures.\n"
        "Known limits: combined boards with SpO2 (19200 baud, FD ... FE) are not read. No serial number: it is bound"
        " by its port. Its end mark has no check, and a result's is weak: it counts when it is said again."
        " Which pressure it inflates to at first is the module's own choice for the patient that"
        " is set."
    ),
    make=lambda settings: ParNibp(schedule_of("par_nibp", settings), str(settings["patient"])),
    settings={**SCHEDULE, "patient": Setting("adult", "how the module inflates and what it allows", tuple(PATIENTS))},
)
