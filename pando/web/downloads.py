"""Files for browsers, sent in pieces, a few at once for each address.

A client that does not read keeps one piece of a file in memory, and no copy of the whole. Others
from its address wait for their turn; those from other addresses do not.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator

import trio
from quart.wrappers.response import ResponseBody

from ..limits import MAX_DOWNLOADS_PER_ADDRESS

PIECE_BYTES = 64 * 1024


class Downloads:
    """Sends files.

    Args:
        per_address: how many files are on their way to one address at once.
    """

    def __init__(self, per_address: int = MAX_DOWNLOADS_PER_ADDRESS) -> None:
        self._per_address = per_address
        self._turns: weakref.WeakValueDictionary[str, trio.Semaphore]
        self._turns = weakref.WeakValueDictionary()

    def start(self, data: bytes, address: str) -> Download:
        """A file on its way to an address."""
        turns = self._turns.get(address)
        if turns is None:
            turns = self._turns[address] = trio.Semaphore(self._per_address)
        return Download(data, turns)


class Download(ResponseBody):
    """The body of a response: the pieces of a file, once it is its turn.

    Leaving it, for whatever reason, lets the next one begin.
    """

    def __init__(self, data: bytes, turns: trio.Semaphore) -> None:
        self._data = memoryview(data)
        self._turns = turns
        self._start = 0

    async def __aenter__(self) -> Download:
        await self._turns.acquire()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._turns.release()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._start >= len(self._data):
            raise StopAsyncIteration
        piece = bytes(self._data[self._start : self._start + PIECE_BYTES])
        self._start += PIECE_BYTES
        await trio.lowlevel.checkpoint()
        return piece
