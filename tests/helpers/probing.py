"""A probe's turns in told time: a driver has a twin's line for a while, and nobody waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import drivers
import simulators
from drivers.contract import FrameRequest, Spec
from edge.field.device_url import parse_device_url
from edge.field.dialogue import Dialogue
from edge.field.discovery import SHORT_S, Found, places
from edge.field.harmless import harmless
from simulators.contract import Twin
from simulators.nonin import NoninTwin
from simulators.patient import SimulatedPatient

HERE = parse_device_url("serial:///dev/ttyUSB0")
SERIAL = {name: spec for name, spec in drivers.find().items() if "serial" in spec.transports}
ASKED = [spec for spec, place in places(HERE, list(SERIAL.values())) if harmless(spec, known=False).requests]
STEP_S = 0.02


def talk(name: str, seed: int, format_: str | None = None) -> Twin:
    """A device that has been on the line for a while."""
    twin = cast("Twin", simulators.find()[name].make(SimulatedPatient(seed), seed))
    twin.connect()
    if isinstance(twin, NoninTwin) and format_:
        twin.format = format_
    twin.step(6.0 + seed / 77)  # past the time a Nonin may be told its format, and in the middle of a frame
    return twin


def listens(spec: Spec, twin: Twin, seconds: float = 6.0, *, quiet: bool = True) -> Found:
    """What the driver makes of it, without waiting. `quiet` False: the line is known to be quiet."""
    found = Found(spec, HERE)
    clock = [0.0]
    dialogue = Dialogue("probe", spec.name, harmless(spec, known=False), spec.line, now=lambda: clock[0],
                        decoded=found.decoded, wave=lambda wave, at_s: None)
    found.counters = dialogue.counters
    dialogue.opened(0.0, 0.0, quiet=quiet)
    while clock[0] < seconds:
        clock[0] += STEP_S
        request = dialogue.next_request(clock[0], clock[0])
        sent = twin.feed(request.frame) if isinstance(request, FrameRequest) else b""
        data = sent + twin.step(STEP_S)
        if data:
            dialogue.received(data, clock[0], clock[0])
    return found


def responded(found: Found) -> bool:
    """Whether most of what came was this driver's."""
    return 0 < found.counters.received <= 2 * found.counters.understood


def first_round(twin: Twin) -> Sequence[Found]:
    """The first turn of each driver that asks, up to the first that gets a response. The twin does not see that the
    port is closed after each: three wires tell it nothing."""
    had: list[Found] = []
    for spec in ASKED:
        had.append(listens(spec, twin, SHORT_S, quiet=False))
        if responded(had[-1]):
            break
    return had
