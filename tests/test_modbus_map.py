"""A register map in TOML is a driver and a twin: what it may say, what it leads to, and what is refused by line."""

from __future__ import annotations

import json
import math
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest

import drivers
import simulators
from drivers.contract import BadFrame, Decoded, DeviceAlarms, Identity, ModbusRequest, Pump, Reading, SelfCheckFailed
from drivers.kit.registers import Field, Type, field_words, ordered, packed, told
from drivers.modbus_map import MapDriver, spec_of
from drivers.modbus_map.encoding import put_value
from drivers.modbus_map.file import read_map
from drivers.modbus_map.tables import MapError
from edge.cli.catalogue import find_driver, list_devices
from edge.config.files import ConfigError, load_edge
from edge.process import BadUsage
from simulators.modbus_map import MapTwin, twin_of
from tests.helpers.dialogue_run import DialogueRun, StillPatient

EXAMPLE = Path(__file__).parent.parent / "deploy" / "modbus_map.example.toml"
HEAD = '[device]\nkind = "monitor"\nsource = "a test"\n'
SPO2 = '[[value]]\nmetric = "spo2_pct"\ninput = 5\nunit = "%"\nrange = [0, 100]\n'
PULSE = '[[value]]\nmetric = "pulse_bpm"\ninput = 7\nunit = "/min"\nrange = [0, 300]\n'
ALARM = '[[alarm]]\ncode = "occlusion"\npriority = "high"\ninput = 9\nbit = 1\n'


def a_map(folder: Path, text: str, name: str = "m.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def said(driver: MapDriver, raw: Mapping[tuple[int, int], int], at_s: float = 0.0) -> list[Decoded]:
    """Everything the driver makes of a device that holds `raw`, in one round."""
    decoded: list[Decoded] = []
    while (request := driver.next_request(at_s)) is not None:
        decoded += driver.decode(response(cast("ModbusRequest", request), raw), request)
    return decoded


def response(request: ModbusRequest, raw: Mapping[tuple[int, int], int]) -> bytes:
    held = [raw.get((request.function, request.address + place), 0) for place in range(request.count)]
    return packed(held) if request.function in (1, 2) else struct.pack(f">{len(held)}H", *held)


def driver_of(path: Path) -> MapDriver:
    return cast("MapDriver", spec_of(path).driver())


# --- one number -------------------------------------------------------------------------------------------------------

NUMBERS = [  # the registers, the keys of [[value]], and what it is: a value, or why there is none
    ("03E7", 'unit = "%"\nscale = 0.1\nrange = [0, 100]', 99.9),
    ("FFFF", 'unit = "%"\nscale = 0.1\nrange = [0, 100]\nnone = [0xFFFF]', "unavailable"),
    ("03E9", 'unit = "%"\nscale = 0.1\nrange = [0, 100]', "overflow"),
    ("03E8", 'unit = "%"\nscale = 0.1\nrange = [0, 100]', 100.0),
    ("FFFF", 'unit = "%"\ntype = "s16"\nrange = [0, 100]', "underflow"),
    ("FF9C", 'unit = "%"\ntype = "s16"\nscale = -0.5\nrange = [0, 100]', 50.0),
    ("0028", 'unit = "%"\noffset = 20\nrange = [0, 100]', 60.0),
    ("005F", 'unit = "1"\nscale = 0.01\nrange = [0, 1]', 95.0),
    ("6100", 'unit = "%"\nmask = 0xFF00\nrange = [0, 100]', 97.0),
    ("6100", 'unit = "%"\nwords = "BADC"\nrange = [0, 100]', 97.0),
    ("00000061", 'unit = "%"\ntype = "u32"\nrange = [0, 100]', 97.0),
    ("00610000", 'unit = "%"\ntype = "u32"\nwords = "CDAB"\nrange = [0, 100]', 97.0),
    ("42C20000", 'unit = "%"\ntype = "f32"\nrange = [0, 100]', 97.0),
    ("000042C2", 'unit = "%"\ntype = "f32"\nwords = "CDAB"\nrange = [0, 100]', 97.0),
    ("C2420000", 'unit = "%"\ntype = "f32"\nwords = "BADC"\nrange = [0, 100]', 97.0),
    ("0000C242", 'unit = "%"\ntype = "f32"\nwords = "DCBA"\nrange = [0, 100]', 97.0),
    ("000042C2", 'unit = "%"\ntype = "f32"\nrange = [0, 100]', "implausible"),  # the words the other way round
    ("C2420000", 'unit = "%"\ntype = "f32"\nrange = [0, 100]', "underflow"),  # -48.5, also a misreading
    ("7FC00000", 'unit = "%"\ntype = "f32"\nrange = [0, 100]', "implausible"),  # NaN
    ("7F800000", 'unit = "%"\ntype = "f32"\nrange = [0, 100]', "implausible"),  # infinity
    ("42C21A9F", 'unit = "%"\ntype = "f32"\nresolution = 0.1\nrange = [0, 100]', "implausible"),  # 97.0520
    ("42C23333", 'unit = "%"\ntype = "f32"\nresolution = 0.1\nrange = [0, 100]', 97.1),
    ("4058400000000000", 'unit = "%"\ntype = "f64"\nrange = [0, 100]', 97.0),
    ("C479F99A", 'unit = "%"\ntype = "f32"\nrange = [0, 100]\nnone = [-999.9]', "unavailable"),
    ("42C26666", 'unit = "%"\ntype = "f32"\nrange = [0, 97.2]', 97.2),  # 97.1999969 and 97.2000046 are its neighbours
    ("42C26667", 'unit = "%"\ntype = "f32"\nrange = [0, 97.2]', "overflow"),
]


@pytest.mark.parametrize(("raw", "keys", "expected"), NUMBERS, ids=[f"{raw} {keys[:40]}" for raw, keys, _ in NUMBERS])
def test_a_number(tmp_path: Path, raw: str, keys: str, expected: float | str) -> None:
    path = a_map(tmp_path, f'{HEAD}[[value]]\nmetric = "spo2_pct"\nholding = 7\n{keys}\n')
    words = struct.unpack(f">{len(raw) // 4}H", bytes.fromhex(raw))
    (reading,) = said(driver_of(path), {(3, 7 + place): word for place, word in enumerate(words)})
    assert isinstance(reading, Reading)
    if isinstance(expected, str):
        assert (reading.value, expected in (reading.validity.value, reading.reason)) == (None, True)
    else:
        assert reading.value == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("number", "type_", "step", "offset", "expected"), [
    (37.999998855, "f32", 1.0, 0.0, 38.0), (368 * 0.1, "u16", 0.1, 0.0, 36.8), (0.125 * 3, "s16", 0.125, 0.0, 0.375),
    (310.149993896, "f32", 1.0, -273.15, 37.0), (5 * 7.500616827, "u16", 7.500616827, 0.0, 37.5),
    (-50 * 0.07500616827, "s16", 0.07500616827, 0.0, -3.7503), (16777215.0, "f32", 1.0, 0.0, 16777220.0),
    (1234567.875, "f64", 1.0, 0.0, 1234567.875), (0.0, "f32", 1.0, 4.5, 4.5), (math.inf, "f32", 1.0, 0.0, math.inf)])
