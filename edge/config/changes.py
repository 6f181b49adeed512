"""What an edge.toml that was read again changes: which beds and devices go and come, and what takes a restart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge.config.files import BedTable, DeviceTable, EdgeConfig

WHOLE = ("edge", "mqtt", "sounder", "anchor")  # tables that are read at the start alone


@dataclass(frozen=True, slots=True)
class Changes:
    """By bed: the devices that stop (by id), those that start, and the beds that are judged otherwise than before."""

    stopped: tuple[tuple[str, str], ...]
    started: tuple[tuple[str, DeviceTable], ...]
    beds: tuple[BedTable, ...]  # their devices, roles or interval are others
    opened: tuple[BedTable, ...]  # beds that were not there
    closed: tuple[str, ...]  # beds that are not there any more
    order: tuple[str, ...]  # every bed, as the file has them now
    restart: tuple[str, ...]  # what was changed too, and needs a restart

    def __str__(self) -> str:
        stopped, started = set(self.stopped), {(bed, device.id) for bed, device in self.started}
        words = [f"{name} {bed}" for name, beds in (
            ("closed", self.closed), ("opened", [bed.id for bed in self.opened])) for bed in beds]
        words += [f"{name} {bed}/{device}" for name, both in (
            ("removed", stopped - started), ("added", started - stopped), ("changed", stopped & started))
            for bed, device in sorted(both)]
        touched = {bed for bed, _ in stopped | started}
        words += [f"{bed.id} is judged by another interval, or other roles of its pumps" for bed in self.beds
                  if bed.id not in touched]
        return ", ".join(words) or "no device is another"


def changes(before: EdgeConfig, after: EdgeConfig, others: frozenset[str] = frozenset()) -> Changes:
    """What is to be done to go from `before` to `after`; `others` are the drivers (DeviceTable.spec) that are not what
    they were, though their name is."""
    old, new = _devices(before), _devices(after)
    same = {key for key in old.keys() & new.keys() if _link(old[key]) == _link(new[key])
            and old[key].spec not in others}
    beds, kept = {bed.id: bed for bed in before.bed}, {bed.id for bed in after.bed}
    return Changes(
        stopped=tuple(key for key in old if key not in same and key[0] in kept),
        started=tuple((bed.id, device) for bed in after.bed for device in bed.device
                      if bed.id in beds and (bed.id, device.id) not in same),
        beds=tuple(bed for bed in after.bed if bed.id in beds and _shape(bed) != _shape(beds[bed.id])),
        opened=tuple(bed for bed in after.bed if bed.id not in beds),
        closed=tuple(bed for bed in beds if bed not in kept),
        order=tuple(bed.id for bed in after.bed),
        restart=tuple(f"[{name}]" for name in WHOLE if getattr(before, name) != getattr(after, name)))


def _devices(config: EdgeConfig) -> Mapping[tuple[str, str], DeviceTable]:
    return {(bed.id, device.id): device for bed in config.bed for device in bed.device}


def _link(device: DeviceTable) -> DeviceTable:
    """What its connection is made from: what a pump gives is judged, and not sent."""
    return device.model_copy(update={"role": None})


def _shape(bed: BedTable) -> object:
    """What the bed's judgement is built from."""
    return bed.nibp_interval_s, [(device.id, device.spec, device.role) for device in bed.device]
