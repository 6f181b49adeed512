"""Who may pass: the checks that stand before every route."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, HTTPException
from starlette.requests import HTTPConnection

from edge.console import accounts
from edge.console.accounts import User
from edge.console.metrics import Metrics
from edge.console.security import COOKIE, LoginLimiter, same_origin
from edge.console.service import Console


def console_of(connection: HTTPConnection) -> Console:
    """The console behind this app."""
    console: Console = connection.app.state.console
    return console


def metrics_of(connection: HTTPConnection) -> Metrics:
    """Its metrics."""
    metrics: Metrics = connection.app.state.metrics
    return metrics


def limiter_of(connection: HTTPConnection) -> LoginLimiter:
    """Its count of failed logins."""
    limiter: LoginLimiter = connection.app.state.limiter
    return limiter


ThisConsole = Annotated[Console, Depends(console_of)]


async def user_of_cookie(connection: HTTPConnection, console: Console) -> User | None:
    """Whose cookie this is; None: nobody's. Raises StoreBroken."""
    token = connection.cookies.get(COOKIE)
    if not token or len(token) > 256:
        return None
    return await console.store.read(accounts.user_of, token, console.settings.now())


async def logged_in(connection: HTTPConnection, console: ThisConsole) -> User:
    """The user, or 401."""
    user = await user_of_cookie(connection, console)
    if user is None:
        raise HTTPException(401, "not logged in")
    return user


def from_our_page(connection: HTTPConnection, console: ThisConsole) -> None:
    """403 for what another site's page sends."""
    if not same_origin(connection.headers, console.settings.origins):
        raise HTTPException(403, "the request does not come from this console's page")


async def may_change(
    _: Annotated[None, Depends(from_our_page)],
    user: Annotated[User, Depends(logged_in)],
    x_csrf: Annotated[str, Header(alias="X-CSRF", max_length=256)] = "",
) -> User:
    """The user of a request that changes something; 403 without the session's CSRF token."""
    if not accounts.equal(x_csrf, user.csrf):
        raise HTTPException(403, "the X-CSRF header is missing or wrong; GET /api/me tells it")
    return user


LoggedIn = Annotated[User, Depends(logged_in)]
MayChange = Annotated[User, Depends(may_change)]
SameOrigin = Annotated[None, Depends(from_our_page)]
