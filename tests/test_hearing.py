"""Somebody hears the alarms: a console lives, a page confirms; where not, the bed says so and the box sounds."""

from __future__ import annotations

import asyncio
import contextlib
import io
import math
import stat
import struct
import wave
from pathlib import Path
from typing import get_args

import pytest
from msgspec import UNSET, UnsetType

from edge.app.hearing import CONFIRMED_WITHIN_S, NO_CONSOLE, NO_PAGE, Hearing
from edge.app.sounder import EV_SND, SND_TONE, Command, Files, Silent, Sounder, Speaker, port_of
from edge.config.box import SounderTable
from edge.config.files import ConfigError, load_edge
from edge.contract.payloads import AlarmNow, State
from edge.model import AlarmState, HeardChanged, Priority, Undelivered
from edge.sound import BURSTS, FUNDAMENTAL_HZ, RATE_HZ, Sounding, wav

BEGAN_S = 100.0


def alarm(seq: int, priority: Priority = "high", rule: str = "HTN-3", state: AlarmState = "active",
          name: str = "", sound: Priority | UnsetType = UNSET) -> AlarmNow:
    return AlarmNow(alarm=name or rule, rule=rule, state=state, priority=priority, since="", seq=seq, text="",
                    sound=sound)


def stands(*alarms: AlarmNow, bed: str = "chair-1", paused: str | None = None) -> State:
    return State(edge="clinic-1", bed=bed, at="", seq=9, boot="b1", alarms=list(alarms), audio_paused_until=paused)


def heard(consoles: tuple[str, ...] = ("main",)) -> Hearing:
    """With a console that lives."""
    hearing = Hearing(consoles, ("chair-1", "chair-2"), BEGAN_S)
    hearing.console(consoles[0], True)
    assert hearing.look(BEGAN_S) == {}
    return hearing


def unheard_at(hearing: Hearing, at_s: float) -> dict[str, str]:
    """The beds for which it has changed, and why nobody may hear them."""
    return {bed: heard.unheard for bed, heard in hearing.look(at_s).items()}


def test_a_console_that_is_gone_is_told_at_every_bed_at_once_and_when_it_is_back() -> None:
    hearing = heard()
    assert hearing.look(BEGAN_S + 60) == {}
    hearing.console("main", False)
    assert unheard_at(hearing, BEGAN_S + 60) == {"chair-1": NO_CONSOLE, "chair-2": NO_CONSOLE}
    assert hearing.look(BEGAN_S + 61) == {}
    hearing.console("main", True)
    assert unheard_at(hearing, BEGAN_S + 62) == {"chair-1": "", "chair-2": ""}


def test_one_console_of_two_is_enough() -> None:
    hearing = heard(("main", "second"))
    hearing.console("second", True)
    hearing.console("main", False)
    assert hearing.look(BEGAN_S + 60) == {}


def test_a_console_that_has_arrived_and_goes_is_told_at_once() -> None:
    hearing = heard()
    hearing.console("main", False)
    assert unheard_at(hearing, BEGAN_S + 1) == {"chair-1": NO_CONSOLE, "chair-2": NO_CONSOLE}


def test_where_nobody_is_expected_to_confirm_only_the_console_counts() -> None:
    hearing = Hearing(("main",), ("chair-1",), BEGAN_S, confirms=False)
    hearing.console("main", True)
    hearing.bed(stands(alarm(7)), BEGAN_S)
    assert hearing.look(BEGAN_S + 60) == {}


@pytest.mark.parametrize(("after_s", "told"), [(9.9, False), (10.0, True)])
def test_at_a_start_a_console_has_ten_seconds_to_arrive(after_s: float, told: bool) -> None:
    hearing = Hearing(("main",), ("chair-1",), BEGAN_S)
    assert bool(hearing.look(BEGAN_S + after_s)) is told


