"""Where a register map is used: edge.toml, the clinic's folder, `vigil devices`, its twin."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import drivers
import simulators
from drivers.modbus_map.file import read_map
from edge.cli.catalogue import find_driver, list_devices
from edge.config.files import ConfigError, load_edge
from edge.process import BadUsage
from simulators.modbus_map import MapTwin, twin_of
from tests.helpers.dialogue_run import StillPatient
from tests.helpers.register_maps import EXAMPLE, HEAD, PULSE, SPO2, a_map

EDGE = """[edge]
id = "clinic-1"
data = "data"
rules = "rules.toml"
{folder}
[[bed]]
id = "chair-1"
[[bed.device]]
id = "pump"
driver = "{driver}"
{map}
at = "modbus+tcp://10.0.0.9"
"""


@pytest.fixture
def clinic(tmp_path: Path) -> Path:
    (tmp_path / "drivers").mkdir()
    (tmp_path / "rules.toml").write_text("")
    shutil.copy(EXAMPLE, tmp_path / "pump.toml")
    shutil.copy(EXAMPLE, tmp_path / "drivers" / "pump.toml")
    return tmp_path


def edge_of(clinic: Path, driver: str, of_map: str = "", folder: str = "") -> Path:
    return a_map(clinic, EDGE.format(driver=driver, map=of_map, folder=folder), "edge.toml")


def test_edge_toml_names_a_map(clinic: Path) -> None:
    config = load_edge(edge_of(clinic, "modbus_map", 'map = "pump.toml"'), drivers.find)
    (device,) = config.bed[0].device
    assert drivers.find(None, config.maps)[device.spec].title == "Acme 3000 syringe pump"
    assert set(drivers.find(None, config.maps)) == {*drivers.find(), str(clinic / "pump.toml")}


def test_a_map_in_the_clinics_folder_is_a_driver_of_its_own_name(clinic: Path) -> None:
    load_edge(edge_of(clinic, "acme_3000", folder='drivers = "drivers"'), drivers.find)
    assert "acme_3000" in simulators.find(clinic / "drivers")


@pytest.mark.parametrize(("driver", "of_map", "says"), [
    ("modbus_map", "", "10: driver 'modbus_map' reads by a register map; write map = \"device.toml\""),
    ("isco", 'map = "pump.toml"', "11: 'map' is for driver = 'modbus_map'; driver 'isco' has its own"),
    ("modbus_map", 'map = "no.toml"', "11: map: {clinic}/no.toml: cannot be read (No such file or directory)"),
    ("modbus_map", 'map = "rules.toml"', "11: map: {clinic}/rules.toml:1: lacks [device]"),
])
def test_what_edge_toml_says_wrongly_of_a_map(clinic: Path, driver: str, of_map: str, says: str) -> None:
    path = edge_of(clinic, driver, of_map)
    with pytest.raises(ConfigError) as wrong:
        load_edge(path, drivers.find)
    assert str(wrong.value).startswith(f"{path}:{says.format(clinic=clinic)}")


def test_a_metric_nobody_knows_is_named_with_its_line(clinic: Path) -> None:
    text = EXAMPLE.read_text().replace("battery_pct", "mood_pct")
    line = text[: text.index("mood_pct")].count("\n") + 1
    (clinic / "pump.toml").write_text(text)
    with pytest.raises(ConfigError, match=rf"pump\.toml:{line}: driver 'modbus_map' decodes mood_pct"):
        load_edge(edge_of(clinic, "modbus_map", 'map = "pump.toml"'), drivers.find)
    with pytest.raises(BadUsage, match=rf"pump\.toml:{line}: no metric 'mood_pct'"):
        find_driver(str(clinic / "pump.toml"), None)


def test_vigil_devices_shows_a_map(capsys: pytest.CaptureFixture[str]) -> None:
    list_devices(str(EXAMPLE), as_json=True)
    row = json.loads(capsys.readouterr().out)
    assert (row["name"], row["kind"], len(row["requests"])) == ("acme_3000", "pump", 8)
    list_devices("modbus_map", as_json=False)
    assert "deploy/modbus_map.example.toml" in capsys.readouterr().out
    list_devices(None, as_json=False)
    assert "\nmodbus_map " in capsys.readouterr().out


def test_what_a_register_cannot_hold_is_as_near_as_it_can(tmp_path: Path) -> None:
    path = a_map(tmp_path, HEAD + SPO2 + "scale = 0.001\n" + PULSE + "scale = 1e6\n")
    assert MapTwin(read_map(path), StillPatient()).raw == {(4, 5): 0xFFFF, (4, 7): 0}


def test_the_twin_of_a_map_has_its_line_and_hands() -> None:
    twin = twin_of(EXAMPLE)
    assert (twin.name, twin.baud, twin.parity) == ("acme_3000", 19200, "E")
    assert set(twin.make(StillPatient(), 1).hands) == set(twin.hands)
