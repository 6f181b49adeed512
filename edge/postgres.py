"""What the stores ask of a PostgreSQL server, and how an address is shown: never with what opens the door.

Every connection says how long it waits, and tells the server to forget a client that is gone: a session that nobody
ends holds its locks. What is confirmed is on the server's disk (synchronous_commit), whatever the server's own default.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine
from sqlalchemy.exc import NoSuchModuleError
from sqlalchemy.pool import NullPool

CONNECT_S = 3  # libpq takes two seconds or more
STATEMENT_MS = 8_000  # the caller knows earlier, by its own clock, that the server does not answer
LOCK_MS = 2_000
GONE_MS = 8_000  # an end of the connection that acknowledges nothing for so long is gone
SECRETS = ("password", "sslpassword", "passphrase")

# What each session is set to. The first group frees the locks of a client that is gone.
SESSION: Mapping[str, str | int] = {
    "tcp_keepalives_idle": 4, "tcp_keepalives_interval": 2, "tcp_keepalives_count": 2, "tcp_user_timeout": GONE_MS,
    "client_connection_check_interval": 1_000, "idle_in_transaction_session_timeout": STATEMENT_MS,
    "statement_timeout": STATEMENT_MS, "lock_timeout": LOCK_MS,
    "synchronous_commit": "on", "timezone": "UTC",
}
# Who only reads may take his time, and changes nothing.
READING: Mapping[str, str | int] = {
    "idle_in_transaction_session_timeout": 0, "statement_timeout": 0, "default_transaction_read_only": "on"}


class NoDriver(Exception):
    """There is no way to this database from here; one line that says what to write or install."""


def masked(text: str) -> str:
    """`text`, an address or a line with some, without passwords: user:***@host, password=***."""
    text = re.sub(r"(://[^\s:/@\"']*):[^\s\"']*@", r"\1:***@", text)
    text = re.sub(r"([\w.%+-]+):[^\s\"'/][^\s\"']*@", r"\1:***@", text)  # where the slashes were forgotten
    return re.sub(rf"\b({'|'.join(SECRETS)})=[^&\s\"']*", r"\1=***", text, flags=re.IGNORECASE)


def shown(url: URL) -> str:
    """The address as a person may see it."""
    return masked(url.render_as_string(hide_password=True))


def engine(url: URL, application: str, *, read_only: bool = False, autocommit: bool = False, keeps: bool = False,
           ) -> Engine:
    """`url` through psycopg. `application` is what the server's administrator sees; `keeps` one connection open, for
    one thread, and tries whether it still works before each transaction. Raises NoDriver."""
    if url.drivername not in ("postgresql", "postgresql+psycopg"):
        raise NoDriver(f"no database driver for {url.drivername}://; write postgresql+psycopg://")
    settings = {**SESSION, **(READING if read_only else {})}
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    theirs = url.query.get("options", "")
    told = {
        "connect_timeout": CONNECT_S, "keepalives": 1, "keepalives_idle": 4, "keepalives_interval": 2,
        "keepalives_count": 2, "tcp_user_timeout": GONE_MS, "application_name": application,
        "client_encoding": "utf8", "options": f"{theirs if isinstance(theirs, str) else ' '.join(theirs)} {options}",
    }
    how: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"} if autocommit else {}
    how |= {"pool_size": 1, "max_overflow": 0, "pool_pre_ping": True} if keeps else {"poolclass": NullPool}
    try:
        return create_engine(url, connect_args=told, **how)
    except (NoSuchModuleError, ModuleNotFoundError) as fault:
        raise NoDriver(f"no database driver, {fault}; pip install 'vigil[postgres]'") from fault


def one_moment(connection: Connection) -> None:
    """All that this transaction, which has just begun, reads is of one moment."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


def hang_up(connection: Connection | None) -> None:
    """Cut the line to the server from another thread than the one that waits at it, which gets an error."""
    driver = None if connection is None or connection.closed else connection.connection.driver_connection
    if driver is None or driver.closed:
        return
    with socket.socket(fileno=os.dup(driver.fileno())) as line:
        try:
            line.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it ended in between
