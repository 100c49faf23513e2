"""Which form of a function volunteers get, and which of them can have none."""

from __future__ import annotations

import subprocess
import sys
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
OTHER = """
import sys, pando.volunteering.device as device
device.own_fingerprint = lambda: "another interpreter"
from pando.cli.volunteer import main
sys.exit(main())
"""
EXPECTED = f"{[[x * 3, ['']] for x in range(40)]}\n"


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


def test_who_can_have_no_form_is_told_so_and_the_run_goes_on(tmp_path):
    with root(tmp_path, ONLY_EXACT) as (link, process):
        refused = [volunteer(link, DIFFERENT) for _ in range(2)]
        for each in refused:
            _, said = each.communicate(timeout=30)
            assert each.returncode != 0
            assert "its source cannot be read" in said
        helper = volunteer(link, EQUAL)
        assert process.communicate(timeout=60)[0] == EXPECTED
        helper.communicate()
    errors = (tmp_path / "errors").read_text()
    assert errors.count("volunteers that are not equal to this machine cannot take part") == 1


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
