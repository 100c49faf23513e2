"""The command that tries mutants: what it accepts, and a sample of it."""

from __future__ import annotations

import dataclasses
import inspect
import pkgutil
from collections import Counter

import pytest

from .__main__ import FLOOR, Change, Outcome, describe, judge, read_accepted, run

SAMPLE = "pando.scheduler.recall"
CHANGE = Change("pando.scheduler.credit.Credit.ask", "self.a = workers", "self.a = None")
DIFFERENCE = """\
--- pando/scheduler/credit.py
+++ pando/scheduler/credit.py
@@ -1,2 +1,2 @@
 def ask(self, workers):
-    self.a = workers
+    self.a = None
"""


def outcome(killed: int, *survivors: Change) -> Outcome:
    return Outcome(Counter(killed=killed, survived=len(survivors)), list(survivors))


def test_a_change_is_named_by_what_it_changes() -> None:
    assert describe("pando.scheduler.credit.xǁCreditǁask__mutmut_3", DIFFERENCE) == CHANGE
    function = describe("pando.scheduler.recall.x_choose_recall__mutmut_12", DIFFERENCE).function
    assert function == "pando.scheduler.recall.choose_recall"


def test_what_survives_has_to_be_accepted() -> None:
    assert judge(outcome(99, CHANGE), {CHANGE: "equal"}) == []
    (wrong,) = judge(outcome(99, CHANGE), {})
    assert wrong.startswith("survives, and is not accepted: pando.scheduler.credit.Credit.ask")


def test_what_is_accepted_has_to_survive() -> None:
    (wrong,) = judge(outcome(99), {CHANGE: "equal"})
    assert wrong.startswith("is accepted, but does not survive")


def test_most_changes_have_to_be_noticed_accepted_or_not() -> None:
    other = dataclasses.replace(CHANGE, becomes="self.a = 1")
    accepted = {CHANGE: "equal", other: "equal"}
    assert judge(outcome(18, CHANGE, other), accepted) == []
    (wrong,) = judge(outcome(17, CHANGE, other), accepted)
    assert wrong.startswith("only 89.5% of the changes are noticed")


def test_nothing_tried_is_not_enough() -> None:
    assert judge(outcome(0), {})


def test_what_is_accepted_has_a_reason() -> None:
    accepted = read_accepted([])
    assert all(len(reason) > 20 for reason in accepted.values())
    assert all(change.function.startswith("pando.") for change in accepted)


@pytest.mark.parametrize("change", read_accepted([]), ids=str)
def test_what_is_accepted_is_a_change_of_code_that_is_there(change: Change) -> None:
    source = inspect.getsource(pkgutil.resolve_name(change.function))
    assert " ".join(change.was.split()) in " ".join(source.split())


@pytest.mark.process
def test_a_sample_is_noticed() -> None:
    tried = run([SAMPLE], processes=1)
    assert tried.noticed >= FLOOR
    assert judge(tried, read_accepted([SAMPLE])) == []
