"""This machine's place in the network: where to listen, and under which addresses it is found."""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import urlsplit

import trio

from ..errors import UsageError

BACKLOG = 1024
HOST_NAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"
    r"(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?"
)
RESOLVE_SECONDS = 2.0
"""How long finding out the address of a name to listen on may take."""
PORTS_TRIED = 100
"""Ports after the first that are tried where any will do."""

CHANGE_SECONDS = 3.0
"""Seconds between two looks at whether this machine's addresses have changed."""
MAX_OWN_ADDRESSES = 8
"""Addresses of this machine that others are told."""


def shared_address(host: str) -> str:
    """Return what the address of a host has in common with others that may be the same host.

    That is an IPv4 address as a whole, and the first 64 bits of an IPv6 address.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


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
    if address is not None:
        await _check_address(address, port)
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


async def _check_address(address: str, port: int) -> None:
    """See soon whether there is such an address.

    Raises:
        UsageError: there is not, or whoever knows names does not answer.
    """
    reason = "it is not an address of this machine"
    with trio.move_on_after(RESOLVE_SECONDS):
        try:
            await trio.socket.getaddrinfo(address, port, type=trio.socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            reason = _reason(error)
        else:
            return
    raise UsageError(f"cannot listen on {address}, port {port}: {reason}")


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
    reachable = _reachable_ones(found) or _reachable_ones(_interface_addresses())
    return reachable[:MAX_OWN_ADDRESSES]


class AddressWatch:
    """Notices when this machine's addresses are others: it is in another network, or in none."""

    def __init__(self) -> None:
        self._seen = self._look()

    async def changed(self) -> None:
        """Wait for a change since the last one that was told, or since the beginning."""
        while (found := self._look()) == self._seen:  # noqa: ASYNC110 - no event tells
            await trio.sleep(CHANGE_SECONDS)
        self._seen = found

    def _look(self) -> set[str]:
        return set(_reachable_ones(_interface_addresses()))


def _interface_addresses() -> list[str]:
    """The addresses of all interfaces: what is left where there is no default route."""
    import ifaddr

    found = [ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips]
    return [ip if isinstance(ip, str) else ip[0] for ip in found]


def _reachable_ones(addresses: list[str]) -> list[str]:
    return [address for address in dict.fromkeys(addresses) if _is_reachable(address)]


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


def is_host(text: str) -> bool:
    """Whether this is a host name or an address, with no port and nothing else beside it."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return HOST_NAME.fullmatch(text) is not None
    return True


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
