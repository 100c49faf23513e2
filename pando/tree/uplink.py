"""The uplink: a parent's items as a node's own input, and its results on their way up. No I/O.

Items are passed on as they came, undecoded. A result finds its way back by its index: the node's
lender counts items as they come, and each lease of the parent is a stretch of those indices.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import msgspec

from .. import messages
from ..errors import MalformedValueError, UnsupportedValueError
from ..limits import MAX_VALUE_BYTES
from ..scheduler import AttemptsExhausted, ResultBatch
from ..source import WouldBlock

MAX_VALUES_BYTES = messages.MAX_MESSAGE_BYTES - 64 * 1024
"""Encoded values in one message to another machine."""
NOTHING = msgspec.Raw(b"\xc0")
_split = msgspec.msgpack.Decoder(list[msgspec.Raw])
_LONG_ARRAY = struct.Struct(">BI")
_SIZE_BYTES = {0xDC: 2, 0xDD: 4}
"""Bytes of a longer array's size, by its first byte."""


class Packed(Sequence[msgspec.Raw]):
    """Encoded values in one array, which is taken apart only when a part of it is wanted.

    A node mostly passes on whole what it was lent, and what it got for that; then what it does for
    a message does not depend on how many values there are.
    """

    __slots__ = ("_apart", "_size", "array")

    def __init__(self, array: msgspec.Raw, size: int) -> None:
        self.array = array
        self._size = size
        self._apart: list[msgspec.Raw] | None = None

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, place: int) -> msgspec.Raw: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[msgspec.Raw]: ...

    def __getitem__(self, place: int | slice) -> msgspec.Raw | Sequence[msgspec.Raw]:
        if isinstance(place, slice):
            start, stop, step = place.indices(self._size)
            if start >= stop:
                return []
            if (start, stop, step) == (0, self._size, 1):
                return self
        return self._take_apart()[place]

    def __iter__(self) -> Iterator[msgspec.Raw]:
        return iter(self._take_apart())

    def _take_apart(self) -> list[msgspec.Raw]:
        if self._apart is None:
            self._apart = _split.decode(self.array)
        return self._apart


def split_values(values: msgspec.Raw) -> list[msgspec.Raw]:
    """Return the encoded values in an array; MalformedValueError where it is none."""
    try:
        return _split.decode(values)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise MalformedValueError(f"not an array of values: {error}") from None


def array_size(encoded: memoryview) -> int:
    """How many values are in an encoded array; MalformedValueError where it is none."""
    first = encoded[0] if encoded else 0
    if first & 0xF0 == 0x90:
        return first & 0x0F
    if first in _SIZE_BYTES:
        return int.from_bytes(encoded[1 : 1 + _SIZE_BYTES[first]], "big")
    raise MalformedValueError("not an array of values")


class RawCodec:
    """The codec of a node that passes values on: it never looks into them."""

    @staticmethod
    def encode(items: Sequence[msgspec.Raw]) -> bytes | memoryview:
        """One MessagePack array around encoded values."""
        if isinstance(items, Packed):
            return memoryview(items.array)
        return _LONG_ARRAY.pack(0xDD, len(items)) + b"".join(items)

    @staticmethod
    def find_unsupported(items: Sequence[Any]) -> dict[int, UnsupportedValueError]:
        """None: what has been encoded once can be passed on."""
        return {}

    @staticmethod
    def decode(values: msgspec.Raw) -> Sequence[msgspec.Raw]:
        """The encoded values in an array; MalformedValueError where it is none.

        That the array is whole is known: it has been found in a message.
        """
        return Packed(values, array_size(memoryview(values)))


class _ParentLease(msgspec.Struct):
    """A parent's lease.

    Attributes:
        number: what the parent calls it.
        unread: items that have not been read into the stream.
        left: how many items are not answered for.
        start: the first item's index in the stream, once it has been read.
        read: how many have been read; they are consecutive in the stream.
        is_copy: whether the parent has lent the items to another borrower, too.
    """

    number: int
    unread: Sequence[msgspec.Raw]
    left: int
    start: int = 0
    read: int = 0
    is_copy: bool = False


