"""What leaves for the screens, and how often: vitals, waves and states, paced so that a screen gets neither too little
nor too much. The paces are of the wire and run in real seconds."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from drivers.contract import Wave as WaveSamples
from edge.app.lines import with_line
from edge.contract.payloads import CauseNow, State, Wave, encode
from edge.core import margins, views
from edge.core.bedside import Bedside
from edge.core.state import BedState
from edge.field.dialogue import Dialogue
from edge.field.link_state import Counters
from edge.model import iso
from edge.stream.publisher import Stream

GAP_S = 0.21  # at most five vitals in any second a bed, timers a little early or not
LATEST_S = 1.8  # and at least one in two, with its ages, whatever the devices do
COALESCE_S = 0.02  # what belongs to one round of questions leaves together
STATE_EVERY_S = 5.0
LINES_EVERY_S = 20.0  # where nothing but the counts of wires that do well has changed
WAVE_GAP_S = 0.2


@dataclass(slots=True)
class _Chunk:
    """Samples of one waveform on their way out."""

    wave: WaveSamples
    device: str
    start_s: float
    samples: list[int | None] = field(default_factory=list)
    sent_s: float = 0.0


class Telemetry:
    """One bed's way to the screens. `now` and `at_s` are edge seconds; everything else the loop's."""

    def __init__(self, edge: str, boot: str, simulated: bool, bedside: Bedside, stream: Stream, *,
                 now: Callable[[], float],
                 causes: Callable[[BedState], Mapping[str, CauseNow]] = lambda _: {}) -> None:
        """`causes` gives those of a bed's alarms, over all beds."""
        self._edge, self._boot, self._simulated = edge, boot, simulated
        self._bedside = bedside
        self._stream = stream
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._sent_s = 0.0
        self._reminder = self._loop.call_later(LATEST_S, self._send)
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._chunks: dict[str, _Chunk] = {}
        self._causes = causes
        self._state_like: tuple[State, tuple[tuple[int, ...], ...]] | None = None
        self._state_due_s = self._lines_due_s = 0.0
        self._phase_s = zlib.crc32(bedside.state.bed.encode()) % 1000 / 1000 * STATE_EVERY_S  # not all beds at once
        self.counters: dict[str, Counters] = {}
        self.dialogues: dict[str, Dialogue] = {}
        self.places: dict[str, tuple[str, str]] = {}  # of each device: `at` and `unsure` of its LineNow
        self.specs: dict[str, str] = {}  # by device: what its driver is found by

    def close(self) -> None:
        """The bed is not there any more: nothing leaves for it."""
        self._closed = True
        for timer in (self._reminder, self._timer):
            if timer is not None:
                timer.cancel()

    def decoded(self, anything: bool, more: bool) -> None:
        """A frame was decoded, into something or nothing by itself; `more` of the same round is coming."""
        if not anything and (more or self._timer is None):
            return
        if self._timer is not None:
            if more or self._loop.time() - self._sent_s < GAP_S:
                return
            self._timer.cancel()
            self._timer = None
        wait_s = max(self._sent_s + GAP_S - self._loop.time(), COALESCE_S if more else 0.0)
        if wait_s <= 0:
            self._send()
        else:
            self._timer = self._loop.call_later(wait_s, self._due)

    def _due(self) -> None:
        self._timer = None
        self._send()

    def _send(self) -> None:
        self._sent_s = self._loop.time()
        self._reminder.cancel()
        self._reminder = self._loop.call_later(LATEST_S, self._send)
        at_s = self._now()
        self._stream.vitals(self._bedside.state.bed, encode(views.vitals(
            self._bedside.state, at_s, edge=self._edge, boot=self._boot, simulated=self._simulated)))

    def wave(self, device: str, wave: WaveSamples, at_s: float) -> None:
        """Samples that ended at `at_s`; they leave with others of the same waveform."""
        chunk = self._chunks.get(wave.name)
        if chunk is None:
            chunk = self._chunks[wave.name] = _Chunk(wave, device, at_s)
        if not chunk.samples:
            chunk.wave, chunk.start_s = wave, at_s - len(wave.samples) / wave.rate_hz
        chunk.samples.extend(wave.samples)
        if self._loop.time() - chunk.sent_s >= WAVE_GAP_S:
            self._send_wave(chunk)

    def _send_wave(self, chunk: _Chunk) -> None:
        chunk.sent_s = self._loop.time()
        bed = self._bedside.state.bed
        self._stream.wave(bed, chunk.wave.name, encode(Wave(
            edge=self._edge, bed=bed, name=chunk.wave.name, device=chunk.device, start=iso(chunk.start_s),
            rate_hz=chunk.wave.rate_hz, low=chunk.wave.low, high=chunk.wave.high, samples=chunk.samples,
            simulated=self._simulated, boot=self._boot, at=iso(self._now()))))
        chunk.samples = []

    def state(self, at_s: float, seq: int) -> State:
        """The full state as of event `seq`; build it when it is true, send it (`send_state`) when it is stored."""
        state = self._state(at_s, seq, self.counters)
        return msgspec.structs.replace(state, devices=[
            with_line(device, self.dialogues[device.device], *self.places[device.device])
            if device.device in self.dialogues else device for device in state.devices])

    def _state(self, at_s: float, seq: int, counts: Mapping[str, Counters]) -> State:
        state = self._bedside.state
        return msgspec.structs.replace(
            views.full(state, at_s, edge=self._edge, boot=self._boot, simulated=self._simulated, seq=seq, counts=counts,
                       causes=self._causes(state)),
            alarm_limits=tuple(margins.nearest(state, self._bedside.rules, at_s)) or msgspec.UNSET)

    def send_state(self, state: State) -> None:
        """Publish a state built before."""
        if self._closed:
            return
        self._state_due_s = self._next_state_s()
        self._lines_due_s = self._loop.time() + LINES_EVERY_S
        self._state_like = _steady(state), self._errors()
        self._stream.state(self._bedside.state.bed, encode(state))

    def refresh(self, at_s: float, seq: int) -> None:
        """Now and then, the state again if more than its time has changed; only when nothing waits for the disk."""
        if self._loop.time() < self._state_due_s:
            return
        like = _steady(self._state(at_s, seq, {})), self._errors()
        if like != self._state_like or self._loop.time() >= self._lines_due_s:
            self.send_state(self.state(at_s, seq))
        else:
            self._state_due_s = self._next_state_s()

    def _errors(self) -> tuple[tuple[int, ...], ...]:
        """What went wrong on the wires, counted: it is told with the next turn."""
        return tuple((one.bad, one.late, one.timeouts, one.dropped, len(self.dialogues[device].unmapped))
                     for device, one in self.counters.items())

    def _next_state_s(self) -> float:
        """The next turn of this bed after now: every STATE_EVERY_S, and its own."""
        now_s = self._loop.time()
        return now_s + STATE_EVERY_S - (now_s - self._phase_s) % STATE_EVERY_S


def _steady(state: State) -> State:
    """Without what moves with time, with events of other beds, with each reading (how far a number is from a limit: the
    vitals say it) and with each frame (what the wires have counted)."""
    limits = state.alarm_limits
    if not isinstance(limits, msgspec.UnsetType):
        limits = tuple(msgspec.structs.replace(one, margin=0.0) for one in limits)
    devices = [msgspec.structs.replace(one, line=msgspec.UNSET, frames=0, bad=0, late=0, received=0, understood=0,
                                       dropped=0) for one in state.devices]
    return msgspec.structs.replace(state, at="", seq=0, alarm_limits=limits, devices=devices)
