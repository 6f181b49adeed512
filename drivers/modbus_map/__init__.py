"""Any Modbus device, from a register map that a technician writes in TOML: no code, no rebuild.

    [[bed.device]]                          or: the map's file in the folder of [edge] drivers, and its own name here
    driver = "modbus_map"                   driver = "acme_3000"
    map = "acme_3000.toml"
    at = "modbus+tcp://10.0.0.9:502?unit=1"

The format is drawn, with comments, in deploy/modbus_map.example.toml; `file.py` reads and checks it. Functions 1 to 4
are all that is ever sent (Modbus application protocol 1.1b3): a map can only read.

At every opening the registers of [identity] and [[check]] are read. Where a check does not hold (word order, addresses
counted from 1, another device) no number counts, and the link says which register holds what. Then a round every
`poll_s`: neighbouring registers in one request each, and all numbers of a round together at its end; a round in which
one response is missing is given up. A bit or code of an alarm register that the map does not name is an alarm of its
own, with its raw code. A [[check]] that is read along with values proves each response; so does a pump's volume that
is where rate and time lead (drivers/kit/tracks.py). A cuff's numbers count once, when the register of [determination]
changes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from drivers.contract import (
    BadFrame,
    Decoded,
    DeviceAlarm,
    DeviceAlarms,
    Framing,
    Identity,
    ModbusRequest,
    Pump,
    Reading,
    Request,
    SelfCheckFailed,
    Spec,
    Validity,
)
from drivers.kit.registers import FLOATS, Block, WholeResponses, is_number, response_bytes, told
from drivers.kit.tally import Tally
from drivers.kit.tracks import BY_VOLUME, Track, doubted
from drivers.modbus_map.file import MOST_GAP, PLACES, read_map
from drivers.modbus_map.parts import CUFF, Alarm, At, Flag, RegisterMap, Text, Value
from drivers.modbus_map.tables import MapError

NAME = "modbus_map"
MOST_REGISTERS, MOST_COILS = 120, 1900  # in one request; the standard allows 125 and 2000 (6.1 to 6.4)
NEAR = 1e-4  # of a step: how far from a whole number of steps a float may be and still be one
VOLUMES = {"volume_infused_ml": 1, "volume_remaining_ml": -1}  # and which way each goes
FASTEST_ML_H = 2000.0  # where the map has no rate
MISSED = 2

Raw = Mapping[tuple[int, int], bytes]  # (function, address) -> one register's two bytes, or a coil's one


def _wiring(found: RegisterMap) -> str:
    unproven = "" if found.checks else "\nNo [[check]] in this map: nothing proves its addresses and the order of words"
    return found.wiring + unproven + ("" if found.serial else "\nNo serial number in this map: bound by its port")


def spec_of(path: Path) -> Spec:
    """The driver of the map in `path`. Raises ValueError: one line with file and line."""
    found = read_map(path)
    opening, polled = requests_of(found)
    _check_powers(found, polled)
    return Spec(
        name=found.name, title=found.title, kind=found.kind, transports=found.transports, grade=found.grade,
        source=found.source, line=found.line, metrics=frozenset(value.metric for value in found.values),
        requests=(*opening, *polled), wiring=_wiring(found), make=lambda settings: MapDriver(found),
        defined_at=found.defined_at, age=_age(found),
        names_itself="" if found.serial is None else "opening")


def _age(found: RegisterMap) -> str:
    if found.alive is not None:
        return "its counter"
    volumes = any(value.metric in VOLUMES for value in found.values)
    return BY_VOLUME if volumes and "infusing" in found.states.values() else ""


def _check_powers(found: RegisterMap, polled: Sequence[ModbusRequest]) -> None:
    """A number and its power of ten are of one moment only where one response has both. Raises MapError."""
    for value in found.values:
        if value.power is None:
            continue
        at, power = value.at.field.address, value.power.at.field.address
        if value.at.function != value.power.at.function or not any(
                one.function == value.at.function and one.address <= min(at, power)
                and max(at + value.at.field.width, power + 1) <= one.address + one.count for one in polled):
            apart = power - at - value.at.field.width if power > at else at - power - 1
            write = f"write gap = {apart} in [device], where the device lets what lies between be read" if (
                value.at.function == value.power.at.function and apart <= MOST_GAP) else (
                "they are too far apart, or of two kinds: leave this number out, or write its scale")
            raise MapError(f"{found.defined_at[value.metric]}: {value.metric} at {value.at.written} and its power of"
                           f" ten at {value.power.at.written} are not read together; {write}")


def requests_of(found: RegisterMap) -> tuple[list[ModbusRequest], list[ModbusRequest]]:
    """What is read at every opening, and what in every round."""
    once = [(one.at, one.registers) for one in (found.serial, found.model) if one is not None]
    often = [value.at for value in found.values]
    often += [value.power.at for value in found.values if value.power is not None]
    often += [flag.at for value in found.values for flag in value.invalid_when]
    often += [alarm.flag.at for alarm in found.alarms]
    often += [at for at in (found.state_at, found.counter, found.alive) if at is not None]
    polled = _merged([(at, 0) for at in often], "read", found)
    for check in found.checks:  # one beside the values costs nothing, and proves each response
        with_it = _merged([(at, 0) for at in (*often, check.at)], "read", found)
        if len(with_it) == len(polled):
            often, polled = [*often, check.at], with_it
        else:
            once.append((check.at, 0))
    return _merged(once, "identify", found), polled


def _merged(
    places: Iterable[tuple[At, int]], effect: Literal["identify", "read"], found: RegisterMap
) -> list[ModbusRequest]:
    """As few requests as read all `places`; what lies between them is read along where it is at most `gap` long."""
    spans = sorted({(at.function, at.field.address, at.field.address + (width or at.field.width))
                    for at, width in places})
    runs: list[tuple[Literal[1, 2, 3, 4], int, int]] = []
    for function, first, end in spans:
        most = MOST_COILS if function in (1, 2) else MOST_REGISTERS
        if runs and runs[-1][0] == function and first <= runs[-1][2] + found.gap and end - runs[-1][1] <= most:
            runs[-1] = (function, runs[-1][1], max(end, runs[-1][2]))
        else:
            runs.append((function, first, end))
    words = {number: word for word, number in PLACES.items()}
    begins = "who" if effect == "identify" else "read"
    return [ModbusRequest(f"{begins}_{words[function]}_{first}", function, first, end - first, effect=effect,
                          timeout_s=found.timeout_s) for function, first, end in runs]


class MapDriver:
    """One device of a map."""

    def __init__(self, found: RegisterMap) -> None:
        self.framing: Framing = WholeResponses()
        self._map = found
        self._opening, self._polled = requests_of(found)
        self.unmapped = Tally()
        self._wrong = self._frozen = ""  # why nothing it sends can be believed; both outlive an opening
        self._last_alive: tuple[int, float] | None = None
        self._tracks = {metric: Track(sign) for metric, sign in VOLUMES.items()}
        self._forget()

    def _forget(self) -> None:
        self._left: list[ModbusRequest] = []
        self._due_s: float | None = None
        self._at_s = self._rate_ml_h = 0.0
        for track in self._tracks.values():
            track.forget()
        self._raw: dict[tuple[int, int], bytes] = {}
        self._who: dict[tuple[int, int], bytes] = {}
        self._proven = not self._opening
        self._missed = 0
        self._counted: int | None = None

    def on_open(self) -> Sequence[Request]:
        self._forget()
        return list(self._opening)

    def next_request(self, at_s: float) -> Request | None:
        if not self._left and (self._due_s is None or at_s >= self._due_s):
            self._due_s, self._at_s = at_s + self._map.poll_s, at_s
            self._left, self._raw = list(self._polled), {}
        return self._left.pop(0) if self._left else None

    @property
    def due_s(self) -> float:
        """See `Timed`."""
        return -math.inf if self._left or self._due_s is None else self._due_s

    def is_response(self, frame: bytes, request: Request) -> bool:
        return isinstance(request, ModbusRequest) and len(frame) == response_bytes(request)

    def on_timeout(self, request: Request) -> Sequence[Decoded]:
        """The round is given up; from the second on nobody knows what a pump does."""
        self._missed += 1
        if not self._frozen:  # else the rest is read all the same: it shows whether the device measures again
            self._left = []
        unknown = self._map.state_at is not None and self._missed >= MISSED
        return (Pump("unknown"),) if unknown else ()

    def decode(self, frame: bytes, request: Request | None) -> Sequence[Decoded]:
        if not isinstance(request, ModbusRequest) or len(frame) != response_bytes(request):
            self._left = []
            raise BadFrame("a response to nothing that was requested")
        opening = request.effect == "identify"
        if not opening and not self._proven:
            self._left = []
            raise SelfCheckFailed(self._wrong or "it has not said who it is")
        raw = _split(frame, request)
        if not opening and (failed := self._failed(raw)):
            self._left = []
            raise SelfCheckFailed(failed)
        (self._who if opening else self._raw).update(raw)
        if request == (self._opening if opening else self._polled)[-1]:
            return self._identified() if opening else self._round()
        if self._wrong or self._frozen:
            raise SelfCheckFailed(self._wrong or self._frozen)
        return ()

    # --- who it is ----------------------------------------------------------------------------------------------------

    def _identified(self) -> Sequence[Decoded]:
        if any((one.function, one.address) not in self._who for one in self._opening):
            return ()
        self._wrong = self._failed(self._who)
        if self._wrong:
            raise SelfCheckFailed(self._wrong)
        self._proven = True
        if self._frozen:
            raise SelfCheckFailed(self._frozen)
        serial, model = self._map.serial, self._map.model
        if serial is None and model is None:
            return ()
        named = _text(model, self._who) if model is not None else ""
        return (Identity(_text(serial, self._who) if serial is not None else None, named or self._map.title),)

    def _failed(self, raw: Raw) -> str:
        """Which check does not hold among these registers, in words; empty where all do."""
        for check in self._map.checks:
            if any((check.at.function, place) not in raw for place in _addresses(check.at)):
                continue
            value = _number(check.at, raw)
            if not (math.isfinite(value) and check.low <= value <= check.high):
                ends = dict.fromkeys((check.low, check.high))
                form = ".9g" if any(f"{value:g}" == f"{end:g}" for end in ends) else "g"
                wanted = " to ".join(f"{end:{form}}" for end in ends)
                return (f"self-check {check.name!r}: {check.at.written} holds {value:{form}}, not {wanted}: word order,"
                        " addresses counted from 1, or another device?")
        return ""

    # --- a round ------------------------------------------------------------------------------------------------------

    def _round(self) -> Sequence[Decoded]:
        if any((one.function, one.address) not in self._raw for one in self._polled):
            return ()
        self._missed = 0
        self._check_alive()
        decoded: list[Decoded] = []
        if self._map.alarms:
            decoded.append(DeviceAlarms(tuple(_alarms(self._map.alarms, self._raw))))
        new = self._is_new_determination()
        readings = [reading_of(value, self._raw) for value in self._map.values if value.metric not in CUFF or new]
        decoded += self._trusted(readings)
        at = self._map.state_at
        if at is not None:
            code = _code(at, self._raw)
            if code not in self._map.states:
                self.unmapped.saw(f"state {code}")
            decoded.append(Pump(self._map.states.get(code, "unknown")))
        return decoded

    def _trusted(self, readings: list[Reading]) -> list[Reading]:
        """A pump's numbers; what came in a response with a volume that is not where it must be is questionable."""
        if self._map.state_at is None:
            return readings
        values = {one.metric: one.value for one in readings}
        rate = values.get("rate_ml_h")
        now = rate if rate is not None else max((one.high for one in self._map.values if one.metric == "rate_ml_h"),
                                                default=FASTEST_ML_H)
        highest, self._rate_ml_h = max(self._rate_ml_h, now), now
        runs = self._map.states.get(_code(self._map.state_at, self._raw)) == "infusing"
        doubtful = set()
        for metric, track in self._tracks.items():
            volume = values.get(metric)
            if metric in values and (volume is None or not track.fits(
                    volume, highest, self._at_s, step_ml=step_of(self._value(metric), self._raw), runs=runs)):
                doubtful.add(self._response_with(metric))
        return [doubted(one) if self._response_with(one.metric) in doubtful else one for one in readings]

    def _value(self, metric: str) -> Value:
        return next(value for value in self._map.values if value.metric == metric)

    def _response_with(self, metric: str) -> ModbusRequest:
        at = self._value(metric).at
        return next(one for one in self._polled if one.function == at.function
                    and one.address <= at.field.address < one.address + one.count)

    def _check_alive(self) -> None:
        """Raises SelfCheckFailed where the device's own counter stands still: what it sends is of an unknown age."""
        if self._map.alive is None:
            return
        counter = _code(self._map.alive, self._raw)
        if self._last_alive is None or counter != self._last_alive[0]:
            self._last_alive, self._frozen = (counter, self._at_s), ""
        elif self._at_s - self._last_alive[1] >= self._map.alive_s:
            self._frozen = f"frozen: {self._map.alive.written} has held {counter} for {self._map.alive_s:g} s"
            raise SelfCheckFailed(self._frozen)

    def _is_new_determination(self) -> bool:
        """The one that was there at the opening is nobody knows how old."""
        if self._map.counter is None:
            return False
        before, self._counted = self._counted, _code(self._map.counter, self._raw)
        return before is not None and before != self._counted