def test_a_number_has_the_digits_that_its_register_tells(
        number: float, type_: Type, step: float, offset: float, expected: float) -> None:
    assert told(number, type_, step, offset) == expected


POWERS = [  # the number's register, that of its power of ten, the keys, and what it is
    (978, 0xFFFF, "exponent = { holding = 8 }", 97.8), (9, 1, "exponent = { holding = 8 }", 90.0),
    (97, 0, "exponent = { holding = 8 }", 97.0), (9783, 0xFFFE, "exponent = { holding = 8, range = [-2, 0] }", 97.83),
    (9783, 0xFFFD, "exponent = { holding = 8, range = [-2, 0] }", "implausible"),
    (9, 1, "exponent = { holding = 8, range = [-2, 0] }", "implausible"),
    (978, 0x8000, "exponent = { holding = 8 }", "implausible"), (0xFFFF, 0, "exponent = { holding = 8 }", "overflow"),
    (0xFFFF, 9, "exponent = { holding = 8, range = [-2, 9] }\nnone = [0xFFFF]", "unavailable"),
    (978, 1, "decimals = { holding = 8 }", 97.8), (978, 7, "decimals = { holding = 8 }", "implausible"),
    (978, 0x2100, "decimals = { holding = 8, mask = 0x0F00 }", 97.8),
    (489, 0xFFFF, "exponent = { holding = 8 }\nscale = 2", 97.8),
    (978, 0xFFFF, "exponent = { holding = 8 }\nresolution = 0.2", 97.8),
    (977, 0xFFFF, "exponent = { holding = 8 }\nresolution = 0.2", "implausible"),
]


@pytest.mark.parametrize(("raw", "power", "keys", "expected"), POWERS)
def test_a_power_of_ten_is_read_with_its_number(
        tmp_path: Path, raw: int, power: int, keys: str, expected: float | str) -> None:
    value = f'[[value]]\nmetric = "spo2_pct"\nholding = 7\nunit = "%"\nrange = [0, 100]\n{keys}\n'
    (reading,) = said(driver_of(a_map(tmp_path, HEAD + value)), {(3, 7): raw, (3, 8): power})
    assert isinstance(reading, Reading)
    if isinstance(expected, str):
        assert (reading.value, expected in (reading.validity.value, reading.reason)) == (None, True)
    else:
        assert reading.value == expected


