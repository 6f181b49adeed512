"""A bed as edge.toml has it, in the words of its judgement and of the record."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.contract import Spec
from edge.config.files import BedTable, EdgeTable
from edge.core import interlock, starting
from edge.core.bedside import Bedside
from edge.core.protocol import Protocols
from edge.core.rules import RuleSet
from edge.core.state import BedState
from edge.field.devices import Devices
from edge.model import BedConfigured, DeviceKind, PumpRole


def bedside(bed: BedTable, edge: EdgeTable, specs: Mapping[str, Spec], rules: RuleSet,
            protocols: Protocols | None) -> Bedside:
    """Its judgement, with nothing remembered."""
    return Bedside(bed.id, devices(bed, specs), rules, nibp_interval_s=bed.nibp_interval_s, protocols=protocols,
                   roles=roles(bed), starts=starts(bed, specs), stops=stops(bed, edge, specs))


def reconfigure(found: Bedside, bed: BedTable, edge: EdgeTable, specs: Mapping[str, Spec]) -> None:
    """Another list of devices while everything runs."""
    found.reconfigure(devices(bed, specs), nibp_interval_s=bed.nibp_interval_s, roles=roles(bed),
                      starts=starts(bed, specs), stops=stops(bed, edge, specs))


def instruct(found: Devices, state: BedState, at_s: float) -> None:
    """Tell the drivers what is due: when a cuff is to measure, that a pump is to stop."""
    for device, due_s in starting.starts(state, at_s):
        found.start_cuff_at(state.bed, device, due_s)
    for device, asked_s, until_s in interlock.stops(state, at_s):
        found.stop_pump(state.bed, device, asked_s, until_s)


def devices(bed: BedTable, specs: Mapping[str, Spec]) -> list[tuple[str, DeviceKind, str]]:
    """Its devices: name, kind, driver."""
    return [(device.id, specs[device.spec].kind, device.driver) for device in bed.device]


def roles(bed: BedTable) -> dict[str, PumpRole]:
    """What its pumps give, where edge.toml says it."""
    return {device.id: device.role for device in bed.device if device.role is not None}


def starts(bed: BedTable, specs: Mapping[str, Spec]) -> tuple[str, ...]:
    """Whose cuff is started over the wire."""
    return tuple(device.id for device in bed.device if specs[device.spec].starts_cuff)


def stops(bed: BedTable, edge: EdgeTable, specs: Mapping[str, Spec]) -> tuple[str, ...]:
    """Which pumps may be stopped over the wire: those that can be, where edge.toml says so."""
    if edge.interlock != "stop_only":
        return ()
    return tuple(device.id for device in bed.device if specs[device.spec].stops_pump)


def recorded(state: BedState) -> BedConfigured:
    """The same as the record keeps it, so that a replay has it again."""
    known = state.devices.items()
    return BedConfigured(
        state.bed, state.nibp_interval_s, tuple((name, device.kind, device.driver) for name, device in known),
        {name: device.role for name, device in known if device.role is not None},
        tuple(name for name, device in known if device.starts_cuff),
        tuple(name for name, device in known if device.stops))


def treated(state: BedState) -> bool:
    """Whether a session is open there."""
    return state.session is not None and state.session.phase != "CLOSED"
