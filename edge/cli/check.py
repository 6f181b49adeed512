"""`vigil check`: is this link fit for a bed? A report to print and keep, and a verdict."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import uvloop

from drivers.contract import Spec
from edge.app.scale import ROOT, Evidence
from edge.cli.catalogue import find_driver
from edge.cli.probe import place_of
from edge.clock import EdgeClock
from edge.field.acceptance import Report, check
from edge.field.device_url import DeviceUrl
from edge.field.history import History, Seen
from edge.model import iso
from edge.process import BadUsage, make_folder
from edge.vocabulary import METRICS

PTYS = Path("/dev/pts")
SHOWN, KEPT = 8, 40  # of the last frames: on the page, and as JSON
FIT = "FIT: this link may serve a bed"
NOT_FIT = "NOT FIT: mend what stands below, and check again"


def run_check(port: str, driver: str, seconds: float, *, pull: bool, settings: list[str], as_json: bool,
              folder: Path | None, reports: Path | None = None) -> int:
    """`vigil check`: 0 where the link is fit, 1 where it is not. In the folder `reports` it is kept, to print and for
    the scale. Raises BadUsage."""
    spec, at = find_driver(driver, folder), place_of(port)
    if at.transport not in spec.transports:
        if at.transport == "serial" and "modbus+rtu" in spec.transports:
            at = place_of(f"modbus+rtu://{at.path}")
        else:
            ways = ", ".join(f"{way}://" for way in spec.transports)
            raise BadUsage(f"driver {spec.name!r} cannot be reached by {at.transport}://; write {ways}")
    chosen = _settings(spec, settings)
    if reports is not None:
        make_folder(reports)
    logging.getLogger("edge.field").setLevel(logging.CRITICAL)  # the report says it
    clock = EdgeClock()
    began = iso(clock.now())
    report = uvloop.run(_check(at, spec, seconds, clock, chosen, pull))
    plain, lines = json.dumps(_plain(report, began)), "\n".join(_lines(report, at, began))
    print(plain if as_json else lines)
    if reports is not None:
        _keep(reports, f"{spec.name}-{began[:19].replace(':', '')}", plain, lines)
    return 0 if report.fit else 1


async def _check(at: DeviceUrl, spec: Spec, seconds: float, clock: EdgeClock, settings: dict[str, object],
                 pull: bool) -> Report:
    enough = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, enough.set)
    print(f"{at}: {spec.title}; {_long(seconds)} to go, Ctrl-C ends it with a report of so far", file=sys.stderr,
          flush=True)
    try:
        return await check(at, spec, seconds, now=clock.now, settings=settings, prompt=_prompt if pull else None,
                           progress=_progress, enough=enough)
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _progress(report: Report, seconds: float) -> None:
    counted = report.counted
    print(f"{_long(seconds):>6}  {report.state}; {counted.frames} frames, {counted.bad} bad, {counted.timeouts}"
          " requests without response", file=sys.stderr, flush=True)


def _long(seconds: float) -> str:
    """A time as a person reads it."""
    unit, size = next((one for one in (("h", 3600.0), ("min", 60.0)) if seconds >= 2 * one[1]), ("s", 1.0))
    return f"{seconds / size:.3g} {unit}"


def _keep(folder: Path, name: str, plain: str, lines: str) -> None:
    """Two files of one name: one for the scale (`vigil devices --reports`), one to print and sign."""
    try:
        (folder / f"{name}.json").write_text(plain + "\n")
        (folder / f"{name}.txt").write_text(lines + "\n")
    except OSError as wrong:
        raise BadUsage(f"{folder}: the report cannot be kept there ({wrong.strerror}); copy it from above") from None
    print(f"kept: {folder / name}.txt to print and sign, {name}.json for vigil devices --reports {folder}",
          file=sys.stderr)


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
        "sources": Evidence(report.spec, ROOT).driver_digest, "began": began, "seconds": report.seconds,
        "fit": report.fit, "faults": report.faults, "remarks": report.remarks, "identity": report.identity,
        "live_after_s": report.live_after_s, "noticed_s": report.noticed_s, "back_s": report.back_s,
        "counters": asdict(report.counted), "unmapped": dict(report.dialogue.unmapped),
        "response_s": {"median": history.response_s(0.5), "p95": history.response_s(0.95),
                       "max": history.response_s(1.0)},
        "metrics": {name: asdict(metric) for name, metric in report.metrics.items()},
        "links": [{"at": iso(at_s), "state": state, "reason": why} for at_s, state, why in report.links],
        "frames": [{"at": iso(one.at_s), "way": ">" if one.sent else "<", "hex": one.data.hex(" "), "is": one.words()}
                   for one in list(history.frames)[-KEPT:]],
    }


def _is_of_this_machine(at: DeviceUrl) -> bool:
    """Whether what responds there is a program, not a device: a pty, or a port of this very machine."""
    if at.path:
        return Path(at.path).resolve().is_relative_to(PTYS)
    try:
        places = {(family, place) for family, *_, place in socket.getaddrinfo(at.host, 0, type=socket.SOCK_STREAM)}
    except OSError:  # no such host: nothing responds there
        return False
    return any(_is_ours(family, place) for family, place in places)


def _is_ours(family: int, place: tuple[object, ...]) -> bool:
    """Whether it is an address of this machine: only those can be bound."""
    with socket.socket(family, socket.SOCK_STREAM) as one:
        try:
            one.bind(place)
        except OSError:
            return False
        return True


def _lines(report: Report, at: DeviceUrl, began: str) -> list[str]:
    assert report.dialogue is not None
    spec, line, counted = report.spec, report.dialogue.line, report.counted
    live = "never" if report.live_after_s is None else f"after {report.live_after_s:.1f} s"
    return [
        f"Link acceptance report    {began}", "",
        f"verdict   {FIT if report.fit else NOT_FIT}",
        *(("NO DEVICE what responded is a program of this machine; this page is about no device",)
          if report.live_after_s is not None and _is_of_this_machine(at) else ()),
        *(f"FAULT     {fault}" for fault in report.faults), *(f"remark    {remark}" for remark in report.remarks), "",
        f"port      {at}",
        f"device    {spec.title} (driver {spec.name}, evidence grade {spec.grade})",
        f"line      {line.baud} {line.bits}{line.parity}{line.stop}",
        f"identity  {report.identity or 'none given'}",
        f"live      {live}, listened to for {_long(report.seconds)}",
        f"frames    {counted.frames} good, {counted.bad} bad, {counted.late} late, {counted.timeouts} without response",
        f"bytes     {counted.received} received, {counted.understood} understood, {counted.dropped} foreign",
        *_times(report, report.dialogue.history),
        *((f"pump      {', '.join(f'{state} {count} times' for state, count in report.pump.most_common())}",)
          if report.pump else ()),
        "", f"{'number':22} {'count':>6} {'none':>5} {'doubted':>7} {'lowest':>9} {'highest':>9}  longest gap",
        *(f"{name:22} {one.count:6} {one.invalid:5} {one.questionable:7} {_number(name, one.low):>9}"
          f" {_number(name, one.high):>9}  {one.gap_s:.1f} s" for name, one in sorted(report.metrics.items())),
        "", "last frames that say something, and what was asked", *map(_frame, _telling(report.dialogue.history)), "",
        "checked by ____________________  date ____________",
    ]


def _times(report: Report, history: History) -> Iterator[str]:
    responses = [history.response_s(share) for share in (0.5, 0.95, 1.0)]
    took = " ".join(f"{one * 1000:.0f}" for one in responses if one is not None)
    without = "it sends by itself" if report.counted.frames else "none"
    yield f"response  {took + ' ms (median, 95 %, longest)' if took else without}"
    if report.noticed_s is not None:
        back = "never" if report.back_s is None else f"{report.back_s:.1f} s"
        yield f"cable     out: noticed after {report.noticed_s:.1f} s; in again: live {back} after its first byte"


def _telling(history: History) -> list[Seen]:
    """The last frames without those of a stream that say nothing by themselves; all, where there are no others."""
    frames = list(history.frames)
    return ([one for one in frames if one.sent or one.name or one.decoded or one.why] or frames)[-SHOWN:]


def _frame(one: Seen) -> str:
    data = one.data[:24].hex(" ") + (" ..." if len(one.data) > 24 else "")
    return f"  {'>' if one.sent else '<'} {data}  {one.words()}"


def _number(metric: str, value: float | None) -> str:
    return "-" if value is None else f"{value:.{METRICS[metric].decimals}f}"
