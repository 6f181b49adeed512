"""A wave that repeats itself is an old piece that comes again; one that lives never does."""

from __future__ import annotations

import math

import pytest

from drivers.contract import Reading, Validity
from drivers.kit.living import AFTER, LASTS_S, SHORTEST_BEAT_S, Living

HZ = 60
LONG = round(LASTS_S * HZ)
BEAT = int(SHORTEST_BEAT_S * HZ)
ALIVE = [round(64 + 50 * math.sin(n / 9.1)) for n in range(1000)]


def after(samples: list[int | None]) -> bool:
    living = Living(HZ)
    for one in samples:
        living.sample(one)
    judged = living.beside(Reading("spo2_pct", 97.0)).validity
    assert (judged is Validity.QUESTIONABLE) is living.repeats
    return living.repeats


@pytest.mark.parametrize(("what", "samples", "repeats"), [
    ("it lives", ALIVE, False), ("flat for too short", [64] * (LONG - 1), False), ("flat", [64] * LONG, True),
    ("three samples again and again", [1, 2, 3] * LONG, True), ("a piece of a quick beat", ALIVE[:BEAT] * LONG, True),
    ("a beat", ALIVE[: BEAT + 1] * LONG, False), ("no finger", [64] * 2 * LONG + [None], False),
    ("it lives again for a moment", [64] * LONG + ALIVE[: AFTER * LONG - 20], True),
    ("and for long enough", [64] * LONG + ALIVE[: AFTER * LONG + 20], False)])
def test_what_repeats_itself_is_no_living_wave(what: str, samples: list[int | None], repeats: bool) -> None:
    assert after(samples) is repeats
