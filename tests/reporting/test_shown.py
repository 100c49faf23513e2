"""The object that people and programs see: the original tool's, key for key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from pando.reporting import shown as shapes
from pando.reporting.device import Measured, Reporter
from pando.reporting.monitor import Monitor
from pando.reporting.run_figures import RunFigures
from pando.reports.counters import Counters
from pando.reports.records import PAUSED, STARVED, Device, Report
from tests.reporting.feed import ROOT, Node, Root, device, identifier

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/monitoring.schema.json").read_text("utf-8"))
EXAMPLE = {
    "root": {},
    "volunteers": {
        "5f7cfd73": {
            "id": "5f7cfd73",
            "cpuTime": 3095,
            "dataTransferTime": 0,
            "nbItems": 700,
            "units": "BigNums",
            "deviceName": "MacBook Air 2011",
            "throughput": 225.2977148374638,
            "throughputStats": {
                "average": "242.23",
                "standard-deviation": "39.00",
                "maximum": "325.88",
                "minimum": "166.14",
            },
            "cpuUsage": 99.61377534599292,
            "cpuUsageStats": {
                "average": "89.06",
                "standard-deviation": "14.73",
                "maximum": "99.55",
                "minimum": "55.69",
            },
            "dataTransferLoad": 0,
            "dataTransferStats": {
                "average": "0.00",
                "standard-deviation": "0.00",
                "maximum": "0.00",
                "minimum": "0.00",
            },
            "lastReportInterval": 3107,
        }
    },
}
"""What the original tool documents."""
ZEROS = dict.fromkeys(("average", "standard-deviation", "maximum", "minimum"), "0.00")


def validate(information: Any) -> None:
    validator = jsonschema.Draft202012Validator
    validator.check_schema(SCHEMA)
    validator(SCHEMA).validate(information)


def new_monitor() -> Monitor:
    return Monitor("square", ROOT, 100.0, 3.0)


def watched(steps: int = 4) -> Monitor:
    """A monitor with the root's own device, one of its children, and one below that."""
    monitor = new_monitor()
    root = Root(monitor.ledger)
    own = Reporter(100.0, 3.0)
    upper, lower = Node(1), Node(2)
    upper.attach(root, 100.0)
    lower.attach(upper, 100.0)
    for step in range(1, steps + 1):
        now = 100.0 + 3 * step
        for node in (lower, upper):
            node.work(10 * node.number, 2.5)
            node.report(now)
            node.send(now)
        monitor.hear_own(own.report(Device(ROOT, 1, name="here"), Measured(items=step), now), now)
        monitor.tick(RunFigures(done=31 * step, total=1000, workers=9), now)
    return monitor


def keys_of(value: Any, schema: Any) -> None:
    """Assert that the schema says what each key means."""
    schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if isinstance(value, dict) and "properties" in schema:
        assert value.keys() <= schema["properties"].keys()
        for key, inner in value.items():
            keys_of(inner, schema["properties"][key])


def documented(information: dict[str, Any]) -> None:
    keys_of(information["root"], {"$ref": "#/$defs/root"})
    for volunteer in information["volunteers"].values():
        keys_of(volunteer, {"$ref": "#/$defs/volunteer"})


def undescribed(schema: Any, path: str = "") -> list[str]:
    """The keys of which a part of the schema does not say what they mean."""
    found = []
    for key, inner in schema.get("properties", {}).items():
        if not {"description", "$ref"} & inner.keys() and "anyOf" not in inner:
            found.append(f"{path}.{key}")
        found += undescribed(inner, f"{path}.{key}")
    if isinstance(schema.get("items"), dict):
        found += undescribed(schema["items"], f"{path}[]")
    return found


def test_the_schema_says_what_each_key_means() -> None:
    assert undescribed(SCHEMA) == []
    for name, part in SCHEMA["$defs"].items():
        assert undescribed(part, name) == []


@pytest.mark.parametrize(("kind", "name"), [(shapes.Volunteer, "volunteer"), (shapes.Root, "root")])
def test_the_schema_has_all_keys_and_no_others(kind: type, name: str) -> None:
    keys = {field.encode_name for field in msgspec.structs.fields(kind)}
    assert keys == SCHEMA["$defs"][name]["properties"].keys()


def test_the_schema_is_that_of_the_original_s_example() -> None:
    validate(EXAMPLE)
    assert list(EXAMPLE["volunteers"]["5f7cfd73"]) == SCHEMA["$defs"]["volunteer"]["required"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("throughputStats", {**ZEROS, "average": 0.0}),
        ("throughputStats", {**ZEROS, "average": "0.0"}),
        ("cpuTime", "3095"),
        ("nbItems", -1),
        ("nbItems", None),
        ("deviceName", None),
    ],
)
def test_the_schema_notices_other_forms(key: str, value: Any) -> None:
    volunteer = {**EXAMPLE["volunteers"]["5f7cfd73"], key: value}
    with pytest.raises(jsonschema.ValidationError):
        validate({"root": {}, "volunteers": {"5f7cfd73": volunteer}})
    del volunteer[key]
    with pytest.raises(jsonschema.ValidationError):
        validate({"root": {}, "volunteers": {"5f7cfd73": volunteer}})


