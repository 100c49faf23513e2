"""A node: lends the items of a stream to its borrowers, which are workers and children alike.

The decisions are the scheduler's. This module reads messages, tells the scheduler what happened,
and sends what it says.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
import trio

from .. import messages
from ..channel import Channel, ChannelClosedError
from ..errors import MalformedValueError, PandoError, UnsupportedValueError
from ..scheduler import (
    MAX_BATCH_ITEMS,
    Credit,
    Holder,
    Lease,
    Lender,
    LenderStatistics,
    ResultRun,
    Window,
    choose_recall,
)
from ..sources import EndOfInput, Source, WouldBlock

BALANCE_SECONDS = 0.02
"""How often it is asked whether an idle borrower could take over somebody's work."""


class Codec(Protocol):
    """How a node turns items into messages: the root encodes values, others pass them on."""

    def encode(self, items: list[Any]) -> bytes:
        """One MessagePack array; UnsupportedValueError where an item cannot travel."""

    def find_unsupported(self, items: list[Any]) -> dict[int, UnsupportedValueError]:
        """Which of the items cannot travel, by position."""

    def decode(self, values: msgspec.Raw) -> list[Any]:
        """The results in a message; MalformedValueError where there are none."""


@dataclass(eq=False)
class Borrower:
    """A worker or a child, as a node sees it."""

    name: str
    credit: Credit
    outbox: deque[messages.Message] = field(default_factory=deque)
    wake: trio.Event = field(default_factory=trio.Event)
    heard: float = 0.0
    results: int = 0
    seconds: float = 0.0
    violation: str = ""

    def post(self, message: messages.Message) -> None:
        """Have a message sent by the borrower's writing task."""
        self.outbox.append(message)
        self.wake.set()


class Stream:
    """One input on its way through a node: its source, its lender, and who waits for results."""

    def __init__(self, source: Source, lender: Lender, window: Window) -> None:
        self.source = source
        self.lender = lender
        self.window = window
        self.input_error: Exception | None = None
        self.dry = False
        self.news = trio.Event()
        self.recalled: set[int] = set()


