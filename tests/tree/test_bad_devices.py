"""Devices that return, withhold or garble what they are lent: what it costs the others."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

import msgspec
import pytest

from pando import messages, values
from pando.errors import UnavailableValueError
from pando.limits import HEARTBEAT_TIMEOUT_SECONDS
from pando.running.value_codec import ValueCodec
from pando.scheduler import Borrower, Credit, Lender, Source, Window
from pando.tree.actions import Action, Send, Tell
from pando.tree.child import credit_for_child
from pando.tree.job import Job
from pando.tree.lending import Lending

from .test_lending import HandSource


class Root:
    """A root's lending with an input of whole numbers, and a clock that the test moves."""

    def __init__(
        self, items: int, *, item_timeout: float | None = None, speculates: bool = True
    ) -> None:
        self.now = 0.0
        self.said: list[str] = []
        self.inboxes: dict[Borrower, deque[messages.Message]] = {}
        self.codec = ValueCodec()
        self.lending = Lending(
            self.codec, lambda: self.now, item_timeout=item_timeout, speculates=speculates
        )
        source = HandSource()
        source.items, source.has_ended = list(range(items)), True
        self.job = Job(source, self.lending.new_lender(), Window())
        self.do(self.lending.open_job(self.job))

    def do(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Send):
                self.inboxes[action.borrower].append(action.message)
            elif isinstance(action, Tell):
                self.said.append(action.text)

    def add(self, name: str, *, is_local: bool = False, credit: Credit | None = None) -> Borrower:
        borrower = Borrower(name, credit or credit_for_child(1))
        if not is_local:
            borrower = Borrower(
                name, credit or credit_for_child(1), source=Source(name, f"address of {name}")
            )
        self.inboxes[borrower] = deque()
        self.do(self.lending.add(borrower))
        return borrower

    def hear(self, borrower: Borrower, message: messages.Message) -> None:
        self.do(self.lending.handle(borrower, message))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.do(self.lending.tick())

    def next_lend(self, borrower: Borrower) -> messages.Lend | None:
        inbox = self.inboxes[borrower]
        while inbox:
            message = inbox.popleft()
            if isinstance(message, messages.Lend):
                return message
        return None

    def answer(self, borrower: Borrower, lend: messages.Lend) -> None:
        squares = [item * item for item in values.decode(lend.items)]
        raw = msgspec.Raw(values.encode(squares))
        self.hear(borrower, messages.Results(lend.lease, 0, 0.001, raw))

    def compute(self, *borrowers: Borrower) -> None:
        """Let good borrowers compute all that they are lent, one lease after the other."""
        while lends := [(b, lend) for b in borrowers if (lend := self.next_lend(b))]:
            for borrower, lend in lends:
                self.answer(borrower, lend)

    def results(self) -> list[Any]:
        results: list[Any] = []
        while (batch := self.job.lender.take()) is not None:
            results += [batch.failures.get(i, value) for i, value in enumerate(batch.values)]
        return results


SQUARES = [i * i for i in range(100)]


def test_who_returns_what_it_is_lent_waits_longer_each_time() -> None:
    root = Root(100)
    hostile = root.add("hostile")
    pauses = []
    for _ in range(8):
        lend = root.next_lend(hostile)
        assert lend is not None
        returned_at = root.now
        for held in root.job.lender.leases_of(hostile):
            root.hear(hostile, messages.ReturnItems(held.number, 0, len(held.items)))
        root.inboxes[hostile].clear()
        assert root.lending.needs_ticks
        while not root.inboxes[hostile]:
            root.wait(0.05)
        pauses.append(root.now - returned_at)
    assert pauses == sorted(pauses)
    assert pauses[-1] > 50 * pauses[0]
    good = root.add("good")
    root.lending.remove(hostile)
    root.compute(good)
    assert root.results() == SQUARES


def test_who_returns_what_was_recalled_is_not_made_to_wait() -> None:
    root = Root(100)
    slow = root.add("slow")
    root.hear(slow, messages.Capacity(4))
    leases = root.job.lender.leases_of(slow)
    root.add("idle")
    root.now = 10.0
    recalls = root.lending.balance()
    recalled = {a.message.lease for a in recalls if isinstance(a, Send)}
    root.do(root.lending.cancel_pending(root.job, 50, 60))
    assert not recalled or recalled <= {lease.number for lease in leases}
    for lease in leases:
        lease.was_recalled = True
        root.hear(slow, messages.ReturnItems(lease.number, 0, len(lease.items)))
    assert not root.lending.needs_ticks


