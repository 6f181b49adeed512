"""The frames of SunTech modules and what is in them; drawn, with sources, in __init__.py here."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.contract import DeviceAlarm, DeviceAlarms, Reading
from drivers.kit.cuffs import determination

HOST, MODULE = b"\x3a", b"\x3e"
ACK_LEN, SHORT_LEN, RETURN_LEN, BP_LEN, TEXT_LEN = 4, 5, 6, 0x18, 0x43
REPLY_LENGTHS = frozenset({ACK_LEN, SHORT_LEN, RETURN_LEN, BP_LEN, TEXT_LEN})
CUFF_UNKNOWN = 0xFFFF

ERRORS: Mapping[int, tuple[str, str]] = {  # error code: reason, plain words
    1: ("weak_pulse", "weak signal"),
    2: ("artifact", "artifact or erratic signal"),
    3: ("out_of_range", "blood pressure out of range"),
    4: ("timeout", "measurement timed out"),
    85: ("pneumatic_fault", "pneumatic blockage"),
    86: ("user_abort", "stopped by the user"),
    87: ("cuff_leak", "leak or loose cuff"),
    88: ("timeout", "safety time-out"),
    89: ("overpressure", "cuff over-pressure"),
    90: ("module_error", "power or hardware fault"),
    91: ("module_error", "safety override"),
    97: ("module_error", "transducer out of range"),
    99: ("module_error", "memory fault"),
}
HOLDING = frozenset({88, 89, 91})


def encode(head: bytes, data: bytes) -> bytes:
    """`head` and `data` with the byte that makes their sum 0."""
    frame = head + data
    return frame + bytes((-sum(frame) & 0xFF,))


def reply(data: bytes) -> bytes:
    """A module frame around `data`."""
    return encode(MODULE, bytes((len(data) + 3,)) + data)


def sums_to_zero(frame: bytes) -> bool:
    """Whether the frame passes its check."""
    return sum(frame) & 0xFF == 0


def reply_length(held: bytes) -> int | None:
    """How long the module frame is that begins so (see drivers.kit.framing.Counted)."""
    if len(held) < 2:
        return None
    return held[1] if held[1] in REPLY_LENGTHS else 0


def u16(frame: bytes, at: int) -> int:
    """The 16-bit value at `at`."""
    return frame[at] | frame[at + 1] << 8


def result(frame: bytes) -> tuple[Reading, ...] | str:
    """The four readings of a BP data frame, or the reason why there are none.

    The pulse is judged apart: a pulse that cannot be (by one source byte 17 is a spare) takes no pressure with it.
    """
    error, status = frame[20], frame[7]
    if error:
        return ERRORS.get(error, ("module_error", ""))[0]
    if status != 1:
        return "not_measured"
    pulse = u16(frame, 16)
    found = determination(u16(frame, 2), u16(frame, 4), u16(frame, 18), None if pulse in (0, 0xFFFF) else pulse)
    return found or "implausible"


def holding_alarm(error: int) -> DeviceAlarms:
    """An error after which nothing is started."""
    _, words = ERRORS[error]
    text = f"{words.capitalize()}: no more measurements. Check cuff and hose, then replug the module"
    return DeviceAlarms((DeviceAlarm("overpressure" if error == 89 else "fault", "high", str(error), text),))


def status_alarm(error: int) -> DeviceAlarms:
    """Any other error the module's status names; 0 is none."""
    if error == 0:
        return DeviceAlarms(())
    _, words = ERRORS.get(error, ("", f"module error {error}"))
    if error in (85, 90, 97, 99) or error not in ERRORS:
        return DeviceAlarms((DeviceAlarm("fault", "medium", str(error), words.capitalize()),))
    return DeviceAlarms((DeviceAlarm("attention", "low", str(error), words.capitalize()),))
