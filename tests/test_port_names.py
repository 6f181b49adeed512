"""A port is named so that the same adapter, or the same socket, is meant tomorrow; what is not is said."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

import drivers
from edge.app.doubts import NOTHING_TELLS, warnings
from edge.config.files import load_edge
from edge.field import port_names
from edge.field.port_names import holders, lasting, links, unsure


@dataclass
class Adapter:
    device: str
    serial_number: str | None


NAMED, PLAIN, OWN = Adapter("/dev/ttyUSB0", "A10K"), Adapter("/dev/ttyUSB1", None), Adapter("/dev/ttyS0", None)
PLUGGED = [NAMED, PLAIN, OWN]


@pytest.fixture(autouse=True)
def udev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As udev names two adapters, one without a number, and a port of the machine."""
    for folder, name, device in (("by-id", "usb-FTDI_A10K", NAMED), ("by-id", "usb-CH340", PLAIN),
                                 ("by-path", "pci-1", NAMED), ("by-path", "pci-2", PLAIN)):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).symlink_to(device.device)
    monkeypatch.setattr(port_names, "BY_ID", tmp_path / "by-id")
    monkeypatch.setattr(port_names, "BY_PATH", tmp_path / "by-path")
    return tmp_path


def test_an_adapter_is_named_by_its_number_else_by_its_socket(udev: Path) -> None:
    assert [lasting(one, links()) for one in PLUGGED] == [
        f"{udev}/by-id/usb-FTDI_A10K", f"{udev}/by-path/pci-2", "/dev/ttyS0"]
    assert lasting(NAMED, {}) == "/dev/ttyUSB0", "where udev names nothing"


@pytest.mark.parametrize(("path", "says"), [
    ("/dev/ttyUSB0", "/dev/ttyUSB0 may be another adapter after a replug or a restart: write"
     " {udev}/by-id/usb-FTDI_A10K"),
    ("/dev/ttyUSB1", "/dev/ttyUSB1 may be another adapter after a replug or a restart: write {udev}/by-path/pci-2"),
    ("/dev/ttyACM7", "/dev/ttyACM7 may be another adapter after a replug or a restart: write its name under"
     " /dev/serial/by-id or /dev/serial/by-path (vigil ports)"),
    ("{udev}/by-id/usb-CH340", "this adapter has no serial number, and another like it would have the same name: write"
     " {udev}/by-path/pci-2"),
    ("{udev}/by-id/usb-FTDI_A10K", ""), ("{udev}/by-path/pci-2", ""), ("/dev/ttyS0", ""), ("/dev/ttyAMA0", ""),
    ("/dev/serial/by-id/usb-not-plugged-in", ""), ("", ""),
])
def test_what_may_be_another_tomorrow_is_said_with_what_to_write(udev: Path, path: str, says: str) -> None:
    assert unsure(path.format(udev=udev), PLUGGED) == says.format(udev=udev)


def test_each_doubt_of_an_edge_toml_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    (tmp_path / "rules.toml").write_text("")
    file.write_text('[edge]\nid = "clinic-1"\ndata = "."\nrules = "rules.toml"\n[[bed]]\nid = "chair-1"\n' + "".join(
        f'[[bed.device]]\nid = "{driver.split("_")[0]}"\ndriver = "{driver}"\nat = "{at}"\n' for driver, at in (
            ("nonin", "serial:///dev/ttyUSB8"), ("alaris_gh", "serial:///dev/ttyUSB9"), ("isco", "modbus+tcp://10.0.0.9"))))
    said = list(warnings(file, load_edge(file, drivers.find), drivers.find()))
    assert [line.partition(" may be")[0] for line in said] == [
        f"{file}:10: chair-1/nonin: /dev/ttyUSB8", f"{file}:14: chair-1/alaris: /dev/ttyUSB9"]
    assert [line.endswith(NOTHING_TELLS) for line in said] == [True, False], "an Alaris has a number"


def test_the_program_that_has_a_port_is_named() -> None:
    master, slave = os.openpty()
    path = os.ttyname(slave)
    os.close(slave)
    try:
        assert holders(path) == [], "this program is none of the others"
        with subprocess.Popen(["cat", path], stdout=subprocess.DEVNULL) as other:
            while not (found := holders(path)):
                assert other.poll() is None
            other.kill()
        assert found == [f"cat {path} (process {other.pid})"]
    finally:
        os.close(master)
