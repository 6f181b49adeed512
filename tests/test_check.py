"""`vigil check`: what makes a link unfit for a bed, at the limit; and the report as a person keeps it."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import drivers
import simulators
from drivers.contract import Heard
from edge.app.scale import ROOT, Evidence, read_report
from edge.cli.capture import run_capture
from edge.cli.check import _is_of_this_machine, _lines, _plain, run_check
from edge.field import acceptance
from edge.field.acceptance import REPORT, Report, check, judge
from edge.field.device_url import parse_device_url
from edge.field.harmless import harmless
from edge.field.history import History
from edge.field.link_state import Counters
from edge.model import LinkChanged, PumpState, PumpStatus, Sample, Samples
from edge.process import BadUsage
from simulators.capture import Capture
from simulators.scenario import catalogue
from tests.helpers.dialogue_run import DialogueRun, StillPatient
from tests.helpers.stage_run import staged
from tests.helpers.tap import declared, looked_at, tapping

PLACE = parse_device_url("serial:///dev/ttyUSB0")


def listened(name: str = "alaris_gh", spoil: Callable[[DialogueRun], None] = lambda run: None) -> Report:
    """A report of two minutes with this driver's twin, judged."""
    spec = drivers.find()[name]
    run = DialogueRun(spec, simulators.find()[name].make(StillPatient(), 1))
    run.open()
    run.run(5)
    report = Report(spec, PLACE, seconds=120.0, dialogue=run.dialogue, before=replace(run.dialogue.counters),
                    live_after_s=1.0, identity=run.dialogue.link.serial)
    run.forget()
    spoil(run)
    run.run(120)
    for at_s, one in run.inputs:
        report.given([one], at_s, False)
    judge(report, run.dialogue)
    return report


@pytest.mark.parametrize("name", [name for name in drivers.find() if name != "suntech_advantage"])
def test_a_good_link_is_fit(name: str) -> None:
    assert listened(name).faults == []


def test_the_report_as_json_is_what_the_scale_reads(tmp_path: Path) -> None:
    told = json.loads(json.dumps(_plain(listened(), "2026-01-31T09:00:00.000Z")))
    assert list(told) == list(REPORT)
    assert told["counters"]["frames"] > 0
    assert told["frames"]
    (tmp_path / "one.json").write_text(json.dumps(told))
    kept = read_report(tmp_path / "one.json")
    assert kept is not None
    assert kept.objection(Evidence(drivers.find()["alaris_gh"], ROOT).driver_digest) == ""


def counts(**more: int) -> Callable[[DialogueRun], None]:
    def spoil(run: DialogueRun) -> None:
        for name, count in more.items():
            setattr(run.dialogue.counters, name, getattr(run.dialogue.counters, name) + count)

    return spoil


FRAMES = 242  # of the pump in two minutes, and about as many requests
LIMITS = [
    (counts(bad=2), []), (counts(bad=3), ["3 of"]),
    (counts(timeouts=2), []), (counts(timeouts=3), ["3 requests got no response"]),
    (counts(late=2), []), (counts(late=3), ["3 frames came too late"]),
    (counts(received=900), []), (counts(received=2000), ["2000 of"]),
]


@pytest.mark.parametrize(("spoil", "faults"), LIMITS)
def test_what_makes_it_unfit_at_the_limit(spoil: Callable[[DialogueRun], None], faults: list[str]) -> None:
    found = listened(spoil=spoil).faults
    assert [fault.startswith(said) for fault, said in zip(found, faults, strict=True)] == [True] * len(faults)


def test_three_days_have_more_responses_than_are_kept() -> None:
    def spoil(run: DialogueRun) -> None:
        run.dialogue.history.responded += 500_000
        counts(timeouts=4000)(run)

    assert listened(spoil=spoil).faults == []


def test_a_link_that_falls_for_days_is_said_in_a_few_lines() -> None:
    def spoil(run: DialogueRun) -> None:
        run.inputs += [(0.0, LinkChanged("pump", "silent", f"no {n}")) for n in range(900)]

    faults = listened(spoil=spoil).faults
    assert (faults[0], faults[5], len(faults)) == ("the link was silent: no 0", "and so 895 times more", 6)