def reading_of(value: Value, raw: Raw) -> Reading:
    """One number of the map."""
    for flag in value.invalid_when:
        if _is_set(flag, raw):
            return Reading(value.metric, None, Validity.INVALID, flag.reason)
    number = _number(value.at, raw)
    power = 0 if value.power is None else _code(value.power.at, raw)
    if value.power is not None and not value.power.low <= power <= value.power.high:
        return Reading(value.metric, None, Validity.INVALID, "implausible")
    if number in value.none or (math.isnan(number) and any(map(math.isnan, value.none))):
        return Reading(value.metric, None, Validity.UNAVAILABLE)
    if value.power is not None:
        power *= value.power.sign
        number = number * 10.0**power if power >= 0 else number / 10.0**-power
    product = number * value.factor
    scaled = product + value.offset
    if not is_number(number) or not _in_steps(number, value.resolution):
        return Reading(value.metric, None, Validity.INVALID, "implausible")
    if not value.low <= scaled <= value.high:
        beyond = Validity.OVERFLOW if scaled > value.high else Validity.UNDERFLOW
        return Reading(value.metric, None, beyond, "out_of_range")
    return Reading(value.metric, told(product, value.at.field.type, _told_step(value, raw), value.offset))


def step_of(value: Value, raw: Raw) -> float:
    """How finely the number is told, in the unit of its metric; 0: it is a float, and the map does not say."""
    if value.resolution or value.at.field.type in FLOATS:
        return abs(value.factor) * value.resolution
    return _told_step(value, raw)


