"""Lending: what a node does with the messages of its borrowers, without I/O.

The decisions are the scheduler's. Here messages come in, the scheduler is told what happened,
and what it says goes out as messages. `pando.tree.node` drives this under Trio, and a simulator
drives thousands of them.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from .. import messages
from ..errors import MalformedValueError, PandoError, UnsupportedValueError, cut
from ..figures import Tally
from ..scheduler import (
    LONG_SECONDS,
    MAX_BATCH_BYTES,
    MAX_BATCH_ITEMS,
    MAX_SECONDS,
    Credit,
    Holder,
    Lease,
    Lender,
    Window,
    choose_recall,
)
from ..source import EndOfInput, Source, WouldBlock

MAX_FRAME_BYTES = 2**32 - 1024
"""The largest batch for a worker of this machine."""
MAX_SURPRISE_BYTES = 4 * MAX_BATCH_BYTES
"""A batch that turns out larger than this is made again, smaller."""
SMOOTHING = 0.2
"""Weight of the newest results in a node's mean time of an item."""


class Codec(Protocol):
    """How a node turns items into messages: the root encodes values, others pass them on."""

    def encode(self, items: Sequence[Any]) -> bytes:
        """One MessagePack array; UnsupportedValueError where an item cannot travel."""

    def find_unsupported(self, items: Sequence[Any]) -> dict[int, UnsupportedValueError]:
        """Which of the items cannot travel, by position."""

    def decode(self, values: msgspec.Raw) -> Sequence[Any]:
        """The results in a message; MalformedValueError where there are none."""


class Borrower:
    """A worker or a child, as a node sees it.

    Args:
        name: what people call it.
        credit: how much it may hold.
        notify: called when there is something in the outbox.
        max_bytes: the largest batch that can be sent to it, encoded.
    """

    def __init__(
        self,
        name: str,
        credit: Credit,
        notify: Callable[[], None],
        *,
        max_bytes: int = MAX_FRAME_BYTES,
    ) -> None:
        self.name = name
        self.max_bytes = max_bytes
        self.credit = credit
        self.outbox: deque[messages.Message] = deque()
        self.heard = 0.0
        self.results = 0
        self.seconds = 0.0
        self.violation = ""
        self._notify = notify

    def post(self, message: messages.Message) -> None:
        """Have a message sent."""
        self.outbox.append(message)
        self._notify()


class Stream:
    """One input on its way through a node: its source, its lender, and who is told of results.

    Attributes:
        add_keys: puts a key to each item, given the index of the first, where they need some.
        withdrawing: stretches of indices that are to leave the stream undone, as soon as they
            wait; `withdrawn` is told of each that does.
    """

    def __init__(self, source: Source, lender: Lender, window: Window) -> None:
        self.source = source
        self.lender = lender
        self.window = window
        self.input_error: Exception | None = None
        self.dry = False
        self.recalled: set[int] = set()
        self.notify: Callable[[], None] = lambda: None
        self.withdrawing: list[tuple[int, int]] = []
        self.withdrawn: Callable[[int, int], None] = lambda start, count: None
        self.add_keys: Callable[[Sequence[Any], int], Sequence[Any]] | None = None

    @property
    def has_items(self) -> bool:
        """Whether there may be something to lend."""
        return bool(self.lender.waiting) or not (self.dry or self.lender.input_ended)


