"""What an edge.toml that was read again changes: which devices stop and start, and what only a restart can change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.config.files import BedTable, DeviceTable, EdgeConfig


@dataclass(frozen=True, slots=True)
class Changes:
    """By bed: the devices that stop (by id), those that start, and the beds whose devices or interval are others."""

    stopped: tuple[tuple[str, str], ...]
    started: tuple[tuple[str, DeviceTable], ...]
    beds: tuple[BedTable, ...]
    restart: tuple[str, ...]  # what was changed too, and needs a restart

    def __str__(self) -> str:
        stopped, started = set(self.stopped), {(bed, device.id) for bed, device in self.started}
        words = [f"{name} {bed}/{device}" for name, both in (
            ("removed", stopped - started), ("added", started - stopped), ("changed", stopped & started))
            for bed, device in sorted(both)]
        return ", ".join(words) or "no device is another"


def changes(before: EdgeConfig, after: EdgeConfig, maps: frozenset[Path] = frozenset()) -> Changes:
    """What is to be done to go from `before` to `after`; `maps` are the register maps whose text is another."""
    old, new = _devices(before), _devices(after)
    same = {key for key in old.keys() & new.keys() if old[key] == new[key] and old[key].map not in maps}
    beds = {bed.id: bed for bed in before.bed}
    restart = [f"[{name}]" for name in ("edge", "mqtt") if getattr(before, name) != getattr(after, name)]
    restart += [f"bed {bed} is new" for bed in sorted({bed.id for bed in after.bed} - beds.keys())]
    restart += [f"bed {bed} is gone" for bed in sorted(beds.keys() - {bed.id for bed in after.bed})]
    kept = [bed for bed in after.bed if bed.id in beds]
    return Changes(
        stopped=tuple(key for key in old if key not in same and key[0] in {bed.id for bed in kept}),
        started=tuple((bed.id, device) for bed in kept for device in bed.device if (bed.id, device.id) not in same),
        beds=tuple(bed for bed in kept if _shape(bed) != _shape(beds[bed.id])),
        restart=tuple(restart))


def _devices(config: EdgeConfig) -> Mapping[tuple[str, str], DeviceTable]:
    return {(bed.id, device.id): device for bed in config.bed for device in bed.device}


def _shape(bed: BedTable) -> object:
    """What the bed's judgement is built from."""
    return bed.nibp_interval_s, [(device.id, device.spec, device.role) for device in bed.device]
