"""edge.toml read again: wholly checked first; what changed stops and starts, and no other device notices."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

import drivers
import simulators
from edge.app.run import check_edge, reload_edge
from edge.config.changes import changes
from edge.contract.payloads import CommandIn
from edge.model import LinkChanged, Samples
from edge.process import BadUsage
from simulators.scenario import catalogue
from tests.helpers.reload_run import HEAD, bed, config_of, running
from tests.helpers.rule_files import FILE
from tests.helpers.stage_run import staged

OXI = {"oximeter": "nonin tcp://10.0.0.7:4001"}
PUMP = {"pump": "isco modbus+tcp://10.0.0.9?unit=1"}
TABLE = [  # before, after, what is said, the devices that start, the beds that are judged otherwise
    ((bed(1, **OXI),), (bed(1, **OXI),), "no device is another", [], []),
    ((bed(1, **OXI),), (bed(1, oximeter="nonin tcp://10.0.0.7:4002"),), "changed chair-1/oximeter", ["oximeter"], []),
    ((bed(1, **OXI),), (bed(1, **OXI, **PUMP),), "added chair-1/pump", ["pump"], ["chair-1"]),
    ((bed(1, **OXI, **PUMP),), (bed(1, **OXI),), "removed chair-1/pump", [], ["chair-1"]),
    ((bed(1, **OXI),), (bed(1, oximeter="contec_cms60 tcp://10.0.0.7:4001"),), "changed chair-1/oximeter", ["oximeter"],
     ["chair-1"]),
    ((bed(1, **OXI), bed(2, **PUMP)), (bed(1, **OXI), bed(2)), "removed chair-2/pump", [], ["chair-2"]),
]


@pytest.mark.parametrize(("before", "after", "said", "started", "beds"), TABLE)
def test_what_is_another(tmp_path: Path, before: tuple[str, ...], after: tuple[str, ...], said: str,
                         started: list[str], beds: list[str]) -> None:
    found = changes(config_of(tmp_path, *before), config_of(tmp_path, *after))
    assert str(found) == said
    assert [device.id for _, device in found.started] == started
    assert [one.id for one in found.beds] == beds
    assert found.restart == ()


@pytest.mark.parametrize(("table", "said"), [
    ('[mqtt]\nurl = "mqtt://127.0.0.1:1884"\n', ("[mqtt]",)), ("keep_inputs_days = 31\n", ("[edge]",)),
    ('[sounder]\nuse = "alsa"\n', ("[sounder]",)), ('[anchor]\nfile = "heads"\n', ("[anchor]",))])
def test_what_only_a_restart_can_change_is_named(tmp_path: Path, table: str, said: tuple[str, ...]) -> None:
    found = changes(config_of(tmp_path, bed(1, **OXI)), config_of(tmp_path, bed(1, **OXI), head=HEAD + table))
    assert found.restart == said
    assert (found.stopped, found.started) == ((), ())


def test_beds_come_and_go_and_the_role_of_a_pump_moves_no_link(tmp_path: Path) -> None:
    before = config_of(tmp_path, bed(1, **OXI), bed(2, **PUMP))
    found = changes(before, config_of(tmp_path, bed(3, **PUMP), bed(1, **OXI)))
    assert str(found) == "closed chair-2, opened chair-3"
    assert (found.stopped, found.started, found.order) == ((), (), ("chair-3", "chair-1"))
    found = changes(before, config_of(tmp_path, bed(1, **OXI), bed(2, **PUMP) + 'role = "carrier"\n'))
    assert str(found) == "chair-2 is judged by another interval, or other roles of its pumps"
    assert (found.stopped, found.started) == ((), ())


def test_a_check_of_edge_toml_starts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config_of(tmp_path, bed(1, **OXI))
    assert check_edge(tmp_path / "edge.toml") == 0
    assert capsys.readouterr().out == f"{tmp_path}/edge.toml: good: 1 bed, 1 device\n"
    assert {path.name for path in tmp_path.iterdir()} == {"edge.toml", "rules.toml"}
    (tmp_path / "edge.toml").write_text(HEAD + bed(1, oximeter="nonn tcp://10.0.0.7:4001"))
    with pytest.raises(BadUsage, match=r"edge\.toml:9: no driver 'nonn'"):
        check_edge(tmp_path / "edge.toml")


# --- while it runs ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_one_bed_gets_another_oximeter_and_the_other_bed_does_not_notice(tmp_path: Path) -> None:
    async with staged(catalogue(["nonin:tcp"], simulators.find(), beds=3), simulators.find()) as stage:
        places = [row.at for row in stage.rows]
        async with running(tmp_path, bed(1, oximeter=f"nonin {places[0]}"), bed(2, oximeter=f"nonin {places[1]}"),
                           stage=stage) as edge:
            await edge.until(lambda: edge.inputs(Samples, "chair-1") > 0 and edge.inputs(Samples, "chair-2") > 0)
            before = edge.inputs(LinkChanged, "chair-1")
            config_of(tmp_path, bed(1, oximeter=f"nonin {places[0]}"), bed(2, oximeter=f"nonin {places[2]}"))
            os.kill(os.getpid(), signal.SIGHUP)
            seen = edge.inputs(Samples, "chair-2")
            await edge.until(lambda: edge.inputs(LinkChanged, "chair-2") >= 4)
            await edge.until(lambda: edge.inputs(Samples, "chair-2") > seen + 1)
            assert edge.inputs(LinkChanged, "chair-1") == before


async def test_a_file_that_is_refused_changes_nothing(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with staged(catalogue(["nonin:tcp"], simulators.find()), simulators.find()) as stage:
        good = bed(1, oximeter=f"nonin {stage.rows[0].at}")
        async with running(tmp_path, good, stage=stage) as edge:
            names = edge.supervisor.names
            (tmp_path / "edge.toml").write_text(HEAD + good + "colour = 1\n")
            assert not await edge.reloader.reload()
            assert "nothing is changed:" in caplog.text
            assert "edge.toml:11: no key 'colour'" in caplog.text
            assert edge.again == ("refused", f"{tmp_path}/edge.toml:11: no key 'colour' in [[bed.device]]; there is:"
                                             " at, driver, id, identity, map, role, settings")
            assert edge.supervisor.names == names


WHAT_ONLY_A_RESTART_TAKES = [
    ('[sounder]\nuse = "alsa"\n' + bed(1), "[sounder]"),
    ("[mqtt]\nurl = \"mqtt://127.0.0.1:1884\"\n" + bed(1), "[mqtt]"),
]


@pytest.mark.parametrize(("text", "said"), WHAT_ONLY_A_RESTART_TAKES)
async def test_what_only_a_restart_takes_is_said_in_the_status(tmp_path: Path, text: str, said: str) -> None:
    async with (staged(catalogue(["nonin:tcp"], simulators.find()), simulators.find()) as stage,
            running(tmp_path, bed(1), stage=stage) as edge):
        assert edge.again is None
        (tmp_path / "edge.toml").write_text(HEAD + text)
        assert await edge.reloader.reload()
        assert edge.again == ("restart", said)
        (tmp_path / "edge.toml").write_text(HEAD + bed(1))
        assert await edge.reloader.reload()
        assert edge.again == ("done", "no device is another")
        (tmp_path / "rules.toml").write_text(FILE.read_text() + "# another\n")
        assert await edge.reloader.reload()
        assert edge.again == ("restart", "the rules or protocols")
        (tmp_path / "rules.toml").write_text(FILE.read_text() + "[[rule]]\n")
        assert not await edge.reloader.reload(), "the next restart would not start"
        assert edge.again is not None
        assert edge.again[0] == "refused"
        assert edge.again[1].startswith(f"{tmp_path}/rules.toml:")


OPEN = CommandIn(
    id="c1", console="main", user="nina", role="nurse", bed="chair-2", verb="start_session",
    args={"protocol": "iv-ketamine-40", "weight_kg": 70, "dose_mg_kg": 0.5, "duration_min": 40,
          "concentration_mg_ml": 1.0, "session": "c0ffee00c0ffee00"}, issued="", expires="", nonce="n1", sig="")


async def test_a_bed_with_an_open_session_is_not_taken_out(tmp_path: Path) -> None:
    async with (staged(catalogue(["nonin:tcp"], simulators.find()), simulators.find()) as stage,
            running(tmp_path, bed(1), bed(2), stage=stage) as edge):
        assert (await edge.service._command(OPEN)).ok
        (tmp_path / "edge.toml").write_text(HEAD + bed(1))
        assert not await edge.reloader.reload()
        assert edge.again == ("refused", f"{tmp_path}/edge.toml: bed 'chair-2' has an open session and is not there"
                                         " any more; write it again, or close the session first")
        (tmp_path / "edge.toml").write_text(HEAD + bed(2))
        assert await edge.reloader.reload(), "nobody is at the other"


@pytest.mark.slow
async def test_a_device_is_added_and_taken_away_and_the_bus_of_another_stays(tmp_path: Path) -> None:
    async with staged(catalogue(["isco:modbus+tcp"], simulators.find(), beds=2), simulators.find()) as stage:
        first, second = (f"isco {row.at}" for row in stage.rows)
        async with running(tmp_path, bed(1, pump=first), bed(2), stage=stage) as edge:
            await edge.until(lambda: edge.inputs(Samples, "chair-1") > 0)
            before, names = edge.inputs(LinkChanged, "chair-1"), edge.supervisor.names
            config_of(tmp_path, bed(1, pump=first), bed(2, pump=second))
            assert await edge.reloader.reload()
            await edge.until(lambda: edge.inputs(Samples, "chair-2") > 0)
            assert set(edge.supervisor.names) == set(names), "the same bus carries both"
            config_of(tmp_path, bed(1, pump=first), bed(2))
            assert await edge.reloader.reload()
            await edge.service._journal.flush()  # what came before is counted
            gone, stay = edge.inputs(Samples, "chair-2"), edge.inputs(Samples, "chair-1")
            await edge.until(lambda: edge.inputs(Samples, "chair-1") > stay + 1)
            assert edge.inputs(Samples, "chair-2") == gone
            assert edge.inputs(LinkChanged, "chair-1") == before
            config_of(tmp_path, bed(1), bed(2))
            assert await edge.reloader.reload()
            assert not [name for name in edge.supervisor.names if name.startswith("bus")]


@pytest.mark.slow
async def test_a_bed_is_opened_and_closed_and_the_other_bed_does_not_notice(tmp_path: Path) -> None:
    async with staged(catalogue(["nonin:tcp"], simulators.find(), beds=2), simulators.find()) as stage:
        first, second = (f"nonin {row.at}" for row in stage.rows)
        async with running(tmp_path, bed(1, oximeter=first), stage=stage) as edge:
            await edge.until(lambda: edge.inputs(Samples, "chair-1") > 0)
            before = edge.inputs(LinkChanged, "chair-1")
            config_of(tmp_path, bed(2, oximeter=second), bed(1, oximeter=first))
            assert await edge.reloader.reload()
            assert edge.again == ("done", "opened chair-2")
            assert edge.service._status().beds == ["chair-2", "chair-1"]
            await edge.until(lambda: edge.inputs(Samples, "chair-2") > 0)
            config_of(tmp_path, bed(1, oximeter=first))
            assert await edge.reloader.reload()
            assert edge.again == ("done", "closed chair-2")
            assert edge.service._status().beds == ["chair-1"]
            await edge.service._journal.flush()  # what came before is counted
            gone, stay = edge.inputs(Samples, "chair-2"), edge.inputs(Samples, "chair-1")
            await edge.until(lambda: edge.inputs(Samples, "chair-1") > stay + 1)
            assert edge.inputs(Samples, "chair-2") == gone
            assert edge.inputs(LinkChanged, "chair-1") == before
            assert not (await edge.service._command(OPEN)).ok, "nobody is there to be treated"


MOVED = [  # before and after, with the ports of two oximeters; what is said
    (({"oximeter": 0}, {"oximeter": 1}), ({"oximeter": 1}, {"oximeter": 0}),
     "changed chair-1/oximeter, changed chair-2/oximeter"),
    (({"oximeter": 0}, {}), ({}, {"oximeter": 0}), "removed chair-1/oximeter, added chair-2/oximeter"),
    (({"oximeter": 0}, {}), ({"finger": 0}, {}), "removed chair-1/oximeter, added chair-1/finger"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after", "said"), MOVED, ids=["two swap ports", "to the other bed", "renamed"])
async def test_a_device_is_moved_and_gives_its_numbers_where_it_is_now(
        tmp_path: Path, before: tuple[dict[str, int], ...], after: tuple[dict[str, int], ...], said: str) -> None:
    async with staged(catalogue(["nonin:tcp"], simulators.find(), beds=3), simulators.find()) as stage:
        ports = [f"nonin {row.at}" for row in stage.rows]

        def beds(asked: tuple[dict[str, int], ...]) -> list[str]:
            moved = [bed(n, **{name: ports[at] for name, at in one.items()}) for n, one in enumerate(asked, 1)]
            return [*moved, bed(3, oximeter=ports[2])]

        async with running(tmp_path, *beds(before), stage=stage) as edge:
            await edge.until(lambda: all(edge.inputs(Samples, f"chair-{n}") for n, one in enumerate(before, 1) if one))
            await edge.until(lambda: edge.inputs(Samples, "chair-3") > 0)
            other = edge.inputs(LinkChanged, "chair-3")
            config_of(tmp_path, *beds(after))
            assert await edge.reloader.reload()
            assert edge.again == ("done", said)
            seen = [edge.inputs(Samples, f"chair-{n}") for n in (1, 2)]
            await edge.until(lambda: all(edge.inputs(Samples, f"chair-{n}") > seen[n - 1]
                                         for n, one in enumerate(after, 1) if one))
            for n, one in enumerate(after, 1):
                assert edge.service._beds[f"chair-{n}"].bedside.state.devices.keys() == one.keys()
            assert edge.inputs(LinkChanged, "chair-3") == other


async def test_a_driver_of_the_clinics_own_that_was_changed_starts_anew_alone(tmp_path: Path) -> None:
    own, head = tmp_path / "own", HEAD + 'drivers = "own"\n'
    own.mkdir()
    text = (Path(drivers.__file__).parent / "nellcor_ascii.py").read_text().replace('"nellcor_ascii"', '"ours"')
    (own / "ours.py").write_text(text)
    places = "ours tcp://127.0.0.1:1", "nonin tcp://127.0.0.1:2"
    async with (staged(catalogue(["nonin:tcp"], simulators.find()), simulators.find()) as stage,
            running(tmp_path, bed(1, oximeter=places[0]), bed(2, oximeter=places[1]), head=head, stage=stage) as edge):
        assert await edge.reloader.reload()
        assert edge.again == ("done", "no device is another")
        (own / "ours.py").write_text(text + "# mended\n")
        assert await edge.reloader.reload()
        assert edge.again == ("done", "changed chair-1/oximeter")
        (own / "ours.py").write_text(text + "import nothing_of_this_name\n")
        assert not await edge.reloader.reload()
        assert edge.again is not None
        assert "own/ours.py:" in edge.again[1]


# --- asked by the command -----------------------------------------------------------------------------------------


async def test_the_command_asks_the_edge_that_runs_and_says_what_came_of_it(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with (staged(catalogue(["nonin:tcp"], simulators.find()), simulators.find()) as stage,
            running(tmp_path, bed(1), stage=stage)):
        config_of(tmp_path, bed(1), bed(2))
        assert await asyncio.to_thread(reload_edge, tmp_path / "edge.toml") == 0
        assert capsys.readouterr().out.splitlines()[1] == "read again: opened chair-2"
        (tmp_path / "edge.toml").write_text(HEAD + bed(1) + "colour = 1\n")
        with pytest.raises(BadUsage, match=r"edge\.toml:\d+: no key 'colour'"):
            await asyncio.to_thread(reload_edge, tmp_path / "edge.toml")


def test_nobody_is_asked_where_no_edge_runs(tmp_path: Path) -> None:
    config_of(tmp_path, bed(1))
    for left_behind in (None, "1\n"):
        if left_behind:
            (tmp_path / "edge.pid").write_text(left_behind)
        with pytest.raises(BadUsage, match="no edge runs on"):
            reload_edge(tmp_path / "edge.toml")
