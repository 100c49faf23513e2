"""Which requests a server lets in, and whose they are."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ..errors import UsageError
from ..net.addresses import is_loopback
from ..net.relayed.frames import Purpose
from ..net.relayed.proof import ROOM
from ..net.request_policy import (
    Refusal,
    RequestHead,
    RequestPolicy,
    tells_of_proxy,
)
from ..net.websocket import IS_PUBLIC_SERVER

CONTROL_PATH = "/control"
"""Where roots connect."""
_PURPOSES = {each.name.lower(): each for each in Purpose}
_ROOM_PATH = re.compile(rf"/r/({ROOM.pattern})/({'|'.join(_PURPOSES)})/?")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class PublicServerPolicy(RequestPolicy):
    """Check the heads of requests to a public server.

    A server that has not been told its name answers to any: nothing that it serves depends on it
    but what is for its own user on its own machine, which `is_local` decides.

    Args:
        public_host: the host name, and the port, of the public address; None where it is not
            known.
    """

    def __init__(self, public_host: str | None) -> None:
        super().__init__([] if public_host is None else [public_host.partition(":")[0]])
        self._public_host = public_host

    def check(self, head: RequestHead) -> Refusal | None:
        if head.is_node:
            return Refusal(404, IS_PUBLIC_SERVER)
        if head.upgrade == "websocket" and (
            head.path == CONTROL_PATH or find_room(head.path) is not None
        ):
            head = replace(head, upgrade="")
        if head.origin is not None and self._is_own(head.origin, head.host):
            head = replace(head, origin=None)
        refusal = super().check(head)
        if refusal is not None and refusal.status == 421 and self._public_host is None:
            return super().check(replace(head, host="localhost"))
        return refusal

    def _is_own(self, origin: str, host: str) -> bool:
        scheme, _, rest = origin.lower().partition("://")
        return scheme in ("http", "https") and rest in (host.lower(), self._public_host)


def find_room(path: str) -> tuple[str, Purpose] | None:
    """The room and the purpose of the WebSocket at a path, if it is one of a room."""
    match = _ROOM_PATH.fullmatch(path)
    return None if match is None else (match[1], _PURPOSES[match[2]])


def is_local(peer: str, headers: Mapping[str, str]) -> bool:
    """Whether a request comes from this very machine, and through no proxy.

    The name in `Host` must be the machine's own: another one may be that of a page that an
    attacker lets point here.
    """
    host = headers.get("host", "").lower().rpartition("@")[2]
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    is_own_name = name == "localhost" or is_loopback(name.strip("[]"))
    return is_loopback(peer) and is_own_name and not any(map(tells_of_proxy, headers))


def find_client(peer: str, headers: Mapping[str, str], proxies: Sequence[Network]) -> str:
    """The address that a request comes from.

    Where it is a trusted proxy's, that is the last address in `X-Forwarded-For` that is not one:
    what stands before it, anybody may have written.
    """
    if not _is_in(peer, proxies):
        return peer
    given = [each.strip() for each in headers.get("x-forwarded-for", "").split(",")]
    for address in reversed(given):
        try:
            ipaddress.ip_address(address)
        except ValueError:
            return peer
        if not _is_in(address, proxies):
            return address
    return peer


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses or networks such as ``10.0.0.0/8``; a text may hold several, with commas.

    Raises:
        UsageError: one is neither.
    """
    found: list[Network] = []
    for text in (each.strip() for texts_ in texts for each in texts_.split(",")):
        try:
            found.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            raise UsageError(
                f"--behind-proxy takes an address or a network such as 10.0.0.0/8, not {text!r}"
            ) from None
    return tuple(found)


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return any(ip in network for network in networks)
