"""The pages of a run, as a Quart-Trio app on Hypercorn, one connection at a time.

This module is slow to import, so whoever serves pages loads it when the first one is asked for.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from hypercorn.config import Config
from hypercorn.typing import AppWrapper
from hypercorn.utils import wrap_app
from quart import Response, request, websocket
from quart_trio import QuartTrio

from ..net.listener import PageStream
from ..net.request_policy import RequestHead, RequestPolicy, tells_of_proxy
from ..net.visitor import current_visitor
from . import frontend_files
from .connection import serve_connection
from .downloads import PIECE_BYTES, Downloads
from .frontend_files import TYPES, File
from .monitoring import MonitoringAccess, add_routes
from .pace import Pace
from .run_page import RunPage

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self' ws: wss:; worker-src 'self'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may do: run its own programs, and connect to nodes."""
SANDBOX_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src {script} blob: 'unsafe-eval' "
    "'wasm-unsafe-eval'; worker-src blob:; connect-src blob: data:{network}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""What the function may do in a browser. The origin is opaque: it has none of the page's rights."""
NETWORK_POLICY = " https: http: wss: ws:"
SECURITY_HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
PING_SECONDS = 20.0
"""Seconds between pings of WebSockets: answers to them are signs of life."""
MAX_SAID_BYTES = 4096
"""The largest message of a viewer."""
Describe = Callable[[str], Awaitable[RunPage]]
IsInvited = Callable[[str], Awaitable[bool]]
IMMUTABLE = "public, max-age=31536000, immutable"
SANDBOX_PAGE = '<!doctype html><meta charset="utf-8"><title>Pando</title><script>{script}</script>'
NO_CONNECTION = itertools.repeat(0)
"""Counts the requests of those who use the app by itself."""
_asked: ContextVar[Iterator[int]] = ContextVar("asked")
"""Gives how many requests the current connection has made before, and counts this one."""


class PageHandler:
    """Serves the pages of a run. A `pando.net.listener.Pages`.

    Args:
        describe: gives what the volunteer page says of a run, by its identifier; or of the one
            that needs volunteers most.
        policy: checks each request, also those after the first on a connection.
        monitoring: what may be seen of the runs, and by whom.
        link: gives the link to this page, for the host in a request.
        find_wheel: gives a package that a function needs, by its file name.
        is_invited: whether somebody who proves to have a link, or else not, may know of a run.
    """

    def __init__(
        self,
        describe: Describe,
        policy: RequestPolicy,
        monitoring: MonitoringAccess,
        link: Callable[[str], str],
        find_wheel: Callable[[str], File | None],
        is_invited: IsInvited,
    ) -> None:
        self.app = create_app(describe, policy, monitoring, link, find_wheel, is_invited)
        config = Config()
        config.h11_max_incomplete_size = 16 * 1024
        config.include_server_header = False
        config.keep_alive_timeout = 30
        config.websocket_ping_interval = PING_SECONDS
        config.websocket_max_message_size = MAX_SAID_BYTES
        logging.getLogger("hypercorn.error").setLevel(logging.CRITICAL)
        self._config = config
        self._wrapped: AppWrapper = wrap_app(self.app, config.wsgi_max_body_size, "asgi")

    async def serve(self, stream: PageStream) -> None:
        """Serve one connection until it ends."""
        _asked.set(itertools.count())
        await serve_connection(self._wrapped, self._config, stream)


