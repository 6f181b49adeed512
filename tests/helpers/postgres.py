"""A PostgreSQL server of the test's own: data, socket and log in one temporary folder, no TCP.

It refuses to run as root, so there it runs as `postgres`, the account that Debian's package makes.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

CANDIDATES = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda found: int(found.parent.name)),
              *(Path(found).parent for found in [shutil.which("pg_ctl") or ""] if found)]
PASSWORD = "s3cret/of the:clinic@5432"


def _as_whom() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam("postgres")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


@dataclass
class Server:
    """One server. Each `database` of it is empty at first."""

    folder: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def database(self, password: str = PASSWORD) -> str:
        """The address of a new, empty database."""
        name = f"vigil_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name}")
        return self.address(name, password)

    def address(self, name: str, password: str = PASSWORD) -> str:
        return f"postgresql+psycopg://vigil:{quote(password, safe='')}@/{name}?host={self.folder}"

    def sql(self, *statements: str, url: str | None = None) -> list[Any]:
        """As somebody beside Vigil; the rows of the last one."""
        engine = create_engine(url or self.address("postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        rows: list[Any] = []
        with engine.connect() as connection:
            for statement in statements:
                found = connection.exec_driver_sql(statement)
                rows = list(found.all()) if found.returns_rows else []
        return rows

    def start(self) -> None:
        self._ctl("start", "-w", "-l", str(self.folder / "log"), "-o",
                  f"-c listen_addresses= -c unix_socket_directories={self.folder} -c max_connections=40"
                  " -c shared_buffers=4MB -c autovacuum=off -c max_wal_size=64MB -c wal_keep_size=0")

    def stop(self, how: Literal["immediate", "fast"] = "immediate") -> None:
        """`immediate`: as if it was killed; it goes through its recovery at the next start."""
        self._ctl("stop", "-m", how)

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """It is there, and answers nobody."""
        main = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        every = [main, *map(int, children)]
        self._signal(every, signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(every, signal.SIGCONT)

    def _signal(self, every: list[int], number: int) -> None:
        for one in every:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, number)

    def _ctl(self, *args: str) -> None:
        # stdout is the log's, or the server would hold the pipe open for ever
        done = subprocess.run([CANDIDATES[-1] / "pg_ctl", "-D", self.folder / "data", "-s", *args], text=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/", timeout=60, **_as_whom())
        assert done.returncode == 0, done.stderr + (self.folder / "log").read_text()[-2000:]


@contextlib.contextmanager
def postgres() -> Iterator[Server]:
    """A server until the end of the block."""
    assert CANDIDATES, "no PostgreSQL; apt-get install postgresql"
    memory = Path("/dev/shm")  # where a start is 0.1 s; on a disk it is some seconds, as all is synced first
    folder = Path(tempfile.mkdtemp(prefix="vigil-pg-", dir=memory if memory.is_dir() else None))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        # The password is asked for: one that is wrong, or shown, is noticed.
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        subprocess.run([CANDIDATES[-1] / "initdb", "-D", folder / "data", "-U", "vigil", "-A", "scram-sha-256",
                        f"--pwfile={folder / 'password'}", "-E", "UTF8", "--locale=C.UTF-8"], check=True, cwd="/",
                       stdout=subprocess.DEVNULL, **_as_whom())
        server = Server(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One for all tests of a file."""
    with postgres() as server:
        yield server