class Uplink:
    """A parent's leases as a `pando.running.inputs.Source`, and the messages that answer them.

    Args:
        device: what this node is called in failures.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._by_number: dict[int, _ParentLease] = {}
        self._unread: deque[_ParentLease] = deque()
        self._in_stream: list[_ParentLease] = []
        self._starts: list[int] = []
        self._items_read = 0

    # ---- from the parent ----

    def add(self, message: messages.Lend) -> None:
        """The parent lends items.

        Raises:
            MalformedValueError: they are none.
        """
        items = RawCodec.decode(message.items)
        if not items or message.lease in self._by_number:
            raise MalformedValueError("a lease without items, or a lease's number used again")
        lease = _ParentLease(message.lease, items, len(items), is_copy=message.is_copy)
        self._by_number[message.lease] = lease
        self._unread.append(lease)

    def recall(
        self, message: messages.Recall
    ) -> tuple[messages.ReturnItems | None, tuple[int, int] | None]:
        """The parent wants back what has not been started of a lease.

        Returns:
            The answer, which gives back at once what has not been read; and the indices of what
            has, the first and the one after the last, to be cancelled in the node's lending.
        """
        lease = self._by_number.get(message.lease)
        if lease is None:
            return None, None
        answer = None
        if lease.unread:
            count, lease.unread = len(lease.unread), []
            self._unread.remove(lease)
            answer = messages.ReturnItems(lease.number, lease.read, count)
            self._finished(lease, count)
        read = (lease.start, lease.start + lease.read) if lease.read else None
        return answer, read

    # ---- the node's source ----

    def read_nowait(self, limit: int) -> Sequence[msgspec.Raw]:
        """Items in the order in which they were lent; WouldBlock where there are none."""
        if not self._unread:
            raise WouldBlock
        lease = self._unread[0]
        if not lease.read:
            lease.start = self._items_read
            self._in_stream.append(lease)
            self._starts.append(lease.start)
        items = lease.unread[:limit]
        lease.unread = lease.unread[limit:]
        lease.read += len(items)
        self._items_read += len(items)
        if not lease.unread:
            self._unread.popleft()
        return items

    def remaining(self) -> None:
        """Nobody knows how many more the parent will lend."""

    async def run(self, wake: Callable[[], None]) -> None:
        """Nothing to wait for: whoever adds a lease says so."""

    def close(self) -> None:
        """Forget all leases: they are not this node's any more."""
        self._by_number.clear()
        self._unread.clear()
        self._in_stream.clear()
        self._starts.clear()

    def is_copy(self, index: int) -> bool:
        """Return whether the parent has lent an item of the stream to another borrower, too."""
        lease = self._lease_at(index)
        return lease is not None and lease.is_copy

    # ---- to the parent ----

    def answer(self, batch: ResultBatch, item_seconds: float) -> list[messages.Message]:
        """What to tell the parent of results.

        Args:
            batch: results of consecutive items.
            item_seconds: the time that computing one of them took, on average.
        """
        answers: list[messages.Message] = []
        done = 0
        while done < len(batch.values):
            lease = self._lease_at(batch.start + done)
            if lease is None:
                return answers
            offset = batch.start + done - lease.start
            count = min(len(batch.values) - done, lease.read - offset)
            answers += self._answer_part(batch, done, count, lease, offset, item_seconds)
            self._finished(lease, count)
            done += count
        return answers

    def give_back(self, start: int, count: int) -> list[messages.ReturnItems]:
        """What to tell the parent of items that leave this node undone, of one lease or several."""
        answers: list[messages.ReturnItems] = []
        end = start + count
        while start < end and (lease := self._lease_at(start)) is not None:
            some = min(end, lease.start + lease.read) - start
            self._finished(lease, some)
            answers.append(messages.ReturnItems(lease.number, start - lease.start, some))
            start += some
        return answers

    def _answer_part(
        self,
        batch: ResultBatch,
        done: int,
        count: int,
        lease: _ParentLease,
        offset: int,
        item_seconds: float,
    ) -> list[messages.Message]:
        """Results that belong to one lease; an item whose worker was lost parts them."""
        answers: list[messages.Message] = []
        failures: dict[int, messages.Failure] = {}
        first = done
        for place in sorted(p for p in batch.failures if done <= p < done + count):
            failure = batch.failures[place]
            if isinstance(failure, AttemptsExhausted):
                answers += self._results(batch, first, place, lease, failures, item_seconds)
                index = offset + place - done
                answers.append(messages.ItemCrashed(lease.number, index, failure.reason))
                first, failures = place + 1, {}
            else:
                failures[place - first] = msgspec.structs.replace(
                    failure, device=failure.device or self._device
                )
        answers += self._results(batch, first, done + count, lease, failures, item_seconds)
        return answers

    @staticmethod
    def _results(
        batch: ResultBatch,
        first: int,
        last: int,
        lease: _ParentLease,
        failures: dict[int, messages.Failure],
        item_seconds: float,
    ) -> list[messages.Message]:
        if first == last:
            return []
        values = batch.values[first:last]
        if failures and not isinstance(values, Packed):  # what has failed here has no value at all
            values = [NOTHING if value is None else value for value in values]
        encoded = RawCodec.encode(values)
        if len(encoded) > MAX_VALUES_BYTES and len(values) > 1:
            # Too much for one message: two of them.
            half = len(values) // 2
            before = {place: why for place, why in failures.items() if place < half}
            after = {place - half: why for place, why in failures.items() if place >= half}
            parts = ((first, first + half, before), (first + half, last, after))
            return [
                answer
                for low, high, failed in parts
                for answer in Uplink._results(batch, low, high, lease, failed, item_seconds)
            ]
        if len(encoded) > MAX_VALUE_BYTES:
            size = len(memoryview(values[0]))
            reason = f"the result has {size:,} bytes, and at most {MAX_VALUE_BYTES:,} can be sent"
            failures = {0: messages.Failure("UnsupportedValueError", reason)}
            encoded = RawCodec.encode([NOTHING])
        offset = batch.start + first - lease.start
        seconds = len(values) * item_seconds
        return [messages.Results(lease.number, offset, seconds, msgspec.Raw(encoded), failures)]

    def _lease_at(self, index: int) -> _ParentLease | None:
        place = bisect_right(self._starts, index) - 1
        if place < 0:
            return None
        lease = self._in_stream[place]
        return lease if index < lease.start + lease.read else None

    def _finished(self, lease: _ParentLease, count: int) -> None:
        """So many items of a lease are answered for; forget leases that are, oldest first."""
        lease.left -= count
        if lease.left == 0:
            del self._by_number[lease.number]
            while self._in_stream and self._in_stream[0].left == 0:
                del self._in_stream[0], self._starts[0]
