"""Options, keys and names of the original tool keep working.

These lists are the original's, and are never shortened: what is renamed here keeps its old name
for good.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

import pando
from pando.cli.main import main
from pando.cli.options import parse
from pando.cli.settings import Settings
from pando.config import CONFIG_FILE
from pando.figures import tally
from pando.functions.exports import find_exports
from pando.reporting.ledger import Entry
from pando.reporting.shown import show_volunteer
from pando.reports.counters import NOTHING, Counters
from pando.reports.records import Device, Report

OPTIONS = {
    "--headless": None,
    "--host=localhost": "localhost",
    "--port=5000": 5000,
    "--local": None,
    "--start-idle": None,
    "--stdin": None,
    "--secret=INSECURE-SECRET": "INSECURE-SECRET",
    "--bootstrap-timeout=60": 60,
    "--degree=10": 10,
    "--global-monitoring": None,
    "--reporting-interval=3": 3,
    "--seed=1": 1,
}
DEFAULTS = {
    "headless": False,
    "port": 5000,
    "local": False,
    "stdin": False,
    "secret": "INSECURE-SECRET",
    "bootstrap_timeout": 60,
    "degree": 10,
    "reporting_interval": 3,
}
CONFIG = {"seed": 7, "secret": "abc", "host": "example.org:5000"}
EXPORT = "/pando/1.0.0"
REPORT = {"cpuTime": 2000, "dataTransferTime": 500, "nbItems": 3, "units": "Gizmos"}
"""Times are in milliseconds."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("option", OPTIONS)
def test_the_options_of_the_original(option: str, capfd: pytest.CaptureFixture[str]) -> None:
    parsed = parse(["module.py", option])
    assert not isinstance(parsed, str)
    name = option.removeprefix("--").partition("=")[0].replace("-", "_")
    value = OPTIONS[option]
    assert getattr(parsed.settings, name) == (True if value is None else value)
    assert "deprecated" not in capfd.readouterr().err


def test_the_defaults_of_the_original() -> None:
    settings = Settings()
    assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS


def test_the_configuration_file_of_the_original(home: Path) -> None:
    assert Path(".pando", "config.json") == CONFIG_FILE
    (home / ".pando").mkdir()
    (home / CONFIG_FILE).write_text(json.dumps(CONFIG))
    parsed = parse(["module.py", "1"])
    assert not isinstance(parsed, str)
    assert {name: getattr(parsed.settings, name) for name in CONFIG} == CONFIG


def test_the_export_of_the_original(tmp_path: Path) -> None:
    module = tmp_path / "mine.py"
    module.write_text(f"exports = {{{EXPORT!r}: lambda x: x + 1}}\n")
    function, _ = find_exports(str(module))
    assert function(1) == 2


@pytest.mark.process
def test_a_module_of_the_original(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    module = tmp_path / "mine.js"
    module.write_text(f"module.exports[{EXPORT!r}] = function (x, cb) {{ cb(null, x + 1) }}\n")
    assert main([str(module), "--local", "1", "2"]) == 0
    assert capfd.readouterr().out == "2\n3\n"


def test_the_report_of_the_original() -> None:
    tally.take()
    pando.report(REPORT)
    assert tally.take() == (3.0, "Gizmos", 2.0, 0.5)


def test_the_keys_of_monitoring() -> None:
    counters = Counters(3000, reported_items=3000, reported_cpu_ms=2000, reported_transfer_ms=500)
    report = Report(Device(b"12345678", 1, units="Gizmos"), 1, counters, NOTHING)
    shown = msgspec.to_builtins(show_volunteer(Entry(report, "", 3.0, 0.0), "computing", 0.0))
    assert shown | REPORT == shown
