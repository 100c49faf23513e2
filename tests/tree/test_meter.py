"""The meter: what workers do and wait for, by a clock that is set."""

from __future__ import annotations

import msgspec
import pytest

from pando import messages, values
from pando.reports.records import BLOCKED, COMPUTING, LOADING, STARVED
from pando.scheduler import Borrower, Credit
from pando.tree.meter import Meter


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Setting:
    """A meter of two workers and a child."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.meter = Meter(self.clock)
        self.meter.wanted = 2
        self.workers = [Borrower(f"worker {n}", Credit()) for n in (1, 2)]
        self.child = Borrower("child", Credit())

    def start_workers(self) -> None:
        for worker in self.workers:
            self.meter.add_worker(worker)

    def lend(self, borrower: Borrower, lease: int, count: int) -> None:
        items = msgspec.Raw(values.encode([0] * count))
        self.meter.sent(borrower, messages.Lend(lease, items))

    def answer(
        self, borrower: Borrower, lease: int, count: int, seconds: float = 0.0, failed: int = 0
    ) -> None:
        encoded = msgspec.Raw(values.encode([0] * count))
        failures = {place: messages.Failure("E", "r") for place in range(failed)}
        self.meter.received(borrower, messages.Results(lease, 0, seconds, encoded, failures))


def test_items_failures_and_time_are_those_of_the_workers_alone() -> None:
    setting = Setting()
    setting.start_workers()
    setting.lend(setting.workers[0], 1, 5)
    setting.lend(setting.child, 2, 7)
    setting.answer(setting.workers[0], 1, 4, seconds=2.0, failed=3)
    setting.answer(setting.child, 2, 7, seconds=50.0, failed=1)
    measured = setting.meter.read(cpu_seconds=1.5)
    assert (measured.items, measured.failed, measured.function) == (4, 3, 2.0)
    assert measured.cpu == 1.5
    assert setting.meter.held == 1


def test_without_a_processor_time_the_time_in_the_function_counts() -> None:
    setting = Setting()
    setting.start_workers()
    setting.lend(setting.workers[0], 1, 1)
    setting.answer(setting.workers[0], 1, 1, seconds=2.0)
    assert setting.meter.read(cpu_seconds=None).cpu == 2.0


def test_workers_wait_for_the_function_then_for_items_then_for_the_network() -> None:
    setting = Setting()
    clock, meter = setting.clock, setting.meter
    assert meter.state == LOADING
    clock.now += 3
    setting.start_workers()
    assert meter.state == STARVED
    clock.now += 5
    setting.lend(setting.workers[0], 1, 1)
    assert meter.state == COMPUTING
    clock.now += 7
    setting.answer(setting.workers[0], 1, 1, seconds=7.0)
    meter.set_blocked(True)
    assert meter.state == BLOCKED
    clock.now += 11
    meter.set_blocked(False)
    measured = meter.read(cpu_seconds=0.0)
    assert measured.loading == 2 * 3
    assert measured.starved == 2 * 5 + 7
    assert measured.blocked == 2 * 11


def test_a_worker_that_is_lost_holds_nothing_and_is_missed() -> None:
    setting = Setting()
    setting.start_workers()
    setting.lend(setting.workers[0], 1, 9)
    setting.meter.remove(setting.workers[0])
    assert setting.meter.held == 0
    setting.clock.now += 4
    measured = setting.meter.read(cpu_seconds=0.0)
    assert (measured.starved, measured.loading) == (4, 4)
    setting.answer(setting.workers[0], 1, 9)
    assert setting.meter.read(cpu_seconds=0.0).items == 0


@pytest.mark.parametrize(
    "message",
    [messages.ReturnItems(1, 1, 2), messages.ItemCrashed(1, 1, "lost")],
    ids=["back", "struck"],
)
def test_what_comes_back_is_not_held_and_is_no_result(message: messages.Message) -> None:
    setting = Setting()
    setting.start_workers()
    setting.lend(setting.workers[0], 1, 3)
    setting.meter.received(setting.workers[0], message)
    held = 3 - (message.count if isinstance(message, messages.ReturnItems) else 1)
    assert setting.meter.held == held
    assert setting.meter.read(cpu_seconds=0.0).items == 0
    assert setting.meter.latency.count == 0


def test_latency_is_from_lending_to_the_result_of_all_borrowers() -> None:
    setting = Setting()
    setting.start_workers()
    setting.lend(setting.workers[0], 1, 3)
    setting.lend(setting.child, 2, 1)
    setting.clock.now += 2
    setting.answer(setting.workers[0], 1, 1)
    setting.clock.now += 2
    setting.answer(setting.workers[0], 1, 2)
    setting.answer(setting.child, 2, 1)
    assert setting.meter.latency.count == 4
    assert setting.meter.latency.seconds == 2 + 3 * 4


def test_results_of_another_ones_lease_change_no_latency() -> None:
    setting = Setting()
    setting.start_workers()
    setting.lend(setting.workers[0], 1, 3)
    setting.answer(setting.child, 1, 3)
    setting.answer(setting.child, 99, 3)
    assert setting.meter.latency.count == 0
    assert setting.meter.held == 3
