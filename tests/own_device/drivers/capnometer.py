"""A made-up capnometer: it sends a line a second, and says who it is when asked. Grade D: nobody makes this device.

    9600 8N1      V etCO2 RR CR    `V 38 14`, mmHg and /min; `--` where it has none
    host          I CR             `VI SN-0042`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drivers.contract import (
    BadFrame,
    Decoded,
    FrameRequest,
    Framing,
    Identity,
    Line,
    Reading,
    Request,
    Spec,
    Validity,
)
from drivers.kit.framing import Delimited

IDENTIFY = FrameRequest("identify", b"I\r", effect="identify", timeout_s=0.5)


class Capnometer:
    """One capnometer."""

    def __init__(self) -> None:
        self.framing: Framing = Delimited(b"V", b"\r", 32)

    def on_open(self) -> Sequence[Request]:
        return [IDENTIFY]

    def next_request(self, at_s: float) -> Request | None:
        return None

    def is_response(self, frame: bytes, request: Request) -> bool:
        return frame.startswith(b"VI ")

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        return []

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        word, *values = frame[:-1].decode("latin-1").split()
        if word == "VI" and len(values) == 1:
            return [Identity(values[0], "Capnometer")]
        if word != "V" or len(values) != 2:
            raise BadFrame(f"{frame!r} is no line of values")
        return [_reading("etco2_mmhg", values[0]), _reading("resp_bpm", values[1])]


def _reading(metric: str, text: str) -> Reading:
    if text == "--":
        return Reading(metric, None, Validity.UNAVAILABLE)
    if not text.isdecimal():
        raise BadFrame(f"{metric}: {text!r} is no number")
    return Reading(metric, float(text))


def _make(settings: Mapping[str, str | int | float]) -> Capnometer:
    return Capnometer()


DRIVER = Spec(
    name="capnometer",
    title="A capnometer of the clinic's own",
    kind="monitor",
    transports=("serial", "tcp"),
    grade="D",
    source="made up for this test",
    line=Line(baud=9600, silent_after_s=5.0, stream_bytes_s=12.0),
    metrics=frozenset({"etco2_mmhg", "resp_bpm"}),
    requests=(IDENTIFY,),
    wiring="none",
    make=_make,
)
