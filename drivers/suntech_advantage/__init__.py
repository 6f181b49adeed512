"""SunTech Advantage OEM cuff module (and Advantage A+): the host starts every determination, at the times set here.

Grade B for line, frames, commands and result (four independent clients and published test vectors agree); C for the
status response and the version text (one client). No maker's manual was found; it has no cycle command.

    9600 8N1, request and response, the host leads; multi-byte values least significant byte first                  B
    host    3A | command [data] | CHK                                                                              B
    module  3E | LEN | data     | CHK       LEN: bytes of the whole frame, 3E, LEN and CHK included                B
            CHK: the 8-bit sum of the whole frame is 0

    request                      bytes               response
    start adult                  3A 20 A6            O received; K when finished, unasked (or A, E, T)             B
    start paediatric, neonate    3A 87 3F, 3A 28 9E
    cuff pressure                3A 79 05 00 48      3E 05 lo hi CHK           mmHg; FFFF: not available           B
    BP data                      3A 79 03 00 4A      3E 18 ..., see below                                          B
    abort                        3A 79 01 00 4C      A; K when stopped                                             B
    version, then its text       3A 00 C6            K                                                             C
                                 3A 79 02 40 0B      3E 43 ...: two NUL-ended strings, at 2 and 10                 C
    module status                3A 79 10 03 3A      3E 05 e0 e1 CHK           e0: error code, 0 healthy           C
    the same where the version   3A 79 11 00 3C      same
      begins with SB (A+)
    acknowledgement  3E 04 X CHK   X: O received  K done  A aborted  B busy  E error  N undefined  D unrecognised
                                      S sleeping  T timeout                                                        B

    BP data, 24 bytes:  3E 18 | SYS 2-3 | DIA 4-5 | beats 6 | status 7 | test code 8-15 | HR 16-17 | MAP 18-19
                        | error 20 | - 21-22 | CHK 23          pressures in mmHg, HR in /min                       B
    error  0 ok  1 weak signal  2 artifact  3 out of range  4 timeout  85 blockage  86 user abort
           87 inflate timeout, leak or loose cuff  88 safety timeout  89 over-pressure  90 power or hardware
           91 safety override  97 transducer out of range  99 EEPROM

A result counts only with status 1, error 0, SYS > MAP > DIA and plausible; anything else is one failed determination:
four readings without a value and with the reason. A pulse that cannot be is left out alone. A result is read once,
after the module's end mark or, where that was lost, after the cuff was up and has been below 5 mmHg for 3 s. Cuff and
status responses look alike, so one request is in flight and a start needs two low cuff pressures in a row.

Schedule: drivers/kit/schedules.py. A lost line never brings a determination forward. None is started while the cuff
holds more than 10 mmHg, or its pressure or the module's status is unknown; where that lasts for 30 s, it is a failed
one. Over-pressure (89) and safety errors (88, 91) hold: this driver starts none until a person has unplugged the line
or switched the module off (seen as a reopened line, or three requests running without a response). A leak (87) does
not hold: a loose cuff is fastened without anybody touching the module, and two failures running are an alarm of ours.
One that has not ended after 140 s is aborted; an abort that is not confirmed is sent again, five times in all, and
then is a high alarm: the cuff may be inflated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from drivers.contract import (
    Agreement,
    BadFrame,
    Decoded,
    DeviceAlarms,
    FrameRequest,
    Framing,
    Identity,
    Line,
    Reading,
    Request,
    Setting,
    Spec,
    Validity,
)
from drivers.kit.cuffs import CUFF_MAX_MMHG, DETERMINATION, SCHEDULE, STUCK, cuff_pressure, failed, schedule_of
from drivers.kit.framing import Counted
from drivers.kit.schedules import Schedule
from drivers.kit.tally import Tally
from drivers.suntech_advantage.frames import (
    ACK_LEN,
    BP_LEN,
    CUFF_UNKNOWN,
    ERRORS,
    HOLDING,
    MODULE,
    REPLY_LENGTHS,
    SHORT_LEN,
    TEXT_LEN,
    holding_alarm,
    reply_length,
    result,
    status_alarm,
    sums_to_zero,
    u16,
)
from drivers.suntech_advantage.requests import (
    ABORT,
    BP_DATA,
    CUFF,
    REQUESTS,
    RESPONSES,
    STARTS,
    STATUS,
    STATUS_SB,
    VERSION,
    VERSION_TEXT,
)

STATUS_EVERY_S = 2.0  # edge time; with its 1 s time-out and the line's quiet, one lost response is not yet silence
LOW_MMHG, EMPTY_MMHG, RISEN_MMHG = 10, 5, 20
EMPTY_POLLS = 8  # cuff pressures in 3 s
READY_POLLS = 2
READY_GIVE_UP_POLLS = 75  # 30 s
BUSY_POLLS, BUSY_TRIES = 12, 12  # a busy module is tried again after 5 s, a minute long
RESULT_POLLS, RESULT_TRIES = 3, 10
ABORT_AFTER_S = 140.0  # edge time since the start; the module's own limit is 120 s
ABORT_TRIES = 5
STATUS_GIVE_UP_S = 30.0  # edge time after a determination was due
MISSED_PLUG = 3  # requests without a response that mean the module was off

END_MARKS: Mapping[str, str | None] = {"K": None, "A": "user_abort", "E": "module_error", "T": "timeout"}

Phase = Literal["idle", "ready", "starting", "measuring", "reading", "stopping"]


class Advantage:
    """One cuff module on its own line.

    A result counts only for a determination that this driver started; a driver that was never started, which is shown
    single frames, takes each at its word.
    """

    def __init__(self, schedule: Schedule, start: FrameRequest) -> None:
        self.framing: Framing = Counted(MODULE, reply_length, TEXT_LEN, sums_to_zero)
        self._schedule = schedule
        self.unmapped = Tally()
        self._start = start
        self._now_s = 0.0
        self._phase: Phase = "idle"
        self._held: int | None = None  # the error code that stopped automatic determinations
        self._error: int | None = None  # the module's own status; None: not known
        self._stuck = False  # an abort was not confirmed; until the next good start
        self._owed: list[Decoded] = []  # what goes out with the next frame
        self._missed = 0
        self._last_result = b""
        self._started = self._opened = self._interrupted = False
        self._status = STATUS
        self._status_due_s = float("-inf")
        self._model: str | None = None
        self._reset_determination()

    def _reset_determination(self) -> None:
        self._polls = self._low = self._wait = self._tries = 0
        self._risen = False
        self._began_s = 0.0
        self._end: str | None = None  # the reason an end mark gave
        self._missed_here = 0

    # --- requests ---------------------------------------------------------------------------------------------------

    def on_open(self) -> Sequence[Request]:
        """Forgets the dialogue, not the schedule. A hold ends only where a person may have been: see the datasheet."""
        self._interrupted = self._interrupted or self._phase not in ("idle", "ready")
        self._started = self._opened = True
        self._phase = "idle"
        self._reset_determination()
        if self._missed == 0 or self._missed >= MISSED_PLUG:
            self._held = None
        self._error = None
        self._status, self._status_due_s = STATUS, float("-inf")
        return (VERSION, VERSION_TEXT)

    def start_at(self, at_s: float | None) -> None:
        self._schedule.told(at_s)

    def next_request(self, at_s: float) -> Request | None:
        self._now_s = at_s
        self._after_opening()
        if self._phase == "idle":
            return self._request_idle(at_s)
        if self._phase == "ready":
            return self._request_ready(at_s)
        if self._phase == "measuring" and at_s - self._began_s >= ABORT_AFTER_S:
            self._phase, self._tries = "stopping", 0
        if self._phase == "stopping":
            return ABORT
        if self._phase == "reading" and self._wait == 0:
            return BP_DATA
        self._wait = max(self._wait - 1, 0)
        self._polls += 1
        return CUFF

    def _after_opening(self) -> None:
        if self._interrupted:
            self._interrupted = False
            self._owed += self._fail("timeout")
        if self._opened:
            self._opened = False
            self._schedule.opened(self._now_s)

    def _request_idle(self, at_s: float) -> Request | None:
        if self._schedule.due(at_s) and self._holding is not None:
            self._schedule.held(at_s)
            self._owed += failed(ERRORS[self._holding][0])
        elif self._schedule.due(at_s) and self._error is not None:
            self._reset_determination()
            self._phase = "ready"
            return self._request_ready(at_s)
        elif self._schedule.overdue_s(at_s) >= STATUS_GIVE_UP_S:
            self._owed += self._fail("not_measured")
        if at_s >= self._status_due_s:
            self._status_due_s = at_s + STATUS_EVERY_S
            return self._status
        return None

    def _request_ready(self, at_s: float) -> Request | None:
        """The cuff is read until it is known to be empty; then the start is sent, once."""
        if self._low >= READY_POLLS and self._wait == 0:
            self._phase = "starting"
            self._schedule.began(at_s)
            self._began_s = at_s
            return self._start
        self._wait = max(self._wait - 1, 0)
        return CUFF

    def is_response(self, frame: bytes, request: Request) -> bool:
        length, letters = RESPONSES[request.name]
        if len(frame) == ACK_LEN:
            return chr(frame[2]) in letters
        return len(frame) == length

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        self._missed += 1
        self._missed_here += 1
        if self._phase == "stopping":
            return self._with_owed(self._not_stopped())
        if self._phase == "idle":
            return self._with_owed(())
        if self._missed_here < 2 and (self._phase == "ready" or request.name in (CUFF.name, BP_DATA.name)):
            return ()
        return self._with_owed(self._fail("timeout"))

    # --- responses --------------------------------------------------------------------------------------------------

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        """What a frame contains. What looks like a response and is none gives nothing."""
        if len(frame) < ACK_LEN or frame[:1] != MODULE or frame[1] != len(frame) or frame[1] not in REPLY_LENGTHS:
            raise BadFrame("not 3E, length, data")
        if not sums_to_zero(frame):
            raise BadFrame("checksum")
        name = request.name if request is not None else ""
        decoded: Sequence[Decoded] = ()
        if len(frame) == ACK_LEN:
            decoded = self._acknowledged(chr(frame[2]), name)
        elif len(frame) == SHORT_LEN and name == CUFF.name:
            decoded = self._cuff(u16(frame, 2))
        elif len(frame) == SHORT_LEN and name in (STATUS.name, STATUS_SB.name):
            decoded = self._module(frame[2])
        elif len(frame) == BP_LEN and name == BP_DATA.name:
            decoded = self._result(frame)
        elif len(frame) == TEXT_LEN and name == VERSION_TEXT.name:
            decoded = (self._identity(frame),)
        self._missed = 0
        if request is not None:
            self._missed_here = 0
        return self._with_owed(decoded)

    def _with_owed(self, decoded: Sequence[Decoded]) -> Sequence[Decoded]:
        everything = (*self._owed, *decoded)
        self._owed.clear()
        return everything

    def _acknowledged(self, letter: str, name: str) -> Sequence[Decoded]:
        if letter not in "OKABENDST":
            raise BadFrame(f"acknowledgement {letter!r}")
        if name == self._start.name and self._phase == "starting":
            return self._on_start_response(letter)
        if name == BP_DATA.name and self._phase == "reading":
            return self._no_result_yet(letter)
        if name in (STATUS.name, STATUS_SB.name) and letter in "END":
            self._error = 0  # a module that does not know this has nothing against a start, and may refuse it
        if name == ABORT.name and self._phase == "stopping":
            return self._fail("timeout") if letter in "AK" else self._not_stopped()
        if not name and self._phase == "measuring" and letter in END_MARKS:
            self._phase = "reading"
            self._end = END_MARKS[letter]
        return ()

    def _not_stopped(self) -> Sequence[Decoded]:
        """The abort is sent again (the request itself waits half a second); in the end a person must look."""
        self._tries += 1
        if self._tries < ABORT_TRIES:
            return ()
        self._stuck = True
        return self._fail("timeout")

    def _on_start_response(self, letter: str) -> Sequence[Decoded]:
        if letter == "O":
            self._phase = "measuring"
            self._polls = self._low = self._tries = 0
            self._risen = self._stuck = False
            return ()
        self._tries += 1
        if letter in "BS" and self._tries <= BUSY_TRIES:
            self._phase = "ready"
            self._polls = self._low = 0
            self._wait = BUSY_POLLS if letter == "B" else READY_POLLS
            return ()
        return self._fail("module_error")

    def _no_result_yet(self, letter: str) -> Sequence[Decoded]:
        self._tries += 1
        if letter in "BS" and self._tries <= RESULT_TRIES:
            self._wait = RESULT_POLLS
            return ()
        return self._fail("module_error")

    def _cuff(self, mmhg: int) -> Sequence[Decoded]:
        known = mmhg != CUFF_UNKNOWN
        limit = LOW_MMHG + 1 if self._phase == "ready" else EMPTY_MMHG
        self._low = self._low + 1 if known and mmhg < limit else 0
        self._risen = self._risen or RISEN_MMHG <= mmhg <= CUFF_MAX_MMHG
        pressure = (cuff_pressure(mmhg) if known else Reading("cuff_pressure_mmhg", None, Validity.UNAVAILABLE),)
        if self._phase == "ready":
            self._polls += 1
            if self._low == 0 and self._polls >= READY_GIVE_UP_POLLS:
                return (*pressure, *self._fail("not_measured"))
        if self._phase == "measuring" and self._risen and self._low >= EMPTY_POLLS:
            self._phase = "reading"
        return pressure

    def _result(self, frame: bytes) -> Sequence[Decoded]:
        if frame[20] not in (0, *ERRORS) or frame[7] != 1:
            self.unmapped.saw(f"result with status {frame[7]}, error {frame[20]}")
        if not self._started:
            found = result(frame)
            return failed(found) if isinstance(found, str) else found
        if self._phase != "reading":
            return ()
        old = frame == self._last_result and not self._risen  # the cuff never rose: the last result once more
        self._last_result = frame
        found = result(frame)
        if frame[20] in HOLDING:
            self._held = frame[20]
        if isinstance(found, str):
            return self._fail(found)
        if self._end is not None or old:
            return self._fail(self._end or "not_measured")
        self._phase = "idle"
        self._schedule.ended(self._now_s, good=True)
        return found

    def _fail(self, reason: str) -> tuple[Decoded, ...]:
        """This determination is over without numbers."""
        self._phase = "idle"
        self._schedule.ended(self._now_s, good=False)
        if self._held is not None:
            self._schedule.held(self._now_s)
        return (*failed(reason), self._alarms()) if self._held is not None or self._stuck else failed(reason)

    def _module(self, error: int) -> Sequence[Decoded]:
        self._error = error
        return (self._alarms(),)

    @property
    def _holding(self) -> int | None:
        """The error that forbids to start: one remembered, or the module's own now."""
        if self._held is not None:
            return self._held
        return self._error if self._error in HOLDING else None

    def _alarms(self) -> DeviceAlarms:
        if self._holding is not None:
            return holding_alarm(self._holding)
        return DeviceAlarms((STUCK,)) if self._stuck else status_alarm(self._error or 0)

    def _identity(self, frame: bytes) -> Identity:
        """No serial number; the model from the two strings, the first of which names the family."""
        payload = frame[2:-1]
        texts = [payload[at:].split(b"\0", 1)[0] for at in (0, 8)]
        if not texts[0] or not all(0x20 <= byte < 0x7F for text in texts for byte in text):
            raise BadFrame("version text")
        family = texts[0][:8].decode("ascii")
        self._status = STATUS_SB if family.startswith("SB") else STATUS
        self._model = " ".join(("SunTech Advantage", *(text.decode("ascii") for text in texts if text)))
        return Identity(None, self._model)


