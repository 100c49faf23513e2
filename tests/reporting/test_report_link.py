"""Report links: what a device tells straight to the root, held against what the tree tells."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from pando.reporting import global_view
from pando.reporting.device import Measured, Reporter
from pando.reporting.global_view import GlobalReport, GlobalReports
from pando.reporting.ledger import Ledger
from pando.reporting.monitor import Monitor
from pando.reporting.passing import MalformedReportError
from pando.reporting.report_link import (
    MAX_REPORT_BYTES,
    REPORTS_PER_INTERVAL,
    SPARE_REPORTS,
    OwnUpdates,
    ReportReader,
    TooManyReportsError,
)
from pando.reporting.run_figures import RunFigures
from pando.reports.counters import SIZE, Counters
from pando.reports.moments import DeviceMoments, Moments
from pando.reports.records import (
    MAX_COUNTER,
    PAUSED,
    Device,
    Gone,
    Interval,
    Introduction,
    Report,
    Rest,
    Update,
)
from tests.reporting.feed import INTERVAL, ROOT, Node, Root, device, identifier, over_the_wire
from tests.reporting.test_shown import SCHEMA, keys_of, validate

SILENCE = 10.0
NODE = identifier(1)


class Link:
    """A device and its report link to a root."""

    def __init__(self, ledger: Ledger, number: int = 1, now: float = 0.0) -> None:
        self.ledger = ledger
        self.node = identifier(number)
        self.number = number
        self.measured = Measured()
        self.updates = OwnUpdates(self.node)
        self.reporter = Reporter(now, INTERVAL)
        self.connect(now)

    def connect(self, now: float) -> None:
        self.updates.begin_link()
        self.owner = object()
        self.reader = ReportReader(
            self.node, self.ledger, self.owner, interval=INTERVAL, silence=SILENCE, now=now
        )

    def lose(self, now: float) -> None:
        self.ledger.close(self.owner, now, lost=True)

    def report(self, now: float, items: int = 0, parent: bytes = ROOT) -> Update:
        self.measured = self.measured._replace(items=self.measured.items + items)
        own = Device(self.node, 7, parent, f"device {self.number}", workers=4)
        update = self.updates.encode(self.reporter.report(own, self.measured, now), now)
        self.reader.take(over_the_wire(update), now)
        return update


def test_what_a_device_reports_arrives_as_it_was_measured() -> None:
    link = Link(Ledger())
    for step in range(1, 6):
        link.report(INTERVAL * step, items=10 * step)
    [entry] = link.ledger.live()
    assert (entry.device.name, entry.report.sequence, entry.total.items) == ("device 1", 5, 150)
    assert entry.figures.items == 50
    assert entry.statistics.throughput.count == 4
    assert entry.statistics.throughput.maximum == pytest.approx(40 / 3)


def test_a_new_link_goes_on_where_the_last_one_ended() -> None:
    link = Link(Ledger())
    link.report(3.0, items=5)
    link.lose(4.0)
    assert not link.ledger.live()
    link.updates.encode(link.reporter.report(device(1, 7), link.measured, 6.0), 6.0)  # unheard
    link.connect(8.0)
    link.report(9.0, items=5)
    [entry] = link.ledger.live()
    assert entry.total.items == 10
    assert entry.statistics.throughput.count == 2  # told anew, the one that was not heard as well


INTRODUCED = Introduction(0, device(), 0, [])
REFUSED: dict[str, Update] = {
    "another device": Update(introductions=[Introduction(0, device(2), 0, [])]),
    "two devices": Update(introductions=[INTRODUCED, Introduction(1, device(2), 0, [])]),
    "itself twice": Update(introductions=[INTRODUCED, INTRODUCED]),
    "another key": Update(introductions=[Introduction(1, device(), 0, [])]),
    "two reports": Update(
        introductions=[INTRODUCED], intervals=[Interval(0, 1, []), Interval(0, 2, [])]
    ),
    "not introduced": Update(intervals=[Interval(0, 1, [])]),
    "out of order": Update(introductions=[INTRODUCED], intervals=[Interval(0, 0, [])]),
    "departures": Update(introductions=[INTRODUCED], gone=[Gone(0, lost=True)]),
    "sums": Update(introductions=[INTRODUCED], summed=[0]),
    "others' sums": Update(introductions=[INTRODUCED], rest=Rest(1000, 1000, [])),
    "a counter that is too large": Update(
        introductions=[Introduction(0, device(), 1, [MAX_COUNTER])], intervals=[Interval(0, 2, [1])]
    ),
    "impossible statistics": Update(
        introductions=[INTRODUCED],
        intervals=[Interval(0, 1, [], moments=DeviceMoments(Moments(9, 1.0, 0.0, 1.0, 1.0)))],
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_only_a_device_s_own_reports_are_taken(what: str) -> None:
    link = Link(Ledger())
    with pytest.raises(MalformedReportError):
        link.reader.take(REFUSED[what], 1.0)
    assert not link.ledger.entries
    assert not link.ledger.rests


def test_more_than_a_device_reports_is_too_much() -> None:
    link = Link(Ledger())
    most = int(SPARE_REPORTS + REPORTS_PER_INTERVAL * SILENCE / INTERVAL)
    for _ in range(most):  # as a link brings them at once that was held up
        link.report(1.0)
    with pytest.raises(TooManyReportsError):
        link.report(1.0)


def test_an_honest_device_never_reports_too_much() -> None:
    link = Link(Ledger())
    for step in range(1, 500):
        link.report(INTERVAL * step)
    for step in range(500, 503):  # and these come late, together
        link.report(INTERVAL * 503)


def test_at_twice_the_rate_reports_are_taken_and_above_they_are_not() -> None:
    link = Link(Ledger())
    pause = INTERVAL / REPORTS_PER_INTERVAL
    for step in range(200):
        link.report(step * pause)
    begin = 200 * pause
    with pytest.raises(TooManyReportsError):
        for step in range(200):
            link.report(begin + step * pause / 2)


def test_the_longest_report_fits_into_a_message() -> None:
    most = [MAX_COUNTER] * SIZE
    rate = Moments(MAX_COUNTER, 1e18, 1e54, 1e19, 1.0)
    moments = DeviceMoments(rate, rate, rate)
    longest = Update(
        introductions=[
            Introduction(
                0,
                Device(
                    NODE,
                    MAX_COUNTER,
                    ROOT,
                    "\U0001f41d" * 64,
                    "\U0001f41d" * 32,
                    "\U0001f41d" * 32,
                    "\U0001f41d" * 32,
                    1_000_000,
                    "\U0001f41d" * 64,
                ),
                MAX_COUNTER,
                most,
            )
        ],
        intervals=[
            Interval(
                0,
                MAX_COUNTER,
                most,
                PAUSED,
                MAX_COUNTER,
                MAX_COUNTER,
                moments,
            )
        ],
    )
    assert len(msgspec.msgpack.encode(longest)) < MAX_REPORT_BYTES


def test_a_report_takes_less_than_a_hundred_bytes_on_the_way() -> None:
    """With what encryption (an authentication tag) and a WebSocket (a frame's head) add."""
    link = Link(Ledger())
    sizes = []
    for step in range(1, 101):
        update = link.report(INTERVAL * step, items=1_000_000)
        sizes.append(len(msgspec.msgpack.encode(update)) + 16 + 8)
    assert sum(sizes) / len(sizes) < 100


# ---- what is shown ----


class Chain:
    """A root with a monitor, a node below it, and another one below that."""

    def __init__(self) -> None:
        self.monitor = Monitor("square", ROOT, 0.0, INTERVAL, has_report_links=True)
        assert self.monitor.global_ledger is not None
        self.upper, self.lower = Node(1), Node(2)
        self.upper.attach(Root(self.monitor.ledger), 0.0)
        self.lower.attach(self.upper, 0.0)
        self.links = [Link(self.monitor.global_ledger, number) for number in (1, 2)]
        self.now = 0.0

    def step(self, *, tree: bool = True) -> dict[str, Any]:
        """Let one interval pass, in which the tree passes reports on or does not."""
        self.now += INTERVAL
        for node, link in zip((self.lower, self.upper), reversed(self.links), strict=True):
            node.work(30)
            if tree:
                node.report(self.now)
                node.send(self.now)
            link.report(self.now, 30, ROOT if node is self.upper else self.upper.node)
        shown = json.loads(self.monitor.tick(RunFigures(), self.now).to_json())
        validate(shown)
        return dict(shown)


def test_both_ways_are_shown_beside_each_other() -> None:
    chain = Chain()
    for _ in range(3):
        shown = chain.step()
    lower = shown["volunteers"][identifier(2).hex()]
    assert lower["totalItems"] == lower["globalReport"]["totalItems"] == 90
    assert lower["globalReport"]["parent"] == identifier(1).hex()
    assert lower["globalReport"]["throughput"] == lower["throughput"] == 10
    assert lower["globalReport"]["stalls"] is False
    combined = shown["root"]["globalReports"]
    assert combined["devices"] == 2
    assert combined["workers"] == 8
    assert combined["totalItems"] == 180
    assert combined["throughput"] == 20
    assert (combined["stalled"], combined["missing"]) == (0, [])
    keys_of(lower["globalReport"], {"$ref": "#/$defs/globalReport"})
    keys_of(combined, {"$ref": "#/$defs/globalReports"})


def test_a_tree_that_stalls_is_seen_while_the_devices_go_on() -> None:
    chain = Chain()
    chain.step()
    for _ in range(5):
        shown = chain.step(tree=False)
    for volunteer in shown["volunteers"].values():
        assert volunteer["state"] == "silent"
        assert volunteer["totalItems"] == 30
        assert volunteer["globalReport"]["state"] == "computing"
        assert volunteer["globalReport"]["totalItems"] == 180
        assert volunteer["globalReport"]["stalls"] is True
    assert shown["root"]["globalReports"]["stalled"] == 2
    shown = chain.step()
    assert shown["root"]["globalReports"]["stalled"] == 0


def test_a_device_of_which_the_tree_tells_nothing_is_listed() -> None:
    chain = Chain()
    shown = chain.step(tree=False)
    assert shown["root"]["globalReports"]["missing"] == []  # the tree has had no time yet
    for _ in range(4):
        shown = chain.step(tree=False)
    combined = shown["root"]["globalReports"]
    assert {each["deviceName"] for each in combined["missing"]} == {"device 1", "device 2"}
    assert combined["stalled"] == 2
    documented = SCHEMA["$defs"]["globalReports"]["properties"]["missing"]["items"]
    keys_of(combined["missing"][0], documented)


def test_very_many_missing_devices_are_counted_and_not_all_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(global_view, "MAX_MISSING", 3)
    monitor = Monitor("square", ROOT, 0.0, INTERVAL, has_report_links=True)
    assert monitor.global_ledger is not None
    links = [Link(monitor.global_ledger, number) for number in range(1, 6)]
    for step in range(1, 6):
        for link in links:
            link.report(INTERVAL * step)
    combined = monitor.tick(RunFigures(), 5 * INTERVAL).root.global_reports
    assert combined is not None
    assert (len(combined.missing), combined.stalled) == (3, 5)


def test_a_link_that_has_ended_keeps_its_totals_and_stalls_nobody() -> None:
    chain = Chain()
    chain.step()
    chain.links[1].lose(chain.now)
    shown = json.loads(chain.monitor.tick(RunFigures(), chain.now).to_json())
    lower = shown["volunteers"][identifier(2).hex()]["globalReport"]
    assert (lower["state"], lower["throughput"], lower["stalls"]) == ("lost", 0, False)
    assert lower["totalItems"] == 30
    combined = shown["root"]["globalReports"]
    assert (combined["devices"], combined["totalItems"], combined["stalled"]) == (1, 60, 0)


def test_at_the_end_of_the_run_links_keep_their_figures() -> None:
    chain = Chain()
    for _ in range(5):
        chain.step()
    before = chain.monitor.information.root.global_reports
    chain.monitor.end(chain.now)
    for link in chain.links:
        link.lose(chain.now + 1)
    shown = chain.monitor.tick(RunFigures(is_over=True), chain.now + 10 * INTERVAL)
    assert shown.root.global_reports == before
    for volunteer in shown.volunteers.values():
        assert volunteer.global_report is not None
        assert (volunteer.global_report.state, volunteer.global_report.throughput) == ("over", 10)
        assert not volunteer.global_report.stalls


def test_what_stalls_when_the_run_ends_is_not_taken_for_heard() -> None:
    chain = Chain()
    chain.step()
    for _ in range(5):
        chain.step(tree=False)
    chain.monitor.end(chain.now)
    shown = chain.monitor.tick(RunFigures(is_over=True), chain.now)
    assert {volunteer.state for volunteer in shown.volunteers.values()} == {"silent"}
    assert shown.root.global_reports is not None
    assert shown.root.global_reports.stalled == 2


def test_devices_that_left_long_ago_stay_in_the_sums() -> None:
    chain = Chain()
    chain.step()
    for link in chain.links:
        link.lose(chain.now)
    combined = chain.monitor.tick(RunFigures(), chain.now + 10_000).root.global_reports
    assert combined is not None
    assert (combined.devices, combined.total_items) == (0, 60)


def test_without_report_links_nothing_is_shown_of_them() -> None:
    monitor = Monitor("square", ROOT, 0.0, INTERVAL)
    monitor.ledger.hear(Report(device(), 1, Counters(3000), Counters()), "a", 3.0)
    shown = monitor.tick(RunFigures(), 3.0)
    assert shown.root.global_reports is None
    assert [volunteer.global_report for volunteer in shown.volunteers.values()] == [None]


def test_a_report_on_a_link_reaches_viewers_though_the_tree_says_nothing_new() -> None:
    chain = Chain()
    chain.step()
    before = chain.monitor.stamp
    chain.step(tree=False)
    assert all(row.stamp > before for row in chain.monitor.rows.values())
    chain.monitor.tick(RunFigures(), chain.now)
    assert all(row.stamp <= chain.monitor.stamp - 1 for row in chain.monitor.rows.values())


def test_what_a_link_tells_changes_no_figure_of_the_tree() -> None:
    with_links, without = Chain(), Chain()
    for _ in range(3):
        shown = with_links.step()
    for _ in range(3):
        without.now += INTERVAL
        for node in (without.lower, without.upper):
            node.work(30)
            node.report(without.now)
            node.send(without.now)
        plain = json.loads(without.monitor.tick(RunFigures(), without.now).to_json())
    for each in (shown, plain):
        each["root"]["globalReports"] = None
        for volunteer in each["volunteers"].values():
            volunteer["globalReport"] = None
    assert shown == plain


def test_the_schema_names_each_key() -> None:
    for kind, name in ((GlobalReport, "globalReport"), (GlobalReports, "globalReports")):
        keys = {field.encode_name for field in msgspec.structs.fields(kind)}
        assert keys == SCHEMA["$defs"][name]["properties"].keys()
