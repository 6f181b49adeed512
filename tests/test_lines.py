"""What the technician's page is told of a device's wire."""

from __future__ import annotations

import json

import drivers
import simulators
from edge.app.lines import BYTES, FRAMES, MINUTES, with_line
from edge.contract.payloads import DeviceNow, LineNow, encode
from edge.field.history import Seen
from tests.helpers.dialogue_run import DialogueRun, StillPatient


def line_of(run: DialogueRun) -> LineNow:
    told = with_line(DeviceNow(device="pump", driver=run.spec.name, link="live"), run.dialogue).line
    assert isinstance(told, LineNow)
    return told


def test_a_device_without_a_line_says_nothing_of_it() -> None:
    assert "line" not in json.loads(encode(DeviceNow(device="pump", driver="isco", link="live")))


def test_it_is_told_who_is_expected_what_was_counted_and_what_came() -> None:
    run = DialogueRun(drivers.find()["alaris_gh"], simulators.find()["alaris_gh"].make(StillPatient(), 1))
    run.open()
    run.run(600)
    line = line_of(run)
    assert line.expected == run.dialogue.link.serial
    assert (line.timeouts, line.response_s) == (0, 0.0)
    assert len(line.minutes) == MINUTES
    assert {(minute.bad, minute.late, minute.foreign) for minute in line.minutes} == {(0, 0, 0)}
    assert all(minute.received == minute.understood > 0 for minute in line.minutes)
    assert len(line.frames) == FRAMES
    assert [frame.sent for frame in line.frames] == [True, False] * (FRAMES // 2)
    assert any(frame.says == "INF" for frame in line.frames)
    assert any("pump stopped" in frame.says for frame in line.frames)


def test_a_long_frame_is_cut_and_a_refused_one_says_why() -> None:
    run = DialogueRun(drivers.find()["alaris_gh"], simulators.find()["alaris_gh"].make(StillPatient(), 1))
    long = Seen(run.dialogue.counters.since, False, bytes(BYTES + 1), "INF", None, "no CRC")
    run.dialogue.history.frames.append(long)
    (frame,) = line_of(run).frames
    assert frame.hex == " ".join(["00"] * BYTES) + " ..."
    assert frame.says == "refused: no CRC"


def test_a_service_keeps_no_more_frames_than_it_tells() -> None:
    run = DialogueRun(drivers.find()["alaris_gh"], simulators.find()["alaris_gh"].make(StillPatient(), 1))
    run.open()
    run.run(10)
    last = list(run.dialogue.history.frames)[-FRAMES:]
    run.dialogue.history.keep(FRAMES)
    assert list(run.dialogue.history.frames) == last
    run.run(10)
    assert len(run.dialogue.history.frames) == FRAMES
    assert len(line_of(run).frames) == FRAMES
