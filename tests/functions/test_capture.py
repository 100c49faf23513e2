"""What is captured, what is refused, and how sources are read."""

from __future__ import annotations

import importlib.util
import json
import sys
import textwrap

import pytest
from running import receive, run_python

from pando.errors import FunctionError
from pando.functions.capture import capture
from pando.functions.modules import MAX_DATA_BYTES


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Makes a module of some source whose functions a worker can get by their source only."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def make(text: str, name: str = "script.py"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        spec = importlib.util.spec_from_file_location("no_such_module", path)
        module = importlib.util.module_from_spec(spec)
        exec(compile(path.read_text(), str(path), "exec", dont_inherit=True), vars(module))
        return module

    return make


def refusal(function) -> str:
    with pytest.raises(FunctionError) as caught:
        capture(function)
    return str(caught.value)


# ---- what is refused ----


@pytest.mark.parametrize(
    ("value", "type"),
    [
        ("threading.Lock()", "lock"),
        ("open(os.devnull)", "TextIOWrapper"),
        ("(x for x in [])", "generator"),
        ("threading.local()", "_local"),
        ("sys._getframe()", "frame"),
    ],
)
def test_a_global_that_cannot_be_serialized_is_named(load, value, type):
    text = f"import os, sys, threading\nguard = {value}\ndef work(x):\n    return guard"
    module = load(text)
    message = refusal(module.work)
    assert f"the global 'guard' of work, a value of type {type!r}, cannot be sent" in message
    if hasattr(module.guard, "close"):
        module.guard.close()


def test_a_lock_deep_inside_is_named(load):
    module = load(
        """
        import threading
        class Counter:
            def __init__(self):
                self.locks = {"first": [threading.Lock()]}
        counter = Counter()
        def helper(x):
            return counter
        def work(x):
            return helper(x)
        """
    )
    message = refusal(module.work)
    assert "['first'] of ['locks'] of the global 'counter' of the global 'helper'" in message


def test_a_variable_of_an_enclosing_function_is_named(load):
    module = load(
        """
        import threading
        def make():
            guard = threading.Lock()
            return lambda x: guard
        """
    )
    assert "the variable 'guard' of <lambda>, a value of type 'lock'" in refusal(module.make())


def test_a_default_is_named(load):
    module = load("import threading\ndef work(x, guard=threading.Lock()): ...")
    assert "a default of work" in refusal(module.work)


def test_functions_made_by_exec_are_refused():
    names = {"__name__": "made"}
    exec(compile("def work(x): return x", "<made>", "exec"), names)
    message = refusal(names["work"])
    assert message.startswith("the function work cannot be sent to workers: its source cannot be")


def test_classes_made_by_a_call_are_refused(load):
    module = load("Made = type('Made', (), {})\ndef work(x):\n    return Made()")
    message = refusal(module.work)
    assert "the class 'Made', used by the global 'Made' of work, cannot be sent" in message


def test_what_is_not_callable_is_refused():
    assert refusal(5) == "5 is not a function"


def test_a_script_itself_as_a_value_is_refused(load, monkeypatch):
    module = load("import sys\nme = sys.modules['__main__']\ndef work(x):\n    return me")
    assert "the script itself" in refusal(module.work)


def test_data_nested_too_deeply_is_refused(load):
    module = load(
        """
        deep = object()
        for _ in range(1000):
            deep = [deep]
        def work(x):
            return deep
        """
    )
    assert "nested too deeply" in refusal(module.work)


@pytest.mark.parametrize("text", ["def work(x):\n    return x + 2", "# gone\n", "("])
def test_a_file_edited_since_its_import_is_refused(load, tmp_path, text):
    module = load("def work(x):\n    return x + 1\n")
    (tmp_path / "script.py").write_text(text)
    assert "edited since it was imported" in refusal(module.work)


def test_a_class_edited_since_its_import_is_refused(load, tmp_path):
    text = "class Work:\n    def run(self, x):\n        return x + 1\ndef use(x): return Work()\n"
    module = load(text)
    (tmp_path / "script.py").write_text(text.replace("+ 1", "+ 2"))
    assert "edited since it was imported" in refusal(module.use)


def test_a_missing_file_is_refused(load, tmp_path):
    module = load("def work(x):\n    return x + 1\n")
    (tmp_path / "script.py").unlink()
    assert "its source cannot be read" in refusal(module.work)


def test_an_own_module_that_cannot_be_parsed_is_refused(load, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "unreadable_module.py").write_text("def (")
    module = load("def work(x):\n    import unreadable_module")
    assert "the module unreadable_module cannot be read" in refusal(module.work)


