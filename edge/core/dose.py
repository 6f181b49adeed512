"""The dose: what the own counter of the drug's pump grew by from the start on, added up; and at which rate it runs.

A counter is believed for one pump only, and only as far as a pump can have delivered since it was read last. Whatever
else it shows (another pump's total, a glitch) is where counting goes on from, and no dose.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from edge.core.channels import gives_drug, of_the_drug
from edge.core.engine import Engine
from edge.core.plausible import as_number
from edge.core.state import BedState, Device, Session
from edge.model import Sample
from edge.vocabulary import METRICS


def count(state: BedState, samples: Iterable[Sample]) -> None:
    """Take in the rate and the own total that a pump reports."""
    for sample in samples:
        device = state.devices.get(sample.device)
        if device is None:
            continue
        if sample.metric == "rate_ml_h" and sample.validity != "measuring":
            _rate(device, sample)
        elif sample.metric == "volume_infused_ml" and sample.validity == "valid" and sample.value is not None:
            _given(state, sample.device, _grown(device, sample.value, sample.at_s, state.engine))


def run(device: Device, at_s: float) -> None:
    """Follow since when a pump says that it infuses: what it gives in this run may become dose."""
    if device.pump == "infusing":
        device.run_since_s = at_s if device.run_since_s is None else device.run_since_s
    elif device.pump not in (None, "unknown"):
        device.run_since_s, device.run_ml = None, 0.0


def begin(state: BedState, session: Session) -> Session:
    """The infusion begins: what its pump gave in this run is dose, what it gave before is none."""
    if not state.protocol.course.drug_channel:
        return session
    in_run_ml = sum(pump.run_ml for pump in of_the_drug(state))
    return replace(session, delivered_ml=session.delivered_ml + in_run_ml,
                   primed_ml=max(0.0, session.primed_ml - in_run_ml))


def _given(state: BedState, name: str, grown_ml: float) -> None:
    """A pump of this bed gave so much more."""
    device, session = state.devices[name], state.session
    if device.run_since_s is not None:
        device.run_ml += grown_ml
    if session is None or not grown_ml or state.no_pump or not gives_drug(state, name):
        return
    if state.protocol.course.drug_channel and session.started_s is None:
        state.session = replace(session, primed_ml=session.primed_ml + grown_ml)
        return
    after_ml = grown_ml if session.ended_s is not None else 0.0
    state.session = replace(session, delivered_ml=session.delivered_ml + grown_ml,
                            after_end_ml=session.after_end_ml + after_ml)


def _rate(device: Device, sample: Sample) -> None:
    """The last valid rate is kept; one that is not valid makes it unknown now."""
    value = as_number(sample)
    if value is None:
        device.rate_at_s = 0.0
    else:
        device.rate_ml_h, device.rate_at_s = value, sample.at_s


def _grown(device: Device, volume_ml: float, at_s: float, engine: Engine) -> float:
    """What went in since the counter was read last. A counter that fell was cleared, and shows what went in since; one
    that fell by little was rounded: counting it anew would double the dose."""
    before = device.volume_ml if device.volume_of == device.identity else None
    if before is not None and 0 < volume_ml < before <= volume_ml + engine.counter_noise_ml:
        return 0.0
    if before is None:
        grown = 0.0
    elif volume_ml >= before:
        grown = volume_ml - before
    else:  # back down from a total that was not believed: that total was the fault, and nothing was cleared
        grown = 0.0 if device.volume_doubtful else volume_ml
    most = METRICS["rate_ml_h"].high * max(0.0, at_s - device.volume_at_s) / 3600 + engine.counter_spare_ml
    device.volume_doubtful = grown > most
    device.volume_ml, device.volume_at_s, device.volume_of = volume_ml, at_s, device.identity
    return 0.0 if device.volume_doubtful else grown


def rate_ml_h(state: BedState) -> float:
    """The last valid rate of the drug's pump; unknown which that is: of all together."""
    return sum(device.rate_ml_h or 0.0 for device in of_the_drug(state))