def test_a_power_of_ten_for_several_numbers_and_their_twin(tmp_path: Path) -> None:
    path = a_map(tmp_path, f"{HEAD}gap = 1\n{SPO2}exponent = {{ input = 8 }}\n{PULSE}exponent = {{ input = 8 }}\n")
    driver, twin = driver_of(path), MapTwin(read_map(path), StillPatient(spo2_pct=97.8, pulse_bpm=72.0))
    assert twin.raw == {(4, 5): 978, (4, 7): 720, (4, 8): 0xFFFF}
    assert [(request.address, request.count) for request in spec_of(path).requests
            if isinstance(request, ModbusRequest)] == [(5, 4)], "all in one, of one moment"
    assert [one.value for one in said(driver, twin.raw) if isinstance(one, Reading)] == [97.8, 72.0]


@pytest.mark.parametrize(("keys", "says"), [
    ("exponent = { input = 7 }\n", "5: spo2_pct at input 5 and its power of ten at input 7 are not read together; write"
                                   " gap = 1 in [device], where the device lets what lies between be read"),
    ("exponent = { holding = 6 }\n", "5: spo2_pct at input 5 and its power of ten at holding 6 are not read together;"
                                     " they are too far apart, or of two kinds"),
    ("exponent = { input = 900 }\n", "5: spo2_pct at input 5 and its power of ten at input 900 are not read together;"),
    ("exponent = { input = 6 }\ndecimals = { input = 6 }\n", "10: 'exponent' and 'decimals' say the same; write one"),
    ("exponent = { coil = 6 }\n", "9: exponent: is in a register of its own: write holding or input"),
    ("decimals = { input = 5 }\n", "9: decimals: is in a register of its own"),
    ("exponent = { input = 6, range = [-13, 0] }\n", "9: exponent: 'range' must be two whole numbers from -12 to 12"),
    ("exponent = { input = 6, range = [-0.5, 0] }\n", "9: exponent: 'range' must be two whole numbers from -12 to 12"),
    ("decimals = { input = 6, range = [-3, -1] }\n", "9: decimals: 'range' is never reached: input 6 is from 0 to"),
    ("exponent = { input = 6, type = \"f32\" }\n", "9: exponent: 'type' must be one of s16, u16, not 'f32'"),
    ("exponent = { input = 65536 }\n", "9: exponent: input 65536 is no address"),
    ("exponent = { input = 6, base = 2 }\n", "9: exponent: no key 'base' in exponent = { };"),
    ("exponent = -1\n", "9: 'exponent' must be a table in { }, not -1"),
    ("exponent = { input = 5 }\n", "9: exponent: input 5 (s16, 1 register) overlaps input 5 of spo2_pct"),
    ("exponent = { input = 6, range = [-9, -8] }\noffset = 101\n", "8: 'range' is never reached: input 5 (u16)"),
])
def test_a_power_of_ten_written_wrongly_is_one_line(tmp_path: Path, keys: str, says: str) -> None:
    path = a_map(tmp_path, HEAD + SPO2 + keys)
    with pytest.raises(MapError) as wrong:
        spec_of(path)
    assert str(wrong.value).startswith(f"{path}:{says}")
    assert "\n" not in str(wrong.value)


@pytest.mark.parametrize(("check", "raw", "says"), [
    ("equals = 3.1415927", "40490FDB", ""), ("equals = 3.1415927", "40490FDC", "holds 3.14159298, not 3.14159274"),
    ("range = [0.1, 0.3]", "3E99999A", ""), ("range = [0.1, 0.3]", "3E99999B", "holds 0.300000042"),
])
def test_a_check_of_a_float_is_of_the_float_that_the_register_can_hold(
        tmp_path: Path, check: str, raw: str, says: str) -> None:
    """3.1415927 has no float of 32 bits; the nearest is meant, and its neighbour is another number."""
    driver = driver_of(a_map(tmp_path, f'{HEAD}{SPO2}[[check]]\nname = "pi"\nholding = 1\ntype = "f32"\n{check}\n'))
    words = struct.unpack(">2H", bytes.fromhex(raw))
    registers = {(3, 1 + place): word for place, word in enumerate(words)}
    (request,) = [cast("ModbusRequest", one) for one in driver.on_open()]
    if not says:
        assert driver.decode(response(request, registers), request) == ()
        return
    with pytest.raises(SelfCheckFailed, match=says):
        driver.decode(response(request, registers), request)


UNITS = [("rate_ml_h", "mL/min", 120.0), ("rate_ml_h", "uL/h", 0.002), ("volume_infused_ml", "L", 2000.0),
         ("line_pressure_mmhg", "kPa", 15.001234), ("line_pressure_mmhg", "bar", 1500.123), ("temp_c", "K", -271.15),
         ("temp_c", "F", -16.6667), ("time_remaining_s", "min", 120.0), ("resp_bpm", "Hz", 120.0)]


