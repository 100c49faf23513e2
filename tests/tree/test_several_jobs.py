"""Several jobs at one node share the time of its workers, on a clock that jumps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from pando import messages, values
from pando.messages import Lend, Results
from pando.running.value_codec import ValueCodec
from pando.scheduler import Borrower, Credit, Window
from pando.scheduler.window import MAX_BYTES
from pando.source import EndOfInput, WouldBlock
from pando.tree.actions import Action, Send
from pando.tree.job import Job
from pando.tree.lending import Lending
from pando.tree.node import Node

from .test_node import all_results, fixed, open_job, open_node
from .workers import FakeWorker

SHORT, LONG = 0.001, 0.07


def by_sign(item: int) -> float:
    """Items of one job are positive and short, those of the other negative and long."""
    return SHORT if item >= 0 else LONG


def seconds_spent(workers: list[FakeWorker], mine: Callable[[int], bool]) -> float:
    return sum(by_sign(item) for worker in workers for item in worker.computed if mine(item))


async def drain(node: Node, job: Job) -> None:
    while True:
        await node.next_results(job)


@pytest.mark.parametrize("count", [1, 3])
async def test_jobs_with_items_get_equal_time_whatever_the_length_of_their_items(
    autojump_clock: Any, count: int
) -> None:
    async with open_node(*[by_sign] * count) as (node, workers, nursery):
        short = open_job(node, nursery, list(range(100_000)))
        nursery.start_soon(drain, node, short)
        await trio.sleep(3)
        long = open_job(node, nursery, [-n for n in range(1, 10_000)])
        nursery.start_soon(drain, node, long)
        before = seconds_spent(workers, lambda item: item >= 0)
        await trio.sleep(5)
        of_short = seconds_spent(workers, lambda item: item >= 0) - before
        of_long = seconds_spent(workers, lambda item: item < 0)
        assert of_short + of_long == pytest.approx(5 * count, rel=0.1)
        assert of_short == pytest.approx(of_long, rel=0.1)


async def test_a_new_job_s_first_item_is_lent_within_one_batch(autojump_clock: Any) -> None:
    async with open_node(fixed(0.01)) as (node, _, nursery):
        nursery.start_soon(drain, node, open_job(node, nursery, list(range(100_000))))
        await trio.sleep(3)
        lent_before = next(node.lending._lease_numbers)
        second = open_job(node, nursery, [-1, -2])
        while not second.lender.lent:  # noqa: ASYNC110 - nobody tells
            await trio.sleep(0.001)
        assert min(second.lender.holdings.leases) == lent_before + 1
        assert await all_results(node, second) == [1, 4]


async def test_a_job_that_had_no_items_for_long_does_not_make_up_for_it(
    autojump_clock: Any,
) -> None:
    send, receive = trio.open_memory_channel[int](10_000)
    async with open_node(by_sign) as (node, workers, nursery):
        idle = open_job(node, nursery, receive)
        nursery.start_soon(drain, node, idle)
        nursery.start_soon(drain, node, open_job(node, nursery, list(range(100_000))))
        await trio.sleep(20)
        before = seconds_spent(workers, lambda item: item >= 0)
        for number in range(1, 1000):
            send.send_nowait(-number)
        await trio.sleep(5)
        of_busy = seconds_spent(workers, lambda item: item >= 0) - before
        assert of_busy == pytest.approx(2.5, rel=0.15)


async def test_closed_jobs_leave_nothing_behind(autojump_clock: Any) -> None:
    async with open_node(fixed(0.0), fixed(0.0)) as (node, _, nursery):
        going_on = open_job(node, nursery, list(range(5)))
        for number in range(1000):
            job = open_job(node, nursery, [number])
            assert await all_results(node, job) == [number**2]
            node.close_job(job)
        assert node.lending.jobs == [going_on]
        assert not node.lending._job_of
        assert await all_results(node, going_on) == [0, 1, 4, 9, 16]
        await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) < 10


def test_the_window_s_bytes_are_shared() -> None:
    window = Window()
    window.measured(1, 10_000)
    assert window.items() == MAX_BYTES // 10_000
    assert window.items(windows=4) == MAX_BYTES // 4 // 10_000


class Letters:
    """A source whose items come when they are put in."""

    def __init__(self) -> None:
        self.items: list[int] = []
        self.ended = False

    def read_nowait(self, limit: int) -> list[int]:
        if not self.items:
            raise EndOfInput if self.ended else WouldBlock
        taken, self.items = self.items[:limit], self.items[limit:]
        return taken

    def remaining(self) -> None: ...

    async def run(self, wake: Callable[[], None]) -> None: ...

    def close(self) -> None: ...


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["open", "items", "end", "join", "leave", "answer", "return", "close"]),
        st.integers(0, 5),
    ),
    max_size=60,
)


@given(EVENTS)
def test_every_item_of_every_job_comes_out_once(  # noqa: PLR0915 - one story
    events: list[tuple[str, int]],
) -> None:
    """Whatever the order of events, with jobs and borrowers that come and go."""
    lending = Lending(ValueCodec(), lambda: 0.0)
    sources: dict[Job, Letters] = {}
    expected: dict[Job, list[int]] = {}
    got: dict[Job, list[int]] = {}
    borrowers: dict[Borrower, deque[messages.Message]] = {}
    number = 0

    def do(actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Send):
                borrowers[action.borrower].append(action.message)

    def take(job: Job) -> None:
        while (run := job.lender.take()) is not None:
            got[job] += run.values

    def answer(borrower: Borrower, *, undone: bool) -> None:
        while borrowers[borrower]:
            message = borrowers[borrower].popleft()
            if isinstance(message, Lend):
                items = values.decode(message.items)
                if undone:
                    said: Any = messages.ReturnItems(message.lease, 0, len(items))
                else:
                    encoded = msgspec.Raw(values.encode([-item for item in items]))
                    said = Results(message.lease, 0, 0.01, encoded)
                do(lending.handle(borrower, said))
                return

    for event, which in events:
        jobs = lending.jobs
        if event == "open" and len(jobs) < 4:
            source = Letters()
            job = Job(source, lending.new_lender(), Window())  # type: ignore[arg-type]
            sources[job], expected[job], got[job] = source, [], []
            do(lending.open_job(job))
        elif event == "join" and len(borrowers) < 4:
            borrower = Borrower("b", Credit())
            borrowers[borrower] = deque()
            do(lending.add(borrower))
        elif event == "leave" and borrowers:
            borrower = [*borrowers][which % len(borrowers)]
            del borrowers[borrower]
            do(lending.remove(borrower))
        elif event in ("answer", "return") and borrowers:
            answer([*borrowers][which % len(borrowers)], undone=event == "return")
        elif jobs:
            job = jobs[which % len(jobs)]
            if event == "items" and not sources[job].ended:
                new = list(range(number, number + which + 1))
                number += len(new)
                expected[job] += [-item for item in new]
                sources[job].items += new
                do(lending.input_ready(job))
            elif event == "end":
                sources[job].ended = True
                do(lending.input_ready(job))
            elif event == "close":
                do(lending.close_job(job))
        for job in lending.jobs:
            take(job)
            job.lender.validate_state()
            assert got[job] == expected[job][: len(got[job])]
        current = {lease for job in lending.jobs for lease in job.lender.holdings.leases}
        assert set(lending._job_of) == current

    helper = Borrower("helper", Credit())
    for borrower in [*borrowers]:
        del borrowers[borrower]
        do(lending.remove(borrower))
    borrowers[helper] = deque()
    do(lending.add(helper))
    for job in lending.jobs:
        sources[job].ended = True
        do(lending.input_ready(job))
    while any(not job.lender.finished for job in lending.jobs):
        assert borrowers[helper]
        answer(helper, undone=False)
        for job in lending.jobs:
            take(job)
    assert all(got[job] == expected[job] for job in lending.jobs)
