"""What holds of every driver on a byte stream, and of its twin: bad bytes, the words, the line, and the hands."""

from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import drivers
import simulators
from drivers.contract import ALARMS, REASONS, BadFrame, DeviceAlarms, Reading, Request
from tests.helpers.dialogue_run import DialogueRun, StillPatient
from tests.helpers.golden_table import frames
from tests.helpers.parts import sampled

SPECS = {name: spec for name, spec in drivers.find().items() if not spec.transports[0].startswith("modbus")}
TWINS = simulators.find()
GOOD = {name: [row for row in frames(name) if not row.bad] for name in SPECS}
LONGEST = 4096  # bytes a framing may hold: the longest frame of any of them, escaped
ONE_SHAPE = [name for name in SPECS if name != "nonin"]  # whose formats take turns: see test_nonin_framing
IN_TWO = frozenset({"capnostream", "graseby_3400", "masimo_ascii", "nellcor_ascii", "alaris_gh", "suntech_advantage"})
HALF = sampled(((name,) for name in SPECS), 2)
LISTENERS = [name for name, spec in SPECS.items() if not spec.requests]


def pieces(name: str) -> st.SearchStrategy[list[bytes]]:
    """Noise, and frames of the device, whole and cut."""
    whole = [row.frame for row in GOOD[name]]
    parts = [*whole, *(frame[: len(frame) // 2] for frame in whole), *(frame[len(frame) // 2 :] for frame in whole)]
    return st.lists(st.one_of(st.binary(max_size=60), st.sampled_from(parts)), max_size=8)


@pytest.mark.parametrize("name", HALF)
@settings(max_examples=40)
@given(data=st.data())
def test_any_bytes_in_any_pieces_raise_nothing_and_are_counted(name: str, data: st.DataObject) -> None:
    driver = SPECS[name].driver()
    driver.on_open()
    chunks = data.draw(pieces(name))
    found = [frame for chunk in chunks for frame in driver.framing.feed(chunk)]
    for frame in found:
        try:
            driver.decode(frame, None)
        except BadFrame:
            pass
    counted = sum(map(len, found)) + driver.framing.dropped
    assert 0 <= sum(map(len, chunks)) - counted < LONGEST
    driver.framing.flush()
    assert sum(map(len, found)) + driver.framing.dropped == sum(map(len, chunks))


@pytest.mark.parametrize("name", HALF)
@settings(max_examples=40)
@given(data=st.data())
def test_any_bytes_are_a_frame_that_is_heard_or_bad(name: str, data: st.DataObject) -> None:
    """Also where they are the response to something."""
    spec = SPECS[name]
    requests: list[Request | None] = [None, *spec.requests]
    request = data.draw(st.sampled_from(requests))
    frame = data.draw(st.one_of(st.binary(max_size=300), st.sampled_from([row.frame for row in GOOD[name]])))
    driver = spec.driver()
    try:
        if request is None or driver.is_response(frame, request):
            driver.decode(frame, request)
    except BadFrame:
        pass


@pytest.mark.parametrize("name", ONE_SHAPE)
@settings(max_examples=40)
@given(data=st.data())
def test_after_any_bytes_the_second_frame_is_heard(name: str, data: st.DataObject) -> None:
    """The first may end what the noise began; some devices' frames count only once the next one follows."""
    frame = data.draw(st.sampled_from([row.frame for row in GOOD[name]]))
    framing = SPECS[name].driver().framing
    alone = framing.feed(frame * 2)[-1:]
    framing.flush()
    assert framing.feed(data.draw(st.binary(max_size=300)) + frame * (2 if name in IN_TWO else 3))[-1:] == alone


@pytest.mark.parametrize("name", SPECS)
def test_cut_anywhere_it_is_the_same_stream(name: str) -> None:
    stream = b"".join(row.frame for row in GOOD[name][:4]) * 2
    whole = SPECS[name].driver().framing.feed(stream)
    for cut in range(0, len(stream) + 1, 1 + len(stream) // 400):
        framing = SPECS[name].driver().framing
        assert framing.feed(stream[:cut]) + framing.feed(stream[cut:]) == whole


@pytest.mark.parametrize("name", SPECS)
def test_what_it_says_are_words_of_the_contract(name: str) -> None:
    requests = {request.name: request for request in SPECS[name].requests}
    for row in GOOD[name]:
        for item in SPECS[name].driver().decode(row.frame, requests.get(row.request or "")):
            if isinstance(item, Reading):
                assert item.reason is None or item.reason in REASONS, row
                assert item.metric in SPECS[name].metrics, row
            elif isinstance(item, DeviceAlarms):
                assert {alarm.code for alarm in item.alarms} <= ALARMS, row


@pytest.mark.parametrize("name", LISTENERS)
def test_a_listener_asks_nothing(name: str) -> None:
    driver = SPECS[name].driver()
    assert (list(driver.on_open()), driver.next_request(9.0)) == ([], None)


@pytest.mark.parametrize("name", SPECS)
def test_the_twin_has_the_drivers_line_and_the_hands_it_names(name: str) -> None:
    spec, twin = SPECS[name], TWINS[name]
    line = spec.line
    assert (twin.baud, twin.bits, twin.parity, twin.stop) == (line.baud, line.bits, line.parity, line.stop)
    assert set(twin.transports) == set(spec.transports)
    assert set(twin.make(StillPatient(), 1).hands) == set(twin.hands)


@pytest.mark.parametrize("name", [name for name in SPECS if "mute" in TWINS[name].hands])
def test_a_mute_device_is_silent_and_heard_again(name: str) -> None:
    run = DialogueRun(SPECS[name], TWINS[name].make(StillPatient(), 1))
    run.open()
    run.run(12.0)
    for hand in ("mute", "unmute"):
        run.twin.hands[hand]()
        run.run(3 * SPECS[name].line.silent_after_s + 5)
    states = [state for state, _ in groupby(state for _, state, _ in run.links())]  # a silence may change its reason
    assert states[-2:] == ["silent", "live"]
    assert states.count("silent") == 1
