"""A device's talk keeps law 1 (a late answer is never read as the next), knows who is speaking, and heals by itself."""

from __future__ import annotations

import asyncio
import heapq
import os
import random
import tty
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from drivers.contract import (
    BadFrame,
    DeviceAlarm,
    DeviceAlarms,
    Driver,
    Framing,
    Heard,
    Identity,
    Line,
    Pump,
    Question,
    Reading,
    Say,
    Spec,
    Validity,
    Wave,
)
from edge import model
from edge.field.at import At
from edge.field.exchange import Exchange
from edge.field.intake import NAMELESS, UNNAMED, Intake
from edge.field.link import Link

# --- a device that answers every question in the same form, so that nothing but the link can tell its answers apart ---

LINE = Line(9600, silent_after_s=2.0, lateness_s=0.8)
WHO = Say("who", b"w", timeout_s=0.3)
SPO2 = Say("spo2_pct", b"s", timeout_s=0.3)
PULSE = Say("pulse_bpm", b"p", timeout_s=0.3)
RESP = Say("resp_bpm", b"r", timeout_s=0.3, retries=1)
TRUTH = {b"s": b"=97\n", b"p": b"=63\n", b"r": b"=14\n"}


class Lines:
    """Frames end in a line feed."""

    def __init__(self) -> None:
        self.dropped = 0
        self._begun = b""

    def feed(self, data: bytes) -> list[bytes]:
        *whole, self._begun = (self._begun + data).split(b"\n")
        return whole

    def flush(self) -> None:
        self._begun = b""


class Script:
    """A driver: `=97` answers what was asked, `#SN` says who it is, `!97` is said unasked, `~` is a pleth wave."""

    def __init__(self, polls: Sequence[Say] = (SPO2, PULSE), every_s: float = 1.0, asks_who: bool = True) -> None:
        self.framing: Framing = Lines()
        self.missed: list[str] = []
        self._polls, self._every_s, self._asks_who = polls, every_s, asks_who
        self._due_s: float | None = None
        self._round: list[Say] = []

    def start(self) -> Sequence[Question]:
        self._round = []
        return [WHO] if self._asks_who else []

    def ask(self, at_s: float) -> Question | None:
        if self._due_s is None or at_s >= self._due_s:
            self._due_s = at_s + self._every_s
            self._round = list(self._polls)
        return self._round.pop(0) if self._round else None

    def answers(self, frame: bytes, asked: Question) -> bool:
        return frame[:1] == (b"#" if asked is WHO else b"=")

    def hear(self, frame: bytes, asked: Question | None) -> Sequence[Heard]:
        kind, rest = frame[:1], frame[1:].decode()
        if kind == b"#":
            return [Identity(rest or None)]
        if kind == b"=" and asked is not None:
            return [Reading(asked.name, float(rest))]
        if kind == b"!":
            return [Reading("heart_rate_bpm", float(rest))]
        if kind == b"~":
            return [Wave("pleth", 75.0, 0, 255, (1, None, 3))]
        if kind == b"*":
            alarm = DeviceAlarm("occlusion", "high", "E7", "Occlusion")
            return [Pump("alarm"), DeviceAlarms((alarm,)), Reading("rate_ml_h", None, Validity.UNAVAILABLE)]
        raise BadFrame(frame)

    def unanswered(self, asked: Question) -> Sequence[Heard]:
        self.missed.append(asked.name)
        return [Reading(asked.name, None, Validity.UNAVAILABLE, "timeout")] if asked is RESP else []


def spec(make: Callable[[], Driver]) -> Spec:
    return Spec("script", "Script", "oximeter", ("serial",), "D", "this test", LINE, frozenset(), (), "",
                lambda settings: make())


@dataclass
class Bed:
    """What the service would be told."""

    calls: list[tuple[tuple[model.Input, ...], float, bool]] = field(default_factory=list)
    waves: list[tuple[Wave, float]] = field(default_factory=list)

    def heard(self, inputs: Sequence[model.Input], at_s: float, more: bool) -> None:
        self.calls.append((tuple(inputs), at_s, more))

    def wave(self, wave: Wave, at_s: float) -> None:
        self.waves.append((wave, at_s))

    @property
    def links(self) -> list[tuple[str, str, str | None]]:
        return [(one.state, one.reason, one.identity) for inputs, *_ in self.calls for one in inputs
                if isinstance(one, model.LinkChanged)]

    @property
    def samples(self) -> list[model.Sample]:
        return [sample for inputs, *_ in self.calls for one in inputs if isinstance(one, model.Samples)
                for sample in one.samples]


