"""What most tests begin a store with (`helpers/new_tables.py`) is what alembic makes, to the letter, step by step."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from edge import migrating
from edge.console import database
from edge.journal import schema
from tests.helpers import new_tables

Makes = Callable[..., None]


def made(path: Path, makes: Makes, folder: Path) -> tuple[list[str], int]:
    """What stands in the file then, and how many steps were told of."""
    steps: list[int] = []
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        makes(connection, folder, None, lambda: steps.append(1))
    engine.dispose()
    with sqlite3.connect(path) as raw:
        written = [*raw.iterdump()]
    raw.close()
    return written, len(steps)


@pytest.mark.parametrize("maker", [schema, database])
def test_it_is_what_alembic_makes(tmp_path: Path, maker: object) -> None:
    folder: Path = maker.STEPS  # type: ignore[attr-defined]
    made_anew: Makes = maker.upgrade  # type: ignore[attr-defined]
    assert made_anew is not migrating.upgrade, "the tests' own, which conftest.py has put there"
    made(tmp_path / "first.db", made_anew, folder)
    told = made(tmp_path / "again.db", made_anew, folder)
    assert told == made(tmp_path / "alembic.db", migrating.upgrade, folder)
    assert told[1] == len([*(folder / "versions").glob("r*.py")])


def test_steps_of_a_tests_own_are_alembics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(new_tables, "_alembic", lambda _, folder, *more: asked.append(folder))
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        schema.upgrade(connection, tmp_path, None)  # type: ignore[attr-defined]
    engine.dispose()
    assert asked == [tmp_path]