class Lending:
    """A node's lending to all its borrowers.

    Args:
        codec: how items become messages.
        clock: gives the time, in seconds.
        batch_limit: the most items in a batch, where the user chose it.
    """

    def __init__(
        self, codec: Codec, clock: Callable[[], float], *, batch_limit: int | None = None
    ) -> None:
        self._codec = codec
        self._clock = clock
        self._batch_limit = batch_limit or MAX_BATCH_ITEMS
        self._borrowers: dict[Borrower, None] = {}
        self._idle: dict[Borrower, None] = {}
        self._nearly_idle: dict[Borrower, None] = {}
        self._partly_busy: dict[Borrower, None] = {}
        self._hungry = (self._idle, self._nearly_idle, self._partly_busy)
        self._lease_numbers = itertools.count(1)
        self._workers = 0
        self.stream: Stream | None = None
        self._item_bytes = 0.0
        self.item_seconds = 0.0
        self.results = 0
        self.seconds = 0.0
        self.violations: Counter[str] = Counter()
        self.reported = Tally()

    def figures_reported(self) -> messages.Reported | None:
        """What the function has reported on this node's own workers, if it has."""
        figures = self.reported.read()
        return messages.Reported(*figures) if figures else None

    # ---- streams ----

    def new_lender(self, *, ordered: bool = True, max_strikes: int = 3) -> Lender:
        """A lender whose leases cannot be mistaken for an earlier stream's."""
        return Lender(ordered=ordered, max_strikes=max_strikes, numbers=self._lease_numbers)

    def open_stream(self, stream: Stream) -> None:
        """Lend a stream's items from now on. An earlier stream must have been closed."""
        assert self.stream is None
        self.stream = stream
        if self._item_bytes:  # the best guess is the last stream's
            stream.window.measured(1, int(self._item_bytes))
        for borrower in self._borrowers:
            stream.lender.join(borrower)
            self._sort_in(borrower)
        self.pump()

    def close_stream(self, stream: Stream) -> None:
        """Lend no more of it; what has not been started comes back and is dropped."""
        if self.stream is not stream:
            return
        self.stream = None
        self._item_bytes = stream.window.mean_size
        stream.source.close()
        for borrower in self._borrowers:
            for lease in stream.lender.leases_of(borrower):
                borrower.post(messages.Recall(lease.number))
        stream.notify()

    def input_has_news(self, stream: Stream) -> None:
        """The source would give something again."""
        stream.dry = False
        if self.stream is stream:
            self.pump()

    def withdraw(self, low: int, high: int) -> None:
        """Let what has not been started of these indices leave the stream, now or soon."""
        stream = self.stream
        if stream is None:
            return
        stream.withdrawing.append((low, high))
        self._withdraw_waiting(stream)
        for borrower in self._borrowers:
            for lease in stream.lender.leases_of(borrower):
                if lease.start < high and low < lease.start + len(lease.items):
                    borrower.post(messages.Recall(lease.number))

    # ---- borrowers ----

    @property
    def borrowers(self) -> list[Borrower]:
        """All that are here now."""
        return list(self._borrowers)

    @property
    def workers(self) -> int:
        """How many workers compute here and below."""
        return self._workers

    @property
    def someone_is_idle(self) -> bool:
        """Whether a borrower has nothing, while others hold items."""
        return bool(self._idle) and self.stream is not None and self.stream.lender.lent > 0

    def add(self, borrower: Borrower) -> None:
        """A borrower has come."""
        borrower.heard = self._clock()
        self._borrowers[borrower] = None
        self._workers += borrower.credit.workers
        if self.stream is not None:
            self.stream.lender.join(borrower)
            self._sort_in(borrower)
            self.pump()

    def remove(self, borrower: Borrower) -> None:
        """A borrower is gone: what it holds is lent again."""
        del self._borrowers[borrower]
        self._workers -= borrower.credit.workers
        self._sort_out(borrower)
        if self.stream is not None:
            self.stream.lender.leave(borrower)
            self.pump()

    def handle(self, borrower: Borrower, message: messages.Message) -> None:
        """A borrower has sent a message.

        Raises:
            PandoError: it makes no sense. The borrower should be sent away.
        """
        borrower.heard = self._clock()
        if isinstance(message, messages.Want):
            self._workers -= borrower.credit.workers
            borrower.credit.ask(message.workers)
            self._workers += borrower.credit.workers
        if isinstance(message, messages.Reported):
            self.reported.add(msgspec.structs.astuple(message))
            return
        stream = self.stream
        if stream is None:
            return
        match message:
            case messages.Results():
                self._add_results(stream, borrower, message)
            case messages.Returned(lease, offset, count):
                stream.lender.give_back(borrower, lease, offset, count)
                stream.recalled.discard(lease)
            case messages.Struck(lease, offset, reason):
                stream.lender.strike(borrower, lease, offset, cut(reason))
            case messages.Want():
                pass
            case _:
                raise PandoError(f"unexpected message {type(message).__name__}")
        self._sort_in(borrower)
        self.pump()

    def _add_results(self, stream: Stream, borrower: Borrower, message: messages.Results) -> None:
        try:
            values = self._codec.decode(message.values)
        except MalformedValueError as error:
            stream.lender.strike(borrower, message.lease, message.offset, str(error))
            raise
        if not values or not all(0 <= place < len(values) for place in message.failures):
            raise MalformedValueError("results that do not fit together")
        if stream.lender.add_results(
            borrower, message.lease, message.offset, values, dict(message.failures)
        ):
            before = borrower.credit.workers
            seconds = min(message.seconds, MAX_SECONDS)
            borrower.results += len(values)
            borrower.seconds += seconds
            borrower.credit.completed(len(values), message.seconds)
            self._workers += borrower.credit.workers - before
            self.results += len(values)
            self.seconds += seconds
            self.item_seconds += SMOOTHING * (seconds / len(values) - self.item_seconds)
            stream.window.measured(len(values), len(memoryview(message.values)))

    # ---- lending ----

    def _sort_in(self, borrower: Borrower) -> None:
        """Note whether a borrower is idle, nearly so, partly busy or has all it may hold."""
        self._sort_out(borrower)
        if self.stream is None or borrower not in self._borrowers:
            return
        lender = self.stream.lender
        held = lender.count_lent(borrower)
        if held == 0:
            self._idle[borrower] = None
            return
        batch = self._batch_size(self.stream, borrower)
        if held + batch <= borrower.credit.may_hold(batch):
            nothing_waits = held <= borrower.credit.workers
            (self._nearly_idle if nothing_waits else self._partly_busy)[borrower] = None

    def _sort_out(self, borrower: Borrower) -> None:
        for hungry in self._hungry:
            hungry.pop(borrower, None)

    def pump(self) -> None:
        """Read and lend as much as is wanted now, then tell whoever waits for results.

        Whoever has nothing comes first, so that no item waits behind another needlessly, and
        then whoever has nothing in reserve.
        """
        stream = self.stream
        if stream is None:
            return
        if stream.withdrawing:
            self._withdraw_waiting(stream)
        for hungry in self._hungry:
            while hungry and stream.has_items and self._feed(stream, next(iter(hungry))):
                pass
        if stream.lender.ready or stream.lender.finished:
            stream.notify()

    def _withdraw_waiting(self, stream: Stream) -> None:
        for low, high in stream.withdrawing:
            for start, count in stream.lender.withdraw(low, high):
                stream.withdrawn(start, count)

    def _feed(self, stream: Stream, borrower: Borrower) -> bool:
        """Lend one batch to a borrower; False where there is nothing to lend."""
        lender = stream.lender
        while True:
            size = self._batch_size(stream, borrower)
            for _ in range(2):  # where it gives too little, it has no more, which it says next
                if lender.waiting < size:
                    self._fill(stream, size)
            if self._should_wait(stream, borrower, size):
                return False
            lease = lender.lend(borrower, size)
            if lease is None:
                return False
            if self._send(stream, borrower, lease):
                self._sort_in(borrower)
                return True

    def _should_wait(self, stream: Stream, borrower: Borrower, size: int) -> bool:
        """Whether a busy borrower had better get nothing now."""
        lender = stream.lender
        if borrower in self._idle:
            return False
        # The window keeps its batch so small; or the reader does, while it has enough to do.
        may_grow = not stream.dry or borrower in self._partly_busy
        if may_grow and not lender.input_ended and lender.waiting < size // 2:
            return True
        remaining = self._count_remaining(stream)
        if remaining is None or remaining > self._workers:
            return False
        # The last long items go to whoever is idle first.
        is_long = (borrower.credit.item_seconds or 0.0) > LONG_SECONDS
        return is_long and lender.count_lent(borrower) >= borrower.credit.workers

    def _batch_size(self, stream: Stream, borrower: Borrower) -> int:
        return borrower.credit.batch_size(
            borrowers=max(1, self._workers),
            remaining=self._count_remaining(stream),
            item_bytes=stream.window.mean_size,
            limit=self._batch_limit,
        )

    @staticmethod
    def _count_remaining(stream: Stream) -> int | None:
        """How many items have not been lent, where the input's end is known."""
        unread = 0 if stream.lender.input_ended else stream.source.count_unread()
        return None if unread is None else unread + stream.lender.waiting

    def _fill(self, stream: Stream, size: int) -> None:
        """Read what the hungry could take, at least `size`, as far as the window allows."""
        lender = stream.lender
        hungry = sum(map(len, self._hungry))
        window = stream.window.items(4 * self._workers)
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

    def _send(self, stream: Stream, borrower: Borrower, lease: Lease) -> bool:
        """Encode and post a batch; False where items of it cannot travel and others go first."""
        try:
            items = lease.items
            if stream.add_keys is not None:
                items = stream.add_keys(items, lease.start)
            encoded = self._codec.encode(items)
        except UnsupportedValueError:
            self._fail_items(stream, borrower, lease, self._codec.find_unsupported(lease.items))
            return False
        many = len(lease.items) > 1
        if len(encoded) > (
            min(borrower.max_bytes, MAX_SURPRISE_BYTES) if many else borrower.max_bytes
        ):
            self._shrink(stream, borrower, lease, len(encoded))
            return False
        stream.window.measured(len(lease.items), len(encoded))
        borrower.post(messages.Lend(lease.number, msgspec.Raw(encoded)))
        if borrower in self._idle:
            borrower.heard = self._clock()
        return True

    def _shrink(self, stream: Stream, borrower: Borrower, lease: Lease, size: int) -> None:
        """A batch is too large for its message: smaller ones follow; one item alone fails."""
        stream.window.measured(len(lease.items), size)
        reason = f"{size:,} bytes are too much for one message: {borrower.max_bytes:,} may travel"
        alone = len(lease.items) == 1
        errors = {0: UnsupportedValueError(reason)} if alone else {}
        self._fail_items(stream, borrower, lease, errors)

    def _fail_items(
        self,
        stream: Stream,
        borrower: Borrower,
        lease: Lease,
        errors: dict[int, UnsupportedValueError],
    ) -> None:
        """Fail the items of a lease that cannot travel, and let the others wait again."""
        for place, error in errors.items():
            failure = messages.Failure("UnsupportedValueError", str(error))
            stream.lender.add_results(borrower, lease.number, place, [None], {0: failure})
        for low, high in list(lease.missing):
            stream.lender.give_back(borrower, lease.number, low, high - low)

    # ---- balance ----

    def balance(self) -> None:
        """Call back what waits behind long items, for each borrower that is idle."""
        stream = self.stream
        if stream is None or stream.lender.waiting:
            return
        now = self._clock()
        holders = [
            Holder(borrower, borrower.credit, now - borrower.heard)
            for borrower in self._borrowers
            if borrower not in self._idle
        ]
        for _ in range(len(self._idle)):
            lease = choose_recall(stream.lender, holders, stream.recalled)
            if lease is None:
                return
            stream.recalled.add(lease.number)
            assert isinstance(lease.borrower, Borrower)
            lease.borrower.post(messages.Recall(lease.number))
