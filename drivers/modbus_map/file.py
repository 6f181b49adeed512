"""A register map as a technician writes it (deploy/modbus_map.example.toml), read and wholly checked.

Addresses come out 0-based, as the wire has them; values in the metric's own unit.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from drivers.contract import ALARMS, REASONS, DeviceKind, Line, Priority, PumpState, Transport
from drivers.kit.registers import FLOATS, FORMATS, ByteOrder, Field
from drivers.modbus_map.parts import CUFF, Alarm, At, Check, Flag, Power, RegisterMap, Text, Value
from drivers.modbus_map.spans import Spans, raw_range
from drivers.modbus_map.tables import MapError, Source, Table, near
from drivers.modbus_map.units import units_of

PLACES: Mapping[str, Literal[1, 2, 3, 4]] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}  # with its function
TYPES = tuple(FORMATS)
KINDS: tuple[DeviceKind, ...] = get_args(DeviceKind)
STATES: tuple[PumpState, ...] = get_args(PumpState)
PRIORITIES: tuple[Priority, ...] = get_args(Priority)
ORDERS: tuple[ByteOrder, ...] = get_args(ByteOrder)
MODBUS: tuple[Transport, ...] = ("modbus+tcp", "modbus+rtu")
POWERS = {"exponent": (-6.0, 6.0), "decimals": (0.0, 6.0)}  # what a device says that has no `range` for it
MOST_GAP = 100
COUNTED = ("pdu", "from 1", "modicon")  # how the manual counts addresses
MODICON = {1: 1, 2: 10001, 3: 40001, 4: 30001}
LEAST_SCALE = 1e-12
EXACT = 2**53  # what a code or a bit is read from fits a float


def read_map(path: Path) -> RegisterMap:
    """The map in `path`. Raises MapError: one line with file and line."""
    return _Reader(path).map()


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path, self._source = path, Source(path)
        self._counted, self._words = "pdu", "ABCD"
        self._spans = Spans()

    def map(self) -> RegisterMap:
        self._tables()
        device = self._one("device", needed=True)
        assert device is not None
        head = self._device(device)
        pump, alive = self._pump(head["kind"], device), self._alive(head["poll_s"])
        values = self._values()
        counter = self._counter(values)
        self._apart(values, {"[pump]": pump.get("state_at"), "[determination]": counter, "[alive]": alive.get("alive")})
        if counter is not None and not any(value.metric in CUFF for value, _ in values):
            raise self._source.wrong("determination", 0, None, "[determination] is for a cuff's numbers; none is here")
        identity = self._one("identity")
        serial, model = (self._text(identity, key) for key in ("serial", "model"))
        if identity is not None and serial is None and model is None:
            raise identity.wrong(None, "[identity] names neither serial nor model; write one, or leave it out")
        for table in (device, identity):
            if table is not None:
                table.done()
        return RegisterMap(
            **head, **pump, **alive, line=self._line(head["poll_s"]), values=tuple(value for value, _ in values),
            checks=tuple(map(self._check, self._many("check"))), alarms=tuple(self._alarms(values)),
            serial=serial, model=model, counter=counter, defined_at={value.metric: place for value, place in values})

    def _tables(self) -> None:
        known = ("device", "line", "value", "check", "alarm", "pump", "identity", "determination", "alive")
        for name in self._source.raw:
            if name not in known:
                raise self._source.wrong(name, 0, name, f"no table {name!r}{near(name, known)}; there are"
                                                        f" {', '.join(known)}")

    def _one(self, name: str, needed: bool = False) -> Table | None:
        if name not in self._source.raw:
            if needed:
                raise MapError(f"{self._path}:1: lacks [{name}]; write [{name}] with kind, source and title")
            return None
        return Table(self._source, name, 0, self._source.raw[name], many=False)

    def _many(self, name: str) -> list[Table]:
        raw = self._source.raw.get(name, [])
        if not isinstance(raw, list):
            raise self._source.wrong(name, 0, None, f"{name!r} is written once for each; write [[{name}]]")
        return [Table(self._source, name, index, one, many=True) for index, one in enumerate(raw)]

    def _device(self, table: Table) -> dict[str, Any]:
        name = table.text("name", re.sub(r"[^a-z0-9_]", "_", self._path.stem.lower()))
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
            raise table.wrong("name", f"'name' must be 1 to 32 of a-z, 0-9 and _, a letter first, not {name!r}")
        self._counted = table.text("addresses", "pdu", COUNTED)
        self._words = table.text("words", "ABCD", ORDERS)
        return {
            "name": name, "title": table.text("title", name), "kind": table.text("kind", choices=KINDS),
            "source": table.text("source"), "grade": table.text("grade", "D"),
            "wiring": table.text("wiring", "-", lines=True),
            "transports": table.texts("transports", MODBUS, MODBUS), "poll_s": table.number("poll_s", 0.1, 60.0, 1.0),
            "timeout_s": table.number("timeout_s", 0.05, 10.0, 1.0), "gap": table.whole("gap", 0, MOST_GAP, 0),
        }

    def _line(self, poll_s: float) -> Line:
        table = self._one("line")
        if table is None:
            line = Line(19200, 8, "E", 1)  # the standard's default (Modbus over serial line 1.02, 2.5.1)
            if line.silent_after_s <= poll_s + line.lateness_s:
                raise MapError(f"{self._path}:1: is asked every {poll_s:g} s and silent after {line.silent_after_s:g}"
                               f" s; write [line] with silent_after_s = {4 * poll_s:g}")
            return line
        line = Line(
            baud=table.whole("baud", 50, 4_000_000, 19200), bits=8,
            parity=cast("Any", table.text("parity", "E", ("N", "E", "O"))),
            stop=cast("Any", table.whole("stop", 1, 2, 1)),
            silent_after_s=table.number("silent_after_s", 0.5, 600.0, 5.0),
            lateness_s=table.number("lateness_s", 0.01, 60.0, 1.0))
        if line.silent_after_s <= poll_s + line.lateness_s:
            raise table.wrong("silent_after_s", f"'silent_after_s' must be longer than poll_s + lateness_s ({poll_s:g}"
                                                f" + {line.lateness_s:g}), not {line.silent_after_s:g}: else it is"
                                                " silent between two good responses")
        table.done()
        return line

    # --- where things are ---------------------------------------------------------------------------------------------

    def _at(self, table: Table, name: str, types: tuple[str, ...] = TYPES, *, registers: int = 0,
            bits: bool = False, default: str = "u16") -> At:
        """The one place that `table` names. `registers` is how many a text takes; `bits` may be of any other's."""
        named = [place for place in PLACES if table.has(place)]
        if len(named) != 1:
            raise table.wrong(named[1] if named else None,
                              f"{table.title} needs one of {', '.join(PLACES)} with an address, as in holding = 74")
        function = PLACES[named[0]]
        address, written = self._address(table, named[0], function)
        if function in (1, 2):
            return At(function, Field(name, address, "coil"), written)
        kind = "u16" if registers else table.text("type", default, types)
        mask, bit = table.whole("mask", 1, EXACT, 0), table.whole("bit", 0, 63, -1)
        words = cast(ByteOrder, table.text("words", self._words, ORDERS))
        place = Field(name, address, cast("Any", kind), words=words)
        width = registers or place.width
        if address + width > 0x10000:
            raise table.wrong(named[0], f"{named[0]} {address} takes {width} registers: beyond the last address, 65535")
        if bit >= 16 * width or (bit >= 0 and mask):
            raise table.wrong("bit", f"'bit' must be from 0 to {16 * width - 1}, and stands without 'mask'")
        if mask >> 16 * width or (registers and (mask or bit >= 0)):
            raise table.wrong("mask", "a text has no 'mask' and no 'bit'" if registers else
                              f"'mask' must be at most 0x{(1 << 16 * width) - 1:X}: {written} is {kind}")
        if (bit >= 0 or mask) and kind[0] != "u":
            raise table.wrong("type", f"bits are read from u16, u32 or u64, not {kind}")
        if mask and mask // (mask & -mask) & (mask // (mask & -mask) + 1):
            raise table.wrong("mask", f"'mask' must be bits side by side, not 0x{mask:X}: others are between")
        at = At(function, place, written, 1 << bit if bit >= 0 else mask)
        if not bits and (overlap := self._spans.take(function, place, width, written)):
            raise table.wrong(named[0], overlap)
        return at

    def _holds(self, table: Table, key: str, at: At, numbers: Iterable[float]) -> None:
        """Refuse raw numbers that the register can never hold: what is compared with one is never seen."""
        low, high = raw_range(at.field, at.mask)
        for number in numbers:
            if not low <= number <= high or (at.field.type not in FLOATS and number != int(number)):
                kind = f"{at.field.type}, masked" if at.mask else at.field.type
                raise table.wrong(key, f"{key}: {at.written} ({kind}) never holds {number:g}; it is from {low:g} to"
                                       f" {high:g}")

    def _address(self, table: Table, key: str, function: int) -> tuple[int, str]:
        """0-based; and as it is written."""
        first = {"pdu": 0, "from 1": 1, "modicon": MODICON[function]}[self._counted]
        written = table.whole(key, 0, 465536)
        if self._counted == "modicon" and written > 100_000:
            first = (first // 10000) * 100_000 + 1
        address = written - first
        if not 0 <= address <= 0xFFFF:
            raise table.wrong(key, f"{key} {written} is no address where addresses = {self._counted!r}; the first is"
                                   f" {first}, the last {first + 0xFFFF}")
        return address, f"{key} {written}"

    def _flag(self, table: Table, name: str) -> Flag:
        at = self._at(table, name, ("u16", "u32"), bits=True)
        if at.field.type == "coil" or at.mask:
            return Flag(at, table.whole("equals", 0, 1, 1))
        flag = Flag(at, table.whole("equals", 0, EXACT))
        self._holds(table, "equals", at, [flag.equals])
        return flag

    def _text(self, table: Table | None, key: str) -> Text | None:
        inner = table.inner(key) if table is not None else None
        if inner is None:
            return None
        registers = inner.whole("length", 2, 64, 0)
        if registers % 2:
            raise inner.wrong("length", f"'length' counts characters, two to a register: even, not {registers}")
        text = Text(self._at(inner, key, ("u16", "u32", "u64"), registers=registers // 2), registers // 2)
        if text.at.function in (1, 2):
            raise inner.wrong(None, "is in a register, not in a coil")
        inner.done()
        return text

    # --- what things are ----------------------------------------------------------------------------------------------

    def _values(self) -> list[tuple[Value, str]]:
        found: list[tuple[Value, str]] = []
        for table in self._many("value"):
            value = self._value(table)
            if any(value.metric == other.metric for other, _ in found):
                raise table.wrong("metric", f"{value.metric} is there twice; give each metric one [[value]]")
            for other, _ in found:
                if other.at == replace(value.at, field=replace(value.at.field, name=other.metric)):
                    raise table.wrong("metric", f"{value.metric} is read from {value.at.written}, and so is"
                                                f" {other.metric}; one address is wrong")
            found.append((value, str(table.wrong("metric", "")).removesuffix(": ")))
        if not found and "pump" not in self._source.raw:
            raise MapError(f"{self._path}:1: has no [[value]]; write one for each number")
        return found

    def _apart(self, values: list[tuple[Value, str]], others: Mapping[str, At | None]) -> None:
        """No number is also a pump's state, or what tells a new one from an old one."""
        for value, place in values:
            for title, at in others.items():
                if at is not None and value.at == replace(at, field=replace(at.field, name=value.metric)):
                    raise MapError(f"{place}: {value.metric} is read from {at.written}, and so is {title}; one address"
                                   " is wrong")

    def _value(self, table: Table) -> Value:
        metric = table.text("metric")
        units = units_of(metric)
        if not units:
            raise table.wrong("metric", f"{metric!r} is no metric: its name ends in its unit, as in rate_ml_h")
        at = self._at(table, metric)
        if at.field.type == "coil":
            raise table.wrong(None, "a number is in a register: write holding or input")
        unit = table.text("unit", choices=tuple(units))
        times, plus = units[unit]
        scale, offset = table.number("scale", -1e9, 1e9, 1.0), table.number("offset", -1e9, 1e9, 0.0)
        if abs(scale) < LEAST_SCALE:
            raise table.wrong("scale", f"'scale' must not be 0, nor less than {LEAST_SCALE:g}")
        low, high = self._range(table, "range")
        if table.number("resolution", 0.0, 1e9, 0.0) > high - low:
            raise table.wrong("resolution", f"'resolution' must be smaller than 'range' is wide ({high - low:g})")
        power = self._power(table, metric, at)
        value = Value(
            metric, at, scale * times, offset * times + plus, low * times + plus, high * times + plus,
            frozenset(table.numbers("none", ())), table.number("resolution", 0.0, 1e9, 0.0) / abs(scale),
            tuple(self._invalid(inner, metric) for inner in table.inners("invalid_when")), power)
        self._holds(table, "none", at, value.none)
        self._reaches(table, value)
        if at.field.type in FLOATS and power is None:
            ends = [_held(at, (end - value.offset) / value.factor) * value.factor + value.offset
                    for end in (value.low, value.high)]
            value = replace(value, none=frozenset(_held(at, one) for one in value.none),
                            low=min(value.low, *ends), high=max(value.high, *ends))
        table.done()
        return value

    def _power(self, table: Table, metric: str, number: At) -> Power | None:
        """The register of its power of ten, where it has one: in the same request, else the two need not be of one
        moment, and a device that changes its own scale would be ten times out for a round."""
        found = {key: inner for key in POWERS if (inner := table.inner(key)) is not None}
        if len(found) > 1:
            raise table.wrong("decimals", "'exponent' and 'decimals' say the same; write one")
        for key, inner in found.items():
            at = self._at(inner, f"{metric}'s {key}", ("s16", "u16"), default="s16" if key == "exponent" else "u16")
            if at.field.type == "coil" or (at.function, at.field.address) == (number.function, number.field.address):
                raise inner.wrong(None, "is in a register of its own: write holding or input")
            low, high = self._range(inner, "range") if inner.has("range") else POWERS[key]
            if not (low == int(low) and high == int(high) and -12 <= low <= high <= 12):
                raise inner.wrong("range", f"'range' must be two whole numbers from -12 to 12, not {[low, high]}")
            least, most = raw_range(at.field, at.mask)
            if high < least or low > most:
                raise inner.wrong("range", f"'range' is never reached: {at.written} is from {least:g} to {most:g}")
            inner.done()
            return Power(at, -1 if key == "decimals" else 1, int(low), int(high))
        return None

    def _reaches(self, table: Table, value: Value) -> None:
        powers = [1.0] if value.power is None else [
            10.0 ** (value.power.sign * end) for end in (value.power.low, value.power.high)]
        ends = [raw * power * value.factor + value.offset
                for raw in raw_range(value.at.field, value.at.mask) for power in powers]
        if max(ends) < value.low or min(ends) > value.high:
            raise table.wrong("range", f"'range' is never reached: {value.at.written} ({value.at.field.type}) with this"
                                       f" scale is from {min(ends):g} to {max(ends):g} {value.metric}")

    def _range(self, table: Table, key: str) -> tuple[float, float]:
        pair = table.numbers(key)
        if len(pair) != 2 or not pair[0] < pair[1]:
            raise table.wrong(key, f"{key!r} must be [lowest, highest] of what is plausible, not {list(pair)}")
        return pair[0], pair[1]

    def _invalid(self, table: Table, metric: str) -> Flag:
        flag = self._flag(table, metric)
        flag = Flag(flag.at, flag.equals, table.text("reason", choices=sorted(REASONS)))
        table.done()
        return flag

    def _check(self, table: Table) -> Check:
        name = table.text("name", "check")
        at = self._at(table, name)
        if table.has("equals") == table.has("range"):
            raise table.wrong(None, "[[check]] needs either equals = ... or range = [lowest, highest]")
        if table.has("range"):
            low, high = self._range_of_check(table, at)
        else:
            low = table.number("equals", -math.inf, math.inf)
            self._holds(table, "equals", at, [low])
            low = high = _held(at, low)
        table.done()
        return Check(name, at, low, high)

    def _range_of_check(self, table: Table, at: At) -> tuple[float, float]:
        """A check proves something: a number in the register may fail it, and one may hold."""
        low, high = self._range(table, "range")
        least, most = raw_range(at.field, at.mask)
        inside = (max(low, least), min(high, most))
        if inside[0] > inside[1] or (at.field.type not in FLOATS and math.ceil(inside[0]) > inside[1]):
            raise table.wrong("range", f"'range' is never reached: {at.written} ({at.field.type}) is from {least:g} to"
                                       f" {most:g}" + ("" if at.field.type in FLOATS else ", in whole numbers"))
        if low <= least and most <= high:
            raise table.wrong("range", f"'range' holds whatever {at.written} has ({least:g} to {most:g}), and proves"
                                       " nothing; write what this device has there")
        return min(low, _held(at, inside[0])), max(high, _held(at, inside[1]))

    def _alarms(self, values: list[tuple[Value, str]]) -> Iterator[Alarm]:
        """Each bit or code once, and a register is read by its bits, by its codes or as one of `values`."""
        found: list[Alarm] = []
        for table in self._many("alarm"):
            alarm = self._alarm(table)
            at = alarm.flag.at
            here = [one for one in found if (one.flag.at.function, one.flag.at.field.address)
                    == (at.function, at.field.address)]
            if any((one.flag.at.mask, one.flag.equals) == (at.mask, alarm.flag.equals) for one in here):
                raise table.wrong("code", f"{alarm.raw} is there twice; give each bit or code one [[alarm]]")
            if any(one.by_value != alarm.by_value for one in here):
                raise table.wrong("code", f"{at.written} is read by its bits and by its codes; it is one or the other")
            whole = next((one for one, _ in values if not one.at.mask and at.mask and one.at.function == at.function
                          and 0 <= at.field.address - one.at.field.address < one.at.field.width), None)
            if whole is not None:
                raise table.wrong("bit", f"{alarm.raw} is a bit of {whole.metric}, which is read from all of"
                                         f" {whole.at.written}; one address is wrong, or the number needs a 'mask'")
            found.append(alarm)
            yield alarm

    def _alarm(self, table: Table) -> Alarm:
        code = table.text("code", choices=(*sorted(ALARMS), "none"))
        at = self._at(table, code, ("u16", "u32"), bits=True)
        by_value = at.field.type != "coil" and not at.mask
        equals = table.whole("equals", 0, EXACT) if by_value else table.whole("equals", 0, 1, 1)
        if by_value:
            self._holds(table, "equals", at, [equals])
        priority = cast(Priority, table.text("priority", "medium" if code == "none" else "", PRIORITIES))
        if not priority:
            raise table.wrong(None, f"[[alarm]] lacks 'priority'; write one of {', '.join(PRIORITIES)}")
        text = table.text("text", code.replace("_", " "))
        table.done()
        return Alarm(Flag(at, equals), code, priority, text, by_value)

    def _pump(self, kind: str, device: Table) -> dict[str, Any]:
        table = self._one("pump")
        if table is None:
            if kind == "pump":
                raise device.wrong("kind", "a pump's map needs [pump]: where its state is, and what each code means")
            return {}
        if kind != "pump":
            raise table.wrong(None, f"[pump] is for kind = \"pump\", not {kind!r}")
        at, states = self._at(table, "state", ("u16", "u32"), bits=True), table.coded("states", STATES)
        self._holds(table, "states", at, states)
        if "infusing" not in states.values():
            raise table.wrong("states", "'states' has no code for \"infusing\": this pump would never be seen to run")
        table.done()
        return {"state_at": at, "states": states}

    def _counter(self, values: list[tuple[Value, str]]) -> At | None:
        table = self._one("determination")
        of_cuff = next((place for value, place in values if value.metric in CUFF), None)
        if table is None:
            if of_cuff:
                raise MapError(f"{of_cuff}: a cuff's numbers need [determination] with a counter that changes with each"
                               " one; without it an old result passes for a new one")
            return None
        at = self._at(table, "counter", ("u16", "u32"))
        table.done()
        return at

    def _alive(self, poll_s: float) -> dict[str, Any]:
        table = self._one("alive")
        if table is None:
            return {}
        at, alive_s = self._at(table, "alive", ("u16", "u32")), table.number("within_s", 0.5, 600.0, 5.0)
        if alive_s <= poll_s:
            raise table.wrong("within_s", f"'within_s' must be longer than poll_s ({poll_s:g}), not {alive_s:g}")
        table.done()
        return {"alive": at, "alive_s": alive_s}


def _held(at: At, number: float) -> float:
    """3.1416 of the manual as the register has it: a float of 32 bits has fewer digits."""
    if at.field.type not in FLOATS or not abs(number) <= raw_range(at.field, 0)[1]:
        return number
    form = FORMATS[at.field.type]
    return float(struct.unpack(form, struct.pack(form, number))[0])
