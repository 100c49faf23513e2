"""The start of a map: its first worker, and what is imported meanwhile."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pando
from pando.running import feed
from pando.worker.launcher import Launcher

from ..processes import all_gone

pytestmark = pytest.mark.process

START = """
import sys, pando
pando.map
from pando.worker.launcher import Launcher
start = Launcher.launch_ahead
def launch_ahead(self):
    print("trio" in sys.modules)
    start(self)
    print(self._ahead.process.pid)
Launcher.launch_ahead = launch_ahead
import os
print(*set(pando.map(lambda x: os.getpid(), [1], workers=1, serve=False)))
"""


def test_the_first_worker_starts_before_trio_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)
    was_imported, ahead, computed = done.stdout.split()
    assert was_imported == "False"
    assert computed == ahead


def test_ctrl_c_while_a_map_starts_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a notebook, where the cell may be run again on the same iterator."""
    started: list[int] = []

    class Noting(Launcher):
        def launch_ahead(self) -> None:
            super().launch_ahead()
            assert self._ahead is not None
            started.append(self._ahead.process.pid)

    def interrupt(name: str) -> None:
        raise KeyboardInterrupt

    results = pando.map(abs, [-1, 2], workers=1, serve=False)
    with monkeypatch.context() as patch:
        patch.setattr(feed, "Launcher", Noting)
        patch.setattr(feed, "import_quickly", interrupt)
        with pytest.raises(KeyboardInterrupt):
            next(results)
    assert len(started) == 1
    assert all_gone(started)
    assert list(results) == [1, 2]


def test_a_path_that_has_changed_meanwhile_is_as_it_was_afterwards(tmp_path) -> None:
    (tmp_path / "trio.py").write_text("raise ImportError('not this one')\n")
    code = f"""
import sys, pando
pando.map
sys.path.insert(0, {str(tmp_path)!r})
before = [*sys.path]
print(list(pando.map(abs, [-1], workers=1, serve=False)), sys.path == before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[1] True\n", done.stderr
