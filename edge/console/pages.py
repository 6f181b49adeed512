"""The built page: its one HTML file at every address a person may open, its assets for a year."""

from __future__ import annotations

import mimetypes
from os import PathLike, stat_result
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from starlette.datastructures import Headers
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

STATIC = Path(__file__).parent / "static"
NOT_BUILT = ("The console works, but its page is not built.\n"
             "Build it with: python edge/console/web/build_page.py\n")


def build(static: Path = STATIC) -> str:
    """Names the page that is served now: it changes with the page's source. "": it is not built."""
    stamp = static / ".stamp"
    return stamp.read_text().strip() if stamp.is_file() else ""


class Assets(StaticFiles):
    """Files whose names carry a hash of what is in them: a browser may keep them."""

    async def check_config(self) -> None:
        """Nothing: a page that is not built yet has no folder, and its files are simply not there."""

    def file_response(self, full_path: str | PathLike[str], stat_result: stat_result, scope: Scope,
                      status_code: int = 200) -> Response:
        """As StaticFiles, cached for a year, and packed for a browser that takes it."""
        response = packed(Path(full_path), scope) or super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def packed(path: Path, scope: Scope) -> FileResponse | None:
    """`path` as the build packed it beside itself; None where the browser does not take gzip or there is none."""
    zipped = path.with_name(f"{path.name}.gz")
    if "gzip" not in Headers(scope=scope).get("accept-encoding", "") or not zipped.is_file():
        return None
    return FileResponse(zipped, media_type=mimetypes.guess_type(path.name)[0],
                        headers={"Content-Encoding": "gzip", "Vary": "Accept-Encoding"})


def add_pages(app: FastAPI, static: Path = STATIC) -> None:
    """Serves the page built into `static`; a plain word on how to build it where it is missing."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    @router.get("/login")
    @router.get("/devices")
    @router.get("/simulation")
    @router.get("/ward/{edge}")
    @router.get("/bed/{bed}")
    @router.get("/bed/{edge}/{bed}")
    async def page(request: Request, edge: str | None = None, bed: str | None = None) -> Response:
        index = static / "index.html"
        if not index.is_file():
            return PlainTextResponse(NOT_BUILT, 503)
        response = packed(index, request.scope) or FileResponse(index, media_type="text/html")
        response.headers["Cache-Control"] = "no-cache"
        return response

    app.include_router(router)
    app.mount("/assets", Assets(directory=static / "assets", check_dir=False), name="assets")
