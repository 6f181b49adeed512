"""A DINAMAP Pro 1000 on its binary output: its CRC, its alarms, and a heart rate that is only ever doubtful."""

from __future__ import annotations

import pytest

from drivers.contract import Decoded, DeviceAlarms, Reading, Validity
from drivers.dinamap_binary import ALARMS, DRIVER, BlockFraming, crc
from simulators.dinamap_binary import WAVES, DinamapBinaryTwin, block
from tests.helpers.dialogue_run import StillPatient
from tests.helpers.oximeter_bench import all_of, listen, opened, spoiled, started

HEART_RATE_60 = bytes.fromhex("8F 05 60 00 06 01 AD 7F 1F C7 F5 FC 01 00 3C E8 17 70")
CRISIS, WARNING = (alarm.raw for _, alarm in ALARMS)


def rates(items: list[Decoded]) -> list[tuple[float | None, Validity]]:
    return [(one.value, one.validity) for one in items if isinstance(one, Reading)]


def alarms(items: list[Decoded]) -> list[tuple[str, ...]]:
    return [tuple(alarm.raw for alarm in one.alarms) for one in items if isinstance(one, DeviceAlarms)]


def blocks(*statuses: int) -> bytes:
    return b"".join(block(at, bytes((status,)) + WAVES + bytes(3)) for at, status in enumerate(statuses))


def test_the_crc_is_the_published_one() -> None:
    assert crc(b"123456789") == 0x2A


def test_a_damaged_block_is_none_whichever_byte_it_is() -> None:
    for broken in spoiled(HEART_RATE_60):
        found = rates(listen(started(DRIVER), broken))
        assert not found or HEART_RATE_60 in broken, broken.hex(" ")
        assert {value for value, _ in found} <= {60.0}, broken.hex(" ")


@pytest.mark.parametrize("lost", range(len(HEART_RATE_60)))
def test_after_a_lost_byte_the_next_block_is_in_step_and_all_is_counted(lost: int) -> None:
    framing = BlockFraming()
    assert framing.feed(HEART_RATE_60[:lost] + HEART_RATE_60[lost + 1 :] + HEART_RATE_60) == [HEART_RATE_60]
    assert framing.dropped == len(HEART_RATE_60) - 1


def test_a_block_that_comes_again_is_none() -> None:
    assert rates(listen(started(DRIVER), HEART_RATE_60 * 3)) == [(60.0, Validity.QUESTIONABLE)]


@pytest.mark.parametrize(("what", "statuses", "told"), [
    ("none, and that is told", (0x0E, 0x0E), [()]),
    ("one block says nothing yet", (0x2E,), []),
    ("two blocks do", (0x0E, 0x0E, 0x2E, 0x2E), [(), (WARNING,)]),
    ("one between others is a flipped bit", (0x0E, 0x0E, 0x2E, 0x0E, 0x0E), [()]),
    ("it rises and ends", (0x2E, 0x2E, 0x6E, 0x6E, 0x0E, 0x0E), [(WARNING,), (CRISIS, WARNING), ()]),
    ("beats and breaths are no alarms", (0x00, 0x06, 0x18, 0x1E), [()]),
])
def test_an_alarm_of_the_monitor(what: str, statuses: tuple[int, ...], told: list[tuple[str, ...]]) -> None:
    assert alarms(listen(started(DRIVER), blocks(*statuses))) == told


def test_a_minute_with_its_twin() -> None:
    patient = StillPatient()
    run = opened(DRIVER, DinamapBinaryTwin(patient), 60.0)
    assert set(rates(all_of(run))) == {(72.0, Validity.QUESTIONABLE)}
    assert 59 <= len(rates(all_of(run))) <= 61
    assert alarms(all_of(run)) == [()]
    run.forget()
    patient.spo2_pct = 88.0
    run.run(2.0)
    patient.spo2_pct = 84.0
    run.run(2.0)
    assert alarms(all_of(run)) == [(WARNING,), (CRISIS,)]
    run.twin.hands["probe_off"]()
    run.forget()
    run.run(3.0)
    assert set(rates(all_of(run))) == {(None, Validity.UNAVAILABLE)}
