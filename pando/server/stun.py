"""STUN: telling whoever asks by UDP from which address the question came (RFC 8489).

Devices behind routers learn in this way how others see them, without any third party. Only the
header of a request is read. An answer is hardly longer than its question, and there are at most
so many a second, so that nobody gains from asking in another one's name.
"""

from __future__ import annotations

import logging
import socket
from collections import Counter
from importlib.util import find_spec
from typing import Any

import trio

from ..errors import one_line
from ..net.addresses import shared_address
from .limits import STUN_ANSWERS, STUN_ANSWERS_PER_ADDRESS

logger = logging.getLogger(__name__)

HEADER_BYTES = 20
MAX_REQUEST_BYTES = 576
"""The longest request; what packets over any network may hold."""
BINDING_REQUEST = b"\x00\x01"
COOKIE = b"\x21\x12\xa4\x42"


def is_available() -> bool:
    """Return whether STUN can be answered here: aioice, which writes the answers, is installed."""
    return find_spec("aioice") is not None


def find_transaction(request: bytes) -> bytes | None:
    """Return the number of a request's transaction; None where it is no request."""
    if not HEADER_BYTES <= len(request) <= MAX_REQUEST_BYTES:
        return None
    length = int.from_bytes(request[2:4], "big")
    is_request = request[:2] == BINDING_REQUEST and request[4:8] == COOKIE
    return request[8:HEADER_BYTES] if is_request and HEADER_BYTES + length == len(request) else None


class StunLimiter:
    """Bounds the answers of each second, in all and to each address; no clock, no I/O."""

    def __init__(self) -> None:
        self._second = 0
        self._answers: Counter[str] = Counter()

    def takes(self, host: str, now: float) -> bool:
        """Return whether a request may be answered, and count the answer.

        Args:
            host: the address that it comes from.
            now: the time, in seconds.
        """
        if int(now) != self._second:
            self._second = int(now)
            self._answers.clear()
        address = shared_address(host)
        if self._answers.total() >= STUN_ANSWERS:
            return False
        if self._answers[address] >= STUN_ANSWERS_PER_ADDRESS:
            return False
        self._answers[address] += 1
        return True


class StunResponder:
    """Answers STUN on one UDP port.

    Args:
        counters: where it is counted what was answered and what was not.
    """

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters
        self._limiter = StunLimiter()
        self._sockets: list[trio.socket.SocketType] = []
        self._stun: Any = None

    async def open(self, port: int, address: str | None) -> bool:
        """Bind the port; return whether that was possible.

        Args:
            port: the UDP port.
            address: the only address to listen on; None for all.
        """
        if not is_available():
            return False
        self._stun = await trio.to_thread.run_sync(_load)
        for family, host in _places(address):
            try:
                self._sockets.append(await _bind(family, host, port))
            except OSError as error:
                logger.debug("no STUN at %s, port %d: %s", host, port, one_line(str(error)))
        return bool(self._sockets)

    async def run(self) -> None:
        """Answer until cancelled."""
        async with trio.open_nursery() as nursery:
            for each in self._sockets:
                nursery.start_soon(self._serve, each)

    async def _serve(self, udp: trio.socket.SocketType) -> None:
        with udp:
            while True:
                try:
                    data, sender = await udp.recvfrom(MAX_REQUEST_BYTES + 1)
                except OSError:  # an earlier answer has come back
                    continue
                answer = self.answer(data, sender, trio.current_time())
                if answer is not None:
                    try:
                        await udp.sendto(answer, sender)
                    except OSError:
                        self._counters["stun_unanswered"] += 1

    def answer(self, data: bytes, sender: tuple[Any, ...], now: float) -> bytes | None:
        """Return the answer to what has come; None where there is none.

        Args:
            data: what has come.
            sender: the address and the port that it comes from.
            now: the time, in seconds.
        """
        transaction = find_transaction(data)
        if transaction is None or not self._limiter.takes(sender[0], now):
            self._counters["stun_unanswered"] += 1
            return None
        self._counters["stun_answered"] += 1
        stun = self._stun
        message = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, transaction)
        message.attributes["XOR-MAPPED-ADDRESS"] = (sender[0].partition("%")[0], sender[1])
        return bytes(message)


def _load() -> Any:
    from aioice import stun  # which imports asyncio

    return stun


def _places(address: str | None) -> list[tuple[int, str]]:
    if address is None:
        return [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")]
    try:
        found = socket.getaddrinfo(address, None, type=socket.SOCK_DGRAM)
    except OSError:
        return []
    return list(dict.fromkeys((int(entry[0]), str(entry[4][0])) for entry in found))


async def _bind(family: int, host: str, port: int) -> trio.socket.SocketType:
    udp = trio.socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        await udp.bind((host, port))
    except OSError:
        udp.close()
        raise
    return udp
