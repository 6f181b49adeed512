"""The live feed's WebSocket: who may open it, and how a page that does not read is let go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from starlette.responses import PlainTextResponse
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request as Handshake

from edge.console.auth import console_of, user_of_cookie
from edge.console.feed import Page
from edge.console.security import Limiter, same_origin
from edge.console.service import Console
from edge.contract.accounts import ADMINISTRATOR

CLOSE_S = 1.0  # real seconds a page has to take the reason why it is cut
MAX_PAGES = 50  # of one account: a ward's screens, and some
BURST, PER_S = 300.0, 5.0  # messages a page may send: one for each alarm that sounds, and as it comes and goes
GONE = frozenset({1000, 1005, 1006})  # the page ended it itself

router = APIRouter()


class CuttableWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket with a way to drop the connection: a closed one waits for a peer that may never read."""

    def handle_connect(self, event: Handshake) -> None:
        """As uvicorn, then lends the application the transport's abort."""
        super().handle_connect(event)
        if self.handshake_initiated and not self.close_sent:
            self.scope["state"]["abort"] = self.transport.abort


@router.websocket("/live")
async def live(socket: WebSocket) -> None:
    """Hello, every bed, a beat; then all that happens. 403 for another site's page, 401 without a login, 429 for
    an account with MAX_PAGES open."""
    console = console_of(socket)
    if not same_origin(socket.headers, console.settings.origins):
        await socket.send_denial_response(PlainTextResponse("not this console's page", 403))
        return
    user = await user_of_cookie(socket, console)
    if user is None:
        await socket.send_denial_response(PlainTextResponse("not logged in", 401))
        return
    if user.role == ADMINISTRATOR:
        await socket.send_denial_response(PlainTextResponse("an administrator sees accounts, and no beds", 403))
        return
    if console.feed.pages_of(user.name) >= MAX_PAGES:
        await socket.send_denial_response(PlainTextResponse(f"{user.name} has {MAX_PAGES} pages open already", 429))
        return
    await socket.accept()
    page = console.join(user)
    try:
        code = await _serve(socket, console, page)
    finally:
        console.leave(page)
    if code not in GONE:
        await _close(socket, code)


async def _serve(socket: WebSocket, console: Console, page: Page) -> int:
    """Sends to the page and receives from it until it is cut or gone; the close code."""
    async with asyncio.TaskGroup() as tasks:
        both = [tasks.create_task(_feed(socket, page)), tasks.create_task(_receive(socket, console, page))]
        code = await page.ended()
        for task in both:
            task.cancel()
    return code


async def _feed(socket: WebSocket, page: Page) -> None:
    try:
        while (message := await page.next()) is not None:
            await socket.send_text(message)
    except WebSocketDisconnect:
        page.cut(1006)


async def _receive(socket: WebSocket, console: Console, page: Page) -> None:
    loop, pace = asyncio.get_running_loop(), Limiter(BURST, 1 / PER_S)
    while True:
        while not pace.allow("", loop.time()):  # meanwhile nothing is read of it, and nothing kept
            await asyncio.sleep(1 / PER_S)
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            page.cut(1000)
            return
        text = message.get("text")
        if text is None or not await console.receive_from_page(page, text):
            page.cut(1008)
            return


async def _close(socket: WebSocket, code: int) -> None:
    try:
        async with asyncio.timeout(CLOSE_S):
            await socket.close(code)
    except TimeoutError:
        abort: Callable[[], None] | None = socket.scope.get("state", {}).get("abort")
        if abort is not None:
            abort()
    except (WebSocketDisconnect, RuntimeError):
        return  # it went meanwhile
