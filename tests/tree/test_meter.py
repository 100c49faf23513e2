"""The meter: what workers do and wait for, by a clock that is set."""

from __future__ import annotations

import msgspec
import pytest

from pando import messages, values
from pando.reporting.device import Measured
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


def test_a_meter_begins_with_nothing() -> None:
    clock = Clock()
    meter = Meter(clock)
    assert meter.state == STARVED
    clock.now += 5
    measured = meter.read(cpu_seconds=0.0)
    assert measured == Measured(items=0, function=0.0, starved=0.0, cpu=0.0)


def test_what_others_have_measured_is_among_the_figures() -> None:
    setting = Setting()
    setting.meter.returned = 3
    reported = (2.0, "words", 0.5, 0.25)
    measured = setting.meter.read(
        cpu_seconds=1.5, bytes_in=5, bytes_out=7, transfer_seconds=0.5, reported=reported
    )
    assert (measured.bytes_in, measured.bytes_out, measured.transfer) == (5, 7, 0.5)
    assert (measured.returned, measured.reported) == (3, reported)


def test_figures_add_up_over_messages() -> None:
    setting = Setting()
    setting.start_workers()
    for lease, worker in enumerate(setting.workers):
        setting.lend(worker, lease, 5)
        setting.answer(worker, lease, 4, seconds=2.0, failed=3)
    measured = setting.meter.read(cpu_seconds=0.0)
    assert (measured.items, measured.failed, measured.function) == (8, 6, 4.0)


def test_workers_that_are_removed_idle_wait_no_longer() -> None:
    setting = Setting()
    setting.start_workers()
    setting.meter.wanted = 0
    for left, worker in ((1, setting.workers[0]), (0, setting.workers[1])):
        setting.meter.remove(worker)
        before = setting.meter.read(cpu_seconds=0.0).starved
        setting.clock.now += 4
        assert setting.meter.read(cpu_seconds=0.0).starved - before == left * 4


def test_a_borrower_that_is_removed_takes_its_own_leases_along() -> None:
    setting = Setting()
    setting.start_workers()
    setting.lend(setting.child, 1, 3)
    setting.lend(setting.workers[0], 2, 3)
    setting.meter.remove(setting.child)
    setting.answer(setting.child, 1, 3)
    assert setting.meter.latency.count == 0
    setting.answer(setting.workers[0], 2, 3)
    assert (setting.meter.latency.count, setting.meter.held) == (3, 0)


def test_a_worker_that_has_several_leases_is_busy_once() -> None:
    setting = Setting()
    setting.start_workers()
    setting.lend(setting.workers[0], 1, 1)
    setting.lend(setting.workers[0], 2, 1)
    setting.clock.now += 5
    setting.answer(setting.workers[0], 1, 1)
    setting.clock.now += 5
    assert setting.meter.read(cpu_seconds=0.0).starved == 10, "the other one"
    assert setting.meter.state == COMPUTING


def test_more_results_than_a_lease_has_items_left_count_as_those_that_were_left() -> None:
    setting = Setting()
    setting.start_workers()
    setting.lend(setting.workers[0], 1, 3)
    setting.answer(setting.workers[0], 1, 2)
    setting.answer(setting.workers[0], 1, 2)
    assert (setting.meter.latency.count, setting.meter.held) == (3, 0)
