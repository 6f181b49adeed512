"""Alarms of one cause: a bus, a gateway, a power strip or the box itself fails, and many beds say so at once.

Each alarm stays its own bed's, with its own acknowledgement and its own end; what they share is named beside them, so
that a screen can make one line of them. Never an alarm of a patient.

    wire       all devices that are reached over the same port, host or adapter are lost, and they are several
    together   several devices were lost within seconds of each other, whatever they are reached over
    box        the rule asks of the box alone, and speaks at several beds

An alarm keeps its cause until it ends: they come back one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from edge.contract.attention_now import CauseNow
from edge.core.alarms import SHOWN, Alarm
from edge.core.rules import RuleSet
from edge.core.state import BedState, Device
from edge.model import iso
from edge.vocabulary import counted

Place = tuple[str, str]  # bed and device
_ADAPTER = re.compile(r"(.*/by-id/.+)-if\d+(?:-port\d+)?")  # udev's names of one USB adapter's ports


def wires(path: str, host: str, port: int) -> tuple[str, ...]:
    """What a device is reached over and others may be, too, the widest first: its USB adapter and port, or host and
    port. A host that is this machine is none."""
    if path:
        adapter = _ADAPTER.fullmatch(path)
        return (adapter[1], path) if adapter else (path,)
    return (f"{host}:{port}",) if _is_here(host) else (host, f"{host}:{port}")


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(slots=True)
class Floods:
    """`beds` gives all of them as they are now; `wires`: what each device is reached over. Whatever may have made other
    causes of them (an event, another wiring) is said by `changed`."""

    rules: RuleSet
    beds: Callable[[], Iterable[BedState]]
    wires: dict[Place, tuple[str, ...]] = field(default_factory=dict)
    _kept: dict[str, str] = field(default_factory=dict)  # by an alarm's id
    _of_box: frozenset[str] = field(init=False)
    _found: dict[str, dict[str, CauseNow]] | None = None  # by bed and an alarm's key; None: look again

    def __post_init__(self) -> None:
        self._of_box = frozenset(rule.id for rule in self.rules if rule.of_box)

    def causes(self, state: BedState) -> Mapping[str, CauseNow]:
        """The causes of this bed's alarms, by their keys; of those alone that others have, too."""
        if not any(map(self._may_share, state.alarms.values())):  # nearly always
            return {}
        if self._found is None:  # every state that is sent asks, and each time it would be of all beds
            self._found = self._look()
        return self._found.get(state.bed, {})

    def reached(self, place: Place, over: tuple[str, ...]) -> None:
        """This device is reached over these."""
        self.wires[place], self._found = over, None

    def changed(self) -> None:
        """Something happened at some bed."""
        self._found = None

    def _look(self) -> dict[str, dict[str, CauseNow]]:
        beds = {one.bed: one for one in self.beds()}
        lost = dict(self._lost(beds))
        found: dict[str, list[Alarm]] = {}
        for alarm in (alarm for one in beds.values() for alarm in one.alarms.values() if self._may_share(alarm)):
            cause = self._cause(alarm, lost)
            if cause is not None:
                found.setdefault(cause, []).append(alarm)
        self._kept = {alarm.id: cause for cause, alarms in found.items() for alarm in alarms}
        told: dict[str, dict[str, CauseNow]] = {}
        for cause, alarms in found.items():
            if len(alarms) > 1:
                now = CauseNow(id=cause, text=self._text(cause, alarms, beds))
                for alarm in alarms:
                    told.setdefault(alarm.bed, {})[alarm.key] = now
        return told

    def _may_share(self, alarm: Alarm) -> bool:
        return (alarm.state in SHOWN and alarm.body is not None and alarm.body.alarm_class == "technical"
                and (alarm.device is not None or alarm.rule in self._of_box))

    def _cause(self, alarm: Alarm, lost: Mapping[Place, str]) -> str | None:
        if alarm.device is None:
            return f"box {alarm.rule}"
        return self._kept.get(alarm.id) or lost.get((alarm.bed, alarm.device))

    def _lost(self, beds: Mapping[str, BedState]) -> Iterator[tuple[Place, str]]:
        """The devices that are lost with others, and with what."""
        lost = {(bed, name): device for bed, state in beds.items() for name, device in state.devices.items()
                if device.link not in ("live", "wrong_device") and _is_missed(device)}
        if not lost:  # nearly always
            return
        taken: set[Place] = set()
        for wire, places in sorted(self._by_wire(beds).items(), key=_widest):
            if len(places) > 1 and lost.keys() >= set(places) and taken.isdisjoint(places):
                taken |= set(places)
                yield from ((place, f"wire {wire}") for place in places)
        rest = sorted((device.since_s, place) for place, device in lost.items()
                      if place not in taken and device.link != "connecting")
        for group in _together(rest, self.rules.attention.lost_together_s):
            if len(group) >= self.rules.attention.lost_together:
                yield from ((place, f"together {iso(group[0][0])}") for _, place in group)

    def _by_wire(self, beds: Mapping[str, BedState]) -> dict[str, list[Place]]:
        """The devices that are missed when they are not heard, by what they are reached over."""
        found: dict[str, list[Place]] = {}
        for (bed, name), over in self.wires.items():
            device = beds[bed].devices.get(name) if bed in beds else None
            if device is not None and _is_missed(device):
                for wire in over:
                    found.setdefault(wire, []).append((bed, name))
        return found

    def _text(self, cause: str, alarms: list[Alarm], beds: Mapping[str, BedState]) -> str:
        kind, _, name = cause.partition(" ")
        devices = {(alarm.bed, alarm.device): beds[alarm.bed].devices.get(alarm.device or "") for alarm in alarms}
        pump = any(device is not None and device.kind == "pump" for device in devices.values())
        many = f"{counted(len(devices), 'device')} {'is' if len(devices) == 1 else 'are'}"
        goes_on = "; a pump may still be running" if pump else ""
        match kind:
            case "wire":
                over = name.rpartition("/")[2]
                return f"{many} not heard over {over}: look at its power and cables{goes_on}"
            case "together":
                within_s = self.rules.attention.lost_together_s
                return f"{len(devices)} devices were lost within {within_s:g} s: look at power and network{goes_on}"
            case _:
                texts = {alarm.body.text for alarm in alarms if alarm.body}
                return texts.pop() if len(texts) == 1 else self.rules.named(name).title


def _is_missed(device: Device) -> bool:
    return device.off_until_s is None and device.maintenance is None and not device.away


def _together(lost: Iterable[tuple[float, Place]], within_s: float) -> Iterator[list[tuple[float, Place]]]:
    """What was lost within so long of the first of it, oldest first."""
    group: list[tuple[float, Place]] = []
    for at_s, place in lost:
        if group and at_s - group[0][0] > within_s:
            yield group
            group = []
        group.append((at_s, place))
    if group:
        yield group


def _widest(wire: tuple[str, list[Place]]) -> tuple[int, int]:
    """What most devices are reached over first; of two that say the same, the one that says more."""
    name, places = wire
    return -len(places), -len(name)