@pytest.mark.parametrize(("after_s", "told"), [
    (CONFIRMED_WITHIN_S - 0.1, {}), (CONFIRMED_WITHIN_S, {"chair-1": NO_PAGE})])
def test_an_alarm_that_no_page_confirms_is_told_at_its_bed_after_ten_seconds(
    after_s: float, told: dict[str, str],
) -> None:
    hearing = heard()
    hearing.bed(stands(alarm(7)), BEGAN_S)
    assert unheard_at(hearing, BEGAN_S + after_s) == told


@pytest.mark.parametrize(("then", "told"), [
    ([alarm(8)], False),  # its words changed
    ([alarm(8, "medium")], False),  # it fell
    ([alarm(8, "medium"), alarm(9, name="second")], True),  # another came
    ([alarm(8, state="acknowledged")], False), ([alarm(8, state="latched")], False), ([], False),
    ([alarm(8, state="latched", sound="high")], False),  # it sounds on, and that was confirmed
])
def test_confirmed_once_it_stays_so_until_it_rises_or_another_comes(then: list[AlarmNow], told: bool) -> None:
    hearing = heard()
    hearing.bed(stands(alarm(7)), BEGAN_S)
    hearing.sounded(7)
    hearing.bed(stands(*then), BEGAN_S + 5)
    assert bool(hearing.look(BEGAN_S + 60)) is told


def test_what_is_over_and_sounds_on_must_be_confirmed_too() -> None:
    hearing = heard()
    hearing.bed(stands(alarm(8, rule="INF-2", state="latched", sound="high")), BEGAN_S)
    assert unheard_at(hearing, BEGAN_S + 10) == {"chair-1": NO_PAGE}


def test_what_nobody_hears_is_named_with_its_priority() -> None:
    hearing = heard()
    hearing.bed(stands(alarm(7), alarm(8, "low", "RES-1")), BEGAN_S)
    hearing.sounded(8)
    high, low = Undelivered("HTN-3", "high", ""), Undelivered("RES-1", "low", "")
    assert hearing.look(BEGAN_S + 10) == {"chair-1": HeardChanged(NO_PAGE, (high,))}
    mine = alarm(9, "high", "TEC-6")
    hearing.bed(stands(alarm(7), alarm(8, "low", "RES-1"), mine), BEGAN_S + 11)
    assert hearing.look(BEGAN_S + 30) == {}, "that nobody hears is no alarm that nobody hears"
    hearing.console("main", False)
    assert hearing.look(BEGAN_S + 31)["chair-1"] == HeardChanged(NO_CONSOLE, (high, low), no_console=True)
    hearing.bed(stands(alarm(8, "low", "RES-1"), mine), BEGAN_S + 32)
    assert hearing.look(BEGAN_S + 33) == {"chair-1": HeardChanged(NO_CONSOLE, (low,), no_console=True)}


def test_an_alarm_that_rises_is_announced_anew() -> None:
    hearing = heard()
    hearing.bed(stands(alarm(7, "medium")), BEGAN_S)
    hearing.sounded(7)
    hearing.bed(stands(alarm(8, "high")), BEGAN_S + 5)
    assert hearing.look(BEGAN_S + 14.9) == {}
    assert unheard_at(hearing, BEGAN_S + 15) == {"chair-1": NO_PAGE}
    hearing.sounded(8)
    assert unheard_at(hearing, BEGAN_S + 16) == {"chair-1": ""}


@pytest.mark.parametrize(("confirmed", "unheard"), [
    ((), {"chair-1", "chair-2"}), ((99,), {"chair-2"}), ((100,), {"chair-1"}), ((99, 100), set()),
    ((98, 101), {"chair-1", "chair-2"}),
])
def test_a_page_that_sounds_one_alarm_confirms_no_other(confirmed: tuple[int, ...], unheard: set[str]) -> None:
    hearing = heard()
    hearing.bed(stands(alarm(99)), BEGAN_S)
    hearing.bed(stands(alarm(100), bed="chair-2"), BEGAN_S)
    hearing.sounded(*confirmed)
    assert set(hearing.look(BEGAN_S + 10)) == unheard