# ---- what is captured ----


def test_only_what_is_used_is_captured(load):
    module = load(
        """
        import threading, json
        guard = threading.Lock()
        used, unused = 1, 2
        def other():
            return guard, unused
        def work(x):
            "Says guard and unused."
            return used + json.loads(x)
        """
    )
    package = capture(module.work)
    assert [set(namespace.names) for namespace in package.namespaces] == [{"used", "json"}]
    assert package.imports == []
    assert package.name == "work"
    assert len(package.to_bytes()) < 1000


def test_installed_modules_are_required_by_their_top_level_names(load):
    module = load(
        "import numpy.linalg\ndef work(x):\n    import trio\n    return numpy.linalg.det(x)"
    )
    package = capture(module.work, ["numpy>=1.26"])
    assert package.imports == ["numpy", "trio"]
    assert package.modules == {}
    assert package.requirements == ["numpy>=1.26"]


# ---- in another process ----

ODD_SOURCES = {
    "tabs": "def work(x):\n\tif x:\n\t\treturn x + 1\n\treturn 0\n",
    "not ASCII": "def größe(é):\n    return f'«{é}» µ \U0001f600'\nwork = größe\n",
    "form feed": "a = 1\n\f\ndef work(x):\n    b = '''\f\n    '''\n    return x, b\n\f\nc = 2\n",
    "form feed before def": "a = 1\n\fdef work(x):\n    return x\n",
    "line separator": "a = '\u2028 \x85 \x1c'\ndef work(x):\n    return x, a, '\u2028'\n",
    "no newline at the end": "work = lambda x: x + 1",
    "backslashes": "work = \\\n  lambda \\\n  x: \\\n  x + 1\n",
    "lambda body at the margin": "work, other = (lambda x:\nx + 1), 5\n",
    "lambda in an f-string": "work = [f for f in [lambda x: f'{x!r:>5}']][0]\n",
    "defs in blocks": "if True:\n    if 1:\n        def work(x):\n            return x\n",
    "def with a tab": "def\twork(x): return x\n",
    "one line": "class A: value = 1; other = lambda self, x: x\nwork = lambda x: A().other(x)\n",
    "comments less indented": "if True:\n    def work(x):\n# comment\n        return x\n",
    "decorators, comments": "def s(f): return f\n@s\n# c\n\n@s\ndef work(x):\n  return x\n",
    "multi-line text": "if True:\n    def work(x):\n        return '''a\n  b\n'''\n",
    "a name like the class's": "class work:\n    def work(x): return x, 'b'\nwork = work.work\n",
    "future": "from __future__ import annotations\ndef work(x: Unknown) -> Missing: return x\n",
    "type comment": "def work(x):  # type: (int) -> int\n    return x\n",
}


@pytest.mark.process
def test_odd_sources(tmp_path):
    """Every odd source in one script, which imports none of them."""
    (tmp_path / "sources.json").write_text(json.dumps(ODD_SOURCES))
    for number, text in enumerate(ODD_SOURCES.values()):
        (tmp_path / f"odd{number}.py").write_text(text, encoding="utf-8")
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import json, sys
            from pathlib import Path
            from shipping import ship

            cases = {}
            here = Path(__file__).parent
            for number, name in enumerate(json.loads((here / "sources.json").read_text())):
                path = here / f"odd{number}.py"
                variables = {"__name__": "__main__"}
                exec(compile(path.read_bytes(), str(path), "exec", dont_inherit=True), variables)
                cases[name] = (variables["work"], [1])
            ship(cases)
            """
        )
    )
    shipped = run_python(str(script))
    expected = {name: case["expected"] for name, case in json.loads(shipped).items()}
    assert receive(shipped, tmp_path) == expected


SHIPS_ONE = """
from shipping import ship
FACTOR = 3
class Box:
    def __init__(self, x): self.x = x
    def get(self): return self.x * FACTOR
def helper(x):
    return Box(x).get()
def work(x):
    return helper(x)
