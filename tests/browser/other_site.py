"""Another site on this machine: it gives everybody what is asked for, and counts who asks."""

from __future__ import annotations

import http.server
import threading
from types import TracebackType

from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.server import ServerProtocol

SCRIPT = b"globalThis.calledBySomebodyElse = true;\n"
EVENTS = b"data: an event\n\n"
PAGE = b"<!doctype html><title>Another site</title>"


class OtherSite:
    """A web server that lets every page read what it says.

    What it says is what the kind of request is for: a page, a script, events or a WebSocket. So
    whatever a browser does not let somebody have from here, it is not for the site's sake.
    """

    def __init__(self) -> None:
        site = self
        self.requests: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.requests.append(self.path)
                self.close_connection = True
                if self.headers.get("Upgrade", "").lower() == "websocket":
                    self._open_websocket()
                elif self.headers.get("Accept") == "text/event-stream":
                    self._answer("text/event-stream", EVENTS)
                elif self.headers.get("Sec-Fetch-Dest") in ("script", "worker"):
                    self._answer("text/javascript", SCRIPT)
                else:
                    self._answer("text/html", PAGE)

            def _answer(self, kind: str, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Access-Control-Allow-Origin", "*")
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _open_websocket(self) -> None:
                request = Request(self.path, Headers(self.headers.items()))
                self.wfile.write(ServerProtocol().accept(request).serialize())
                self.rfile.read(1)  # the client says that it closes it, or is gone

            def log_message(self, *args: object) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.address = f"localhost:{self._server.server_port}"

    def __enter__(self) -> OtherSite:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
