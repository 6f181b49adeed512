"""What a protocol says instead of a number never becomes one: of every driver, every metric, every such code.

A golden table shows it frame by frame (the law here holds that it does, for a new driver too); where a code may stand
at any value, all of them are tried at all of its values.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

import drivers
from drivers import alaris_gh, berry_pm6750, dinamap, ge_dri, medibus
from drivers.capnostream import ESCAPE, START_BYTE
from drivers.contract import BadFrame, Decoded, Driver, Reading, Request
from drivers.intellivue import frames as intellivue
from drivers.kit.listening import BELIEVED
from drivers.kit.registers import FLOATS, FORMATS, ordered
from drivers.modbus_map import Raw, reading_of
from drivers.modbus_map.file import read_map
from drivers.modbus_map.parts import At, Value
from drivers.par_nibp import checksum
from tests.helpers.golden_table import Row, frames, wordless

SPECS = drivers.find()
MAPS = [*Path(drivers.__file__).parent.glob("*.toml"),
        Path(__file__).parent.parent / "deploy" / "modbus_map.example.toml"]
MAPPED = {path.stem for path in MAPS}
NOT_NUMBERS = (math.nan, math.inf, -math.inf, 1e-41, -1e-30, 3.4e38, -3.4e38)  # of a float
CHECKED = 4  # good frames that a driver has heard before


def gaps(row: Row) -> set[str]:
    """The metrics that this frame has no number for, by the device's own word."""
    return set() if row.bad else {one["metric"] for one in row.expected if "metric" in one and one["value"] is None
                                  and one.get("reason") != "implausible"}


REQUESTS: dict[str, dict[str, Request]] = {name: {one.name: one for one in spec.requests}
                                          for name, spec in SPECS.items()}
SHOWN = [(name, row) for name in SPECS for row in frames(name)
         if gaps(row) and (row.request is None or row.request in REQUESTS[name])]
OURS = frozenset({"a rate before the state counts", "a volume before the state counts"})  # not the device's word


def by_name(rows: Sequence[Row], name: str) -> bytes:
    [row] = [row for row in rows if row.name == name]
    return row.frame


def readings(decoded: Sequence[Decoded]) -> Iterator[Reading]:
    return (one for one in decoded if isinstance(one, Reading))


def heard(driver: Driver, name: str, frame: bytes, request: str | None) -> list[Reading]:
    """What the driver makes of it; nothing where it refuses it."""
    try:
        return list(readings(driver.decode(frame, REQUESTS[name][request] if request else None)))
    except BadFrame:
        return []


@cache
def running(name: str, request: str | None) -> tuple[Driver, tuple[Row, ...]]:
    """A driver that has heard all the good frames there are, and some of them."""
    driver = SPECS[name].driver()
    driver.on_open()
    good = tuple(row for row in frames(name) if not row.bad and not gaps(row) and row.request == request)
    for row in good * CHECKED:
        heard(driver, name, row.frame, row.request)
    return driver, good[:2]


def assert_gap(name: str, metrics: set[str], frame: bytes, request: str | None = None) -> None:
    """Alone and to a driver that runs, the frame has no number for these metrics, and says so or is refused."""
    alone = heard(SPECS[name].driver(), name, frame, request)
    assert {one.metric for one in alone} >= metrics, "each of them is a gap that is told"
    driver, good = running(name, request)
    for row in good:
        heard(driver, name, row.frame, row.request)
    for _ in range(CHECKED):
        for one in (*alone, *heard(driver, name, frame, request)):
            if one.metric in metrics:
                assert one.value is None, one
                assert one.validity not in BELIEVED, one


@pytest.mark.parametrize("name", [name for name in SPECS if name not in MAPPED])
def test_of_every_metric_the_table_shows_how_the_device_says_that_it_has_no_number(name: str) -> None:
    shown = {metric for row in frames(name) for metric in gaps(row)}
    assert SPECS[name].metrics - shown == wordless(name)


@pytest.mark.parametrize("name", SPECS)
def test_a_frame_without_a_number_gives_none_to_a_driver_that_knew_one(name: str) -> None:
    for of, row in SHOWN:
        if of == name and row.name not in OURS:
            assert_gap(name, gaps(row), row.frame, row.request)


# --- every code at every value ----------------------------------------------------------------------------------------


