"""A node and its borrowers over memory channels, on a clock that jumps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from pando import messages
from pando.channel import MessageChannel, memory_channel_pair
from pando.running.inputs import open_source
from pando.running.value_codec import ValueCodec
from pando.scheduler import Borrower, Source, Window
from pando.source import EndOfInput
from pando.tree.job import Job
from pando.tree.node import Node

from .workers import FakeWorker


@asynccontextmanager
async def open_node(
    *seconds: Callable[[Any], float],
) -> AsyncIterator[tuple[Node, list[FakeWorker], trio.Nursery]]:
    node = Node(ValueCodec())
    async with trio.open_nursery() as nursery:
        workers = []
        for place, each in enumerate(seconds):
            workers.append(join(node, nursery, f"worker {place}", each))
        nursery.start_soon(node.balance_forever)
        yield node, workers, nursery
        nursery.cancel_scope.cancel()


def join(
    node: Node, nursery: trio.Nursery, name: str, seconds: Callable[[Any], float] = lambda item: 0.0
) -> FakeWorker:
    ours, theirs = memory_channel_pair()
    nursery.start_soon(node.serve, ours, name)
    worker = FakeWorker(theirs, seconds)
    nursery.start_soon(worker.run)
    return worker


def open_job(node: Node, nursery: trio.Nursery, items: Any, **options: Any) -> Job:
    job = Job(open_source(items), node.lending.new_lender(**options), Window())
    node.open_job(job)
    nursery.start_soon(job.source.run, lambda: node.input_ready(job))
    return job


async def all_results(node: Node, job: Job) -> list[Any]:
    results: list[Any] = []
    try:
        while True:
            results += (await node.next_results(job)).values
    except EndOfInput:
        return results


def fixed(seconds: float) -> Callable[[Any], float]:
    return lambda item: seconds


async def test_results_come_in_order_whoever_computes_them(autojump_clock: Any) -> None:
    async with open_node(fixed(0.1), fixed(0.01), lambda item: item % 7 / 100) as (
        node,
        _,
        nursery,
    ):
        job = open_job(node, nursery, list(range(300)))
        assert await all_results(node, job) == [i * i for i in range(300)]


async def test_whoever_is_faster_computes_more(autojump_clock: Any) -> None:
    async with open_node(fixed(0.1), fixed(0.01)) as (node, (slow, fast), nursery):
        job = open_job(node, nursery, list(range(500)))
        await all_results(node, job)
        assert len(fast.computed) > 5 * len(slow.computed)


async def test_short_items_are_sent_together_and_long_ones_alone(autojump_clock: Any) -> None:
    async with open_node(fixed(0.0001)) as (node, (worker,), nursery):
        await all_results(node, open_job(node, nursery, list(range(5000))))
        assert max(worker.batch_sizes) >= 200
        assert len(worker.batch_sizes) < 100
    async with open_node(fixed(1.0)) as (node, (worker,), nursery):
        await all_results(node, open_job(node, nursery, list(range(20))))
        assert set(worker.batch_sizes) == {1}


async def test_nothing_waits_behind_a_long_item_while_somebody_is_idle(autojump_clock: Any) -> None:
    def seconds(item: int) -> float:
        return 100.0 if item == 1000 else 0.001

    async with open_node(seconds, seconds) as (node, _, nursery):
        job = open_job(node, nursery, list(range(1050)))
        started = trio.current_time()
        assert await all_results(node, job) == [i * i for i in range(1050)]
        assert trio.current_time() - started < 103
        assert job.lender.statistics().queued == 0
    # Everything but the long item was done long before it.


async def test_items_behind_a_long_one_are_computed_meanwhile(autojump_clock: Any) -> None:
    def seconds(item: int) -> float:
        return 100.0 if item == 1000 else 0.001

    async with open_node(seconds, seconds) as (node, workers, nursery):
        open_job(node, nursery, list(range(1050)))
        await trio.sleep(50)
        assert sum(len(worker.computed) for worker in workers) >= 1048


async def test_a_lost_borrower_s_items_are_lent_again(autojump_clock: Any) -> None:
    async with open_node(fixed(0.01)) as (node, _, nursery):
        job = open_job(node, nursery, list(range(200)))
        with trio.CancelScope() as doomed:

            async def die_soon() -> None:
                await trio.sleep(0.5)
                await lost.channel.aclose()

            lost = join(node, nursery, "lost", fixed(0.05))
            nursery.start_soon(die_soon)
            assert await all_results(node, job) == [i * i for i in range(200)]
        assert not doomed.cancelled_caught
        assert 0 < len(lost.computed) < 50
        assert len(node.lending.borrowers) == 1


async def test_a_borrower_that_comes_late_takes_part(autojump_clock: Any) -> None:
    async with open_node() as (node, _, nursery):
        job = open_job(node, nursery, list(range(20)))
        with trio.move_on_after(100):
            await node.next_results(job)
        join(node, nursery, "late")
        assert await all_results(node, job) == [i * i for i in range(20)]


async def test_nothing_is_read_before_somebody_could_take_it(autojump_clock: Any) -> None:
    read = []

    def items() -> Any:
        for i in range(1000):
            read.append(i)
            yield i

    async with open_node() as (node, _, nursery):
        job = open_job(node, nursery, items())
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert read == []
        join(node, nursery, "first", fixed(1.0))
        await node.next_results(job)
        assert len(read) <= 4


async def test_results_that_cannot_be_decoded_strike_the_item(autojump_clock: Any) -> None:
    class Garbling(FakeWorker):
        async def send_results(self, lease: int, results: list[Any], seconds: float) -> None:
            garbage = msgspec.Raw(b"\x91\xc7\x01\x7f\x00")
            await self.channel.send(messages.Results(lease, 0, seconds, garbage))

    async with open_node() as (node, _, nursery):
        job = open_job(node, nursery, [1])
        ours, theirs = memory_channel_pair()
        nursery.start_soon(Garbling(theirs).run)
        nursery.start_soon(node.serve, ours, "garbling")
        run = await node.next_results(job)
        assert run.failures[0].losses == 3
        assert "extension" in run.failures[0].reason


@pytest.mark.parametrize(
    "message",
    [
        messages.Results(1, 0, 0.0, msgspec.Raw(b"\x90")),
        messages.Results(1, 0, 0.0, msgspec.Raw(b"\x01")),
        messages.Results(1, 0, 0.0, msgspec.Raw(b"\x91\x01"), {7: messages.Failure("A", "b")}),
        messages.Recall(1),
    ],
)
async def test_a_borrower_that_talks_nonsense_is_dropped(
    message: messages.Message, autojump_clock: Any
) -> None:
    async with open_node() as (node, _, nursery):
        job = open_job(node, nursery, [3])
        ours, theirs = memory_channel_pair()
        await theirs.send(message)
        await node.serve(ours, "strange")
        assert node.lending.borrowers == []
        join(node, nursery, "honest")
        assert await all_results(node, job) == [9]


async def test_a_second_job_starts_with_the_rates_of_the_first(autojump_clock: Any) -> None:
    async with open_node(fixed(0.0001)) as (node, (worker,), nursery):
        first = open_job(node, nursery, list(range(5000)))
        await all_results(node, first)
        node.close_job(first)
        worker.batch_sizes.clear()
        second = open_job(node, nursery, list(range(5000)))
        assert len(await all_results(node, second)) == 5000
        assert worker.batch_sizes[0] > 100


async def test_late_results_of_a_closed_job_are_not_the_next_one_s(autojump_clock: Any) -> None:
    async with open_node(fixed(1.0)) as (node, _, nursery):
        first = open_job(node, nursery, [1, 2, 3])
        await trio.sleep(0.5)
        node.close_job(first)
        second = open_job(node, nursery, [10, 20])
        assert await all_results(node, second) == [100, 400]


async def test_an_item_that_cannot_be_sent_fails_alone(autojump_clock: Any) -> None:
    async with open_node(fixed(0.0)) as (node, _, nursery):
        job = open_job(node, nursery, [1, 2, 3, object(), 5, 6, 7, 8])
        failures: dict[int, Any] = {}
        results: list[Any] = []
        try:
            while True:
                run = await node.next_results(job)
                results += run.values
                failures |= {run.start + place: why for place, why in run.failures.items()}
        except EndOfInput:
            pass
        assert results == [1, 4, 9, None, 25, 36, 49, 64]
        assert list(failures) == [3]
        assert "object" in failures[3].reason


async def test_a_failing_input_gives_all_before_it_first(autojump_clock: Any) -> None:
    def items() -> Any:
        yield from range(5)
        raise OSError("the disk is gone")

    async with open_node(fixed(0.01)) as (node, _, nursery):
        job = open_job(node, nursery, items())
        results: list[Any] = []
        with pytest.raises(OSError, match="the disk is gone"):
            while True:
                results += (await node.next_results(job)).values
        assert results == [0, 1, 4, 9, 16]


async def test_what_is_too_large_for_a_message_fails_alone(autojump_clock: Any) -> None:
    async with open_node() as (node, _, nursery):
        job = open_job(node, nursery, ["small", "x" * 5000, "small", "small"])
        ours, theirs = memory_channel_pair()

        async def serve() -> None:
            await node.serve(ours, "far away", max_bytes=1000)

        nursery.start_soon(serve)
        nursery.start_soon(echo, theirs)
        results: dict[int, Any] = {}
        failures: dict[int, Any] = {}
        try:
            while True:
                run = await node.next_results(job)
                results |= dict(enumerate(run.values, run.start))
                failures |= {run.start + place: why for place, why in run.failures.items()}
        except EndOfInput:
            pass
        assert results == {0: "small", 1: None, 2: "small", 3: "small"}
        assert list(failures) == [1]
        assert "nobody here takes more" in failures[1].reason


async def echo(channel: MessageChannel) -> None:
    """A borrower that gives each item back as its result."""
    while True:
        message = await channel.receive()
        if isinstance(message, messages.Lend):
            await channel.send(messages.Results(message.lease, 0, 0.0, message.items))


@pytest.mark.parametrize("is_sent_away", [True, False])
async def test_no_item_is_suspected_of_ending_a_device_that_is_sent_away(
    is_sent_away: bool, autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_node() as (node, _, nursery):
        losses = []
        remove = node.lending.remove

        def remove_and_note(borrower: Borrower, *, lost: str = "", may_return: bool = False) -> Any:
            losses.append(lost)
            return remove(borrower, lost=lost, may_return=may_return)

        monkeypatch.setattr(node.lending, "remove", remove_and_note)
        job = open_job(node, nursery, [3])
        ours, theirs = memory_channel_pair()
        scope = trio.CancelScope()

        async def serve() -> None:
            with scope:
                await node.serve(ours, "device", source=Source(b"device", "192.0.2.1"))

        nursery.start_soon(serve)
        assert isinstance(await theirs.receive(), messages.Lend)
        if is_sent_away:
            scope.cancel()
        else:
            await theirs.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert losses == ["" if is_sent_away else "the other end is gone"]
        join(node, nursery, "another")
        assert await all_results(node, job) == [9]
