"""Who may pass: the checks that stand before every route."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, Header, Request
from starlette.requests import HTTPConnection

from edge.console import accounts
from edge.console.accounts import User
from edge.console.errors import Refused
from edge.console.metrics import Metrics
from edge.console.security import COOKIE, Limiter, same_origin
from edge.console.service import Console
from edge.console.turns import TooManyWait, Turns
from edge.contract.accounts import ADMINISTRATOR


def console_of(connection: HTTPConnection) -> Console:
    """The console behind this app."""
    console: Console = connection.app.state.console
    return console


def metrics_of(connection: HTTPConnection) -> Metrics:
    """Its metrics."""
    metrics: Metrics = connection.app.state.metrics
    return metrics


def limiter_of(connection: HTTPConnection) -> Limiter:
    """Its count of failed logins."""
    limiter: Limiter = connection.app.state.limiter
    return limiter


def host_of(connection: HTTPConnection) -> str:
    """From where it comes, as far as the server knows."""
    return connection.client.host if connection.client else ""


@asynccontextmanager
async def password_turn(connection: HTTPConnection, where: str) -> AsyncIterator[None]:
    """Waits for a turn at a password, which costs a core; 429 where too many wait that were typed at `where`."""
    turns: Turns = connection.app.state.hashing
    try:
        async with turns.turn(where):
            yield
    except TooManyWait:
        raise Refused("too_many_attempts", "too many passwords at once; try again in a few seconds",
                      headers={"Retry-After": "5"}) from None


ThisConsole = Annotated[Console, Depends(console_of)]


async def user_of_cookie(connection: HTTPConnection, console: Console) -> User | None:
    """Whose cookie this is; None: nobody's."""
    token = connection.cookies.get(COOKIE)
    if not token or len(token) > 256:
        return None
    settings = console.settings
    return await console.access.ask(accounts.user_of, token, settings.now(), settings.real(accounts.LINGER_S))


async def logged_in(connection: HTTPConnection, console: ThisConsole) -> User:
    """The user, or 401."""
    user = await user_of_cookie(connection, console)
    if user is None:
        raise Refused("not_logged_in", "not logged in")
    return user


def from_our_page(connection: HTTPConnection, console: ThisConsole) -> None:
    """403 for what another site's page sends."""
    if not same_origin(connection.headers, console.settings.origins):
        raise Refused("foreign_page", "the request does not come from this console's page")


async def with_token(
    _: Annotated[None, Depends(from_our_page)],
    user: Annotated[User, Depends(logged_in)],
    x_csrf: Annotated[str, Header(alias="X-CSRF", max_length=256)] = "",
) -> User:
    """The user of a request that our page sends, locked or not; 403 without the session's CSRF token."""
    if not accounts.equal(x_csrf, user.csrf):
        raise Refused("no_token", "the X-CSRF header is missing or wrong; GET /api/me tells it", where="X-CSRF")
    return user


async def may_change(user: Annotated[User, Depends(with_token)]) -> User:
    """The user of a request that changes something; 401 where the session is locked."""
    if user.locked:
        raise Refused("locked", "this screen is locked: its session's time is up")
    return user


async def may_command(request: Request, console: ThisConsole, user: Annotated[User, Depends(may_change)]) -> User:
    """The user of a request that is written down here and at the edge; 429 where they ask faster than people do."""
    loop_s = asyncio.get_running_loop().time()
    if not console.pace.may_ask(user, host_of(request), loop_s, console.settings.now()):
        raise Refused("too_many_commands", headers={"Retry-After": "2"})
    return user


async def watching(user: Annotated[User, Depends(logged_in)]) -> User:
    """The user, or 403 for whoever sees no patient and no device."""
    if user.role == ADMINISTRATOR:
        raise Refused("forbidden", "an administrator sees accounts, and no beds")
    return user


LoggedIn = Annotated[User, Depends(logged_in)]
Watching = Annotated[User, Depends(watching)]
HasToken = Annotated[User, Depends(with_token)]
MayChange = Annotated[User, Depends(may_change)]
MayCommand = Annotated[User, Depends(may_command)]
SameOrigin = Annotated[None, Depends(from_our_page)]
