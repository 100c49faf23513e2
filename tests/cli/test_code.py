"""``-c``: code instead of a module."""

from __future__ import annotations

import asyncio
import inspect
import linecache

import pytest

from pando.cli.code import FILENAME, make_function
from pando.cli.options import parse
from pando.errors import UsageError
from pando.functions.capture import capture
from pando.functions.package import FunctionPackage
from pando.functions.restore import restore

from ..processes import run_command
from .modules import errors_of

CODES = {
    "x * x": 9,
    "  x + 1  ": 4,
    "-x": -3,
    "import math; math.sqrt(x + 6)": 3.0,
    "from math import sqrt as root\nroot(x + 1)": 2.0,
    "import os.path, json; json.dumps(os.path.basename(f'a/{x}'))": '"3"',
    "y = x + 1; y * y": 16,
    "total = 0\nfor n in range(x):\n    total += n\ntotal": 3,
    "def f(n):\n    return 1 if n < 2 else n * f(n - 1)\nf(x)": 6,
    "lines = f'''{x}\n  {x}'''; lines": "3\n  3",
    "'\\n' * x": "\n\n\n",
    "[x * n for n in range(x)]": [0, 3, 6],
    "(lambda n: n * x)(2)": 6,
    "None": None,
}


@pytest.mark.parametrize("code", CODES)
def test_the_last_expression_is_the_result(code):
    assert make_function(code)(3) == CODES[code]


def test_code_may_await():
    function = make_function("import asyncio; await asyncio.sleep(0, x)")
    assert inspect.iscoroutinefunction(function)
    assert asyncio.run(function(5)) == 5


@pytest.mark.parametrize("code", CODES)
def test_workers_and_browsers_can_have_it(code):
    """The portable form is made of the source, which is kept where others look for it."""
    function = make_function(code)
    assert inspect.getsource(function).startswith("def pando(x):")
    linecache.checkcache(FILENAME)
    packed = capture(function).to_bytes()
    assert restore(FunctionPackage.from_bytes(packed))(3) == CODES[code]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("", "must end in an expression of x"),
        ("y = x", "must end in an expression of x"),
        ("x +", "SyntaxError: invalid syntax: x +"),
        ("return 5; x; break; x", "the code of -c: SyntaxError"),
        ("import not_there; x", "an import of the code fails: ModuleNotFoundError: No module"),
        ("x\0", "the code of -c: "),
    ],
)
def test_other_code_is_refused_in_one_sentence(code, message):
    with pytest.raises(UsageError, match=message.replace("+", "\\+")) as caught:
        make_function(code)
    assert "\n" not in str(caught.value)


def test_where_code_may_stand(monkeypatch):
    monkeypatch.setenv("HOME", "/nonexistent")
    for arguments in (
        ["-c", "-x", "1", "--workers=2", "a.py"],
        ["1", "--workers=2", "-c", "-x", "a.py"],
        ["-c-x", "--workers", "2", "1", "--", "a.py"],
    ):
        invocation = parse(arguments)
        assert (invocation.code, invocation.module) == ("-x", "")
        assert invocation.items.before == ["1", "a.py"]
        assert invocation.settings.workers == 2
    with pytest.raises(UsageError, match="-c needs code"):
        parse(["1", "-c"])


@pytest.mark.process
@pytest.mark.parametrize("option", ["--workers=2", "--local"])
def test_one_liners(option):
    done = run_command("-c", "x * x", option, "1", "2", "3")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"1\n4\n9\n", b"")
    done = run_command("-c", "x.upper()", option, "-", stdin=b"a\nb\n")
    assert done.stdout == b"A\nB\n"
    done = run_command("-c", "import math\n1 / math.floor(x)", option, "0")
    assert (done.returncode, done.stdout) == (1, b"")
    raised = 'File "<pando -c>", line 4, in pando\n        return 1 / math.floor(x)'
    assert raised in errors_of(done)
    done = run_command("-c", "x = 5", option, "0")
    assert (done.returncode, errors_of(done).count("\n")) == (2, 1)


def test_volunteers_see_the_code_or_its_beginning():
    from pando.cli.user_module import CodeModule

    assert CodeModule("y = x\ny  * y").name == "y = x y * y"
    long = CodeModule("x" + " + x" * 50).name
    assert len(long) == 40
    assert long.endswith("…")