def of_ge_dri() -> Iterator[tuple[str, set[str], bytes, str | None]]:
    """Documents 8005313 and M1017617: every value up to -32001 is none, in whichever group."""
    cut = by_name(frames("ge_dri"), "temperature_36_70")[1:-1].split(b"\x7d")
    plain = cut[0] + b"".join(bytes((part[0] ^ 0x20,)) + part[1:] for part in cut[1:])
    cuff = {"sbp_mmhg", "dbp_mmhg", "map_mmhg"}
    places = {ge_dri.ECG: {0: {"heart_rate_bpm"}}, ge_dri.NIBP: {0: cuff, 1: cuff, 2: cuff, 3: {"nibp_pulse_bpm"}},
              ge_dri.TEMPERATURE: {0: {"temp_c"}}, ge_dri.SPO2: {0: {"spo2_pct"}, 1: {"pulse_bpm"}},
              ge_dri.CO2: {0: {"etco2_mmhg"}, 2: {"resp_bpm"}, 3: {"etco2_mmhg"}}}
    for code in (-32768, -32767, -32766, -32765, -32764, -32763, -32762, -32500, -32001):
        for group, values in places.items():
            for place, metrics in values.items():
                record = bytearray(plain[:-1])
                struct.pack_into("<h", record, 44 + group + 6 + 2 * place, code)
                yield f"{code} at {group}+{place}", metrics, ge_dri.framed(bytes(record)), None


def of_intellivue() -> Iterator[tuple[str, set[str], bytes, str | None]]:
    """FLOAT-Type of IEEE 11073-20601: NaN, not at this resolution, infinite, reserved, with whatever exponent; and
    the states in which a number stands there and is none."""
    base = intellivue.payload_of(by_name(frames("intellivue"), "spo2_not_a_number"))
    old = bytes.fromhex("4BB8 0000 0220 007FFFFF")
    whats = {0x4182: ("heart_rate_bpm", 0x0AA0), 0x4BB8: ("spo2_pct", 0x0220), 0x4822: ("pulse_bpm", 0x0AA0),
             0x500A: ("resp_bpm", 0x0AA0), 0x5012: ("resp_bpm", 0x0AA0), 0x50B0: ("etco2_mmhg", 0x0F20),
             0x4B48: ("temp_c", 0x17A0)}
    numbers = [(0, f"{exponent}{special}") for exponent in ("00", "FF", "FE", "01")
               for special in ("7FFFFF", "800000", "7FFFFE", "800002", "800001")]
    states = [(state, "00000048") for state in (0x8000, 0x2000, 0x1000, 0x0800, 0x0400, 0xA000, 0x8002)]
    for what, (metric, unit) in whats.items():
        for state, number in numbers + states:
            new = struct.pack(">HHH", what, state, unit) + bytes.fromhex(number)
            yield f"{what:04X} {state:04X} {number}", {metric}, intellivue.framed(base.replace(old, new)), None


def of_berry() -> Iterator[tuple[str, set[str], bytes, str | None]]:
    """The vendor's parser: SpO2 7F, pulse FF; 0 and FF of the others are taken for none."""
    both = {"spo2_pct", "pulse_bpm"}
    for status, spo2, pulse, metrics in (
            (0, 0x7F, 72, {"spo2_pct"}), (0, 97, 0xFF, {"pulse_bpm"}), (0, 0, 0, both), (0, 0xFF, 0x7F, {"spo2_pct"}),
            *((status, 97, 72, both) for status in (1, 2, 3, 4, 5, 0x80, 0xFF))):
        yield f"SpO2 {status} {spo2} {pulse}", metrics, berry_pm6750.encode(4, status, spo2, pulse), None
    for status, heart, resp, metrics in ((0x48, 0xFF, 14, {"heart_rate_bpm"}), (0x48, 72, 0xFF, {"resp_bpm"}),
                                         (0x48, 0, 0, {"heart_rate_bpm", "resp_bpm"}),
                                         (0x4A, 72, 14, {"heart_rate_bpm", "resp_bpm"})):
        yield f"ECG {status} {heart} {resp}", metrics, berry_pm6750.encode(2, status, heart, resp, 0, 1), None
    for status, degrees in ((0, 0xFF), (0, 0), (1, 36), (0xFF, 36)):
        yield f"temperature {status} {degrees}", {"temp_c"}, berry_pm6750.encode(5, status, degrees, 7), None


