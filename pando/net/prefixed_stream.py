"""Streams whose first bytes have been read already, and of which only so many may be read."""

from __future__ import annotations

from typing import Any

import trio


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
        self.last_activity = trio.current_time()

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

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


def socket_of(stream: Any) -> trio.socket.SocketType:
    """The socket below a stream, encrypted or not."""
    below: trio.socket.SocketType = getattr(stream, "transport_stream", stream).socket
    return below
