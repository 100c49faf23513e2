"""Monitoring of a run: each way to get it gives the same object, made once an interval."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import trio
import trio.testing

import pando
from pando import debug, standard_error
from pando.functions.serialized import serialize
from pando.running.monitoring_lines import LineWriter
from pando.running.opening import open_serialized_run
from pando.running.options import RunOptions

from ..net.clients import comes_true
from ..processes import GENEROUS_SECONDS, environment, run_script

pytestmark = [pytest.mark.process, pytest.mark.socket]

SCHEMA = json.loads(Path("docs/monitoring.schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
"""Checks no schema each time: that takes longer than an interval here."""
FAST = pando.ServeOptions(port=0, listen="127.0.0.1", reporting_interval=0.05)


def check(shown: dict[str, Any]) -> dict[str, Any]:
    """Return what is shown, which must fit the schema."""
    VALIDATOR.validate(json.loads(json.dumps(shown)))
    return shown


def nap(x: int) -> int:
    import time

    time.sleep(0.01)
    if x == 7:
        raise ValueError("seven")
    return x


def test_on_report_is_called_between_results_in_the_callers_thread() -> None:
    import threading

    reports, threads = [], set()

    def on_report(report: dict[str, Any]) -> None:
        reports.append(check(report))
        threads.add(threading.current_thread())

    results = pando.map(
        nap, range(60), workers=1, serve=FAST, return_exceptions=True, on_report=on_report
    )
    assert len(list(results)) == 60
    assert threads == {threading.current_thread()}
    assert len(reports) >= 2
    last = reports[-1]["root"]
    assert (last["done"], last["failed"], last["total"], last["state"]) == (60, 1, 60, "over")
    assert last["own"]["nbItems"] <= last["own"]["totalItems"] == 60


def test_on_report_is_called_while_a_result_is_waited_for() -> None:
    def wait(x: int) -> int:
        import time

        time.sleep(1.0)
        return x

    before_result = []
    for _ in pando.map(wait, [1], workers=1, serve=FAST, on_report=before_result.append):
        count = len(before_result)
    assert count >= 2
    assert before_result[1]["root"]["done"] == 0


def test_an_exception_of_on_report_ends_the_map() -> None:
    def on_report(report: dict[str, Any]) -> None:
        raise KeyError("enough")

    results = pando.map(nap, iter(range(10**9)), workers=1, serve=FAST, on_report=on_report)
    with pytest.raises(KeyError, match="enough"):
        for _ in results:
            pass
    assert list(results) == []


def test_on_report_must_be_a_function() -> None:
    with pytest.raises(pando.UsageError, match="on_report must be a function, not 3"):
        pando.map(nap, [1], on_report=3)  # type: ignore[arg-type]


async def test_amap_reports_too() -> None:
    reports: list[dict[str, Any]] = []
    async with pando.open_run(nap, workers=1, serve=FAST) as run:
        async for _ in run.map(range(5)):
            reports.append(check(run.monitoring()))
    assert reports[0]["root"]["function"] == "nap"


def test_a_run_that_serves_nobody_is_monitored() -> None:
    with pando.run(nap, workers=1, serve=False) as run:
        list(run.map(range(5)))
        shown = check(run.monitoring())
    assert shown["root"]["done"] == 5
    assert shown["root"]["own"]["totalItems"] == 5
    assert shown["volunteers"] == {}


async def test_what_is_shown_is_made_once_an_interval_whoever_asks() -> None:
    slow = pando.ServeOptions(port=0, listen="127.0.0.1", reporting_interval=1000)
    async with pando.open_run(nap, workers=1, serve=slow) as run:
        first = run.monitoring()
        async for _ in run.map(range(5)):
            pass
        assert run.monitoring() == first


async def test_errors_are_noted_with_item_device_and_traceback() -> None:
    async with pando.open_run(nap, workers=1, serve=FAST) as run:
        async for _ in run.map(range(10), return_exceptions=True):
            pass
        (error,) = run._monitoring.monitor.errors.since(0)
    assert (error.index, error.item, error.type, error.reason) == (7, "7", "ValueError", "seven")
    assert error.device == "worker 1"
    assert "raise ValueError" in error.traceback


def test_several_streams_are_added_up_and_closed_ones_stay_counted() -> None:
    with pando.run(nap, workers=2, serve=FAST) as run:
        list(run.map(range(5)))
        first, second = run.map(range(100)), run.map(range(200, 230))
        next(first), list(second)
        while (root := run.monitoring()["root"])["done"] < 36:
            pass
        assert root["total"] == 135
        first.close()
        before = root["elapsed"]
        while (root := run.monitoring()["root"])["elapsed"] == before:
            pass
        assert 35 < root["done"] <= 135
        assert root["total"] == root["done"]


def test_the_total_is_unknown_where_the_input_does_not_tell() -> None:
    with pando.run(nap, workers=1, serve=FAST) as run:
        results = run.map(iter(range(1000)))
        next(results)
        assert run.monitoring()["root"]["total"] is None
        assert run.monitoring()["root"]["timeLeft"] is None


# ---- lines ----

COMMAND = [sys.executable, "-m", "pando", "-c", "__import__('time').sleep(0.2)"]


def run_command(
    tmp_path: Path, *options: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *(options if "--serve" in options else ["--no-serve", *options]), *"abcdefghij"],
        capture_output=True,
        text=True,
        timeout=GENEROUS_SECONDS,
        env={**environment(tmp_path), **variables},
    )


def test_debug_writes_a_line_of_json_each_interval_and_the_log_has_the_same(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    done = run_command(
        tmp_path,
        "--workers=1",
        "--reporting-interval=0.5",
        f"--monitoring-log={log}",
        DEBUG="pando-computing:monitoring",
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("{")]
    assert len(lines) >= 2
    for line in lines:
        check(json.loads(line))
    assert log.read_text("utf-8").splitlines() == lines
    assert json.loads(lines[-1])["root"]["state"] == "over"
    assert len({json.loads(line)["root"]["elapsed"] for line in lines}) == len(lines)


def test_a_log_that_cannot_be_written_is_an_error_at_once(tmp_path: Path) -> None:
    done = run_command(tmp_path, f"--monitoring-log={tmp_path}/no/log.jsonl")
    assert done.returncode == 2
    assert done.stderr == f"pando: {tmp_path}/no/log.jsonl: No such file or directory\n"
    assert done.stdout == ""


class Reader:
    """A place for lines whose reader takes none until it is told to."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.may_read = threading.Event()

    def write(self, line: bytes) -> None:
        self.may_read.wait()
        self.lines.append(line)


