"""Streams whose first bytes have been read already, and of which only so many may be read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import trio

SEND_BYTES = 64 * 1024
"""What is sent at once where it is encrypted, so that it can be told how far that has come."""
MAX_AT_ONCE = 64
"""Pieces that the operating system is given at once; it takes no more than some hundreds."""


class PrefixedStream(trio.abc.Stream):
    """A stream that remembers when bytes came, and gives some bytes once more at first.

    Args:
        stream: what carries the bytes.
        prefix: bytes that have been read from it, to be read again.
        remaining_bytes: how many more bytes may be read; None is any number.
    """

    def __init__(
        self, stream: trio.abc.Stream, prefix: bytes = b"", *, remaining_bytes: int | None = None
    ) -> None:
        self._stream = stream
        self._first = prefix
        self.remaining_bytes = remaining_bytes
        self.first_received = b""
        self.last_activity = self.last_progress = trio.current_time()

    @property
    def socket(self) -> trio.socket.SocketType:
        """The socket below it, encrypted by TLS or not."""
        return socket_of(self._stream)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._first:
            data, self._first = self._first, b""
            await trio.lowlevel.checkpoint()
            return data
        if self.remaining_bytes == 0:
            raise trio.BrokenResourceError("too much has come before the first message was read")
        if self.remaining_bytes is not None:
            max_bytes = min(self.remaining_bytes, max_bytes or self.remaining_bytes)
        data = bytes(await self._stream.receive_some(max_bytes))
        if self.remaining_bytes is not None:
            self.remaining_bytes -= len(data)
        self.first_received = self.first_received or data[:8]
        self.last_activity = trio.current_time()
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def send_pieces(self, pieces: Iterable[bytes]) -> None:
        """Send several pieces one after the other, noting how far that has come."""
        left = [memoryview(piece) for piece in pieces if piece]
        if isinstance(self._stream, trio.SocketStream):
            await self._send_by_socket(left, self._stream.socket)
            return
        for piece in left:
            for start in range(0, len(piece), SEND_BYTES):
                await self._stream.send_all(piece[start : start + SEND_BYTES])
                self.last_progress = trio.current_time()

    async def _send_by_socket(self, left: list[memoryview], socket: trio.socket.SocketType) -> None:
        """Send pieces as they are: nothing is copied to join them, or to cut them."""
        while left:
            sent = await socket.sendmsg(left[:MAX_AT_ONCE])
            self.last_progress = trio.current_time()
            while left and sent >= len(left[0]):
                sent -= len(left.pop(0))
            if sent:
                left[0] = left[0][sent:]

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


def socket_of(stream: Any) -> trio.socket.SocketType:
    """The socket below a stream, encrypted or not."""
    below: trio.socket.SocketType = getattr(stream, "transport_stream", stream).socket
    return below