def test_8192_items_returned_one_by_one_every_second_first_take_few_steps() -> None:
    steps = 0
    lender = Lender()
    lender.join("hostile")

    class Index(int):
        """A number that counts how often it is compared."""

        def __lt__(self, other: object) -> bool:
            nonlocal steps
            steps += 1
            return int(self) < int(other)  # type: ignore[call-overload]

        def __gt__(self, other: object) -> bool:
            nonlocal steps
            steps += 1
            return int(self) > int(other)  # type: ignore[call-overload]

    lender.add_items(list(range(8192)))
    lease = lender.lend("hostile", 8192)
    assert lease is not None
    lease.missing[:] = [(Index(0), Index(8192))]
    for offset in [*range(0, 8192, 2), *range(1, 8192, 2)]:
        assert lender.give_back("hostile", lease.number, Index(offset), 1)
    assert 0 < steps < 8192 * 60
    lender.join("good")
    again = lender.lend("good", 8192)
    assert again is not None
    assert list(again.items) == list(range(8192)), "lent in one batch again"


def test_who_does_not_answer_loses_its_oldest_lease_without_a_strike() -> None:
    root = Root(100, item_timeout=2.0)
    silent, good = root.add("silent"), root.add("good")
    held = len(root.job.lender.leases_of(silent))
    assert held
    root.compute(good)
    for _ in range(round(10 * (2 + HEARTBEAT_TIMEOUT_SECONDS) * held * 3)):
        root.hear(silent, messages.Capacity(1))  # it is alive
        root.wait(0.1)
        root.compute(good)
    assert root.results() == SQUARES
    assert root.job.lender.statistics().strikes == 0


def test_time_in_which_this_process_stood_still_is_nobody_s_silence() -> None:
    root = Root(100, item_timeout=2.0)
    slow = root.add("slow")
    held = root.job.lender.count_lent(slow)
    root.now = 100.0
    root.do(root.lending.tick(late=100.0))
    assert root.job.lender.count_lent(slow) == held


def test_a_malformed_result_sends_nobody_away_and_the_item_to_another() -> None:
    root = Root(100)
    inner, good = root.add("inner"), root.add("good")
    lend = root.next_lend(inner)
    assert lend is not None
    garbage = msgspec.Raw(b"\x91\xc7\x01\x7f\x00")
    root.hear(inner, messages.Results(lend.lease, 0, 0.0, garbage))
    root.compute(good, inner)
    assert root.results() == SQUARES
    assert root.said == []


def test_who_sends_malformed_results_again_and_again_is_set_aside() -> None:
    root = Root(100)
    bad, good = root.add("bad"), root.add("good")
    garbage = msgspec.Raw(b"\x91\xc7\x01\x7f\x00")
    for _ in range(3):
        lend = root.next_lend(bad)
        assert lend is not None
        root.hear(bad, messages.Results(lend.lease, 0, 0.0, garbage))
    assert root.said == ["bad is set aside for a while: 3 of its results were malformed"]
    for lease in root.job.lender.leases_of(bad):
        root.job.lender.revoke(bad, lease.number)
    root.do(root.lending.pump())
    root.compute(good)
    assert root.results() == SQUARES


def test_a_result_that_cannot_be_read_here_fails_its_item_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = Root(3)
    codec = root.codec
    decode = codec.decode

    def without_numpy(encoded: msgspec.Raw) -> Any:
        if b"numpy" in bytes(encoded):
            raise UnavailableValueError("numpy is not installed")
        return decode(encoded)

    monkeypatch.setattr(codec, "decode", without_numpy)
    volunteer = root.add("volunteer")
    for _ in range(3):
        lend = root.next_lend(volunteer)
        assert lend is not None
        (item,) = values.decode(lend.items)
        result = "numpy" if item == 1 else item
        raw = msgspec.Raw(values.encode([result]))
        root.hear(volunteer, messages.Results(lend.lease, 0, 0.0, raw))
    first, failure, last = root.results()
    assert (first, last) == (0, 2)
    assert failure.type == "UnavailableValueError"
    assert failure.reason == "the result cannot be read here: numpy is not installed"
    assert root.job.lender.statistics().strikes == 0