# --- told time --------------------------------------------------------------------------------------------------------

HOUSE_AT_ZERO = 1_790_000_000.0
Device = Callable[[bytes], list[tuple[float, bytes]]]  # a question -> what is sent, and how long after


class Wire:
    """An Exchange and a scripted device on a wire whose time is told. `device` None: it is off."""

    def __init__(self, driver: Driver, device: Device | None, *, identity: str | None = None,
                 line: Line = LINE) -> None:
        self.t = 0.0
        self.bed = Bed()
        self.device = device
        self.asked: list[tuple[float, bytes]] = []
        self.intake = Intake("chair-1", "script", line, now=lambda: HOUSE_AT_ZERO + self.t, heard=self.bed.heard,
                             wave=self.bed.wave, identity=identity)
        self.exchange = Exchange(driver, line, self.intake)
        self._coming: list[tuple[float, bytes]] = []
        self.intake.begin()
        self.exchange.opened(0.0)

    def sends(self, *frames: bytes, after_s: float = 0.0) -> None:
        """The device says something by itself."""
        for frame in frames:
            heapq.heappush(self._coming, (self.t + after_s, frame))

    def runs(self, seconds: float) -> None:
        end = self.t + seconds
        while True:
            said = self.exchange.say(self.t)
            if said is not None:
                self.asked.append((self.t, said))
                for after_s, frame in self.device(said) if self.device else []:
                    heapq.heappush(self._coming, (self.t + after_s, frame))
            wake = self.exchange.wake(self.t)
            assert wake > self.t, "it would spin"
            if min(wake, *(at for at, _ in self._coming), end) >= end:
                self.t = end
                return
            if self._coming and self._coming[0][0] <= wake:
                at, frame = heapq.heappop(self._coming)
                self.t = max(self.t, at)
                self.exchange.received(frame, self.t)
            else:
                self.t = wake


def answers(serial: bytes = b"A1", after_s: float = 0.02) -> Device:
    return lambda said: [(after_s, {**TRUTH, b"w": b"#" + serial + b"\n"}[said])]


def late_one_in_ten(seed: int, late_s: tuple[float, float]) -> Device:
    dice = random.Random(seed)

    def device(said: bytes) -> list[tuple[float, bytes]]:
        after_s = 0.3 + dice.uniform(*late_s) if dice.random() < 0.1 else 0.02
        return [(after_s, {**TRUTH, b"w": b"#A1\n"}[said])]

    return device


def wrong(samples: Sequence[model.Sample]) -> list[model.Sample]:
    truth = {"spo2_pct": 97, "pulse_bpm": 63, "resp_bpm": 14, None: None}
    return [sample for sample in samples if sample.value not in (None, truth[sample.metric])]


def test_s1_one_answer_in_ten_late_and_none_is_read_as_the_next() -> None:
    wire = Wire(Script((SPO2, PULSE, RESP)), late_one_in_ten(1, (0.01, 0.6)))
    wire.runs(2000)
    asked = sum(said != b"w" for _, said in wire.asked)
    heard = sum(sample.value is not None for sample in wire.bed.samples)
    assert asked > 4000
    assert wire.intake.counters.late > 300
    assert wrong(wire.bed.samples) == []
    assert heard / asked > 0.85


def test_s1_control_a_quiet_shorter_than_the_lateness_does_read_wrong_values() -> None:
    wire = Wire(Script(), late_one_in_ten(1, (0.2, 0.6)), line=replace(LINE, lateness_s=0.15))
    wire.runs(500)
    assert wrong(wire.bed.samples), "the test above could not fail"


def test_after_a_time_out_nothing_is_said_for_the_lateness_budget() -> None:
    wire = Wire(Script((SPO2,), asks_who=False), lambda said: [])
    wire.runs(2.5)
    (first, _), (second, _) = wire.asked
    assert first == pytest.approx(LINE.lateness_s, abs=0.03), "nor after opening: somebody may have asked before us"
    assert second - first == pytest.approx(0.3 + LINE.lateness_s, abs=0.03)


