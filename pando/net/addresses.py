"""This machine's place in the network: where to listen, and under which addresses it is found."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

import trio

from ..errors import UsageError

BACKLOG = 1024
PORTS_TRIED = 100
"""Ports after the first that are tried where any will do."""

MAX_OWN_ADDRESSES = 8
"""Addresses of this machine that others are told."""


async def listen(
    port: int, address: str | None = None, *, any_port: bool = False
) -> tuple[list[trio.SocketListener], int]:
    """Listen on a port, on all addresses or on one.

    Args:
        port: the port; 0 lets the operating system choose.
        address: the only address to listen on.
        any_port: take the next free port where this one is taken.

    Returns:
        The listeners, and the port they are on.

    Raises:
        UsageError: the port is taken, or the address is not this machine's.
    """
    last = port + (PORTS_TRIED if any_port and port else 0)
    for candidate in range(port, last + 1):
        try:
            listeners = await trio.open_tcp_listeners(candidate, host=address, backlog=BACKLOG)
        except (OSError, BaseExceptionGroup) as error:
            if candidate < last:
                continue
            where = f"port {port}" if address is None else f"{address}, port {port}"
            raise UsageError(f"cannot listen on {where}: {_reason(error)}") from None
        if port == 0 and len(listeners) > 1:
            # The operating system has chosen one port for each kind of address.
            for extra in listeners[1:]:
                extra.socket.close()
            del listeners[1:]
        return listeners, int(listeners[0].socket.getsockname()[1])
    raise AssertionError("unreachable")


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return getattr(error, "strerror", None) or str(error)


def own_addresses() -> list[str]:
    """The addresses at which other machines may find this one, the likeliest first."""
    found: list[str] = []
    for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        # Nothing is sent: this asks which address would be used to reach the outside.
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((target, 9))
                found.append(str(probe.getsockname()[0]))
        except OSError:
            continue
    try:
        for entry in socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM):
            found.append(str(entry[4][0]))
    except OSError:
        pass
    return [a for a in dict.fromkeys(found) if _is_reachable(a)][:MAX_OWN_ADDRESSES]


def _is_reachable(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    return not (ip.is_loopback or ip.is_link_local or ip.is_unspecified)


def is_loopback(address: str) -> bool:
    """Whether a connection from this address comes from this machine itself."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def join_address(host: str, port: int) -> str:
    """``HOST:PORT``, with brackets where the host is an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_address(address: str) -> tuple[str, int]:
    """The host and the port of ``HOST:PORT`` or ``[HOST]:PORT``."""
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port is None:
        raise UsageError(f"{address!r} is not an address such as 192.168.1.7:5000")
    return host, port