def test_each_form_of_the_object_is_that_of_the_schema() -> None:
    monitor = watched()
    for information in (
        monitor.information.to_builtins(),
        json.loads(monitor.information.to_json()),
    ):
        validate(information)
        documented(information)
        assert b"\n" not in monitor.information.to_json()


@pytest.mark.parametrize("steps", [0, 1])
def test_a_run_that_has_just_begun_is_shown(steps: int) -> None:
    information = watched(steps).information.to_builtins()
    validate(information)
    documented(information)
    for volunteer in information["volunteers"].values():
        assert volunteer["throughputStats"] == ZEROS


def test_the_example_s_device_is_shown_as_in_the_example() -> None:
    monitor = new_monitor()
    before = Counters(elapsed_ms=3000, reported_items=1_000_000, reported_cpu_ms=2000)
    after = Counters(
        elapsed_ms=6107, items=7, reported_items=1_700_000, reported_cpu_ms=5095, cpu_ms=9999
    )
    named = Device(bytes.fromhex("000000005f7cfd73"), 1, ROOT, "MacBook Air 2011", units="BigNums")
    monitor.ledger.hear(Report(named, 2, after, before), "a", 103.0)
    shown = monitor.tick(RunFigures(), 103.0).to_builtins()["volunteers"]["000000005f7cfd73"]
    example = EXAMPLE["volunteers"]["5f7cfd73"]
    for key in example.keys() - {"id", "throughputStats", "cpuUsageStats"}:
        assert shown[key] == example[key], key
    assert shown["measured"]["cpuTime"] == 9999
    assert shown["totalItems"] == 1700


def test_statistics_are_text_with_two_decimals() -> None:
    volunteer = watched().information.to_builtins()["volunteers"][identifier(2).hex()]
    assert volunteer["throughput"] == pytest.approx(20 / 3)
    assert volunteer["throughputStats"] == {
        "average": "6.67",
        "standard-deviation": "0.00",
        "maximum": "6.67",
        "minimum": "6.67",
    }
    assert volunteer["cpuUsageStats"]["average"] == "83.33"


def test_the_run_as_a_whole() -> None:
    root = watched().information.root
    assert (root.children_nb, root.nb_leaf_nodes, root.done) == (1, 1, 124)
    assert root.throughput == pytest.approx(31 / 3)
    assert root.time_left == pytest.approx((1000 - 124) * 3 / 31)
    assert root.cpu_time_given == 20_000
    assert root.own is not None
    assert root.own.device_name == "here"


def test_a_glance_has_newer_figures_and_ends_no_interval() -> None:
    monitor = watched()
    before, stamp = monitor.information, monitor.stamp
    glance = monitor.glance(RunFigures(done=155, failed=1, total=1000, workers=10), 113.5)
    assert (glance.root.done, glance.root.failed, glance.root.workers) == (155, 1, 10)
    assert glance.root.elapsed == 13.5
    assert glance.root.throughput == pytest.approx(155 / 13.5)
    assert glance.root.time_left == pytest.approx((1000 - 155) * 13.5 / 155)
    assert glance.volunteers == before.volunteers
    assert (monitor.information, monitor.stamp) == (before, stamp)


def test_without_results_nobody_knows_how_long_it_takes() -> None:
    monitor = new_monitor()
    assert monitor.tick(RunFigures(total=10), 103.0).root.time_left is None
    assert monitor.tick(RunFigures(), 103.0).root.time_left is None
    assert monitor.tick(RunFigures(total=10, done=10), 103.0).root.time_left == 0


def test_states() -> None:
    monitor = new_monitor()
    hungry = Report(device(1), 1, Counters(3000), Counters(), STARVED)
    monitor.ledger.hear(hungry, "a", 103.0)
    monitor.ledger.hear(Report(device(2), 1, Counters(3000, 5), Counters(), PAUSED), "a", 103.0)

    def states(now: float) -> list[str]:
        volunteers = monitor.tick(RunFigures(), now).volunteers.values()
        return [volunteer.state for volunteer in volunteers]

    assert states(104.0) == ["starved", "paused"]
    assert states(120.0) == ["silent", "silent"]
    monitor.ledger.leave(identifier(1), "a", 121.0, lost=False)
    monitor.ledger.leave(identifier(2), "a", 121.0, lost=True)
    assert states(122.0) == ["left", "lost"]
    gone = monitor.information.volunteers[identifier(2).hex()]
    assert (gone.nb_items, gone.throughput, gone.workers, gone.total_items) == (0, 0, 0, 5)
    assert states(121.0 + 600) == []
    assert monitor.information.root.departed.devices == 2
    assert monitor.information.root.departed.nb_items == 5


