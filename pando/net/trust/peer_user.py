"""Who is this: which user of this machine is at the other end of a TCP connection.

The kernel knows the user of each socket, also of others' sockets. A connection inside one machine
is there twice, once from each end; the socket whose addresses are those of this end's the other way
round is the other end. So the same question is good for whoever has accepted a connection and for
whoever has connected, once the other end has accepted it. Where the kernel cannot be asked, as in
some sandboxes, its tables are read instead (``/proc/net/tcp``, and ``tcp6`` for IPv6).
"""

from __future__ import annotations

import ipaddress
import os
import struct
import sys
from pathlib import Path
from typing import Any, Protocol

from .socket_owner import Endpoint, find_owner

TABLES = Path("/proc/net")
ESTABLISHED = "01"
"""The state in which both ends hold the connection. In the others the user may not be known."""


class HasEnds(Protocol):
    """A socket, of whatever library."""

    def getsockname(self) -> Any: ...

    def getpeername(self) -> Any: ...


def find_peer_user(connection: HasEnds) -> int | None:
    """The number of the user who owns the other end of a connection.

    None where that cannot be found out: it is on another machine or in another container, it is
    already closed, or the operating system is not Linux.
    """
    if not sys.platform.startswith("linux"):
        return None
    try:
        own, peer = _endpoint(connection.getsockname()), _endpoint(connection.getpeername())
    except (OSError, ValueError):
        return None
    try:
        user = find_owner(peer, own)
        # Where it does not find this end either, it cannot answer.
        if user is not None or find_owner(own, peer) is not None:
            return user
    except OSError:
        pass
    return _find_in_tables(own, peer)


def _find_in_tables(own: Endpoint, peer: Endpoint) -> int | None:
    for name, family in (("tcp", ipaddress.IPv4Address), ("tcp6", ipaddress.IPv6Address)):
        user = _look_up(TABLES / name, _as(family, peer), _as(family, own))
        if user is not None:
            return user
    return None


def is_own_user(user: int | None) -> bool:
    """Whether this is the user of this process.

    Users whom this process's user namespace does not know all look like one, "overflow": that one
    is nobody's own there.
    """
    if user is None or user != os.geteuid():
        return False
    return user != _overflow_user()


def _endpoint(name: object) -> Endpoint:
    """The address and port of a socket's name, without scope; IPv4 in IPv6 is IPv4.

    Raises:
        ValueError: it is not a socket of the internet.
    """
    if not isinstance(name, tuple) or len(name) < 2:
        raise ValueError("not an address of the internet")
    address = ipaddress.ip_address(str(name[0]).partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address, int(name[1])


def _as(family: type, endpoint: Endpoint) -> str | None:
    """An endpoint as the kernel's table of this family writes it; None where it cannot be there."""
    address, port = endpoint
    if family is ipaddress.IPv6Address and isinstance(address, ipaddress.IPv4Address):
        packed = b"\0" * 10 + b"\xff\xff" + address.packed
    elif isinstance(address, family):
        packed = address.packed
    else:
        return None
    # Each group of four bytes is a number in this machine's order of bytes.
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"


def _look_up(table: Path, local: str | None, remote: str | None) -> int | None:
    """The user of the socket with these two ends, in one of the kernel's tables."""
    if local is None or remote is None:
        return None
    try:
        text = table.read_bytes()
    except OSError:
        return None
    at = text.find(f": {local} {remote} {ESTABLISHED} ".encode())
    if at < 0:
        return None
    # After the state: queues, timer, retransmits, user, timeout, inode.
    fields = text[at : text.find(b"\n", at)].split()
    user, inode = fields[7], fields[9]
    if inode == b"0":  # nobody has accepted it yet, or its process has let go of it
        return None
    return int(user)


def _overflow_user() -> int | None:
    """The user whom unknown ones look like; None where all are known."""
    try:
        mapping = Path("/proc/self/uid_map").read_bytes().split()
        if mapping == [b"0", b"0", b"%d" % (2**32 - 1)]:
            return None
        return int(Path("/proc/sys/kernel/overflowuid").read_bytes())
    except (OSError, ValueError):
        return 65_534
