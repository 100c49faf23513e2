"""What runs in a browser's worker, without the browser."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from pando import values
from pando.functions.serialized import serialize
from pando.runtime import tab

NO_SUCH_ZONE = msgpack.packb(msgpack.ExtType(6, b"2024-10-27T02:30:00|0|Europe/Nowhere"))


class Buffer:
    """Bytes as JavaScript hands them over."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def to_bytes(self) -> bytes:
        return self._data


def double(x: Any) -> Any:
    return x * 2


async def double_later(x: Any) -> Any:
    await asyncio.sleep(0)
    return x * 2


def compute(function: Callable[[Any], Any], encoded: bytes) -> tuple[list[Any], dict[int, Any]]:
    """The results of a batch, and why some are none."""
    results: list[Any] = []
    failures: dict[int, Any] = {}

    def flush(count: int, some: bytes, failed: bytes, seconds: float) -> None:
        assert seconds >= 0
        for place, why in msgpack.unpackb(failed, strict_map_key=False).items():
            failures[len(results) + place] = why
        results.extend(values.decode(some))
        assert len(values.decode(some)) == count

    assert tab.load(Buffer(serialize(function).portable())) is None
    later = tab.compute(Buffer(encoded), flush)
    if later is not None:
        asyncio.run(_wait(later))
    return results, failures


async def _wait(later: Any) -> None:
    await later


@pytest.fixture(autouse=True)
def no_pyodide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tab, "_to_js", lambda data: data)
    monkeypatch.setattr(tab, "_function", tab._function)


@pytest.mark.parametrize("function", [double, double_later])
def test_results_come_in_order(function: Callable[[Any], Any]) -> None:
    assert compute(function, values.encode([1, "a", (2,)])) == ([2, "aa", (2, 2)], {})


@pytest.mark.parametrize("function", [double, double_later])
def test_an_item_that_fails_fails_alone(function: Callable[[Any], Any]) -> None:
    results, failures = compute(function, values.encode([1, None, 3]))
    assert results == [2, None, 6]
    assert [why[0] for why in failures.values()] == ["TypeError"]
    assert "test_tab.py" in failures[1][2]
    assert "worker/tab.py" not in failures[1][2]


@pytest.mark.parametrize("function", [double, double_later])
def test_an_item_that_cannot_be_decoded_here_fails_alone(function: Callable[[Any], Any]) -> None:
    encoded = b"\x93\x01" + NO_SUCH_ZONE + b"\x03"
    results, failures = compute(function, encoded)
    assert results == [2, None, 6]
    assert [why[0] for why in failures.values()] == ["UnavailableValueError"]
    assert "Europe/Nowhere" in failures[1][1]
    assert failures[1][2] == ""


def test_a_result_that_cannot_be_serialized_fails_alone() -> None:
    results, failures = compute(lambda x: object() if x == 2 else x, values.encode([1, 2, 3]))
    assert results == [1, None, 3]
    assert failures[1][0] == "UnsupportedValueError"


class Clock:
    """A clock that goes on only while items are computed, which tell for how many milliseconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def compute(self, item: float) -> None:
        self.now += item / 1000


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[float]], list[int]]:
    """How many results go together, of items that take so many milliseconds."""
    clock = Clock()
    monkeypatch.setattr(tab, "time", clock)
    monkeypatch.setattr(tab, "_function", clock.compute)
    monkeypatch.setattr(tab, "_expected", tab._expected)

    def group(items: list[float]) -> list[int]:
        counts: list[int] = []
        tab.compute(Buffer(values.encode(items)), lambda count, *_: counts.append(count))
        return counts

    return group


Group = Callable[[list[float]], list[int]]


def test_results_of_short_items_go_together(group: Group) -> None:
    assert group([0] * 100) == [100]
    assert group([2] * 110) == [50, 50, 10]


def test_results_of_long_items_go_alone(group: Group) -> None:
    assert group([tab.FLUSH_SECONDS * 1000] * 3) == [1, 1, 1]


def test_results_wait_for_items_that_are_expected_in_time(group: Group) -> None:
    assert group([10, 10]) == [1, 1]  # nobody knows yet how long the next one takes
    group([10] * 20)
    assert group([10] * 12) == [10, 2]
    assert group([200, 10, 10, 10]) == [1, 1, 1, 1]


def test_a_function_that_cannot_be_loaded_is_explained() -> None:
    refusal = tab.load(Buffer(b"nonsense"))
    assert refusal is not None
    assert "cannot be loaded" in refusal
