"""Finding the function that a file exports."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import pando
from pando.errors import FunctionError
from pando.functions.exports import find_function


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module; what importing it does to the interpreter is undone."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = dict(sys.modules)

    def write(text: str, name: str = "work.py") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    yield write
    for name in set(sys.modules) - set(before):
        del sys.modules[name]
    sys.modules.update(before)


def refusal(path: Path | str) -> str:
    with pytest.raises(FunctionError) as caught:
        find_function(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "text",
    [
        "def pando(x):\n    return x * 2",
        "pando = lambda x: x * 2",
        "import pando\n@pando.function\ndef double(x):\n    return x * 2",
        "from pando import function\n@function\ndef double(x):\n    return x * 2\nalias = double",
        "exports = {'/pando/1.0.0': lambda x: x * 2}",
        "import pando\n@pando.function\ndef pando(x, y=2):\n    return x * y\n"
        "exports = {'/pando/1.0.0': pando}",
        "class Double:\n    def __call__(self, x):\n        return x * 2\npando = Double()",
        "import functools, operator\npando = functools.partial(operator.mul, 2)",
        "def helper(x):\n    return x\ndef pando(*args):\n    return helper(args[0]) * 2",
    ],
)
def test_the_forms_of_an_export(module, text):
    assert find_function(module(text))(4) == 8


def test_a_path_may_be_text_and_relative(module, tmp_path, monkeypatch):
    module("def pando(x):\n    return x")
    monkeypatch.chdir(tmp_path)
    assert find_function("work.py")(1) == 1


def test_an_async_function(module):
    assert callable(find_function(module("async def pando(x):\n    return x")))


def test_what_lies_beside_the_file_can_be_imported(module):
    module("def aid(x):\n    return -x", "beside_the_file.py")
    path = module("import beside_the_file\ndef pando(x):\n    return beside_the_file.aid(x)")
    assert find_function(path)(1) == -1


def test_no_function(module):
    message = refusal(module("x = 1\nimport pando"))
    assert "work.py exports no function" in message
    assert "def pando(x)" in message


def test_two_functions_are_named_with_their_lines(module):
    message = refusal(module("import pando as p\n@p.function\ndef a(x): ...\ndef pando(x): ..."))
    assert "more than one function: pando (line 4) and a (line 2)" in message


def test_a_syntax_error_is_shown_with_its_line(module):
    message = refusal(module("x = 1\ndef pando(x:\n    return x"))
    assert "work.py, line 2" in message
    assert "SyntaxError" in message
    assert "def pando(x:" in message


@pytest.mark.parametrize(
    ("text", "line", "error"),
    [
        ("x = 1\n1 / 0", 2, "ZeroDivisionError: division by zero: 1 / 0"),
        ("import never_installed", 1, "No module named 'never_installed'"),
        ("def fail():\n    raise OSError\nfail()", 2, "OSError: raise OSError"),
        ("import sys\nsys.exit(3)", 2, "SystemExit: 3"),
    ],
)
def test_a_failing_import_is_shown_with_its_line(module, text, line, error):
    message = refusal(module(text))
    assert f"work.py, line {line} fails to import" in message
    assert error in message


def test_a_syntax_error_in_another_module_names_that_one(module):
    module("(", "broken_module.py")
    assert "broken_module.py, line 1" in refusal(module("import broken_module"))


def test_a_failed_import_leaves_no_module(module):
    refusal(module("1 / 0", "fails_to_import.py"))
    assert "fails_to_import" not in sys.modules


def test_an_interrupt_is_not_an_error_of_the_file(module):
    with pytest.raises(KeyboardInterrupt):
        find_function(module("raise KeyboardInterrupt", "interrupted_module.py"))
    assert "interrupted_module" not in sys.modules


def test_what_is_no_python_file(module, tmp_path):
    assert "is a folder" in refusal(tmp_path)
    assert "there is no file" in refusal(tmp_path / "missing.py")
    assert "should end in .py" in refusal(module("", "work.js"))
    assert "null bytes" in refusal(module("\0"))


@pytest.mark.parametrize(
    "text",
    [
        "def pando():\n    return 1",
        "def pando(x, y):\n    return 1",
        "def pando(*, x):\n    return 1",
        "class Work:\n    def __call__(self): ...\npando = Work()",
    ],
)
def test_the_function_must_take_one_value(module, text):
    message = refusal(module(text))
    assert "the function must take one value" in message


def test_a_wrong_function_is_shown_with_its_line(module):
    message = refusal(module("\n\ndef pando(x, y):\n    return 1"))
    assert message.endswith("work.py, line 3: the function must take one value: def pando(x, y):")


@pytest.mark.parametrize("text", ["pando = 5", "exports = {'/pando/1.0.0': 5}"])
def test_what_is_exported_is_no_function(module, text):
    assert "is not a function" in refusal(module(text))


@pytest.mark.parametrize("name", ["json.py", "my-work.py", "1st.py", "class.py", "pytest.py"])
def test_a_file_may_have_any_name(module, name):
    import json

    assert find_function(module("def pando(x):\n    return x + 1", name))(1) == 2
    assert sys.modules["json"] is json
    assert sys.modules["pytest"] is pytest


def test_two_files_of_one_name(module, tmp_path):
    (tmp_path / "other").mkdir()
    first = find_function(module("def pando(x):\n    return f'first {x}'"))
    second = find_function(module("def pando(x):\n    return f'second {x}'", "other/work.py"))
    third = find_function(module("def pando(x):\n    return f'third {x}'", "work.py"))
    assert [function(1) for function in (first, second, third)] == [
        "first 1",
        "second 1",
        "third 1",
    ]


def test_modules_of_the_module_are_no_exports(module):
    assert find_function(module("import pando\n@pando.function\ndef f(x):\n    return x"))(1) == 1


def test_only_functions_can_be_marked():
    with pytest.raises(TypeError, match="marks functions"):
        pando.function(5)
