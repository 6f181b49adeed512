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


_SECRET = f"(?:{'|'.join(SECRETS)})"
_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?=[\s&,;:)]|$)"""
_IN_A_LINE = (
    (re.compile(r"(://[^\s:/?]*):(?!\*\*\*@).*@"), r"\1:***@"),  # to the last @: there may be one in a password
    (re.compile(r"(postgres[\w+]*:/?[^\s:/@]*):(?!/|\*\*\*@).*@", re.IGNORECASE), r"\1:***@"),
    (re.compile(r"([\w.%+-]+):(?!\*\*\*@)[^\s\"'/][^\s\"']*@"), r"\1:***@"),  # where the slashes were forgotten
    (re.compile(rf"\b({_SECRET}\s*=\s*+)(?!\*\*\*)(?:{_QUOTED}|[^&\n]*?(?=&|\s+\w+\s*=|$))",
                re.IGNORECASE | re.MULTILINE), r"\1***"),
)
_QUERY = re.compile(rf"([?&]{_SECRET}=)[^&]*", re.IGNORECASE)
_ADDRESS = re.compile(r"^((?>(?:[a-z][\w+.-]*://|(?:postgres|sqlite)[\w+.-]*:/)?)[^:]*):(?!\*\*\*@[^@]*$).*@",
                      re.IGNORECASE | re.DOTALL)


def masked(text: str) -> str:
    """A line of text without the passwords of the addresses in it: user:***@host, password=***. Where it is not clear
    where a password ends, more is hidden than need be."""
    for found, instead in _IN_A_LINE:
        text = found.sub(instead, text)
    return text


def shown_address(address: str) -> str:
    """What should be an address or a path, and may be anything, as a person may see it: whatever lies between the first
    colon after its scheme and the last @ can be a password."""
    return masked(_ADDRESS.sub(r"\1:***@", _QUERY.sub(r"\1***", address)))


def engine(url: URL, application: str, *, read_only: bool = False, autocommit: bool = False, keeps: bool = False,
           ) -> Engine:
    """`url` through psycopg. `application` is what the server's administrator sees; `keeps` one connection open, for
    one thread, and tries whether it still works before each transaction. Raises NoDriver."""
    if url.drivername not in ("postgresql", "postgresql+psycopg"):
        raise NoDriver(f"no database driver for {url.drivername}://; write postgresql+psycopg://")
    if "@" in f"{url.host}{url.database}" or _QUERY.search(url.password or ""):  # and its errors would show the rest
        raise NoDriver("an @ in a password is written %40, a : %3A, a / %2F")
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
