"""What a service does as a process: what stands once it serves is not looked at for garbage again and again."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.console import run as console_run
from edge.console.settings import Settings
from edge.process import YOUNG, until_stopped

Serve = Callable[[], None]


@pytest.fixture
def collector() -> Iterator[None]:
    kept = gc.get_threshold()
    gc.unfreeze()
    yield
    gc.set_threshold(*kept)
    gc.freeze()


def edge_or_broker(serve: Serve, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    async def work() -> None:
        serve()

    until_stopped("edge", work)


def console(serve: Serve, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    def run(settings: Settings, on_ready: Callable[[str], None]) -> None:
        on_ready("http://127.0.0.1")
        serve()

    monkeypatch.setattr("edge.console.app.run", run)
    (folder / "console.toml").write_text('edge = "e"\ndata = "."\nport = 1\nsimulated = true\n[mqtt]\nurl = "mqtt://x"\n')
    console_run.run_console(folder / "console.toml")


@pytest.mark.slow
@pytest.mark.usefixtures("collector")
@pytest.mark.parametrize("service", [edge_or_broker, console])
def test_a_service_that_serves_keeps_what_stands_for_good(
        service: Callable[[Serve, pytest.MonkeyPatch, Path], None], monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path) -> None:
    seen: list[tuple[bool, int]] = []
    service(lambda: seen.append((gc.get_freeze_count() > YOUNG, gc.get_threshold()[0])), monkeypatch, tmp_path)
    assert seen == [(True, YOUNG)]
