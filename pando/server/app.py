"""The server's pages, as a Quart-Trio app on Hypercorn, one connection at a time.

This module is slow to import: it is loaded when the first page is asked for.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar

from hypercorn.config import Config
from hypercorn.typing import AppWrapper
from hypercorn.utils import wrap_app
from quart import Response, request
from quart_trio import QuartTrio

from ..net.listener import PageStream
from ..net.relayed.own_links import find_own_link
from ..net.relayed.proof import ROOM
from ..net.request_policy import RequestHead, RequestPolicy
from ..web import frontend_files
from ..web.app import PAGE_POLICY, add_files, make_sandbox
from ..web.connection import serve_connection
from ..web.downloads import Downloads
from ..web.frontend_files import TYPES
from .home import HOME_SCRIPT, STYLE, render_home
from .policy import is_local

HTML, TEXT = "text/html; charset=utf-8", "text/plain; charset=utf-8"
INCOMPLETE = "This link is not complete.\n"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_is_own_user: ContextVar[bool] = ContextVar("is_own_user", default=False)


class ServerPages:
    """Serves the pages of a server.

    Args:
        policy: checks each request, also those after the first on a connection.
        rooms: gives the names of the rooms.
        metrics: gives the figures, in Prometheus' format.
    """

    def __init__(
        self, policy: RequestPolicy, rooms: Callable[[], Sequence[str]], metrics: Callable[[], str]
    ) -> None:
        config = Config()
        config.h11_max_incomplete_size = 16 * 1024
        config.include_server_header = False
        config.keep_alive_timeout = 30
        logging.getLogger("hypercorn.error").setLevel(logging.CRITICAL)
        app = create_app(policy, rooms, metrics)
        self._config = config
        self._wrapped: AppWrapper = wrap_app(app, config.wsgi_max_body_size, "asgi")

    async def serve(self, stream: PageStream, *, is_own_user: bool) -> None:
        """Serve one connection until it ends.

        Args:
            stream: the connection.
            is_own_user: whether a process of this very user is at its other end.
        """
        token = _is_own_user.set(is_own_user)
        try:
            await serve_connection(self._wrapped, self._config, stream)
        finally:
            _is_own_user.reset(token)


def create_app(
    policy: RequestPolicy, rooms: Callable[[], Sequence[str]], metrics: Callable[[], str]
) -> QuartTrio:
    """The app with its routes."""
    app = QuartTrio("pando.server", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 64 * 1024

    @app.before_request
    async def check_request() -> Response | None:
        head = RequestHead(
            request.method,
            request.path,
            request.headers.get("Host", ""),
            request.headers.get("Origin"),
            request.headers.get("Upgrade", "").lower(),
        )
        refusal = policy.check(head)
        if refusal is None:
            return None
        return Response(f"{refusal.reason}\n", refusal.status, content_type=TEXT)

    @app.after_request
    async def add_headers(response: Response) -> Response:
        if request.path.startswith("/r/"):  # also of programs: a worker's rights are its file's
            response.headers.setdefault("Content-Security-Policy", PAGE_POLICY)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.get("/")
    async def home() -> Response:
        own = []
        if _is_for_own_user():
            own = [(room, find_own_link(room)) for room in rooms()]
        if len(own) == 1 and own[0][1]:
            return Response("", 302, {"Location": "/r/{}#{}".format(*own[0])})
        return Response(render_home(own), content_type=HTML)

    @app.get("/home.js")
    async def home_script() -> Response:
        return Response(HOME_SCRIPT, content_type="text/javascript; charset=utf-8")

    @app.get("/home.css")
    async def home_style() -> Response:
        return Response(STYLE, content_type="text/css; charset=utf-8")

    @app.get("/healthz")
    async def health() -> Response:
        return Response("ok\n", content_type=TEXT)

    @app.get("/metrics")
    async def show_metrics() -> Response:
        return Response(metrics(), content_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/r/<room>")
    async def volunteer_page(room: str) -> Response:
        if not ROOM.fullmatch(room):
            return Response(INCOMPLETE, 404, content_type=TEXT)
        page = frontend_files.read_text("index.html")
        return Response(page, content_type=HTML)

    @app.get("/r/<room>/monitoring")
    async def monitoring_page(room: str) -> Response:
        if not ROOM.fullmatch(room):
            return Response(INCOMPLETE, 404, content_type=TEXT)
        # It is one folder further down than where a run serves it.
        page = frontend_files.read_text("monitoring.html").replace('"./', '"../')
        return Response(page, content_type=HTML)

    @app.get("/r/python.json")
    async def python() -> Response:
        return Response(
            json.dumps(frontend_files.pyodide_assets().describe()), content_type=TYPES[".json"]
        )

    @app.get("/r/sandbox/online")
    async def sandbox_online() -> Response:
        # The page asks for it where the run, which this server knows nothing of, allows it.
        return make_sandbox(network=True)

    add_files(app, Downloads(), "/r")
    return app


def _is_for_own_user() -> bool:
    """Whether the user of this machine asks, and nobody through them."""
    headers: Mapping[str, str] = {name.lower(): value for name, value in request.headers.items()}
    return _is_own_user.get() and is_local("127.0.0.1", headers)