def test_at_the_end_of_the_run_who_took_part_did_so_until_it_was_over() -> None:
    monitor = watched()
    now = 112.0
    for number, state in ((5, STARVED), (6, PAUSED)):
        one = Report(device(number), 1, Counters(3000, 7), Counters(), state, held=3)
        monitor.ledger.hear(one, number, now)
    monitor.ledger.hear(Report(device(7), 1, Counters(3000), Counters()), 7, now - 11)
    monitor.ledger.hear(Report(device(8), 1, Counters(3000), Counters()), 8, now)
    monitor.ledger.leave(identifier(8), 8, now, lost=True)
    before = monitor.tick(RunFigures(done=124), now)
    events = monitor.events.total
    monitor.end(now)
    for entry in list(monitor.ledger.entries.values()):
        monitor.ledger.close(entry.owner, now + 1, lost=entry.device.node == identifier(6))
    shown = monitor.tick(RunFigures(done=124, is_over=True), now + 2)
    validate(shown.to_builtins())
    states = {node: volunteer.state for node, volunteer in shown.volunteers.items()}
    assert states == {
        identifier(1).hex(): "over",
        identifier(2).hex(): "over",
        identifier(5).hex(): "over",
        identifier(6).hex(): "over",
        identifier(7).hex(): "silent",
        identifier(8).hex(): "lost",
    }
    assert shown.root.own is not None
    assert shown.root.own.state == "over"
    assert monitor.states() == {"over": 5, "silent": 1, "lost": 1}
    assert monitor.events.total == events, "nobody leaves a run that is over"
    for node, volunteer in before.volunteers.items():
        if volunteer.state not in ("silent", "lost"):
            same = {"state": "over", "held": 0, "since": shown.volunteers[node].since}
            assert shown.volunteers[node] == msgspec.structs.replace(volunteer, **same)
    assert shown.root.children_nb == before.root.children_nb
    assert shown.root.nb_leaf_nodes == before.root.nb_leaf_nodes


def test_the_last_interval_of_the_lost_is_counted_as_unknown_until_they_tell() -> None:
    monitor = new_monitor()

    def unknown() -> int:
        return monitor.tick(RunFigures(), 104.0).root.unknown_intervals

    for number in (1, 2, 3):
        monitor.ledger.hear(Report(device(number), 1, Counters(3000), Counters()), "a", 103.0)
    monitor.ledger.leave(identifier(3), "a", 103.0, lost=False)
    assert unknown() == 0
    monitor.ledger.close("a", 103.0, lost=True)
    assert unknown() == 2
    monitor.ledger.hear(Report(device(1), 3, Counters(9000), Counters(6000)), "b", 103.0)
    assert unknown() == 1, "its counters have gone on"
    monitor.ledger.hear(Report(device(2, 7), 1, Counters(3000), Counters()), "b", 103.0)
    assert unknown() == 1, "it has begun anew"
    monitor.ledger.close("b", 103.0, lost=True)
    assert unknown() == 3
    assert monitor.tick(RunFigures(), 10_000.0).root.unknown_intervals == 3


def test_percentages_are_of_one_core() -> None:
    monitor = new_monitor()
    busy = Counters(3000, 40, function_ms=12_000, cpu_ms=12_000, transfer_ms=1500)
    monitor.ledger.hear(Report(device(1), 1, busy, Counters()), "a", 103.0)
    twice = Counters(*(2 * figure for figure in busy))
    monitor.ledger.hear(Report(device(1), 2, twice, busy), "a", 106.0)
    (shown,) = monitor.tick(RunFigures(), 106.0).volunteers.values()
    assert (shown.cpu_usage, shown.data_transfer_load) == (400, 50)
    assert shown.cpu_usage_stats.average == "400.00"
    assert shown.data_transfer_stats.maximum == "50.00"


def test_who_is_first_heard_at_the_end_took_part_as_well() -> None:
    monitor = new_monitor()
    monitor.end(103.0)
    monitor.ledger.hear(Report(device(1), 1, Counters(3000, 5), Counters()), "a", 103.1)
    monitor.ledger.close("a", 103.2, lost=False)
    shown = monitor.tick(RunFigures(is_over=True), 103.3).volunteers[identifier(1).hex()]
    assert (shown.state, shown.nb_items, shown.workers) == ("over", 5, 4)


def test_absurd_figures_are_still_valid_json() -> None:
    monitor = new_monitor()
    largest = Counters(*[2**53 - 1] * 16)
    monitor.ledger.hear(Report(device(), 1, largest._replace(elapsed_ms=0), Counters()), "a", 101.0)
    monitor.ledger.hear(Report(device(), 2, largest, Counters()), "a", 104.0)
    validate(json.loads(monitor.tick(RunFigures(), 104.0).to_json()))
