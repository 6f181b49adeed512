"""What a device sends and its driver makes nothing of is counted by name, and the technician sees it."""

from __future__ import annotations

import pytest

import drivers
import simulators
from drivers.contract import BadFrame, Driver, unmapped_of
from drivers.kit.tally import MOST, OTHERS, Tally
from edge.app.lines import with_line
from edge.contract.payloads import DeviceNow, LineNow
from edge.field.acceptance import Report, judge
from edge.field.device_url import parse_device_url
from edge.field.harmless import harmless
from tests.helpers.dialogue_run import DialogueRun, StillPatient
from tests.helpers.golden_table import frames

SPECS = drivers.find()
MASIMO = (b"03/19/16 13:37:12 SN=0000093112 SPO2=098%% BPM=097 PI=03.60%% SPCO=%b SPMET=--.-%% PVI=%b ALARM=0000"
          b" EXC=000000\r\n")


def told(name: str) -> Driver:
    """The driver, after all frames of its golden table."""
    driver, requests = SPECS[name].driver(), {one.name: one for one in SPECS[name].requests}
    for row in frames(name):
        try:
            driver.decode(row.frame, requests.get(row.request or ""))
        except BadFrame:
            pass
    return driver


def test_of_real_frames_what_is_not_read_has_its_name() -> None:
    """The IntelliVue's captures hold an arterial line, ST and premature beats."""
    found = unmapped_of(told("intellivue"))
    assert {"4A15 ABP", "4A16 ABP", "4A17 ABP", "4261 PVC"} <= found.keys()
    read = [name for name in found if name.startswith(("4BB8", "4182")) and "in unit" not in name]
    assert read == [], "SpO2 and heart rate are read; one row has a unit that nobody knows"
    assert unmapped_of(told("medibus")) == {"code 78": 1, "no time": 1}, "a machine that says --:--:-- has no time"


@pytest.mark.parametrize(("spco", "pvi", "said"), [
    (b"--.-%", b"--", {}), (b"02.1%", b"--", {"SPCO": 2}), (b"02.1%", b"14", {"SPCO": 2, "PVI": 2})])
def test_a_field_counts_where_it_has_a_number(spco: bytes, pvi: bytes, said: dict[str, int]) -> None:
    driver = SPECS["masimo_ascii"].driver()
    for frame in driver.framing.feed(MASIMO % (spco, pvi) * 2):
        driver.decode(frame, None)
    assert unmapped_of(driver) == said


def test_a_driver_that_maps_all_it_knows_counts_nothing() -> None:
    assert unmapped_of(SPECS["nonin"].driver()) == {}
    assert unmapped_of(harmless(SPECS["intellivue"], known=True).driver()) == {}


def test_so_many_names_and_no_more() -> None:
    tally = Tally()
    for number in range(MOST + 3):
        tally.saw(f"code {number}")
    tally.saw("code 0")
    assert (len(tally), tally["code 0"], tally[OTHERS]) == (MOST + 1, 2, 3)


def test_the_technician_sees_it_on_the_page_and_in_the_report() -> None:
    spec = SPECS["medibus"]
    run = DialogueRun(spec, simulators.find()["medibus"].make(StillPatient(), 1))
    run.open()
    run.run(10)
    tally = run.driver.unmapped  # type: ignore[attr-defined]
    before = dict(tally)
    tally.saw("code 7F")
    device = DeviceNow(device="m", kind="monitor", driver="medibus", identity=None, link="live", since="")
    line = with_line(device, run.dialogue).line
    assert isinstance(line, LineNow)
    assert line.unmapped == {**before, "code 7F": 1}
    report = Report(spec, parse_device_url("tcp://10.0.0.7:4001"), seconds=10, dialogue=run.dialogue)
    judge(report, run.dialogue)
    assert "sent, and not shown by this driver: code 7F, 1 times" in report.remarks