def _told_step(value: Value, raw: Raw) -> float:
    """What one more in the register makes of the number."""
    return abs(value.factor) * (1.0 if value.power is None else 10.0 ** (value.power.sign * _code(value.power.at, raw)))


def _in_steps(number: float, step: float) -> bool:
    """Whether `number` is a whole number of steps, as near as a float can say: a device has no more digits."""
    return step == 0 or abs(number / step - round(number / step)) <= max(NEAR, abs(number / step) * 1e-6)


def _alarms(alarms: Sequence[Alarm], raw: Raw) -> Iterable[DeviceAlarm]:
    for alarm in alarms:
        if _is_set(alarm.flag, raw) and alarm.code != "none":
            yield DeviceAlarm(alarm.code, alarm.priority, alarm.raw, alarm.text)
    yield from _unnamed(alarms, raw)


def _unnamed(alarms: Sequence[Alarm], raw: Raw) -> Iterable[DeviceAlarm]:
    """Bits and codes of the alarm registers that no [[alarm]] names."""
    registers = {(alarm.flag.at.function, alarm.flag.at.field.address): alarm for alarm in alarms
                 if alarm.flag.at.field.type != "coil"}
    for key, first in registers.items():
        here = [one for one in alarms if (one.flag.at.function, one.flag.at.field.address) == key]
        whole = replace(first.flag.at, mask=0)
        held = _code(whole, raw)
        if any(one.by_value for one in here):
            if held != 0 and held not in {one.flag.equals for one in here}:
                yield DeviceAlarm("unknown", "medium", f"{whole.written} = {held}", f"the device's code {held}")
            continue
        for bit in range(16 * whole.field.width):
            if held >> bit & 1 and not any(one.flag.at.mask >> bit & 1 for one in here):
                yield DeviceAlarm("unknown", "medium", f"{whole.written} bit {bit}", f"the device's bit {bit}")


