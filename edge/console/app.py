"""The console put together: `create_app` for any ASGI server, `serve` for ours."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import uvicorn
from fastapi import FastAPI

from edge.console import administration, api, connections, errors, live, login, pages, simulation
from edge.console.link import Publisher
from edge.console.metrics import Metrics
from edge.console.openapi import add_openapi
from edge.console.security import Limiter, SecurityMiddleware
from edge.console.service import Console, vigil_version
from edge.console.settings import Settings
from edge.console.store import Store, StoreBroken
from edge.console.turns import Turns
from edge.model import STATEMENT

MAX_HASHING = 2  # passwords at once: a flood of logins may not take every core from the alarms
MAX_WAITING = 20  # passwords that wait, of one screen or host: some two seconds' worth

log = logging.getLogger(__name__)


def create_app(settings: Settings, publisher: Publisher | None = None) -> FastAPI:
    """The console as an ASGI app; its lifespan opens the store and keeps the connection to the broker.

    `app.state.console` is the Console once started. A bug in one of its tasks is put in `app.state.crash` and told to
    `app.state.on_crash`, which must end the process. `publisher`: instead of a broker, whose messages are then given to
    `console.edges[edge].receive` by hand.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        console = Console(settings, publisher)
        try:
            await console.load()
            app.state.console = console
            app.state.metrics = Metrics(console)
            async with asyncio.TaskGroup() as tasks:
                working = tasks.create_task(_work(app, console), name="console")
                yield
                working.cancel()
            for ingest in console.edges.values():
                await ingest.store_history()
            with suppress(StoreBroken):  # the screens have said so
                await console.access.catch_up()
        finally:
            console.store.close()

    app = FastAPI(
        title="Vigil console", version=vigil_version(), description=STATEMENT, lifespan=lifespan, docs_url=None,
        redoc_url=None, openapi_url=None)
    app.state.limiter = Limiter()
    app.state.hashing = Turns(MAX_HASHING, MAX_WAITING)
    app.state.crash = None
    app.state.on_crash = lambda: None
    app.include_router(login.router)
    app.include_router(api.router)
    app.include_router(administration.router)
    app.include_router(live.router)
    if settings.simulated and settings.simulators:
        app.include_router(simulation.router)
    pages.add_pages(app)
    errors.add_handlers(app)
    add_openapi(app)
    app.add_middleware(SecurityMiddleware)
    return app


async def _work(app: FastAPI, console: Console) -> None:
    try:
        await console.run()
    except ExceptionGroup as bug:
        log.critical("the console crashed", exc_info=bug)
        console.crashed = "crashed"
        app.state.crash = bug
        app.state.on_crash()


class _Server(uvicorn.Server):
    """uvicorn that ends on SIGTERM and SIGINT like any process that was asked to, with exit code 0."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ours: uvicorn's own raises the signal again at the end, which kills the process."""
        loop = asyncio.get_running_loop()
        asked = (signal.SIGTERM, signal.SIGINT)
        for number in asked:
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in asked:
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        """Ends the server."""
        self.should_exit = True


def server_config(app: FastAPI, proxies: tuple[str, ...] = ()) -> uvicorn.Config:
    """How the app is to be served: a dead page is noticed within ten seconds, and no request is logged. Of `proxies`
    alone it is believed for whom they ask: uvicorn by itself believes every program on this machine. Its log has errors
    alone: a line for each request that is none, or WebSocket that is refused, lets anybody fill it."""
    return uvicorn.Config(
        app, http=connections.BoundedHttp, ws=live.CuttableWebSocket, lifespan="on", log_config=None,
        log_level=logging.ERROR, access_log=False, server_header=False, proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies), ws_max_size=16_384,
        ws_ping_interval=5.0, ws_ping_timeout=5.0, ws_per_message_deflate=False, timeout_graceful_shutdown=3)


def listening_at(host: str, port: int = 0) -> socket.socket:
    """A socket that listens at that IP address, on a free port where `port` is 0. Raises OSError.

    Each part of an answer leaves at once. asyncio sees to that only where it made the socket itself: a body waited
    40 ms for the acknowledgement of its head.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=256)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


async def serve(settings: Settings, on_ready: Callable[[str], None] | None = None) -> None:
    """Runs the console until SIGTERM or SIGINT. `on_ready` is told its address once it answers.

    Raises OSError where the address is taken, SchemaTooNew or sqlalchemy.exc.DBAPIError where the store does not open,
    and the ExceptionGroup of a bug of ours, so that the process ends and is started again.
    """
    # What is wrong with the store is told before anything starts.
    Store(settings.database, serves=settings.now, accounts=settings.account_copy).close()
    listener = listening_at(settings.host, settings.port)
    app = create_app(settings)
    server = _Server(server_config(app, settings.proxies))
    app.state.on_crash = server.stop
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_announce(server, listener, on_ready or _ignore))
        await server.serve(sockets=[listener])
    if app.state.crash is not None:
        raise app.state.crash


async def _announce(server: _Server, listener: socket.socket, on_ready: Callable[[str], None]) -> None:
    host, port = listener.getsockname()[:2]
    while not server.started:
        if server.should_exit:
            return
        await asyncio.sleep(0.01)
    on_ready(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")


def _ignore(_: str) -> None:
    return


def run(settings: Settings, on_ready: Callable[[str], None] | None = None) -> None:
    """`serve` on uvloop, for a process of its own. Raises as `serve`."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, on_ready))