@pytest.mark.parametrize(("metric", "unit", "expected"), UNITS)
def test_a_unit_of_the_manual_becomes_the_metrics_own(
        tmp_path: Path, metric: str, unit: str, expected: float) -> None:
    path = a_map(tmp_path, f'{HEAD}[[value]]\nmetric = "{metric}"\nholding = 7\nunit = "{unit}"\nrange = [-9, 9000]\n')
    (reading,) = said(driver_of(path), {(3, 7): 2})
    assert isinstance(reading, Reading)
    assert reading.value == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("words", ["ABCD", "CDAB", "BADC", "DCBA", "big", "little"])
def test_an_order_of_words_is_its_own_way_back(words: str) -> None:
    assert ordered(ordered(bytes(range(8)), words), words) == bytes(range(8))
    assert field_words(Field("x", 0, "f32"), 97.0) == (0x42C2, 0)


# --- where things are -------------------------------------------------------------------------------------------------

ADDRESSES = [("pdu", "holding = 74", (3, 74)), ("from 1", "holding = 74", (3, 73)),
             ("modicon", "holding = 40001", (3, 0)), ("modicon", "input = 30075", (4, 74)),
             ("modicon", "holding = 400075", (3, 74))]


@pytest.mark.parametrize(("counted", "key", "place"), ADDRESSES)
def test_an_address_is_counted_as_the_manual_does(
        tmp_path: Path, counted: str, key: str, place: tuple[int, int]) -> None:
    path = a_map(tmp_path, f'{HEAD}addresses = "{counted}"\n' + SPO2.replace("input = 5", key))
    (request,) = spec_of(path).requests
    assert isinstance(request, ModbusRequest)
    assert (request.function, request.address, request.count) == (*place, 1)


@pytest.mark.parametrize(("gap", "spans"), [(0, [(0, 2), (5, 1), (300, 1)]), (3, [(0, 6), (300, 1)]),
                                            (2, [(0, 2), (5, 1), (300, 1)])])
def test_neighbours_are_read_in_one_request(tmp_path: Path, gap: int, spans: list[tuple[int, int]]) -> None:
    pulse = '[[value]]\nmetric = "pulse_bpm"\ninput = 0\ntype = "u32"\nunit = "bpm"\nrange = [20, 300]\n'
    resp = '[[value]]\nmetric = "resp_bpm"\ninput = 300\nunit = "bpm"\nrange = [0, 90]\n'
    path = a_map(tmp_path, f"{HEAD}gap = {gap}\n{SPO2}{pulse}{resp}")
    requests = [one for one in spec_of(path).requests if isinstance(one, ModbusRequest)]
    assert [(one.address, one.count) for one in requests] == spans
    assert {one.effect for one in requests} == {"read"}


# --- the example: a pump ----------------------------------------------------------------------------------------------


def pump() -> tuple[MapDriver, MapTwin]:
    driver, twin = driver_of(EXAMPLE), MapTwin(read_map(EXAMPLE), StillPatient(), 3)
    for request in driver.on_open():
        driver.decode(response(cast("ModbusRequest", request), twin.raw), request)
    return driver, twin


def test_the_example_reads_a_pump() -> None:
    driver, twin = pump()
    for hand in ("program", "start"):
        twin.hands[hand]()
    twin.step(10.0)
    decoded = said(driver, twin.raw)
    values = {one.metric: one.value for one in decoded if isinstance(one, Reading)}
    assert values["rate_ml_h"] == pytest.approx(52.5)
    assert values["volume_infused_ml"] == pytest.approx(52.5 * 10 / 3600, abs=0.001)
    assert values["battery_pct"] == 80.0
    assert Pump("infusing") in decoded
    assert DeviceAlarms(()) in decoded


COARSE = """[device]
kind = "pump"
source = "a test"
[pump]
holding = 1
states = {{ 1 = "infusing" }}
[[value]]
metric = "rate_ml_h"
holding = 2
unit = "mL/h"
scale = 0.1
range = [0, 1200]
[[value]]
metric = "volume_infused_ml"
holding = 3
type = "{kind}"
unit = "mL"
{registers}
range = [0, 1000]
"""


@pytest.mark.parametrize(("kind", "step_ml", "registers"), [
    ("u16", 1.0, "scale = 1.0"), ("u16", 0.1, "scale = 0.1"), ("f32", 1.0, "resolution = 1.0")])
def test_a_pump_that_counts_coarsely_is_believed_from_the_start(
        tmp_path: Path, kind: str, step_ml: float, registers: str) -> None:
    path = a_map(tmp_path, COARSE.format(kind=kind, registers=registers))
    driver, doubtful = driver_of(path), []
    driver.on_open()
    for at_s in range(1200):
        raw = {(3, 1): 1, (3, 2): 525}
        counted = 52.5 * at_s / 3600 // step_ml
        held = struct.unpack(">2H", struct.pack(">f", counted * step_ml)) if kind == "f32" else (int(counted),)
        raw.update({(3, 3 + place): word for place, word in enumerate(held)})
        doubtful += [at_s for one in said(driver, raw, float(at_s))
                     if isinstance(one, Reading) and one.validity != "valid"]
    assert max(doubtful) == 1, "two rounds, before anything is believed"


