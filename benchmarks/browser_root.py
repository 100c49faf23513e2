"""A root whose volunteers are browsers: ``python browser_root.py LANGUAGE FUNCTION ITEM PORT``.

It has no workers of its own. Standard output has one JSON object a line: the link; then, by the
clock that all processes share, when the first result was there; then, for each number of seconds
in a line of standard input, how many items a second came in this time. Standard input's end is
the run's.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import functions
import trio
from workloads import count_up

import pando
from pando.functions.package import JavaScriptPackage
from pando.functions.serialized import SerializedFunction, serialize, serialize_javascript
from pando.running.opening import open_serialized_run
from pando.running.options import RunOptions
from pando.running.serve_options import ServeOptions

WARM_UP_SECONDS = 3.0
DIFFERENT_PAYLOADS = 16


def read_items(item: str) -> Iterable[Any]:
    """Endless items: ``count``, a number that is given each time, or ``bytes:`` and a size."""
    if item == "count":
        return count_up()
    if item.startswith("bytes:"):
        size = int(item.removeprefix("bytes:"))
        payloads = [bytes([number]) * size for number in range(DIFFERENT_PAYLOADS)]
        return itertools.cycle(payloads)
    return itertools.repeat(int(item))


def pack_function(language: str, name: str) -> SerializedFunction:
    """One of the functions, in either language."""
    if language == "python":
        return serialize(getattr(functions, name))
    source = Path(functions.__file__).with_suffix(".js").read_text("utf-8")
    exports = f"{source}\nmodule.exports = functions.{name}\n"
    return serialize_javascript(JavaScriptPackage(name, exports, f"{name}.js", False, []))


class Root:
    """The run and its one stream of results."""

    def __init__(self, run: pando.Run[Any, Any], name: str, item: str) -> None:
        self._stream = run.map(read_items(item))
        self._expected = read_items(item)
        self._is_checked = name in ("square", "echo")
        self._function = getattr(functions, name)

    async def take_batch(self) -> int:
        """The next results; how many they are."""
        batch = await self._stream.next_batch()
        expected = next(itertools.islice(self._expected, len(batch) - 1, None))
        if self._is_checked and batch[-1] != self._function(expected):
            raise RuntimeError("the results are wrong")
        return len(batch)

    async def take_for(self, seconds: float) -> float:
        """Take results for so long; how many came in a second."""
        count = 0
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            count += await self.take_batch()
        return count / (time.perf_counter() - began)


async def serve(language: str, name: str, item: str, port: str) -> None:
    """Serve the function, and measure when told to."""
    options = RunOptions(
        workers=0, serve=ServeOptions(port=int(port), any_port=False, listen="127.0.0.1")
    )
    async with open_serialized_run(pack_function(language, name), name, options) as run:
        root = Root(run, name, item)
        say({"link": run.links[0]})
        await root.take_batch()
        say({"first": time.monotonic()})
        while line := await trio.to_thread.run_sync(sys.stdin.readline):
            await root.take_for(min(WARM_UP_SECONDS, float(line)))
            say({"rate": await root.take_for(float(line))})


def say(what: dict[str, Any]) -> None:
    """One line of output."""
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    trio.run(serve, *sys.argv[1:])
