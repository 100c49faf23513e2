"""Items that a worker cannot decode: what they cost the others, counted instead of timed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from pando import messages, values
from pando.runtime import wire
from pando.runtime.main import WorkerMain
from pando.scheduler import Borrower

from .test_bad_devices import Root

ITEMS = 400_000
BAD = b"\xc7\x01\x63a"
"""An extension that nobody knows."""


def returned(items: list[bytes]) -> list[list[Any]]:
    """Return what a worker says of a lease with items that cannot be decoded."""
    said: list[list[Any]] = []
    worker = WorkerMain.__new__(WorkerMain)
    vars(worker)["_send"] = lambda *pieces: said.append(
        msgspec.msgpack.decode(b"".join(pieces))[:4]
    )
    head = b"\xdd" + len(items).to_bytes(4, "big")
    worker._return_malformed(7, memoryview(head + b"".join(items)))
    return said


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([0], [["results", 7, 0], ["returned", 7, 1, 7999]]),
        ([7999], [["returned", 7, 0, 7999], ["results", 7, 7999]]),
        (
            [10, 11, 5000],
            [
                ["returned", 7, 0, 10],
                ["results", 7, 10],
                ["results", 7, 11],
                ["returned", 7, 12, 4988],
                ["results", 7, 5000],
                ["returned", 7, 5001, 2999],
            ],
        ),
    ],
)
def test_a_worker_returns_the_others_in_stretches(
    places: list[int], expected: list[list[Any]]
) -> None:
    items = [BAD if place in places else values.encode(place) for place in range(8000)]
    said = [each[:3] if each[0] == "results" else each for each in returned(items)]
    assert said == expected


@dataclass
class Count:
    """What a run has taken.

    Attributes:
        leases: how many there were.
        items: how many items they had, those included that were lent again.
        said: how many messages the workers have sent.
    """

    leases: int = 0
    items: int = 0
    said: int = 0


def compute(bad: frozenset[int]) -> tuple[Root, Count, list[Any]]:
    """Let two workers compute all items, as far as they can decode them."""
    root, count = Root(ITEMS), Count()
    workers = [root.add(f"worker {number}", is_local=True) for number in (1, 2)]
    results: list[Any] = []

    def answer(worker: Borrower, lend: messages.Lend) -> None:
        items = values.decode(lend.items)
        count.leases += 1
        count.items += len(items)
        if bad.isdisjoint(items):
            count.said += 1
            root.answer(worker, lend)
            return
        encoded = [BAD if item in bad else values.encode(item) for item in items]
        for tag, _, offset, last in returned(encoded):
            count.said += 1
            if tag == "returned":
                root.hear(worker, messages.ReturnItems(lend.lease, offset, last))
                continue
            failure = messages.Failure("MalformedValueError", "it cannot be decoded")
            raw = msgspec.Raw(wire.NO_RESULT)
            root.hear(worker, messages.Results(lend.lease, offset, 0.0, raw, {0: failure}))

    while lends := [(each, lend) for each in workers if (lend := root.next_lend(each))]:
        for worker, lend in lends:
            answer(worker, lend)
            results += root.results()
    return root, count, results


@pytest.fixture(scope="module")
def undisturbed() -> Count:
    _, count, results = compute(frozenset())
    assert len(results) == count.items == ITEMS
    return count


@pytest.mark.parametrize("bad", [{200_000}, {100_000, 200_001, 333_333}], ids=["one", "three"])
def test_few_items_of_very_many_cost_the_others_next_to_nothing(
    undisturbed: Count, bad: set[int]
) -> None:
    root, count, results = compute(frozenset(bad))
    failed = {i for i, each in enumerate(results) if isinstance(each, messages.Failure)}
    assert failed == bad
    assert [each for i, each in enumerate(results) if i not in bad] == [
        i * i for i in range(ITEMS) if i not in bad
    ]
    assert count.items <= 1.1 * undisturbed.items
    assert count.leases <= undisturbed.leases + 5 * len(bad)
    assert count.said <= undisturbed.said + 7 * len(bad)
    assert not root.lending.needs_ticks, "nobody is paused"
    assert root.said == []
