"""The asyncio loop that WebRTC runs in: one for the process, in a thread of its own.

It begins with the first connection and ends with the last. What Trio's tasks and its callbacks
share are integers and deques of which one side writes each.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import trio

from ...channel import ChannelClosedError
from ...errors import PandoError, one_line

logger = logging.getLogger(__name__)

SWITCH_SECONDS = 0.0005
"""How long one thread runs Python while the other one waits. Each packet that is sent or received
lets the other thread run, and by default the one that has sent it waits for up to 5 ms then; to
connect takes some 40 packets. So it is set while there are two threads, and put back after that."""

Result = TypeVar("Result")


class EventLoop:
    """An asyncio loop in a thread, as Trio's tasks use it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(_note_error)
        self.users = 0
        self._switch_seconds = sys.getswitchinterval()
        sys.setswitchinterval(min(self._switch_seconds, SWITCH_SECONDS))
        thread = threading.Thread(target=self._run, name="pando-webrtc", daemon=True)
        thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self.loop.close()

    def stop(self) -> None:
        """End the loop, with what runs in it."""
        sys.setswitchinterval(self._switch_seconds)
        self.post(self.loop.stop)

    def post(self, function: Callable[..., object], *arguments: object) -> None:
        """Have a function called in the loop; nothing happens where it has ended."""
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(function, *arguments)

    async def call(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine in the loop, and wait for it; being cancelled cancels it, too.

        Raises:
            ChannelClosedError: it has failed; the message says why.
        """
        done, token = trio.Event(), trio.lowlevel.current_trio_token()

        def wake(_: object) -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(done.set)

        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        future.add_done_callback(wake)
        try:
            await done.wait()
        except trio.Cancelled:
            future.cancel()
            raise
        try:
            return future.result()
        except PandoError:
            raise
        except Exception as error:  # whatever aiortc meets is the end of this connection alone
            raise ChannelClosedError(one_line(f"WebRTC failed: {error}")) from error


def _note_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Take an error that nobody waits for.

    aiortc starts tasks of its own: to connect, to send what waits, to send it again. It ends none
    of them with their connection, so that they fail to send: they find it closed, or its encryption
    shut down. Whoever has closed it, or has lost it, knows that already.
    """
    from OpenSSL import SSL

    error = context.get("exception")
    if isinstance(error, ConnectionError | SSL.Error) and "future" in context:
        logger.debug("a task of a WebRTC connection that has ended: %s", one_line(str(error)))
    else:
        loop.default_exception_handler(context)


_lock = threading.Lock()
_current: EventLoop | None = None


@asynccontextmanager
async def use_event_loop() -> AsyncIterator[EventLoop]:
    """Keep the loop running inside of the block."""
    global _current
    with _lock:
        if _current is None:
            _current = EventLoop()
        event_loop = _current
        event_loop.users += 1
    try:
        yield event_loop
    finally:
        with _lock:
            event_loop.users -= 1
            if not event_loop.users:
                _current = None
                event_loop.stop()
