"""Coming and going: login, logout, and who I am."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, HTTPException, Request, Response

from edge.console import accounts, audit
from edge.console.auth import LoggedIn, MayChange, SameOrigin, ThisConsole, limiter_of
from edge.console.schemas import Done, Login, Me, Problem
from edge.console.security import COOKIE

router = APIRouter(prefix="/api", responses={401: {"model": Problem}, 403: {"model": Problem}})


@router.post("/login", responses={429: {"model": Problem}})
async def login(asked: Login, request: Request, response: Response, console: ThisConsole, _: SameOrigin) -> Me:
    """Opens a web session and sets its cookie. 401 for a wrong name or password, 429 after too many of them."""
    settings, store = console.settings, console.store
    limiter = limiter_of(request)
    key = f"{asked.name}|{request.client.host if request.client else ''}"
    if not limiter.allow(key, asyncio.get_running_loop().time()):
        raise HTTPException(429, "too many wrong passwords; wait a minute", {"Retry-After": "60"})
    known = await store.read(accounts.account, asked.name)
    async with request.app.state.hashing:
        right = await asyncio.to_thread(accounts.check_password, known[0] if known else None, asked.password)
    now_s = settings.now()
    if known is None or not right:
        await store.run(audit.add, now_s, asked.name if known else "?", "login refused")
        raise HTTPException(401, "wrong name or password")
    limiter.forget(key)
    length_s = accounts.SESSION_S * settings.speed  # in edge time, so that the shift lasts as long on a fast clock
    token, csrf = await store.run(accounts.open_session, asked.name, now_s, length_s)
    await store.run(audit.add, now_s, asked.name, "login")
    response.set_cookie(COOKIE, token, max_age=int(accounts.SESSION_S), httponly=True, samesite="strict",
                        secure=settings.secure_cookies, path="/")
    return Me(name=asked.name, role=known[1], csrf=csrf)


@router.post("/logout")
async def logout(response: Response, console: ThisConsole, user: MayChange) -> Done:
    """Ends this web session and the pages open under it."""
    await console.store.run(accounts.revoke, user.key)
    await console.store.run(audit.add, console.settings.now(), user.name, "logout")
    console.feed.end_sessions({user.key})
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=console.settings.secure_cookies)
    return Done()


@router.get("/me")
async def me(user: LoggedIn) -> Me:
    """Who is logged in, and the CSRF token for what they change."""
    return Me(name=user.name, role=user.role, csrf=user.csrf)
