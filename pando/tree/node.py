"""A node under Trio: borrowers come with a channel each, and results are waited for."""

from __future__ import annotations

import trio

from ..channel import Channel, ChannelClosedError
from ..errors import PandoError
from ..scheduler import Credit, LenderStatistics, ResultRun
from ..source import EndOfInput
from .lending import MAX_FRAME_BYTES, Borrower, Codec, Job, Lending

BALANCE_SECONDS = 0.02
"""How soon it is asked whether an idle borrower could take over somebody's work."""
MAX_BALANCE_SECONDS = 0.32
"""How soon it is asked again, at the latest, when there was nothing to take over."""


class Node(Lending):
    """Lends items to borrowers and gathers their results.

    Args:
        codec: how items become messages.
        batch_limit: the most items in a batch, where the user chose it.
        names_workers: see `Lending`.
    """

    def __init__(
        self, codec: Codec, *, batch_limit: int | None = None, names_workers: bool = False
    ) -> None:
        super().__init__(
            codec, trio.current_time, batch_limit=batch_limit, names_workers=names_workers
        )
        self._hunger = trio.Event()

    async def next_results(self, job: Job) -> ResultRun:
        """The next results to hand out, as soon as there are some.

        Raises:
            EndOfInput: all has been handed out.
            trio.ClosedResourceError: the job has been closed.
            Exception: what the input raised, once all before it has been handed out.
        """
        while (run := self.next_results_nowait(job)) is None:
            news = trio.Event()
            job.notify = news.set
            await news.wait()
        return run

    def next_results_nowait(self, job: Job) -> ResultRun | None:
        """`next_results`, or None where they have not come."""
        run = job.lender.take()
        if run is not None:
            self.pump()
            return run
        if job.lender.finished:
            raise job.input_error or EndOfInput
        if job not in self._jobs:
            raise trio.ClosedResourceError("this job has been closed")
        return None

    def statistics(self) -> list[LenderStatistics]:
        """The figures of each job that is open, oldest first."""
        return [job.lender.statistics() for job in self._jobs]

    async def serve(
        self,
        channel: Channel,
        name: str,
        credit: Credit | None = None,
        *,
        max_bytes: int = MAX_FRAME_BYTES,
    ) -> Borrower:
        """Lend to whoever is at the other end of a channel, until it ends.

        Leaving this function, for whatever reason, is what gives the borrower's leases back.
        """
        wake = trio.Event()

        def notify() -> None:
            wake.set()

        async def write() -> None:
            nonlocal wake
            try:
                while True:
                    await wake.wait()
                    wake = trio.Event()
                    while borrower.outbox:
                        await channel.send(borrower.outbox.popleft())
            except ChannelClosedError:
                return  # the reading task notices, too, and knows more

        borrower = Borrower(name, credit or Credit(), notify, max_bytes=max_bytes)
        self.add(borrower)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write)
                await self._read(borrower, channel)
                nursery.cancel_scope.cancel()
        finally:
            self.remove(borrower)
        return borrower

    async def _read(self, borrower: Borrower, channel: Channel) -> None:
        try:
            while True:
                self.handle(borrower, await channel.receive())
        except ChannelClosedError:
            return
        except PandoError as error:
            self.violations[type(error).__name__] += 1

    def pump(self) -> None:
        super().pump()
        if self.someone_is_idle:
            self._hunger.set()

    async def balance_forever(self) -> None:
        """While somebody is idle, call back what waits after long items elsewhere."""
        while True:
            await self._hunger.wait()
            self._hunger = trio.Event()
            pause = BALANCE_SECONDS
            while self.someone_is_idle:
                await trio.sleep(pause)
                self.balance()
                pause = min(2 * pause, MAX_BALANCE_SECONDS)