def _make(settings: Mapping[str, str | int | float]) -> Advantage:
    return Advantage(schedule_of("suntech_advantage", settings), STARTS[str(settings["patient"])])


DRIVER = Spec(
    name="suntech_advantage",
    title="SunTech Advantage OEM cuff module",
    kind="nibp",
    transports=("serial", "tcp"),
    age="a result that does not belong to its own start",
    grade="B, status and version C",
    source="four independent public clients and their test vectors; no maker's manual was found",
    agrees=(Agreement("program", "a published unit test"),),
    line=Line(baud=9600, silent_after_s=5.0, lateness_s=1.0),
    metrics=frozenset({*DETERMINATION, "cuff_pressure_mmhg"}),
    requests=REQUESTS,
    wiring=(
        "Line: 9600 8N1, no flow control. One module a line, and nobody else may start it.\n"
        "Cable: TTL or RS-232 host port of the module, as its maker's board is wired, to an isolated adapter; its"
        " connector is not known here.\n"
        "Menu: nothing to choose on the module; the setting `patient` is whom it measures.\n"
        "Known limits: no maker's manual was found; status and stop rest on one client. It has no serial number: it"
        " is bound by its port."
    ),
    make=_make,
    settings={
        **SCHEDULE,
        "patient": Setting("adult", "how high the cuff inflates at first", tuple(STARTS)),
    },
)