def test_the_late_answer_to_a_question_cut_off_by_a_hang_up_is_thrown_away() -> None:
    wire = Wire(Script(), answers(after_s=0.25))
    wire.runs(2.0)
    while wire.asked[-1][1] == b"w" or not wire.exchange.waiting:
        wire.runs(0.01)
    heard = len(wire.bed.samples)
    wire.intake.lost("pulled")
    wire.exchange.opened(wire.t)
    wire.runs(0.7)
    assert len(wire.bed.samples) == heard
    assert wire.intake.counters.late == 1


def test_a_question_is_said_again_as_often_as_it_allows_and_then_given_up() -> None:
    driver = Script((RESP, SPO2), asks_who=False, every_s=60)
    wire = Wire(driver, lambda said: [] if said == b"r" else answers()(said), line=replace(LINE, silent_after_s=9))
    wire.runs(5)
    assert [said for _, said in wire.asked] == [b"r", b"r", b"s"]
    assert driver.missed == ["resp_bpm"]
    assert wire.intake.counters.unanswered == 1
    assert [(sample.metric, sample.value, sample.reason) for sample in wire.bed.samples] == [
        ("resp_bpm", None, "timeout"), ("spo2_pct", 97.0, None)]


def test_a_pause_is_kept_after_an_exchange_and_a_command_without_answer_is_not_waited_for() -> None:
    polls = (Say("go", b"g", timeout_s=None, gap_s=0.5), replace(SPO2, gap_s=0.4), PULSE)
    wire = Wire(Script(polls, asks_who=False, every_s=60), lambda said: [] if said == b"g" else answers()(said))
    wire.runs(3)
    (go, _), (spo2, _), (pulse, _) = wire.asked
    assert spo2 - go == pytest.approx(0.5, abs=0.03)
    assert pulse - spo2 == pytest.approx(0.02 + 0.4, abs=0.03)


def test_the_end_of_a_poll_round_is_told() -> None:
    wire = Wire(Script(every_s=60), answers())
    wire.runs(2)
    told = [([type(one).__name__ for one in inputs], more) for inputs, _, more in wire.bed.calls]
    assert told == [(["LinkChanged"], False), (["LinkChanged"], True), (["Samples"], True), (["Samples"], False)]


def test_a_round_that_ends_unanswered_ends_too() -> None:
    wire = Wire(Script(every_s=60, asks_who=False), lambda said: answers()(said) if said == b"s" else [])
    wire.runs(2)
    told = [(len(inputs), more) for inputs, _, more in wire.bed.calls]
    assert told[-2:] == [(2, True), (0, False)]


def test_what_is_said_unasked_while_a_question_waits_is_heard_and_the_wait_goes_on() -> None:
    wire = Wire(Script((SPO2,), asks_who=False, every_s=60), answers(after_s=0.2))
    wire.runs(0.9)
    wire.sends(b"!71\n", b"~\n")
    wire.runs(1)
    assert [(sample.metric, sample.value) for sample in wire.bed.samples] == [
        ("heart_rate_bpm", 71.0), ("spo2_pct", 97.0)]
    assert [wave.samples for wave, _ in wire.bed.waves] == [(1, None, 3)]


def test_samples_carry_the_house_time_at_which_their_bytes_came() -> None:
    wire = Wire(Script((), asks_who=False), None)
    wire.sends(b"!7", after_s=0.5)
    wire.sends(b"1\n", after_s=1.25)
    wire.runs(2)
    assert [(sample.bed, sample.device, sample.at_s) for sample in wire.bed.samples] == [
        ("chair-1", "script", HOUSE_AT_ZERO + 1.25)]


def test_pump_state_and_the_devices_own_alarms_are_handed_on() -> None:
    wire = Wire(Script((), asks_who=False), None)
    wire.sends(b"*\n")
    wire.runs(0.1)
    (_, (inputs, _, _)) = wire.bed.calls
    assert inputs[1:] == (
        model.Samples("script", (model.Sample("chair-1", "script", "rate_ml_h", None, "unavailable", HOUSE_AT_ZERO),)),
        model.PumpSaid("script", "alarm"),
        model.DeviceAlarmsSaid("script", (model.DeviceAlarm("occlusion", "high", "E7", "Occlusion"),)),
    )


