"""One connection of a page's client, served by Hypercorn, by HTTP/1.1 alone."""

from __future__ import annotations

from hypercorn.config import Config
from hypercorn.events import Event
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.h11 import H2CProtocolRequiredError, H2ProtocolAssumedError
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper

from ..net.listener import PageStream


async def serve_connection(app: AppWrapper, config: Config, stream: PageStream) -> None:
    """Serve the requests of one connection until it ends."""
    await _Server(app, config, WorkerContext(None), {}, stream).run()  # type: ignore[arg-type]


class _Server(TCPServer):
    """Hypercorn's server of a connection, without HTTP/2.

    Nothing of a page needs HTTP/2, and a client could have one connection answer a hundred
    requests at once, of which each is kept in memory until the client reads it.
    """

    async def _read_data(self) -> None:
        self.protocol = _Http1(self.protocol, self)
        await super()._read_data()

    async def refuse(self) -> None:
        """End the connection: its client speaks another protocol."""
        await self._close()


class _Http1(ProtocolWrapper):
    """Hypercorn's protocol of a connection, as it is at first, without its change to HTTP/2."""

    def __init__(self, wrapper: ProtocolWrapper, server: _Server) -> None:
        self.protocol = wrapper.protocol
        self._server = server

    async def handle(self, event: Event) -> None:
        try:
            await self.protocol.handle(event)
        except (H2ProtocolAssumedError, H2CProtocolRequiredError):
            await self._server.refuse()
