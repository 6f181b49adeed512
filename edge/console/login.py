"""Coming and going: login, logout, and who I am."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from fastapi import APIRouter, Request, Response

from edge.console import accounts, audit, known_screen
from edge.console.accounts import User
from edge.console.auth import (
    HasToken,
    LoggedIn,
    MayChange,
    SameOrigin,
    ThisConsole,
    host_of,
    limiter_of,
    password_turn,
)
from edge.console.errors import Refused
from edge.console.openapi import problems
from edge.console.schemas import Done, Login, Me, Unlock
from edge.console.security import COOKIE
from edge.console.service import Console
from edge.console.store import StoreBroken
from edge.model import Role, iso

router = APIRouter(prefix="/api")


@router.post("/login", responses=problems(400, 401, 403, 413, 422, 429, 503))
async def login(asked: Login, request: Request, response: Response, console: ThisConsole, _: SameOrigin) -> Me:
    """Opens a web session and sets its cookie. 401 for a wrong name or password, 429 after too many of them."""
    settings, access = console.settings, console.access
    screen = known_screen.screen_of(settings.signing_key, asked.name, request.cookies)
    role = await _password_right(asked.name, asked.password, request, console, screen or host_of(request))
    token, csrf = tokens = accounts.new_tokens()
    await access.put(accounts.open_session, asked.name, settings.now(), _length_s(console), tokens)
    await access.note(audit.add, settings.now(), asked.name, "login", **_from(request))
    response.set_cookie(COOKIE, token, max_age=accounts.COOKIE_S, httponly=True, samesite="strict",
                        secure=settings.secure_cookies, path="/")
    if screen is None:
        response.set_cookie(known_screen.cookie_name(asked.name), known_screen.made(settings.signing_key, asked.name),
                            max_age=accounts.COOKIE_S, httponly=True, samesite="strict",
                            secure=settings.secure_cookies, path="/api/login")
    return _me(console, User(asked.name, role, "", csrf, settings.now() + _length_s(console)))


async def _password_right(name: str, password: str, request: Request, console: Console, where: str) -> Role:
    """The role of the account whose password this is. Wrong ones are counted, and turns taken, by `where` it was typed.
    Raises Refused."""
    limiter, key = limiter_of(request), f"{name}|{where}"
    async with password_turn(request, where):
        if not limiter.allow(key, asyncio.get_running_loop().time()):
            raise Refused("too_many_attempts", "too many wrong passwords; wait a minute", headers={"Retry-After": "60"})
        known = await console.access.ask(accounts.account, name)
        right = await asyncio.to_thread(accounts.check_password, known[0] if known else None, password)
    if known is None and console.access.knows_nobody():
        if console.store.broken is not None:
            raise StoreBroken(console.store.broken)
        raise Refused("no_accounts", "nobody can sign in: this console has no accounts")
    if known is None or not right:
        await console.access.note(audit.add, console.settings.now(), name if known else "?", "login refused",
                                  **_from(request))
        raise Refused("wrong_password", "wrong name or password")
    limiter.forget(key)
    return known[1]


def _from(request: Request) -> dict[str, str]:
    """Of a line of the audit: from where somebody came in, or tried to."""
    return {"from": host} if (host := host_of(request)) else {}


def _length_s(console: Console) -> float:
    """How long a session holds that nobody uses, by this console's clock: it lasts as long on a fast one."""
    return console.settings.real(console.settings.lock_after_s)


def _me(console: Console, user: User) -> Me:
    return Me(name=user.name, role=user.role, csrf=user.csrf, expires_at=iso(user.expires_s),
              now=iso(console.settings.now()), lock_after_s=console.settings.lock_after_s, locked=user.locked)


async def _renewed(console: Console, user: User) -> Me:
    until_s = console.settings.now() + _length_s(console)
    await console.access.put(accounts.renew, user.key, until_s)
    return _me(console, replace(user, expires_s=until_s, locked=False))


@router.post("/renew", responses=problems(401, 403, 422, 503))
async def renew(console: ThisConsole, user: MayChange) -> Me:
    """The session is in use: it holds anew from now. 401 where it is locked already."""
    return await _renewed(console, user)


@router.post("/unlock", responses=problems(400, 401, 403, 413, 422, 429, 503))
async def unlock(asked: Unlock, request: Request, console: ThisConsole, user: HasToken) -> Me:
    """The user of a locked session gives the password again, and it holds anew from now."""
    await _password_right(user.name, asked.password, request, console, user.key)
    await console.access.note(audit.add, console.settings.now(), user.name, "unlock", **_from(request))
    return await _renewed(console, user)


@router.post("/logout", responses=problems(401, 403, 422, 503))
async def logout(response: Response, console: ThisConsole, user: HasToken) -> Done:
    """Ends this web session and the pages open under it."""
    await console.access.put(accounts.revoke, user.key)
    await console.access.note(audit.add, console.settings.now(), user.name, "logout")
    console.feed.end_sessions({user.key})
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=console.settings.secure_cookies)
    return Done()


@router.get("/me", responses=problems(401, 503))
async def me(console: ThisConsole, user: LoggedIn) -> Me:
    """Who is logged in, until when, and the CSRF token for what they change."""
    return _me(console, user)