@pytest.mark.parametrize("value", ["9", "351", "nan", "inf", "-inf", "-1"])
def test_the_implausible_is_refused_and_counted(value: str) -> None:
    wire = Wire(Script((), asks_who=False), None)
    wire.sends(f"!{value}\n".encode())
    wire.runs(0.1)
    (sample,) = wire.bed.samples
    assert (sample.value, sample.validity, sample.reason) == (None, "invalid", "implausible")
    assert wire.intake.counters.bad == 1


def test_an_unknown_metric_is_our_own_fault() -> None:
    wire = Wire(Script((Say("mood", b"s"),), asks_who=False), answers())
    with pytest.raises(AssertionError, match="unknown metric 'mood'"):
        wire.runs(2)


def test_bad_frames_are_counted_and_are_no_sign_of_life() -> None:
    wire = Wire(Script((), asks_who=False), None)
    for tenth in range(40):
        wire.sends(b"?\n", after_s=tenth / 10 + 0.05)
    wire.runs(3.99)
    assert wire.intake.counters.bad == 40
    assert wire.bed.links == [("connecting", "", None), ("silent", "nothing but 20 bad frames for 2 s", None)]


# --- who is speaking --------------------------------------------------------------------------------------------------


def test_a_device_is_bound_by_the_first_serial_number_it_says() -> None:
    wire = Wire(Script(), answers(b"A1"))
    wire.runs(3)
    assert wire.bed.links == [("connecting", "", None), ("live", "", "A1")]


@pytest.mark.parametrize("identity", ["A1", None])
def test_s7_another_device_on_the_cable_is_refused_until_the_first_is_back(identity: str | None) -> None:
    wire = Wire(Script(), answers(b"A1"), identity=identity)
    wire.runs(5)
    wire.device = None  # pulled,
    wire.runs(2.5)
    wire.device = answers(b"B2")  # and into the neighbour's
    heard = len(wire.bed.samples)
    wire.runs(30)
    assert len(wire.bed.samples) == heard, "data of the wrong device for 0 s"
    state, reason, serial = wire.bed.links[-1]
    assert (state, serial) == ("wrong_device", "B2")
    assert reason == "expected A1, found B2" + ("" if identity else "; restart the edge to accept it")
    assert wire.bed.links.count(wire.bed.links[-1]) == 1, "said once"
    wire.device = answers(b"A1")
    wire.runs(5)
    assert wire.bed.links[-1] == ("live", "", "A1")
    assert len(wire.bed.samples) > heard


def test_nothing_counts_before_a_device_with_a_configured_identity_has_said_it() -> None:
    wire = Wire(Script(asks_who=False), answers(), identity="A1")
    wire.runs(2)
    assert (wire.bed.samples, wire.intake.state) == ([], "connecting")
    wire.runs(3)
    assert wire.bed.links[-1] == ("wrong_device", "expected A1, but it does not say its serial number", None)
    wire.sends(b"#A1\n")
    wire.runs(2)
    assert wire.intake.state == "live"
    assert wire.bed.samples


@pytest.mark.parametrize(("device", "asks_who", "reason"), [
    (answers(b""), True, NAMELESS),
    (answers(), False, NAMELESS),
    (lambda said: [] if said == b"w" else answers()(said), True, UNNAMED),
], ids=["says none", "has none", "did not answer"])
def test_a_device_without_a_serial_number_is_bound_by_its_port_and_says_so(
    device: Device, asks_who: bool, reason: str
) -> None:
    wire = Wire(Script(asks_who=asks_who), device)
    wire.runs(4)
    assert wire.bed.links[-1] == ("live", reason, None)
    assert wire.bed.samples


def test_a_device_without_a_serial_number_cannot_stand_in_for_one_that_has() -> None:
    wire = Wire(Script(), answers(b""), identity="A1")
    wire.runs(4)
    assert wire.bed.links[-1] == ("wrong_device", "expected A1, found a device without a serial number", None)
    assert wire.bed.samples == []


def test_silence_is_noticed_in_time_and_ends_with_the_first_good_frame() -> None:
    wire = Wire(Script(), answers())
    wire.runs(5)
    wire.device = None
    last = max(sample.at_s for sample in wire.bed.samples)
    wire.runs(10)
    inputs, at_s, _ = wire.bed.calls[-1]
    assert inputs == (model.LinkChanged("script", "silent", "nothing heard for 2 s", "A1"),)
    assert at_s - last == pytest.approx(LINE.silent_after_s, abs=0.001)
    wire.device = answers()
    wire.runs(5)
    assert [state for state, *_ in wire.bed.links] == ["connecting", "live", "silent", "live"]
    assert wire.intake.counters.since > at_s


