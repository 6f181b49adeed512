"""The cuff on the oximeter's arm, a row a case: which loss of SpO₂ it excuses, and until when."""

from __future__ import annotations

import pytest

from edge.core.bedside import Bedside
from edge.core.context import RuleContext
from edge.model import Sample, Samples, Validity
from tests.helpers.rule_files import RULES
from tests.helpers.watched import T0

# Each word is at a second: 97 a saturation, lost none, off a probe that says it is off, other of the second oximeter;
# cuff N mmHg, over its range, measuring, or a determination (bp). At last: whether the loss is excused, at that second.
TABLE = """
9 97 | 10 cuff 150 | 10 lost                                        | 11 yes
9 97 | 10 cuff 20 | 11 lost                                         | 12 no
9 97 | 10 cuff over | 11 lost                                       | 12 yes
9 97 | 10 measuring | 11 lost                                       | 12 yes
9 97 | 10 bp | 11 lost                                              | 12 no
9 97 | 10 lost                                                      | 11 no
9 97 | 10 lost | 10.5 cuff 150                                      | 11 no
10 97 | 10 cuff 150 | 11 lost                                       | 69.9 yes
10 97 | 10 cuff 150 | 11 lost                                       | 70 no
10 97 | 10 cuff 150 | 11 lost | 12 97                               | 13 no
10 97 | 10 cuff 150 | 11 lost | 11.5 97 | 12 lost                   | 13 no
10 97 | 10 cuff 150 | 11 97 | 12 lost                               | 13 yes
10 97 | 10 cuff 150 | 11 97 | 12.1 lost                             | 13 no
10 cuff 150 | 15 cuff 150 | 15 97 | 16 lost                         | 17 yes
10 cuff 150 | 15.1 cuff 150 | 16 97 | 17 lost                       | 18 no
10 cuff 150 | 99.9 cuff 150 | 100 97 | 101 lost                     | 102 no
10 cuff 150 | 100 cuff 150 | 100 97 | 101 lost                      | 102 yes
9 97 | 9.5 lost | 9.8 cuff 150 | 10 lost                            | 11 yes
9 97 | 9.5 lost | 9.8 cuff 150 | 10 lost | 10.2 97 | 10.5 lost      | 11 yes
10 97 | 10 cuff 150 | 12.5 lost | 13 cuff 150 | 14 lost             | 15 no
9 97 | 10 lost | 23.9 cuff 150 | 24 lost                            | 25 yes
9 97 | 10 lost | 24 cuff 150 | 25 lost                              | 26 no
9 97 | 10 off | 12 cuff 150 | 13 off                                | 14 no
9 97 | 10 cuff 150 | 11 off                                         | 12 yes
9 97 | 10 cuff 150 | 11 other                                       | 12 no
"""


def words(bed: Bedside, at_s: float, word: str, value: str) -> None:
    """Give the bed one word of the table."""
    now_s = round(T0 + at_s, 3)

    def sample(device: str, metric: str, said: float | None, validity: Validity, reason: str | None = None) -> None:
        bed.apply(Samples(device, (Sample("bed", device, metric, said, validity, now_s, reason),)), now_s)

    match word:
        case "lost" | "off" | "other":
            reason = "sensor_off" if word == "off" else "low_perfusion"
            sample("oximeter-2" if word == "other" else "oximeter", "spo2_pct", None, "invalid", reason)
        case "measuring":
            sample("cuff", "sbp_mmhg", None, "measuring")
        case "bp":
            sample("cuff", "sbp_mmhg", 120.0, "valid")
        case "cuff" if value == "over":
            sample("cuff", "cuff_pressure_mmhg", None, "overflow")
        case "cuff":
            sample("cuff", "cuff_pressure_mmhg", float(value), "valid")
        case _:
            sample("oximeter", "spo2_pct", float(word), "valid")


@pytest.mark.parametrize("row", TABLE.strip().splitlines())
def test_a_loss_is_excused_or_not(row: str) -> None:
    *told, last = (cell.split() for cell in row.split("|"))
    bed = Bedside("bed", (("cuff", "nibp", "-"), ("oximeter", "oximeter", "-"), ("oximeter-2", "oximeter", "-")), RULES)
    for device in bed.state.devices.values():
        device.link = "live"
    for at_s, word, *value in told:
        words(bed, float(at_s), word, *(value or [""]))
    at_s, excused = last
    context = RuleContext(bed.state, round(T0 + float(at_s), 3))
    assert [context.is_excused(metric) for metric in ("spo2_pct", "pulse_bpm", "resp_bpm")] == [
        *[excused == "yes"] * 2, False]
