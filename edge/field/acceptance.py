"""Is this link fit for a bed? One device listened to for some minutes, its cable pulled and put back: a report.

The same dialogue as in service does the talking; a cuff is told to wait for hours, so nothing is inflated.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from drivers.contract import Spec, Wave
from edge.field.device_url import DeviceUrl
from edge.field.devices import Devices
from edge.field.dialogue import Dialogue
from edge.field.harmless import harmless
from edge.field.link_state import Counters
from edge.model import Input, LinkChanged, PumpStatus, Samples

LOOK_S = 0.05
TENTHS = 10  # of the time: so often it is told how far it is
LIVE_WITHIN_S = 15.0  # of the start; longer, and the check is over
SHUT_S = 3.0  # a port that has not opened for so long: nobody waits for the rest
PATIENCE_S = 60.0  # for a person to pull a cable, or to put it back
BAD_SHARE, LOST_SHARE = 0.01, 0.01  # of all frames and requests: more, and the wire is not fit
UNDERSTOOD_SHARE = 0.95  # of the bytes: less, and it is not
UNDER_WAY_BYTES = 256  # a frame or two that were not whole yet
FRAMES = 400  # kept: of a stream that is mostly waves, some seconds
SAID = 5  # falls of the link, one by one
NOTICED_WITHIN_S, BACK_WITHIN_S = 2.0, 3.0  # beyond what the line itself takes; after a pull, and after a plug

# what it is made of, as JSON
REPORT = ("port", "simulated", "driver", "sources", "began", "seconds", "fit", "faults", "remarks", "identity",
          "live_after_s", "noticed_s", "back_s", "counters", "unmapped", "response_s", "metrics", "links", "frames")

Prompt = Callable[[str], Awaitable[None]]  # shows the words to whoever stands at the cable
Progress = Callable[["Report", float], None]  # told how far it is, and for how many seconds it has listened


@dataclass(slots=True)
class Metric:
    """What was seen of one metric: how often, from where to where, and the longest time without it."""

    count: int = 0
    invalid: int = 0
    questionable: int = 0
    low: float | None = None
    high: float | None = None
    last_s: float | None = None
    gap_s: float = 0.0

    def passed(self, at_s: float) -> None:
        """So far it was without it since it last came."""
        if self.last_s is not None:
            self.gap_s = max(self.gap_s, at_s - self.last_s)

    def seen(self, value: float | None, at_s: float, *, questionable: bool = False) -> None:
        """One sample came."""
        self.passed(at_s)
        self.last_s = at_s
        self.count += 1
        self.questionable += questionable
        if value is None:
            self.invalid += 1
        else:
            self.low = value if self.low is None else min(self.low, value)
            self.high = value if self.high is None else max(self.high, value)


@dataclass(slots=True)
class Report:
    """What came of it. `faults` are why it is not fit; `remarks` are what a technician should know."""

    spec: Spec
    at: DeviceUrl
    seconds: float = 0.0
    dialogue: Dialogue | None = None
    before: Counters = field(default_factory=lambda: Counters(since=0.0))  # what it took until it was live
    links_before: int = 0  # so many of `links` are of then
    live_after_s: float | None = None
    since_s: float | None = None  # edge time from which on it is listened to
    pump: Counter[str] = field(default_factory=Counter)  # states, how often each
    metrics: dict[str, Metric] = field(default_factory=dict)
    links: list[tuple[float, str, str]] = field(default_factory=list)  # edge time, state, reason
    identity: str | None = None
    noticed_s: float | None = None  # from the last good byte to the link's fall
    back_s: float | None = None  # from the port's return to live
    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def counted(self) -> Counters:
        """What was counted since the device was live."""
        now = self.dialogue.counters if self.dialogue is not None else self.before
        return Counters(**{one.name: getattr(now, one.name) - getattr(self.before, one.name)
                           for one in fields(Counters)})

    @property
    def fit(self) -> bool:
        """The verdict."""
        return not self.faults

    @property
    def state(self) -> str:
        """Where the link stands."""
        return self.links[-1][1] if self.links else "connecting"

    def given(self, inputs: Sequence[Input], at_s: float, more: bool) -> None:
        """What the dialogue reports."""
        for one in inputs:
            if isinstance(one, LinkChanged):
                self.links.append((at_s, one.state, one.reason))
                self.identity = one.identity or self.identity
            elif isinstance(one, Samples):
                for sample in one.samples:
                    self.metrics.setdefault(sample.metric, Metric(last_s=self.since_s)).seen(
                        sample.value, at_s, questionable=sample.validity == "questionable")
            elif isinstance(one, PumpStatus):
                self.pump[one.state] += 1

    def ended(self, at_s: float) -> None:
        """The listening is over: what has not come since is missing until now."""
        for metric in self.metrics.values():
            metric.passed(at_s)


async def check(at: DeviceUrl, spec: Spec, seconds: float, *, now: Callable[[], float],
                settings: Mapping[str, object] | None = None, prompt: Prompt | None = None,
                progress: Progress | None = None, enough: asyncio.Event | None = None) -> Report:
    """Listen for `seconds` real seconds once the device is live, or until it is `enough`; with `prompt`, have the cable
    pulled and put back. `progress` is told at every tenth of the time."""
    report = Report(spec, at)
    devices = Devices(now=now)
    dialogue = report.dialogue = devices.add("check", spec.name, harmless(spec, known=True), at,
                                             decoded=report.given, wave=_ignore, settings=settings)
    running = asyncio.ensure_future(devices.run())
    dialogue.history.keep(FRAMES)
    try:
        await _watch(report, dialogue, running, seconds, progress, enough or asyncio.Event(), now)
        if prompt is not None and report.live_after_s is not None and not (enough and enough.is_set()):
            await _pull(report, dialogue, running, prompt)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    return report


async def _until(running: asyncio.Future[None], true: Callable[[], bool], within_s: float) -> float | None:
    """The real seconds until it was true; None where it was not in time."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not true():
        if running.done() or loop.time() - began > within_s:
            return None
        await asyncio.wait([running], timeout=LOOK_S)
    return loop.time() - began


