"""`vigil check`: is this link fit for a bed? A report to print and keep, and a verdict."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import uvloop

from drivers.contract import Spec
from edge.cli.catalogue import find_driver
from edge.cli.probe import place_of
from edge.clock import EdgeClock
from edge.field.acceptance import Report, check
from edge.field.device_url import DeviceUrl
from edge.field.history import History, Seen
from edge.model import iso
from edge.process import BadUsage
from edge.vocabulary import METRICS

PTYS = Path("/dev/pts")
SHOWN = 8  # of the last frames


def run_check(port: str, driver: str, seconds: float, *, pull: bool, settings: list[str], as_json: bool,
              folder: Path | None) -> int:
    """`vigil check`: 0 where the link is fit, 1 where it is not. Raises BadUsage."""
    spec, at = find_driver(driver, folder), place_of(port)
    if at.transport not in spec.transports:
        if at.transport == "serial" and "modbus+rtu" in spec.transports:
            at = place_of(f"modbus+rtu://{at.path}")
        else:
            ways = ", ".join(f"{way}://" for way in spec.transports)
            raise BadUsage(f"driver {spec.name!r} cannot be reached by {at.transport}://; write {ways}")
    chosen = _settings(spec, settings)
    logging.getLogger("edge.field").setLevel(logging.CRITICAL)  # the report says it
    clock = EdgeClock()
    began = iso(clock.now())
    print(f"{at}: {spec.title}; {seconds:g} s to go", file=sys.stderr, flush=True)
    report = uvloop.run(check(at, spec, seconds, now=clock.now, settings=chosen, prompt=_prompt if pull else None))
    print(json.dumps(_plain(report, began)) if as_json else "\n".join(_lines(report, at, began)))
    return 0 if report.fit else 1


async def _prompt(words: str) -> None:
    """To whoever stands at the device; nothing is typed, the wire shows that it was done."""
    print(f">>> {words}", file=sys.stderr, flush=True)
    await asyncio.sleep(0)


def _settings(spec: Spec, texts: list[str]) -> dict[str, object]:
    chosen: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        setting = spec.settings.get(name)
        if not equals or setting is None:
            raise BadUsage(f"--set {text}: write NAME=VALUE, NAME one of {', '.join(spec.settings) or 'none'}")
        try:
            chosen[name] = type(setting.default)(value)
            spec.driver(chosen)
        except ValueError as wrong:
            raise BadUsage(f"--set {text}: {wrong}") from None
    return chosen


def _plain(report: Report, began: str) -> dict[str, object]:
    assert report.dialogue is not None
    history = report.dialogue.history
    return {
        "port": str(report.at), "simulated": _is_of_this_machine(report.at), "driver": report.spec.name,
        "began": began, "seconds": report.seconds,
        "fit": report.fit, "faults": report.faults, "remarks": report.remarks, "identity": report.identity,
        "live_after_s": report.live_after_s, "noticed_s": report.noticed_s, "back_s": report.back_s,
        "counters": asdict(report.counted), "unmapped": dict(report.dialogue.unmapped),
        "response_s": {"median": history.response_s(0.5), "p95": history.response_s(0.95),
                       "max": history.response_s(1.0)},
        "metrics": {name: asdict(metric) for name, metric in report.metrics.items()},
        "links": [{"at": iso(at_s), "state": state, "reason": why} for at_s, state, why in report.links],
        "frames": [{"at": iso(one.at_s), "way": ">" if one.sent else "<", "hex": one.data.hex(" "), "is": one.words()}
                   for one in history.frames],
    }


def _is_of_this_machine(at: DeviceUrl) -> bool:
    """Whether what responds there is a program, not a device: a pty, or a port of this very machine."""
    here = at.host == "localhost" or at.host.startswith("127.") or at.host == "::1"
    return here or (bool(at.path) and Path(at.path).resolve().is_relative_to(PTYS))


def _lines(report: Report, at: DeviceUrl, began: str) -> list[str]:
    assert report.dialogue is not None
    spec, line, counted = report.spec, report.dialogue.line, report.counted
    live = "never" if report.live_after_s is None else f"after {report.live_after_s:.1f} s"
    return [
        f"Link acceptance report    {began}",
        f"port      {at}",
        f"device    {spec.title} (driver {spec.name}, evidence grade {spec.grade})",
        f"line      {line.baud} {line.bits}{line.parity}{line.stop}",
        f"identity  {report.identity or 'none given'}",
        f"live      {live}, listened to for {report.seconds:g} s",
        f"frames    {counted.frames} good, {counted.bad} bad, {counted.late} late, {counted.timeouts} without response",
        f"bytes     {counted.received} received, {counted.understood} understood, {counted.dropped} foreign",
        *_times(report, report.dialogue.history),
        "", f"{'number':22} {'count':>6} {'none':>5} {'lowest':>9} {'highest':>9}  longest gap",
        *(f"{name:22} {one.count:6} {one.invalid:5} {_number(name, one.low):>9} {_number(name, one.high):>9}"
          f"  {one.gap_s:.1f} s" for name, one in sorted(report.metrics.items())),
        "", "last frames", *map(_frame, list(report.dialogue.history.frames)[-SHOWN:]), "",
        *(f"remark    {remark}" for remark in report.remarks), *(f"FAULT     {fault}" for fault in report.faults),
        f"verdict   {'FIT' if report.fit else 'NOT FIT'}", "",
        "checked by ____________________  date ____________",
    ]


def _times(report: Report, history: History) -> Iterator[str]:
    responses = [history.response_s(share) for share in (0.5, 0.95, 1.0)]
    took = " ".join(f"{one * 1000:.0f}" for one in responses if one is not None)
    yield f"response  {took + ' ms (median, 95 %, longest)' if took else 'it sends by itself'}"
    if report.noticed_s is not None:
        back = "never" if report.back_s is None else f"{report.back_s:.1f} s"
        yield f"cable     out: noticed after {report.noticed_s:.1f} s; in again: live {back} after its first byte"


def _frame(one: Seen) -> str:
    data = one.data[:24].hex(" ") + (" ..." if len(one.data) > 24 else "")
    return f"  {'>' if one.sent else '<'} {data}  {one.words()}"


def _number(metric: str, value: float | None) -> str:
    return "-" if value is None else f"{value:.{METRICS[metric].decimals}f}"
