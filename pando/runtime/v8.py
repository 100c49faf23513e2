"""V8, the JavaScript engine, in this process: scripts are run, and memory is shared with them.

Everything here runs on a separate event loop, since the engine computes in a separate thread
and answers to a loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import FunctionError

if TYPE_CHECKING:
    from py_mini_racer import MiniRacer

MEMORY_SHARE = 0.75
"""What scripts may take of the memory whose end would make the engine end this process."""
TICK_SECONDS = 0.005
PARSE_ERROR = re.compile(r"<anonymous>:(\d+): (SyntaxError: .*)\n(.*)")
HOW_TO_INSTALL = "JavaScript modules need mini-racer: pip install mini-racer"


class ScriptError(Exception):
    """A script is not JavaScript: its line, and what is wrong with it."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(line, reason)
        self.line = line
        self.reason = reason


def is_installed() -> bool:
    """Tell whether there is an engine here."""
    return importlib.util.find_spec("py_mini_racer") is not None


class Engine:
    """An engine, for one event loop: all its coroutines and methods run there."""

    def __init__(self) -> None:
        self._exits = contextlib.ExitStack()
        self._racer: MiniRacer

    async def open(self) -> None:
        """Start it.

        Raises:
            FunctionError: there is none here.
        """
        try:
            from py_mini_racer import MiniRacer
        except ImportError:
            raise FunctionError(HOW_TO_INSTALL) from None
        self._racer = self._exits.enter_context(MiniRacer())
        most = self._racer.heap_stats()["heap_size_limit"]
        self._racer.set_hard_memory_limit(int(MEMORY_SHARE * most))

    async def close(self) -> None:
        """End it; what it has given is of no use any more."""
        self._exits.close()

    def check(self, script: str) -> None:
        """Look whether an expression, which must not do anything, is JavaScript at all.

        Raises:
            ScriptError: it is not.
        """
        from py_mini_racer import JSParseException

        try:
            self._racer.eval(script)
        except JSParseException as error:
            found = PARSE_ERROR.match(str(error))
            if found is None:
                raise ScriptError(0, str(error)) from None
            text = found[3].strip()
            raise ScriptError(int(found[1]), f"{found[2]}: {text}" if text else found[2]) from None

    def evaluate(self, script: str) -> Any:
        """Return the value of a short script.

        An ArrayBuffer is a view of its memory, which is good for as long as the script itself
        refers to it.
        """
        return self._racer.eval(script)

    async def run(self, script: str, tick: Callable[[], None] = lambda: None) -> Any:
        """Return the value of a script, or what its promise becomes; `tick` is called meanwhile.

        An ArrayBuffer is a view, as for `evaluate`.

        Raises:
            MemoryError: it has taken more than it may; the engine is of no use any more.
        """
        from py_mini_racer import JSPromise

        value = await self._wait(asyncio.ensure_future(self._racer.eval_cancelable(script)), tick)
        if isinstance(value, JSPromise):
            value = await self._wait(asyncio.ensure_future(_settled(value)), tick)
        return value

    async def _wait(self, task: asyncio.Future[Any], tick: Callable[[], None]) -> Any:
        from py_mini_racer import JSOOMException

        try:
            while not (await asyncio.wait({task}, timeout=TICK_SECONDS))[0]:
                tick()
                if self._racer.was_hard_memory_limit_reached():
                    raise MemoryError
            return task.result()
        except JSOOMException:
            raise MemoryError from None
        finally:
            task.cancel()


async def _settled(promise: Any) -> Any:
    return await promise
