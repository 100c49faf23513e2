"""Prometheus metrics, read back by the official parser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from pando.reporting.metrics import CONTENT_TYPE, Scrapes, new_registry, render
from pando.reporting.monitor import Monitor
from pando.reporting.run_figures import RunFigures
from pando.reports.counters import Counters
from pando.reports.records import STARVED, Report
from tests.reporting.feed import ROOT, device, identifier


def scraped(monitor: Monitor) -> dict[str, Metric]:
    text = render(new_registry(monitor, "0.1.0")).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(families: dict[str, Metric], name: str, **labels: str) -> float:
    (found,) = [
        sample.value
        for family in families.values()
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    return found


def busy_monitor() -> Monitor:
    monitor = Monitor('a "function"\n', ROOT, 0.0, 3.0)
    one = Counters(3000, 10, function_ms=2500, starved_ms=500, cpu_ms=2400, bytes_in=7, bytes_out=9)
    monitor.ledger.hear(Report(device(1), 1, one, Counters()), "a", 3.0)
    monitor.ledger.hear(Report(device(2), 1, one, Counters(), STARVED), "a", 3.0)
    for seconds in (0.001, 0.5, 0.5, 20.0):
        monitor.latency.add(seconds, 5)
    figures = RunFigures(20, 1, 100, 4, 6, 3, 1, 8, counters={"wrong tickets": 2})
    monitor.tick(figures, 3.0)
    return monitor


def test_values_and_units() -> None:
    families = scraped(busy_monitor())
    assert value(families, "pando_items_total") == 20
    assert value(families, "pando_items_failed_total") == 1
    assert value(families, "pando_items_reassigned_total") == 3
    assert value(families, "pando_items_struck_out_total") == 1
    assert value(families, "pando_items_lent") == 4
    assert value(families, "pando_items_waiting") == 6
    assert value(families, "pando_items_expected") == 100
    assert value(families, "pando_workers") == 8
    assert value(families, "pando_run_active") == 1
    assert value(families, "pando_devices", state="computing") == 1
    assert value(families, "pando_devices", state="starved") == 1
    assert value(families, "pando_devices", state="silent") == 0
    assert value(families, "pando_cpu_seconds_total") == 4.8
    assert value(families, "pando_function_seconds_total") == 5.0
    assert value(families, "pando_waiting_seconds_total", reason="items") == 1.0
    assert value(families, "pando_received_bytes_total") == 14
    assert value(families, "pando_refusals_total", kind="wrong tickets") == 2
    assert value(families, "pando_item_latency_seconds_count") == 20
    assert value(families, "pando_item_latency_seconds_sum") == 105.005
    info = {"function": 'a "function"\n', "version": "0.1.0"}
    assert value(families, "pando_run_info", **info) == 1


def test_buckets_are_cumulative_and_complete() -> None:
    buckets = [
        (float(sample.labels["le"]), sample.value)
        for sample in scraped(busy_monitor())["pando_item_latency_seconds"].samples
        if sample.name.endswith("_bucket")
    ]
    assert buckets == sorted(buckets)
    assert buckets[-1] == (float("inf"), 20)
    assert max(count for bound, count in buckets if bound < 0.4) == 5
    assert max(count for bound, count in buckets if bound < 15) == 15


@pytest.mark.parametrize("kind", ["without report links", "with them"])
def test_names_follow_the_conventions(kind: str) -> None:
    monitor = busy_monitor() if kind == "without report links" else monitor_with_report_links()
    for name, family in scraped(monitor).items():
        assert name.startswith("pando_")
        assert family.documentation.endswith(".")
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter"), sample
            assert "millisecond" not in sample.name


def test_no_metric_has_a_label_for_a_device() -> None:
    def shape(monitor: Monitor) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
        return {
            (sample.name, tuple(sorted(sample.labels.items())))
            for family in scraped(monitor).values()
            for sample in family.samples
        }

    monitor = monitor_with_report_links()
    assert monitor.global_ledger is not None
    before = shape(monitor)
    for number in range(10, 60):
        told = Report(device(number), 1, Counters(3000), Counters())
        monitor.ledger.hear(told, "a", 18.0)
        monitor.global_ledger.hear(told, number, 18.0)
    monitor.tick(monitor.run, 18.0)
    assert shape(monitor) == before


def test_counters_do_not_decrease_when_devices_leave() -> None:
    monitor = busy_monitor()
    registry = new_registry(monitor, "0.1.0")

    def cpu_seconds() -> float:
        text = render(registry).decode()
        families = {family.name: family for family in text_string_to_metric_families(text)}
        return value(families, "pando_cpu_seconds_total")

    assert cpu_seconds() == 4.8
    monitor.ledger.leave(identifier(1), "a", 4.0, lost=True)
    monitor.tick(monitor.run, 700.0)
    assert cpu_seconds() == 4.8
    assert not monitor.information.volunteers.keys() & {identifier(1).hex()}
    monitor.ledger.entries.clear()
    assert cpu_seconds() == 4.8


def test_who_scrapes_again_sees_no_counter_decrease_until_another_run_begins() -> None:
    scrapes, monitor = Scrapes("0.1.0"), busy_monitor()

    def cpu_seconds(monitor: Monitor) -> float:
        families = text_string_to_metric_families(scrapes.render(monitor).decode())
        return value({family.name: family for family in families}, "pando_cpu_seconds_total")

    assert cpu_seconds(monitor) == 4.8
    monitor.ledger.entries.clear()
    assert cpu_seconds(monitor) == 4.8
    assert cpu_seconds(Monitor("square", ROOT, 0.0, 3.0)) == 0


def monitor_with_report_links() -> Monitor:
    """Two devices are heard on their report links, and one of them through the tree, too."""
    monitor = Monitor("square", ROOT, 0.0, 3.0, has_report_links=True)
    assert monitor.global_ledger is not None
    for step in range(1, 7):
        now, counters = 3.0 * step, Counters(3000 * step, 10 * step, cpu_ms=1000 * step)
        before = Counters(3000 * (step - 1), 10 * (step - 1), cpu_ms=1000 * (step - 1))
        for number in (1, 2):
            told = Report(device(number), step, counters, before)
            monitor.global_ledger.hear(told, number, now)
            if number == 1 or step == 1:
                monitor.ledger.hear(told, "a", now)
        monitor.tick(RunFigures(), now)
    return monitor


def test_what_report_links_tell_is_counted() -> None:
    families = scraped(monitor_with_report_links())
    assert value(families, "pando_report_link_devices") == 2
    assert value(families, "pando_report_link_stalled_devices") == 1
    assert value(families, "pando_report_link_workers") == 8
    assert value(families, "pando_report_link_items_total") == 120
    assert value(families, "pando_report_link_cpu_seconds_total") == 12
    assert value(families, "pando_devices", state="silent") == 1


def test_without_report_links_nothing_is_told_of_them() -> None:
    assert not [name for name in scraped(busy_monitor()) if "report_link" in name]


def test_the_devices_of_a_run_that_is_over_are_over() -> None:
    monitor = busy_monitor()
    monitor.end(3.0)
    monitor.ledger.close("a", 4.0, lost=False)
    monitor.tick(RunFigures(is_over=True), 4.0)
    families = scraped(monitor)
    assert value(families, "pando_run_active") == 0
    assert value(families, "pando_devices", state="over") == 2
    assert value(families, "pando_devices", state="computing") == 0


def test_a_run_that_has_just_begun_is_scraped() -> None:
    families = scraped(Monitor("square", ROOT, 0.0, 3.0))
    assert value(families, "pando_items_total") == 0
    assert "pando_items_expected" not in families


def test_the_format_is_the_text_format() -> None:
    assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")


def test_the_library_is_imported_for_metrics_alone() -> None:
    program = (
        "import sys, pando.reporting.live, pando.reporting.passing;"
        "sys.exit('prometheus_client' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


NOT_ON_THE_DASHBOARD = {
    "pando_run_info",
    "pando_run_active",
    "pando_items_struck_out",
    "pando_transfer_seconds",
    "pando_report_link_cpu_seconds",
    "pando_report_link_workers",
}


def test_the_dashboard_shows_metrics_of_a_scrape_and_nearly_all() -> None:
    monitor = monitor_with_report_links()
    monitor.tick(RunFigures(total=5, counters={"joined": 1}), 18.0)
    names = {sample.name for family in scraped(monitor).values() for sample in family.samples}
    dashboard = json.loads(Path("examples/grafana.json").read_text("utf-8"))
    used: set[str] = set()
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            used |= set(re.findall(r"pando_\w+", target["expr"]))
    assert len(used) > 10
    assert used <= names
    families = scraped(monitor).values()
    unused = {
        family.name for family in families if not used & {sample.name for sample in family.samples}
    }
    assert unused == NOT_ON_THE_DASHBOARD


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs Debian's package prometheus")
@pytest.mark.parametrize("kind", ["without report links", "with them"])
def test_promtool_finds_nothing_to_complain_of(kind: str) -> None:
    monitor = busy_monitor() if kind == "without report links" else monitor_with_report_links()
    text = render(new_registry(monitor, "0.1.0"))
    command = ["promtool", "check", "metrics"]
    checked = subprocess.run(command, input=text, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