def of_capnostream() -> Iterator[tuple[str, set[str], bytes, str | None]]:
    """mdpnp: FF is none; bit 04 of byte 26 says that the pump is off."""
    raw = by_name(frames("capnostream"), "numerics")[1:].replace(b"\x80\x05", b"\x85").replace(b"\x80\x00", b"\x80")
    for at, value, metrics in ((4, 0xFF, {"etco2_mmhg"}), (6, 0xFF, {"resp_bpm"}), (7, 0xFF, {"spo2_pct"}),
                               (8, 0xFF, {"pulse_bpm"}), (26, 0x04, {"etco2_mmhg", "resp_bpm"}),
                               *((14, bit, {"spo2_pct", "pulse_bpm"}) for bit in (0x01, 0x20, 0x40, 0x61))):
        plain = bytearray(raw[:-1])
        plain[2 + at] = value
        check = 0
        for byte in plain:
            check ^= byte
        sent = b"".join(bytes((ESCAPE, byte & 0x7F)) if byte in (START_BYTE, ESCAPE) else bytes((byte,))
                        for byte in (*plain, check))
        yield f"byte {at} {value:02X}", metrics, bytes((START_BYTE,)) + sent, None


def of_text() -> Iterator[tuple[str, set[str], bytes, str | None]]:
    """Masimo and Nellcor: dashes, in each field by itself."""
    masimo = by_name(frames("masimo_ascii"), "rad8_no_sensor").decode()
    numbers = {"SPO2=": ("098%", "---%", "spo2_pct"), "BPM=": ("097", "---", "pulse_bpm"),
               " PI=": ("03.60%", "--.--%", "perfusion_index_pct")}
    good = masimo.replace("EXC=000001", "EXC=000800")
    for name, (number, none, _) in numbers.items():
        good = good.replace(name + none, name + number)
    for name, (number, none, metric) in numbers.items():
        yield f"masimo_ascii {name}{none}", {metric}, good.replace(name + number, name + none).encode(), None
    for bits in (0x001, 0x002, 0x008, 0x020, 0x080, 0x0A9):
        said = good.replace("EXC=000800", f"EXC=000{bits | 0x800:03X}")
        yield f"masimo_ascii EXC {bits:03X}", {metric for *_, metric in numbers.values()}, said.encode(), None
    line = by_name(frames("nellcor_ascii"), "all_is_well").decode()
    for words in ("SD", "SO", "PS", "LP", "LM", "MO PS", "SL PS AS"):
        said = line[:44] + words.ljust(17) + "\r\n"
        yield f"nellcor_ascii {words}", {"spo2_pct", "pulse_bpm"}, said.encode(), None
    for at, metric in ((20, "spo2_pct"), (28, "pulse_bpm")):
        assert line[at : at + 4].strip().isdigit(), line[at : at + 4]
        yield f"nellcor_ascii {metric}", {metric}, (line[:at] + " ---" + line[at + 4 :]).encode(), None


def of_alaris() -> Iterator[tuple[str, set[str], bytes, str | None]]:
    """Recorded: a field is empty, or dashes stand where its digits would."""
    fields = by_name(frames("alaris_gh"), "INF infusing")[1:-6].decode().split("^")
    for at, metric in ((4, "rate_ml_h"), (7, "volume_infused_ml"), (9, "line_pressure_mmhg"), (11, "time_remaining_s")):
        for none in ("", " ", "-", "--", "---", "--.--", "----.-", "--:--:--"):
            said = "^".join((*fields[:at], none, *fields[at + 1 :]))
            yield f"{metric} {none!r}", {metric}, alaris_gh.encode(said), "INF"


def of_par_nibp() -> Iterator[tuple[str, set[str], bytes, str | None]]:
    """Blank or dashed pressures and pulse, and every error with the pressures of the one before."""
    cuff = {"sbp_mmhg", "dbp_mmhg", "map_mmhg", "nibp_pulse_bpm"}
    good = "S1;A0;C00;M00;P118072088;R072;T    ;;"
    told = [(good.replace("P118072088", "P" + 9 * none), cuff) for none in "- "]
    told += [(good.replace("R072", "R" + 3 * none), {"nibp_pulse_bpm"}) for none in "- "]
    told += [(good.replace("S1", "S2").replace("M00", f"M{error:02}"), cuff) for error in range(100)]
    for text, metrics in told:
        frame = b"\x02" + text.encode() + checksum(text.encode()) + b"\x03\r"
        yield text, metrics, frame, "status"


