"""Which user owns a TCP socket of this machine: one question to the kernel (``sock_diag(7)``).

The kernel finds the socket by its two ends. Its tables in ``/proc/net`` tell the same, but to read
one takes it milliseconds, however few sockets there are: it looks through all the places that
sockets could have.
"""

from __future__ import annotations

import ipaddress
import socket
import struct

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Endpoint = tuple[Address, int]

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
TCP_ESTABLISHED = 1
NO_COOKIE = 0xFFFFFFFF
"""The kernel's numbers; see ``linux/netlink.h``, ``sock_diag.h`` and ``inet_diag.h``."""
ANSWER_SECONDS = 1.0
"""The kernel answers at once, while it is asked."""
MAX_ANSWER_BYTES = 8192

_header = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_request = struct.Struct("=BBBBI")  # family, protocol, extensions, padding, states
_ends = struct.Struct("!HH16s16s")  # ports and addresses, in the network's order of bytes
_rest_of_ends = struct.Struct("=III")  # interface, cookie
_answer = struct.Struct("=BBBB")  # family, state, timer, retransmissions
_figures = struct.Struct("=IIIII")  # expires, queues, user, inode


def find_owner(local: Endpoint, remote: Endpoint) -> int | None:
    """Return the user of the established connection with these ends, as it is seen from `local`.

    None where there is none, or nobody has accepted it yet, or its process has let go of it.

    Raises:
        OSError: the kernel cannot be asked.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(ANSWER_SECONDS)
        kernel.send(_ask(local, remote))
        return _read(kernel.recv(MAX_ANSWER_BYTES))


def _ask(local: Endpoint, remote: Endpoint) -> bytes:
    is_ipv4 = local[0].version == remote[0].version == 4
    family = socket.AF_INET if is_ipv4 else socket.AF_INET6
    packed = [each[0].packed.ljust(16, b"\0") for each in (local, remote)]
    body = (
        _request.pack(family, socket.IPPROTO_TCP, 0, 0, 1 << TCP_ESTABLISHED)
        + _ends.pack(local[1], remote[1], *packed)
        + _rest_of_ends.pack(0, NO_COOKIE, NO_COOKIE)
    )
    length = _header.size + len(body)
    return _header.pack(length, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0) + body


def _read(answer: bytes) -> int | None:
    """Return the user that an answer names; what is no description of a socket names none."""
    if len(answer) < _header.size or _header.unpack_from(answer)[1] != SOCK_DIAG_BY_FAMILY:
        return None
    figures_at = _header.size + _answer.size + _ends.size + _rest_of_ends.size
    if len(answer) < figures_at + _figures.size:
        return None
    _, state, _, _ = _answer.unpack_from(answer, _header.size)
    _, _, _, user, inode = _figures.unpack_from(answer, figures_at)
    return int(user) if state == TCP_ESTABLISHED and inode else None
