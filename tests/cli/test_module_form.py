"""`python -m pando` runs the command."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ..processes import environment


@pytest.mark.process
def test_python_m_pando_is_the_command(module):
    path = module("def pando(x):\n    return x * x\n", "square.py")
    done = subprocess.run(
        [sys.executable, "-m", "pando", "--no-serve", str(path), "1", "2"],
        capture_output=True,
        timeout=60,
        check=False,
        env=environment(),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"1\n4\n", b"")


@pytest.mark.process
def test_its_status_is_the_command_s():
    done = subprocess.run(
        [sys.executable, "-m", "pando", "none.py", "1"],
        capture_output=True,
        timeout=60,
        check=False,
        env=environment(),
    )
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
