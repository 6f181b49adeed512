"""Which pump of a bed gives the drug. The others carry (saline, a flush): they move no phase and give no dose."""

from __future__ import annotations

from collections.abc import Mapping

from edge.core.state import BedState, Device


def drug_pump(state: BedState) -> str | None:
    """As a person named it in this session, else as edge.toml says; of several pumps none where neither says it. One
    pump alone is the drug's."""
    return _drug_pump(state, pumps_of(state))


def _drug_pump(state: BedState, pumps: Mapping[str, Device]) -> str | None:
    named = state.session.drug_pump if state.session else None
    if named in pumps:
        return named
    if len(pumps) == 1:  # nearly always
        name, pump = next(iter(pumps.items()))
        return None if pump.role == "carrier" else name
    open_ = [name for name, pump in pumps.items() if pump.role != "carrier"]
    if len(open_) > 1:
        open_ = [name for name in open_ if pumps[name].role == "drug"]
    return open_[0] if len(open_) == 1 else None


def pumps_of(state: BedState) -> dict[str, Device]:
    """Every pump of this bed, by name."""
    return {name: device for name, device in state.devices.items() if device.kind == "pump"}


def is_asked(state: BedState) -> bool:
    """Whether nobody has said which of this bed's pumps gives the drug, and one must."""
    if state.no_pump or not state.protocol.course.drug_channel:
        return False
    pumps = pumps_of(state)
    return bool(pumps) and _drug_pump(state, pumps) is None


def of_the_drug(state: BedState) -> list[Device]:
    """The pumps whose word moves the session: the drug's; in 0.1.0, and where nobody has said which that is, all."""
    pumps = [device for device in state.devices.values() if device.kind == "pump"]
    name = drug_pump(state) if len(pumps) > 1 and state.protocol.course.drug_channel else None
    return [state.devices[name]] if name is not None else pumps


def gives_drug(state: BedState, name: str) -> bool:
    """Whether what this pump gives is counted as the drug."""
    return not state.protocol.course.drug_channel or drug_pump(state) == name


def carries(state: BedState, name: str) -> bool:
    """Whether another pump of this bed gives the drug."""
    return state.protocol.course.drug_channel and drug_pump(state) not in (None, name)