def test_the_printed_report_says_the_verdict_first_and_why() -> None:
    fit = _lines(listened(), PLACE, "2026-01-31T09:00:00.000Z")
    assert fit[:3] == ["Link acceptance report    2026-01-31T09:00:00.000Z", "",
                       "verdict   FIT: this link may serve a bed"]
    unfit = _lines(listened(spoil=counts(timeouts=3)), PLACE, "2026-01-31T09:00:00.000Z")
    assert unfit[2:4] == ["verdict   NOT FIT: mend what stands below, and check again",
                          "FAULT     3 requests got no response"]
    assert unfit[-1] == "checked by ____________________  date ____________"


def printed(report: Report, at: str = "serial:///dev/ttyUSB0") -> list[str]:
    return _lines(report, parse_device_url(at), "2026-01-31T09:00:00.000Z")


def long_history(run: DialogueRun) -> None:
    run.dialogue.history.keep(acceptance.FRAMES)


@pytest.mark.parametrize(("name", "says"), [
    ("dinamap_binary", "heart_rate_bpm 72 questionable"), ("berry_pm6750", "spo2_pct 98; pulse_bpm 72"),
    ("medibus", "nothing of use by itself")])  # the response to a request is shown all the same
def test_the_last_frames_are_those_that_say_something(name: str, says: str) -> None:
    page = printed(listened(name, long_history))
    frames = page[page.index("last frames that say something, and what was asked") + 1 : -2]
    assert len(frames) == 8
    assert any(line.endswith(f"  {says}") for line in frames)


def test_a_number_that_is_always_doubted_is_remarked_and_one_that_is_so_now_and_then_is_not() -> None:
    report = listened("dinamap_binary")
    says = "heart_rate_bpm was questionable every time: it raises no alarm and ends none"
    assert says in report.remarks
    assert "heart_rate_bpm            120     0     120        72        72  1.0 s" in printed(report)
    report.metrics["heart_rate_bpm"].seen(72.0, 999.0)
    report.remarks.clear()
    assert report.dialogue is not None
    judge(report, report.dialogue)
    assert says not in report.remarks


def test_what_does_not_come_any_more_is_missing_until_the_end() -> None:
    report = Report(drivers.find()["nonin"], PLACE, since_s=100.0)
    sample = Sample("b", "d", "spo2_pct", 98.0, "valid", 103.0)
    report.given([Samples("d", (sample,))], 103.0, False)
    report.ended(104.0)
    assert report.metrics["spo2_pct"].gap_s == 3.0, "from the beginning to the first"
    report.ended(160.0)
    assert report.metrics["spo2_pct"].gap_s == 57.0


@pytest.mark.parametrize(("states", "says"), [
    (["unknown", "unknown"], True), (["unknown", "stopped"], False), ([], False)])
def test_a_pump_that_never_says_what_it_does_is_remarked(states: list[PumpState], says: bool) -> None:
    report = listened(spoil=lambda run: run.inputs.clear())
    report.pump.clear()
    report.remarks.clear()
    report.given([PumpStatus("pump", state) for state in states], 0.0, False)
    assert report.dialogue is not None
    judge(report, report.dialogue)
    assert ("the pump never said what it does: start it, and check again" in report.remarks) == says
    assert any(line.startswith("pump      ") for line in printed(report)) == bool(states)


@pytest.mark.parametrize(("at", "said"), [("serial:///dev/pts/3", True), ("serial:///dev/ttyUSB0", False)])
def test_the_page_says_where_it_is_about_no_device(at: str, said: bool) -> None:
    says = "NO DEVICE what responded is a program of this machine; this page is about no device"
    assert (says in printed(listened(), at)) == said


@pytest.mark.parametrize(("at", "ours"), [
    ("tcp://127.0.0.1:4001", True), ("tcp://localhost:4001", True), ("tcp://[::1]:4001", True),
    (f"tcp://{socket.gethostname()}:4001", True), ("tcp://192.0.2.7:4001", False), ("serial:///dev/ttyUSB0", False),
    ("serial:///dev/pts/3", True), ("modbus+tcp://127.1.2.3?unit=1", True),
])
def test_a_program_on_this_machine_is_no_device(at: str, ours: bool) -> None:
    assert _is_of_this_machine(parse_device_url(at)) is ours


