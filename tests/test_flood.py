"""Alarms of one cause: a gateway, a power strip or the box fails, and what many beds say is named as one."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from edge.core.alarms import Alarm
from edge.core.bedside import Bedside
from edge.core.flood import Floods, wires
from edge.core.state import BedState, Device, Maintenance
from edge.model import DeviceKind, LinkChanged, LinkState, RecordDamaged, Sample, Samples, StorageChanged, Tick, iso
from tests.helpers.rule_files import RULES

T0 = 1_800_000_000.0
GATEWAY = ("10.0.0.9", "10.0.0.9:502")


class Ward:
    """Some beds, each with a pump, a cuff and an oximeter, all live; stepped second by second."""

    def __init__(self, beds: int) -> None:
        kinds: tuple[tuple[str, DeviceKind, str], ...] = (
            ("pump", "pump", "x"), ("cuff", "nibp", "x"), ("oximeter", "oximeter", "x"))
        self.beds = {f"bed-{number}": Bedside(f"bed-{number}", kinds, RULES) for number in range(1, beds + 1)}
        self.floods = Floods(RULES, lambda: [bedside.state for bedside in self.beds.values()])
        self.at_s = T0
        for bed in self.beds:
            for name, *_ in kinds:
                self.link(bed, name, "live")

    def link(self, bed: str, device: str, state: LinkState) -> None:
        self.beds[bed].apply(LinkChanged(device, state), self.at_s)

    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.at_s += 1
            for bedside in self.beds.values():
                bedside.apply(Tick(), self.at_s)

    def causes(self) -> dict[str, str]:
        """The causes of all alarms, by bed and alarm."""
        self.floods.changed()
        return {f"{bed} {key}": cause.text for bed, bedside in self.beds.items()
                for key, cause in self.floods.causes(bedside.state).items()}

    def alarms(self) -> set[str]:
        return {f"{bed} {key}" for bed, bedside in self.beds.items() for key, alarm in bedside.state.alarms.items()
                if alarm.state == "active"}


def test_a_gateway_that_fails_is_one_cause_until_its_last_but_one_device_is_back() -> None:
    ward = Ward(4)
    for bed in ("bed-1", "bed-2", "bed-3"):
        ward.floods.wires[bed, "pump"] = GATEWAY
    for bed in ("bed-1", "bed-2", "bed-3"):  # each found lost in its own time
        ward.link(bed, "pump", "lost")
        ward.wait(15)
    ward.link("bed-4", "cuff", "lost")
    ward.wait(11)
    said = "3 devices are not heard over 10.0.0.9:502: look at its power and cables; a pump may still be running"
    assert ward.causes() == {f"bed-{number} TEC-3:pump": said for number in (1, 2, 3)}
    assert "bed-4 TEC-4:cuff" in ward.alarms(), "another cause, its own line"
    ward.link("bed-2", "pump", "live")
    ward.wait(11)
    assert set(ward.causes()) == {"bed-1 TEC-3:pump", "bed-3 TEC-3:pump"}, "it ends bed by bed"
    ward.link("bed-1", "pump", "live")
    ward.wait(11)
    assert ward.causes() == {} and "bed-3 TEC-3:pump" in ward.alarms()


def test_a_gateway_with_one_device_that_responds_has_not_failed() -> None:
    ward = Ward(3)
    for bed in ward.beds:
        ward.floods.wires[bed, "pump"] = GATEWAY
    ward.link("bed-1", "pump", "silent")
    ward.wait(20)
    ward.link("bed-2", "pump", "silent")
    ward.wait(11)
    assert ward.causes() == {} and len(ward.alarms()) == 2
    ward.link("bed-3", "pump", "silent")
    ward.wait(11)
    assert len(ward.causes()) == 3


@pytest.mark.parametrize(("over", "shared"), [
    (("", "10.0.0.7", 4001, 4002), "10.0.0.7"),  # a terminal server's ports
    (("", "moxa.ward.local", 4001, 4002), "moxa.ward.local"),
    (("", "10.0.0.7", 502, 502), "10.0.0.7:502"),
    (("", "127.0.0.1", 4001, 4002), None), (("", "localhost", 4001, 4002), None), (("", "::1", 4001, 4002), None),
])
def test_what_is_reached_over_a_host(over: tuple[str, str, int, int], shared: str | None) -> None:
    path, host, *ports = over
    common = set.intersection(*(set(wires(path, host, port)) for port in ports))
    assert common == ({shared} if shared and ":" not in shared else {shared, host} if shared else set())


@pytest.mark.parametrize(("path", "other", "shared"), [
    ("/dev/ttyS0", "/dev/ttyS0", "/dev/ttyS0"), ("/dev/ttyS0", "/dev/ttyS1", None),
    ("/dev/serial/by-id/usb-FTDI_Quad_FT1-if00-port0", "/dev/serial/by-id/usb-FTDI_Quad_FT1-if01-port0",
     "/dev/serial/by-id/usb-FTDI_Quad_FT1"),
    ("/dev/serial/by-id/usb-FTDI_Quad_FT1-if00-port0", "/dev/serial/by-id/usb-FTDI_Quad_FT2-if00-port0", None),
])
def test_what_is_reached_over_a_serial_port(path: str, other: str, shared: str | None) -> None:
    assert set(wires(path, "", 0)) & set(wires(other, "", 0)) == ({shared} if shared else set())


@pytest.mark.parametrize("change", [
    {"off_until_s": T0}, {"maintenance": Maintenance(T0, T0 + 60, "tim", "a cable")}, {"away": True}])
def test_a_device_that_nobody_misses_is_none_of_those_over_a_wire(change: dict[str, Any]) -> None:
    state = BedState("bed-1", devices={"pump": Device("pump", "x"), "cuff": replace(Device("nibp", "x"), **change)})
    places = [("bed-1", "pump"), ("bed-1", "cuff"), ("bed-1", "taken out"), ("bed-9", "pump")]
    floods = Floods(RULES, lambda: [state], dict.fromkeys(places, ("/dev/x",)))
    assert floods._by_wire({"bed-1": state}) == {"/dev/x": [("bed-1", "pump")]}
    alarms = [Alarm(rule, rule, "bed-1", device="cuff") for rule in ("TEC-4", "TEC-2")]
    assert floods._text("wire /dev/x", alarms, {"bed-1": state}).startswith("1 device is not heard over x: look at")


@pytest.mark.parametrize(("lost", "last_after_s", "one_line"), [(3, 10, True), (3, 11, False), (2, 0, False)])
def test_a_power_strip_is_devices_that_are_lost_together(lost: int, last_after_s: int, one_line: bool) -> None:
    ward = Ward(3)
    places = [("bed-1", "cuff"), ("bed-2", "oximeter"), ("bed-3", "cuff")][:lost]
    ward.floods.wires = {place: (f"/dev/{place}",) for place in places}  # each over its own
    ward.link(*places[0], "lost")
    ward.wait(1)
    for place in places[1:-1]:
        ward.link(*place, "lost")
    ward.wait(last_after_s - 1)
    ward.link(*places[-1], "silent")
    ward.wait(11)
    assert len(ward.alarms()) == lost
    ids = {cause.id for bedside in ward.beds.values() for cause in ward.floods.causes(bedside.state).values()}
    assert ids == ({f"together {iso(T0)}"} if one_line else set())
    said = "3 devices were lost within 10 s: look at power and network"
    assert ward.causes() == ({f"{bed} TEC-4:{device}": said for bed, device in places} if one_line else {})


def test_what_is_lost_with_its_gateway_is_not_counted_again_with_what_else_is_lost_then() -> None:
    ward = Ward(3)
    for bed in ("bed-1", "bed-2"):
        ward.floods.wires[bed, "pump"] = GATEWAY
    for bed, device in (("bed-1", "pump"), ("bed-2", "pump"), ("bed-3", "cuff")):
        ward.link(bed, device, "lost")
    ward.wait(11)
    assert len(ward.alarms()) == 3
    assert set(ward.causes()) == {"bed-1 TEC-3:pump", "bed-2 TEC-3:pump"}
    assert all("over 10.0.0.9:502" in said for said in ward.causes().values())


def test_what_was_lost_together_stays_one_line_while_it_comes_back_and_nothing_joins_it() -> None:
    ward = Ward(4)
    for bed in ("bed-1", "bed-2", "bed-3"):
        ward.link(bed, "cuff", "lost")
    ward.wait(11)
    assert len(ward.causes()) == 3
    ward.link("bed-1", "cuff", "live")
    ward.link("bed-4", "cuff", "lost")
    ward.wait(11)
    assert set(ward.causes()) == {"bed-2 TEC-4:cuff", "bed-3 TEC-4:cuff"}


def test_the_box_says_it_once_for_all_beds_and_at_one_bed_it_is_that_beds() -> None:
    ward = Ward(3)
    for bedside in ward.beds.values():
        bedside.apply(StorageChanged("the disk is full"), ward.at_s)
    ward.beds["bed-1"].apply(RecordDamaged("a checkpoint does not match"), ward.at_s)
    ward.wait(1)
    assert ward.causes() == {f"{bed} TEC-11": "The record cannot be written: the disk is full" for bed in ward.beds}
    assert "bed-1 TEC-12" in ward.alarms()


def test_an_alarm_of_a_patient_has_no_cause_in_common_and_keeps_its_own_line() -> None:
    ward = Ward(3)
    for number, bed in enumerate(ward.beds):
        for second in range(20):
            ward.beds[bed].apply(Samples("oximeter", (
                Sample(bed, "oximeter", "spo2_pct", 80.0 + number, "valid", ward.at_s + second),)), ward.at_s + second)
    ward.at_s += 20
    for bed in ward.beds:
        ward.link(bed, "cuff", "lost")
    ward.wait(11)
    assert {f"{bed} RES-3" for bed in ward.beds} <= ward.alarms()
    assert set(ward.causes()) == {f"{bed} TEC-4:cuff" for bed in ward.beds}


