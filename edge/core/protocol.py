"""A protocol: how one kind of session runs, as data. What a protocols.toml may say is here; `protocols.py` reads it.

Times in seconds unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from edge.core.engine import Seconds
from edge.model import Role, Route

Text = Annotated[str, Meta(min_length=1, description='text, as in "..."')]
Minutes = Annotated[float, Meta(ge=0, le=240, description="minutes, 0 to 240")]
Number = Annotated[float, Meta(ge=0, le=1000, description="a number, 0 to 1000")]
Score = Annotated[int, Meta(ge=0, le=100, description="a whole number, 0 to 100")]
Mg = Annotated[float, Meta(gt=0, le=1000, description="mg, above 0")]
Part = Annotated[float, Meta(gt=0, le=1, description="a part, above 0 and at most 1")]


class Limits(msgspec.Struct, frozen=True):
    """What an order may say of one quantity; inside the limits of the command itself."""

    low: Number
    high: Number


Range = Annotated[Limits | None, Meta(description="{ low = ..., high = ... }")]


class OrderLimits(msgspec.Struct, frozen=True):
    """What an order may say. Outside of it the session is refused. A protocol whose pump gives the dose has all three,
    one whose dose is given by hand has none."""

    dose_mg_kg: Range = None
    duration_min: Range = None
    concentration_mg_ml: Range = None


class ByHand(msgspec.Struct, frozen=True):
    """A dose that a nurse hands to the patient, device by device, and no pump gives."""

    device_mg: Mg  # in one device
    doses_mg: Annotated[tuple[Mg, ...], Meta(min_length=1, description="a list of mg, each above 0")]  # may be ordered
    apart_s: Seconds  # from one device to the next


class Step(msgspec.Struct, frozen=True):
    """One row of a schedule: how long after the last one the next is due. The first row counts whose condition is true,
    as it stood at the last one, and of whose fixed times one is left."""

    when: Annotated[str, Meta(description='a condition, as in "phase(INFUSING)"')] = ""  # always
    every_min: Minutes = 0  # so often; 0: only at the times of at_min
    at_min: Annotated[tuple[Minutes, ...], Meta(description="a list of minutes from the start")] = ()
    early_min: Minutes = 0  # one that was done so long before such a time is the one of that time
    ordered: Annotated[bool, Meta(description="true or false")] = False  # an interval in the order counts instead


class Schedules(msgspec.Struct, frozen=True):
    """What is due, and when. Without rows: the cuff as ordered, or as edge.toml has it; the others never."""

    cuff: tuple[Step, ...] = ()
    check_in: tuple[Step, ...] = ()
    oximetry: tuple[Step, ...] = ()  # met by an oximeter that measures; else by a saturation that a nurse enters


class Course(msgspec.Struct, frozen=True):
    """How the phases follow the pump and the readings."""

    baseline_window_s: Seconds  # a baseline is of the determinations of so long before the infusion,
    baseline_apart_s: Seconds  # at least two of them so far apart
    open_for_s: Seconds  # what is open again for so long leaves READY
    ready_for_s: Seconds  # READY without a start for longer than this is over
    complete: Part  # this part of the ordered dose is all of it
    paused_for_s: Seconds  # a longer pause is the end of the infusion
    discharge_for_s: Seconds  # nothing may be open for so long before the patient is ready for discharge
    # a session is not closed with something open for a reason that says nothing, and neither opened nor closed while
    # an alarm of high priority stands of which nobody says whose it is; false, as in 0.1.0: it is
    persons_word: Annotated[bool, Meta(description="true or false")] = False
    # of a pump alone:
    pump_for_s: Seconds = 0  # it must report that it runs, or not, for so long before the phase follows
    kvo_ml_h: Number = 0  # once the dose is complete, a pump at this rate or less, and at most
    kvo_part: Annotated[float, Meta(ge=0, le=1, description="a part, 0 to 1")] = 0  # this part of the rate: done
    # of several pumps the one that gives the drug moves the session, and what it gave before the start is no dose;
    # false, as in 0.1.0: all pumps together
    drug_channel: Annotated[bool, Meta(description="true or false")] = False
    # one that infuses at a rate nobody can read infuses; false, as in 0.1.0: whether it does is unknown
    unknown_rate_runs: Annotated[bool, Meta(description="true or false")] = False


class DissociationTimes(msgspec.Struct, frozen=True):
    """When the dissociation period opens, and what shows that it is over."""

    opens_after_s: Seconds  # of infusion, at
    opens_from_mg_kg_h: Number  # so much or more;
    opens_after_mg_kg: Number  # or after so much
    closes_after_s: Seconds  # of its end, at the earliest,
    long_after_s: Seconds  # and is long open after so long:
    cadss_above: Score  # shows dissociation,
    moaas_at_most: Score  # as this does
    back_moaas: Score  # a patient who is back has this,
    back_distress_at_most: Score  # and this,
    back_after_s: Seconds  # in a check-in so long after the end,
    back_fresh_s: Seconds  # and no older than this
    # where the CADSS before the start was above the limit, so much more than that shows no dissociation afterwards
    cadss_of_baseline: Score | None = None
    # with an estimate of the concentration where the drug acts (pk): it opens from so much on; fades below so much,
    # falling; and closes below so much, so long after the end at the earliest. None of them: by the clock alone
    opens_from_ng_ml: Number | None = None
    fades_below_ng_ml: Number | None = None
    closes_below_ng_ml: Number | None = None
    estimate_closes_after_s: Seconds | None = None
    counted_from: Annotated[Literal["end", "start"], Meta(description='"end" or "start"')] = "end"  # all of these


Rate = Annotated[float, Meta(ge=0, le=10, description="per minute, 0 to 10")]


class PkModel(msgspec.Struct, frozen=True):
    """A compartment model of the drug, for the estimate that is drawn beside the dose; it judges nothing."""

    name: Text
    v1_l_kg: Annotated[float, Meta(gt=0, le=100, description="L/kg, above 0")]
    k10: Rate
    k12: Rate
    k21: Rate
    ke0: Rate
    k13: Rate = 0
    k31: Rate = 0
    degraded_after_s: Seconds = 30  # without a word of the pump


class Gate(msgspec.Struct, frozen=True):
    """Something that must not be open before the next step. `open`: a condition; `words`: what a person reads then."""

    id: Text
    open: Annotated[str, Meta(description='a condition, as in "spo2_pct < 94"')]
    words: Text
    # who may go on in spite of it, with a reason; nobody where this is left out
    override: Annotated[tuple[Role, ...], Meta(description='a list of roles, as in ["prescriber"]')] = ()


class Protocol(msgspec.Struct, frozen=True):
    """One kind of session."""

    id: Annotated[str, Meta(min_length=1, max_length=64, description='a name, as in "iv_racemic_40"')]
    title: Text
    drug: Text
    source: Text
    order: OrderLimits
    course: Course
    dissociation: DissociationTimes
    ready: tuple[Gate, ...]
    discharge: tuple[Gate, ...]
    go_on: tuple[Gate, ...] = ()  # beside `ready` before the start: what is asked before what was held goes on
    # a determination of which this condition is true is no part of a baseline
    baseline_never: Annotated[str, Meta(description='a condition, as in "sbp_mmhg > 150"')] = ""
    route: Annotated[Route, Meta(description=f"one of {', '.join(map(repr, get_args(Route)))}")] = "intravenous"
    by_hand: Annotated[ByHand | None, Meta(description="a table [protocol.by_hand]")] = None
    pk: Annotated[PkModel | None, Meta(description="a table [protocol.pk]")] = None
    schedule: Annotated[Schedules, Meta(description="a table [protocol.schedule]")] = Schedules()


class Protocols(msgspec.Struct, frozen=True):
    """All protocols of a clinic, in the order of the file; `unknown`: by which one a name that none has is treated."""

    by_id: Mapping[str, Protocol]
    unknown: str = ""

    @property
    def first(self) -> Protocol:
        """The one that is meant where none is named."""
        return next(iter(self.by_id.values()))

    def named(self, name: str) -> Protocol | None:
        """The protocol of that name, or the one by which unknown names are treated; None: there is no such protocol."""
        return self.by_id.get(name) or self.by_id.get(self.unknown)
