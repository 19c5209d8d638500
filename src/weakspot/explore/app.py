"""The web application of the explorer: its page, its modules, and one WebSocket for everything else."""

# The decorators of FastAPI register functions that nothing else uses.
# pyright: reportUnusedFunction=false

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from importlib.resources import files
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse

from weakspot.artifacts.run import Run
from weakspot.errors import WeakspotError
from weakspot.explore.access import Access
from weakspot.explore.messages import DECODER
from weakspot.explore.studio import Studio
from weakspot.explore.tab import Tab

LOG = logging.getLogger("weakspot.explore")
TYPES = {".js": "text/javascript", ".css": "text/css"}
POLICY_VIOLATION = 1008
"""Code with which a WebSocket is closed that may not be used."""


def create_app(run: Run, studio: Callable[[], Studio], access: Access, worker: Executor) -> FastAPI:
    """The application.

    Args:
        run: the results.
        studio: what all tabs share; called by the worker, the same object each time.
        access: who may use it.
        worker: one thread, which computes everything and uses the emulators.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    pages = {path.name: path.read_bytes() for path in (files("weakspot.explore") / "static").iterdir() if path.is_file()}

    @app.middleware("http")
    async def guard(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        token = request.query_params.get("token", "")
        if not access.allows(request.headers, request.cookies, token, origin_needed=False):
            return PlainTextResponse("Open the address that `weakspot explore` printed; it contains a token.", 403)
        response = await answer(request)
        if token:
            response.set_cookie(access.cookie, access.token, httponly=True, samesite="strict")
        for name, value in _headers(access, request.url.path).items():
            response.headers[name] = value
        return response

    @app.get("/")
    async def page() -> HTMLResponse:
        return HTMLResponse(pages["index.html"])

    @app.get("/report", response_model=None)
    async def report() -> Response:
        if run.report is None:
            return PlainTextResponse("This run has no report.", 404)
        return FileResponse(run.report.resolve(), media_type="text/html")

    @app.get("/static/{name}")
    async def static(name: str) -> Response:
        suffix = name[name.rfind(".") :]
        if name not in pages or suffix not in TYPES:
            return PlainTextResponse("There is no such file.", 404)
        return Response(pages[name], media_type=TYPES[suffix])

    @app.websocket("/socket")
    async def socket(socket: WebSocket) -> None:
        if not access.allows(socket.headers, socket.cookies, "", origin_needed=True):
            await socket.close(POLICY_VIOLATION)
            return
        await socket.accept()
        loop = asyncio.get_running_loop()
        tab = await loop.run_in_executor(worker, lambda: Tab(studio()))
        try:
            while True:
                text = await socket.receive_text()
                await socket.send_text(await loop.run_in_executor(worker, _answer, tab, text))
        except WebSocketDisconnect:
            pass
        finally:
            await loop.run_in_executor(worker, tab.close)

    return app


def _answer(tab: Tab, text: str) -> str:
    """The answer to a request as JSON: what was asked for, or an error in words."""
    number = 0
    try:
        number = int(msgspec.json.decode(text, type=dict[str, Any]).get("id", 0))
        answer: dict[str, Any] = tab.answer(DECODER.decode(text))
    except WeakspotError as error:
        answer = {"error": {"seen": error.seen, "expected": error.expected, "todo": error.todo}}
    except (msgspec.DecodeError, UnicodeEncodeError, TypeError, ValueError) as error:
        answer = {"error": {"seen": f"a request that is not understood: {error}", "expected": "", "todo": "reload the page"}}
    except Exception:  # a request that fails must not end the tab
        LOG.exception("a request of the explorer failed")
        seen = "the explorer failed; what happened is in the terminal it was started in"
        answer = {"error": {"seen": seen, "expected": "", "todo": "report this as a bug; what was kept is not lost"}}
    return msgspec.json.encode({"id": number, **answer}).decode()


def _headers(access: Access, path: str) -> dict[str, str]:
    """Headers of an answer.  The report contains its script and style, and brings its own policy that allows no others."""
    inline = " 'unsafe-inline'" if path == "/report" else ""
    sockets = " ".join(f"ws://{host}" for host in access.hosts)
    return {
        "Content-Security-Policy": f"default-src 'none'; script-src 'self'{inline}; style-src 'self'{inline}; "
        f"img-src 'self' data:; connect-src {sockets}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