def of_dinamap() -> Iterator[tuple[str, set[str], bytes, str | None]]:
    """Blanks or dashes, and a status that is not the valid one."""
    for none in ("   ", "---", " --"):
        yield f"OA {none!r}", {"spo2_pct"}, f" OA1{none}  !!\r".encode(), dinamap.SPO2.name
        yield f"RA {none!r}", {"pulse_bpm"}, f" RA2 {none}  !!\r".encode(), dinamap.PULSE.name
    for status in "023456789":
        yield f"OA status {status}", {"spo2_pct"}, f" OA{status}097  !!\r".encode(), dinamap.SPO2.name
    for status in "013456789":
        yield f"RA status {status}", {"pulse_bpm"}, f" RA{status} 072  !!\r".encode(), dinamap.PULSE.name
    for status in "3456789":
        said = f" NA{status}..  12118072088  !!\r".encode()
        yield f"NA status {status}", {"sbp_mmhg", "dbp_mmhg", "map_mmhg"}, said, dinamap.CUFF.name


def of_medibus() -> Iterator[tuple[str, set[str], bytes, str | None]]:
    """Four characters without a digit; one that has none costs itself alone."""
    codes = {"EB": "spo2_pct", "E1": "pulse_bpm", "D5": "resp_bpm", "E6": "etco2_mmhg"}
    for code, metric in codes.items():
        for none in ("    ", "----", " -- ", "--.-", "****", "+++ ", "ERR "):
            data = "".join(one + (none if one == code else "  38") for one in codes)
            frame = medibus.framed(medibus.SOH, medibus.DATA_CODE, data)
            yield f"{code} {none!r}", {metric}, frame, medibus.DATA.name
            numbers = {one.metric for one in heard(SPECS["medibus"].driver(), "medibus", frame, medibus.DATA.name)
                       if one.value is not None}
            assert numbers == set(codes.values()) - {metric}


CODES: dict[str, Callable[[], Iterator[tuple[str, set[str], bytes, str | None]]]] = {
    "ge_dri": of_ge_dri, "intellivue": of_intellivue, "berry_pm6750": of_berry, "capnostream": of_capnostream,
    "": of_text, "alaris_gh": of_alaris, "par_nibp": of_par_nibp, "dinamap": of_dinamap, "medibus": of_medibus}


@pytest.mark.parametrize("of", CODES)
def test_every_code_at_every_value(of: str) -> None:
    tried = 0
    for words, metrics, frame, request in CODES[of]():
        name = of or words.split()[0]
        try:
            assert_gap(name, metrics, frame, request)
        except AssertionError as wrong:
            raise AssertionError(f"{name}, {words}: {wrong}") from wrong
        tried += 1
    assert tried >= 9


# --- Modbus -----------------------------------------------------------------------------------------------------------


def raw_of(at: At, number: float) -> Raw:
    """The registers (or the coil) that hold this raw number there."""
    field = at.field
    if field.type == "coil":
        return {(at.function, field.address): bytes((int(number),))}
    whole = number if field.type in FLOATS else int(number) * ((at.mask & -at.mask) or 1)
    raw = ordered(struct.pack(FORMATS[field.type], whole), field.words)
    return {(at.function, field.address + place): raw[2 * place : 2 * place + 2] for place in range(field.width)}


VALUES = [(f"{path.stem}: {value.metric}", value) for path in MAPS for value in read_map(path).values]


@pytest.mark.parametrize(("named", "value"), VALUES, ids=[named for named, _ in VALUES])
def test_what_a_map_or_a_float_has_for_none_is_none_at_every_value(named: str, value: Value) -> None:
    clear = {key: raw for flag in value.invalid_when for key, raw in raw_of(flag.at, 0).items()}
    codes = [*value.none, *(NOT_NUMBERS if value.at.field.type in FLOATS else ())]
    assert codes or value.invalid_when or named.startswith("modbus_map.example"), "no number is ever told"
    told = [(reading_of(value, {**clear, **raw_of(value.at, code)}), code) for code in codes]
    for flag in value.invalid_when:
        number = raw_of(value.at, (value.low + value.high) / 2 / value.factor)
        assert reading_of(value, {**clear, **number}).value is not None
        told.append((reading_of(value, {**clear, **number, **raw_of(flag.at, flag.equals)}), flag.equals))
    for found, code in told:
        assert found.value is None, code
        assert found.validity not in BELIEVED, code
