"""Cells of a notebook, in a real IPython kernel: both forms of what stands in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest
from running import HERE

pytestmark = pytest.mark.process

FIRST = """
import pando
from pando.functions.package import read_package
from pando.functions.serialized import serialize

def both(function, items):
    'What workers give that get the exact form, and what those give that get the portable one.'
    exact = list(pando.map(function, items, workers=1, serve=False))
    import pando.running.mapping as mapping
    made = serialize(function)
    made._exact = made._packed = None
    kept, mapping.serialize = mapping.serialize, lambda *arguments, **options: made
    try:
        portable = list(pando.map(function, items, workers=1, serve=False))
    except pando.FunctionError as error:
        portable = str(error)
    finally:
        mapping.serialize = kept
    print(exact if exact == portable else (exact, portable))
"""


def run(*cells: str, cwd=None) -> list[str]:
    """What cells give, after the first."""
    texts = [FIRST, *(textwrap.dedent(cell) for cell in cells)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(HERE / "run_notebook.py")],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
        env={**os.environ, "JUPYTER_PLATFORM_DIRS": "1", "PYTHONPATH": str(cwd or HERE)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)[1:]


def test_one_cell_with_its_import():
    cell = "import math\ndef f(x): return math.sqrt(x)\nboth(f, [4, 9])"
    assert run(cell) == ["[2.0, 3.0]\n"]


def test_functions_and_classes_of_several_cells():
    given = run(
        "class Config:\n    factor = 1",
        "Config.factor = 5",
        "def scaled(x):\n    return x * Config.factor",
        "both(lambda x: scaled(x) + 1, [1, 2])",
        "Config.factor = 6\nboth(scaled, [1])",
    )
    assert given[3:] == ["[6, 11]\n", "[6]\n"]


def test_what_is_defined_again():
    given = run(
        "def f(x): return 1\nclass A:\n    def get(self): return 'first'\nkept = A()",
        "def f(x): return 2\nclass A:\n    def get(self): return 'second'",
        "both(lambda x: (f(x), kept.get(), A().get()), [0])",
    )
    assert given[2] == "[(2, 'first', 'second')]\n"


def test_cells_that_fail_do_not_harm_others():
    given = run(
        "def broken(:",
        "1 / 0",
        "import asyncio\nawait asyncio.sleep(0)\nasync def later(x):\n    return x + 1",
        "class Point:\n    def __init__(self, x):\n        self.x = x",
        "both(lambda x: Point(x).x, [3])",
        "both(later, [3])",
    )
    assert "SyntaxError" in given[0]
    assert "ZeroDivisionError" in given[1]
    assert given[4:] == ["[3]\n", "[4]\n"]


def test_timed_cells():
    given = run(
        "%%time\nclass Timed:\n    factor = 3\ndef f(x): return x * Timed.factor",
        "%%time\nboth(f, [2])",
        "%%timeit -n1 -r1\nboth(f, [2])",
        "%time both(lambda x: f(x) + 1, [2])",
    )
    assert [text.splitlines()[0] for text in given[1:]] == ["[6]", "[6]", "[7]"]


def test_a_class_of_the_same_name_in_a_library(tmp_path):
    """A traceback through a file puts its lines into the cache that sources are taken from."""
    (tmp_path / "library.py").write_text(
        "class Config:\n    factor = 'wrong'\n    def get(self):\n        raise ValueError\n"
    )
    given = run(
        "class Config:\n    factor = 'right'",
        "import library\nlibrary.Config().get()",
        "import traceback, linecache; _ = linecache.getlines(library.__file__)",
        "both(lambda x: Config.factor, [0])",
        cwd=tmp_path,
    )
    assert given[3] == "['right']\n"


def test_an_interrupt_in_the_middle_and_again():
    given = run(
        """
        import os, signal, threading, time
        def slow(x):
            time.sleep(0.05)
            return x
        threading.Timer(1, os.kill, [os.getpid(), signal.SIGINT]).start()
        list(pando.map(slow, range(1000), workers=1, serve=False))
        """,
        "print(list(pando.map(slow, range(3), workers=1, serve=False)))",
    )
    assert "KeyboardInterrupt" in given[0]
    assert given[1] == "[0, 1, 2]\n"


def test_a_traceback_shows_the_cell_s_lines():
    given = run(
        "def fail(x):\n    return 1 / x  # this very line",
        """
        for error in pando.map(fail, [0], workers=1, serve=False, return_exceptions=True):
            print(error.traceback)
        """,
    )
    assert "this very line" in given[1]


def test_shell_commands_and_magics_in_a_cell():
    given = run(
        "%matplotlib_is_no_magic\n",
        "!true\nx = 5\n%pwd\ndef f(y):\n    return x + y",
        "both(f, [1])",
        "f?",
        "both(f, [2])",
    )
    assert given[2] == "[6]\n"
    assert given[4] == "[7]\n"