ALARMS = [  # what the device holds, in the manual's counting, and the alarms it makes: code, raw
    ({}, []),
    ({(2, 0): 1}, [("occlusion", "discrete 1")]),
    ({(3, 207): 0x0001}, [("low_battery", "holding 208 bit 0")]),
    ({(3, 207): 0x0080}, []),  # the map says that this bit is no alarm
    ({(3, 207): 0x8000}, [("unknown", "holding 208 bit 15")]),
    ({(3, 208): 12}, [("syringe", "holding 209 = 12")]),
    ({(3, 208): 13}, [("unknown", "holding 209 = 13")]),
]


@pytest.mark.parametrize(("held", "alarms"), ALARMS)
def test_alarms_by_bit_and_by_code_and_none_is_dropped(
        held: dict[tuple[int, int], int], alarms: list[tuple[str, str]]) -> None:
    driver, twin = pump()
    (reported,) = [one for one in said(driver, {**twin.raw, **held}) if isinstance(one, DeviceAlarms)]
    assert [(alarm.code, alarm.raw) for alarm in reported.alarms] == alarms


@pytest.mark.parametrize(("code", "state"), [*enumerate(["stopped", "infusing", "paused", "alarm", "unknown"])])
def test_a_pumps_state_is_named_or_unknown(code: int, state: str) -> None:
    driver, twin = pump()
    assert [one.state for one in said(driver, {**twin.raw, (3, 206): code}) if isinstance(one, Pump)] == [state]


def test_a_flag_says_why_a_number_is_none() -> None:
    driver, twin = pump()
    readings = [one for one in said(driver, {**twin.raw, (2, 4): 1}) if isinstance(one, Reading)]
    assert [one.reason for one in readings if one.value is None] == ["sensor_disconnected"]


# --- the checks at connect --------------------------------------------------------------------------------------------

LIES = [  # how the registers lie, and what the link says
    ("words", "self-check 'largest rate': holding 101 holds 2.4604e-41, not 1200"),
    ("off_by_one", "self-check 'largest rate': holding 101 holds 0, not 1200"),
    ("other", "self-check 'largest rate': holding 101 holds 100, not 1200"),
]


@pytest.mark.parametrize(("lie", "why"), LIES)
def test_a_check_that_does_not_hold_lets_no_number_through_and_says_why(lie: str, why: str) -> None:
    spec, twin = spec_of(EXAMPLE), MapTwin(read_map(EXAMPLE), StillPatient(), 3)
    if lie == "words":
        twin.raw[3, 100], twin.raw[3, 101] = twin.raw[3, 101], twin.raw[3, 100]
    elif lie == "off_by_one":
        twin.raw[3, 100], twin.raw[3, 101] = 0, twin.raw[3, 100]
    else:
        put_value(twin.raw, read_map(EXAMPLE).checks[0].at, 100)
    run = DialogueRun(spec, twin)
    run.open()
    run.run(60)
    assert [sample for one in spec.metrics for _, sample in run.samples(one)] == []
    assert run.links()[-1][1] == "silent"
    assert run.links()[-1][2].startswith(why)
    twin.raw.update(MapTwin(read_map(EXAMPLE), StillPatient(), 3).raw)
    run.run(10)
    assert run.links()[-1][1] in ("live", "unstable")
    assert run.samples("rate_ml_h")


def test_the_serial_number_binds_it() -> None:
    driver, twin = driver_of(EXAMPLE), MapTwin(read_map(EXAMPLE), StillPatient(), 3)
    decoded = [one for request in driver.on_open()
               for one in driver.decode(response(cast("ModbusRequest", request), twin.raw), request)]
    assert decoded == [Identity("5003", "Acme 3000 syring")]


# --- the project's own profile ----------------------------------------------------------------------------------------


def vitals(twin: MapTwin | None = None) -> DialogueRun:
    run = DialogueRun(drivers.find()["modbus_vitals"],
                      twin or simulators.find()["modbus_vitals"].make(StillPatient(), 7))
    run.open()
    return run


def test_the_profile_shows_the_patient() -> None:
    run = vitals()
    run.run(130)
    assert {sample.value for _, sample in run.samples("spo2_pct")} == {98.0}
    assert run.dialogue.link.serial == "5007"
    assert run.bad == run.timeouts == 0


def test_a_determination_counts_once_and_the_one_before_the_opening_does_not() -> None:
    run = vitals()
    run.twin.hands["measure"]()
    run.run(130)
    assert [round(at_s / 60) for at_s, _ in run.samples("sbp_mmhg")] == [1, 2]
    run.open()
    run.run(30)
    assert len(run.samples("sbp_mmhg")) == 2


