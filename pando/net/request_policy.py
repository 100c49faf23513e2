"""Decide by its head which request is let in at all, for every route and method.

A browser will send requests to any address that a page names. Two checks keep pages of others
out: the `Host` must be one that this machine answers to, which a name that an attacker lets point
here (DNS rebinding) is not; and where there is an `Origin`, it must be this very server's.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import h11

from . import websocket

LIVE_PATH = "/monitoring/live"
"""Where the monitoring page has its WebSocket."""
MAX_HEAD_BYTES = 16 * 1024
"""The head of a request may be so long."""

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]{1,5})?")


@dataclass(frozen=True)
class RequestHead:
    """The head of a request: what is needed to let it in and to send it on.

    Attributes:
        is_forwarded: whether it has come through a proxy.
        headers: all of them: names in lower case, values of the same name joined by commas.
    """

    method: str
    path: str
    host: str
    origin: str | None
    upgrade: str
    is_forwarded: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def is_node(self) -> bool:
        """Whether it asks for the WebSocket on which nodes connect."""
        return self.path == websocket.PATH and self.upgrade == "websocket"

    @property
    def is_live(self) -> bool:
        """Whether it asks for the WebSocket of monitoring."""
        return self.path == LIVE_PATH and self.upgrade == "websocket"


@dataclass(frozen=True)
class Refusal:
    """Why a request is not let in: an HTTP status and a sentence."""

    status: int
    reason: str


def parse_head(data: bytes) -> RequestHead:
    """The head of a request.

    Raises:
        ValueError: it is not one of HTTP/1.1, or has no `Host` or more than one.
    """
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
    try:
        connection.receive_data(data)
        request = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise ValueError(str(error)) from None
    if not isinstance(request, h11.Request):
        raise ValueError("the head is not complete")
    headers: dict[str, list[str]] = {}
    for name, value in request.headers:
        headers.setdefault(name.decode("ascii"), []).append(value.decode("latin-1"))
    if len(headers.get("host", [])) != 1 or len(headers.get("origin", [])) > 1:
        raise ValueError("there must be one Host, and one Origin at the most")
    return RequestHead(
        request.method.decode("ascii"),
        request.target.decode("latin-1").partition("?")[0],
        headers["host"][0],
        headers.get("origin", [None])[0],
        headers.get("upgrade", [""])[0].lower(),
        any(tells_of_proxy(name) for name in headers),
        {name: ",".join(values) for name, values in headers.items()},
    )


def tells_of_proxy(header: str) -> bool:
    """Whether a header says that somebody else's request is being passed on."""
    name = header.lower()
    return name in ("forwarded", "via", "x-real-ip") or name.startswith("x-forwarded-")


class RequestPolicy:
    """Check the heads of requests.

    Args:
        names: host names under which this server is reached besides its addresses, such as that
            of a proxy in front of it.
        allow_foreign_origin: whether nodes that live in pages of others may connect, as browsers do
            that the root has sent here: they show a ticket, and no page can guess one.
    """

    def __init__(self, names: Iterable[str] = (), *, allow_foreign_origin: bool = False) -> None:
        self._allow_foreign_origin = allow_foreign_origin
        own = socket.gethostname().lower()
        self._names = {"localhost", own, f"{own}.local", *(name.lower() for name in names)}

    def check(self, head: RequestHead) -> Refusal | None:
        """Return why a request is not let in, or None where it is."""
        name = _host_name(head.host)
        if name is None or not (name in self._names or _is_address(name)):
            return Refusal(421, "Unknown host name.")
        may_be_foreign = head.is_node and self._allow_foreign_origin
        if not (head.origin is None or may_be_foreign or _is_same(head.origin, head.host)):
            return Refusal(403, "Cross-origin requests are not allowed.")
        if head.upgrade and not (head.is_node or head.is_live):
            return Refusal(400, f"Upgrade is only supported at {websocket.PATH}.")
        return None


def _is_same(origin: str, host: str) -> bool:
    scheme, _, rest = origin.lower().partition("://")
    return scheme in ("http", "https") and rest == host.lower()


def _host_name(host: str) -> str | None:
    match = _HOST.fullmatch(host.lower())
    return match and (match[1] or match[2])


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