def test_a_device_that_only_loses_its_workers_is_set_aside_and_tried_again() -> None:
    root = Root(100)
    bad, good = root.add("bad"), root.add("good")
    for _ in range(5):
        lend = root.next_lend(bad)
        assert lend is not None
        root.hear(bad, messages.ItemCrashed(lend.lease, 0, "the worker was killed by SIGSEGV"))
    assert root.said == ["bad is set aside for a while: lost 5 workers, computed nothing"]
    root.do(root.lending.remove(bad, lost="it is gone"))
    bad = root.add("bad")
    assert root.next_lend(bad) is None, "it is remembered while it is away"
    root.compute(good)
    root.job.source.items = list(range(100, 104))  # type: ignore[attr-defined]
    assert root.results() == SQUARES
    other = Root(10)
    other.lending._pauses._conducts = root.lending._pauses._conducts
    other.now = root.now
    late = other.add("bad")
    assert other.next_lend(late) is None
    other.wait(11.0)
    assert other.next_lend(late) is not None


def test_one_bad_device_among_good_ones_fails_no_item() -> None:
    root = Root(60)
    own = root.add("worker 1", is_local=True)
    bad, good = root.add("bad"), root.add("good")
    out: list[Any] = []
    for _ in range(200):
        while lend := root.next_lend(bad):
            root.hear(bad, messages.ItemCrashed(lend.lease, 0, "no such library"))
        for each in (own, good):
            if lend := root.next_lend(each):
                root.answer(each, lend)
        out += root.results()
    assert out == [i * i for i in range(60)]


def test_what_a_lost_device_was_running_is_lent_alone_and_then_given_up() -> None:
    root = Root(1)
    for number in range(12):
        device = root.add(f"browser {number}")
        lend = root.next_lend(device)
        if lend is None:
            break
        root.do(root.lending.remove(device, lost="the tab has crashed"))
    (failure,) = root.results()
    assert failure.losses == 3, "the first loss only raises the suspicion"
    assert number == 4


def test_phones_that_fall_silent_during_a_long_item_do_not_end_it() -> None:
    root = Root(1)
    for number in range(8):
        phone = root.add(f"phone {number}")
        assert root.next_lend(phone) is not None
        root.do(root.lending.remove(phone, lost="nothing was heard", may_return=True))
        root.now += 5.0
        if number % 2:
            root.add(f"phone {number}")  # unlocked again
            root.do(root.lending.remove(next(reversed(root.inboxes))))
    good = root.add("good")
    root.compute(good)
    assert root.results() == [0]


TEXTS = ("type", "reason", "traceback", "device")


@pytest.mark.parametrize("long", TEXTS)
def test_failures_that_wait_for_their_turn_count_in_the_window(long: str) -> None:
    root = Root(100_000)
    slow, fast = root.add("slow"), root.add("fast", credit=credit_for_child(64))
    root.hear(fast, messages.Capacity(64))
    first = root.next_lend(slow)
    assert first is not None
    text = "x" * 16_000
    failed = 0
    while lend := root.next_lend(fast):
        count = len(values.decode(lend.items))
        raw = msgspec.Raw(values.encode([None] * count))
        failure = messages.Failure(**(dict.fromkeys(TEXTS, "short") | {long: text}))
        failures = dict.fromkeys(range(count), failure)
        root.hear(fast, messages.Results(lend.lease, 0, 0.001, raw, failures))
        failed += count
    assert 0 < failed * len(text) < 40 * 1024 * 1024
    assert root.job.lender.statistics().read == failed + root.job.lender.lent
    root.answer(slow, first)
    root.compute(slow)
    assert len(root.results()) > failed


def test_failures_among_results_that_cannot_all_be_read_count_as_well() -> None:
    root = Root(1000)
    device = root.add("device", credit=credit_for_child(8))
    lend = root.next_lend(device)
    assert lend is not None
    count = len(values.decode(lend.items))
    assert 1 < count < 16
    nothing = [values.encode(None)] * (count - 1)
    encoded = bytes([0x90 + count]) + b"".join([*nothing, b"\xc7\x01\x7f\x00"])
    failures = dict.fromkeys(range(count - 1), messages.Failure("ValueError", "x" * 16_000))
    root.hear(device, messages.Results(lend.lease, 0, 0.001, msgspec.Raw(encoded), failures))
    assert root.job.lender.finished_bytes > (count - 1) * 16_000


