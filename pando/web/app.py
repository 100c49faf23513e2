"""The pages of a run, as a Quart-Trio app on Hypercorn, one connection at a time.

This module is slow to import, so whoever serves pages loads it when the first one is asked for.
"""

from __future__ import annotations

import html
import json
import logging
from collections.abc import Callable
from typing import Any

from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper
from hypercorn.utils import wrap_app
from quart import Response, request
from quart_trio import QuartTrio

from .door import PageStream
from .guard import Guard, Head

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Pando · {name}</title>
<style>
  :root {{ color-scheme: light dark; font: 1.05rem/1.5 system-ui, sans-serif; }}
  body {{ max-width: 36rem; margin: 0 auto; padding: 2rem 1.2rem; }}
  h1 {{ font-size: 1.5rem; line-height: 1.25; }}
  code {{ display: block; padding: .7rem .9rem; border-radius: .5rem; overflow-wrap: anywhere;
          background: color-mix(in srgb, currentColor 9%, transparent); }}
  .quiet {{ opacity: .75; }}
</style>
<main>
  <h1>Somebody asks for your help with <em>{name}</em></h1>
  <p>This is a Pando run: many devices apply one function to a stream of values.
     A computer with Python takes part with these two commands:</p>
  <code>pip install pando<br>pando-volunteer '{link}'</code>
  <p class="quiet">Put the whole link that you were given between the quotes, with what stands
     behind its # sign. Taking part runs the other person's code with your rights: do it for
     people you trust. Leave at any time with Ctrl-C.</p>
</main>
"""


class Pages:
    """Serves the pages of a run. A `pando.web.door.Pages`.

    Args:
        name: the function's name.
        guard: judges each request, also those behind the first on a connection.
        monitoring: gives what the monitoring page shows, ready for JSON.
        link: gives the link to this page, for the host in a request.
    """

    def __init__(
        self,
        name: str,
        guard: Guard,
        monitoring: Callable[[], dict[str, Any]],
        link: Callable[[str], str],
    ) -> None:
        self.app = create_app(name, guard, monitoring, link)
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
    name: str,
    guard: Guard,
    monitoring: Callable[[], dict[str, Any]],
    link: Callable[[str], str],
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
        response.headers.update(SECURITY_HEADERS)
        return response

    @app.get("/")
    async def volunteer_page() -> str:
        return PAGE.format(name=html.escape(name), link=html.escape(link(request.host)))

    @app.get("/monitoring")
    async def monitoring_page() -> Response:
        return Response(json.dumps(monitoring(), indent=1) + "\n", content_type="application/json")

    return app


__all__ = ["Pages", "create_app"]
