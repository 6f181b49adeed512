"""How the console's SQLite file is opened: one connection, whole transactions, brought to the newest schema."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool

HEAD = "0002"  # the newest step in migrations/versions
OF_0_1_0 = "0001"  # what a file of 0.1.0 is at, though it does not say so
USER_VERSION = 2  # 0.1.0 refuses a file with a higher one than its own 1


class SchemaTooNew(RuntimeError):
    """The file was written by a later version."""


def open_engine(path: Path) -> Engine:
    """The engine of the one connection that ever writes to `path`; makes folder and tables, brings older files along.

    One connection alone: SQLite before 3.51.3 can corrupt a WAL that two connections write and checkpoint
    (sqlite.org/wal.html, "The WAL-reset bug"). FULL: at NORMAL a power cut takes committed events with it.
    Raises SchemaTooNew, sqlalchemy.exc.DBAPIError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # sqlite3 would leave CREATE and DROP outside of transactions
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    with ExitStack() as undo:
        undo.callback(engine.dispose)
        with engine.begin() as connection:
            migrate(connection, path)
        undo.pop_all()
    path.chmod(0o600)
    return engine


def probe(connection: Connection) -> None:
    """Writes what is there already. Raises sqlalchemy.exc.DBAPIError where nothing can be written."""
    connection.exec_driver_sql(f"PRAGMA user_version = {USER_VERSION}")


def migrate(connection: Connection, path: Path) -> None:
    """Brings the file to HEAD inside the caller's transaction: killed half-way, it is what it was. Raises SchemaTooNew.

    A new file walks the same steps from nothing.
    """
    found = _revision(connection)
    if found == HEAD:
        return
    from alembic import command  # a third of a second, and only on the first start of a version
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise SchemaTooNew(f"{path}: written by a later version of Vigil (schema {found}; this one knows {HEAD});"
                           " start that version, or give this one another data folder")
    if found == OF_0_1_0 and not inspect(connection).has_table("alembic_version"):
        command.stamp(config, OF_0_1_0)
    command.upgrade(config, HEAD)
    connection.exec_driver_sql(f"PRAGMA user_version = {USER_VERSION}")


def _revision(connection: Connection) -> str | None:
    """The step the file is at; None: an empty file."""
    if inspect(connection).has_table("alembic_version"):
        found: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        return found
    version: int = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if version > 1:
        return f"user_version {version}"
    return OF_0_1_0 if inspect(connection).has_table("accounts") else None
