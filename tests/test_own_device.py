"""A device of the clinic's own is three files in folders it names: found, listed and driven as a shipped one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import drivers
import simulators
from drivers.contract import BadFrame
from edge.cli.catalogue import list_devices
from edge.config.files import ConfigError, load_edge
from edge.process import BadUsage
from simulators.serve import run_simulate
from tests.helpers.dialogue_run import DialogueRun, StillPatient
from tests.helpers.golden_table import decoded_json, frames, requests, wire

OWN = Path(__file__).parent / "own_device"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The clinic's folder of drivers."""
    return Path(shutil.copytree(OWN / "drivers", tmp_path / "drivers"))


def test_it_is_found_beside_those_of_the_package(folder: Path) -> None:
    assert set(drivers.find(folder)) == {*drivers.find(), "capnometer"}
    assert set(simulators.find(OWN / "simulators")) == {*simulators.find(), "capnometer"}


def test_it_sends_and_decodes_what_its_golden_table_says() -> None:
    spec = drivers.find(OWN / "drivers")["capnometer"]
    assert [(one.name, wire(one), one.effect) for one in spec.requests] == [
        (row.name, row.frame, row.effect) for row in requests("capnometer", OWN)]
    by_name = {one.name: one for one in spec.requests}
    for row in frames("capnometer", OWN):
        driver, request = spec.driver(), by_name[row.request] if row.request else None
        if row.bad:
            with pytest.raises(BadFrame):
                driver.decode(row.frame, request)
        else:
            assert decoded_json(driver.decode(row.frame, request)) == row.expected
    gaps = {one["metric"] for row in frames("capnometer", OWN) if not row.bad
            for one in row.expected if "metric" in one and one["value"] is None}
    assert gaps == spec.metrics, "of every metric it is shown how the device says that it has none"


def test_its_numbers_come_through_the_dialogue() -> None:
    spec = drivers.find(OWN / "drivers")["capnometer"]
    twin = simulators.find(OWN / "simulators")["capnometer"].make(StillPatient(resp_bpm=11.0), 42)
    run = DialogueRun(spec, twin)
    run.open()
    run.run(60)
    assert [state for _, state, _ in run.links()] == ["connecting", "live", "live"], "live, and then it has a name"
    assert run.dialogue.link.serial == "SN-0042"
    assert {sample.value for _, sample in run.samples("resp_bpm")} == {11.0}
    assert {sample.value for _, sample in run.samples("etco2_mmhg")} == {38.0}
    assert len(run.samples("etco2_mmhg")) >= 57
    twin.hands["cannula_off"]()
    run.forget()
    run.run(10)
    assert {(sample.value, sample.validity) for _, sample in run.samples("etco2_mmhg")} == {(None, "unavailable")}
    assert run.dialogue.counters.bad == run.dialogue.counters.dropped == 0


