"""A bare loop in Python, run by Pyodide in a worker of the page of bare loops."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def run(function: Callable[[Any], Any], item: Any, chunk: int, seconds: float) -> tuple[int, float]:
    """Call a function for so long, looking at the clock once in a chunk.

    Args:
        item: given to it each time; where it is None, they are counted up in each chunk.

    Returns:
        How many items there were, and how many seconds it took.
    """
    started = time.perf_counter()
    count = 0
    while time.perf_counter() - started < seconds:
        results = []
        for number in range(chunk):
            results.append(function(number if item is None else item))
        count += len(results)
    return count, time.perf_counter() - started
