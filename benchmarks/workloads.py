"""What is computed: a function that every contender can import, and the items it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from functions import echo, spin_1ms, spin_50ms, square

WORKERS = 2
"""Processes that compute, for every contender."""

Function = Callable[[Any], Any]


def count_up() -> Iterator[int]:
    """An infinite generator."""
    number = 0
    while True:
        yield number
        number += 1


@dataclass(frozen=True)
class Workload:
    """A function and the items it is applied to.

    Attributes:
        function: at the top level of an importable module.
        items: any sequence.
        expect: the result of an item, computed without the work.
    """

    function: Function
    items: Sequence[Any]
    expect: Function

    def first(self, count: int) -> Workload:
        """The same with fewer items."""
        return Workload(self.function, self.items[:count], self.expect)


def _itself(item: Any) -> Any:
    return item


def squares(count: int) -> Workload:
    """No-op items."""
    return Workload(square, range(count), square)


def spins_1ms(count: int) -> Workload:
    """Short items."""
    return Workload(spin_1ms, range(count), _itself)


def spins_50ms(count: int) -> Workload:
    """Long items."""
    return Workload(spin_50ms, range(count), _itself)


def payloads(count: int, size: int = 10_000) -> Workload:
    """Items of `size` bytes each, all different."""
    items = [index.to_bytes(8, "big") * (size // 8) for index in range(count)]
    return Workload(echo, items, _itself)
