"""Share one server, with one port and one link, between the runs of an event loop.

Runs with the same options of serving share a server. It listens from the first of them to the
last; its endpoint, which is the link and the port, is kept as long as the process lives, so that
links stay valid between runs.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio

from ..notifier import Notifier
from .endpoint import Endpoint
from .kept_links import open_link_of
from .serve_options import ServeOptions
from .server import Server

logger = logging.getLogger(__name__)

_endpoints: dict[tuple[object, ...], Endpoint] = {}
_servers: trio.lowlevel.RunVar[dict[tuple[object, ...], Server]] = trio.lowlevel.RunVar("servers")


def _endpoint_key(options: ServeOptions) -> tuple[object, ...]:
    """Return the options that servers are shared by."""
    return (
        os.getpid(),
        options.host,
        options.secret,
        options.cafile,
        options.serve_here,
        options.port,
        options.any_port,
        options.listen,
        options.open,
        options.public_url,
        options.link_host,
        options.certfile,
        options.keyfile,
        options.limits,
        options.token,
        options.new_link,
        options.ask_token,
        options.link_for,
        options.monitoring_token,
        options.management_token,
    )


@asynccontextmanager
async def shared_server(options: ServeOptions, say: Notifier) -> AsyncIterator[Server]:
    """Yield the server for these options; open it for the first run, close it after the last.

    Args:
        options: see `ServeOptions`.
        say: takes sentences for the person who runs the program.

    Raises:
        ServerError: the public server cannot be reached, or refuses this run.
        UsageError: the address cannot be bound, or the certificate is invalid.
    """
    try:
        servers = _servers.get()
    except LookupError:
        servers = {}
        _servers.set(servers)
    key = _endpoint_key(options)
    while (server := servers.get(key)) is not None and server.is_closing:
        await server.closed.wait()
    if server is None:
        open_link = None if options.open else partial(open_link_of, options)
        view_token = options.monitoring_token or secrets.token_urlsafe(12)
        management_token = options.management_token or secrets.token_urlsafe(12)
        endpoint = _endpoints.setdefault(key, Endpoint(open_link, view_token, management_token))
        server = servers[key] = Server(options, endpoint, say)
        trio.lowlevel.spawn_system_task(_serve_shared, servers, key, server)
    server.users += 1
    try:
        await server.opened.wait()
        if server.failure is not None:
            raise server.failure
        yield server
    finally:
        server.users -= 1
        if not server.users:
            server.close()
            with trio.CancelScope(shield=True):
                await server.closed.wait()


async def _serve_shared(
    servers: dict[tuple[object, ...], Server], key: tuple[object, ...], server: Server
) -> None:
    """Run a server in a system task, since it belongs to no run. Its errors end no run."""
    try:
        await server.run()
    except Exception as error:
        server.failure = error
        if server.opened.is_set():
            logger.exception("%r has stopped because of an error in Pando", server)
    finally:
        del servers[key]
        server.opened.set()
        server.closed.set()
