"""What an administrator does: accounts are made, disabled and given new passwords, each change with its audit line in
one transaction; and the audit is read. Nothing here is clinical.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy import Connection, select

from edge.console import accounts, audit
from edge.console.accounts import User
from edge.console.auth import LoggedIn, MayChange, ThisConsole, password_turn
from edge.console.errors import Refused
from edge.console.openapi import problems
from edge.console.schemas import AccountNamed, AccountNow, Audit, AuditLine, Done, NewAccount, NewPassword
from edge.console.service import Console
from edge.console.tables import audit as lines
from edge.console.upsert import AUDIT, alone
from edge.contract.accounts import ADMINISTRATOR, name_objection, password_objection
from edge.contract.events import GENESIS
from edge.model import Role, iso

router = APIRouter(prefix="/api")
CHANGE = problems(400, 401, 403, 404, 409, 413, 422, 429, 503)


class NotChanged(ValueError):
    """An account cannot be changed so; the message is the kind of a problem and a line."""


# --- in the store -----------------------------------------------------------------------------------------------------


def make(connection: Connection, by: str, at_s: float, name: str, role: Role, hashed: str) -> None:
    """A new account. Raises NotChanged."""
    alone(connection, AUDIT, "audit")  # one change at a time, at whichever console
    if accounts.account(connection, name) is not None:
        raise NotChanged("account_exists", f"there is an account {name} already")
    accounts.put_account(connection, name, hashed, role, at_s)
    audit.add(connection, at_s, by, "account made", account=name, role=role)


def disable(connection: Connection, by: str, at_s: float, name: str) -> None:
    """Nobody comes in under this name any more, and whoever is in is out. Raises NotChanged."""
    alone(connection, AUDIT, "audit")
    hashed, role = _known(connection, name)
    if accounts.is_disabled(hashed):
        raise NotChanged("account_disabled", f"the account {name} is disabled already")
    if role == ADMINISTRATOR and accounts.administrators(connection) == {name}:
        raise NotChanged("last_administrator", f"{name} is the last administrator")
    accounts.put_account(connection, name, accounts.DISABLED + hashed, role, at_s)
    audit.add(connection, at_s, by, "account disabled", account=name, role=role)


def set_password(connection: Connection, by: str, at_s: float, name: str, hashed: str) -> None:
    """A new password, which also lets a disabled account in again; whoever is in under it is out. Raises NotChanged."""
    alone(connection, AUDIT, "audit")
    was, role = _known(connection, name)
    accounts.put_account(connection, name, hashed, role, at_s)
    again = " and enabled" if accounts.is_disabled(was) else ""
    audit.add(connection, at_s, by, f"account given a new password{again}", account=name, role=role)


def _known(connection: Connection, name: str) -> tuple[str, Role]:
    known = accounts.account(connection, name)
    if known is None:
        raise NotChanged("no_such_account", f"there is no account {name[:64]!r}")
    return known


def newest(connection: Connection, before: int | None, limit: int) -> Audit:
    """The last lines below number `before`, newest first, each checked against the one before it."""
    found = select(lines).order_by(lines.c.n.desc()).limit(limit + 1)
    rows = connection.execute(found if before is None else found.where(lines.c.n < before)).all()
    told: list[AuditLine] = []
    broken = None
    for row, older in zip(rows, [*rows[1:], None][:len(rows)], strict=True):
        if len(told) == limit:
            break
        n, prev = (older.n + 1, older.hash) if older is not None else (1, GENESIS)
        try:
            line = audit.checked(row, n, prev)
        except audit.Broken as fault:
            broken = str(fault)
            break
        told.append(AuditLine(n=line.n, at=iso(line.at_s), user=line.user, what=line.what, edge=line.edge, bed=line.bed,
                              detail=line.detail))
    return Audit(lines=told, broken=broken)


# --- over HTTP --------------------------------------------------------------------------------------------------------


def administrator(user: LoggedIn) -> User:
    """The user, or 403 for any other role."""
    if user.role != ADMINISTRATOR:
        raise Refused("forbidden", "accounts are an administrator's")
    return user


def may_administrate(user: MayChange) -> User:
    """The same of a request that changes something."""
    return administrator(user)


Administrator = Annotated[User, Depends(administrator)]
MayAdministrate = Annotated[User, Depends(may_administrate)]


@router.get("/accounts", responses=problems(401, 403, 503))
async def all_accounts(console: ThisConsole, user: Administrator) -> list[AccountNow]:
    """Every account by name. For an administrator."""
    return [AccountNow(name=name, role=role, disabled=accounts.is_disabled(hashed), made_at=iso(made_at_s))
            for name, role, hashed, made_at_s in await console.store.read(accounts.everybody)]


@router.post("/accounts/add", responses=CHANGE)
async def add(asked: NewAccount, request: Request, console: ThisConsole, user: MayAdministrate) -> Done:
    """Makes an account. For an administrator; 409 where there is one of that name."""
    if (wrong := name_objection(asked.name)) is not None:
        raise Refused("bad_request", wrong, where="name")
    return await _change(console, make, user.name, asked.name, asked.role, await _hashed(request, user, asked.password))


@router.post("/accounts/disable", responses=CHANGE)
async def end(asked: AccountNamed, console: ThisConsole, user: MayAdministrate) -> Done:
    """Disables an account and ends its web sessions. For an administrator; 409 for the last one."""
    return await _change(console, disable, user.name, asked.name)


@router.post("/accounts/password", responses=CHANGE)
async def password(asked: NewPassword, request: Request, console: ThisConsole, user: MayAdministrate) -> Done:
    """Gives an account a new password, enables it if it was disabled, and ends its web sessions. For an
    administrator."""
    return await _change(console, set_password, user.name, asked.name, await _hashed(request, user, asked.password))


@router.get("/audit", responses=problems(401, 403, 422, 503))
async def read_audit(
    console: ThisConsole, user: Administrator, before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Audit:
    """Who did what through this console: the last `limit` lines, those below number `before`, newest first. For an
    administrator. `broken`: the line at which the chain does not hold; what is older is not told."""
    return await console.store.read(newest, before, limit)


async def _hashed(request: Request, by: User, password: str) -> str:
    if (wrong := password_objection(password)) is not None:
        raise Refused("bad_request", wrong, where="password")
    async with password_turn(request, by.key):
        return await asyncio.to_thread(accounts.hash_password, password)


async def _change(console: Console, change: Callable[..., None], by: str, name: str, *more: Any) -> Done:
    try:
        await console.store.run(change, by, console.settings.now(), name, *more)
    except NotChanged as refused:
        kind, words = refused.args
        raise Refused(kind, words, where="name") from None
    await console.access.look()  # memory and the copy have it, too, before it is called done
    await console.end_sessions()
    return Done()
