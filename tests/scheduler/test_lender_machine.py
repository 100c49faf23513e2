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

from pando.scheduler import MAX_LOSSES, AttemptsExhausted, Lease, Lender, Source
from pando.scheduler.attempts import RETURN_SECONDS

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
        self.now = 0.0
        self.sources: dict[int, Source] = {}
        self.losses: dict[int, list[tuple[Source, float]]] = {}
        self.suspected: dict[int, set[int]] = {}
        self.ignored = 0
        self.cancelled: set[int] = set()

    # ---- events ----

    @rule(target=borrowers, device=st.integers(0, 4), address=st.integers(0, 2))
    def join(self, device: int, address: int) -> int:
        self.next_borrower += 1
        self.present.add(self.next_borrower)
        source = Source("here", "here", is_local=True) if device == 0 else Source(device, address)
        self.sources[self.next_borrower] = source
        self.lender.join(self.next_borrower, source)
        if device:  # 7: who comes back was not lost by what it ran
            for index in list(self.losses):
                self.losses[index] = [
                    loss for loss in self.losses[index] if loss[0].device != device
                ]
            for devices in self.suspected.values():
                devices.discard(device)
        return self.next_borrower

    @rule(seconds=st.sampled_from([1.0, RETURN_SECONDS]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

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
        held = sum(each.left for each in self.lender.leases_of(borrower)) - (
            lease.left if lease else 0
        )
        if held == 0:  # nobody is idle while something waits
            assert (lease is None) == (waiting == 0)
        else:
            assert waiting or lease is None
        if lease is not None:
            assert 1 <= len(lease.items) <= limit
            # 5: nothing new while something that came back waits; and only what waits.
            assert set(range(lease.start, lease.start + len(lease.items))) <= set(before)
            indices = range(lease.start, lease.start + len(lease.items))
            if any(self.suspected.get(index) for index in indices):  # 7
                assert len(lease.items) == 1
                assert held == 0
            for place, item in enumerate(lease.items):
                assert item == f"item {lease.start + place}"
        return lease

    @rule(target=leases, lease=leases, borrower=borrowers, limit=st.integers(1, 3))
    def double(self, lease: Lease | None, borrower: int, limit: int) -> Lease | None:
        """Lend what is missing a second time, to a borrower that has nothing."""
        if lease is None or not self.lender.has_lease(lease.number):
            return None
        if borrower not in self.present or self.lender.count_lent(borrower):
            return None
        first = lease.start + lease.missing[0][0]
        if self.lender.holdings.newest(first, lease) is not lease:
            return None
        lent, superseded = self.lender.lent, self.lender.take_superseded()
        assert not any(self.lender.has_lease(each.number) for each in superseded)
        copy = self.lender.double(borrower, lease, limit)
        assert copy.start == first
        assert copy.is_copy
        assert 1 <= len(copy.items) <= limit
        if any(self.suspected.get(first + place) for place in range(len(copy.items))):  # 7
            assert copy.is_alone
            assert len(copy.items) == 1
        assert self.lender.lent == lent  # 2: it is still in one place
        return copy

    @rule(lease=leases, data=st.data(), by_holder=st.booleans())
    def answer(self, lease: Lease | None, data: st.DataObject, by_holder: bool) -> None:
        """Results for any stretch, current or not, by the holder or by somebody else."""
        if lease is None:
            return
        offset = data.draw(st.integers(-1, len(lease.items)))
        count = data.draw(st.integers(1, len(lease.items) + 1))
        borrower = lease.borrower if by_holder else self.next_borrower
        fails = data.draw(st.booleans())
        wanted = {
            lease.start + place
            for low, high in lease.missing
            for place in range(max(low, offset), min(high, offset + count))
        }
        if borrower != lease.borrower or not self.lender.has_lease(lease.number):
            wanted = set()
        if len(wanted) < count and not lease.is_superseded_in_part:
            wanted = set()
        failures = {0: "failed"} if fails else {}
        values = [("result", lease.start + offset + i) for i in range(count)]
        accepted = self.lender.add_results(borrower, lease.number, offset, values, failures)
        assert accepted == bool(wanted)  # 3
        for index in wanted:
            i = index - lease.start - offset
            self.values[index] = "failed" if fails and i == 0 else values[i]
            self.forget(index)
        self.ignored += count - len(wanted)

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
        number = lease.number
        if self.lender.record_crash(lease.borrower, number, offset, "lost", self.now):
            self.lose(index, lease.borrower, self.now)

    def lose(self, index: int, borrower: int, counts_from: float) -> bool:
        """Note a loss in the model, which may be the item's last; whether it was."""
        losses = self.losses.setdefault(index, [])
        losses.append((self.sources[borrower], counts_from))
        if self.is_given_up(losses):  # 7
            self.values[index] = AttemptsExhausted(len(losses), "lost")
            self.forget(index)
            return True
        return False

    def is_given_up(self, losses: list[tuple[Source, float]]) -> bool:
        if len(losses) >= MAX_LOSSES:
            return True
        known = {self.sources[borrower] for borrower in self.present}
        known |= {source for source, _ in losses}
        counted = {source for source, since in losses if since <= self.now}
        if any(source.is_local for source in known - counted):
            return False
        distinct = min(len({s.device for s in counted}), len({s.address for s in counted}))
        needed = min(3, len({s.device for s in known}))
        return bool(counted) and len(losses) >= 3 and distinct >= needed

    def forget(self, index: int) -> None:
        self.losses.pop(index, None)
        self.suspected.pop(index, None)

    @rule(borrower=consumes(borrowers), is_lost=st.booleans(), is_silent=st.booleans())
    def leave(self, borrower: int, is_lost: bool, is_silent: bool) -> None:
        leases = self.lender.leases_of(borrower)
        held = {
            lease.start + offset
            for lease in leases
            for low, high in lease.missing
            for offset in range(low, high)
        }
        others = {
            each.start + offset
            for each in self.lender.holdings.leases.values()
            if each.borrower != borrower
            for low, high in each.missing
            for offset in range(low, high)
        }
        held_alone, waiting = held - others, self.lender.waiting
        failed = 0
        if is_lost and any(lease.is_alone for lease in leases):
            since = self.now + RETURN_SECONDS if is_silent else self.now
            (index,) = held
            self.suspected.setdefault(index, set()).add(self.sources[borrower].device)
            failed = self.lose(index, borrower, since) and index in held_alone
        elif is_lost and 0 < len(held) < 16:  # any of them may be what ended it
            for index in held:
                self.suspected.setdefault(index, set()).add(self.sources[borrower].device)
        self.present.discard(borrower)
        lost = "lost" if is_lost else ""
        self.lender.leave(borrower, self.now, lost=lost, may_return=is_silent)
        assert self.lender.waiting == waiting + len(held_alone) - failed  # 5

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
        assert self.read - len(self.out) - len(self.cancelled) <= WINDOW  # 1

    @invariant()
    def each_once(self) -> None:
        if self.ordered:
            assert self.out == list(range(len(self.out)))  # 4
        else:
            assert len(self.out) == len(set(self.out))

    @invariant()
    def ends_when_all_is_out(self) -> None:
        done = len(self.out) + len(self.cancelled)
        ended = self.lender.input_ended and done == self.read
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
        assert sorted([*self.out, *self.cancelled]) == list(range(self.read))


class UnorderedLenderMachine(LenderMachine):
    """Where order does not matter items may leave undone, too."""

    ordered = False

    @rule(low=st.integers(0, 40), length=st.integers(0, 30))
    def cancel_pending(self, low: int, length: int) -> None:
        waiting = set(self.lender._undone_indices())
        for lease in self.lender.holdings.leases.values():
            for first, last in lease.missing:
                waiting -= set(range(lease.start + first, lease.start + last))
        delivered = self.lender.statistics().delivered
        stretches = self.lender.cancel_pending(low, low + length)
        taken = [i for start, count in stretches for i in range(start, start + count)]
        assert sorted(taken) == sorted(waiting & set(range(low, low + length)))
        assert self.lender.waiting == len(waiting) - len(taken)
        assert self.lender.statistics().delivered == delivered + len(taken)
        self.cancelled |= set(taken)
        for index in taken:
            self.forget(index)


TestLender = LenderMachine.TestCase
TestLender.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestUnorderedLender = UnorderedLenderMachine.TestCase
TestUnorderedLender.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