# --- real ptys --------------------------------------------------------------------------------------------------------


class Pty:
    """A scripted device behind a symlink that stays the same, as /dev/serial/by-id does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.master = -1
        self.serial = b"A1"

    def plug(self) -> None:
        self.master, slave = os.openpty()
        tty.setraw(slave)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(slave))
        os.close(slave)
        os.set_blocking(self.master, False)
        asyncio.get_running_loop().add_reader(self.master, self._answer)

    def unplug(self) -> None:
        if self.master >= 0:
            asyncio.get_running_loop().remove_reader(self.master)
            os.close(self.master)
            self.master = -1
            self.path.unlink()

    def _answer(self) -> None:
        try:
            said = os.read(self.master, 100)
        except OSError:  # nobody has the other side open yet
            return
        for byte in said:
            os.write(self.master, {**TRUTH, b"w": b"#" + self.serial + b"\n"}[bytes([byte])])


@asynccontextmanager
async def running(path: Path, bed: Bed) -> AsyncIterator[Link]:
    at = At("serial", path=str(path), overrides={"lateness_s": 0.05})
    loop = asyncio.get_running_loop()
    link = Link("chair-1", "script", spec(lambda: Script(every_s=0.05)), at, now=loop.time, heard=bed.heard,
                wave=bed.wave)
    task = loop.create_task(link.run())
    try:
        yield link
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), task.exception()


async def until(happened: Callable[[], bool], within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while not happened():
            await asyncio.sleep(0.005)


async def test_a_pulled_cable_is_noticed_and_a_plugged_one_heals_for_ever(tmp_path: Path) -> None:
    bed, pty = Bed(), Pty(tmp_path / "by-id")
    async with running(pty.path, bed) as link:
        await until(lambda: link.state == "lost", 2)
        assert bed.links[-1] == ("lost", f"{pty.path} is not there", None), "it started without the device"
        for _ in range(3):
            pty.plug()
            await until(lambda: link.state == "live", 5)
            heard = len(bed.samples)
            await until(lambda heard=heard: len(bed.samples) > heard, 2)  # type: ignore[misc]
            pty.unplug()
            await until(lambda: link.state == "lost", 2)
    assert [state for state, *_ in bed.links] == ["connecting", *["lost", "live"] * 3, "lost"]
    assert wrong(bed.samples) == []


async def test_another_device_plugged_into_the_same_port_is_refused(tmp_path: Path) -> None:
    bed, pty = Bed(), Pty(tmp_path / "by-id")
    pty.plug()
    async with running(pty.path, bed) as link:
        await until(lambda: link.state == "live", 5)
        pty.unplug()
        await until(lambda: link.state == "lost", 2)
        heard = len(bed.samples)
        pty.serial = b"B2"
        pty.plug()
        await until(lambda: link.state == "wrong_device", 5)
        await asyncio.sleep(0.2)
        assert len(bed.samples) == heard
    pty.unplug()


async def test_a_half_open_connection_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal server that was switched off and on does not say that the old connection is dead."""
    monkeypatch.setattr("edge.field.link.REOPEN_AFTER_S", 0.1)
    callers: list[asyncio.StreamWriter] = []

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(writer)
        while len(callers) > 1 and not reader.at_eof():
            writer.write(b"!71\n")
            await asyncio.sleep(0.05)

    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    loop, bed = asyncio.get_running_loop(), Bed()
    at = At("tcp", host="127.0.0.1", port=listening.sockets[0].getsockname()[1], overrides={"silent_after_s": 0.2})
    link = Link("chair-1", "script", spec(lambda: Script((), asks_who=False)), at, now=loop.time, heard=bed.heard,
                wave=bed.wave)
    task = loop.create_task(link.run())
    await until(lambda: link.state == "live", 3)
    task.cancel()
    await asyncio.wait([task])
    assert [state for state, *_ in bed.links] == ["connecting", "silent", "live"]
    for caller in callers:
        caller.close()
    listening.close()
