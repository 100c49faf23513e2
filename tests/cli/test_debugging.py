"""Debugging in the process of the command, and the hint if there is no terminal."""

from __future__ import annotations

import pytest

from ..processes import run_command
from ..terminals import Terminal
from .modules import errors_of

pytestmark = pytest.mark.process

BREAKPOINT = """\
def pando(x):
    y = x + 1
    breakpoint()
    return y
"""


def test_a_breakpoint_works_with_items_as_arguments(python_module):
    done = run_command(python_module(BREAKPOINT), "--local", "1", stdin=b"p y * 21\ny = 5\nc\n")
    assert (done.returncode, done.stdout) == (0, b"5\n")
    assert "42" in errors_of(done)


def test_a_breakpoint_works_on_the_terminal_while_items_come_from_elsewhere(python_module):
    command = Terminal.of_pando(
        [str(python_module(BREAKPOINT)), "--local", "--stdin"], items=b"1\n2\n"
    )
    command.wait_for("(Pdb)")
    command.type(b"p 'saw', y\n")
    command.wait_for("('saw', 2)")
    command.type(b"c\n")
    command.wait_for("return y")
    command.type(b"y = 7\n")
    command.type(b"c\n")
    assert command.end() == (0, b"2\n7\n")


@pytest.mark.parametrize(
    ("statement", "error"),
    [("breakpoint()", "RuntimeError"), ("import pdb; pdb.set_trace()", "BdbQuit")],
)
def test_a_breakpoint_in_a_worker_gives_a_hint(python_module, statement, error):
    done = run_command(python_module(f"def pando(x):\n    {statement}\n    return x\n"), "1")
    assert (done.returncode, done.stdout) == (1, b"")
    hint = f"pando: item 0 (1): {error}: workers have no terminal for a debugger; debug with `pando"
    assert hint in errors_of(done)


def test_a_debugger_of_the_user_s_own_is_asked(python_module, monkeypatch):
    monkeypatch.setenv("PYTHONBREAKPOINT", "0")
    assert run_command(python_module(BREAKPOINT), "1").stdout == b"2\n"