async def _watch(report: Report, dialogue: Dialogue, running: asyncio.Future[None], seconds: float,
                 progress: Progress | None, enough: asyncio.Event, now: Callable[[], float]) -> None:
    limit_s = LIVE_WITHIN_S + dialogue.line.lateness_s

    def is_shut() -> bool:
        return report.state == "lost" and now() - report.links[-1][0] >= SHUT_S

    report.live_after_s = await _until(running, lambda: report.state == "live" or enough.is_set() or is_shut(), limit_s)
    if report.state != "live":
        report.live_after_s = None
        why = report.links[-1][2] if report.links else ""
        when = ("ended before it was live" if enough.is_set() else "the port cannot be opened" if is_shut()
                else f"not live within {limit_s:g} s")
        report.faults.append(f"{when}: {why or 'nothing received'}")
        return
    report.since_s = now()
    report.before, report.links_before = replace(dialogue.counters), len(report.links)
    for tenth in range(TENTHS):
        part_s = await _until(running, enough.is_set, seconds / TENTHS)
        report.seconds = seconds * (tenth + 1) / TENTHS if part_s is None else report.seconds + part_s
        if part_s is not None or running.done():
            break
        if progress is not None:
            progress(report, report.seconds)
    report.ended(now())
    judge(report, dialogue)


def judge(report: Report, dialogue: Dialogue) -> None:
    """Whether what came since the device was live is fit for a bed."""
    counted, faults, remarks = report.counted, report.faults, report.remarks
    fell = [f"the link was {state}: {why}" for _, state, why in report.links[report.links_before:] if state != "live"]
    faults += [*fell[:SAID], *([f"and so {len(fell) - SAID} times more"] if len(fell) > SAID else [])]
    if counted.bad > BAD_SHARE * (counted.frames + counted.bad):
        faults.append(f"{counted.bad} of {counted.frames + counted.bad} frames are bad: cable, ground, baud or bits?")
    if counted.timeouts > LOST_SHARE * (dialogue.history.responded + counted.timeouts):
        faults.append(f"{counted.timeouts} requests got no response")
    if counted.late > LOST_SHARE * (counted.frames + counted.late):
        faults.append(f"{counted.late} frames came too late to be of now: what is between this port and the device?")
    if counted.understood < UNDERSTOOD_SHARE * counted.received - UNDER_WAY_BYTES:
        faults.append(f"{counted.received - counted.understood} of {counted.received} bytes are not understood")
    if report.spec.kind != "nibp" and not any(metric.count > metric.invalid for metric in report.metrics.values()):
        faults.append("no number came: is a patient (or a finger) on it, is the pump on?")
    for name, count in sorted(dialogue.unmapped.items()):
        remarks.append(f"sent, and not shown by this driver: {name}, {count} times")
    for name, metric in sorted(report.metrics.items()):
        if metric.questionable and metric.questionable == metric.count - metric.invalid:
            remarks.append(f"{name} was questionable every time: it raises no alarm and ends none")
    if report.pump and set(report.pump) == {"unknown"}:
        remarks.append("the pump never said what it does: start it, and check again")
    missing = sorted(report.spec.metrics - set(report.metrics))
    if missing:
        remarks.append(f"never seen: {', '.join(missing)}")
    if report.identity is None:
        remarks.append("it gives no serial number: the bed is bound by this port, so label the cable")
    if report.spec.requests and report.spec.kind == "nibp":
        remarks.append("no cuff was inflated in this check")


async def _pull(report: Report, dialogue: Dialogue, running: asyncio.Future[None], prompt: Prompt) -> None:
    """The cable out, and in again."""
    line_s = dialogue.line.silent_after_s
    await prompt("pull the device's cable now")
    last = [asyncio.get_running_loop().time(), dialogue.counters.understood]

    def fell() -> bool:
        if dialogue.counters.understood != last[1]:
            last[:] = [asyncio.get_running_loop().time(), dialogue.counters.understood]
        return report.state != "live"

    if await _until(running, fell, PATIENCE_S) is None:
        report.faults.append(f"no pull was noticed within {PATIENCE_S:g} s")
        return
    report.noticed_s = asyncio.get_running_loop().time() - last[0]
    if report.noticed_s > line_s + NOTICED_WITHIN_S:
        report.faults.append(f"the pull was noticed after {report.noticed_s:.1f} s, more than {line_s:g} + 2 s")
    await prompt("put it back")
    received = dialogue.counters.received
    came = await _until(running, lambda: dialogue.counters.received != received, PATIENCE_S)
    back = None if came is None else await _until(running, lambda: report.state in ("live", "unstable"), PATIENCE_S)
    if back is None:
        report.faults.append(f"not live again within {PATIENCE_S:g} s of the cable's return")
        return
    report.back_s = back
    if back > BACK_WITHIN_S + dialogue.line.lateness_s:
        report.faults.append(f"live only {back:.1f} s after the first byte")


def _ignore(wave: Wave, at_s: float) -> None:
    """A waveform is counted with its frames."""