def test_a_link_that_falls_is_unfit_and_says_why() -> None:
    def spoil(run: DialogueRun) -> None:
        run.wire = lambda data: b"" if 30 < run.real_s < 50 else data

    assert "the link was silent: nothing received for 6 s" in listened(spoil=spoil).faults


HEARD = [name for name, spec in drivers.find().items() if isinstance(spec.driver(), Heard)]


@pytest.mark.parametrize("name", HEARD)
def test_a_check_hears_that_a_line_is_late_by_the_device_s_own_clock(name: str) -> None:
    """As in service: what came a while ago is no number, in a check, a probe or a recording either."""
    run = DialogueRun(harmless(drivers.find()[name], known=True), simulators.find()[name].make(StillPatient(), 1))
    run.open()
    run.run(30)
    assert samples_of(run)[-1].validity == "valid"
    run.delay(each=1, late_s=12.0)
    run.run(14)
    run.forget()
    run.run(20)
    assert [one for one in samples_of(run) if one.validity == "valid"] == []


def samples_of(run: DialogueRun) -> list[Sample]:
    return [sample for _, one in run.inputs if isinstance(one, Samples) for sample in one.samples
            if sample.metric == "spo2_pct"]


def test_a_feed_without_a_number_is_unfit() -> None:
    def spoil(run: DialogueRun) -> None:
        run.twin.hands["probe_off"]()

    assert listened("nonin", spoil).faults == ["no number came: is a patient (or a finger) on it, is the pump on?"]


def test_a_cuff_that_was_not_inflated_is_fit_without_a_number() -> None:
    report = Report(drivers.find()["suntech_advantage"], PLACE)
    run = DialogueRun(report.spec, simulators.find()["suntech_advantage"].make(StillPatient(), 1))
    judge(report, run.dialogue)
    assert report.faults == []
    assert "no cuff was inflated in this check" in report.remarks


def test_what_a_technician_should_know_is_remarked() -> None:
    remarks = listened("contec_cms60").remarks
    assert any(remark.startswith("it gives no serial number") for remark in remarks)


def test_the_history_keeps_frames_response_times_and_minutes() -> None:
    report = listened()
    assert report.dialogue is not None
    history = report.dialogue.history
    assert len(history.frames) == 40
    assert {one.words() for one in history.frames if one.sent} == {"INF", "ALARM", "SYRINGE_STATUS"}
    assert any("pump stopped" in one.words() for one in history.frames)
    assert len(history.minutes) == 2
    assert [(minute.bad, minute.late, minute.foreign) for minute in history.minutes] == [(0, 0, 0)] * 2
    assert all(minute.received == minute.understood > 5000 for minute in history.minutes)
    assert history.response_s(0.5) == 0.0
    assert History(Counters(since=0.0)).response_s(0.5) is None


# --- on a wire --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_pulled_cable_is_noticed_and_its_return_timed(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptance, "LIVE_WITHIN_S", 8.0)
    loop = asyncio.get_running_loop()
    async with staged(catalogue(["alaris_gh"], simulators.find()), simulators.find()) as stage:
        running = asyncio.ensure_future(stage.run())
        at = parse_device_url(stage.rows[0].at)
        mute = {"pull the device's cable now": "mute", "put it back": "unmute"}

        async def prompt(words: str) -> None:
            stage.do("chair-1", "alaris-gh", mute[words])

        report = await check(at, drivers.find()["alaris_gh"], 1.5, now=loop.time, prompt=prompt)
        running.cancel()
    assert report.fit, report.faults
    assert report.noticed_s is not None and report.noticed_s < 8
    assert report.back_s is not None and report.back_s < 3


