"""The meter of a node: what its workers do, what they wait for, and how long items take. No I/O.

It is told of each message to and from a borrower, and of what the workers may be waiting for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from .. import messages
from ..reporting.device import Measured
from ..reporting.latency import LatencyHistogram
from ..reports.records import BLOCKED, COMPUTING, LOADING, STARVED
from ..scheduler import MAX_SECONDS, Borrower
from .uplink import array_size

if TYPE_CHECKING:
    from ..figures import Figures


class _Lent(msgspec.Struct):
    """Items of a lease that a borrower holds, and since when."""

    borrower: Borrower
    count: int
    at: float


class _Worker(msgspec.Struct):
    """A worker: how many items it holds."""

    held: int = 0


class Meter:
    """Measures a node's own workers, and how long its borrowers take.

    Args:
        clock: gives the time, in seconds.

    Attributes:
        latency: the time from lending an item to its result, of all borrowers.
        returned: items that the node has given back to its parent.
        wanted: how many workers there should be.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.latency = LatencyHistogram()
        self.returned = 0
        self.wanted = 0
        self._clock = clock
        self._workers: dict[Borrower, _Worker] = {}
        self._leases: dict[int, _Lent] = {}
        self._items = 0
        self._failed = 0
        self._seconds = 0.0
        self._waited = {STARVED: 0.0, BLOCKED: 0.0, LOADING: 0.0}
        self._idle = 0
        self._is_blocked = False
        self._since = clock()

    # ---- what happens ----

    def add_worker(self, borrower: Borrower) -> None:
        """Note that a worker has loaded the function."""
        self._pass_time()
        self._workers[borrower] = _Worker()
        self._idle += 1

    def remove(self, borrower: Borrower) -> None:
        """Note that a borrower is gone."""
        self._pass_time()
        worker = self._workers.pop(borrower, None)
        if worker is not None and not worker.held:
            self._idle -= 1
        for number in [n for n, lent in self._leases.items() if lent.borrower is borrower]:
            del self._leases[number]

    def sent(self, borrower: Borrower, message: messages.Message) -> None:
        """Note a message to a borrower."""
        if isinstance(message, messages.Lend):
            count = array_size(memoryview(message.items))
            self._leases[message.lease] = _Lent(borrower, count, self._clock())
            self._hold(borrower, count)

    def received(self, borrower: Borrower, message: messages.Message) -> None:
        """Note a message of a borrower. It is one that `Lending` has taken."""
        match message:
            case messages.Results():
                count = array_size(memoryview(message.values))
                self._settle(borrower, message.lease, count, done=True)
                if borrower in self._workers:
                    self._items += count
                    self._failed += len(message.failures)
                    self._seconds += min(message.seconds, MAX_SECONDS)
            case messages.ReturnItems(lease, _, count):
                self._settle(borrower, lease, count, done=False)
            case messages.ItemCrashed(lease, _, _):
                self._settle(borrower, lease, 1, done=False)

    def set_blocked(self, is_blocked: bool) -> None:
        """Note whether something waits to be sent to the parent."""
        if is_blocked is not self._is_blocked:
            self._pass_time()
            self._is_blocked = is_blocked

    # ---- figures ----

    @property
    def held(self) -> int:
        """How many items the workers hold."""
        return sum(worker.held for worker in self._workers.values())

    @property
    def state(self) -> int:
        """What the workers do, or wait for."""
        if self._idle < len(self._workers):
            return COMPUTING
        if not self._workers and self.wanted:
            return LOADING
        return BLOCKED if self._is_blocked else STARVED

    def read(
        self,
        *,
        cpu_seconds: float | None,
        bytes_in: int = 0,
        bytes_out: int = 0,
        transfer_seconds: float = 0.0,
        reported: Figures | None = None,
    ) -> Measured:
        """Return the cumulative figures.

        Args:
            cpu_seconds: processor time of the workers; None where it cannot be told, and then the
                time in the function is taken for it.
            bytes_in: bytes received from other devices.
            bytes_out: bytes sent to them.
            transfer_seconds: time in which something was being transferred.
            reported: what the function has reported.
        """
        self._pass_time()
        return Measured(
            items=self._items,
            function=self._seconds,
            starved=self._waited[STARVED],
            cpu=self._seconds if cpu_seconds is None else cpu_seconds,
            bytes_in=bytes_in,
            bytes_out=bytes_out,
            transfer=transfer_seconds,
            blocked=self._waited[BLOCKED],
            loading=self._waited[LOADING],
            failed=self._failed,
            returned=self.returned,
            reported=reported,
        )

    # ---- inside ----

    def _hold(self, borrower: Borrower, count: int) -> None:
        """Note that a worker holds so many items more, or less."""
        worker = self._workers.get(borrower)
        if worker is None:
            return
        was_idle = not worker.held
        is_idle = not (worker.held + count)
        if is_idle is not was_idle:
            self._pass_time()
            self._idle += 1 if is_idle else -1
        worker.held += count

    def _settle(self, borrower: Borrower, number: int, count: int, *, done: bool) -> None:
        lent = self._leases.get(number)
        if lent is None or lent.borrower is not borrower:
            return
        count = min(count, lent.count)
        lent.count -= count
        if done:
            self.latency.add(self._clock() - lent.at, count)
        if not lent.count:
            del self._leases[number]
        self._hold(borrower, -count)

    def _pass_time(self) -> None:
        """Count the time since the last change for what the workers waited for."""
        now = self._clock()
        seconds, self._since = now - self._since, now
        if self._idle:
            self._waited[BLOCKED if self._is_blocked else STARVED] += self._idle * seconds
        missing = self.wanted - len(self._workers)
        if missing > 0:
            self._waited[LOADING] += missing * seconds