ship({"work": (work, [2])})
"""


@pytest.mark.process
def test_source_on_the_command_line(tmp_path):
    shipped = run_python("-c", SHIPS_ONE)
    assert receive(shipped, tmp_path) == {"work": ["6"]}


@pytest.mark.process
def test_a_script_on_the_standard_input_is_refused():
    shipped = json.loads(run_python("-", input=SHIPS_ONE))
    assert shipped["work"]["portable"]["refused"].startswith(
        "the function work cannot be sent to workers"
    )
    assert "<stdin>" in shipped["work"]["portable"]["refused"]


@pytest.mark.process
def test_a_module_run_as_a_script(tmp_path):
    """Relative imports work in it, at its top and inside a function."""
    folder = tmp_path / "ground" / "tower"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "roof.py").write_text("def cover(x): return ('roof', x)\n")
    (folder / "__main__.py").write_text(
        "from . import roof\nfrom shipping import ship\n"
        "def work(x):\n    from .roof import cover\n    return cover(x), roof.cover(x)\n"
        "ship({'work': (work, [1])})\n"
    )
    shipped = run_python("-m", "tower", cwd=tmp_path / "ground")
    assert receive(shipped, tmp_path) == {"work": ["(('roof', 1), ('roof', 1))"]}


@pytest.mark.process
def test_the_script_may_change_its_folder(tmp_path):
    (tmp_path / "script.py").write_text("import os\nos.chdir('/')\n" + SHIPS_ONE)
    shipped = run_python("script.py", cwd=tmp_path)
    assert receive(shipped, tmp_path) == {"work": ["6"]}


TRACEBACK_SCRIPT = """\
import shipping
import own_module_of_it


def fail(x):
    return {
        "a": 1 / x,
    }


class Box:
    def get(self, x):
        return fail(x)


def work(x):
    import traceback

    try:
        own_module_of_it.call(lambda: Box().get(x))
    except ZeroDivisionError:
        return traceback.format_exc()


shipping.ship({"work": (work, [0])})
"""


@pytest.mark.process
def test_tracebacks_show_the_files_and_lines(tmp_path):
    """Where the files are not to be had."""
    (tmp_path / "script.py").write_text(TRACEBACK_SCRIPT)
    (tmp_path / "own_module_of_it.py").write_text("\ndef call(f):\n    return f()\n")
    shipped = run_python(str(tmp_path / "script.py"))
    (tmp_path / "script.py").unlink()
    (tmp_path / "own_module_of_it.py").unlink()
    [expected] = json.loads(shipped)["work"]["expected"]
    assert receive(shipped, tmp_path) == {"work": [expected]}
    assert r'"a": 1 / x,\n         ~~^~~' in expected


def test_the_command_has_no_other_way(tmp_path):
    """A function of a found file is captured as a module of the user's own."""
    (tmp_path / "exported-work.py").write_text("K = 2\ndef pando(x):\n    return x * K\n")
    script = (
        "import sys\nfrom pando.functions.exports import find_function\n"
        "from shipping import ship\n"
        "ship({'work': (find_function(sys.argv[1]), [4])})"
    )
    shipped = run_python("-c", script, str(tmp_path / "exported-work.py"))
    assert receive(shipped, tmp_path) == {"work": ["8"]}


SHIPS_A_NAMESAKE = """
import sys
sys.path.insert(0, "lib")
import colorsys
from shipping import ship

def work(x):
    import sched
    return colorsys.OWN + x, sched.OWN

colorsys.OWN = 5
ship({"work": (work, [1])})
"""


@pytest.mark.process
def test_a_module_with_the_name_of_one_of_pythons_own(tmp_path):
    """It is sent, where it is what the name means here."""
    (tmp_path / "lib").mkdir()
    for name in ("colorsys", "sched"):
        (tmp_path / "lib" / f"{name}.py").write_text("OWN = 1\n")
    script = tmp_path / "script.py"
    script.write_text(SHIPS_A_NAMESAKE)
    shipped = run_python(str(script), cwd=tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert receive(shipped, elsewhere) == {"work": ["(6, 1)"]}


SHIPS_DATA = """
import importlib.resources
import package
from shipping import ship

def work(name):
    return len(importlib.resources.files(package).joinpath(name).read_bytes())

ship({"work": (work, ["small.bin", "large.bin"])})
"""


@pytest.mark.process
def test_a_file_that_is_too_large_to_be_sent_is_named(tmp_path):
    folder = tmp_path / "ground" / "package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "small.bin").write_bytes(bytes(1000))
    (folder / "large.bin").write_bytes(bytes(MAX_DATA_BYTES))
    script = tmp_path / "ground" / "script.py"
    script.write_text(SHIPS_DATA)
    shipped = run_python(str(script))
    refused = "FileNotFoundError: large.bin of package was not sent to workers"
    assert receive(shipped, tmp_path) == {"work": ["1000", refused]}
    assert json.loads(shipped)["work"]["expected"] == ["1000", str(MAX_DATA_BYTES)]