def test_while_what_waits_fills_the_window_what_came_back_is_lent_and_nothing_new() -> None:
    root = Root(100_000)
    first, fast = root.add("first"), root.add("fast", credit=credit_for_child(8))
    lowest = root.next_lend(first)
    assert lowest is not None
    failure = messages.Failure("ValueError", "x" * 16_000)
    while lend := root.next_lend(fast):
        count = len(values.decode(lend.items))
        raw = msgspec.Raw(values.encode([None] * count))
        failures = dict.fromkeys(range(count), failure)
        root.hear(fast, messages.Results(lend.lease, 0, 0.001, raw, failures))
    read = root.job.lender.statistics().read
    held = root.job.lender.count_lent(first)
    assert root.lending.has_idle_borrower, "it has nothing, since nothing is read"
    root.do(root.lending.remove(first))
    again = root.next_lend(fast)
    assert again is not None
    assert values.decode(again.items)[0] == 0, "the lowest item not handed out"
    assert root.job.lender.lent == held
    assert root.job.lender.statistics().read == read
    root.answer(fast, again)
    root.compute(fast)
    assert len(root.results()) >= read


def test_an_item_too_large_for_some_is_lent_to_who_can_take_it() -> None:
    root = Root(0)
    root.job.lender.input_ended = False
    large = "x" * 10_000
    root.job.source.items = [large, 1, 2]  # type: ignore[attr-defined]
    small = Borrower("small", credit_for_child(1), max_bytes=1000, source=Source("s", "s"))
    root.inboxes[small] = deque()
    own = root.add("worker 1", is_local=True)
    root.do(root.lending.add(small))
    for _ in range(10):
        for each in (small, own):
            while lend := root.next_lend(each):
                items = values.decode(lend.items)
                assert each is own or large not in items
                raw = msgspec.Raw(values.encode([len(str(item)) for item in items]))
                root.hear(each, messages.Results(lend.lease, 0, 0.001, raw))
    assert root.results() == [10_000, 1, 1]


def test_an_item_too_large_for_all_fails_with_a_sentence() -> None:
    root = Root(0)
    root.job.lender.input_ended = False
    root.job.source.items = ["x" * 10_000, 1]  # type: ignore[attr-defined]
    small = Borrower("small", credit_for_child(1), max_bytes=1000, source=Source("s", "s"))
    root.inboxes[small] = deque()
    root.do(root.lending.add(small))
    assert root.results() == [], "it has not said what it can take"
    root.hear(small, messages.Capacity(1))
    failure = root.results()[0]
    assert "nobody here takes more than 1,000" in failure.reason


def test_who_says_that_it_takes_next_to_nothing_fails_no_item() -> None:
    root = Root(0)
    root.job.lender.input_ended = False
    root.job.source.items = ["x" * 10_000, 1]  # type: ignore[attr-defined]
    mean = Borrower("mean", credit_for_child(1), max_bytes=100_000, source=Source("m", "m"))
    root.inboxes[mean] = deque()
    root.do(root.lending.add(mean))
    root.hear(mean, messages.Capacity(1, max_value=1))
    assert root.results() == []
    assert mean.max_bytes == 100_000


def test_the_log_tells_who_was_lost_and_what_was_lent(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "pando.tree")
    root = Root(4)
    device = root.add("device")
    root.do(root.lending.remove(device, lost="the connection has ended"))
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert ("DEBUG", "<Lease 1: items 0 to 0, 1 missing> is lent to " + repr(device)) in said
    lost = [text for level, text in said if level == "INFO"]
    assert len(lost) == 1
    assert "'device'" in lost[0]
    assert "reassigned: the connection has ended" in lost[0]


def balance(root: Root, seconds: float, step: float = 0.1) -> None:
    """Let time pass, as it does while somebody is idle."""
    for _ in range(round(seconds / step)):
        root.wait(step)
        root.do(root.lending.balance())


def lent_twice(root: Root) -> int:
    return root.job.lender.statistics().doubled


