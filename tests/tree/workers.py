"""Workers without processes, on Trio's clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import trio

from pando import messages, values
from pando.channel import ChannelClosedError, MessageChannel


class FakeWorker:
    """A borrower that squares, each item in a given time, and says so batch by batch."""

    def __init__(self, channel: MessageChannel, seconds: Callable[[Any], float] = lambda item: 0.0):
        self.channel = channel
        self.seconds = seconds
        self.computed: list[Any] = []
        self.queue: list[tuple[int, list[Any]]] = []
        self.batch_sizes: list[int] = []
        self.started = 0
        self.news = trio.Event()

    async def run(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.compute)
                while True:
                    message = await self.channel.receive()
                    if isinstance(message, messages.Lend):
                        items = values.decode(message.items)
                        self.batch_sizes.append(len(items))
                        self.queue.append((message.lease, items))
                    elif isinstance(message, messages.Recall):
                        await self.give_back(message.lease)
                    self.news.set()
        except* ChannelClosedError:
            pass

    async def give_back(self, lease: int) -> None:
        for number, items in list(self.queue):
            if number == lease:
                first = self.started if number == self.queue[0][0] else 0
                count = len(items) - first
                del items[first:]
                if not first:
                    self.queue.remove((number, items))
                if count:
                    await self.channel.send(messages.ReturnItems(lease, first, count))

    async def compute(self) -> None:
        while True:
            while not self.queue:
                self.news = trio.Event()
                await self.news.wait()
            lease, items = self.queue[0]
            results, began = [], trio.current_time()
            self.started = 0
            for item in items:
                self.started += 1
                await trio.sleep(self.seconds(item))
                results.append(item * item)
                self.computed.append(item)
            del self.queue[0]
            await self.send_results(lease, results, trio.current_time() - began)

    async def send_results(self, lease: int, results: list[Any], seconds: float) -> None:
        encoded = msgspec.Raw(values.encode(results))
        await self.channel.send(messages.Results(lease, 0, seconds, encoded))