class Node:
    """Lends items to borrowers and gathers their results.

    Args:
        codec: how items become messages.
        batch_limit: the most items in a batch, where the user chose it.
    """

    def __init__(self, codec: Codec, *, batch_limit: int | None = None) -> None:
        self._codec = codec
        self._batch_limit = batch_limit
        self._stream: Stream | None = None
        self._borrowers: dict[Borrower, None] = {}
        self._idle: dict[Borrower, None] = {}
        self._partly_busy: dict[Borrower, None] = {}
        self._lease_numbers = itertools.count(1)
        self._hunger = trio.Event()

    # ---- streams ----

    def new_lender(self, *, ordered: bool = True) -> Lender:
        """A lender whose leases cannot be mistaken for an earlier stream's."""
        return Lender(ordered=ordered, numbers=self._lease_numbers)

    def open_stream(self, stream: Stream) -> None:
        """Lend a stream's items from now on. An earlier stream must have been closed."""
        assert self._stream is None
        self._stream = stream
        for borrower in self._borrowers:
            stream.lender.join(borrower)
            self._sort_in(borrower)
        self.pump()

    def close_stream(self, stream: Stream) -> None:
        """Lend no more of it; what has not been started comes back and is dropped."""
        if self._stream is not stream:
            return
        self._stream = None
        stream.source.close()
        for borrower in self._borrowers:
            for lease in stream.lender.leases_of(borrower):
                borrower.post(messages.Recall(lease.number))
        stream.news.set()

    async def next_results(self, stream: Stream) -> ResultRun:
        """The next results to hand out, as soon as there are some.

        Raises:
            EndOfInput: all has been handed out.
            Exception: what the input raised, once all before it has been handed out.
        """
        while True:
            run = stream.lender.take()
            if run is not None:
                self.pump()
                return run
            if stream.lender.finished:
                raise stream.input_error or EndOfInput
            if self._stream is not stream:
                raise trio.ClosedResourceError("this stream has been closed")
            stream.news = trio.Event()
            await stream.news.wait()

    def statistics(self) -> LenderStatistics | None:
        """The figures of the stream that is open."""
        return self._stream.lender.statistics() if self._stream else None

    # ---- borrowers ----

    @property
    def borrowers(self) -> list[Borrower]:
        """All that are here now."""
        return list(self._borrowers)

    async def serve(self, channel: Channel, name: str) -> None:
        """Lend to whoever is at the other end of a channel, until it ends.

        Leaving this function, for whatever reason, is what gives the borrower's leases back.
        """
        borrower = Borrower(name, Credit(), heard=trio.current_time())
        self._borrowers[borrower] = None
        if self._stream is not None:
            self._stream.lender.join(borrower)
        self._sort_in(borrower)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, borrower, channel)
                self.pump()
                await self._read(borrower, channel)
                nursery.cancel_scope.cancel()
        finally:
            del self._borrowers[borrower]
            self._idle.pop(borrower, None)
            self._partly_busy.pop(borrower, None)
            if self._stream is not None:
                self._stream.lender.leave(borrower)
                self.pump()

    async def _write(self, borrower: Borrower, channel: Channel) -> None:
        try:
            while True:
                await borrower.wake.wait()
                borrower.wake = trio.Event()
                while borrower.outbox:
                    await channel.send(borrower.outbox.popleft())
        except ChannelClosedError:
            return  # the reading task notices, too, and knows more

    async def _read(self, borrower: Borrower, channel: Channel) -> None:
        try:
            while True:
                self._handle(borrower, await channel.receive())
        except ChannelClosedError:
            return
        except PandoError as error:
            borrower.violation = str(error)

    def _handle(self, borrower: Borrower, message: messages.Message) -> None:
        stream = self._stream
        borrower.heard = trio.current_time()
        if stream is None:
            return
        match message:
            case messages.Results():
                self._add_results(stream, borrower, message)
            case messages.Returned(lease, offset, count):
                stream.lender.give_back(borrower, lease, offset, count)
            case messages.Struck(lease, offset, reason):
                stream.lender.strike(borrower, lease, offset, reason)
            case _:
                raise PandoError(f"unexpected message {type(message).__name__}")
        self._sort_in(borrower)
        self.pump()

    def _add_results(self, stream: Stream, borrower: Borrower, message: messages.Results) -> None:
        try:
            values = self._codec.decode(message.values)
        except MalformedValueError as error:
            for lease in stream.lender.leases_of(borrower):
                if lease.number == message.lease:
                    stream.lender.strike(borrower, lease.number, message.offset, str(error))
            raise
        if not values or not all(0 <= place < len(values) for place in message.failures):
            raise MalformedValueError("results that do not fit together")
        if stream.lender.add_results(
            borrower, message.lease, message.offset, values, dict(message.failures)
        ):
            borrower.results += len(values)
            borrower.seconds += message.seconds
            borrower.credit.completed(len(values), message.seconds)
            stream.window.measured(len(values), len(bytes(message.values)))

    # ---- lending ----

    def _sort_in(self, borrower: Borrower) -> None:
        """Note whether a borrower is idle, partly busy or has all it may hold."""
        leases = self._stream.lender.count_leases(borrower) if self._stream else 0
        self._idle.pop(borrower, None)
        self._partly_busy.pop(borrower, None)
        if leases == 0:
            self._idle[borrower] = None
            self._hunger.set()
        elif leases < borrower.credit.capacity:
            self._partly_busy[borrower] = None

    def pump(self) -> None:
        """Read and lend as much as is wanted now, then tell whoever waits for results.

        Whoever has nothing comes first, so that no item waits behind another needlessly.
        """
        stream = self._stream
        if stream is None:
            return
        for hungry in (self._idle, self._partly_busy):
            for borrower in list(hungry):
                if not self._feed(stream, borrower):
                    break
        if self._idle and stream.lender.lent:
            self._hunger.set()
        if stream.lender.ready or stream.lender.finished:
            stream.news.set()

    def _feed(self, stream: Stream, borrower: Borrower) -> bool:
        """Lend one batch to a borrower; False where there is nothing to lend."""
        lender = stream.lender
        while True:
            size = self._batch_size(stream, borrower)
            if lender.waiting < size:
                self._fill(stream, size)
            lease = lender.lend(borrower, size)
            if lease is None:
                return False
            if self._send(stream, borrower, lease):
                self._sort_in(borrower)
                return True

    def _batch_size(self, stream: Stream, borrower: Borrower) -> int:
        remaining = 0 if stream.lender.input_ended else stream.source.count_unread()
        return borrower.credit.batch_size(
            borrowers=len(self._borrowers),
            remaining=None if remaining is None else remaining + stream.lender.waiting,
            item_bytes=stream.window.mean_size,
            limit=self._batch_limit or MAX_BATCH_ITEMS,
        )

    def _fill(self, stream: Stream, size: int) -> None:
        """Read what the hungry could take, at least `size`, as far as the window allows."""
        lender = stream.lender
        hungry = len(self._idle) + len(self._partly_busy)
        window = stream.window.items(4 * len(self._borrowers))
        limit = min(size * hungry - lender.waiting, lender.read_limit(window))
        if limit <= 0 or stream.dry:
            return
        try:
            lender.add_items(stream.source.read_nowait(limit))
        except WouldBlock:
            stream.dry = True
        except EndOfInput:
            lender.end_input()
        except Exception as error:
            stream.input_error = error
            lender.end_input()

    def input_has_news(self, stream: Stream) -> None:
        """The source would give something again."""
        stream.dry = False
        if self._stream is stream:
            self.pump()

    def _send(self, stream: Stream, borrower: Borrower, lease: Lease) -> bool:
        """Encode and post a batch; False where items of it cannot travel and others go first."""
        try:
            encoded = self._codec.encode(lease.items)
        except UnsupportedValueError:
            unsupported = self._codec.find_unsupported(lease.items)
            for place, error in unsupported.items():
                failure = messages.Failure("UnsupportedValueError", str(error))
                stream.lender.add_results(borrower, lease.number, place, [None], {0: failure})
            for low, high in list(lease.missing):
                stream.lender.give_back(borrower, lease.number, low, high - low)
            return False
        stream.window.measured(len(lease.items), len(encoded))
        borrower.post(messages.Lend(lease.number, msgspec.Raw(encoded)))
        if borrower in self._idle:
            borrower.heard = trio.current_time()
        return True

    # ---- balance ----

    async def balance(self) -> None:
        """While somebody is idle, call back what waits behind long items elsewhere."""
        while True:
            await self._hunger.wait()
            self._hunger = trio.Event()
            while self._idle and self._stream is not None and self._stream.lender.lent:
                await trio.sleep(BALANCE_SECONDS)
                for _ in range(len(self._idle)):
                    if not self._recall_one():
                        break

    def _recall_one(self) -> bool:
        stream = self._stream
        if stream is None or stream.lender.waiting:
            return False
        now = trio.current_time()
        holders = [
            Holder(borrower, borrower.credit, now - borrower.heard)
            for borrower in self._borrowers
            if borrower not in self._idle
        ]
        lease = choose_recall(stream.lender, holders, stream.recalled)
        if lease is None:
            return False
        stream.recalled.add(lease.number)
        assert isinstance(lease.borrower, Borrower)
        lease.borrower.post(messages.Recall(lease.number))
        return True