def test_a_page_that_confirms_a_later_event_of_the_alarm_confirms_the_alarm() -> None:
    hearing = heard()
    hearing.bed(stands(alarm(7)), BEGAN_S)
    hearing.bed(stands(alarm(9)), BEGAN_S + 1)  # its words changed before a page sounded it
    hearing.sounded(9)
    assert hearing.look(BEGAN_S + 60) == {}


def test_a_console_that_tells_only_the_highest_is_believed_as_it_was() -> None:
    hearing = heard()
    hearing.bed(stands(alarm(7)), BEGAN_S)
    hearing.bed(stands(alarm(9), bed="chair-2"), BEGAN_S)
    hearing.sounded_up_to(8)
    assert unheard_at(hearing, BEGAN_S + 60) == {"chair-2": NO_PAGE}


@pytest.mark.parametrize(("state", "wanted"), [
    (stands(), "none"), (stands(alarm(7)), "none"),  # a page sounds it
    (stands(alarm(7, "medium", "TEC-11")), "medium"), (stands(alarm(7, "medium", "TEC-11", "acknowledged")), "none"),
    (stands(alarm(7), alarm(8, "medium", "TEC-6")), "high"), (stands(alarm(8, "medium", "TEC-6")), "medium"),
    (stands(alarm(7), alarm(8, "medium", "TEC-6"), paused="2026-01-01T00:00:00.000Z"), "none"),
    (stands(alarm(7), alarm(8, "medium", "TEC-6", "acknowledged")), "none"),
    (stands(alarm(7, "high", "INF-2", "latched", sound="high"), alarm(8, "medium", "TEC-6")), "high"),  # it sounds on
    (stands(alarm(7, "high", "HTN-3", "latched"), alarm(8, "medium", "TEC-6")), "medium"),
    (stands(alarm(7, "medium", "HTN-2", sound="high"), alarm(8, "medium", "TEC-6")), "high"),  # fallen, it sounds on
])
def test_the_box_sounds_what_nobody_else_does(state: State, wanted: Priority) -> None:
    hearing = heard()
    hearing.bed(stands(alarm(6), bed="chair-2"), BEGAN_S)
    hearing.bed(state, BEGAN_S)
    assert hearing.wanted() == wanted


# --- the sound --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("priority", get_args(Sounding))
def test_a_wav_has_the_pulses_of_its_burst_and_their_tone(priority: Sounding) -> None:
    with wave.open(io.BytesIO(wav(priority))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE_HZ)
        samples = struct.unpack(f"<{file.getnframes()}h", file.readframes(file.getnframes()))
    burst = BURSTS[priority]
    assert len(samples) / RATE_HZ == pytest.approx(burst.length_s, abs=0.001)
    assert max(samples) < 32767 and max(samples) > 32767 * 0.2
    step = RATE_HZ // 100
    loud = [max(map(abs, samples[k:k + step])) > 2000 for k in range(0, len(samples) - step, step)]
    assert sum(now and not before for before, now in zip([False, *loud], loud, strict=False)) == len(burst.pulses)
    middle = round((burst.pulses[0].start_s + burst.pulses[0].duration_s / 2) * RATE_HZ)
    part = samples[middle - 1000:middle + 1000]

    def strength(hz: float) -> float:
        turns = [2 * math.pi * hz * k / RATE_HZ for k in range(len(part))]
        return math.hypot(sum(x * math.cos(t) for x, t in zip(part, turns, strict=True)),
                          sum(x * math.sin(t) for x, t in zip(part, turns, strict=True)))

    assert strength(FUNDAMENTAL_HZ) > 10 * strength(FUNDAMENTAL_HZ * 1.5)


def program(folder: Path, text: str) -> str:
    path = folder / "play"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