# --- bytes ------------------------------------------------------------------------------------------------------------


def _split(frame: bytes, request: ModbusRequest) -> dict[tuple[int, int], bytes]:
    if request.function in (1, 2):
        return {(request.function, request.address + place): bytes((frame[place // 8] >> place % 8 & 1,))
                for place in range(request.count)}
    return {(request.function, request.address + place): frame[2 * place : 2 * place + 2]
            for place in range(request.count)}


def _addresses(at: At) -> range:
    return range(at.field.address, at.field.address + at.field.width)


def _number(at: At, raw: Raw) -> float:
    """The number at `at`, its bits alone where it has a mask."""
    held = b"".join(raw[at.function, place] for place in _addresses(at))
    if at.field.type == "coil":
        return float(held[0])
    request = ModbusRequest("", at.function, at.field.address, at.field.width, effect="read")
    number = Block(request, (at.field,)).decode(held)[at.field.name]
    if at.mask:
        return float((int(number) & at.mask) >> ((at.mask & -at.mask).bit_length() - 1))
    return number


def _code(at: At, raw: Raw) -> int:
    return int(_number(at, raw))


def _is_set(flag: Flag, raw: Raw) -> bool:
    return _code(flag.at, raw) == flag.equals


def _text(text: Text, raw: Raw) -> str | None:
    """What the registers say, or None where they say nothing."""
    if not text.registers:
        number = _code(text.at, raw)
        return str(number) if number else None
    held = b"".join(raw[text.at.function, text.at.field.address + place] for place in range(text.registers))
    if text.at.field.words in ("BADC", "DCBA"):
        held = struct.pack(f"<{len(held) // 2}H", *struct.unpack(f">{len(held) // 2}H", held))
    said = held.split(b"\0")[0].decode("ascii", "replace").strip()
    return said or None
