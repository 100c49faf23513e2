"""The form of the function that volunteers get, if any."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..processes import environment, wait_until
from ..roots import VOLUNTEER, free_port

pytestmark = [pytest.mark.process, pytest.mark.socket]

ONLY_EXACT = "function = eval('lambda x: (x * 3, __import__(\"sys\").argv)')\n"
BOTH = "def function(x):\n    return (x * 3, __import__('sys').argv)\n"
LARGE = (
    "DATA = list(range(4_000_000))\n\ndef function(x):\n    return (x * 3 + 0 * DATA[5], [''])\n"
)
FAILS_EXACTLY = """
class Odd:
    def __reduce_ex__(self, protocol):
        return (int, ("no number",)) if protocol > 2 else (int, (3,))

odd = Odd()

def function(x):
    return x * odd, [""]
"""
ROOT = """
import os, sys, pando
{function}
options = pando.ServeOptions(port={port}, open=True)
results = pando.map(function, range(40), workers={workers}, serve=options)
print([list(result) for result in results])
"""
FAILING = """\
import pando

def divide(x):
    return 1 / x

options = pando.ServeOptions(port={port}, open=True)
for each in pando.map(divide, [0], workers={workers}, serve=options, return_exceptions=True):
    print(each.traceback)
"""
OTHER = """
import sys, pando.volunteering.device as device
device.own_fingerprint = lambda: "another interpreter"
from pando.cli.volunteer import main
sys.exit(main())
"""
EXPECTED = f"{[[x * 3, ['']] for x in range(40)]}\n"


def count_load_failures(link: str) -> int:
    """What monitoring shows, which is made once an interval."""
    with urllib.request.urlopen(f"{link}monitoring.json") as reply:
        return json.load(reply)["root"]["counters"].get("load_failures", 0)


@contextmanager
def root(folder: Path, function: str, workers: int = 0) -> Iterator[tuple[str, subprocess.Popen]]:
    """A script with a map that serves; its address and its process."""
    port = free_port()
    script = folder / "script.py"
    script.write_text(ROOT.format(function=function, port=port, workers=workers))
    with (folder / "errors").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, str(script), "--secret"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=folder,
        )
    try:
        assert wait_until(lambda: "volunteers join" in (folder / "errors").read_text())
        yield f"http://localhost:{port}/", process
    finally:
        process.kill()
        process.communicate()


def volunteer(link: str, boot: list[str]) -> subprocess.Popen:
    return subprocess.Popen(
        [*boot, link, "--workers=1", "--once"], stderr=subprocess.PIPE, text=True, env=environment()
    )


EQUAL, DIFFERENT = VOLUNTEER, [sys.executable, "-c", OTHER]


@pytest.mark.parametrize(
    ("function", "boot"),
    [
        (ONLY_EXACT, EQUAL),
        (BOTH, EQUAL),
        (BOTH, DIFFERENT),
        (LARGE, EQUAL),
        (LARGE, DIFFERENT),
        (FAILS_EXACTLY, EQUAL),
    ],
    ids=["only exact", "equal", "different", "in parts", "in parts, different", "asks again"],
)
def test_a_volunteer_gets_a_form_that_it_can_load(function, boot, tmp_path):
    """And nothing of the command line, the root's or its own."""
    with root(tmp_path, function) as (link, process):
        helper = volunteer(link, boot)
        assert process.communicate(timeout=60)[0] == EXPECTED
        assert helper.wait(20) == 0
        helper.communicate()


@pytest.mark.parametrize("boot", [EQUAL, DIFFERENT, None], ids=["equal", "different", "here"])
def test_a_traceback_names_folders_of_the_roots_machine_only_on_that_machine(boot, tmp_path):
    port = free_port()
    script = tmp_path / "script.py"
    script.write_text(FAILING.format(port=port, workers=int(boot is None)))
    with (tmp_path / "errors").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, str(script)],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment(),
        )
    helper = None
    try:
        if boot is not None:
            assert wait_until(lambda: "volunteers join" in (tmp_path / "errors").read_text())
            helper = volunteer(f"http://localhost:{port}/", boot)
        output, _ = process.communicate(timeout=60)
    finally:
        for each in filter(None, (process, helper)):
            each.kill()
            each.communicate()
    assert "ZeroDivisionError" in output
    assert f'File "{"script.py" if boot else script}", line 4, in divide' in output
    assert (str(tmp_path) in output) == (boot is None)


def test_who_can_have_no_form_is_told_so_and_the_run_goes_on(tmp_path):
    with root(tmp_path, ONLY_EXACT) as (link, process):
        refused = [volunteer(link, DIFFERENT) for _ in range(2)]
        for each in refused:
            _, said = each.communicate(timeout=30)
            assert each.returncode != 0
            assert "its source cannot be read" in said
        assert wait_until(lambda: count_load_failures(link) == 2)
        helper = volunteer(link, EQUAL)
        assert process.communicate(timeout=60)[0] == EXPECTED
        helper.communicate()
    errors = (tmp_path / "errors").read_text()
    assert errors.count("volunteers whose Python differs from this one cannot join") == 1


TOO_LARGE = """
import pando.messages
pando.messages.MAX_FUNCTION_BYTES = 1_000_000
data = bytes(2_000_000)

def function(x):
    while not os.path.exists("told"):
        time.sleep(0.05)
    return x * 3 + data[x], [""]

import time
"""


def test_a_function_that_is_too_large_for_volunteers(tmp_path):
    """It is said when the run begins, once; volunteers are told, and the run goes on."""
    sentence = re.compile(
        r"the function and its data take 2,00\d,\d{3} bytes, more than the maximum of 1,000,000 "
        r"for volunteers; let the function read its data itself"
    )
    with root(tmp_path, TOO_LARGE, workers=1) as (link, process):
        assert wait_until(lambda: sentence.search((tmp_path / "errors").read_text()))
        for boot in (EQUAL, DIFFERENT):
            helper = volunteer(link, boot)
            _, said = helper.communicate(timeout=30)
            assert helper.returncode != 0
            assert sentence.search(said)
        (tmp_path / "told").touch()
        assert process.communicate(timeout=60)[0] == EXPECTED
    assert len(sentence.findall((tmp_path / "errors").read_text())) == 1


def test_a_module_that_reads_the_command_line_at_import_gets_it(tmp_path):
    (tmp_path / "helper.py").write_text("import sys\nfactor = 3 if '--secret' in sys.argv else 1\n")
    function = "import helper\ndef function(x):\n    return x * helper.factor, ['']\n"
    with root(tmp_path, function) as (link, process):
        helper = volunteer(link, EQUAL)
        assert process.communicate(timeout=60)[0] == EXPECTED
        helper.communicate()


def test_modules_of_one_s_own_are_sent_as_source(tmp_path):
    (tmp_path / "helper.py").write_text("factor = 1\ndef times(x): return x * factor\n")
    function = (
        "import helper\nhelper.factor = 3\ndef function(x):\n    return helper.times(x), ['']\n"
    )
    with root(tmp_path, function) as (link, process):
        helper = volunteer(link, EQUAL)
        assert process.communicate(timeout=60)[0] == EXPECTED
        helper.communicate()
