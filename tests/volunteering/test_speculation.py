"""A volunteer that hangs with an item: the root's own worker computes it as well."""

from __future__ import annotations

import subprocess

import pytest

from ..processes import environment
from ..roots import VOLUNTEER
from .test_forms import root

pytestmark = [pytest.mark.process, pytest.mark.socket]

HANGS_ELSEWHERE = """
import os, time

def function(x):
    if os.environ.get("HANGS"):
        open({file!r}, "w").close()
        time.sleep(3600)
    while not os.path.exists({file!r}):
        time.sleep(0.01)
    return (x * 3, [""])
"""


def test_a_run_does_not_wait_for_a_volunteer_that_hangs(tmp_path):
    function = HANGS_ELSEWHERE.format(file=str(tmp_path / "it-hangs"))
    with (
        root(tmp_path, function, workers=1) as (link, process),
        subprocess.Popen(
            [*VOLUNTEER, link, "--workers=1", "--once"],
            stderr=subprocess.DEVNULL,
            env={**environment(), "HANGS": "1"},
        ) as helper,
    ):
        try:
            output, _ = process.communicate(timeout=60)
        finally:
            helper.terminate()
    assert output == f"{[[x * 3, ['']] for x in range(40)]}\n"
