"""The last state and vitals of one edge's beds, and whether they may be shown as live. No I/O, no clock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from edge.console.feed import encode
from edge.console.without_patient import state_without
from edge.contract.payloads import BadPayload, Payload, State, Vitals, Wave, decode
from edge.model import MAX_BEDS, from_iso

Json = dict[str, Any]
P = TypeVar("P", bound=Payload)

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
REORDER_S = 60.0  # vitals this little older came out of order; older still, and the edge's clock began anew


def read(kind: type[P], payload: bytes, edge: str, bed: str | None) -> tuple[P, Json]:
    """A payload checked against the contract and against its topic, and as it came, unknown fields and all.

    Its counter and signature stay behind: they are not for the page. Raises BadPayload.
    """
    typed = decode(kind, payload)
    raw = decode(dict, payload)
    if raw.get("edge") != edge or raw.get("bed") != bed:
        raise BadPayload(f"says edge {raw.get('edge')!r}, bed {raw.get('bed')!r} on the topic of {edge}, {bed}")
    raw.pop("n", None)
    raw.pop("sig", None)
    return typed, raw


class Beds:
    """All beds of one edge. Fed only by the retained state and the vitals: an event never changes what is live.

    `patients` is who lies behind a session id, as the console's store holds it.
    """

    def __init__(self, edge: str, patients: Mapping[str, str]) -> None:
        self._edge = edge
        self._patients = patients
        self._states: dict[str, tuple[State, Json]] = {}
        self._vitals: dict[str, Json] = {}
        self._vitals_at: dict[str, float] = {}
        self._ids: dict[str, None] = {}
        self._is_named = False  # the edge has said which beds it has

    def ids(self) -> list[str]:
        """Every bed known, in the edge's order."""
        return list(self._ids)

    def set_ids(self, beds: list[str]) -> bool:
        """The edge named its beds: these, in this order. One it no longer has goes. Whether they are others."""
        others, self._is_named = list(self._ids) != beds, True
        self._ids = dict.fromkeys(beds)
        for held in (self._states, self._vitals, self._vitals_at):
            for bed in [bed for bed in held if bed not in self._ids]:
                del held[bed]
        return others

    def is_named(self, bed: str) -> bool:
        """Whether the edge has this bed, by its own word; before it has named any, whether it may."""
        return bed in self._ids or (not self._is_named and len(self._ids) < MAX_BEDS)

    def new_boot(self) -> None:
        """The edge started again; its clock may have, too."""
        self._vitals_at.clear()

    def receive_state(self, payload: bytes, bed: str, boot: str | None) -> bool:
        """Takes a state; False where it is older than what is held. `boot` is the present one. Raises BadPayload."""
        state, raw = read(State, payload, self._edge, bed)
        at_s = parse_time(state.at)
        held = self._states.get(bed)
        if held is not None:
            known = held[0]
            if known.boot == state.boot and (state.seq, at_s) < (known.seq, parse_time(known.at)):
                return False
            if known.boot == boot and state.boot != boot:
                return False
        self._states[bed] = (state, raw)
        self._ids.setdefault(bed)
        return True

    def receive_vitals(self, payload: bytes, bed: str) -> Vitals | None:
        """Takes vitals; None where they are older than what is held, or of a bed that the edge has not named. Raises
        BadPayload."""
        vitals, raw = read(Vitals, payload, self._edge, bed)
        at_s = parse_time(vitals.at)
        for numeric in vitals.numerics.values():
            parse_time(numeric.at)
        for other in vitals.others or ():
            parse_time(other.at)
        if vitals.pump is not None:
            parse_time(vitals.pump.at)
        if not self.is_named(bed):
            return None
        if 0 < self._vitals_at.get(bed, at_s) - at_s < REORDER_S:
            return None
        self._vitals_at[bed] = at_s
        self._vitals[bed] = raw
        self._ids.setdefault(bed)
        return vitals

    def live(self, bed: str, edge_ok: bool, boot: str | None) -> bool:
        """Whether the held state may be shown as what is now: the edge is live, and the state is of this boot."""
        held = self._states.get(bed)
        return held is not None and edge_ok and held[0].boot == boot

    def state(self, bed: str) -> State | None:
        """The held state."""
        held = self._states.get(bed)
        return None if held is None else held[0]

    def stays(self, bed: str) -> list[tuple[str, float]]:
        """At which beds the session that is open here was before, each with until when (edge time, s); oldest first."""
        held = self.state(bed)
        session = None if held is None else held.session
        return [] if session is None else [(one.bed, parse_time(one.until)) for one in session.stays]

    def moved(self, bed: str) -> tuple[str, list[str]]:
        """The session that is open here, and the beds where it was before."""
        held = self.state(bed)
        session = None if held is None else held.session
        return ("", []) if session is None else (session.id, [one.bed for one in session.stays])

    def state_json(self, bed: str, edge_ok: bool, boot: str | None) -> Json | None:
        """The held state as it came, with the patient's name and whether it is live."""
        held = self._states.get(bed)
        if held is None:
            return None
        session = held[0].session
        patient = None if session is None else self._patients.get(session.id)
        return held[1] | {"patient": patient, "live": self.live(bed, edge_ok, boot)}

    def state_without_patient(self, bed: str, edge_ok: bool, boot: str | None) -> Json | None:
        """The held state as whoever treats nobody gets it, and whether it is live."""
        held = self._states.get(bed)
        if held is None:
            return None
        less: Json = msgspec.to_builtins(state_without(held[0]))
        return less | {"patient": None, "live": self.live(bed, edge_ok, boot)}

    def vitals_json(self, bed: str) -> Json | None:
        """The held vitals as they came."""
        return self._vitals.get(bed)

    def alarm_known(self, seq: int) -> bool:
        """Whether a held state lists an alarm that event `seq` moved."""
        return seq in self.alarm_seqs()

    def alarm_seqs(self) -> set[int]:
        """The events that moved the alarms that stand at the beds last."""
        return {alarm.seq for state, _ in self._states.values() for alarm in state.alarms}


def wave_message(payload: bytes, edge: str, bed: str, name: str) -> str:
    """A waveform chunk as the page gets it. Raises BadPayload."""
    wave, _ = read(Wave, payload, edge, bed)
    if wave.name != name:
        raise BadPayload(f"says wave {wave.name!r} on the topic of {name}")
    parse_time(wave.start)
    return encode({
        "t": "wave", "edge": edge, "bed": bed, "name": name, "start": wave.start, "rate": wave.rate_hz, "low": wave.low,
        "high": wave.high, "samples": wave.samples,
    })


def parse_time(at: str) -> float:
    """A time of the contract's one form in seconds since 1970 UTC. Raises BadPayload."""
    if TIME.fullmatch(at) is None:
        raise BadPayload(f"{at[:40]!r} is not UTC, ISO 8601 with milliseconds and Z")
    try:
        return from_iso(at)
    except (ValueError, OverflowError, OSError) as error:  # no time, or one no calendar has
        raise BadPayload(str(error)) from None
