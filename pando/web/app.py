"""The pages of a run, as a Quart-Trio app on Hypercorn, one connection at a time.

This module is slow to import, so whoever serves pages loads it when the first one is asked for.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper
from hypercorn.utils import wrap_app
from quart import Response, request
from quart_trio import QuartTrio

from ..net.listener import PageStream
from ..net.request_policy import Guard, Head
from . import frontend_files
from .frontend_files import TYPES, File, PythonParts
from .run_page import LOOK_AGAIN, RunPage

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
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
Describe = Callable[[str], Awaitable[RunPage]]
FOR_EVER = "public, max-age=31536000, immutable"
SANDBOX_PAGE = '<!doctype html><meta charset="utf-8"><title>Pando</title><script>{script}</script>'


class Pages:
    """Serves the pages of a run. A `pando.net.listener.Pages`.

    Args:
        describe: gives what the volunteer page says of a run, by its identifier; or of the one
            that needs volunteers most.
        guard: judges each request, also those behind the first on a connection.
        monitoring: gives what the monitoring page shows, ready for JSON.
        link: gives the link to this page, for the host in a request.
        find_wheel: gives a package that a function needs, by its file name.
    """

    def __init__(
        self,
        describe: Describe,
        guard: Guard,
        monitoring: Callable[[], dict[str, Any]],
        link: Callable[[str], str],
        find_wheel: Callable[[str], File | None],
    ) -> None:
        self.app = create_app(describe, guard, monitoring, link, find_wheel)
        config = Config()
        config.h11_max_incomplete_size = 16 * 1024
        config.include_server_header = False
        config.keep_alive_timeout = 30
        logging.getLogger("hypercorn.error").setLevel(logging.CRITICAL)
        self._config = config
        self._wrapped: AppWrapper = wrap_app(self.app, config.wsgi_max_body_size, "asgi")

    async def serve(self, stream: PageStream) -> None:
        """Serve one connection until it ends."""
        server = TCPServer(
            self._wrapped,
            self._config,
            WorkerContext(None),
            {},
            stream,  # type: ignore[arg-type]
        )
        await server.run()


def create_app(
    describe: Describe,
    guard: Guard,
    monitoring: Callable[[], dict[str, Any]],
    link: Callable[[str], str],
    find_wheel: Callable[[str], File | None],
) -> QuartTrio:
    """The app with its routes."""
    app = QuartTrio("pando.web", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = 64 * 1024

    @app.before_request
    async def judge() -> Response | None:
        head = Head(
            request.method,
            request.path,
            request.headers.get("Host", ""),
            request.headers.get("Origin"),
            request.headers.get("Upgrade", "").lower(),
        )
        refusal = guard.judge(head)
        if refusal is None:
            return None
        return Response(f"{refusal.reason}\n", refusal.status, content_type="text/plain")

    @app.after_request
    async def add_headers(response: Response) -> Response:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.get("/")
    async def volunteer_page() -> Response:
        run = await describe(request.args.get("run", ""))
        page = Response(run.render(link(request.host)), content_type=TYPES[".html"])
        if parts := run.python_parts():
            page.headers["Link"] = _preload(parts)
        return page

    @app.get("/again.js")
    async def look_again() -> Response:
        return Response(LOOK_AGAIN, content_type=TYPES[".js"])

    @app.get("/assets/<name>")
    async def asset(name: str) -> Response:
        return _keep(frontend_files.read_file(f"assets/{name}"))

    @app.get("/python/<name>")
    async def own_modules(name: str) -> Response:
        known, archive = frontend_files.own_modules()
        return _keep(archive if name == known else None)

    @app.get("/wheels/<name>")
    async def wheel(name: str) -> Response:
        return _keep(find_wheel(name))

    @app.get("/sandbox")
    async def sandbox() -> Response:
        return _sandbox(network=False)

    @app.get("/sandbox/online")
    async def sandbox_online() -> Response:
        if not (await describe(request.args.get("run", ""))).network:
            return Response("This run's function may not use the internet.\n", 403)
        return _sandbox(network=True)

    @app.get("/licences")
    async def licences() -> Response:
        return Response(frontend_files.read_text("licences.txt"), content_type=TYPES[".txt"])

    @app.get("/monitoring")
    async def monitoring_page() -> Response:
        return Response(json.dumps(monitoring(), indent=1) + "\n", content_type="application/json")

    return app


def _preload(parts: PythonParts) -> str:
    """A header with which a browser fetches Python before the page's program asks for it."""
    return ", ".join(f"<{place}>; rel=preload; as=fetch; crossorigin" for place in parts.places)


def _keep(file: File | None) -> Response:
    """A file whose name tells its content; compressed where the client takes that."""
    if file is None:
        return Response("There is no such file.\n", 404, content_type=TYPES[".txt"])
    headers = {"Cache-Control": FOR_EVER, "Vary": "Accept-Encoding"}
    if file.compressed and request.accept_encodings["gzip"] > 0:
        headers["Content-Encoding"] = "gzip"
        return Response(file.data, headers=headers, content_type=file.type)
    return Response(file.plain(), headers=headers, content_type=file.type)


def _sandbox(*, network: bool) -> Response:
    """The page without rights, with its program inside: from an opaque origin it fetches none."""
    script = frontend_files.read_text("sandbox.js").replace("</script", "<\\/script")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = SANDBOX_POLICY.format(
        script=f"'sha256-{digest}'", network=NETWORK_POLICY if network else ""
    )
    # Not `format`: the program is full of braces.
    page = SANDBOX_PAGE.replace("{script}", script)
    return Response(page, headers={"Content-Security-Policy": policy}, content_type=TYPES[".html"])


__all__ = ["Pages", "create_app"]
