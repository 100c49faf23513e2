"""The guard: which requests are let in at all, judged by their head, for every route and method.

A browser will send requests to any address that a page names. Two checks keep pages of others
out: the `Host` must be one that this machine answers to, which a name that an attacker lets point
here (DNS rebinding) is not; and where there is an `Origin`, it must be this very server's.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

import h11

MAX_HEAD_BYTES = 16 * 1024


@dataclass(frozen=True)
class Head:
    """The head of a request: what is needed to let it in and to send it on."""

    method: str
    path: str
    host: str
    origin: str | None
    upgrade: str


@dataclass(frozen=True)
class Refusal:
    """Why a request is not let in: an HTTP status and a sentence."""

    status: int
    reason: str


def parse_head(data: bytes) -> Head:
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
    return Head(
        request.method.decode("ascii"),
        request.target.decode("latin-1").partition("?")[0],
        headers["host"][0],
        headers.get("origin", [None])[0],
        headers.get("upgrade", [""])[0].lower(),
    )


class Guard:
    """Judges heads.

    Args:
        names: host names under which this server is reached besides its addresses, such as that
            of a proxy in front of it.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        own = socket.gethostname().lower()
        self._names = {"localhost", own, f"{own}.local", *(name.lower() for name in names)}

    def judge(self, head: Head) -> Refusal | None:
        """Why a request is not let in, or None where it is."""
        name = _host_name(head.host)
        if name is None or not (name in self._names or _is_address(name)):
            return Refusal(421, "This server does not answer to that name.")
        if head.origin is not None and not self._same_origin(head.origin, head.host):
            return Refusal(403, "Pages of other servers may not connect here.")
        return None

    @staticmethod
    def _same_origin(origin: str, host: str) -> bool:
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _host_name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
