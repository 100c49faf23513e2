"""Failures with long texts while the first item is slow: what waits for its turn is bounded."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import pando
from pando.errors import MAX_TEXT
from pando.scheduler.window import MAX_BYTES

from ..processes import wait_until

pytestmark = pytest.mark.process


def test_errors_with_long_texts_do_not_pile_up_while_the_first_item_is_slow(tmp_path):
    may_end = tmp_path / "may end"

    def work(number):
        if number > 0:
            raise ValueError("x" * 60_000)
        while not may_end.exists():
            time.sleep(0.01)
        return "first"

    with pando.run(work, workers=3, serve=False) as run, ThreadPoolExecutor(1) as thread:
        results = run.map(range(1_000_000), return_exceptions=True)
        first = thread.submit(next, results)

        def figures():
            return run.statistics().streams[0]

        def is_full():
            """Whether two workers are idle, since nothing more is read."""
            streams = run.statistics().streams
            return any(s.finished and (s.in_flight, s.queued) == (1, 0) for s in streams)

        try:
            assert wait_until(is_full)
            waiting = figures().finished
            assert figures().read == waiting + 1
            # Each has a reason and a traceback; what was lent before the window was full is in it.
            assert 0 < waiting * 2 * MAX_TEXT < 2 * MAX_BYTES
        finally:
            may_end.touch()
        assert first.result() == "first"
        others = list(itertools.islice(results, waiting + 100))
        assert [error.index for error in others] == list(range(1, waiting + 101))
        assert all(len(error.reason) <= MAX_TEXT for error in others)
