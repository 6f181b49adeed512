"""The numbers by which every rule is judged: the table [engine] of rules.toml."""

from __future__ import annotations

from typing import Annotated

import msgspec

Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400, description="seconds, 0 to 86400")]
Part = Annotated[float, msgspec.Meta(ge=0, le=1, description="a part, 0 to 1")]
Pressure = Annotated[float, msgspec.Meta(ge=0, le=300, description="mmHg, 0 to 300")]
Percent = Annotated[float, msgspec.Meta(ge=0, le=100, description="%, 0 to 100")]
Volume = Annotated[float, msgspec.Meta(ge=0, le=100, description="mL, 0 to 100")]
Times = Annotated[float, msgspec.Meta(ge=0, le=10, description="a number of times, 0 to 10")]


class Engine(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a rules.toml leaves out is as 0.1.0 had it, whose rules could not say it."""

    gap_s: Seconds = 5.0  # a longer time without a reading, or unknown, breaks a hold
    gap_of_staleness: Part = 0.5  # for what comes slowly, if that is longer: this part of the age at which it is stale
    coverage: Part = 0.8  # so much of a hold's time must have valid readings
    stream_s: Seconds = 2.0  # readings closer than this are one stream: each covers the time since the one before
    stream_of_staleness: Part = 0.2  # the same for what comes slowly
    pair_apart_s: Seconds = 60.0  # two determinations that are closer are one and the same for a pair
    pair_within_s: Seconds = 600.0  # the two of a pair are at most so far apart, or, if that is longer,
    pair_within_intervals: Times = 1.2  # so many blood pressure intervals
    pair_spare_s: Seconds = 60.0  # and so much more
    nibp_stale_after_interval_s: Seconds = 300.0  # a determination is stale so long after the next one was due
    acknowledged_for_s: Seconds = 600.0  # an acknowledged high alarm that is still active is announced again after this
    # The seconds in which a rule could not be answered are counted, of the last so long. 0, as in 0.1.0: they are not,
    # and what is asked of two determinations or of a device's own alarms is "no" where nobody can know.
    unwatched_of_s: Seconds = 0.0
    unwatched_mostly_s: Seconds = 0.0  # of them a metric that was missing for longer is named; 0: none is told apart
    unwatched_ahead_s: Seconds = 0.0  # a hold as long as that, kept open by holes, counts from so long before its end
    pair_late_s: Seconds = 60.0  # after a determination was due: from then a pair that could be is unknown
    cuff_excuses_s: Seconds = 0.0  # SpO2 that is lost while the cuff inflates is no loss for so long
    cuff_joins_s: Seconds = 0.0  # nor what was lost less than that before it: nobody can see whether it is back
    cuff_apart_s: Seconds = 90.0  # but not in a cycle that began sooner than that after the one before
    cuff_inflated_mmhg: Pressure = 20.0  # above it
    # A cuff that is started over the wire: so long after the last one, and at most so many in so long; a failed one is
    # repeated once, so long after it; and one that was asked for and has not ended so long after is left to a person.
    cuff_pause_s: Seconds = 30.0
    cuff_most: Times = 8.0
    cuff_most_of_s: Seconds = 900.0
    cuff_repeat_s: Seconds = 60.0
    cuff_answers_s: Seconds = 240.0
    # What a person has read or counted, and entered, raises and ends alarms for so long, unless it is measured since.
    # 0, as in 0.1.0: no rule over a stream looks at it.
    entered_for_s: Seconds = 0.0
    # every valid determination counts, whichever cuff took it, and one beyond its range is a breach; false, as in
    # 0.1.0: those of one cuff at a time, and such a one has failed
    every_cuff: bool = False
    # over a gap the saturation seconds stand still; false, as in 0.1.0: they begin anew
    satseconds_stand_still: bool = False
    levels: bool = False  # the rules of one group are one alarm with a level; words that no longer fit are updated
    update_apart_s: Seconds = 10.0  # with levels: the words of one alarm change no more often
    # What is believed of a patient; beyond it a reading is implausible, and a leap of SpO2 within so long is doubted.
    spo2_least_pct: Percent = 30.0
    spo2_most_pct: Percent = 100.0
    spo2_leap_pct: Percent = 20.0
    spo2_leap_within_s: Seconds = 1.5  # one second, and the unevenness of a stream at 1 Hz
    sbp_least_mmhg: Pressure = 40.0
    sbp_most_mmhg: Pressure = 300.0
    dbp_least_mmhg: Pressure = 20.0
    dbp_most_mmhg: Pressure = 200.0
    pulse_pressure_least_mmhg: Pressure = 10.0
    # What is believed of a pump's own total: a fall of less is its rounding, and a growth of more than it can give in
    # the time and this (a late reading, a small bolus) is no dose.
    counter_noise_ml: Volume = 0.5
    counter_spare_ml: Volume = 1.0
    audio_pause_s: Seconds = 120.0  # the length of an audio pause
    gap_shown_s: Seconds = 1800.0  # a time in which nobody watched is shown for so long