async def test_a_slow_reader_gets_whole_lines_and_the_others_are_counted() -> None:
    reader = Reader()
    options = RunOptions(workers=1, serve=None)
    async with open_serialized_run(serialize(nap), "nap", options) as run:
        writer = LineWriter(run._monitoring, reader.write)
        run.add_sink(writer.put)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            for _ in range(4):
                run._monitoring._tick()
                await trio.testing.wait_all_tasks_blocked()
            assert run.monitoring()["root"]["counters"] == {"monitoring_lines_dropped": 2}
            reader.may_read.set()
            assert await comes_true(lambda: bool(reader.lines))
            nursery.cancel_scope.cancel()
    assert json.loads(reader.lines[0])["root"]["counters"] == {}
    assert all(line.endswith(b"}\n") for line in reader.lines)


def test_a_line_begins_a_line_where_somebody_has_not_ended_theirs(
    capfd: pytest.CaptureFixture[str],
) -> None:
    standard_error.write(b"no end")
    standard_error.write(b"{}\n", as_line=True)
    standard_error.write(b"{}\n", as_line=True)
    assert capfd.readouterr().err == "no end\n{}\n{}\n"


@pytest.mark.parametrize(
    ("value", "enabled"),
    [
        ("", False),
        ("pando:monitoring", True),
        ("pando-computing:monitoring", True),
        ("express:*, pando:*", True),
        ("pando:tree", False),
        ("*", True),
        ("* -pando*:monitoring", False),
    ],
)
def test_debug_names_parts_by_patterns(
    value: str, enabled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEBUG", value)
    assert debug.is_enabled(*debug.MONITORING) is enabled


def test_debug_writes_readable_logs_of_the_parts_that_it_names(tmp_path: Path) -> None:
    done = run_command(tmp_path, "--serve", "--port=0", "--listen=127.0.0.1", DEBUG="pando:running")
    logs = [line for line in done.stderr.splitlines() if re.match(r"pando:running \d\d:", line)]
    assert any("is open" in line for line in logs), done.stderr
    assert "pando:tree" not in done.stderr
    silent = run_command(tmp_path, "--serve", "--port=0", "--listen=127.0.0.1", DEBUG="other:*")
    assert "listens" not in silent.stderr


def test_the_parts_that_write_logs_are_those_that_the_documentation_names() -> None:
    page = Path("docs/monitoring.md").read_text("utf-8")
    (named,) = re.findall(r"The parts are the packages of Pando: ([^.]*)\.", page)
    writing = {
        path.parts[1]
        for path in Path("pando").rglob("*.py")
        if "getLogger(__name__)" in path.read_text("utf-8")
    }
    assert set(re.findall(r"`(\w+)`", named)) == writing


def test_a_program_that_has_chosen_handlers_gets_no_others(tmp_path: Path) -> None:
    done = run_script(
        tmp_path / "script.py",
        "import logging, os, pando\n"
        "os.environ['DEBUG'] = 'pando:*'\n"
        "logging.basicConfig(level=logging.ERROR)\n"
        "assert list(pando.map(abs, [-1], workers=1, serve=False)) == [1]\n"
        "assert not logging.getLogger('pando').handlers\n",
    )
    assert done.returncode == 0, done.stderr
    assert "pando:" not in done.stderr.replace("pando: ", "")