def test_a_feed_that_stands_still_is_silent_and_says_so() -> None:
    run = vitals()
    run.run(10)
    run.twin.hands["freeze"]()
    run.forget()
    run.run(30)
    assert max(at_s for at_s, _ in run.samples("spo2_pct")) < 16
    assert run.links()[-1][1:][0] == "silent"
    assert run.links()[-1][2].startswith("frozen: input 20 has held ")
    run.twin.hands["thaw"]()
    run.forget()
    run.run(10)
    assert run.samples("spo2_pct")


def test_a_probe_off_has_its_reason() -> None:
    run = vitals()
    run.twin.hands["probe_off"]()
    run.run(3)
    assert {(sample.value, sample.reason) for _, sample in run.samples("spo2_pct")} == {(None, "sensor_off")}


def test_a_response_that_was_not_requested_is_bad() -> None:
    driver = drivers.find()["modbus_vitals"].driver()
    with pytest.raises(BadFrame):
        driver.decode(bytes(2), None)
    with pytest.raises(SelfCheckFailed, match="it has not said who it is"):
        driver.decode(bytes(42), drivers.find()["modbus_vitals"].requests[1])


# --- what is refused, with its line -----------------------------------------------------------------------------------

FAULTS = [
    ("", "1: lacks [device]; write [device] with kind, source and title"),
    ("[device\n", "1: is not TOML: Expected ']' at the end of a table declaration; write key = value, with text in"),
    (f"{HEAD}knd = 1\n{SPO2}", "4: no key 'knd' in [device]; did you mean 'kind'?"),
    (HEAD.replace("monitor", "monitr") + SPO2, "2: 'kind' must be one of pump, nibp, oximeter, monitor, not 'monitr';"
                                               " did you mean 'monitor'?"),
    ('[device]\nkind = "monitor"\n' + SPO2, "1: [device] lacks 'source'; write source = ..."),
    (HEAD + "[values]\n", "4: no table 'values'; did you mean 'value'?"),
    (HEAD, "1: has no [[value]]; write one for each number"),
    (HEAD + SPO2.replace("input = 5\n", ""), "4: [[value]] needs one of coil, discrete, holding, input with an"),
    (HEAD + SPO2 + "holding = 4\n", "6: [[value]] needs one of coil, discrete, holding, input with an address"),
    (HEAD + SPO2.replace("= 5", "= 70000"),
     "6: input 70000 is no address where addresses = 'pdu'; the first is 0, the last 65535"),
    (HEAD + 'addresses = "from 1"\n' + SPO2.replace("= 5", "= 0"),
     "7: input 0 is no address where addresses = 'from 1'; the first is 1, the last 65536"),
    (HEAD + SPO2.replace("= 5", "= 65535") + 'type = "u32"\n', "6: input 65535 takes 2 registers: beyond the last"),
    (HEAD + SPO2 + SPO2, "10: spo2_pct is there twice; give each metric one [[value]]"),
    (HEAD + SPO2 + SPO2.replace("spo2_pct", "mood"), "10: 'mood' is no metric: its name ends in its unit"),
    (HEAD + SPO2.replace('"%"', '"mmHg"'), "7: 'unit' must be one of %, 1, not 'mmHg'"),
    (HEAD + SPO2.replace("[0, 100]", "[100, 0]"), "8: 'range' must be [lowest, highest] of what is plausible"),
    (HEAD + SPO2.replace("range = [0, 100]\n", ""), "4: [[value]] lacks 'range'"),
    (HEAD + SPO2 + "scale = 0\n", "9: 'scale' must not be 0"),
    (HEAD + SPO2 + 'scale = "0.1"\n', "9: 'scale' must be a number, not '0.1'"),
    (HEAD + SPO2 + 'type = "float"\n', "9: 'type' must be one of u16, s16, u32, s32, f32, u64, s64, f64, not 'fl"),
    (HEAD + SPO2 + 'type = "f32"\nbit = 3\n', "9: bits are read from u16, u32 or u64, not f32"),
    (HEAD + SPO2 + "bit = 16\n", "9: 'bit' must be from 0 to 15"),
    (HEAD + SPO2 + 'words = "ABDC"\n', "9: 'words' must be one of ABCD, CDAB, BADC, DCBA, not 'ABDC'"),
    (HEAD + SPO2 + 'invalid_when = [{ input = 9, bit = 0, reason = "off" }]\n', "9: invalid_when: 'reason' must be"),
    (HEAD + SPO2.replace("spo2_pct", "sbp_mmhg").replace("%", "mmHg"), "5: a cuff's numbers need [determination]"),
    (HEAD.replace("monitor", "pump") + SPO2, "2: a pump's map needs [pump]: where its state is"),
    (HEAD + SPO2 + '[pump]\nholding = 1\nstates = { 0 = "stopped" }\n', "9: [pump] is for kind = \"pump\", not "),
    (HEAD.replace("monitor", "pump") + SPO2 + '[pump]\nholding = 1\nstates = { 0 = "halted" }\n',
     "11: states: 'halted' must be one of infusing, stopped, paused, alarm, unknown"),
    (HEAD.replace("monitor", "pump") + SPO2 + '[pump]\nholding = 1\nstates = { on = "stopped" }\n',
     "11: states: 'on' must be a whole number, as in 3 or 0x10"),
    (HEAD + SPO2 + '[[alarm]]\ninput = 9\nbit = 0\ncode = "occluded"\npriority = "high"\n',
     "12: 'code' must be one of"),
    (HEAD + SPO2 + '[[alarm]]\ninput = 9\nbit = 0\ncode = "occlusion"\n', "9: [[alarm]] lacks 'priority'"),
    (HEAD + SPO2 + "[[check]]\ninput = 9\n", "9: [[check]] needs either equals = ... or range = [lowest, highest]"),
    (HEAD + SPO2 + "[identity]\nserial = { input = 9, length = 3 }\n", "10: serial: 'length' counts characters"),
    (HEAD + SPO2 + "[line]\nbaud = 10\n", "10: 'baud' must be from 50 to 4000000, not 10"),
    (HEAD + SPO2 + PULSE.replace("= 7", "= 5"), "10: pulse_bpm is read from input 5, and so is spo2_pct; one"),
    (HEAD + SPO2 + 'type = "f32"\n' + PULSE.replace("= 7", "= 6"),
     "12: input 6 (u16, 1 register) overlaps input 5 of spo2_pct (f32, 2 registers); one address or type is wrong"),
    (HEAD + SPO2 + PULSE.replace("= 7", "= 4") + 'type = "s32"\n', "11: input 4 (s32, 2 registers) overlaps input"),
    (HEAD + SPO2 + "[[check]]\ninput = 4\ntype = \"u32\"\nequals = 1\n", "10: input 4 (u32, 2 regi"),
    (HEAD + SPO2 + "[identity]\nserial = { input = 2, length = 8 }\n", "10: serial: input 2 (u16, 4 registers)"),
    (HEAD + SPO2 + "none = [-1]\n", "9: none: input 5 (u16) never holds -1; it is from 0 to 65535"),
    (HEAD + SPO2 + 'type = "s16"\nnone = [32768]\n', "10: none: input 5 (s16) never holds 32768; it is from -32768 to"),
    (HEAD + SPO2 + "mask = 0xFF00\nnone = [256]\n", "10: none: input 5 (u16, masked) never holds 256; it is from"),
    (HEAD + SPO2 + "[[check]]\ninput = 9\nequals = 65536\n", "11: equals: input 9 (u16) never holds 65536;"),
    (HEAD + SPO2 + "offset = -65536\n", "8: 'range' is never reached: input 5 (u16) with this scale is from"),
    (HEAD + "[line]\nsilent_after_s = 2\n" + SPO2,
     "5: 'silent_after_s' must be longer than poll_s + lateness_s (1 + 1), not 2: else it is silent between two good"),
    (HEAD + "poll_s = 4\n" + SPO2, "1: is asked every 4 s and silent after 5 s; write [line] with silent_after_s = 16"),
    (HEAD + SPO2 + "[device]\n", "9: is not TOML: Cannot declare ('device',) twice; it stands there already: take one"),
    (HEAD + SPO2 + SPO2.replace("[[value]]", "[value]"), "9: is not TOML: Cannot declare ('value',) twice; it stands"),
    (HEAD + SPO2 + "input = 9\n", "9: is not TOML: Cannot overwrite a value; it stands there already: take one out"),
    (HEAD + SPO2 + "scale = 1e-320\n", "9: 'scale' must not be 0, nor less than 1e-12"),
    (HEAD + SPO2 + "mask = 0\n", "9: 'mask' must be from 1 to "),
    (HEAD + SPO2 + "mask = 0x10000\n", "9: 'mask' must be at most 0xFFFF: input 5 is u16"),
    (HEAD + SPO2 + "bit = -1\n", "9: 'bit' must be from 0 to 63, not -1"),
    (HEAD + SPO2 + "resolution = 101\n", "9: 'resolution' must be smaller than 'range' is wide (100)"),
    (HEAD + 'title = "a\\nb"\n' + SPO2, "4: 'title' must be one line of text that can be shown, not 'a\\nb'"),
    (HEAD + SPO2 + "[identity]\nserial = { holding = 1, length = 8, mask = 3 }\n", "10: serial: a text has no 'mask'"),
    (HEAD + SPO2 + "[determination]\ninput = 5\n", "5: spo2_pct is read from input 5, and so is [determination];"),
    (HEAD + SPO2 + "[alive]\ninput = 5\n", "5: spo2_pct is read from input 5, and so is [alive]; one address is wrong"),
    (HEAD + SPO2 + '[[check]]\ninput = 9\ntype = "f32"\nequals = 1e39\n', "12: equals: input 9 (f32) never holds"),
    (HEAD + SPO2 + "[[check]]\ninput = 9\nrange = [65536, 70000]\n", "11: 'range' is never reached: input 9 (u16)"),
    (HEAD + SPO2 + "[[check]]\ninput = 9\nrange = [1.2, 1.8]\n", "11: 'range' is never reached: input 9 (u16) is from"),
    (HEAD + SPO2 + '[[check]]\ninput = 9\ntype = "f32"\nrange = [1e39, 1e40]\n', "12: 'range' is never reached: in"),
    (HEAD + SPO2 + "[[check]]\ninput = 9\nrange = [0, 65535]\n", "11: 'range' holds whatever input 9 has (0 to 65535)"),
    (HEAD + SPO2 + 2 * ALARM, "15: input 9 bit 1 is there twice; give each bit or code one [[alarm]]"),
    (HEAD + SPO2 + ALARM + ALARM.replace("bit = 1", "equals = 2"), "15: input 9 is read by its bits and by its codes;"),
    (HEAD.replace("monitor", "pump") + SPO2 + '[pump]\nholding = 1\nstates = { 1 = "stopped", 0x1 = "paused" }\n',
     "11: states: 0x1 is there twice; give each code one word"),
    ("a = " + 9000 * "[", "1: is not TOML: brackets in brackets in brackets"),
    (250_000 * "# x\n", "1: lacks [device]; write [device]"),
    (250_000 * "# x\n" + "#", "1: is longer than 1 MB; name the register map itself"),
    (HEAD + SPO2.replace('"spo2_pct"', str(999 * [1])), "5: 'metric' must be text in quotes, not [1, 1, 1, 1, 1, "),
    (HEAD + SPO2 + "mask = 0b101\n", "9: 'mask' must be bits side by side, not 0x5: others are between"),
    (HEAD + SPO2 + "[alive]\ninput = 9\nwithin_s = 1\n", "11: 'within_s' must be longer than poll_s (1), not 1"),
    (HEAD + SPO2 + "[determination]\ninput = 9\n", "9: [determination] is for a cuff's numbers; none is here"),
    (HEAD + SPO2 + "[identity]\n", "9: [identity] names neither serial nor model; write one, or leave it out"),
    (HEAD + SPO2 + ALARM.replace("9", "5"), "13: input 5 bit 1 is a bit of spo2_pct, which is read from all of"),
    (HEAD.replace("monitor", "pump") + SPO2 + '[pump]\nholding = 1\nstates = { 0 = "stopped", 1 = "paused" }\n',
     "11: 'states' has no code for \"infusing\": this pump would never be seen to run"),
    (HEAD + 'name = "My Pump"\n' + SPO2, "4: 'name' must be 1 to 32 of a-z, 0-9 and _, a letter first, not 'My Pump'"),
]