async def test_a_program_is_given_the_burst_and_its_priority(tmp_path: Path) -> None:
    await Command([program(tmp_path, f'cat > {tmp_path}/"$1".wav'), "{priority}"]).play("high")
    assert (tmp_path / "high.wav").read_bytes() == wav("high")


@pytest.mark.parametrize(("text", "says"), [("exit 3", "it ended with 3"), ("echo no card >&2; exit 1", "no card")])
async def test_a_program_that_fails_says_why(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(Silent, match=says):
        await Command([program(tmp_path, f"cat >/dev/null; {text}")]).play("low")
    with pytest.raises(Silent, match="No such file"):
        await Command([str(tmp_path / "nothing")]).play("low")


async def test_the_pc_speaker_is_switched_on_and_off_for_each_pulse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def at_once(_: float) -> None:
        """Time is told."""

    monkeypatch.setattr(asyncio, "sleep", at_once)
    path = tmp_path / "speaker"
    path.touch()
    await Speaker(path).play("medium")
    size = struct.calcsize("@llHHi")
    said = [struct.unpack("@llHHi", path.read_bytes()[k:k + size])[2:] for k in range(0, path.stat().st_size, size)]
    assert said == [(EV_SND, SND_TONE, FUNDAMENTAL_HZ), (EV_SND, SND_TONE, 0)] * 3 + [(EV_SND, SND_TONE, 0)]
    with pytest.raises(Silent, match="No such file"):
        await Speaker(tmp_path / "nothing").play("low")


async def test_it_sounds_again_and_again_a_rise_at_once_and_says_where_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted: list[Priority] = ["none", "medium", "medium", "medium", "high", "high", "none", "none"]
    changed: list[str] = []

    async def sleep(_: float) -> None:
        if len(wanted) > 1:
            wanted.pop(0)
        else:
            raise asyncio.CancelledError

    folder = tmp_path / "sounds"
    sounder = Sounder(Files(folder), lambda: wanted[0], lambda: changed.append(sounder.now().state))
    monkeypatch.setattr("edge.app.sounder.asyncio.sleep", sleep)
    with contextlib.suppress(asyncio.CancelledError):
        await sounder.run()
    assert changed == ["failing"]
    assert "No such file" in sounder.now().reason
    folder.mkdir()
    wanted[:] = ["none", "medium", "medium", "medium", "high", "high", "none", "none"]
    with contextlib.suppress(asyncio.CancelledError):
        await sounder.run()
    assert [path.name.partition("-")[2] for path in sorted(folder.iterdir())] == ["medium.wav", "high.wav"]
    assert changed == ["failing", "ready"]


def test_without_one_it_is_off() -> None:
    assert port_of(None) is None
    assert Sounder(None, lambda: "high", lambda: None).now().state == "off"


@pytest.mark.parametrize(("table", "is_a"), [
    ({"use": "alsa"}, Command), ({"use": "speaker"}, Speaker), ({"use": "command", "command": ["x"]}, Command),
    ({"use": "file", "folder": Path("/tmp")}, Files)])
def test_what_edge_toml_names(table: dict[str, object], is_a: type) -> None:
    assert isinstance(port_of(SounderTable.model_validate(table)), is_a)


@pytest.mark.parametrize(("table", "says"), [
    ('use = "horn"', "'use' must be"), ('use = "command"', "'command' goes with"),
    ('use = "alsa"\nfolder = "x"', "'folder' goes with"), ('use = "file"', "'folder' goes with")])
def test_what_it_may_not_say_is_refused_with_its_line(tmp_path: Path, table: str, says: str) -> None:
    (tmp_path / "edge.toml").write_text(
        f'[edge]\nid = "clinic-1"\ndata = "."\nrules = "rules.toml"\n[sounder]\n{table}\n[[bed]]\nid = "chair-1"\n')
    with pytest.raises(ConfigError, match=says) as refused:
        load_edge(tmp_path / "edge.toml")
    assert refused.value.line in (5, 6, 7)
