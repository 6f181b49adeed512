"""Every framing with its driver: whatever bytes come, in whatever pieces, nothing raises, each byte is counted, the
frames are the same, two frames bring it in step, and noise passes for a frame no oftener than its check allows.

With --hypothesis-profile=explore in a hundred times as many cases, and in 10^7 random bytes a driver instead of 10^5.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

import drivers
from drivers.contract import BadFrame, Driver, Spec
from drivers.new_era import MAX_SAFE, safe
from tests.helpers.golden_table import frames
from tests.helpers.parts import sampled

SAFE = "new_era in safe mode"
SPECS = {name: spec for name, spec in drivers.find().items() if not spec.transports[0].startswith("modbus")}
GOOD = {name: [row.frame for row in frames(name) if not row.bad] for name in SPECS}
SPECS[SAFE], GOOD[SAFE] = SPECS["new_era"], [safe(frame[1:-1]) for frame in GOOD["new_era"]]
SETTINGS: Mapping[str, Mapping[str, object]] = {SAFE: {"mode": "safe"}}
REPEATED = {**GOOD, "nonin": [frame for frame in GOOD["nonin"] if len(frame) == 125]}  # whose other formats need proof
EXPLORES = settings().max_examples > 100
CASES = settings(max_examples=1000 if EXPLORES else 10, stateful_step_count=30 if EXPLORES else 12, deadline=None)
NOISE = 10_000_000 if EXPLORES else 100_000
HELD = 4096  # bytes a framing may hold: the longest frame of any of them, escaped
A_START, A_SUM = 1 / 256, 1 / 256  # the chance that a random byte is one certain mark; that a sum of 8 bits fits


@dataclass(frozen=True, slots=True)
class Row:
    """`theory`: how many frames the driver accepts in a random byte, as its document's check allows. `span`: so many
    bytes a false beginning may claim, where frames give their length; 0: a mark ends what it began."""

    theory: float = 1e-9  # a start, an end and a text or a sum of 16 bits between: none in 10^7 bytes
    span: int = 0


ROWS = {
    "berry_pm6750": Row(A_START * A_START * 27 / 256 * A_SUM, span=32),  # 55 AA, 27 lengths, a sum
    # 85, then a length of 1 to 255 without another 85 or a stray 80 among its bytes, and an exclusive or
    "capnostream": Row(A_START / 256 * A_SUM * sum((254 / 256) ** (length + 1) for length in range(1, 256)), span=257),
    # no check: five bytes by their highest bits, 10 signal strengths of 16, 93 SpO2 of 128; and again, much the same
    "contec_cms50": Row(2 * (2**-5 * 10 / 16) ** 2 * 93 / 128 * 8 / 128),
    "contec_cms60": Row(19 * 2**-16),  # no check: 19 types, and the highest bits of as many bytes as each has
    "fresenius_orchestra": Row(7 / 256 / 256, span=2),  # NAK and one of seven digits
    "legato": Row(4 / 256 / 256),  # a new line and one of four prompts; the driver believes what is said twice
    SAFE: Row(A_START / 256**3, span=MAX_SAFE),  # a sum of 16 bits and an end
    # 25 frames with a sum each; format 8 has none, but 24 bytes by their highest bits, which are six frames
    "nonin": Row(6 * 2**-24, span=125),
    "suntech_advantage": Row(A_START * 8 / 256 * A_SUM, span=80),
}


def row_of(name: str) -> Row:
    return ROWS.get(name, Row())


def started(name: str) -> Driver:
    driver = SPECS[name].driver(SETTINGS.get(name))
    driver.on_open()
    return driver


def accepted(spec: Spec, driver: Driver, frame: bytes) -> bool:
    """Whether the driver makes something of it, by itself or as the response to a request. May raise nothing."""
    taken = False
    for request in (None, *spec.requests):
        if request is None or driver.is_response(frame, request):
            try:
                driver.decode(frame, request)
                taken = True
            except BadFrame:
                pass
    return taken


class Parser(RuleBasedStateMachine):
    """Two framings of one driver, given the same bytes: in pieces, and byte by byte."""

    name = ""
    same_in_pieces = True

    def __init__(self) -> None:
        super().__init__()
        self.spec = SPECS[self.name]
        self.driver, self.other = started(self.name), started(self.name)
        self.fed = self.framed = 0

    def feed(self, data: bytes, pieces: int) -> list[bytes]:
        size = max(1, math.ceil(len(data) / pieces))
        found = [frame for at in range(0, len(data), size) for frame in self.driver.framing.feed(data[at : at + size])]
        single = [frame for byte in data for frame in self.other.framing.feed(bytes((byte,)))]
        if self.same_in_pieces:
            assert (found, self.driver.framing.dropped) == (single, self.other.framing.dropped)
        self.fed += len(data)
        self.framed += sum(map(len, found))
        assert 0 <= self.fed - self.framed - self.driver.framing.dropped < HELD, "each byte has its place"
        for frame in found:
            accepted(self.spec, self.driver, frame)
        return found

    @rule(data=st.binary(max_size=300), pieces=st.integers(1, 9))
    def noise(self, data: bytes, pieces: int) -> None:
        self.feed(data, pieces)

    @rule(data=st.data(), pieces=st.integers(1, 9))
    def frame(self, data: st.DataObject, pieces: int) -> None:
        self.feed(data.draw(st.sampled_from(GOOD[self.name])), pieces)

    @rule(data=st.data(), times=st.sampled_from((1, 30, 5000)), pieces=st.integers(1, 9))
    def flood(self, data: st.DataObject, times: int, pieces: int) -> None:
        """A frame's beginning again and again."""
        frame = data.draw(st.sampled_from(GOOD[self.name]))
        self.feed(frame[: data.draw(st.integers(1, 4))] + frame[1:2] * times, pieces)

    @rule(data=st.data(), junk=st.binary(max_size=20), pieces=st.integers(1, 4))
    def spliced(self, data: st.DataObject, junk: bytes, pieces: int) -> None:
        """A frame with noise in it, cut off, or joined to another's end."""
        one, other = (data.draw(st.sampled_from(GOOD[self.name])) for _ in range(2))
        cut, again = data.draw(st.integers(0, len(one))), data.draw(st.integers(0, len(other)))
        self.feed(one[:cut] + junk + other[again:], pieces)

    @rule(data=st.data(), pieces=st.integers(1, 9))
    def in_step(self, data: st.DataObject, pieces: int) -> None:
        """Two frames bring it in step again, however it was left: the next one is found."""
        frame = data.draw(st.sampled_from(REPEATED[self.name]))
        times = max(2, math.ceil(2 * row_of(self.name).span / len(frame)))
        if started(self.name).framing.feed(frame * (times + 2))[-1:] == [frame]:
            assert frame in self.feed(frame * (times + 1), pieces)[-2:]

    @precondition(lambda self: self.fed > 0)
    @rule()
    def flush(self) -> None:
        for driver in (self.driver, self.other):
            driver.framing.flush()
        assert self.fed == self.framed + self.driver.framing.dropped


@pytest.mark.parametrize("name", sampled(((name,) for name in SPECS), 2))
def test_any_bytes_in_any_pieces_at_any_time(name: str) -> None:
    # Nonin's format 8 has no mark of its end: what stands behind a frame in the same piece may tell more of it
    made = type("Parser", (Parser,), {"name": name, "same_in_pieces": name != "nonin"})
    run_state_machine_as_test(made, settings=CASES)


@pytest.mark.parametrize("name", SPECS)
def test_noise_passes_for_a_frame_no_oftener_than_the_check_allows(name: str) -> None:
    """Twice that, and what chance may add to it."""
    spec, rng, count = SPECS[name], random.Random(f"noise {name}"), 0
    driver = started(name)
    for _ in range(NOISE // 1000):
        count += sum(accepted(spec, driver, frame) for frame in driver.framing.feed(rng.randbytes(1000)))
    expected = 2 * row_of(name).theory * NOISE
    assert count <= expected + 3 * math.sqrt(expected) + 1