@pytest.mark.slow
async def test_nothing_on_the_port_is_unfit_with_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is said as soon as the port has been tried for a while, however long a device may take to be live."""
    assert acceptance.SHUT_S <= 3
    monkeypatch.setattr(acceptance, "SHUT_S", 0.3)
    at = parse_device_url(f"serial://{tmp_path}/ttyUSB9")
    report = await check(at, drivers.find()["contec_cms60"], 1.0, now=asyncio.get_running_loop().time)
    assert not report.fit
    assert report.faults == [f"the port cannot be opened: {tmp_path}/ttyUSB9 is not there"]


@pytest.mark.slow
async def test_the_verb_prints_a_report_and_a_capture_plays(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge.cli", "simulate", "nonin", "--json", stdout=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.DEVNULL)
    assert process.stdout is not None
    at = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))["twins"][0]["at"]

    async def vigil(*words: str) -> tuple[int | None, str]:
        one = await asyncio.create_subprocess_exec(sys.executable, "-m", "edge.cli", *words,
                                                   stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL)
        said, _ = await asyncio.wait_for(one.communicate(), 30)
        return one.returncode, said.decode()

    try:
        code, said = await vigil("check", at, "--driver", "nonin", "--minutes", "0.05")
        assert (code, "verdict   FIT" in said, "spo2_pct" in said) == (0, True, True)
        code, said = await vigil("check", at, "--driver", "nonin", "--minutes", "0.02", "--json")
        assert (code, json.loads(said)["fit"]) == (0, True)
        long = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edge.cli", "check", at, "--driver", "nonin", "--minutes", "4320", "--reports",
            str(tmp_path / "kept"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        assert long.stderr is not None
        assert b"72 h to go" in await asyncio.wait_for(long.stderr.readline(), 20)
        long.send_signal(signal.SIGINT)
        await asyncio.wait_for(long.wait(), 20)
        kept = sorted((tmp_path / "kept").iterdir())
        assert [path.suffix for path in kept] == [".json", ".txt"]
        assert json.loads(kept[0].read_text())["simulated"]
        assert kept[1].read_text().startswith("Link acceptance report")
        code, said = await vigil("devices", "nonin", "--reports", str(tmp_path / "kept"))
        assert (code, f"{kept[0].name}: it is of a program on the same machine, no device" in said) == (0, True)
        async with tapping(tmp_path) as tap:
            code, _ = await vigil("capture", await tap.on(at), str(tmp_path / "c.jsonl"), "--driver", "nonin",
                                  "--minutes", "0.03")
        assert code == 0
        assert declared(tap.lines[parse_device_url(at).endpoint],
                        {1: looked_at(drivers.find()["nonin"], known=True)}) > 0
    finally:
        process.terminate()
        await process.wait()
    records = Capture.read(tmp_path / "c.jsonl").records
    assert sum(len(record.data) for record in records if record.direction == "dev->host") > 300


@pytest.mark.parametrize(("words", "says"), [
    ({"port": ""}, "no port"), ({"driver": "nonn"}, "no driver is named 'nonn'; did you mean 'nonin'?"),
    ({"port": "modbus+tcp://10.0.0.9"}, "driver 'nonin' cannot be reached by modbus+tcp://; write serial://, tcp://"),
    ({"settings": ["pump=E"]}, "--set pump=E: write NAME=VALUE, NAME one of format"),
])
def test_bad_usage_is_one_line(words: dict[str, object], says: str) -> None:
    chosen = {"port": "/dev/ttyUSB9", "driver": "nonin", "settings": [], **words}
    with pytest.raises(BadUsage) as wrong:
        run_check(str(chosen["port"]), str(chosen["driver"]), 1.0, pull=False, as_json=False, folder=None,
                  settings=[str(one) for one in ([] if chosen["settings"] == [] else ["pump=E"])])
    assert str(wrong.value).startswith(says)


def test_a_capture_of_nothing_says_why_and_leaves_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.jsonl"
    assert run_capture("/dev/null", path, "nonin", 0.1, None) == 1
    assert capsys.readouterr().out == f"{path}: 0 records, 0 bytes of the device: /dev/null is no serial port\n"
    assert not path.exists()


def test_a_capture_overwrites_no_file(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text("")
    with pytest.raises(BadUsage, match="give a file that is not there yet"):
        run_capture("/dev/ttyUSB9", tmp_path / "c.jsonl", "nonin", 1.0, None)
    with pytest.raises(BadUsage, match="a capture is of a byte stream"):
        run_capture("modbus+tcp://10.0.0.9", tmp_path / "d.jsonl", "isco", 1.0, None)
