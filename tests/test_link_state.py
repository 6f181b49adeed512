"""Each driver with its twin on a bad wire, told the time: what the link is called, and what may count meanwhile."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

import drivers
import simulators
from drivers.contract import FrameRequest, Spec
from edge.field.link_state import FEW_UNDERSTOOD, LOSSES_WITHIN_S, NONE_UNDERSTOOD, STAYS_UNSTABLE_S, TOO_LATE
from simulators.alaris_gh import AlarisTwin
from simulators.contract import ModbusTwin, Refused, Twin
from simulators.isco import IscoTwin
from simulators.nonin import NoninTwin
from tests.helpers.dialogue_run import DialogueRun, StillPatient, Wire
from tests.helpers.parts import sampled

SPECS = drivers.find()
TWINS = simulators.find()
STREAMS = ["berry_pm6750", "capnostream", "contec_cms50", "contec_cms60", "dinamap_binary", "intellivue",
           "nonin", "masimo_ascii", "nellcor_ascii"]
SERIAL = [name for name, spec in SPECS.items() if "serial" in spec.transports]


def made(name: str) -> Twin | ModbusTwin:
    return TWINS[name].make(StillPatient(), 1)


def opened(name: str, wire: Wire = bytes) -> DialogueRun:
    run = DialogueRun(SPECS[name], made(name), wire=wire)
    run.open()
    return run


def states(run: DialogueRun) -> list[str]:
    """The states one after the other, each once."""
    links = [state for _, state, _ in run.links()]
    return [state for before, state in zip(["", *links], links, strict=False) if state != before]


@pytest.mark.parametrize("name", sampled(((name,) for name in SPECS), 4))
def test_a_good_wire_is_live_at_once_and_stays_so(name: str) -> None:
    run = opened(name)
    run.run(300)
    assert states(run) == ["connecting", "live"]
    counters = run.dialogue.counters
    assert (counters.bad, counters.late, counters.timeouts, counters.dropped) == (0, 0, 0, 0)
    assert counters.understood == counters.received > 0


# --- it comes and goes ------------------------------------------------------------------------------------------------


# so rarely does it speak; in a shorter spell it is not heard at all
EVERY_S = {"berry_pm6750": 1, "dinamap": 2, "ge_dri": 5, "intellivue": 5,
           "masimo_ascii": 1, "nellcor_ascii": 2, "par_nibp": 2}
OFTEN = 2  # good frames while it is back: less, and chance decides whether it is heard
NUMBER = {"dinamap_binary": "heart_rate_bpm"}  # where a device gives no SpO2
SPELLS = [(gone_s, back_s, name) for gone_s, back_s in ((9, 1), (8, 2), (12, 6), (25, 10)) for name in SPECS
          if back_s > EVERY_S.get(name, 0)]


@pytest.mark.parametrize(("gone_s", "back_s", "name"), sampled(SPELLS, 17))
def test_a_link_that_comes_and_goes_is_unstable_and_never_called_live_again(
    name: str, gone_s: float, back_s: float
) -> None:
    run = opened(name)
    run.run(10)
    if run.dialogue.counters.frames * back_s < 10 * OFTEN:
        pytest.skip("it speaks too rarely to be heard each time it is back")
    while run.at_s < 110:
        run.wire = lambda data: b""
        run.run(gone_s)
        run.wire = bytes
        run.run(back_s)
    at_s = next(at_s for at_s, state, _ in run.links() if state == "unstable")
    while run.at_s < 600:
        run.wire = lambda data: b""
        run.run(gone_s)
        run.wire = bytes
        run.run(back_s)
    spells = [*run.links(), (run.at_s, "", "")]
    live_s = sum(until - since for (since, state, _), (until, *_) in pairwise(spells)
                 if state == "live" and since > at_s)
    assert live_s <= (run.at_s - at_s) * (0.05 if back_s < 5 else 0.0), "a second is too short to be noticed each time"
    reason = next(reason for _, state, reason in run.links() if state == "unstable")
    assert reason.startswith("lost 3 times within 120 s; the last: ")
    assert len(run.links()) < 40, "said once, not at every turn"


def test_an_unstable_link_that_holds_is_live_again_after_two_minutes_and_one_that_dies_is_silent_after_30_s() -> None:
    def flaps() -> DialogueRun:
        run = opened("nonin")
        run.run(5)
        for _ in range(3):
            run.wire = lambda data: b""
            run.run(6)
            run.wire = bytes
            run.run(4)
        assert run.dialogue.state == "unstable"
        return run

    steady = flaps()
    first_loss_s = next(at_s for at_s, state, _ in steady.links() if state == "silent")
    steady.run(LOSSES_WITHIN_S)
    at_s, state, _ = steady.links()[-1]
    assert state == "live"
    assert at_s - first_loss_s == pytest.approx(LOSSES_WITHIN_S, abs=0.2)
    dead = flaps()
    dead.wire = lambda data: b""
    dead.run(4.5 + STAYS_UNSTABLE_S - 1)
    assert states(dead)[-1] == "unstable"
    dead.run(1.5)
    assert states(dead)[-1] == "silent"


def test_a_device_that_says_who_it_is_and_nothing_else_is_unstable_and_the_reason_names_what_it_refuses() -> None:
    run = opened("isco")
    twin = run.twin
    assert isinstance(twin, IscoTwin)
    read = twin.read

    def registers_only(function: int, address: int, count: int) -> Sequence[int]:
        if function == 1:
            raise Refused(2)
        return read(function, address, count)

    twin.read = registers_only  # type: ignore[method-assign]
    run.run(120)
    at_s, state, reason = run.links()[-1]
    assert (state, "exception 2 at coils 0..141" in reason) == ("unstable", True)
    assert at_s < 60
    assert not run.samples("rate_ml_h")


# --- bytes come, and are not understood -------------------------------------------------------------------------------


def noise(seed: int, bits: int = 8) -> Wire:
    dice = random.Random(seed)
    return lambda data: bytes(dice.getrandbits(bits) for _ in range(50))


@pytest.mark.parametrize("name", SERIAL)
@pytest.mark.parametrize("seed", range(3))
def test_noise_is_never_live_gives_no_number_and_is_called_what_it_is(name: str, seed: int) -> None:
    run = opened(name, noise(seed))
    run.run(20)
    assert run.dialogue.counters.received >= 20_000
    assert states(run) == ["connecting", "silent"]
    assert run.links()[-1][2] in (NONE_UNDERSTOOD, FEW_UNDERSTOOD)
    assert not [one for _, one in run.inputs if type(one).__name__ != "LinkChanged"]
    counters = run.dialogue.counters
    assert counters.understood < counters.received / 10


@pytest.mark.parametrize("name", SERIAL)
def test_seven_bits_instead_of_eight_are_called_what_they_are(name: str) -> None:
    def seven(data: bytes) -> bytes:
        """What has no eighth bit is garbled in another way."""
        masked = bytes(byte & 0x7F for byte in data)
        return masked if masked != data else data[::-1]

    run = opened(name, seven)
    run.run(20)
    assert run.dialogue.state in ("silent", "connecting")
    assert run.links()[-1][2] in (NONE_UNDERSTOOD, FEW_UNDERSTOOD)


@pytest.mark.parametrize("name", sampled(((name,) for name in SERIAL), 4))
def test_every_byte_that_comes_is_understood_or_dropped_or_bad_or_held(name: str) -> None:
    dice = random.Random(7)
    run = opened(name, lambda data: bytes(b ^ (dice.random() < 0.002) << dice.randrange(8) for b in data))
    run.run(300)
    counters = run.dialogue.counters
    left = counters.received - counters.understood - counters.dropped
    assert 0 <= left <= 300 + 200 * counters.bad, "what fails its check as a frame is bad; one frame may be held"
    assert counters.dropped + counters.bad > 0


# --- bytes come, and are old ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STREAMS)
def test_what_a_stalled_network_hands_over_at_once_is_late_and_never_live(name: str) -> None:
    held, number = bytearray(), NUMBER.get(name, "spo2_pct")
    run = opened(name)
    run.run(20)
    run.wire = lambda data: held.extend(data) or b""  # type: ignore[func-returns-value]
    run.run(40)
    run.wire = bytes
    given, late = len(run.samples(number)), run.dialogue.counters.late
    while held:  # as a socket gives it, piece by piece in one moment
        run.receive(bytes(held[:1460]))
        del held[:1460]
    assert len(run.samples(number)) == given
    assert run.dialogue.counters.late >= late + 40 // EVERY_S.get(name, 1)
    assert states(run)[-1] == "silent"
    run.run(5)
    assert states(run)[-1] == "live"
    assert len(run.samples(number)) > given


def test_a_flood_is_counted_unread_and_the_device_is_heard_behind_it() -> None:
    run = opened("nonin")
    run.run(30)
    before = run.dialogue.counters.dropped
    fed: list[int] = []
    feed = run.driver.framing.feed
    run.driver.framing.feed = lambda data: fed.append(len(data)) or feed(data)  # type: ignore[func-returns-value, method-assign]
    for _ in range(200):
        run.receive(bytes(4096))
    assert sum(fed) <= 16_384, "so much is parsed of it"
    assert run.dialogue.counters.dropped - before >= 199 * 4096
    run.run(10)
    given = len(run.samples("spo2_pct"))
    run.run(10)
    assert states(run)[-1] == "live"
    assert len(run.samples("spo2_pct")) > given


@pytest.mark.parametrize("name", STREAMS)
def test_what_a_terminal_server_kept_of_a_device_that_is_off_is_never_live(name: str) -> None:
    run = opened(name)
    kept = bytearray()
    run.wire = lambda data: kept.extend(data) or b""  # type: ignore[func-returns-value]
    run.run(60)
    run.wire = lambda data: b""
    run.open()
    run.inputs.clear()
    for at in range(0, len(kept), 1460):
        run.receive(bytes(kept[at : at + 1460]))
    run.run(10)
    assert not run.samples("spo2_pct")
    assert states(run) == ["silent"] or not run.links()
    assert run.dialogue.counters.late >= 40 // EVERY_S.get(name, 1)
    assert run.dialogue.link.up is False


def test_the_reason_says_that_what_comes_is_old() -> None:
    run = opened("nonin", lambda data: b"")
    kept = made("nonin")
    assert isinstance(kept, NoninTwin)
    kept.connect()
    run.run(4)
    run.receive(kept.step(30.0))
    run.run(1)
    assert run.links()[-1][1:] == ("silent", TOO_LATE)


# --- late responses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_one_response_in_ten_late_leaves_a_pump_85_percent_of_its_readings_and_none_is_wrong(seed: int) -> None:
    dice = random.Random(seed)
    late: list[tuple[float, bytes]] = []
    run = opened("alaris_gh")
    twin = run.twin
    assert isinstance(twin, AlarisTwin)
    run.run(30)
    run.forget()
    run.run(300)
    wanted = len(run.samples("rate_ml_h"))

    def sometimes(data: bytes) -> bytes:
        if data and dice.random() < 0.1:
            late.append((run.real_s + dice.uniform(0.3, 1.5), data))
            return b""
        return data

    def arrives(dt_s: float) -> None:
        for at_s, data in [one for one in late if one[0] <= run.real_s]:
            late.remove((at_s, data))
            run.receive(data)

    run.wire, run.living = sometimes, arrives
    run.forget()
    run.run(300)
    assert run.dialogue.counters.late > 30
    assert len(run.samples("rate_ml_h")) >= 0.85 * wanted, (len(run.samples("rate_ml_h")), wanted)
    assert {sample.value for _, sample in run.samples("rate_ml_h")} == {0.0}


# --- nothing but the table --------------------------------------------------------------------------------------------


def spec_with(spec: Spec, requests: Sequence[FrameRequest]) -> Spec:
    return replace(spec, requests=tuple(requests))


def test_a_request_that_is_not_in_the_table_is_never_sent() -> None:
    run = DialogueRun(spec_with(SPECS["nonin"], ()), made("nonin"))
    run.open()
    with pytest.raises(AssertionError, match="'select_df7' is not a request this driver may send"):
        run.run(5)
    assert not run.sent


def test_a_pump_is_sent_nothing_but_reads_even_if_its_table_says_so() -> None:
    status = next(one for one in SPECS["alaris_gh"].requests if one.name == "INST_SERIALNO")
    assert isinstance(status, FrameRequest)
    changed = replace(status, effect="mode")
    spec = replace(SPECS["alaris_gh"], requests=tuple(changed if one is status else one
                                                      for one in SPECS["alaris_gh"].requests))
    run = DialogueRun(spec, made("alaris_gh"))
    run.open()
    with pytest.raises(AssertionError, match="'INST_SERIALNO' is not a request this driver may send"):
        run.run(10)