def create_app(
    describe: Describe,
    policy: RequestPolicy,
    monitoring: MonitoringAccess,
    link: Callable[[str], str],
    find_wheel: Callable[[str], File | None],
    is_invited: IsInvited,
) -> QuartTrio:
    """The app with its routes."""
    app = QuartTrio("pando.web", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 64 * 1024
    downloads, pace = Downloads(), Pace()
    add_files(app, downloads)

    async def wait_for_turn() -> None:
        await pace.wait(current_visitor.get().host, next(_asked.get(NO_CONNECTION)))

    @app.before_websocket
    async def check_websocket() -> Response | None:
        await wait_for_turn()
        return _check(policy, websocket.path, "GET", websocket.headers)

    @app.before_request
    async def check_request() -> Response | None:
        await wait_for_turn()
        return _check(policy, request.path, request.method, request.headers)

    @app.after_request
    async def add_headers(response: Response) -> Response:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        if link(request.host).startswith("https:"):
            # Browsers ignore it over plain http, and complain.
            response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        return response

    @app.get("/")
    async def volunteer_page() -> Response:
        return Response(frontend_files.read_text("index.html"), content_type=TYPES[".html"])

    @app.get("/run")
    async def run_description() -> Response:
        proof = request.headers.get("Pando-Proof", "")
        if not await is_invited(proof):
            told: dict[str, Any] = {"type": "denied", "incomplete": not proof}
        else:
            told = (await describe(request.args.get("id", ""))).describe(link(request.host))
        return Response(json.dumps(told), content_type=TYPES[".json"])

    @app.get("/wheels/<name>")
    async def wheel(name: str) -> Response:
        return _immutable(find_wheel(name), downloads)

    @app.get("/sandbox/online")
    async def sandbox_online() -> Response:
        if not (await describe(request.args.get("run", ""))).network:
            return Response("This run's function may not use the internet.\n", 403)
        return make_sandbox(network=True)

    add_routes(app, monitoring)
    return app


def _check(policy: RequestPolicy, path: str, method: str, headers: Any) -> Response | None:
    """Return why a request is not let in; also those after the first on a connection."""
    if any(tells_of_proxy(name) for name in headers.keys()):  # noqa: SIM118
        # Others may come through a connection that began as this user's own.
        current_visitor.set(replace(current_visitor.get(), is_own_user=False))
    origin, upgrade = headers.get("Origin"), headers.get("Upgrade", "").lower()
    refusal = policy.check(RequestHead(method, path, headers.get("Host", ""), origin, upgrade))
    if refusal is None:
        return None
    return Response(f"{refusal.reason}\n", refusal.status, content_type="text/plain")


def add_files(app: QuartTrio, downloads: Downloads, prefix: str = "") -> None:
    """Add the routes of what is the same for every run.

    Args:
        app: what they are added to.
        downloads: limits how many files are sent at once.
        prefix: what the paths begin with.
    """

    @app.get(f"{prefix}/assets/<name>")
    async def asset(name: str) -> Response:
        return _immutable(frontend_files.read_file(f"assets/{name}"), downloads)

    @app.get(f"{prefix}/python/<name>")
    async def own_modules(name: str) -> Response:
        known, archive = frontend_files.own_modules()
        return _immutable(archive if name == known else None, downloads)

    @app.get(f"{prefix}/sandbox")
    async def sandbox() -> Response:
        return make_sandbox(network=False)

    @app.get(f"{prefix}/licences")
    async def licences() -> Response:
        return Response(frontend_files.read_text("licences.txt"), content_type=TYPES[".txt"])


def _immutable(file: File | None, downloads: Downloads) -> Response:
    """A file whose name tells its content, as it is kept here: it is not expanded for anybody."""
    if file is None:
        return Response("There is no such file.\n", 404, content_type=TYPES[".txt"])
    headers = {"Cache-Control": IMMUTABLE, "Vary": "Accept-Encoding"}
    if file.compressed:
        if not request.accept_encodings["gzip"] > 0:
            sentence = "This file is compressed: accept gzip to have it.\n"
            return Response(sentence, 406, content_type=TYPES[".txt"])
        headers["Content-Encoding"] = "gzip"
    if len(file.data) <= PIECE_BYTES:
        return Response(file.data, headers=headers, content_type=file.type)
    download = downloads.start(file.data, request.remote_addr or "")
    answer = Response(download, headers=headers, content_type=file.type)
    answer.content_length = len(file.data)
    answer.timeout = None  # a client that does not read is ended by the connection
    return answer


def make_sandbox(*, network: bool) -> Response:
    """The page without rights, with its program inside: from an opaque origin it fetches none."""
    script = frontend_files.read_text("sandbox.js").replace("</script", "<\\/script")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = SANDBOX_POLICY.format(
        script=f"'sha256-{digest}'", network=NETWORK_POLICY if network else ""
    )
    # Not `format`: the program is full of braces.
    page = SANDBOX_PAGE.replace("{script}", script)
    return Response(page, headers={"Content-Security-Policy": policy}, content_type=TYPES[".html"])


__all__ = ["PAGE_POLICY", "PageHandler", "add_files", "create_app", "make_sandbox"]
