"""A JavaScript function on its way through batches of items, inside V8.

A call into V8 costs a thousand times as much as a short item does. So items go in by the chunk,
encoded, and are decoded, computed and encoded again inside; a chunk is some milliseconds of work,
so that results flow. Memory that both sides see tells which item of it is running, and how many
may still be started.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ..errors import FunctionError, truncate
from ..functions.package import JavaScriptPackage
from .invoke import one_line
from .running_item import OFFSET, RunningItem
from .v8 import Engine, ScriptError

if TYPE_CHECKING:
    from .batch import Batch

RUNTIME = Path(__file__).with_name("v8.js")
CHUNK_SECONDS = 0.015
MAX_CHUNK = 16_384
MAX_GROWTH = 4
FIRST_ROOM = 64 * 1024
"""Bytes that can be handed over without asking for room first."""
RUNNING, LIMIT, WRITTEN, READ, GIVEN, TAKEN, REPORTED = range(7)
"""Places in the shared memory; see `v8.ts`."""
WRAP = 2**32

Encoded = msgspec.Raw
NIL = msgspec.Raw(b"\xc0")


class JavaScriptFunction:
    """A JavaScript package, loaded, that computes batches.

    Raises:
        FunctionError: it is not JavaScript, or exports no function; the message is one sentence.
    """

    def __init__(self, package: JavaScriptPackage) -> None:
        self._package = package
        self._count = 1
        self._first = 0
        self._choosing = threading.Lock()
        self._runner = asyncio.Runner()
        self._engine = Engine()
        try:
            self._runner.run(self._open())
        except BaseException:
            self.close()
            raise

    # ---- loading ----

    async def _open(self) -> None:
        engine = self._engine
        await engine.open()
        try:
            runtime = RUNTIME.read_text("utf-8")
        except OSError:
            raise FunctionError(f"{RUNTIME} has not been built") from None
        self._check_syntax()
        engine.evaluate(f"{runtime}\n//# sourceURL=pando:v8\n;undefined")
        self._shared = engine.evaluate("__pando__.shared").cast("i")
        self._printed = engine.evaluate("__pando__.printed")
        self._random = engine.evaluate("__pando__.random")
        self._serve()
        self._make_room(FIRST_ROOM)
        size = self._hand_over(self._package.to_bytes())
        problem = await engine.run(f"__pando__.open({size})", self._serve)
        self._serve()
        if problem:
            self._refuse(**json.loads(problem))

    def _check_syntax(self) -> None:
        source = self._package.source
        try:
            self._engine.check(f"(function (exports, require, module) {{{source}\n}})")
        except ScriptError as error:
            line, reason = error.line, error.reason
            lines = len(source.splitlines())
            if line > lines:  # noticed at the bracket that is added here
                line, reason = lines, "SyntaxError: Unexpected end of input"
            raise FunctionError(f"{self._package.filename}, line {line}: {reason}") from None

    def _refuse(self, type: str, reason: str, traceback: str) -> None:
        filename = self._package.filename
        if type == "FunctionError":
            raise FunctionError(reason if filename in reason else f"{filename}: {reason}")
        line = re.search(re.escape(filename) + r":(\d+)", traceback)
        place = f"{filename}, line {line[1]}" if line else filename
        raise FunctionError(f"{place} fails to load: {type}: {reason}")

    # ---- computing ----

    @staticmethod
    def decode(items: bytes | memoryview) -> list[Encoded]:
        """Return the items of an encoded array, each as it is encoded."""
        return msgspec.msgpack.decode(items, type=list[msgspec.Raw])

    encode = staticmethod(msgspec.msgpack.encode)

    def compute(self, batch: Batch, running: RunningItem) -> None:
        """Apply the function to each item of a batch; its results grow meanwhile."""
        self._runner.run(self._compute(batch, running))

    def compute_some(self, batch: Batch, running: RunningItem) -> bool:
        """Compute for some milliseconds, or one long item; tell whether there was any."""
        return self._runner.run(self._compute_some(batch, running))

    async def _compute(self, batch: Batch, running: RunningItem) -> None:
        while await self._compute_some(batch, running):
            pass
        if self._shared[REPORTED]:
            self._take_report()

    def _take_report(self) -> None:
        """Add what the function has reported, unless it has spoilt it: the script is its own."""
        from ..figures import report

        self._shared[REPORTED] = 0
        try:
            figures = json.loads(self._engine.evaluate("__pando__.takeReport()"))
            items, units, cpu_seconds, transfer_seconds = figures
            report(items=items, units=units, cpu_time=cpu_seconds, transfer_time=transfer_seconds)
        except Exception as error:
            print(f"what the function has reported is lost: {one_line(error)}", file=sys.stderr)

    async def _compute_some(self, batch: Batch, running: RunningItem) -> bool:
        while chunk := self._choose_chunk(batch):
            running.cells[OFFSET] = self._first
            since = time.perf_counter()
            try:
                answer = await self._run(msgspec.msgpack.encode(chunk), running)
            except MemoryError:
                await self._recover(batch)
                continue
            if answer is None:  # they cannot be decoded together
                self._count = 1
                continue
            done = self._take(bytes(answer), batch)
            self._adapt(done, time.perf_counter() - since)
            return True
        return False

    async def _run(self, items: bytes, running: RunningItem) -> memoryview | None:
        def tick() -> None:
            running.cells[OFFSET] = self._first + self._shared[RUNNING]
            self._serve()

        size = self._hand_over(items)
        script = f"__pando__.run({size}, {CHUNK_SECONDS * 1000})"
        try:
            answer: memoryview | None = await self._engine.run(script, tick)
        finally:
            self._serve()
        return answer

    async def _recover(self, batch: Batch) -> None:
        """Go on after an item has taken too much memory, in a new engine.

        What was computed before it in its chunk is computed again, and then it alone: so it fails
        only if it is to blame.
        """
        running = self._shared[RUNNING]
        with self._choosing:
            await self._engine.close()
            self._engine = Engine()
            await self._open()
        if running > 0:
            self._count = running
            return
        batch.failures[self._first] = ("RangeError", "it took too much memory", "")
        batch.results.append(NIL)

    def _choose_chunk(self, batch: Batch) -> list[Encoded]:
        """Return the next items, with what is shared set up for them."""
        with self._choosing:
            self._first = len(batch.results)
            chunk = batch.items[self._first : self._first + self._count]
            self._shared[RUNNING], self._shared[LIMIT] = 0, len(chunk)
            return chunk

    def truncate_batch(self, batch: Batch, running: RunningItem) -> int:
        """Take what has not been started off a batch that is being computed; what remains.

        It may be called by another thread. V8 says which item it starts, then looks at the limit;
        here it is the other way round, so that one nearly always sees the other. Where neither
        does, the item after the last that is kept is computed too, and its result, which comes
        when the item has been given back, is ignored.
        """
        with self._choosing:
            limit = self._shared[RUNNING] + 1
            self._shared[LIMIT] = limit
            time.sleep(0)  # gives what has been written time to be seen; it is no guarantee
            limit = max(limit, self._shared[RUNNING] + 1)
            self._shared[LIMIT] = limit
            kept: int = self._first + limit
            del batch.items[kept:]
            return kept

    def _take(self, answer: bytes, batch: Batch) -> int:
        """Add the results that V8 has answered with; how many they are."""
        results, failures = msgspec.msgpack.decode(
            answer, type=tuple[list[msgspec.Raw], list[tuple[int, str, str, str]]]
        )
        for place, kind, reason, stack in failures:
            batch.failures[self._first + place] = (
                truncate(kind),
                truncate(reason),
                truncate(stack),
            )
        batch.results.extend(results)
        return len(results)

    def _adapt(self, done: int, seconds: float) -> None:
        """Choose how many items are some milliseconds of work."""
        if not done:
            return
        wanted = int(done * CHUNK_SECONDS / seconds)
        self._count = max(1, min(wanted, MAX_GROWTH * self._count, MAX_CHUNK))

    def close(self) -> None:
        """Give the engine back."""
        self._runner.run(self._engine.close())
        self._runner.close()

    # ---- memory ----

    def _hand_over(self, data: bytes) -> int:
        """Write bytes where the script reads them; how many they are."""
        if len(data) > len(self._room):
            self._make_room(2 * len(data))
        self._room[: len(data)] = data
        return len(data)

    def _make_room(self, size: int) -> None:
        self._room = self._engine.evaluate(f"__pando__.reserve({size})")

    def _serve(self) -> None:
        """Do what the script needs meanwhile: show what it prints, give random numbers."""
        self._show_printed()
        self._give_random()

    def _show_printed(self) -> None:
        read, written = self._shared[READ], self._shared[WRITTEN]
        if read == written:
            return
        size = len(self._printed)
        start = read % size
        end = start + (written - read) % WRAP
        text = bytes(self._printed[start:end]) + bytes(self._printed[: max(0, end - size)])
        self._shared[READ] = written
        sys.stdout.buffer.write(text)
        sys.stdout.flush()

    def _give_random(self) -> None:
        size = len(self._random)
        given, taken = self._shared[GIVEN], self._shared[TAKEN]
        wanted = size - (given - taken) % WRAP
        if not wanted:
            return
        fresh = os.urandom(wanted)
        start = given % size
        before_end = min(wanted, size - start)
        self._random[start : start + before_end] = fresh[:before_end]
        self._random[: wanted - before_end] = fresh[before_end:]
        self._shared[GIVEN] = (given + wanted + WRAP // 2) % WRAP - WRAP // 2
