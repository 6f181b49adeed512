"""What only running shows of a driver: `.venv/bin/python -m tests.helpers.measure [NAME ...]` writes
tests/measured/NAME.json, which edge/app/scale.py reads."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import drivers
import simulators
from drivers.contract import FrameRequest, Spec
from edge.app.scale import ROOT, Evidence
from edge.field.device_url import parse_device_url
from edge.field.dialogue import Dialogue
from edge.field.discovery import Found
from edge.field.harmless import harmless
from simulators.contract import Twin
from simulators.faults import KINDS
from simulators.patient import SimulatedPatient
from tests.helpers.dialogue_run import DialogueRun, StillPatient
from tests.helpers.fault_run import fault_run

FOLDER = Path(__file__).parent.parent / "measured"
OF_MODBUS = frozenset({"exception", "words", "shift", "wrong", "unit"})
UNSEEN = frozenset({"one"})  # a second connection changes no byte
SECONDS = 250.0


@dataclass
class Heard(logging.Handler):
    """Counts the log's warnings."""

    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    __hash__ = object.__hash__


def measured(name: str) -> dict[str, Any]:
    """Everything that is measured of one driver, on its sources as they are."""
    spec, twin = drivers.find()[name], simulators.find()[name]
    modbus = spec.transports[0].startswith("modbus")
    polled = spec.line.stream_bytes_s is None
    kinds = [kind for kind in KINDS if kind not in UNSEEN and (modbus or kind not in OF_MODBUS)]
    good = sum(fault_run(spec, twin, {}).go(SECONDS).kept.values())
    wrong, late = {}, 0.0
    for kind in kinds:
        run = fault_run(spec, twin, {kind: 0.1 if polled else 0.01}).go(SECONDS)
        wrong[kind] = len(run.wrong)
        if kind == "delay":
            late = sum(run.kept.values()) / max(good, 1)
    noticed_s, live_again_s, logged = _silence(spec)
    return {"sources": Evidence(spec, ROOT).digest, "wrong": wrong, "kept_late": round(min(late, 1.0), 2),
            "noticed_s": noticed_s, "live_again_s": live_again_s, "logged": logged, "probe": _probe(name)}


def _silence(spec: Spec) -> tuple[float, float, int]:
    """The device goes away for a minute and comes back."""
    run = DialogueRun(spec, simulators.find()[spec.name].make(StillPatient(), 1))
    run.open()
    run.run(30)
    log, heard = logging.getLogger("edge.field"), Heard()
    log.addHandler(heard)
    run.forget()
    left_s = run.real_s
    run.wire = lambda data: b""
    run.run(60)
    fell = [at_s for at_s, state, _ in run.links() if state == "silent"]
    lines = [line for line in heard.lines if "live again" not in line]
    run.wire = bytes
    back_s = run.real_s
    run.run(60)
    log.removeHandler(heard)
    up = [at_s for at_s, state, _ in run.links() if state == "live" and at_s > back_s]
    return round(min(fell, default=999.0) - left_s, 1), round(min(up, default=999.0) - back_s, 1), len(lines)


def _probe(name: str) -> str:
    """Why a probe would not recognise it; empty where it does, and takes no other device for it."""
    spec = drivers.find()[name]
    if spec.transports[0].startswith("modbus"):
        run = DialogueRun(spec, simulators.find()[name].make(StillPatient(), 1))
        run.open()
        run.run(5)
        return "" if run.dialogue.state == "live" and run.dialogue.counters.bad == 0 else "its twin is not recognised"
    for other, twin_spec in simulators.find().items():
        if "serial" not in twin_spec.transports:
            continue
        twin = cast("Twin", twin_spec.make(SimulatedPatient(2), 2))
        twin.connect()
        twin.step(6.3)
        if _fits(spec, twin) != (other == name):
            return f"{'does not recognise' if other == name else 'takes for its own'} {other}"
    return ""


def _fits(spec: Spec, twin: Twin) -> bool:
    found, clock = Found(spec, parse_device_url("serial:///dev/ttyUSB0")), [0.0]
    dialogue = Dialogue("probe", spec.name, harmless(spec, known=False), spec.line, now=lambda: clock[0],
                        decoded=found.decoded, wave=lambda wave, at_s: None)
    found.counters = dialogue.counters
    dialogue.opened(0.0, 0.0)
    while clock[0] < 6.0:
        clock[0] += 0.02
        request = dialogue.next_request(clock[0], clock[0])
        data = (twin.feed(request.frame) if isinstance(request, FrameRequest) else b"") + twin.step(0.02)
        if data:
            dialogue.received(data, clock[0], clock[0])
    return found.fits


def main(names: list[str]) -> None:
    """Measure these, or all that are not measured on their sources."""
    log = logging.getLogger("edge.field")
    log.propagate = False
    log.addHandler(logging.NullHandler())
    FOLDER.mkdir(exist_ok=True)
    for name, spec in drivers.find().items():
        if name in names or (not names and not Evidence(spec, ROOT).measured()):
            (FOLDER / f"{name}.json").write_text(json.dumps(measured(name), indent=1) + "\n")
            print(name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
