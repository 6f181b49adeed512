"""The alarm tones, as data and as a WAV: bursts as IEC 60601-1-8 has them. Pages and the box sound alike.

A pulse's duration t_d runs from 90 % of its rise to 90 % of its fall, its spacing t_s from there to 90 % of the next
rise. The envelope is linear, so the lead-in before 90 % is 0.9 of the rise.
"""

from __future__ import annotations

import array
import io
import math
import sys
import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from edge.model import PRIORITY_RANK

Sounding = Literal["low", "medium", "high"]
RATE_HZ = 22_050
FUNDAMENTAL_HZ = 656
# Relative amplitude of harmonics 1 to 5: the four strongest within 15 dB, the fundamental within 150 to 1000 Hz.
HARMONICS = (1.0, 0.56, 0.56, 0.56, 0.56)
# Of the pulse: legal under both readings of the rule for rise times (10 to 40 % in the text of 2006, 10 to 20 % in
# checkers written against it).
RISE = 0.16


@dataclass(frozen=True, slots=True)
class Pulse:
    """Times in seconds from the burst's start; `gain` is the peak of the fundamental, full scale 1: with four harmonics
    at -5 dB the sum stays below 1."""

    start_s: float
    duration_s: float
    rise_s: float
    fall_s: float
    gain: float


@dataclass(frozen=True, slots=True)
class Burst:
    """`silence_s` is from its end to the start of the next."""

    pulses: tuple[Pulse, ...]
    length_s: float
    silence_s: float


def _burst(gain: float, duration_s: float, gaps_s: Sequence[float], silence_s: float) -> Burst:
    edge_s = duration_s * RISE
    pulses: list[Pulse] = []
    at_s = 0.9 * edge_s
    for gap_s in (*gaps_s, 0.0):
        pulses.append(Pulse(round(at_s - 0.9 * edge_s, 6), round(duration_s + 1.8 * edge_s, 6), round(edge_s, 6),
                            round(edge_s, 6), gain))
        at_s += duration_s + gap_s
    return Burst(tuple(pulses), round(at_s + 0.9 * edge_s, 6), silence_s)


_HIGH_S, _GAP_S = 0.15, 0.1
_HALF = (_GAP_S, _GAP_S, 2 * _GAP_S + _HIGH_S, _GAP_S)  # 3 + 2
BURSTS: Mapping[Sounding, Burst] = {
    "high": _burst(0.3, _HIGH_S, (*_HALF, 0.5, *_HALF), 5.0),
    "medium": _burst(0.26, 0.2, (0.2, 0.2), 10.0),
    "low": _burst(0.2, 0.2, (0.2,), 25.0),
}
# An information signal is no alarm signal and must not be taken for one (IEC 60601-1-8): one long soft pulse, once.
INFORMATION = _burst(0.12, 0.5, (), 0.0)
LOUDEST_FIRST: tuple[Sounding, ...] = tuple(sorted(BURSTS, key=lambda one: -PRIORITY_RANK[one]))


@cache
def wav(priority: Sounding) -> bytes:
    """One burst: mono, 16 bits, RATE_HZ."""
    burst = BURSTS[priority]
    samples = array.array("h", bytes(2 * math.ceil(burst.length_s * RATE_HZ)))
    for pulse in burst.pulses:
        first = round(pulse.start_s * RATE_HZ)
        for k in range(min(round(pulse.duration_s * RATE_HZ), len(samples) - first)):
            t_s = k / RATE_HZ
            envelope = min(1.0, t_s / pulse.rise_s, max(0.0, pulse.duration_s - t_s) / pulse.fall_s)
            tone = sum(part * math.sin(2 * math.pi * FUNDAMENTAL_HZ * number * t_s)
                       for number, part in enumerate(HARMONICS, 1))
            samples[first + k] = round(32767 * pulse.gain * envelope * tone)
    if sys.byteorder == "big":
        samples.byteswap()
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.tobytes())
    return out.getvalue()
