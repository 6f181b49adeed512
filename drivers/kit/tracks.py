"""A volume that can only move with the rate: what it proves of the response that carries it.

A controller now and then sends the right number of registers from the wrong place, and no checksum tells. But a volume
moves by no more than the rate times the time, so a response whose volume is where it must be comes from the right
registers, and with it everything else in the same response. One that is elsewhere is questionable until it has stayed
there for `AGAIN` rounds (somebody set the counter to zero, or refilled the cylinder).
"""

from __future__ import annotations

from dataclasses import replace

from drivers.contract import Reading, Validity

SLACK_ML = 0.05  # what a device rounds, and the moment it counts at
EARLY_S = 1.0  # seconds by which its count may be older or newer than the response
FASTER = 1.2  # a pump may be so much faster than it says
MOST_ML_H = 1200.0  # no pump of these infuses faster
FIRST, AGAIN = 3, 6  # rounds running, before anything is believed; and after it is elsewhere
FITTING = 2  # the same for a count that only grows, before anything is believed


class Track:
    """One volume. `sign` 1: it grows with what is infused; -1: it shrinks."""

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self.forget()

    def forget(self) -> None:
        """Nothing is known (the line was opened)."""
        self._known: tuple[float, float] | None = None  # when, and how much
        self._candidate: tuple[float, float] | None = None  # the same of what is elsewhere
        self._rounds = 0

    def fits(self, volume_ml: float, rate_ml_h: float, at_s: float) -> bool:
        """Whether the volume is where it must be, with a rate of at most `rate_ml_h` since the last that fitted."""
        if self._known is not None and self._led(self._known, volume_ml, rate_ml_h, at_s):
            self._believe(volume_ml, at_s)
            return True
        near = self._candidate is not None and self._led(self._candidate, volume_ml, rate_ml_h, at_s)
        self._rounds = self._rounds + 1 if near else 1
        self._candidate = at_s, volume_ml
        if self._rounds >= (FIRST if self._known is None else AGAIN):
            self._believe(volume_ml, at_s)
            return True
        return False

    def _led(self, start: tuple[float, float], volume_ml: float, rate_ml_h: float, at_s: float) -> bool:
        """Whether it can have come here from there, at that rate at most."""
        moved, slack = self._sign * (volume_ml - start[1]), SLACK_ML + rate_ml_h * EARLY_S / 3600.0
        return -slack <= moved <= FASTER * rate_ml_h * (at_s - start[0]) / 3600.0 + slack

    def _believe(self, volume_ml: float, at_s: float) -> None:
        self._known, self._candidate, self._rounds = (at_s, volume_ml), None, 0


def doubted(reading: Reading) -> Reading:
    """The reading of a response that nothing proves."""
    if reading.validity is not Validity.VALID:
        return reading
    return replace(reading, validity=Validity.QUESTIONABLE, reason="implausible")


class Rising:
    """A count that only grows, and no faster than a pump can run. One that has fallen, or risen by more, is an old
    response come again, until it has stayed there for `AGAIN` rounds: then somebody set it, or a syringe was put in.
    After an opening, where nothing is known, the second one counts that can follow the first."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Nothing is known (the line was opened)."""
        self._known: tuple[float | None, float] | None = None  # when, and how much
        self._elsewhere: tuple[float | None, float] | None = None  # the same of the last one that did not count
        self._rounds = 0

    def judged(self, reading: Reading, at_s: float | None) -> Reading:
        """The reading, questionable where its number, mL, cannot follow the last. `at_s`: when it was asked for, edge
        seconds; None: nobody asked, so that the first counts, and how fast it rises is not known."""
        if reading.value is None:
            return reading
        if self._known is None:
            counts = at_s is None or self._stays(reading.value, at_s) >= FITTING
        else:
            counts = (_can_follow(self._known, reading.value, at_s) or self._stays(reading.value, at_s) >= AGAIN)
        if not counts:
            return doubted(reading)
        self._known, self._elsewhere, self._rounds = (at_s, reading.value), None, 0
        return reading

    def _stays(self, volume_ml: float, at_s: float | None) -> int:
        """For how many rounds running it has been here."""
        near = self._elsewhere is not None and _can_follow(self._elsewhere, volume_ml, at_s)
        self._elsewhere, self._rounds = (at_s, volume_ml), self._rounds + 1 if near else 1
        return self._rounds


def _can_follow(start: tuple[float | None, float], volume_ml: float, at_s: float | None) -> bool:
    """Whether a count that was `start` can be this one by now."""
    began_s, began_ml = start
    if at_s is None or began_s is None:
        return volume_ml >= began_ml
    return 0 <= volume_ml - began_ml <= MOST_ML_H * (at_s - began_s + EARLY_S) / 3600.0 + SLACK_ML
