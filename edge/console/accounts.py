"""Who may come in: accounts with argon2 hashes, and web sessions that the server can revoke."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select, update

from edge.console import account_copy, audit, sums
from edge.console.store import Store
from edge.console.tables import accounts, web_sessions
from edge.console.upsert import insert
from edge.contract.accounts import ADMINISTRATOR, ROLES, name_objection
from edge.model import Role

LINGER_S = 15 * 60.0  # real seconds a session whose time is up stays locked after its page was last on the live feed
DISABLED = "!"  # before the hash of an account that nobody may use: no password has such a hash
COOKIE_S = 30 * 86400  # real seconds a browser keeps the cookie: when a session ends the server says


@dataclass(frozen=True, slots=True)
class User:
    """A person as a request knows them. `key` names the web session, no secret; `csrf` must come back in a header.

    `locked`: the session's time is up while its page watches. It goes on showing and sounding, and changes nothing
    until its owner gives the password again.
    """

    name: str
    role: Role
    key: str
    csrf: str
    expires_s: float
    locked: bool = False


@cache
def _hasher() -> PasswordHash:
    return PasswordHash.recommended()


@cache
def _dummy_hash() -> str:
    return _hasher().hash(secrets.token_hex(16))


def hash_password(password: str) -> str:
    """The argon2 hash of `password`. Takes about 0.1 s: never on the event loop."""
    return _hasher().hash(password)


def is_disabled(hashed: str | None) -> bool:
    """Whether an account with this hash is disabled."""
    return hashed is not None and hashed.startswith(DISABLED)


def check_password(stored: str | None, password: str) -> bool:
    """Whether `password` is the one. An unknown name (None) takes as long as a known one. Never on the event loop."""
    if is_disabled(stored):
        stored = None
    try:
        right = _hasher().verify(password, stored or _dummy_hash())
    except UnknownHashError:
        return False
    return right and stored is not None


def account(connection: Connection, name: str) -> tuple[str, Role] | None:
    """The hash and role of `name`, or None."""
    row = connection.execute(select(accounts).where(accounts.c.name == name)).mappings().one_or_none()
    return (row["hash"], cast(Role, row["role"])) if row is not None and sums.is_sound(accounts, row) else None


def put_account(connection: Connection, name: str, hashed: str, role: Role, at_s: float) -> None:
    """Makes or replaces the account, and ends the web sessions it had."""
    values = sums.summed(accounts, {"name": name, "role": role, "hash": hashed, "made_at_s": at_s})
    row = insert(connection, accounts).values(**values)
    connection.execute(row.on_conflict_do_update(index_elements=["name"], set_={
        "role": role, "hash": hashed, "sum": values["sum"]}))
    connection.execute(update(web_sessions).where(web_sessions.c.name == name).values(revoked=True))


def _key(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def new_tokens() -> tuple[str, str]:
    """For a new web session: its cookie token, and its CSRF token."""
    return secrets.token_urlsafe(32), secrets.token_urlsafe(24)


def open_session(
    connection: Connection, name: str, now_s: float, length_s: float, tokens: tuple[str, str] | None = None,
) -> tuple[str, str]:
    """A new web session, under `tokens` if they are made already: of the first only the hash is stored."""
    token, csrf = tokens or new_tokens()
    over = and_(web_sessions.c.expires_s < now_s, web_sessions.c.seen_s < now_s - length_s)
    connection.execute(delete(web_sessions).where(over))
    connection.execute(insert(connection, web_sessions).values(
        token_hash=_key(token), name=name, csrf=csrf, made_at_s=now_s, expires_s=now_s + length_s, revoked=False,
    ).on_conflict_do_nothing())
    return token, csrf


def _holds(now_s: float, linger_s: float) -> ColumnElement[bool]:
    """The condition under which a session holds: in its time, or locked while its page is on the live feed."""
    in_time = or_(web_sessions.c.expires_s > now_s, web_sessions.c.seen_s > now_s - linger_s)
    return and_(web_sessions.c.revoked.is_(False), in_time)


def user_of(connection: Connection, token: str, now_s: float, linger_s: float = LINGER_S) -> User | None:
    """Whose session `token` is, with the role the account has now; None where it is unknown, over or revoked.

    Times are this console's, so `linger_s` is LINGER_S times its clock's speed.
    """
    found = select(web_sessions.c.token_hash, web_sessions.c.name, web_sessions.c.csrf, web_sessions.c.expires_s,
                   accounts.c.role, accounts.c.hash, accounts.c.sum)
    row = connection.execute(found.join(accounts, accounts.c.name == web_sessions.c.name).where(
        web_sessions.c.token_hash == _key(token), _holds(now_s, linger_s))).mappings().one_or_none()
    if row is None or not sums.is_sound(accounts, row) or is_disabled(row["hash"]):
        return None
    expires_s = row["expires_s"]
    return User(row["name"], cast(Role, row["role"]), row["token_hash"], row["csrf"], expires_s, expires_s <= now_s)


def revoke(connection: Connection, key: str) -> None:
    """Ends one web session."""
    connection.execute(update(web_sessions).where(web_sessions.c.token_hash == key).values(revoked=True))


def renew(connection: Connection, key: str, until_s: float) -> None:
    """The session holds until then: it is in use, or its owner gave the password again."""
    connection.execute(update(web_sessions).where(web_sessions.c.token_hash == key).values(expires_s=until_s))


def seen(connection: Connection, keys: set[str], now_s: float) -> None:
    """Pages of these sessions are on the live feed now."""
    connection.execute(update(web_sessions).where(web_sessions.c.token_hash.in_(keys)).values(seen_s=now_s))


def valid_sessions(connection: Connection, keys: set[str], now_s: float, linger_s: float = LINGER_S) -> set[str]:
    """Which of these sessions still hold."""
    found = select(web_sessions.c.token_hash).where(web_sessions.c.token_hash.in_(keys), _holds(now_s, linger_s))
    return set(connection.execute(found).scalars())


def equal(given: str, expected: str) -> bool:
    """Compared in constant time."""
    return hmac.compare_digest(given.encode(), expected.encode())


def everybody(connection: Connection) -> list[tuple[str, Role, str, float]]:
    """All accounts by name: role, hash, and when each was made."""
    found = select(accounts.c.name, accounts.c.role, accounts.c.hash, accounts.c.made_at_s).order_by(accounts.c.name)
    return [(row.name, cast(Role, row.role), row.hash, row.made_at_s) for row in connection.execute(found)]


def users(connection: Connection) -> list[tuple[str, Role]]:
    """All accounts that can come in, by name."""
    return [(name, role) for name, role, hashed, _ in everybody(connection) if not is_disabled(hashed)]


def administrators(connection: Connection) -> set[str]:
    """The names of those who can manage accounts."""
    return {name for name, role in users(connection) if role == ADMINISTRATOR}


def count(connection: Connection) -> int:
    """How many accounts there are; 0: first start."""
    return connection.execute(select(func.count()).select_from(accounts)).scalar_one()


def _put_by(connection: Connection, by: str, name: str, hashed: str, role: Role, at_s: float) -> None:
    was = account(connection, name)
    again = " and enabled" if was is not None and is_disabled(was[0]) else ""
    what = "account made" if was is None else f"account given a new password{again}"
    put_account(connection, name, hashed, role, at_s)
    if by:
        audit.add(connection, at_s, by, what, account=name, role=role)


def ensure_user(database: Path | str, name: str, password: str, role: Role, at_s: float, by: str = "") -> bool:
    """For the command line: `name` can log in with `password` as `role` afterwards. True where that changed anything.
    `by`: who says so, for the audit; without it there is no line.

    `database` is `Settings.database`; a console may have it open. Raises ValueError for a role or
    name that is none, and for the last administrator, who stays one; OSError where the copy of the accounts cannot be
    written.
    """
    if role not in ROLES:
        raise ValueError(f"no role {role!r}: write one of {', '.join(ROLES)}")
    if (wrong := name_objection(name)) is not None:
        raise ValueError(wrong)
    with opened(database) as store:
        known = store.now(account, name)
        if known is not None and known[1] == role and check_password(known[0], password):
            return False
        if role != ADMINISTRATOR and store.now(administrators) == {name}:
            raise ValueError(f"{name} is the last administrator; make another one first")
        change_now(store, database, _put_by, by, name, hash_password(password), role, at_s)
        return True


def role_of(database: Path | str, name: str) -> Role | None:
    """For the command line: the role of this account; None where there is none."""
    with opened(database) as store:
        known = store.now(account, name)
    return None if known is None else known[1]


def change_now(store: Store, database: Path | str, change: Callable[..., None], *args: Any) -> None:
    """For the command line: changes accounts, and their copy beside the file. Raises OSError where that cannot be
    written, and what `change` raises."""
    store.now(change, *args)
    if isinstance(database, Path):
        account_copy.write(account_copy.beside(database), store.now(account_copy.rows_of))


@contextmanager
def opened(database: Path | str) -> Iterator[Store]:
    """For the command line: the store, which a console may have open, too."""
    store = Store(database)
    try:
        yield store
    finally:
        store.close()
