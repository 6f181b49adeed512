"""A bed as edge.toml has it, in the words of its judgement and of the record."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.contract import Spec
from edge.config.files import BedTable
from edge.core.state import BedState
from edge.model import BedConfigured, DeviceKind, PumpRole


def devices(bed: BedTable, specs: Mapping[str, Spec]) -> list[tuple[str, DeviceKind, str]]:
    """Its devices: name, kind, driver."""
    return [(device.id, specs[device.spec].kind, device.driver) for device in bed.device]


def roles(bed: BedTable) -> dict[str, PumpRole]:
    """What its pumps give, where edge.toml says it."""
    return {device.id: device.role for device in bed.device if device.role is not None}


def starts(bed: BedTable, specs: Mapping[str, Spec]) -> tuple[str, ...]:
    """Whose cuff is started over the wire."""
    return tuple(device.id for device in bed.device if specs[device.spec].starts_cuff)


def recorded(state: BedState) -> BedConfigured:
    """The same as the record keeps it, so that a replay has it again."""
    known = state.devices.items()
    return BedConfigured(
        state.bed, state.nibp_interval_s, tuple((name, device.kind, device.driver) for name, device in known),
        {name: device.role for name, device in known if device.role is not None},
        tuple(name for name, device in known if device.starts_cuff))


def treated(state: BedState) -> bool:
    """Whether a session is open there."""
    return state.session is not None and state.session.phase != "CLOSED"