def test_what_a_silent_device_holds_is_computed_by_another() -> None:
    root = Root(4)
    silent, good = root.add("silent"), root.add("good")
    held = root.job.lender.count_lent(silent)
    root.compute(good)
    assert lent_twice(root) == 0
    for _ in range(20):
        balance(root, 0.5)
        root.compute(good)
    assert root.results() == SQUARES[:4]
    assert lent_twice(root) == held
    recalls = [m for m in root.inboxes[silent] if isinstance(m, messages.Recall)]
    assert any(recall.is_superseded for recall in recalls)


def test_the_first_answer_counts_and_the_second_is_ignored() -> None:
    root = Root(4)
    slow, good = root.add("slow"), root.add("good")
    lends = [lend for _ in range(4) if (lend := root.next_lend(slow))]
    root.compute(good)
    balance(root, 2.0)
    copy = root.next_lend(good)
    assert copy is not None
    assert copy.is_copy
    for lend in lends:
        root.answer(slow, lend)
    assert root.results() == SQUARES[:4]
    recalls = [m for m in root.inboxes[good] if isinstance(m, messages.Recall)]
    assert recalls == [messages.Recall(copy.lease, is_superseded=True)]
    root.answer(good, copy)
    assert root.results() == []
    assert root.job.lender.statistics().ignored_results == 1
    assert good.conduct.paused_until < root.now + 0.2


def test_nothing_is_lent_twice_on_one_machine_or_where_it_is_switched_off() -> None:
    for is_local, speculates in ((True, True), (False, False)):
        root = Root(4, speculates=speculates)
        root.add("silent", is_local=is_local)
        good = root.add("good", is_local=is_local)
        root.compute(good)
        for _ in range(20):
            balance(root, 5.0)
            root.compute(good)
        assert lent_twice(root) == 0
        assert len(root.results()) < 4


def test_this_machine_is_preferred_for_what_holds_up() -> None:
    root = Root(6)
    silent, other = root.add("silent"), root.add("other")
    here = root.add("here", is_local=True)
    root.compute(other, here)
    balance(root, 1.0)
    assert root.next_lend(here) is not None
    assert root.job.lender.count_lent(silent) > 0


def test_a_third_device_is_asked_where_the_second_is_silent_too() -> None:
    root = Root(6)
    first, second, third = root.add("first"), root.add("second"), root.add("third")
    root.compute(second)
    assert len(root.job.lender.leases_of(first)) == len(root.job.lender.leases_of(third)) == 2
    balance(root, 2.0)  # the second is lent what the first holds, and does not answer any more
    assert lent_twice(root) > 0
    root.inboxes[second].clear()
    for _ in range(100):
        root.compute(third)
        balance(root, 0.5)
        root.job.lender.validate_state()
    assert root.results() == SQUARES[:6]


def test_a_job_that_is_closed_recalls_what_is_lent() -> None:
    root = Root(100)
    device = root.add("device")
    held = {lease.number for lease in root.job.lender.leases_of(device)}
    root.do(root.lending.close_job(root.job))
    recalled = {m.lease for m in root.inboxes[device] if isinstance(m, messages.Recall)}
    assert recalled == held
    assert held


def test_what_is_left_of_a_recalled_lease_can_be_recalled_again() -> None:
    root = Root(100)
    device = root.add("device")
    lend = root.next_lend(device)
    assert lend is not None
    root.answer(device, lend)
    lease = max(root.job.lender.leases_of(device), key=lambda each: each.left)
    assert lease.left > 2
    lease.recalled = lease.was_recalled = True
    root.hear(device, messages.ReturnItems(lease.number, lease.left - 1, 1))
    assert not lease.recalled


def test_the_last_long_items_are_kept_for_whoever_is_idle_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(HandSource, "remaining", lambda source: len(source.items))
    root = Root(6)
    both = [root.add(name, is_local=True, credit=Credit()) for name in ("a", "b")]
    for borrower in both:
        lend = root.next_lend(borrower)
        assert lend is not None
        results = msgspec.Raw(values.encode([0]))
        root.hear(borrower, messages.Results(lend.lease, 0, 1.0, results))
    assert [root.job.lender.count_lent(borrower) for borrower in both] == [1, 1]