@pytest.mark.parametrize("text", [  # as near as it may be
    "[line]\nsilent_after_s = 2.01\n" + SPO2,
    SPO2 + "mask = 0xFFFF\nresolution = 100\n" + ALARM + ALARM.replace("1", "2"),
    SPO2 + "[[check]]\ninput = 9\nrange = [0, 65534]\n[[check]]\ninput = 10\nrange = [1.2, 2]\n",
    SPO2 + 'type = "f32"\n' + PULSE, SPO2 + PULSE.replace("= 7", "= 6"), SPO2 + "none = [65535]\noffset = -65535\n",
    SPO2 + 'type = "s16"\nnone = [-32768]\n', SPO2 + PULSE.replace("input = 7", "holding = 5"),
    SPO2 + "mask = 0b110\n[alive]\ninput = 9\nwithin_s = 1.1\n" + ALARM.replace("9", "6"),
    SPO2 + "mask = 0x00FF\nnone = [255]\n" + PULSE.replace("= 7", "= 5") + "mask = 0xFF00\n",
])
def test_what_shares_no_register_or_all_of_one_is_read(tmp_path: Path, text: str) -> None:
    assert read_map(a_map(tmp_path, HEAD + text)).values


@pytest.mark.parametrize(("text", "says"), FAULTS, ids=[says[:50] for _, says in FAULTS])
def test_a_faulty_map_is_one_line_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    path = a_map(tmp_path, text)
    with pytest.raises(MapError) as wrong:
        read_map(path)
    assert str(wrong.value).startswith(f"{path}:{says}")
    assert "\n" not in str(wrong.value)


def test_a_map_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(MapError, match=r"no\.toml: cannot be read \(No such file or directory\); name a file"):
        read_map(tmp_path / "no.toml")


# --- where it is used -------------------------------------------------------------------------------------------------

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