def test_it_is_in_the_list_of_devices(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    list_devices("capnometer", as_json=True, folder=folder)
    row = json.loads(capsys.readouterr().out)
    assert (row["metrics"], row["requests"]) == (
        ["etco2_mmhg", "resp_bpm"], [{"name": "identify", "effect": "identify", "hex": "49 0d"}])


@pytest.mark.parametrize(("text", "says"), [
    ("x = (\n", "/bad.py:1: SyntaxError: '(' was never closed"),
    ("x = 1\n",
     "/bad.py: has no TWIN = TwinSpec(...); write one, or begin the file's name with _ if it only helps others"),
    ((OWN / "simulators" / "capnometer.py").read_text(),
     "/capnometer.py: a twin is named 'capnometer' already, in {folder}/bad.py; rename one"),
])
def test_a_faulty_twin_is_one_clear_line_of_vigil_simulate(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str) -> None:
    folder = Path(shutil.copytree(OWN / "simulators", tmp_path / "simulators"))
    (folder / "bad.py").write_text(text)
    assert run_simulate(["capnometer"], folder=folder) == 2
    assert capsys.readouterr().err == f"vigil simulate: {folder}{says.format(folder=folder)}\n"


@pytest.mark.parametrize(("written", "instead", "says"), [
    ('Delimited(b"V", b"\\r", 32)', 'Delimited(b"V", b"\\r")',
     "{folder}/capnometer.py:32: TypeError: Delimited.__init__() missing 1 required positional argument: 'max_len'"),
    ('frozenset({"etco2_mmhg", "resp_bpm"})', 'frozenset({"etco2_mmHg", "resp_bpm"})',
     "driver 'capnometer': no metric 'etco2_mmHg'; did you mean 'etco2_mmhg'? there are spo2_pct, "),
    ('effect="identify"', 'effect="identity"',
     "{folder}/capnometer.py: request 'identify' has effect 'identity'; write"),
])
def test_a_faulty_driver_is_one_clear_line_before_it_is_at_a_bed(
        folder: Path, written: str, instead: str, says: str) -> None:
    path = folder / "capnometer.py"
    assert written in path.read_text()
    path.write_text(path.read_text().replace(written, instead))
    with pytest.raises(BadUsage) as wrong:
        list_devices("capnometer", as_json=True, folder=folder)
    assert str(wrong.value).startswith(says.format(folder=folder))


def test_vigil_simulate_without_the_folder_says_how_to_name_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_simulate(["capnometer"]) == 2
    assert "no twin named 'capnometer'" in (err := capsys.readouterr().err)
    assert "--simulators" in err


@pytest.mark.slow
def test_vigil_simulate_puts_it_on_a_wire_and_vigil_probe_finds_it_there(folder: Path) -> None:
    command = [sys.executable, "-m", "edge.cli"]
    twins = subprocess.Popen([*command, "simulate", "capnometer", "--simulators", str(OWN / "simulators"), "--json"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, cwd=OWN.parent.parent)
    try:
        assert twins.stdout is not None
        at = json.loads(twins.stdout.readline())["twins"][0]["at"]
        probe = subprocess.run([*command, "probe", at.partition("?")[0].removeprefix("serial://"), "--json",
                                "--drivers", str(folder)], capture_output=True, text=True, timeout=60, check=True,
                               cwd=OWN.parent.parent)
        found = json.loads(probe.stdout)["found"]
        assert [one["driver"] for one in found] == ["capnometer"]
        assert found[0]["numbers"]["etco2_mmhg"] == 38.0
    finally:
        twins.terminate()
        twins.wait(10)


EDGE = """[edge]
id = "clinic-1"
data = "data"
rules = "rules.toml"
drivers = "drivers"
[[bed]]
id = "chair-1"
[[bed.device]]
id = "capno"
driver = "capnometer"
at = "tcp://10.0.0.7:4001"
"""


def test_edge_toml_names_the_folder(folder: Path) -> None:
    path = folder.parent / "edge.toml"
    path.write_text(EDGE)
    (folder.parent / "rules.toml").write_text("")
    assert load_edge(path, drivers.find).bed[0].device[0].driver == "capnometer"


# --- a faulty file gives one clear line -------------------------------------------------------------------------------

GOOD = (OWN / "drivers" / "capnometer.py").read_text()
FAULTY = [
    ("x = (\n", "bad.py:1: SyntaxError: '(' was never closed"),
    ("\nimport capno_parts\n", "bad.py:2: ModuleNotFoundError: No module named 'capno_parts'"),
    ("def f():\n    return RATE\n\nf()\n", "bad.py:2: NameError: name 'RATE' is not defined"),
    ("from drivers.contract import FrameRequest\nASK = FrameRequest('ask', b'?')\n",
     "bad.py:2: TypeError: FrameRequest.__init__() missing 1 required keyword-only argument: 'effect'"),
    ("x = 1\n",
     "bad.py: has no DRIVER = Spec(...); write one, or begin the file's name with _ if it only helps others"),
    (GOOD, "capnometer.py: a driver is named 'capnometer' already, in {folder}/bad.py; rename one"),
    (GOOD.replace('effect="identify"', 'effect="run"').replace('"capnometer"', '"c"'),
     "bad.py: request 'identify' has effect 'run'; write one of identify, read, mode, start_cuff, stop_cuff,"
     " stop_pump"),
    (GOOD.replace('effect="identify"', 'effect="mode"').replace('"capnometer"', '"c"').replace('"monitor"', '"pump"'),
     "bad.py: request 'identify' to a pump has effect 'mode'; a pump is only read, or stopped"),
    (GOOD.replace('effect="identify"', 'effect="stop_pump"').replace('"capnometer"', '"c"').replace(
        '"monitor"', '"pump"'),
     "bad.py: request 'identify' stops a pump, and the driver has no stop(asked_s, until_s); write one"
     " (drivers.contract.StopDriver), for a pump"),
]


@pytest.mark.parametrize(("text", "says"), FAULTY, ids=[says.split(":")[1].strip()[:40] for _, says in FAULTY])
def test_a_faulty_driver_is_named_with_its_file_and_line(folder: Path, text: str, says: str) -> None:
    (folder / "bad.py").write_text(text)
    with pytest.raises(ValueError) as wrong:  # noqa: PT011 - the words are the test
        drivers.find(folder)
    assert str(wrong.value) == f"{folder}/" + says.format(folder=folder)
    path = folder.parent / "edge.toml"
    path.write_text(EDGE)
    with pytest.raises(ConfigError) as refused:
        load_edge(path, drivers.find)
    assert str(refused.value).startswith(f"{path}:5: drivers: {folder}/")
    with pytest.raises(BadUsage):
        list_devices(None, as_json=False, folder=folder)


def test_a_driver_of_a_metric_nobody_knows_is_refused(folder: Path) -> None:
    (folder / "capnometer.py").write_text(GOOD.replace("resp_bpm", "mood_pct"))
    path = folder.parent / "edge.toml"
    path.write_text(EDGE)
    with pytest.raises(ConfigError, match=r"'capnometer' decodes mood_pct, which edge/vocabulary\.py does not know"):
        load_edge(path, drivers.find)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere: cannot be read \(No such file or directory\)"):
        drivers.find(tmp_path / "nowhere")


def test_a_helper_beside_a_driver_is_no_driver(folder: Path) -> None:
    (folder / "_parts.py").write_text("x = 1\n")
    assert "capnometer" in drivers.find(folder)
    assert replace(drivers.find(folder)["capnometer"], title="x").title == "x"
