"""The lender under every sequence of events that Hypothesis can think of.

Borrowers come, go, are lost while they run an item, answer late, twice, or for others; inputs
end; consumers take and stop taking. After every step the promises are checked, by number.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
)

from pando.scheduler import Lease, Lender, StruckOut

WINDOW = 20


class LenderMachine(RuleBasedStateMachine):
    ordered = True

    borrowers = Bundle("borrowers")
    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.lender = Lender(ordered=self.ordered)
        self.read = 0
        self.next_borrower = 0
        self.present: set[int] = set()
        self.out: list[int] = []
        self.values: dict[int, object] = {}
        self.struck: dict[int, int] = {}
        self.ignored = 0

    # ---- events ----

    @rule(target=borrowers)
    def join(self) -> int:
        self.next_borrower += 1
        self.present.add(self.next_borrower)
        self.lender.join(self.next_borrower)
        return self.next_borrower

    @precondition(lambda self: not self.lender.input_ended and self.present)
    @rule(count=st.integers(1, 8))
    def read_items(self, count: int) -> None:
        count = min(count, self.lender.read_limit(WINDOW))
        self.lender.add_items([f"item {i}" for i in range(self.read, self.read + count)])
        self.read += count

    @rule()
    def end_input(self) -> None:
        self.lender.end_input()

    @rule(target=leases, borrower=borrowers, limit=st.integers(1, 6))
    def lend(self, borrower: int, limit: int) -> Lease | None:
        if borrower not in self.present:
            return None
        waiting = self.lender.waiting
        before = sorted(self.lender._undone_indices())
        lease = self.lender.lend(borrower, limit)
        assert (lease is None) == (waiting == 0)
        if lease is not None:
            assert 1 <= len(lease.items) <= limit
            # 5: nothing new while something that came back waits; and only what waits.
            assert set(range(lease.start, lease.start + len(lease.items))) <= set(before)
            for place, item in enumerate(lease.items):
                assert item == f"item {lease.start + place}"
        return lease

    @rule(lease=leases, data=st.data(), by_holder=st.booleans())
    def answer(self, lease: Lease | None, data: st.DataObject, by_holder: bool) -> None:
        """Results for any stretch, current or not, by the holder or by somebody else."""
        if lease is None:
            return
        offset = data.draw(st.integers(-1, len(lease.items)))
        count = data.draw(st.integers(1, len(lease.items) + 1))
        borrower = lease.borrower if by_holder else self.next_borrower
        fails = data.draw(st.booleans())
        current = (
            borrower == lease.borrower
            and borrower in self.present
            and any(low <= offset < offset + count <= high for low, high in lease.missing)
            and lease.number in self.lender._leases
        )
        failures = {0: "failed"} if fails else {}
        values = [("result", lease.start + offset + i) for i in range(count)]
        accepted = self.lender.add_results(borrower, lease.number, offset, values, failures)
        assert accepted == current  # 3
        if accepted:
            for i in range(count):
                index = lease.start + offset + i
                self.values[index] = "failed" if fails and i == 0 else values[i]
                self.struck.pop(index, None)
        else:
            self.ignored += count

    @rule(lease=leases, data=st.data())
    def give_back(self, lease: Lease | None, data: st.DataObject) -> None:
        if lease is None:
            return
        offset = data.draw(st.integers(0, len(lease.items) - 1))
        count = data.draw(st.integers(1, len(lease.items) - offset))
        self.lender.give_back(lease.borrower, lease.number, offset, count)

    @rule(lease=leases, data=st.data())
    def strike(self, lease: Lease | None, data: st.DataObject) -> None:
        if lease is None:
            return
        offset = data.draw(st.integers(0, len(lease.items) - 1))
        index = lease.start + offset
        if self.lender.strike(lease.borrower, lease.number, offset, "lost"):
            self.struck[index] = self.struck.get(index, 0) + 1
            if self.struck[index] == 3:  # 7
                self.values[index] = StruckOut(3, "lost")

    @rule(borrower=consumes(borrowers))
    def leave(self, borrower: int) -> None:
        self.present.discard(borrower)
        held = sum(lease.count_missing() for lease in self.lender.leases_of(borrower))
        waiting = self.lender.waiting
        self.lender.leave(borrower)
        assert self.lender.waiting == waiting + held  # 5

    @rule()
    def take(self) -> None:
        run = self.lender.take()
        if run is None:
            return
        for place, value in enumerate(run.values):
            index = run.start + place
            got = run.failures.get(place, value)
            assert self.values[index] == got  # 4: its own result, no other's
            assert run.items[place] == f"item {index}"
            self.out.append(index)

    # ---- what always holds ----

    @invariant()
    def consistent(self) -> None:
        self.lender.validate_state()  # 2

    @invariant()
    def lazy(self) -> None:
        assert self.read - len(self.out) <= WINDOW  # 1

    @invariant()
    def each_once(self) -> None:
        if self.ordered:
            assert self.out == list(range(len(self.out)))  # 4
        else:
            assert len(self.out) == len(set(self.out))

    @invariant()
    def ends_when_all_is_out(self) -> None:
        ended = self.lender.input_ended and len(self.out) == self.read
        assert self.lender.finished == ended  # 8

    @invariant()
    def ignored_are_counted(self) -> None:
        assert self.lender.statistics().ignored_results == self.ignored  # 3

    def teardown(self) -> None:
        """Whatever has happened, one good borrower finishes everything."""
        self.lender.end_input()
        for borrower in list(self.present):
            self.lender.leave(borrower)
        self.lender.join("last")
        while (lease := self.lender.lend("last", 3)) is not None:
            values = [("result", lease.start + i) for i in range(len(lease.items))]
            for i in range(len(values)):
                self.values[lease.start + i] = values[i]
            assert self.lender.add_results("last", lease.number, 0, values, {})
        while self.lender.ready:
            self.take()
        assert self.lender.finished
        assert sorted(self.out) == list(range(self.read))


class UnorderedLenderMachine(LenderMachine):
    ordered = False


TestLender = LenderMachine.TestCase
TestLender.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestUnorderedLender = UnorderedLenderMachine.TestCase
TestUnorderedLender.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
