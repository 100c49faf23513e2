"""`pando.report`: what a function tells of its own work, and where it arrives."""

from __future__ import annotations

import math
from typing import Any

import pytest

import pando
from pando.figures import MAX_UNITS, Tally, tally
from tests.processes import open_run_here


@pytest.fixture(autouse=True)
def _nothing_reported() -> None:
    tally.take()


def test_reports_add_up_until_they_are_taken() -> None:
    pando.report(items=3, units="Gizmos", cpu_time=0.5)
    pando.report(items=0, units="Gizmos", transfer_time=0.25)
    assert tally.read() == (3.0, "Gizmos", 0.5, 0.25)
    assert tally.take() == (3.0, "Gizmos", 0.5, 0.25)
    assert tally.take() is None


def test_what_is_not_said_is_one_item_in_no_time() -> None:
    pando.report()
    assert tally.take() == (1.0, "items", 0.0, 0.0)


def test_the_original_s_names_are_in_milliseconds() -> None:
    pando.report({"cpuTime": 1500, "dataTransferTime": 20, "nbItems": 7, "units": "BigNums"})
    assert tally.take() == (7.0, "BigNums", 1.5, 0.02)
    pando.report({"nbItems": 0})
    assert tally.take() == (0.0, "items", 0.0, 0.0)


@pytest.mark.parametrize(
    ("figures", "error", "says"),
    [
        ({"items": "7"}, TypeError, "items must be a number, not str"),
        ({"items": True}, TypeError, "items must be a number, not bool"),
        ({"items": -1}, ValueError, "items must be between 0 and"),
        ({"cpu_time": math.nan}, ValueError, "cpu_time must be between"),
        ({"transfer_time": math.inf}, ValueError, "transfer_time must be between"),
    ],
)
def test_a_wrong_figure_is_named(
    figures: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        pando.report(**figures)
    assert tally.take() is None


def test_a_wrong_name_is_named() -> None:
    with pytest.raises(TypeError, match="unknown metric 'cpu'; known ones are nbItems, units"):
        pando.report({"cpu": 3})


def test_long_units_are_cut() -> None:
    pando.report(units="x" * 1000)
    figures = tally.take()
    assert figures
    assert figures[1] == "x" * MAX_UNITS


def test_units_can_be_serialized() -> None:
    pando.report(units="gr\ud800\xfcn")
    figures = tally.take()
    assert figures
    assert figures[1] == "gr\\ud800\xfcn"


def test_the_newest_units_hold() -> None:
    own = Tally()
    own.add((1.0, "a", 0.0, 0.0))
    own.add((1.0, "b", 0.0, 0.0))
    assert own.take() == (2.0, "b", 0.0, 0.0)


def reporting(x: int) -> int:
    pando.report(items=x, units="BigNums", cpu_time=0.5)
    return x


@pytest.mark.process
async def test_what_workers_report_arrives_at_their_node() -> None:
    async with open_run_here(reporting, workers=2) as run:
        assert [x async for x in run.map(range(100))] == list(range(100))
        reported = run.statistics().reported
    assert reported is not None
    assert (reported.items, reported.units, reported.cpu_seconds) == (4950.0, "BigNums", 50.0)


def reporting_odd_units(x: int) -> int:
    pando.report(units="\udfff")
    return x


@pytest.mark.process
async def test_odd_units_lose_no_worker() -> None:
    async with open_run_here(reporting_odd_units, workers=1) as run:
        assert [x async for x in run.map(range(10))] == list(range(10))
        reported = run.statistics().reported
        assert reported is not None
        assert (reported.items, reported.units) == (10.0, "\\udfff")
        assert run.statistics().worker_deaths == 0
